"""AV1 frame headers: where they end, and how the tiles after them are laid out (AV1 §5.9).

Only what decides how many bits follow is kept: sizes, order hints, and the quantiser changes of
segments, since lossless frames have shorter headers. Motion parameters and film grain have a length
that does not depend on earlier frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relay.errors import MediaError, UnsupportedMediaError
from relay.media.av1_sequence import SELECT, SequenceHeader
from relay.media.av1_tiles import TileLayout, read_ns, read_tile_layout
from relay.media.bits import BitReader

SLOTS = 8
_REFS = 7
ALL_SLOTS = 0xFF

KEY_FRAME, INTER_FRAME, INTRA_ONLY_FRAME, SWITCH_FRAME = range(4)
_NO_PRIMARY_REF = 7

# §5.9.14: bits of each segmentation feature with its sign; the first one changes the quantiser.
_SEGMENT_FEATURE_BITS = (9, 7, 7, 7, 7, 3, 0, 0)
_NO_SEGMENTS = (0,) * 8

_TRANSLATION, _ROTZOOM, _AFFINE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as later frames see it in a reference slot. ``quantiser_changes`` has one entry per segment."""

    type: int
    upscaled_width: int
    height: int
    order_hint: int
    quantiser_changes: tuple[int, ...]


Slots = Sequence[Frame | None]


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """An ``uncompressed_header()`` of ``bits`` bits.

    ``refreshed`` is the set of reference slots that ``frame`` goes into; ``tiles`` is None when an earlier
    frame is shown again and no tile data follows.
    """

    frame: Frame
    refreshed: int
    tiles: TileLayout | None
    bits: int


@dataclass(slots=True)
class _Size:
    upscaled_width: int
    width: int
    height: int


def read_frame_header(
    r: BitReader, sequence: SequenceHeader, slots: Slots, temporal_id: int, spatial_id: int
) -> FrameHeader:
    """Read ``uncompressed_header()`` (§5.9.2). Raises :class:`MediaError`."""
    seq = sequence
    frame_type, show_frame, showable, error_resilient = KEY_FRAME, 1, 0, 1
    if not seq.reduced_still_picture_header:
        if r.flag():
            shown = _reference(slots, r.u(3))
            r.u(seq.presentation_time_bits + seq.frame_id_bits)
            return FrameHeader(shown, ALL_SLOTS if shown.type == KEY_FRAME else 0, None, r.position)
        frame_type = r.u(2)
        show_frame = r.flag()
        if show_frame:
            r.u(seq.presentation_time_bits)
            showable = int(frame_type != KEY_FRAME)
        else:
            showable = r.flag()
        if frame_type != SWITCH_FRAME and not (frame_type == KEY_FRAME and show_frame):
            error_resilient = r.flag()
    intra = frame_type in (KEY_FRAME, INTRA_ONLY_FRAME)
    disable_cdf_update = r.flag()
    screen_content = seq.force_screen_content_tools
    if screen_content == SELECT:
        screen_content = r.flag()
    integer_mv = 0
    if screen_content:
        integer_mv = r.flag() if seq.force_integer_mv == SELECT else seq.force_integer_mv
    r.u(seq.frame_id_bits)
    if frame_type == SWITCH_FRAME:
        size_override = 1
    else:
        size_override = 0 if seq.reduced_still_picture_header else r.flag()
    order_hint = r.u(seq.order_hint_bits)
    primary_ref = _NO_PRIMARY_REF if intra or error_resilient else r.u(3)
    if seq.decoder_model and r.flag():
        _skip_removal_times(r, seq, seq.decoder_model.removal_time_bits, temporal_id, spatial_id)
    refreshed = ALL_SLOTS
    if frame_type != SWITCH_FRAME and not (frame_type == KEY_FRAME and show_frame):
        refreshed = r.u(8)
    if (not intra or refreshed != ALL_SLOTS) and error_resilient and seq.order_hint_bits:
        slots = _check_order_hints(r, seq, slots)

    references: list[Frame] = []
    intrabc = high_precision_mv = 0
    if intra:
        size = _read_frame_size(r, seq, size_override)
        _skip_render_size(r)
        if screen_content and size.upscaled_width == size.width:
            intrabc = r.flag()
    else:
        references = _read_references(r, seq, slots, order_hint)
        if size_override and not error_resilient:
            size = _read_size_with_refs(r, seq, references)
        else:
            size = _read_frame_size(r, seq, size_override)
            _skip_render_size(r)
        if not integer_mv:
            high_precision_mv = r.flag()
        if not r.flag():
            r.u(2)
        r.flag()
        if seq.enable_ref_frame_mvs and not error_resilient:
            r.flag()
    if not (seq.reduced_still_picture_header or disable_cdf_update):
        r.flag()

    tiles = read_tile_layout(r, seq.use_128x128_superblock, size.width, size.height)
    base_q, delta_q = _read_quantisation(r, seq)
    previous = None if primary_ref == _NO_PRIMARY_REF else references[primary_ref]
    changes = _read_segmentation(r, previous)
    if base_q and r.flag():
        r.u(2)
        if not intrabc and r.flag():
            r.u(3)
    lossless = not delta_q and all(base_q + change <= 0 for change in changes)
    all_lossless = lossless and size.width == size.upscaled_width
    if not intrabc:
        if not lossless:
            _skip_loop_filter(r, seq)
            if seq.enable_cdef:
                r.u(2)
                r.u((6 if seq.color.monochrome else 12) << r.u(2))
        if not all_lossless and seq.enable_restoration:
            _skip_restoration(r, seq)
    if not lossless:
        r.flag()
    if not intra and r.flag() and _skip_mode_allowed(seq, references, order_hint):
        r.flag()
    if not intra and not error_resilient and seq.enable_warped_motion:
        r.flag()
    r.flag()
    if not intra:
        _skip_global_motion(r, high_precision_mv)
    if seq.film_grain_params_present and (show_frame or showable):
        _skip_film_grain(r, seq, frame_type)
    frame = Frame(frame_type, size.upscaled_width, size.height, order_hint, changes)
    return FrameHeader(frame, refreshed, tiles, r.position)


def _reference(slots: Slots, index: int) -> Frame:
    frame = slots[index]
    if frame is None:
        raise UnsupportedMediaError("AV1: the segment does not start at a key frame")
    return frame


def _skip_removal_times(r: BitReader, seq: SequenceHeader, bits: int, temporal_id: int, spatial_id: int) -> None:
    layer = 1 << temporal_id | 1 << (spatial_id + 8)
    for point in seq.operating_points:
        if point.decoder_model and (point.idc == 0 or point.idc & layer == layer):
            r.u(bits)


def _check_order_hints(r: BitReader, seq: SequenceHeader, slots: Slots) -> Slots:
    """The slots without those that hold another frame than the encoder says (§7.20: it went missing)."""
    hints = [r.u(seq.order_hint_bits) for _ in range(SLOTS)]
    return [frame if frame and frame.order_hint == hint else None for frame, hint in zip(slots, hints, strict=True)]


def _read_references(r: BitReader, seq: SequenceHeader, slots: Slots, order_hint: int) -> list[Frame]:
    """The frames that the seven reference names stand for."""
    short = seq.order_hint_bits and r.flag()
    indices = _derived_references(seq, slots, order_hint, r.u(3), r.u(3)) if short else []
    for name in range(_REFS):
        if not short:
            indices.append(r.u(3))
        r.u(seq.delta_frame_id_bits)
        # Checked within the loop: what is not a segment from its start should say so, not fail on a later field.
        _reference(slots, indices[name])
    return [_reference(slots, index) for index in indices]


def _derived_references(seq: SequenceHeader, slots: Slots, order_hint: int, last: int, golden: int) -> list[int]:
    """``set_frame_refs()`` (§7.8): the slots of LAST, LAST2, LAST3, GOLDEN, BWDREF, ALTREF2 and ALTREF."""
    distances = [seq.relative_dist(_reference(slots, slot).order_hint, order_hint) for slot in range(SLOTS)]
    chosen: dict[int, int] = {0: last, 3: golden}
    unused = [slot for slot in range(SLOTS) if slot not in (last, golden)]
    # Of equal distances, "latest" takes the last slot and "earliest" the first.
    for name, latest in ((6, True), (4, False), (5, False)):
        backward = [slot for slot in unused if distances[slot] >= 0]
        if backward:
            chosen[name] = _pick(backward, distances, latest=latest)
            unused.remove(chosen[name])
    for name in (1, 2, 4, 5, 6):
        forward = [slot for slot in unused if distances[slot] < 0]
        if name not in chosen and forward:
            chosen[name] = _pick(forward, distances, latest=True)
            unused.remove(chosen[name])
    earliest = _pick(range(SLOTS), distances, latest=False)
    return [chosen.get(name, earliest) for name in range(_REFS)]


def _pick(slots: Sequence[int], distances: Sequence[int], *, latest: bool) -> int:
    if latest:
        return max(slots, key=lambda slot: (distances[slot], slot))
    return min(slots, key=lambda slot: (distances[slot], slot))


def _read_frame_size(r: BitReader, seq: SequenceHeader, override: int) -> _Size:
    """``frame_size()`` (§5.9.5)."""
    if not override:
        return _read_superres(r, seq, seq.max_frame_width, seq.max_frame_height)
    width, height = r.u(seq.frame_width_bits) + 1, r.u(seq.frame_height_bits) + 1
    return _read_superres(r, seq, width, height)


def _read_superres(r: BitReader, seq: SequenceHeader, width: int, height: int) -> _Size:
    """``superres_params()`` (§5.9.8)."""
    if not seq.enable_superres or not r.flag():
        return _Size(width, width, height)
    denominator = r.u(3) + 9
    return _Size(width, (width * 8 + denominator // 2) // denominator, height)


def _skip_render_size(r: BitReader) -> None:
    if r.flag():
        r.u(32)


def _read_size_with_refs(r: BitReader, seq: SequenceHeader, references: Sequence[Frame]) -> _Size:
    """``frame_size_with_refs()`` (§5.9.7)."""
    for reference in references:
        if r.flag():
            return _read_superres(r, seq, reference.upscaled_width, reference.height)
    size = _read_frame_size(r, seq, 1)
    _skip_render_size(r)
    return size


def _read_quantisation(r: BitReader, seq: SequenceHeader) -> tuple[int, bool]:
    """``base_q_idx``, and whether any plane's quantiser differs from it (§5.9.12)."""
    base_q = r.u(8)
    differs = _read_delta_q(r)
    separate = seq.color.separate_uv_delta_q
    if not seq.color.monochrome:
        for _ in range(4 if separate and r.flag() else 2):
            differs |= _read_delta_q(r)
    if r.flag():
        r.u(12 if separate else 8)
    return base_q, differs


def _read_delta_q(r: BitReader) -> bool:
    return bool(r.flag()) and r.u(7) != 0


def _read_segmentation(r: BitReader, previous: Frame | None) -> tuple[int, ...]:
    """``segmentation_params()`` (§5.9.14): the change of the quantiser in each segment."""
    if not r.flag():
        return _NO_SEGMENTS
    if previous:
        if r.flag():
            r.flag()
        if not r.flag():
            return previous.quantiser_changes
    changes = []
    for _ in range(8):
        values = [r.u(bits) if r.flag() else 0 for bits in _SEGMENT_FEATURE_BITS]
        changes.append(values[0] - ((values[0] & 0x100) << 1))
    return tuple(changes)


def _skip_loop_filter(r: BitReader, seq: SequenceHeader) -> None:
    """``loop_filter_params()`` (§5.9.11)."""
    if r.u(12) and not seq.color.monochrome:
        r.u(12)
    r.u(3)
    if r.flag() and r.flag():
        for _ in range(10):
            if r.flag():
                r.u(7)


def _skip_restoration(r: BitReader, seq: SequenceHeader) -> None:
    """``lr_params()`` (§5.9.20)."""
    luma = r.u(2)
    chroma = 0 if seq.color.monochrome else r.u(4)
    if not (luma or chroma):
        return
    if r.flag() and not seq.use_128x128_superblock:
        r.flag()
    if chroma and seq.color.subsampling_x and seq.color.subsampling_y:
        r.flag()


def _skip_mode_allowed(seq: SequenceHeader, references: Sequence[Frame], order_hint: int) -> bool:
    """``skipModeAllowed`` (§5.9.22): references on both sides, or two distinct ones before the frame."""
    distances = {seq.relative_dist(reference.order_hint, order_hint) for reference in references}
    forward = [distance for distance in distances if distance < 0]
    return len(forward) > 1 or bool(forward and max(distances) > 0)


def _skip_global_motion(r: BitReader, high_precision_mv: int) -> None:
    """``global_motion_params()`` (§5.9.24)."""
    for _ in range(_REFS):
        if not r.flag():
            continue
        kind = _ROTZOOM if r.flag() else _TRANSLATION if r.flag() else _AFFINE
        if kind != _TRANSLATION:
            for _ in range(2 if kind == _ROTZOOM else 4):
                _skip_signed_subexp(r, 12)
        for _ in range(2):
            _skip_signed_subexp(r, 8 + high_precision_mv if kind == _TRANSLATION else 12)


def _skip_signed_subexp(r: BitReader, bits: int) -> None:
    """``decode_signed_subexp_with_ref()`` (§5.9.26) over ±2**bits: the reference does not change its length."""
    symbols = (2 << bits) + 1
    low = 0
    width = 3
    while symbols > low + (3 << width):
        if not r.flag():
            r.u(width)
            return
        low += 1 << width
        # The first two steps are of the same width.
        width += low > 8
    read_ns(r, symbols - low)


def _skip_film_grain(r: BitReader, seq: SequenceHeader, frame_type: int) -> None:
    """``film_grain_params()`` (§5.9.30)."""
    if not r.flag():
        return
    r.u(16)
    if frame_type == INTER_FRAME and not r.flag():
        r.u(3)
        return
    color = seq.color
    luma = _skip_points(r)
    from_luma = 0 if color.monochrome else r.flag()
    chroma = [0, 0]
    if not (color.monochrome or from_luma or (color.subsampling_x and color.subsampling_y and not luma)):
        chroma = [_skip_points(r), _skip_points(r)]
    r.u(2)
    lag = r.u(2)
    coefficients = 2 * lag * (lag + 1)
    if luma:
        r.u(8 * coefficients)
    for points in chroma:
        if from_luma or points:
            r.u(8 * (coefficients + bool(luma)))
    r.u(4)
    for points in chroma:
        if points:
            r.u(25)
    r.u(2)


def _skip_points(r: BitReader) -> int:
    points = r.u(4)
    if points > 14:
        raise MediaError(f"AV1 film grain: {points} points")
    r.u(16 * points)
    return points
