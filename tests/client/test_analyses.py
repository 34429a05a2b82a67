"""Analyses by the client: begun, followed, listed, erased."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.client import Client, ProblemError
from relay.watermark.jobs import process
from relay.watermark.jobs.job import State
from tests.control.desk import API_KEY, open_desk

VIDEO = b"\0\0\0\x20ftypisom" + bytes(1000)


@pytest.fixture
async def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of a node whose analyses never end by themselves."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-P", "-m", "tests.watermark.jobs.misbehaving", "stay"))
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "index.json").write_text('{"asset": "film"}')
    settings = {"watermark": {"analysis": {"assets": str(tmp_path)}}}
    async with open_desk(settings=settings) as desk, Client(desk.url, API_KEY, patience_s=5) as client:
        yield client


async def test_an_analysis_from_upload_to_erasure(relay: Client, tmp_path: Path) -> None:
    file = tmp_path / "leak.mp4"
    file.write_bytes(VIDEO)
    begun = await relay.analyses.begin(file, asset="film", note="seen & noted")
    assert (begun.state, begun.asset, begun.note, begun.size) == (State.QUEUED, "film", "seen & noted", len(VIDEO))
    other = await relay.analyses.begin(file)
    assert [one.id async for one in relay.analyses.all(page_size=1)] == [other.id, begun.id]
    assert (await relay.analyses.get(begun.id)).digest == begun.digest
    for ask in (relay.analyses.page, relay.analyses.report):
        with pytest.raises(ProblemError) as caught:
            await ask(begun.id)
        assert caught.value.code == "analysis_pending"
    await relay.analyses.erase(begun.id)
    assert [one.id async for one in relay.analyses.all()] == [other.id]


async def test_what_is_refused_says_why(relay: Client, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"no video")
    with pytest.raises(ProblemError) as caught:
        await relay.analyses.begin(file)
    assert (caught.value.status, caught.value.number) == (422, 2022)
    with pytest.raises(FileNotFoundError):
        await relay.analyses.begin(tmp_path / "missing")
