"""Track types: which picture sizes they cover, and their order."""

import pytest

from keys.model import TrackType


@pytest.mark.parametrize(
    ("width", "height", "track"),
    [
        (256, 144, TrackType.SD),
        (768, 576, TrackType.SD),
        (1024, 576, TrackType.HD),
        (1280, 720, TrackType.HD),
        (1920, 1080, TrackType.HD),
        (1080, 1920, TrackType.HD),
        (1920, 1088, TrackType.HD),
        (2048, 1080, TrackType.UHD),
        (3840, 2160, TrackType.UHD),
    ],
)
def test_pictures_are_sorted_by_pixel_count(width: int, height: int, track: TrackType) -> None:
    assert TrackType.of_picture(width, height) is track


def test_track_types_rank_by_value() -> None:
    ranked = sorted(TrackType, key=lambda track: track.rank)
    assert ranked == [TrackType.AUDIO, TrackType.SD, TrackType.HD, TrackType.UHD]
