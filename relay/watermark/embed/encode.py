"""One segment of H.264: an IDR picture, then no other; headers that depend on the settings alone; no settings SEI.

Each segment has an encoder of its own. So any segment can be made again, in any process, and both variants start
from nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.plane import VideoPlane

from relay.media.nal import nal_units
from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.source import Colour
from relay.watermark.picture.planes import BytePlane

DELAY = 2
"""Frames by which decoding must run ahead of presentation: one for pictures between others, one for their pyramid."""
LENGTH_BYTES = 4  # of the length before each NAL unit; what x264 writes, checked below
_GLOBAL_HEADER = 1 << 22
_SEI, _FILLER = 6, 12
_CLOSED = "scenecut=0:keyint=infinite:min-keyint=infinite:open-gop=0"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a rendition is encoded. ``peak`` caps the bits per second (0: no cap); quality is a constant rate factor."""

    width: int
    height: int
    rate: Fraction
    colour: Colour
    peak: int = 0
    crf: float = 20.0
    preset: str = "veryfast"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """An access unit: its place in presentation order, and its bytes with length prefixes."""

    shown: int
    data: bytes = field(repr=False)
    is_sync: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """A segment in decoding order. ``config`` is the decoder configuration (``avcC``, ISO/IEC 14496-15 §5.3.3)."""

    config: bytes
    samples: tuple[Sample, ...]

    @property
    def size(self) -> int:
        """Bytes of all samples."""
        return sum(len(sample.data) for sample in self.samples)


def encode(
    pictures: Sequence[VideoFrame], encoding: Encoding, types: Sequence[int] = (), lumas: Sequence[BytePlane] = ()
) -> Encoded:
    """Encode the frames of one segment.

    ``types`` fixes each picture's type, so that two variants have the same order of decoding; left out, the encoder
    chooses. ``lumas`` stands in for the frames' own luma. Raises :class:`EmbedError` when the encoder fails.
    """
    try:
        encoder = _encoder(encoding)
        packets = []
        for k, picture in enumerate(pictures):
            frame = _frame(picture, lumas[k] if lumas else None)
            frame.pts, frame.time_base = k, 1 / encoding.rate
            frame.pict_type = types[k] if types else PictureType.NONE
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    except av.FFmpegError as err:
        raise EmbedError(f"{encoding.width}x{encoding.height}: x264 failed: {err.strerror}") from None
    samples = tuple(
        Sample(packet.pts if packet.pts is not None else -1, _without_sei(bytes(packet)), packet.is_keyframe)
        for packet in packets
    )
    if sorted(sample.shown for sample in samples) != list(range(len(pictures))):
        raise EmbedError(f"{encoding.width}x{encoding.height}: x264 gave {len(samples)} of {len(pictures)} pictures")
    if any(decoded - sample.shown > DELAY for decoded, sample in enumerate(samples)):
        raise EmbedError(f"{encoding.width}x{encoding.height}: x264 reorders pictures by more than {DELAY}")
    if not samples[0].is_sync or any(sample.is_sync for sample in samples[1:]):
        raise EmbedError(f"{encoding.width}x{encoding.height}: the segment is not one closed group of pictures")
    return Encoded(bytes(encoder.extradata or b""), samples)


def decode(encoded: Encoded) -> list[VideoFrame]:
    """The pictures of a segment, in the order of presentation. Raises :class:`EmbedError`."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = encoded.config
    decoder.thread_count = 1
    shown: list[VideoFrame] = []
    try:
        for sample in encoded.samples:
            packet = av.Packet(sample.data)
            packet.pts = sample.shown
            shown += decoder.decode(packet)
        shown += decoder.decode(None)
    except av.FFmpegError as err:
        raise EmbedError(f"a segment that was just encoded cannot be decoded: {err.strerror}") from None
    if len(shown) != len(encoded.samples):
        raise EmbedError(f"a segment of {len(encoded.samples)} pictures decodes to {len(shown)}")
    return shown


def luma_of(frame: VideoFrame) -> BytePlane:
    """A view of a planar frame's luma: no copy, and it may be written to."""
    return view_of(frame.planes[0])


def view_of(plane: VideoPlane) -> npt.NDArray[np.uint8]:
    """A view of a plane of bytes, rows by columns."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _frame(picture: VideoFrame, luma: BytePlane | None) -> VideoFrame:
    """A frame of the encoder's own: it may keep it, and must not see one that another encoder holds."""
    frame = VideoFrame(picture.width, picture.height, picture.format.name)
    for number, (into, plane) in enumerate(zip(frame.planes, picture.planes, strict=True)):
        view_of(into)[...] = view_of(plane) if number or luma is None else luma
    return frame


def _encoder(encoding: Encoding) -> VideoCodecContext:
    encoder = VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = encoding.width, encoding.height, "yuv420p"
    encoder.framerate, encoder.time_base = encoding.rate, 1 / encoding.rate
    encoder.color_primaries = encoding.colour.primaries
    encoder.color_trc = encoding.colour.transfer
    encoder.colorspace = encoding.colour.matrix
    encoder.color_range = 1
    encoder.flags |= _GLOBAL_HEADER
    # The budget of a segment begins half full, so that a run of segments keeps to the peak, near enough.
    cap = (
        f":vbv-maxrate={encoding.peak // 1000}:vbv-bufsize={encoding.peak // 1000}:vbv-init=0.5"
        if encoding.peak
        else ""
    )
    encoder.options = {
        "preset": encoding.preset,
        "crf": str(encoding.crf),
        "x264-params": f"stitchable=1:annexb=0:threads={encoding.threads}:{_CLOSED}{cap}",
    }
    encoder.open()
    return encoder


def _without_sei(sample: bytes) -> bytes:
    """The sample without what decoding does not need: x264 writes its settings there, and they name the encoder."""
    view = memoryview(sample)
    kept = [
        view[start - LENGTH_BYTES : end]
        for start, end in nal_units(view, LENGTH_BYTES)
        if view[start] & 0x1F not in (_SEI, _FILLER)
    ]
    return b"".join(kept)
