"""``/api/v1/sessions``: who is live on this node, and ending a session."""

import heapq
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from relay.api.revocations import Done
from relay.api.sessions import LiveSession, SessionId, SessionPage
from relay.control.errors import NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.licence_status import IssuerQuery, issuers_asked, live_here, named_session
from relay.control.pages import PageQuery, cursor_of, place_of
from relay.control.requests import WaitQuery, breathe, json_answer, read_query
from relay.control.revocations import submit
from relay.control.session_issue import PATH
from relay.gate.presence import Live
from relay.gate.signals import network_of
from relay.gate.targets import Target, TargetType
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import OPERATORS, READERS
from relay.sessions.revocations import Order
from relay.state.events import Text

ENDED = "ended"
"""The reason of the revocation that ends a session over this API."""
SLICE = 1000
"""Live sessions looked at before the event loop may turn: a millisecond or so."""
_places: msgspec.msgpack.Decoder[tuple[str, str]] = msgspec.msgpack.Decoder(
    tuple[Annotated[str, Meta(max_length=512)], Annotated[str, Meta(max_length=128)]]
)


class SessionsQuery(PageQuery, frozen=True, kw_only=True):
    """Only those of an account, a stream or a device."""

    account_id: Text = ""
    stream_id: Text = ""
    device_id: Text = ""


class EndQuery(WaitQuery, frozen=True, kw_only=True):
    """``detail`` is for the record."""

    detail: Text = ""


async def get_sessions(request: web.Request) -> web.Response:
    """The sessions that are live on the node that is asked, in the order of their ids."""
    node, query = request.app[NODE], read_query(request, SessionsQuery)
    after = place_of(query.cursor, _places) or ("", "")
    page: list[Live] = []
    batch: list[Live] = []
    for number, live in enumerate(node.presence.live(node.clock()), start=1):
        if _place(live) > after and _is_asked_for(live, query):
            batch.append(live)
        if number % SLICE == 0:
            page, batch = heapq.nsmallest(query.limit + 1, [*page, *batch], key=_place), []
            await breathe()
    page = heapq.nsmallest(query.limit + 1, [*page, *batch], key=_place)
    more = len(page) > query.limit
    page = page[: query.limit]
    return json_answer(
        SessionPage(sessions=[_shown(node, live) for live in page], next=cursor_of(_place(page[-1])) if more else None)
    )


async def get_session(request: web.Request) -> web.Response:
    """A session that this node has seen lately."""
    node = request.app[NODE]
    live = live_here(node, named_session(request), issuers_asked(node, read_query(request, IssuerQuery).issuer))
    if live is None:
        raise NotFoundError("this node has not seen the session lately; its licence status may say where it is")
    return json_answer(_shown(node, live))


async def delete_session(request: web.Request) -> web.Response:
    """End a session now, on every node: a revocation, with the reason ``ended``."""
    query = read_query(request, EndQuery)
    sid = named_session(request)

    async def act() -> Reply:
        order = Order(Target(TargetType.SESSION, sid), reason=ENDED, detail=query.detail)
        return await submit(request, [order], "sessions.delete", query)

    return await once(request, b"", act)


def _place(live: Live) -> tuple[str, str]:
    return live.session.issuer, live.sid


def _is_asked_for(live: Live, query: SessionsQuery) -> bool:
    return (
        query.account_id in ("", live.account)
        and query.stream_id in ("", live.stream)
        and query.device_id in ("", live.device)
    )


def _shown(node: Node, live: Live) -> LiveSession:
    return LiveSession(
        session_id=live.sid,
        account_id=live.account,
        issuer=live.session.issuer,
        stream_id=live.stream,
        device_id=live.device,
        watermark_id=live.session.watermark_id,
        since=live.first,
        last_seen=live.last,
        expires_at=live.session.expires_at,
        network=network_of(live.address),
        segments=live.segments,
        node=node.replica.name,
    )


_row = partial(Operation, tag="Sessions")
_one = partial(_row, path=f"{PATH}/{{session_id}}", path_types={"session_id": SessionId})
OPERATIONS = (
    _row(
        method="GET",
        path=PATH,
        handler=get_sessions,
        roles=READERS,
        query=SessionsQuery,
        answers={200: SessionPage},
    ),
    _one(
        method="GET",
        handler=get_session,
        roles=READERS,
        query=IssuerQuery,
        answers={200: LiveSession},
        errors=(NotFoundError,),
    ),
    _one(
        method="DELETE",
        handler=delete_session,
        roles=OPERATORS,
        query=EndQuery,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: Done, 202: Done},
    ),
)
