"""A process with a :class:`Desk`, and how a thread of the relay talks to it."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec, TypeVar

from relay.licensing.desk import Desk
from relay.licensing.material import Material

P = ParamSpec("P")
T = TypeVar("T")

START_S = 30.0
"""The longest that a process may take to begin."""


class ProcessLostError(Exception):
    """The process ended, or was ended for taking too long."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What work raised that it should not have: the type of the exception, which alone holds nothing secret."""

    error: str


class DeskProcess:
    """One process. Its methods block, and are for one thread at a time.

    Starting one raises :class:`ProcessLostError`, and so does a call after which there is none any more.
    """

    def __init__(self, material: Material) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, material), name="licences", daemon=True)
        try:
            self._process.start()
        except OSError as err:
            raise ProcessLostError(f"cannot be started: {err.strerror}") from None
        theirs.close()
        self._receive(START_S)

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    def call(
        self, limit_s: float, work: Callable[Concatenate[Desk, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T | Failure:
        """What a method of :class:`Desk` gives there. One that takes longer than ``limit_s`` costs the process."""
        try:
            self._connection.send((work, args, kwargs))
        except OSError:
            raise self._lost("ended") from None
        found: T | Failure = self._receive(limit_s)
        return found

    def end(self, patience_s: float = 0.0) -> None:
        """End the process, by force if it has not ended by itself after a time."""
        self._connection.close()
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()

    def _receive(self, limit_s: float) -> Any:
        try:
            if not self._connection.poll(limit_s):
                raise self._lost(f"took longer than {limit_s:g} s")
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._lost("ended") from None

    def _lost(self, how: str) -> ProcessLostError:
        # A moment, for a process that is ending to say how it does.
        self.end(0.5 if how == "ended" else 0.0)
        return ProcessLostError(f"{how} (exit code {self._process.exitcode})")


def serve(connection: Connection, material: Material) -> None:
    """What the process does: answer calls until the relay has let go of it."""
    # A terminal's Ctrl-C reaches all processes; this one ends with the relay's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_relay, daemon=True).start()
    desk = Desk(material)
    connection.send(None)
    while True:
        try:
            work, args, kwargs = connection.recv()
        except EOFError:
            return
        connection.send(_done(desk, work, args, kwargs))


def _done(desk: Desk, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return work(desk, *args, **kwargs)
    except Exception as err:
        # Of a plug-in, say: it may be one that cannot be pickled, and its text may tell what it was given.
        return Failure(type(err).__name__)


def _end_with_relay() -> None:
    # Closing the connection tells a process that waits; one that is at work, or hangs, does not look.
    relay = parent_process()
    if relay:
        relay.join()
        os._exit(0)
