"""A relay that is stopped and started again: sessions, revocations and players go on."""

import json
import time
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest
from playwright.sync_api import Browser

from relay.demo.clip import Clip
from relay.demo.origin import create_origin
from relay.demo.page import create_page
from tests.e2e.browser import open_page
from tests.e2e.demo_page import cross, play
from tests.e2e.local import CONSOLE, NODE_MODULES, Server, configure
from tests.relay_process import RelayProcess, relay_process

ROTATION = '{ interval = "10s", pre_delivery = "4s", salt = true }'


async def revoke(relay: RelayProcess, session_id: str) -> None:
    headers = {"Authorization": f"Bearer {relay.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{relay.control}/api/v1/drm/revoke", json={"session_id": session_id}) as answer,
    ):
        assert answer.status == 200


async def test_sessions_keys_and_revocations_survive_a_restart(clip: Clip, server: Server, tmp_path: Path) -> None:
    configure(tmp_path, server.start(create_origin(clip, time.time)), ROTATION)
    async with aiohttp.ClientSession() as client:

        async def get(url: str) -> tuple[int, bytes, str]:
            async with client.get(url) as answer:
                return answer.status, await answer.read(), str(answer.url)

        with relay_process(tmp_path) as relay:
            _, _, kept = await get(f"{relay.edge}/watch/demo/index.m3u8?token={relay.token(sid='kept')}")
            _, _, gone = await get(f"{relay.edge}/watch/demo/index.m3u8?token={relay.token(sid='gone')}")
            _, before, _ = await get(urljoin(kept, "keys"))
            await revoke(relay, "gone")
            relay.restart()
            # A licence may be the first thing a player asks of the new process.
            status, after, _ = await get(urljoin(kept, "keys"))
            assert status == 200
            shared = keys_of(before) & keys_of(after)
            # A salted key that changed would show as a key ID that two different keys have.
            assert {kid for kid, _ in keys_of(before)} & {kid for kid, _ in keys_of(after)} == {
                kid for kid, _ in shared
            }
            assert len(shared) > len(keys_of(before)) / 2
            assert (await get(kept))[0] == 200
            assert (await get(gone))[0] == 403


def keys_of(body: bytes) -> set[tuple[str, str]]:
    """Pairs of key ID and key in a key answer."""
    return {(key["kid"], key["k"]) for key in json.loads(body)["keys"]}


@pytest.mark.parametrize(("player", "form"), [("shaka", "dash"), ("hls", "hls"), ("dash", "dash")])
def test_players_go_on_over_a_restart(
    browser: Browser, clip: Clip, server: Server, tmp_path: Path, player: str, form: str
) -> None:
    configure(tmp_path, server.start(create_origin(clip, time.time)), ROTATION)
    with relay_process(tmp_path) as relay:
        token = relay.token()
        session = {
            "hls": f"{relay.edge}/watch/demo/index.m3u8?token={token}",
            "dash": f"{relay.edge}/watch/demo/index.mpd?token={token}",
            "hls_aes128": f"{relay.edge}/watch/demo/index.m3u8?scheme=aes-128&token={token}",
            "session_id": "session",
            "account_id": "account",
            "stream_id": "demo",
            "rotation_ms": 10_000,
        }

        async def new_session() -> dict[str, object]:
            return dict(session)

        async def no_revoke(_: str) -> None:
            raise AssertionError("nobody presses the button here")

        page_url = server.start(create_page(CONSOLE, NODE_MODULES, new_session, no_revoke))
        with open_page(browser) as page:
            play(page, page_url + "/", player, form)
            cross(page, 1)
            relay.restart()
            # What the player asked for meanwhile failed, and it must have tried again.
            state = cross(page, 2)
            assert (state["error"], state["state"]) == (None, "playing"), state["failures"]
