"""What a media playlist cannot say of itself and its multivariant playlist can."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keys.model import TrackType
from relay.sources import Source


@dataclass(frozen=True, slots=True)
class Siblings:
    """The playlists of one multivariant playlist.

    ``tracks`` gives the track type of each (None: text), by which EXT-X-RENDITION-REPORT names it as
    the multivariant did; ``variables`` are for EXT-X-DEFINE:IMPORT.
    """

    tracks: Mapping[Source, TrackType | None] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
