"""Event ids: what a player says it knows, and what it is told from there."""

import pytest

from keys.model import Scheme, TrackType
from keys.periods import GUARD_MS, Clock
from policies.model import Rekeying
from relay.manifest.context import Observed
from relay.model import ManifestClass
from relay.streams import Stream
from relay.told import Told, lacking, told_by
from tests.test_grants import CENC, EDGE, INTERVAL, LEAD, NOW, VIDEO_AND_AUDIO, stream_of, visitor

RELEASE = NOW + (INTERVAL - GUARD_MS - LEAD - 5000) / 1000


@pytest.fixture
def stream() -> Stream:
    found = stream_of()
    found.timeline.observe(Observed(Clock.WALL, EDGE - INTERVAL, EDGE + 5000, False, VIDEO_AND_AUDIO, 2000), NOW)
    return found


def told_at(stream: Stream, now: float, ceiling: TrackType = TrackType.UHD, scheme: Scheme = Scheme.CENC) -> Told:
    told = told_by(stream, visitor(ceiling), ManifestClass(scheme), now)
    assert told
    return told


def periods(stream: Stream, told: Told | None, now: float) -> set[int | None]:
    return {slot.period for slot in lacking(stream, told, told_at(stream, now), now)}


def test_who_knows_nothing_is_told_everything(stream: Stream) -> None:
    assert periods(stream, None, NOW) == {None, EDGE - INTERVAL, EDGE}


def test_who_comes_back_is_told_what_was_released_since(stream: Stream) -> None:
    told = told_at(stream, NOW)
    assert lacking(stream, told, told, NOW) == ()
    slots = lacking(stream, told, told_at(stream, RELEASE), RELEASE)
    assert {(slot.track, slot.period) for slot in slots} == {(track, EDGE + INTERVAL) for track in VIDEO_AND_AUDIO}


def test_an_id_reads_as_it_was_written(stream: Stream) -> None:
    told = told_at(stream, NOW)
    assert str(told) == f"2~cenc~audio.sd.hd~0~wall-{EDGE}"
    assert Told.parse(str(told)) == told


@pytest.mark.parametrize(
    "text",
    [
        "", "2", "2~cenc", "2~cenc~hd~0", "2~cenc~hd~0~", "2~cenc~~0~wall-1", "2~cenc~hd~0~wall-1~", "2~cenc~hd~wall-1",
        "1~cenc~hd~wall-1", "3~cenc~hd~0~wall-1", "2~cenc~hd~0~wall-01", "2~cenc~hd~0~wall--1", "2~cenc~hd~0~wall-1 ",
        "2~cenc~hd~~wall-1", "2~cenc~hd~00~wall-1", "2~cenc~hd~-1~wall-1x", "2~cenc~hd~१~wall-1",
        "2~cenc~4k~0~wall-1", "2~des~hd~0~wall-1", "2~cenc~hd~0~moon-1", "2~cenc~hd~0~wall-" + "9" * 16,
        "2~cenc~hd~0~wall-१", "\0", "~" * 99, "2~cenc~hd~0" + "~wall-1" * 200,
    ],
)  # fmt: skip
def test_any_other_id_tells_nothing(text: str) -> None:
    assert Told.parse(text) is None


def test_another_scheme_or_more_tracks_begin_anew(stream: Stream) -> None:
    everything = {None, EDGE - INTERVAL, EDGE}
    assert periods(stream, told_at(stream, NOW, scheme=Scheme.CBCS), NOW) == everything
    assert periods(stream, told_at(stream, NOW, TrackType.SD), NOW) == everything
    fewer = told_at(stream, NOW, TrackType.SD)
    assert lacking(stream, told_at(stream, NOW), fewer, NOW) == ()


def test_a_node_that_lags_repeats_nothing(stream: Stream) -> None:
    ahead = Told(Scheme.CENC, told_at(stream, NOW).tracks, 0, ((Clock.WALL, EDGE + INTERVAL),))
    assert periods(stream, ahead, NOW) == set()


def test_a_stream_that_began_anew_is_told_anew(stream: Stream) -> None:
    ahead = Told(Scheme.CENC, told_at(stream, NOW).tracks, 0, ((Clock.WALL, 100 * EDGE),))
    assert periods(stream, ahead, NOW) == {EDGE - INTERVAL, EDGE}


def test_after_an_emergency_its_periods_are_told_again(stream: Stream) -> None:
    """Those that were told before it, too; what was published is no news."""
    told = told_at(stream, RELEASE)
    rekeyed = stream_of(Rekeying("r", 1, {Clock.WALL: EDGE + 10_000}, 1, 0))
    rekeyed.timeline.observe(Observed(Clock.WALL, EDGE - INTERVAL, EDGE + 5000, False, VIDEO_AND_AUDIO, 2000), NOW)
    current = told_at(rekeyed, RELEASE)
    assert (told.epoch, current.epoch, current.heads) == (0, 1, told.heads)
    assert periods(rekeyed, told, RELEASE) == {EDGE + 10_000, EDGE + INTERVAL}
    assert periods(rekeyed, current, RELEASE) == set()
    # A node that has not heard of it yet.
    assert periods(stream, current, RELEASE) == set()


def test_a_second_clock_is_news_of_its_own(stream: Stream) -> None:
    told = told_at(stream, NOW)
    stream.timeline.observe(Observed(Clock.SEQUENCE, 0, 5000, False, VIDEO_AND_AUDIO, 2000), NOW)
    assert periods(stream, told, NOW) == {0}
    assert Told.parse(str(told_at(stream, NOW))) == told_at(stream, NOW)


def test_nothing_is_known_of_a_stream_nobody_has_looked_at() -> None:
    assert told_by(stream_of(), visitor(), CENC, NOW) is None
