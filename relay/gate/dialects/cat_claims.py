"""The claims that CTA-5007 adds to a CBOR Web Token, each read into what the gate enforces."""

import ipaddress
from collections.abc import Mapping
from enum import StrEnum

from keys import base64url
from relay.bounds import DEFAULT_PROOF_WINDOW, Bounds
from relay.gate.dialects import claims as read
from relay.gate.dialects import renewals
from relay.gate.dialects.base import Renewal, Use
from relay.gate.dialects.claims import Claims
from relay.gate.scope import Scope, headers_from_cbor, uris_from_cbor
from relay.verdict import Answer, Reason

LABELS: Mapping[str, int] = {
    "iss": 1,
    "sub": 2,
    "aud": 3,
    "exp": 4,
    "nbf": 5,
    "iat": 6,
    "cti": 7,
    "cnf": 8,
    "catreplay": 308,
    "catv": 310,
    "catnip": 311,
    "catu": 312,
    "catm": 313,
    "cath": 315,
    "catgeoiso3166": 316,
    "catifdata": 320,
    "catdpop": 321,
    "catif": 322,
    "catr": 323,
    "status": 65535,
}
"""Claims that are enforced here, or restrict nothing."""
REFUSED: Mapping[int, str] = {
    41: "or",
    42: "nor",
    43: "and",
    44: "enc",
    45: "crit",
    275: "275",
    282: "geohash",
    309: "catpor",
    314: "catalpn",
    317: "catgeocoord",
    318: "catgeoalt",
    319: "cattpk",
    324: "cattprint",
}
"""Claims that restrict and are not enforced here. 275 was the window of DPoP proofs in older builds."""
_RESERVED = range(282, 331)
"""Where CTA-5007 has its labels, and where a new one is likely to restrict."""
_KNOWN = frozenset(LABELS.values())
_NAMES = frozenset([*LABELS, *REFUSED.values(), "moqt", "moqt-reval"])
_ABSOLUTE_FROM = 10**9
_MAX_WINDOW = 3600
_MAX_HEADERS = 16
_MAX_HEADER_VALUE = 2048
_WAYS = ("automatic", "cookie", "header", "redirect")
_JKT = 3
_FAILS: Mapping[int, tuple[Reason, ...]] = {
    3: (Reason.TOKEN_AUDIENCE,),
    4: (Reason.TOKEN_EXPIRED,),
    5: (Reason.TOKEN_NOT_YET_VALID,),
    8: (Reason.PROOF_MISSING, Reason.PROOF_INVALID),
    308: (Reason.REPLAYED,),
    311: (Reason.SCOPE_NETWORK,),
    312: (Reason.SCOPE_PATH, Reason.SCOPE_HOST),
    313: (Reason.SCOPE_METHOD,),
    315: (Reason.SCOPE_HEADER,),
    316: (Reason.GEO_BLOCKED,),
    321: (Reason.PROOF_MISSING, Reason.PROOF_INVALID),
}
"""Which refusals a failing claim leads to."""


class Deadline(StrEnum):
    """What the number in ``catr`` means, on which implementations disagree."""

    AUTO = "auto"
    """Seconds before ``exp``; from 10⁹ on a time."""
    SECONDS = "seconds"
    MINUTES = "minutes"
    ABSOLUTE = "absolute"


def refuse_unknown(values: Mapping[object, object], private: frozenset[object]) -> None:
    """Refuse a token with a claim that restricts, or may, and that nothing here enforces; names the claim."""
    for label in values:
        if label in private or label in _KNOWN:
            continue
        if isinstance(label, int) and (label in REFUSED or label in _RESERVED):
            raise read.unsupported(f"claim {REFUSED.get(label, label)} is not enforced here, so not accepted")
        if isinstance(label, str) and label in _NAMES:
            raise read.unsupported(f"claim {label} is not taken by name")


def is_private(label: int | str) -> bool:
    """Whether a claim of one's own may have a label: none that stands for something else already."""
    if isinstance(label, str):
        return 0 < len(label) <= 64 and label not in _NAMES
    return not isinstance(label, bool) and label not in {*_KNOWN, *REFUSED, *_RESERVED}


def token_id(claims: Claims) -> bytes:
    """Claim ``cti``; some issuers spell it as text. Empty where it is absent."""
    value = claims.get("cti") if "cti" in claims else b""
    raw = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    if not isinstance(raw, bytes) or len(raw) > 48 or ("cti" in claims and not raw):
        raise read.malformed("claim cti: 1 to 48 bytes required")
    return raw


def check_version(claims: Claims) -> None:
    """Claim ``catv``: there is one version."""
    if "catv" in claims and (type(claims.get("catv")) is not int or claims.get("catv") != 1):
        raise read.unsupported("claim catv: only version 1 is known")


def use(claims: Claims) -> Use:
    """Claim ``catreplay``: 0 permitted, 1 prohibited, 2 reuse detection."""
    if "catreplay" not in claims:
        return Use.MANY
    found = (Use.MANY, Use.ONCE, Use.WATCH)[read.whole(claims.get("catreplay"), "catreplay", 2)]
    if found is not Use.MANY and "cti" not in claims:
        raise read.malformed("claim catreplay: a token without cti cannot be told from another")
    return found


def scope(claims: Claims) -> Scope:
    """Claims ``catu`` and ``cath``."""
    with read.restricting("catu"):
        uris = uris_from_cbor(claims.get("catu")) if "catu" in claims else None
    with read.restricting("cath"):
        headers = headers_from_cbor(claims.get("cath")) if "cath" in claims else ()
    return Scope(uris, headers)


def bounds(claims: Claims) -> Bounds:
    """Claims ``catm``, ``catnip``, ``catgeoiso3166``, ``cnf`` with ``catdpop``, and the private ``reval``."""
    window, single_use = _proof_settings(claims)
    return Bounds(
        methods=read.methods(claims.get("catm"), "catm") if "catm" in claims else (),
        networks=_networks(claims.get("catnip")) if "catnip" in claims else (),
        countries=read.countries(claims.get("catgeoiso3166"), "catgeoiso3166") if "catgeoiso3166" in claims else (),
        proof_key=_proof_key(claims.get("cnf")) if "cnf" in claims else "",
        proof_window=window,
        proof_reuse=not single_use,
        revalidate=claims.whole("reval"),
    )


def renewal(claims: Claims, expires_at: int, reading: Deadline) -> Renewal | None:
    """Claim ``catr``."""
    if "catr" not in claims:
        return None
    given = read.mapping(claims.get("catr"), "catr")
    read.known_only(given, "catr", range(8))
    via = _WAYS[read.whole(given.get(0), "catr.type", len(_WAYS) - 1)]
    name, parameters = {"cookie": (3, 5), "header": (4, 6)}.get(via, (None, None))
    return renewals.checked(
        "catr",
        add=given.get(1),
        deadline=_deadline(given[2], expires_at, reading) if 2 in given else None,
        via=via,
        name=given.get(name, ""),
        status=given.get(7, 302),
        parameters=_parameters(given.get(parameters, ())),
    )


def is_absolute(deadline: object, reading: Deadline) -> bool:
    """Whether the deadline of a renewal is a time, not a distance."""
    if not isinstance(deadline, int):
        return False
    return reading is Deadline.ABSOLUTE or (reading is Deadline.AUTO and deadline >= _ABSOLUTE_FROM)


def answers(claims: Claims) -> dict[str, Answer]:
    """Claim ``catif``: what to answer when a claim fails, by the reason of the refusal."""
    found: dict[str, Answer] = {}
    given = read.mapping(claims.get("catif"), "catif") if "catif" in claims else {}
    for label, raw in given.items():
        if not isinstance(raw, list | tuple) or not 0 < len(raw) <= 3:
            raise read.malformed("claim catif: status and headers required")
        status = read.whole(raw[0], "catif.status", 599)
        headers = read.mapping(raw[1] if len(raw) > 1 else {}, "catif.headers")
        if len(raw) == 3 or any(isinstance(value, list | tuple) for value in headers.values()):
            raise read.unsupported("claim catif: a Location with a freshly signed token is not made here")
        if status < 300 or len(headers) > _MAX_HEADERS:
            raise read.malformed(f"claim catif: a status from 300 on and at most {_MAX_HEADERS} headers required")
        answer = status, dict(_header(name, value) for name, value in headers.items())
        found |= dict.fromkeys(_FAILS.get(label, ()), answer)
    return found


def _header(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not renewals.is_header_name(name):
        raise read.malformed("claim catif: a name that no token may give to a header")
    printable = isinstance(value, str) and value.isascii() and value.isprintable()
    if not isinstance(value, str) or not printable or len(value) > _MAX_HEADER_VALUE:
        raise read.malformed("claim catif: a value that no header can carry")
    return name, value


def _deadline(value: object, expires_at: int, reading: Deadline) -> int:
    """Seconds before ``exp``."""
    number = read.whole(value, "catr.deadline", 2**53 - 1)
    if is_absolute(number, reading):
        return max(0, expires_at - number)
    return number * 60 if reading is Deadline.MINUTES else number


def _parameters(value: object) -> object:
    """Parameters of a cookie or header come as a list, or joined by semicolons."""
    return tuple(part.strip() for part in value.split(";")) if isinstance(value, str) else value


def _networks(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= read.MAX_NETWORKS:
        raise read.malformed(f"claim catnip: 1 to {read.MAX_NETWORKS} networks required")
    return tuple(dict.fromkeys(map(_network, value)))


def _network(value: object) -> str:
    """An IP prefix or address (RFC 9164), which the CBOR decoder reads, or an AS number."""
    # Not IPv4Interface and IPv6Interface: an address with a prefix length says two things.
    if type(value) in (ipaddress.IPv4Network, ipaddress.IPv6Network):
        return str(value)
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address) and type(value).__name__.endswith("Address"):
        return str(ipaddress.ip_network(value))
    if type(value) is int and 0 < value < 2**32:
        return f"AS{value}"
    raise read.malformed("claim catnip: an entry is no IP prefix, address or AS number")


def _proof_key(value: object) -> str:
    given = read.mapping(value, "cnf")
    read.known_only(given, "cnf", (_JKT,))
    raw = given.get(_JKT)
    return read.thumbprint(base64url.encode(raw) if isinstance(raw, bytes) else raw, "cnf.jkt")


def _proof_settings(claims: Claims) -> tuple[int, bool]:
    """Claim ``catdpop``: how old a proof may be in seconds, and whether its ``jti`` may come once only."""
    given = read.mapping(claims.get("catdpop"), "catdpop") if "catdpop" in claims else {}
    read.known_only(given, "catdpop", (0, 1))
    window = read.whole(given.get(0, DEFAULT_PROOF_WINDOW), "catdpop.window", _MAX_WINDOW)
    return window, bool(read.whole(given.get(1, 1), "catdpop.jti", 1))
