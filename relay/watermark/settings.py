"""What of a stream is watermarked and how, as configured, and for how long it is remembered who was served what."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from relay.errors import ConfigError
from relay.units import Duration
from relay.watermark.etsi.sidecar import FOLDER
from relay.watermark.etsi.vendors import MAX_KEYS
from relay.watermark.jobs.settings import AnalysisConfig, check_analysis

Pace = Literal["sidecar", "egress", "time"]
"""Where the position of a segment is learnt: from its sidecar, from a header of the origin, or from its media time."""

MAX_SEGMENT_MS = 60_000
MAX_VENDORS = 16
VendorNumber = Annotated[int, Meta(ge=0, le=255)]
File = Annotated[str, Meta(min_length=1, max_length=512)]
Algorithm = Literal[
    "HS256", "HS384", "HS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"
]
_FOLDER = re.compile(r"([A-Za-z0-9][A-Za-z0-9._~-]*/)?")


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the sections: frozen, and refusing names it does not know."""


class MarkConfig(_Section, frozen=True):
    """A stream whose video the origin holds in two marked variants.

    ``asset`` names it to embedder and analyser; empty: the stream's name. ``variants`` are the folders, beside which
    the manifests' neutral names stand, of variants a and b. ``segment`` is how long a position is, for the pace
    ``time``. ``colluders`` is the code's profile. ``code_key_file`` holds the asset's code key; empty: it is derived.
    ``pattern`` is sought in the paths of video segments: others are not watermarked; empty: all are. Where ``tokens``
    lists vendors, by number, a token of one of them chooses the variants instead of the code.
    """

    asset: Annotated[str, Meta(max_length=128)] = ""
    variants: tuple[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=64)]] = ("a/", "b/")
    pace: Pace = "sidecar"
    segment: Duration = Duration(0)
    colluders: Literal[2, 4, 6, 8] = 2
    code_key_file: str = ""
    pattern: Annotated[str, Meta(max_length=256)] = ""
    tokens: Annotated[tuple[VendorNumber, ...], Meta(max_length=MAX_VENDORS)] = ()


class DetectorConfig(_Section, frozen=True):
    """Whoever finds watermarks in leaked copies, and signs what it tells (Standard Webhooks) with any of its secrets.

    A detection of at least the confidence ``revoke_at`` revokes at once; without it, none does. The others wait until
    as many API keys as ``approvals`` have approved.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
    secret_files: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1, max_length=4)]
    revoke_at: Annotated[float, Meta(gt=0, le=1)] | None = None
    approvals: Annotated[int, Meta(ge=1, le=4)] = 2


class VendorKeyConfig(_Section, frozen=True):
    """A key that verifies watermark tokens: a hex secret for HMAC algorithms, a PEM public key otherwise."""

    alg: Algorithm
    file: File


class VendorConfig(_Section, frozen=True):
    """Whose watermark tokens are taken (ETSI TS 104 002): a vendor by its DASH-IF number.

    ``pattern_key_file`` (AES, as hex) and ``pattern_private_key`` (P-256, PEM) open its patterns, which then must come
    encrypted. ``derives``: its indirect tokens name sessions of this relay's own code. ``issuer`` is their ``iss``.
    """

    number: VendorNumber
    keys: Annotated[tuple[VendorKeyConfig, ...], Meta(min_length=1, max_length=MAX_KEYS)]
    pattern_key_file: str = ""
    pattern_private_key: str = ""
    derives: bool = False
    issuer: Annotated[str, Meta(max_length=512)] = ""


class WatermarkConfig(_Section, frozen=True):
    """``secret_file`` holds what keys of assets are derived from, 32 bytes or more in hex; empty: the oldest root key.

    ``retention``: for how long it is remembered which session got which positions when, and what was detected.

    ``detectors`` may tell of watermarks that they found. ``approvals`` is how many API keys must approve what is told
    with an API key instead. ``vendors`` may give viewers tokens that choose their variants. ``analysis`` is of copies
    that are uploaded here.
    """

    secret_file: str = ""
    retention: Duration = Duration.parse("30d")
    approvals: Annotated[int, Meta(ge=1, le=4)] = 2
    detectors: Annotated[tuple[DetectorConfig, ...], Meta(max_length=16)] = ()
    vendors: Annotated[tuple[VendorConfig, ...], Meta(max_length=MAX_VENDORS)] = ()
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)


def check_watermark(where: str, watermark: WatermarkConfig) -> None:
    """Raises :class:`ConfigError` for two detectors or vendors of one name, and for what cannot work."""
    check_analysis(f"{where}.analysis", watermark.analysis)
    names = [detector.name for detector in watermark.detectors]
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}.detectors: two have the same 'name'. Give each its own.")
    numbers = [vendor.number for vendor in watermark.vendors]
    if len(set(numbers)) != len(numbers):
        raise ConfigError(f"{where}.vendors: two have the same 'number'. Describe each vendor once.")


def check_marks(where: str, marks: Mapping[str, MarkConfig]) -> None:
    """Raises :class:`ConfigError` for streams that say different things of one asset, which nothing could analyse."""
    seen: dict[str, tuple[str, int, str]] = {}
    for name, mark in marks.items():
        other, colluders, key = seen.setdefault(mark.asset or name, (name, mark.colluders, mark.code_key_file))
        if (colluders, key) != (mark.colluders, mark.code_key_file):
            raise ConfigError(
                f"{where}.{name}.watermark: stream {other!r} has the same asset with another code. "
                "Give both the same 'colluders' and 'code_key_file'."
            )


def check_mark(where: str, mark: MarkConfig, watermark: WatermarkConfig) -> None:
    """Raises :class:`ConfigError` for a contradiction."""
    for number, folder in enumerate(mark.variants):
        if not _FOLDER.fullmatch(folder) or folder.rstrip("/") in ("..", FOLDER):
            raise ConfigError(f"{where}.variants[{number}]: {folder!r} is not the name of a folder. Write it as 'a/'.")
    if mark.variants[0] == mark.variants[1]:
        raise ConfigError(f"{where}.variants: both lie in one place. Give each its own.")
    if mark.pace == "time" and not 0 < mark.segment <= MAX_SEGMENT_MS:
        raise ConfigError(f"{where}.segment: the pace 'time' needs how long a segment is, at most 60s.")
    if mark.pace != "time" and mark.segment:
        raise ConfigError(f"{where}.segment: only for the pace 'time'. Leave it out.")
    unknown = set(mark.tokens) - {vendor.number for vendor in watermark.vendors}
    if unknown:
        raise ConfigError(f"{where}.tokens: {min(unknown)} is none of watermark.vendors. Describe the vendor there.")
    try:
        re.compile(mark.pattern)
    except re.error as err:
        raise ConfigError(f"{where}.pattern: {err}. Write a regular expression.") from None
