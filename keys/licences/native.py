"""The relay's own licence, for players that the operator ships: sealed, of fixed layout, quick to make.

A header (magic, version, key count, session ID, expiry), for each key its ID and the key wrapped (RFC 3394), a
masked watermark payload, and an HMAC-SHA-256 of all of that. Wrapping key, mask and MAC key are expanded
(RFC 5869) for one session and expiry from the secret of an epoch: the relay hands a player that
:class:`LicenceSecrets` when its session begins, and nothing that opens another one's licence.
"""

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from keys.errors import LicenceRefusedError, SealError
from keys.licences.terms import GrantedKey, Term
from keys.model import Outputs, Security

MAX_KEYS = 64

_MAGIC = b"RNL1"
_VERSION = 1
_HEADER = Struct(">4sHH16sQ")
_ENTRY = Struct(">16s24s")
_WATERMARK_BYTES = 16
_MAC_BYTES = 32
_MAX_BYTES = _HEADER.size + MAX_KEYS * _ENTRY.size + _WATERMARK_BYTES + _MAC_BYTES


@dataclass(frozen=True, slots=True)
class LicenceSecrets:
    """What opens the licence of one session with one expiry."""

    wrapping_key: bytes = field(repr=False)
    watermark_mask: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)

    @classmethod
    def derive(cls, epoch_secret: bytes, session_id: bytes, expiry: int) -> "LicenceSecrets":
        """HKDF-Expand of an epoch's secret (32 bytes, uniform) for a session ID (16 bytes) and expiry (s)."""
        info = _MAGIC + session_id + expiry.to_bytes(8)
        first = hmac.digest(epoch_secret, info + b"\x01", "sha256")
        return cls(first[:16], first[16:], hmac.digest(epoch_secret, first + info + b"\x02", "sha256"))


@dataclass(frozen=True, slots=True)
class NativeKey:
    """A content key and its ID, 16 bytes each."""

    kid: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NativeLicence:
    """What a sealed licence says. ``expiry`` is in seconds since the epoch, ``watermark`` has 16 bytes."""

    session_id: bytes
    expiry: int
    keys: tuple[NativeKey, ...]
    watermark: bytes = field(repr=False)

    def seal(self, secrets: LicenceSecrets) -> bytes:
        """The licence as players take it, with the secrets of this session and expiry.

        The mask is a one-time pad: one session and expiry must never get two watermark payloads.
        """
        header = _HEADER.pack(_MAGIC, _VERSION, len(self.keys), self.session_id, self.expiry)
        entries = [_ENTRY.pack(key.kid, aes_key_wrap(secrets.wrapping_key, key.key)) for key in self.keys]
        body = b"".join([header, *entries, _mask(self.watermark, secrets)])
        return body + hmac.digest(secrets.mac_key, body, "sha256")


class NativeServer:
    """Issues under the first epoch's secret (32 bytes), opens under any of them, so that epochs can pass."""

    def __init__(self, epoch_secrets: Sequence[bytes]) -> None:
        if not epoch_secrets or any(len(secret) != 32 for secret in epoch_secrets):
            raise ValueError("native licences need epoch secrets of 32 bytes")
        self._epoch_secrets = tuple(epoch_secrets)

    def secrets(self, session_id: bytes, expiry: int) -> LicenceSecrets:
        """What a player needs to open its licence with this expiry."""
        return LicenceSecrets.derive(self._epoch_secrets[0], session_id, expiry)

    def issue(
        self,
        session_id: bytes,
        keys: Sequence[GrantedKey],
        term: Term,
        watermark: bytes,
        now: float,
        security: Security = Security.SOFTWARE,
    ) -> bytes:
        """A licence for the player of a session, whose device may be trusted with ``security``.

        The format has no output rules: keys that have some are left out. Of the term it says when it ends
        (:func:`expiry`). Each licence of a session with another watermark payload needs a later end.

        Raises :class:`LicenceRefusedError` when no key is left (``no-key``) or the term is over (``expired``).
        """
        if len(session_id) != 16 or len(watermark) != _WATERMARK_BYTES:
            raise ValueError("session ID and watermark payload have 16 bytes each")
        end = expiry(term, now)
        if end <= now:
            raise LicenceRefusedError("expired", "native licence: its term is over")
        fit = [
            NativeKey(granted.key.kid, granted.key.key)
            for granted in keys
            if granted.outputs == Outputs() and (granted.security is Security.SOFTWARE or security is Security.HARDWARE)
        ]
        if not fit:
            raise LicenceRefusedError("no-key", "native licence: the device can meet the terms of no key")
        if len(fit) > MAX_KEYS:
            raise ValueError(f"a native licence holds at most {MAX_KEYS} keys")
        return NativeLicence(session_id, end, tuple(fit), watermark).seal(self.secrets(session_id, end))

    def open(self, sealed: bytes, now: float) -> NativeLicence:
        """Read a licence that comes back, say to be renewed.

        Raises :class:`SealError` for anything that was not issued here, :class:`LicenceRefusedError`
        (``expired``) for what was and is over.
        """
        session_id, end = _read_header(sealed)
        for epoch_secret in self._epoch_secrets:
            secrets = LicenceSecrets.derive(epoch_secret, session_id, end)
            if _mac_holds(sealed, secrets):
                break
        else:
            raise SealError("native licence: does not open")
        licence = _read_body(sealed, secrets)
        if end <= now:
            raise LicenceRefusedError("expired", "native licence: its term is over")
        return licence


def expiry(term: Term, now: float) -> int:
    """When a licence issued now ends, in whole seconds since the epoch.

    This is the end of the term, or of the viewing window if that comes sooner, counted from the last moment at
    which viewing may begin: the licence does not say when it did. Raises :class:`ValueError` for a term without any
    end, which the format cannot say.
    """
    ends = [term.until] if term.until else []
    if term.play_for:
        ends.append(now + term.start_within + term.play_for)
    if not ends:
        raise ValueError("a native licence needs an end")
    return math.floor(min(ends))


def open_licence(sealed: bytes, secrets: LicenceSecrets) -> NativeLicence:
    """Read a licence as its player does. Raises :class:`SealError` unless it was sealed with these secrets."""
    _read_header(sealed)
    if not _mac_holds(sealed, secrets):
        raise SealError("native licence: does not open")
    return _read_body(sealed, secrets)


def _read_header(sealed: bytes) -> tuple[bytes, int]:
    if not _HEADER.size + _WATERMARK_BYTES + _MAC_BYTES <= len(sealed) <= _MAX_BYTES:
        raise SealError(f"native licence: {len(sealed)} bytes")
    magic, version, count, session_id, end = _HEADER.unpack_from(sealed)
    if (magic, version) != (_MAGIC, _VERSION):
        raise SealError("native licence: another format or version")
    if len(sealed) != _HEADER.size + count * _ENTRY.size + _WATERMARK_BYTES + _MAC_BYTES:
        raise SealError(f"native licence: {len(sealed)} bytes are not {count} keys")
    return session_id, end


def _mac_holds(sealed: bytes, secrets: LicenceSecrets) -> bool:
    body, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
    return hmac.compare_digest(hmac.digest(secrets.mac_key, body, "sha256"), mac)


def _read_body(sealed: bytes, secrets: LicenceSecrets) -> NativeLicence:
    """The content of a licence whose MAC holds."""
    _, _, _, session_id, end = _HEADER.unpack_from(sealed)
    watermark_at = len(sealed) - _MAC_BYTES - _WATERMARK_BYTES
    try:
        keys = tuple(
            NativeKey(kid, aes_key_unwrap(secrets.wrapping_key, wrapped))
            for kid, wrapped in _ENTRY.iter_unpack(sealed[_HEADER.size : watermark_at])
        )
    except InvalidUnwrap:
        raise SealError("native licence: a key does not unwrap") from None
    return NativeLicence(session_id, end, keys, _mask(sealed[watermark_at:-_MAC_BYTES], secrets))


def _mask(watermark: bytes, secrets: LicenceSecrets) -> bytes:
    masked = int.from_bytes(watermark) ^ int.from_bytes(secrets.watermark_mask)
    return masked.to_bytes(_WATERMARK_BYTES)
