from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from relay.watermark.analyse.asset import Asset, Segment
from relay.watermark.analyse.errors import AssetError
from relay.watermark.analyse.proxy import Proxy
from relay.watermark.picture.grid import grid_of

SEGMENTS, FRAMES, FPS = 33, 6, 25
SIZE = (192, 128)


def brightness(frame: int) -> int:
    return 20 + frame % 200


@pytest.fixture(scope="module", params=["frag_keyframe+dash+global_sidx", "frag_keyframe+empty_moov", "faststart"])
def asset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asset:
    path = tmp_path_factory.mktemp("proxy") / "proxy.mp4"
    with av.open(path, "w", options={"movflags": request.param}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(FRAMES), "sc_threshold": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        # Of some size, or the demuxer has all of it in its buffer.
        grain = np.random.default_rng(5).integers(-15, 16, (SIZE[1] * 3 // 2, SIZE[0]))
        for frame in range(SEGMENTS * FRAMES):
            planes = np.asarray(brightness(frame) + np.roll(grain, 7 * frame, axis=0), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
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
