"""SPEKE 2.0 and 2.1 (Secure Packager and Encoder Key Exchange API): CPIX documents as questions, and their answers.

The encryptor sends a document with an empty element for everything it wants; the provider fills those. This is the
encryptor's side, :mod:`keys.exchange.provider` the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from keys.errors import ExchangeError
from keys.exchange import reader, writer
from keys.exchange.encryption import decrypt_as
from keys.exchange.model import (
    AudioFilter,
    Document,
    DrmSystem,
    KeyEntry,
    KeyPeriod,
    Recipient,
    UsageRule,
    Version,
    VideoFilter,
)
from keys.model import Scheme, TrackType
from keys.signalling import systems

SPEKE_VERSION = "X-Speke-Version"
"""The header of questions and answers."""


class Speke(StrEnum):
    """A version of SPEKE, as ``X-Speke-Version`` says it."""

    V2_0 = "2.0"
    V2_1 = "2.1"

    @property
    def cpix(self) -> Version:
        """The version of the documents."""
        return Version.V2_3 if self is Speke.V2_0 else Version.V2_4

    @classmethod
    def parse(cls, text: str | None) -> "Speke":
        """Read the header. Raises :class:`ExchangeError`."""
        try:
            return cls(text or "")
        except ValueError:
            raise ExchangeError("Unsupported SPEKE version") from None


@dataclass(frozen=True, slots=True)
class OutsideKey:
    """A key as a provider gave it."""

    kid: bytes
    key: bytes = field(repr=False)


_VIDEO_FILTERS = {
    TrackType.SD: VideoFilter(max_pixels=768 * 576),
    TrackType.HD: VideoFilter(min_pixels=768 * 576 + 1, max_pixels=1920 * 1088),
    TrackType.UHD: VideoFilter(min_pixels=1920 * 1088 + 1),
}


def question(
    content_id: str,
    kids: Mapping[TrackType, bytes],
    scheme: Scheme,
    period: KeyPeriod | None,
    version: Version,
    certificate: bytes | None = None,
    drm: Sequence[UUID] = (systems.WIDEVINE,),
) -> bytes:
    """A request for a key of each track type, under key IDs of our own; with ``certificate`` (DER) for encrypted ones.

    ``drm`` are the systems whose signalling is asked for: providers expect at least one.
    """
    return writer.write(
        Document(
            content_id=content_id,
            version=version,
            keys=tuple(KeyEntry(kid, scheme) for kid in kids.values()),
            recipients=() if certificate is None else (Recipient(certificate),),
            systems=tuple(_asked(system, kid) for kid in kids.values() for system in drm),
            periods=() if period is None else (period,),
            rules=tuple(
                UsageRule(
                    kid,
                    track.name,
                    periods=() if period is None else (period.id,),
                    video=(_VIDEO_FILTERS[track],) if track in _VIDEO_FILTERS else (),
                    audio=() if track in _VIDEO_FILTERS else (AudioFilter(),),
                )
                for track, kid in kids.items()
            ),
        )
    )


def keys_of(
    data: bytes,
    content_id: str,
    tracks: Iterable[TrackType],
    recipient: tuple[bytes, RSAPrivateKey] | None = None,
) -> dict[TrackType, OutsideKey]:
    """The keys of an answer to :func:`question`, by track type. ``recipient`` is certificate (DER) and key.

    Raises :class:`ExchangeError` for one that is for other content, leaves a key out, or gives in the clear what was to
    be encrypted.
    """
    document = reader.parse(data)
    if document.content_id != content_id:
        raise ExchangeError("CPIX@contentId: the answer is for other content")
    if recipient is not None:
        if any(entry.key is not None for entry in document.keys):
            raise ExchangeError("ContentKey: not encrypted, though that was asked for")
        document = decrypt_as(document, *recipient)
    keys = {entry.kid: entry.key for entry in document.keys}
    by_track = {rule.track: rule.kid for rule in document.rules}
    found = {}
    for track in tracks:
        kid = by_track.get(track.name)
        key = keys.get(kid) if kid else None
        if kid is None or key is None:
            raise ExchangeError(f"ContentKeyList: no key for {track.name}")
        if len(key) != 16:
            raise ExchangeError(f"ContentKey: {len(key)} bytes for {track.name}, expected 16")
        found[track] = OutsideKey(kid, key)
    return found


def _asked(system: UUID, kid: bytes) -> DrmSystem:
    return DrmSystem(system, kid, pssh=b"")
