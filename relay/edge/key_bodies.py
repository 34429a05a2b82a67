"""What a player is told of keys: by its channel, by ``GET keys``, or sealed in a header."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from keys import base64url
from keys.licences.clearkey import SessionType, web_keys
from keys.model import KeySlot, Scheme
from keys.periods import SPREAD_SHARE
from relay.model import Session
from relay.streams import Stream


def keys_json(stream: Stream, slots: Iterable[KeySlot]) -> bytes:
    """The keys of slots as a JSON array, the same for every session that may have them.

    It may draw salts, which must be durable before it is sent: await :meth:`relay.state.salts.Salts.settle`.
    """
    # Plain HLS AES-128 players have no CDM to feed: they fetch keys by URL, and are here for the revocation.
    keys = [stream.content_key(slot) for slot in slots if slot.scheme is not Scheme.AES128]
    return msgspec.json.encode(web_keys(keys))


def keys_body(stream: Stream, session: Session, keys: bytes, newest: int, now: float) -> bytes:
    """Keys with what a client needs to know when to expect the next ones, as a JSON object.

    ``now`` and ``next_at`` are of this node's clock in ms, so that a client whose own is wrong can take the
    difference; ``period`` and ``stream_now`` are stream time.
    """
    release = stream.timeline.next_release(now)
    next_at = b"null" if release is None else b"%d" % ((release + jitter(stream, session, newest)) * 1000)
    return b'{"keys":%b,"type":"%b","period":%d,"now":%d,"next_at":%b,"stream_now":%d}' % (
        keys,
        SessionType.TEMPORARY.encode(),
        newest,
        now * 1000,
        next_at,
        stream.timeline.stream_now(now),
    )


def with_channel_key(body: bytes, stream: Stream, session: Session) -> bytes:
    """The same object with the key that opens what other responses bring sealed, as a JSON Web Key (RFC 7517)."""
    k = base64url.encode(stream.channel_key(session)).encode()
    return body[:-1] + b',"channel_key":{"kty":"oct","alg":"A256GCM","k":"%b"}}' % k


def jitter(stream: Stream, session: Session, period: int) -> float:
    """Seconds after a release at which a session is pushed; the same on every node.

    ``period`` is the newest one before that release.
    """
    lead = stream.rotation.pre_delivery_ms / 1000
    seed = blake2b(f"{session.sid} {period}".encode(), digest_size=4).digest()
    return lead * SPREAD_SHARE * int.from_bytes(seed, "big") / 2**32
