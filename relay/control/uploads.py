"""A video in the body of a call, and what is said of it: as a form, or the video alone with a query."""

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from relay.api.analyses import Asset, Note
from relay.control.errors import BodyError, Flaw, MediaTypeError
from relay.control.requests import read_query
from relay.errors import RequestError
from relay.operation import FORM
from relay.watermark.jobs.uploads import Received

VIDEO: Final = "video/mp4"
"""What any type of video is taken like."""
FILE: Final = "file"
PIECE: Final = 256 * 1024
MAX_FIELD: Final = 4096
_PLAIN: Final = ("", "binary", "7bit", "8bit")


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``asset`` is what the copy is of; left out, it is found by its pictures. ``note`` is for the record."""

    asset: Asset = ""
    note: Note = ""


def check_kind(request: web.Request) -> None:
    """Raise :class:`MediaTypeError` for a body that is neither a form nor a video."""
    if request.content_type != FORM and not request.content_type.startswith("video/"):
        raise MediaTypeError(f"send {FORM} with a member '{FILE}', or the video alone, as {VIDEO} say")


async def receive(request: web.Request, received: Received) -> UploadQuery:
    """Take in the video of a call, and answer with what is said of it.

    Raises :class:`RequestError` and what :meth:`Received.add` does.
    """
    said = read_query(request, UploadQuery)
    if request.content_type == FORM:
        said = await _receive_form(request, received, said)
    else:
        async for piece in request.content.iter_chunked(PIECE):
            await received.add(piece)
    await received.done()
    return said


async def _receive_form(request: web.Request, received: Received, said: UploadQuery) -> UploadQuery:
    members = {name: value for name, value in msgspec.structs.asdict(said).items() if value}
    seen: set[str] = set()
    async for part in _parts(request):
        name = part.name or ""
        if name in seen or name not in (FILE, "asset", "note"):
            # Names are bytes to begin with, and need not be text.
            shown = name.encode(errors="replace").decode()
            raise BodyError([Flaw(f"/{shown}", f"a form has '{FILE}', and may have 'asset' and 'note', each once")])
        seen.add(name)
        if part.headers.get("Content-Transfer-Encoding", "").lower() not in _PLAIN:
            raise BodyError([Flaw(f"/{name}", "send it as it is, without a transfer encoding")])
        if name == FILE:
            while piece := await part.read_chunk(PIECE):
                await received.add(piece)
        else:
            members[name] = await _text(part, name)
    if FILE not in seen:
        raise BodyError([Flaw(f"/{FILE}", "missing")])
    try:
        return msgspec.convert(members, UploadQuery)
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$.")
        raise BodyError([Flaw(f"/{where.rstrip('`')}", what)]) from None


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    try:
        form = await request.multipart()
        while (part := await form.next()) is not None:
            if isinstance(part, MultipartReader):
                raise BodyError([Flaw("", "a form in a form")])
            yield part
    except HttpProcessingError:
        raise RequestError("the form cannot be read: the headers of a member are broken") from None
    except (ValueError, AssertionError) as err:
        raise RequestError(f"the form cannot be read: {err}") from None


async def _text(part: BodyPartReader, name: str) -> str:
    data = b""
    while piece := await part.read_chunk(MAX_FIELD):
        data += piece
        if len(data) > MAX_FIELD:
            raise BodyError([Flaw(f"/{name}", f"more than {MAX_FIELD} bytes")])
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BodyError([Flaw(f"/{name}", "not UTF-8")]) from None
    if not text.isprintable():
        raise BodyError([Flaw(f"/{name}", "not printable")])
    return text
