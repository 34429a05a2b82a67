"""Whether what goes to a URL can be read or changed on the way."""

from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_exposed(url: str) -> bool:
    """Whether a URL is neither of TLS nor of this machine."""
    return not url.startswith("https:") and urlsplit(url).hostname not in _LOOPBACK
