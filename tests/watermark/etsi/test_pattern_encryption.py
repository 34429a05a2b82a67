"""Encrypted patterns, against the examples of the COSE working group (github.com/cose-wg/Examples, commit 53c9d63)."""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys import base64url
from relay.gate.dialects.claims import BadTokenError
from relay.verdict import Reason
from relay.watermark.etsi.pattern_encryption import PatternKeys, decrypt, encrypt0

PLAIN = b"This is the content."
AGREEMENT = derive_private_key(
    int.from_bytes(base64url.decode("r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8")), SECP256R1()
)
K128 = base64url.decode("hJtXIZ2uSN5kbQfbtTNWbg")
K256 = bytes.fromhex("0F1E2D3C4B5A69788796A5B4C3D2E1F01F2E3D4C5B6A798897A6B5C4D3E2F100")
# Who it is encrypted to is the same in both: the algorithm, the sender's static key, a key ID.
RECIPIENT = (
    "818344A101381FA221A42001215820EDCBD809C754DB6582C16D6D65747C8AECC92D619C778EB17F13B55C9B3E48F52258200F38495E0CFD448E"
    "93B1E366C047CBA0D567B3C526BCE36C3F3403A29D9D2A8A01020458246D65726961646F632E6272616E64796275636B406275636B6C616E642E"
    "6578616D706C65"
)
IV = "A1054C02D1F7E6F26C43D4868D87CE5824"
ENC_01 = f"D08343A10101{IV}60973A94BB2898009EE52ECFD9AB1DD25867374B162E2C03568B41F57C3CC16F9166250A"
ENC_03 = f"D08343A10103{IV}9D64A5A59A3B04867DCCF6B8EF82F7D1A3B25EF84ECA2BC5D7593A96E943859A9CC24AD3"
WRAP_01 = (
    f"D8608443A10101{IV}64F84D913BA60A76070A9A48F26E97E863E2852948658F0811139868826E89218A75715B"
    f"{RECIPIENT}581833CB2D33A9C2A9178284E03D6DCCFFEA4E32D7363BDA50D3"
)
WRAP_02 = (
    f"D8608443A10103{IV}256B748DEB647131C12A10AC261DA0628E420492A36F3DED8642B4B6FA1EB15DCEC80A0F"
    f"{RECIPIENT}5828FCE1BCC94823E72A5483565A7BDF21F4B374259E2C3A6E0B239D0E7E51B0AB05885D62EBB087C15D"
)
VECTORS = {
    "aes-gcm-enc-01": (ENC_01, PatternKeys(K128)),
    "aes-gcm-enc-03": (ENC_03, PatternKeys(K256)),
    "p256-ss-wrap-128-01": (WRAP_01, PatternKeys(agreement=AGREEMENT)),
    "p256-ss-wrap-128-02": (WRAP_02, PatternKeys(agreement=AGREEMENT)),
}
ENCRYPT0 = cbor2.loads(bytes.fromhex(VECTORS["aes-gcm-enc-01"][0])).value
ENCRYPT = cbor2.loads(bytes.fromhex(VECTORS["p256-ss-wrap-128-01"][0])).value


@pytest.mark.parametrize(("message", "keys"), VECTORS.values(), ids=list(VECTORS))
def test_published_vectors(message: str, keys: PatternKeys) -> None:
    assert decrypt(bytes.fromhex(message), keys) == PLAIN
    assert decrypt(cbor2.loads(bytes.fromhex(message)), keys) == PLAIN


@pytest.mark.parametrize("name", ["aes-gcm-enc-01", "p256-ss-wrap-128-01"])
def test_no_bit_may_change(name: str) -> None:
    """Of the IV, the ciphertext and the wrapped key; also of what is authenticated with them."""
    message, keys = VECTORS[name]
    data = bytes.fromhex(message)
    kid = data.find(b"meriadoc")
    for at in range(len(data)):
        if kid - 3 <= at < kid + 36:  # The key ID and its label are not looked at.
            continue
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        try:
            assert decrypt(changed, keys) != PLAIN, f"byte {at}"
        except BadTokenError:
            continue


@pytest.mark.parametrize("key", [K128, K256[:24], K256])
def test_what_is_encrypted_here_is_read(key: bytes) -> None:
    sealed = encrypt0(PLAIN, key, bytes(12))
    assert decrypt(sealed, PatternKeys(key)) == PLAIN
    with pytest.raises(BadTokenError, match="does not decrypt"):
        decrypt(sealed, PatternKeys(bytes(len(key))))


def test_our_encryption_is_that_of_the_vectors() -> None:
    message, _ = VECTORS["aes-gcm-enc-03"]
    assert encrypt0(PLAIN, K256, bytes.fromhex("02D1F7E6F26C43D4868D87CE")) == bytes.fromhex(message)


@pytest.mark.parametrize(
    ("value", "keys", "reason", "message"),
    [
        (b"", PatternKeys(K128), Reason.TOKEN_MALFORMED, "ends too soon"),
        (bytes(8), PatternKeys(K128), Reason.TOKEN_MALFORMED, "after the CBOR item"),
        (b"\x00", PatternKeys(K128), Reason.TOKEN_MALFORMED, "not encrypted"),
        (cbor2.CBORTag(16, ENCRYPT0), PatternKeys(K256), Reason.TOKEN_UNSUPPORTED, "in another way"),
        (cbor2.CBORTag(16, ENCRYPT0), PatternKeys(b"", AGREEMENT), Reason.TOKEN_UNSUPPORTED, "no shared key"),
        (cbor2.CBORTag(96, ENCRYPT), PatternKeys(K128), Reason.TOKEN_UNSUPPORTED, "no private key"),
        (cbor2.CBORTag(16, [*ENCRYPT0, []]), PatternKeys(K128), Reason.TOKEN_MALFORMED, "not a COSE message"),
        (cbor2.CBORTag(16, [b"", *ENCRYPT0[1:]]), PatternKeys(K128), Reason.TOKEN_MALFORMED, "no algorithm"),
        (cbor2.CBORTag(16, [ENCRYPT0[0], {}, b""]), PatternKeys(K128), Reason.TOKEN_MALFORMED, "an IV of 12"),
        (cbor2.CBORTag(16, [ENCRYPT0[0], {1: 1}, b""]), PatternKeys(K128), Reason.TOKEN_MALFORMED, "both places"),
        (cbor2.CBORTag(16, [b"\x00", {}, b""]), PatternKeys(K128), Reason.TOKEN_MALFORMED, "not a CBOR map"),
        (cbor2.CBORTag(16, [ENCRYPT0[0], {2: [9]}, b""]), PatternKeys(K128), Reason.TOKEN_UNSUPPORTED, "crit"),
        (cbor2.CBORTag(96, [*ENCRYPT[:3], []]), PatternKeys(b"", AGREEMENT), Reason.TOKEN_MALFORMED, "0 recipients"),
        (cbor2.CBORTag(96, [*ENCRYPT[:3], [1]]), PatternKeys(b"", AGREEMENT), Reason.TOKEN_MALFORMED, "three parts"),
        (
            cbor2.CBORTag(96, [*ENCRYPT[:3], [[cbor2.dumps({1: -32}), {-2: {1: 2, -1: 1, -2: bytes(32)}}, b""]]]),
            PatternKeys(b"", AGREEMENT),
            Reason.TOKEN_MALFORMED,
            "no static key",
        ),
        (
            cbor2.CBORTag(
                96, [*ENCRYPT[:3], [[cbor2.dumps({1: -32}), {-2: {1: 2, -1: 1, -2: b"x" * 32, -3: b"y" * 32}}, b""]]]
            ),
            PatternKeys(b"", AGREEMENT),
            Reason.TOKEN_MALFORMED,
            "no static key",
        ),
        (
            cbor2.CBORTag(96, [*ENCRYPT[:3], [[cbor2.dumps({1: -29}), {}, b""]]]),
            PatternKeys(b"", AGREEMENT),
            Reason.TOKEN_MALFORMED,
            "no recipient",
        ),
    ],
)
def test_what_is_refused(value: object, keys: PatternKeys, reason: Reason, message: str) -> None:
    with pytest.raises(BadTokenError, match=message) as bad:
        decrypt(value, keys)
    assert bad.value.deny.reason is reason


def test_a_compressed_static_key() -> None:
    [[protected, unprotected, wrapped]] = ENCRYPT[3]
    sender = {**unprotected[-2], -3: bool(unprotected[-2][-3][-1] & 1)}
    recipient = [protected, {-2: sender}, wrapped]
    assert decrypt(cbor2.CBORTag(96, [*ENCRYPT[:3], [recipient]]), PatternKeys(b"", AGREEMENT)) == PLAIN
    other = [cbor2.dumps({1: -29}), {}, b"another's"]
    assert decrypt(cbor2.CBORTag(96, [*ENCRYPT[:3], [other, recipient]]), PatternKeys(b"", AGREEMENT)) == PLAIN


def test_keys_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="16, 24 or 32"):
        PatternKeys.load(bytes(17))
    other = generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="P-256"):
        PatternKeys.load(b"", other)
    pem = AGREEMENT.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    loaded = PatternKeys.load(K128, pem)
    assert loaded
    assert not PatternKeys()
    assert K128.hex() not in repr(loaded)
