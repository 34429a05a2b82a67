"""The sample configuration is complete, loads, and tells the truth about the defaults."""

import re
import tomllib
from pathlib import Path

import pytest

from relay.config import Config, StreamConfig, load_config, parse_config

SAMPLE = Path(__file__).parent.parent / "deploy" / "relay.toml"


def test_the_sample_loads() -> None:
    assert list(load_config(SAMPLE).streams) == ["channel-one"]


def test_what_is_commented_out_is_the_default() -> None:
    text = SAMPLE.read_text()
    settings = re.sub(r"(?m)^# ((?!public_url|also)[a-z_]+ = )", r"\1", text)
    assert settings != text
    assert parse_config(tomllib.loads(settings), "sample") == load_config(SAMPLE)


@pytest.mark.parametrize("section", [Config, StreamConfig])
def test_every_setting_is_there(section: type[Config] | type[StreamConfig]) -> None:
    text = SAMPLE.read_text()
    for name in section.__struct_fields__:
        assert re.search(rf"(?m)^(# )?({name} =|\[+(streams\.channel-one\.)?{name})", text), name
