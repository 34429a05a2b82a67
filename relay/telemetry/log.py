"""Logging: an event name and fields, one JSON line each on standard error. Never a key, token or challenge."""

import logging
import sys
from traceback import StackSummary, walk_tb

import structlog
from aiohttp.http_exceptions import HttpProcessingError

from relay.telemetry.lines import LineWriter


def set_up_logging(level: str = "info") -> LineWriter:
    """Send structured events, and what libraries log, to standard error as JSON lines; gives what writes them."""
    lines = LineWriter(sys.stderr)
    threshold = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_without_texts),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _Printer(lines),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(lines)
    handler.addFilter(_quotes_no_request)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared)
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)
    return lines


def _without_texts(exc_info: structlog.typing.ExcInfo) -> str:
    """The types of an exception and of those behind it, and where each was raised. Their texts may quote a request."""
    err: BaseException | None = exc_info[1]
    told, seen = [], set[int]()
    while err is not None and id(err) not in seen:
        seen.add(id(err))
        told.append(type(err).__name__ + "\n" + "".join(StackSummary.extract(walk_tb(err.__traceback__)).format()))
        err = err.__cause__ or (None if err.__suppress_context__ else err.__context__)
    return "\n".join(told)


class _Printer:
    """Prints each event as a line."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines

    def msg(self, line: str) -> None:
        self._lines.write(line + "\n")

    debug = info = warning = error = critical = msg


class _Handler(logging.Handler):
    """The same for what libraries log."""

    def __init__(self, lines: LineWriter) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.write(self.format(record) + "\n")


def _quotes_no_request(record: logging.LogRecord) -> bool:
    # The HTTP parser's errors quote the line they stumbled over, and with it tokens and passes.
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
