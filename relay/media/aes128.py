"""HLS METHOD=AES-128: a whole resource under AES-128-CBC (RFC 8216 §4.3.2.4), whatever container it is."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from relay.media.buffer import filled

_BLOCK = 16


def encrypt_aes128(data: bytes, key: bytes, iv: bytes) -> bytes:
    """The resource, encrypted: 1 to 16 bytes longer, by its PKCS#7 padding (RFC 5652 §6.3)."""
    whole = len(data) - len(data) % _BLOCK
    padding = _BLOCK - len(data) % _BLOCK

    def encrypt(out: memoryview) -> None:
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        encryptor.update_into(memoryview(data)[:whole], out)
        out[whole:] = encryptor.update(data[whole:] + bytes((padding,)) * padding)

    return filled(whole + _BLOCK, encrypt)


def iv_of_sequence(media_sequence: int) -> bytes:
    """The IV of a segment whose key tag has none: its media sequence number (RFC 8216 §5.2)."""
    return media_sequence.to_bytes(_BLOCK, "big")
