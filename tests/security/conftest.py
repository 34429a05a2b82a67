"""One relay process before an origin of test vectors, for every hostile request of this folder."""

from collections.abc import Iterator

import pytest
from aiohttp import web

from tests.e2e.local import Server
from tests.edge.world import VECTORS
from tests.relay_process import relay_process, write_configuration
from tests.security.target import HEAD_TIMEOUT_S, Target


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The relay under attack."""
    fetched: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        fetched.append(request.raw_path)
        path = VECTORS / "clear" / request.match_info["name"]
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    origin = web.Application()
    origin.router.add_get("/clear/{name}", answer)
    origin.router.add_get("/{rest:.*}", answer)
    server = Server()
    folder = tmp_path_factory.mktemp("relay")
    base = server.start(origin)
    write_configuration(folder, {"vod": {"origin": f'"{base}/clear/"', "hls": '"master.m3u8"'}})
    file = folder / "relay.toml"
    file.write_text(file.read_text().replace("edge = { ", f'edge = {{ head_timeout = "{HEAD_TIMEOUT_S}s", '))
    with relay_process(folder) as relay:
        yield Target(relay, fetched)
    server.stop()
