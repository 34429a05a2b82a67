"""Arbitrary and broken playlists: only our own errors, no address of the origin, untouched lines kept."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.model import TrackType
from relay.errors import OriginError, TrackWithheldError
from relay.manifest.hls.rewrite import read_siblings, rewrite_playlist
from relay.model import ManifestClass
from relay.sources import Source
from tests.manifest.hls.world import AES, CBCS_PERIOD, CENC, CENC_DRM, HOST, context, minted

GOLDEN = Path(__file__).parents[2] / "golden" / "hls"
INPUTS = {path.name: path.read_bytes() for path in sorted(GOLDEN.glob("*.in.m3u8"))}
CLASSES = st.sampled_from([CENC, CENC_DRM, CBCS_PERIOD, AES])
TRACKS = st.sampled_from([None, *TrackType])
AT = "m/hd/live/v.m3u8"


def check(data: bytes, cls: ManifestClass, track: TrackType | None) -> None:
    """Rewrite, and read back what comes of it unless it is refused as it may be."""
    ctx, source = context(cls), Source("live/v.m3u8")
    try:
        body = rewrite_playlist(data, ctx, source, AT, track).body
        read_siblings(data, ctx, source)
    except (OriginError, TrackWithheldError):
        return
    minted(body.decode(errors="replace").encode(), AT, ctx)
    assert rewrite_playlist(data, ctx, source, AT, track).body == body


@settings(deadline=None)
@given(st.binary(max_size=400), CLASSES, TRACKS)
def test_arbitrary_bytes(data: bytes, cls: ManifestClass, track: TrackType | None) -> None:
    check(data, cls, track)
    check(b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n" + data, cls, track)


TAGS = """
    BYTERANGE DISCONTINUITY KEY MAP PROGRAM-DATE-TIME GAP PART PRELOAD-HINT RENDITION-REPORT SERVER-CONTROL
    DATERANGE PREFETCH SKIP DEFINE VERSION MEDIA-SEQUENCE PART-INF PLAYLIST-TYPE ENDLIST STREAM-INF MEDIA SESSION-KEY
    SESSION-DATA CONTENT-STEERING UNKNOWN
"""
NAMES = """
    URI METHOD TYPE DURATION BYTERANGE BYTERANGE-START BYTERANGE-LENGTH NAME VALUE IMPORT RESOLUTION CODECS GROUP-ID
    VIDEO AUDIO PART-TARGET ID X-ASSET-URI DATA-ID
"""
URIS = st.one_of(
    st.sampled_from(["1.m4s", "2.m4s?a=b", f"https://{HOST}/live/x.mp4", "//", "http://[", "../../..", "{$v}", "a b"]),
    st.text(max_size=12),
)
VALUES = st.one_of(
    st.sampled_from(["VOD", "EVENT", "YES", "PART", "NONE", "AUDIO", "2026-03-01T11:00:00Z", "1280x720", "9" * 30]),
    st.integers().map(str),
    st.floats().map(str),
    URIS.map('"{}"'.format),
    st.text(max_size=12),
)
ATTRIBUTES = st.lists(st.tuples(st.sampled_from(NAMES.split()), VALUES).map("=".join), max_size=5).map(",".join)
LINES = st.one_of(
    st.tuples(st.sampled_from(TAGS.split()), st.one_of(ATTRIBUTES, VALUES)).map("#EXT-X-{0[0]}:{0[1]}".format),
    st.tuples(st.sampled_from(["4", "2.0,title"]), URIS).map("#EXTINF:{0[0]},\n{0[1]}".format),
    st.just('#EXT-X-MAP:URI="init.mp4"'),
    st.just("#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=64x36\nv.m3u8"),
    URIS,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=12), st.booleans(), CLASSES, TRACKS)
def test_arbitrary_tags(lines: list[str], media: bool, cls: ManifestClass, track: TrackType | None) -> None:
    head = ["#EXTM3U", "#EXT-X-TARGETDURATION:4"] if media else ["#EXTM3U"]
    check("\n".join(head + lines).encode("utf-8", "surrogatepass"), cls, track)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(INPUTS)), st.data(), CLASSES, TRACKS)
def test_damaged_playlists(name: str, draw: st.DataObject, cls: ManifestClass, track: TrackType | None) -> None:
    data = bytearray(INPUTS[name])
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at : at + draw.draw(st.integers(0, 20))] = draw.draw(st.binary(max_size=6))
    check(bytes(data), cls, track)


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_every_truncation(name: str) -> None:
    data = INPUTS[name]
    for end in range(0, len(data), 7):
        check(data[:end], CENC, TrackType.HD)


OTHER = st.one_of(
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=40).map("# {}".format),
    st.text(st.sampled_from("abc:=,. 123"), max_size=40).map("#EXT-X-VENDOR:{}".format),
    st.sampled_from(["", " ", "#EXT-X-DISCONTINUITY", "#EXT-X-GAP", "#EXT-X-BITRATE:7", "#EXT-X-CUE-IN"]),
)


@settings(deadline=None)
@given(st.lists(OTHER, max_size=8), st.sampled_from(["\n", "\r\n"]), CLASSES.filter(lambda cls: cls is not AES))
def test_other_lines_survive_byte_for_byte(lines: list[str], end: str, cls: ManifestClass) -> None:
    head = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:4", "#EXT-X-MEDIA-SEQUENCE:3"]
    text = end.join([*head, *lines, '#EXT-X-MAP:URI="i.mp4"', "#EXTINF:4,t", "3.m4s", *lines, ""])
    body = rewrite_playlist(text.encode(), context(cls), Source("live/v.m3u8"), AT, TrackType.HD).body.decode()
    ours = ("#EXT-X-MAP:", "#EXT-X-KEY:", "../")
    kept = [line for line in body.split(end) if not line.startswith(ours)]
    assert kept == [*head, *lines, "#EXTINF:4,t", *lines, ""]


def test_a_large_playlist_takes_a_moment() -> None:
    text = '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI="i.mp4"\n' + "#EXTINF:4,\nseg.m4s\n" * 20_000
    body = rewrite_playlist(text.encode(), context(), Source("live/v.m3u8"), AT, TrackType.HD).body
    assert body.count(b"\n../") == 20_000
