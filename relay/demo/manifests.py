"""The demo origin's own manifests, as a plain packager would write them: HLS (RFC 8216) and DASH (ISO/IEC 23009-1)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from relay.demo.clip import Clip, Track
from relay.demo.scene import FRAME_RATE, LAP_S, SAMPLE_RATE, SEGMENT_S
from relay.demo.timeline import LAP, WINDOW, Endless, Place

HLS_TYPE = "application/vnd.apple.mpegurl"
DASH_TYPE = "application/dash+xml"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def multivariant(clip: Clip) -> str:
    """The HLS multivariant playlist, of the live stream and of the VOD alike."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Beeps",LANGUAGE="en",DEFAULT=YES,CHANNELS="2",URI="audio.m3u8"',
    ]
    for track in clip.video:
        width, height = _size(track)
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={track.peak_bandwidth + clip.audio.peak_bandwidth},"
            f"AVERAGE-BANDWIDTH={track.mean_bandwidth + clip.audio.mean_bandwidth},"
            f'CODECS="{track.codec},{clip.audio.codec}",RESOLUTION={width}x{height},FRAME-RATE={FRAME_RATE}.000,AUDIO="audio"'
        )
        lines.append(f"{track.name}.m3u8")
    return _text(lines)


def live_playlist(track: Track, now: float) -> str:
    """The HLS media playlist of a track at ``now``."""
    window = Endless(track).live_window(now)
    header = [f"#EXT-X-MEDIA-SEQUENCE:{window.start}"]
    return _media_playlist(track, window, header, dated=True)


def vod_playlist(track: Track) -> str:
    """The HLS media playlist of a track of the clip played once."""
    return _media_playlist(track, LAP, ["#EXT-X-PLAYLIST-TYPE:VOD"], dated=False) + "#EXT-X-ENDLIST\n"


def _media_playlist(track: Track, window: range, header: list[str], *, dated: bool) -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{SEGMENT_S}", *header]
    lines += ["#EXT-X-INDEPENDENT-SEGMENTS", f'#EXT-X-MAP:URI="{track.name}/init.mp4"']
    for place in Endless(track).places(window):
        if dated:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(place.start, track.timescale)}")
        lines.append(f"#EXTINF:{place.duration / track.timescale:.6f},")
        lines.append(f"{track.name}/{place.number}.m4s")
    return _text(lines)


def live_mpd(clip: Clip, now: float) -> str:
    """The DASH manifest of the live stream at ``now``. Its times count from the Unix epoch."""
    windows = {track.name: Endless(track).live_window(now) for track in clip.tracks}
    published = max(
        _date(Endless(track).place(windows[track.name].stop - 1).end, track.timescale) for track in clip.tracks
    )
    attributes = (
        f'type="dynamic" availabilityStartTime="{_date(0, 1)}" publishTime="{published}" '
        f'minimumUpdatePeriod="PT{SEGMENT_S}S" timeShiftBufferDepth="PT{WINDOW * SEGMENT_S}S" '
        f'suggestedPresentationDelay="PT{3 * SEGMENT_S}S"'
    )
    # Without one, dash.js asks a public time server.
    clock = f'<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="{_date(int(now * 1000), 1000)}"/>'
    return _mpd(clip, windows, attributes, clock)


def vod_mpd(clip: Clip) -> str:
    """The DASH manifest of the clip played once."""
    attributes = f'type="static" mediaPresentationDuration="PT{LAP_S}S"'
    return _mpd(clip, {track.name: LAP for track in clip.tracks}, attributes)


def _mpd(clip: Clip, windows: dict[str, range], attributes: str, clock: str = "") -> str:
    representations = "".join(map(_video_representation, clip.video))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011"
     {attributes} minBufferTime="PT{SEGMENT_S}S" maxSegmentDuration="PT{SEGMENT_S + 1}S">
  <Period id="0" start="PT0S">
    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      {_segment_template(clip.video[0], windows[clip.video[0].name])}{representations}
    </AdaptationSet>
    <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      {_segment_template(clip.audio, windows[clip.audio.name])}
      <Representation id="{clip.audio.name}" codecs="{clip.audio.codec}"
                      bandwidth="{clip.audio.peak_bandwidth}" audioSamplingRate="{SAMPLE_RATE}">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
      </Representation>
    </AdaptationSet>
  </Period>
  {clock}
</MPD>
"""


def _video_representation(track: Track) -> str:
    width, height = _size(track)
    return f"""
      <Representation id="{track.name}" codecs="{track.codec}" bandwidth="{track.peak_bandwidth}"
                      width="{width}" height="{height}" frameRate="{FRAME_RATE}" sar="1:1"/>"""


def _segment_template(track: Track, window: range) -> str:
    timeline = "\n          ".join(_timeline(Endless(track).places(window)))
    return f"""<SegmentTemplate timescale="{track.timescale}" initialization="$RepresentationID$/init.mp4"
                       media="$RepresentationID$/t$Time$.m4s">
        <SegmentTimeline>
          {timeline}
        </SegmentTimeline>
      </SegmentTemplate>"""


def _timeline(places: Sequence[Place]) -> list[str]:
    elements: list[str] = []
    for duration, run in groupby(places, key=lambda place: place.duration):
        count = len(list(run))
        time = "" if elements else f't="{places[0].start}" '
        repeat = f' r="{count - 1}"' if count > 1 else ""
        elements.append(f'<S {time}d="{duration}"{repeat}/>')
    return elements


def _date(ticks: int, timescale: int) -> str:
    moment = _EPOCH + timedelta(microseconds=round(ticks * 1_000_000 / timescale))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _size(track: Track) -> tuple[int, int]:
    assert track.size is not None, "a video track has a size"
    return track.size


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
