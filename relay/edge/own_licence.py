"""Licences of the relay's own, for players that an operator ships. They keep no terms, as those of Clear Key."""

from dataclasses import replace
from math import floor
from typing import Annotated
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Meta, Struct

from keys import base64url
from keys.errors import LicenceRefusedError, SealError
from keys.licences.clearkey import JsonWebKey, SessionType, web_keys
from keys.licences.detect import DrmSystem
from keys.licences.native import NativeKey
from keys.licences.sealed import MAX_KEYS, entries_of
from relay.edge.drm import REASONS
from relay.edge.licensed import note_in_clear
from relay.edge.visit import Visit
from relay.errors import KeyPendingError, OriginError, RequestError
from relay.gate.gate import Visitor
from relay.grants import Grant, grant
from relay.licensing.terms import granted_slots, term_of
from relay.verdict import Deny, Reason

_entries: WeakKeyDictionary[Grant, tuple[tuple[NativeKey, ...], bytes]] = WeakKeyDictionary()
"""Keys as licences hold them, the same for all who are granted the same."""


class _Asked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``device`` names the device where the session does not; ``licence`` is one to renew."""

    device: Annotated[str, Meta(max_length=128)] = ""
    licence: Annotated[str, Meta(max_length=8192)] = ""


class _Challenge(Struct, frozen=True, kw_only=True):
    relay: _Asked


class _Answer(Struct, frozen=True, kw_only=True):
    """The licence to keep, until when it holds, when to renew it, and its keys as a JSON Web Key set."""

    licence: str
    expires_at: int
    renew_by: int | None
    keys: list[JsonWebKey]
    type: SessionType = SessionType.TEMPORARY


_challenges: msgspec.json.Decoder[_Challenge] = msgspec.json.Decoder(_Challenge)


async def answer_own(visit: Visit, challenge: bytes) -> bytes | Deny:
    """A new licence, or a later one for one that is brought. Raises :class:`RequestError` for what makes no sense.

    A renewal needs nothing that this node must have known before: where it cannot tell what is released now, for it has
    just started or the origin is away, the keys are those that the licence holds.
    """
    try:
        asked = _challenges.decode(challenge).relay
    except msgspec.ValidationError as err:
        raise RequestError(f"licence request: {err}") from None
    node, stream, session = visit.node, visit.stream, visit.visitor.session
    device = session.device or asked.device
    if not device:
        raise RequestError("licence request: neither the session nor the request names a device")
    now = node.clock()
    refused = node.gate.recheck(Visitor.of(replace(session, device=device), stream.name), visit.facts, now)
    if refused:
        return refused
    keys: tuple[NativeKey, ...] = ()
    if asked.licence:
        try:
            held = node.policies.own.open(base64url.decode(asked.licence), session, stream.name, device, now)
        except (SealError, ValueError):
            raise RequestError("licence request: the licence is none of this deployment") from None
        except LicenceRefusedError as err:
            return Deny(REASONS[err.reason], str(err))
        if held is None:
            return Deny(Reason.SCOPE_KEY, "this licence is another session's, or of another stream")
        keys = held.keys
    try:
        await node.manifests.ensure_timeline(stream)
        granted = grant(stream, visit.visitor, visit.cls, now)
        keys, entries = await _keys_of(visit, granted)
        note_in_clear(visit, DrmSystem.RELAY, granted)
    except (KeyPendingError, OriginError):
        if not keys:
            raise
        entries = entries_of(keys)
    term = term_of(session, stream.licence, now)
    until = floor(term.until)
    sealed = node.policies.own.issue(session, stream.name, device, until, entries)
    return msgspec.json.encode(
        _Answer(
            licence=base64url.encode(sealed),
            expires_at=until,
            renew_by=floor(now) + term.renew_every if term.renew_every else None,
            keys=web_keys(keys),
        )
    )


async def _keys_of(visit: Visit, granted: Grant) -> tuple[tuple[NativeKey, ...], bytes]:
    packed = _entries.get(granted)
    if packed is None:
        stream = visit.stream
        slots = granted_slots(granted.slots, stream.kid, frozenset())[:MAX_KEYS]
        if not slots:
            raise KeyPendingError("no key of this stream goes to players that keep no terms now")
        found = tuple(NativeKey(key.kid, key.key) for key in map(stream.content_key, slots))
        await visit.node.salts.settle()
        packed = found, entries_of(found)
        if not stream.config.rotation.salt:
            # A salt may yet turn out to be another node's.
            _entries[granted] = packed
    return packed
