"""A process of an analysis, as the relay's event loop sees it: an order in, progress on the way, an answer or an error.

Whatever it does to itself costs the analysis and nothing else: it is bounded in memory, processor time, files and
time, and killed when it is no longer wanted.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from relay.codes import CODES
from relay.watermark.jobs.errors import AnalysisFailedError, AnalysisLimitError
from relay.watermark.jobs.job import Fault
from relay.watermark.jobs.messages import (
    LENGTH_BYTES,
    MAX_MESSAGE,
    Accuse,
    AskKey,
    Failed,
    FromProcess,
    HasAccused,
    HasRead,
    Key,
    Progress,
    Read,
    framed,
    from_process,
)

COMMAND: tuple[str, ...] = (sys.executable, "-P", "-m", "relay.watermark.jobs.child")
_LOGGED = 2000
MAX_DETAIL = 500
_log = structlog.get_logger()


class AnalysisFaultError(Exception):
    """The process says what is wrong, as a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.detail}")
        self.fault = fault


async def perform(
    order: Read | Accuse,
    folder: Path,
    key_of: Callable[[str, str], bytes | None],
    progress: Callable[[str, float], None],
) -> HasRead | HasAccused:
    """Have an order done by a process with ``folder`` for its files; ``key_of`` gives the chip keys that it asks for.

    Raises :class:`AnalysisFaultError`, :class:`AnalysisLimitError`, :class:`AnalysisFailedError`.
    """
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=_environment(folder),
        # A terminal's Ctrl-C is the relay's to hear.
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    printed = asyncio.ensure_future(_tail(process.stderr))
    try:
        process.stdin.write(framed(order))
        answer = await _talk(process.stdin, process.stdout, key_of, progress)
        if answer is None:
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        tail = await printed
        process.stdin.close()
    if isinstance(answer, HasRead | HasAccused):
        return answer
    if answer is not None and answer.code in CODES and answer.code != AnalysisFailedError.code:
        raise AnalysisFaultError(Fault(answer.code, answer.detail[:MAX_DETAIL]))
    _log.warning("analysis_process_failed", status=process.returncode, printed=tail)
    if answer is None:
        raise _ended(process.returncode or 0, order)
    raise AnalysisFailedError("what analyses failed in a way that it should not")


async def _talk(
    to: asyncio.StreamWriter,
    heard: asyncio.StreamReader,
    key_of: Callable[[str, str], bytes | None],
    progress: Callable[[str, float], None],
) -> HasRead | HasAccused | Failed | None:
    """What it answers; None where it ends without a word."""
    while (message := await _next(heard)) is not None:
        match message:
            case Progress():
                progress(message.step, message.share)
            case AskKey():
                to.write(framed(Key(await asyncio.to_thread(key_of, message.asset, message.check))))
            case _:
                return message
    return None


async def _next(heard: asyncio.StreamReader) -> FromProcess | None:
    try:
        length = int.from_bytes(await heard.readexactly(LENGTH_BYTES))
        if length > MAX_MESSAGE:
            raise AnalysisFailedError("what analyses says more than it may")
        return from_process.decode(await heard.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    except msgspec.MsgspecError:
        # An upload may have taken over what reads it; it still says nothing but what a reading may be.
        raise AnalysisFailedError("what analyses says what makes no sense") from None


async def _tail(printed: asyncio.StreamReader) -> str:
    """The end of what it prints."""
    tail = b""
    while piece := await printed.read(_LOGGED):
        tail = (tail + piece)[-_LOGGED:]
    return tail.decode("utf-8", "replace")


def _ended(status: int, order: Read | Accuse) -> AnalysisLimitError | AnalysisFailedError:
    memory = f"the {order.limits.memory >> 20} MiB of memory that an analysis may take"
    match -status:
        case signal.SIGXCPU:
            return AnalysisLimitError(
                f"more than the {order.limits.cpu_s} s of processor time that an analysis may take"
            )
        case signal.SIGXFSZ:
            return AnalysisLimitError(
                f"more than the {order.limits.file >> 20} MiB that a file of an analysis may take"
            )
        case signal.SIGKILL:
            return AnalysisLimitError(f"the system ended it, as a rule for want of memory; it may take {memory}")
        case signal.SIGABRT:
            return AnalysisLimitError(f"it gave up, as a rule for want of memory; it may take {memory}")
        case number if number > 0:
            return AnalysisFailedError(f"what reads the upload crashed ({signal.Signals(number).name})")
    return AnalysisFailedError(f"what analyses ended without a word (exit code {status})")


def _environment(folder: Path) -> dict[str, str]:
    """No more than it needs: none of the relay's own may reach what reads an upload."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder),
        # Threads cost address space, and it has one core.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
