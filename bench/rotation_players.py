"""What is assumed of players at a key rotation, and how each of them gets the next key: see :mod:`bench.rotation`."""

from collections import Counter
from dataclasses import dataclass, field
from math import floor, inf
from random import Random

from relay.edge.hub import RETRY_MS
from relay.streams import Stream

INTERVAL_S = 600
BOUNDARY_S = 3_000_000 * INTERVAL_S
"""Of stream time, and of the node's clock, which agree here."""

SEGMENT_S = 6
SEGMENT_MS = 1000 * SEGMENT_S
ARRIVAL_S = (1800, 1500)
"""Before the boundary the first arrive, and most: the kick-off. The last arrive at the boundary itself."""
PUNCTUAL, PUNCTUAL_DELAY_S = 0.3, 1.0
"""Share of players that fetch a segment when it is due by the clock (DASH), and how late it comes on average. The
others reload a playlist each segment duration, counted from when they arrived."""
BEHIND, MOST_BEHIND_S = 0.05, 600
"""Share of viewers that watch behind the live edge, and how far at most."""
NO_HEADER = 0.01
"""Share of players that cannot read a header, of those whose channel is down."""
NO_TIMER = 0.1
"""Share of those, in turn, that do not ask by themselves when a push is overdue, for they sleep."""
GRACE_S = 1.0
"""After which the SDK takes a push for lost and asks (PUSH_GRACE_MS of segmentgate.js)."""
OFFLINE, OUTAGE_S = 0.003, 10.0
"""Share of viewers who are offline at any moment, and how long that takes on average."""
OUTAGES_AROUND_S = 60
"""How long before the boundary, and after it, outages begin."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one rotation, in seconds of the clock, as the relay has them."""

    released: float
    """When the key may be handed out: pushes are spread from here."""
    headers_until: float
    listed: float
    """When the first segment under the new key can be fetched."""
    period: int
    """The newest one before, which the jitter counts from."""


@dataclass(slots=True)
class Player:
    """One session around the boundary; times in seconds of the clock.

    ``phase`` is how long after each new segment it asks for something, ``luck`` what the shares above are decided by.
    """

    arrived: float
    phase: float
    behind: float
    luck: float
    unlucky: float
    offline: float
    back: float
    retry: float

    def is_offline(self, at: float) -> bool:
        """Whether its network is away."""
        return self.offline <= at < self.back


@dataclass(slots=True)
class Case:
    """One way to rotate, and what came of it: requests and pushes by the second, 0 being when the key is first met."""

    name: str
    stream: Stream
    at: Moments
    pre_delivery: bool = True
    licences_ahead: bool = False
    announced: bool = True
    """Whether players know when a push is due, and ask if none comes."""
    down: float = 0.0
    offline: bool = False
    asked: Counter[int] = field(default_factory=Counter)
    pushed: Counter[int] = field(default_factory=Counter)

    def meet(self, player: Player, delay: float) -> None:
        """Let a player through the boundary. ``delay`` is its session's jitter."""
        at = self.at
        met = at.listed + player.phase + player.behind
        if self.offline and player.is_offline(met):
            met = player.back
        if not self.pre_delivery:
            self._ask(met)
        elif player.arrived >= at.released:
            # Its first licence brought the coming key, too.
            pass
        elif self.licences_ahead:
            self._ask(at.released + delay)
        else:
            self._meet_pushed(player, at.released + delay, met)

    def _meet_pushed(self, player: Player, due: float, met: float) -> None:
        at = self.at
        # Of every segment duration there is one moment at which a player asks for something.
        by_header = at.released + (player.phase - at.released) % SEGMENT_S
        by_channel, asking = due, player.luck < self.down
        if not asking:
            self.pushed[floor(due - at.listed)] += 1
        elif self.announced and player.unlucky >= NO_HEADER * NO_TIMER:
            by_channel = due + GRACE_S
        else:
            by_channel = inf
        if self.offline:
            if player.is_offline(by_channel):
                by_channel = player.back + player.retry
            if player.is_offline(by_header):
                by_header = player.back
        if by_header >= at.headers_until or (asking and player.unlucky < NO_HEADER):
            by_header = inf
        if min(by_header, by_channel) > met:
            self._ask(met)
        elif asking and by_channel < by_header:
            self._ask(by_channel)

    def _ask(self, at: float) -> None:
        self.asked[floor(at - self.at.listed)] += 1


def random_player(chance: Random) -> Player:
    """A player as they are assumed to be."""
    arrived = BOUNDARY_S - chance.triangular(0, *ARRIVAL_S)
    if chance.random() < PUNCTUAL:
        phase = min(chance.expovariate(1 / PUNCTUAL_DELAY_S), SEGMENT_S)
    else:
        phase = arrived % SEGMENT_S
    behind = chance.uniform(0, MOST_BEHIND_S) if chance.random() < BEHIND else 0.0
    return Player(arrived, phase, behind, chance.random(), chance.random(), *_outage(chance))


def _outage(chance: Random) -> tuple[float, float, float]:
    """When a player loses its network, when it has it again, and how long its channel then takes to come back."""
    if chance.random() >= OFFLINE * 2 * OUTAGES_AROUND_S / OUTAGE_S:
        return inf, inf, 0.0
    offline = BOUNDARY_S + chance.uniform(-OUTAGES_AROUND_S, OUTAGES_AROUND_S)
    retry = chance.uniform(*RETRY_MS) / 1000
    return offline, offline + chance.expovariate(1 / OUTAGE_S), retry
