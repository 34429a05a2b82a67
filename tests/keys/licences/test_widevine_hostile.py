"""Widevine challenges that must be refused: foreign chains, altered bytes, nonsense. Only ever with our own errors."""

from contextlib import suppress
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.protobuf import Message, Value, encode
from keys.licences.terms import Term
from keys.licences.widevine import NewLicenceRequest, WidevineServer
from keys.licences.widevine.request import MAX_REQUEST_BYTES
from keys.signalling.pssh import Pssh
from keys.signalling.systems import WIDEVINE
from tests.keys.licences.widevine_client import (
    KEYS,
    KIDS,
    NOW,
    Entropy,
    certificate,
    client_id,
    device_token,
    load_server,
    made_key,
    new_request,
    pkcs1,
    pssh_content,
    read_licence,
    signed,
    vector,
)

SERVER = load_server()
ROOT, MODEL, LEAF, OTHER = (made_key(name) for name in ("root", "model", "leaf", "other"))
OUR_SERVER = load_server(root=pkcs1(ROOT))
ROOT_CERTIFICATE = certificate(ROOT, ROOT, (1, 0), (2, b"root"))


@dataclass
class Chain:
    """A device of our own making, each part of which can be made wrong."""

    leaf: tuple[tuple[int, Value], ...] = ((1, 2), (2, b"leaf"), (5, 7))
    model: tuple[tuple[int, Value], ...] = ((1, 1), (2, b"model"), (5, 7))
    leaf_signer: RSAPrivateKey = MODEL
    model_signer: RSAPrivateKey = ROOT
    root: bytes = b""
    algorithm: int = 0

    def token(self) -> bytes:
        model = certificate(MODEL, self.model_signer, *self.model, chain=self.root, algorithm=self.algorithm)
        return certificate(LEAF, self.leaf_signer, *self.leaf, chain=model, algorithm=self.algorithm)

    def challenge(self) -> bytes:
        return signed(new_request(client_id(self.token())), LEAF)


@pytest.mark.parametrize(
    "chain",
    [
        Chain(),
        Chain(root=ROOT_CERTIFICATE),
        Chain(algorithm=2),
        Chain(algorithm=3),
        Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (12, int(NOW) + 1))),
        Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (77, b"unknown"), (78, 1))),
    ],
)
def test_a_sound_chain_to_our_root(chain: Chain) -> None:
    opened = OUR_SERVER.open(chain.challenge(), NOW)
    assert isinstance(opened, NewLicenceRequest)
    assert opened.certificate.system_id == 7
    assert opened.certificate.serial == b"leaf"


def test_the_session_key_goes_to_the_certified_encryption_key() -> None:
    parts = ((1, 2), (2, b"leaf"), (5, 7), (11, encode((1, pkcs1(OTHER)), (2, 1))))
    challenge = Chain(leaf=parts).challenge()
    opened = OUR_SERVER.open(challenge, NOW)
    assert isinstance(opened, NewLicenceRequest)
    answer = OUR_SERVER.issue(opened, KEYS[:1], Term(0), now=NOW, entropy=Entropy())
    assert list(read_licence(answer, challenge, OTHER).keys) == KIDS[:1]


EC_KEY = (
    ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
SMALL_KEY = pkcs1(generate_private_key(65537, 1024))
FOREIGN_ROOT = certificate(OTHER, OTHER, (1, 0), (2, b"root"))


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (Chain(model_signer=OTHER), "leads to no configured root"),
        (Chain(model_signer=OTHER, root=FOREIGN_ROOT), "leads to no configured root"),
        (Chain(model_signer=OTHER, root=ROOT_CERTIFICATE), "leads to no configured root"),
        (Chain(root=FOREIGN_ROOT), "leads to no configured root"),
        (Chain(root=certificate(OTHER, ROOT, (1, 1), (2, b"x"))), "root certificate: not of type ROOT"),
        (Chain(leaf_signer=ROOT), "the device certificate's signature is wrong"),
        (Chain(leaf_signer=LEAF), "the device certificate's signature is wrong"),
        (Chain(leaf=((1, 1), (2, b"leaf"), (5, 7))), "device certificate: not of type DEVICE"),
        (Chain(leaf=((2, b"leaf"), (5, 7))), "device certificate: not of type DEVICE"),
        (Chain(model=((1, 2), (2, b"model"), (5, 7))), "model certificate: not of type DEVICE_MODEL"),
        (Chain(model=((1, 3), (2, b"model"), (5, 7))), "model certificate: not of type DEVICE_MODEL"),
        (Chain(leaf=((1, 2), (5, 7))), "device certificate: no serial number"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 8))), "differ in their system ID"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (12, int(NOW)))), "expired"),
        (Chain(model=((1, 1), (2, b"model"), (5, 7), (12, 1))), "expired"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (9, 2))), "key algorithm 2 is not RSA"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (4, EC_KEY))), "not RSA of 2048 to 4096 bits"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (4, SMALL_KEY))), "not RSA of 2048 to 4096 bits"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (4, b"0"))), "its key cannot be read"),
        (Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (11, encode((1, b"0"))))), "its key cannot be read"),
    ],
)
def test_chains_that_prove_nothing(chain: Chain, message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        OUR_SERVER.open(chain.challenge(), NOW)


def test_a_known_device_expires_all_the_same() -> None:
    chain = Chain(leaf=((1, 2), (2, b"leaf"), (5, 7), (12, int(NOW) + 1)))
    assert OUR_SERVER.open(chain.challenge(), NOW)
    with pytest.raises(LicenceRequestError, match="expired"):
        OUR_SERVER.open(chain.challenge(), NOW + 1)


def test_an_unknown_hash_proves_nothing() -> None:
    model = certificate(MODEL, ROOT, (1, 1), (2, b"model"), (5, 7)) + encode((4, 9))
    token = certificate(LEAF, MODEL, (1, 2), (2, b"leaf"), (5, 7), chain=model)
    with pytest.raises(LicenceRequestError, match="leads to no configured root"):
        OUR_SERVER.open(signed(new_request(client_id(token)), LEAF), NOW)


@pytest.mark.parametrize("name", ["clear_id", "privacy", "offline"])
def test_recorded_devices_are_foreign_to_other_roots(name: str) -> None:
    server = load_server(root=pkcs1(ROOT))
    with pytest.raises(LicenceRequestError, match="leads to no configured root"):
        server.open(vector(name, "challenge"), NOW)


def altered(challenge: bytes, at: int) -> bytes:
    return challenge[:at] + bytes([challenge[at] ^ 1]) + challenge[at + 1 :]


@pytest.mark.parametrize("name", ["clear_id", "privacy", "offline"])
def test_an_altered_signature_or_request_is_refused(name: str) -> None:
    challenge = vector(name, "challenge")
    with pytest.raises(LicenceRequestError, match="the signature is not the device's"):
        SERVER.open(altered(challenge, -1 + len(challenge)), NOW)
    at = challenge.index(KIDS[1])
    with pytest.raises(LicenceRequestError, match="the signature is not the device's"):
        SERVER.open(altered(challenge, at), NOW)


@pytest.mark.parametrize("name", ["clear_id", "privacy"])
def test_no_altered_byte_is_accepted(name: str) -> None:
    challenge = vector(name, "challenge")
    for at in range(0, len(challenge), 7):
        with pytest.raises(LicenceRequestError):
            SERVER.open(altered(challenge, at), NOW)


@pytest.mark.parametrize("name", ["clear_id", "privacy", "offline"])
def test_truncation_at_any_byte_is_only_refused(name: str) -> None:
    challenge = vector(name, "challenge")
    for size in range(len(challenge)):
        with pytest.raises(LicenceRequestError):
            SERVER.open(challenge[:size], NOW)


def test_unknown_fields_are_ignored() -> None:
    unknown = encode((100, 1), (101, b"new"))
    identity = client_id() + unknown
    challenge = signed(new_request(identity, None, (100, 1), (101, b"new"))) + unknown
    assert isinstance(SERVER.open(challenge, NOW), NewLicenceRequest)


def init_data(*fields: tuple[int, Value]) -> bytes:
    return encode((4, encode(*fields)))


@pytest.mark.parametrize(
    ("challenge", "message"),
    [
        (b"", "message: of type 0"),
        (b"\x08\x02", "message: of type 2"),
        (bytes(MAX_REQUEST_BYTES + 1), "more than 65536"),
        (encode((1, 1)), "request: unknown type 0"),
        (signed(new_request(type_=4)), "request: unknown type 4"),
        (signed(new_request(type_=2)), "not meant for RENEWAL"),
        (signed(new_request(type_=3)), "not meant for RELEASE"),
        (signed(new_request(content=encode((3, b"")))), "not meant for NEW"),
        (signed(new_request(content=b"")), "0 ways to name the content"),
        (signed(new_request(content=pssh_content() * 2 + encode((2, b"")))), "2 ways to name the content"),
        (signed(new_request(content=pssh_content(type_=4))), "unknown licence type 4"),
        (signed(new_request(content=pssh_content(encode((2, b"short"))))), "a key ID of 5 bytes"),
        (signed(new_request(content=pssh_content(encode((14, b""))))), "a key ID of 0 bytes"),
        (signed(new_request(content=encode((2, b"")))), "a key ID of 0 bytes"),
        (signed(new_request(content=init_data((1, 2), (2, b"short")))), "a key ID of 5 bytes"),
        (signed(new_request(content=init_data((2, b"\0\0\0\x07pssh")))), "init data: pssh: 7 bytes"),
        (signed(new_request(content=init_data((2, Pssh(WIDEVINE, b"\x0a").encode())))), "PSSH data: a number is cut"),
        (signed(new_request(b"")), "needs a client ID"),
        (signed(new_request(None, None, (8, b"both"))), "needs a client ID"),
        (signed(new_request(client_id(type_=0))), "token of type 0"),
        (signed(new_request(client_id(b"x" * 17000))), "more than 16384"),
        (signed(new_request(client_id(b"\x0b"))), "device certificate: field 1 has wire type 3"),
        (signed(new_request(), LEAF), "the signature is not the device's"),
        (encode((1, 1), (2, new_request()), (3, b"")), "the signature is not the device's"),
    ],
)
def test_malformed_requests_say_where(challenge: bytes, message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        SERVER.open(challenge, NOW)


def with_encrypted_identity(*changes: tuple[int, Value]) -> bytes:
    """The recorded request in privacy mode, some fields of its encrypted client ID replaced."""
    request = Message.decode(vector("privacy", "challenge"), "challenge").message(2, "request")
    fields = {number: values[-1] for number, values in request.message(8, "id").fields.items()} | dict(changes)
    return signed(new_request(b"", None, (8, encode(*fields.items()))))


@pytest.mark.parametrize(
    "changes",
    [
        [(5, bytes(256))],
        [(5, b"")],
        [(4, bytes(16))],
        [(4, b"")],
        [(3, bytes(32))],
        [(3, bytes(31))],
        [(3, b"")],
    ],
)
def test_an_identity_that_does_not_decrypt_gives_one_message(changes: list[tuple[int, Value]]) -> None:
    with pytest.raises(LicenceRequestError) as refused:
        SERVER.open(with_encrypted_identity(*changes), NOW)
    assert str(refused.value) == "Widevine encrypted client ID: does not decrypt to a client ID"


@pytest.mark.parametrize("changes", [[(1, b"someone.else")], [(2, bytes(16))]])
def test_an_identity_for_another_service_is_refused(changes: list[tuple[int, Value]]) -> None:
    with pytest.raises(LicenceRequestError, match="a service certificate not held here"):
        SERVER.open(with_encrypted_identity(*changes), NOW)


def test_unchanged_it_decrypts() -> None:
    assert isinstance(SERVER.open(with_encrypted_identity(), NOW), NewLicenceRequest)


def nested(parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    values = st.integers(0, 4) | parts
    fields = st.lists(st.tuples(st.integers(1, 15), values), max_size=6)
    return fields.map(lambda chosen: encode(*chosen))


MESSAGES = st.recursive(st.binary(max_size=40) | st.sampled_from([device_token(), *KIDS]), nested, max_leaves=30)


def opens_or_refuses(server: WidevineServer, challenge: bytes) -> None:
    with suppress(LicenceRequestError, LicenceRefusedError):
        server.open(challenge, NOW)


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(body: bytes) -> None:
    opens_or_refuses(SERVER, body)
    opens_or_refuses(SERVER, encode((1, 1), (2, body), (3, body)))


@given(MESSAGES, MESSAGES, st.integers(1, 3))
def test_random_messages_raise_nothing_else(identity: bytes, content: bytes, type_: int) -> None:
    opens_or_refuses(SERVER, encode((1, 1), (2, new_request(identity, content, type_=type_))))
    encrypted = encode((1, b"relay.test"), (2, bytes.fromhex("8706c0f227fadeb5e5a1a8e3854ad47c")), (3, identity))
    opens_or_refuses(SERVER, encode((1, 1), (2, new_request(b"", content, (8, encrypted)))))


@given(st.integers(0, 4000), st.integers(1, 255), st.sampled_from(["clear_id", "privacy", "offline"]))
def test_one_altered_byte_is_never_accepted(at: int, flip: int, name: str) -> None:
    challenge = bytearray(vector(name, "challenge"))
    challenge[at % len(challenge)] ^= flip
    with suppress(LicenceRequestError):
        opened = SERVER.open(bytes(challenge), NOW)
        assert not isinstance(opened, NewLicenceRequest)
