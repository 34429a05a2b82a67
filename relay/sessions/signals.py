"""Signs of sharing as this node has noticed them: logged, counted, and the latest kept for operators."""

from collections import deque
from collections.abc import Iterable, Iterator

import structlog

from relay.gate.signals import Signal
from relay.telemetry.metrics import SIGNALS

MAX_KEPT = 1000
_log = structlog.get_logger()


class SharingSignals:
    """The latest signals, newest first; bounded."""

    def __init__(self) -> None:
        self._kept: deque[Signal] = deque(maxlen=MAX_KEPT)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def __iter__(self) -> Iterator[Signal]:
        """The ones kept, newest first."""
        return iter(list(reversed(self._kept)))

    def note(self, signals: Iterable[Signal]) -> None:
        """Log, count and keep signals."""
        for signal in signals:
            self._kept.append(signal)
            SIGNALS.labels(signal.kind).inc()
            _log.info(
                "sharing_signal",
                kind=signal.kind,
                session=signal.sid[:8],
                stream=signal.stream,
                at=signal.at,
                detail=signal.detail,
            )
