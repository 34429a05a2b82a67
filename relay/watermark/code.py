"""The code: which of two variants of a segment a session gets, variant a (0) or b (1).

A bit depends on the asset's code key, the session's number and the position alone: never on rendition, retry, seek or
node. So nothing is stored, any node serves the same, and the analyser finds every session's bits again.

Each position has a bias, the share of sessions that get variant b there, drawn for the asset from one of the profiles
below. They are Tardos codes in the discrete form of Nuida et al. ("An improvement of discrete Tardos fingerprinting
codes", 2009): the higher the profile, the more sessions may mix their copies and still be found, and the longer the
leak must be for that. Patterns of the code are big-endian, as ETSI TS 104 002 has them in tokens: position 0 is the
highest bit of the first byte.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from re import compile as pattern_of
from struct import Struct
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.encoding import encode_fields
from keys.schedule import expand

LABEL_BITS: Final = b"segmentgate/1 watermark code bits"
LABEL_BIASES: Final = b"segmentgate/1 watermark code biases"

SCALE: Final = 1 << 16
"""Draws are 16-bit numbers; a bit is 1 where its draw is below its position's threshold."""

PROFILES: Final = {
    2: ((0.5, 1.0),),
    4: ((0.21132, 0.5), (0.78868, 0.5)),
    6: ((0.11270, 0.33201), (0.5, 0.33598), (0.88730, 0.33201)),
    8: ((0.06943, 0.24833), (0.33001, 0.25167), (0.66999, 0.25167), (0.93057, 0.24833)),
}
"""By colluders designed for: biases, and how often each is drawn.

The zeros of shifted Legendre polynomials; Gauss-Legendre weights over sqrt(p(1-p)), normalised.
"""
DEFAULT_PROFILE: Final = 2

BLOCK: Final = 128
"""Positions of one block, the unit in which bits are made and kept."""
DRAWS: Final = 8
"""Positions whose draws come from one AES block."""

_NUMBER = pattern_of("[0-9a-f]{16}")
_COUNTERS = Struct(">" + "QQ" * (BLOCK // DRAWS))
# Little-endian, so that the analyser's arrays read a million sessions' draws without a copy.
_WORDS = Struct(f"<{BLOCK}H")


def number_of(watermark_id: str) -> int:
    """The 64-bit number behind a watermark id: sixteen lower-case hex digits stand for themselves."""
    if _NUMBER.fullmatch(watermark_id):
        return int(watermark_id, 16)
    return int.from_bytes(blake2b(watermark_id.encode(), digest_size=8).digest())


class AssetCode:
    """The bits of all sessions on one asset.

    A draw is a 16-bit little-endian word of ``AES-256(key, number ‖ position div 8)``, both as 64 bits big-endian; the
    position mod 8 says which word. The key is derived from the asset's code key and the profile. Biases are drawn in
    the same way under a key of their own, for number 0. Not for several threads at once.
    """

    def __init__(self, code_key: bytes, profile: int = DEFAULT_PROFILE) -> None:
        """``code_key`` is 32 bytes. Raises :class:`ValueError` for another length or an unknown profile."""
        if len(code_key) != 32:
            raise ValueError(f"a code key is 32 bytes, not {len(code_key)}")
        if profile not in PROFILES:
            raise ValueError(f"collusion profile {profile} is none of {', '.join(map(str, PROFILES))}")
        self.profile = profile
        self._bits = _Draws(code_key, LABEL_BITS, profile)
        self._biases = _Draws(code_key, LABEL_BIASES, profile)
        self._values = [round(SCALE * bias) for bias, _ in PROFILES[profile]]
        self._cumulative = [round(SCALE * share) for share in accumulate(share for _, share in PROFILES[profile])]
        self._thresholds: Callable[[int], tuple[int, ...]] = lru_cache(maxsize=64)(self._draw_thresholds)

    def bit(self, number: int, position: int) -> int:
        """0 for variant a, 1 for variant b. Callers with many requests keep a :meth:`block`."""
        return self.block(number, position // BLOCK) >> (BLOCK - 1 - position % BLOCK) & 1

    def block(self, number: int, index: int) -> int:
        """The bits of :data:`BLOCK` positions from ``index * BLOCK`` on, the first one highest.

        Raises :class:`ValueError` for a number or an index that is negative or past 64 bits.
        """
        bits = 0
        for draw, threshold in zip(self._bits.block(number, index), self._thresholds(index), strict=True):
            bits = bits << 1 | (draw < threshold)
        return bits

    def pattern(self, number: int, length: int) -> bytes:
        """The first ``length`` bits, as a direct token carries them: big-endian, the last byte filled with zeros."""
        if length < 0:
            raise ValueError(f"a pattern of {length} bits")
        blocks = b"".join(self.block(number, index).to_bytes(BLOCK // 8) for index in range(-(-length // BLOCK)))
        whole, rest = divmod(length, 8)
        return blocks[:whole] + (bytes([blocks[whole] & -256 >> rest & 255]) if rest else b"")

    def thresholds(self, index: int) -> tuple[int, ...]:
        """Of each position of a block, how many of :data:`SCALE` sessions get variant b."""
        return self._thresholds(index)

    def draw(self, counters: memoryview, draws: memoryview) -> None:
        """Make draws in bulk: AES blocks of number and position div 8 in, words out, with 15 bytes to spare."""
        self._bits.encrypt(counters, draws)

    def _draw_thresholds(self, index: int) -> tuple[int, ...]:
        if len(self._values) == 1:
            return (self._values[0],) * BLOCK
        return tuple(
            next(value for value, below in zip(self._values, self._cumulative, strict=True) if draw < below)
            for draw in self._biases.block(0, index)
        )


class _Draws:
    def __init__(self, code_key: bytes, label: bytes, profile: int) -> None:
        key = expand(code_key, encode_fields(label, b"%d" % profile), 32)
        # A pseudo-random function of distinct counters, not the encryption of a message.
        self._aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - see above

    def block(self, number: int, index: int) -> tuple[int, ...]:
        if not (0 <= number < 1 << 64 and 0 <= index < 1 << 56):
            raise ValueError(f"no bits for number {number}, block {index}")
        first = index * (BLOCK // DRAWS)
        counters = [part for count in range(first, first + BLOCK // DRAWS) for part in (number, count)]
        return _WORDS.unpack(self._aes.update(_COUNTERS.pack(*counters)))

    def encrypt(self, counters: memoryview, draws: memoryview) -> None:
        self._aes.update_into(counters, draws)
