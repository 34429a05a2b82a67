"""Which changed settings a running relay takes over, and which it refuses by name."""

from typing import Any

import pytest

from keys.material import RootKey
from keys.ring import KeyRing
from relay.config import Config, parse_config
from relay.errors import ConfigError
from relay.reload import changes, check_reload, check_ring


def config(**sections: dict[str, Any]) -> Config:
    issuers = [{"iss": "https://platform.example", "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}]}]
    usual: dict[str, dict[str, Any]] = {
        "control": {"api_key_file": "-"},
        "keys": {"roots": [{"generation": 1, "file": "-"}]},
        "tokens": {"audience": "edge", "issuers": issuers},
        "streams": {"news": {"origin": "http://origin.example/", "hls": "a.m3u8"}},
        "state": {"directory": "state"},
    }
    for name, settings in sections.items():
        usual[name] = {**usual.get(name, {}), **settings}
    return parse_config(usual, "test")


@pytest.mark.parametrize(
    "changed",
    [
        {"edge": {"head_timeout": "5s", "max_connections": 5, "drain": "1s", "public_url": "https://a.example"}},
        {"control": {"api_key_file": "other"}},
        {"control": {"keys": [{"name": "shop", "role": "platform", "sha256": "0" * 64}]}},
        {"keys": {"roots": [{"generation": 1, "file": "-"}, {"generation": 2, "file": "2", "active_from": 5}]}},
        {"tokens": {"audience": "other"}},
        {"licences": {"processes": 2, "widevine": {"roots": ["root"]}}},
        {"streams": {"sport": {"origin": "http://origin.example/", "hls": "a.m3u8", "rotation": {"salt": True}}}},
        {"streams": {"news": {"origin": "http://origin.example/", "hls": "b.m3u8", "window": "5m"}}},
    ],
)
def test_what_can_change_is_taken_over(changed: dict[str, dict[str, Any]]) -> None:
    old, new = config(), config(**changed)
    assert changes(old, new)
    check_reload(old, new)
    check_reload(new, old)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"edge": {"listen": "127.0.0.1:1"}}, "edge.listen: "),
        ({"edge": {"tls_certificate": "a", "tls_key": "b"}}, "edge.tls_certificate: "),
        ({"control": {"listen": "127.0.0.1:1"}}, "control.listen: "),
        ({"tokens": {"max_lifetime": "2d"}}, "tokens.max_lifetime: "),
        ({"origin": {"connections": 5}, "cache": {"segments": "5MiB"}}, "cache.segments, origin.connections: "),
        ({"state": {"directory": "elsewhere"}}, "state.directory: "),
        (
            {"streams": {"news": {"origin": "http://origin.example/", "hls": "a.m3u8", "rotation": {"salt": True}}}},
            "streams.news.rotation.salt: ",
        ),
        (
            {
                "streams": {
                    "news": {
                        "origin": "http://origin.example/",
                        "hls": "a.m3u8",
                        "schemes": ["cenc"],
                        "key_server": {"url": "https://keys.example/speke"},
                    }
                }
            },
            "streams.news.key_server: ",
        ),
    ],
)
def test_what_needs_a_restart_is_named(changed: dict[str, dict[str, Any]], named: str) -> None:
    for old, new in ((config(), config(**changed)), (config(**changed), config())):
        with pytest.raises(ConfigError, match="cannot change while running") as refused:
            check_reload(old, new)
        assert str(refused.value).startswith(named)


def test_a_generations_secret_stays() -> None:
    one, other, added = RootKey(1, bytes(32)), RootKey(1, b"\x01" * 32), RootKey(2, b"\x02" * 32)
    check_ring(KeyRing([one]), KeyRing([one, added]))
    check_ring(KeyRing([one, added]), KeyRing([added]))
    with pytest.raises(ConfigError, match="the secret of generation 1 changed"):
        check_ring(KeyRing([one, added]), KeyRing([other, added]))
