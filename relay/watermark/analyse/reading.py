"""What an analysis found: the evidence of each position, and where and how the copy was seen. Plain values."""

import msgspec


class PositionReading(msgspec.Struct, frozen=True, kw_only=True):
    """What the copy says of one position of an asset."""

    position: int
    z: float
    """Above zero for variant a, below for b; N(0, 1) where there is no mark. 0 where erased."""
    erased: bool
    """Whether it was covered and could not be read: too little of it aligned, or it carries no information."""
    frames: int
    """How many were scored; of all the times it was shown, where it was shown more than once."""
    agreement: float
    """Median correlation of fine detail between original and copy, up to 1."""
    start_s: float
    """In the asset."""
    leak_s: float
    """In the copy, of the first frame scored."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of the copy that shows the asset without a cut. Seconds."""

    leak_start_s: float
    leak_end_s: float
    asset_start_s: float
    asset_end_s: float
    speed: float
    """Seconds of the asset in one second of the copy."""


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """How the asset's picture lies in the copy's."""

    corners: tuple[tuple[float, float], ...]
    """Of the asset's picture, clockwise from its upper left, as shares of the copy's width and height."""
    mirrored: bool
    visible: float
    """Share of the asset's picture that the copy shows."""
    bend_px: float
    """Largest displacement that is no perspective, at 480 wide: lenses, curved screens."""
    moved_px: float
    """How far the corner that moves most is from its usual place, median over frames, at 480 wide."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence for the eye, a JPEG of four panels.

    Above, the original, and the copy with the original's outline; below, the copy laid over, and what differs.
    """

    position: int
    leak_s: float
    jpeg: bytes


class AssetReading(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one asset. Positions ascend."""

    asset: str
    positions: tuple[PositionReading, ...]
    runs: tuple[Run, ...]
    geometry: Geometry
    pictures: tuple[Picture, ...]
    median_z: float
    """Median of |z| over what is not erased: 0.67 where there is no mark."""
    control_rms: float
    """Of z under keys that nobody ever used, root mean square: 1, or z does not mean what it should."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a copy: the assets, the one with most positions first; none where it is of no known asset."""

    assets: tuple[AssetReading, ...]
    width: int
    height: int
    duration_s: float
    cut_short: bool
    """Whether the copy is damaged or longer than is read: what follows was left out."""
    unknown_s: float
    """How much of the copy belongs to none of the assets."""
