"""What a token may be presented for: URI parts and headers that must match (CTA-5007, claims catu and cath).

The JWT profile spells the same in JSON: names instead of labels, digests in base64url.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from cryptography.hazmat.primitives.hashes import SHA256, SHA512_256, Hash

from keys import base64url
from relay.facts import Facts
from relay.gate.globs import Glob
from relay.gate.patterns import PatternError, compile_pattern
from relay.gate.uri import Part, sorted_query, spellings
from relay.verdict import Deny, Reason

MAX_RULES = 32
MAX_HEADERS = 16
MAX_VALUE = 1024
_Name = TypeVar("_Name", bound=StrEnum)
_PLACE = (Part.SCHEME, Part.HOST, Part.PORT)
_CASELESS = (Part.SCHEME, Part.HOST)
_TOKEN_CHARS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class ScopeError(ValueError):
    """A restriction is malformed."""


class UnenforcedError(ScopeError):
    """A restriction is well-formed, but not one that is enforced here; so its token must not be accepted."""


class Kind(StrEnum):
    """How a text is compared, by its name in JSON."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAINS = "contains"
    REGEX = "regex"
    SHA256 = "sha256"
    SHA512_256 = "sha512-256"


_HASHES = {Kind.SHA256: SHA256, Kind.SHA512_256: SHA512_256}
_CBOR_KINDS: Mapping[object, Kind] = {
    0: Kind.EXACT,
    1: Kind.PREFIX,
    2: Kind.SUFFIX,
    3: Kind.CONTAINS,
    4: Kind.REGEX,
    -1: Kind.SHA256,
    -2: Kind.SHA512_256,
}
_CBOR_PARTS: Mapping[object, Part] = dict(enumerate(Part))
_JSON_KINDS: Mapping[object, Kind] = {kind.value: kind for kind in Kind}
_JSON_PARTS: Mapping[object, Part] = {part.value: part for part in Part}


@dataclass(frozen=True, slots=True)
class Match:
    """One comparison. ``value`` is a digest for hashes, a pattern for a regular expression, else text."""

    kind: Kind
    value: str | bytes
    ignore_case: bool = False

    def holds(self, text: str) -> bool:
        """Whether a text compares well."""
        if isinstance(self.value, bytes):
            digest = Hash(_HASHES[self.kind]())
            digest.update(text.encode(errors="surrogatepass"))
            return digest.finalize() == self.value
        match self.kind:
            case Kind.REGEX:
                return compile_pattern(self.value, self.ignore_case).matches(text)
            case Kind.PREFIX:
                return text.startswith(self.value)
            case Kind.SUFFIX:
                return text.endswith(self.value)
            case Kind.CONTAINS:
                return self.value in text
            case _:
                return text == self.value


Matches = tuple[Match | Glob, ...]


@dataclass(frozen=True, slots=True)
class UriRule:
    """A set of URLs: those whose parts all match. The parts that name the place come first."""

    parts: tuple[tuple[Part, Matches], ...]

    def broken_by(self, facts: Facts) -> Part | None:
        """The first part of a request's URL that does not match."""
        for part, matches in self.parts:
            texts = spellings(part, facts)
            if not all(any(match.holds(text) for text in texts) for match in matches):
                return part
        return None


@dataclass(frozen=True, slots=True)
class Scope:
    """Restrictions of the requests that carry a token. An empty one allows every request.

    A URL has to follow any one of ``uris``, and none can where that is an empty tuple. Every one of ``headers``,
    named in lower case, has to be there and match.
    """

    uris: tuple[UriRule, ...] | None = None
    headers: tuple[tuple[str, Matches], ...] = ()

    def check(self, facts: Facts) -> Deny | None:
        """The first restriction that a request breaks. Its query comes without the parameter that carries the token."""
        if self.uris is not None:
            broken = [rule.broken_by(facts) for rule in self.uris]
            if None not in broken:
                there = any(part not in _PLACE for part in broken)
                reason = Reason.SCOPE_PATH if there or not broken else Reason.SCOPE_HOST
                return Deny(reason, f"the token does not allow this {broken[-1] if broken else 'URL'}")
        for name, matches in self.headers:
            value = facts.headers.get(name)
            if value is None or not all(match.holds(value.strip()) for match in matches):
                return Deny(Reason.SCOPE_HEADER, f"the token does not allow this request: header {name}")
        return None


def uris_from_json(value: object) -> tuple[UriRule, ...]:
    """Claim ``paths`` of the JWT profile: a list of rules, any one of which is enough. Raises :class:`ScopeError`."""
    if not isinstance(value, list) or len(value) > MAX_RULES:
        raise ScopeError(f"a list of at most {MAX_RULES} objects is required")
    return tuple(_rule(item, _JSON_PARTS, _JSON_KINDS, _digest_from_text) for item in value)


def uris_from_cbor(value: object) -> tuple[UriRule, ...]:
    """Claim ``catu``: one rule. Raises :class:`ScopeError`."""
    return (_rule(value, _CBOR_PARTS, _CBOR_KINDS, _digest_from_bytes),)


def headers_from_json(value: object) -> tuple[tuple[str, Matches], ...]:
    """Claim ``hdr`` of the JWT profile. Raises :class:`ScopeError`."""
    return _headers(value, _JSON_KINDS, _digest_from_text)


def headers_from_cbor(value: object) -> tuple[tuple[str, Matches], ...]:
    """Claim ``cath``. Raises :class:`ScopeError`."""
    return _headers(value, _CBOR_KINDS, _digest_from_bytes)


_ReadDigest = Callable[[object], bytes]


def _rule(
    value: object, parts: Mapping[object, Part], kinds: Mapping[object, Kind], read_digest: _ReadDigest
) -> UriRule:
    given = {_named(name, parts, "URI part"): raw for name, raw in _map(value, len(Part)).items()}
    return UriRule(
        tuple((part, _matches(given[part], kinds, read_digest, part)) for part in Part if part in given),
    )


def _headers(value: object, kinds: Mapping[object, Kind], read_digest: _ReadDigest) -> tuple[tuple[str, Matches], ...]:
    found: dict[str, Matches] = {}
    for name, raw in _map(value, MAX_HEADERS).items():
        if not isinstance(name, str) or not 0 < len(name) <= 64 or not _TOKEN_CHARS.issuperset(name.lower()):
            raise ScopeError("a name that is no header's")
        if name.lower() in found:
            raise ScopeError("a header given twice")
        found[name.lower()] = _matches(raw, kinds, read_digest)
    return tuple(found.items())


def _matches(
    value: object, kinds: Mapping[object, Kind], read_digest: _ReadDigest, part: Part | None = None
) -> Matches:
    given = _map(value, len(Kind))
    if not given:
        raise ScopeError("a match without a value")
    return tuple(_match(_named(name, kinds, "match type"), raw, read_digest, part) for name, raw in given.items())


def _match(kind: Kind, raw: object, read_digest: _ReadDigest, part: Part | None) -> Match:
    if kind in _HASHES:
        return Match(kind, read_digest(raw))
    if kind is Kind.REGEX:
        return _pattern(raw, part in _CASELESS)
    if not isinstance(raw, str) or len(raw) > MAX_VALUE:
        raise ScopeError(f"{kind}: text of at most {MAX_VALUE} characters is required")
    if part is Part.QUERY and kind is Kind.EXACT:
        raw = sorted_query(raw)
    return Match(kind, raw.lower() if part in _CASELESS else raw)


def _pattern(raw: object, ignore_case: bool) -> Match:
    text, flags = (raw if len(raw) == 2 else [*raw, ""]) if isinstance(raw, list) and 0 < len(raw) <= 2 else (raw, "")
    if not isinstance(text, str) or not isinstance(flags, str):
        raise ScopeError("regex: a pattern, or a list of pattern and flags, is required")
    if flags not in ("", "i"):
        raise UnenforcedError("regex: no flag but i is enforced here")
    try:
        compile_pattern(text, ignore_case or flags == "i")
    except PatternError as err:
        raise UnenforcedError(f"regex: {err}") from None
    return Match(Kind.REGEX, text, ignore_case or flags == "i")


def _map(value: object, most: int) -> Mapping[object, object]:
    if not isinstance(value, Mapping) or len(value) > most:
        raise ScopeError(f"a map of at most {most} entries is required")
    return value


def _named(name: object, names: Mapping[object, _Name], what: str) -> _Name:
    # A boolean equals 0 or 1, and so would be found among the labels.
    if isinstance(name, bool) or name not in names:
        raise UnenforcedError(f"a {what} that is not enforced here")
    return names[name]


def _digest_from_text(value: object) -> bytes:
    try:
        return _digest_from_bytes(base64url.decode(value) if isinstance(value, str) else None)
    except ValueError:
        raise ScopeError("a digest of 32 bytes in base64url is required") from None


def _digest_from_bytes(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise ScopeError("a digest of 32 bytes is required")
    return value
