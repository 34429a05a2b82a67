"""A whole plan in several processes: what is still to do, cut into runs, until it is done or stopped."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event

from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.finish import finish
from relay.watermark.embed.plan import Plan, Rendition
from relay.watermark.embed.threads import take_one_thread
from relay.watermark.embed.work import make_positions, make_sound
from relay.watermark.index import AssetIndex

_LONGEST_RUN = 30
_POLL_S = 0.3
_ENDLESS = 1 << 31


class StoppedError(EmbedError):
    """The run was ended from outside; the same command goes on with it."""


def embed(plan: Plan, jobs: int, progress: Callable[[int, int | None], None] = lambda done, of: None) -> AssetIndex:
    """Make all that is still to make of a plan, and return its index.

    ``progress`` hears how many segments of how many (None: not known) are done. Raises :class:`EmbedError`; whatever
    is raised, what is done by then is kept.
    """
    plan.folder.begin(plan.identity)
    take_one_thread()
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(jobs, context, _begin, (stop, os.getpid())) as pool:
        pending: set[Future[None]] = {pool.submit(_make_sound, plan)} if not plan.folder.sound_note.exists() else set()
        pending |= {
            pool.submit(_make_run, plan, one, run)
            for one in plan.renditions
            for run in runs(set(plan.folder.done(one.name)), plan.expected, jobs)
        }
        try:
            while pending:
                finished, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
                progress(sum(plan.folder.count_done(one.name) for one in plan.renditions), _total(plan))
                for future in finished:
                    future.result()
        except BrokenProcessPool:
            raise EmbedError("a process was killed: too little memory? Try fewer --jobs.") from None
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return finish(plan)


def _total(plan: Plan) -> int | None:
    return None if plan.expected is None else plan.expected * len(plan.renditions)


def runs(done: set[int], expected: int | None, jobs: int) -> list[range]:
    """The positions that are not done, in runs for ``jobs`` processes.

    The last run has no end: containers do not always know how long they are.
    """
    known = len(done) if expected is None else expected
    longest = max(1, min(_LONGEST_RUN, -(-known // jobs)))
    left = [position for position in range(known) if position not in done]
    found: list[range] = []
    for position in left:
        if found and found[-1].stop == position and len(found[-1]) < longest:
            found[-1] = range(found[-1].start, position + 1)
        else:
            found.append(range(position, position + 1))
    if expected is None and found:
        return [range(found[0].start, _ENDLESS)]
    if found and found[-1].stop == known and len(found[-1]) < longest:
        return [*found[:-1], range(found[-1].start, _ENDLESS)]
    return [*found, range(known, _ENDLESS)]


_stopped: Callable[[], bool] = bool


def _begin(stop: Event, parent: int) -> None:
    """Set a process up: it ends behind a segment when told to, and at once when its parent is gone."""
    import cv2

    global _stopped
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stopped = stop.is_set
    threading.Thread(target=_end_without, args=(parent,), daemon=True).start()


def _end_without(parent: int) -> None:
    # A pool's process waits for work for ever, also when nobody is left to send any. Files are written at once, so
    # any moment is good for leaving.
    while os.getppid() == parent:
        time.sleep(_POLL_S)
    os._exit(1)


def _make_run(plan: Plan, rendition: Rendition, run: range) -> None:
    make_positions(plan, rendition, run, _stopped)


def _make_sound(plan: Plan) -> None:
    make_sound(plan)
