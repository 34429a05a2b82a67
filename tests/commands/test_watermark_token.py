"""``segmentgate watermark token``: what it prints is read by a verifier, and gives the session's own bits."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from keys.watermark import code_key
from relay.cli import main
from relay.gate.dialects.claims import Terms
from relay.watermark.code import AssetCode, number_of
from relay.watermark.etsi.pattern_encryption import PatternKeys
from relay.watermark.etsi.vendors import Vendor, VendorKey
from relay.watermark.etsi.wmt import WatermarkToken, WatermarkTokens
from tests.gate.platform import EC_KEY, private_pem, public_pem

SECRET, SIGNING, PATTERN_KEY = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
MARK = "00000000000000ab"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in {"secret": SECRET, "signing": SIGNING, "pattern": PATTERN_KEY, "short": bytes(33)}.items():
        (tmp_path / name).write_text(data.hex())
    (tmp_path / "code").write_text(code_key(SECRET, "film").hex())
    (tmp_path / "ec.pem").write_bytes(private_pem(EC_KEY))
    return tmp_path


def printed(folder: Path, *arguments: str) -> tuple[int, str]:
    written = [
        str(folder / text) if text in ("secret", "signing", "pattern", "short", "code", "ec.pem") else text
        for text in arguments
    ]
    result = CliRunner().invoke(main, ["watermark", "token", "--watermark", MARK, "--vendor", "7", *written])
    return result.exit_code, result.output.strip()


def read(token: str, patterns: PatternKeys | None = None) -> WatermarkToken:
    keys = VendorKey("HS256", SIGNING), VendorKey.load("ES256", public_pem(EC_KEY).encode())
    vendor = Vendor(7, keys, patterns or PatternKeys(), derives=True)
    found = WatermarkTokens([vendor], Terms("", "edge", 5, 30 * 86_400)).verify(token, time.time())
    assert isinstance(found, WatermarkToken), found
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ("--key", "signing", "--secret-file", "secret", "--asset", "film"),
        ("--key", "signing", "--code-key", "code", "--form", "jwt", "--bits", "999"),
        ("--key", "ec.pem", "--algorithm", "ES256", "--kid", "k1", "--code-key", "code"),
        ("--key", "signing", "--code-key", "code", "--colluders", "4"),
        ("--key", "signing", "--indirect", "--operator", "3", "--key-version", "2"),
    ],
)
def test_tokens_give_the_sessions_bits(folder: Path, arguments: tuple[str, ...]) -> None:
    status, token = printed(folder, *arguments)
    assert status == 0, token
    found = read(token)
    code = AssetCode(code_key(SECRET, "film"), 4 if "--colluders" in arguments else 2)
    assert found.length == (999 if "--bits" in arguments else 3600)
    expected = [code.bit(number_of(MARK), position) for position in range(300)]
    assert [found.bit(position, code) for position in range(300)] == expected
    if "--indirect" in arguments:
        assert (found.watermark_id, found.operator, found.key_version, found.pattern) == (MARK, 3, 2, None)
    else:
        assert found.watermark_id == ""
    assert found.expires_at == pytest.approx(time.time() + 4 * 3600, abs=5)


def test_an_encrypted_pattern(folder: Path) -> None:
    arguments = ("--key", "signing", "--code-key", "code", "--pattern-key", "pattern")
    (_, one), (_, two) = printed(folder, *arguments), printed(folder, *arguments)
    assert one != two
    keys = PatternKeys(PATTERN_KEY)
    assert read(one, keys).pattern == read(two, keys).pattern == AssetCode(code_key(SECRET, "film")).pattern(0xAB, 3600)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--key", "signing"), "give --code-key"),
        (("--key", "signing", "--secret-file", "secret"), "with --asset"),
        (("--key", "signing", "--code-key", "code", "--asset", "film"), "with --asset"),
        (("--key", "signing", "--code-key", "short"), "33 bytes, a code key has 32"),
        (("--key", "signing", "--code-key", "code", "--pattern-key", "short"), "33 bytes, expected 32"),
        (("--key", "ec.pem", "--code-key", "code"), "not hexadecimal"),
        (("--key", "signing", "--algorithm", "ES256", "--code-key", "code"), "does not fit ES256"),
        (("--key", "signing", "--code-key", "code", "--bits", "65535"), "more than 4096"),
        (("--key", "signing", "--code-key", "code", "--bits", "9", "--last-bit-first"), "multiple of 8"),
    ],
)
def test_what_is_not_minted(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    status, output = printed(folder, *arguments)
    assert status != 0
    assert message in output.replace("\n", " ")
    assert SIGNING.hex() not in output
