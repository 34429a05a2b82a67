"""Whole playlists, input beside output. ``UPDATE_GOLDEN=1 pytest …`` writes the outputs anew."""

import os
from pathlib import Path

import m3u8
import pytest

from keys.model import Scheme, TrackType
from relay.errors import UnsupportedMediaError
from relay.manifest.hls.rewrite import rewrite_playlist
from relay.manifest.hls.siblings import Siblings
from relay.model import ManifestClass
from relay.sources import Source
from relay.urls import KeyRef, SegmentRef
from tests.manifest.hls.world import (
    AES,
    CBCS,
    CBCS_PERIOD,
    CENC,
    CENC_DRM,
    CENC_PERIOD,
    HOST,
    context,
    minted,
    served_at,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "hls"
VECTORS = Path(__file__).parents[2] / "vectors"
SIBLINGS = Siblings(
    {Source("audio/a.m3u8"): TrackType.AUDIO}, {"auth": "secret"}, {Source("watermark-media.m3u8"): "a"}
)

CASES: list[tuple[str, ManifestClass, TrackType | None]] = [
    *(("live", cls, TrackType.HD) for cls in (CENC, CENC_PERIOD, CENC_DRM, CBCS, CBCS_PERIOD, AES)),
    *(("low-latency", cls, TrackType.HD) for cls in (CENC, CENC_PERIOD, AES)),
    ("low-latency-ranges", CENC, TrackType.HD),
    ("vod-ranges", CENC, TrackType.SD),
    ("vod-ranges", CENC_PERIOD, TrackType.SD),
    ("ts", AES, TrackType.HD),
    ("subtitles", CENC, None),
    ("variables", CENC_PERIOD, TrackType.AUDIO),
    *(("multivariant", cls, TrackType.HD) for cls in (CENC, CENC_DRM, CBCS, AES)),
    ("watermark-multivariant", CENC, TrackType.HD),
    ("watermark-media", CENC, TrackType.HD),
    ("multivariant", ManifestClass(Scheme.CENC, ceiling=TrackType.SD), TrackType.SD),
]


@pytest.mark.parametrize(("name", "cls", "track"), CASES, ids=[f"{case[0]}.{case[1]}" for case in CASES])
def test_golden(name: str, cls: ManifestClass, track: TrackType | None) -> None:
    source = Source(f"v/{name}.m3u8") if name.startswith("low") else Source(f"{name}.m3u8")
    ctx, at = context(cls, marked=name.startswith("watermark")), served_at(source, track)
    data = (GOLDEN / f"{name}.in.m3u8").read_bytes()

    body = rewrite_playlist(data, ctx, source, at, track, siblings=SIBLINGS).body

    golden = GOLDEN / f"{name}.{cls}.m3u8"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_bytes(body)
    assert body == golden.read_bytes()
    assert rewrite_playlist(data, ctx, source, at, track, siblings=SIBLINGS).body == body
    assert HOST.encode() not in body
    assert b"hidden" not in body
    assert b"secret" not in body
    assert minted(body.decode(errors="replace").encode(), at, ctx)


@pytest.mark.parametrize(("name", "cls", "track"), CASES, ids=[f"{case[0]}.{case[1]}" for case in CASES])
def test_golden_is_a_playlist_to_another_parser(name: str, cls: ManifestClass, track: TrackType | None) -> None:
    before = m3u8.loads((GOLDEN / f"{name}.in.m3u8").read_bytes().decode(errors="replace").removeprefix("\ufeff"))
    after = m3u8.loads((GOLDEN / f"{name}.{cls}.m3u8").read_bytes().decode(errors="replace"))

    assert after.is_variant == before.is_variant
    assert [segment.duration for segment in after.segments] == [segment.duration for segment in before.segments]
    assert [segment.program_date_time for segment in after.segments] == [
        segment.program_date_time for segment in before.segments
    ]
    assert [segment.discontinuity for segment in after.segments] == [
        segment.discontinuity for segment in before.segments
    ]
    assert all(segment.byterange is None for segment in after.segments)
    if track is not None and not after.is_variant:
        methods = {Scheme.CENC: "SAMPLE-AES-CTR", Scheme.CBCS: "SAMPLE-AES", Scheme.AES128: "AES-128"}
        whole = [segment for segment in after.segments if segment.uri]
        assert {segment.key.method for segment in whole} == {methods[cls.scheme]}
        if name != "ts":
            assert all(segment.init_section for segment in whole)


@pytest.mark.parametrize("cls", [CENC, CENC_PERIOD, CBCS, AES], ids=str)
@pytest.mark.parametrize("name", ["clear/v", "clear/a", "ts-clear/v"])
def test_packager_playlists(name: str, cls: ManifestClass) -> None:
    ctx, source = context(cls), Source(f"{name}.m3u8")
    at = served_at(source, TrackType.SD)
    data = (VECTORS / source.path).read_bytes()
    before = data.decode().splitlines()
    if name == "ts-clear/v" and cls is not AES:
        with pytest.raises(UnsupportedMediaError, match="line 6: segment without EXT-X-MAP; MPEG-TS"):
            rewrite_playlist(data, ctx, source, at, TrackType.SD)
        return

    body = rewrite_playlist(data, ctx, source, at, TrackType.SD).body

    after = body.decode().splitlines()
    segments = [ref for place, ref in minted(body, at, ctx) if place == ""]
    names = [line for line in before if line and not line.startswith("#")]
    assert [ref.source.path for ref in segments if isinstance(ref, SegmentRef)] == [
        source.path.rpartition("/")[0] + "/" + line if "/" in source.path else line for line in names
    ]
    assert _comments_and_tags(after, but=("EXT-X-MAP", "EXT-X-KEY")) == _comments_and_tags(before, but=("EXT-X-MAP",))
    keys = [ref for _, ref in minted(body, at, ctx) if isinstance(ref, KeyRef)]
    assert len(keys) == (1 if cls in (CENC, AES) else 0)


def _comments_and_tags(lines: list[str], but: tuple[str, ...]) -> list[str]:
    return [line for line in lines if line.startswith("#") and not line[1:].startswith(but)]


def test_where_no_variant_is_chosen_everybody_gets_the_first() -> None:
    source = Source("watermark-media.m3u8")
    at = served_at(source)
    body = rewrite_playlist((GOLDEN / "watermark-media.in.m3u8").read_bytes(), context(), source, at, TrackType.HD)
    assert b"/a/video_segment_1_11352692.mp4?" in body.body
    assert b"pace_info" not in body.body
