import pytest

from relay.errors import MediaError
from relay.watermark.etsi.inband import SEI_UUID, find, overwritten
from relay.watermark.etsi.pace import PaceInfo

INFO = PaceInfo(1000, 1)
DESCRIPTOR = b"\xdf\x05" + INFO.encode()
GONE = b"\xdf\x05" + b"\xff" * 5


def packet(payload: bytes = b"", field: bytes | None = None, pid: int = 256) -> bytes:
    """A packet (ISO/IEC 13818-1 §2.4.3.2), its payload filled up with zeros."""
    control = 0x10 | (0x20 if field is not None else 0)
    head = b"\x47" + pid.to_bytes(2) + bytes((control,))
    body = head + (b"" if field is None else bytes((len(field),)) + field) + payload
    assert len(body) <= 188
    return body.ljust(188, b"\0")


def extension(descriptors: bytes, flags: int = 0) -> bytes:
    """The extension part of an adaptation field, with its length."""
    fields = bytes(2 * bool(flags & 0x80) + 3 * bool(flags & 0x40) + 5 * bool(flags & 0x20))
    body = bytes((flags,)) + fields + descriptors
    return bytes((len(body),)) + body


def private(data: bytes) -> bytes:
    return bytes((len(data),)) + data


@pytest.mark.parametrize(
    "field",
    [
        b"\x01" + extension(DESCRIPTOR),
        b"\x01" + extension(b"\x04\x02ab" + DESCRIPTOR, 0xE0),
        b"\x1d" + bytes(13) + extension(DESCRIPTOR),
        b"\x13" + bytes(6) + private(b"\x02\x01a") + extension(DESCRIPTOR) + b"\xff\xff",
        b"\x02" + private(DESCRIPTOR),
        b"\x02" + private(b"\x02\x01a" + DESCRIPTOR + b"\xff\xff"),
    ],
)
def test_descriptors(field: bytes) -> None:
    stream = packet(b"one") + packet(b"two", field) + packet(b"three")
    assert find(stream) == INFO
    gone = overwritten(stream)
    assert gone == stream.replace(DESCRIPTOR, GONE)
    assert len(gone) == len(stream)
    assert find(gone) is None


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"\x00",
        b"\x01" + extension(DESCRIPTOR, 0x10),  # older streams: what follows is reserved
        b"\x01\x00",
        b"\x02" + private(b"\xdf\x05EBP0\x00"),  # a boundary point of a broadcaster
        b"\x02" + private(b"\xdf\x09" + INFO.encode()),  # longer than there is room for
        b"\x01" + extension(b"\xde\x05" + INFO.encode()),
    ],
)
def test_what_is_no_such_descriptor(field: bytes) -> None:
    stream = packet(DESCRIPTOR, field)
    assert overwritten(stream) is stream
    assert find(stream) is None


@pytest.mark.parametrize("gap", range(22))
def test_sei_messages_split_by_packets(gap: int) -> None:
    message = SEI_UUID + INFO.encode()
    first = packet(b"x" * (184 - gap) + message[:gap])
    other = packet(b"audio", pid=257)
    second = packet(message[gap:] + b"y", b"\x00")
    assert find(first + other + second) == INFO
    gone = overwritten(first + other + second)
    assert find(gone) is None
    assert sum(one != two for one, two in zip(first + other + second, gone, strict=True)) == 5


@pytest.mark.parametrize(
    "stream",
    [
        packet()[:-1],
        packet() + b"\0" * 188,
        packet() + b"\x47",
        b"\x47\1\0\x30" + b"\xb8" + bytes(183),
        packet(b"", b"\x02\x05ab"),
        packet(b"", b"\x01"),
        packet(b"", b"\x02"),
    ],
)
def test_streams_that_cannot_be_walked(stream: bytes) -> None:
    with pytest.raises(MediaError, match="transport stream: "):
        overwritten(stream)


def test_contradictions_are_refused() -> None:
    fields = [b"\x01" + extension(b"\xdf\x05" + PaceInfo(at).encode()) for at in (1, 2)]
    with pytest.raises(MediaError, match="contradicts"):
        find(packet(b"", fields[0]) + packet(b"", fields[1]))
