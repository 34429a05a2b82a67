"""What comes to a node while it takes over a new configuration."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.refresh import Refresher
from tests.control.desk import Desk, desk_secrets, open_desk
from tests.control.studio import Studio, open_studio

SCENES = [{"label": "main", "start": "00:00:00", "drm_level": "L1"}]


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with open_studio() as made:
        yield made


@pytest.fixture
async def desk(studio: Studio) -> AsyncIterator[Desk]:
    async with open_desk(streams={"dated": studio.stream("dated")}) as made:
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
