"""What one key rotation asks of the licence service with four million sessions. ``python -m bench.rotation [--docs]``

A simulation on a clock of its own. When keys are released and until when they go sealed in headers is asked of the
relay's own timeline, fed with playlists as an origin would publish them; when each session is pushed its key, of the
relay's own jitter, once for every session. How players behave is assumed
(:mod:`bench.rotation_players`). The peer is the same rotation without
pre-delivery. ``--docs`` writes the table and the picture into docs/.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import count
from math import ceil
from pathlib import Path
from random import Random

from bench.rotation_picture import Line, Panel, picture
from bench.rotation_players import BOUNDARY_S, INTERVAL_S, SEGMENT_MS, SEGMENT_S, Case, Moments, random_player
from keys.material import RootKey
from keys.model import TrackType
from keys.periods import Clock, Schedule
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.bounds import Bounds
from relay.config import parse_config
from relay.edge.key_bodies import jitter
from relay.manifest.context import Observed
from relay.model import Session
from relay.state.database import MEMORY
from relay.state.journal import Journal
from relay.state.replica import Replica
from relay.state.salts import Salts
from relay.state.state import State
from relay.streams import Stream
from relay.timeline import StreamTimeline

DOCS = Path(__file__).parent.parent / "docs"
SESSIONS = 4_000_000
BLOCK = 50_000
LEAD_S = 30
SHORT_LEAD_S = 9
"""For an emergency: from the order to the first segment under the new key."""
STEP_MS = 50
"""How finely the timeline is asked when a key is released and sent in headers."""


def cases() -> list[Case]:
    """The ways to rotate that are compared."""
    none, lead, short = _stream(0), _stream(LEAD_S), _stream(SHORT_LEAD_S)
    start = (BOUNDARY_S - 2 * LEAD_S) * 1000
    at = _moments(lead, lead.schedule_of(Clock.WALL), start)
    # Ordered in the middle of a segment, between two scheduled rotations.
    order = (BOUNDARY_S + INTERVAL_S // 2) * 1000 + SEGMENT_MS // 2
    soon = order + SEGMENT_MS // 2
    later = soon + SEGMENT_MS * ceil(LEAD_S / SEGMENT_S)
    emergencies = [
        ("emergency: next segment, usual spread of 20 s", lead, soon),
        ("emergency: next segment, spread over 6 s", short, soon),
        ("emergency: a lead ahead, usual spread", lead, later),
    ]
    return [
        Case("no pre-delivery", none, _moments(none, none.schedule_of(Clock.WALL), start), pre_delivery=False),
        Case("licences asked for ahead", lead, at, licences_ahead=True),
        Case("pushed, all channels up", lead, at),
        Case("pushed, 0.1 % of channels down", lead, at, down=0.001),
        Case("pushed, 1 % of channels down", lead, at, down=0.01),
        Case("the same, and 0.3 % of viewers offline", lead, at, down=0.01, offline=True),
        *(
            Case(name, stream, _moments(stream, _with(stream, boundary), order), announced=False, down=0.01)
            for name, stream, boundary in emergencies
        ),
    ]


def _stream(lead_s: int) -> Stream:
    rotation = {"interval": f"{INTERVAL_S}s", "pre_delivery": f"{lead_s}s"}
    config = parse_config(
        {
            "control": {"api_key_file": "-"},
            "keys": {"roots": [{"generation": 1, "file": "-"}]},
            "tokens": {
                "audience": "-",
                "issuers": [{"iss": "-", "keys": [{"kid": "-", "alg": "HS256", "file": "-"}]}],
            },
            "streams": {"live": {"origin": "http://origin.example/", "hls": "index.m3u8", "rotation": rotation}},
        },
        "bench",
    )
    salts = Salts(Replica(State(), Journal(MEMORY), lambda: BOUNDARY_S, "bench", "0" * 16), os.urandom)
    return Stream("live", config.streams["live"], KeyRing([RootKey(1, bytes(32))]), salts, [b""], Sealer([bytes(32)]))


def _with(stream: Stream, boundary: int) -> Schedule:
    return Schedule(stream.rotation, (boundary,))


def _moments(stream: Stream, schedule: Schedule, start: int) -> Moments:
    """Let the timeline see playlists from ``start`` (ms) on, and ask it. A boundary ordered then is known from then."""
    timeline = StreamTimeline(lambda _: schedule, stream.config.window)
    before = schedule.period_of(start)
    assert before.segments_until is not None
    after = schedule.period_of(before.segments_until)
    last = _publish(timeline, start)
    released = headers_until = None
    for at in count(start, STEP_MS):
        now = at / 1000
        if at % SEGMENT_MS == 0:
            last = _publish(timeline, at)
        if released is None and timeline.released(after.start, now):
            released = now
        if after in timeline.coming(now):
            headers_until = now
        if last >= before.segments_until:
            assert released is not None, "a key is needed before it is released"
            return Moments(released, headers_until or released, now, before.start)
    raise AssertionError


def _publish(timeline: StreamTimeline, now: int) -> int:
    """The playlist of a moment (ms); where its last segment starts."""
    edge = now - now % SEGMENT_MS
    tracks = frozenset({TrackType.AUDIO, TrackType.HD})
    timeline.observe(Observed(Clock.WALL, edge - 10 * SEGMENT_MS, edge, False, tracks, SEGMENT_MS), now / 1000)
    return edge - SEGMENT_MS


Outcome = tuple[Counter[int], Counter[int]]


def run(first: int) -> list[Outcome]:
    """What comes of one block of sessions in every case: requests and pushes."""
    found = cases()
    chance, bounds = Random(first), Bounds()
    wanted = {(case.stream, case.at.period) for case in found if case.pre_delivery}
    for index in range(first, first + BLOCK):
        session = Session(f"session-{index:08}", f"account-{index:08}", "issuer", BOUNDARY_S + 3600, bounds=bounds)
        player = random_player(chance)
        delays = {(stream, period): jitter(stream, session, period) for stream, period in wanted}
        for case in found:
            case.meet(player, delays.get((case.stream, case.at.period), 0.0))
    return [(case.asked, case.pushed) for case in found]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--docs", action="store_true")
    chosen = options.parse_args()
    found = cases()
    blocks = range(0, SESSIONS, BLOCK)
    with ProcessPoolExecutor() as pool:
        for done, part in enumerate(as_completed([pool.submit(run, first) for first in blocks]), 1):
            for case, (asked, pushed) in zip(found, part.result(), strict=True):
                case.asked.update(asked)
                case.pushed.update(pushed)
            print(f"\r{done / len(blocks):4.0%}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    text = table(found)
    print(f"{SESSIONS:,} sessions, a lead of {LEAD_S} s, segments of {SEGMENT_S} s\n\n{text}")
    if chosen.docs:
        _write(found, text)
    plain = next(case for case in found if case.name == "pushed, all channels up")
    assert not plain.asked, "a rotation costs requests"


def _write(found: Sequence[Case], text: str) -> None:
    (DOCS / "rotation.svg").write_text(drawn(found))
    page = DOCS / "rotation.md"
    before, first, rest = page.read_text().partition("<!-- table -->\n")
    _, last, after = rest.partition("<!-- /table -->\n")
    assert last, f"{page} has no place for the table"
    page.write_text(f"{before}{first}\n{text}\n\n{last}{after}")


def table(found: Sequence[Case]) -> str:
    """The comparison in Markdown."""
    rows = [
        "| rotation | requests | most a second | from the boundary on | pushes, most a second |",
        "|---|--:|--:|--:|--:|",
    ]
    for case in found:
        late = sum(number for second, number in case.asked.items() if second >= 0)
        most = max(case.asked.values(), default=0)
        pushes = max(case.pushed.values(), default=0)
        rows.append(f"| {case.name} | {case.asked.total():,} | {most:,} | {late:,} | {pushes:,} |")
    return "\n".join(rows)


def drawn(found: Sequence[Case]) -> str:
    """The comparison as a picture."""
    none, ahead, up, few, some, away, *emergencies = found
    scheduled = [
        Line("no pre-delivery", "#c8322b", none.asked),
        Line("licences asked for ahead", "#d98a00", ahead.asked),
        Line("pushed, 1 % of channels down, 0.3 % offline", "#7b4fb5", away.asked),
        Line("pushed, 1 % of channels down", "#1f6fb2", some.asked),
        Line("pushed, 0.1 % of channels down", "#3fa7a0", few.asked),
        # Last, for it lies on another one.
        Line("pushes, which are no requests", "#333a44", up.pushed, dashed=True),
    ]
    colours = ("#c8322b", "#d98a00", "#1f6fb2")
    ordered = [Line(case.name, colour, case.asked) for case, colour in zip(emergencies, colours, strict=True)]
    return picture([Panel("Scheduled rotation", scheduled), Panel("Emergency rotation", ordered)])


if __name__ == "__main__":
    main()
