"""What comes to a node while it takes over a new configuration."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from policies.model import Change
from policies.text import read_change
from relay.published.refresh import Refresher
from tests.control.desk import Desk, desk_secrets, open_desk
from tests.control.studio import Studio, open_studio

SCENES = [{"label": "main", "start": "00:00:00", "drm_level": "L1"}]


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with open_studio() as made:
        yield made


@pytest.fixture
async def desk(studio: Studio) -> AsyncIterator[Desk]:
    async with open_desk(streams={name: studio.stream(name) for name in ("dated", "numbered")}) as made:
        yield made


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_ordered_during_a_reload_holds_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A reload waits for key sets and status lists; what streams are told meanwhile must not be lost."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def start(_: Refresher) -> None:
        begun.set()
        await goes_on.wait()
        if fails:
            raise OSError

    monkeypatch.setattr(Refresher, "start", start)
    reload = asyncio.ensure_future(desk.node.reload(desk.node.config, desk_secrets()))
    await begun.wait()
    body = {"stream_id": "dated", "scenes": SCENES}
    status, _, _ = await desk.call("PUT", "/api/v1/drm/protection-policy", body)
    assert status == 200
    assert desk.node.stream("dated").plan.has_scenes
    goes_on.set()
    await asyncio.gather(reload, return_exceptions=True)
    assert desk.node.stream("dated").plan.has_scenes


async def test_a_change_of_one_stream_builds_and_reads_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading everything again for each would stop a large deployment's viewers for a second."""
    body = {"stream_id": "dated", "scenes": SCENES}
    path = "/api/v1/drm/protection-policy"
    assert (await desk.call("PUT", path, body))[0] == 200
    first, read = desk.node.stream("dated"), []

    def note(name: str, order: int, text: bytes) -> Change:
        read.append(name)
        return read_change(name, order, text)

    monkeypatch.setattr("relay.plans.read_change", note)
    assert (await desk.call("PUT", path, {**body, "stream_id": "numbered"}))[0] == 200
    (placed,) = desk.node.stream("numbered").plan.changes
    assert read == [placed.id]
    assert desk.node.stream("dated") is first
