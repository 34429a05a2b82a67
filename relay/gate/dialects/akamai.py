"""Akamai Auth Token 2.0 (EdgeAuth): ``st=…~exp=…~acl=…~hmac=…``.

The MAC stands over the fields as they were received. A URL token has no ``acl``: its MAC covers ``url=`` and the
request's path, which it does not spell; ``salt=`` and a secret text may follow, which no token spells either.
"""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import quote_plus, unquote

from msgspec import Meta

from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import links
from relay.gate.dialects.base import Proof
from relay.gate.dialects.claims import BadTokenError, Terms
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.globs import Glob
from relay.gate.scope import Scope
from relay.verdict import Deny

MAX_ACLS = 32
_FIELDS = frozenset({"ip", "st", "exp", "acl", "id", "data"})
_ORDER = ("ip", "st", "exp", "acl", "id", "data")
_MAC = re.compile(r"(.+)~hmac=([0-9a-f]+)")
_ESCAPE = re.compile("%..")


@dataclass(frozen=True, slots=True)
class AkamaiOptions:
    """How an issuer makes its tokens.

    ``salt`` is its secret text, ``hashes`` are those that it may use. With ``escape_early`` it percent-encodes
    fields before the MAC. ``account`` names the field that identifies the viewer: ``id``, ``data`` or none.
    """

    salt: str = field(default="", repr=False)
    hashes: Annotated[tuple[Literal["sha256", "sha1", "md5"], ...], Meta(min_length=1)] = ("sha256",)
    escape_early: bool = False
    account: Literal["", "id", "data"] = ""


class AkamaiDialect:
    """Verifies the tokens of one issuer, by any of its keys: a second one is Akamai's *transition key*."""

    def __init__(self, terms: Terms, keys: KeySet, options: AkamaiOptions | None = None) -> None:
        self._terms = terms
        self._keys = keys
        self._options = options or AkamaiOptions()

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            links.check_text(token)
            parts = _MAC.fullmatch(token)
            if parts is None:
                raise read.malformed("a token ends in ~hmac= and lower-case hexadecimal")
            fields = links.fields_of(parts[1], _FIELDS)
            key = self._key(parts[1], "acl" not in fields, parts[2], facts, now)
            return self._proof(token, fields, key, facts, now)
        except BadTokenError as bad:
            return bad.deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """None: no token of this dialect asks for it."""
        return None

    def _key(self, signed: str, names_url: bool, mac: str, facts: Facts, now: float) -> TokenKey:
        text = f"{signed}~url={_escaped(links.path_of(facts), self._options)}" if names_url else signed
        return links.key_of_mac(self._keys, now, _salted(text, self._options), self._options.hashes, mac)

    def _proof(self, token: str, fields: Mapping[str, str], key: TokenKey, facts: Facts, now: float) -> Proof:
        expires_at = links.seconds(fields.get("exp", ""), "exp")
        starts_at = links.seconds(fields["st"], "st") if "st" in fields else 0
        links.check_times(self._terms, now, expires_at, starts_at)
        named = {name: self._plain(fields[name]) for name in ("ip", "id", "data") if name in fields}
        session = links.session_of(
            token,
            self._terms,
            key.kid,
            expires_at,
            sid=named.get("id", ""),
            account=named.get(self._options.account, ""),
            issued_at=starts_at,
            bounds=Bounds(networks=_network(named["ip"])) if "ip" in fields else None,
        )
        return Proof(session, _scope(fields, facts))

    def _plain(self, text: str) -> str:
        return unquote(text.replace("+", " "), errors="replace") if self._options.escape_early else text


def mint_acl_token(fields: Mapping[str, str | int], key: bytes, options: AkamaiOptions | None = None) -> str:
    """A token as a platform would make it; ``fields`` hold an ``acl``, already escaped where that is wanted."""
    options = options or AkamaiOptions()
    signed = "~".join(f"{name}={fields[name]}" for name in _ORDER if name in fields)
    mac = hmac.digest(key, _salted(signed, options), options.hashes[0]).hex()
    return f"{signed}~hmac={mac}"


def _salted(text: str, options: AkamaiOptions) -> bytes:
    return (f"{text}~salt={options.salt}" if options.salt else text).encode()


def _escaped(path: str, options: AkamaiOptions) -> str:
    return _ESCAPE.sub(lambda escape: escape[0].lower(), quote_plus(path)) if options.escape_early else path


def _network(text: str) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_network(text)),)
    except ValueError:
        raise read.malformed("field ip: an address is required") from None


def _scope(fields: Mapping[str, str], facts: Facts) -> Scope:
    if "acl" not in fields:
        return links.this_path(facts)
    patterns = [unquote(pattern, errors="replace") for pattern in fields["acl"].split("!")]
    if len(patterns) > MAX_ACLS:
        raise read.unsupported(f"field acl: at most {MAX_ACLS} patterns")
    return links.path_scope(*map(Glob, patterns))
