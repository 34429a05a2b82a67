"""The relay's own licence as only its nodes read it: one AEAD seal, so made at the rate of session tokens.

A player keeps it and brings it back: to be renewed, to show what it may have. Any node of the deployment opens it; the
player itself gets its keys by :mod:`keys.licences.native` or a DRM system. Layout, in bytes: magic 4, boot ID 16, nonce
12; then under AES-128-GCM session ID 16, expiry 8, device hash 16, watermark payload 16, and for each key its ID and
the key, 16 each; last the tag, 16. Two keys make 168 bytes.

**Why no nonce is ever used twice under a key.** GCM breaks when that happens, so it must not hang on anybody's care. A
node key is expanded (RFC 5869) from the epoch's secret and a boot ID of 16 random bytes, which a :class:`LicenceSealer`
is given when it is made and which belongs to it alone: two sealers, in two processes, on two nodes, or before and after
a restart, have different node keys, but for a chance of 2**-64 after 2**32 of them. Within a sealer the nonce is a
number that starts at 0, is taken by one uninterruptible step of an iterator, also between threads, and lives as long as
the key: there is no way to give a sealer a key or a number of before. A sealer must not be forked; it cannot be
pickled. After 2**32 licences, when 2**36 blocks have gone through one key, it gives out no more.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hmac import compare_digest, digest
from struct import Struct
from typing import Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.errors import LicenceRefusedError, SealError
from keys.licences.native import NativeKey

MAX_KEYS = 64
MAX_LICENCES = 1 << 32
"""Under one node key."""

_MAGIC = b"RNL2"
_BOOT_BYTES = 16
_LABEL = b"segmentgate/1 sealed licence\0"
_HEAD = Struct(">4s16s12s")
_NONCE = Struct(">4xQ")
_BODY = Struct(">16sQ16s16s")
_ENTRY = Struct(">16s16s")
_TAG_BYTES = 16
_BOOTS = 256
_body = _BODY.pack


@dataclass(frozen=True, slots=True)
class SealedLicence:
    """What a sealed licence says. IDs, device hash and watermark payload have 16 bytes, ``expiry`` is in seconds."""

    session_id: bytes
    expiry: int
    device: bytes
    watermark: bytes = field(repr=False)
    keys: tuple[NativeKey, ...]


def entries_of(keys: Iterable[NativeKey]) -> bytes:
    """The keys as licences hold them, to be made once for all sessions that have the same.

    Raises :class:`ValueError` without a key, for more than 64, and for one of another length.
    """
    packed = b"".join(key.kid + key.key for key in keys if len(key.kid) == len(key.key) == 16 or _wrong_key())
    if not 1 <= len(packed) // _ENTRY.size <= MAX_KEYS:
        raise ValueError(f"a sealed licence holds 1 to {MAX_KEYS} keys")
    return packed


class LicenceSealer:
    """Seals the licences of one incarnation of one process.

    ``epoch_secret`` (32 bytes) is the deployment's, ``boot_id`` 16 bytes from the system's entropy, for this object
    alone. Raises :class:`ValueError` for other lengths.
    """

    __slots__ = ("_encrypt", "_next_nonce", "_prefix")

    def __init__(self, epoch_secret: bytes, boot_id: bytes) -> None:
        self._encrypt = _node_key(epoch_secret, boot_id).encrypt
        self._prefix = _MAGIC + boot_id
        self._next_nonce = map(_NONCE.pack, range(MAX_LICENCES)).__next__

    def seal(self, session_id: bytes, expiry: int, device: bytes, watermark: bytes, entries: bytes) -> bytes:
        """A licence with keys as :func:`entries_of` gives them.

        Raises :class:`ValueError` for fields of another length, and :class:`OverflowError` after 2**32 licences.
        """
        if not len(session_id) == len(device) == len(watermark) == 16:
            raise ValueError("session ID, device hash and watermark payload have 16 bytes each")
        try:
            nonce = self._next_nonce()
        except StopIteration:
            raise OverflowError("a node key has sealed all it may; make a new sealer") from None
        # What stands in clear needs no further binding: another boot ID is another key, and the nonce is the nonce.
        return self._prefix + nonce + self._encrypt(nonce, _body(session_id, expiry, device, watermark) + entries, None)

    def reissue(self, licence: SealedLicence, expiry: int) -> bytes:
        """A licence once more, with a later end. Raises :class:`ValueError` for one that is not later."""
        if expiry <= licence.expiry:
            raise ValueError("a licence is issued again with a later end only")
        later = replace(licence, expiry=expiry)
        return self.seal(later.session_id, later.expiry, later.device, later.watermark, entries_of(later.keys))

    def __reduce__(self) -> Never:
        raise TypeError("a sealer belongs to one process: its copy would use its nonces again")


class LicenceOpener:
    """Opens what any sealer of the deployment sealed, under any of the epochs' secrets (32 bytes each)."""

    def __init__(self, epoch_secrets: Sequence[bytes]) -> None:
        if not epoch_secrets:
            raise ValueError("sealed licences need an epoch secret")
        self._secrets = tuple(epoch_secrets)
        self._keys_of = lru_cache(_BOOTS)(self._derive)

    def open(self, sealed: bytes, device: bytes, now: float) -> SealedLicence:
        """Read a licence that the device with hash ``device`` brings.

        Raises :class:`SealError` for anything that no sealer of the deployment made, :class:`LicenceRefusedError` for
        another device's (``other-device``) and for one that is over (``expired``).
        """
        size = len(sealed) - _HEAD.size - _BODY.size - _TAG_BYTES
        if size % _ENTRY.size or not 1 <= size // _ENTRY.size <= MAX_KEYS:
            raise SealError(f"sealed licence: {len(sealed)} bytes")
        magic, boot_id, nonce = _HEAD.unpack_from(sealed)
        if magic != _MAGIC:
            raise SealError("sealed licence: another format or version")
        body = self._decrypted(boot_id, nonce, sealed[_HEAD.size :])
        session_id, expiry, sealed_for, watermark = _BODY.unpack_from(body)
        if not compare_digest(sealed_for, device):
            raise LicenceRefusedError("other-device", "sealed licence: issued for another device")
        if math.floor(now) >= expiry:
            raise LicenceRefusedError("expired", "sealed licence: its term is over")
        keys = tuple(NativeKey(kid, key) for kid, key in _ENTRY.iter_unpack(body[_BODY.size :]))
        return SealedLicence(session_id, expiry, sealed_for, watermark, keys)

    def _decrypted(self, boot_id: bytes, nonce: bytes, sealed: bytes) -> bytes:
        for key in self._keys_of(boot_id):
            try:
                return key.decrypt(nonce, sealed, None)
            except InvalidTag:
                continue
        raise SealError("sealed licence: does not open")

    def _derive(self, boot_id: bytes) -> tuple[AESGCM, ...]:
        return tuple(_node_key(secret, boot_id) for secret in self._secrets)


def _node_key(epoch_secret: bytes, boot_id: bytes) -> AESGCM:
    """HKDF-Expand of an epoch's secret, which is uniform, for a boot ID."""
    if len(epoch_secret) != 32 or len(boot_id) != _BOOT_BYTES:
        raise ValueError("an epoch secret has 32 bytes, a boot ID 16")
    return AESGCM(digest(epoch_secret, _LABEL + boot_id + b"\x01", "sha256")[:16])


def _wrong_key() -> Never:
    raise ValueError("a key and its ID have 16 bytes each")
