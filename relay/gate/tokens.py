"""The JWT session token: strict claims in, a session out.

Signatures are PyJWT's; everything a token may *say* is decided here. Each key is bound to one
algorithm, so a token cannot choose how it is verified (RFC 8725 §3.1), and a claim that narrows what
a viewer may do is either enforced or the token is refused, never skipped.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.api_jws import PyJWS

from keys import base64url
from keys.model import TrackType
from relay.model import Session
from relay.verdict import Deny, Reason

MAX_TOKEN = 4096
TOKEN_TYPE = "session+jwt"
MIN_SECRET_BYTES = 32

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEY_CARRYING_HEADERS = ("jku", "x5u", "x5c", "jwk", "crit")
_NOT_ENFORCED = ("paths", "mth", "net", "geo", "hdr", "cnf", "csl", "reval")
_MAX_STREAMS = 256


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A verification key bound to its algorithm: HS256 with a secret, ES256 or EdDSA with a public key."""

    kid: str
    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def symmetric(cls, kid: str, secret: bytes) -> "TokenKey":
        """An HS256 key. Raises ValueError for fewer than 32 bytes (RFC 7518 §3.2)."""
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"an HS256 secret needs at least {MIN_SECRET_BYTES} bytes")
        return cls(kid, "HS256", secret)

    @classmethod
    def public(cls, kid: str, algorithm: str, pem: str) -> "TokenKey":
        """An ES256 or EdDSA key from PEM. Raises ValueError when the PEM is something else."""
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("not a PEM public key") from None
        fits = {
            "ES256": isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1),
            "EdDSA": isinstance(key, Ed25519PublicKey),
        }
        if not fits.get(algorithm, False):
            raise ValueError(f"the public key does not fit {algorithm}")
        return cls(kid, algorithm, key)


class TokenVerifier:
    """Verifies tokens of the configured issuers for one audience. Times are seconds."""

    def __init__(
        self, issuers: Mapping[str, Iterable[TokenKey]], audience: str, leeway: float, max_lifetime: float
    ) -> None:
        self._keys = {(iss, key.kid): key for iss, keys in issuers.items() for key in keys}
        self._audience = audience
        self._leeway = leeway
        self._max_lifetime = max_lifetime
        self._jws = PyJWS()

    def verify(self, token: str, now: float) -> Session | Deny:
        """The session a token grants, or the first reason against it.

        ``expires_at`` of the session is the token's own: how long the session may last is the caller's
        to decide.
        """
        try:
            return self._verify(token, now)
        except _RefusedError as refused:
            return refused.deny

    def _verify(self, token: str, now: float) -> Session:
        if len(token) > MAX_TOKEN or not _COMPACT.fullmatch(token):
            raise _RefusedError(Reason.TOKEN_MALFORMED, f"not a compact JWT of at most {MAX_TOKEN} characters")
        header, unproven = _peek(token)
        key = self._keys.get((_text(unproven, "iss", 512), _text(header, "kid", 512)))
        if key is None:
            raise _RefusedError(Reason.KEY_UNKNOWN, "no key for this issuer and kid")
        if header.get("alg") != key.algorithm:
            raise _RefusedError(Reason.TOKEN_SIGNATURE, "the algorithm is not the one of this key")
        # Before the signature, because PyJWT would report crit as a bad one.
        for name in _KEY_CARRYING_HEADERS:
            if name in header:
                raise _RefusedError(Reason.TOKEN_UNSUPPORTED, f"header {name} is not accepted")
        try:
            payload = self._jws.decode(token, key.key, algorithms=[key.algorithm])
        except jwt.PyJWTError:
            raise _RefusedError(Reason.TOKEN_SIGNATURE, "the signature does not verify") from None
        return self._session(header, _json(payload), now)

    def _session(self, header: dict[str, Any], claims: dict[str, Any], now: float) -> Session:
        if header.get("typ") != TOKEN_TYPE:
            raise _RefusedError(Reason.TOKEN_UNSUPPORTED, f"typ must be {TOKEN_TYPE}")
        for name in _NOT_ENFORCED:
            if name in claims:
                raise _RefusedError(Reason.TOKEN_UNSUPPORTED, f"claim {name} is not enforced here, so not accepted")
        if claims.get("use", "many") != "many":
            raise _RefusedError(Reason.TOKEN_UNSUPPORTED, "claim use: only 'many' is accepted")
        if claims.get("req"):
            raise _RefusedError(Reason.TOKEN_UNSUPPORTED, "claim req names claims that are not understood")
        expires_at = self._check_times(claims, now)
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _RefusedError(Reason.TOKEN_AUDIENCE, "aud does not name this deployment")
        sid = _text(claims, "sid", 64)
        if not _SID.fullmatch(sid):
            raise _RefusedError(Reason.TOKEN_MALFORMED, "claim sid: 1 to 64 of A-Z a-z 0-9 _ -")
        return Session(
            sid=sid,
            account=_text(claims, "sub", 128),
            issuer=_text(claims, "iss", 512),
            expires_at=expires_at,
            token_id=_text(claims, "jti", 64),
            device=_text(claims, "did", 128) if "did" in claims else "",
            streams=_streams(claims),
            ceiling=_ceiling(claims),
        )

    def _check_times(self, claims: dict[str, Any], now: float) -> int:
        expires_at = _time(claims, "exp")
        if "nbf" in claims and _time(claims, "nbf") > now + self._leeway:
            raise _RefusedError(Reason.TOKEN_NOT_YET_VALID, "nbf lies ahead")
        if "iat" in claims and _time(claims, "iat") > now + self._leeway:
            raise _RefusedError(Reason.TOKEN_NOT_YET_VALID, "iat lies ahead")
        if expires_at <= now - self._leeway:
            raise _RefusedError(Reason.TOKEN_EXPIRED, "exp has passed")
        # Revocations are kept only as long as the longest token can live.
        if expires_at > now + self._max_lifetime + self._leeway:
            raise _RefusedError(Reason.TOKEN_UNSUPPORTED, "exp lies further ahead than tokens.max_lifetime")
        return expires_at


class _RefusedError(Exception):
    """Ends a verification from the depth where the reason is found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.deny = Deny(reason, detail)


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not yet proven."""
    try:
        # Canonical only: the signature's last character has spare bits, which would give a token several spellings.
        header, payload, _ = map(base64url.decode, token.split("."))
    except ValueError:
        raise _RefusedError(Reason.TOKEN_MALFORMED, "not canonical base64url") from None
    return _json(header), _json(payload)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        # Decoded here, because json.loads would guess UTF-16 and UTF-32, too (RFC 7519 §7.1 wants UTF-8).
        value = json.loads(raw.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _RefusedError(Reason.TOKEN_MALFORMED, "header or claims are not strict JSON") from None
    if not isinstance(value, dict):
        raise _RefusedError(Reason.TOKEN_MALFORMED, "header or claims are not a JSON object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _text(values: dict[str, Any], name: str, longest: int) -> str:
    value = values.get(name)
    # JSON can spell a lone surrogate, which is no character and which no UTF-8 can carry on.
    if not isinstance(value, str) or not 0 < len(value) <= longest or _SURROGATE.search(value):
        raise _RefusedError(Reason.TOKEN_MALFORMED, f"{name}: text of 1 to {longest} characters required")
    return value


def _time(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 < value < 2**53:
        raise _RefusedError(Reason.TOKEN_MALFORMED, f"claim {name}: whole seconds since the epoch required")
    return value


def _streams(claims: dict[str, Any]) -> frozenset[str] | None:
    if "ent" not in claims:
        return None
    value = claims["ent"]
    good = isinstance(value, list) and len(value) <= _MAX_STREAMS
    if not good or not all(isinstance(name, str) and _STREAM.fullmatch(name) for name in value):
        raise _RefusedError(Reason.TOKEN_MALFORMED, f"claim ent: at most {_MAX_STREAMS} stream names")
    return frozenset(value)


def _ceiling(claims: dict[str, Any]) -> TrackType:
    caps = claims.get("drm", {})
    if not isinstance(caps, dict):
        raise _RefusedError(Reason.TOKEN_MALFORMED, "claim drm: an object is required")
    unknown = set(caps) - {"max_track"}
    if unknown:
        raise _RefusedError(Reason.TOKEN_UNSUPPORTED, f"claim drm.{min(unknown)[:32]} is not enforced here")
    try:
        return TrackType(caps.get("max_track", TrackType.UHD))
    except ValueError:
        raise _RefusedError(Reason.TOKEN_MALFORMED, "claim drm.max_track: audio, sd, hd or uhd") from None


def mint_token(claims: Mapping[str, Any], kid: str, algorithm: str, key: Any) -> str:
    """Sign a session token as a platform would: ``key`` is an HS256 secret or a private key's PEM.

    Raises ValueError when the key does not fit the algorithm.
    """
    try:
        return jwt.encode(dict(claims), key, algorithm=algorithm, headers={"kid": kid, "typ": TOKEN_TYPE})
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError):
        raise ValueError(f"the key does not fit {algorithm}") from None
