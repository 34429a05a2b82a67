"""Where pace information lies in an MPEG transport stream: in descriptors of adaptation fields (ETSI TS 104 002 V1.1.1
§5.5.3.6; ISO/IEC 13818-1 §2.4.3.4 and annex U) and in SEI messages, which packets may split."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from relay.errors import MediaError
from relay.watermark.etsi.pace import DATA_BYTES, VERSION

PACKET_BYTES = 188
DESCRIPTOR_TAG = 0xDF
_SYNC = 0x47
_HAS_FIELD, _HAS_PAYLOAD = 0x20, 0x10
_PCR, _OPCR, _SPLICING, _PRIVATE, _EXTENSION = 0x10, 0x08, 0x04, 0x02, 0x01
_LTW, _PIECEWISE, _SEAMLESS, _NO_DESCRIPTORS = 0x80, 0x40, 0x20, 0x10

Span = tuple[int, int]
"""First byte of a place, and one past its last."""


def is_transport_stream(segment: bytes) -> bool:
    """Whether it begins like one. A box that began so would be larger than a gigabyte."""
    return segment[:1] == bytes((_SYNC,))


def places(segment: bytes, sei_uuid: bytes) -> Iterator[tuple[tuple[Span, ...], str]]:
    """Each pace information's spans, in order, and what to call it.

    Raises :class:`MediaError` for what is no transport stream of packets of 188 bytes.
    """
    payloads: dict[int, list[Span]] = {}
    for at in range(0, len(segment), PACKET_BYTES):
        body, end = at + 4, at + PACKET_BYTES
        if segment[at] != _SYNC or end > len(segment):
            raise MediaError(f"transport stream: no packet at {at}")
        control = segment[at + 3]
        if control & _HAS_FIELD:
            field_end = body + 1 + segment[body]
            if field_end > end:
                raise MediaError(f"transport stream: the adaptation field at {body} is longer than its packet")
            for span in _in_field(segment, body + 1, field_end):
                yield (span,), f"adaptation field@{at}"
            body = field_end
        if control & _HAS_PAYLOAD:
            pid = int.from_bytes(segment[at + 1 : at + 3]) & 0x1FFF
            payloads.setdefault(pid, []).append((body, end))
    for spans in payloads.values():
        yield from _messages(segment, spans, sei_uuid)


def _in_field(segment: bytes, at: int, end: int) -> Iterator[Span]:
    """The descriptors of an adaptation field whose flags stand ``at``."""
    if at == end:
        return
    flags = segment[at]
    at += 1 + 6 * bool(flags & _PCR) + 6 * bool(flags & _OPCR) + bool(flags & _SPLICING)
    if flags & _PRIVATE:
        at, stop = _part(segment, at, end)
        for span in _descriptors(segment, at, stop):
            # Others use the tag in private data, too: broadcasters for boundary points, with letters here.
            if span[1] - span[0] == DATA_BYTES and segment[span[0]] == VERSION:
                yield span
        at = stop
    if flags & _EXTENSION:
        at, stop = _part(segment, at, end)
        if at < stop and not segment[at] & _NO_DESCRIPTORS:
            flags = segment[at]
            at += 1 + 2 * bool(flags & _LTW) + 3 * bool(flags & _PIECEWISE) + 5 * bool(flags & _SEAMLESS)
            yield from _descriptors(segment, at, stop)


def _part(segment: bytes, at: int, end: int) -> Span:
    """The part of an adaptation field whose length stands ``at``."""
    if at >= end or at + 1 + segment[at] > end:
        raise MediaError(f"transport stream: a part at {at} is longer than its adaptation field")
    return at + 1, at + 1 + segment[at]


def _descriptors(segment: bytes, at: int, end: int) -> Iterator[Span]:
    """The payload of each descriptor with our tag. What cannot be a descriptor ends the walk: it is padding."""
    while at + 2 <= end:
        start, stop = at + 2, at + 2 + segment[at + 1]
        if stop > end:
            return
        if segment[at] == DESCRIPTOR_TAG:
            yield start, stop
        at = stop


def _messages(segment: bytes, payloads: list[Span], sei_uuid: bytes) -> Iterator[tuple[tuple[Span, ...], str]]:
    data = b"".join(segment[start:end] for start, end in payloads)
    edges = list(accumulate((end - start for start, end in payloads), initial=0))
    at = data.find(sei_uuid)
    while at >= 0:
        first = at + len(sei_uuid)
        last = min(first + DATA_BYTES, len(data))
        spans = []
        while first < last:
            index = bisect_right(edges, first) - 1
            stop = min(last, edges[index + 1])
            moved = payloads[index][0] - edges[index]
            spans.append((first + moved, stop + moved))
            first = stop
        yield tuple(spans), f"SEI message of a stream@{at}"
        at = data.find(sei_uuid, last)
