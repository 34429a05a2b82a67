from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.model import Scheme
from relay.errors import AlreadyProtectedError, MediaError, UnsupportedMediaError
from relay.media.init_segment import MAX_INIT_BYTES, parse_init, protect_init, split_init
from relay.media.model import TrackKind
from tests.media import build, decrypt
from tests.media.build import box, full_box
from tests.media.material import AUDIO, CONSTANT_IV, TRACKS, VIDEO, protection, read

AVC_CONFIG = read("clear/v_init.mp4")[651:696]
PSSH = full_box(b"pssh", 1, 0, bytes(28))


def video_entry(width: int = 640, height: int = 360) -> bytes:
    return build.visual_entry(b"avc1", box(b"avcC", AVC_CONFIG), width=width, height=height)


MUXED = build.init(
    build.track(1, video_entry(), timescale=12288),
    build.track(2, build.audio_entry()),
    build.track(3, build.text_entry()),
)


def test_tracks_of_the_vectors() -> None:
    (video,) = parse_init(read("clear/v_init.mp4")).tracks
    assert (video.id, video.kind, video.timescale) == (1, TrackKind.VIDEO, 12288)
    assert (video.default_entry, video.default_size) == (1, 0)
    (audio,) = parse_init(read("clear/a_init.mp4")).tracks
    assert (audio.id, audio.kind, audio.timescale) == (1, TrackKind.AUDIO, 48000)


def test_tracks_of_a_multiplexed_file() -> None:
    init = parse_init(MUXED)
    assert [track.kind for track in init.tracks] == [TrackKind.VIDEO, TrackKind.AUDIO, TrackKind.CLEAR]
    assert init.track(2) is init.tracks[1]
    assert init.track(4) is None


@pytest.mark.parametrize("kind", [b"mp4a", b"ac-3", b"ec-3", b"Opus", b"fLaC", b"alac", b"mha1"])
@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
def test_audio_is_announced_with_every_child_box_kept(kind: bytes, scheme: str) -> None:
    entry = build.audio_entry(kind, box(b"dOps", b"config"), box(b"btrt", bytes(12)))
    out = protect_init(parse_init(build.init(build.track(1, entry))), protection(scheme))
    ((start, end),) = decrypt.find(out, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    ((name, _, body, stop),) = decrypt.boxes(out, start + 8, end)
    assert name == b"enca"
    assert out[body : body + len(entry) - 8] == entry[8:]
    ((_, sinf, _, _),) = decrypt.boxes(out, body + len(entry) - 8, stop)
    assert out[sinf + 8 : sinf + 20] == box(b"frma", kind)


def test_worked_sinf_bytes() -> None:
    out = protect_init(parse_init(read("clear/v_init.mp4")), protection("cenc"))
    tenc = "0000002074656e6300000000000001086d5c3a1e0f4b4c2d8e9f10213243546a"
    assert (
        bytes.fromhex(
            "0000005073696e660000000c66726d6161766331000000147363686d0000000063656e63000100000000002873636869" + tenc
        )
        in out
    )


@pytest.mark.parametrize(("track", "pattern"), [(1, (1, 9)), (2, (0, 0))])
def test_cbcs_track_encryption(track: int, pattern: tuple[int, int]) -> None:
    info = decrypt.read_init(protect_init(parse_init(MUXED), protection("cbcs")))[track]
    assert info.scheme == b"cbcs"
    assert info.params is not None
    assert (info.params.crypt, info.params.skip) == pattern
    assert (info.params.iv_size, info.params.constant_iv) == (0, CONSTANT_IV)


def test_each_track_names_its_own_key_and_text_stays_clear() -> None:
    tracks = decrypt.read_init(protect_init(parse_init(MUXED), protection("cenc")))
    kids = [track.params.kid if track.params else None for track in tracks.values()]
    assert kids == [VIDEO.kid, AUDIO.kid, None]


def test_every_sample_entry_of_a_track_is_protected() -> None:
    out = protect_init(parse_init(build.init(build.track(1, video_entry(), video_entry(100, 100)))), protection("cenc"))
    assert out.count(b"encv") == out.count(b"sinf") == out.count(b"tenc") == 2
    assert parse_sizes(out)


def test_pssh_boxes_come_last_in_the_moov_as_they_are() -> None:
    out = protect_init(parse_init(MUXED), protection("cenc"), [PSSH, PSSH])
    assert out.endswith(PSSH + PSSH)
    assert [kind for kind, *_ in decrypt.boxes(out)] == [b"ftyp", b"moov"]
    assert parse_sizes(out)


def test_other_boxes_stay_and_byte_tables_go() -> None:
    data = box(b"free", b"before") + MUXED + box(b"sidx", bytes(24)) + box(b"uuid", bytes(20))
    out = protect_init(parse_init(data), protection("cenc"))
    assert [kind for kind, *_ in decrypt.boxes(out)] == [b"free", b"ftyp", b"moov", b"uuid"]


def test_64_bit_boxes_keep_their_width() -> None:
    data = MUXED[:16] + build.large_box(b"moov", MUXED[24:])
    out = protect_init(parse_init(data), protection("cenc"), [PSSH])
    assert out[16:20] == b"\0\0\0\1"
    assert parse_sizes(out)


@pytest.mark.parametrize("data", [build.init(build.track(1, build.text_entry())), MUXED])
def test_nothing_to_announce_gives_the_same_bytes(data: bytes) -> None:
    scheme = Scheme.AES128 if data is MUXED else Scheme.CENC
    assert protect_init(parse_init(data), protection(scheme), [PSSH]) == data


def test_split_behind_the_moov() -> None:
    assert split_init(MUXED + box(b"moof") + b"rest") == (MUXED, box(b"moof") + b"rest")
    with pytest.raises(MediaError, match="no moov"):
        split_init(box(b"ftyp"))


def parse_sizes(data: bytes) -> bool:
    """Walk into every sample entry, which fails unless all sizes add up."""
    return bool(decrypt.read_init(data))


def replaced(old: bytes, new: bytes) -> bytes:
    assert old in MUXED
    return MUXED.replace(old, new)


BAD = {
    "empty": (b"", MediaError, "0 moov boxes"),
    "two moov": (MUXED + MUXED, MediaError, "2 moov boxes"),
    "truncated": (MUXED[:-1], MediaError, "truncated"),
    "too long": (MUXED + box(b"free", bytes(MAX_INIT_BYTES)), MediaError, "the limit is"),
    "media": (MUXED + box(b"moof"), MediaError, "holds media"),
    "not fragmented": (replaced(b"mvex", b"free"), UnsupportedMediaError, "not fragmented"),
    "no tracks": (build.init(defaults=[build.trex(1)]), MediaError, "0 tracks"),
    "no trex": (build.init(build.track(1, build.audio_entry()), defaults=[build.trex(2)]), MediaError, "0 trex"),
    "one ID twice": (build.init(*[build.track(1, build.audio_entry())] * 2), MediaError, "two tracks with one ID"),
    "no tkhd": (replaced(b"tkhd", b"free"), MediaError, "0 tkhd"),
    "no stbl": (replaced(b"stbl", b"free"), MediaError, "0 stbl"),
    "no entries": (build.init(build.track(1)), MediaError, "0 sample entries"),
    "timescale 0": (build.init(build.track(1, build.audio_entry(), timescale=0)), MediaError, "timescale 0"),
    "unknown entry": (replaced(b"mp4a", b"xyz\xff"), UnsupportedMediaError, r"protecting xyz\\xff"),
    "QuickTime audio": (
        build.init(build.track(1, box(b"mp4a", bytes(8), b"\0\1", bytes(34)))),
        UnsupportedMediaError,
        "QuickTime",
    ),
    "mixed entries": (
        build.init(build.track(1, build.audio_entry(), build.text_entry())),
        UnsupportedMediaError,
        "different kinds",
    ),
    "no avcC": (replaced(b"avcC", b"free"), MediaError, "avcC"),
    "encrypted video": (replaced(b"avc1", b"encv"), AlreadyProtectedError, "encrypted already"),
    "encrypted audio": (replaced(b"mp4a", b"enca"), AlreadyProtectedError, "encrypted already"),
    "sinf in a clear entry": (
        build.init(build.track(1, build.audio_entry(b"mp4a", box(b"sinf")))),
        AlreadyProtectedError,
        "sinf",
    ),
    "pssh": (build.init(build.track(1, build.audio_entry()), extra=PSSH), AlreadyProtectedError, "pssh"),
    "ours": (protect_init(parse_init(MUXED), protection("cenc")), AlreadyProtectedError, "encrypted already"),
    "entry cut short": (build.init(build.track(1, box(b"mp4a", bytes(20)))), MediaError, "too short"),
    "picture cut short": (build.init(build.track(1, box(b"avc1", bytes(20)))), MediaError, "too short"),
}


@pytest.mark.parametrize(("data", "error", "message"), BAD.values(), ids=BAD)
def test_bad_init_segments_are_refused(data: bytes, error: type[MediaError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_init(data)
    assert type(caught.value) is error


@settings(deadline=None)
@given(st.sampled_from([*(read(f"clear/{track}_init.mp4") for track in TRACKS), MUXED]), st.data())
def test_mutations_raise_media_errors_only(data: bytes, draw: st.DataObject) -> None:
    mutated = bytearray(data)
    for at, value in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=4)):
        mutated[at] = value
    cut = draw.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    with suppress(MediaError):
        protect_init(parse_init(bytes(mutated[:cut])), protection("cbcs"), [PSSH])
