"""A Widevine client for tests: makes challenges, reads licences as a CDM does. Its keys are the vectors' or its own."""

import hmac
import json
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from keys.licences.protobuf import Message, Value, encode
from keys.licences.terms import GrantedKey
from keys.licences.widevine import Model, StatusList, WidevineServer
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Security, TrackType

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "widevine.json").read_text())
NOW = 1795299949.0
STATE_KEY = bytes(range(32))
SYSTEM_ID = 32343
PSS = padding.PSS(padding.MGF1(hashes.SHA1()), 20)
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)

KIDS = [bytes.fromhex(kid) for kid in VECTORS["clear_id"]["content_keys"]]
CONTENT_KEYS = [bytes.fromhex(key) for key in VECTORS["clear_id"]["content_keys"].values()]


def granted(
    at: int, track: TrackType, security: Security = Security.SOFTWARE, outputs: Outputs | None = None
) -> GrantedKey:
    key = ContentKey(KIDS[at], CONTENT_KEYS[at], bytes(16), bytes(32))
    return GrantedKey(key, track, security, outputs or Outputs())


KEYS = [
    granted(0, TrackType.SD),
    granted(1, TrackType.HD, Security.HARDWARE, Outputs(Hdcp.V2_2)),
    granted(2, TrackType.AUDIO),
]


def vector(*path: str) -> bytes:
    found: Any = VECTORS
    for name in path:
        found = found[name]
    return bytes.fromhex(found)


def load_server(*, root: bytes | None = None, **more: Any) -> WidevineServer:
    """A server that trusts the vectors' root, and their device as a hardware one."""
    material: dict[str, Any] = {
        "roots": [root or vector("root_public_pkcs1")],
        "state_keys": [STATE_KEY],
        "services": [(vector("service_certificate"), VECTORS["service_key_pem"].encode())],
        "status": StatusList({SYSTEM_ID: Model(Security.HARDWARE, "Simulator")}),
    }
    return WidevineServer.load(**material | more)


class Entropy:
    """Bytes that differ with every call, or just those given, in their order."""

    def __init__(self, *given: bytes) -> None:
        self._given = list(given)
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        if self._given:
            value = self._given.pop(0)
            assert len(value) == size
            return value
        return sha256(b"entropy %d" % self._count).digest()[:16] * (size // 16)


@cache
def device_key() -> RSAPrivateKey:
    key = serialization.load_pem_private_key(VECTORS["device_private_pem"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


@cache
def device_token() -> bytes:
    request = Message.decode(Message.decode(vector("clear_id", "challenge"), "m").blob(2), "r")
    return request.message(1, "c").blob(2)


@cache
def made_key(name: str) -> RSAPrivateKey:
    """One key for each name: making them takes a while."""
    assert name
    return generate_private_key(65537, 2048)


def pkcs1(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


def certificate(
    key: RSAPrivateKey, signer: RSAPrivateKey, *parts: tuple[int, Value], chain: bytes = b"", algorithm: int = 0
) -> bytes:
    """A SignedDrmCertificate with ``parts`` besides its key."""
    body = encode((4, pkcs1(key)), *parts)
    digest: hashes.HashAlgorithm = {0: hashes.SHA1(), 2: hashes.SHA256(), 3: hashes.SHA384()}[algorithm]
    signature = signer.sign(body, padding.PSS(padding.MGF1(digest), 20), digest)
    more = [(4, algorithm)] if algorithm else []
    return encode((1, body), (2, signature), *([(3, chain)] if chain else []), *more)


def signed(request: bytes, key: RSAPrivateKey | None = None) -> bytes:
    """A SignedMessage with a device's signature."""
    return encode((1, 1), (2, request), (3, (key or device_key()).sign(request, PSS, hashes.SHA1())))


def client_id(token: bytes | None = None, *capabilities: tuple[int, Value], type_: int = 1) -> bytes:
    return encode((1, type_), (2, token or device_token()), (6, encode(*capabilities)))


def pssh_content(*data: bytes, type_: int = 1, request_id: bytes = b"request id") -> bytes:
    return encode((1, encode(*((1, part) for part in data), (2, type_), (3, request_id))))


def new_request(
    identity: bytes | None = None, content: bytes | None = None, *more: tuple[int, Value], type_: int = 1
) -> bytes:
    content = pssh_content(encode(*((2, kid) for kid in KIDS))) if content is None else content
    identity = client_id() if identity is None else identity
    return encode((1, identity), (2, content), (3, type_), (4, int(NOW)), (6, 21), (7, 99), *more)


@dataclass
class Licence:
    """A licence as its client understands it."""

    message: Message
    body: bytes
    mac_server: bytes
    mac_client: bytes
    keys: dict[bytes, bytes] = field(default_factory=dict)
    containers: dict[bytes, Message] = field(default_factory=dict)

    @property
    def id(self) -> bytes:
        return self.message.blob(1)

    @property
    def policy(self) -> dict[int, int]:
        policy = self.message.message(2, "policy")
        return {number: policy.number(number) for number in policy.fields}

    def renewal(self, *, type_: int = 2, time: int = int(NOW) + 45, id_: bytes | None = None) -> bytes:
        """The client's next renewal (2) or its release (3)."""
        existing = encode((3, encode((1, self.id if id_ is None else id_), (2, 30))))
        request = encode((2, existing), (3, type_), (4, time), (6, 21), (7, 5))
        return encode((1, 1), (2, request), (3, hmac.digest(self.mac_client, request, sha256)))

    def renewed(self, answer: bytes) -> "Licence":
        """What the client has after ``answer``."""
        message = Message.decode(answer, "answer")
        assert message.number(1) == 2
        body = message.blob(2)
        assert message.blob(3) == hmac.digest(self.mac_server, body, sha256)
        assert 4 not in message
        return Licence(Message.decode(body, "licence"), body, self.mac_server, self.mac_client, self.keys)


def read_licence(answer: bytes, challenge: bytes, key: RSAPrivateKey | None = None) -> Licence:
    """Check and open a new licence with the device's key."""
    message = Message.decode(answer, "answer")
    session_key = (key or device_key()).decrypt(message.blob(4), OAEP)
    return read_with(session_key, answer, Message.decode(challenge, "challenge").blob(2))


def read_with(session_key: bytes, answer: bytes, request: bytes) -> Licence:
    """Check and open a new licence whose session key is known."""
    message = Message.decode(answer, "answer")
    assert message.number(1) == 2
    body = message.blob(2)
    context = b"AUTHENTICATION\0" + request + b"\0\0\2\0"
    mac_server = _cmac(session_key, b"\1" + context) + _cmac(session_key, b"\2" + context)
    assert message.blob(3) == hmac.digest(mac_server, body, sha256)
    encryption_key = _cmac(session_key, b"\1ENCRYPTION\0" + request + b"\0\0\0\x80")
    licence = Licence(Message.decode(body, "licence"), body, b"", b"")
    for encoded in licence.message.blobs(3):
        container = Message.decode(encoded, "container")
        cipher = Cipher(algorithms.AES(encryption_key), modes.CBC(container.blob(2))).decryptor()
        opened = cipher.update(container.blob(3))
        opened = opened[: -opened[-1]]
        if container.number(4) == 1:
            licence.mac_server, licence.mac_client = opened[:32], opened[32:]
            assert len(opened) == 64
        else:
            licence.keys[container.blob(1)] = opened
            licence.containers[container.blob(1)] = container
    return licence


def _cmac(key: bytes, value: bytes) -> bytes:
    cmac = CMAC(algorithms.AES(key))
    cmac.update(value)
    return cmac.finalize()
