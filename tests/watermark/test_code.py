"""Bits of the code: the same for ever, as documented, and as often 1 as their biases say."""

import hmac
from hashlib import blake2b
from itertools import accumulate

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from relay.watermark.code import BLOCK, PROFILES, SCALE, AssetCode, number_of

KEY = bytes(range(32))
NUMBER = 0x0123456789ABCDEF


def derived(label: bytes, profile: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) by hand, for one block of output and no salt."""
    info = b"".join(len(field).to_bytes(4, "big") + field for field in (label, str(profile).encode()))
    return hmac.digest(hmac.digest(bytes(32), KEY, "sha256"), info + b"\x01", "sha256")


def slow_draw(key: bytes, number: int, position: int) -> int:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    block = encryptor.update(number.to_bytes(8, "big") + (position // 8).to_bytes(8, "big"))
    return block[2 * (position % 8)] + 256 * block[2 * (position % 8) + 1]


def slow_threshold(profile: int, position: int) -> int:
    draw = slow_draw(derived(b"segmentgate/1 watermark code biases", profile), 0, position)
    cumulative = accumulate(share for _, share in PROFILES[profile])
    passed = sum(round(65536 * below) <= draw for below in cumulative)
    return round(65536 * PROFILES[profile][passed][0])


def slow_bit(profile: int, number: int, position: int) -> int:
    draw = slow_draw(derived(b"segmentgate/1 watermark code bits", profile), number, position)
    return int(draw < slow_threshold(profile, position))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("position", [0, 1, 7, 8, 127, 128, 1799, 32_767, 32_768, 2**31 - 1])
def test_a_bit_is_what_the_documented_construction_says(profile: int, position: int) -> None:
    code = AssetCode(KEY, profile)
    for number in (0, NUMBER, 2**64 - 1):
        assert code.bit(number, position) == slow_bit(profile, number, position)
        assert code.thresholds(position // BLOCK)[position % BLOCK] == slow_threshold(profile, position)


@pytest.mark.parametrize(
    ("profile", "pattern"),
    [
        (2, "935103ae697a23a0615f5430f5f02706c31db6ed"),
        (4, "56e650255c2ee4c6dc80e2cf08757c21ed9c137e"),
        (6, "10a99d30df94cc505e26e94d26b311b3cd1bff31"),
        (8, "ca7bb7ee98a3218d9c00e622f16ceeabfcccf611"),
    ],
)
def test_bits_stay_what_they_were_when_leaks_were_served(profile: int, pattern: str) -> None:
    """Golden: checked against the slow construction above. A change of these makes every past leak untraceable."""
    assert AssetCode(KEY, profile).pattern(NUMBER, 160).hex() == pattern


@pytest.mark.parametrize("length", [0, 1, 7, 8, 127, 128, 129, 3600])
def test_a_pattern_is_the_first_bits_big_endian_and_then_zeros(length: int) -> None:
    code = AssetCode(KEY, 4)
    pattern = code.pattern(NUMBER, length)
    bits = [byte >> (7 - place) & 1 for byte in pattern for place in range(8)]
    assert len(pattern) == (length + 7) // 8
    assert bits[:length] == [code.bit(NUMBER, position) for position in range(length)]
    assert not any(bits[length:])


@pytest.mark.parametrize("profile", PROFILES)
def test_biases_and_bits_come_up_as_often_as_the_profile_says(profile: int) -> None:
    code = AssetCode(KEY, profile)
    thresholds = [threshold for index in range(64) for threshold in code.thresholds(index)]
    for bias, share in PROFILES[profile]:
        assert thresholds.count(round(SCALE * bias)) / len(thresholds) == pytest.approx(share, abs=0.02)
    ones = sum(code.block(number, index).bit_count() for number in range(20) for index in range(64))
    assert ones / (20 * len(thresholds)) == pytest.approx(sum(thresholds) / SCALE / len(thresholds), abs=0.005)


def test_sessions_assets_and_profiles_share_no_bits() -> None:
    patterns = [
        int.from_bytes(code.pattern(number, 2048))
        for code in (AssetCode(KEY, 2), AssetCode(bytes(32), 2))
        for number in (1, 2)
    ]
    for one in patterns:
        for other in patterns:
            assert one is other or 900 < (one ^ other).bit_count() < 1150


def test_watermark_ids_of_sixteen_hex_digits_stand_for_themselves() -> None:
    assert number_of("00000000000000ff") == 255
    for text in ("00000000000000FF", "0ff", "00000000000000ff\n", "0000000000000000ff", "alice", "", "é"):
        assert number_of(text) == int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def test_what_cannot_be_a_code_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        AssetCode(bytes(16))
    with pytest.raises(ValueError, match="profile 3 is none of 2, 4, 6, 8"):
        AssetCode(KEY, 3)
    code = AssetCode(KEY)
    with pytest.raises(ValueError, match="block -1"):
        code.bit(1, -1)
    with pytest.raises(ValueError, match="number 18446744073709551616"):
        code.bit(2**64, 0)
    with pytest.raises(ValueError, match="a pattern of -1 bits"):
        code.pattern(1, -1)


def test_codes_show_no_keys() -> None:
    assert KEY.hex() not in repr(AssetCode(KEY)).lower()
    assert repr(KEY) not in repr(AssetCode(KEY))
