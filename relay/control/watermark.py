"""``GET /api/v1/drm/watermark/candidates``: who may have been served what a leak shows."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from relay.api.watermark import Candidate, ServedInterval, Told
from relay.control.notes import NOTES
from relay.control.requests import actor_of, read_query
from relay.errors import RequestError
from relay.node import NODE
from relay.operation import Media, Operation
from relay.roles import ADMINS
from relay.watermark.serving.inquiries import Inquiry
from relay.watermark.serving.servings import ServedRow

MAX_POSITION = 2**31 - 1
NDJSON = "application/x-ndjson"
Position = Annotated[int, Meta(ge=0, le=MAX_POSITION)]


class CandidatesQuery(Struct, frozen=True, kw_only=True):
    """An asset, and the first and last of the positions."""

    asset: Annotated[str, Meta(min_length=1, max_length=128)]
    first: Position = 0
    last: Position = MAX_POSITION


async def get_candidates(request: web.Request) -> web.StreamResponse:
    """Every session that may have been served any of these positions, on any node: a line of JSON each.

    A session may come in several lines. The last line says which nodes are missing from the answer.
    """
    node, query = request.app[NODE], read_query(request, CandidatesQuery)
    if query.last < query.first:
        raise RequestError("last: before first")
    request.app[NOTES].audit(
        actor_of(request), "watermark.candidates", {"asset": query.asset, "first": query.first, "last": query.last}
    )
    inquiry = node.inquiries.ask(query.asset, query.first, query.last)
    async with aclosing(_lines(inquiry)) as lines:
        # The first page before the head: what cannot be read at all has a status of its own.
        first = await anext(lines)
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = NDJSON
        await response.prepare(request)
        await response.write(first)
        async for chunk in lines:
            await response.write(chunk)
    await response.write_eof()
    return response


async def _lines(inquiry: Inquiry) -> AsyncGenerator[bytes]:
    encoder = msgspec.json.Encoder()
    async for rows in inquiry.pages():
        yield b"".join(encoder.encode(_candidate(row)) + b"\n" for row in rows)
    yield encoder.encode(Told(complete=not inquiry.missing, missing=inquiry.missing)) + b"\n"


def _candidate(row: ServedRow) -> Candidate:
    return Candidate(
        number=f"{row.number:016x}",
        watermark_id=row.watermark_id,
        session_id=row.sid,
        issuer=row.issuer,
        account_id=row.account,
        device_id=row.device,
        stream_id=row.stream,
        node=row.node,
        intervals=[
            ServedInterval(
                first=one.first, last=one.last, since=one.since, until=one.until, marked=one.marked, exact=one.exact
            )
            for one in row.intervals
        ],
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v1/drm/watermark/candidates",
        handler=get_candidates,
        tag="Watermark",
        roles=ADMINS,
        query=CandidatesQuery,
        answers={200: Media.of(NDJSON)},
        streams=True,
    ),
)
