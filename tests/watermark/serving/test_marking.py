"""Which segments are watermarked, and where their variants lie."""

import pytest

from keys.model import TrackType
from relay.sources import Source
from relay.watermark.serving.marking import Marking
from relay.watermark.settings import MarkConfig

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("path", "variant", "sidecar"),
    [
        ("v720/00000.m4s", "v720/b/00000.m4s", "v720/WMPaceInfo/00000.m4s"),
        ("film.mp4", "b/film.mp4", "WMPaceInfo/film.mp4"),
        ("x//y/z.ts", "x//y/b/z.ts", "x//y/WMPaceInfo/z.ts"),
    ],
)
def test_variants_lie_beside_the_neutral_name(path: str, variant: str, sidecar: str) -> None:
    marking = Marking.of(MarkConfig(), "film", KEY)
    source = Source(path, "token=1", 2)
    assert marking.variant(source, 1) == Source(variant, "token=1", 2)
    assert marking.sidecar(source) == Source(sidecar, "token=1", 2)
    alone = Marking.of(MarkConfig(variants=("", "1/")), "film", KEY)
    assert alone.variant(source, 0) == source


def test_video_of_the_pattern_is_marked() -> None:
    everything = Marking.of(MarkConfig(), "film", KEY)
    some = Marking.of(MarkConfig(pattern=r"/seg_[0-9]+\.m4s$"), "film", KEY)
    assert everything.covers(TrackType.SD, "any/name")
    assert not everything.covers(TrackType.AUDIO, "any/name")
    assert some.covers(TrackType.UHD, "v/seg_10.m4s")
    assert not some.covers(TrackType.UHD, "v/slate_10.m4s")


def test_the_asset_is_the_stream_unless_it_is_named_and_the_key_is_not_shown() -> None:
    assert Marking.of(MarkConfig(), "film", KEY).asset == "film"
    marking = Marking.of(MarkConfig(asset="another"), "film", KEY)
    assert marking.asset == "another"
    assert KEY.hex() not in repr(marking)
    assert repr(KEY) not in repr(marking)
    assert marking != Marking.of(MarkConfig(asset="another"), "film", bytes(32))
    assert marking == Marking.of(MarkConfig(asset="another"), "other", KEY)
