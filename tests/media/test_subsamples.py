from collections.abc import Callable
from itertools import accumulate, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import MediaError
from relay.media.codec_names import CONFIG_BOX
from relay.media.codecs import codec_of
from relay.media.subsamples import MAX_SUBSAMPLES, Range, RangeMapper, SampleMapper, Subsample
from tests.media.boxes_for_tests import sample_entry, samples
from tests.media.peers_for_tests import Clip

BOTH = (Scheme.CENC, Scheme.CBCS)


class Fixed:
    """Finds the same ranges in every sample."""

    def __init__(self, ranges: list[Range]) -> None:
        self.ranges = ranges

    def find(self, sample: memoryview) -> list[Range]:
        return self.ranges


def mapped(size: int, *ranges: Range, scheme: Scheme = Scheme.CENC) -> list[Subsample]:
    mapper = RangeMapper(Fixed(list(ranges)), scheme, aligned=scheme is Scheme.CENC)
    return mapper.map(memoryview(bytes(size)))


def check(subsamples: list[Subsample], size: int, scheme: Scheme, *, aligned: bool) -> None:
    assert sum(map(sum, subsamples)) == size
    assert 1 <= len(subsamples) <= MAX_SUBSAMPLES[scheme]
    assert all(0 <= clear <= 0xFFFF and 0 <= protected < 2**32 for clear, protected in subsamples)
    if aligned:
        assert all(protected % 16 == 0 for _, protected in subsamples)


def test_the_odd_bytes_come_before_a_cenc_run() -> None:
    assert mapped(50, (10, 50)) == [(18, 32)]
    assert mapped(50, (10, 50), scheme=Scheme.CBCS) == [(10, 40)]


def test_a_range_under_a_block_stays_clear_in_cenc_only() -> None:
    assert mapped(60, (10, 20), (28, 60)) == [(28, 32)]
    assert mapped(60, (10, 20), (28, 60), scheme=Scheme.CBCS) == [(10, 10), (8, 32)]


def test_clear_runs_merge_and_the_last_one_stands_alone() -> None:
    assert mapped(100, (10, 42), (42, 42), (50, 66)) == [(10, 32), (8, 16), (34, 0)]


def test_a_clear_sample_is_one_subsample() -> None:
    assert mapped(7) == [(7, 0)]
    assert mapped(0) == [(0, 0)]


@pytest.mark.parametrize(
    ("clear", "expected"),
    [
        (65535, [(65535, 16)]),
        (65536, [(65535, 0), (1, 16)]),
        (140000, [(65535, 0), (65535, 0), (8930, 16)]),
    ],
)
def test_a_long_clear_run_is_split(clear: int, expected: list[Subsample]) -> None:
    assert mapped(clear + 16, (clear, clear + 16)) == expected
    assert mapped(65535) == [(65535, 0)]
    assert mapped(131071) == [(65535, 0), (65535, 0), (1, 0)]


@pytest.mark.parametrize("scheme", BOTH)
def test_over_the_limit_the_shortest_ranges_become_clear(scheme: Scheme) -> None:
    limit = MAX_SUBSAMPLES[scheme]
    ranges = [(100 * i + 4, 100 * i + (20 if i % 2 else 100)) for i in range(2 * limit)]
    subsamples = mapped(200 * limit, *ranges, scheme=scheme)
    assert len(subsamples) == limit
    assert [protected for _, protected in subsamples] == [96] * (limit - 1) + [subsamples[-1][1]]
    assert sum(map(sum, subsamples)) == 200 * limit


def test_the_saiz_byte_holds_the_largest_list() -> None:
    assert 8 + 2 + 6 * MAX_SUBSAMPLES[Scheme.CENC] <= 255 < 8 + 2 + 6 * (MAX_SUBSAMPLES[Scheme.CENC] + 1)
    assert 2 + 6 * MAX_SUBSAMPLES[Scheme.CBCS] <= 255 < 2 + 6 * (MAX_SUBSAMPLES[Scheme.CBCS] + 1)


def test_more_clear_bytes_than_a_list_can_hold_are_refused() -> None:
    assert len(mapped(40 * 65535)) == 40
    with pytest.raises(MediaError, match="too many clear"):
        mapped(40 * 65535 + 1)


@given(st.lists(st.integers(0, 300_000), max_size=120, unique=True), st.integers(0, 70_000), st.sampled_from(BOTH))
def test_every_list_adds_up_and_obeys_the_limits(cuts: list[int], tail: int, scheme: Scheme) -> None:
    cuts.sort()
    ranges = [(start, end) for start, end in pairwise(cuts)][::2]
    size = (cuts[-1] if cuts else 0) + tail
    subsamples = mapped(size, *ranges, scheme=scheme)
    check(subsamples, size, scheme, aligned=scheme is Scheme.CENC)

    at = accumulate(clear + protected for clear, protected in subsamples)
    for end, (_, protected) in zip(at, subsamples, strict=True):
        if protected:
            assert any(start <= end - protected and end == stop for start, stop in ranges)


def map_all(mapper: SampleMapper, sample: bytes, scheme: Scheme, *, aligned: bool) -> None:
    try:
        subsamples = mapper.map(memoryview(sample))
    except MediaError:
        return
    check(subsamples, len(sample), scheme, aligned=aligned)


@pytest.mark.parametrize("name", ["avc-interlaced", "hev1-slices", "hevc-444-lists", "vp9-hidden-frames", "av1-grain"])
@pytest.mark.parametrize("scheme", BOTH)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_samples_are_mapped_or_refused(
    clips: Callable[[str], Clip], name: str, scheme: Scheme, data: st.DataObject
) -> None:
    clear = clips(name).clear
    original_format, children = sample_entry(clear)
    box = CONFIG_BOX[original_format]
    aligned = scheme is Scheme.CENC or box == b"vpcC"
    config = bytearray(children[box])
    if data.draw(st.booleans()):
        config[data.draw(st.integers(0, len(config) - 1))] = data.draw(st.integers(0, 255))
    try:
        mapper = codec_of(original_format, bytes(config)).mapper(scheme)
    except MediaError:
        return
    for sample in samples(clear)[:6]:
        broken = bytearray(sample.data)
        for _ in range(data.draw(st.integers(0, 3))):
            # Most of what is parsed lies at the start.
            broken[data.draw(st.integers(0, min(len(broken), 60) - 1))] = data.draw(st.integers(0, 255))
        map_all(
            mapper,
            bytes(broken[: data.draw(st.integers(0, len(broken)))] if data.draw(st.booleans()) else broken),
            scheme,
            aligned=aligned,
        )
    map_all(mapper, data.draw(st.binary(max_size=60)), scheme, aligned=aligned)
