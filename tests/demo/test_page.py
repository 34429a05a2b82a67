from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import relay
from relay.demo.page import create_page
from relay.errors import RelayError

Client = TestClient[web.Request, web.Application]
CONSOLE = Path(relay.__file__).parent / "console"


class Platform:
    """Stands behind the page's two calls."""

    def __init__(self) -> None:
        self.revoked: list[str] = []
        self.broken = False

    async def session(self) -> dict[str, object]:
        return {"session_id": "s1", "hls": "http://relay/watch"}

    async def revoke(self, session_id: str) -> None:
        if self.broken:
            raise RelayError("the control API is gone")
        self.revoked.append(session_id)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def page(platform: Platform, tmp_path: Path) -> AsyncIterator[Client]:
    async with TestClient(TestServer(create_page(CONSOLE, tmp_path, platform.session, platform.revoke))) as client:
        yield client


async def test_a_session_is_never_cached(page: Client) -> None:
    answer = await page.get("/demo/session")
    assert await answer.json() == {"session_id": "s1", "hls": "http://relay/watch"}
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_button_revokes_the_session_it_names(page: Client, platform: Platform) -> None:
    answer = await page.post("/demo/revoke", json={"session_id": "s1"})
    body = await answer.json()
    assert body["ok"] is True
    assert body["ms"] >= 0
    assert platform.revoked == ["s1"]


async def test_a_failed_revocation_is_told(page: Client, platform: Platform) -> None:
    platform.broken = True
    answer = await page.post("/demo/revoke", json={"session_id": "s1"})
    assert (answer.status, await answer.json()) == (502, {"ok": False, "error": "the control API is gone"})


async def test_no_form_of_another_site_can_press_the_button(page: Client, platform: Platform) -> None:
    answer = await page.post("/demo/revoke", data='{"session_id": "s1"}', headers={"Content-Type": "text/plain"})
    assert answer.status == 415
    assert platform.revoked == []


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", "1"])
async def test_a_bad_body_is_refused(page: Client, platform: Platform, body: str) -> None:
    answer = await page.post("/demo/revoke", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert platform.revoked == []


async def test_everything_the_page_refers_to_is_served(page: Client) -> None:
    for path in sorted(path for path in CONSOLE.iterdir() if path.is_file()):
        answer = await page.get("/" if path.name == "demo.html" else f"/{path.name}")
        assert answer.status == 200, path.name
        assert await answer.read() == path.read_bytes()
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


async def test_players_that_are_not_installed_are_not_found(page: Client, tmp_path: Path) -> None:
    assert (await page.get("/players/hls.js")).status == 404
    installed = tmp_path / "hls.js" / "dist" / "hls.min.js"
    installed.parent.mkdir(parents=True)
    installed.write_text("player")
    assert await (await page.get("/players/hls.js")).text() == "player"
    assert (await page.get("/players/../hls.js/dist/hls.min.js")).status == 404
