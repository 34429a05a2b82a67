"""``/api/v1/sessions``: issued without a platform's token, listed, renewed, ended."""

import heapq
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from math import floor
from secrets import token_urlsafe
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from keys.model import Security
from relay.api.revocations import Done
from relay.api.sessions import (
    IssuedSession,
    LiveSession,
    RenewBody,
    SessionBody,
    SessionId,
    SessionPage,
    StreamLinks,
)
from relay.bounds import Bounds
from relay.control.errors import BodyError, Flaw, NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.licence_status import IssuerQuery, issuers_asked, live_here, named_session
from relay.control.notes import NOTES
from relay.control.pages import PageQuery, cursor_of, place_of
from relay.control.requests import WaitQuery, actor_of, breathe, decode, json_answer, read_query
from relay.control.revocations import submit
from relay.facts import Facts
from relay.gate.gate import Visitor
from relay.gate.presence import Live
from relay.gate.signals import network_of
from relay.gate.targets import Target, TargetType
from relay.links import licence_link, session_link
from relay.model import ManifestClass, Session, StreamLimit
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.problems import denied
from relay.roles import OPERATORS, READERS
from relay.sessions.records import Begun, StoreAwayError
from relay.sessions.revocations import Order
from relay.state.events import Text
from relay.streams import ENTRY_DASH, ENTRY_HLS, Stream
from relay.verdict import Deny, Reason

PATH = "/api/v1/sessions"
ENDED = "ended"
"""The reason of the revocation that ends a session over this API."""
SID_BYTES = 18
"""144 random bits: no id is ever guessed, or drawn twice."""
SLICE = 1000
"""Live sessions looked at before the event loop may turn: a millisecond or so."""
_LEVELS = {"L1": Security.HARDWARE, "L3": Security.SOFTWARE}
_NO_REQUEST, _NO_BOUNDS = Facts("GET", "/"), Bounds()
_body: msgspec.json.Decoder[SessionBody] = msgspec.json.Decoder(SessionBody)
_renewal: msgspec.json.Decoder[RenewBody] = msgspec.json.Decoder(RenewBody)
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


async def post_sessions(request: web.Request) -> web.Response:
    """Issue a session: where it plays, as URLs that any node takes without having heard of it."""
    node, raw = request.app[NODE], await request.read()
    body = decode(raw, _body)
    streams = _streams_of(node, body.stream_ids)
    session = _session_of(node, body)
    # Before an answer of before is repeated, too: whoever was revoked since gets none.
    refused = _refused(node, session, streams)
    if refused:
        return denied(request, refused)

    async def act() -> Reply:
        actor = actor_of(request)
        node.records.note(Begun(session=session, at=node.clock(), node=node.replica.name))
        request.app[NOTES].audit(
            actor, "sessions.post", {"id": session.sid, "account": session.account, "expires_at": session.expires_at}
        )
        return Reply.json(_issued(node, session, streams, body), 201, f"{PATH}/{session.sid}")

    return await once(request, raw, act)


async def post_renewal(request: web.Request) -> web.Response:
    """Let a session go on for longer: fresh URLs for the platform to hand on. The old ones hold as long as they did.

    It must be live on the node that is asked, or have been issued by one that shares its records.
    """
    node, raw = request.app[NODE], await request.read()
    body, sid = decode(raw or b"{}", _renewal), named_session(request)
    known = await _known(node, sid, issuers_asked(node, body.issuer))
    if known is None:
        # Whatever is revoked by its name alone is told apart from what was never heard of.
        if node.revocations.stands(Target(TargetType.SESSION, sid)):
            return denied(request, Deny(Reason.REVOKED, "this session was revoked"))
        raise NotFoundError("this session is not live here, nor was it issued here; issue it again by its id")
    session, names = known
    session = replace(session, expires_at=max(_end_of(node, body), session.expires_at))
    streams = [node.streams[name] for name in names if name in node.streams]
    if not streams:
        raise NotFoundError("no stream of this session is there any more")
    refused = _refused(node, session, streams)
    if refused:
        return denied(request, refused)

    async def act() -> Reply:
        actor = actor_of(request)
        node.records.note(Begun(session=session, at=node.clock(), node=node.replica.name))
        request.app[NOTES].audit(actor, "sessions.renew", {"id": session.sid, "expires_at": session.expires_at})
        return Reply.json(_issued(node, session, streams, body))

    return await once(request, raw, act)


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


def _streams_of(node: Node, names: list[str]) -> list[Stream]:
    flaws = [
        Flaw(f"/stream_ids/{at}", "no such stream, or named twice")
        for at, name in enumerate(names)
        if name not in node.streams or name in names[:at]
    ]
    if flaws:
        raise BodyError(flaws)
    return [node.streams[name] for name in names]


def _session_of(node: Node, body: SessionBody) -> Session:
    issuers = {issuer.iss: issuer for issuer in node.config.tokens.issuers}
    if not body.issuer and len(issuers) > 1:
        raise BodyError([Flaw("/issuer", "required, for there are several: whose account is it?")])
    issuer = issuers.get(body.issuer or next(iter(issuers)))
    if issuer is None:
        raise BodyError([Flaw("/issuer", "none of tokens.issuers")])
    for at, name in enumerate(body.stream_ids):
        if issuer.streams and name not in issuer.streams:
            raise BodyError([Flaw(f"/stream_ids/{at}", "this issuer's viewers may not watch it")])
    limit = body.limit
    return Session(
        sid=body.session_id or token_urlsafe(SID_BYTES),
        account=body.account_id,
        issuer=issuer.iss,
        expires_at=_end_of(node, body),
        device=body.device_id,
        streams=frozenset(body.stream_ids),
        ceiling=body.max_track,
        issued_at=floor(node.clock()),
        version=body.version,
        watermark=body.watermark_id,
        limit=StreamLimit(limit.streams, limit.mode, limit.scope, limit.count) if limit else None,
    )


def _end_of(node: Node, body: SessionBody | RenewBody) -> int:
    """When a session ends that goes on for as long as a body says."""
    now, most = node.clock(), node.config.tokens.session_lifetime.seconds
    if body.expires_in is not None and body.expires_at is not None:
        raise BodyError([Flaw("/expires_in", "give expires_at or expires_in, not both")])
    if body.expires_at is not None and body.expires_at <= now:
        raise BodyError([Flaw("/expires_at", "lies in the past")])
    end = floor(now + most)
    if body.expires_in is not None:
        end = floor(now) + body.expires_in
    elif body.expires_at is not None:
        end = body.expires_at
    if end > now + most:
        member = "expires_at" if body.expires_in is None else "expires_in"
        raise BodyError([Flaw(f"/{member}", f"further ahead than tokens.session_lifetime, {most:.0f} s")])
    return end


def _refused(node: Node, session: Session, streams: Iterable[Stream]) -> Deny | None:
    """Why a session cannot begin or go on."""
    now = node.clock()
    refusals = (
        node.gate.recheck(Visitor.of(replace(session, bounds=_NO_BOUNDS), stream.name), lambda: _NO_REQUEST, now)
        for stream in streams
    )
    return next(filter(None, refusals), None)


async def _known(node: Node, sid: str, issuers: list[str]) -> tuple[Session, list[str]] | None:
    """A session to be renewed, and the streams that it plays."""
    live = live_here(node, sid, issuers)
    try:
        found = await node.records.find(sid, issuers)
    except StoreAwayError:
        found = node.records.here(sid, issuers)
    begun = max((one for known in found if (one := known.get(Begun))), key=lambda one: one.at, default=None)
    # Of both the one that lasts longer: it may have been renewed, and its player not have heard of it yet.
    if begun and (live is None or begun.session.expires_at >= live.session.expires_at):
        return begun.session, sorted(begun.session.streams or ())
    return (live.session, [live.stream]) if live else None


def _issued(node: Node, session: Session, streams: Iterable[Stream], body: SessionBody | RenewBody) -> IssuedSession:
    base = node.config.edge.public_url
    return IssuedSession(
        session_id=session.sid,
        account_id=session.account,
        issuer=session.issuer,
        expires_at=session.expires_at,
        absolute=bool(base),
        streams=[_links(node, session, stream, body, base) for stream in streams],
    )


def _links(node: Node, session: Session, stream: Stream, body: SessionBody | RenewBody, base: str) -> StreamLinks:
    usual = stream.config.default_class()
    systems = usual.systems if body.systems is None else tuple(sorted(set(body.systems)))
    wanted = ManifestClass(body.scheme or usual.scheme, body.signalling or usual.signalling, systems)
    if wanted.scheme not in stream.config.schemes:
        raise BodyError([Flaw("/scheme", f"stream {stream.name} is not offered as {wanted.scheme}")])
    cls = stream.class_for(wanted, session.ceiling, node.clock(), _LEVELS[body.level])
    text = node.gate.pass_of(Visitor.of(session, stream.name))
    return StreamLinks(
        stream_id=stream.name,
        max_track=cls.ceiling,
        license_url=base + licence_link(text, stream.name, cls),
        events_url=base + session_link(text, stream.name, cls, "events"),
        keys_url=base + session_link(text, stream.name, cls, "keys"),
        hls_url=base + session_link(text, stream.name, cls, ENTRY_HLS) if stream.config.hls else msgspec.UNSET,
        dash_url=base + session_link(text, stream.name, cls, ENTRY_DASH) if stream.config.dash else msgspec.UNSET,
    )


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
        watermark_id=live.session.watermark,
        since=live.first,
        last_seen=live.last,
        expires_at=live.session.expires_at,
        network=network_of(live.address),
        segments=live.segments,
        node=node.replica.name,
    )


_row = partial(Operation, tag="Sessions")
_one = partial(_row, path=f"{PATH}/{{session_id}}", path_types={"session_id": SessionId})
_REFUSALS = (Reason.REVOKED, Reason.STATE_STALE)
OPERATIONS = (
    _row(
        method="POST",
        path=PATH,
        handler=post_sessions,
        roles=OPERATORS,
        body=SessionBody,
        headers=(IDEMPOTENCY_KEY,),
        answers={201: IssuedSession},
        errors=_REFUSALS,
    ),
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
    _one(
        method="POST",
        path=f"{PATH}/{{session_id}}/renew",
        handler=post_renewal,
        roles=OPERATORS,
        body=RenewBody,
        body_required=False,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: IssuedSession},
        errors=(NotFoundError, *_REFUSALS),
    ),
)
