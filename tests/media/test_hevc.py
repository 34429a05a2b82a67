import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.bits import BitReader
from relay.media.hevc import HevcCodec
from relay.media.hevc_sets import RefPicSet, parse_pps, parse_sps, read_ref_pic_set
from tests.media.bits_for_tests import Bits, nal_sample

DATA = bytes(range(1, 101))
IDR, TRAIL = b"\x26\x01", b"\x02\x01"


def sps(profile: int = 1, tail: str = "") -> bytes:
    """64x64 in CTBs of 16: addresses of 4 bits; POC of 8 bits; two reference picture sets, two long-term pictures."""
    bits = Bits().u(4, 0).u(3, 1).flags("1").u(3, 0).u(5, profile).u(88, 0).flags("11").u(14, 0).u(88, 0).u(8, 0)
    bits.ue(0, 1, 64, 64).flags("0").ue(0, 0, 4).flags("0").ue(1, 1, 1).ue(0, 1, 0, 1, 0, 0)
    bits.flags("0").flags("0").flags("1").flags("0")
    bits.ue(2).ue(2, 0, 0).flags("1").ue(1).flags("1")  # set 0: -1, -3
    bits.flags("1").flags("0").ue(0).flags("1").flags("1").flags("0").flags("1")  # set 1 from it, moved by 1
    bits.flags("1").ue(2).u(8, 9).flags("1").u(8, 7).flags("0")
    return b"\x42\x01" + bits.flags("1").flags("1").flags(tail).bytes()


def pps(extension: str = "") -> bytes:
    """Everything on that adds fields to slices."""
    bits = Bits().ue(0, 0).flags("11").u(3, 2).flags("0").flags("1").ue(0, 0).se(0).flags("0").flags("1").flags("0")
    bits.se(0, 0).flags("1").flags("1").flags("1").flags("0").flags("1").flags("1")
    bits.ue(1, 1).flags("0").ue(1, 1).flags("1").flags("1").flags("1").flags("1").flags("0").se(0, 0)
    bits.flags("0").flags("1").ue(0).flags("1")
    return b"\x44\x01" + bits.flags("1" + extension if extension else "0").flags("1").bytes()


def codec(*nals: bytes) -> HevcCodec:
    arrays = b"".join(b"\xa1\x00\x01" + len(nal).to_bytes(2, "big") + nal for nal in nals)
    return HevcCodec.parse(b"\x01" + bytes(20) + b"\x03" + bytes([len(nals)]) + arrays)


def header_bytes(track: HevcCodec, nal_header: bytes, fields: Bits) -> int:
    nal = nal_header + Bits().flags(fields.text + "1").flags("0" * (-(len(fields.text) + 1) % 8)).bytes() + DATA
    ((clear, protected),) = track.mapper(Scheme.CBCS).map(nal_sample(nal))
    assert protected == len(DATA)
    return clear - 4


def test_reference_picture_sets_are_derived() -> None:
    sets = parse_sps(sps()).short_term_sets
    assert sets[0] == RefPicSet((-1, -3), 2)
    # -1+1 is the picture itself and left out; -3+1 is used; the picture of the first set is kept, but not used.
    assert sets[1] == RefPicSet((-2, 1), 1)


def test_a_kept_picture_that_is_not_used_counts_in_the_deltas_only() -> None:
    reader = BitReader(Bits().flags("1").flags("0").ue(4).flags("1").flags("01").flags("00").bytes())
    assert read_ref_pic_set(reader, [RefPicSet((-1, -3), 2)], 2) == RefPicSet((2, 4), 1)


@pytest.mark.parametrize("field", range(4))
def test_every_optional_field_of_a_b_slice(field: int) -> None:
    fields = Bits().flags("1").ue(0).u(2, 0).ue(0).flags("1").u(8, 3)
    references = 0
    if field % 2:
        fields.flags("1").u(1, 0)  # a set of the SPS: two pictures
        references = 2
    else:
        fields.flags("0").flags("0").ue(1, 0, 0).flags("1")  # its own: one picture
        references = 1
    fields.ue(1, 1).u(1, 0).flags("1").ue(3).u(8, 2).flags("1").flags("0")  # two long-term pictures, both used
    references += 2
    fields.flags("1").flags("1").flags("1")
    fields.flags("1").ue(1, 2)  # two and three references
    bits = (references - 1).bit_length()
    fields.flags("1").u(2 * bits, 1).flags("1").u(3 * bits, 2)
    fields.flags("0").flags("1")
    fields.flags("0").ue(2) if field > 1 else fields.flags("1").ue(1)
    fields.ue(0).se(0).flags("10").flags("01").se(1, 1).se(1, 1, 1, 1)
    fields.flags("000").flags("100").se(-1, 2, -2, 1)
    fields.ue(2).se(-5).se(1, 1).flags("1").flags("0").se(1, 1).flags("1")
    fields.ue(3, 8).u(27, 77).ue(2).u(16, 500)
    assert header_bytes(codec(sps(), pps()), TRAIL, fields) == 2 + -(-(len(fields.text) + 1) // 8)


def test_a_dependent_slice_has_few_fields() -> None:
    fields = Bits().flags("0").flags("0").ue(0).flags("1").u(4, 9).ue(0, 1).u(8, 3)
    assert header_bytes(codec(sps(), pps()), IDR, fields) == 2 + -(-(len(fields.text) + 1) // 8)


def test_the_range_extension_adds_a_flag() -> None:
    assert parse_pps(pps(extension="1000" + "0000" + "01")).chroma_qp_offset_list
    assert not parse_pps(pps()).chroma_qp_offset_list


def test_a_header_of_whole_bytes_still_has_a_byte_of_alignment() -> None:
    bits = (
        Bits().ue(0, 0).flags("00").u(3, 1).flags("00").ue(0, 0).se(0).flags("000").se(0, 0).flags("0000000000").ue(0)
    )
    plain = b"\x44\x01" + bits.flags("00").flags("1").bytes()
    lengths = set()
    for qp_delta in range(-26, 26):
        fields = Bits().flags("1").flags("0").ue(0).u(1, 0).ue(2).flags("11").se(qp_delta)
        lengths.add(len(fields.text))
        assert header_bytes(codec(sps(), plain), IDR, fields) == 2 + len(fields.text) // 8 + 1
    assert 16 in lengths


@pytest.mark.parametrize(
    ("nal", "message"),
    [
        (b"\x26\x09" + DATA, "layer"),
        (b"\x27\x01" + DATA, "layer"),
        (b"\x14\x01" + DATA, "reserved type 10"),
        (b"\x2c\x01" + DATA, "reserved type 22"),
        (b"\x3e\x01" + DATA, "reserved type 31"),
        (sps(profile=9), "screen content"),
        (pps(extension="0001" + "0000"), "screen content"),
    ],
)
def test_what_cannot_be_protected_is_refused(nal: bytes, message: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=message):
        codec(sps(), pps()).mapper(Scheme.CENC).map(nal_sample(nal))


@pytest.mark.parametrize("scheme", [Scheme.CENC, Scheme.CBCS])
def test_an_unreadable_slice_header_is_refused(scheme: Scheme) -> None:
    mapper = codec(sps(), pps()).mapper(scheme)
    for nal, message in [
        (IDR + Bits().flags("10").ue(5).bytes() + DATA, "slice_pic_parameter_set_id 5"),
        (IDR + Bits().flags("10").ue(0).u(2, 0).ue(3).bytes() + DATA, "slice_type is 3"),
        (b"\x26", "one byte"),
        (IDR, "runs past"),
    ]:
        with pytest.raises(MediaError, match=message):
            mapper.map(nal_sample(nal))


def test_parameter_sets_of_other_layers_are_ignored() -> None:
    track = codec(sps(), pps())
    layered = bytearray(sps(profile=9))
    layered[1] = 0x09
    assert track.mapper(Scheme.CENC).map(nal_sample(bytes(layered))) == [(4 + len(layered), 0)]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (bytes(23), "version 1"),
        (b"\x01" + bytes(20) + b"\x02\x00", "length size is 3"),
        (b"\x01" + bytes(20) + b"\x03\x41", "numOfArrays"),
        (b"\x01" + bytes(20) + b"\x03\x01", "truncated"),
        (b"\x01" + bytes(20) + b"\x03\x01\xa1\x00\x01\x00\x09\x42", "truncated"),
        (b"\x01" + bytes(20) + b"\x03\x01\xa1\x00\x01\x00\x01\x42", "truncated"),
    ],
)
def test_bad_configurations_are_refused(config: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        HevcCodec.parse(config)


@given(st.sampled_from([parse_sps, parse_pps]), st.binary(max_size=90))
def test_any_parameter_set_is_read_or_refused(parse: object, nal: bytes) -> None:
    assert callable(parse)
    try:
        parse(nal)
    except MediaError:
        return
