"""What a request shows of itself: everything that a token's restrictions may be compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Facts:
    """One request, as a trusted front or the socket tells it.

    ``path`` is the raw path without query, ``query`` the raw query without its question mark; ``headers`` are
    looked up without regard to case. ``address`` is the client's own, after trusted proxies. ``asn`` is 0, and
    ``country`` (ISO 3166-1 alpha-2) and ``region`` (ISO 3166-2) are empty, where no trusted front names them.
    """

    method: str
    path: str
    query: str = ""
    scheme: str = "http"
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    asn: int = 0
    country: str = ""
    region: str = ""
