import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.media.aes128 import encrypt_aes128, iv_of_sequence
from tests.media.material import VIDEO, listing, read


@pytest.mark.parametrize("index", range(6))
def test_vectors(index: int) -> None:
    listed = listing()["ts_aes128"]["segments"][index]
    iv = iv_of_sequence(listed["media_sequence"])
    assert iv.hex() == listed["iv"]
    key = bytes.fromhex(listing()["ts_aes128"]["key"])
    assert encrypt_aes128(read(listed["clear"]), key, iv) == read(listed["file"])


def test_a_lone_packet() -> None:
    out = encrypt_aes128(b"\x47" + bytes(187), VIDEO.key, iv_of_sequence(7))
    assert len(out) == 192
    assert out[:16].hex() == "679afb54133c351121417a7c76c1eb6a"
    assert out[-16:].hex() == "afb30c8ce5d0fc049d8ea38c35f0ba4c"


def test_sequence_numbers_may_exceed_32_and_64_bits() -> None:
    assert iv_of_sequence(2**64 + 1).hex() == "00000000000000010000000000000001"


@settings(deadline=None)
@given(st.binary(max_size=100), st.binary(min_size=16, max_size=16))
def test_decrypts_to_the_original(data: bytes, iv: bytes) -> None:
    out = encrypt_aes128(data, VIDEO.key, iv)
    decryptor = Cipher(algorithms.AES(VIDEO.key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    assert unpadder.update(decryptor.update(out)) + unpadder.finalize() == data
    assert 1 <= len(out) - len(data) <= 16
