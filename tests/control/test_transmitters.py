"""Transmitters as they are configured."""

from keys.material import RootKey
from keys.ring import KeyRing
from relay.config import parse_config
from relay.control.transmitters import obeyed
from relay.gate.dialects.keys import TokenKey
from relay.secrets import Secrets, TransmitterSecrets

KEY = TokenKey.symmetric("k1", bytes(range(32)))


def test_what_is_configured_is_what_is_obeyed() -> None:
    fixed = {"kid": "k1", "alg": "HS256", "file": "-"}
    config = parse_config(
        {
            "control": {"api_key_file": "-"},
            "keys": {"roots": [{"generation": 1, "file": "-"}]},
            "tokens": {"audience": "edge", "issuers": [{"iss": "https://platform.example", "keys": [fixed]}]},
            "streams": {"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8"}},
            "transmitters": [
                {"iss": "https://a.example", "audience": "us", "keys": [fixed], "push_token_file": "-"},
                {
                    "iss": "https://b.example",
                    "audience": "us",
                    "jwks": {"url": "https://b.example/jwks", "refresh": "1m"},
                    "account_issuer": "https://platform.example",
                    "poll_url": "https://b.example/poll",
                    "poll_token_file": "-",
                    "poll_every": "3s",
                },
            ],
        },
        "test",
    )
    secrets = Secrets(
        KeyRing([RootKey(1, bytes(32))]),
        {},
        b"k" * 40,
        transmitters={
            "https://a.example": TransmitterSecrets((KEY,), push_token="p" * 40),
            "https://b.example": TransmitterSecrets((), poll_token="secret-token"),
        },
    )
    found = obeyed(config, secrets)
    pushing, polled = found.transmitters
    assert (pushing.iss, pushing.audience, pushing.push_token, pushing.poll_url) == (
        "https://a.example", "us", "p" * 40, "",
    )  # fmt: skip
    assert pushing.keys.get("k1", 0) == KEY
    assert (polled.account_issuer, polled.poll_url, polled.poll_token, polled.poll_every_s) == (
        "https://platform.example", "https://b.example/poll", "secret-token", 3.0,
    )  # fmt: skip
    (pinned,) = found.pinned
    assert (pinned.url, pinned.keys, pinned.refresh_s) == ("https://b.example/jwks", polled.keys, 60.0)
    assert "secret-token" not in repr(found)
    assert "p" * 40 not in repr(found)
