"""What licences are made with is read from files, and shown nowhere."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys.licences.widevine import Model
from keys.model import Security
from relay.errors import ConfigError
from relay.licensing.material import Material
from relay.secrets import read_secrets
from tests.keys.licences import fairplay_device, playready_client
from tests.keys.licences.widevine_client import certificate, made_key, pkcs1
from tests.licensing.configured import configured


@pytest.fixture
def base(tmp_path: Path) -> Path:
    service = made_key("service")
    pem = service.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    vectors, apple = playready_client.VECTORS, fairplay_device.VECTORS
    files: dict[str, bytes] = {
        "api.key": b"a" * 32,
        "root.hex": b"ab" * 32,
        "token.hex": b"cd" * 32,
        "widevine.root": pkcs1(made_key("root")),
        "service.cert": certificate(service, made_key("root"), (1, 3), (2, b"serial"), (7, b"relay.test")),
        "service.pem": pem,
        "playready.root": playready_client.ROOT_KEY.public,
        "server.pem": vectors["wmrm_key_pem"].encode(),
        "response.pem": vectors["response_key_pem"].encode(),
        "response.chain": bytes.fromhex(vectors["response_chain"]),
        "fairplay.cer": bytes.fromhex(apple["certificate_der"]),
        "fairplay.pem": apple["rsa_key_pem"].encode(),
        "ask.hex": fairplay_device.ASK.hex().encode() + b"\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


WIDEVINE: dict[str, Any] = {
    "roots": ["widevine.root"],
    "services": [{"certificate": "service.cert", "key": "service.pem"}],
    "devices": [{"system_id": 7, "security": "L1", "name": "Box"}],
    "revoked": ["0aff"],
}
PLAYREADY: dict[str, Any] = {
    "roots": ["playready.root"],
    "server_keys": ["server.pem"],
    "response_key": "response.pem",
    "response_chain": "response.chain",
}
FAIRPLAY: dict[str, Any] = {
    "credentials": [{"certificate": "fairplay.cer", "key": "fairplay.pem", "ask": "ask.hex"}],
    "derive_secret": "tests.keys.licences.fairplay_device:stand_in_d",
}


def test_material_is_read_from_files_and_shown_nowhere(base: Path) -> None:
    secrets = read_secrets(configured(None, {"widevine": WIDEVINE, "playready": PLAYREADY, "fairplay": FAIRPLAY}), base)
    material = secrets.licences
    assert material.widevine
    assert material.widevine.models == ((7, Model(Security.HARDWARE, "Box")),)
    assert material.widevine.others == Model(Security.SOFTWARE)
    assert material.widevine.revoked == {b"\x0a\xff"}
    assert material.playready
    assert material.fairplay
    assert material.fairplay.certificate == (base / "fairplay.cer").read_bytes()
    assert read_secrets(configured(), base).licences == Material()
    for shown in (repr(material), repr(secrets)):
        assert "PRIVATE" not in shown
        assert repr(fairplay_device.ASK)[2:-1] not in shown


@pytest.mark.parametrize(
    ("licences", "error"),
    [
        ({"widevine": {**WIDEVINE, "roots": ["none"]}}, r"none: licences\.widevine\.roots\[0\]: cannot be read"),
        ({"widevine": {**WIDEVINE, "roots": ["api.key"]}}, r"licences\.widevine: .*\. Put there what the owner"),
        (
            {"widevine": {**WIDEVINE, "services": [{"certificate": "service.cert", "key": "server.pem"}]}},
            r"licences\.widevine: Widevine service certificate: certifies another key",
        ),
        (
            {"widevine": {**WIDEVINE, "devices": [{"system_id": 1, "security": "Medium"}]}},
            "Invalid enum value 'Medium'",
        ),
        ({"widevine": {**WIDEVINE, "devices": WIDEVINE["devices"] * 2}}, r"licences\.widevine\.devices: two have"),
        ({"widevine": {**WIDEVINE, "revoked": ["0"]}}, "licences.widevine.revoked"),
        ({"playready": {**PLAYREADY, "response_key": "server.pem"}}, r"licences\.playready: response chain"),
        ({"playready": {**PLAYREADY, "server_keys": ["api.key"]}}, r"licences\.playready: server key: not an"),
        ({"fairplay": {**FAIRPLAY, "derive_secret": "no.such:thing"}}, r"licences\.fairplay: derive_secret: No module"),
        ({"fairplay": {**FAIRPLAY, "derive_secret": "os:nothing"}}, r"licences\.fairplay: derive_secret: module 'os'"),
        ({"fairplay": {**FAIRPLAY, "derive_secret": "os"}}, r"licences\.fairplay\.derive_secret"),
        (
            {"fairplay": {**FAIRPLAY, "credentials": [{**FAIRPLAY["credentials"][0], "ask": "fairplay.pem"}]}},
            r"licences\.fairplay\.credentials\[0\]\.ask: not hexadecimal",
        ),
        ({"fairplay": {**FAIRPLAY, "credentials": []}}, r"licences\.fairplay\.credentials"),
    ],
)
def test_material_that_is_unusable_is_refused_by_name(base: Path, licences: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        read_secrets(configured(None, licences), base)


WIDEVINE_BRIDGE: dict[str, Any] = {
    "url": "https://licences.example/getlicense/me",
    "provider": "me",
    "key": "root.hex",
    "iv": "iv.hex",
}
PLAYREADY_BRIDGE: dict[str, Any] = {"url": "https://playready.example/", "secret": "root.hex"}
FAIRPLAY_BRIDGE: dict[str, Any] = {
    "process": "tests.keys.licences.fairplay_module:process",
    "certificate": "fairplay.cer",
}


def test_bridges_are_read_from_files_and_shown_nowhere(base: Path) -> None:
    (base / "iv.hex").write_text("ef" * 16)
    licences = {
        "widevine_bridge": {**WIDEVINE_BRIDGE, "timeout": "2s", "requests": 7},
        "playready_bridge": PLAYREADY_BRIDGE,
        "fairplay_bridge": FAIRPLAY_BRIDGE,
    }
    material = read_secrets(configured(None, licences), base).licences
    assert material.widevine_bridge
    assert material.widevine_bridge.account.iv == b"\xef" * 16
    assert (material.widevine_bridge.server.timeout_s, material.widevine_bridge.server.requests) == (2.0, 7)
    assert material.playready_bridge
    assert material.playready_bridge.secret == b"\xab" * 32
    assert material.fairplay_certificate == (base / "fairplay.cer").read_bytes()
    for secret in (b"\xef" * 16, b"\xab" * 32):
        assert repr(secret)[2:-1] not in repr(material)
    assert "licences.example" not in repr(material)


@pytest.mark.parametrize(
    ("licences", "error"),
    [
        (
            {"widevine": WIDEVINE, "widevine_bridge": WIDEVINE_BRIDGE},
            r"licences\.widevine_bridge: .*licences\.widevine is there, too",
        ),
        (
            {"widevine_bridge": {**WIDEVINE_BRIDGE, "url": "http://licences.example/"}},
            r"url: keys would travel in clear",
        ),
        ({"playready_bridge": {**PLAYREADY_BRIDGE, "url": "http://10.0.0.1/"}}, r"url: keys would travel in clear"),
        ({"widevine_bridge": {**WIDEVINE_BRIDGE, "iv": "root.hex"}}, r"licences\.widevine_bridge: .*its IV 16"),
        (
            {"playready_bridge": {**PLAYREADY_BRIDGE, "secret": "ask.hex"}},
            r"playready_bridge\.secret: 16 bytes, expected 32",
        ),
        ({"fairplay_bridge": {**FAIRPLAY_BRIDGE, "process": "os:nothing"}}, r"fairplay_bridge: process: module 'os'"),
        ({"time_limit": "500ms"}, r"licences\.time_limit: less than a second"),
    ],
)
def test_bridges_that_are_unusable_are_refused_by_name(base: Path, licences: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        read_secrets(configured(None, licences), base)
