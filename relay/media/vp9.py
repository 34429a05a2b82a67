"""VP9: where the coded data of a sample lies (VP9 Bitstream Specification §6.1, §6.2, Annex B).

The uncompressed header of every frame stays clear, and both schemes protect whole AES blocks, as the VP
Codec ISO Media File Format Binding asks. Finding a header's end takes the frame width, which an inter
frame may inherit from a reference, so a segment must start at a key frame.
"""

from dataclasses import dataclass

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.bits import BitReader, read_head
from relay.media.subsamples import Range, RangeMapper

_SLOTS = 8
_SYNC_CODE = 0x498342
_RGB = 7
_SEGMENTATION_FEATURES = ((8, True), (6, True), (2, False), (0, False))

# Per segment: the frame widths of the reference slots, 0 where no frame came before.
_Widths = list[int]


@dataclass(frozen=True, slots=True)
class Vp9Codec:
    """A VP9 track. All that matters is in its frames."""

    @classmethod
    def parse(cls, config: bytes) -> "Vp9Codec":
        """Read a VPCodecConfigurationBox payload. Raises :class:`MediaError`."""
        if len(config) < 12 or config[0] != 1:
            raise MediaError("vpcC: not a version 1 configuration box")
        return cls()

    def mapper(self, scheme: Scheme) -> RangeMapper:
        """See :meth:`relay.media.subsamples.VideoCodec.mapper`."""
        return RangeMapper(_FrameFinder(), scheme, aligned=True)


class _FrameFinder:
    """Finds the data of each frame, hidden ones included, and follows the sizes of reference frames."""

    __slots__ = ("_widths",)

    def __init__(self) -> None:
        self._widths: _Widths = [0] * _SLOTS

    def find(self, sample: memoryview) -> list[Range]:
        """See :meth:`relay.media.subsamples.RangeFinder.find`."""
        ranges = []
        for start, end in _frames(sample):
            header = read_head(sample[start:end], self._read_header)
            if header:
                ranges.append((start + header, end))
        return ranges

    def _read_header(self, r: BitReader) -> int:
        return _read_header(r, self._widths)


def _frames(sample: memoryview) -> list[Range]:
    """The frames of a sample: one, or those of a superframe without its index (Annex B)."""
    size = len(sample)
    if not size:
        return []
    marker = sample[-1]
    if marker & 0xE0 != 0xC0:
        return [(0, size)]
    count = (marker & 7) + 1
    width = (marker >> 3 & 3) + 1
    index = size - 2 - count * width
    if index < 0 or sample[index] != marker:
        return [(0, size)]
    frames = []
    start = 0
    for at in range(index + 1, size - 1, width):
        end = start + int.from_bytes(sample[at : at + width], "little")
        if end > index:
            raise MediaError(f"VP9 superframe: frame of {end - start} bytes at {start} overruns its {index}")
        if end > start:
            frames.append((start, end))
        start = end
    return frames


def _read_header(r: BitReader, widths: _Widths) -> int:
    """Size of an ``uncompressed_header()`` in bytes; 0 when the frame only shows an earlier one."""
    if r.u(2) != 2:
        raise MediaError("VP9 frame: wrong frame marker")
    profile = r.flag() | r.flag() << 1
    if profile == 3 and r.flag():
        raise UnsupportedMediaError("VP9 frame: reserved profile")
    if r.flag():
        return 0
    inter = r.flag()
    show_frame = r.flag()
    error_resilient = r.flag()
    if not inter:
        _check_sync_code(r)
        _skip_color_config(r, profile)
        width = _read_frame_size(r)
        refreshed = 0xFF
    else:
        intra_only = 0 if show_frame else r.flag()
        if not error_resilient:
            r.u(2)
        if intra_only:
            _check_sync_code(r)
            if profile:
                _skip_color_config(r, profile)
            refreshed = r.u(8)
            width = _read_frame_size(r)
        else:
            refreshed = r.u(8)
            width = _read_inter_size(r, widths)
            r.flag()
            if not r.flag():
                r.u(2)
    if not error_resilient:
        r.u(2)
    r.u(2)
    _skip_loop_filter(r)
    r.u(8)
    for _ in range(3):
        if r.flag():
            r.u(5)
    if r.flag():
        _skip_segmentation(r)
    _skip_tile_info(r, width)
    if not r.u(16):
        raise MediaError("VP9 frame: compressed header of no bytes")
    for slot in range(_SLOTS):
        if refreshed >> slot & 1:
            widths[slot] = width
    return (r.position + 7) >> 3


def _check_sync_code(r: BitReader) -> None:
    if r.u(24) != _SYNC_CODE:
        raise MediaError("VP9 frame: wrong frame sync code")


def _skip_color_config(r: BitReader, profile: int) -> None:
    """``color_config()`` (§6.2.2)."""
    if profile >= 2:
        r.flag()
    if r.u(3) != _RGB:
        r.flag()
        if profile & 1:
            r.u(3)
    elif profile & 1:
        r.flag()
    else:
        raise MediaError("VP9 frame: RGB needs profile 1 or 3")


def _read_frame_size(r: BitReader) -> int:
    """Frame width of ``frame_size()`` and ``render_size()`` (§6.2.3, §6.2.4)."""
    width = r.u(16) + 1
    r.u(16)
    _skip_render_size(r)
    return width


def _skip_render_size(r: BitReader) -> None:
    if r.flag():
        r.u(32)


def _read_inter_size(r: BitReader, widths: _Widths) -> int:
    """Frame width of an inter frame: a reference's or its own (``frame_size_with_refs()``, §6.2.5)."""
    references = []
    for _ in range(3):
        references.append(widths[r.u(3)])
        r.flag()
    if 0 in references:
        raise UnsupportedMediaError("VP9: the segment does not start at a key frame")
    for width in references:
        if r.flag():
            _skip_render_size(r)
            return width
    return _read_frame_size(r)


def _skip_loop_filter(r: BitReader) -> None:
    """``loop_filter_params()`` (§6.2.8)."""
    r.u(9)
    if r.flag() and r.flag():
        for _ in range(6):
            if r.flag():
                r.u(7)


def _skip_segmentation(r: BitReader) -> None:
    """The rest of ``segmentation_params()`` (§6.2.11)."""
    if r.flag():
        for _ in range(7):
            if r.flag():
                r.u(8)
        if r.flag():
            for _ in range(3):
                if r.flag():
                    r.u(8)
    if r.flag():
        r.flag()
        for _ in range(8):
            for bits, signed in _SEGMENTATION_FEATURES:
                if r.flag():
                    r.u(bits + signed)


def _skip_tile_info(r: BitReader, width: int) -> None:
    """``tile_info()`` (§6.2.13): tiles are 256 to 4096 pixels wide."""
    blocks = (width + 63) >> 6
    fewest = 0
    while 64 << fewest < blocks:
        fewest += 1
    most = 1
    while blocks >> most >= 4:
        most += 1
    columns = fewest
    while columns < most - 1 and r.flag():
        columns += 1
    if r.flag():
        r.flag()
