"""PlayReady challenges that are broken, forged, cut off or hostile: each refused, for its own reason."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from html import escape
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.playready import PlayReadyServer, ProtocolVersionError
from keys.licences.playready.certificates import read_chain
from keys.licences.playready.chain import verify_chain
from keys.licences.playready.challenge import PlayReadyChallenge
from keys.licences.playready.curve import Point, Scalar
from keys.licences.playready.elgamal import decrypt
from keys.licences.playready.markup import MAX_BYTES, parse
from tests.keys.licences.playready_client import (
    DEVICE_KEYS,
    ENCRYPT_KEY,
    HEADERS,
    ISSUER_KEY,
    ROOT,
    ROOT_KEY,
    SIGN_KEY,
    VECTORS,
    Cert,
    Client,
    Key,
    affine,
    cert_object,
    chain,
    device_chain,
    encoded,
    issuer,
    multiply,
)

NOW = 1_795_299_949.5
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RECORDED: bytes = VECTORS["header_4.2.0.0"]["challenge_xml"].encode()
HEADER: str = VECTORS["header_4.2.0.0"]["header_xml"]
DEVICE_CHAIN = bytes.fromhex(VECTORS["device_chain"])
SERVER = PlayReadyServer.load(
    roots=[ROOT, ROOT_KEY.public],
    server_keys=[VECTORS["wmrm_key_pem"].encode()],
    response_key=VECTORS["response_key_pem"].encode(),
    response_chain=bytes.fromhex(VECTORS["response_chain"]),
)


def refusal(message: bytes, server: PlayReadyServer = SERVER) -> str:
    with pytest.raises(LicenceRequestError) as caught:
        server.open(message, NOW)
    return str(caught.value)


def open_chain(data: bytes) -> PlayReadyChallenge:
    return SERVER.open(Client(chain=data).challenge(HEADER), NOW)


def swapped(old: bytes, new: bytes, count: int = 1) -> bytes:
    assert RECORDED.count(old) >= 1
    return RECORDED.replace(old, new, count)


def flipped(name: bytes, nth: int = 0) -> bytes:
    """The recorded challenge with one base64 character of an element's text changed."""
    at = [found.end() for found in re.finditer(b"<" + name + b">", RECORDED)][nth] + 4
    return RECORDED[:at] + (b"A" if RECORDED[at : at + 1] != b"A" else b"B") + RECORDED[at + 1 :]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not well-formed"),
        (b" " * (MAX_BYTES + 1), "131073 bytes, more than 131072"),
        (b"\xff\xfe<\0", "not UTF-8"),
        (RECORDED.decode().encode("utf-16"), "not UTF-8"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + RECORDED.split(b"?>")[1], "declarations, comments and instructions"),
        (b"<?xml version='1.0'?><!DOCTYPE a><a/>", "declarations, comments and instructions"),
        (swapped(b"<LA ", b"<!--x--><LA "), "declarations, comments and instructions"),
        (swapped(b">token<", b"><![CDATA[<LA ]]><"), "declarations, comments and instructions"),
        (swapped(b"<LA ", b"<?x y?><LA "), "declarations, comments and instructions"),
        (swapped(b">token<", b">&undefined;<"), "not well-formed"),
        (swapped(b">token<", b">\0<"), "not well-formed"),
        (b"<a>" * 25 + b"</a>" * 25, "nested deeper than 24"),
        (b"<a>" * 999 + b"</a>" * 999, "not well-formed"),
        (b"<a>" + b"<b></b>" * 1000 + b"</a>", "more than 1000 elements"),
        (b"<a/>", "not a SOAP envelope"),
        (b"<Envelope/>", "0 elements Body"),
        (swapped(b"AcquireLicense", b"JoinDomain", 2), "0 elements AcquireLicense"),
        (swapped(b"</challenge>", b"</challenge><challenge></challenge>"), "2 elements challenge"),
        (swapped(b"<Version>", b"<LA></LA><Version>"), "2 elements LA"),
        (re.sub(b"<LA .*</LA>", b"", RECORDED), "0 elements LA"),
        (re.sub(b"<Signature .*</Signature>", b"", RECORDED), "0 elements Signature"),
        (swapped(b"<Version>4<", b"<Version>6<"), "version is none from 1 to 5"),
        (swapped(b"<Version>4<", b"<Version><"), "version is none from 1 to 5"),
        (swapped(b">token<", b">forged<"), "wrong digest"),
        (flipped(b"DigestValue"), "wrong digest"),
        (swapped(b"<DigestValue>", b"<DigestValue>!"), "DigestValue: not base64"),
        (flipped(b"SignatureValue"), "wrong signature"),
        (re.sub(b"<SignatureValue>.*</SignatureValue>", b"<SignatureValue></SignatureValue>", RECORDED), "signature"),
        (flipped(b"PublicKey"), "wrong signature"),
        (swapped(b'URI="#SignedData"', b'URI="#SignedDate"'), "wrong signature"),
        (swapped(b'version="4.2.0.0"', b'version="4.4.0.0"'), "header: version is none of"),
    ],
)
def test_messages_that_are_broken_or_forged(message: bytes, reason: str) -> None:
    assert reason in refusal(message)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("<WRMHEADER></WRMHEADER>", "version is none of"),
        ('<WRMHEADER version="4.2.0.0"></WRMHEADER>', "0 elements DATA"),
        ('<WRMHEADER version="4.0.0.0"><DATA></DATA></WRMHEADER>', "0 elements KID"),
        (
            HEADER.replace("<PROTECTINFO>", "<PROTECTINFO></PROTECTINFO><PROTECTINFO>"),
            "several elements PROTECTINFO",
        ),
        (HEADER.replace("AESCTR", "COCKTAIL"), "ALGID of KID 0 is none of AESCTR, AESCBC"),
        (HEADER.replace("MyIRAFVEd2aImaq7zN3u/w==", "MyIR"), "KID 0 has 3 bytes"),
        (HEADER.replace("MyIRAFVEd2aImaq7zN3u/w==", "é"), "KID 0: not base64"),
        (HEADER.replace("4.2.0.0", "4.1.0.0").replace("KIDS>", "X>").replace("<X>", "").replace("</X>", ""), "3 key"),
        (HEADER.replace("</KIDS>", '<KID VALUE="MyIRAFVEd2aImaq7zN3u/w=="></KID>' * 62 + "</KIDS>"), "65 key IDs"),
        ("", "0 elements WRMHEADER"),
    ],
)
def test_headers_that_cannot_be_read(header: str, reason: str) -> None:
    assert reason in refusal(Client().challenge(header))


def test_a_header_without_a_key_id_asks_for_none() -> None:
    header = '<WRMHEADER version="4.1.0.0"><DATA></DATA></WRMHEADER>'
    assert SERVER.open(Client().challenge(header), NOW).kids == ()


def test_a_protocol_version_has_an_error_of_its_own() -> None:
    with pytest.raises(ProtocolVersionError):
        SERVER.open(Client().challenge(HEADER, version=99), NOW)


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (Client(wrapped=b""), "encrypted key is not two points"),
        (Client(wrapped=bytes(128)), "encrypted key is not two points"),
        (Client(wrapped=ENCRYPT_KEY.public * 2), "another server's key"),
        (Client(sealed=bytes(16)), "encrypted data of 16 bytes"),
        (Client(sealed=bytes(33)), "encrypted data of 33 bytes"),
        (Client(sealed=bytes(64)), "another server's key"),
        (Client(chain=b""), "PlayReady chain: 0 bytes"),
    ],
)
def test_client_data_that_is_not_encrypted_as_it_should(client: Client, reason: str) -> None:
    assert reason in refusal(client.challenge(HEADER))


@pytest.mark.parametrize("nonce", [b"", bytes(15), bytes(17)])
def test_a_nonce_has_16_bytes(nonce: bytes) -> None:
    assert f"LicenseNonce has {len(nonce)} bytes" in refusal(Client(nonce=nonce).challenge(HEADER))


def test_what_is_unknown_is_ignored() -> None:
    message = Client().challenge(
        HEADER.replace("<PROTECTINFO>", "<NEW>1</NEW><PROTECTINFO>"), more="<RevocationLists>x</RevocationLists>"
    )
    leaf = Cert(DEVICE_KEYS, extra=cert_object(0x7777, b"new", flags=0))
    assert SERVER.open(message, NOW).kids == SERVER.open(RECORDED, NOW).kids
    assert open_chain(device_chain(leaf)).security_level == 2000


def test_a_byte_order_mark_is_no_content() -> None:
    assert SERVER.open(b"\xef\xbb\xbf" + RECORDED, NOW) == SERVER.open(RECORDED, NOW)


def test_an_unsigned_request_beside_the_signed_one_is_not_read() -> None:
    forged = RECORDED.replace(b"<LA ", b"<x:LA xmlns:x='x'><x:CustomData>forged</x:CustomData></x:LA><LA ")
    assert SERVER.open(forged, NOW).custom_data == "token"


# Keys and chains


def test_a_foreign_root_is_refused() -> None:
    foreign = replace(SERVER, roots=frozenset([ISSUER_KEY.public]))
    for name in HEADERS:
        assert "root is none that we trust" in refusal(VECTORS[name]["challenge_xml"].encode(), foreign)


def test_another_server_key_is_told_apart_from_a_broken_message() -> None:
    other = replace(SERVER, server_keys=(Scalar(4711),))
    assert "another server's key" in refusal(RECORDED, other)


def test_a_challenge_signed_by_a_stranger_with_a_devices_chain_is_refused() -> None:
    assert "not signed by the key of its certificate" in refusal(Client(signing=Key(666)).challenge(HEADER))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (device_chain(parent=issuer(keys=[(ROOT_KEY.public, [6])])), "parent has no such key"),
        (device_chain(parent=issuer(keys=[(ISSUER_KEY.public, [1])])), "parent has no such key"),
        (device_chain(Cert(DEVICE_KEYS, type=8)), "parent has no such key"),
        (device_chain(parent=issuer(type=2)), "parent is no issuer"),
        (device_chain(parent=issuer(level=150)), "parent's security level is lower"),
        (device_chain(Cert(DEVICE_KEYS, expires_at=int(NOW))), "certificate 0: expired"),
        (device_chain(parent=issuer(expires_at=1)), "certificate 1: expired"),
        (device_chain(Cert(DEVICE_KEYS, type=4)), "not a client's"),
        (device_chain(Cert(DEVICE_KEYS[1:])), "0 keys of usage 0x1"),
        (device_chain(Cert([*DEVICE_KEYS, (ROOT_KEY.public, [2])])), "2 keys of usage 0x2"),
        (device_chain(Cert([(SIGN_KEY.public, [1]), (bytes(64), [2])])), "encryption key is not a point"),
        (device_chain(Cert(DEVICE_KEYS, extra=cert_object(0x7777, b""))), "0x7777 must be understood and is not"),
        (device_chain(Cert(DEVICE_KEYS, extra=cert_object(1, bytes(80)))), "0x1 is out of place"),
        (device_chain(Cert(DEVICE_KEYS, extra=cert_object(8, bytes(136)))), "0x8 is out of place"),
        (device_chain(Cert(DEVICE_KEYS, extra=pack(">HHI", 1, 9, 7))), "0x9 has an impossible length"),
        (device_chain(Cert(DEVICE_KEYS, extra=pack(">HHI", 1, 9, 9))), "0x9 has an impossible length"),
        (device_chain(Cert(DEVICE_KEYS, extra=b"\0" * 5)), "object cut off"),
        (device_chain(Cert(DEVICE_KEYS, keys_body=b"")), "list cut off"),
        (device_chain(Cert(DEVICE_KEYS, keys_body=pack(">I", 2) + bytes(20))), "keys cut off"),
        (device_chain(Cert(DEVICE_KEYS, keys_body=pack(">IHH", 1, 2, 512) + bytes(72))), "key of an unknown kind"),
        (device_chain(Cert(DEVICE_KEYS, keys_body=pack(">IHHI64sI", 1, 1, 512, 0, bytes(64), 1))), "list cut off"),
        (device_chain().replace(pack(">HHI", 1, 5, 24), pack(">HHI", 1, 1, 24)), "0x1 is out of place"),
        (
            device_chain(Cert(DEVICE_KEYS, client_id=bytes(8) + pack(">HHI", 0, 99, 8))).replace(
                pack(">HHI", 1, 1, 88), pack(">HHI", 1, 1, 80)
            ),
            "basic information of 72 bytes, expected 80",
        ),
        (device_chain().replace(pack(">HHI", 1, 1, 88), pack(">HHI", 1, 2, 88)), "0x1 is missing"),
        (device_chain().replace(pack(">HHI", 1, 1, 88), pack(">HHI", 1, 1, 87)), "certificate 0"),
        (device_chain().replace(pack(">HHI", 1, 8, 144), pack(">HHI", 1, 8, 136)), "does not end with its signature"),
        (device_chain().replace(pack(">HHI", 1, 8, 144), pack(">HHI", 1, 9, 144)), "does not end with its signature"),
        (device_chain().replace(pack(">HH", 1, 64), pack(">HH", 2, 64)), "certificate 0"),
        (device_chain(Cert(DEVICE_KEYS, features=range(65))), "65 features"),
        (device_chain(Cert([(SIGN_KEY.public, [1])] * 65)), "65 keys"),
        (device_chain(Cert([(SIGN_KEY.public, [1] * 65)])), "65 usages"),
        (chain(*[issuer().encode(ROOT_KEY)] * 7), "7 certificates"),
        (chain(), "0 certificates"),
        (device_chain()[:-1], "header is not that of a chain"),
        (device_chain() + b"\0", "header is not that of a chain"),
        (b"XXXX" + device_chain()[4:], "header is not that of a chain"),
        (device_chain()[:16] + pack(">I", 1) + device_chain()[20:], "bytes after the last certificate"),
        (device_chain()[:16] + pack(">I", 3) + device_chain()[20:], "certificate 2: cut off"),
        (b"", "0 bytes, expected 20 to 16384"),
        (bytes(16 * 1024 + 1), "16385 bytes, expected 20 to 16384"),
    ],
)
def test_chains_that_are_broken_or_vouch_for_nothing(data: bytes, reason: str) -> None:
    with pytest.raises(LicenceRequestError) as caught:
        open_chain(data)
    assert reason in str(caught.value)


def test_every_flipped_byte_of_a_recorded_chain_is_noticed() -> None:
    """All but the chain's own flags, which no signature covers and nobody reads."""
    for at in [*range(12), *range(16, len(DEVICE_CHAIN), 7)]:
        data = bytearray(DEVICE_CHAIN)
        data[at] ^= 0x10
        with pytest.raises(LicenceRequestError):
            verify_chain(read_chain(bytes(data)), frozenset([ROOT]), NOW)


def test_a_certificate_ends_at_its_time_and_not_before() -> None:
    message = Client(chain=device_chain(Cert(DEVICE_KEYS, expires_at=1000))).challenge(HEADER)
    assert SERVER.open(message, 999.9).kids
    with pytest.raises(LicenceRequestError, match="expired"):
        SERVER.open(message, 1000)


def test_a_leaf_may_be_signed_by_the_root_itself() -> None:
    assert open_chain(chain(Cert(DEVICE_KEYS).encode(ROOT_KEY))).device.model == "Maker Box 7"


@pytest.mark.parametrize(
    "revoked",
    [b"i" * 16, bytes(range(16)), *(read_chain(device_chain())[at].digest for at in range(2))],
    ids=["issuer's ID", "leaf's ID", "leaf's key", "issuer's key"],
)
def test_a_revoked_certificate_anywhere_in_the_chain_is_refused(revoked: bytes) -> None:
    server = replace(SERVER, revoked=frozenset([revoked]))
    with pytest.raises(LicenceRefusedError) as caught:
        server.open(Client().challenge(HEADER), NOW)
    assert caught.value.reason == "device-revoked"
    assert server.open(RECORDED, NOW).kids


# Whatever comes


@pytest.mark.parametrize("name", HEADERS)
def test_a_message_cut_off_anywhere_is_refused(name: str) -> None:
    message = VECTORS[name]["challenge_xml"].encode()
    for size in range(len(message)):
        with pytest.raises(LicenceRequestError):
            SERVER.open(message[:size], NOW)


def test_a_chain_cut_off_anywhere_is_refused() -> None:
    for size in range(len(DEVICE_CHAIN)):
        cut = DEVICE_CHAIN[:8] + pack(">I", size) + DEVICE_CHAIN[12:]
        for data in (DEVICE_CHAIN[:size], cut[:size]):
            with pytest.raises(LicenceRequestError):
                read_chain(data)


def raises_nothing_else(call: Callable[[], object]) -> None:
    with suppress(LicenceRequestError):
        call()


@given(st.binary(max_size=300) | st.text(alphabet="<>/&;!?[]CLA=' \"\0é", max_size=60).map(str.encode))
def test_opening_raises_only_its_own_error(message: bytes) -> None:
    raises_nothing_else(lambda: SERVER.open(message, NOW))
    raises_nothing_else(lambda: SERVER.open(b"<LA>" + message + b"</LA>", NOW))


@given(st.integers(0, len(RECORDED) - 1), st.integers(0, 20), st.binary(max_size=20))
@settings(deadline=None)
def test_a_damaged_challenge_raises_only_its_own_error(at: int, size: int, new: bytes) -> None:
    raises_nothing_else(lambda: SERVER.open(RECORDED[:at] + new + RECORDED[at + size :], NOW))


@given(st.binary(max_size=200), st.integers(0, len(DEVICE_CHAIN) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_chain_raises_only_its_own_error(junk: bytes, at: int, new: bytes) -> None:
    raises_nothing_else(lambda: read_chain(junk))
    damaged = DEVICE_CHAIN[:at] + new + DEVICE_CHAIN[at + len(new) :]
    raises_nothing_else(lambda: verify_chain(read_chain(damaged), frozenset([ROOT]), NOW))


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=200))
def test_any_custom_data_survives(text: str) -> None:
    assert SERVER.open(Client().challenge(HEADER, custom_data=escape(text)), NOW).custom_data == text.strip()


def test_no_message_repeats_what_was_sent() -> None:
    marked = [b"<secret-x/>", RECORDED.replace(b">token<", b"><secret-x><"), RECORDED.replace(b"Body", b"secret-x")]
    for message in marked:
        assert "secret-x" not in refusal(message)


# The curve


@given(st.integers(2, 2**256).map(lambda k: k % (2**255) + 2), st.integers(2, 2**255))
@settings(max_examples=50, deadline=None)
def test_products_are_those_of_double_and_add(k: int, other: int) -> None:
    base = affine(Scalar(2).base().encode())
    point = Scalar(other).base()
    assert Scalar(k).base().encode() == Key(k).public
    assert Scalar(k).times(point).encode() == encoded(multiply(k, affine(point.encode())))
    assert Scalar(k).times(Point(*base)).encode() == Key(2 * k % ORDER).public


@pytest.mark.parametrize("value", [2, 3, ORDER - 2])
def test_products_at_the_edges(value: int) -> None:
    for point in (affine(Key(1).public), affine(ENCRYPT_KEY.public), affine(Key(ORDER - 1).public)):
        assert Scalar(value).times(Point(*point)).encode() == encoded(multiply(value, point))


@pytest.mark.parametrize("value", [-1, 0, 1, ORDER - 1, ORDER])
def test_scalars_whose_product_tells_no_sign_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="outside the range"):
        Scalar(value)


def test_entropy_reaches_both_ends_of_the_range() -> None:
    assert Scalar.from_entropy(bytes(40)).base() == Scalar(2).base()
    assert Scalar.from_entropy((ORDER - 4).to_bytes(40, "big")).base() == Scalar(ORDER - 2).base()
    with pytest.raises(ValueError, match="39 bytes of entropy"):
        Scalar.from_entropy(bytes(39))


def test_a_message_of_infinity_is_refused() -> None:
    secret = Scalar(99)
    point = Scalar(7).base()
    with pytest.raises(ValueError, match="sum of a point and itself"):
        decrypt(point.encode() + secret.times(point).encode(), secret)
    with pytest.raises(ValueError, match="127 bytes"):
        decrypt(bytes(127), secret)


def test_points_off_the_curve_are_refused() -> None:
    good = ENCRYPT_KEY.public
    assert Point.decode(good).encode() == good
    for bad in (bytes(64), good[:63], b"\xff" * 64, good[:63] + bytes([good[63] ^ 1])):
        with pytest.raises(ValueError, match="point:"):
            Point.decode(bad)
    assert Point.lift(2**256 - 1) is None


def test_a_document_without_a_declaration_is_read_from_its_first_byte() -> None:
    assert parse(b"<a>b</a>", "test")[0] == "<a>b</a>"
