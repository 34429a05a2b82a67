"""Where a watermark token travels (ETSI TS 104 002 V1.1.1 §5.7.1 leaves it open): as a virtual first component of the
path, in the query, or in a header. One request carries one token."""

from dataclasses import dataclass, field
from urllib.parse import unquote

from relay.gate.carriers import MAX_TOKEN, strip
from relay.verdict import Deny, Reason

PATH_PREFIX = "wmt:"
"""What begins the component in the path, as edges in the field have it."""
QUERY_NAME = "wmt"
_SCHEMES = ("wmt", "bearer")


@dataclass(frozen=True, slots=True)
class Carried:
    """A token, "" for none, and the request as it would be without it: raw path and query."""

    token: str = field(repr=False)
    path: str
    query: str


def take_out(path: str, query: str = "", authorization: str = "", *, bearer: bool = False) -> Carried | Deny:
    """The watermark token of a request, from the raw forms of its path, query and ``Authorization``.

    That header may hold it bare or under the scheme ``WMT``. ``bearer`` says whether ``Bearer`` announces one, too: not
    where session tokens come that way. Two different tokens are refused, since which of them counted would be a matter
    of luck.
    """
    found: list[str] = []
    prefix = prefix_of(path)
    if prefix:
        found.append(unquote(prefix)[1 + len(PATH_PREFIX) :])
        path = path.removeprefix(prefix) or "/"
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote(name) == QUERY_NAME:
            found.append(unquote(value))
    found += _of_header(authorization, bearer)
    if any(len(token) > MAX_TOKEN for token in found):
        return Deny(Reason.TOKEN_MALFORMED, f"a token has at most {MAX_TOKEN} characters")
    if any(token != found[0] for token in found):
        return Deny(Reason.TOKEN_CONFLICT, "two different watermark tokens in one request")
    if found and not found[0]:
        return Deny(Reason.TOKEN_MALFORMED, "an empty watermark token")
    return Carried(found[0] if found else "", path, strip(query, (QUERY_NAME,)))


def prefix_of(path: str) -> str:
    """The first component of a raw path, slash and all, if that is a watermark token; else nothing."""
    end = path.find("/", 1)
    first = path if end < 0 else path[:end]
    return first if unquote(first[1 : 1 + 3 * len(PATH_PREFIX)]).startswith(PATH_PREFIX) else ""


def _of_header(value: str, bearer: bool) -> list[str]:
    scheme, _, token = value.strip().partition(" ")
    if not token:
        return [scheme] if scheme and scheme.lower() not in _SCHEMES else []
    named = scheme.lower()
    return [token.strip()] if named == "wmt" or (named == "bearer" and bearer) else []
