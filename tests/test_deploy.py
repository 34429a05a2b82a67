"""The sample configuration is complete, loads, and tells the truth about the defaults."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from relay import config as sections
from relay.config import load_config, parse_config
from relay.gate.carriers import DEFAULT_NAMES, Names
from relay.gate.dialects.registry import DIALECTS, options_of
from relay.issuing import names_of

SAMPLE = Path(__file__).parent.parent / "deploy" / "relay.toml"
SECTIONS = [
    section
    for section in vars(sections).values()
    if isinstance(section, type) and issubclass(section, msgspec.Struct) and section.__struct_fields__
]


def with_examples() -> sections.Config:
    """The sample with its indented examples in place."""
    return parse_config(tomllib.loads(re.sub(r"(?m)^#     ", "", SAMPLE.read_text())), "sample")


def test_the_sample_loads() -> None:
    assert list(load_config(SAMPLE).streams) == ["channel-one"]


def test_what_is_commented_out_is_the_default() -> None:
    text = SAMPLE.read_text()
    settings = re.sub(r"(?m)^# ((?!public_url|also)[a-z_]+ = )", r"\1", text)
    assert settings != text
    assert parse_config(tomllib.loads(settings), "sample") == load_config(SAMPLE)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_is_there(section: type[msgspec.Struct]) -> None:
    text = SAMPLE.read_text()
    for name in section.__struct_fields__:
        own_line, table, inline = rf"^(# +)?{name} =", rf"^(# +)?\[+([a-z.-]+\.)?{name}", rf"[{{,] {name} = "
        assert re.search(rf"(?m){own_line}|{table}|{inline}", text), name


def test_there_is_an_example_of_each_dialect_which_names_its_carriers_and_options() -> None:
    examples = with_examples().tokens.issuers[1:]
    assert [example.dialect for example in examples] == list(DIALECTS)
    for example in examples:
        assert names_of(example) == DEFAULT_NAMES[example.dialect]
        shown = {name for name in ("header", "cookie", "query", "path") if getattr(example, name) is not None}
        assert shown >= {name for name in ("header", "cookie", "query", "path") if getattr(names_of(example), name)}
        kind = DIALECTS[example.dialect]
        files = {f"{name}_file" for name in kind.secrets}
        plain = {name: value for name, value in example.options.items() if name not in files}
        assert files <= set(example.options)
        assert set(plain) | set(kind.secrets) == {option.name for option in fields(kind.options)}
        assert options_of(example.dialect, plain) == kind.options()


def test_no_dialect_lacks_names() -> None:
    assert DEFAULT_NAMES.keys() == DIALECTS.keys()
    assert Names() not in DEFAULT_NAMES.values()
