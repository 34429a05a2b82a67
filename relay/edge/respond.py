"""Sending: the one place where bytes go to a player, so that all of it can be conditional, ranged and cut."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from multidict import CIMultiDict

from relay.bodies import Body, Growing, Whole
from relay.conditions import matches
from relay.errors import RelayError
from relay.telemetry.metrics import FAILED

SLICE = 128 * 1024
"""Bytes handed to the socket at a time: what a cut leaves unsent is dropped, not flushed."""

MEDIA = {"Cache-Control": "private, max-age=600"}
FRESH = {"Cache-Control": "private, no-cache"}
SECRET = {"Cache-Control": "no-store"}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler wants sent: a body and headers beside those the body brings."""

    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)


async def send(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Send an answer, honouring HEAD, If-None-Match and Range (RFC 9110 §13.1.2, §14.2)."""
    body = answer.body
    if isinstance(body, Growing):
        return await _send_growing(request, body, answer.headers)
    return await _send_whole(request, body, answer.headers)


async def _send_whole(request: web.Request, body: Whole, extra: Mapping[str, str]) -> web.StreamResponse:
    headers = CIMultiDict({"Accept-Ranges": "bytes", **extra})
    if body.etag:
        headers["ETag"] = body.etag
    if body.etag and matches(request.headers.get("If-None-Match", ""), body.etag):
        return web.Response(status=304, headers=headers)
    status, start, stop = 200, 0, len(body.data)
    wanted = _range(request, body)
    if wanted == _UNSATISFIABLE:
        headers["Content-Range"] = f"bytes */{len(body.data)}"
        return web.Response(status=416, headers=headers)
    if wanted is not None:
        status, (start, stop) = 206, wanted
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body.data)}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type = body.media_type
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != "HEAD":
        view = memoryview(body.data)
        for at in range(start, stop, SLICE):
            await response.write(view[at : min(at + SLICE, stop)])
    await response.write_eof()
    return response


async def _send_growing(request: web.Request, body: Growing, extra: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers=extra)
    response.content_type = body.content_type
    await response.prepare(request)
    if request.method != "HEAD":
        try:
            async for piece in body.pieces():
                await response.write(piece)
        except RelayError as err:
            # The status has gone out: only a broken connection can still tell the player.
            FAILED.labels(err.code).inc()
            _log.warning("response_cut_short", code=err.code, detail=str(err))
            if request.transport:
                request.transport.abort()
            return response
    await response.write_eof()
    return response


_UNSATISFIABLE = (-1, -1)


def _range(request: web.Request, body: Whole) -> tuple[int, int] | None:
    condition = request.headers.get("If-Range")
    if "Range" not in request.headers or (condition and condition != body.etag):
        return None
    try:
        wanted = request.http_range
    except ValueError:
        # Several ranges or none we understand: the whole is always a right answer.
        return None
    size = len(body.data)
    start, stop, _ = wanted.indices(size)
    return (start, stop) if start < stop else _UNSATISFIABLE
