"""Which codecs can be protected, and how to get at the subsample lists of their samples.

What a video sample must leave clear depends on its codec (ISO/IEC 23001-7 §9.5.2; ISO/IEC 23000-19 §8.2).
A :class:`VideoCodec` is made once per track from its init segment, a :class:`SampleMapper` once per segment.
"""

from collections.abc import Callable, Mapping

from relay.errors import MediaError, UnsupportedMediaError
from relay.media.av1 import Av1Codec
from relay.media.avc import AvcCodec
from relay.media.hevc import HevcCodec
from relay.media.ranges import MAX_SUBSAMPLES, SampleMapper, Subsample, VideoCodec
from relay.media.vp9 import Vp9Codec

__all__ = ["CONFIG_BOX", "MAX_SUBSAMPLES", "SampleMapper", "Subsample", "VideoCodec", "codec_of"]

CONFIG_BOX: Mapping[bytes, bytes] = {
    b"avc1": b"avcC",
    b"avc3": b"avcC",
    b"dva1": b"avcC",
    b"dvav": b"avcC",
    b"hvc1": b"hvcC",
    b"hev1": b"hvcC",
    b"dvh1": b"hvcC",
    b"dvhe": b"hvcC",
    b"vp09": b"vpcC",
    b"av01": b"av1C",
}
"""The video sample entries that can be protected, each with the box that holds its decoder configuration."""


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
