"""Watermark tokens: what they say, checked against other implementations, and what is refused."""

from collections.abc import Mapping
from typing import Any

import cbor2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, SECP521R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import base64url
from relay.gate.dialects import cose
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import Signer
from relay.verdict import Deny, Reason
from relay.watermark.code import AssetCode, number_of
from relay.watermark.etsi.pattern_encryption import PatternKeys, encrypt0
from relay.watermark.etsi.vendors import ALGORITHMS, Vendor, VendorKey
from relay.watermark.etsi.wmt import LABELS, Issue, WatermarkToken, WatermarkTokens, mint_direct, mint_indirect
from tests.gate import negatives
from tests.gate.platform import (
    AUDIENCE,
    EC_KEY,
    LEEWAY,
    MAX_LIFETIME,
    NEXT_SECRET,
    NOW,
    SECRET,
    private_pem,
    public_pem,
)

TERMS = Terms("", AUDIENCE, LEEWAY, MAX_LIFETIME)
PATTERN_KEY = bytes(range(100, 132))
VENDORS = (
    Vendor(
        1,
        (
            VendorKey("HS256", SECRET),
            VendorKey("HS256", NEXT_SECRET),
            VendorKey.load("ES256", public_pem(EC_KEY).encode()),
        ),
    ),
    Vendor(2, (VendorKey("HS256", SECRET),), PatternKeys(PATTERN_KEY)),
    Vendor(3, (VendorKey("HS256", SECRET),), derives=True, issuer="https://vendor.example"),
)
TOKENS = WatermarkTokens(VENDORS, TERMS)
CODE = AssetCode(bytes(range(32)))
SIGNER = Signer("hs-1", "HS256", SECRET)
# The pattern of the standard's example (§5.4).
DIRECT: dict[str, Any] = {
    "exp": NOW + 600,
    "iat": NOW,
    "wmver": 1,
    "wmvnd": 1,
    "wmpatlen": 32,
    "wmpattern": bytes.fromhex("0a0b0c0d"),
}
INDIRECT: dict[str, Any] = {
    "exp": NOW + 600,
    "iat": NOW,
    "wmver": 1,
    "wmvnd": 3,
    "wmpatlen": 1000,
    "wmid": "viewer-7",
    "wmopid": 40,
    "wmkeyver": 2,
}


def cwt(claims: Mapping[Any, Any], signer: Signer = SIGNER) -> str:
    labelled = {LABELS.get(name, name): value for name, value in claims.items()}
    return cose.seal(cbor2.dumps(labelled, canonical=True), signer)


def as_jwt(claims: Mapping[str, Any], key: Any = SECRET, algorithm: str = "HS256") -> str:
    """As another implementation signs it, and without a key ID."""
    spelt = {name: base64url.encode(value) if isinstance(value, bytes) else value for name, value in claims.items()}
    return jwt.encode(spelt, key, algorithm)


def said(token: str, now: float = NOW, tokens: WatermarkTokens = TOKENS) -> WatermarkToken:
    found = tokens.verify(token, now)
    assert isinstance(found, WatermarkToken), found
    return found


def refusal(token: str, now: float = NOW, tokens: WatermarkTokens = TOKENS) -> Deny:
    found = tokens.verify(token, now)
    assert isinstance(found, Deny), found
    return found


def test_bits_are_those_of_the_standard() -> None:
    token = said(cwt(DIRECT))
    bits = f"{0x0A0B0C0D:032b}"
    assert [token.bit(position) for position in range(64)] == [int(bit) for bit in bits * 2]
    assert token.bit(3) == 0  # the standard's own example
    assert token.bit(-1) == 0
    with pytest.raises(ValueError, match="position -2"):
        token.bit(-2)


@pytest.mark.parametrize("make", [cwt, as_jwt])
def test_direct(make: Any) -> None:
    token = said(make(DIRECT | {"wmsegduration": [60_000, 10_000], "aud": AUDIENCE, "nbf": NOW, "more": 1}))
    assert token == WatermarkToken(1, 32, NOW + 600, bytes.fromhex("0a0b0c0d"), segment_duration=6.0)
    assert "0a0b0c0d" not in repr(token)
    assert "\\n" not in repr(token)


@pytest.mark.parametrize("make", [cwt, as_jwt])
def test_indirect(make: Any) -> None:
    token = said(make(INDIRECT))
    assert token == WatermarkToken(3, 1000, NOW + 600, None, "viewer-7", 40, 2)
    number = number_of("viewer-7")
    assert [token.bit(at, CODE) for at in range(2000)] == [CODE.bit(number, at % 1000) for at in range(2000)]
    with pytest.raises(ValueError, match="code of the asset"):
        token.bit(5)


def test_patterns_whose_length_is_no_whole_byte() -> None:
    token = said(cwt(DIRECT | {"wmpatlen": 3, "wmpattern": b"\xa0"}))
    assert [token.bit(at) for at in range(6)] == [1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("make", [cwt, as_jwt])
def test_encrypted(make: Any) -> None:
    sealed = encrypt0(bytes.fromhex("0a0b0c0d"), PATTERN_KEY, bytes(12))
    assert said(make(DIRECT | {"wmvnd": 2, "wmpattern": sealed})).pattern == bytes.fromhex("0a0b0c0d")
    assert refusal(make(DIRECT | {"wmvnd": 2})).reason is Reason.TOKEN_MALFORMED


def test_encrypted_within_the_token() -> None:
    """As the standard has it: the claim is the COSE message itself, not bytes that hold one."""
    message = cbor2.loads(encrypt0(bytes.fromhex("0a0b0c0d"), PATTERN_KEY, bytes(12)))
    assert said(cwt(DIRECT | {"wmvnd": 2, "wmpattern": message})).pattern == bytes.fromhex("0a0b0c0d")


@pytest.fixture(scope="module")
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm(algorithm: str, rsa_key: RSAPrivateKey) -> None:
    curves = {"ES256": EC_KEY, "ES384": derive_private_key(7, SECP384R1()), "ES512": derive_private_key(7, SECP521R1())}
    key: Any = bytes(range(64)) if algorithm[:2] == "HS" else curves.get(algorithm, rsa_key)
    public = (
        key
        if isinstance(key, bytes)
        else key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    tokens = WatermarkTokens([Vendor(1, (VendorKey.load(algorithm, public),))], TERMS)
    assert said(as_jwt(DIRECT, key, algorithm), tokens=tokens).length == 32
    assert refusal(as_jwt(DIRECT), tokens=tokens).reason is Reason.TOKEN_SIGNATURE
    # The same signature in COSE: its bytes are alike there (RFC 9053 §2.1), only what is signed differs.
    claims = cbor2.dumps({LABELS[name]: value for name, value in DIRECT.items()}, canonical=True)
    protected = cbor2.dumps({1: ALGORITHMS[algorithm]})
    context, tag = ("MAC0", 17) if isinstance(key, bytes) else ("Signature1", 18)
    made = jwt.get_algorithm_by_name(algorithm)
    signature = made.sign(cbor2.dumps([context, protected, b"", claims]), key)
    message = cbor2.CBORTag(tag, [protected, {}, claims, signature])
    assert said(base64url.encode(cbor2.dumps(message)), tokens=tokens).length == 32
    wrong = cbor2.CBORTag(35 - tag, message.value)
    assert refusal(base64url.encode(cbor2.dumps(wrong)), tokens=tokens).reason is Reason.TOKEN_SIGNATURE


def test_keys_are_replaced_without_a_gap() -> None:
    assert said(cwt(DIRECT, Signer("", "HS256", SECRET))).length == 32
    assert said(cwt(DIRECT, Signer("any", "HS256", NEXT_SECRET))).length == 32
    assert said(cwt(DIRECT, Signer.load("", "ES256", private_pem(EC_KEY)))).length == 32
    assert refusal(cwt(DIRECT, Signer("", "HS256", bytes(32)))).reason is Reason.TOKEN_SIGNATURE


def without(claims: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {known: value for known, value in claims.items() if known != name}


@pytest.mark.parametrize("make", [cwt, as_jwt])
@pytest.mark.parametrize(
    ("claims", "reason", "detail"),
    [
        (without(DIRECT, "exp"), Reason.TOKEN_MALFORMED, "exp"),
        (without(DIRECT, "iat"), Reason.TOKEN_MALFORMED, "iat"),
        (without(DIRECT, "wmver"), Reason.TOKEN_MALFORMED, "wmver is required"),
        (without(DIRECT, "wmvnd"), Reason.TOKEN_MALFORMED, "wmvnd is required"),
        (without(DIRECT, "wmpatlen"), Reason.TOKEN_MALFORMED, "wmpatlen is required"),
        (without(DIRECT, "wmpattern"), Reason.TOKEN_MALFORMED, "wmid"),
        (without(INDIRECT, "wmid"), Reason.TOKEN_MALFORMED, "wmid"),
        (without(INDIRECT, "wmopid"), Reason.TOKEN_MALFORMED, "wmopid"),
        (without(INDIRECT, "wmkeyver"), Reason.TOKEN_MALFORMED, "wmkeyver"),
        ({**INDIRECT, "wmvnd": 1}, Reason.TOKEN_UNSUPPORTED, "derives"),
        ({**INDIRECT, "iss": "https://other.example"}, Reason.KEY_UNKNOWN, "issuer"),
        ({**INDIRECT, "wmid": 7}, Reason.TOKEN_MALFORMED, "wmid"),
        ({**INDIRECT, "wmid": "x" * 129}, Reason.TOKEN_MALFORMED, "wmid"),
        ({**INDIRECT, "wmopid": -1}, Reason.TOKEN_MALFORMED, "wmopid"),
        ({**DIRECT, "wmver": 2}, Reason.TOKEN_UNSUPPORTED, "version 2"),
        ({**DIRECT, "wmvnd": 9}, Reason.KEY_UNKNOWN, "wmvnd"),
        ({**DIRECT, "wmvnd": 256}, Reason.TOKEN_MALFORMED, "wmvnd"),
        ({**DIRECT, "wmvnd": "nagra"}, Reason.TOKEN_MALFORMED, "wmvnd"),
        ({**DIRECT, "wmvnd": True}, Reason.TOKEN_MALFORMED, "wmvnd"),
        ({**DIRECT, "wmpatlen": 0}, Reason.TOKEN_MALFORMED, "at least one bit"),
        ({**DIRECT, "wmpatlen": 65536}, Reason.TOKEN_MALFORMED, "wmpatlen"),
        ({**DIRECT, "wmpatlen": 24}, Reason.TOKEN_MALFORMED, "wmpattern"),
        ({**DIRECT, "wmpatlen": 33}, Reason.TOKEN_MALFORMED, "wmpattern"),
        ({**DIRECT, "wmpattern": 5}, Reason.TOKEN_MALFORMED, "wmpattern"),
        ({**DIRECT, "wmsegduration": [1]}, Reason.TOKEN_MALFORMED, "wmsegduration"),
        ({**DIRECT, "wmsegduration": [1, 0]}, Reason.TOKEN_MALFORMED, "wmsegduration"),
        ({**DIRECT, "aud": "another"}, Reason.TOKEN_AUDIENCE, "aud"),
        ({**DIRECT, "exp": NOW - 6}, Reason.TOKEN_EXPIRED, "exp"),
        ({**DIRECT, "nbf": NOW + 6}, Reason.TOKEN_NOT_YET_VALID, "nbf"),
        ({**DIRECT, "iat": NOW + 6}, Reason.TOKEN_NOT_YET_VALID, "iat"),
        ({**DIRECT, "exp": NOW + 10**6}, Reason.TOKEN_UNSUPPORTED, "max_lifetime"),
    ],
)
def test_what_is_refused(make: Any, claims: Mapping[str, Any], reason: Reason, detail: str) -> None:
    found = refusal(make(claims))
    assert found.reason is reason
    assert detail in found.detail


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", Reason.TOKEN_MALFORMED),
        ("a.b.c", Reason.TOKEN_MALFORMED),
        ("a" * 4097, Reason.TOKEN_MALFORMED),
        (cwt({**DIRECT, "wmpattern": "text"}), Reason.TOKEN_MALFORMED),
        (as_jwt({**DIRECT, "wmpattern": "not base64url!"}), Reason.TOKEN_MALFORMED),
        (cwt({**DIRECT, "wmpattern": cbor2.CBORTag(17, [])}), Reason.TOKEN_MALFORMED),
        (jwt.encode({"wmvnd": 1}, SECRET, headers={"jku": "https://evil.example"}), Reason.TOKEN_UNSUPPORTED),
        (jwt.encode({"wmvnd": 1}, "", algorithm="none"), Reason.TOKEN_MALFORMED),
        (as_jwt(DIRECT, bytes(64), "HS512"), Reason.TOKEN_SIGNATURE),
        (as_jwt(DIRECT, public_pem(EC_KEY)[27:], "HS256"), Reason.TOKEN_SIGNATURE),
    ],
)
def test_tokens_that_are_none(token: str, reason: Reason) -> None:
    assert refusal(token).reason is reason


def test_times_are_asked_each_time() -> None:
    token = cwt(DIRECT)
    assert said(token).expires_at == NOW + 600
    assert refusal(token, NOW + 606).reason is Reason.TOKEN_EXPIRED
    assert said(token, NOW + 604).expires_at == NOW + 600


@pytest.mark.parametrize("token", [cwt(DIRECT), as_jwt(DIRECT)], ids=["cwt", "jwt"])
def test_no_mutant_is_taken_for_the_good_token(token: str) -> None:
    separator = "." if "." in token else ""
    tokens = WatermarkTokens(VENDORS, TERMS)
    for name, mutant in [
        *negatives.flips(token),
        *negatives.byte_flips(token, separator),
        *negatives.truncations(token),
    ]:
        assert isinstance(tokens.verify(mutant, NOW), Deny) or _only_headers_differ(mutant, token), name


def _only_headers_differ(mutant: str, token: str) -> bool:
    """A CWT may be spelt in either alphabet of base64, and its key ID is no part of what is signed."""
    if "." in token:
        return False
    spellings = (text.translate(str.maketrans("+/", "-_")).rstrip("=") for text in (token, mutant))
    good, other = (cbor2.loads(base64url.decode(text)) for text in spellings)
    return bool(good.value.value[2:] == other.value.value[2:])


def test_the_numbers_of_the_registered_claims() -> None:
    """Table 1 of the standard, by the bytes that another implementation reads."""
    payload = cbor2.loads(base64url.decode(mint_indirect(issue(), SIGNER))).value.value[2]
    assert cbor2.loads(payload) == {4: NOW + 60, 6: NOW, 300: 1, 301: 3, 302: 1000, 305: "abc", 306: 5, 307: 6}
    assert payload == bytes.fromhex(
        "a8041a6ab13bbc061a6ab13b8019012c0119012d0319012e1903e819013163616263190132051901330 6".replace(" ", "")
    )


def issue(length: int = 1000, vendor: int = 3) -> Issue:
    return Issue(vendor, length, NOW, NOW + 60, "abc", 5, 6)


@pytest.mark.parametrize("form", ["cwt", "jwt"])
@pytest.mark.parametrize("length", [1, 8, 100, 1000])
def test_direct_and_indirect_tokens_of_ours_agree(form: str, length: int) -> None:
    indirect = said(mint_indirect(issue(length), SIGNER, form=form))
    direct = said(mint_direct(issue(length, vendor=1), CODE, SIGNER, form=form))
    sealed = said(
        mint_direct(issue(length, vendor=2), CODE, SIGNER, form=form, pattern_key=PATTERN_KEY, nonce=bytes(12))
    )
    bits = [indirect.bit(at, CODE) for at in range(2 * length)]
    assert [direct.bit(at) for at in range(2 * length)] == bits
    assert [sealed.bit(at) for at in range(2 * length)] == bits
    assert direct.watermark_id == ""


@given(st.integers(1, 64).map(lambda count: 8 * count))
@settings(max_examples=20)
def test_for_edges_that_count_from_the_end(length: int) -> None:
    """Akamai's published edge code reads the bytes as hexadecimal digits: the last one first, each from its low bit."""
    token = said(mint_direct(issue(length, vendor=1), CODE, SIGNER, last_bit_first=True))
    assert token.pattern is not None
    digits = token.pattern.hex()
    theirs = [int(digits[len(digits) - at // 4 - 1], 16) >> at % 4 & 1 for at in range(length)]
    assert theirs == [CODE.bit(number_of("abc"), at) for at in range(length)]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: mint_direct(issue(0), CODE, SIGNER), "1 to 65535 bits"),
        (lambda: mint_direct(issue(65536), CODE, SIGNER), "1 to 65535 bits"),
        (lambda: mint_direct(issue(65535), CODE, SIGNER), "more than 4096"),
        (lambda: mint_direct(issue(9), CODE, SIGNER, last_bit_first=True), "multiple of 8"),
        (lambda: mint_indirect(issue(), SIGNER, form="xml"), "not a xml"),
        (lambda: mint_indirect(Issue(3, 8, NOW, NOW + 60, ""), SIGNER), "1 to 128 characters"),
    ],
)
def test_what_is_not_minted(made: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made()


@pytest.mark.parametrize(
    ("algorithm", "data", "message"),
    [
        ("none", b"", "is none of"),
        ("HS256", bytes(31), "at least 32"),
        ("HS256", public_pem(EC_KEY).encode(), "needs a secret"),
        ("ES256", b"nonsense", "not a PEM"),
        ("ES384", public_pem(EC_KEY).encode(), "does not fit ES384"),
        ("RS256", public_pem(EC_KEY).encode(), "does not fit RS256"),
    ],
)
def test_keys_that_cannot_be(algorithm: str, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VendorKey.load(algorithm, data)


@pytest.mark.parametrize(("number", "keys"), [(256, 1), (-1, 1), (1, 0), (1, 5)])
def test_vendors_that_cannot_be(number: int, keys: int) -> None:
    with pytest.raises(ValueError, match="a vendor has"):
        Vendor(number, (VendorKey("HS256", SECRET),) * keys)


def test_secrets_do_not_print() -> None:
    assert str(SECRET) not in repr(VENDORS)
