"""Google Media CDN tokens: ``PathGlobs=…~Expires=…~Signature=…``, signed with Ed25519 or an HMAC.

What is signed is what the token says, but for two fields: ``FullPath`` is signed with the request's path, and
``Headers``, of which a token gives the names alone, with the values that the request has.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from msgspec import Meta

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import links
from relay.gate.dialects.base import Proof
from relay.gate.dialects.claims import BadTokenError, Terms
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.globs import Glob
from relay.gate.scope import Kind, Match, Scope, UriRule
from relay.gate.uri import Part
from relay.verdict import Deny, Reason

MAX_GLOBS = 5
_ED25519 = "EdDSA"
_WHERE = frozenset({"PathGlobs", "URLPrefix", "FullPath"})
_FLAGS = frozenset({"FullPath"})
_FIELDS = _WHERE | {"Starts", "Expires", "SessionID", "Data", "Headers", "IPRanges"}
_SIGNED = re.compile(r"(.+)~(Signature|hmac)=([0-9A-Za-z_-]+)")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_MAX_HEADERS = 16
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class MediaCdnOptions:
    """Which ``hashes`` an issuer may use, and the field that identifies the viewer: ``Data``, ``SessionID`` or none."""

    hashes: Annotated[tuple[Literal["sha256", "sha1"], ...], Meta(min_length=1)] = ("sha256",)
    account: Literal["", "Data", "SessionID"] = ""


class MediaCdnDialect:
    """Verifies the tokens of one issuer, by any of its keys."""

    def __init__(self, terms: Terms, keys: KeySet, options: MediaCdnOptions | None = None) -> None:
        self._terms = terms
        self._keys = keys
        self._options = options or MediaCdnOptions()

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            links.check_text(token)
            parts = _SIGNED.fullmatch(token)
            if parts is None:
                raise read.malformed("a token ends in ~Signature= or ~hmac= and its value")
            fields = links.fields_of(parts[1], _FIELDS, _FLAGS)
            signed = _signed_text(parts[1], facts)
            key = self._key(signed.encode(errors="surrogateescape"), parts[2], parts[3], now)
            return self._proof(signed, fields, key, facts, now)
        except BadTokenError as bad:
            return bad.deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """None: no token of this dialect asks for it."""
        return None

    def _key(self, message: bytes, kind: str, proof: str, now: float) -> TokenKey:
        if kind == "hmac":
            return links.key_of_mac(self._keys, now, message, self._options.hashes, proof)
        try:
            signature = base64url.decode(proof)
        except ValueError:
            raise read.malformed("field Signature: not canonical base64url") from None
        public = [key for key in self._keys.live(now) if key.algorithm == _ED25519]
        return links.first_fitting([key for key in public if key.verifies(message, signature)])

    def _proof(self, signed: str, fields: Mapping[str, str], key: TokenKey, facts: Facts, now: float) -> Proof:
        expires_at = links.seconds(fields.get("Expires", ""), "Expires")
        starts_at = links.seconds(fields["Starts"], "Starts") if "Starts" in fields else 0
        links.check_times(self._terms, now, expires_at, starts_at)
        session = links.session_of(
            signed,
            self._terms,
            key.kid,
            expires_at,
            sid=fields.get("SessionID", ""),
            account=fields.get(self._options.account, ""),
            issued_at=starts_at,
            bounds=Bounds(networks=_networks(fields["IPRanges"])) if "IPRanges" in fields else None,
        )
        return Proof(session, _scope(fields, facts))


def _signed_text(token: str, facts: Facts) -> str:
    parts = []
    for part in token.split("~"):
        if part == "FullPath":
            parts.append(f"FullPath={_one_field(links.path_of(facts), Reason.SCOPE_PATH)}")
        elif part.startswith("Headers="):
            parts.append("Headers=" + ",".join(_with_values(part.removeprefix("Headers="), facts)))
        else:
            parts.append(part)
    return "~".join(parts)


def _with_values(names: str, facts: Facts) -> list[str]:
    listed = names.split(",")
    if len(listed) > _MAX_HEADERS or not all(map(_HEADER.fullmatch, listed)):
        raise read.malformed(f"field Headers: at most {_MAX_HEADERS} header names")
    pairs = []
    for name in listed:
        value = facts.headers.get(name)
        if value is None:
            raise BadTokenError(Reason.SCOPE_HEADER, f"the token does not allow a request without header {name}")
        pairs.append(f"{name}={_one_field(value, Reason.SCOPE_HEADER)}")
    return pairs


def _one_field(value: str, reason: Reason) -> str:
    # Or a request could bring what a field says that its token then left out, and sign itself free of it.
    if "~" in value:
        raise BadTokenError(reason, "a tilde where the request is part of what is signed")
    return value


def _networks(text: str) -> tuple[str, ...]:
    try:
        listed = base64url.decode(text).decode("ascii").split(",")
    except ValueError:
        raise read.malformed("field IPRanges: not base64url of text") from None
    if len(listed) > read.MAX_NETWORKS:
        raise read.unsupported(f"field IPRanges: at most {read.MAX_NETWORKS} networks")
    # What is no network allows nobody; the vendor's own samples hold such an entry beside a good one.
    networks = tuple(network for network in map(_network, listed) if network)
    if not networks:
        raise read.malformed("field IPRanges: not one network")
    return networks


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


def _scope(fields: Mapping[str, str], facts: Facts) -> Scope:
    if len(_WHERE & fields.keys()) != 1:
        raise read.malformed("one of PathGlobs, URLPrefix and FullPath is required")
    if "PathGlobs" in fields:
        globs = re.split("[,!]", fields["PathGlobs"])
        if len(globs) > MAX_GLOBS:
            raise read.unsupported(f"field PathGlobs: at most {MAX_GLOBS} patterns")
        return links.path_scope(*(Glob(unquote(glob, errors="replace")) for glob in globs))
    if "FullPath" in fields:
        return links.this_path(facts)
    return Scope((_prefix_rule(fields["URLPrefix"]),))


def _prefix_rule(text: str) -> UriRule:
    try:
        url = urlsplit(base64url.decode(text).decode("ascii"))
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    except (ValueError, KeyError):
        raise read.malformed("field URLPrefix: not base64url of an http or https URL") from None
    if url.query or url.fragment or url.username is not None:
        raise read.unsupported("field URLPrefix: more than scheme, host and path is not enforced here")
    if not host or not url.path:
        # http://example.com would be a prefix of http://example.com.elsewhere, too.
        raise read.malformed("field URLPrefix: it must reach at least to the slash behind the host")
    return UriRule(
        (
            (Part.SCHEME, (Match(Kind.EXACT, url.scheme),)),
            (Part.HOST, (Match(Kind.EXACT, f"[{host}]" if ":" in host else host),)),
            (Part.PORT, (Match(Kind.EXACT, str(port)),)),
            (Part.PATH, (Match(Kind.PREFIX, unquote(url.path, errors="replace")),)),
        )
    )
