"""The evidence in a browser: read on a screen and on paper, with nothing from elsewhere."""

from pathlib import Path

import cv2
import numpy as np
from msgspec.structs import replace
from playwright.sync_api import Browser

from relay.watermark.analyse.reading import Picture
from relay.watermark.jobs.findings import finding_of, result_of
from relay.watermark.jobs.report import page_of
from relay.watermark.jobs.result import Pictures
from relay.watermark.serving.served import Interval
from tests.e2e.browser import open_page
from tests.watermark.jobs.values import accusation, accused, asset_reading, job, reading, row, score


def test_the_evidence_is_there_to_see(browser: Browser, tmp_path: Path) -> None:
    _, jpeg = cv2.imencode(".jpg", np.tile(np.arange(0, 240, dtype=np.uint8), (135, 2)))
    scores = [score(n, (-1) ** (n // 3) * (8.0 + n % 7), erased=n % 11 == 5) for n in range(60)]
    seen = replace(asset_reading(*scores), pictures=(Picture(position=4, leak_s=8.0, jpeg=jpeg.tobytes()),))
    rows = {7: [row("s1", Interval(0, 60, 1_700_000_000.0, 1_700_000_120.0))]}
    result = result_of(reading(seen), [finding_of(seen, accusation(accused(7)), rows, [])], "")
    file = tmp_path / "evidence.html"
    file.write_text(page_of(job(), result, [Pictures(asset="film", pictures=list(seen.pictures))], 1e-9))
    asked: list[str] = []
    complaints: list[str] = []
    with open_page(browser) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        assert [url for url in asked if not url.startswith("data:image/jpeg")] == [file.as_uri()]
        assert page.evaluate("[...document.images].every(image => image.naturalWidth === 480)")
        assert page.locator("svg.scores rect.a, svg.scores rect.b").count() == sum(not one.erased for one in scores)
        for width in (1100, 420):
            page.set_viewport_size({"width": width, "height": 900})
            chart = page.locator("svg.scores").bounding_box()
            assert chart is not None
            assert chart["width"] <= width
            assert chart["height"] > 60
        assert page.pdf().startswith(b"%PDF")
        assert len(page.screenshot(full_page=True)) > 20_000
    assert complaints == []
