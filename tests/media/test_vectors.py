"""The vectors: byte for byte where Shaka Packager's output is the reference, sample for sample everywhere."""

import hashlib
import struct
from collections.abc import Iterator

import pytest

from keys.model import Scheme
from relay.media.init_segment import InitSegment, parse_init, protect_init
from relay.media.ivs import CountingIvs, HashedIvs
from relay.media.model import Protection
from relay.media.protect import protect_segment
from tests.media import decrypt
from tests.media.material import FIRST_IV, KEYS, SEGMENTS, TRACKS, content_key, listing, protection, read

SCHEMES = ("cenc", "cbcs")
CREATED, CREATED_A_SECOND_LATER = bytes.fromhex("e727c81ae727c81a"), bytes.fromhex("e727c81be727c81b")


def clear_init(track: str) -> InitSegment:
    return parse_init(read(f"clear/{track}_init.mp4"))


def protect_all(track: str, scheme: str, *, groups: bool = False) -> Iterator[tuple[int, bytes]]:
    ivs = CountingIvs(FIRST_IV)
    for number in SEGMENTS:
        clear = read(f"clear/{track}_{number}.m4s")
        yield number, protect_segment(clear, clear_init(track), protection(scheme), ivs, groups=groups)


def pssh_boxes(init: bytes) -> list[bytes]:
    ((start, end),) = decrypt.find(init, b"moov")
    return [init[at:stop] for kind, at, _, stop in decrypt.boxes(init, start, end) if kind == b"pssh"]


def without_empty_senc(segment: bytes) -> bytes:
    """Packager writes a senc without entries for cbcs audio, and we do not: take it out, and 16 from what counts it."""
    at = segment.index(b"senc") - 4
    assert segment[at : at + 4] == (16).to_bytes(4, "big")
    out = bytearray(segment[:at] + segment[at + 16 :])
    for kind, shift in ((b"moof", -4), (b"traf", -4), (b"trun", 12), (b"sidx", 28)):
        field = segment.index(kind) + shift
        struct.pack_into(">I", out, field, decrypt.u32(segment, field) - 16)
    return bytes(out)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("track", TRACKS)
def test_init_segment_is_packagers(track: str, scheme: str) -> None:
    clear = read(f"clear/{track}_init.mp4")
    if scheme == "cbcs":
        clear = clear.replace(CREATED, CREATED_A_SECOND_LATER)
    expected = read(f"{scheme}/{track}_init.mp4")
    assert protect_init(parse_init(clear), protection(scheme), pssh_boxes(expected)) == expected


@pytest.mark.parametrize(("track", "scheme"), [("v", "cenc"), ("a", "cenc"), ("v", "cbcs")])
def test_segments_are_packagers(track: str, scheme: str) -> None:
    for number, protected in protect_all(track, scheme):
        assert protected == read(f"{scheme}/{track}_{number}.m4s"), number


def test_cbcs_audio_is_packagers_but_for_its_empty_senc() -> None:
    for number, protected in protect_all("a", "cbcs"):
        assert protected == without_empty_senc(read(f"cbcs/a_{number}.m4s")), number


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("track", TRACKS)
def test_ivs_and_subsamples_are_those_listed(track: str, scheme: str) -> None:
    listed = listing()["variants"][scheme]["tracks"][track]["segments"][0]["senc"]
    protected = next(protect_all(track, scheme))[1]
    entries = decrypt.read_entries(protected, 0, 0, 8 if scheme == "cenc" else 0)
    for (iv, subsamples), expected in zip(entries, listed, strict=True):
        assert iv.hex() == expected.get("iv", "")
        assert [list(item) for item in subsamples or []] == (expected.get("subsamples") or [])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("track", TRACKS)
def test_rotating_segments_differ_only_by_packagers_pssh_in_the_moof(track: str, scheme: str) -> None:
    """Packager's key rotation writes the same seig groups as we do."""
    ivs = CountingIvs(FIRST_IV)
    for number, listed in zip(
        SEGMENTS, listing()["variants"][f"{scheme}-rotating"]["tracks"][track]["segments"], strict=True
    ):
        key = content_key(listed["kid"], listed["key"])
        rotating = Protection(Scheme(scheme), key, key)
        ours = protect_segment(read(f"clear/{track}_{number}.m4s"), clear_init(track), rotating, ivs)
        theirs = read(listed["file"])
        if scheme == "cbcs" and track == "a":
            theirs = without_empty_senc(theirs)
        assert mdat(ours) == mdat(theirs)
        assert traf_without_offset(ours) == traf_without_offset(theirs)


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("track", TRACKS)
def test_every_sample_decrypts_to_the_original(track: str, scheme: str, groups: bool) -> None:
    init = protect_init(clear_init(track), protection(scheme))
    for number in SEGMENTS:
        clear = read(f"clear/{track}_{number}.m4s")
        protected = protect_segment(clear, clear_init(track), protection(scheme), HashedIvs(), groups=groups)
        samples = decrypt.read_samples(init, protected, KEYS)[1]
        listed = listing()["clear"][track]["segments"][number - 1]["sample_md5"]
        assert [hashlib.md5(sample).hexdigest() for sample in samples] == listed
        assert mdat(protected) != mdat(clear)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_groups_override_the_stable_key_id_of_the_init_segment(scheme: str) -> None:
    stable = content_key("00112233445566778899aabbccddeeff", "ff" * 16)
    init = protect_init(clear_init("v"), Protection(Scheme(scheme), stable, stable))
    clear = read("clear/v_1.m4s")
    protected = protect_segment(clear, clear_init("v"), protection(scheme), HashedIvs())
    assert decrypt.read_samples(init, protected, KEYS) == decrypt.read_samples(clear_init("v").data, clear)


def mdat(segment: bytes) -> bytes:
    ((start, end),) = decrypt.find(segment, b"mdat")
    return segment[start:end]


def traf_without_offset(segment: bytes) -> bytes:
    ((start, end),) = decrypt.find(segment, b"moof", b"traf")
    at = segment.index(b"trun") + 12
    return segment[start:at] + segment[at + 4 : end]
