"""The player-facing listener: its routes, CORS and limits."""

from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.edge.admission import TOKEN_IN_PATH
from relay.edge.channel import add_channels, get_events, get_keys
from relay.edge.cors import ANYBODY, READABLE, credentialed
from relay.edge.entry import TERMINATE_HEADER, enter
from relay.edge.licence import OPERATIONS
from relay.edge.possession import add_nonce
from relay.edge.resources import get_resource
from relay.issuing import names_of
from relay.node import NODE, Node
from relay.operation import add_operations
from relay.problems import SHOW_REASON, problems
from relay.watermark.etsi.carriers import PATH_PREFIX

_CONSOLE = Path(__file__).parent.parent / "console"
_SDK = ("segmentgate.js", "sdk-players.js")
_PASS = "/p/{pass}/{stream}/{cls}"
_TOKEN = "/t/{stream}/{cls}"
_PREFLIGHT = {"Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS", "Access-Control-Max-Age": "86400"}
_ALLOWED = (
    "Authorization",
    "Content-Type",
    "Range",
    "If-None-Match",
    "Last-Event-ID",
    "Cache-Control",
    "DPoP",
    TERMINATE_HEADER,
)


def create_edge(node: Node) -> web.Application:
    """The application that players talk to."""
    app = web.Application(middlewares=[_preflight, problems], client_max_size=node.config.edge.max_challenge)
    app[NODE] = node
    app[SHOW_REASON] = node.config.edge.show_reason
    app.on_response_prepare.append(_add_cors)
    app.on_response_prepare.append(add_nonce)
    # A watermark token may stand before everything else; whatever is named relative to such a URL keeps it.
    for before in ("", f"/{{watermark_token:{PATH_PREFIX}[^/]+}}"):
        app.router.add_get(before + "/watch/{stream}/{index}", enter)
        app.router.add_get(f"{before}/watch/{{{TOKEN_IN_PATH}}}/{{stream}}/{{index}}", enter)
        for prefix in (before + _PASS, before + _TOKEN):
            app.router.add_get(prefix + "/events", get_events, allow_head=False)
            app.router.add_get(prefix + "/keys", get_keys)
            app.router.add_get(prefix + "/{rest:.+}", get_resource)
    add_operations(app, OPERATIONS)
    for name in _SDK:
        app.router.add_get(f"/sdk/{name}", partial(_get_sdk, _CONSOLE / name))
    add_channels(app)
    return app


@web.middleware
async def _preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    # Asks for no token: browsers send none with a preflight.
    if request.method == "OPTIONS":
        named = [name for issuer in request.app[NODE].config.tokens.issuers for name in names_of(issuer).header]
        allowed = ", ".join(dict.fromkeys([*_ALLOWED, *named]))
        return web.Response(status=204, headers={**_PREFLIGHT, "Access-Control-Allow-Headers": allowed})
    return await handler(request)


async def _get_sdk(path: Path, _: web.Request) -> web.FileResponse:
    return web.FileResponse(path, headers={"Cache-Control": "public, max-age=300"})


async def _add_cors(request: web.Request, response: web.StreamResponse) -> None:
    # On every answer: without them an error reaches the player as status 0, which it retries for ever.
    origin = request.headers.get("Origin")
    trusted = origin and origin in request.app[NODE].config.edge.credentialed_origins
    response.headers.update({**READABLE, **(credentialed(origin) if origin and trusted else ANYBODY)})
