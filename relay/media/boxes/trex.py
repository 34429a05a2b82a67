"""``trex``: a track's defaults for all its fragments (ISO/IEC 14496-12 §8.8.3)."""

from dataclasses import dataclass

from relay.media.box import Box
from relay.media.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Trex:
    """Track extends box, without the defaults that protection does not need."""

    track_id: int
    description_index: int
    default_size: int

    @classmethod
    def decode(cls, box: Box) -> "Trex":
        """Read the box. Raises :class:`MediaError`."""
        cursor = Cursor(box.payload, box.where)
        cursor.full_box(0)
        track_id, index, _duration, size, _flags = cursor.words(5)
        return cls(track_id, index, size)
