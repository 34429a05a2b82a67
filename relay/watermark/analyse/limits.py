"""What of an upload is read. Checked before anything is decoded, and again while it is."""

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one analysis. Past ``size``, ``pixels`` and ``duration_s`` an upload is refused."""

    size: int = 4_000 * MB
    pixels: int = 4096 * 2304
    """Of one picture: 4K."""
    duration_s: float = 4 * 3600.0
    read_s: float = 20 * 60.0
    """How much from its start is read: 600 segments of 2 s, six times what one leaker takes."""
    frames: int = 150_000
    """Decoded of one upload, whatever its time stamps say."""
    attempts: int = 16
    """Places in the assets that are tried before a passage of the upload is given up as unknown."""
