"""The secrets of watermarked assets: golden values, and that none meets another."""

import hashlib
import hmac

import pytest

from keys.errors import KeyRingError
from keys.watermark import chip_key, code_key

SECRET = bytes(range(32))


def by_hand(label: bytes, asset: bytes) -> bytes:
    """HKDF-SHA256 of RFC 5869 §2, written out for one block of output and no salt."""
    info = len(label).to_bytes(4, "big") + label + len(asset).to_bytes(4, "big") + asset
    extracted = hmac.digest(bytes(32), SECRET, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def test_both_keys_are_hkdf_under_their_own_labels() -> None:
    assert chip_key(SECRET, "film") == by_hand(b"segmentgate/1 watermark chips", b"film")
    assert code_key(SECRET, "film") == by_hand(b"segmentgate/1 watermark code", b"film")


def test_no_two_keys_are_alike() -> None:
    derived = [derive(SECRET, asset) for derive in (chip_key, code_key) for asset in ("", "film", "film2", "фильм")]
    assert len(set(derived)) == len(derived)
    assert {len(key) for key in derived} == {32}


def test_another_secret_gives_other_keys() -> None:
    assert chip_key(SECRET, "film") != chip_key(SECRET[::-1], "film")


@pytest.mark.parametrize("derive", [chip_key, code_key])
def test_a_short_secret_is_refused_and_not_repeated(derive: object) -> None:
    assert callable(derive)
    with pytest.raises(KeyRingError, match="31 bytes, needs at least 32") as refused:
        derive(b"s" * 31, "film")
    assert "sss" not in str(refused.value)
