"""The analyses of a node: taken in, done one at a time, told of, erased when it is time."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from relay.errors import RelayError
from relay.watermark.analyse.errors import LeakSizeError
from relay.watermark.index import FILE
from relay.watermark.jobs.errors import (
    AnalysesBusyError,
    AnalysisFailedError,
    AnalysisInterruptedError,
    AnalysisLimitError,
    AnalysisUnavailableError,
    AssetUnknownError,
)
from relay.watermark.jobs.job import Fault, Job, State
from relay.watermark.jobs.process import AnalysisFaultError
from relay.watermark.jobs.result import AnalysisResult, Pictures
from relay.watermark.jobs.spool import Spool
from relay.watermark.jobs.uploads import Received
from relay.watermark.jobs.work import Progress, Setting, analysed
from relay.watermark.serving.inquiries import Inquiries

LOOK_EVERY_S = 0.5
"""For jobs of other processes, and whether the one at work was erased."""
SWEEP_EVERY_S = 60.0
RUNS = 2
"""A job during which the relay ended is tried once more: it may have been the upload that ended it."""
UPLOADS = 4
"""Under way at a time in one process."""
SPARE_DISK = 1 << 30
EXTRA: Final = ("av", "cv2", "numpy", "scipy")
_log = structlog.get_logger()


class _Named(msgspec.Struct):
    """What is needed of an index to know its asset."""

    asset: str


class Analyses:
    """The jobs of one node, and the work on them. ``spool`` may be that of several processes."""

    def __init__(self, spool: Spool, setting: Setting, inquiries: Inquiries, clock: Callable[[], float]) -> None:
        self.setting = setting
        self._spool = spool
        self._inquiries = inquiries
        self._clock = clock
        self._wake = asyncio.Event()
        self._uploads = 0

    def check(self) -> None:
        """Raise :class:`AnalysisUnavailableError` where nothing is analysed here."""
        missing = _missing()
        if missing:
            raise AnalysisUnavailableError(f"{missing} is missing: install segmentgate[watermark] where the relay runs")
        if self.setting.assets is None:
            raise AnalysisUnavailableError("no assets are configured: set watermark.analysis.assets")

    async def check_asset(self, name: str) -> None:
        """Raise :class:`AssetUnknownError` for an asset that has no folder here; the empty name is any."""
        if name and name not in await asyncio.to_thread(lambda: list(self._assets())):
            raise AssetUnknownError("no asset of that name is kept here; leave it out, and it is found by its pictures")

    @asynccontextmanager
    async def receiving(self, size: int | None) -> AsyncIterator[Received]:
        """Take in an upload, of ``size`` bytes if that is said; it is erased after the block unless it was added.

        Raises :class:`AnalysesBusyError`, :class:`LeakSizeError`.
        """
        config = self.setting.config
        if size is not None and size > config.max_upload:
            raise LeakSizeError(f"the upload has more than the {config.max_upload} bytes that are taken")
        if self._uploads >= UPLOADS:
            raise AnalysesBusyError("many uploads are coming in; try again")
        await self._check_room(size or 0)
        self._uploads += 1
        try:
            with self._spool.receiving(os.urandom(16).hex()) as (path, file):
                yield Received(path, file, config.max_upload)
        finally:
            self._uploads -= 1

    async def add(self, received: Received, key: str, actor: str, asset: str, note: str) -> Job:
        """Queue an upload. Raises :class:`AnalysesBusyError`."""
        await self._check_room(0)
        now = self._clock()
        job = Job(
            id=f"{round(now * 1000):012x}{os.urandom(10).hex()}",
            state=State.QUEUED,
            key=key,
            actor=actor,
            asset=asset,
            note=note,
            size=received.size,
            digest=received.digest,
            created_at=now,
        )
        await asyncio.to_thread(self._spool.put, job, received.path)
        self._wake.set()
        return job

    async def jobs(self) -> list[Job]:
        """All of them, the oldest first."""
        return await asyncio.to_thread(self._spool.jobs)

    async def find(self, name: str) -> Job | None:
        """The job of that id."""
        return await asyncio.to_thread(self._spool.find, name)

    async def result(self, job: Job) -> AnalysisResult | None:
        """What came of it."""
        return await asyncio.to_thread(self._spool.result, job)

    async def pictures(self, job: Job) -> list[Pictures]:
        """Its alignment pictures."""
        return await asyncio.to_thread(self._spool.pictures, job)

    async def erase(self, job: Job) -> bool:
        """Erase all of a job, and end it if it is at work, on whatever process; False where it is gone already."""
        return await asyncio.to_thread(self._spool.erase, job.id)

    async def run(self, over: Callable[[Job, AnalysisResult | None], None]) -> None:
        """Work until cancelled; ``over`` is told of each job that is over."""
        swept = -SWEEP_EVERY_S
        while True:
            try:
                if time.monotonic() - swept >= SWEEP_EVERY_S:
                    swept = time.monotonic()
                    await self._sweep()
                with self._spool.locked() as alone:
                    while alone and (job := await self._next()):
                        await self._do(job, over)
            except OSError as err:
                _log.error("analyses_unreachable", error=err.strerror)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY_S)
            self._wake.clear()

    async def _next(self) -> Job | None:
        """Who holds the lock finds none at work but those that ended with a relay."""
        return await asyncio.to_thread(self._spool.next)

    async def _do(self, job: Job, over: Callable[[Job, AnalysisResult | None], None]) -> None:
        if job.runs >= RUNS:
            await self._fail(job, Fault(AnalysisInterruptedError.code, "the relay ended twice meanwhile"), over)
            return
        begun = replace(job, state=State.RUNNING, runs=job.runs + 1, started_at=self._clock(), step="", share=0.0)
        at = Progress()
        work = asyncio.ensure_future(self._analysed(begun, at))
        try:
            if not await _to_its_end(self._spool.save, begun) or not await self._watched(work, begun, at):
                return
            result, pictures = work.result()
        except AnalysisFaultError as err:
            await self._fail(begun, err.fault, over)
        except RelayError as err:
            await self._fail(begun, Fault(err.code, str(err) if err.public else err.code.replace("_", " ")), over)
        except Exception:
            # Of a disk that is full, say. A job that was erased fails too, and nobody needs to know.
            if await self.find(job.id):
                _log.exception("analysis_broke_off", id=job.id)
                await self._fail(begun, Fault(AnalysisFailedError.code, "it broke off; the log says more"), over)
        except asyncio.CancelledError:
            # The relay ends as it should: the job is as it was.
            self._spool.save(job)
            raise
        else:
            done = replace(begun, state=State.DONE, finished_at=self._clock(), step="", share=1.0)
            if await asyncio.to_thread(self._spool.finish, done, result, pictures):
                over(done, result)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _watched(
        self, work: "asyncio.Future[tuple[AnalysisResult, list[Pictures]]]", job: Job, at: Progress
    ) -> bool:
        """Wait for the work, and put down how far it is; False where the job was erased meanwhile."""
        saved = 0.0
        while True:
            await asyncio.wait({work}, timeout=LOOK_EVERY_S)
            if work.done():
                return True
            if at.share == saved:
                if await self.find(job.id) is None:
                    return False
                continue
            saved = at.share
            if not await _to_its_end(self._spool.save, replace(job, step=at.step, share=at.share)):
                return False

    async def _fail(self, job: Job, fault: Fault, over: Callable[[Job, AnalysisResult | None], None]) -> None:
        failed = replace(job, state=State.FAILED, finished_at=self._clock(), fault=fault)
        if await asyncio.to_thread(self._spool.finish, failed):
            _log.warning("analysis_failed", id=job.id, code=fault.code)
            over(failed, None)

    async def _analysed(self, job: Job, at: Progress) -> tuple[AnalysisResult, list[Pictures]]:
        self.check()
        setting = self.setting
        limit_s = setting.config.time_limit.seconds
        try:
            async with asyncio.timeout(limit_s):
                folder = await asyncio.to_thread(self._spool.work_folder, job)
                return await analysed(job, self._spool.upload(job), folder, setting, self._inquiries, at)
        except TimeoutError:
            raise AnalysisLimitError(f"more than the {limit_s:g} s that an analysis may take") from None

    async def _check_room(self, size: int) -> None:
        config = self.setting.config
        waiting, kept = await asyncio.to_thread(self._spool.count)
        if waiting >= config.queue:
            raise AnalysesBusyError(f"{config.queue} analyses wait already; try again")
        if kept >= config.keep:
            raise AnalysesBusyError(f"{config.keep} analyses are kept already; erase some")
        if await asyncio.to_thread(self._spool.room) < size + SPARE_DISK:
            raise AnalysesBusyError("the disk has no room for it")

    async def _sweep(self) -> None:
        """Erase what was kept for long enough."""
        now = self._clock()
        before = now - self.setting.config.retention.seconds
        for job in await self.jobs():
            if job.is_over and (job.finished_at or 0.0) < before:
                await self.erase(job)
        await asyncio.to_thread(self._spool.sweep, now)

    def _assets(self) -> Iterator[str]:
        for index in sorted((self.setting.assets or Path()).glob(f"*/{FILE}")):
            with suppress(OSError, msgspec.MsgspecError):
                yield msgspec.json.decode(index.read_bytes(), type=_Named).asset


async def _to_its_end(act: Callable[[Job], bool], job: Job) -> bool:
    """Put something down. Whoever is cancelled meanwhile goes on when it is: nothing may be written after that."""
    writing = asyncio.ensure_future(asyncio.to_thread(act, job))
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait({writing})
        raise


@cache
def _missing() -> str:
    return ", ".join(name for name in EXTRA if find_spec(name) is None)
