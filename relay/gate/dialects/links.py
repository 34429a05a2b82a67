"""What signed links have in common: text fields, and sessions that derive from the token's text.

Such tokens name no account and often no session. What names them is the token itself: whoever shows the same one
is the same session, which can be revoked by the id that derives from it.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from urllib.parse import unquote

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.carriers import MAX_TOKEN
from relay.gate.dialects import claims as read
from relay.gate.dialects.claims import BadTokenError, Claims, Terms
from relay.gate.dialects.keys import SYMMETRIC, KeySet, TokenKey
from relay.gate.globs import Glob
from relay.gate.scope import Kind, Match, Scope, UriRule
from relay.gate.uri import Part
from relay.model import Session
from relay.verdict import Answer, Reason

MAX_ACCOUNT = 128
GONE: Mapping[str, Answer] = {Reason.TOKEN_EXPIRED: (410, {})}
"""What nginx and Fastly answer when a link's time is over, and players of such links expect."""
_SECONDS = re.compile(r"[1-9][0-9]{0,11}")


def check_text(token: str) -> None:
    """Raises :class:`BadTokenError` for what can be no link."""
    if not 0 < len(token) <= MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise read.malformed(f"not a printable text of at most {MAX_TOKEN} characters")


def fields_of(token: str, known: frozenset[str], flags: frozenset[str] = frozenset()) -> Mapping[str, str]:
    """The fields ``name=value`` of a link, which ``~`` joins; those in ``flags`` are a name alone.

    Raises :class:`BadTokenError` for fields empty or given twice, and for unknown ones: they might narrow the link.
    """
    found: dict[str, str] = {}
    for part in token.split("~"):
        name, _, value = part.partition("=")
        if name not in known:
            raise read.unsupported("a field that is not known here")
        if name in found:
            raise read.malformed(f"field {name} is given twice")
        if (part == name) != (name in flags) or not (value or name in flags):
            raise read.malformed(f"field {name} has no value, or one too many")
        found[name] = value
    return found


def key_of_mac(keys: KeySet, now: float, message: bytes, hashes: Iterable[str], mac: str) -> TokenKey:
    """The secret that made an HMAC, in lower-case hexadecimal, with one of the hashes.

    A link names no key, so each is tried. Raises :class:`BadTokenError`.
    """
    tried = [(key, name) for key in secrets_of(keys, now) for name in hashes]
    return first_fitting(
        [key for key, name in tried if hmac.compare_digest(hmac.digest(key.key, message, name).hex(), mac)]
    )


def secrets_of(keys: KeySet, now: float) -> Iterable[TokenKey]:
    """The keys that can have made a MAC."""
    return (key for key in keys.live(now) if key.algorithm == SYMMETRIC)


def first_fitting(keys: Sequence[TokenKey]) -> TokenKey:
    """The first of the keys that verify a link. Raises :class:`BadTokenError` where there is none."""
    if not keys:
        raise BadTokenError(Reason.TOKEN_SIGNATURE, "the MAC or signature does not verify")
    return keys[0]


def path_of(facts: Facts) -> str:
    """The raw path of a request, as a MAC may cover it. Raises :class:`BadTokenError` for one that is no URL's."""
    if not facts.path.isascii():
        raise BadTokenError(Reason.SCOPE_PATH, "a path of more than ASCII characters")
    return facts.path


def seconds(text: str, name: str) -> int:
    """A time in whole seconds since the epoch, which has one spelling. Raises :class:`BadTokenError`."""
    if not _SECONDS.fullmatch(text):
        raise read.malformed(f"{name}: whole seconds since the epoch required")
    return int(text)


def check_times(terms: Terms, now: float, expires_at: int, starts_at: int = 0) -> None:
    """Raises :class:`BadTokenError` for a link before its start, past its end, or valid for too long."""
    times = {"exp": expires_at, "nbf": starts_at} if starts_at else {"exp": expires_at}
    read.check_times(Claims(times), terms, now)


def session_of(
    text: str,
    terms: Terms,
    key_id: str,
    expires_at: int,
    *,
    sid: str = "",
    token_id: str = "",
    account: str = "",
    issued_at: int = 0,
    bounds: Bounds | None = None,
) -> Session:
    """The session of a link; what the link does not name derives from ``text``. Raises :class:`BadTokenError`.

    ``text`` is the token's, without a signature that could be spelt in two ways.
    """
    derived = derived_id(text)
    return Session(
        sid=read.session_id(sid) if sid else derived,
        account=account_id(account) or sid or derived,
        issuer=terms.issuer,
        expires_at=expires_at,
        token_id=token_id or derived,
        key_id=key_id,
        issued_at=issued_at,
        bounds=bounds or Bounds(),
    )


def derived_id(token: str) -> str:
    """An id of whatever a text alone names: 22 characters that do not tell the text."""
    return base64url.encode(blake2b(token.encode(), digest_size=16, person=b"signed link").digest())


def account_id(text: str) -> str:
    """An issuer's name for a viewer as an account id: itself, or an id derived from it where it is too long."""
    return text if len(text) <= MAX_ACCOUNT else derived_id(text)


def only_here(facts: Facts) -> tuple[str, ...]:
    """The network of a session bound to the address it begins from. Raises :class:`BadTokenError`."""
    try:
        return (str(ipaddress.ip_network(facts.address)),)
    except ValueError:
        raise BadTokenError(Reason.SCOPE_NETWORK, "the address that the token is bound to is not known") from None


def path_scope(*alternatives: Match | Glob) -> Scope:
    """The scope of paths that fit any one of the alternatives."""
    return Scope(tuple(UriRule(((Part.PATH, (match,)),)) for match in alternatives))


def this_path(facts: Facts) -> Scope:
    """The scope of a link whose MAC covers the path of the request and no other."""
    return path_scope(Match(Kind.EXACT, unquote(path_of(facts), errors="replace")))
