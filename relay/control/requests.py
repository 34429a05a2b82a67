"""What every resource asks of a request: its body, its caller, how long to wait. Limits first."""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from relay.control.errors import BodyError, BodyTooLargeError, Flaw, MediaTypeError
from relay.errors import RequestError
from relay.state.replica import Wait

MAX_BODY = 64 * 1024
MAX_BATCH_BODY = 8 * 1024 * 1024
MAX_ACTOR = 128
MAX_WAIT_MS = 30_000
DEFAULT_WAIT_MS = 2_000
DEFAULT_PAGE = 100
MAX_PAGE = 1000
ACTOR_HEADER = "X-Actor"
JSON_TYPES = ("application/json", "application/octet-stream", "")
LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
T = TypeVar("T")


def actor_of(request: web.Request) -> str:
    """Who says this: the API key, and the name its holder gives in ``X-Actor``. Raises :class:`RequestError`."""
    name = request.headers.get(ACTOR_HEADER, "")
    if len(name) > MAX_ACTOR or not name.isprintable():
        raise RequestError(f"{ACTOR_HEADER}: at most {MAX_ACTOR} printable characters")
    return f"api:{name}" if name else "api"


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
        what, _, where = str(err).partition(" - at `$")
        pointer = where.rstrip("`").replace("[", ".").replace("]", "").replace(".", "/")
        raise BodyError([Flaw(pointer, what)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise BodyError([Flaw("", f"not JSON: {err}")]) from None


def read_wait(request: web.Request) -> tuple[Wait, float]:
    """What to wait for, and for how many seconds. Raises :class:`RequestError`."""
    try:
        wait = Wait(request.query.get("wait", Wait.LOCAL))
    except ValueError:
        raise RequestError(f"wait: one of {', '.join(Wait)}") from None
    return wait, read_number(request, "timeout_ms", DEFAULT_WAIT_MS, MAX_WAIT_MS) / 1000


def read_page_size(request: web.Request) -> int:
    """How many entries of a list to answer with. Raises :class:`RequestError`."""
    return read_number(request, "limit", DEFAULT_PAGE, MAX_PAGE, least=1)


def read_number(request: web.Request, name: str, default: int, most: int, least: int = 0) -> int:
    """A whole number of the query. Raises :class:`RequestError`."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise RequestError(f"{name}: a whole number from {least} to {most}")
    return int(text)


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
