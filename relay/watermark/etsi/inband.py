"""Pace information inside media (ETSI TS 104 002 V1.1.1 §5.5.3.4 to §5.5.3.6): read, written, and overwritten before a
player gets it, since it tells the variant (§5.6.5)."""

from collections.abc import Iterator

from relay.errors import MediaError
from relay.media.box import Box, Budget, encode_box, read_header
from relay.watermark.etsi.pace import DATA_BYTES, PaceInfo, decode
from relay.watermark.etsi.transport import Span, is_transport_stream, places

WMPI = b"wmpi"
SEI_UUID = bytes.fromhex("bec4f824170d47cfa826ce008083e355")
"""Begins the user data of the SEI message, in H.264 and HEVC, and of its like in AV1."""
MAX_BOXES = 100_000
MAX_PLACES = 4096


def wmpi_box(info: PaceInfo) -> bytes:
    """A ``wmpi`` box."""
    return encode_box(WMPI, info.encode())


def with_wmpi(segment: bytes, info: PaceInfo) -> bytes:
    """A segment of fragmented MP4 with a ``wmpi`` box behind its ``styp``, or at its beginning without one.

    Everything counted from a ``moof`` or from the end of a ``sidx`` keeps its meaning there.
    """
    first = next(_top_level(segment), None)
    at = first.end if first is not None and first.kind == b"styp" else 0
    return segment[:at] + wmpi_box(info) + segment[at:]


def find(segment: bytes) -> PaceInfo | None:
    """What a segment, fragmented MP4 or a transport stream, says of itself.

    None where it says nothing, or nothing any more. Raises :class:`MediaError` where it says two things, or in a form
    that is not known.
    """
    found = {
        decode(b"".join(segment[start:end] for start, end in spans), where) for spans, where in _places(segment)
    } - {None}
    if len(found) > 1:
        raise MediaError("segment: pace information that contradicts itself")
    return found.pop() if found else None


def overwritten(segment: bytes) -> bytes:
    """The segment with all its pace information replaced by 0xFF, nothing moved; itself where there is none.

    Also takes a part of a segment that begins and ends with whole boxes. Raises :class:`MediaError` for one that cannot
    be walked.
    """
    found = [span for spans, _ in _places(segment) for span in spans]
    if not found:
        return segment
    out = bytearray(segment)
    for start, end in found:
        out[start:end] = b"\xff" * (end - start)
    return bytes(out)


def _places(segment: bytes) -> Iterator[tuple[tuple[Span, ...], str]]:
    """Each pace information's spans, and what to call it."""
    found = places(segment, SEI_UUID) if is_transport_stream(segment) else _boxes_and_messages(segment)
    for count, place in enumerate(found):
        if count == MAX_PLACES:
            raise MediaError(f"segment: over {MAX_PLACES} times pace information")
        yield place


def _boxes_and_messages(segment: bytes) -> Iterator[tuple[tuple[Span, ...], str]]:
    if WMPI in segment:
        for box in _top_level(segment):
            if box.kind == WMPI:
                yield ((box.body, box.end),), box.where
    # Sought by its 128 bits alone: they hold nothing that emulation prevention would split, occur by a chance of less
    # than 2^-100 in other data, and are the same in every codec. Parsing NAL units would cost more and find less.
    at = segment.find(SEI_UUID)
    while at >= 0:
        start = at + len(SEI_UUID)
        yield ((start, min(start + DATA_BYTES, len(segment))),), f"SEI message@{at}"
        at = segment.find(SEI_UUID, start)


def _top_level(segment: bytes) -> Iterator[Box]:
    view, at, budget = memoryview(segment), 0, Budget(MAX_BOXES)
    while at < len(view):
        budget.spend("segment")
        box = read_header(view, at)
        if box is None or box.end > len(view):
            raise MediaError(f"segment: truncated in the box at {at}")
        yield box
        at = box.end
