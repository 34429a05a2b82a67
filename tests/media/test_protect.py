import struct
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import AlreadyProtectedError, MediaError
from relay.media.init_segment import InitSegment, parse_init, protect_init
from relay.media.ivs import CountingIvs, HashedIvs
from relay.media.model import Protection
from relay.media.protect import MAX_TOP_LEVEL, StreamProtector, protect_segment
from tests.media import build, decrypt
from tests.media.build import Traf, box, full_box
from tests.media.material import AUDIO, KEYS, TRACKS, VIDEO, protection, read

SCHEMES = ("cenc", "cbcs")
AUDIO_INIT = parse_init(build.init(build.track(1, build.audio_entry()), build.track(2, build.audio_entry(b"Opus"))))
MIXED_INIT = parse_init(build.init(build.track(1, build.text_entry()), build.track(2, build.audio_entry())))
STYP = box(b"styp", b"msdh", bytes(4))
EMSG = full_box(b"emsg", 0, 0, b"urn:x\0\0", bytes(16))
SAMPLES = [bytes([number]) * (20 * number + 5) for number in range(1, 8)]


def protect(data: bytes, init: InitSegment = AUDIO_INIT, scheme: str = "cenc", position: int = 0) -> bytes:
    return protect_segment(data, init, protection(scheme), HashedIvs(), position=position)


def stream(data: bytes, cuts: Sequence[int], init: InitSegment, scheme: str = "cenc") -> list[bytes]:
    protector = StreamProtector(init, protection(scheme), HashedIvs())
    out = []
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        out += protector.feed(data[start:end])
    return out + protector.finish()


def decrypted(data: bytes, init: InitSegment = AUDIO_INIT, scheme: str = "cenc") -> dict[int, list[bytes]]:
    return decrypt.read_samples(protect_init(init, protection(scheme)), data, KEYS)


def kinds(data: bytes) -> list[bytes]:
    return [kind for kind, *_ in decrypt.boxes(data)]


def sidx(sizes: Sequence[int], first_offset: int = 0, version: int = 0, nested: int = 0) -> bytes:
    times = struct.pack(">QQ" if version else ">II", 0, first_offset)
    references = b"".join(struct.pack(">III", nested | size, 1000, 0x90000000) for size in sizes)
    return full_box(
        b"sidx", version, 0, struct.pack(">II", 1, 48000), times, struct.pack(">HH", 0, len(sizes)), references
    )


def spans(data: bytes) -> list[list[int]]:
    """Of each sidx, the bounds of its subsegments."""
    found = []
    for kind, _, body, end in decrypt.boxes(data):
        if kind == b"sidx":
            wide = data[body]
            at = body + (28 if wide else 20)
            bounds = [end + (decrypt.u64(data, at - 8) if wide else decrypt.u32(data, at - 4))]
            for _ in range(decrypt.u16(data, at + 2)):
                bounds.append(bounds[-1] + (decrypt.u32(data, at + 4) & 0x7FFFFFFF))
                at += 12
            found.append(bounds)
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("placing", ["moof", "base", "chain", "bare"])
def test_several_trafs_and_runs_whatever_their_placing(scheme: str, placing: str) -> None:
    trafs = (
        Traf(1, [SAMPLES[:2], SAMPLES[2:4]], placing),
        Traf(2, [SAMPLES[4:]], placing),
        Traf(1, [SAMPLES[:1]], placing),
        Traf(2, [], placing),
    )
    out = protect(build.fragment(*trafs, position=900), scheme=scheme, position=900)
    assert decrypted(out, scheme=scheme) == {1: [*SAMPLES[:4], SAMPLES[0]], 2: SAMPLES[4:]}


def test_two_trafs_of_one_track_share_no_iv() -> None:
    out = protect(build.fragment(Traf(1, [SAMPLES[:3]]), Traf(1, [SAMPLES[3:]]), Traf(2, [SAMPLES])))
    ivs = [iv for traf in range(3) for iv, _ in decrypt.read_entries(out, 0, traf, 8)]
    assert len(set(ivs)) == len(ivs) == 14


def test_counted_ivs_are_not_shared_by_tracks_under_one_key() -> None:
    data = build.fragment(Traf(1, [SAMPLES[:3]]), Traf(2, [SAMPLES]))
    out = protect_segment(data, AUDIO_INIT, protection("cenc"), CountingIvs(7))
    ivs = [int.from_bytes(iv, "big") for traf in range(2) for iv, _ in decrypt.read_entries(out, 0, traf, 8)]
    assert ivs == list(range(7, 17))


def test_ivs_count_up_and_wrap() -> None:
    data = build.fragment(Traf(1, [SAMPLES[:3]]))
    out = protect_segment(data, AUDIO_INIT, protection("cenc"), CountingIvs(2**64 - 2))
    ivs = [int.from_bytes(iv, "big") for iv, _ in decrypt.read_entries(out, 0, 0, 8)]
    assert ivs == [2**64 - 2, 2**64 - 1, 0]
    assert decrypted(out)[1] == SAMPLES[:3]


def test_unprotected_tracks_stay_as_they_are_beside_protected_ones() -> None:
    data = build.fragment(Traf(1, [SAMPLES[:2]]), Traf(2, [SAMPLES[2:]]), Traf(1, [SAMPLES[:1]]))
    out = protect(data, MIXED_INIT)
    assert decrypted(out, MIXED_INIT) == {1: [*SAMPLES[:2], SAMPLES[0]], 2: SAMPLES[2:]}
    assert out.count(b"senc") == out.count(b"sgpd") == 1
    assert b"".join(SAMPLES[:2]) in out


@pytest.mark.parametrize("large", [False, True])
def test_wide_mdat_and_boxes_in_front_of_it(large: bool) -> None:
    data = build.fragment(Traf(1, [SAMPLES]), between=box(b"free", b"stays"), large=large, tail=b"unused")
    out = protect(data)
    assert decrypted(out)[1] == SAMPLES
    assert out.endswith(b"unused")
    assert kinds(out) == kinds(data)


def test_mdat_without_size_reaches_to_the_end() -> None:
    data = build.fragment(Traf(1, [SAMPLES]))
    at = data.index(b"mdat") - 4
    data = data[:at] + bytes(4) + data[at + 4 :]
    out = protect(data)
    assert decrypted(out)[1] == SAMPLES
    assert b"".join(stream(data, range(0, len(data), 7), AUDIO_INIT)) == out


def test_several_fragments_and_every_other_box_byte_for_byte() -> None:
    others = [STYP, full_box(b"prft", 1, 0, bytes(24)), EMSG, box(b"uuid", bytes(20)), box(b"\xa9xyz", b"unknown")]
    one, two = build.fragment(Traf(1, [SAMPLES[:3]])), build.fragment(Traf(1, [SAMPLES[3:]]))
    out = protect(b"".join(others) + one + EMSG + two + STYP)
    assert out.startswith(b"".join(others))
    assert out.endswith(STYP)
    assert kinds(out) == [
        b"styp",
        b"prft",
        b"emsg",
        b"uuid",
        b"\xa9xyz",
        b"moof",
        b"mdat",
        b"emsg",
        b"moof",
        b"mdat",
        b"styp",
    ]
    assert decrypted(out)[1] == SAMPLES


def test_byte_tables_are_dropped() -> None:
    data = box(b"ssix", bytes(8)) + build.fragment(Traf(1, [SAMPLES])) + box(b"mfra", bytes(8))
    assert kinds(protect(data)) == [b"moof", b"mdat"]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("nested", [0, 0x80000000])
def test_sidx_follows_what_grew(version: int, nested: int) -> None:
    one, two = EMSG + build.fragment(Traf(1, [SAMPLES[:3]])), build.fragment(Traf(1, [SAMPLES[3:]]))
    ahead = build.fragment(Traf(2, [SAMPLES]))
    index = sidx([len(one), len(two)], len(ahead), version, nested)
    out = protect(STYP + index + ahead + one + two)
    bounds = [start for kind, start, _, _ in decrypt.boxes(out) if kind in {b"emsg", b"moof"}]
    assert spans(out) == [[bounds[1], bounds[3], len(out)]]
    at = out.index(b"sidx") + 8
    assert out[at : at + 8] == index[12:20]
    assert out.count(struct.pack(">II", 1000, 0x90000000)) == 2


def test_several_sidx_each_follow() -> None:
    one, two = build.fragment(Traf(1, [SAMPLES[:3]])), build.fragment(Traf(1, [SAMPLES[3:]]))
    second = sidx([len(two)])
    out = protect(sidx([len(one)]) + one + second + two)
    starts = [start for kind, start, _, _ in decrypt.boxes(out) if kind == b"moof"]
    first_end = next(start for kind, start, _, _ in decrypt.boxes(out) if kind == b"sidx" and start)
    assert spans(out) == [[starts[0], first_end], [starts[1], len(out)]]


@pytest.mark.parametrize("size", [10, 10_000])
def test_sidx_that_points_elsewhere_is_dropped(size: int) -> None:
    """That of a whole segment in front of one of its parts, for one."""
    out = protect(STYP + sidx([size]) + build.fragment(Traf(1, [SAMPLES])))
    assert kinds(out) == [b"styp", b"moof", b"mdat"]
    assert decrypted(out)[1] == SAMPLES


def test_only_what_protection_needs_is_added() -> None:
    data = build.fragment(
        Traf(1, [SAMPLES], extra=[box(b"sdtp", bytes(4)), full_box(b"sbgp", 0, 0, b"roll", bytes(4))])
    )
    traf_boxes = []
    for groups in (True, False):
        out = protect_segment(data, AUDIO_INIT, protection("cenc"), HashedIvs(), groups=groups)
        ((start, end),) = decrypt.find(out, b"moof", b"traf")
        traf_boxes.append([kind for kind, *_ in decrypt.boxes(out, start, end)])
    kept = [b"tfhd", b"tfdt", b"trun", b"sdtp", b"sbgp"]
    assert traf_boxes == [[*kept, b"sbgp", b"sgpd", b"saiz", b"saio", b"senc"], [*kept, b"saiz", b"saio", b"senc"]]


def test_cbcs_audio_has_no_per_sample_information() -> None:
    out = protect(build.fragment(Traf(1, [SAMPLES])), scheme="cbcs")
    assert not any(kind in out for kind in (b"senc", b"saiz", b"saio"))


def test_sizes_that_differ_take_a_table() -> None:
    init = parse_init(read("clear/v_init.mp4"))
    clear = read("clear/v_1.m4s")
    first = decrypt.read_samples(init.data, clear)[1][0]
    sei = struct.pack(">I", 4) + b"\x06\x05\x01\x80"
    out = protect_segment(
        build.fragment(Traf(1, [[first, first + sei]])), init, protection("cenc"), HashedIvs(), groups=False
    )
    sizes = [len(subsamples or []) for _, subsamples in decrypt.read_entries(out, 0, 0, 8)]
    assert sizes == [1, 2]
    assert decrypted(out, init)[1] == [first, first + sei]


def test_empty_samples() -> None:
    video = parse_init(read("clear/v_init.mp4"))
    for init in (AUDIO_INIT, video):
        for scheme in SCHEMES:
            out = protect(build.fragment(Traf(1, [[b"", b""]])), init, scheme)
            assert decrypted(out, init, scheme)[1] == [b"", b""]


@pytest.mark.parametrize("offset", [-(2**31), -1, 0, 2**30])
def test_empty_samples_may_claim_to_lie_anywhere_within_reach(offset: int) -> None:
    data = build.fragment(Traf(1, [[b"", b""]]))
    at = data.index(b"trun") + 12
    out = protect(data[:at] + struct.pack(">i", offset) + data[at + 4 :])
    assert decrypted(out)[1] == [b"", b""]


def test_what_was_seen_in_parts_is_the_same_in_the_segment() -> None:
    """Same keys, same IVs: a part and its segment may be cached and served side by side."""
    one, two = build.fragment(Traf(1, [SAMPLES[:3]])), build.fragment(Traf(1, [SAMPLES[3:]]))
    assert protect(one) + protect(two) == protect(one + two)


def test_any_change_of_the_clear_bytes_changes_all_ivs() -> None:
    one = protect(build.fragment(Traf(1, [SAMPLES])))
    two = protect(build.fragment(Traf(1, [[*SAMPLES[:-1], SAMPLES[-1][:-1] + b"\xff"]])))
    ivs = [iv for out in (one, two) for iv, _ in decrypt.read_entries(out, 0, 0, 8)]
    assert len(set(ivs)) == len(ivs)


def test_no_third_copy_of_the_segment_is_made() -> None:
    data = build.fragment(Traf(1, [[bytes(100_000)] * 40]))
    tracemalloc.start()
    try:
        out = protect(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * len(out)


def test_aes128_is_no_way_to_protect_samples() -> None:
    with pytest.raises(ValueError, match="whole resources"):
        protect_segment(STYP, AUDIO_INIT, Protection(Scheme.AES128, VIDEO, AUDIO), HashedIvs())


FRAGMENT = build.fragment(Traf(1, [SAMPLES]))
MOOF = FRAGMENT[: FRAGMENT.index(b"mdat") - 4]
MDAT = FRAGMENT[len(MOOF) :]
BAD = {
    "empty": (b"", "no fragment"),
    "no fragment": (STYP, "no fragment"),
    "stray mdat": (STYP + MDAT, "no place here"),
    "second mdat": (FRAGMENT + MDAT, "no place here"),
    "moov": (AUDIO_INIT.data + FRAGMENT, "no place here"),
    "moof without mdat": (MOOF, "truncated"),
    "moof after moof": (MOOF + FRAGMENT, "no mdat follows"),
    "sidx inside": (MOOF + sidx([]) + MDAT, "no mdat follows"),
    "much between": (build.fragment(Traf(1, [SAMPLES]), between=box(b"free") * 16), "no mdat follows"),
    "truncated mdat": (FRAGMENT[:-1], "truncated"),
    "truncated header": (FRAGMENT + b"\0\0\0", "truncated"),
    "truncated styp": (FRAGMENT + STYP[:-1], "truncated"),
    "sidx cut short": (full_box(b"sidx", 0, 0, bytes(8)) + FRAGMENT, "wanted"),
    "sidx too long": (full_box(b"sidx", 0, 0, bytes(24)) + FRAGMENT, "4 bytes behind"),
    "size 1": (b"\0\0\0\1free" + (2**63).to_bytes(8, "big") + FRAGMENT, "truncated"),
    "too many boxes": (box(b"free") * (MAX_TOP_LEVEL + 1), f"more than {MAX_TOP_LEVEL} boxes"),
    "ours": (protect(FRAGMENT), "in a clear fragment"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_segments_are_refused_whole_or_streamed(data: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        protect(data)
    if b"sidx" not in data:  # which is not looked into on the way
        with pytest.raises(MediaError, match=f"{message}|longer than"):
            stream(data, [len(data) // 2], AUDIO_INIT)


def test_protected_input_has_its_own_error() -> None:
    with pytest.raises(AlreadyProtectedError):
        protect(protect(FRAGMENT))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("step", [1, 100, 4096])
def test_streaming_the_vectors_gives_the_segments_but_for_sidx(scheme: str, step: int) -> None:
    for track in TRACKS:
        init = parse_init(read(f"clear/{track}_init.mp4"))
        clear = read(f"clear/{track}_1.m4s")
        whole = protect_segment(clear, init, protection(scheme), HashedIvs())
        assert b"".join(stream(clear, range(0, len(clear), step), init, scheme)) == without_sidx(whole)


def without_sidx(data: bytes) -> bytes:
    return b"".join(data[start:end] for kind, start, _, end in decrypt.boxes(data) if kind != b"sidx")


def test_streaming_gives_each_fragment_as_soon_as_it_is_complete() -> None:
    protector = StreamProtector(AUDIO_INIT, protection("cenc"), HashedIvs())
    assert protector.feed(STYP[:-1]) == []
    assert protector.feed(STYP[-1:]) == [STYP]
    assert protector.feed(FRAGMENT[:-1]) == []
    (first,) = protector.feed(FRAGMENT[-1:] + FRAGMENT[:50])
    assert first == protect(FRAGMENT)
    assert protector.feed(FRAGMENT[50:] + EMSG) == [first, EMSG]
    assert protector.finish() == []


def test_streaming_counts_its_position_in_the_file() -> None:
    one = build.fragment(Traf(1, [SAMPLES[:3]], "base"), position=900)
    two = build.fragment(Traf(1, [SAMPLES[3:]], "base"), position=900 + len(one) + len(STYP))
    protector = StreamProtector(AUDIO_INIT, protection("cenc"), HashedIvs(), position=900)
    data = one + STYP + two
    out = [piece for at in range(0, len(data), 50) for piece in protector.feed(data[at : at + 50])]
    assert b"".join(out) == protect(data, position=900)


@pytest.mark.parametrize("data", [FRAGMENT, box(b"free", bytes(200)), b"\0\0\0\0mdat" * 30])
def test_streaming_buffers_no_more_than_it_may(data: bytes) -> None:
    protector = StreamProtector(AUDIO_INIT, protection("cenc"), HashedIvs(), max_unit=150)
    with pytest.raises(MediaError, match=r"longer than 150 bytes|no place here"):
        protector.feed(data)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=3), min_size=1, max_size=4),
    st.sampled_from(SCHEMES),
    st.sampled_from(["moof", "base", "chain", "bare"]),
    st.data(),
)
def test_decrypting_what_was_encrypted_is_the_identity(
    trafs: list[list[list[bytes]]], scheme: str, placing: str, draw: st.DataObject
) -> None:
    data = build.fragment(*[Traf(1 + index % 2, runs, placing) for index, runs in enumerate(trafs)])
    out = protect(data, scheme=scheme)
    assert decrypted(out, scheme=scheme) == decrypt.read_samples(AUDIO_INIT.data, data)
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=6))
    assert b"".join(stream(data, cuts, AUDIO_INIT, scheme)) == out


CLEAR = {track: (parse_init(read(f"clear/{track}_init.mp4")), read(f"clear/{track}_1.m4s")) for track in TRACKS}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TRACKS), st.sampled_from(SCHEMES), st.data())
def test_mutated_vectors_raise_media_errors_only(track: str, scheme: str, draw: st.DataObject) -> None:
    init, clear = CLEAR[track]
    mutated = bytearray(clear)
    places = st.one_of(st.integers(0, 800), st.integers(0, len(clear) - 1))
    for at, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        mutated[at] = value
    cut = draw.draw(st.one_of(st.just(len(clear)), st.integers(0, len(clear))))
    data = bytes(mutated[:cut])
    with suppress(MediaError):
        protect_segment(data, init, protection(scheme), HashedIvs())
    with suppress(MediaError):
        stream(data, [cut // 2], init, scheme)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_media_errors_only(data: bytes) -> None:
    for candidate in (data, box(b"moof", data) + MDAT, box(b"moof", box(b"traf", data)) + MDAT):
        with suppress(MediaError):
            protect(candidate)


def test_keys_of_video_and_audio_are_told_apart() -> None:
    swapped = replace(protection("cenc"), audio=VIDEO)
    out = protect_segment(FRAGMENT, AUDIO_INIT, swapped, HashedIvs())
    assert VIDEO.kid in out
    assert AUDIO.kid not in out


def test_no_more_samples_than_a_segment_may_hold() -> None:
    """The plan of a sample weighs far more than a sample of a byte, so the count is bounded and not the bytes alone."""
    init, protected = parse_init(read("clear/v_init.mp4")), protection("cenc")
    data = read("clear/v_1.m4s")
    assert protect_segment(data, init, protected, HashedIvs(), max_samples=48)
    with pytest.raises(MediaError, match="more samples"):
        protect_segment(data, init, protected, HashedIvs(), max_samples=47)
    with pytest.raises(MediaError, match="more samples"):
        protect_segment(data + data, init, protected, HashedIvs(), max_samples=95)
