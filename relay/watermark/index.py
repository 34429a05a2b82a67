"""What the embedder tells the analyser of an asset: its segments, how well each is marked, and the proxy.

Lies beside the proxy as ``index.json``. Neither is for viewers: with the original at hand a mark can be taken off.
"""

from hashlib import blake2b

import msgspec

from keys.encoding import encode_fields

FILE = "index.json"
VERSION = 1
INFORMATIVE = 4.0
"""The least score of a segment that is taken to say anything: noise passes it once in 15,000 segments."""


class Mark(msgspec.Struct, frozen=True):
    """How a segment of one rendition is marked: the strength, and the scores of both variants under their own sign."""

    gain: float
    a: float
    b: float

    @property
    def weakest(self) -> float:
        """The score of the variant that is harder to read."""
        return min(self.a, self.b)


class Segment(msgspec.Struct, frozen=True):
    """A position of the asset: which frames of the proxy it has, and its marks by the renditions' names."""

    position: int
    first_frame: int
    frames: int
    start_ms: int
    duration_ms: int
    marks: dict[str, Mark]

    @property
    def is_informative(self) -> bool:
        """Whether every rendition can be read at all. Black segments cannot; they keep their place in the sequence."""
        return all(mark.weakest >= INFORMATIVE for mark in self.marks.values())


class Proxy(msgspec.Struct, frozen=True):
    """The luma of the original, as it was marked: a file beside the index, its frames in step with the segments."""

    file: str
    width: int
    height: int


class AssetIndex(msgspec.Struct, frozen=True):
    """An asset. ``rate`` is frames per second as a fraction; ``width`` and ``height`` those of the picture marked.

    ``key_check`` tells whether a chip key is the one that the asset was marked with.
    """

    asset: str
    key_check: str
    segment_ms: int
    rate: tuple[int, int]
    width: int
    height: int
    rows: int
    columns: int
    proxy: Proxy
    segments: list[Segment]
    version: int = VERSION


def key_check(chip_key: bytes, asset: str) -> str:
    """16 hex digits that differ between chip keys and tell nothing of them."""
    return blake2b(
        encode_fields(b"segmentgate/1 watermark key check", asset.encode()), key=chip_key, digest_size=8
    ).hexdigest()


def read_index(data: bytes) -> AssetIndex:
    """The index in a file's bytes. Raises :class:`ValueError` for one that is malformed or of another version."""
    index = msgspec.json.decode(data, type=AssetIndex)
    if index.version != VERSION:
        raise ValueError(f"index of version {index.version}, expected {VERSION}")
    return index
