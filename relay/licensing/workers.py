"""The processes beside a relay process that do the public-key work of licences, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Concatenate, ParamSpec, TypeVar

import structlog

from keys.licences.detect import DrmSystem
from relay.errors import RelayError
from relay.licensing.desk import Desk, Made, Opened, Order, Refusal
from relay.licensing.material import Material
from relay.licensing.process import DeskProcess, Failure, ProcessLostError

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger()


class LicencesBusyError(RelayError):
    """More licences are asked for than can be made just now; asking again soon is right."""

    status = 503
    code = "licences_busy"
    public = True


class LicenceFailedError(RelayError):
    """What makes the licences of a DRM system failed at one: a plug-in, or a server behind a bridge."""

    status = 502
    code = "licence_failed"


class Lane:
    """One process, which is started when it is first needed, and again when it died.

    A thread waits for it: starting a process takes time, too. Whatever takes longer than ``limit_s`` costs the process.
    """

    def __init__(self, material: Material, queue: int, limit_s: float) -> None:
        self._material = material
        self._queue = queue
        self._limit_s = limit_s
        self._thread = ThreadPoolExecutor(1, "licences")
        self._process: DeskProcess | None = None
        self._closed = Event()
        self.waiting = 0

    @property
    def pid(self) -> int | None:
        """The id of the process, if there is one."""
        return self._process.pid if self._process else None

    async def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """Verify a challenge. Its licence must be asked for in this lane. Raises :class:`LicencesBusyError`."""
        if self.waiting >= self._queue:
            raise LicencesBusyError("many licences are asked for; try again")
        return await self._run(system, Desk.open, system, challenge, now)

    async def make(self, opened: Opened, order: Order | None, now: float) -> Made | Refusal:
        """The answer to an opened challenge; without an order, one that ends a licence or gives none."""
        return await self._run(opened.system, Desk.make, opened.ticket, order, now)

    def drop(self, opened: Opened) -> None:
        """Forget an opened challenge that gets no answer."""
        if not self._closed.is_set():
            self._thread.submit(self._forget, opened.ticket)

    async def close(self) -> None:
        """End the process when it has done what it is at."""
        self._closed.set()
        await asyncio.to_thread(self._end)

    async def _run(
        self, system: DrmSystem, work: Callable[Concatenate[Desk, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closed.is_set():
            raise LicencesBusyError("the configuration is being replaced; try again")
        self.waiting += 1
        try:
            found = await asyncio.wrap_future(self._thread.submit(lambda: self._call(work, *args, **kwargs)))
        except ProcessLostError as err:
            _log.warning("licence_process_lost", system=system, how=str(err))
            raise LicencesBusyError("the process that makes licences has ended; try again") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed.is_set() or (task and task.cancelling()):
                raise
            raise LicencesBusyError("the configuration is being replaced; try again") from None
        finally:
            self.waiting -= 1
        if isinstance(found, Failure):
            _log.error("licence_work_failed", system=system, error=found.error)
            raise LicenceFailedError(f"{system}: {found.error}")
        return found

    def _call(self, work: Callable[Concatenate[Desk, P], T], *args: P.args, **kwargs: P.kwargs) -> T | Failure:
        if self._process is None:
            self._process = DeskProcess(self._material)
        try:
            return self._process.call(self._limit_s, work, *args, **kwargs)
        except ProcessLostError:
            self._process = None
            raise

    def _forget(self, ticket: int) -> None:
        # A process that is gone, or is to be replaced, has forgotten it.
        if self._process is not None:
            try:
                self._process.call(self._limit_s, Desk.drop, ticket)
            except ProcessLostError:
                self._process = None

    def _end(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._process is not None:
            self._process.end(patience_s=1.0)
            self._process = None


class LicenceWorkers:
    """The lanes of a relay process: ``processes`` of them, with ``queue`` requests at most waiting for each."""

    def __init__(self, material: Material, processes: int, queue: int, limit_s: float) -> None:
        self._lanes = [Lane(material, queue, limit_s) for _ in range(processes)]

    def lane(self) -> Lane:
        """Where a challenge is best taken now."""
        return min(self._lanes, key=lambda lane: lane.waiting)

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))
