"""The configuration: strict, and each error names the file, the key path and what to do."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from keys.model import Scheme
from relay.config import Config, load_config, parse_config
from relay.errors import ConfigError
from relay.model import Signalling, System
from relay.secrets import read_secrets
from tests.gate.platform import EC_KEY, ED_KEY, private_pem, public_pem

GOOD: dict[str, Any] = {
    "control": {"api_key_file": "api.key"},
    "keys": {"roots": [{"generation": 1, "file": "root.hex"}]},
    "tokens": {
        "audience": "edge",
        "issuers": [{"iss": "https://platform.example", "keys": [{"kid": "k1", "alg": "HS256", "file": "token.hex"}]}],
    },
    "streams": {"news": {"origin": "https://origin.example/live/", "hls": "master.m3u8"}},
}


KEY = {"kid": "k1", "alg": "ES256", "file": "k1.pem"}
SIGNALS = {"iss": "s", "audience": "a", "keys": [KEY], "push_token_file": "push.key"}


def issuer(alg: str = "HS256", **settings: Any) -> dict[str, Any]:
    """An issuer with one key."""
    return {"iss": "https://platform.example", "keys": [{"kid": "k1", "alg": alg, "file": "key"}], **settings}


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The good configuration with one value set; ``path`` as errors write it, ``None`` removes it."""
    raw = deepcopy(GOOD)
    steps = [int(step) if step.isdecimal() else step for step in re.split(r"\.|\[|\]\.?", path) if step]
    at: Any = raw
    for step in steps[:-1]:
        at = at.setdefault(step, {}) if isinstance(step, str) else at[step]
    if value is None:
        del at[steps[-1]]
    else:
        at[steps[-1]] = value
    return raw


def parsed(path: str, value: Any) -> Config:
    return parse_config(with_value(path, value), "relay.toml")


def test_little_is_required() -> None:
    config = parse_config(GOOD, "relay.toml")
    stream = config.streams["news"]
    assert (config.edge.listen, config.control.listen) == ("0.0.0.0:8080", "127.0.0.1:8081")
    assert (stream.rotation.interval.seconds, stream.rotation.pre_delivery.seconds) == (600, 30)
    assert stream.rotation_policy().interval_ms == 600_000
    cls = stream.default_class()
    assert (cls.scheme, cls.signalling, cls.systems) == (
        Scheme.CENC,
        Signalling.STABLE,
        (System.CLEARKEY, System.IDENTITY),
    )


@pytest.mark.parametrize(
    ("written", "ms"), [("4000ms", 4000), ("4s", 4000), ("0.1m", 6000), ("0.002h", 7200), ("1d", 86_400_000)]
)
def test_every_unit_of_time(written: str, ms: int) -> None:
    raw = with_value("streams.news", GOOD["streams"]["news"] | {"window": "10m"})
    raw["streams"]["news"]["rotation"] = {"interval": written, "pre_delivery": "1s"}
    assert parse_config(raw, "relay.toml").streams["news"].rotation.interval == ms


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("control", None, "missing required field `control`"),
        ("control.api_key_file", None, "control: Object missing required field `api_key_file`"),
        ("control.api_key_file", "", "control.api_key_file: "),
        ("control.listen", "8081", "control.listen: expected host:port"),
        ("control.listen", 8081, "control.listen: expected text"),
        ("edge.liste", "x:1", "edge: Object contains unknown field `liste`"),
        ("edge.public_url", "https://cdn.example/path", "edge.public_url: "),
        ("edge.head_timeout", "0s", "edge.head_timeout: 0 would"),
        ("edge.trusted_proxies", ["10.0.0.0/99"], "edge.trusted_proxies[0]: '10.0.0.0/99' is no network"),
        ("state.stale_after", "0s", "state.stale_after: 0 would"),
        ("state.grace", "1s", "state.grace: shorter than stale_after"),
        ("edge.max_challenge", 65536, "edge.max_challenge: expected text with a unit, got 65536"),
        ("edge.max_challenge", "64kb", "edge.max_challenge: expected a size like"),
        ("speed", 1, "unknown field `speed`"),
        ("keys.roots", [], "keys.roots: "),
        ("keys.roots[0].generation", -1, "keys.roots[0].generation: "),
        ("keys.roots[0].generation", "1", "keys.roots[0].generation: "),
        ("keys.roots[0].secret", "00", "keys.roots[0]: Object contains unknown field `secret`"),
        ("tokens.audience", None, "tokens: Object missing required field `audience`"),
        ("tokens.leeway", 5, "tokens.leeway: expected text with a unit, got 5"),
        ("tokens.leeway", "61s", "tokens.leeway: more than 60s"),
        ("tokens.max_lifetime", "0s", "tokens.max_lifetime: 0 would"),
        ("tokens.session_lifetime", "0s", "tokens.session_lifetime: 0 would"),
        ("tokens.issuers", [], "tokens.issuers: "),
        ("tokens.issuers", GOOD["tokens"]["issuers"] * 2, "tokens.issuers: two have the same 'iss'"),
        ("tokens.issuers[0].keys[0].alg", "RS256", "tokens.issuers[0].keys[0].alg: "),
        ("tokens.issuers[0].keys[0].alg", "none", "tokens.issuers[0].keys[0].alg: "),
        (
            "tokens.issuers[0].keys",
            [{"kid": "k", "alg": "HS256", "file": "a"}, {"kid": "k", "alg": "ES256", "file": "b"}],
            "tokens.issuers[0].keys: two have the same 'kid'",
        ),
        ("tokens.issuers[0].keys", [], "tokens.issuers[0]: nothing would verify its tokens. Give 'keys' or 'jwks'"),
        ("tokens.issuers[0].dialect", "saml", "tokens.issuers[0].dialect: Invalid enum value 'saml'"),
        ("tokens.issuers[0].streams", ["films"], "tokens.issuers[0].streams: no stream 'films'"),
        ("tokens.issuers[0].path", "a/b", "tokens.issuers[0].path: "),
        ("tokens.issuers[0].header", ["a b"], "tokens.issuers[0].header["),
        ("tokens.issuers[0].options", {"plian": True}, "tokens.issuers[0].options: plian: no such option; jwt knows"),
        ("tokens.issuers[0].options", {"plain": "yes"}, "tokens.issuers[0].options: plain: Expected `bool`"),
        ("tokens.issuers[0]", issuer(dialect="fastly", alg="ES256"), "keys[0].alg: ES256 does not fit fastly"),
        ("tokens.issuers[0]", issuer(dialect="media-cdn", alg="ES256"), "Choose from HS256, EdDSA"),
        ("tokens.issuers[0]", issuer(dialect="akamai", jwks={"url": "https://a/k"}), "jwks: akamai has shared secrets"),
        (
            "tokens.issuers[0]",
            issuer(dialect="akamai", options={"salt": "s"}),
            "options.salt: a secret. Give a file that holds it",
        ),
        ("tokens.issuers[0]", issuer(dialect="secure-link", query=["t"]), "query: a secure link has two parts"),
        (
            "tokens.issuers[0]",
            issuer(dialect="secure-link", options={"text": "{uri}"}),
            "options: it must hold {expires}",
        ),
        ("tokens.issuers[0]", issuer(jwks={"url": "http://keys.example/k"}), "jwks.url: whoever is on the way"),
        ("tokens.issuers[0]", issuer(jwks={"url": "https://a.example"}), "jwks.url: "),
        (
            "tokens.issuers[0]",
            issuer(jwks={"url": "https://a.example/k", "refresh": "5s"}),
            "jwks.refresh: less than 10s",
        ),
        ("tokens.issuers[0]", issuer(jwks={"url": "https://a.example/k", "keep": "1m"}), "jwks.keep: shorter than"),
        (
            "tokens.issuers[0]",
            issuer(status_lists={"urls": ["https://a/1", "http://a/2"]}),
            "status_lists.urls[1]: whoever is on the way could hold it back",
        ),
        ("tokens.issuers[0]", issuer(status_lists={"urls": []}), "status_lists.urls: "),
        ("tokens.issuers[0]", issuer(status_lists={"urls": [f"https://a/{'1' * 512}"]}), "status_lists.urls["),
        (
            "tokens.issuers[0]",
            issuer(status_lists={"urls": ["https://a/1"], "refresh": "0s"}),
            "status_lists.refresh: less than 1s",
        ),
        (
            "tokens.issuers[0]",
            issuer(status_lists={"urls": ["https://a/1"], "keep": "1s"}),
            "status_lists.keep: shorter than",
        ),
        (
            "tokens.issuers[0]",
            issuer(dialect="fastly", status_lists={"urls": ["https://a/1"]}),
            "status_lists: tokens of fastly name no status list",
        ),
        ("transmitters", [{"iss": "s", "audience": "a"}], "transmitters[0]: nothing would verify its events. Give"),
        ("transmitters", [SIGNALS | {"push_token_file": ""}], "transmitters[0]: its events cannot come. Give"),
        ("transmitters", [SIGNALS, SIGNALS], "transmitters: two have the same 'iss'. Give"),
        ("transmitters", [SIGNALS | {"keys": [KEY, KEY]}], "transmitters[0].keys: two have the same 'kid'. Give"),
        ("transmitters", [SIGNALS | {"jwks": {"url": "http://s.example/k"}}], "transmitters[0].jwks.url: whoever"),
        ("origin.connect_timeout", "0s", "origin.connect_timeout: 0 would"),
        ("origin.read_timeout", "0s", "origin.read_timeout: 0 would"),
        ("origin.max_manifest", "32MiB", "origin.max_manifest: the parsers take at most 8MiB"),
        ("origin.total_timeout", "0s", "origin.total_timeout: 0 would"),
        ("origin.read_timeout", "soon", "origin.read_timeout: expected a duration"),
        ("origin.connections", 0, "origin.connections: "),
        ("cache.segments", -5, "cache.segments: expected text"),
        ("streams", {}, "streams: "),
        ("streams", [], "streams: "),
        ("streams", {"../x": GOOD["streams"]["news"]}, "`$.streams`"),
        ("streams", {"x\n": GOOD["streams"]["news"]}, "`$.streams`"),
        ("streams.news", "x", "streams.news: "),
        ("streams.news.origin", None, "streams.news: Object missing required field `origin`"),
        ("streams.news.origin", "ftp://origin.example/", "streams.news.origin: "),
        ("streams.news.origin", "file:///etc/", "streams.news.origin: "),
        ("streams.news.origin", "https://origin.example/live", "streams.news.origin: "),
        ("streams.news.origin", "https://user:secret@origin.example/", "streams.news.origin: "),
        ("streams.news.origin", "https://origin.example/?a=/", "streams.news.origin: "),
        ("streams.news.origin", "https://origin.example/\n", "streams.news.origin: "),
        (
            "streams.news.origin",
            "https://origin.example:99999/",
            "streams.news.origin: 'https://origin.example:99999/'",
        ),
        ("streams.news.origin", "http://[::1/", "streams.news.origin: 'http://[::1/'"),
        ("streams.news.origin", "http://o/a/../b/", "streams.news.origin: 'http://o/a/../b/'"),
        ("streams.news.also", ["http://:80/"], "streams.news.also[0]: 'http://:80/'"),
        ("streams.news.also", ["http://o/"] * 9, "streams.news.also: "),
        ("streams.news.hls", "", "streams.news: has no manifest. Set 'hls', 'dash' or both."),
        ("streams.news.hls", "https://elsewhere.example/m.m3u8", "streams.news.hls: "),
        ("streams.news.dash", "../m.mpd", "streams.news.dash: "),
        ("streams.news.scheme", "cens", "streams.news.scheme: "),
        ("streams.news.schemes", ["cbcs"], "streams.news.scheme: cenc is not among 'schemes'"),
        ("streams.news.systems", ["clearkey", "primetime"], "streams.news.systems[1]: "),
        ("streams.news.rotation.intervall", "1m", "streams.news.rotation: Object contains unknown field `intervall`"),
        ("streams.news.rotation.interval", 600, "streams.news.rotation.interval: expected text with a unit, got 600"),
        ("streams.news.rotation.interval", "0.4ms", "streams.news.rotation.interval: expected a duration"),
        ("streams.news.rotation", {"interval": "1s"}, "streams.news.rotation: rotation: interval must be at least"),
        ("streams.news.rotation", {"interval": "20s"}, "streams.news.rotation: rotation: pre_delivery must be shorter"),
        (
            "streams.news.rotation",
            {"interval": "5s", "pre_delivery": "1s"},
            "streams.news.window: spans more than 256 crypto periods",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_place(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(path, value)
    text = str(caught.value)
    assert text.startswith("relay.toml: ")
    assert message in text
    assert re.search(r"\. (Add|Choose|Give|Make|See|Set|Shorten|Write)\b", text), "a remedy"


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/k", "http://127.0.0.1/k", "http://[::1]:1/k", "https://a/k?x=1"]
)
def test_keys_come_by_a_way_that_nobody_else_is_on(url: str) -> None:
    config = parsed("tokens.issuers[0]", issuer(jwks={"url": url}))
    assert config.tokens.issuers[0].jwks is not None


@pytest.mark.parametrize("path", ["*", "", "hdntl", "edge-cache-token"])
def test_where_a_token_stands_in_a_path(path: str) -> None:
    assert parsed("tokens.issuers[0]", issuer(path=path)).tokens.issuers[0].path == path


def test_an_interval_of_zero_keeps_one_key() -> None:
    policy = parsed("streams.news.rotation", {"interval": "0s"}).streams["news"].rotation_policy()
    # The lead is that of scene edges then.
    assert (policy.interval_ms, policy.pre_delivery_ms) == (0, 30_000)


def test_a_system_named_twice_is_one() -> None:
    cls = parsed("streams.news.systems", ["widevine", "clearkey", "clearkey"]).streams["news"].default_class()
    assert cls.systems == (System.CLEARKEY, System.WIDEVINE)


TOML = """
[control]
api_key_file = "api.key"
[[keys.roots]]
generation = 1
file = "root.hex"
[tokens]
audience = "edge"
[[tokens.issuers]]
iss = "https://platform.example"
keys = [
  { kid = "hs", alg = "HS256", file = "token.hex" },
  { kid = "es", alg = "ES256", file = "es.pem" },
  { kid = "ed", alg = "EdDSA", file = "ed.pem" },
]
[streams.news]
origin = "https://origin.example/live/"
dash = "live.mpd"
rotation = { interval = "1m", pre_delivery = "10s" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "relay.toml": TOML,
        "api.key": "k" * 32 + "\n",
        "root.hex": "ab" * 32 + "\n",
        "token.hex": "cd" * 32,
        "es.pem": public_pem(EC_KEY),
        "ed.pem": public_pem(ED_KEY),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_file_and_its_secrets_are_read(folder: Path) -> None:
    config = load_config(folder / "relay.toml")
    secrets = read_secrets(config, folder)
    assert secrets.api_key == b"k" * 32
    assert secrets.ring.generations == (1,)
    assert [key.kid for key in secrets.issuers["https://platform.example"]] == ["hs", "es", "ed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[control", "not valid TOML"),
        (b"a = 1\na = 2", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"", "missing required field"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "relay.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=rf"relay\.toml: .*{message}"):
        load_config(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read: .* Give the path of an existing file"):
            load_config(path)


@pytest.mark.parametrize(
    ("file", "content", "key_path", "message"),
    [
        ("root.hex", None, "keys.roots[0].file", "cannot be read: No such file or directory. Make one with"),
        ("root.hex", b"xyz", "keys.roots[0].file", "not hexadecimal. Make one with"),
        ("root.hex", b"\xff", "keys.roots[0].file", "cannot be read: not text. Make one with"),
        ("root.hex", b"abcd", "keys.roots", "shorter than 32 bytes. Make one with"),
        ("root.hex", b"", "keys.roots", "shorter than 32 bytes. Make one with"),
        ("token.hex", None, "tokens.issuers[0].keys[0].file", "cannot be read"),
        ("token.hex", b"abcd", "tokens.issuers[0].keys[0].file", "at least 32 bytes. Put the key of 'hs' there"),
        ("es.pem", None, "tokens.issuers[0].keys[1].file", "No such file or directory. Put the PEM public key of 'es'"),
        ("es.pem", b"text", "tokens.issuers[0].keys[1].file", "not a PEM public key. Put the key of 'es' there"),
        ("es.pem", private_pem(EC_KEY), "tokens.issuers[0].keys[1].file", "not a PEM public key"),
        ("ed.pem", public_pem(EC_KEY).encode(), "tokens.issuers[0].keys[2].file", "does not fit EdDSA. Put the key"),
        ("api.key", None, "control.api_key_file", "cannot be read: No such file or directory. Make one with"),
        ("api.key", b"short", "control.api_key_file", "shorter than 32 characters. Make one with"),
    ],
)
def test_a_bad_secret_is_named_and_not_shown(
    folder: Path, file: str, content: bytes | None, key_path: str, message: str
) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_secrets(load_config(folder / "relay.toml"), folder)
    assert key_path in str(caught.value)
    assert message in str(caught.value)
    assert file in str(caught.value) or key_path == "keys.roots"
    assert "abcd" not in str(caught.value)


def test_secrets_do_not_print(folder: Path) -> None:
    config = load_config(folder / "relay.toml")
    assert "ab" * 32 not in repr(config)
