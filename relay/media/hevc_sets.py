"""HEVC parameter sets: what slice segment headers depend on (ITU-T H.265 §7.3.2, §7.3.7).

Fields keep their names from the standard. What follows the last needed field is not read.
"""

from dataclasses import dataclass
from functools import lru_cache

from relay.errors import MediaError, UnsupportedMediaError
from relay.media.bits import BitReader
from relay.media.nal import parameter_set

SPS, PPS = 33, 34
"""NAL unit types (§7.4.2.2)."""

_SCC_PROFILES = frozenset({9, 11})
_MAX_SHORT_TERM_SETS = 64
_MAX_DELTA_POCS = 16


@dataclass(frozen=True, slots=True)
class RefPicSet:
    """A short-term reference picture set (§7.4.8): its pictures' POC distances, in coding order.

    ``used`` counts those that the current picture itself may refer to.
    """

    deltas: tuple[int, ...]
    used: int


@dataclass(frozen=True, slots=True)
class Sps:
    """The fields of a sequence parameter set that slice segment headers depend on (§7.3.2.2)."""

    id: int
    chroma_array_type: int
    separate_colour_plane: bool
    address_bits: int
    poc_lsb_bits: int
    sao: bool
    short_term_sets: tuple[RefPicSet, ...]
    long_term_present: bool
    long_term_used: tuple[int, ...]
    temporal_mvp: bool


@dataclass(frozen=True, slots=True)
class Pps:
    """The fields of a picture parameter set that slice segment headers depend on (§7.3.2.3)."""

    id: int
    sps_id: int
    dependent_slices: bool
    output_flag: bool
    extra_header_bits: int
    cabac_init: bool
    num_ref_idx_default: tuple[int, int]
    slice_chroma_qp_offsets: bool
    weighted_pred: bool
    weighted_bipred: bool
    entry_points: bool
    loop_filter_across_slices: bool
    deblocking_override: bool
    deblocking_disabled: bool
    lists_modification: bool
    header_extension: bool
    chroma_qp_offset_list: bool


def limited(value: int, limit: int, field: str) -> int:
    """``value``, unless it is over a limit of the standard: :class:`MediaError` naming the field."""
    if value > limit:
        raise MediaError(f"HEVC: {field} is {value}, over {limit}")
    return value


# Streams repeat the same parameter sets in every segment, or in every rendition's init.
@lru_cache(maxsize=256)
def parse_sps(nal: bytes) -> Sps:
    """Parse a sequence parameter set NAL unit. Raises :class:`MediaError`."""
    r = parameter_set(nal)
    r.u(16 + 4)
    sub_layers = r.u(3)
    r.flag()
    _skip_profile_tier_level(r, sub_layers)
    sps_id = limited(r.ue(), 15, "sps_seq_parameter_set_id")
    chroma_format = limited(r.ue(), 3, "chroma_format_idc")
    separate_colour_plane = chroma_format == 3 and bool(r.flag())
    width, height = r.ue(), r.ue()
    if r.flag():
        for _ in range(4):
            r.ue()
    r.ue()
    r.ue()
    poc_lsb_bits = limited(r.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4") + 4
    for _ in range(sub_layers + 1 if r.flag() else 1):
        for _ in range(3):
            r.ue()
    ctb_log2 = r.ue() + 3 + r.ue()
    limited(ctb_log2, 6, "CtbLog2SizeY")
    for _ in range(4):
        r.ue()
    if r.flag() and r.flag():
        _skip_scaling_lists(r)
    r.flag()
    sao = bool(r.flag())
    if r.flag():
        r.u(8)
        r.ue()
        r.ue()
        r.flag()
    sets: list[RefPicSet] = []
    count = limited(r.ue(), _MAX_SHORT_TERM_SETS, "num_short_term_ref_pic_sets")
    for _ in range(count):
        sets.append(read_ref_pic_set(r, sets, count))
    long_term_used = []
    long_term_present = bool(r.flag())
    if long_term_present:
        for _ in range(limited(r.ue(), 32, "num_long_term_ref_pics_sps")):
            r.u(poc_lsb_bits)
            long_term_used.append(r.flag())
    ctb_mask = (1 << ctb_log2) - 1
    ctbs = ((width + ctb_mask) >> ctb_log2) * ((height + ctb_mask) >> ctb_log2)
    if not ctbs:
        raise MediaError("HEVC: picture size is 0")
    return Sps(
        id=sps_id,
        chroma_array_type=0 if separate_colour_plane else chroma_format,
        separate_colour_plane=separate_colour_plane,
        address_bits=limited((ctbs - 1).bit_length(), 32, "bits of slice_segment_address"),
        poc_lsb_bits=poc_lsb_bits,
        sao=sao,
        short_term_sets=tuple(sets),
        long_term_present=long_term_present,
        long_term_used=tuple(long_term_used),
        temporal_mvp=bool(r.flag()),
    )


def read_ref_pic_set(r: BitReader, sets: list[RefPicSet] | tuple[RefPicSet, ...], count: int) -> RefPicSet:
    """Read ``st_ref_pic_set()`` number ``len(sets)`` of an SPS with ``count``, or of a slice after all (§7.3.7)."""
    if sets and r.flag():
        back = 1
        if len(sets) == count:
            back += limited(r.ue(), count - 1, "delta_idx_minus1")
        negative = r.flag()
        shift = limited(r.ue(), 0x7FFF, "abs_delta_rps_minus1") + 1
        if negative:
            shift = -shift
        deltas = []
        used = 0
        for delta in (*sets[-back].deltas, 0):
            is_used = r.flag()
            if (is_used or r.flag()) and delta + shift:
                deltas.append(delta + shift)
                used += is_used
        # §7.4.8 orders both halves by distance, past before future (equations 7-61 and 7-62).
        deltas.sort(key=lambda delta: (delta > 0, abs(delta)))
        limited(len(deltas), _MAX_DELTA_POCS, "NumDeltaPocs")
        return RefPicSet(tuple(deltas), used)
    past, future = r.ue(), r.ue()
    limited(past, _MAX_DELTA_POCS, "num_negative_pics")
    limited(past + future, _MAX_DELTA_POCS, "NumDeltaPocs")
    deltas = []
    used = 0
    for step, pictures in ((-1, past), (1, future)):
        delta = 0
        for _ in range(pictures):
            delta += step * (r.ue() + 1)
            deltas.append(delta)
            used += r.flag()
    return RefPicSet(tuple(deltas), used)


@lru_cache(maxsize=256)
def parse_pps(nal: bytes) -> Pps:
    """Parse a picture parameter set NAL unit. Raises :class:`MediaError`."""
    r = parameter_set(nal)
    r.u(16)
    pps_id = limited(r.ue(), 63, "pps_pic_parameter_set_id")
    sps_id = limited(r.ue(), 15, "pps_seq_parameter_set_id")
    dependent_slices = bool(r.flag())
    output_flag = bool(r.flag())
    extra_header_bits = r.u(3)
    r.flag()
    cabac_init = bool(r.flag())
    defaults = (r.ue() + 1, r.ue() + 1)
    r.ue()
    r.flag()
    transform_skip = r.flag()
    if r.flag():
        r.ue()
    r.ue()
    r.ue()
    slice_chroma_qp_offsets = bool(r.flag())
    weighted_pred = bool(r.flag())
    weighted_bipred = bool(r.flag())
    r.flag()
    tiles = r.flag()
    wavefronts = r.flag()
    if tiles:
        columns = limited(r.ue(), 255, "num_tile_columns_minus1")
        rows = limited(r.ue(), 255, "num_tile_rows_minus1")
        if not r.flag():
            for _ in range(columns + rows):
                r.ue()
        r.flag()
    loop_filter_across_slices = bool(r.flag())
    deblocking_override = deblocking_disabled = False
    if r.flag():
        deblocking_override = bool(r.flag())
        deblocking_disabled = bool(r.flag())
        if not deblocking_disabled:
            r.ue()
            r.ue()
    if r.flag():
        _skip_scaling_lists(r)
    lists_modification = bool(r.flag())
    r.ue()
    header_extension = bool(r.flag())
    chroma_qp_offset_list = bool(r.flag()) and _read_extensions(r, transform_skip)
    return Pps(
        id=pps_id,
        sps_id=sps_id,
        dependent_slices=dependent_slices,
        output_flag=output_flag,
        extra_header_bits=extra_header_bits,
        cabac_init=cabac_init,
        num_ref_idx_default=defaults,
        slice_chroma_qp_offsets=slice_chroma_qp_offsets,
        weighted_pred=weighted_pred,
        weighted_bipred=weighted_bipred,
        entry_points=bool(tiles or wavefronts),
        loop_filter_across_slices=loop_filter_across_slices,
        deblocking_override=deblocking_override,
        deblocking_disabled=deblocking_disabled,
        lists_modification=lists_modification,
        header_extension=header_extension,
        chroma_qp_offset_list=chroma_qp_offset_list,
    )


def _read_extensions(r: BitReader, transform_skip: int) -> bool:
    """``chroma_qp_offset_list_enabled_flag`` of the range extension (§7.3.2.3.2)."""
    range_extension, multilayer, three_d, screen_content = r.flag(), r.flag(), r.flag(), r.flag()
    r.u(4)
    if multilayer or three_d or screen_content:
        raise UnsupportedMediaError("HEVC: PPS of a multilayer, 3D or screen content profile")
    if not range_extension:
        return False
    if transform_skip:
        r.ue()
    r.flag()
    return bool(r.flag())


def _skip_profile_tier_level(r: BitReader, sub_layers: int) -> None:
    """``profile_tier_level(1, sub_layers)`` (§7.3.3)."""
    r.u(3)
    profile = r.u(5)
    if profile in _SCC_PROFILES:
        raise UnsupportedMediaError(f"HEVC: screen content profile {profile}")
    r.u(88)
    present = [(r.flag(), r.flag()) for _ in range(sub_layers)]
    if sub_layers:
        r.u(2 * (8 - sub_layers))
    for profile_present, level_present in present:
        r.u(88 * profile_present + 8 * level_present)


def _skip_scaling_lists(r: BitReader) -> None:
    """``scaling_list_data()`` (§7.3.4)."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not r.flag():
                r.ue()
                continue
            if size > 1:
                r.se()
            for _ in range(min(64, 16 << (2 * size))):
                r.se()


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """The parameter sets in force, by ID. The dicts change as a stream sends new ones."""

    spss: dict[int, Sps]
    ppss: dict[int, Pps]

    def keep(self, nal: bytes) -> None:
        """Take in a parameter set NAL unit of the base layer; others are ignored. Raises :class:`MediaError`."""
        nal_type = nal[0] >> 1 & 63
        if nal[0] & 1 or nal[1] >> 3:
            return
        if nal_type == SPS:
            sps = parse_sps(nal)
            self.spss[sps.id] = sps
        elif nal_type == PPS:
            pps = parse_pps(nal)
            self.ppss[pps.id] = pps

    def copy(self) -> "ParameterSets":
        """A copy that may change without changing this one."""
        return ParameterSets(dict(self.spss), dict(self.ppss))
