"""The two ways samples are encrypted (ISO/IEC 23001-7 §9 and §10).

All three functions read clear bytes from ``source`` and write the encrypted ones to the same place of ``target``,
which holds a copy of ``source`` already; they touch no other byte. Ranges are (first byte, one past the last).
"""

from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from relay.media.subsamples import Range

_BLOCK = 16
_STRIDE = 160
"""One block in ten: the 1:9 pattern (ISO/IEC 23001-7 §10.4.2)."""


def encrypt_ctr(
    key: bytes, ivs: Iterable[bytes], samples: Iterable[Sequence[Range]], source: memoryview, target: memoryview
) -> None:
    """``cenc``: AES-CTR from an 8-byte IV per sample.

    The block counter starts at 0 with each sample and runs on across its ranges (§9.3).
    """
    # One context, given a new nonce per sample: making one costs about as much as encrypting 10 kB.
    context = Cipher(algorithms.AES(key), modes.CTR(bytes(_BLOCK))).encryptor()
    first_block = bytes(8)
    for iv, ranges in zip(ivs, samples, strict=True):
        context.reset_nonce(iv + first_block)
        for start, end in ranges:
            context.update_into(source[start:end], target[start:end])


def encrypt_cbc(key: bytes, iv: bytes, ranges: Iterable[Range], source: memoryview, target: memoryview) -> None:
    """``cbcs`` audio: AES-CBC over all whole blocks of each range; a partial last one stays clear (§10.4.2)."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    for start, end in ranges:
        end -= (end - start) % _BLOCK
        target[start:end] = cipher.encryptor().update(source[start:end])


def encrypt_cbc_pattern(key: bytes, iv: bytes, ranges: Iterable[Range], source: memoryview, target: memoryview) -> None:
    """``cbcs`` video: AES-CBC over one block in ten of each range, chained within it (§10.4.2).

    The IV starts anew with each range.
    """
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    for start, end in ranges:
        blocks = (end - start - _BLOCK) // _STRIDE + 1
        if blocks < 1:
            continue
        end = start + (blocks - 1) * _STRIDE + _BLOCK
        # Seen as 8-byte items, a block is two and the stride twenty, so four strided copies move all blocks
        # in and out: three times as fast as slicing block by block.
        clear = source[start:end].cast("Q")
        chain = memoryview(bytearray(blocks * _BLOCK)).cast("Q")
        chain[::2], chain[1::2] = clear[::20], clear[1::20]
        encrypted = memoryview(cipher.encryptor().update(chain.cast("B"))).cast("Q")
        out = target[start:end].cast("Q")
        out[::20], out[1::20] = encrypted[::2], encrypted[1::2]
