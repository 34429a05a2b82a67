"""Positions of segments: asked for once, bounded, and failures believed for a while only."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

import relay.watermark.serving.positions as positions_module
from keys.model import TrackType
from relay.errors import OriginMissingError, OriginTimeoutError
from relay.origin.client import Fetched, Origin
from relay.sources import ByteRange, Source
from relay.streams import Stream
from relay.urls import SegmentRef, SlotRef
from relay.watermark.etsi.sidecar import ByteRanges, Discrete, Segment
from relay.watermark.serving.marking import Marking
from relay.watermark.serving.positions import LOOK_AGAIN_S, OUTSIDE, UNKNOWN, InitOf, Positions, SpanningRangeError
from relay.watermark.settings import MarkConfig


@dataclass
class Sidecars:
    """An origin that has sidecars alone, by path."""

    files: dict[str, bytes | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, _scope: Any, source: Source, limit: int) -> Fetched:
        self.asked.append(source.path)
        await asyncio.sleep(0)
        found = self.files.get(source.path, OriginMissingError("origin answered 404", 404))
        if isinstance(found, Exception):
            raise found
        assert len(found) <= limit
        return Fetched(found, source, "", "application/cbor")


@dataclass
class Named:
    """A stream by its name."""

    name: str = "film"
    scope: Any = None


class Scene:
    """Positions over an origin, on a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.origin = Sidecars()
        self.positions = Positions(cast("Origin", self.origin), cast("InitOf", None), lambda: self.now)
        self.stream = cast("Stream", Named())
        self.marking = Marking.of(MarkConfig(pattern="^v/"), "film", bytes(32))

    async def position(self, path: str = "v/1.m4s", span: ByteRange | None = None) -> int:
        place = await self.positions.find(self.stream, self.marking, ref(path, span))
        return place.position


def ref(path: str = "v/1.m4s", span: ByteRange | None = None) -> SegmentRef:
    return SegmentRef(Source(path), SlotRef(TrackType.HD, 1, 0), span)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_everybody_at_once_asks_once(scene: Scene) -> None:
    scene.origin.files["v/WMPaceInfo/1.m4s"] = Discrete(Segment(33)).encode()
    assert scene.positions.get(scene.stream, scene.marking, ref()) is None
    assert set(await asyncio.gather(*(scene.position() for _ in range(50)))) == {33}
    assert scene.origin.asked == ["v/WMPaceInfo/1.m4s"]
    place = scene.positions.get(scene.stream, scene.marking, ref())
    assert place is not None
    assert place.position == 33
    scene.now += 1e6
    assert await scene.position() == 33
    assert len(scene.origin.asked) == 1


async def test_what_failed_is_asked_for_again_after_a_while(scene: Scene) -> None:
    scene.origin.files["v/WMPaceInfo/1.m4s"] = OriginTimeoutError("origin took too long")
    assert [await scene.position() for _ in range(3)] == [UNKNOWN] * 3
    scene.origin.files["v/WMPaceInfo/1.m4s"] = Discrete(Segment(33)).encode()
    assert await scene.position() == UNKNOWN
    scene.now += LOOK_AGAIN_S + 1
    assert await scene.position() == 33
    assert len(scene.origin.asked) == 2


async def test_variant_b_is_missed_for_a_while(scene: Scene) -> None:
    scene.origin.files["v/WMPaceInfo/1.m4s"] = Discrete(Segment(33)).encode()
    place = await scene.positions.find(scene.stream, scene.marking, ref())
    scene.positions.note_single(scene.stream, ref(), place)
    again = await scene.positions.find(scene.stream, scene.marking, ref())
    assert (again.position, again.single) == (33, True)
    scene.now += LOOK_AGAIN_S + 1
    assert not (await scene.positions.find(scene.stream, scene.marking, ref())).single


async def test_another_configuration_asks_anew(scene: Scene) -> None:
    scene.origin.files["v/WMPaceInfo/1.m4s"] = Discrete(Segment(33)).encode()
    assert await scene.position() == 33
    scene.marking = Marking.of(MarkConfig(asset="other"), "film", bytes(32))
    assert scene.positions.get(scene.stream, scene.marking, ref()) is None
    assert await scene.position() == 33


async def test_what_is_not_of_the_pattern_is_not_asked_for(scene: Scene) -> None:
    assert await scene.position("slate/1.m4s") == OUTSIDE
    assert scene.origin.asked == []


async def test_a_file_of_ranges_is_read_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions_module, "INLINE_BYTES", 0)
    ranges = ByteRanges(1000, (0, 100, 400, 700), (-1, 5, 6, 6))
    scene.origin.files["v/WMPaceInfo/f.mp4"] = ranges.encode()
    spans = [(0, 100), (100, 300), (150, 10), (400, 300), (400, 600), (700, None)]
    found = [await scene.position("v/f.mp4", ByteRange(*span)) for span in spans]
    assert found == [-1, 5, 5, 6, 6, 6]
    assert scene.origin.asked == ["v/WMPaceInfo/f.mp4"]
    for span in [(0, 101), (100, 301), (900, 200), (0, None)]:
        with pytest.raises(SpanningRangeError):
            await scene.position("v/f.mp4", ByteRange(*span))
    with pytest.raises(SpanningRangeError):
        await scene.position("v/f.mp4")


async def test_what_is_remembered_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions_module, "MAX_PLACES", 3)
    for number in range(5):
        scene.origin.files[f"v/WMPaceInfo/{number}"] = Discrete(Segment(number)).encode()
        assert await scene.position(f"v/{number}") == number
    known = [scene.positions.get(scene.stream, scene.marking, ref(f"v/{number}")) for number in range(5)]
    assert [place is not None for place in known] == [False, False, True, True, True]
