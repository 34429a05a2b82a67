"""A segment, part or map that a player knows keeps its URL, however the window slides and times jitter."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from keys.model import TrackType
from relay.manifest.hls.rewrite import rewrite_playlist
from relay.model import ManifestClass
from relay.sources import Source
from relay.urls import SegmentRef
from tests.manifest.hls.world import AES, CENC, CENC_PERIOD, context, minted

AT = "m/hd/v.m3u8"
START = datetime(2026, 3, 1, 11, 0, 0, tzinfo=UTC)
WINDOW = 6


@dataclass(frozen=True, slots=True)
class Refresh:
    """How the origin writes one refresh: every how many segments a date, and by how much dates are off."""

    first: int
    dates_every: int
    jitter_ms: int
    decimals: int


def refresh_of(stream_ms: list[int], how: Refresh) -> bytes:
    """A window on a live stream whose segments start at the times ``stream_ms``."""
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:3", f"#EXT-X-MEDIA-SEQUENCE:{how.first}", '#EXT-X-MAP:URI="init.mp4"']
    for n in range(how.first, how.first + WINDOW):
        if (n - how.first) % how.dates_every == 0:
            date = START + timedelta(milliseconds=stream_ms[n] + how.jitter_ms)
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date.isoformat(timespec='milliseconds')}")
        lines += [f"#EXTINF:{(stream_ms[n + 1] - stream_ms[n]) / 1000:.{how.decimals}f},", f"{n}.m4s"]
    return "\n".join(lines).encode()


def urls(body: bytes, cls: ManifestClass) -> dict[str, SegmentRef]:
    refs = [ref for place, ref in minted(body, AT, context(cls)) if place == ""]
    return {ref.source.path: ref for ref in refs if isinstance(ref, SegmentRef)}


refreshes = st.builds(
    Refresh,
    first=st.integers(0, 60),
    dates_every=st.integers(1, WINDOW),
    jitter_ms=st.integers(-400, 400),
    decimals=st.integers(2, 6),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(refreshes, min_size=2, max_size=12), st.sampled_from([CENC, CENC_PERIOD, AES]))
def test_segments_keep_their_urls(hows: list[Refresh], cls: ManifestClass) -> None:
    """Segments of 2 s, cut on the boundaries, which is where a rule without a guard would flip."""
    stream_ms = [2000 * n for n in range(80)]
    known: dict[str, SegmentRef] = {}
    for how in hows:
        body = rewrite_playlist(refresh_of(stream_ms, how), context(cls), Source("v.m3u8"), AT, TrackType.HD).body
        for path, ref in urls(body, cls).items():
            assert known.setdefault(path, ref) == ref
            number = int(path.partition(".")[0])
            epoch = int(START.timestamp()) * 1000
            assert ref.slot.period == epoch + number // 5 * 10_000


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=12), st.lists(st.integers(1500, 3000), min_size=80, max_size=80)
)
def test_undated_streams_keep_theirs(firsts: list[int], durations: list[int]) -> None:
    stream_ms = [sum(durations[:n]) for n in range(80)]
    known: dict[str, SegmentRef] = {}
    for first in firsts:
        data = refresh_of(stream_ms, Refresh(first, WINDOW, 0, 3))
        undated = b"\n".join(line for line in data.split(b"\n") if b"DATE-TIME" not in line)
        for path, ref in urls(
            rewrite_playlist(undated, context(), Source("v.m3u8"), AT, TrackType.HD).body, CENC
        ).items():
            assert known.setdefault(path, ref) == ref


def test_renditions_with_their_own_segment_lengths_agree_on_periods() -> None:
    """Audio of 1.92 s segments beside video of 2 s: each lies in the period of its own start."""
    for step in (1920, 2000):
        data = refresh_of([step * n for n in range(80)], Refresh(20, 1, 0, 6))
        body = rewrite_playlist(data, context(), Source("v.m3u8"), AT, TrackType.HD).body
        for path, ref in urls(body, CENC).items():
            start = int(START.timestamp()) * 1000 + int(path.partition(".")[0]) * step
            assert ref.slot.period == (start + 1000) // 10_000 * 10_000


def test_a_growing_segment_keeps_the_urls_of_its_parts() -> None:
    """Low latency, part by part over a boundary: hint, part and segment of one resource agree."""
    head = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:0\n"
        '#EXT-X-MAP:URI="init.mp4"\n#EXT-X-PROGRAM-DATE-TIME:2026-03-01T11:00:00.020Z\n'
    )
    events = [
        line
        for n in range(10)
        for line in (
            *(f'#EXT-X-PART:DURATION=0.50{n % 3},URI="{n}.{p}.m4s"\n' for p in range(4)),
            f"#EXTINF:2.0,\n{n}.m4s\n",
        )
    ]
    hints = [f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{n // 4}.{n % 4}.m4s"\n' for n in range(41)]
    for cls in (CENC, CENC_PERIOD):
        known: dict[str, SegmentRef] = {}
        for count in range(1, len(events) + 1):
            parts = sum("EXT-X-PART" in event for event in events[:count])
            text = head + "".join(events[:count]) + hints[parts]
            if events[count - 1].startswith("#EXT-X-PART") and parts % 4 == 0:
                text = text.removesuffix(hints[parts])
            body = rewrite_playlist(text.encode(), context(cls), Source("v.m3u8"), AT, TrackType.HD).body
            for _, ref in minted(body, AT, context(cls)):
                if isinstance(ref, SegmentRef):
                    assert known.setdefault(ref.source.path, ref) == ref
        assert {ref.slot.period for ref in known.values()} == {1772362800_000, 1772362810_000, 1772362820_000}
