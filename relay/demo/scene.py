"""What the demo's clip shows and sounds like, as an ffmpeg command line.

Everything comes again after :data:`LAP_S` and not before: twenty shots of clouds, none as long as the next, under a
gradient which changes its hue, a burnt-in time code, three squares on their paths, colour bars and a progress bar; one
soft beep a second, higher on every second one. So whoever looks for a recording's place in the lap finds one, as in a
film. The clouds are there for the watermark, which hides in texture.
"""

from pathlib import Path

LAP_S = 96
"""Length of one lap: whole segments that AAC frames (1024/48000 s) divide, 4500 of them, and as many positions of the
watermark, 48, as name one of ten thousand sessions."""

SEGMENT_S = 2
FRAME_RATE = 25
SAMPLE_RATE = 48_000
AAC_FRAME = 1024
PICTURE = "scene.mp4"
SIZE = (1280, 720)

_CYCLE = f"2*PI*t/{LAP_S}"
_CLOUDS = (2560, 1440)


def encode_command(ffmpeg: str, directory: Path) -> list[str]:
    """The command that writes ``scene.mp4`` and ``audio_{init.mp4,0.m4s,1.m4s,…}`` into ``directory``.

    The picture lasts one lap, to be encoded again; audio two and a bit: the encoder's priming spoils the start of the
    first lap, and the second begins where the overlap of the transform already holds the lap before it.
    """
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-progress", "pipe:1", "-bitexact"]
    for source in _sources():
        command += ["-f", "lavfi", "-i", source]
    command += ["-filter_complex", ";".join(_graph())]
    command += ["-map", "[picture]", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12"]
    # Whoever makes its segments in parallel seeks to their starts.
    command += ["-g", str(FRAME_RATE * SEGMENT_S), str(directory / PICTURE)]
    return [*command, "-map", "[audio]", "-c:a", "aac", "-b:a", "128k", *_segmenter("audio", directory)]


def _sources() -> list[str]:
    clock = f"r={FRAME_RATE}:d={LAP_S}"
    # 660 Hz on even seconds, 440 on odd ones, 880 at the start of each 12 s: whole numbers of cycles.
    pitch = "(440+220*eq(mod(floor(t)\\,2)\\,0)+220*eq(mod(floor(t)\\,12)\\,0))"
    beep = f"0.2*sin(2*PI*{pitch}*t)*exp(-9*mod(t\\,1))"
    clouds = f"s={_CLOUDS[0]}x{_CLOUDS[1]}:octaves=7:persistence=0.62:xscale=8:yscale=8:random_mode=seed:seed=11"
    return [
        f"gradients=s=320x180:{clock}:speed=0.00001:seed=7:n=2:c0=0x3b82f6:c1=0x334155:x0=0:y0=0:x1=320:y1=180",
        f"perlin={clouds}",
        f"testsrc2=s=320x180:{clock}",
        f"color=c=0xe2e8f0:s=20x20:{clock}",
        f"pal75bars=s=1280x28:{clock}",
        f"color=c=0xe2e8f0:s=1280x8:{clock}",
        f"aevalsrc=exprs={beep}|{beep}:s={SAMPLE_RATE}:d={2 * LAP_S + SEGMENT_S}",
    ]


def _graph() -> list[str]:
    width, height = SIZE
    path = f"overlay=x='630+430*cos({{}}*{_CYCLE}+{{}})':y='350+230*sin({{}}*{_CYCLE}+{{}})'"
    noise = f"trim=end_frame=1,loop=-1:1,setpts=N/{FRAME_RATE}/TB,format=yuv420p,lutyuv=y=2.2*val-154:u=128:v=128"
    shot = f"floor(t/4.8+0.9*sin(3*{_CYCLE}))"
    view = f"x='mod(797*{shot},{_CLOUDS[0] - width})':y='mod(463*{shot},{_CLOUDS[1] - height})'"
    return [
        f"[0:v]format=yuv420p,hue=H='0.6*sin({_CYCLE})',scale={width}:{height}:flags=bilinear[sky]",
        # One picture of noise with more contrast, held, of which each shot shows another part.
        f"[1:v]{noise},crop={width}:{height}:{view}[clouds]",
        "[sky][clouds]blend=c0_mode=overlay:c1_mode=normal:c2_mode=normal:shortest=1[backdrop]",
        # The time code that testsrc2 prints in its corner, in white on black and four times as large:
        # this ffmpeg is built without drawtext, which would want a font from the machine anyway.
        "[2:v]crop=100:34:2:4,format=yuv420p,lutyuv=y='if(gt(val,110),235,16)':u=128:v=128[small]",
        "[small]scale=400:136:flags=neighbor[code]",
        "[3:v]split=3[one][two][three]",
        "[backdrop][code]overlay=440:292[a]",
        f"[a][one]{path.format(5, 0, 4, 0)}[b]",
        f"[b][two]{path.format(7, 2, 9, 2)}[c]",
        f"[c][three]{path.format(11, 4, 13, 4)}[d]",
        "[d][4:v]overlay=0:684[e]",
        f"[e][5:v]overlay=x='-W+W*t/{LAP_S}':y=712,format=yuv420p[picture]",
        # The encoder delays its input by one frame. Taking that frame off the front puts packet n of
        # the output at n * 1024 samples of the sound.
        f"[6:a]atrim=start_sample={AAC_FRAME},asetpts=PTS-STARTPTS[audio]",
    ]


def _segmenter(name: str, directory: Path) -> list[str]:
    return [
        *("-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", str(SEGMENT_S), "-hls_list_size", "0"),
        *("-hls_segment_options", "movflags=+cmaf+frag_custom+empty_moov:use_editlist=0"),
        *("-hls_fmp4_init_filename", f"{name}_init.mp4"),
        *("-hls_segment_filename", str(directory / f"{name}_%d.m4s"), str(directory / f"{name}.m3u8")),
    ]
