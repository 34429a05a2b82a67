"""Who is there, who lacks which events, and who is to offer them again. Pure: random numbers are arguments.

All times are those of the log's server, so that clocks of nodes may differ as they like.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from relay.state.messages import Heartbeat
from relay.state.vector import Extent, Span

SILENT_S = 10.0
"""A node not heard of for longer is not live."""
QUIET_S = 3.0
"""A node not heard of for so long may be cut off, and know what nobody else does: each calls the roll every second."""
MISSED_S = 600.0
"""For so long a node that fell silent without leaving is missed: waited-for revocations call it unreachable."""
FORGOTTEN_S = 86_400.0
PATIENCE_S = 1.0
"""Events take a moment to get around. What is still lacking after this will not come by itself."""
_REMEMBERED = 8


@dataclass(slots=True)
class _Peer:
    last: Heartbeat
    history: deque[tuple[float, Extent]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    current_at: float = 0.0
    """When it had last said what this node has, too."""

    def hear(self, heartbeat: Heartbeat) -> None:
        self.last = heartbeat
        if not self.history:
            self.current_at = heartbeat.at
        if not self.history or self.history[-1][1] != heartbeat.extent:
            self.history.append((heartbeat.at, heartbeat.extent))


class Members:
    """The other nodes, as this one (``incarnation``) last saw them on the roll.

    Between two roll calls nobody falls silent: a node that cannot reach the log must not take the others for gone.
    """

    def __init__(self, incarnation: str) -> None:
        self.now = 0.0
        """When the roll was last called; 0 before the first time."""
        self._own = incarnation
        self._peers: dict[str, _Peer] = {}
        self._mine: deque[tuple[float, Extent]] = deque(maxlen=_REMEMBERED)

    def see(self, heartbeats: Iterable[Heartbeat], now: float, mine: Extent) -> list[str]:
        """Take in a roll; ``mine`` is what this node had when it was called. Returns who may be struck off it."""
        self.now = now
        self._mine.append((now, mine))
        known, self._peers = self._peers, {}
        for heartbeat in heartbeats:
            if heartbeat.incarnation != self._own:
                peer = known.get(heartbeat.incarnation) or _Peer(heartbeat)
                peer.hear(heartbeat)
                self._peers[heartbeat.incarnation] = peer
        # Who leaves says so. The roll may have been lost by the server; then all who are there will soon be back on it.
        for key, peer in known.items():
            if key not in self._peers and self._is_live(peer.last):
                self._peers[key] = peer
        gone = [key for key, peer in self._peers.items() if self._is_gone(peer)]
        for key in gone:
            del self._peers[key]
        return gone

    def live(self) -> list[Heartbeat]:
        """Every other node that is there."""
        return [peer.last for peer in self._peers.values() if self._is_live(peer.last)]

    def missed(self) -> list[Heartbeat]:
        """Nodes that fell silent a while ago and have not come back under the same name."""
        silent = (peer.last for peer in self._peers.values() if not peer.last.left and not self._is_live(peer.last))
        return [heartbeat for heartbeat in silent if self.now - heartbeat.at <= MISSED_S]

    def all_heard(self, mine: Extent) -> bool:
        """Whether no node that has not left, or been missed for too long, has been quiet for a while or has said more
        than this one has by now.
        """
        others = [peer.last for peer in self._peers.values() if not peer.last.left]
        return not any(
            QUIET_S < self.now - other.at <= MISSED_S or (self._is_live(other) and other.extent.beyond(mine))
            for other in others
        )

    def lacking(self, mine: Extent) -> tuple[int, float]:
        """How many events live nodes have had for a while and this one has not, and since when (seconds ago)."""
        events, since = 0, 0.0
        for peer in self._peers.values():
            if not self._is_live(peer.last):
                continue
            lacked = 0
            for at, extent in reversed(peer.history):
                spans = extent.beyond(mine)
                if not spans:
                    peer.current_at = peer.last.at if extent is peer.history[-1][1] else at
                    break
                if at <= self.now - PATIENCE_S:
                    lacked = max(lacked, sum(last - first + 1 for _, first, last in spans))
            if lacked:
                events, since = max(events, lacked), max(since, self.now - peer.current_at)
        return events, since

    def to_offer(self, chance: Callable[[], float]) -> list[Span]:
        """What this node has had for a while, a live one lacks, and this one is to offer.

        Every node offers its own events. Those of one that is gone are offered by any of the live nodes that have
        them: each of n does so at one roll call in n (``chance`` draws from 0 to 1).
        """
        live = self.live()
        wanted: dict[str, Span] = {}
        for heartbeat in live:
            earlier = next((extent for at, extent in reversed(self._mine) if at <= heartbeat.at - PATIENCE_S), None)
            for origin, first, last in earlier.beyond(heartbeat.extent) if earlier else ():
                found = wanted.get(origin, (origin, first, last))
                wanted[origin] = (origin, min(first, found[1]), max(last, found[2]))
        authors = {heartbeat.incarnation for heartbeat in live}
        return [
            span
            for origin, span in wanted.items()
            if origin == self._own or (origin not in authors and chance() * _holders(span, live) < 1)
        ]

    def _is_live(self, heartbeat: Heartbeat) -> bool:
        return not heartbeat.left and self.now - heartbeat.at <= SILENT_S

    def _is_gone(self, peer: _Peer) -> bool:
        # A last word stays until everyone has heard it.
        if self.now - peer.last.at <= SILENT_S:
            return False
        # A node that starts again is a new incarnation; its old one will never be heard of again.
        replaced = any(
            other.last.name == peer.last.name and other.last.at > peer.last.at for other in self._peers.values()
        )
        return replaced or self.now - peer.last.at > FORGOTTEN_S


def _holders(span: Span, live: list[Heartbeat]) -> int:
    origin, _, last = span
    return 1 + sum(max(h.extent.whole.get(origin, 0), h.extent.tops.get(origin, 0)) >= last for h in live)
