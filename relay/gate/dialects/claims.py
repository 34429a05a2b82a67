"""What the claims of a token say, in whichever dialect: read strictly, or the token is refused with the claim's name.

A claim that narrows what a viewer may do is enforced, or its token is not accepted; it is never skipped.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from keys import base64url
from keys.model import TrackType
from relay.bounds import Bounds
from relay.gate.scope import ScopeError, UnenforcedError
from relay.model import LimitCount, LimitMode, LimitScope, Session, StatusRef, StreamLimit
from relay.verdict import Answer, Deny, Reason

MAX_STREAMS = 256
MAX_NETWORKS = 64
MAX_COUNTRIES = 64
MAX_METHODS = 16
MAX_LIMIT = 1000
MAX_STATUS_URI = 512
"""It travels in every URL of its session."""
_LATEST = 2**53
_SURROGATE = re.compile("[\ud800-\udfff]")
_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_METHOD = re.compile(r"[A-Za-z]{1,32}")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_ASN = re.compile(r"AS[1-9][0-9]{0,9}")
_Choice = TypeVar("_Choice", bound=StrEnum)


class BadTokenError(Exception):
    """Ends a verification from the depth where the reason is found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.deny = Deny(reason, detail)

    def answered(self, answers: Mapping[str, Answer]) -> "BadTokenError":
        """The same, with what the token wants answered for this reason."""
        self.deny = replace(self.deny, answer=answers.get(self.deny.reason))
        return self


def malformed(detail: str) -> BadTokenError:
    """The token breaks the rules of its format."""
    return BadTokenError(Reason.TOKEN_MALFORMED, detail)


def unsupported(detail: str) -> BadTokenError:
    """The token asks for something that is not enforced here."""
    return BadTokenError(Reason.TOKEN_UNSUPPORTED, detail)


@contextmanager
def restricting(name: str) -> Iterator[None]:
    """Turns what is wrong with a scope into a refusal that names its claim."""
    try:
        yield
    except UnenforcedError as err:
        raise unsupported(f"claim {name}: {err}") from None
    except ScopeError as err:
        raise malformed(f"claim {name}: {err}") from None


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms an issuer's tokens are taken.

    ``leeway`` is how far clocks may differ, ``max_lifetime`` how far ahead a token may expire, both in seconds.
    """

    issuer: str
    audience: str
    leeway: float
    max_lifetime: float


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of one token, asked for by their JWT names. ``labels`` are the keys they have where those differ."""

    values: Mapping[Any, Any] = field(repr=False)
    labels: Mapping[str, int | str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return self.labels.get(name, name) in self.values

    def get(self, name: str) -> Any:
        """The value of a claim as it stands; None where there is none."""
        return self.values.get(self.labels.get(name, name))

    def text(self, name: str, longest: int) -> str:
        """A required text."""
        value = self.get(name)
        # JSON can spell a lone surrogate, which is no character and which no UTF-8 can carry on.
        if not isinstance(value, str) or not 0 < len(value) <= longest or _SURROGATE.search(value):
            raise malformed(f"{name}: text of 1 to {longest} characters required")
        return value

    def optional_text(self, name: str, longest: int) -> str:
        """A text, or the empty text where the claim is absent."""
        return self.text(name, longest) if name in self else ""

    def whole(self, name: str, most: int = _LATEST - 1) -> int:
        """A whole number from 0 to ``most``; 0 where the claim is absent."""
        return whole(self.get(name), name, most) if name in self else 0

    def time(self, name: str) -> int:
        """A required time."""
        value = self.get(name)
        if type(value) is not int or not 0 < value < _LATEST:
            raise malformed(f"claim {name}: whole seconds since the epoch required")
        return value

    def optional_time(self, name: str) -> int:
        """A time, or 0 where the claim is absent."""
        return self.time(name) if name in self else 0


def check_times(claims: Claims, terms: Terms, now: float) -> int:
    """The expiry of a token whose times are right."""
    expires_at = claims.time("exp")
    for name in ("nbf", "iat"):
        if claims.optional_time(name) > now + terms.leeway:
            raise BadTokenError(Reason.TOKEN_NOT_YET_VALID, f"{name} lies ahead")
    if expires_at <= now - terms.leeway:
        raise BadTokenError(Reason.TOKEN_EXPIRED, "exp has passed")
    # Revocations are kept as long as a token may live: one that lives longer could outlast what revoked it.
    issued_at = claims.optional_time("iat") or now
    if expires_at > min(now, issued_at) + terms.max_lifetime + terms.leeway:
        raise unsupported("the token lives longer than tokens.max_lifetime")
    return expires_at


def check_audience(claims: Claims, terms: Terms) -> None:
    """Refuse a token that is for someone else; ``aud`` may be an array (RFC 7519 §4.1.3)."""
    audience = claims.get("aud")
    if terms.audience not in (audience if isinstance(audience, list | tuple) else [audience]):
        raise BadTokenError(Reason.TOKEN_AUDIENCE, "aud does not name this deployment")


def session(
    claims: Claims,
    terms: Terms,
    *,
    sid: str,
    account: str,
    token_id: str,
    key_id: str,
    expires_at: int,
    bounds: Bounds,
) -> Session:
    """The session of a token, completed by the claims that every dialect takes alike."""
    return Session(
        sid=sid,
        account=account,
        issuer=terms.issuer,
        expires_at=expires_at,
        token_id=token_id,
        device=claims.optional_text("did", 128),
        streams=_streams(claims),
        ceiling=_ceiling(claims),
        key_id=key_id,
        issued_at=claims.optional_time("iat"),
        version=claims.whole("sver"),
        watermark=claims.optional_text("wmid", 128),
        limit=_stream_limit(claims),
        bounds=bounds,
        status=_status(claims),
    )


def session_id(value: object) -> str:
    """Claim ``sid``."""
    if not isinstance(value, str) or not _SID.fullmatch(value):
        raise malformed("claim sid: 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def methods(value: object, name: str) -> tuple[str, ...]:
    """A list of request methods; case counts (RFC 9110 §9.1)."""
    return _texts(value, name, MAX_METHODS, _METHOD, "methods")


def countries(value: object, name: str) -> tuple[str, ...]:
    """A list of ISO 3166-1 alpha-2 or 3166-2 codes."""
    return _texts(value, name, MAX_COUNTRIES, _COUNTRY, "ISO 3166 codes")


def networks(value: object, name: str) -> tuple[str, ...]:
    """A list of CIDRs, addresses and AS numbers."""
    found = _texts(value, name, MAX_NETWORKS, re.compile(r"[0-9A-Za-z.:/]{1,64}"), "networks")
    return tuple(dict.fromkeys(item if _ASN.fullmatch(item) else _cidr(item, name) for item in found))


def thumbprint(value: object, name: str) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638): 32 bytes, in base64url."""
    try:
        if isinstance(value, str) and len(base64url.decode(value)) == 32:
            return value
    except ValueError:
        pass
    raise malformed(f"claim {name}: a SHA-256 thumbprint in base64url required")


def whole(value: object, name: str, most: int) -> int:
    """A whole number from 0 to ``most``."""
    if type(value) is not int or not 0 <= value <= most:
        raise malformed(f"claim {name}: a whole number from 0 to {most} required")
    return value


def mapping(value: object, name: str) -> Mapping[Any, Any]:
    """An object or map."""
    if not isinstance(value, Mapping):
        raise malformed(f"claim {name}: an object is required")
    return value


def known_only(given: Mapping[Any, Any], name: str, known: Collection[object]) -> None:
    """Refuse members of a claim that nothing here would enforce."""
    for member in given:
        if member not in known:
            raise unsupported(f"claim {name}.{str(member)[:32]} is not enforced here")


def _streams(claims: Claims) -> frozenset[str] | None:
    """Claim ``ent``: the streams allowed; None where the claim is absent."""
    if "ent" not in claims:
        return None
    value = claims.get("ent")
    good = isinstance(value, list | tuple) and len(value) <= MAX_STREAMS
    if not good or not all(isinstance(name, str) and _STREAM.fullmatch(name) for name in value):
        raise malformed(f"claim ent: at most {MAX_STREAMS} stream names")
    return frozenset(value)


def _ceiling(claims: Claims) -> TrackType:
    """Claim ``drm``: caps on what may be had."""
    caps = _members(claims, "drm", {"max_track"})
    try:
        return TrackType(caps.get("max_track", TrackType.UHD))
    except ValueError:
        raise malformed("claim drm.max_track: audio, sd, hd or uhd") from None


def _stream_limit(claims: Claims) -> StreamLimit | None:
    """Claim ``csl``: the limit of concurrent streams; None where the claim is absent."""
    if "csl" not in claims:
        return None
    given = _members(claims, "csl", {"limit", "mode", "scope", "count"})
    most = whole(given.get("limit"), "csl.limit", MAX_LIMIT)
    if not most:
        raise malformed("claim csl.limit: at least 1")
    return StreamLimit(
        most=most,
        mode=_choice(given, "csl", "mode", LimitMode.DENY_NEW),
        scope=_choice(given, "csl", "scope", LimitScope.ACCOUNT),
        count=_choice(given, "csl", "count", LimitCount.SESSIONS),
    )


def _status(claims: Claims) -> StatusRef | None:
    """Claim ``status`` (draft-ietf-oauth-status-list §6): a place in a status list; None where the claim is absent."""
    if "status" not in claims:
        return None
    given = mapping(_members(claims, "status", {"status_list"}).get("status_list"), "status.status_list")
    known_only(given, "status.status_list", {"idx", "uri"})
    index = whole(given.get("idx"), "status.status_list.idx", _LATEST - 1)
    return StatusRef(index, Claims(given).text("uri", MAX_STATUS_URI))


def _members(claims: Claims, name: str, known: set[str]) -> Mapping[Any, Any]:
    given = mapping(claims.get(name) if name in claims else {}, name)
    known_only(given, name, known)
    return given


def _choice(given: Mapping[Any, Any], name: str, member: str, default: _Choice) -> _Choice:
    try:
        return type(default)(given.get(member, default))
    except ValueError:
        raise unsupported(f"claim {name}.{member} has a value that is not enforced here") from None


def _texts(value: object, name: str, most: int, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    # An empty list would read as no restriction further on.
    if not isinstance(value, list | tuple) or not 0 < len(value) <= most:
        raise malformed(f"claim {name}: 1 to {most} {what} required")
    for item in value:
        if not isinstance(item, str) or not form.fullmatch(item):
            raise malformed(f"claim {name}: 1 to {most} {what} required")
    return tuple(dict.fromkeys(value))


def _cidr(text: str, name: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise malformed(f"claim {name}: an entry is no network, address or AS number") from None
