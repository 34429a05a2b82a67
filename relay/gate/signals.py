"""Signs that a session is shared: one viewer is rarely in two places. Pure; a sign is told, never acted upon.

One change of network is ordinary (from Wi-Fi to mobile), so is a viewer who reaches us over IPv4 and IPv6 by turns.
Two viewers on one session show as a coming and going between networks.
"""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

WINDOW_S = 60.0
"""Networks seen this long apart have nothing to do with each other."""
QUIET_S = 600.0
"""A session raises each kind once in this time."""
MAX_NETWORKS = 8
MAX_AGENTS = 4
RATE = 1.5
MAX_AHEAD_S = 180.0
"""More media than this beyond :data:`RATE` times real time is no buffer being filled, nor a few seeks."""


class SignalKind(StrEnum):
    """What was noticed. Values are public and never reused."""

    NETWORKS = "networks"
    """Requests from several networks (/24 or /48) by turns, or from more than two, within a minute."""
    ASNS = "asns"
    """The same of autonomous systems."""
    AGENTS = "agents"
    """Segments asked for by a second User-Agent."""
    RATE = "rate"
    """Media fetched faster than it can be watched, for longer than filling a buffer takes."""
    REUSE = "reuse"
    """A token that should be presented once came again."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One sign of sharing. ``at`` is in seconds since the epoch; ``detail`` names no more than networks."""

    kind: SignalKind
    sid: str
    account: str
    stream: str
    at: float
    detail: str


@dataclass(eq=False, slots=True)
class Trail:
    """Where a session has been; only one that changes anything has a trail. Times are seconds since the epoch.

    ``networks`` and ``asns`` map to when they were last used.
    """

    networks: dict[str, float] = field(default_factory=dict)
    asns: dict[int, float] = field(default_factory=dict)
    agents: set[int] = field(default_factory=set)
    raised: dict[SignalKind, float] = field(default_factory=dict)

    def enter_network(self, network: str, now: float) -> bool:
        """Note a change of network. True if it looks like more than one viewer."""
        recent = {name for name, at in self.networks.items() if now - at <= WINDOW_S}
        # A viewer with both IP versions uses one network of each by turns.
        roams = _roams({name for name in recent if (":" in name) is (":" in network)}, network)
        _note(self.networks, network, now)
        return roams

    def enter_asn(self, asn: int, now: float) -> bool:
        """Note a change of autonomous system. True if it looks like more than one viewer."""
        roams = _roams({number for number, at in self.asns.items() if now - at <= WINDOW_S}, asn)
        _note(self.asns, asn, now)
        return roams

    def may_raise(self, kind: SignalKind, now: float) -> bool:
        """Whether a kind was not raised lately; if so, it counts as raised now."""
        if kind in self.raised and now - self.raised[kind] < QUIET_S:
            return False
        self.raised[kind] = now
        return True


def ahead_of_time(ahead: float, elapsed: float, duration: float) -> float:
    """Seconds of media fetched beyond :data:`RATE` times real time: a bucket that leaks at that rate."""
    return min(2 * MAX_AHEAD_S, max(0.0, ahead - RATE * max(0.0, elapsed)) + duration)


@lru_cache(maxsize=16_384)
def network_of(address: str) -> str:
    """The /24 or /48 that an address lies in; empty for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


_Place = TypeVar("_Place", str, int)


def _roams(recent: Collection[_Place], place: _Place) -> bool:
    """Whether going to ``place`` is a return from elsewhere, or to a third."""
    others = [other for other in recent if other != place]
    return len(others) >= 2 or (bool(others) and place in recent)


def _note(places: dict[_Place, float], place: _Place, now: float) -> None:
    places[place] = now
    if len(places) > MAX_NETWORKS:
        del places[min(places, key=places.__getitem__)]
