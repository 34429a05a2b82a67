"""An MPD's cost is bounded by what it is, not by what it claims."""

import pytest

from relay.errors import ManifestError
from relay.manifest.dash.mpd import MAX_REPRESENTATIONS
from relay.manifest.dash.rewrite import rewrite_mpd
from relay.model import ManifestClass, Signalling
from relay.sources import Source
from tests.manifest.hls.world import context

MPD = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" '
    'minimumUpdatePeriod="PT2S"><Period id="0" start="PT0S">{sets}</Period></MPD>'
)
SET = (
    '<AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1" initialization="i.mp4" '
    'media="$RepresentationID$/$Time$.m4s"><SegmentTimeline><S t="100000" d="2"/>{more}</SegmentTimeline>'
    "</SegmentTemplate>{representations}</AdaptationSet>"
)
REPRESENTATION = '<Representation id="r{number}" bandwidth="1" width="640" height="360" codecs="avc1.64001E"/>'


def mpd(count: int, segments: int = 20) -> bytes:
    representations = "".join(REPRESENTATION.format(number=number) for number in range(count))
    return MPD.format(sets=SET.format(representations=representations, more='<S d="2"/>' * segments)).encode()


def test_too_many_representations_are_refused() -> None:
    with pytest.raises(ManifestError, match="Representations"):
        rewrite_mpd(mpd(MAX_REPRESENTATIONS + 1), context(), Source("manifest.mpd"), "index.mpd", 100_100_000)


def test_a_period_for_each_crypto_period_is_refused_where_it_would_multiply_the_tree() -> None:
    film = mpd(300, segments=0).replace(
        b'type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"', b'type="static"'
    )
    film = film.replace(b'<S t="100000" d="2"/>', b'<S t="0" d="2" r="3999"/>')
    with pytest.raises(ManifestError, match="too large"):
        rewrite_mpd(
            film,
            context(ManifestClass(signalling=Signalling.PERIOD), vod=True),
            Source("manifest.mpd"),
            "index.mpd",
            0,
        )


def test_long_timelines_of_many_representations_are_refused() -> None:
    with pytest.raises(ManifestError, match="timeline entries"):
        rewrite_mpd(mpd(900, segments=4_000), context(), Source("manifest.mpd"), "index.mpd", 108_100_000)
