"""The part of Protocol Buffers that DRM messages need: varints and length-delimited fields.

https://protobuf.dev/programming-guides/encoding/. A message is read one level at a time: a nested message is a field's
bytes until someone reads it, so depth is bounded by the code that reads, never by the input.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keys.errors import LicenceRequestError

MAX_FIELDS = 256
"""Fields in one message. Real DRM messages have a few dozen; the limit bounds what a hostile one costs."""

_MAX_VARINT_BYTES = 10
_UINT64 = (1 << 64) - 1
_VARINT, _BYTES = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}
"""Wire types that no field read here has: stepped over like any unknown field."""

Value = int | bytes


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message's fields by number, each with its values in their order. ``name`` is for error messages.

    Its repr shows field numbers only: fields may hold keys.
    """

    name: str
    fields: Mapping[int, tuple[Value, ...]]

    def __repr__(self) -> str:
        return f"Message({self.name!r}, fields={sorted(self.fields)})"

    @classmethod
    def decode(cls, encoded: bytes, name: str) -> "Message":
        """Read one level of ``encoded``; fields that nobody asks for are ignored.

        Raises :class:`LicenceRequestError` for anything cut short, for groups and unknown wire types, for field
        number 0, and for more than 256 fields.
        """
        fields: dict[int, tuple[Value, ...]] = {}
        for count, (number, value) in enumerate(_read(encoded, name)):
            if count == MAX_FIELDS:
                raise LicenceRequestError(f"{name}: more than {MAX_FIELDS} fields")
            fields[number] = (*fields.get(number, ()), value)
        return cls(name, fields)

    def number(self, field: int, default: int = 0) -> int:
        """The varint in ``field``; of several the last, as protobuf has it."""
        values = self.fields.get(field)
        if not values:
            return default
        if not isinstance(values[-1], int):
            raise LicenceRequestError(f"{self.name}: field {field} is not a varint")
        return values[-1]

    def blob(self, field: int, default: bytes = b"") -> bytes:
        """The bytes in ``field``; of several the last."""
        values = self.fields.get(field)
        return self._delimited(field, values[-1]) if values else default

    def blobs(self, field: int) -> tuple[bytes, ...]:
        """Every value of a repeated ``field``."""
        return tuple(self._delimited(field, value) for value in self.fields.get(field, ()))

    def message(self, field: int, name: str) -> "Message":
        """The message in ``field``, an empty one if there is none."""
        return Message.decode(self.blob(field), name)

    def __contains__(self, field: int) -> bool:
        return field in self.fields

    def _delimited(self, field: int, value: Value) -> bytes:
        if isinstance(value, int):
            raise LicenceRequestError(f"{self.name}: field {field} is not length-delimited")
        return value


def encode(*fields: tuple[int, Value]) -> bytes:
    """A message of ``fields``, each its number (1 to 2**29 - 1) and a value: an unsigned number or bytes."""
    encoded = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            encoded += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            encoded += _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    return bytes(encoded)


def _varint(value: int) -> bytes:
    if not 0 <= value <= _UINT64:
        raise ValueError("a varint field holds an unsigned number of at most 64 bits")
    if value <= 0x7F:
        # Nearly every tag, length and number: worth a tenth of the time that a licence takes.
        return value.to_bytes(1, "big")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read(encoded: bytes, name: str) -> Iterator[tuple[int, Value]]:
    at = 0
    end = len(encoded)
    while at < end:
        # Nearly every tag and length has one byte: to read those here takes half of the time.
        tag = encoded[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = _read_varint(encoded, at, name)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise LicenceRequestError(f"{name}: a field number out of range at byte {at}")
        if wire_type == _VARINT:
            value, at = _read_varint(encoded, at, name)
            yield number, value
            continue
        if wire_type == _BYTES:
            if at < end and encoded[at] < 0x80:
                size = encoded[at]
                at += 1
            else:
                size, at = _read_varint(encoded, at, name)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise LicenceRequestError(f"{name}: field {number} has wire type {wire_type}")
        if size > end - at:
            raise LicenceRequestError(f"{name}: field {number} is cut short at byte {at}")
        if wire_type == _BYTES:
            yield number, encoded[at : at + size]
        at += size


def _read_varint(encoded: bytes, at: int, name: str) -> tuple[int, int]:
    value = 0
    for shift in range(_MAX_VARINT_BYTES):
        if at >= len(encoded):
            raise LicenceRequestError(f"{name}: a number is cut short at byte {at}")
        byte = encoded[at]
        at += 1
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value & _UINT64, at
    raise LicenceRequestError(f"{name}: a number of more than {_MAX_VARINT_BYTES} bytes at byte {at}")
