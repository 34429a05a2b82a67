"""What the relay and the process of an analysis say to each other: lengths of 4 bytes, values in MessagePack. Pure.

The process that reads an upload, which is hostile until proved otherwise, is given the chip keys of what it found and
nothing else that is secret. The code key goes to another process, which sees numbers alone, and no names.
"""

from typing import Final

from msgspec import Struct, msgpack

from relay.watermark.analyse.reading import Reading
from relay.watermark.jobs.result import Accusation

LENGTH_BYTES: Final = 4
MAX_MESSAGE: Final = 64 * 1024 * 1024


class Limits(Struct, frozen=True, array_like=True):
    """Of the process itself: bytes of address space and of one file, seconds of processor time."""

    memory: int
    file: int
    cpu_s: int


class Read(Struct, frozen=True, tag=True):
    """Read the marks of the file ``upload``, of all assets with a folder in ``assets``, or of one ``asset``."""

    limits: Limits
    upload: str
    assets: str
    asset: str
    max_upload: int
    max_duration_s: float
    read_s: float


class Accuse(Struct, frozen=True, tag=True):
    """Find the numbers that are behind scores, among those of the file ``intervals``. NaN is an unreadable position."""

    limits: Limits
    intervals: str
    code_key: bytes
    colluders: int
    positions: list[int]
    z: list[float]
    segment_s: float
    hypotheses: int
    false_accusation: float


class AskKey(Struct, frozen=True, tag=True):
    """Which is the chip key of an asset? ``check`` is its index's word on it."""

    asset: str
    check: str


class Key(Struct, frozen=True, tag=True):
    """The chip key; None: it is not known."""

    key: bytes | None


class Progress(Struct, frozen=True, tag=True):
    """The step, and the share of it that is done."""

    step: str
    share: float


class Failed(Struct, frozen=True, tag=True):
    """The code of an error, and what it says."""

    code: str
    detail: str


class HasRead(Struct, frozen=True, tag=True):
    """The answer to :class:`Read`."""

    reading: Reading


class HasAccused(Struct, frozen=True, tag=True):
    """The answer to :class:`Accuse`."""

    accusation: Accusation


ToProcess = Read | Accuse | Key
FromProcess = AskKey | Progress | Failed | HasRead | HasAccused

_encoder = msgpack.Encoder()
to_process: msgpack.Decoder[ToProcess] = msgpack.Decoder(ToProcess)
from_process: msgpack.Decoder[FromProcess] = msgpack.Decoder(FromProcess)


def framed(message: ToProcess | FromProcess) -> bytes:
    """A message as it goes through the pipe."""
    encoded = _encoder.encode(message)
    return len(encoded).to_bytes(LENGTH_BYTES) + encoded
