import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import MediaError, UnsupportedMediaError
from relay.media.avc import AvcCodec, parse_pps, parse_sps
from tests.media.bits_for_tests import Bits, nal_sample
from tests.media.boxes_for_tests import fragments, sample_entry

VECTORS = Path(__file__).parents[1] / "vectors"
DATA = bytes(range(1, 101))

# Baseline: frame numbers and POC of 4 bits, 4x3 macroblocks, frames only.
SPS = b"\x67\x42\x00\x1e" + Bits().ue(0, 0, 0, 0, 1).flags("0").ue(3, 2).flags("1100").flags("1").bytes()
PPS = b"\x68" + Bits().ue(0, 0).flags("00").ue(0, 0, 0).flags("0").u(2, 0).se(0, 0, 0).flags("000").flags("1").bytes()
IDR = Bits().ue(0, 7, 0).u(4, 0).ue(0).u(4, 0).flags("00").se(0)


def codec(sps: bytes = SPS, pps: bytes = PPS) -> AvcCodec:
    config = b"\x01\x42\x00\x1e\xff\xe1" + len(sps).to_bytes(2, "big") + sps
    return AvcCodec.parse(config + b"\x01" + len(pps).to_bytes(2, "big") + pps)


def header_bytes(track: AvcCodec, nal_header: int, fields: Bits) -> int:
    """The clear bytes of a slice with these header fields, without the length field."""
    nal = bytes([nal_header]) + fields.bytes() + DATA
    ((clear, protected),) = track.mapper(Scheme.CBCS).map(nal_sample(nal))
    assert clear + protected == 4 + len(nal)
    return clear - 4


@pytest.mark.parametrize("variant", ["cenc", "cbcs", "cenc-rotating", "cbcs-rotating"])
def test_the_vectors_lists_are_reproduced(variant: str) -> None:
    expected = json.loads((VECTORS / "vectors.json").read_text())["variants"][variant]
    original_format, children = sample_entry((VECTORS / "clear/v_init.mp4").read_bytes())
    assert original_format == b"avc1"
    segment = expected["tracks"]["v"]["segments"][0]
    clear = (VECTORS / "clear" / Path(segment["file"]).name).read_bytes()

    mapper = AvcCodec.parse(children[b"avcC"]).mapper(Scheme(expected["scheme"]))
    lists = [mapper.map(memoryview(s.data)) for fragment in fragments(clear) for s in fragment.samples]

    assert lists == [[tuple(pair) for pair in sample["subsamples"]] for sample in segment["senc"]]


def test_the_smallest_header() -> None:
    assert header_bytes(codec(), 0x65, IDR) == 1 + -(-len(IDR.text) // 8)


P_SLICE = Bits().ue(0, 0, 0).u(4, 1).u(4, 2).flags("0").flags("0").flags("0").se(1)
LISTS = Bits().ue(0, 6, 0).u(4, 1).u(4, 2).flags("1").flags("1").ue(2, 1)
LISTS.flags("1").ue(0, 5, 2, 9, 3).flags("1").ue(1, 70, 3)
LISTS.flags("1").ue(1, 3, 2, 4, 3, 5, 6, 4, 1, 5, 6, 0, 0).se(-9)


@pytest.mark.parametrize("fields", [P_SLICE, LISTS])
def test_reference_lists_and_their_marking(fields: Bits) -> None:
    assert header_bytes(codec(), 0x61, fields) == 1 + -(-len(fields.text) // 8)


def test_every_optional_field() -> None:
    sps = (
        b"\x67\xf4\x00\x1e"
        + (Bits().ue(0, 3).flags("1").ue(0, 0).flags("0").flags("1").flags("1").se(-8).flags("0" * 11))
        .ue(5, 1)
        .flags("0")
        .se(0, 0)
        .ue(2)
        .se(1, -1)
        .ue(1)
        .flags("0")
        .ue(3, 2)
        .flags("0100")
        .bytes()
    )
    pps = (
        b"\x68"
        + (
            Bits().ue(9, 0).flags("11").ue(1, 3).flags("1").ue(1).ue(1, 1).flags("1").u(2, 1).se(0, 0, 0).flags("101")
        ).bytes()
    )
    track = codec(sps, pps)
    fields = Bits().ue(0, 1, 9).u(2, 2).u(9, 300).flags("0").se(-4, 5).ue(7).flags("1").flags("0").flags("00")
    fields.ue(5).flags("1").se(4, 4).flags("0").flags("0").flags("1").se(1, 1)  # weights without chroma
    # SliceGroupChangeRate 2 over 12 map units: 6 cycles, 3 bits.
    fields.ue(2).se(-3).ue(0).se(1, 1).u(3, 5)
    assert header_bytes(track, 0x01, fields) == 1 + -(-len(fields.text) // 8)


@pytest.mark.parametrize("map_type", ["0", "1", "2", "6"])
def test_slice_groups_that_slices_say_nothing_about(map_type: str) -> None:
    groups = {
        "0": Bits().ue(2, 0, 1, 1, 1),
        "1": Bits().ue(2, 1),
        "2": Bits().ue(2, 2, 0, 5, 6, 11),
        "6": Bits().ue(2, 6, 3).u(2, 0).u(2, 1).u(2, 2).u(2, 0),
    }[map_type]
    tail = Bits().ue(4, 2).flags("1").u(2, 2).se(0, 0, 0).flags("101")
    pps = parse_pps(b"\x68" + Bits().ue(1, 0).flags("10").flags(groups.text).flags(tail.text).bytes())
    assert (pps.num_ref_idx_default, pps.slice_group_change_rate) == ((5, 3), 0)
    assert (pps.weighted_pred, pps.weighted_bipred_idc, pps.deblocking_control, pps.redundant_pic_cnt) == (
        True,
        2,
        True,
        True,
    )


@pytest.mark.parametrize(("slice_type", "extra"), [(3, "0"), (4, "")])
def test_switching_slices(slice_type: int, extra: str) -> None:
    fields = Bits().ue(0, slice_type, 0).u(4, 1).u(4, 2)
    if slice_type == 3:
        fields.flags("0").flags("0")
    fields.flags("0").se(2).flags(extra).se(3)
    assert header_bytes(codec(), 0x61, fields) == 1 + -(-len(fields.text) // 8)


def test_parameter_sets_in_the_samples_count_from_then_on() -> None:
    longer = b"\x67\x42\x00\x1e" + Bits().ue(0, 8, 0, 8, 1).flags("0").ue(3, 2).flags("1100").flags("1").bytes()
    fields = Bits().ue(0, 7, 0).u(12, 0).ue(0).u(12, 0).flags("00").se(0)
    track = codec()
    mapper = track.mapper(Scheme.CBCS)
    sample = nal_sample(longer, PPS, b"\x65" + fields.bytes() + DATA)
    mapper.map(sample)
    ((clear, _),) = mapper.map(nal_sample(b"\x65" + fields.bytes() + DATA))
    assert clear == 4 + 1 + -(-len(fields.text) // 8)
    # The next segment starts from the init's sets again.
    assert header_bytes(track, 0x65, IDR) == 1 + -(-len(IDR.text) // 8)


def test_an_unreadable_header_is_taken_as_256_bytes_in_cenc_and_refused_in_cbcs() -> None:
    unknown_pps = b"\x65" + Bits().ue(0, 7, 3).bytes() + bytes([9]) * 700
    size = 4 + len(unknown_pps)
    protected = (len(unknown_pps) - 256) // 16 * 16
    assert codec().mapper(Scheme.CENC).map(nal_sample(unknown_pps)) == [(size - protected, protected)]
    assert codec().mapper(Scheme.CENC).map(nal_sample(unknown_pps[:200])) == [(204, 0)]
    with pytest.raises(MediaError, match="pic_parameter_set_id 3"):
        codec().mapper(Scheme.CBCS).map(nal_sample(unknown_pps))


@pytest.mark.parametrize(
    ("endless", "message"),
    [
        (Bits().ue(0, 5, 0).u(4, 1).u(4, 2).flags("0").flags("1").ue(*[0] * 200), "list modifications"),
        (Bits().ue(0, 7, 0).u(4, 1).u(4, 2).flags("1").ue(*[1] * 200), "marking operations"),
    ],
)
def test_endless_operations_are_refused(endless: Bits, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        codec().mapper(Scheme.CBCS).map(nal_sample(b"\x61" + endless.bytes() + DATA))


def test_other_nal_units_stay_clear() -> None:
    sample = nal_sample(b"\x09\xf0", b"\x06" + DATA, b"\x65" + IDR.bytes() + DATA, b"\x0c" + DATA)
    ((_, protected), tail) = codec().mapper(Scheme.CBCS).map(sample)
    assert protected == len(DATA)
    assert tail == (4 + 1 + len(DATA), 0)


@pytest.mark.parametrize("nal_type", [3, 4, 19, 20, 21])
@pytest.mark.parametrize("scheme", [Scheme.CENC, Scheme.CBCS])
def test_picture_data_out_of_reach_is_refused(nal_type: int, scheme: Scheme) -> None:
    with pytest.raises(UnsupportedMediaError, match=f"type {nal_type}"):
        codec().mapper(scheme).map(nal_sample(bytes([0x60 | nal_type]) + DATA))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"\x02\x42\x00\x1e\xff\xe0\x00", "version 1"),
        (b"\x01\x42\x00\x1e\xfe\xe0\x00", "length size is 3"),
        (b"\x01\x42\x00\x1e\xff\xe1\x00", "empty or truncated"),
        (b"\x01\x42\x00\x1e\xff\xe1\x00\x00\x00", "empty or truncated"),
        (b"\x01\x42\x00\x1e\xff\xe1\x00\x01\x67", "before its picture"),
        (b"\x01\x42\x00\x1e\xff\xe0\x01\x00\x05\x68", "empty or truncated"),
    ],
)
def test_bad_configurations_are_refused(config: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        AvcCodec.parse(config)


@given(st.sampled_from([parse_sps, parse_pps]), st.binary(max_size=60))
def test_any_parameter_set_is_read_or_refused(parse: object, nal: bytes) -> None:
    assert callable(parse)
    try:
        parse(nal)
    except MediaError:
        return
