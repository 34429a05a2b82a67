"""How Widevine's services are asked, and how packagers ask a key server: by a message and its encrypted digest."""

from hashlib import sha1

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def service_signature(message: bytes, key: bytes, iv: bytes) -> bytes:
    """The SHA-1 of a message, encrypted with AES-CBC and PKCS #7 (32 bytes)."""
    digest = sha1(message).digest()  # noqa: S324 - the protocol's choice; the secret key is what protects it
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(digest + bytes([12]) * 12)
