"""What every resource asks of a request: its body, its caller, how long to wait. Limits first."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from relay.api_keys import ApiKey
from relay.control.errors import BodyError, BodyTooLargeError, Flaw, MediaTypeError, RoleError
from relay.errors import RequestError
from relay.gate.targets import TargetType
from relay.operation import Header
from relay.roles import Role
from relay.sessions.revocations import Order
from relay.state.events import Action
from relay.state.replica import Wait

MAX_BODY = 64 * 1024
MAX_BATCH_BODY = 8 * 1024 * 1024
MAX_ACTOR = 128
MAX_WAIT_MS = 30_000
DEFAULT_WAIT_MS = 2_000
ACTOR = Header("X-Actor", "The name of the person who asks, for the audit log.", Annotated[str, Meta(max_length=128)])
JSON_TYPES = ("application/json", "application/octet-stream", "")
LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
T = TypeVar("T")
CALLER = web.RequestKey("caller", ApiKey)
"""The API key that a request was made with."""


class WaitQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``wait`` is what the answer waits for, for ``timeout_ms`` at most."""

    wait: Wait = Wait.LOCAL
    timeout_ms: Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)] = DEFAULT_WAIT_MS


def actor_of(request: web.Request) -> str:
    """Who says this: the API key, and the name its holder gives in ``X-Actor``. Raises :class:`RequestError`."""
    name = request.headers.get(ACTOR.name, "")
    if len(name) > MAX_ACTOR or not name.isprintable():
        raise RequestError(f"{ACTOR.name}: at most {MAX_ACTOR} printable characters")
    return ":".join(filter(None, ("api", request[CALLER].name, name)))


def check_targets(request: web.Request, orders: Iterable[Order]) -> None:
    """Raise :class:`RoleError` for orders that the caller's role may not give, though it may give some."""
    if request[CALLER].role is not Role.WATERMARK_VENDOR:
        return
    if any(order.target.type is not TargetType.WATERMARK or order.action is not Action.REVOKE for order in orders):
        raise RoleError("this API key may only revoke watermarks")


async def read_batch(request: web.Request) -> bytes:
    """A large body. Raises :class:`BodyTooLargeError`."""
    if (request.content_length or 0) > MAX_BATCH_BODY:
        raise BodyTooLargeError(f"more than {MAX_BATCH_BODY} bytes; send the items in several calls")
    # The application's own limit is that of all other routes.
    return await request.clone(client_max_size=MAX_BATCH_BODY).read()


def lines_or_json(request: web.Request) -> bool:
    """Whether the body is one JSON value a line, not one in all. Raises :class:`MediaTypeError`."""
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind in LINES_TYPES:
        return True
    if kind in JSON_TYPES or kind.endswith("+json"):
        return False
    raise MediaTypeError("send application/json or application/x-ndjson")


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A JSON body. Raises :class:`BodyError`, with a pointer to what is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as err:
        # Of what is in a mapping msgspec names no key, so that is pointed at as a whole.
        what, _, where = str(err).replace("`key` in ", "").partition(" - at `$")
        pointer = where.partition("[...]")[0].rstrip("`").replace("[", ".").replace("]", "").replace(".", "/")
        raise BodyError([Flaw(pointer, what)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise BodyError([Flaw("", f"not JSON: {err}")]) from None


def read_query(request: web.Request, kind: type[T]) -> T:
    """The parameters of the query, as a Struct has them. Raises :class:`RequestError`."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$")
        raise RequestError(f"{where.strip('.`') or 'query'}: {what}") from None


def json_answer(value: object, status: int = 200, **headers: str) -> web.Response:
    """A JSON answer, never stored by anyone on the way."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )


async def breathe() -> None:
    """Let the event loop turn in the middle of long work."""
    await asyncio.sleep(0)
