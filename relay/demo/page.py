"""The demo's web page and the two calls behind its buttons. It never hands out the API key."""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from relay.errors import RelayError

SessionSource = Callable[[], Awaitable[Mapping[str, object]]]
"""Makes a fresh session: entry URLs ``hls``, ``dash``, ``hls_aes128``, and the ids ``session_id``, ``account_id``,
``stream_id``; ``watermark_id`` if the stream is watermarked, ``rotation_ms`` if the page shall count down at once."""

Revoke = Callable[[str], Awaitable[None]]
"""Revokes the session of that id; returns when the relay has acknowledged."""

_PAGE = {"/": "demo.html"} | {
    f"/{name}": name
    for name in (
        "demo.css",
        "demo.js",
        "periods.js",
        "picture.js",
        "players.js",
        "sdk-players.js",
        "segmentgate.js",
        "traffic.js",
    )
}
_PLAYERS = {
    "/players/shaka.js": "shaka-player/dist/shaka-player.compiled.js",
    "/players/hls.js": "hls.js/dist/hls.min.js",
    "/players/dash.js": "dashjs/dist/modern/umd/dash.all.min.js",
}
_POLICY = (
    "default-src 'self'; connect-src * data:; media-src * blob:; worker-src 'self' blob:; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The relay is another origin, the players run workers from blobs and style their video element."""


def create_page(
    console_dir: Path, node_modules: Path, session_source: SessionSource, revoke: Revoke
) -> web.Application:
    """The page at ``/``, its files, ``GET /demo/session`` and ``POST /demo/revoke`` ``{"session_id": …}``."""
    app = web.Application()
    for path, name in _PAGE.items():
        app.router.add_get(path, _file(console_dir / name))
    for path, name in _PLAYERS.items():
        app.router.add_get(path, _file(node_modules / name))

    async def get_session(_: web.Request) -> web.Response:
        return web.json_response(dict(await session_source()), headers={"Cache-Control": "no-store"})

    async def post_revoke(request: web.Request) -> web.Response:
        # A content type that forms cannot send, so that no other site can press the button.
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType
        try:
            session_id = (await request.json())["session_id"]
        except (ValueError, KeyError, TypeError):
            raise web.HTTPBadRequest(text="expected {session_id}") from None
        started = time.perf_counter()
        try:
            await revoke(str(session_id))
        except RelayError as error:
            return web.json_response({"ok": False, "error": str(error)}, status=502)
        return web.json_response({"ok": True, "ms": round((time.perf_counter() - started) * 1000, 1)})

    app.router.add_get("/demo/session", get_session)
    app.router.add_post("/demo/revoke", post_revoke)
    return app


def _file(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY})

    return serve
