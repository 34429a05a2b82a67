"""Subsample lists against Shaka Packager's, over what ffmpeg's encoders produce."""

from collections.abc import Callable

import pytest

from keys.model import Scheme
from relay.media.codec_names import CONFIG_BOX
from relay.media.codecs import codec_of
from relay.media.subsamples import Subsample
from tests.media.boxes_for_tests import sample_entry, samples
from tests.media.peers_for_tests import CLIPS, Clip


@pytest.fixture(scope="session", params=CLIPS)
def clip(request: pytest.FixtureRequest, clips: Callable[[str], Clip]) -> Clip:
    return clips(request.param)


def protected_ends(subsamples: list[Subsample]) -> list[tuple[int, int]]:
    """Length of each protected run, and where it ends when the clear bytes that make up whole blocks come first.

    Shaka Packager 3.5 to 3.8 puts those after the run, so it tells the end only modulo 16.
    """
    runs = []
    at = 0
    for clear, protected in subsamples:
        at += clear + protected
        if protected:
            runs.append((protected, at))
    return runs


@pytest.mark.parametrize("scheme", [Scheme.CENC, Scheme.CBCS])
def test_subsamples_equal_the_packagers(clip: Clip, scheme: Scheme) -> None:
    original_format, children = sample_entry(clip.clear)
    mapper = codec_of(original_format, children[CONFIG_BOX[original_format]]).mapper(scheme)
    clear, protected = samples(clip.clear), samples(clip.protected[scheme])
    assert len(clear) == len(protected) == 20

    for ours, theirs in zip(clear, protected, strict=True):
        assert theirs.subsamples is not None
        subsamples = mapper.map(memoryview(ours.data))
        assert sum(map(sum, subsamples)) == len(ours.data)
        if scheme is Scheme.CBCS and original_format != b"vp09":
            assert subsamples == theirs.subsamples
            continue
        expected = protected_ends(theirs.subsamples)
        actual = protected_ends(subsamples)
        assert [length for length, _ in actual] == [length for length, _ in expected]
        assert all(
            0 <= ours_end - theirs_end < 16 for (_, ours_end), (_, theirs_end) in zip(actual, expected, strict=True)
        )


@pytest.mark.parametrize("clip", ["hev1-slices", "vp9-hidden-frames", "av1-tiles"], indirect=True)
def test_clips_meant_to_have_several_subsamples_do(clip: Clip) -> None:
    assert any(len(sample.subsamples or []) > 1 for sample in samples(clip.protected["cbcs"]))
