from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.media.cipher import encrypt_cbc, encrypt_cbc_pattern, encrypt_ctr
from relay.media.subsamples import Range
from tests.media.material import CONSTANT_IV, VIDEO

KEY = VIDEO.key
IV = bytes.fromhex("a0b1c2d3e4f50607")


def ctr(data: bytes, samples: Sequence[Sequence[Range]], ivs: Sequence[bytes] = (IV,)) -> bytes:
    out = bytearray(data)
    encrypt_ctr(KEY, ivs, samples, memoryview(data), memoryview(out))
    return bytes(out)


def cbc(data: bytes, ranges: Sequence[Range]) -> bytes:
    out = bytearray(data)
    encrypt_cbc(KEY, CONSTANT_IV, ranges, memoryview(data), memoryview(out))
    return bytes(out)


def pattern(data: bytes, ranges: Sequence[Range]) -> bytes:
    out = bytearray(data)
    encrypt_cbc_pattern(KEY, CONSTANT_IV, ranges, memoryview(data), memoryview(out))
    return bytes(out)


# The expected bytes below were worked out with two other implementations of the block cipher modes.


def test_cenc_whole_sample() -> None:
    expected = "6d9edbeef9f4567d3f1da5f93056e205588feb49cda383449a5da4ec5e9d3bbc58eef5ecb19b50e9"
    assert ctr(bytes(range(40)), [[(0, 40)]]).hex() == expected


def test_cenc_counter_runs_on_across_the_ranges_of_a_sample() -> None:
    expected = "00010203046899dee5f4fb5b763a1aa0e22d49ff1e1516175087e341c5ab8b4ca2659cd466a50384"
    assert ctr(bytes(range(40)), [[(5, 21), (24, 40)]]).hex() == expected


def test_cenc_counter_starts_anew_with_each_sample() -> None:
    twice = ctr(bytes(range(40)) * 2, [[(0, 40)], [(40, 80)]], [IV, IV])
    assert twice[:40] == twice[40:] == ctr(bytes(range(40)), [[(0, 40)]])


def test_cenc_ranges_off_block_size_waste_no_key_stream() -> None:
    """The protected bytes of a sample are one stream, however they are cut (ISO/IEC 23001-7 §9.3)."""
    whole = ctr(bytes(60), [[(0, 30)]])
    cut = ctr(bytes(60), [[(0, 7), (10, 20), (40, 53)]])
    assert cut[0:7] + cut[10:20] + cut[40:53] == whole[:30]


def test_cbcs_audio_leaves_the_last_partial_block() -> None:
    expected = "69f99acbdbf338a54c1c9b98ed6823c9cc76f9f7d3ec1e0477ec5a3b82e27a9f2021222324252627"
    assert cbc(bytes(range(40)), [(0, 40)]).hex() == expected


def test_cbcs_audio_starts_from_the_constant_iv_with_each_sample() -> None:
    assert cbc(bytes(range(40)) * 2, [(0, 40), (40, 80)]) == cbc(bytes(range(40)), [(0, 40)]) * 2


def test_cbcs_video_encrypts_one_block_in_ten() -> None:
    clear = bytes(range(188))
    out = pattern(clear, [(5, 188)])
    assert out[5:21].hex() == "8878eb810267f5e162c734253d3e7a66"
    assert out[165:181].hex() == "38a65194c5e64f69819232a6cf830997"
    assert out[:5] + out[21:165] + out[181:] == clear[:5] + clear[21:165] + clear[181:]


@pytest.mark.parametrize("size", [0, 1, 15])
def test_ranges_below_a_block_stay_clear(size: int) -> None:
    assert cbc(bytes(size), [(0, size)]) == bytes(size)
    assert pattern(bytes(size), [(0, size)]) == bytes(size)


@settings(deadline=None)
@given(st.binary(max_size=1000), st.data())
def test_cbcs_video_is_what_block_by_block_gives(data: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, len(data)))
    expected = bytearray(data)
    encryptor = Cipher(algorithms.AES(KEY), modes.CBC(CONSTANT_IV)).encryptor()
    for at in range(start, end - 15, 160):
        expected[at : at + 16] = encryptor.update(data[at : at + 16])
    assert pattern(data, [(start, end)]) == expected
