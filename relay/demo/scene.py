"""What the demo's clip shows and sounds like, as an ffmpeg command line.

Everything moves with a period that divides :data:`LAP_S`, so the clip loops without a visible or
audible seam: a gradient that changes its hue, a burnt-in time code, three squares on their orbits, colour
bars and a progress bar; one soft beep a second, higher on every second one.
"""

from pathlib import Path

LAP_S = 24
"""Length of one lap: the shortest whole seconds, in segments, that AAC frames (1024/48000 s) divide: 1125 of them."""

SEGMENT_S = 2
FRAME_RATE = 25
SAMPLE_RATE = 48_000
AAC_FRAME = 1024

_SIZES = {"v720": (1280, 720, 2200), "v360": (640, 360, 900)}
"""Renditions: width, height, peak kbit/s."""


def encode_command(ffmpeg: str, directory: Path) -> list[str]:
    """The command that writes ``{v720,v360,audio}_{init.mp4,0.m4s,1.m4s,…}`` into ``directory``.

    Video lasts one lap, audio two and a bit: the encoder's priming spoils the start of the first lap,
    and the second begins where the overlap of the transform already holds the lap before it.
    """
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-progress", "pipe:1", "-bitexact"]
    for source in _sources():
        command += ["-f", "lavfi", "-i", source]
    command += ["-filter_complex", ";".join(_graph())]
    gop = FRAME_RATE * SEGMENT_S
    for name, (_, _, peak) in _SIZES.items():
        command += ["-map", f"[{name}]", "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-crf", "20"]
        command += ["-maxrate", f"{peak}k", "-bufsize", f"{2 * peak}k", "-flags", "+cgop"]
        command += ["-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", *_segmenter(name, directory)]
    return [*command, "-map", "[audio]", "-c:a", "aac", "-b:a", "128k", *_segmenter("audio", directory)]


def _sources() -> list[str]:
    clock = f"r={FRAME_RATE}:d={LAP_S}"
    # 660 Hz on even seconds, 440 on odd ones, 880 at the start of each half lap: whole numbers of cycles.
    pitch = "(440+220*eq(mod(floor(t)\\,2)\\,0)+220*eq(mod(floor(t)\\,12)\\,0))"
    beep = f"0.2*sin(2*PI*{pitch}*t)*exp(-9*mod(t\\,1))"
    return [
        f"gradients=s=320x180:{clock}:speed=0.00001:seed=7:n=2:c0=0x3b82f6:c1=0x111c3a:x0=0:y0=0:x1=320:y1=180",
        f"testsrc2=s=320x180:{clock}",
        f"color=c=0xe2e8f0:s=20x20:{clock}",
        f"pal75bars=s=1280x28:{clock}",
        f"color=c=0xe2e8f0:s=1280x8:{clock}",
        f"aevalsrc=exprs={beep}|{beep}:s={SAMPLE_RATE}:d={2 * LAP_S + SEGMENT_S}",
    ]


def _graph() -> list[str]:
    orbit = "overlay=x='630+430*cos(2*PI*t/{0}+{1})':y='350+230*sin(2*PI*t/{0}+{1})'"
    scales = [f"[out{name}]scale={width}:{height}[{name}]" for name, (width, height, _) in _SIZES.items()]
    return [
        f"[0:v]format=yuv420p,hue=H='0.6*sin(2*PI*t/{LAP_S})',scale=1280:720:flags=bilinear[backdrop]",
        # The time code that testsrc2 prints in its corner, in white on black and six times as large:
        # this ffmpeg is built without drawtext, which would want a font from the machine anyway.
        "[1:v]crop=100:34:2:4,format=yuv420p,lutyuv=y='if(gt(val,110),235,16)':u=128:v=128[small]",
        "[small]scale=600:204:flags=neighbor[code]",
        "[2:v]split=3[one][two][three]",
        "[backdrop][code]overlay=340:258[a]",
        f"[a][one]{orbit.format(4, 0)}[b]",
        f"[b][two]{orbit.format(6, 2)}[c]",
        f"[c][three]{orbit.format(8, 4)}[d]",
        "[d][3:v]overlay=0:684[e]",
        f"[e][4:v]overlay=x='-W+W*t/{LAP_S}':y=712,format=yuv420p,split={len(_SIZES)}"
        + "".join(f"[out{name}]" for name in _SIZES),
        *scales,
        # The encoder delays its input by one frame. Taking that frame off the front puts packet n of
        # the output at n * 1024 samples of the sound.
        f"[5:a]atrim=start_sample={AAC_FRAME},asetpts=PTS-STARTPTS[audio]",
    ]


def _segmenter(name: str, directory: Path) -> list[str]:
    return [
        *("-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", str(SEGMENT_S), "-hls_list_size", "0"),
        *("-hls_segment_options", "movflags=+cmaf+frag_custom+empty_moov:use_editlist=0"),
        *("-hls_fmp4_init_filename", f"{name}_init.mp4"),
        *("-hls_segment_filename", str(directory / f"{name}_%d.m4s"), str(directory / f"{name}.m3u8")),
    ]
