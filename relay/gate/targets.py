"""What a revocation names, and what of a session it is compared with."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from keys.encoding import encode_fields
from relay.model import Session


class TargetType(StrEnum):
    """What kind of thing a revocation names. Values are public and never reused."""

    SESSION = "session"
    ACCOUNT = "account"
    DEVICE = "device"
    TOKEN = "token"
    WATERMARK = "watermark"
    STREAM = "stream"
    NETWORK = "network"
    ISSUER_KEY = "issuer-key"
    SESSION_VERSION = "session-version"
    ISSUED_BEFORE = "issued-before"


@dataclass(frozen=True, slots=True)
class Target:
    """One revocable thing.

    ``issuer`` narrows an account, device, token, issuer key, session version or cut-off to one token issuer;
    empty means at any. ``viewer`` narrows a stream to one account. ``limit`` is the highest version that a
    *session version* target stops, or the time (seconds since the epoch) before which tokens of an
    *issued before* target were issued. ``value`` is, by type:

    ======================= ==============================================================
    session                 session id
    account                 account id
    device, token           device id; token id (``jti``, or ``cti`` in base64url)
    watermark               opaque watermark id
    stream                  stream name
    network                 CIDR such as ``192.0.2.0/24``, or an AS number such as ``AS64500``
    issuer-key              key id (``kid``)
    session-version         account id or session id
    issued-before           account id; empty: everyone of the issuer
    ======================= ==============================================================
    """

    type: TargetType
    value: str
    issuer: str = ""
    viewer: str = ""
    limit: int = 0

    def covers(self, session: Session, stream: str) -> bool:
        """Whether a revocation of this would stop a session on a stream; a network's is not told by these.

        The same as :func:`subject_of` comes to, at a fiftieth of the cost.
        """
        if self.issuer and self.issuer != session.issuer:
            return False
        value = self.value
        match self.type:
            case TargetType.SESSION:
                return value == session.sid
            case TargetType.ACCOUNT:
                return value == session.account
            case TargetType.DEVICE:
                return value == session.device != ""
            case TargetType.TOKEN:
                return value == session.token_id != ""
            case TargetType.WATERMARK:
                return value == session.watermark_id
            case TargetType.ISSUER_KEY:
                return value == session.key_id != ""
            case TargetType.STREAM:
                return value == stream and self.viewer in ("", session.account)
            case TargetType.SESSION_VERSION:
                own = value == session.account or (value == session.sid and not self.issuer)
                return own and session.version <= self.limit
            case TargetType.ISSUED_BEFORE:
                everyone = value == "" != self.issuer
                return (everyone or value == session.account) and session.issued_at < self.limit
            case TargetType.NETWORK:
                return False

    def digest(self) -> bytes:
        """16 bytes that stand for the target in sets. The limit is no part of it: a later one replaces it."""
        return _digest(self.type, self.issuer, self.value, self.viewer)


# A session is looked at several times in a row: when it comes, and with the device that its DRM proves.
@lru_cache(maxsize=4096)
def _digest(kind: TargetType, issuer: str, value: str, viewer: str = "") -> bytes:
    fields = encode_fields(kind.encode(), issuer.encode(), value.encode(), viewer.encode())
    return blake2b(fields, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Subject:
    """A session watching one stream, as revocations see it.

    ``exact`` are the digests of every target that revokes it outright, ``versions`` and ``cutoffs`` those that
    do if its ``version`` is not above, or its ``issued_at`` before, their limit.
    """

    exact: tuple[bytes, ...]
    versions: tuple[bytes, ...]
    cutoffs: tuple[bytes, ...]
    version: int
    issued_at: int

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every digest."""
        return self.exact + self.versions + self.cutoffs


def subject_of(session: Session, stream: str) -> Subject:
    """Everything that could revoke a session on a stream."""
    kinds, issuer = TargetType, session.issuer
    exact = [
        _digest(kinds.SESSION, "", session.sid),
        _digest(kinds.ACCOUNT, issuer, session.account),
        _digest(kinds.ACCOUNT, "", session.account),
        *_of_stream(stream),
        _digest(kinds.STREAM, "", stream, session.account),
        _digest(kinds.WATERMARK, "", session.watermark_id),
    ]
    for kind, value in (
        (kinds.DEVICE, session.device),
        (kinds.TOKEN, session.token_id),
        (kinds.ISSUER_KEY, session.key_id),
    ):
        if value:
            exact += [_digest(kind, issuer, value), _digest(kind, "", value)]
    owners = [(issuer, session.account), ("", session.account)]
    return Subject(
        exact=tuple(exact),
        versions=tuple(_digest(kinds.SESSION_VERSION, *who) for who in (*owners, ("", session.sid))),
        cutoffs=tuple(_digest(kinds.ISSUED_BEFORE, *who) for who in (*owners, (issuer, ""))),
        version=session.version,
        issued_at=session.issued_at,
    )


def targets_of(session: Session, stream: str) -> list[Target]:
    """Everything that could revoke a session on a stream, by name, except networks.

    Where a target has a limit, it is the lowest that stops the session.
    """
    kinds, issuer = TargetType, session.issuer
    found = [Target(kinds.SESSION, session.sid)]
    for kind, value in (
        (kinds.ACCOUNT, session.account),
        (kinds.DEVICE, session.device),
        (kinds.TOKEN, session.token_id),
        (kinds.ISSUER_KEY, session.key_id),
    ):
        if value:
            found += [Target(kind, value, issuer), Target(kind, value)]
    found.append(Target(kinds.WATERMARK, session.watermark_id))
    found += [Target(kinds.STREAM, stream), Target(kinds.STREAM, stream, viewer=session.account)]
    version, before = session.version, session.issued_at + 1
    owners = (issuer, session.account), ("", session.account)
    for who, value in (*owners, ("", session.sid)):
        found.append(Target(kinds.SESSION_VERSION, value, who, limit=version))
    for who, value in (*owners, (issuer, "")):
        found.append(Target(kinds.ISSUED_BEFORE, value, who, limit=before))
    return found


@lru_cache(maxsize=1024)
def _of_stream(stream: str) -> tuple[bytes, ...]:
    return (_digest(TargetType.STREAM, "", stream),)
