import re
from html.parser import HTMLParser
from typing import Any

import pytest

from relay.watermark.jobs.findings import finding_of, result_of
from relay.watermark.jobs.job import Job
from relay.watermark.jobs.report import page_of
from relay.watermark.jobs.result import AnalysisResult, Pictures, Status
from relay.watermark.serving.served import Interval
from tests.watermark.jobs.values import accusation, accused, asset_reading, job, reading, row, score

READING = asset_reading(score(10), score(11, 0.0, erased=True), score(12, -21.5), score(15))
ROWS = {7: [row("s<1>", Interval(0, 20, 1_700_000_000.0, 1_700_000_040.0))]}
VOID = {"meta", "br", "img", "rect", "line", "polygon"}


class Reader(HTMLParser):
    """Fails where tags do not nest; gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(result: AnalysisResult, about: Job | None = None) -> Reader:
    pictures = [Pictures(asset="film", pictures=list(READING.pictures))]
    reader = Reader()
    reader.feed(page_of(about or job(), result, pictures, 1e-9))
    assert reader.open == []
    return reader


def found(**further: Any) -> AnalysisResult:
    told = accusation(*further.pop("accused", [accused(7, bound=4e-11)]), **further)
    return result_of(reading(READING), [finding_of(READING, told, ROWS, further.get("missing", []))], "")


def test_one_is_named_with_all_that_speaks_for_it() -> None:
    page = read(found())
    for text in (
        "The source of this copy is identified",
        "wm-1",
        "at most 1 in 2.5 × 10",
        "s<1>",
        "account-s<1>",
        "device-s<1>",
        "2023-11-14 22:13:40 UTC to 2023-11-14 22:13:50 UTC",
        "9 of 10",
        "1.01 (1 is as it should be)",
        "Not read: position 11",
        "no: it is damaged, or longer than is read",
        "30.0 s to 40.0 s",
        "1.0400",
        "80%",
    ):
        assert text in page.text, text
    bars = [attributes["class"] for tag, attributes in page.seen if tag == "rect" and attributes.get("class")]
    assert bars == ["noise", "a", "unread", "b", "a", "frame"]


def test_it_needs_nothing_from_anywhere_and_runs_nothing() -> None:
    page = read(found())
    assert not {tag for tag, _ in page.seen} & {"script", "link", "iframe", "object", "form", "base"}
    for tag, attributes in page.seen:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,"), tag


def test_what_others_wrote_is_text() -> None:
    evil = '"><script>alert(1)</script>'
    page = read(found(), job(note=evil, actor=evil))
    assert page.text.count(evil) == 2
    assert "script" not in {tag for tag, _ in page.seen}


def test_who_it_is_is_left_out_where_it_must_be() -> None:
    page = read(found().pseudonymous())
    assert "wm-1" in page.text
    assert "account-" not in page.text
    assert "told to those alone who may read of viewers" in page.text


@pytest.mark.parametrize(("seconds", "told"), [(64.0, "About 64 seconds more"), (None, "cannot be said")])
def test_too_little_accuses_nobody(seconds: float | None, told: str) -> None:
    page = read(
        found(accused=[], status=Status.INSUFFICIENT_EVIDENCE, best_bits=21.0, estimated_further_seconds=seconds)
    )
    assert "not enough evidence to name anybody" in page.text
    assert "21.0 of the 38.2 bits" in page.text
    assert told in page.text
    assert "wm-1" not in page.text


def test_two_are_named_together() -> None:
    pair = [accused(7, bound=1e-5), accused(8, bound=2e-5)]
    page = read(found(accused=pair, status=Status.PAIR_IDENTIFIED, pair_bound=1e-12))
    assert "Two sources" in page.text
    assert re.search(r"both are innocent is at most 1 in 1\.0 × 10\s*12", page.text)


@pytest.mark.parametrize(("asset", "told"), [("", "none of the assets"), ("film", "does not show asset film")])
def test_a_copy_of_nothing(asset: str, told: str) -> None:
    page = read(result_of(reading(), [], asset))
    assert told in page.text
    assert "Asset film" not in page.text
