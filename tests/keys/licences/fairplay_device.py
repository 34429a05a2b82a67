"""A FairPlay device as a test needs it: makes SPCs, and reads what a CKC says to it. Its D function is not Apple's."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.licences.fairplay import FairPlayCredentials

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "fairplay.json").read_text())
EXCHANGES = ("lease", "rental_hdcp1", "offline")
ASK = bytes.fromhex(VECTORS["ask"])
CREDENTIALS = FairPlayCredentials.load(bytes.fromhex(VECTORS["certificate_der"]), VECTORS["rsa_key_pem"].encode(), ASK)
NOW = 1795300000.0

SK_R1, INTEGRITY, AR_SEED, R2 = 0x3D1A10B8BFFAC2EC, 0xB349D4809E910687, 0x89C90F12204106B2, 0x71B5595AC1521133
RETURN, ASSET, TRANSACTION = 0x19F9D4E5AB7609CB, 0x1BF7F53F5D5D5A1F, 0x47AA7AD3440577DE
INDICATOR, PLAYBACK, CAPABILITIES = 0xABB0256A31843974, 0xEB8EFDF2B25AB3A0, 0x9C02AF3253C07FB2
ENCRYPTED_KEY, R1, DURATION = 0x58B38165AF0E3D5A, 0xEA74C4645D5EFEE9, 0x47ACF6A418CD091A
HDCP, OFFLINE = 0x2E52F1530D8DDB4A, 0x6375D9727060218C
AIRPLAY, AV_ADAPTER = 0xABB0256A31843974, 0x5F9C8132B59F2FDE
READY, PLAYING, LEASE_ENDS, HALTED = 0xF4DEE5A2, 0xA5D6739E, 0x4F834330, 0x5991BF20

DURATIONS = {0x1A4BDE7E: "lease", 0x3DFE45A0: "rental", 0x27B59BDE: "both", 0x18F06048: "persist-limited"}
HDCP_TYPES = {0xEF72894CA7895B78: "none", 0x40791AC78BD5C571: "type0", 0x285A0863BBA8E1D3: "type1"}


def stand_in_d(ask: bytes, r2: bytes) -> bytes:
    return hmac.digest(ask, b"relay-selftest-D" + r2, "sha256")[:16]


def cbc(key: bytes, iv: bytes, data: bytes, *, decrypt: bool = False) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    return (cipher.decryptor() if decrypt else cipher.encryptor()).update(data)


def ecb(key: bytes, data: bytes, *, decrypt: bool = False) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.ECB())
    return (cipher.decryptor() if decrypt else cipher.encryptor()).update(data)


def block(tag: int, value: bytes, extra: int = 0) -> bytes:
    padding_bytes = b"\xa5" * (16 - len(value) % 16 + 16 * extra)
    lengths = (len(value) + len(padding_bytes)).to_bytes(4) + len(value).to_bytes(4)
    return tag.to_bytes(8) + lengths + value + padding_bytes


def split(payload: bytes) -> list[tuple[int, bytes, bytes]]:
    blocks, at = [], 0
    while at < len(payload):
        tag, length, size = (int.from_bytes(payload[at + a : at + b]) for a, b in ((0, 8), (8, 12), (12, 16)))
        assert length % 16 == 0
        assert size < length
        blocks.append((tag, payload[at + 16 : at + 16 + size], payload[at : at + 16 + length]))
        at += 16 + length
    assert at == len(payload)
    return blocks


def encrypt_payload(payload: bytes, credentials: FairPlayCredentials = CREDENTIALS) -> bytes:
    """An SPC of any payload, as everybody who has the certificate can make it."""
    key, iv = b"\x11" * 16, b"\x22" * 16
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    head = (1).to_bytes(4) + bytes(4) + iv + credentials.key.public_key().encrypt(key, oaep) + credentials.digest
    return head + len(payload).to_bytes(4) + cbc(key, iv, payload)


@dataclass
class FairPlayDevice:
    asset_id: bytes = b"00112233445566778899aabbccddeeff"
    session_key: bytes = b"\x31" * 16
    hu: bytes = b"\x32" * 20
    r1: bytes = b"\x33" * 44
    ar_seed: bytes = b"\x34" * 16
    r2: bytes = b"\x35" * 21
    transaction_id: bytes = b"\x36" * 8
    created: int = int(NOW)
    state: int = READY
    indicator: int = 0
    capabilities: int = 3
    returned: tuple[int, ...] = (TRANSACTION, PLAYBACK)
    changes: Mapping[int, bytes | None] = field(default_factory=dict)
    """Values to send instead of the right ones, None to leave a block out; unknown tags are added."""

    def blocks(self) -> list[bytes]:
        integrity, iv = b"\x41" * 16, b"\x42" * 16
        inner = self.session_key + self.hu + self.r1 + integrity
        values: dict[int, bytes | None] = {
            SK_R1: iv + cbc(stand_in_d(ASK, self.r2), iv, inner),
            INTEGRITY: integrity,
            AR_SEED: self.ar_seed,
            R2: self.r2,
            TRANSACTION: self.transaction_id,
            ASSET: self.asset_id,
            INDICATOR: self.indicator.to_bytes(8),
            PLAYBACK: self.created.to_bytes(4) + self.state.to_bytes(4) + b"playback",
            CAPABILITIES: self.capabilities.to_bytes(16),
            RETURN: b"".join(tag.to_bytes(8) for tag in self.returned),
            **self.changes,
        }
        return [block(tag, value, extra=tag & 1) for tag, value in values.items() if value is not None]

    def spc(self, edit: Callable[[list[bytes]], list[bytes]] = lambda blocks: blocks) -> bytes:
        return encrypt_payload(b"".join(edit(self.blocks())))

    def read(self, ckc: bytes) -> dict[str, Any]:
        """What the CKC says; asserts what a device would check."""
        return read_ckc(ckc, self.session_key, self.r1, self.ar_seed, {self._whole(tag) for tag in self.returned})

    def _whole(self, tag: int) -> bytes:
        (whole,) = (whole for whole in self.blocks() if whole.startswith(tag.to_bytes(8)))
        return whole


def open_payload(ckc: bytes, r1: bytes, ar_seed: bytes) -> list[tuple[int, bytes, bytes]]:
    assert ckc[:8] == (1).to_bytes(4) + bytes(4)
    assert int.from_bytes(ckc[24:28]) == len(ckc) - 28
    key = ecb(hashlib.sha1(r1).digest()[:16], ar_seed)
    return split(cbc(key, ckc[8:24], ckc[28:], decrypt=True))


def read_ckc(ckc: bytes, session_key: bytes, r1: bytes, ar_seed: bytes, returned: set[bytes]) -> dict[str, Any]:
    blocks = open_payload(ckc, r1, ar_seed)
    values = {tag: value for tag, value, _ in blocks}
    assert len(values) == len(blocks)
    assert values.pop(R1) == r1
    assert returned <= {whole for _, _, whole in blocks}
    seen: dict[str, Any] = {"iv": values[ENCRYPTED_KEY][:16].hex()}
    seen["key"] = ecb(session_key, values.pop(ENCRYPTED_KEY)[16:], decrypt=True).hex()
    if duration := values.pop(DURATION, None):
        lease, rental, kind, reserved = (int.from_bytes(duration[at : at + 4]) for at in range(0, 16, 4))
        seen["duration"] = {
            "lease": lease,
            "rental": rental,
            "type": DURATIONS[kind],
            "reserved_ok": reserved == 0x86D34A3A,
        }
    if hdcp := values.pop(HDCP, None):
        seen["hdcp"] = HDCP_TYPES[int.from_bytes(hdcp)]
    if offline := values.pop(OFFLINE, None):
        assert offline[4:8] == bytes(4)
        seen["offline"] = {
            "version": int.from_bytes(offline[:4]),
            "content_id": offline[8:24].hex(),
            "storage": int.from_bytes(offline[24:28]),
            "playback": int.from_bytes(offline[28:]),
        }
    assert {tag.to_bytes(8) for tag in values} == {whole[:8] for whole in returned}
    return seen
