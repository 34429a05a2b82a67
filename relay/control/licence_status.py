"""``GET /api/v1/drm/license/{session_id}/status``: what a session has been licensed, and how it is now."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct, convert

from keys.model import Security
from relay.api.sessions import Level, LicenceDenial, LicenceStatus, RevokedBy, RotationState, SessionId, State
from relay.codes import CODES
from relay.control.errors import NotFoundError
from relay.control.records import latest_record
from relay.control.requests import json_answer, read_query
from relay.errors import RelayError, RequestError
from relay.facts import Facts
from relay.gate.gate import Visitor
from relay.gate.presence import LIVE_S, Live
from relay.gate.targets import Target, TargetType
from relay.links import LICENCE_PATH
from relay.model import Session
from relay.node import NODE, Node
from relay.operation import Operation
from relay.roles import READERS
from relay.sessions.records import Begun, Known, Licensed, Refused, Renewed, Seen, StoreAwayError
from relay.sessions.whereabouts import BELIEVED_S
from relay.streams import Stream

PATIENCE_S = 2.0
"""For an origin that tells where a stream is which this node has not served yet."""
_LEVELS: dict[Security, Level] = {Security.HARDWARE: "L1", Security.SOFTWARE: "L3"}


class IssuerQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``issuer`` narrows it to the sessions of one token issuer: two may have given one id each."""

    issuer: Annotated[str, Meta(max_length=512)] = ""


async def get_licence_status(request: web.Request) -> web.Response:
    """The licence of a session: its DRM, terms and watermark, where the keys are, and whether it is revoked."""
    node = request.app[NODE]
    sid, issuers = named_session(request), issuers_asked(node, read_query(request, IssuerQuery).issuer)
    complete = True
    try:
        found = await node.records.find(sid, issuers)
    except StoreAwayError:
        found, complete = node.records.here(sid, issuers), False
    known = max(found, key=lambda one: one.latest.at, default=None) or Known()
    live = live_here(node, sid, issuers)
    return json_answer(await _status(node, sid, known, live, complete))


def named_session(request: web.Request) -> str:
    """The session id in the path. Raises :class:`RequestError`."""
    try:
        return convert(request.match_info["session_id"], SessionId)
    except ValueError:
        raise RequestError("session_id: 1 to 128 of A-Z a-z 0-9 _ . : ~ @ = + -") from None


def issuers_asked(node: Node, named: str) -> list[str]:
    """The token issuers among which a session is looked for. Raises :class:`RequestError` for one that is not known."""
    known = [issuer.iss for issuer in node.config.tokens.issuers]
    if named and named not in known:
        raise RequestError("issuer: none of tokens.issuers")
    return [named] if named else known


def live_here(node: Node, sid: str, issuers: Iterable[str]) -> Live | None:
    """The session of an id that this node saw last, whether or not it is live still."""
    seen = (node.presence.get(issuer, sid) for issuer in issuers)
    return max((live for live in seen if live), key=lambda live: live.last, default=None)


async def _status(node: Node, sid: str, known: Known, live: Live | None, complete: bool) -> LicenceStatus:
    now = node.clock()
    licensed, renewed = known.get(Licensed), known.get(Renewed)
    refused, seen = known.get(Refused), known.get(Seen)
    session = live.session if live else known.latest.session if known else None
    stream_name = _stream_of(known, live)
    stream = node.streams.get(stream_name) if stream_name else None
    revoked_by = await _revoked_by(node, sid, session, stream_name, live, licensed)
    if session is None and revoked_by is None:
        raise NotFoundError("no node remembers a session of this id")
    holds = renewed if renewed and (licensed is None or renewed.at > licensed.at) else licensed
    here = live.last if live else 0.0
    elsewhere = max((record.at for record in (seen, licensed, renewed, refused) if record), default=0.0)
    place = known.latest.node if known and elsewhere > here else node.replica.name if live else None
    last_seen = max(here, elsewhere) or None
    return LicenceStatus(
        session_id=sid,
        state=_state(session, holds, revoked_by is not None, now),
        account_id=session.account if session else None,
        issuer=session.issuer if session else None,
        stream_id=stream_name or None,
        device_id=(session.device or None) if session else None,
        session_expires_at=session.expires_at if session else None,
        drm_type=holds.system if holds else None,
        protection_level=_LEVELS[licensed.key_level] if licensed and licensed.key_level else None,
        device_level=_LEVELS[licensed.device_level] if licensed and licensed.device_level else None,
        tracks=list(licensed.tracks) if licensed else [],
        issued_at=licensed.at if licensed else None,
        renewed_at=renewed.at if renewed else None,
        expires_at=holds.expires_at if holds else None,
        renew_by=(holds.renew_by or None) if holds else None,
        device_hash=(licensed.device[:8] or None) if licensed else None,
        device_model=(licensed.model or None) if licensed else None,
        watermark_id=session.watermark_id if session else None,
        key_rotation=await _rotation(node, stream, licensed, now) if stream else None,
        scene=(stream.scene_label(now) or None) if stream else None,
        scene_at_issue=(licensed.scene or None) if licensed else None,
        revoked=revoked_by is not None,
        revoked_by=revoked_by,
        live=_is_live(node, live, seen, now),
        last_seen=last_seen,
        node=place,
        last_denial=LicenceDenial(reason=refused.reason, number=CODES[refused.reason].number, at=refused.at)
        if refused
        else None,
        complete=complete,
    )


def _stream_of(known: Known, live: Live | None) -> str:
    """The stream that it asked for last, as far as is known."""
    asked = [(record.at, record.stream) for record in known.records if not isinstance(record, Begun)]
    if live:
        asked.append((live.played_at, live.stream))
    if asked:
        return max(asked)[1]
    # It has not come yet; where it may go to one place only, that is where it will be.
    begun = known.get(Begun)
    only = begun.session.streams if begun else None
    return next(iter(only)) if only and len(only) == 1 else ""


def _state(session: Session | None, holds: Licensed | Renewed | None, revoked: bool, now: float) -> State:
    if revoked:
        return "revoked"
    if session is not None and session.expires_at <= now:
        return "expired"
    if holds is None:
        return "none"
    return "active" if holds.expires_at > now else "lapsed"


def _is_live(node: Node, live: Live | None, seen: Seen | None, now: float) -> bool | None:
    if live and now - live.last <= LIVE_S:
        return True
    if seen and now - seen.at <= BELIEVED_S:
        return True
    return False if live or node.records.shared else None


async def _revoked_by(
    node: Node, sid: str, session: Session | None, stream: str, live: Live | None, licensed: Licensed | None
) -> RevokedBy | None:
    if session is None:
        target = Target(TargetType.SESSION, sid)
        return await _told_of(node, target) if node.revocations.stands(target) else None
    # The device that its DRM proved is revoked by that name, too.
    proven = [replace(session, device=licensed.device)] if licensed and licensed.device else []
    for one in (session, *proven):
        for target in node.revocations.against(one, stream):
            return await _told_of(node, target)
    facts = Facts("GET", "/", address=live.address if live else "", asn=live.asn if live else 0)
    if not node.gate.is_revoked(Visitor.of(session, stream), lambda: facts, node.clock()):
        return None
    inside = node.revocations.revoked.covers_network(facts.address, facts.asn, node.clock())
    if inside:
        return RevokedBy(type=TargetType.NETWORK, value="", reason="", since=None)
    uri = session.status.uri if session.status else ""
    return RevokedBy(type=None, value=uri, reason="", since=None)


async def _told_of(node: Node, target: Target) -> RevokedBy:
    record = await latest_record(node, target)
    return RevokedBy(
        type=target.type,
        value=target.value,
        reason=record.reason if record else "",
        since=record.created_at if record else None,
    )


async def _rotation(node: Node, stream: Stream, licensed: Licensed | None, now: float) -> RotationState | None:
    if not stream.timeline.known:
        with suppress(RelayError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await node.manifests.ensure_timeline(stream)
    edges = stream.timeline.edges(now)
    if not edges:
        return None
    clock = max(edges, key=edges.__getitem__)
    edge, schedule = edges[clock], stream.schedule_of(clock)
    period = schedule.period_of(edge)
    newest = licensed.newest if licensed and licensed.stream == stream.name else None
    until = period.segments_until
    moves = not stream.timeline.clocks[clock].final
    return RotationState(
        enabled=bool(stream.rotation.interval_ms),
        interval_s=stream.rotation.interval_ms / 1000,
        stream_now=edge,
        period=period.start,
        generation=stream.generation_at(period.start),
        next_at=now + (until - edge) / 1000 if until is not None and moves else None,
        told_until=schedule.period_at(newest).end if newest is not None else None,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{LICENCE_PATH}/{{session_id}}/status",
        handler=get_licence_status,
        tag="Sessions",
        roles=READERS,
        query=IssuerQuery,
        path_types={"session_id": SessionId},
        answers={200: LicenceStatus},
        errors=(NotFoundError,),
    ),
)
