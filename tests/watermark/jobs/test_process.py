import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.watermark.jobs import process
from relay.watermark.jobs.errors import AnalysisFailedError, AnalysisLimitError
from relay.watermark.jobs.messages import Limits, Read
from relay.watermark.jobs.process import AnalysisFaultError, perform

LIMITS = Limits(memory=400 << 20, file=20 << 20, cpu_s=1)
Misbehave = Callable[[str], None]


@pytest.fixture
def misbehave(monkeypatch: pytest.MonkeyPatch) -> Misbehave:
    """Have the work of processes go wrong."""

    def how(name: str) -> None:
        command = (sys.executable, "-P", "-m", "tests.watermark.jobs.misbehaving", name)
        monkeypatch.setattr(process, "COMMAND", command)

    return how


async def run(folder: Path, progress: Callable[[str, float], None] = lambda _step, _share: None) -> object:
    order = Read(LIMITS, "upload", "assets", "", 1000, 10.0, 10.0)
    return await perform(order, folder, lambda _asset, _check: None, progress)


async def pid_in(folder: Path) -> int:
    for _ in range(500):
        if (folder / "pid").exists() and (text := (folder / "pid").read_text()):
            return int(text)
        await asyncio.sleep(0.02)
    pytest.fail("the process did not begin")


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("how", "told"), [("memory", "400 MiB of memory"), ("write", "20 MiB of one file")])
async def test_what_the_process_itself_finds_is_too_much(
    tmp_path: Path, misbehave: Misbehave, how: str, told: str
) -> None:
    misbehave(how)
    with pytest.raises(AnalysisFaultError, match=told) as caught:
        await run(tmp_path)
    assert caught.value.fault.code == AnalysisLimitError.code


@pytest.mark.parametrize(("how", "told"), [("spin", "1 s of processor time"), ("abort", "want of memory")])
async def test_what_the_system_ends_it_for(tmp_path: Path, misbehave: Misbehave, how: str, told: str) -> None:
    misbehave(how)
    with pytest.raises(AnalysisLimitError, match=told):
        await run(tmp_path)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("crash", "crashed .SIGSEGV."),
        ("leave", "exit code 3"),
        ("fail", "in a way that it should not"),
        ("babble", "exit code 0"),
        ("misframe", "more than it may"),
        ("garble", "makes no sense"),
    ],
)
async def test_what_should_not_be(tmp_path: Path, misbehave: Misbehave, how: str, told: str) -> None:
    misbehave(how)
    with pytest.raises(AnalysisFailedError, match=told):
        await run(tmp_path)


async def test_it_ends_when_it_is_not_wanted_any_more(tmp_path: Path, misbehave: Misbehave) -> None:
    misbehave("stay")
    told: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    work = asyncio.ensure_future(run(tmp_path, lambda step, share: told.put_nowait((step, share))))
    pid = await pid_in(tmp_path)
    assert await told.get() == ("align", 0.5)
    assert is_there(pid)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not is_there(pid)


async def test_it_ends_with_the_relay(tmp_path: Path) -> None:
    """Killed, as a power cut would kill it: nobody tells the process."""
    relay = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.watermark.jobs.relaying", str(tmp_path))
    pid = await pid_in(tmp_path)
    relay.kill()
    await relay.wait()
    for _ in range(100):
        if not is_there(pid):
            return
        await asyncio.sleep(0.05)
    pytest.fail("it outlived its relay")


async def test_it_is_given_nothing_of_the_relays_environment(
    tmp_path: Path, misbehave: Misbehave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENTGATE_SECRET", "x")
    misbehave("stay")
    work = asyncio.ensure_future(run(tmp_path))
    pid = await pid_in(tmp_path)
    about = Path("/proc") / str(pid)
    environment, limits = (about / "environ").read_bytes(), (about / "limits").read_text()
    niceness = os.getpriority(os.PRIO_PROCESS, pid)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert b"SECRET" not in environment
    assert f"TMPDIR={tmp_path}".encode() in environment
    assert ["address", "space", str(LIMITS.memory)] in [line.split()[1:4] for line in limits.splitlines()]
    assert niceness >= 10
