"""The JWT session token, our own profile: every claim that narrows is enforced, or the token is refused."""

from collections.abc import Mapping
from typing import Any

from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import renewals
from relay.gate.dialects.base import Proof, Renewal, Use
from relay.gate.dialects.claims import BadTokenError, Claims, Terms
from relay.gate.dialects.jws import Jws, seal, take_apart
from relay.gate.dialects.keys import KeySet, Signer
from relay.gate.scope import Scope, headers_from_json, uris_from_json
from relay.model import Session
from relay.verdict import Deny

TOKEN_TYPE = "session+jwt"
PLAIN_TYPE = "JWT"
_UNDERSTOOD = frozenset(
    [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "sid",
        "sver",
        "did",
        "ent",
        "paths",
        "mth",
        "net",
        "geo",
        "hdr",
        "cnf",
        "use",
        "rnw",
        "csl",
        "drm",
        "wmid",
        "reval",
        "status",
        "req",
    ]
)


class JwtDialect:
    """Verifies the JWTs of one issuer.

    With ``plain``, it also takes those of type ``JWT``, which may lack a ``jti``: they cannot be revoked by token.
    A token of any kind that says ``JWT`` could then be taken for a session token, so it is off unless asked for.
    ``signer`` renews tokens that were not signed with a shared secret.
    """

    def __init__(self, terms: Terms, keys: KeySet, plain: bool = False, signer: Signer | None = None) -> None:
        self._terms = terms
        self._keys = keys
        self._plain = plain
        self._signer = signer

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            jws = take_apart(token)
            key = jws.verify(self._terms.issuer, self._keys, now)
            return self._proof(jws, key.kid, now)
        except BadTokenError as bad:
            return bad.deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """The same claims with another expiry, signed anew."""
        signer = self._keys.signer_like(proof.session.key_id, self._signer)
        if signer is None:
            return None
        claims = {str(name): value for name, value in proof.claims.items()}
        kind = TOKEN_TYPE if "jti" in claims else PLAIN_TYPE
        return seal({"kid": signer.kid, "typ": kind}, {**claims, "exp": expires_at}, signer)

    def _proof(self, jws: Jws, key_id: str, now: float) -> Proof:
        kind, claims = jws.header.get("typ"), Claims(jws.claims)
        if kind != TOKEN_TYPE and not (self._plain and kind == PLAIN_TYPE):
            raise read.unsupported(f"typ must be {TOKEN_TYPE}")
        _check_required(claims)
        expires_at = read.check_times(claims, self._terms, now)
        read.check_audience(claims, self._terms)
        optional_id = kind == PLAIN_TYPE and "jti" not in claims
        session = read.session(
            claims,
            self._terms,
            sid=read.session_id(claims.get("sid")),
            account=claims.text("sub", 128),
            token_id="" if optional_id else claims.text("jti", 64),
            key_id=key_id,
            expires_at=expires_at,
            bounds=_bounds(claims),
        )
        kept: dict[object, object] = dict(jws.claims.items())
        return Proof(session, _scope(claims), _use(claims, session), _renewal(claims), claims=kept)


def mint_token(claims: Mapping[str, Any], kid: str, algorithm: str, key: bytes) -> str:
    """Sign a session token as a platform would: ``key`` is an HS256 secret or a private key's PEM.

    Raises ValueError when the key does not fit the algorithm.
    """
    return seal({"kid": kid, "typ": TOKEN_TYPE}, claims, Signer.load(kid, algorithm, key))


def _check_required(claims: Claims) -> None:
    """Claim ``req`` names the claims that a verifier must understand."""
    names = claims.get("req") if "req" in claims else []
    if not isinstance(names, list):
        raise read.malformed("claim req: a list of claim names required")
    for name in names:
        if not isinstance(name, str) or name not in _UNDERSTOOD:
            raise read.unsupported("claim req names claims that are not understood")


def _bounds(claims: Claims) -> Bounds:
    return Bounds(
        methods=read.methods(claims.get("mth"), "mth") if "mth" in claims else (),
        networks=read.networks(claims.get("net"), "net") if "net" in claims else (),
        countries=read.countries(claims.get("geo"), "geo") if "geo" in claims else (),
        proof_key=_proof_key(claims) if "cnf" in claims else "",
        revalidate=claims.whole("reval"),
    )


def _proof_key(claims: Claims) -> str:
    given = read.mapping(claims.get("cnf"), "cnf")
    read.known_only(given, "cnf", {"jkt"})
    return read.thumbprint(given.get("jkt"), "cnf.jkt")


def _scope(claims: Claims) -> Scope:
    with read.restricting("paths"):
        uris = uris_from_json(claims.get("paths")) if "paths" in claims else None
    with read.restricting("hdr"):
        headers = headers_from_json(claims.get("hdr")) if "hdr" in claims else ()
    return Scope(uris, headers)


def _use(claims: Claims, session: Session) -> Use:
    if "use" not in claims:
        return Use.MANY
    try:
        use = Use(claims.get("use"))
    except ValueError:
        raise read.unsupported("claim use: many, once or watch") from None
    if use is not Use.MANY and not session.token_id:
        raise read.malformed("claim use: a token without jti cannot be told from another")
    return use


def _renewal(claims: Claims) -> Renewal | None:
    if "rnw" not in claims:
        return None
    given = read.mapping(claims.get("rnw"), "rnw")
    read.known_only(given, "rnw", {"add", "deadline", "via", "name"})
    given = {"add": None, **given}
    return renewals.checked("rnw", **{str(name): value for name, value in given.items()})
