"""Webhooks as configured."""

from pathlib import Path
from typing import Any

import pytest

from relay.config import Config, parse_config
from relay.errors import ConfigError
from relay.secrets import read_secrets
from relay.webhooks.settings import EventType

HOOK = {"name": "crm", "url": "https://crm.example.com/hooks", "secret_files": ["hook.key"]}


def config_of(*hooks: dict[str, Any]) -> Config:
    return parse_config(
        {
            "control": {"api_key_file": "api.key"},
            "keys": {"roots": [{"generation": 1, "file": "root.key"}]},
            "tokens": {
                "audience": "edge",
                "issuers": [{"iss": "i", "keys": [{"kid": "k", "alg": "HS256", "file": "root.key"}]}],
            },
            "streams": {"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8"}},
            "webhooks": list(hooks),
        },
        "test",
    )


def test_what_is_usual() -> None:
    (hook,) = config_of({**HOOK, "events": ["com.segmentgate.revocation.created"], "streams": ["vod"]}).webhooks
    assert (hook.events, hook.streams, hook.private) == ((EventType.REVOCATION_CREATED,), ("vod",), False)


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"url": "http://crm.example.com/"}, "webhooks[0].url: plain http"),
        ({"url": "http://10.0.0.1/"}, "webhooks[0].url: plain http"),
        ({"url": "https://10.0.0.1/"}, "webhooks[0].url: a private address"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "webhooks[0].url: a private address"),
        ({"url": "https://user:pass@crm.example.com/"}, "url"),
        ({"url": "https://:80/"}, "webhooks[0].url: has no host"),
        ({"url": "https://a:99999/"}, "webhooks[0].url: has no host"),
        ({"url": "https://[::1/"}, "webhooks[0].url: has no host"),
        ({"url": "ftp://crm.example.com/"}, "url"),
        ({"streams": ["nothing"]}, "webhooks[0].streams: no stream 'nothing'"),
        ({"events": ["everything"]}, "everything"),
        ({"secret_files": []}, "secret_files"),
        ({"name": ""}, "name"),
    ],
)
def test_what_makes_no_sense_is_refused(members: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of({**HOOK, **members})
    assert what in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8/x", "http://[::1]/", "http://localhost:9000/hook", "https://8.8.8.8/", "https://a.b"]
)
def test_urls_that_may_be_called(url: str) -> None:
    assert config_of({**HOOK, "url": url}).webhooks[0].url == url


def test_private_addresses_may_be_meant() -> None:
    assert config_of({**HOOK, "url": "https://10.0.0.1/", "private": True}).webhooks[0].private


def test_names_are_given_once() -> None:
    with pytest.raises(ConfigError, match="two have the same 'name'"):
        config_of(HOOK, HOOK)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "api.key").write_text("k" * 40)
    (tmp_path / "root.key").write_text("00" * 32)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("ab" * 24, b"\xab" * 24),
        ("whsec_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n", b"\xab" * 32),
    ],
)
def test_secrets_are_read_in_both_spellings(base: Path, text: str, secret: bytes) -> None:
    (base / "hook.key").write_text(text)
    secrets = read_secrets(config_of(HOOK), base)
    assert secrets.webhooks == {"crm": (secret,)}
    assert "xab" not in repr(secrets)


@pytest.mark.parametrize("text", ["", "ab" * 23, "ab" * 65, "whsec_", "whsec_!!!!", "not hex"])
def test_secrets_that_are_none_are_refused(base: Path, text: str) -> None:
    (base / "hook.key").write_text(text)
    with pytest.raises(ConfigError, match=r"webhooks\[0\]\.secret_files\[0\]"):
        read_secrets(config_of(HOOK), base)
