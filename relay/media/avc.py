"""H.264: where the slice data of a sample lies (ITU-T H.264 §7.3; ISO/IEC 14496-15 §5).

Slice headers stay clear, because decoders behind a secure path parse them in the open; finding their
end takes the parameter sets, whose fields keep their names from the standard.
"""

from dataclasses import dataclass
from functools import lru_cache

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.bits import BitReader
from relay.media.nal import header_size, length_size, nal_units, parameter_set
from relay.media.subsamples import Range, RangeMapper

_IDR, _SPS, _PPS = 5, 7, 8
_PARAMETER_SETS = (_SPS, _PPS)
_SLICES = (1, _IDR, 2)  # commonest first; 2 is data partition A
# Picture data that this module cannot find: data partitions B and C, auxiliary pictures, layers and views.
_UNPROTECTABLE = frozenset({3, 4, 19, 20, 21})

_P, _B, _I, _SP, _SI = range(5)

# Profiles whose SPS carries chroma format and scaling lists (H.264 §7.3.2.1.1).
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})

_MAX_FALLBACK_CLEAR = 256

# Lists have at most 32 entries, and fields to mark number as many; a hostile slice could go on for kilobytes.
_MAX_OPERATIONS = 80


@dataclass(frozen=True, slots=True)
class Sps:
    """The fields of a sequence parameter set that slice headers depend on (H.264 §7.3.2.1.1)."""

    id: int
    chroma_array_type: int
    separate_colour_plane: bool
    frame_num_bits: int
    poc_type: int
    poc_lsb_bits: int
    delta_pic_order_always_zero: bool
    frame_mbs_only: bool
    map_units: int


@dataclass(frozen=True, slots=True)
class Pps:
    """The fields of a picture parameter set that slice headers depend on (H.264 §7.3.2.2)."""

    id: int
    sps_id: int
    cabac: bool
    bottom_field_pic_order: bool
    slice_group_change_rate: int
    num_ref_idx_default: tuple[int, int]
    weighted_pred: bool
    weighted_bipred_idc: int
    deblocking_control: bool
    redundant_pic_cnt: bool


# Streams repeat the same parameter sets in every segment, or in every rendition's init.
@lru_cache(maxsize=256)
def parse_sps(nal: bytes) -> Sps:
    """Parse a sequence parameter set NAL unit. Raises :class:`MediaError`."""
    r = parameter_set(nal)
    r.u(8)
    profile = r.u(8)
    r.u(16)
    sps_id = _limited(r.ue(), 31, "seq_parameter_set_id")
    chroma_format = 1
    separate_colour_plane = False
    if profile in _HIGH_PROFILES:
        chroma_format = _limited(r.ue(), 3, "chroma_format_idc")
        if chroma_format == 3:
            separate_colour_plane = bool(r.flag())
        r.ue()
        r.ue()
        r.flag()
        if r.flag():
            for index in range(8 if chroma_format != 3 else 12):
                if r.flag():
                    _skip_scaling_list(r, 16 if index < 6 else 64)
    frame_num_bits = _limited(r.ue(), 12, "log2_max_frame_num_minus4") + 4
    poc_type = _limited(r.ue(), 2, "pic_order_cnt_type")
    poc_lsb_bits = 0
    delta_pic_order_always_zero = False
    if poc_type == 0:
        poc_lsb_bits = _limited(r.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4") + 4
    elif poc_type == 1:
        delta_pic_order_always_zero = bool(r.flag())
        r.se()
        r.se()
        for _ in range(_limited(r.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            r.se()
    r.ue()
    r.flag()
    width_mbs = r.ue() + 1
    height_map_units = r.ue() + 1
    frame_mbs_only = bool(r.flag())
    return Sps(
        id=sps_id,
        chroma_array_type=0 if separate_colour_plane else chroma_format,
        separate_colour_plane=separate_colour_plane,
        frame_num_bits=frame_num_bits,
        poc_type=poc_type,
        poc_lsb_bits=poc_lsb_bits,
        delta_pic_order_always_zero=delta_pic_order_always_zero,
        frame_mbs_only=frame_mbs_only,
        map_units=width_mbs * height_map_units,
    )


@lru_cache(maxsize=256)
def parse_pps(nal: bytes) -> Pps:
    """Parse a picture parameter set NAL unit. Raises :class:`MediaError`."""
    r = parameter_set(nal)
    r.u(8)
    pps_id = _limited(r.ue(), 255, "pic_parameter_set_id")
    sps_id = _limited(r.ue(), 31, "seq_parameter_set_id")
    cabac = bool(r.flag())
    bottom_field_pic_order = bool(r.flag())
    change_rate = _read_slice_groups(r)
    defaults = (r.ue() + 1, r.ue() + 1)
    weighted_pred = bool(r.flag())
    weighted_bipred_idc = r.u(2)
    r.se()
    r.se()
    r.se()
    deblocking_control = bool(r.flag())
    r.flag()
    return Pps(
        id=pps_id,
        sps_id=sps_id,
        cabac=cabac,
        bottom_field_pic_order=bottom_field_pic_order,
        slice_group_change_rate=change_rate,
        num_ref_idx_default=defaults,
        weighted_pred=weighted_pred,
        weighted_bipred_idc=weighted_bipred_idc,
        deblocking_control=deblocking_control,
        redundant_pic_cnt=bool(r.flag()),
    )


def _read_slice_groups(r: BitReader) -> int:
    """SliceGroupChangeRate, or 0 when slices do not send a change cycle."""
    groups = _limited(r.ue(), 7, "num_slice_groups_minus1")
    if not groups:
        return 0
    map_type = _limited(r.ue(), 6, "slice_group_map_type")
    if map_type == 0:
        for _ in range(groups + 1):
            r.ue()
    elif map_type == 2:
        for _ in range(2 * groups):
            r.ue()
    elif map_type in (3, 4, 5):
        r.flag()
        return r.ue() + 1
    elif map_type == 6:
        r.u(groups.bit_length() * (r.ue() + 1))
    return 0


def _skip_scaling_list(r: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + r.se()) & 0xFF
        last = following or last


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """The parameter sets in force, by ID. The dicts change as a stream sends new ones."""

    spss: dict[int, Sps]
    ppss: dict[int, Pps]

    def keep(self, nal: bytes) -> None:
        """Take in a parameter set NAL unit; others are ignored. Raises :class:`MediaError`."""
        nal_type = nal[0] & 31
        if nal_type == _SPS:
            sps = parse_sps(nal)
            self.spss[sps.id] = sps
        elif nal_type == _PPS:
            pps = parse_pps(nal)
            self.ppss[pps.id] = pps

    def copy(self) -> "ParameterSets":
        """A copy that may change without changing this one."""
        return ParameterSets(dict(self.spss), dict(self.ppss))


def _limited(value: int, limit: int, field: str) -> int:
    if value > limit:
        raise MediaError(f"H.264: {field} is {value}, over {limit}")
    return value


def _skip_slice_header(r: BitReader, sets: ParameterSets) -> None:
    """Read one ``slice_header()`` (H.264 §7.3.3), the NAL header before it included."""
    ue, flag = r.ue, r.flag
    nal_header = r.u(8)
    nal_type = nal_header & 31
    ue()
    slice_type = ue()
    if slice_type > 9:
        raise MediaError(f"H.264 slice: slice_type is {slice_type}")
    slice_type %= 5
    pps_id = ue()
    pps = sets.ppss.get(pps_id)
    sps = sets.spss.get(pps.sps_id) if pps else None
    if not pps or not sps:
        raise MediaError(f"H.264 slice: no parameter sets for pic_parameter_set_id {pps_id}")
    if sps.separate_colour_plane:
        r.u(2)
    r.u(sps.frame_num_bits)
    field_pic = 0
    if not sps.frame_mbs_only:
        field_pic = flag()
        if field_pic:
            flag()
    if nal_type == _IDR:
        ue()
    if sps.poc_type == 0:
        r.u(sps.poc_lsb_bits)
        if pps.bottom_field_pic_order and not field_pic:
            ue()
    elif sps.poc_type == 1 and not sps.delta_pic_order_always_zero:
        ue()
        if pps.bottom_field_pic_order and not field_pic:
            ue()
    if pps.redundant_pic_cnt:
        ue()
    if slice_type == _B:
        flag()
    if slice_type not in (_I, _SI):
        lists = 2 if slice_type == _B else 1
        num_ref_idx = pps.num_ref_idx_default
        if flag():
            num_ref_idx = (ue() + 1, ue() + 1 if lists == 2 else 0)
        for _ in range(lists):
            if flag():
                _skip_list_modification(r)
        if (pps.weighted_bipred_idc == 1) if slice_type == _B else pps.weighted_pred:
            _skip_pred_weight_table(r, sps, num_ref_idx[:lists])
    if nal_header & 0x60:
        _skip_ref_pic_marking(r, nal_type)
    if slice_type not in (_I, _SI) and pps.cabac:
        ue()
    ue()
    if slice_type in (_SP, _SI):
        if slice_type == _SP:
            flag()
        ue()
    if pps.deblocking_control and ue() != 1:
        ue()
        ue()
    if pps.slice_group_change_rate:
        cycles = -(-sps.map_units // pps.slice_group_change_rate)
        r.u(cycles.bit_length())


def _skip_list_modification(r: BitReader) -> None:
    """The operations of ``ref_pic_list_modification()`` (H.264 §7.3.3.1), up to the one that ends them."""
    for _ in range(_MAX_OPERATIONS):
        if r.ue() == 3:
            return
        r.ue()
    raise MediaError("H.264 slice: too many reference list modifications")


def _skip_pred_weight_table(r: BitReader, sps: Sps, num_ref_idx: tuple[int, ...]) -> None:
    """``pred_weight_table()`` (H.264 §7.3.3.2)."""
    chroma = sps.chroma_array_type != 0
    r.ue()
    if chroma:
        r.ue()
    for count in num_ref_idx:
        for _ in range(_limited(count, 32, "num_ref_idx_active")):
            if r.flag():
                r.ue()
                r.ue()
            if chroma and r.flag():
                for _ in range(4):
                    r.ue()


def _skip_ref_pic_marking(r: BitReader, nal_type: int) -> None:
    """``dec_ref_pic_marking()`` (H.264 §7.3.3.3)."""
    if nal_type == _IDR:
        r.u(2)
    elif r.flag():
        for _ in range(_MAX_OPERATIONS):
            operation = r.ue()
            if operation == 0:
                return
            if operation != 5:
                r.ue()
            if operation == 3:
                r.ue()
        raise MediaError("H.264 slice: too many reference marking operations")


@dataclass(frozen=True, slots=True)
class AvcCodec:
    """An H.264 track: its NAL length size and the parameter sets of its ``avcC``."""

    length_size: int
    sets: ParameterSets

    @classmethod
    def parse(cls, config: bytes) -> "AvcCodec":
        """Read an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1). Raises :class:`MediaError`."""
        if len(config) < 7 or config[0] != 1:
            raise MediaError("avcC: not a version 1 configuration record")
        size = length_size(config[4], "avcC")
        sps_nals, at = _config_nals(config, 6, config[5] & 31)
        if at >= len(config):
            raise MediaError("avcC: ends before its picture parameter sets")
        pps_nals, _ = _config_nals(config, at + 1, config[at])
        sets = ParameterSets({}, {})
        for nal in sps_nals + pps_nals:
            sets.keep(nal)
        return cls(size, sets)

    def mapper(self, scheme: Scheme) -> RangeMapper:
        """See :meth:`relay.media.subsamples.VideoCodec.mapper`."""
        finder = _SliceFinder(self, tolerant=scheme is Scheme.CENC)
        return RangeMapper(finder, scheme, aligned=scheme is Scheme.CENC)


def _config_nals(config: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    nals = []
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(config[at:start], "big")
        if at > len(config) or at == start:
            raise MediaError("avcC: a parameter set is empty or truncated")
        nals.append(config[start:at])
    return nals, at


class _SliceFinder:
    """Finds slice data, and follows parameter sets sent in the samples themselves (``avc3``).

    ``tolerant``: where a slice header cannot be read, take it to be at most 256 bytes. More of the slice
    stays clear than need be, which ``cenc`` allows; ``cbcs`` asks for its exact end.
    """

    __slots__ = ("_length_size", "_sets", "_tolerant")

    def __init__(self, codec: AvcCodec, *, tolerant: bool) -> None:
        self._length_size = codec.length_size
        self._sets = codec.sets.copy()
        self._tolerant = tolerant

    def find(self, sample: memoryview) -> list[Range]:
        """See :meth:`relay.media.subsamples.RangeFinder.find`."""
        ranges = []
        for start, end in nal_units(sample, self._length_size):
            nal_type = sample[start] & 31
            if nal_type in _SLICES:
                ranges.append((start + self._clear_size(sample[start:end]), end))
            elif nal_type in _PARAMETER_SETS:
                self._sets.keep(bytes(sample[start:end]))
            elif nal_type in _UNPROTECTABLE:
                raise UnsupportedMediaError(f"H.264: picture data in NAL units of type {nal_type}")
        return ranges

    def _clear_size(self, nal: memoryview) -> int:
        try:
            return header_size(nal, _skip_slice_header, self._sets)
        except MediaError:
            if not self._tolerant:
                raise
            return min(len(nal), _MAX_FALLBACK_CLEAR)
