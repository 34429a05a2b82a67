"""Sample entries: the codec of a track, and what of it is needed (ISO/IEC 14496-12 §8.5.2 and §12)."""

from dataclasses import dataclass

from relay.errors import AlreadyProtectedError, MediaError, UnsupportedMediaError
from relay.media.box import Box, Budget, children, name_of, only
from relay.media.codec_names import AUDIO, CLEAR, CONFIG_BOX
from relay.media.codecs import codec_of
from relay.media.cursor import Cursor
from relay.media.model import TrackKind
from relay.media.subsamples import VideoCodec

_PROTECTED_FORMATS = frozenset({b"encv", b"enca", b"enct", b"encs", b"encm", b"encf", b"drms", b"drmi"})
_VISUAL_FIELDS = 78
_AUDIO_FIELDS = 28


@dataclass(frozen=True, slots=True)
class SampleEntry:
    """One entry of a track's ``stsd``. ``codec`` is that of video."""

    box: Box
    kind: TrackKind
    codec: VideoCodec | None = None

    @classmethod
    def decode(cls, box: Box, budget: Budget) -> "SampleEntry":
        """Read an entry.

        Raises :class:`AlreadyProtectedError` for an encrypted one, :class:`UnsupportedMediaError` for a format
        whose protection is not known, and :class:`MediaError`.
        """
        if box.kind in _PROTECTED_FORMATS:
            raise AlreadyProtectedError(f"{box.where}: encrypted already")
        if box.kind in CLEAR:
            return cls(box, TrackKind.CLEAR)
        if box.kind in AUDIO:
            return cls._audio(box, budget)
        if box.kind in CONFIG_BOX:
            return cls._video(box, budget)
        raise UnsupportedMediaError(f"{box.where}: no rule for protecting {name_of(box.kind)}")

    @classmethod
    def _audio(cls, box: Box, budget: Budget) -> "SampleEntry":
        cursor = Cursor(box.payload, box.where)
        cursor.take(8)
        if cursor.u16():
            raise UnsupportedMediaError(f"{box.where}: a QuickTime sound description")
        _clear_children(box, _AUDIO_FIELDS, budget)
        return cls(box, TrackKind.AUDIO)

    @classmethod
    def _video(cls, box: Box, budget: Budget) -> "SampleEntry":
        found = _clear_children(box, _VISUAL_FIELDS, budget)
        config = CONFIG_BOX[box.kind]
        present = any(child.kind == config for child in found)
        codec = codec_of(box.kind, bytes(only(found, config, box.where).payload) if present else None)
        return cls(box, TrackKind.VIDEO, codec)


def _clear_children(box: Box, fields: int, budget: Budget) -> list[Box]:
    found = list(children(box, budget, fields))
    if any(child.kind == b"sinf" for child in found):
        raise AlreadyProtectedError(f"{box.where}: has a sinf box")
    return found


def decode_stsd(box: Box, budget: Budget) -> tuple[SampleEntry, ...]:
    """The entries of a sample description box, in order. Raises as :meth:`SampleEntry.decode` does."""
    cursor = Cursor(box.payload, box.where)
    cursor.full_box(0)
    count = cursor.u32()
    entries = tuple(SampleEntry.decode(child, budget) for child in children(box, budget, 8))
    if not entries or len(entries) != count:
        raise MediaError(f"{box.where}: {len(entries)} sample entries, announced {count}")
    if len({entry.kind for entry in entries}) > 1:
        raise UnsupportedMediaError(f"{box.where}: sample entries of different kinds")
    return entries
