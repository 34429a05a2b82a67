"""Licences of DRM systems: open the challenge, ask the gate about its device, grant keys, have the licence made.

Public-key work is done only for a session that the gate lets through, and in another process.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from math import ceil
from weakref import WeakKeyDictionary

import msgspec
import structlog

from keys.encoding import encode_fields
from keys.errors import LicenceRefusedError
from keys.licences.detect import Detected, DrmSystem
from keys.licences.terms import Device, GrantedKey
from keys.model import TrackType
from relay.edge.licensed import note_licence
from relay.edge.visit import Visit
from relay.errors import ContentKeyUnknownError, ProtocolVersionError, RequestError
from relay.gate.gate import Visitor
from relay.grants import SAMPLE_SCHEMES, Grant, grant, grant_for
from relay.licensing.desk import FAILED, FORGOTTEN, UNREADABLE, VERSION, Kind, Made, Opened, Order, Refusal
from relay.licensing.terms import granted_keys, granted_slots, renewed_term_of, term_of
from relay.licensing.workers import LicenceFailedError, LicencesBusyError
from relay.streams import Stream
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
    "device-revoked": Reason.DEVICE_REVOKED,
    "server-refused": Reason.LICENCE_REFUSED,
    "unlimited-device": Reason.DEVICE_UNFIT,
    "persistence": Reason.LICENCE_PERSISTENCE,
    "expired": Reason.LICENCE_EXPIRED,
    "other-device": Reason.SCOPE_KEY,
}
"""The refusals of :mod:`keys.licences` in the relay's words."""


class _Holder(msgspec.Struct, frozen=True, array_like=True):
    """Whose licence it is, sealed into it: the session, its ceiling, and a digest of whose and of what stream it is."""

    owner: bytes
    sid: str
    ceiling: TrackType


_UNFIT = Deny(Reason.DEVICE_REFUSED, "licences of this stream are not for this kind of device")
_log = structlog.get_logger()
_QUESTIONS = 64
"""Sets of key IDs that are remembered of a grant: players ask for one each, or for those of a manifest."""
_keys: WeakKeyDictionary[Grant, dict[frozenset[bytes], Sequence[GrantedKey]]] = WeakKeyDictionary()
"""The keys of those who asked lately, the same for all who are granted the same."""
_holder_decoder = msgspec.msgpack.Decoder(_Holder)


async def answer_challenge(visit: Visit, detected: Detected) -> bytes | Deny:
    """The licence for a gated request's challenge. Raises :class:`RequestError` for one that cannot be believed."""
    node, now = visit.node, visit.node.clock()
    issuer = node.licences.of(detected.system)
    if issuer is None:
        return Deny(Reason.SYSTEM_UNSUPPORTED, f"no licences of {detected.system} are issued here")
    opened = await issuer.open(detected.system, detected.challenge, now)
    if isinstance(opened, Refusal):
        return _denied(opened)
    wanted = False
    try:
        holder = _authorised(visit, opened, now)
        if isinstance(holder, Deny):
            return holder
        order = await _order(visit, opened)
        wanted = True
    except LicenceRefusedError as err:
        return _denied(Refusal(err.reason, str(err)))
    finally:
        if not wanted:
            issuer.drop(opened)
    # In whole seconds, as licences count, and up: or one would outlive its session by a part of a second.
    made = await issuer.make(opened, order, ceil(node.clock()))
    if isinstance(made, Refusal):
        return _denied(made)
    # The device may have been revoked meanwhile, which asking about the session alone would not tell.
    refused = node.gate.recheck(holder, visit.facts, node.clock()) or _told_unfit(visit, opened, made)
    if refused:
        return refused
    device = made.device or opened.device
    if order is not None:
        note_licence(visit, detected.system, order.keys, order.term, device)
    if opened.kind is Kind.NEW:
        _log.info(
            "licence_issued",
            system=detected.system,
            device=holder.session.device,
            model=device.model if device else "",
            session=holder.session.sid[:8],
            stream=holder.stream,
        )
    return made.answer


def _authorised(visit: Visit, opened: Opened, now: float) -> Visitor | Deny:
    """The visitor whose licence it is to be, if he may have one for this challenge."""
    if opened.kind is Kind.CERTIFICATE:
        return visit.visitor
    node, session = visit.node, visit.visitor.session
    holder = _holder(visit, opened)
    if isinstance(holder, Deny):
        return holder
    refused = node.gate.recheck(holder, visit.facts, now)
    if refused:
        return refused
    if opened.proven and opened.kind is not Kind.RELEASE and not _admits(visit, opened.device):
        return _UNFIT
    if opened.once and not node.repeats.may(opened.once, session.sid, session.issuer, now):
        return Deny(Reason.REPLAYED, "this challenge was answered before")
    return holder


def _told_unfit(visit: Visit, opened: Opened, made: Made) -> Deny | None:
    """Behind a bridge a device is known with its licence only, which it then does not get. A renewal names none."""
    if opened.proven or opened.kind is not Kind.NEW:
        return None
    return None if _admits(visit, made.device) else _UNFIT


def _admits(visit: Visit, device: Device | None) -> bool:
    return visit.stream.licence.devices.admits(device)


async def _order(visit: Visit, opened: Opened) -> Order | None:
    session, now = visit.visitor.session, visit.node.clock()
    match opened.kind:
        case Kind.RENEWAL:
            term = renewed_term_of(session, visit.stream.licence, opened.playing_for, now)
            return Order((), term, visit.cls.scheme, visit.stream.name)
        case Kind.NEW:
            visit = await visit.caught_up()
            stream = visit.stream
            kids = frozenset(opened.kids)
            granted = _grant(visit, kids, now)
            keys = _keys_of(stream, granted, kids)
            await visit.node.salts.settle()
            sealed = _sealed(visit) if opened.system is DrmSystem.WIDEVINE else b""
            return Order(keys, term_of(session, stream.licence, now), granted.slots[0].scheme, stream.name, sealed)
        case _:
            return None


def _grant(visit: Visit, kids: frozenset[bytes], now: float) -> Grant:
    stream = visit.stream
    if kids:
        return grant_for(stream, visit.visitor, visit.cls, kids, now, guarded=True)
    # The challenge names its content in another way: the session's own stream is what it gets.
    if visit.cls.scheme not in SAMPLE_SCHEMES:
        raise ContentKeyUnknownError("this session's keys are not for licences")
    return grant(stream, visit.visitor, visit.cls, now, guarded=True)


def _keys_of(stream: Stream, granted: Grant, kids: frozenset[bytes]) -> Sequence[GrantedKey]:
    """The keys of a grant for whoever asks for key IDs."""
    known = _keys.setdefault(granted, {})
    keys = known.get(kids)
    if keys is None:
        slots = granted_slots(granted.slots, stream.kid, kids)
        keys = granted_keys(slots, stream.terms_of, stream.content_key)
        # A salt may yet turn out to be another node's.
        if not stream.config.rotation.salt:
            if len(known) >= _QUESTIONS:
                del known[next(iter(known))]
            known[kids] = keys
    return keys


def _holder(visit: Visit, opened: Opened) -> Visitor | Deny:
    """The visitor as revocations are to see it: with the device that made the challenge, as far as it is told.

    With a renewal, as the session that the licence was issued to.
    """
    session, sid = visit.visitor.session, visit.visitor.session.sid
    if opened.kind is not Kind.NEW and (opened.proven or opened.session):
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
    device = opened.device.digest.hex() if opened.device and opened.device.digest else session.device
    return Visitor.of(replace(session, sid=sid, device=device), visit.stream.name)


def _sealed(visit: Visit) -> bytes:
    session = visit.visitor.session
    return msgspec.msgpack.encode(_Holder(_owner(visit), session.sid, visit.visitor.ceiling))


def _owner(visit: Visit) -> bytes:
    session = visit.visitor.session
    fields = encode_fields(session.issuer.encode(), session.account.encode(), visit.stream.name.encode())
    return blake2b(fields, digest_size=16).digest()


def _denied(refusal: Refusal) -> Deny:
    if refusal.reason == VERSION:
        raise ProtocolVersionError(refusal.message)
    if refusal.reason == FORGOTTEN:
        raise LicencesBusyError(refusal.message)
    if refusal.reason == FAILED:
        raise LicenceFailedError(refusal.message)
    if refusal.reason == UNREADABLE:
        raise RequestError(refusal.message)
    return Deny(REASONS[refusal.reason], refusal.message)
