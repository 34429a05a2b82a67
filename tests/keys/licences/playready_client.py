"""A PlayReady client for the tests, with arithmetic, certificates and parsers of its own.

``test_playready.py`` holds it against the recorded exchanges first, so that what it accepts from our server counts.
"""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import pack, unpack_from
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "playready.json").read_text())
HEADERS = ["header_4.0.0.0", "header_4.2.0.0", "header_4.3.0.0"]
ROOT = bytes.fromhex(VECTORS["root_public"])
WMRM = bytes.fromhex(VECTORS["wmrm_public"])

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
Affine = tuple[int, int]
PROTOCOLS = "http://schemas.microsoft.com/DRM/2007/03/protocols"


def add(a: Affine | None, b: Affine | None) -> Affine | None:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(k: int, point: Affine) -> Affine:
    """Double and add."""
    total: Affine | None = None
    doubled: Affine | None = point
    while k:
        if k & 1:
            total = add(total, doubled)
        doubled = add(doubled, doubled)
        k >>= 1
    assert total
    return total


def affine(data: bytes) -> Affine:
    return int.from_bytes(data[:32], "big"), int.from_bytes(data[32:64], "big")


def encoded(point: Affine) -> bytes:
    return point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def elgamal_decrypt(secret: int, ciphertext: bytes) -> bytes:
    """The 32 bytes of the message's x."""
    x, y = multiply(secret, affine(ciphertext[:64]))
    message = add(affine(ciphertext[64:]), (x, P - y))
    assert message
    return message[0].to_bytes(32, "big")


class Key:
    """A key pair that signs as PlayReady does."""

    def __init__(self, private: int) -> None:
        self.private = private
        self._key = ec.derive_private_key(private, ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self.public = encoded((numbers.x, numbers.y))

    def sign(self, data: bytes) -> bytes:
        return encoded(decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256()))))


def verify(public: bytes, signature: bytes, data: bytes) -> None:
    key = ec.EllipticCurvePublicNumbers(*affine(public), ec.SECP256R1()).public_key()
    key.verify(encode_dss_signature(*affine(signature)), data, ec.ECDSA(hashes.SHA256()))


@dataclass
class Cert:
    """What goes into a certificate; the defaults are a device's."""

    keys: Sequence[tuple[bytes, Sequence[int]]]
    level: int = 2000
    type: int = 2
    expires_at: int = 0xFFFFFFFF
    features: Sequence[int] = (4, 9, 13)
    id: bytes = bytes(range(16))
    client_id: bytes = b"client id 16 byt"
    extra: bytes = b""
    keys_body: bytes | None = None
    """Written in place of the list of keys."""

    def encode(self, issuer: Key) -> bytes:
        digest = hashlib.sha256(self.keys[0][0]).digest()
        basic = pack(">16sIII32sI16s", self.id, self.level, 0, self.type, digest, self.expires_at, self.client_id)
        keys = pack(">I", len(self.keys)) + b"".join(
            pack(f">HHI64sI{len(usages)}I", 1, 512, 0, public, len(usages), *usages) for public, usages in self.keys
        )
        keys = keys if self.keys_body is None else self.keys_body
        features = pack(f">I{len(self.features)}I", len(self.features), *self.features)
        objects = cert_object(1, basic) + cert_object(5, features) + cert_object(6, keys)
        objects += cert_object(7, bytes(4) + b"".join(map(padded, [b"Maker", b"Box", b"7"])), flags=0) + self.extra
        signed_size = 16 + len(objects)
        signed = pack(">4sIII", b"CERT", 1, signed_size + 144, signed_size) + objects
        return signed + cert_object(8, pack(">HH64sI64s", 1, 64, issuer.sign(signed), 512, issuer.public))


def cert_object(type_: int, body: bytes, flags: int = 1) -> bytes:
    return pack(">HHI", flags, type_, 8 + len(body)) + body


def padded(text: bytes) -> bytes:
    return pack(">I", len(text)) + text + bytes(-len(text) % 4)


def chain(*certificates: bytes) -> bytes:
    body = b"".join(certificates)
    return pack(">4sIIII", b"CHAI", 1, 20 + len(body), 0, len(certificates)) + body


ROOT_KEY, ISSUER_KEY, SIGN_KEY, ENCRYPT_KEY = Key(1001), Key(1002), Key(1003), Key(1004)
DEVICE_KEYS = [(SIGN_KEY.public, [1]), (ENCRYPT_KEY.public, [2])]


def issuer(**changes: Any) -> Cert:
    return replace(Cert([(ISSUER_KEY.public, [6])], level=3000, type=4, id=b"i" * 16), **changes)


def device_chain(leaf: Cert | None = None, parent: Cert | None = None) -> bytes:
    leaf = leaf or Cert(DEVICE_KEYS)
    return chain(leaf.encode(ISSUER_KEY), (parent or issuer()).encode(ROOT_KEY))


@dataclass
class Object:
    """An XMR object."""

    flags: int
    type: int
    body: bytes
    inside: list["Object"]

    def all(self, type_: int) -> list["Object"]:
        own = [self] if self.type == type_ else []
        return own + [found for child in self.inside for found in child.all(type_)]

    def one(self, type_: int) -> bytes:
        (found,) = self.all(type_)
        return found.body

    def has(self, type_: int) -> bool:
        return bool(self.all(type_))


def read_objects(data: bytes) -> list[Object]:
    objects: list[Object] = []
    while data:
        flags, type_, size = unpack_from(">HHI", data)
        assert 8 <= size <= len(data)
        body = data[8:size]
        objects.append(Object(flags, type_, body, read_objects(body) if flags & 2 else []))
        data = data[size:]
    return objects


@dataclass
class Licence:
    """A licence that the client accepted."""

    rights_id: bytes
    kid: bytes
    key: bytes
    key_type: int
    tree: Object

    @property
    def levels(self) -> tuple[int, ...]:
        return unpack_from(">5H", self.tree.one(0x05))

    @property
    def play_enablers(self) -> list[UUID]:
        return [UUID(bytes_le=found.body) for found in self.tree.all(0x39)]


@dataclass
class Client:
    """A device: keys, chain, and the server key it was built with."""

    signing: Key = SIGN_KEY
    encryption: Key = ENCRYPT_KEY
    chain: bytes = field(default_factory=device_chain)
    server: bytes = WMRM
    nonce: bytes = b"nonce of 16 byte"
    wrapped: bytes | None = None
    """Sent in place of the key of the client's data."""
    sealed: bytes | None = None
    """Sent in place of the client's data."""

    def challenge(self, header: str, *, version: int = 4, custom_data: str = "", more: str = "") -> bytes:
        """An AcquireLicense message for a WRMHEADER."""
        x = next(x for x in range(2**248 + 5, 2**249) if pow(x**3 - 3 * x + B, (P - 1) // 2, P) == 1)
        y = pow(x**3 - 3 * x + B, (P + 1) // 4, P)
        iv, key = x.to_bytes(32, "big")[:16], x.to_bytes(32, "big")[16:]
        masked = add((x, y), multiply(77777, affine(self.server)))
        assert masked
        wrapped = Key(77777).public + encoded(masked) if self.wrapped is None else self.wrapped
        data = f"<Data><CertificateChains><CertificateChain> {b64(self.chain)} </CertificateChain></CertificateChains>"
        plain = (data + "<Features></Features></Data>").encode()
        plain += bytes([16 - len(plain) % 16]) * (16 - len(plain) % 16)
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        sealed = iv + encryptor.update(plain) if self.sealed is None else self.sealed
        signed = (
            f'<LA xmlns="{PROTOCOLS}" Id="SignedData" xml:space="preserve"><Version>{version}</Version>'
            f"<ContentHeader>{header}</ContentHeader><CLIENTINFO><CLIENTVERSION>4.0.1</CLIENTVERSION></CLIENTINFO>"
            f"<CustomData>{custom_data}</CustomData><LicenseNonce>{b64(self.nonce)}</LicenseNonce>{more}"
            '<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#">'
            f'<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><EncryptedKey>{cipher(wrapped)}</EncryptedKey>'
            f"</KeyInfo>{cipher(sealed)}</EncryptedData></LA>"
        )
        info = (
            '<SignedInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><Reference URI="#SignedData"><DigestValue>'
            f"{b64(hashlib.sha256(signed.encode()).digest())}</DigestValue></Reference></SignedInfo>"
        )
        return (
            '<?xml version="1.0" encoding="utf-8"?>\r\n'
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<AcquireLicense xmlns="{PROTOCOLS}"><challenge><Challenge xmlns="{PROTOCOLS}/messages">{signed}'
            f'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#">{info}<SignatureValue>'
            f"{b64(self.signing.sign(info.encode()))}</SignatureValue><KeyInfo><KeyValue><ECCKeyValue>"
            f"<PublicKey>{b64(self.signing.public)}</PublicKey></ECCKeyValue></KeyValue></KeyInfo></Signature>"
            "</Challenge></challenge></AcquireLicense></s:Body></s:Envelope>"
        ).encode()

    def accept(self, response: bytes) -> list[Licence]:
        """Verify the response as a client does, and take its licences."""
        text = response.decode()
        signed, info = fragment(text, "LicenseResponse"), fragment(text, "SignedInfo")
        assert b64decode(value(info, "DigestValue")) == hashlib.sha256(signed.encode()).digest()
        signing_chain = b64decode(value(signed, "SigningCertificateChain"))
        (keys,) = [found.body for found in read_objects(signing_chain[36:]) if found.type == 6]
        verify(keys[12:76], b64decode(value(text, "SignatureValue")), info.encode())
        assert b64decode(value(signed, "LicenseNonce")) == self.nonce
        return [self._licence(found) for found in raw_licences(signed)]

    def _licence(self, data: bytes) -> Licence:
        assert data[:8] == b"XMR\0\0\0\0\3"
        (tree,) = read_objects(data[24:])
        assert (tree.flags, tree.type, tree.inside[-1].type) == (3, 1, 0x0B)
        assert tree.one(0x2A) == b"\0\1\0\x40" + self.encryption.public
        guid, key_type, kind, size = unpack_from(">16sHHH", tree.one(0x0A))
        assert (kind, size) == (3, 128)
        message = elgamal_decrypt(self.encryption.private, tree.one(0x0A)[22:])
        mac = CMAC(algorithms.AES(message[:16]))
        mac.update(data[:-28])
        assert tree.one(0x0B) == b"\0\1\0\x10" + mac.finalize()
        assert message[0]
        rights_id = data[8:24]
        if tree.one(0x0D) == b"\0\1":
            assert rights_id == self.nonce
        return Licence(rights_id, UUID(bytes_le=guid).bytes, message[16:], key_type, tree)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def cipher(data: bytes) -> str:
    return f"<CipherData><CipherValue>{b64(data)}</CipherValue></CipherData>"


def fragment(text: str, name: str) -> str:
    found = re.search(f"<{name}[ >].*?</{name}>", text, re.DOTALL)
    assert found
    return found[0]


def raw_licences(response: str) -> list[bytes]:
    return [b64decode(found) for found in re.findall("<License>(.*?)</License>", response)]


def value(text: str, name: str) -> str:
    return re.sub("<[^>]*>", "", fragment(text, name))


def recorded_client(header: str) -> Client:
    """The client of the recorded exchanges, in the state in which it made this challenge."""
    return Client(
        Key(int(VECTORS["device_signing_private"], 16)),
        Key(int(VECTORS["device_encryption_private"], 16)),
        bytes.fromhex(VECTORS["device_chain"]),
        nonce=b64decode(value(VECTORS[header]["challenge_xml"], "LicenseNonce")),
    )


def keys_of(licences: Sequence[Licence]) -> dict[str, str]:
    return {found.kid.hex(): found.key.hex() for found in licences}
