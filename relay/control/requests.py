"""What every resource asks of a request: its body, its caller, how long to wait. Limits first."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import EnumType
from typing import Annotated, TypeVar, get_args

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
S = TypeVar("S", bound=Struct)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the API key, and the name that its holder gives."""

    key: ApiKey
    name: str

    @classmethod
    def of(cls, key: ApiKey, request: web.Request) -> "Caller":
        """The holder of a key. Raises :class:`RequestError` for a name that no log should hold."""
        name = request.headers.get(ACTOR.name, "")
        if len(name) > MAX_ACTOR or not name.isprintable():
            raise RequestError(f"{ACTOR.name}: at most {MAX_ACTOR} printable characters")
        return cls(key, name)


CALLER = web.RequestKey("caller", Caller)
"""Who makes a request that needs an API key."""


class WaitQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``wait`` is what the answer waits for, for ``timeout_ms`` at most."""

    wait: Wait = Wait.LOCAL
    timeout_ms: Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)] = DEFAULT_WAIT_MS


def actor_of(request: web.Request) -> str:
    """Who says this, for the log: the API key, and the name its holder gives in ``X-Actor``."""
    caller = request[CALLER]
    return ":".join(filter(None, ("api", caller.key.name, caller.name)))


def check_targets(request: web.Request, orders: Iterable[Order]) -> None:
    """Raise :class:`RoleError` for orders that the caller's role may not give, though it may give some."""
    if request[CALLER].key.role is not Role.WATERMARK_VENDOR:
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


def read_query(request: web.Request, kind: type[S]) -> S:
    """The parameters of the query, as a Struct has them. Raises :class:`RequestError`.

    It repeats nothing of the query: there may be a token where none belongs.
    """
    known = kind.__struct_encode_fields__
    if request.query.keys() - set(known):
        raise RequestError(f"query: has other parameters than {', '.join(known)}")
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$.")
        name = where.rstrip("`")
        if name not in known:
            raise RequestError(f"query: {what}") from None
        choices = _choices(kind, name)
        raise RequestError(f"{name}: {'one of ' + ', '.join(choices) if choices else what}") from None


def _choices(query: type[Struct], name: str) -> list[str]:
    """The texts that a parameter may be, none where it is of another kind."""
    kind = next(field.type for field in msgspec.structs.fields(query) if field.encode_name == name)
    found: list[str] = []
    for one in get_args(kind) or (kind,):
        if isinstance(one, EnumType):
            found += map(str, one)
    return found


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
