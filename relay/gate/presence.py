"""Which sessions are live on this node: those that asked for anything in the last minute. Pure.

:meth:`Presence.played` is on the path of every segment. What it changes hangs on the visitor itself, so that the
common case is a few comparisons and no look-up.
"""

from collections.abc import Iterator
from typing import Protocol

from relay.gate.signals import (
    MAX_AGENTS,
    MAX_AHEAD_S,
    Signal,
    SignalKind,
    Trail,
    ahead_of_time,
    network_of,
)
from relay.gate.turns import Turns
from relay.model import Guest, Session

LIVE_S = 60.0
Signals = tuple[Signal, ...]
_NONE: Signals = ()
_NEVER = float("-inf")


class Live:
    """What is known of one live session. Times are seconds since the epoch.

    ``address`` and ``asn`` are the latest; ``agent`` is the hash of the User-Agent that asked for segments.
    ``ahead`` is how many seconds of media more were fetched than can be watched, as of ``played_at``; see
    :mod:`relay.gate.signals`.
    """

    __slots__ = (
        "address", "agent", "ahead", "asn", "first", "last", "played_at", "segments", "session", "stream", "trail",
    )  # fmt: skip

    def __init__(self, session: Session, stream: str, now: float) -> None:
        self.session = session
        self.stream = stream
        self.first = now
        self.last = now
        self.segments = 0
        self.address = ""
        self.asn = 0
        self.agent: int | None = None
        self.ahead = 0.0
        self.played_at = now
        self.trail: Trail | None = None

    @property
    def sid(self) -> str:
        """Its session id."""
        return self.session.sid

    @property
    def account(self) -> str:
        """Its account."""
        return self.session.account

    @property
    def device(self) -> str:
        """Its device; empty if the token named none."""
        return self.session.device


class Seen(Guest, Protocol):
    """What presence needs of a visitor. ``live`` is presence's own to set."""

    live: Live | None


class Presence:
    """The live sessions, at most ``limit`` of them; beyond that one is forgotten for each that comes."""

    def __init__(self, limit: int = 200_000) -> None:
        # By issuer, too: nothing keeps two platforms from giving one session id each.
        self._sessions: dict[tuple[str, str], Live] = {}
        self._turns: Turns[Live] = Turns(limit)

    def __len__(self) -> int:
        """How many records are held: the live ones and some that were until lately."""
        return len(self._sessions)

    def get(self, issuer: str, sid: str) -> Live | None:
        """The record of a session that is live or was until lately."""
        return self._sessions.get((issuer, sid))

    def live(self, now: float) -> Iterator[Live]:
        """The sessions that are live now."""
        since = now - LIVE_S
        return (live for live in list(self._sessions.values()) if live.last >= since)

    def held(self, visitor: Seen, now: float, address: str, asn: int = 0) -> None:
        """Note that a channel is still open, which was opened from an address.

        That is where the viewer is only if nothing else is known: since then he may have moved on, and a connection
        left behind is no sign of sharing.
        """
        live = visitor.live
        if live is None or now - live.last > LIVE_S:
            live = self._join(visitor, now)
        live.last = now
        if not live.address:
            live.address, live.asn = address, asn

    def seen(self, visitor: Seen, now: float, address: str, asn: int = 0) -> Signals:
        """Note a request, and say what signs of sharing that gives."""
        live = visitor.live
        if live is None or now - live.last > LIVE_S:
            live = self._join(visitor, now)
        signals = self._moved(live, address, asn, now) if address != live.address else _NONE
        live.last = now
        return signals

    def played(
        self,
        visitor: Seen,
        now: float,
        address: str,
        agent: str,
        asn: int = 0,
        duration_s: float = 0.0,
    ) -> Signals:
        """Note a request for a segment, and say what signs of sharing that gives.

        ``agent`` is its User-Agent. ``duration_s`` is how long the segment plays, 0 where unknown and for all
        renditions of a playback but one: the audio that goes with a video is no faster watching.
        """
        live = visitor.live
        if live is None or now - live.last > LIVE_S:
            live = self._join(visitor, now)
        signals = _NONE
        if address != live.address:
            signals = self._moved(live, address, asn, now)
        live.stream = visitor.stream
        live.last = now
        live.segments += 1
        brand = hash(agent)
        if brand != live.agent:
            signals += _changed_agent(live, brand, now)
        if duration_s:
            ahead = ahead_of_time(live.ahead, now - live.played_at, duration_s)
            live.ahead, live.played_at = ahead, now
            if ahead > MAX_AHEAD_S:
                signals += _signal(live, SignalKind.RATE, f"{ahead:.0f} s of media too early", now)
        return signals

    def _join(self, visitor: Seen, now: float) -> Live:
        session = visitor.session
        name = session.issuer, session.sid
        live = self._sessions.get(name)
        if live is None:
            live = self._sessions[name] = Live(session, visitor.stream, now)
            for gone in self._turns.add(live, lambda each: now - each.last > LIVE_S):
                del self._sessions[gone.session.issuer, gone.sid]
                # Should its visitor come again, it must join again.
                gone.last = _NEVER
        live.session = session
        visitor.live = live
        return live

    def _moved(self, live: Live, address: str, asn: int, now: float) -> Signals:
        before, was_in = live.address, live.asn
        live.address, live.asn = address, asn
        if not before:
            return _NONE
        signals = _NONE
        old, new = network_of(before), network_of(address)
        if old and new and old != new:
            trail = _trail(live)
            trail.networks[old] = live.last
            if trail.enter_network(new, now):
                places = ", ".join(sorted(trail.networks))
                signals += _signal(live, SignalKind.NETWORKS, f"by turns from {places}", now)
        if was_in and asn and asn != was_in:
            trail = _trail(live)
            trail.asns[was_in] = live.last
            if trail.enter_asn(asn, now):
                places = ", ".join(f"AS{number}" for number in sorted(trail.asns))
                signals += _signal(live, SignalKind.ASNS, f"by turns from {places}", now)
        return signals


def _trail(live: Live) -> Trail:
    if live.trail is None:
        live.trail = Trail()
    return live.trail


def _changed_agent(live: Live, agent: int, now: float) -> Signals:
    before, live.agent = live.agent, agent
    if before is None:
        return _NONE
    agents = _trail(live).agents
    if not agents:
        agents.add(before)
    if agent in agents or len(agents) >= MAX_AGENTS:
        return _NONE
    agents.add(agent)
    return _signal(live, SignalKind.AGENTS, f"{len(agents)} User-Agents", now)


def _signal(live: Live, kind: SignalKind, detail: str, now: float) -> Signals:
    if not _trail(live).may_raise(kind, now):
        return _NONE
    return (Signal(kind, live.sid, live.account, live.stream, now, detail),)
