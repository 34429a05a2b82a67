"""Secrets of every kind, read from their files."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from relay.config import Config, parse_config
from relay.errors import ConfigError
from relay.gate.dialects.akamai import AkamaiOptions
from relay.gate.dialects.registry import JwtOptions
from relay.gate.dialects.uri_signing import UriSigningOptions
from relay.secrets import Secrets, read_secrets
from tests.gate.platform import EC_KEY, public_pem
from tests.keys.exchange.material import CERTIFICATE, recipient_key
from tests.test_config import GOOD

FILES = {
    "api.key": "a" * 32,
    "root.hex": "ab" * 32,
    "key": "cd" * 16,
    "long": "cd" * 32,
    "salt": "pepper\n",
    "cdni": "00" * 16,
    "short": "cd" * 15,
    "es.pem": public_pem(EC_KEY),
    "push": "p" * 32,
    "poll": "poll-token",
    "password": "swordfish\n",
}


def configured(issuer: dict[str, Any], **sections: Any) -> Config:
    one = {"iss": "i", "keys": [{"kid": "k", "alg": "HS256", "file": "key"}], **issuer}
    return parse_config({**GOOD, "tokens": {"audience": "edge", "issuers": [one]}, **sections}, "test")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def read(base: Path, issuer: dict[str, Any], **sections: Any) -> Secrets:
    return read_secrets(configured(issuer, **sections), base)


def test_a_dialects_secret_options_are_read(base: Path) -> None:
    akamai = read(base, {"dialect": "akamai", "options": {"salt_file": "salt", "escape_early": True}})
    assert akamai.options["i"] == AkamaiOptions(salt="pepper", escape_early=True)
    signing = {"dialect": "uri-signing", "keys": [{"kid": "k", "alg": "HS256", "file": "long"}]}
    assert read(base, {**signing, "options": {"encryption_key_file": "cdni"}}).options["i"] == UriSigningOptions(
        bytes(16)
    )
    assert read(base, signing).options["i"] == UriSigningOptions()
    keys = [{"kid": "k", "alg": "HS256", "file": "long", "retire_at": 7}]
    jwt = read(base, {"keys": keys, "options": {"plain": True}})
    assert jwt.options["i"] == JwtOptions(plain=True)
    assert jwt.issuers["i"][0].retire_at == 7


@pytest.mark.parametrize(
    ("issuer", "message"),
    [
        ({}, "key: tokens.issuers[0].keys[0].file: a secret of this dialect needs at least 32 bytes"),
        ({"dialect": "secure-media"}, "at least 32 bytes"),
        ({"dialect": "fastly", "keys": [{"kid": "k", "alg": "HS256", "file": "short"}]}, "at least 16 bytes"),
        (
            {"dialect": "akamai", "options": {"salt_file": "none"}},
            "none: tokens.issuers[0].options.salt_file: cannot be",
        ),
        (
            {
                "dialect": "uri-signing",
                "keys": [{"kid": "k", "alg": "ES256", "file": "es.pem"}],
                "options": {"encryption_key_file": "short"},
            },
            "tokens.issuers[0].options: encryption_key: 16 or 32 bytes",
        ),
        (
            {
                "dialect": "uri-signing",
                "keys": [{"kid": "k", "alg": "ES256", "file": "es.pem"}],
                "options": {"encryption_key_file": "salt"},
            },
            "options.encryption_key_file: not hexadecimal",
        ),
    ],
)
def test_a_bad_one_is_named_and_not_shown(base: Path, issuer: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(base, issuer)
    assert message in str(caught.value)
    assert "cdcd" not in str(caught.value)
    assert "pepper" not in str(caught.value)


FASTLY = {"dialect": "fastly"}
SIGNALS = {
    "iss": "s",
    "audience": "a",
    "keys": [{"kid": "s1", "alg": "ES256", "file": "es.pem"}],
    "push_token_file": "push",
    "poll_token_file": "poll",
}


def test_those_of_transmitters_and_of_the_shared_log(base: Path) -> None:
    secrets = read(base, FASTLY, transmitters=[SIGNALS], state={"log_password_file": "password"})
    signals = secrets.transmitters["s"]
    assert ([key.kid for key in signals.keys], signals.push_token, signals.poll_token) == (
        ["s1"],
        "p" * 32,
        "poll-token",
    )
    assert secrets.log_password == "swordfish"
    assert read(base, FASTLY).log_password == ""
    for secret in ("p" * 32, "poll-token", "swordfish", "a" * 32, "cdcd"):
        assert secret not in repr(secrets)


PACKAGER = {"signer": "packager", "streams": ["news"]}
NEWS = {"origin": "http://origin.example/", "hls": "a.m3u8", "schemes": ["cenc"]}
SERVER = {"url": "https://keys.example/speke", "authorization_file": "poll", "certificate": "c.pem", "key": "c.key"}


def write_recipient(base: Path, key: rsa.RSAPrivateKey | None = None) -> None:
    certificate = load_der_x509_certificate(CERTIFICATE).public_bytes(Encoding.PEM)
    (base / "c.pem").write_bytes(certificate)
    pem = (key or recipient_key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (base / "c.key").write_bytes(pem)


def test_those_of_packagers_and_of_key_servers(base: Path) -> None:
    write_recipient(base)
    (base / "r.pem").write_bytes(
        recipient_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    packagers = [{**PACKAGER, "key_file": "long", "iv_file": "cdni"}, {**PACKAGER, "signer": "rsa", "rsa_key": "r.pem"}]
    secrets = read(base, FASTLY, packagers=packagers, streams={"news": {**NEWS, "key_server": SERVER}})
    assert (secrets.packagers["packager"].aes_key, secrets.packagers["packager"].aes_iv) == (b"\xcd" * 32, bytes(16))
    assert secrets.packagers["rsa"].rsa_key == recipient_key().public_key()
    server = secrets.key_servers["news"]
    assert server.recipient
    certificate, key = server.recipient
    assert (server.authorization, certificate) == ("poll-token", CERTIFICATE)
    assert key.private_numbers() == recipient_key().private_numbers()
    for secret in ("poll-token", "\\xcd"):
        assert secret not in repr(secrets)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key_file": "short"}, "packagers[0]: an AES signing key has 16 or 32 bytes"),
        ({"key_file": "salt"}, "packagers[0].key_file: not hexadecimal"),
        ({"key_file": "", "iv_file": "", "rsa_key": "es.pem"}, "packagers[0]: not an RSA key"),
        ({"key_file": "", "iv_file": "", "rsa_key": "salt"}, "packagers[0]: "),
        ({"key_file": "none"}, "packagers[0].key_file: cannot be read"),
    ],
)
def test_a_bad_signing_key_is_named(base: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(base, FASTLY, packagers=[{**PACKAGER, "key_file": "long", "iv_file": "cdni", **change}])
    assert message in str(caught.value)
    assert "cdcd" not in str(caught.value)


def test_a_recipients_key_that_is_not_of_its_certificate_is_named(base: Path) -> None:
    write_recipient(base, rsa.generate_private_key(65537, 2048))
    for change in ({}, {"certificate": "salt"}, {"key": "salt"}, {"key": "es.pem"}):
        server = {**SERVER, **change}
        with pytest.raises(ConfigError, match=r"news\.key_server\.certificate, streams\.news\.key_server\.key: "):
            read(base, FASTLY, streams={"news": {**NEWS, "key_server": server}})


def test_a_push_token_that_could_be_guessed_is_refused(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"transmitters\[0\]\.push_token_file: shorter than 32 characters"):
        read(base, FASTLY, transmitters=[{**SIGNALS, "push_token_file": "poll"}])


def test_shops_are_told_apart_by_their_secrets(base: Path) -> None:
    def shop(name: str, *files: str) -> dict[str, Any]:
        return {"name": name, "issuer": "i", "streams": ["news"], "secret_files": list(files)}

    issuer = {"keys": [{"kid": "k", "alg": "HS256", "file": "long"}]}
    found = read(base, issuer, purchases={"sources": [shop("one", "long"), shop("two", "root.hex")]}).purchases
    assert found == {"one": (b"\xcd" * 32,), "two": (b"\xab" * 32,)}
    with pytest.raises(ConfigError, match=r"purchases.sources\[1\].secret_files: has a secret of 'one'"):
        read(base, issuer, purchases={"sources": [shop("one", "long"), shop("two", "root.hex", "long")]})
