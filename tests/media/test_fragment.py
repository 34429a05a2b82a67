import struct

import pytest

from relay.errors import AlreadyProtectedError, MediaError
from relay.media.box import read_header
from relay.media.fragment import MAX_SAMPLES, MAX_TRAFS, Auxiliary, Fragment, parse_fragment
from relay.media.init_segment import parse_init
from tests.media import build, decrypt
from tests.media.build import Traf, box, full_box

INIT = parse_init(
    build.init(
        build.track(1, build.audio_entry(), build.audio_entry(b"Opus")),
        build.track(2, build.audio_entry()),
        defaults=[build.trex(1, size=3), build.trex(2, entry=9)],
    )
)
RUN = [b"one", b"twotwo", b""]
TWO_RUNS = Traf(1, [RUN, [b"third"]])


def parse(data: bytes, position: int = 0) -> Fragment:
    view = memoryview(data)
    moof = read_header(view, 0)
    assert moof is not None
    mdat = moof
    while mdat.kind != b"mdat":
        following = read_header(view, mdat.end)
        assert following is not None
        mdat = following
    return parse_fragment(moof, mdat, INIT, position)


def samples(data: bytes, position: int = 0) -> list[list[bytes]]:
    return [[data[a:b] for a, b in traf.samples] for traf in parse(data, position).trafs]


@pytest.mark.parametrize("placing", ["moof", "base", "chain", "bare"])
@pytest.mark.parametrize("position", [0, 5000])
def test_samples_are_found_however_they_are_placed(placing: str, position: int) -> None:
    trafs = [Traf(1, TWO_RUNS.runs, placing), Traf(1, [[b"fourth"]], placing), Traf(1, [], placing)]
    assert samples(build.fragment(*trafs, position=position), position) == [[*RUN, b"third"], [b"fourth"], []]


@pytest.mark.parametrize("large", [False, True])
def test_boxes_between_and_wide_mdat(large: bool) -> None:
    assert samples(build.fragment(TWO_RUNS, between=box(b"free", b"x"), large=large)) == [[*RUN, b"third"]]


def test_sizes_come_from_run_then_header_then_track() -> None:
    fragment = build.fragment(
        Traf(1, [[b"ab", b"cd"]], tfhd_flags=0x10, tfhd_fields=struct.pack(">I", 2), sizes=False),
        Traf(1, [[b"abc", b"def"]], sizes=False),
        Traf(1, [[b"abcd", b"e"]], tfhd_flags=0x10, tfhd_fields=struct.pack(">I", 2)),
    )
    assert samples(fragment) == [[b"ab", b"cd"], [b"abc", b"def"], [b"abcd", b"e"]]


def test_sample_entry_comes_from_header_then_track() -> None:
    second = Traf(1, [RUN], tfhd_flags=0x2, tfhd_fields=struct.pack(">I", 2))
    kinds = [traf.entry.box.kind for traf in parse(build.fragment(second, Traf(1, [RUN]))).trafs]
    assert kinds == [b"Opus", b"mp4a"]


def test_all_optional_header_fields_are_skipped() -> None:
    fields = struct.pack(">IIII", 2, 1024, 3, 0)
    traf = Traf(1, [[b"abc"]], "base", tfhd_flags=0x3A, tfhd_fields=fields, sizes=False)
    assert samples(build.fragment(traf)) == [[b"abc"]]


@pytest.mark.parametrize("duration_is_empty", [0, 0x10000])
def test_a_traf_may_have_no_samples(duration_is_empty: int) -> None:
    assert samples(build.fragment(Traf(1, [], tfhd_flags=duration_is_empty))) == [[]]
    assert samples(build.fragment(Traf(1, [[]], tfhd_flags=duration_is_empty))) == [[]]


def test_rebuilding_without_additions_changes_nothing() -> None:
    data = build.fragment(TWO_RUNS, Traf(1, [[b"x"]], extra=[box(b"sdtp", b"keep")]), extra=box(b"meta", b"keep"))
    fragment = parse(data)
    assert fragment.rebuild([None, None]) == data[: fragment.box.size]


@pytest.mark.parametrize("placing", ["base", "chain", "bare"])
def test_rebuilding_makes_offsets_explicit_and_relative_to_the_moof(placing: str) -> None:
    data = build.fragment(Traf(1, TWO_RUNS.runs, placing), Traf(1, [[b"fourth"]], placing), position=77)
    fragment = parse(data, 77)
    rebuilt = fragment.rebuild([None, Auxiliary(box(b"free", b"addition"), None)])
    moved = rebuilt + data[fragment.box.size :]
    assert samples(moved) == [[*RUN, b"third"], [b"fourth"]]
    for tfhd, _ in decrypt.find(rebuilt, b"moof", b"traf", b"tfhd"):
        assert decrypt.u32(rebuilt, tfhd) & 0x20001 == 0x20000
    for trun, _ in decrypt.find(rebuilt, b"moof", b"traf", b"trun"):
        assert decrypt.u32(rebuilt, trun) & 1
    assert rebuilt.endswith(box(b"free", b"addition"))


def with_traf_boxes(*extra: bytes) -> bytes:
    return build.fragment(Traf(1, [RUN], extra=list(extra)))


def moof_of(*inside: bytes) -> bytes:
    return box(b"moof", full_box(b"mfhd", 0, 0, bytes(4)), *inside) + box(b"mdat", bytes(100))


def traf_of(*inside: bytes) -> bytes:
    return moof_of(box(b"traf", *inside))


TFHD = full_box(b"tfhd", 0, 0x20000, struct.pack(">I", 1))


def trun(count: int, offset: int | None, *sizes: int) -> bytes:
    flags = (0 if offset is None else 1) | (0x200 if sizes else 0)
    fields = struct.pack(
        f">I{'' if offset is None else 'i'}{len(sizes)}I", *([count] if offset is None else [count, offset]), *sizes
    )
    return full_box(b"trun", 0, flags, fields)


PIFF = box(b"uuid", bytes.fromhex("a2394f525a9b4f14a2446c427c648df4"), bytes(8))
BAD = {
    "senc": (with_traf_boxes(full_box(b"senc", 0, 0, bytes(4))), AlreadyProtectedError, "senc"),
    "saiz": (with_traf_boxes(full_box(b"saiz", 0, 0, bytes(5))), AlreadyProtectedError, "saiz"),
    "saio": (with_traf_boxes(full_box(b"saio", 0, 0, bytes(4))), AlreadyProtectedError, "saio"),
    "seig sgpd": (with_traf_boxes(full_box(b"sgpd", 1, 0, b"seig", bytes(8))), AlreadyProtectedError, "sgpd"),
    "seig sbgp": (with_traf_boxes(full_box(b"sbgp", 0, 0, b"seig", bytes(4))), AlreadyProtectedError, "sbgp"),
    "PIFF senc": (with_traf_boxes(PIFF), AlreadyProtectedError, "uuid"),
    "pssh": (build.fragment(Traf(1, [RUN]), extra=full_box(b"pssh", 0, 0, bytes(20))), AlreadyProtectedError, "pssh"),
    "no tfhd": (traf_of(), MediaError, "0 tfhd"),
    "two tfhd": (traf_of(TFHD, TFHD), MediaError, "2 tfhd"),
    "unknown track": (build.fragment(Traf(3, [RUN])), MediaError, "track 3 is not in the init segment"),
    "default sample entry": (build.fragment(Traf(2, [RUN])), MediaError, "sample entry 9 of 1"),
    "sample entry 0": (
        build.fragment(Traf(1, [RUN], tfhd_flags=2, tfhd_fields=bytes(4))),
        MediaError,
        "sample entry 0 of 2",
    ),
    "tfhd too short": (traf_of(full_box(b"tfhd", 0, 1, bytes(8))), MediaError, "wanted"),
    "tfhd too long": (traf_of(full_box(b"tfhd", 0, 0, bytes(8))), MediaError, "4 bytes more"),
    "tfhd version": (traf_of(full_box(b"tfhd", 1, 0, bytes(4))), MediaError, "unknown version 1"),
    "trun too short": (
        traf_of(TFHD, full_box(b"trun", 0, 0x201, bytes.fromhex("00000002 00000000 00000000"))),
        MediaError,
        "wanted",
    ),
    "trun too long": (traf_of(TFHD, trun(1, 200, 1, 1)), MediaError, "4 bytes more"),
    "trun version": (traf_of(TFHD, full_box(b"trun", 2, 0, bytes(4))), MediaError, "unknown version 2"),
    "more samples than bytes": (traf_of(TFHD, trun(500, 90)), MediaError, "500 samples, at most 172"),
    "too many samples": (
        build.fragment(Traf(1, [[b""] * (MAX_SAMPLES + 1)]), tail=bytes(MAX_SAMPLES)),
        MediaError,
        f"at most {MAX_SAMPLES}",
    ),
    "too many in several trafs": (
        build.fragment(*[Traf(1, [[b""] * 200])] * 60, tail=bytes(MAX_SAMPLES)),
        MediaError,
        "are possible here",
    ),
    "too many trafs": (build.fragment(*[Traf(1, [])] * (MAX_TRAFS + 1)), MediaError, "trafs"),
    "past the mdat": (traf_of(TFHD, trun(1, 88, 101)), MediaError, "outside its mdat"),
    "before the mdat": (traf_of(TFHD, trun(1, 40, 10)), MediaError, "outside its mdat"),
    "negative offset": (traf_of(TFHD, trun(1, -8, 8)), MediaError, "outside its mdat"),
    "no offset at all": (traf_of(TFHD, trun(1, None, 8)), MediaError, "outside its mdat"),
    "overlapping runs": (traf_of(TFHD, trun(1, 120, 10), trun(1, 129, 10)), MediaError, "overlap"),
    "empty samples out of reach": (
        build.fragment(Traf(1, [[b""]], tfhd_flags=1, tfhd_fields=b"\xff" * 8)),
        MediaError,
        "past what a data offset can say",
    ),
    "elsewhere in the file": (build.fragment(Traf(1, [RUN], "base"), position=99), MediaError, "outside its mdat"),
}


@pytest.mark.parametrize(("data", "error", "message"), BAD.values(), ids=BAD)
def test_bad_fragments_are_refused(data: bytes, error: type[MediaError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse(data)
    assert type(caught.value) is error
