"""When a media segment begins, as its first fragment says (ISO/IEC 14496-12 §8.8.12, §8.8.8)."""

from fractions import Fraction

from relay.errors import MediaError
from relay.media.box import Box, Budget, children, only, read_header
from relay.media.boxes.tfhd import Tfhd
from relay.media.cursor import Cursor
from relay.media.init_segment import InitSegment
from relay.media.model import TrackKind

_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4
_BEFORE_OFFSET = (0x100, 0x200, 0x400)
_COMPOSITION_OFFSET = 0x800


def starts_at(data: bytes, init: InitSegment) -> Fraction | None:
    """When the first sample of video is shown, in seconds of media time; ``data`` is the beginning of a segment.

    Of the first sample, because a closed group of pictures begins with what is shown first; and when it is shown, for
    encoders differ in what they take off decode times. None where more bytes are needed. Raises :class:`MediaError`
    for a segment that does not say.
    """
    view, at, budget = memoryview(data), 0, Budget()
    while (box := read_header(view, at)) is not None:
        budget.spend("segment")
        if box.kind == b"moof":
            return _in_fragment(box, init, budget) if box.end <= len(view) else None
        at = box.end
    return None


def _in_fragment(moof: Box, init: InitSegment, budget: Budget) -> Fraction:
    for traf in children(moof, budget):
        if traf.kind != b"traf":
            continue
        inside = list(children(traf, budget))
        track = init.track(Tfhd.decode(only(inside, b"tfhd", traf.where)).track_id)
        runs = [box for box in inside if box.kind == b"trun"]
        if track is not None and track.kind is TrackKind.VIDEO and runs:
            decoded = _decode_time(only(inside, b"tfdt", traf.where))
            return Fraction(decoded + _composition_offset(runs[0]), track.timescale)
    raise MediaError(f"{moof.where}: no fragment of video")


def _decode_time(tfdt: Box) -> int:
    cursor = Cursor(tfdt.payload, tfdt.where)
    version, _ = cursor.full_box(0, 1)
    return cursor.u64() if version else cursor.u32()


def _composition_offset(trun: Box) -> int:
    """That of the first sample; 0 where it has none."""
    cursor = Cursor(trun.payload, trun.where)
    version, flags = cursor.full_box(0, 1)
    if not cursor.u32() or not flags & _COMPOSITION_OFFSET:
        return 0
    cursor.take(4 * sum(bool(flags & flag) for flag in (_DATA_OFFSET, _FIRST_FLAGS, *_BEFORE_OFFSET)))
    return int.from_bytes(cursor.take(4), signed=version == 1)
