"""Widevine entitlement: one long-lived key in the licence opens the content keys that streams carry.

A stream whose keys change often then needs no licence at each change: every crypto period's PSSH brings its content
key, encrypted under the entitlement key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from keys.licences.protobuf import encode
from keys.licences.widevine.derivation import encrypt
from keys.licences.widevine.licence import ENTITLEMENT_KEY_BYTES

_ENTITLED_KEY = 2
"""``WidevinePsshData.Type``."""


@dataclass(frozen=True, slots=True)
class EntitledKey:
    """A content key (ID of 16 bytes) under an entitlement key: AES-256-CBC, PKCS #7, with ``iv`` (16 bytes)."""

    entitlement_kid: bytes
    kid: bytes
    wrapped: bytes = field(repr=False)
    iv: bytes

    @classmethod
    def wrap(cls, entitlement_kid: bytes, entitlement_key: bytes, kid: bytes, key: bytes, iv: bytes) -> "EntitledKey":
        """Encrypt ``key``. Raises :class:`ValueError` unless ``entitlement_key`` has 32 bytes."""
        if len(entitlement_key) != ENTITLEMENT_KEY_BYTES:
            raise ValueError(f"an entitlement key has {ENTITLEMENT_KEY_BYTES} bytes")
        return cls(entitlement_kid, kid, encrypt(entitlement_key, iv, key), iv)

    def encode(self) -> bytes:
        """``WidevinePsshData.EntitledKey``."""
        return encode(
            (1, self.entitlement_kid), (2, self.kid), (3, self.wrapped), (4, self.iv), (5, ENTITLEMENT_KEY_BYTES)
        )


def entitled_pssh_data(content_id: bytes, period: int, keys: Sequence[EntitledKey]) -> bytes:
    """The data of one crypto period's PSSH box: ``WidevinePsshData`` of type ENTITLED_KEY."""
    return encode((4, content_id), (7, period), (11, _ENTITLED_KEY), *((14, key.encode()) for key in keys))
