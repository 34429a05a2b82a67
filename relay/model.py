"""What a viewer's session and a manifest class are. Pure values."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from keys.model import Scheme, TrackType
from relay.errors import UrlError


class Signalling(StrEnum):
    """How manifests and init segments show rotating keys, over the same media segments."""

    STABLE = "stable"
    """One key ID for ever; the rotating ones stand in the segments alone (``seig``)."""
    PERIOD = "period"
    """Every crypto period shows its own key ID, in its own init segment."""


class System(StrEnum):
    """A key system or key format that a manifest can signal."""

    CLEARKEY = "clearkey"
    IDENTITY = "identity"
    WIDEVINE = "widevine"
    PLAYREADY = "playready"
    FAIRPLAY = "fairplay"


@dataclass(frozen=True, slots=True)
class ManifestClass:
    """Viewers of one class get the same manifest bytes. Its text form is a path element of the session.

    ``ceiling`` is the best track type its manifests list.
    """

    scheme: Scheme = Scheme.CENC
    signalling: Signalling = Signalling.STABLE
    systems: tuple[System, ...] = ()
    ceiling: TrackType = TrackType.UHD

    def __str__(self) -> str:
        return ".".join([self.scheme, self.signalling, self.ceiling, *self.systems])

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> "ManifestClass":
        """Read the text form. Raises :class:`UrlError` for any other spelling than the one written."""
        try:
            scheme, signalling, ceiling, *systems = text.split(".")
            found = cls(Scheme(scheme), Signalling(signalling), tuple(map(System, systems)), TrackType(ceiling))
        except ValueError:
            raise UrlError("no such manifest class") from None
        if list(found.systems) != sorted(set(found.systems)):
            raise UrlError("no such manifest class")
        return found


@dataclass(frozen=True, slots=True)
class Session:
    """One playback by one viewer on one device, as the token proved it and the pass carries it.

    ``expires_at`` is in seconds since the epoch. ``streams`` is what the session may watch (``None``: every
    stream of this deployment), ``ceiling`` the best track type. ``token_id`` and ``device`` are what a
    revocation may name.
    """

    sid: str
    account: str
    issuer: str
    expires_at: int
    token_id: str = ""
    device: str = ""
    streams: frozenset[str] | None = None
    ceiling: TrackType = TrackType.UHD
