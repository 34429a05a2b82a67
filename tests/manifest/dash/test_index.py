import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import MediaError, UnsupportedMediaError
from relay.manifest.dash.index import read_index
from relay.manifest.dash.timeline import Run
from relay.sources import ByteRange


def sidx(references: list[tuple[int, int]], *, scale: int = 1000, start: int = 0, offset: int = 0, v: int = 0) -> bytes:
    body = struct.pack(">III", v << 24, 1, scale) + struct.pack(">QQ" if v else ">II", start, offset)
    body += struct.pack(">HH", 0, len(references))
    body += b"".join(struct.pack(">III", size, duration, 0x90000000) for size, duration in references)
    return struct.pack(">I4s", len(body) + 8, b"sidx") + body


@pytest.mark.parametrize("version", [0, 1])
def test_ranges_and_runs(version: int) -> None:
    data = sidx([(100, 2000), (50, 2000), (70, 1500)], start=500, offset=4, v=version)
    index = read_index(data, 1000)
    first = 1000 + len(data) + 4
    assert index.ranges == (ByteRange(first, 100), ByteRange(first + 100, 50), ByteRange(first + 150, 70))
    assert index.runs() == (Run(500, 2000, 2, 0), Run(4500, 1500, 1, 2))
    assert index.timescale == 1000


def test_other_boxes_before_it_are_skipped() -> None:
    data = struct.pack(">I4sI", 12, b"free", 0) + sidx([(10, 5)])
    assert read_index(data, 0).ranges == (ByteRange(len(data), 10),)


@pytest.mark.parametrize(
    "data",
    [b"", bytes(7), sidx([(1, 1)])[:-1], sidx([(1, 1)], scale=0), sidx([(1, 0)]), sidx([(0, 1)]),
     struct.pack(">I4s", 8, b"moof"),
     sidx([(1, 1)], start=2**63, v=1)]
)  # fmt: skip
def test_bad_indexes(data: bytes) -> None:
    with pytest.raises(MediaError):
        read_index(data, 0)


def test_an_index_of_indexes_is_unsupported() -> None:
    with pytest.raises(UnsupportedMediaError, match="other sidx"):
        read_index(sidx([(0x80000001, 1)]), 0)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_damage_raises_only_media_errors(noise: bytes, at: int) -> None:
    data = bytearray(sidx([(100, 2000), (50, 2000)]))
    data[at : at + len(noise)] = noise
    with contextlib.suppress(MediaError):
        read_index(bytes(data), 0)
