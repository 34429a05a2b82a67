from typing import Any

import pytest

from keys.watermark import chip_key
from relay.errors import ConfigError
from relay.reload import check_reload
from relay.watermark.index import key_check
from relay.watermark.jobs.chip_keys import chip_key_of
from tests.control.desk import desk_config

SECRET, OTHER = b"s" * 32, b"o" * 32


def config(**analysis: Any) -> Any:
    return desk_config({}, watermark={"analysis": analysis})


@pytest.mark.parametrize(
    ("analysis", "told"),
    [
        ({"memory": "512MiB"}, "watermark.analysis.memory: less than the libraries take"),
        ({"cpu": "0s"}, "watermark.analysis.cpu: 0 would refuse every upload"),
        ({"max_upload": "0B"}, "watermark.analysis.max_upload"),
        ({"queue": 0}, "watermark.analysis.queue"),
        ({"false_accusation": 1.0}, "watermark.analysis.false_accusation"),
        ({"folder": "x"}, "folder"),
    ],
)
def test_what_cannot_work_is_refused(analysis: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config(**analysis)


def test_limits_change_in_a_running_relay_and_the_directory_does_not() -> None:
    check_reload(config(), config(assets="a", memory="4GiB", retention="1d"))
    with pytest.raises(ConfigError, match=r"watermark\.analysis\.directory"):
        check_reload(config(), config(directory="elsewhere"))


def test_streams_of_one_asset_have_one_code() -> None:
    stream = {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8"}
    marks = [{"asset": "film", "colluders": 2}, {"asset": "film", "colluders": 4}]
    desk_config({}, streams={"a": {**stream, "watermark": marks[0]}, "b": {**stream, "watermark": marks[0]}})
    with pytest.raises(ConfigError, match="another code"):
        desk_config({}, streams={"a": {**stream, "watermark": marks[0]}, "b": {**stream, "watermark": marks[1]}})


def test_the_chip_key_is_the_one_that_the_asset_was_marked_with() -> None:
    derived = chip_key(SECRET, "film")
    for key in (derived, OTHER):
        assert chip_key_of("film", key_check(key, "film"), SECRET, OTHER) == key
    assert chip_key_of("film", key_check(b"x" * 32, "film"), SECRET, OTHER) is None
    assert chip_key_of("clip", key_check(derived, "film"), SECRET, OTHER) is None
    assert chip_key_of("film", key_check(derived, "film"), SECRET, b"") == derived
