"""The processes beside a relay process that do the public-key work of licences, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from keys.licences.detect import DrmSystem
from relay.errors import RelayError
from relay.licensing.desk import Opened, Order, Refusal, make_licence, open_challenge, start
from relay.licensing.material import Material

P = ParamSpec("P")
T = TypeVar("T")


class LicencesBusyError(RelayError):
    """More licences are asked for than can be made just now; asking again soon is right."""

    status = 503
    code = "licences_busy"
    public = True


class Lane:
    """One process, which is started when it is first needed, and again when it died."""

    def __init__(self, material: Material, queue: int) -> None:
        self._material = material
        self._queue = queue
        self._executor: ProcessPoolExecutor | None = None
        self._closed = asyncio.Event()
        self.waiting = 0

    async def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """Verify a challenge. Its licence must be asked for in this lane. Raises :class:`LicencesBusyError`."""
        if self.waiting >= self._queue:
            raise LicencesBusyError("many licences are asked for; try again")
        return await self._run(open_challenge, system, challenge, now)

    async def make(self, opened: Opened, order: Order | None, now: float) -> bytes | Refusal:
        """The answer to an opened challenge; without an order, one that ends a licence or gives none."""
        return await self._run(make_licence, opened.ticket, order, now)

    async def close(self) -> None:
        """End the process when it has done what it is at."""
        self._closed.set()
        if self._executor:
            await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed.is_set():
            raise LicencesBusyError("the configuration is being replaced; try again")
        if self._executor is None:
            self._executor = ProcessPoolExecutor(1, get_context("spawn"), start, (self._material,))
        executor = self._executor
        self.waiting += 1
        try:
            return await asyncio.wrap_future(executor.submit(work, *args, **kwargs))
        except BrokenExecutor:
            if self._executor is executor:
                self._executor = None
            raise LicencesBusyError("the process that makes licences has ended; try again") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed.is_set() or (task and task.cancelling()):
                raise
            raise LicencesBusyError("the configuration is being replaced; try again") from None
        finally:
            self.waiting -= 1


class LicenceWorkers:
    """The lanes of a relay process: ``processes`` of them, with ``queue`` requests at most waiting for each."""

    def __init__(self, material: Material, processes: int, queue: int) -> None:
        self.material = material
        self.size = processes, queue
        self._lanes = [Lane(material, queue) for _ in range(processes)]

    def lane(self, system: DrmSystem) -> Lane | None:
        """Where a challenge is best taken now; None if no licences of its system are made."""
        if getattr(self.material, system, None) is None:
            return None
        return min(self._lanes, key=lambda lane: lane.waiting)

    async def close(self) -> None:
        """End the processes."""
        for lane in self._lanes:
            await lane.close()
