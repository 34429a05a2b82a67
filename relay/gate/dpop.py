"""Proof of possession (RFC 9449): a request shows that it holds the private key its token is bound to."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b, sha256
from typing import Any
from urllib.parse import urlsplit

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects.claims import BadTokenError, Claims
from relay.gate.dialects.jwk import public_key
from relay.gate.dialects.jws import Jws, take_apart
from relay.gate.dialects.keys import TokenKey
from relay.gate.nonces import Nonces
from relay.gate.replay import SeenOnce
from relay.gate.uri import Part, spellings
from relay.verdict import Deny, Reason

PROOF_TYPE = "dpop+jwt"
ALGORITHMS = ("ES256", "EdDSA")
AHEAD_S = 60
"""Seconds that a viewer's clock may be fast."""


def check_proof(
    bounds: Bounds, token: str, facts: Facts, seen: SeenOnce, now: float, nonces: Nonces | None = None
) -> Deny | None:
    """Whether a request lacks the proof that its session's key demands (RFC 9449 §4.3); None when all is well.

    ``token`` is the one presented with the request, to which the proof must then be bound; empty where there is none.
    Where there are ``nonces``, the proof must hold a fresh one (§9), and a refusal brings one.
    """
    refused = _check_proof(bounds, token, facts, seen, now, nonces)
    return replace(refused, nonce=nonces.at(now)) if refused and nonces else refused


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint of an EC or OKP public key (RFC 7638), in base64url."""
    required = {name: jwk[name] for name in ("crv", "kty", "x", *(["y"] if jwk["kty"] == "EC" else []))}
    return base64url.encode(sha256(json.dumps(required, separators=(",", ":"), sort_keys=True).encode()).digest())


def _check_proof(
    bounds: Bounds, token: str, facts: Facts, seen: SeenOnce, now: float, nonces: Nonces | None
) -> Deny | None:
    # All of them, for a mapping alone would hide that there are two.
    given = [value for name, value in facts.headers.items() if name.lower() == "dpop"]
    if not given:
        return Deny(Reason.PROOF_MISSING, "the token is bound to a key: a DPoP proof is required")
    if len(given) > 1:
        return Deny(Reason.PROOF_INVALID, "more than one DPoP proof")
    try:
        proof = take_apart(given[0])
        _check_key(proof, bounds.proof_key)
        claims = Claims(proof.claims)
        _check_request(claims, token, facts)
        expires_at = _check_age(claims, bounds.proof_window, now)
        name = blake2b(bounds.proof_key.encode() + claims.text("jti", 128).encode(), digest_size=16).digest()
    except BadTokenError as bad:
        return Deny(Reason.PROOF_INVALID, f"DPoP proof: {bad.deny.detail}")
    if nonces and not nonces.fresh(claims.get("nonce"), now):
        return Deny(Reason.PROOF_NONCE, "the DPoP proof needs the nonce of this answer")
    # Last, so that only what this key signed can fill the memory.
    if not bounds.proof_reuse and not seen.first_time(name, expires_at, now):
        return Deny(Reason.REPLAYED, "this DPoP proof was used before, or too many come at once")
    return None


def _check_key(proof: Jws, proof_key: str) -> None:
    header = proof.header
    if header.get("typ") != PROOF_TYPE:
        raise _bad(f"typ must be {PROOF_TYPE}")
    if "crit" in header or "b64" in header:
        raise _bad("header crit is not understood")
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if algorithm not in ALGORITHMS:
        raise _bad(f"alg must be {' or '.join(ALGORITHMS)}")
    if not isinstance(jwk, dict):
        raise _bad("jwk must be a public key")
    key = _key_of(algorithm, jwk)
    if not hmac.compare_digest(thumbprint(jwk), proof_key):
        raise _bad("not the key that the token is bound to")
    if not key.verifies(proof.signed, proof.signature):
        raise _bad("the signature does not verify")


def _key_of(algorithm: str, jwk: Mapping[str, Any]) -> TokenKey:
    try:
        key = public_key(jwk)
    except ValueError as err:
        raise _bad(f"jwk: {err}") from None
    if key.algorithm != algorithm:
        raise _bad(f"the key does not fit {algorithm}")
    return key


def _check_request(claims: Claims, token: str, facts: Facts) -> None:
    if claims.get("htm") != facts.method:
        raise _bad("htm is not the method of this request")
    here, there = _place(facts), _place(_request_of(claims.text("htu", 8192)))
    if here is None or here != there:
        raise _bad("htu is not the URL of this request")
    if token:
        expected = base64url.encode(sha256(token.encode(errors="surrogatepass")).digest())
        if not hmac.compare_digest(expected.encode(), claims.text("ath", 64).encode()):
            raise _bad("ath is not the hash of the token")


def _check_age(claims: Claims, window: int, now: float) -> float:
    """When the proof will have become too old."""
    issued_at = claims.time("iat")
    if not now - window <= issued_at <= now + AHEAD_S:
        raise _bad(f"iat is not within the last {window} s")
    return issued_at + window


def _request_of(url: str) -> Facts:
    """The request that a URL is for. Query and fragment do not count (RFC 9449 §4.3)."""
    # urlsplit would drop some of these without a word.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise _bad("htu is no URL")
    try:
        split = urlsplit(url)
    except ValueError:
        raise _bad("htu is no URL") from None
    return Facts(method="", path=split.path or "/", scheme=split.scheme, host=split.netloc)


def _place(facts: Facts) -> tuple[str, ...] | None:
    """Scheme, host, port and path, spelt in one way."""
    path = spellings(Part.PATH, facts)
    return (*(spellings(part, facts)[0] for part in (Part.SCHEME, Part.HOST, Part.PORT)), *path) if path else None


def _bad(detail: str) -> BadTokenError:
    return BadTokenError(Reason.PROOF_INVALID, detail)
