"""The API about itself: its OpenAPI document, and a page to read it on. They hold no secret and ask for no key."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from aiohttp import web

from relay.control.openapi import document
from relay.control.preconditions import IF_NONE_MATCH, tagged_answer
from relay.operation import Media, Operation
from relay.roles import EVERYONE

_PAGE = Path(__file__).parent.parent / "console" / "api"
_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript", "css": "text/css"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'",
    "X-Content-Type-Options": "nosniff",
}
DOCUMENT = web.AppKey("document", msgspec.Raw)


def described(control: Sequence[Operation], edge: Sequence[Operation]) -> bytes:
    """The OpenAPI document as it is published, indented."""
    return msgspec.json.format(msgspec.json.encode(document(control, edge))) + b"\n"


async def get_openapi(request: web.Request) -> web.Response:
    """The OpenAPI document of this API."""
    return tagged_answer(request, request.app[DOCUMENT])


async def get_docs(_: web.Request) -> web.FileResponse:
    """The API as a page to read."""
    return _file("page.html")


async def get_docs_part(request: web.Request) -> web.FileResponse:
    """What that page is made with."""
    return _file(request.match_info["file"])


def _file(name: str) -> web.FileResponse:
    return web.FileResponse(_PAGE / name, headers=_HEADERS | {"Content-Type": _TYPES[name.rpartition(".")[2]]})


_row = partial(Operation, method="GET", tag="Reference", roles=EVERYONE)
OPERATIONS = (
    _row(
        path="/api/openapi.json",
        handler=get_openapi,
        headers=(IF_NONE_MATCH,),
        answers={200: dict[str, msgspec.Raw], 304: None},
    ),
    _row(path="/api/docs", handler=get_docs, answers={200: Media.of("text/html")}),
    _row(
        path="/api/docs/{file:page.js|page.css}",
        handler=get_docs_part,
        answers={200: Media.of("text/javascript", "text/css")},
    ),
)
