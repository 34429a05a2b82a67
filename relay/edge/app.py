"""The player-facing listener: its routes, CORS and limits."""

from aiohttp import web

from relay.edge.channel import get_events, get_keys
from relay.edge.entry import enter
from relay.edge.licence import LICENCE_PATH, post_licence
from relay.edge.resources import get_resource
from relay.node import NODE, Node
from relay.problems import REASON_HEADER, SHOW_REASON, problems

_PASS = "/p/{pass}/{stream}/{cls}"
_TOKEN = "/t/{stream}/{cls}"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range, If-None-Match, Last-Event-ID, Cache-Control",
    "Access-Control-Max-Age": "86400",
}
_EXPOSED = f"{REASON_HEADER}, Retry-After, Content-Length, Content-Range, ETag, Date"


def create_edge(node: Node) -> web.Application:
    """The application that players talk to."""
    app = web.Application(middlewares=[problems], client_max_size=node.config.edge.max_challenge)
    app[NODE] = node
    app[SHOW_REASON] = node.config.edge.show_reason
    app.on_response_prepare.append(_add_cors)
    app.router.add_get("/watch/{stream}/{index}", enter)
    for prefix in (_PASS, _TOKEN):
        app.router.add_get(prefix + "/events", get_events, allow_head=False)
        app.router.add_get(prefix + "/keys", get_keys)
        app.router.add_get(prefix + "/{rest:.+}", get_resource)
    app.router.add_post(LICENCE_PATH, post_licence)
    app.router.add_route("OPTIONS", "/{any:.*}", _preflight)
    return app


async def _preflight(_: web.Request) -> web.Response:
    # Asks for no token: browsers send none with a preflight.
    return web.Response(status=204, headers=_PREFLIGHT)


async def _add_cors(request: web.Request, response: web.StreamResponse) -> None:
    # On every answer: without them an error reaches the player as status 0, which it retries for ever.
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    response.headers["Timing-Allow-Origin"] = "*"
    origin = request.headers.get("Origin")
    if origin and "Cookie" in request.headers:
        # A credentialed answer must name the origin (Fetch standard, CORS protocol).
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Vary"] = "Origin"
    else:
        response.headers["Access-Control-Allow-Origin"] = "*"
