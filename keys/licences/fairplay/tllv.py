"""Tag–length–length–value blocks, of which the payloads of both FairPlay containers consist.

A block is a tag (8 bytes), its length after this header (4), its value's length (4), the value and padding.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from keys.errors import LicenceRequestError

_HEADER_BYTES = 16
_ALIGNMENT = 16


class Tag(IntEnum):
    """The tags that this server reads or writes; others are skipped."""

    SESSION_KEY_R1 = 0x3D1A10B8BFFAC2EC
    INTEGRITY = 0xB349D4809E910687
    AR_SEED = 0x89C90F12204106B2
    R2 = 0x71B5595AC1521133
    RETURN_REQUEST = 0x19F9D4E5AB7609CB
    ASSET_ID = 0x1BF7F53F5D5D5A1F
    TRANSACTION_ID = 0x47AA7AD3440577DE
    STREAMING_INDICATOR = 0xABB0256A31843974
    PLAYBACK_STATE = 0xEB8EFDF2B25AB3A0
    CAPABILITIES = 0x9C02AF3253C07FB2

    ENCRYPTED_KEY = 0x58B38165AF0E3D5A
    R1 = 0xEA74C4645D5EFEE9
    DURATION = 0x47ACF6A418CD091A
    HDCP = 0x2E52F1530D8DDB4A
    OFFLINE_KEY = 0x6375D9727060218C


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its value, and all of its bytes as they came, header and padding included."""

    value: bytes = field(repr=False)
    whole: bytes = field(repr=False)


def read_blocks(payload: bytes) -> dict[int, Block]:
    """The blocks of a payload by tag. Raises :class:`LicenceRequestError` for one that is cut short or doubled."""
    blocks: dict[int, Block] = {}
    at = 0
    while at < len(payload):
        start = at + _HEADER_BYTES
        if start > len(payload):
            raise LicenceRequestError(f"SPC payload: block header at {at} is cut short")
        tag = int.from_bytes(payload[at : at + 8])
        length = int.from_bytes(payload[at + 8 : at + 12])
        value_length = int.from_bytes(payload[at + 12 : start])
        end = start + length
        if length % _ALIGNMENT or value_length > length:
            raise LicenceRequestError(f"SPC payload: block at {at} has impossible lengths")
        if end > len(payload):
            raise LicenceRequestError(f"SPC payload: block at {at} is cut short")
        if tag in blocks:
            raise LicenceRequestError(f"SPC payload: block at {at} repeats a tag")
        blocks[tag] = Block(payload[start : start + value_length], payload[at:end])
        at = end
    return blocks


def write_block(tag: Tag, value: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """A block whose padding is random, so that what precedes a known value is not known."""
    padding = entropy(_ALIGNMENT - len(value) % _ALIGNMENT)
    lengths = (len(value) + len(padding)).to_bytes(4) + len(value).to_bytes(4)
    return tag.to_bytes(8) + lengths + value + padding
