"""The watermark's configuration: strict, and each error says where."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keys.material import RootKey
from keys.ring import KeyRing
from relay.config import Config, parse_config
from relay.errors import ConfigError
from relay.secrets import read_secrets
from relay.watermark.settings import MarkConfig
from tests.gate.platform import EC_KEY, public_pem

VENDOR = {"number": 7, "keys": [{"alg": "ES256", "file": "vendor.pem"}]}


def configured(mark: dict[str, Any], watermark: dict[str, Any] | None = None) -> Config:
    return parse_config(
        {
            "control": {"api_key_file": "api.key"},
            "keys": {"roots": [{"generation": 1, "file": "root.hex"}]},
            "tokens": {
                "audience": "edge",
                "issuers": [{"iss": "i", "keys": [{"kid": "k1", "alg": "HS256", "file": "token.hex"}]}],
            },
            "streams": {"news": {"origin": "https://origin.example/", "hls": "a.m3u8", "watermark": mark}},
            "watermark": watermark or {},
        },
        "test",
    )


def test_nothing_need_be_said_but_that_it_is_marked() -> None:
    mark = configured({}).streams["news"].watermark
    assert mark == MarkConfig(variants=("a/", "b/"), pace="sidecar", colluders=2)
    assert configured({}).watermark.retention.seconds == 30 * 86_400


@pytest.mark.parametrize(
    ("mark", "watermark", "message"),
    [
        ({"variants": ["a", "b/"]}, {}, r"streams\.news\.watermark\.variants\[0\]: 'a' is not the name of a folder"),
        ({"variants": ["a/", "../"]}, {}, r"variants\[1\]"),
        ({"variants": ["a/", "x/y/"]}, {}, r"variants\[1\]"),
        ({"variants": ["WMPaceInfo/", "b/"]}, {}, r"variants\[0\]"),
        ({"variants": ["a/", "a/"]}, {}, "both lie in one place"),
        ({"variants": ["a/"]}, {}, "watermark.variants"),
        ({"pace": "time"}, {}, "the pace 'time' needs"),
        ({"pace": "time", "segment": "2m"}, {}, "at most 60s"),
        ({"segment": "2s"}, {}, "only for the pace 'time'"),
        ({"pace": "guess"}, {}, "watermark.pace"),
        ({"colluders": 3}, {}, "watermark.colluders"),
        ({"pattern": "("}, {}, r"watermark\.pattern: .*Write a regular expression"),
        ({"asset": "x" * 129}, {}, "watermark.asset"),
        ({"tokens": [8]}, {"vendors": [VENDOR]}, "tokens: 8 is none of watermark.vendors"),
        ({}, {"vendors": [VENDOR, VENDOR]}, "vendors: two have the same 'number'"),
        ({}, {"vendors": [{**VENDOR, "number": 256}]}, "watermark.vendors"),
        ({}, {"vendors": [{**VENDOR, "keys": []}]}, "watermark.vendors"),
        ({}, {"vendors": [{**VENDOR, "keys": [{"alg": "none", "file": "x"}]}]}, "watermark.vendors"),
    ],
)
def test_contradictions_are_refused(mark: dict[str, Any], watermark: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(mark, watermark)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("root.hex", "token.hex", "code.key"):
        (tmp_path / name).write_text(os.urandom(32).hex())
    (tmp_path / "api.key").write_text("k" * 40)
    (tmp_path / "vendor.pem").write_text(public_pem(EC_KEY))
    return tmp_path


def test_code_keys_and_vendors_are_read(folder: Path) -> None:
    config = configured({"code_key_file": "code.key", "tokens": [7]}, {"vendors": [VENDOR]})
    secrets = read_secrets(config, folder)
    assert secrets.code_keys == {"news": bytes.fromhex((folder / "code.key").read_text())}
    (vendor,) = secrets.vendors
    assert (vendor.number, [key.algorithm for key in vendor.keys], bool(vendor.patterns)) == (7, ["ES256"], False)
    assert secrets.code_keys["news"].hex() not in repr(secrets)


def test_keys_are_derived_from_a_secret_of_their_own_or_the_oldest_root(folder: Path) -> None:
    secrets = read_secrets(configured({}), folder)
    assert secrets.watermark_secret == secrets.ring.service_keys("watermark")[-1]
    newer = replace(
        secrets, ring=KeyRing([RootKey(1, bytes.fromhex((folder / "root.hex").read_text())), RootKey(2, bytes(32))])
    )
    assert newer.watermark_secret == secrets.watermark_secret
    own = read_secrets(configured({}, {"secret_file": "code.key"}), folder)
    assert own.watermark_secret.hex() == (folder / "code.key").read_text()


def test_keys_that_do_not_fit_are_refused(folder: Path) -> None:
    (folder / "code.key").write_text("00" * 31)
    with pytest.raises(ConfigError, match=r"streams\.news\.watermark\.code_key_file: 31 bytes, this key has 32"):
        read_secrets(configured({"code_key_file": "code.key"}), folder)
    with pytest.raises(ConfigError, match=r"watermark\.secret_file: 31 bytes"):
        read_secrets(configured({}, {"secret_file": "code.key"}), folder)
    (folder / "vendor.pem").write_text("00" * 31)
    short = {**VENDOR, "keys": [{"alg": "HS256", "file": "vendor.pem"}]}
    with pytest.raises(ConfigError, match=r"watermark\.vendors\[0\]: HS256 needs a secret"):
        read_secrets(configured({}, {"vendors": [short]}), folder)
