"""The media core on whole files under a given key, as the command line uses it."""

from dataclasses import dataclass
from hashlib import blake2b

from keys.material import ContentKey
from keys.model import Scheme
from relay.media.init_segment import parse_init, protect_init, split_init
from relay.media.ivs import CountingIvs, HashedIvs
from relay.media.model import Protection, SampleIvs
from relay.media.protect import protect_segment

MAX_FILE_SAMPLES = 10_000_000
"""A day of audio and video."""


@dataclass(frozen=True, slots=True)
class FileProtection:
    """One key for all tracks; ``first_iv`` counts up over all samples where it is given (``cenc``)."""

    protection: Protection
    first_iv: int | None

    @classmethod
    def of(cls, scheme: Scheme, kid: bytes, key: bytes, iv: bytes | None) -> "FileProtection":
        """From 16-byte ``kid`` and ``key``, and an IV of 8 bytes (``cenc``) or 16 (``cbcs``).

        Without an IV, sample IVs derive from the content and the constant IV from the key.
        """
        derived = blake2b(kid, key=key, digest_size=48, person=b"segmentgate file").digest()
        constant = iv if iv is not None and scheme is Scheme.CBCS else derived[:16]
        content = ContentKey(kid, key, constant, derived[16:])
        first = int.from_bytes(iv) if iv is not None and scheme is Scheme.CENC else None
        return cls(Protection(scheme, content, content), first)

    def ivs(self) -> SampleIvs:
        """The IVs of one run over segments or files."""
        return HashedIvs() if self.first_iv is None else CountingIvs(self.first_iv)


class FileProtector:
    """An init segment and, one after another, its media segments. Raises :class:`relay.errors.MediaError`."""

    def __init__(self, init: bytes, wanted: FileProtection) -> None:
        self._parsed = parse_init(init)
        self._wanted = wanted
        self._ivs = wanted.ivs()
        self.init = protect_init(self._parsed, wanted.protection)

    def segment(self, data: bytes) -> bytes:
        """The next media segment, protected."""
        return protect_segment(data, self._parsed, self._wanted.protection, self._ivs, groups=False)


def protect_file(data: bytes, wanted: FileProtection, ivs: SampleIvs) -> bytes:
    """A file that holds its init segment and its fragments. Raises :class:`relay.errors.MediaError`.

    Files under one key must share ``ivs``, or two of them would be encrypted with the same key stream.
    """
    init, rest = split_init(data)
    parsed = parse_init(init)
    body = protect_segment(
        rest, parsed, wanted.protection, ivs, groups=False, position=len(init), max_samples=MAX_FILE_SAMPLES
    )
    return protect_init(parsed, wanted.protection) + body
