"""Where a token travels: under which names of header, cookie, path and query a request may carry one.

One request carries one token. The same token found twice is fine, two different ones are a conflict: which of
them counted would be a matter of luck.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import unquote

from relay.facts import Facts
from relay.verdict import Deny, Reason

MAX_TOKEN = 4096
"""Characters of a token, before anything of it is parsed."""
ANY_PATH = "*"
"""The path name of tokens that are a path element of their own."""


class Carrier(StrEnum):
    """What part of a request carries a token."""

    HEADER = "header"
    COOKIE = "cookie"
    PATH = "path"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Names:
    """The names that an issuer's tokens travel under; ``path`` is :data:`ANY_PATH` for the bare token, "" for none.

    ``joined``: the query names are those of one token's parts, which a comma joins.
    """

    header: tuple[str, ...] = ()
    cookie: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    path: str = ""
    joined: bool = False


DEFAULT_NAMES: Mapping[str, Names] = {
    "jwt": Names(header=("Authorization",), cookie=("segmentgate",), query=("token",)),
    "cat": Names(
        header=("CTA-Common-Access-Token", "Common-Access-Token"),
        cookie=("CTA-Common-Access-Token", "Common-Access-Token"),
        query=("CAT", "cat"),
    ),
    "akamai": Names(
        cookie=("hdntl", "hdnts", "hdnea", "__token__"), query=("hdnts", "hdnea", "hdntl", "__token__"), path="hdntl"
    ),
    "uri-signing": Names(cookie=("URISigningPackage",), query=("URISigningPackage",), path="URISigningPackage"),
    "media-cdn": Names(cookie=("Edge-Cache-Cookie",), query=("edge-cache-token",), path="edge-cache-token"),
    "secure-media": Names(path=ANY_PATH),
    "secure-link": Names(query=("md5", "expires"), joined=True),
    "fastly": Names(query=("token",)),
}
"""The names that each dialect uses in the field."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token as a request carried it. ``issuers`` are those whose tokens may come by that carrier and name."""

    token: str = field(repr=False)
    carrier: Carrier
    name: str
    issuers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Presented:
    """Where a request may carry a token: its header fields, its raw query, and the raw path element set aside for it.

    ``headers`` give repeated fields each time, as multidicts do.
    """

    headers: Mapping[str, str]
    query: str = ""
    path: str = ""

    def without(self, facts: Facts, names: Collection[str]) -> Facts:
        """The facts of the request as it would be without a token: these query names, and the path element, left out.

        That is the URL that a token's restrictions and MACs are about.
        """
        path = facts.path.replace(f"/{self.path}/", "/", 1) if self.path else facts.path
        return replace(facts, path=path, query=strip(facts.query, names))


class Carriers:
    """Finds the token of a request, for issuers and the names of each."""

    def __init__(self, names: Mapping[str, Names]) -> None:
        self._issuers: dict[tuple[Carrier, str], list[str]] = {}
        self._joined: dict[tuple[str, ...], list[str]] = {}
        for issuer, own in names.items():
            slots = [(Carrier.HEADER, name.lower()) for name in own.header]
            slots += [(Carrier.COOKIE, name) for name in own.cookie]
            if own.path:
                slots.append((Carrier.PATH, own.path))
            if own.joined:
                self._joined.setdefault(own.query, []).append(issuer)
            else:
                slots += [(Carrier.QUERY, name) for name in own.query]
            for slot in slots:
                self._issuers.setdefault(slot, []).append(issuer)
        self.query_names = frozenset(name for own in names.values() for name in own.query)
        """Every query name that may carry a token or a part of one."""

    def find(self, presented: Presented) -> Credential | Deny:
        """The token of a request, looked for in header, cookie, path and query; the first says which carrier it is."""
        found = [*self._named(presented), *self._of_parts(presented.query)]
        if not found:
            return Deny(Reason.TOKEN_MISSING, "no token in header, cookie, path or query")
        if any(len(one.token) > MAX_TOKEN for one in found):
            return Deny(Reason.TOKEN_MALFORMED, f"a token has at most {MAX_TOKEN} characters")
        first = found[0]
        if any(one.token != first.token for one in found):
            return Deny(Reason.TOKEN_CONFLICT, "two different tokens in one request")
        # Under two names it may be a token of the issuers of either.
        issuers = dict.fromkeys(issuer for one in found for issuer in one.issuers)
        return replace(first, issuers=tuple(issuers))

    def _named(self, presented: Presented) -> Iterator[Credential]:
        fields = [(name.lower(), value) for name, value in presented.headers.items()]
        for carrier, name, text in (
            *((Carrier.HEADER, name, _bare(name, value)) for name, value in fields),
            *((Carrier.COOKIE, name, _decoded(value)) for name, value in _cookies(fields)),
            *self._of_path(presented.path),
            *((Carrier.QUERY, unquote(name), _decoded(value)) for name, value in _pairs(presented.query)),
        ):
            issuers = self._issuers.get((carrier, name))
            if issuers and text:
                yield Credential(text, carrier, name, tuple(issuers))

    def _of_path(self, element: str) -> Iterator[tuple[Carrier, str, str]]:
        name, _, value = element.partition("=")
        if (Carrier.PATH, name) in self._issuers:
            yield Carrier.PATH, name, _decoded(value)
        else:
            yield Carrier.PATH, ANY_PATH, _decoded(element)

    def _of_parts(self, query: str) -> Iterator[Credential]:
        if not self._joined:
            return
        pairs = [(unquote(name), _decoded(value)) for name, value in _pairs(query)]
        for names, issuers in self._joined.items():
            parts = [[value for name, value in pairs if name == wanted] for wanted in names]
            if any(parts):
                # A part given twice or not at all makes a text that no dialect takes.
                text = ",".join(",".join(dict.fromkeys(part)) for part in parts)
                yield Credential(text, Carrier.QUERY, ",".join(names), tuple(issuers))


def strip(query: str, names: Collection[str]) -> str:
    """A raw query without the parameters of these names; the others as they were."""
    kept = (pair for pair in query.split("&") if unquote(pair.partition("=")[0]) not in names)
    return "&".join(kept)


def _bare(name: str, value: str) -> str:
    if name != "authorization":
        return value.strip()
    scheme, _, token = value.strip().partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "dpop") else ""


def _cookies(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in fields:
        for pair in value.split(";") if name == "cookie" else ():
            key, _, text = pair.strip().partition("=")
            yield key, text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield name, value


def _decoded(value: str) -> str:
    """A token without the percent-encoding that only its carrier needed.

    Link tokens may hold percent-encoding of their own, over which their MAC stands. All of them hold equals signs:
    only where those were encoded was the whole token.
    """
    return value if "=" in value or "%" not in value else unquote(value, errors="replace")
