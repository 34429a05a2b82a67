"""An origin whose third audio segment is still being made: fragments trickle for as long as anyone reads."""

import asyncio
import contextlib

from aiohttp import web

from tests.edge.world import VECTORS

ENDLESS = "a_3.m4s"


def create_slow_origin(pause_s: float = 0.5, fragments: int = 200) -> web.Application:
    """The clear test vectors, with :data:`ENDLESS` sent as ``fragments`` chunks, one every ``pause_s``.

    They are there once more in a folder for every number from 0 to 99: channels whose fragments come at other times.
    """

    async def serve(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name != ENDLESS:
            path = VECTORS / "clear" / name
            return web.FileResponse(path) if path.is_file() else web.Response(status=404)
        fragment = (VECTORS / "clear" / "a_1.m4s").read_bytes()
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            await response.write(fragment)
            await asyncio.sleep(pause_s * int(request.match_info.get("channel", 0)) * 0.05 % pause_s)
            for _ in range(fragments - 1):
                await response.write(fragment)
                await asyncio.sleep(pause_s)
        return response

    app = web.Application()
    app.router.add_get("/{name}", serve)
    app.router.add_get("/{channel:[0-9]{1,2}}/{name}", serve)
    return app
