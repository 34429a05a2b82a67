"""``segmentgate policy check``: scenes as a table, and the place of what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import failed, good

SCENES: list[dict[str, Any]] = [
    {"label": "late show", "start": "02:00:00", "drm_level": "Medium", "hdcp": True, "outputs": {"av_adapter": False}},
    {
        "label": "match",
        "start": "00:30:00",
        "end": "01:00:00",
        "drm_level": "L1",
        "hdcp": "2.2",
        "tracks": {"sd": {"drm_level": "L3", "hdcp": "1"}, "uhd": None},
    },
    {"label": "warm-up", "start": "00:00:00", "end": "00:30:00", "drm_level": "Low"},
]


def check(folder: Path, body: object) -> Path:
    file = folder / "policy.json"
    file.write_text(body if isinstance(body, str) else json.dumps(body))
    return file


def test_scenes_are_shown_in_order_of_time(tmp_path: Path) -> None:
    output = good("policy", "check", check(tmp_path, {"stream_id": "news", "scenes": SCENES}))
    assert [line.rstrip() for line in output.splitlines()] == [
        "  label      from      to        level  HDCP  exceptions",
        "  warm-up    00:00:00  00:30:00  L3     none",
        "  match      00:30:00  01:00:00  L1     2.2   sd: L3, HDCP 1.x; uhd: nobody",
        "  late show  02:00:00  the end   L1     1.x   no av adapter",
        "From 01:00:00 to 02:00:00 the stream's own terms hold.",
    ]


def test_no_scenes_are_good(tmp_path: Path) -> None:
    assert "own terms" in good("policy", "check", check(tmp_path, {"scenes": []}))


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("{", "not JSON"),
        ([], "Expected `object`"),
        ({}, "`scenes`"),
        ({"scenes": [{**SCENES[2], "label": ""}]}, "/scenes/0/label"),
        ({"scenes": [SCENES[2], {**SCENES[1], "drm_level": "L4"}]}, "/scenes/1/drm_level"),
        ({"scenes": [{**SCENES[1], "colour": "red"}]}, "/scenes/0"),
        ({"scenes": [{**SCENES[1], "start": "25 past"}]}, "/scenes/0/start"),
        ({"scenes": [{**SCENES[1], "end": "00:30:00"}]}, "/scenes/0/end: scene 'match' does not end after its start"),
        ({"scenes": [SCENES[1], SCENES[0], SCENES[1]]}, "/scenes/2/start: scene 'match' starts before"),
        ({"scenes": SCENES, "starts_at": "tomorrow"}, "/starts_at: not a time"),
        ({"scenes": SCENES, "starts_at": 1_795_345_522_672}, "/starts_at: more than ten years ahead"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(tmp_path: Path, body: object, place: str) -> None:
    error = failed("policy", "check", check(tmp_path, body))
    assert (place in error, "policy.json" in error) == (True, True)


def test_more_than_nodes_keep_is_too_much(tmp_path: Path) -> None:
    long = [
        {
            "label": "x" * 60 + str(at),
            "start": f"{at:02}:00:00",
            "end": f"{at + 1:02}:00:00",
            "drm_level": "hardware",
            "tracks": {track: {"drm_level": "hardware", "hdcp": "2.2"} for track in ("sd", "hd", "uhd")},
        }
        for at in range(90)
    ]
    assert "give fewer or shorter scenes" in failed("policy", "check", check(tmp_path, {"scenes": long}))
