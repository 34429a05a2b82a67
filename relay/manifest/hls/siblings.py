"""What a media playlist cannot say of itself and its multivariant playlist can."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keys.model import TrackType
from relay.sources import Source


@dataclass(frozen=True, slots=True)
class Siblings:
    """The playlists of one multivariant playlist.

    ``tracks`` gives the track type of each (None: text), by which EXT-X-RENDITION-REPORT names it as
    the multivariant did; ``variables`` are for EXT-X-DEFINE:IMPORT. ``variants`` gives the watermark variant of those
    that list one of several.
    """

    tracks: Mapping[Source, TrackType | None] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[Source, str] = field(default_factory=dict)
