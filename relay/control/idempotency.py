"""The same call twice is one call: ``Idempotency-Key``, remembered for a day by the node that took it."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b

import msgspec
from aiohttp import web
from msgspec import Struct

from relay.control.errors import IdempotencyConflictError
from relay.control.notes import NOTES, Notes
from relay.control.preconditions import tag_of
from relay.control.requests import CALLER
from relay.errors import RequestError
from relay.operation import IDEMPOTENCY_KEY

HEADER = IDEMPOTENCY_KEY.name
MAX_KEY = 128
IN_PLACE = 64 * 1024
"""Bytes hashed without another thread: a tenth of a millisecond."""


class Reply(Struct, frozen=True, array_like=True):
    """An answer as it can be given again. ``body`` is JSON, empty for none; the others are headers, if not empty."""

    status: int
    body: bytes = b""
    location: str = ""
    tag: str = ""

    @classmethod
    def json(cls, value: object, status: int = 200, location: str = "", tag: str = "") -> "Reply":
        """An answer that says ``value``."""
        return cls(status, msgspec.json.encode(value), location, tag)

    @classmethod
    def resource(cls, value: object, status: int = 200, location: str = "") -> "Reply":
        """An answer that says what a resource is now, with its entity tag."""
        return cls(status, msgspec.json.encode(value), location, tag_of(value))

    def response(self, repeated: bool = False) -> web.Response:
        """The HTTP response."""
        headers = {"Cache-Control": "no-store"}
        if self.location:
            headers["Location"] = self.location
        if self.tag:
            headers["ETag"] = self.tag
        if repeated:
            headers["Idempotency-Replayed"] = "true"
        return web.Response(
            status=self.status,
            body=self.body or None,
            content_type="application/json" if self.body else None,
            headers=headers,
        )


Running = dict[str, tuple[bytes, "asyncio.Task[tuple[Reply, bool]]"]]
RUNNING = web.AppKey("running", Running)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


async def once(
    request: web.Request,
    body: bytes,
    act: Callable[[], Awaitable[Reply]],
    required: bool = False,
    media_type: str | None = None,
) -> web.Response:
    """Do what a call asks, unless it was done before. What fails was not done, and may be tried again.

    ``body`` and ``media_type`` tell it from other calls; left out, the media type is that of the request. Goes on to
    the end even if the caller hangs up. Raises :class:`RequestError` where the key is required and missing,
    :class:`IdempotencyConflictError` where it was another call's.
    """
    key = request.headers.get(HEADER)
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise RequestError(f"{HEADER}: 1 to {MAX_KEY} printable ASCII characters")
    if key is None:
        if required:
            raise RequestError(f"{HEADER}: required; make a new one for each call, and send it again with a repetition")
        return (await asyncio.shield(asyncio.ensure_future(act()))).response()
    # Each caller has keys of its own; the line break is in none that could be sent.
    if request[CALLER].key.name:
        key = f"{request[CALLER].key.name}\n{key}"
    kind = request.headers.get("Content-Type", "") if media_type is None else media_type
    digest = await _digest_of(request, kind, body)
    running = request.app[RUNNING]
    if key in running:
        before, task = running[key]
        if before != digest:
            raise IdempotencyConflictError("this Idempotency-Key belongs to another call, which is not done yet")
        reply, _ = await asyncio.shield(task)
        return reply.response(repeated=True)
    # Between here and its end the call is found above, so two that come together do it once.
    task = asyncio.ensure_future(_unless_known(request.app[NOTES], key, digest, act))
    running[key] = digest, task
    task.add_done_callback(lambda _: running.pop(key))
    reply, repeated = await asyncio.shield(task)
    return reply.response(repeated)


async def _unless_known(
    notes: Notes, key: str, digest: bytes, act: Callable[[], Awaitable[Reply]]
) -> tuple[Reply, bool]:
    known = await notes.answer(key, digest)
    if known is not None:
        return _replies.decode(known), True
    reply = await act()
    notes.keep(key, digest, msgspec.msgpack.encode(reply))
    return reply, False


async def _digest_of(request: web.Request, media_type: str, body: bytes) -> bytes:
    what = f"{request.method} {request.path_qs} {media_type}\n".encode()
    if len(body) < IN_PLACE:
        return _digest(what, body)
    return await asyncio.to_thread(_digest, what, body)


def _digest(what: bytes, body: bytes) -> bytes:
    digest = blake2b(what, digest_size=16)
    digest.update(body)
    return digest.digest()
