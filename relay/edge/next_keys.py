"""The next keys in a header of any answer, sealed for the session: a second way, for players whose channel is down."""

from collections.abc import Mapping
from math import inf
from os import urandom

from keys.channel import NONCE_BYTES, seal_next_keys
from keys.model import Scheme
from relay.edge.key_bodies import keys_body, keys_json
from relay.edge.visit import Visit
from relay.errors import KeyPendingError
from relay.grants import slots_of
from relay.model import IN_CLEAR
from relay.told import told_by

NEXT_KEYS_HEADER = "Segmentgate-Next-Keys"
LOOK_AGAIN_S = 1.0
"""How long nothing is thought to be released ahead: the live edge may turn out to be further on."""

_NONE: Mapping[str, str] = {}


async def next_keys_header(visit: Visit, now: float) -> Mapping[str, str]:
    """The header that brings a gated session its next keys, from their release until a segment under them is listed.

    To be asked for at the end of a request's work, so that a revocation meanwhile still withholds it.
    """
    at_hand = next_keys_at_hand(visit, now)
    return await _sealed(visit, now) if at_hand is None else at_hand


def next_keys_at_hand(visit: Visit, now: float) -> Mapping[str, str] | None:
    """The same, if that is known already."""
    # Not the visit's own: its policy may have changed while the request's work was done.
    stream, cls = visit.node.streams.get(visit.stream.name), visit.cls
    if stream is None or now < stream.ahead.quiet_until:
        return _NONE
    coming = stream.timeline.coming(now)
    if not coming:
        release = stream.timeline.next_release(now)
        stream.ahead.rest(min(now + LOOK_AGAIN_S, inf if release is None else release))
        return _NONE
    current = told_by(stream, visit.visitor, cls, now)
    if current is None or cls.scheme is Scheme.AES128 or IN_CLEAR.isdisjoint(cls.systems):
        return _NONE
    session = visit.visitor.session
    sealed = stream.ahead.get((session.issuer, session.sid, current))
    return None if sealed is None else {NEXT_KEYS_HEADER: sealed}


async def _sealed(visit: Visit, now: float) -> Mapping[str, str]:
    stream, cls, session = visit.node.streams.get(visit.stream.name), visit.cls, visit.visitor.session
    current = told_by(stream, visit.visitor, cls, now) if stream else None
    if stream is None or current is None:
        return _NONE
    starts = sorted({period.start for period in stream.timeline.coming(now)})
    slots = slots_of(stream, current.tracks, cls.scheme, starts)
    if not slots:
        return _NONE
    try:
        keys = keys_json(stream, slots)
    except KeyPendingError:
        # What was asked for is there all the same.
        return _NONE
    body = keys_body(stream, session, keys, current.newest, now)
    await visit.node.salts.settle()
    sealed = seal_next_keys(stream.channel_key(session), body, stream.name, current.newest, urandom(NONCE_BYTES))
    stream.ahead.put((session.issuer, session.sid, current), sealed)
    return {NEXT_KEYS_HEADER: sealed}
