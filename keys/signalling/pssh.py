"""The ``pssh`` box: one DRM system's signalling, in init segments, manifests and EME init data."""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack, unpack_from
from uuid import UUID

from keys.errors import SignallingError

MAX_BOX_BYTES = 64 * 1024
"""Far above any real box: PlayReady's, the largest, may hold 15 KiB."""

_FIXED_BYTES = 32
"""Box header, version and flags, system ID, data size."""


@dataclass(frozen=True, slots=True)
class Pssh:
    """Protection System Specific Header, ISO/IEC 23001-7 §8.1.

    ``kids`` (16 bytes each) are the key IDs that the box itself names; with any, it is a version 1 box,
    with none version 0. Raises :class:`SignallingError` for a key ID of another length or a box over
    the limit.
    """

    system: UUID
    data: bytes = b""
    kids: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        require_kids(self.kids)
        if self._size > MAX_BOX_BYTES:
            raise SignallingError(f"pssh: {self._size} bytes, more than {MAX_BOX_BYTES}")

    @property
    def _size(self) -> int:
        return _FIXED_BYTES + (4 + 16 * len(self.kids) if self.kids else 0) + len(self.data)

    def encode(self) -> bytes:
        """The whole box."""
        version = 1 if self.kids else 0
        named = len(self.kids).to_bytes(4, "big") + b"".join(self.kids) if self.kids else b""
        head = pack(">I4sI", self._size, b"pssh", version << 24)
        return head + self.system.bytes + named + len(self.data).to_bytes(4, "big") + self.data

    @classmethod
    def decode(cls, box: bytes) -> "Pssh":
        """Read exactly one whole box. Raises :class:`SignallingError` for anything else."""
        if not _FIXED_BYTES <= len(box) <= MAX_BOX_BYTES:
            raise SignallingError(f"pssh: {len(box)} bytes, expected {_FIXED_BYTES} to {MAX_BOX_BYTES}")
        size, name, version_and_flags, system = unpack_from(">I4sI16s", box)
        if name != b"pssh":
            raise SignallingError(f"pssh: the box is {name!r}")
        if size != len(box):
            raise SignallingError(f"pssh: says it has {size} bytes, has {len(box)}")
        if version_and_flags not in (0, 1 << 24):
            raise SignallingError(f"pssh: version and flags are {version_and_flags:#010x}, expected version 0 or 1")
        at = 28
        kids: tuple[bytes, ...] = ()
        if version_and_flags:
            (count,) = unpack_from(">I", box, at)
            at += 4
            if at + 16 * count + 4 > len(box):
                raise SignallingError(f"pssh: too short for its {count} key IDs")
            kids = tuple(box[at + 16 * i : at + 16 * i + 16] for i in range(count))
            at += 16 * count
        (data_size,) = unpack_from(">I", box, at)
        data = box[at + 4 :]
        if len(data) != data_size:
            raise SignallingError(f"pssh: says it has {data_size} bytes of data, has {len(data)}")
        return cls(UUID(bytes=system), data, kids)


def require_kids(kids: Sequence[bytes]) -> None:
    """Raise :class:`SignallingError` unless every key ID has 16 bytes."""
    for kid in kids:
        if len(kid) != 16:
            raise SignallingError(f"key ID: {len(kid)} bytes, expected 16")
