"""The processes beside a relay process that do the public-key work of licences, off the event loop."""

import asyncio
from contextlib import suppress

import structlog

from keys.licences.detect import DrmSystem
from relay.errors import RelayError
from relay.licensing.desk import Made, Opened, Order, Refusal
from relay.licensing.material import Material
from relay.licensing.process import Answer, Call, DeskProcess, Drop, Make, Open, ProcessLostError

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


class Worker:
    """One process, which is started when it is first needed, and again when it died.

    At most ``queue`` requests wait for it; whatever takes longer than ``limit_s`` costs the process.
    """

    def __init__(self, material: Material, queue: int, limit_s: float) -> None:
        self._material = material
        self._queue = queue
        self._limit_s = limit_s
        self._start: asyncio.Task[DeskProcess] | None = None
        self._closed = False
        self.waiting = 0

    @property
    def process(self) -> DeskProcess | None:
        """The process, if there is one."""
        start = self._start
        if start is None or not start.done() or start.exception() or start.result().lost:
            return None
        return start.result()

    async def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """Verify a challenge. Its licence must be asked for here. Raises :class:`LicencesBusyError`."""
        if self.waiting >= self._queue:
            raise LicencesBusyError("many licences are asked for; try again")
        answer = await self._run(system, Open(system, challenge, now))
        return answer.opened or _refusal(answer)

    async def make(self, opened: Opened, order: Order | None, now: float) -> Made | Refusal:
        """The answer to an opened challenge; without an order, one that ends a licence or gives none."""
        answer = await self._run(opened.system, Make(opened.ticket, order, now))
        return answer.made or _refusal(answer)

    def drop(self, opened: Opened) -> None:
        """Forget an opened challenge that gets no answer."""
        # A process that has ended has forgotten it.
        if process := self.process:
            process.ask(Drop(opened.ticket)).add_done_callback(lambda answer: answer.exception())

    async def close(self) -> None:
        """End the process when it has done what it was asked."""
        self._closed = True
        if self._start is not None:
            with suppress(ProcessLostError):
                await (await self._start).close()

    async def _run(self, system: DrmSystem, call: Call) -> Answer:
        self.waiting += 1
        try:
            process = await self._started()
            answer = await process.ask(call)
        except ProcessLostError as err:
            _log.warning("licence_process_lost", system=system, how=str(err))
            raise LicencesBusyError("the process that makes licences has ended; try again") from None
        finally:
            self.waiting -= 1
        if answer.failure:
            _log.error("licence_work_failed", system=system, error=answer.failure)
            raise LicenceFailedError(f"{system}: {answer.failure}")
        return answer

    async def _started(self) -> DeskProcess:
        if not self._closed and self.process is None and (self._start is None or self._start.done()):
            self._start = asyncio.create_task(DeskProcess.start(self._material, self._limit_s))
        # Whoever asked first may go away meanwhile; the process is for the others, too.
        process = await asyncio.shield(self._start) if self._start and not self._closed else None
        if process is None or self._closed:
            raise LicencesBusyError("the configuration is being replaced; try again")
        return process


def _refusal(answer: Answer) -> Refusal:
    assert answer.refusal
    return answer.refusal


class LicenceWorkers:
    """A relay process's licence processes: ``processes``, with ``queue`` requests at most waiting for each."""

    def __init__(self, material: Material, processes: int, queue: int, limit_s: float) -> None:
        self._workers = [Worker(material, queue, limit_s) for _ in range(processes)]

    def least_busy(self) -> Worker:
        """Where a challenge is best taken now."""
        return min(self._workers, key=lambda worker: worker.waiting)

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(*(worker.close() for worker in self._workers))
