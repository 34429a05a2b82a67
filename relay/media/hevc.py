"""HEVC: where the slice data of a sample lies (ITU-T H.265 §7.3.6; ISO/IEC 14496-15 §8).

Like H.264, with one difference that shows: a header ends with ``byte_alignment()``, a one bit and zeros,
so there is always at least one bit after the last field.
"""

from dataclasses import dataclass

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.bits import BitReader
from relay.media.hevc_sets import PPS, SPS, ParameterSets, Pps, Sps, limited, read_ref_pic_set
from relay.media.nal import header_size, length_size, nal_units
from relay.media.subsamples import Range, RangeMapper

_BLA_FIRST, _IDR_FIRST, _IDR_LAST, _CRA, _IRAP_LAST = 16, 19, 20, 21, 23
_VCL_LAST = 31
_TRAIL_LAST_KNOWN = 9  # RASL_R; up to 15 and from 22 on the types are reserved

_B, _P = 0, 1

_MAX_CONFIG_ARRAYS = 64


def _skip_slice_header(r: BitReader, sets: ParameterSets) -> None:
    """Read one ``slice_segment_header()`` (§7.3.6.1), the NAL header before it included."""
    nal_type = r.u(16) >> 9
    first = r.flag()
    if _BLA_FIRST <= nal_type <= _IRAP_LAST:
        r.flag()
    pps_id = r.ue()
    pps = sets.ppss.get(pps_id)
    sps = sets.spss.get(pps.sps_id) if pps else None
    if not pps or not sps:
        raise MediaError(f"HEVC slice: no parameter sets for slice_pic_parameter_set_id {pps_id}")
    dependent = 0
    if not first:
        if pps.dependent_slices:
            dependent = r.flag()
        r.u(sps.address_bits)
    if not dependent:
        _skip_independent_fields(r, sps, pps, idr=_IDR_FIRST <= nal_type <= _IDR_LAST)
    if pps.entry_points and (count := r.ue()):
        bits = limited(r.ue(), 31, "offset_len_minus1") + 1
        r.u(bits * limited(count, 0xFFFF, "num_entry_point_offsets"))
    if pps.header_extension:
        r.u(8 * limited(r.ue(), 256, "slice_segment_header_extension_length"))
    r.flag()


def _skip_independent_fields(r: BitReader, sps: Sps, pps: Pps, *, idr: bool) -> None:
    """What a dependent slice segment takes over from the slice before it."""
    r.u(pps.extra_header_bits)
    slice_type = limited(r.ue(), 2, "slice_type")
    if pps.output_flag:
        r.flag()
    if sps.separate_colour_plane:
        r.u(2)
    references = 0
    temporal_mvp = 0
    if not idr:
        r.u(sps.poc_lsb_bits)
        references = _read_references(r, sps)
        if sps.temporal_mvp:
            temporal_mvp = r.flag()
    sao = 0
    if sps.sao:
        sao = r.flag()
        if sps.chroma_array_type:
            sao |= r.flag()
    if slice_type in (_P, _B):
        lists = 2 if slice_type == _B else 1
        _skip_prediction(r, sps, pps, lists, references, temporal_mvp)
    r.ue()
    if pps.slice_chroma_qp_offsets:
        r.ue()
        r.ue()
    if pps.chroma_qp_offset_list:
        r.flag()
    deblocking_disabled: int = pps.deblocking_disabled
    if pps.deblocking_override and r.flag():
        deblocking_disabled = r.flag()
        if not deblocking_disabled:
            r.ue()
            r.ue()
    if pps.loop_filter_across_slices and (sao or not deblocking_disabled):
        r.flag()


def _read_references(r: BitReader, sps: Sps) -> int:
    """NumPicTotalCurr (equation 7-55): how many reference pictures the slice may choose from."""
    sets = sps.short_term_sets
    if not r.flag():
        used = read_ref_pic_set(r, sets, len(sets)).used
    elif not sets:
        raise MediaError("HEVC slice: refers to a reference picture set the SPS does not have")
    else:
        index = r.u((len(sets) - 1).bit_length())
        used = sets[limited(index, len(sets) - 1, "short_term_ref_pic_set_idx")].used
    if sps.long_term_present:
        candidates = sps.long_term_used
        from_sps = r.ue() if candidates else 0
        for index in range(limited(from_sps + r.ue(), 33, "number of long-term pictures")):
            if index < from_sps:
                choice = r.u((len(candidates) - 1).bit_length())
                used += candidates[limited(choice, len(candidates) - 1, "lt_idx_sps")]
            else:
                r.u(sps.poc_lsb_bits)
                used += r.flag()
            if r.flag():
                r.ue()
    return used


def _skip_prediction(r: BitReader, sps: Sps, pps: Pps, lists: int, references: int, temporal_mvp: int) -> None:
    """What P and B slices add."""
    num_ref_idx = pps.num_ref_idx_default
    if r.flag():
        num_ref_idx = (r.ue() + 1, r.ue() + 1 if lists == 2 else 0)
    limited(max(num_ref_idx), 15, "num_ref_idx_active")
    if pps.lists_modification and references > 1:
        bits = (references - 1).bit_length()
        for count in num_ref_idx[:lists]:
            if r.flag():
                r.u(bits * count)
    if lists == 2:
        r.flag()
    if pps.cabac_init:
        r.flag()
    if temporal_mvp:
        collocated_list = 0 if lists == 1 or r.flag() else 1
        if num_ref_idx[collocated_list] > 1:
            r.ue()
    if pps.weighted_bipred if lists == 2 else pps.weighted_pred:
        _skip_pred_weight_table(r, sps, num_ref_idx[:lists])
    r.ue()


def _skip_pred_weight_table(r: BitReader, sps: Sps, num_ref_idx: tuple[int, ...]) -> None:
    """``pred_weight_table()`` (§7.3.6.3): all flags of a list come before its weights."""
    r.ue()
    if sps.chroma_array_type:
        r.ue()
    for count in num_ref_idx:
        luma = r.u(count).bit_count()
        chroma = r.u(count).bit_count() if sps.chroma_array_type else 0
        for _ in range(2 * luma + 4 * chroma):
            r.ue()


@dataclass(frozen=True, slots=True)
class HevcCodec:
    """An HEVC track: its NAL length size and the parameter sets of its ``hvcC``."""

    length_size: int
    sets: ParameterSets

    @classmethod
    def parse(cls, config: bytes) -> "HevcCodec":
        """Read an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1). Raises :class:`MediaError`."""
        if len(config) < 23 or config[0] != 1:
            raise MediaError("hvcC: not a version 1 configuration record")
        size = length_size(config[21], "hvcC")
        sets = ParameterSets({}, {})
        for nal in _config_nals(config):
            sets.keep(nal)
        return cls(size, sets)

    def mapper(self, scheme: Scheme) -> RangeMapper:
        """See :meth:`relay.media.subsamples.VideoCodec.mapper`."""
        return RangeMapper(_SliceFinder(self), scheme, aligned=scheme is Scheme.CENC)


def _config_nals(config: bytes) -> list[bytes]:
    nals = []
    at = 23
    for _ in range(limited(config[22], _MAX_CONFIG_ARRAYS, "numOfArrays")):
        count = int.from_bytes(config[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            start = at + 2
            at = start + int.from_bytes(config[at:start], "big")
            if at > len(config) or at < start + 2:
                raise MediaError("hvcC: a parameter set is truncated")
            nals.append(config[start:at])
    if at > len(config):
        raise MediaError("hvcC: truncated")
    return nals


class _SliceFinder:
    """Finds slice data, and follows parameter sets sent in the samples themselves (``hev1``).

    A slice header that cannot be read is an error in both schemes: with tiles or wavefronts it may be
    long, so no fixed number of clear bytes would be sure to hold it.
    """

    __slots__ = ("_length_size", "_sets")

    def __init__(self, codec: HevcCodec) -> None:
        self._length_size = codec.length_size
        self._sets = codec.sets.copy()

    def find(self, sample: memoryview) -> list[Range]:
        """See :meth:`relay.media.subsamples.RangeFinder.find`."""
        ranges = []
        for start, end in nal_units(sample, self._length_size):
            if end - start < 2:
                raise MediaError("HEVC: NAL unit of one byte")
            nal_type = sample[start] >> 1 & 63
            if nal_type <= _VCL_LAST:
                if _TRAIL_LAST_KNOWN < nal_type < _BLA_FIRST or nal_type > _CRA:
                    raise UnsupportedMediaError(f"HEVC: picture data in NAL units of reserved type {nal_type}")
                if sample[start] & 1 or sample[start + 1] >> 3:
                    raise UnsupportedMediaError("HEVC: more than one layer")
                ranges.append((start + header_size(sample[start:end], _skip_slice_header, self._sets), end))
            elif nal_type in (SPS, PPS):
                self._sets.keep(bytes(sample[start:end]))
        return ranges
