"""From a track's sample entry to the rules of its codec.

What a video sample must leave clear depends on its codec (ISO/IEC 23001-7 §9.5.2; ISO/IEC 23000-19 §8.2).
A :class:`VideoCodec` is made once per track from its init segment, a mapper of samples once per segment.
"""

from collections.abc import Callable, Mapping

from relay.errors import MediaError, UnsupportedMediaError
from relay.media.av1 import Av1Codec
from relay.media.avc import AvcCodec
from relay.media.codec_names import CONFIG_BOX
from relay.media.hevc import HevcCodec
from relay.media.subsamples import VideoCodec
from relay.media.vp9 import Vp9Codec


def codec_of(original_format: bytes, config: bytes | None) -> VideoCodec:
    """The codec of a sample entry, from its original format and the payload of its ``CONFIG_BOX``.

    Raises :class:`UnsupportedMediaError` for another format and :class:`MediaError` for a bad configuration.
    """
    name = original_format.decode("ascii", "backslashreplace")
    box = CONFIG_BOX.get(original_format)
    if box is None:
        raise UnsupportedMediaError(f"sample entry {name}: no rule for protecting this video codec")
    if config is None:
        raise MediaError(f"sample entry {name}: no {box.decode()} box")
    return _PARSERS[box](config)


_PARSERS: Mapping[bytes, Callable[[bytes], VideoCodec]] = {
    b"avcC": AvcCodec.parse,
    b"hvcC": HevcCodec.parse,
    b"vpcC": Vp9Codec.parse,
    b"av1C": Av1Codec.parse,
}
