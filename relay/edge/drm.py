"""Licences of DRM systems: open the challenge, ask the gate about its device, grant keys, have the licence made.

Public-key work is done only for a session that the gate lets through, and in another process.
"""

from dataclasses import replace
from hashlib import blake2b
from math import ceil

import msgspec
import structlog

from keys.encoding import encode_fields
from keys.errors import LicenceRefusedError
from keys.licences.detect import Detected, DrmSystem
from keys.licences.terms import Device
from keys.model import TrackType
from relay.edge.visit import Visit
from relay.errors import ContentKeyUnknownError, ProtocolVersionError, RequestError
from relay.gate.gate import Visitor
from relay.grants import SAMPLE_SCHEMES, Grant, grant, grant_for
from relay.licensing.desk import FORGOTTEN, UNREADABLE, VERSION, Kind, Opened, Order, Refusal
from relay.licensing.terms import granted_keys, renewed_term_of, term_of
from relay.licensing.workers import LicencesBusyError
from relay.verdict import Deny, Reason

REASONS = {
    "no-key": Reason.SCOPE_KEY,
    "no-service-certificate": Reason.SYSTEM_UNSUPPORTED,
    "security-level": Reason.SECURITY_LEVEL,
    "output-protection": Reason.OUTPUT_PROTECTION,
    "hdcp": Reason.OUTPUT_PROTECTION,
    "digital-output": Reason.OUTPUT_PROTECTION,
    "airplay": Reason.OUTPUT_PROTECTION,
    "av-adapter": Reason.OUTPUT_PROTECTION,
    "device-not-served": Reason.DEVICE_REFUSED,
    "device-revoked": Reason.DEVICE_REFUSED,
    "unlimited-device": Reason.DEVICE_UNFIT,
    "persistence": Reason.LICENCE_PERSISTENCE,
    "expired": Reason.LICENCE_EXPIRED,
}
"""The refusals of :mod:`keys.licences` in the relay's words."""


class _Holder(msgspec.Struct, frozen=True, array_like=True):
    """Whose licence it is, sealed into it: the session, its ceiling, and a digest of whose and of what stream it is."""

    owner: bytes
    sid: str
    ceiling: TrackType


_log = structlog.get_logger()
_holder_decoder = msgspec.msgpack.Decoder(_Holder)


async def answer_challenge(visit: Visit, detected: Detected) -> bytes | Deny:
    """The licence for a gated request's challenge. Raises :class:`RequestError` for one that cannot be believed."""
    node, now = visit.node, visit.node.clock()
    lane = node.licences.lane(detected.system)
    if lane is None:
        return Deny(Reason.SYSTEM_UNSUPPORTED, f"no licences of {detected.system} are issued here")
    opened = await lane.open(detected.system, detected.challenge, now)
    if isinstance(opened, Refusal):
        return _denied(opened)
    order: Order | None = None
    holder = visit.visitor
    if opened.device is not None:
        found = _holder(visit, opened, opened.device)
        if isinstance(found, Deny):
            return found
        holder = found
        refused = node.gate.recheck(holder, visit.facts, now)
        if refused:
            return refused
        session = visit.visitor.session
        if opened.once and not node.repeats.may(opened.once, session.sid, session.issuer, now):
            return Deny(Reason.REPLAYED, "this challenge was answered before")
        try:
            order = await _order(visit, detected.system, opened)
        except LicenceRefusedError as err:
            return _denied(Refusal(err.reason, str(err)))
    # In whole seconds, as licences count, and up: or one would outlive its session by a part of a second.
    made = await lane.make(opened, order, ceil(node.clock()))
    if isinstance(made, Refusal):
        return _denied(made)
    # The device may have been revoked meanwhile, which asking about the session alone would not tell.
    refused = node.gate.recheck(holder, visit.facts, node.clock())
    if refused:
        return refused
    if opened.device is not None and opened.kind is Kind.NEW:
        _log.info(
            "licence_issued",
            system=detected.system,
            device=holder.session.device,
            model=opened.device.model,
            session=holder.session.sid[:8],
            stream=holder.stream,
        )
    return made


async def _order(visit: Visit, system: DrmSystem, opened: Opened) -> Order | None:
    session, licence, now = visit.visitor.session, visit.stream.licence, visit.node.clock()
    match opened.kind:
        case Kind.RENEWAL:
            return Order((), renewed_term_of(session, licence, opened.playing_for, now), visit.cls.scheme)
        case Kind.NEW:
            await visit.node.manifests.ensure_timeline(visit.stream)
            granted = _grant(visit, opened.kids, now)
            keys = granted_keys(visit.stream.terms_of, granted.slots, visit.stream.content_key, opened.kids)
            await visit.node.salts.settle()
            sealed = _sealed(visit) if system is DrmSystem.WIDEVINE else b""
            return Order(keys, term_of(session, licence, now), granted.slots[0].scheme, sealed)
        case _:
            return None


def _grant(visit: Visit, kids: tuple[bytes, ...], now: float) -> Grant:
    stream, gate = visit.stream, visit.node.gate
    if kids:
        return grant_for(stream, gate, visit.visitor, visit.cls, kids, now, guarded=True)
    # The challenge names its content in another way: the session's own stream is what it gets.
    if visit.cls.scheme not in SAMPLE_SCHEMES:
        raise ContentKeyUnknownError("this session's keys are not for licences")
    return grant(stream, gate, visit.visitor, visit.cls, now, guarded=True)


def _holder(visit: Visit, opened: Opened, device: Device) -> Visitor | Deny:
    """The visitor as revocations are to see it: with the device that made the challenge.

    With a renewal, as the session that the licence was issued to.
    """
    session, sid = visit.visitor.session, visit.visitor.session.sid
    if opened.kind is not Kind.NEW:
        try:
            holder = _holder_decoder.decode(opened.session)
        except msgspec.DecodeError:
            return Deny(Reason.SCOPE_KEY, "a licence of another kind")
        if holder.owner != _owner(visit):
            return Deny(Reason.SCOPE_KEY, "this licence is another viewer's, or of another stream")
        refused = visit.node.gate.may_have(visit.visitor, holder.ceiling)
        if refused and opened.kind is Kind.RENEWAL:
            return refused
        sid = holder.sid
    return Visitor.of(replace(session, sid=sid, device=device.digest.hex()), visit.stream.name)


def _sealed(visit: Visit) -> bytes:
    session = visit.visitor.session
    return msgspec.msgpack.encode(_Holder(_owner(visit), session.sid, session.ceiling))


def _owner(visit: Visit) -> bytes:
    session = visit.visitor.session
    fields = encode_fields(session.issuer.encode(), session.account.encode(), visit.stream.name.encode())
    return blake2b(fields, digest_size=16).digest()


def _denied(refusal: Refusal) -> Deny:
    if refusal.reason == VERSION:
        raise ProtocolVersionError(refusal.message)
    if refusal.reason == FORGOTTEN:
        raise LicencesBusyError(refusal.message)
    if refusal.reason == UNREADABLE:
        raise RequestError(refusal.message)
    return Deny(REASONS[refusal.reason], refusal.message)
