"""CDNI URI signing (RFC 9246): a JWT that is about one URI, or about all that match a pattern.

The URI is compared without the token that it carries. A renewed token comes in a cookie, its expiry counted from
now and not from the old one, so that renewals cannot add up to a token that outlives them all.
"""

import ipaddress
from dataclasses import dataclass, field
from hashlib import sha256

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import jwe, links
from relay.gate.dialects.base import Proof, Renewal, Use
from relay.gate.dialects.claims import BadTokenError, Claims, Terms
from relay.gate.dialects.jws import Jws, seal, take_apart
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.patterns import PatternError, compile_pattern
from relay.gate.uri import normal_path
from relay.verdict import Deny, Reason

VERSION = 1
COOKIE = 1
_HASH, _REGEX = "hash:sha-256;", "regex:"
_REGISTERED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti")
_CDNI = ("cdniv", "cdnicrit", "cdniip", "cdniuc", "cdniets", "cdnistt", "cdnistd")
_UNDERSTOOD = frozenset((*_REGISTERED, *_CDNI))
_MAX_RENEWAL_S = 366 * 86_400
_MAX_DEPTH = 16
_COOKIE = ("Secure", "HttpOnly", "SameSite=None")


@dataclass(frozen=True, slots=True)
class UriSigningOptions:
    """``encryption_key`` is the AES key (16 or 32 bytes) of claims ``sub`` and ``cdniip`` where they are encrypted."""

    encryption_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if len(self.encryption_key) not in (0, 16, 32):
            raise ValueError("encryption_key: 16 or 32 bytes")


class UriSigningDialect:
    """Verifies the tokens of one issuer. ``signer`` renews those that were not signed with a shared secret.

    A claim ``sid`` names the session, as in our own profile; renewed tokens have it, so that renewal keeps a session.
    Without one it derives from what was signed.
    """

    def __init__(
        self, terms: Terms, keys: KeySet, options: UriSigningOptions | None = None, signer: Signer | None = None
    ) -> None:
        self._terms = terms
        self._keys = keys
        self._options = options or UriSigningOptions()
        self._signer = signer

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            jws = take_apart(token)
            return self._proof(jws, self._key(jws, now), facts, now)
        except BadTokenError as bad:
            return bad.deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """The same claims with another expiry and, since a nonce counts once (§2.1.7), another ``jti``."""
        session = proof.session
        signer = self._keys.signer_like(session.key_id, self._signer)
        if signer is None:
            return None
        claims = {str(name): value for name, value in proof.claims.items()}
        claims |= {"exp": expires_at, "sid": session.sid, "iss": session.issuer}
        if "jti" in claims:
            claims["jti"] = links.derived_id(f"{session.token_id} {expires_at}")
        return seal({"kid": signer.kid, "typ": "JWT"}, claims, signer)

    def _key(self, jws: Jws, now: float) -> TokenKey:
        key = self._keys.get(Claims(jws.header).text("kid", 512), now)
        # The issuer may be left out (§2.1.1): the carrier then says whose token it is, and its keys whether it is.
        if key is None or Claims(jws.claims).optional_text("iss", 512) not in ("", self._terms.issuer):
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this issuer and kid")
        jws.check(key)
        return key

    def _proof(self, jws: Jws, key: TokenKey, facts: Facts, now: float) -> Proof:
        claims = Claims(jws.claims)
        if str(jws.header.get("typ", "JWT")).upper() != "JWT":
            raise read.unsupported("typ must be JWT or absent")
        if claims.get("cdniv") not in (None, VERSION) or isinstance(claims.get("cdniv"), bool):
            raise read.unsupported(f"cdniv must be {VERSION}")
        _check_critical(claims)
        if "status" in claims:
            raise read.unsupported("claim status is not enforced here")
        expires_at = read.check_times(claims, self._terms, now)
        if "aud" in claims:
            read.check_audience(claims, self._terms)
        session = links.session_of(
            jws.signed.decode(),
            self._terms,
            key.kid,
            expires_at,
            sid=read.session_id(claims.get("sid")) if "sid" in claims else "",
            token_id=claims.optional_text("jti", 64),
            account=self._plain(claims, "sub"),
            issued_at=claims.optional_time("iat") or claims.optional_time("nbf"),
            bounds=Bounds(networks=_network(self._plain(claims, "cdniip"))) if "cdniip" in claims else None,
        )
        _check_uri(claims.text("cdniuc", 1024), facts)
        use = Use.ONCE if "jti" in claims else Use.MANY
        renewal = _renewal(claims, facts)
        return Proof(session, links.this_path(facts), use, renewal, claims=claims.values)

    def _plain(self, claims: Claims, name: str) -> str:
        text = claims.optional_text(name, jwe.MAX_TEXT)
        if not jwe.is_encrypted(text):
            return text
        if not self._options.encryption_key:
            raise read.unsupported(f"claim {name} is encrypted, and no key for it is configured")
        return jwe.decrypt(text, self._options.encryption_key, name)


def _check_critical(claims: Claims) -> None:
    """Claim ``cdnicrit`` (§2.1.9): a list, in text, of claims that must be there and understood."""
    if "cdnicrit" not in claims:
        return
    for name in claims.text("cdnicrit", 512).split(","):
        if name not in _UNDERSTOOD or name not in claims:
            raise read.unsupported("cdnicrit names claims that are not there, or not understood")


def _network(text: str) -> tuple[str, ...]:
    """An address or prefix; the specification's own example has IPv6 in brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return (str(ipaddress.ip_network(bare, strict=False)),)
    except ValueError:
        raise read.malformed("claim cdniip: an address or prefix is required") from None


def _check_uri(container: str, facts: Facts) -> None:
    """Claim ``cdniuc`` (§2.1.15): the SHA-256 of the URI, or a regular expression that has to match all of it."""
    path = normal_path(facts.path)
    uri = f"{facts.scheme}://{facts.host}{path}{'?' if facts.query else ''}{facts.query}"
    if container.startswith(_HASH):
        digest = base64url.encode(sha256(uri.encode(errors="surrogateescape")).digest())
        fits = digest == container.removeprefix(_HASH)
    elif container.startswith(_REGEX):
        try:
            fits = compile_pattern(container.removeprefix(_REGEX)).matches(uri)
        except PatternError as err:
            raise read.unsupported(f"claim cdniuc: {err}") from None
    else:
        raise read.unsupported("claim cdniuc: hash:sha-256; or regex: required")
    if path is None or not fits:
        raise BadTokenError(Reason.SCOPE_PATH, "the token is about another URI")


def _renewal(claims: Claims, facts: Facts) -> Renewal | None:
    """Claims ``cdniets``, ``cdnistt`` and ``cdnistd`` (§2.1.12 to §2.1.14), of which the first needs the second."""
    transport, add = claims.whole("cdnistt", COOKIE), claims.whole("cdniets", _MAX_RENEWAL_S)
    depth = claims.whole("cdnistd", _MAX_DEPTH)
    if bool(transport) != bool(add):
        raise read.malformed("cdniets and cdnistt go together")
    if not add:
        return None
    folders = facts.path.split("/")[1 : 1 + depth]
    # Due on every request: the cookie is to be as young as the last one.
    return Renewal(add, _MAX_RENEWAL_S, "cookie", parameters=("Path=/" + "/".join(folders), *_COOKIE))
