"""How a stream's plan looks to operators: places in it, terms, what became of a change."""

from collections import Counter

from keys.model import TrackType
from keys.periods import Clock, CryptoPeriod
from policies.model import FREE, Change, TermsByTrack
from policies.text import TermsText
from relay.api.plans import Changed, Instant, Period, TermsTexts
from relay.control.planning import Standing
from relay.control.records import report_of
from relay.node import Node
from relay.state.registry import Put
from relay.streams import Stream


def instant_of(standing: Standing, clock: Clock, time: int) -> Instant:
    """A place on a clock."""
    return Instant(time=time, at=standing.at_of(clock, time))


def effect_of(standing: Standing, clock: Clock, change: Change | None) -> Instant | None:
    """Where a change takes effect on a clock."""
    return instant_of(standing, clock, change.since[clock]) if change and clock in change.since else None


def period_of(standing: Standing, clock: Clock, period: CryptoPeriod) -> Period:
    """A crypto period on a clock."""
    end = None if period.end is None else instant_of(standing, clock, period.end)
    return Period(start=instant_of(standing, clock, period.start), end=end)


def terms_texts(terms: TermsByTrack) -> TermsTexts:
    """Terms of every track type."""
    wanted = {track: terms.get(track, FREE) for track in TrackType}
    return {track: None if one is None else TermsText.of(one) for track, one in wanted.items()}


def generation_of(stream: Stream, period: int) -> int:
    """The generation of a period's keys, of whatever track and scheme."""
    return stream.slot_of(TrackType.AUDIO, stream.config.scheme, period).generation


def version_of(change: Change | None) -> str:
    """What names the state after a change; as configured, if there was none."""
    return "configured" if change is None else change.id


def changed_of(put: Put) -> Changed:
    """What became of a change."""
    return Changed(complete=put.complete, nodes=[report_of(report) for report in put.nodes])


def sessions_by_stream(node: Node) -> Counter[str]:
    """How many sessions of each stream are live on this node."""
    return Counter(live.stream for live in node.presence.live(node.clock()))
