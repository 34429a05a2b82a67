"""Neutral manifests: they name each segment once, as if there were no variants (ETSI TS 104 002 §5.4).

HLS (RFC 8216) and DASH (ISO/IEC 23009-1), of an asset that is whole or, with a window, of one that goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import groupby
from math import ceil
from xml.sax.saxutils import quoteattr

from relay.watermark.embed.folder import segment_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """A segment in a manifest: start and duration in ticks, bytes of its larger variant."""

    number: int
    start: int
    duration: int
    size: int


@dataclass(frozen=True, slots=True)
class Track:
    """A rendition, or the sound. ``codec`` as in RFC 6381; ``frame`` is width, height and rate, None for sound."""

    name: str
    codec: str
    timescale: int
    segments: Sequence[Listed]
    frame: tuple[int, int, Fraction] | None = None
    language: str = "und"
    channels: int = 2

    @property
    def seconds(self) -> float:
        """What the listed segments last together."""
        return sum(one.duration for one in self.segments) / self.timescale

    @property
    def peak(self) -> int:
        """Bits per second of the segment that needs most. A stub of a segment at the end says nothing."""
        whole = max(one.duration for one in self.segments)
        return max(one.size * 8 * self.timescale // one.duration for one in self.segments if 2 * one.duration >= whole)

    @property
    def mean(self) -> int:
        """Bits per second over all listed segments."""
        return round(sum(one.size for one in self.segments) * 8 / self.seconds)


def multivariant(videos: Sequence[Track], audio: Track | None) -> str:
    """The HLS multivariant playlist."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    group, sound = "", ""
    if audio is not None:
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",LANGUAGE="{audio.language}",DEFAULT=YES,'
            f'AUTOSELECT=YES,CHANNELS="{audio.channels}",URI="{audio.name}/index.m3u8"'
        )
        group, sound = ',AUDIO="audio"', f",{audio.codec}"
    for track in videos:
        assert track.frame is not None
        width, height, rate = track.frame
        peak, mean = track.peak + (audio.peak if audio else 0), track.mean + (audio.mean if audio else 0)
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={mean},"
            f'CODECS="{track.codec}{sound}",RESOLUTION={width}x{height},FRAME-RATE={float(rate):.3f}{group}'
        )
        lines.append(f"{track.name}/index.m3u8")
    return _text(lines)


def playlist(track: Track, *, live: bool = False, ended: bool = True) -> str:
    """The HLS media playlist of a track. The times of a ``live`` one count from the Unix epoch."""
    longest = max(one.duration for one in track.segments) / track.timescale
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{ceil(longest - 0.5 + 1e-9) or 1}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{track.segments[0].number}" if live else "#EXT-X-PLAYLIST-TYPE:VOD")
    lines += ["#EXT-X-INDEPENDENT-SEGMENTS", '#EXT-X-MAP:URI="init.mp4"']
    for one in track.segments:
        if live:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(one.start / track.timescale)}")
        lines.append(f"#EXTINF:{one.duration / track.timescale:.6f},")
        lines.append(segment_name(one.number))
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return _text(lines)


def mpd(videos: Sequence[Track], audio: Track | None, *, published: float | None = None) -> str:
    """The DASH manifest. ``published`` (Unix time) makes it one of a stream that goes on, whose times count from the
    epoch."""
    longest = max(one.duration / videos[0].timescale for one in videos[0].segments)
    if published is None:
        kind = f'type="static" mediaPresentationDuration="PT{max(track.seconds for track in videos):.3f}S"'
    else:
        kind = (
            f'type="dynamic" availabilityStartTime="{_date(0)}" publishTime="{_date(published)}" '
            f'minimumUpdatePeriod="PT{longest:.3f}S" timeShiftBufferDepth="PT{videos[0].seconds:.3f}S"'
        )
    sets = [_adaptation("1", "video", "", [_representation(track) for track in videos], videos[0])]
    if audio is not None:
        sets.append(_adaptation("2", "audio", f" lang={quoteattr(audio.language)}", [_sound(audio)], audio))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011"
     {kind} minBufferTime="PT{longest:.3f}S">
  <Period id="0" start="PT0S">
{"".join(sets)}  </Period>
</MPD>
"""


def _adaptation(name: str, kind: str, extra: str, representations: Sequence[str], timed: Track) -> str:
    timeline: list[str] = []
    for duration, run in groupby(timed.segments, key=lambda one: one.duration):
        listed = list(run)
        time = "" if timeline else f' t="{listed[0].start}"'
        repeat = f' r="{len(listed) - 1}"' if len(listed) > 1 else ""
        timeline.append(f'<S{time} d="{duration}"{repeat}/>')
    attributes = f'id="{name}" contentType="{kind}" mimeType="{kind}/mp4"{extra} segmentAlignment="true"'
    return f"""    <AdaptationSet {attributes} startWithSAP="1">
      <SegmentTemplate timescale="{timed.timescale}" startNumber="{timed.segments[0].number}"
                       initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s">
        <SegmentTimeline>{"".join(timeline)}</SegmentTimeline>
      </SegmentTemplate>
{"".join(representations)}    </AdaptationSet>
"""


def _representation(track: Track) -> str:
    assert track.frame is not None
    width, height, rate = track.frame
    return (
        f'      <Representation id="{track.name}" codecs="{track.codec}" bandwidth="{track.peak}" '
        f'width="{width}" height="{height}" frameRate="{rate}" sar="1:1"/>\n'
    )


def _sound(track: Track) -> str:
    return (
        f'      <Representation id="{track.name}" codecs="{track.codec}" bandwidth="{track.peak}" '
        f'audioSamplingRate="{track.timescale}">\n        <AudioChannelConfiguration '
        f'schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="{track.channels}"/>\n'
        "      </Representation>\n"
    )


def _date(seconds: float) -> str:
    moment = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
