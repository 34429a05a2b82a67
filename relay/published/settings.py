"""What an issuer publishes and the relay fetches, as configured: its key set, and the status lists of its tokens."""

from typing import Annotated

from msgspec import Meta, Struct

from relay.errors import ConfigError
from relay.exposure import is_exposed
from relay.gate.dialects.claims import MAX_STATUS_URI
from relay.units import Duration

MIN_KEY_REFRESH = Duration.parse("10s")
MIN_LIST_REFRESH = Duration.parse("1s")
_WITH_STATUS = ("jwt", "cat")
_URL = r"^https?://[^\s?#@/]+/[^\s#@]*\Z"
StatusListUrl = Annotated[str, Meta(pattern=_URL, max_length=MAX_STATUS_URI)]


class JwksConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pinned key set (RFC 7517), refreshed in the background and kept for ``keep`` when it cannot be."""

    url: Annotated[str, Meta(pattern=_URL, max_length=1024)]
    refresh: Duration = Duration.parse("5m")
    keep: Duration = Duration.parse("1d")


class StatusListsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The status lists that an issuer's tokens may name (draft-ietf-oauth-status-list), refreshed in the background.

    Each is kept until it expires, and for ``keep`` at most when it cannot be refreshed.
    """

    urls: Annotated[tuple[StatusListUrl, ...], Meta(min_length=1, max_length=16)]
    refresh: Duration = Duration.parse("1m")
    keep: Duration = Duration.parse("1d")


def check_key_set(where: str, jwks: JwksConfig) -> None:
    """Raises :class:`ConfigError` for a key set that others could meddle with, or times that contradict."""
    if is_exposed(jwks.url):
        raise ConfigError(f"{where}.url: whoever is on the way could put keys of his own there. Write it with https.")
    _check_times(where, jwks.refresh, jwks.keep, MIN_KEY_REFRESH)


def check_status_lists(where: str, lists: StatusListsConfig, dialect: str) -> None:
    """Raises :class:`ConfigError` for lists that no token can name, or that others could hold back."""
    if dialect not in _WITH_STATUS:
        raise ConfigError(f"{where}: tokens of {dialect} name no status list. Choose dialect jwt or cat.")
    for number, url in enumerate(lists.urls):
        if is_exposed(url):
            raise ConfigError(f"{where}.urls[{number}]: whoever is on the way could hold it back. Write it with https.")
    _check_times(where, lists.refresh, lists.keep, MIN_LIST_REFRESH)


def _check_times(where: str, refresh: Duration, keep: Duration, least: Duration) -> None:
    if refresh < least:
        raise ConfigError(f"{where}.refresh: less than {least.seconds:.0f}s. Give a longer duration.")
    if keep < refresh:
        raise ConfigError(f"{where}.keep: shorter than 'refresh'. Give a longer duration.")
