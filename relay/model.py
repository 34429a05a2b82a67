"""What a viewer's session and a manifest class are. Pure values."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from keys.encoding import encode_fields
from keys.model import Scheme, Security, TrackType
from policies.model import Terms
from relay.bounds import Bounds
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


IN_CLEAR = frozenset({System.CLEARKEY, System.IDENTITY})
"""Systems that keep no terms: whoever gets a key of theirs has it."""


@dataclass(frozen=True, slots=True)
class ManifestClass:
    """Viewers of one class get the same manifest bytes. Its text form is a path element of the session.

    ``ceiling`` is the best track type its manifests list, ``security`` how well devices that keep terms guard keys, as
    far as they told.
    """

    scheme: Scheme = Scheme.CENC
    signalling: Signalling = Signalling.STABLE
    systems: tuple[System, ...] = ()
    ceiling: TrackType = TrackType.UHD
    security: Security = Security.HARDWARE

    @property
    def in_clear(self) -> bool:
        """Whether its players keep no terms."""
        return IN_CLEAR.issuperset(self.systems)

    def meets(self, terms: Terms) -> bool:
        """Whether its devices, as far as they told, meet terms."""
        if self.in_clear:
            return terms.in_clear
        return self.security is Security.HARDWARE or terms.security is Security.SOFTWARE

    def __str__(self) -> str:
        level = [self.security] if self.security is Security.SOFTWARE else []
        return ".".join([self.scheme, self.signalling, self.ceiling, *level, *self.systems])

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> "ManifestClass":
        """Read the text form. Raises :class:`UrlError` for any other spelling than the one written."""
        try:
            scheme, signalling, ceiling, *systems = text.split(".")
            security = Security.SOFTWARE if systems[:1] == [Security.SOFTWARE] else Security.HARDWARE
            if security is Security.SOFTWARE:
                del systems[0]
            found = cls(
                Scheme(scheme), Signalling(signalling), tuple(map(System, systems)), TrackType(ceiling), security
            )
        except ValueError:
            raise UrlError("no such manifest class") from None
        # Each class has one spelling: players in clear keep no terms, however well their devices could.
        level_needless = found.in_clear and found.security is Security.SOFTWARE
        if level_needless or list(found.systems) != sorted(set(found.systems)):
            raise UrlError("no such manifest class")
        return found


@dataclass(frozen=True, slots=True)
class Cut:
    """What revocations stopped in flight."""

    sessions: int = 0
    responses: int = 0

    def __add__(self, other: "Cut") -> "Cut":
        return Cut(self.sessions + other.sessions, self.responses + other.responses)


class LimitMode(StrEnum):
    """What happens when a viewer starts one stream too many."""

    DENY_NEW = "deny_new"
    """The new session is refused."""
    STOP_OLDEST = "stop_oldest"
    """The session that began first is ended."""
    ASK = "ask"
    """The new session is refused with the list of the others, one of which the viewer may end."""


class LimitScope(StrEnum):
    """What shares one limit."""

    ACCOUNT = "account"
    TITLE = "title"
    """An account's sessions of one stream."""


class LimitCount(StrEnum):
    """What is counted against a limit."""

    SESSIONS = "sessions"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class StreamLimit:
    """How many concurrent streams a viewer may have. ``most`` is at least 1."""

    most: int
    mode: LimitMode = LimitMode.DENY_NEW
    scope: LimitScope = LimitScope.ACCOUNT
    count: LimitCount = LimitCount.SESSIONS


@dataclass(frozen=True, slots=True)
class StatusRef:
    """Where a token's issuer publishes whether it still holds: the ``index`` in the status list at ``uri``."""

    index: int
    uri: str


@dataclass(frozen=True, slots=True)
class Voucher:
    """An entitlement that travels in a session: the ``purchase`` that it is from, and when it begins (s)."""

    purchase: str
    begins_at: int


@dataclass(frozen=True, slots=True)
class Session:
    """One playback by one viewer on one device, as the token proved it and the pass carries it.

    ``expires_at`` and ``issued_at`` are in seconds since the epoch; ``issued_at`` is that of the token it began
    with. ``streams`` is what the session may watch (``None``: every stream of this deployment), ``ceiling`` the
    best track type. ``token_id``, ``device``, ``key_id`` (of the issuer's key), ``version`` and ``watermark_id`` are
    what a revocation may name; ``watermark`` is what the platform gave for the last. ``limit`` overrides the stream's
    own limit of concurrent streams. Where the token names a ``status``, that is asked for on every request. A session
    with a ``voucher`` needs no other entitlement.
    """

    sid: str
    account: str
    issuer: str
    expires_at: int
    token_id: str = ""
    device: str = ""
    streams: frozenset[str] | None = None
    ceiling: TrackType = TrackType.UHD
    key_id: str = ""
    issued_at: int = 0
    version: int = 0
    watermark: str = ""
    limit: StreamLimit | None = None
    bounds: Bounds = field(default_factory=Bounds)
    status: StatusRef | None = None
    voucher: Voucher | None = None

    @property
    def watermark_id(self) -> str:
        """What a watermark names the session by: what the platform gave or, without that, 16 hex digits.

        A function of the session alone, so that every node, call and licence knows it whatever it was told.
        """
        return self.watermark or _watermark_id(self.issuer, self.sid)


@lru_cache(maxsize=16_384)
def _watermark_id(issuer: str, sid: str) -> str:
    return blake2b(encode_fields(issuer.encode(), sid.encode()), digest_size=8).hexdigest()


class Guest(Protocol):
    """A session on one stream: what presence and limits need of a visitor."""

    @property
    def session(self) -> Session:
        """The visitor's session."""

    @property
    def stream(self) -> str:
        """What it watches."""
