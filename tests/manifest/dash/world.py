"""A small player: reads a rewritten MPD as players do and says what it would fetch."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from lxml import etree
from lxml.etree import _Element as Element

from relay.manifest.context import RewriteContext
from relay.sources import Source
from relay.templates import resolve_template
from relay.urls import ClearRef, InitRef, Ref, SegmentRef, TemplateRef

NS = "{urn:mpeg:dash:schema:mpd:2011}"
CENC_NS = "{urn:mpeg:cenc:2013}"
MPD_AT = Source("show/manifest.mpd")
START_MS = 1_700_000_000_000
"""An availabilityStartTime: 2023-11-14T22:13:20Z."""


@dataclass(frozen=True)
class Seen:
    """A segment that a player would fetch. ``start`` is in seconds of the presentation."""

    period: str
    adaptation_set: str
    representation: str
    start: Fraction
    duration: Fraction
    init: Ref | None
    ref: SegmentRef | ClearRef

    @property
    def crypto(self) -> int:
        assert isinstance(self.ref, SegmentRef)
        assert self.ref.slot.period is not None
        return self.ref.slot.period


def read(url: str, at: str, ctx: RewriteContext) -> tuple[Ref, int | None]:
    """What a URL in an MPD served at ``at`` reads back as."""
    path, _, query = url.partition("?")
    path = posixpath.normpath(posixpath.join("/class", posixpath.dirname(at), path))
    assert path.startswith("/class/"), url
    return ctx.urls.read(path.removeprefix("/class/"), query)


def play(body: bytes, ctx: RewriteContext, at: str = "index.mpd", now_ms: int = 0, depth_s: int = 60) -> list[Seen]:
    """All segments that an MPD lists. Checks on the way that inits and ContentProtection agree."""
    root = etree.fromstring(body)
    dynamic = root.get("type") == "dynamic"
    found: list[Seen] = []
    starts = [_seconds(period.get("start", "PT0S")) for period in root.iter(f"{NS}Period")]
    for index, period in enumerate(root.iter(f"{NS}Period")):
        start = starts[index]
        length = _seconds(root.get("mediaPresentationDuration", "PT1000000S")) - start
        if index + 1 < len(starts):
            length = starts[index + 1] - start
        window = None
        if dynamic:
            now = Fraction(now_ms - START_MS, 1000) - start
            window = (now - depth_s, min(now, length))
        for found_set in period.iter(f"{NS}AdaptationSet"):
            for representation in found_set.iter(f"{NS}Representation"):
                names = (period.get("id", ""), found_set.get("id", ""), representation.get("id", ""))
                init = _init(representation, at, ctx)
                _check_protection(found_set, init, ctx)
                for tick, length_ticks, scale, offset, url in _segments(representation, length, window):
                    ref, value = read(url, at, ctx)
                    if isinstance(ref, TemplateRef):
                        assert value is not None
                        ref = resolve_template(ref, value, ctx.schedule_of, ctx.generation_at)
                    assert isinstance(ref, SegmentRef | ClearRef)
                    at_s = start + Fraction(tick - offset, scale)
                    found.append(Seen(*names, at_s, Fraction(length_ticks, scale), init, ref))
    return found


def _segments(
    representation: Element, length: Fraction, window: tuple[Fraction, Fraction] | None
) -> Iterator[tuple[int, int, int, int, str]]:
    """Start tick, duration, timescale, offset and URL of each segment."""
    for form in representation.iter(f"{NS}SegmentTemplate", f"{NS}SegmentList"):
        scale, offset = int(form.get("timescale", 1)), int(form.get("presentationTimeOffset", 0))
        urls = [entry.get("media", "") for entry in form.iter(f"{NS}SegmentURL")]
        media = form.get("media", "")
        number = int(form.get("startNumber", 1))
        first = number
        tick = 0
        for entry in form.iter(f"{NS}S"):
            tick = int(entry.get("t", tick))
            number = int(entry.get("n", number))
            for _ in range(int(entry.get("r", 0)) + 1):
                url = urls[number - first] if urls else media
                url = url.replace("$Number$", str(number)).replace("$Time$", str(tick))
                yield tick, int(entry.get("d", 0)), scale, offset, url
                tick, number = tick + int(entry.get("d", 0)), number + 1
        duration = int(form.get("duration", 0))
        if duration:
            low, high = window or (Fraction(0), length)
            last = int(form.get("endNumber", 2**60))
            while Fraction((number - first) * duration, scale) < high and number <= last:
                if Fraction((number - first + 1) * duration, scale) > low:
                    tick = offset + (number - first) * duration
                    yield tick, duration, scale, offset, media.replace("$Number$", str(number))
                number += 1


def _init(representation: Element, at: str, ctx: RewriteContext) -> Ref | None:
    for form in representation.iter(f"{NS}SegmentTemplate"):
        if "initialization" in form.attrib:
            return read(form.get("initialization", ""), at, ctx)[0]
    for element in representation.iter(f"{NS}Initialization"):
        return read(element.get("sourceURL", ""), at, ctx)[0] if "sourceURL" in element.attrib else None
    return None


def _check_protection(found_set: Element, init: Ref | None, ctx: RewriteContext) -> None:
    kids = [element.get(f"{CENC_NS}default_KID") for element in found_set.iter(f"{NS}ContentProtection")]
    if isinstance(init, InitRef):
        assert kids
        assert kids[0] is not None
        assert kids[0].replace("-", "") == ctx.signal(init.slot).kid.hex()
    else:
        assert not kids


def _seconds(text: str) -> Fraction:
    assert text.startswith("PT")
    assert text.endswith("S")
    return Fraction(text[2:-1])


def live(first: int, last: int, *, identifier: str = "$Number$", lag: int = 0, extra: str = "") -> bytes:
    """A live MPD that lists the 2 s video segments number first…last, and the audio segments that are there ``lag``
    segments before.

    Audio segments last 96256 or 95232 ticks of 1/48000 s, so none of them but the first starts with a video segment.
    """
    audio = [(0, 96256)]
    while audio[-1][0] < last * 96000:
        tick = sum(audio[-1])
        # Stay within one AAC frame of the video's grid.
        audio.append((tick, 96256 if tick <= len(audio) * 96000 else 95232))
    listed = [(n + 1, *segment) for n, segment in enumerate(audio) if (first - 1) * 96000 <= sum(segment)]
    listed = [entry for entry in listed if entry[1] + entry[2] <= (last - lag) * 96000 + 1024]
    entries = "".join(f'<S t="{tick}" d="{length}"/>' for _, tick, length in listed)
    return f"""<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" minBufferTime="PT2S"
      availabilityStartTime="2023-11-14T22:13:20Z" timeShiftBufferDepth="PT60S" minimumUpdatePeriod="PT2S">
      <Period id="live" start="PT0S">{extra}
        <AdaptationSet id="1" mimeType="video/mp4" contentType="video">
          <SegmentTemplate timescale="90000" media="v/$RepresentationID$/{identifier}.m4s"
              initialization="v/$RepresentationID$/init.mp4" startNumber="{first}">
            <SegmentTimeline><S t="{(first - 1) * 180000}" d="180000" r="{last - first}"/></SegmentTimeline>
          </SegmentTemplate>
          <Representation id="hd" bandwidth="4000000" width="1280" height="720" codecs="avc1.64001f"/>
        </AdaptationSet>
        <AdaptationSet id="2" mimeType="audio/mp4" contentType="audio">
          <SegmentTemplate timescale="48000" media="a/{identifier}.m4s" initialization="a/init.mp4"
              startNumber="{listed[0][0]}">
            <SegmentTimeline>{entries}</SegmentTimeline>
          </SegmentTemplate>
          <Representation id="aac" bandwidth="128000" codecs="mp4a.40.2"/>
        </AdaptationSet>
      </Period>
    </MPD>""".encode()
