from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from relay.watermark.analyse.asset import Asset, Segment
from relay.watermark.analyse.errors import AssetError
from relay.watermark.analyse.proxy import Proxy
from relay.watermark.embed.cmaf import segment_index
from relay.watermark.embed.encode import Encoding, encode
from relay.watermark.embed.source import Colour
from relay.watermark.embed.timing import Timing
from relay.watermark.embed.work import init_of, video_fragment
from relay.watermark.picture.grid import grid_of
from tests.watermark.embed.clips import frames_of

SEGMENTS, FRAMES, FPS = 33, 6, 25
SIZE = (192, 128)


def brightness(frame: int) -> int:
    return 20 + frame % 200


@pytest.fixture(scope="module", params=["indexed", "growing"])
def asset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asset:
    """As the embedder writes it: fragments, behind an index of segments where the title is complete."""
    path = tmp_path_factory.mktemp("proxy") / "proxy.mp4"
    timing = Timing(Fraction(FPS), Fraction(FRAMES, FPS))
    encoding = Encoding(*SIZE, timing.rate, Colour(1, 1, 1), crf=10)
    # Of some size, or the demuxer has all of it in its buffer.
    grain = np.random.default_rng(5).integers(-15, 16, SIZE[::-1])
    pieces = []
    for position in range(SEGMENTS):
        lumas = [brightness(position * FRAMES + k) + np.roll(grain, 7 * k, axis=0) for k in range(FRAMES)]
        encoded = encode(list(frames_of(luma.astype(np.uint8) for luma in lumas)), encoding)
        pieces.append(video_fragment(encoded, position, timing))
    references = [(len(piece), FRAMES * timing.tick) for piece in pieces]
    index = segment_index(timing.timescale, 0, references) if request.param == "indexed" else b""
    path.write_bytes(init_of(encoded, encoding, timing) + index + b"".join(pieces))
    return Asset(
        asset="film",
        proxy=path,
        fps=Fraction(FPS),
        grid=grid_of(*SIZE),
        segments=tuple(Segment(k, k * FRAMES / FPS, FRAMES) for k in range(SEGMENTS)),
        activity=np.zeros(10, np.float32),
    )


def test_segments_are_themselves_in_whatever_order_they_are_asked_for(
    asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.watermark.analyse.proxy._CACHED_BYTES", 0)
    order = [8, 10, 13, 15, 21, 24, 9, 12, 20, 8, 11, 19, 22, 17, 9, *range(16, SEGMENTS), 7, 6, 5, 0, 1, 2]
    with Proxy(asset) as proxy:
        for at in order:
            shown = [round(float(frame.mean())) for frame in proxy.segment(at)]
            assert shown == pytest.approx([brightness(at * FRAMES + k) for k in range(FRAMES)], abs=1), at


def test_the_frame_of_a_time(asset: Asset) -> None:
    with Proxy(asset) as proxy:
        assert proxy.shown_at(2 * FRAMES / FPS) == (2, 0)
        assert proxy.shown_at((2 * FRAMES + 3.5) / FPS) == (2, 3)
        assert proxy.shown_at(-0.1) is None
        assert proxy.shown_at(SEGMENTS * FRAMES / FPS + 0.1) is None


def test_no_proxy_is_an_error_that_names_the_asset(tmp_path: Path, asset: Asset) -> None:
    empty = tmp_path / "proxy.mp4"
    empty.write_bytes(b"")
    with pytest.raises(AssetError, match=r"asset film: proxy proxy\.mp4"):
        Proxy(Asset("film", empty, asset.fps, asset.grid, asset.segments, asset.activity))
