"""Content keys encrypted to certificates: the recorded document, round trips, tampering."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.errors import ExchangeError
from keys.exchange import reader
from keys.exchange.encryption import DocumentSecrets, decrypt_as, encrypt_to
from keys.exchange.model import Document, EncryptedKey, KeyEntry, Version
from tests.keys.exchange.material import CERTIFICATE, CPIX, DOCUMENT, certificate, entropy, recipient_key

SECRETS = DocumentSecrets(b"d" * 32, b"m" * 64)


def test_the_recorded_document_opens() -> None:
    document = decrypt_as(reader.parse(DOCUMENT), CERTIFICATE, recipient_key())
    assert {entry.kid.hex(): entry.key and entry.key.hex() for entry in document.keys} == CPIX["content_keys"]


def test_what_is_encrypted_opens_for_each_recipient_alone() -> None:
    clear = Document("title", Version.V2_3, (KeyEntry(bytes(16), key=b"k" * 16), KeyEntry(bytes([1] * 16))))
    other = certificate("2048")
    document = encrypt_to(clear, [other, CERTIFICATE], entropy)
    assert document.keys[0].key is None
    assert document.keys[1] == clear.keys[1]
    assert decrypt_as(document, CERTIFICATE, recipient_key()).keys == clear.keys
    with pytest.raises(ExchangeError, match="does not open"):
        decrypt_as(document, other, recipient_key())
    with pytest.raises(ExchangeError, match="no document key for this recipient"):
        decrypt_as(document, certificate("3072"), recipient_key())


@pytest.mark.parametrize("at", [0, 15, 16, 47])
def test_an_altered_key_is_refused_by_its_mac(at: int) -> None:
    document = reader.parse(DOCUMENT)
    entry = document.keys[0]
    assert entry.encrypted
    cipher = bytearray(entry.encrypted.cipher)
    cipher[at] ^= 1
    altered = replace(entry, encrypted=EncryptedKey(bytes(cipher), entry.encrypted.mac))
    with pytest.raises(ExchangeError, match="ValueMAC"):
        decrypt_as(replace(document, keys=(altered,)), CERTIFICATE, recipient_key())


@pytest.mark.parametrize("mac", [b"", bytes(64), bytes(63)])
def test_another_mac_is_refused(mac: bytes) -> None:
    made = SECRETS.encrypt(b"k" * 16, entropy)
    with pytest.raises(ExchangeError, match="ValueMAC"):
        SECRETS.decrypt(replace(made, mac=mac))


def authenticated(plain: bytes, cut: int = 0) -> EncryptedKey:
    """A text of our choice under a good MAC."""
    encryptor = Cipher(algorithms.AES(SECRETS.document_key), modes.CBC(bytes(16))).encryptor()
    cipher = bytes(16) + encryptor.update(plain)
    cipher = cipher[: len(cipher) - cut]
    return EncryptedKey(cipher, SECRETS._mac(cipher))


def test_the_padding_of_xml_encryption_is_taken() -> None:
    assert SECRETS.decrypt(authenticated(b"k" * 16 + b"whatever it is!\x10")) == b"k" * 16


@pytest.mark.parametrize("padding", [b"\x00", b"\x11", b"\xff"])
def test_other_padding_is_refused(padding: bytes) -> None:
    with pytest.raises(ExchangeError, match="padding"):
        SECRETS.decrypt(authenticated(b"k" * 31 + padding))


@pytest.mark.parametrize("cut", [1, 16, 32])
def test_what_is_not_whole_blocks_is_refused(cut: int) -> None:
    with pytest.raises(ExchangeError, match="whole blocks"):
        SECRETS.decrypt(authenticated(bytes(16), cut))


@pytest.mark.parametrize(
    ("kind", "why"), [("1024", "RSA of 1024 bits"), ("ec", "not of an RSA key"), ("none", "cannot be read")]
)
def test_certificates_that_cannot_be_encrypted_to_are_refused(kind: str, why: str) -> None:
    der = b"nonsense" if kind == "none" else certificate(kind)
    with pytest.raises(ExchangeError, match=why):
        SECRETS.to(der)


def test_a_document_key_of_another_size_is_refused() -> None:
    document = replace(reader.parse(DOCUMENT), recipients=(DocumentSecrets(b"short", b"m" * 64).to(CERTIFICATE),))
    key = recipient_key()
    assert isinstance(key, rsa.RSAPrivateKey)
    with pytest.raises(ExchangeError, match="DocumentKey: 5 bytes"):
        decrypt_as(document, CERTIFICATE, key)
