"""Keys: each fits one algorithm, and a set of them is replaced as a whole."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from relay.gate.dialects.jwt import mint_token
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from tests.gate.platform import CLAIMS, EC_KEY, ED_KEY, NOW, SECRET, SIGNERS, private_pem, public_pem

ED448_PEM = Ed448PrivateKey.from_private_bytes(bytes(57)).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.fixture(scope="module")
def rsa_key() -> RSAPrivateKey:
    return generate_rsa_key(65537, 2048)


def rsa_pems(key: RSAPrivateKey) -> tuple[bytes, str]:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public.decode()


def test_a_short_secret_is_no_key() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        TokenKey.symmetric("k", bytes(31))


@pytest.mark.parametrize(
    ("algorithm", "pem", "message"),
    [
        ("ES256", "not a key", "not a PEM public key"),
        ("ES256", private_pem(EC_KEY).decode(), "not a PEM public key"),
        ("EdDSA", public_pem(EC_KEY), "does not fit EdDSA"),
        ("ES256", public_pem(ED_KEY), "does not fit ES256"),
        ("PS256", public_pem(ED_KEY), "does not fit PS256"),
        ("ES256", public_pem(generate_private_key(SECP384R1())), "does not fit ES256"),
        ("HS256", public_pem(EC_KEY), "does not fit HS256"),
        ("none", public_pem(EC_KEY), "does not fit none"),
    ],
)
def test_a_public_key_must_fit_its_algorithm(algorithm: str, pem: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenKey.public("k", algorithm, pem)


def test_an_rsa_key_must_be_strong_enough_and_no_burden() -> None:
    weak = rsa_pems(generate_rsa_key(65537, 1024))[1]
    with pytest.raises(ValueError, match="does not fit PS256"):
        TokenKey.public("k", "PS256", weak)


def test_an_rsa_key_signs_and_verifies(rsa_key: RSAPrivateKey) -> None:
    private, public = rsa_pems(rsa_key)
    signature = Signer.load("r", "PS256", private).sign(b"message")
    key = TokenKey.public("r", "PS256", public)
    assert key.verifies(b"message", signature)
    assert not key.verifies(b"another", signature)
    assert not key.verifies(b"message", signature[:-1])


@pytest.mark.parametrize("kid", SIGNERS)
def test_what_a_signer_signs_its_public_half_verifies(kid: str) -> None:
    signer = Signer.load(kid, *SIGNERS[kid])
    signature = signer.sign(b"message")
    assert signer.public().verifies(b"message", signature)
    for bad in (b"", signature[:-1], signature + b"\0", bytes(len(signature))):
        assert not signer.public().verifies(b"message", bad)


def test_keys_do_not_print() -> None:
    for key in (TokenKey.symmetric("k", SECRET), Signer.load("k", "HS256", SECRET)):
        assert SECRET.hex() not in repr(key)
        assert repr(SECRET) not in repr(key)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", b"not a key"),
        ("ES256", private_pem(ED_KEY)),
        ("ES256", public_pem(EC_KEY).encode()),
        ("EdDSA", private_pem(EC_KEY)),
        ("EdDSA", public_pem(ED_KEY).encode()),
        ("HS256", private_pem(EC_KEY)),
        ("HS256", public_pem(EC_KEY).encode()),
        ("none", private_pem(EC_KEY)),
        ("EdDSA", ED448_PEM),
    ],
)
def test_minting_names_a_key_that_does_not_fit(algorithm: str, key: bytes) -> None:
    with pytest.raises(ValueError, match=f"does not fit {algorithm}"):
        mint_token(CLAIMS, "k", algorithm, key)


def test_a_key_id_is_one_key_and_one_algorithm() -> None:
    secret, public = TokenKey.symmetric("k", SECRET), TokenKey.public("k", "ES256", public_pem(EC_KEY))
    keys = KeySet([secret])
    with pytest.raises(ValueError, match="two keys have the kid 'k'"):
        keys.replace([public, secret])
    assert keys.get("k", NOW) is secret
    assert len(keys) == 1


def test_a_key_is_retired_by_time() -> None:
    keys = KeySet([TokenKey.symmetric("old", SECRET, retire_at=NOW), TokenKey.symmetric("new", SECRET)])
    assert keys.get("old", NOW - 1) is not None
    assert keys.get("old", NOW) is None
    assert keys.get("new", NOW) is not None
