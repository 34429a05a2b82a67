"""What lets a page of any site read the answers to its requests (Fetch standard, CORS protocol)."""

from relay.edge.next_keys import NEXT_KEYS_HEADER
from relay.problems import NONCE_HEADER, NUMBER_HEADER, REASON_HEADER, REQUEST_ID_HEADER

_EXPOSED = (
    REASON_HEADER,
    NUMBER_HEADER,
    REQUEST_ID_HEADER,
    NEXT_KEYS_HEADER,
    NONCE_HEADER,
    "WWW-Authenticate",
    "Retry-After",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Date",
)
READABLE = {"Access-Control-Expose-Headers": ", ".join(_EXPOSED), "Timing-Allow-Origin": "*"}
ANYBODY = {"Access-Control-Allow-Origin": "*"}


def credentialed(origin: str) -> dict[str, str]:
    """Headers for an origin that may send credentials.

    A credentialed answer must name the origin; only one that the operator trusts, or any page on the web could read
    keys with its visitor's cookie.
    """
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }
