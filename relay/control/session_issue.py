"""Issuing and renewing sessions over the API: ``POST /api/v1/sessions`` and ``POST /api/v1/sessions/{id}/renew``."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from math import floor
from secrets import token_urlsafe

import msgspec
from aiohttp import web

from keys.model import Security
from relay.api.sessions import IssuedSession, RenewBody, SessionBody, SessionId, StreamLinks
from relay.bounds import Bounds
from relay.control.errors import BodyError, Flaw, NotFoundError
from relay.control.idempotency import Reply, once
from relay.control.licence_status import issuers_asked, live_here, named_session
from relay.control.notes import NOTES
from relay.control.requests import actor_of, decode
from relay.facts import Facts
from relay.gate.gate import FactsOf, Visitor
from relay.gate.targets import Target, TargetType
from relay.links import licence_link, session_link
from relay.model import ManifestClass, Session, StreamLimit
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.problems import denied
from relay.roles import OPERATORS
from relay.sessions.records import Begun, StoreAwayError
from relay.streams import ENTRY_DASH, ENTRY_HLS, Stream
from relay.verdict import Deny, Reason

PATH = "/api/v1/sessions"
SID_BYTES = 18
"""144 random bits: no id is ever guessed, or drawn twice."""
_LEVELS = {"L1": Security.HARDWARE, "L3": Security.SOFTWARE}
_NO_REQUEST, _NO_BOUNDS = Facts("GET", "/"), Bounds()
_body: msgspec.json.Decoder[SessionBody] = msgspec.json.Decoder(SessionBody)
_renewal: msgspec.json.Decoder[RenewBody] = msgspec.json.Decoder(RenewBody)


async def post_sessions(request: web.Request) -> web.Response:
    """Issue a session: where it plays, as URLs that any node takes without having heard of it."""
    node, raw = request.app[NODE], await request.read()
    body = decode(raw, _body)
    streams = _streams_of(node, body.stream_ids)
    session = _session_of(node, body)
    # Before an answer of before is repeated, too: whoever was revoked since gets none.
    refused = _refused(session, streams, node.gate.may_begin, node.clock())
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

    That of a purchase goes on no longer than what was bought.
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
    session = replace(session, expires_at=max(_renewed_end_of(node, session, body), session.expires_at))
    streams = [node.streams[name] for name in names if name in node.streams]
    if not streams:
        raise NotFoundError("no stream of this session is there any more")
    refused = _refused(session, streams, node.gate.recheck, node.clock())
    if refused:
        return denied(request, refused)

    async def act() -> Reply:
        actor = actor_of(request)
        node.records.note(Begun(session=session, at=node.clock(), node=node.replica.name))
        request.app[NOTES].audit(actor, "sessions.renew", {"id": session.sid, "expires_at": session.expires_at})
        return Reply.json(_issued(node, session, streams, body))

    return await once(request, raw, act)


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


def _renewed_end_of(node: Node, session: Session, body: RenewBody) -> int:
    end = _end_of(node, body)
    if session.voucher is None:
        return end
    # Nothing else ends the session of a purchase when the purchase does.
    sale = node.till.ledger.find(session.sid, node.clock())
    return min(end, sale.ends_at) if sale else session.expires_at


def _refused(
    session: Session,
    streams: Iterable[Stream],
    ask: Callable[[Visitor, FactsOf, float], Deny | None],
    now: float,
) -> Deny | None:
    """Why a session cannot be on one of its streams. What it is bound to is asked of its own requests, not of this."""
    unbound = replace(session, bounds=_NO_BOUNDS)
    refusals = (ask(Visitor.of(unbound, stream.name), lambda: _NO_REQUEST, now) for stream in streams)
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


_row = partial(Operation, method="POST", tag="Sessions", roles=OPERATORS, headers=(IDEMPOTENCY_KEY,))
_REFUSALS = (Reason.REVOKED, Reason.STATE_STALE)
OPERATIONS = (
    _row(
        path=PATH,
        handler=post_sessions,
        body=SessionBody,
        answers={201: IssuedSession},
        errors=_REFUSALS,
    ),
    _row(
        path=f"{PATH}/{{session_id}}/renew",
        handler=post_renewal,
        path_types={"session_id": SessionId},
        body=RenewBody,
        body_required=False,
        answers={200: IssuedSession},
        errors=(NotFoundError, *_REFUSALS),
    ),
)
