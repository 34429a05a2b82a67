"""The command line: what each command prints and writes, and that every error says what to do next."""

import json
import stat
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keys.model import Scheme, TrackType
from relay.cli import main
from relay.config import load_config
from relay.facts import Facts
from relay.gate.carriers import Carrier, Credential
from relay.gate.dialects.base import Proof
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.jwt import JwtDialect
from relay.gate.dialects.keys import KeySet
from relay.issuing import issuers_of
from relay.model import Session
from relay.secrets import read_secrets
from tests.gate.platform import EC_KEY, ED_KEY, private_pem
from tests.media import decrypt
from tests.media.material import CONSTANT_IV, FIRST_IV, KEYS, SEGMENTS, VECTORS, VIDEO, read
from tests.test_config import folder

__all__ = ["folder"]

CLEAR = VECTORS / "clear"
KEY, KID = VIDEO.key.hex(), VIDEO.kid.hex()
IV = {"cenc": f"{FIRST_IV:016x}", "cbcs": CONSTANT_IV.hex()}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def good(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(*arguments: object) -> str:
    """The error text of a command that must fail, without a traceback."""
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.exception
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def protect(scheme: str, *arguments: object, key: str = KEY, kid: str = KID) -> tuple[object, ...]:
    return ("protect", "--scheme", scheme, "--key", key, "--kid", kid, *arguments)


def samples(init: bytes, segment: bytes) -> object:
    return decrypt.read_samples(init, segment, KEYS)


def test_a_new_key_is_random_and_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = good("keys", "new").strip(), good("keys", "new").strip()
    assert len({first, second}) == 2
    assert len(bytes.fromhex(first)) == 32
    path = tmp_path / "root.hex"
    assert good("keys", "new", "--out", path) == ""
    assert len(bytes.fromhex(path.read_text())) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "root.hex"
    path.write_text("precious")
    assert "never overwritten" in failed("keys", "new", "--out", path)
    assert path.read_text() == "precious"
    assert "Choose" in failed("keys", "new", "--out", tmp_path / "none" / "root.hex")


def derive(folder: Path, *arguments: str) -> dict[str, object]:
    options = ("--config", folder / "relay.toml", "--stream", "news", "--track", "hd", *arguments)
    found: dict[str, object] = json.loads(good("keys", "derive", *options))
    return found


def test_keys_are_derived_as_the_relay_derives_them(folder: Path) -> None:
    ring = read_secrets(load_config(folder / "relay.toml"), folder).ring
    stable, period = derive(folder), derive(folder, "--at", "60000")
    for found in (stable, period):
        period_start = found["period"]
        assert period_start is None or isinstance(period_start, int)
        slot = ring.slot("news", TrackType.HD, Scheme.CENC, period_start)
        assert found["kid"] == ring.content_key(slot).kid.hex()
        assert found["key"] == ring.content_key(slot).key.hex()
    assert (stable["period"], period["period"]) == (None, 60_000)


@pytest.mark.parametrize(
    ("at", "period"),
    [
        ("0", 0),
        ("58999", 0),
        ("59000", 60_000),
        ("1970-01-01T00:02:00Z", 120_000),
        ("1970-01-01T00:02:00", 120_000),
        ("1970-01-01T02:02:00+02:00", 120_000),
    ],
)
def test_a_period_is_found_by_stream_time(folder: Path, at: str, period: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/New_York")
        time.tzset()
        assert derive(folder, "--at", at)["period"] == period
    time.tzset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stream", "films", "--track", "hd"), "no stream 'films'. Known: news."),
        (("--stream", "news", "--track", "8k"), "Invalid value for '--track'"),
        (("--stream", "news", "--track", "hd", "--at", "noon"), "give milliseconds or an ISO 8601 time"),
        (("--stream", "news", "--track", "hd", "--at", "9" * 5000), "give milliseconds or an ISO 8601 time"),
    ],
)
def test_what_cannot_be_derived_is_named(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in failed("keys", "derive", "--config", folder / "relay.toml", *arguments)


def test_salted_keys_are_not_derived_here(folder: Path) -> None:
    path = folder / "relay.toml"
    salted = path.read_text().replace('interval = "1m"', 'salt = true, interval = "1m"')
    path.write_text(salted + '\n[state]\ndirectory = "state"\n')
    assert "only inside the relay" in failed("keys", "derive", "--config", path, "--stream", "news", "--track", "hd")


def test_a_key_servers_keys_are_not_derived_here(folder: Path) -> None:
    path = folder / "relay.toml"
    plain = path.read_text().replace("[streams.news]", '[streams.news]\nschemes = ["cenc", "cbcs"]', 1)
    path.write_text(plain + '\n[streams.news.key_server]\nurl = "https://keys.example/speke"\n')
    assert "Ask that server" in failed("keys", "derive", "--config", path, "--stream", "news", "--track", "hd")


def test_a_good_configuration_is_good(folder: Path) -> None:
    assert "good: 1 stream(s), 1 token issuer(s)" in good("check-config", folder / "relay.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[control]", "[control", "relay.toml: not valid TOML"),
        ("generation = 1", 'generation = "1"', "relay.toml: keys.roots[0].generation: Expected `int`, got `str`. See"),
        ("origin =", "orign =", "relay.toml: streams.news: Object contains unknown field `orign`. See"),
        ('interval = "1m"', "interval = 60", "relay.toml: streams.news.rotation.interval: expected text with a unit"),
        ("root.hex", "none.hex", "none.hex: keys.roots[0].file: cannot be read: No such file or directory. Make one"),
        ("ed.pem", "es.pem", "es.pem: tokens.issuers[0].keys[2].file: the public key does not fit EdDSA. Put the key"),
    ],
)
def test_a_bad_configuration_is_named(folder: Path, old: str, new: str, message: str) -> None:
    path = folder / "relay.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for command in (("check-config", path), ("serve", "--config", path)):
        error = failed(*command)
        assert message in error
        assert str(path) in error


def test_a_configuration_that_is_not_there_is_named(folder: Path) -> None:
    assert "does not exist" in failed("check-config", folder / "none.toml")


def mint(folder: Path, *arguments: object) -> tuple[object, ...]:
    return ("token", "mint", "--config", folder / "relay.toml", "--account", "account-1", *arguments)


def session_of(folder: Path, token: str) -> Session:
    config = load_config(folder / "relay.toml")
    issuer = config.tokens.issuers[0].iss
    terms = Terms(issuer, config.tokens.audience, 5, 86_400)
    keys = KeySet(read_secrets(config, folder).issuers[issuer])
    proof = JwtDialect(terms, keys).verify(token.strip(), Facts("GET", "/"), time.time())
    assert isinstance(proof, Proof), proof
    return proof.session


def test_a_minted_token_is_accepted(folder: Path) -> None:
    plain = session_of(folder, good(*mint(folder)))
    assert (plain.account, plain.streams, plain.device) == ("account-1", None, "")
    asked = ("--stream", "news", "--session", "s-1", "--device", "tv", "--max-track", "sd", "--ttl", "60")
    session = session_of(folder, good(*mint(folder, *asked)))
    assert (session.sid, session.device, session.ceiling) == ("s-1", "tv", TrackType.SD)
    assert session.streams == frozenset({"news"})


@pytest.mark.parametrize(("kid", "key"), [("es", EC_KEY), ("ed", ED_KEY)])
def test_a_token_is_minted_with_a_private_key(folder: Path, kid: str, key: object) -> None:
    pem = folder / "private.pem"
    pem.write_bytes(private_pem(EC_KEY if key is EC_KEY else ED_KEY))
    assert session_of(folder, good(*mint(folder, "--kid", kid, "--private-key", pem))).account == "account-1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stream", "films"), "no stream 'films'. Known: news."),
        (("--kid", "none"), "no such issuer or kid. Name one that is there."),
        (("--issuer", "none"), "no such issuer or kid. Name one that is there."),
        (("--kid", "es"), "key 'es' is ES256: give --private-key with its PEM file."),
        (
            ("--kid", "es", "--private-key", "relay.toml"),
            "relay.toml: the key does not fit ES256: not a PEM private key",
        ),
        (("--kid", "es", "--private-key", "none.pem"), "does not exist"),
        (("--ttl", "0"), "Invalid value for '--ttl'"),
        (("--max-track", "8k"), "Invalid value for '--max-track'"),
    ],
)
def test_what_cannot_be_minted_is_named(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    paths = [folder / part if part.endswith((".toml", ".pem")) else part for part in arguments]
    assert message in failed(*mint(folder, *paths))


def test_a_secret_that_is_gone_is_named(folder: Path) -> None:
    (folder / "token.hex").unlink()
    assert "Make one with 'segmentgate keys new'" in failed(*mint(folder))


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
def test_protecting_gives_packagers_bytes(tmp_path: Path, scheme: str) -> None:
    out, init = tmp_path / "out", tmp_path / "v_init.mp4"
    files = [CLEAR / f"v_{number}.m4s" for number in SEGMENTS]
    options = ("--iv", IV[scheme], "--init", CLEAR / "v_init.mp4", "--out-init", init, "--out-dir", out)
    good(*protect(scheme, *options, *files))
    for number in SEGMENTS:
        protected = (out / f"v_{number}.m4s").read_bytes()
        assert protected == read(f"{scheme}/v_{number}.m4s")
        clear = decrypt.read_samples(read("clear/v_init.mp4"), read(f"clear/v_{number}.m4s"))
        assert samples(init.read_bytes(), protected) == clear


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
def test_without_an_iv_every_sample_still_comes_back(tmp_path: Path, scheme: str) -> None:
    options = ("--init", CLEAR / "a_init.mp4", "--out-init", tmp_path / "a_init.mp4", "--out-dir", tmp_path / "out")
    good(*protect(scheme, *options, CLEAR / "a_1.m4s"))
    protected = (tmp_path / "out" / "a_1.m4s").read_bytes()
    clear = decrypt.read_samples(read("clear/a_init.mp4"), read("clear/a_1.m4s"))
    assert samples((tmp_path / "a_init.mp4").read_bytes(), protected) == clear


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
def test_a_file_that_holds_its_init_is_protected_alone(tmp_path: Path, scheme: str) -> None:
    init, first, second = (read(f"clear/v_{part}") for part in ("init.mp4", "1.m4s", "2.m4s"))
    whole = tmp_path / "movie.mp4"
    whole.write_bytes(init + first + second)
    good(*protect(scheme, "--out-dir", tmp_path / "out", whole))
    protected = (tmp_path / "out" / "movie.mp4").read_bytes()
    assert protected != whole.read_bytes()
    at = protected.index(b"moov") - 4
    end = at + int.from_bytes(protected[at : at + 4], "big")
    assert samples(protected[:end], protected[end:]) == decrypt.read_samples(init, first + second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--init", "v_init.mp4", "v_1.m4s"), "give --init and --out-init together"),
        (("--iv", "00" * 16, "v_1.m4s"), "--iv: cenc takes 16 hex digits"),
        (("--iv", "00", "v_1.m4s"), "2 hex digits, expected 16 or 32"),
        (("--iv", "zz" * 8, "v_1.m4s"), "not hexadecimal"),
        (("v_1.m4s",), "v_1.m4s: file: has no moov box"),
        (("master.m3u8",), "master.m3u8: "),
        (("--init", "v_1.m4s", "--out-init", "out.mp4", "v_1.m4s"), "v_1.m4s: init segment: holds media"),
        (("--init", "v_init.mp4", "--out-init", "out.mp4", "a_init.mp4"), "a_init.mp4: "),
        (("v_9.m4s",), "does not exist"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be_protected_is_named(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    paths = [CLEAR / part if "." in part and part != "out.mp4" else part for part in arguments]
    paths = [tmp_path / part if part == "out.mp4" else part for part in paths]
    assert message in failed(*protect("cenc", "--out-dir", tmp_path / "out", *paths))


def test_keys_of_the_wrong_length_are_named(tmp_path: Path) -> None:
    rest = ("--out-dir", tmp_path, CLEAR / "v_1.m4s")
    assert "30 hex digits, expected 32" in failed(*protect("cenc", *rest, key="00" * 15))
    assert "not hexadecimal" in failed(*protect("cenc", *rest, kid="key"))


def test_input_that_is_protected_already_is_refused(tmp_path: Path) -> None:
    init = VECTORS / "cenc" / "v_init.mp4"
    options = ("--init", init, "--out-init", tmp_path / "init.mp4", "--out-dir", tmp_path, VECTORS / "cenc" / "v_1.m4s")
    assert "v_init.mp4: " in failed(*protect("cbcs", *options))


def test_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    init = ("--init", CLEAR / "v_init.mp4", "--out-init")
    bad_init = (*init, tmp_path / "none" / "init.mp4", "--out-dir", tmp_path / "out")
    assert "none/init.mp4: No such file or directory. Choose" in failed(*protect("cenc", *bad_init, CLEAR / "v_1.m4s"))
    bad_dir = (*init, tmp_path / "init.mp4", "--out-dir", tmp_path / "file" / "out")
    assert "file/out: Not a directory. Choose" in failed(*protect("cenc", *bad_dir, CLEAR / "v_1.m4s"))


def test_the_clear_file_is_never_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "v_1.m4s"
    source.write_bytes(read("clear/v_init.mp4") + read("clear/v_1.m4s"))
    before = source.read_bytes()
    assert "would be overwritten" in failed(*protect("cenc", "--out-dir", tmp_path, source))
    init = tmp_path / "v_init.mp4"
    init.write_bytes(read("clear/v_init.mp4"))
    options = ("--init", init, "--out-init", init, "--out-dir", tmp_path / "out", CLEAR / "v_1.m4s")
    assert "would be overwritten" in failed(*protect("cenc", *options))
    assert (source.read_bytes(), init.read_bytes()) == (before, read("clear/v_init.mp4"))


def test_two_segments_of_one_name_are_refused(tmp_path: Path) -> None:
    files = (CLEAR / "v_1.m4s", VECTORS / "cenc" / "v_1.m4s")
    assert "share a file name" in failed(*protect("cenc", "--out-dir", tmp_path / "out", *files))
    init = ("--init", CLEAR / "v_init.mp4", "--out-init", tmp_path / "v_1.m4s", "--out-dir", tmp_path)
    assert "share a file name" in failed(*protect("cenc", *init, CLEAR / "v_1.m4s"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
@pytest.mark.parametrize("signalling", ["stable", "period"])
@pytest.mark.parametrize("name", ["master.m3u8", "v.m3u8", "manifest.mpd"])
def test_a_manifest_is_printed_as_it_would_be_served(name: str, signalling: str, scheme: str) -> None:
    url = f"https://origin.example/secret/path/{name}"
    text = good("rewrite", CLEAR / name, "--url", url, "--scheme", scheme, "--signalling", signalling)
    assert "origin.example" not in text
    assert text.startswith("<?xml" if name.endswith("mpd") else "#EXTM3U")
    assert "sig=" in text


def test_a_manifest_is_rewritten_as_its_stream_says(folder: Path) -> None:
    arguments = ("rewrite", CLEAR / "v.m3u8", "--url", "https://origin.example/live/v.m3u8", "--config")
    text = good(*arguments, folder / "relay.toml")
    assert text == good(*arguments, folder / "relay.toml")
    stable = derive(folder, "--scheme", "cenc")
    assert "#EXT-X-KEY:" in text
    assert str(stable["key"]) not in text


@pytest.mark.parametrize(
    ("file", "url", "message"),
    [
        ("v.m3u8", "v.m3u8", "an absolute http or https URL is needed"),
        ("v.m3u8", "file:///v.m3u8", "an absolute http or https URL is needed"),
        ("v.m3u8", "http://[", "an absolute http or https URL is needed"),
        ("v.m3u8", "https://user@origin.example/v.m3u8", "--url: streams.preview.origin: "),
        ("v.m3u8", "https://origin.example:99999/v.m3u8", "--url: streams.preview.origin: "),
        ("v_1.m4s", "https://origin.example/v.m3u8", ""),
        ("none.m3u8", "https://origin.example/v.m3u8", "does not exist"),
    ],
)
def test_what_cannot_be_rewritten_is_named(file: str, url: str, message: str) -> None:
    assert message in failed("rewrite", CLEAR / file, "--url", url)


def test_a_url_below_no_stream_is_named(folder: Path) -> None:
    url = "https://elsewhere.example/v.m3u8"
    error = failed("rewrite", CLEAR / "v.m3u8", "--url", url, "--config", folder / "relay.toml")
    assert "below the origin of no configured stream. Add the stream or correct --url." in error


def test_a_protected_manifest_is_refused() -> None:
    url = "https://origin.example/v.m3u8"
    assert failed("rewrite", VECTORS / "cenc" / "v.m3u8", "--url", url)


def test_every_command_explains_itself() -> None:
    for command in ((), ("serve",), ("demo",), ("check-config",), ("token", "mint"), ("keys", "derive"), ("protect",)):
        assert "Usage:" in good(*command, "--help")


def with_dialect(folder: Path, dialect: str) -> Path:
    """The configuration with its issuer speaking another dialect, by its shared secret alone."""
    file, iss = folder / "relay.toml", 'iss = "https://platform.example"'
    lines = file.read_text().replace(iss, f'{iss}\ndialect = "{dialect}"').splitlines()
    file.write_text("\n".join(line for line in lines if 'alg = "E' not in line))
    return file


@pytest.mark.parametrize("dialect", ["jwt", "cat", "akamai"])
def test_a_token_is_minted_in_its_issuers_dialect(folder: Path, dialect: str) -> None:
    file = with_dialect(folder, dialect)
    minted = good(*mint(folder, "--stream", "news", "--session", "s-1")).strip()
    config = load_config(file)
    issuers, _ = issuers_of(config.tokens, read_secrets(config, folder))
    credential = Credential(minted, Carrier.QUERY, "x", ("https://platform.example",))
    here, elsewhere = Facts("GET", "/watch/news/index.mpd"), Facts("GET", "/watch/films/index.mpd")
    proof = issuers.verify(credential, here, "news", time.time())
    assert isinstance(proof, Proof), proof
    assert proof.session.sid == "s-1"
    assert proof.session.streams == frozenset({"news"}) or proof.scope.check(elsewhere)
    assert proof.scope.check(here) is None


@pytest.mark.parametrize(
    ("dialect", "message"),
    [("akamai", "cannot say claim did"), ("fastly", "are not minted here, only those of jwt, cat, akamai")],
)
def test_what_a_dialect_cannot_say_is_named(folder: Path, dialect: str, message: str) -> None:
    with_dialect(folder, dialect)
    assert message in failed(*mint(folder, "--device", "tv"))
