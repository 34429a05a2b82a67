"""What a watermark costs each segment request beside serving it. ``python -m bench.selector``

A couple of thousand sessions play the same five minutes: each request looks up the position, takes the session's bit
and notes that it was served. Making a block of bits is part of it; processor time, so that neighbours do not count.
"""

from time import process_time
from typing import Literal, NamedTuple, cast

from keys.model import TrackType
from relay.model import Session
from relay.origin.client import Origin
from relay.sources import Source
from relay.streams import Stream
from relay.urls import SegmentRef, SlotRef
from relay.watermark.code import number_of
from relay.watermark.serving.marking import Marking
from relay.watermark.serving.positions import InitOf, Place, Positions
from relay.watermark.serving.served import Viewing
from relay.watermark.settings import MarkConfig

SESSIONS, SEGMENTS, SEGMENT_S = 2000, 150, 2.0
NOW = 1_800_000_000.0
PROFILES: tuple[Literal[2, 4], ...] = (2, 4)


class _Named(NamedTuple):
    name: str = "film"


def main() -> None:
    print(f"{'profile':>8} {'position':>9} {'bit':>9} {'note':>9} {'all, us a request':>18}")
    for colluders in PROFILES:
        costs = _costs(Marking.of(MarkConfig(colluders=colluders), "film", bytes(32)))
        print(f"{colluders:>8} " + " ".join(f"{cost:9.3f}" for cost in costs) + f" {sum(costs):18.3f}")


def _costs(marking: Marking) -> tuple[float, float, float]:
    stream = cast("Stream", _Named())
    positions = Positions(cast("Origin", None), cast("InitOf", None))
    slot = SlotRef(TrackType.HD, 1, 0)
    refs = [SegmentRef(Source(f"v720/{number:05}.m4s"), slot) for number in range(SEGMENTS)]
    for number, ref in enumerate(refs):
        positions.put(stream, ref, Place(number, marking))
    viewings = []
    for number in range(SESSIONS):
        session = Session(f"s{number}", "a", "i", 0)
        viewings.append(Viewing(session, "film", "film", number_of(session.watermark_id), number))
    looked, chosen, noted = 0.0, 0.0, 0.0
    for number, ref in enumerate(refs):
        started = process_time()
        for _ in viewings:
            positions.get(stream, marking, ref)
        looked += process_time() - started
        started = process_time()
        for viewing in viewings:
            viewing.bit(marking.code, number)
        chosen += process_time() - started
        now, started = NOW + number * SEGMENT_S, process_time()
        for viewing in viewings:
            viewing.note(number, True, now)
        noted += process_time() - started
    requests = SESSIONS * SEGMENTS / 1e6
    return looked / requests, chosen / requests, noted / requests


if __name__ == "__main__":
    main()
