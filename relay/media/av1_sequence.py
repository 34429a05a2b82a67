"""AV1 sequence headers: what frame headers depend on (AV1 Bitstream Specification §5.5)."""

from dataclasses import dataclass
from functools import lru_cache

from relay.errors import MediaError
from relay.media.bits import BitReader

SELECT = 2
"""``seq_force_screen_content_tools`` and ``seq_force_integer_mv``: each frame says for itself."""

_BT_709, _SRGB, _IDENTITY = 1, 13, 0


@dataclass(frozen=True, slots=True)
class DecoderModel:
    """Lengths in bits of the decoder model's fields (§5.5.4)."""

    buffer_delay_bits: int
    removal_time_bits: int
    presentation_time_bits: int


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """``idc`` is the set of layers (0: all), ``decoder_model`` whether frames carry a buffer removal time."""

    idc: int
    decoder_model: bool


@dataclass(frozen=True, slots=True)
class ColorConfig:
    """``color_config()`` (§5.5.2)."""

    monochrome: bool
    subsampling_x: int
    subsampling_y: int
    separate_uv_delta_q: bool


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """``sequence_header_obu()`` (§5.5.1). Fields keep their names from the specification.

    ``presentation_time_bits`` is 0 when frames carry no presentation time, ``frame_id_bits`` when no IDs.
    """

    reduced_still_picture_header: bool
    decoder_model: DecoderModel | None
    presentation_time_bits: int
    operating_points: tuple[OperatingPoint, ...]
    frame_width_bits: int
    frame_height_bits: int
    max_frame_width: int
    max_frame_height: int
    delta_frame_id_bits: int
    frame_id_bits: int
    use_128x128_superblock: bool
    enable_warped_motion: bool
    enable_ref_frame_mvs: bool
    force_screen_content_tools: int
    force_integer_mv: int
    order_hint_bits: int
    enable_superres: bool
    enable_cdef: bool
    enable_restoration: bool
    color: ColorConfig
    film_grain_params_present: bool

    def relative_dist(self, a: int, b: int) -> int:
        """``get_relative_dist()`` (§5.9.3): how far order hint ``a`` lies after ``b``."""
        if not self.order_hint_bits:
            return 0
        half = 1 << (self.order_hint_bits - 1)
        diff = a - b
        return (diff & (half - 1)) - (diff & half)


# Encoders repeat the sequence header at every key frame.
@lru_cache(maxsize=256)
def parse_sequence_header(obu: bytes) -> SequenceHeader:
    """Parse the payload of a sequence header OBU. Raises :class:`MediaError`."""
    r = BitReader(obu)
    profile = r.u(3)
    r.flag()
    reduced = bool(r.flag())
    model: DecoderModel | None = None
    presentation_time_bits = 0
    if reduced:
        r.u(5)
        points: tuple[OperatingPoint, ...] = (OperatingPoint(0, False),)
    else:
        equal_picture_interval = False
        if r.flag():
            r.u(64)
            equal_picture_interval = bool(r.flag())
            if equal_picture_interval:
                r.ue()
            if r.flag():
                model = _read_decoder_model(r)
                presentation_time_bits = 0 if equal_picture_interval else model.presentation_time_bits
        display_delay = r.flag()
        points = tuple(_read_operating_point(r, model, display_delay) for _ in range(r.u(5) + 1))
    width_bits, height_bits = r.u(4) + 1, r.u(4) + 1
    max_width, max_height = r.u(width_bits) + 1, r.u(height_bits) + 1
    delta_frame_id_bits = frame_id_bits = 0
    if not reduced and r.flag():
        delta_frame_id_bits = r.u(4) + 2
        frame_id_bits = delta_frame_id_bits + r.u(3) + 1
        if frame_id_bits > 16:
            raise MediaError(f"AV1 sequence header: frame IDs of {frame_id_bits} bits")
    use_128x128_superblock = bool(r.flag())
    r.u(2)
    warped_motion = ref_frame_mvs = False
    screen_content = integer_mv = SELECT
    order_hint_bits = 0
    if not reduced:
        r.u(2)
        warped_motion = bool(r.flag())
        r.flag()
        order_hint = r.flag()
        if order_hint:
            r.flag()
            ref_frame_mvs = bool(r.flag())
        if not r.flag():
            screen_content = r.flag()
        if screen_content and not r.flag():
            integer_mv = r.flag()
        if order_hint:
            order_hint_bits = r.u(3) + 1
    return SequenceHeader(
        reduced_still_picture_header=reduced,
        decoder_model=model,
        presentation_time_bits=presentation_time_bits,
        operating_points=points,
        frame_width_bits=width_bits,
        frame_height_bits=height_bits,
        max_frame_width=max_width,
        max_frame_height=max_height,
        delta_frame_id_bits=delta_frame_id_bits,
        frame_id_bits=frame_id_bits,
        use_128x128_superblock=use_128x128_superblock,
        enable_warped_motion=warped_motion,
        enable_ref_frame_mvs=ref_frame_mvs,
        force_screen_content_tools=screen_content,
        force_integer_mv=integer_mv,
        order_hint_bits=order_hint_bits,
        enable_superres=bool(r.flag()),
        enable_cdef=bool(r.flag()),
        enable_restoration=bool(r.flag()),
        color=_read_color_config(r, profile),
        film_grain_params_present=bool(r.flag()),
    )


def _read_decoder_model(r: BitReader) -> DecoderModel:
    delay = r.u(5) + 1
    r.u(32)
    return DecoderModel(delay, r.u(5) + 1, r.u(5) + 1)


def _read_operating_point(r: BitReader, model: DecoderModel | None, display_delay: int) -> OperatingPoint:
    idc = r.u(12)
    if r.u(5) > 7:
        r.flag()
    has_model = False
    if model:
        has_model = bool(r.flag())
        if has_model:
            r.u(2 * model.buffer_delay_bits + 1)
    if display_delay and r.flag():
        r.u(4)
    return OperatingPoint(idc, has_model)


def _read_color_config(r: BitReader, profile: int) -> ColorConfig:
    twelve_bit = False
    if r.flag() and profile == 2:
        twelve_bit = bool(r.flag())
    monochrome = profile != 1 and bool(r.flag())
    description = (r.u(8), r.u(8), r.u(8)) if r.flag() else None
    if monochrome:
        r.flag()
        return ColorConfig(True, 1, 1, False)
    x = y = 0
    if description != (_BT_709, _SRGB, _IDENTITY):
        r.flag()
        if profile == 0:
            x = y = 1
        elif profile == 2 and not twelve_bit:
            x = 1
        elif profile == 2:
            x = r.flag()
            y = r.flag() if x else 0
        if x and y:
            r.u(2)
    return ColorConfig(False, x, y, bool(r.flag()))
