"""What the names of codecs stand for, as manifests and as sample entries write them."""

import pytest

from relay.media.codec_names import AUDIO, CLEAR, CONFIG_BOX, kind_of
from relay.media.model import TrackKind


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        ("avc1.64001f", TrackKind.VIDEO),
        ("hvc1.2.4.L153.B0", TrackKind.VIDEO),
        ("mp4a.40.2", TrackKind.AUDIO),
        (" MP4A.40.2 ", TrackKind.AUDIO),
        ("opus", TrackKind.AUDIO),
        ("fLaC", TrackKind.AUDIO),
        ("ac-4.02.01.01", TrackKind.AUDIO),
        ("stpp.ttml.im1t", TrackKind.CLEAR),
        ("png", TrackKind.CLEAR),
        ("mp4ax", None),
        ("new1.2", None),
        ("", None),
        (".", None),
    ],
)
def test_kinds(codec: str, kind: TrackKind | None) -> None:
    assert kind_of(codec) is kind


@pytest.mark.parametrize(
    ("names", "kind"), [(CONFIG_BOX, TrackKind.VIDEO), (AUDIO, TrackKind.AUDIO), (CLEAR, TrackKind.CLEAR)]
)
def test_manifests_and_sample_entries_agree(names: frozenset[bytes], kind: TrackKind) -> None:
    assert {kind_of(name.decode()) for name in names} == {kind}
