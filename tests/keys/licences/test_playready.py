"""PlayReady: the recorded exchanges, and what terms become in a licence that a client accepts."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from struct import pack, unpack
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys.errors import KeyRingError, LicenceRefusedError, LicenceRequestError
from keys.licences.playready import PlayReadyServer, ProtocolVersionError, Status, fault, fault_for
from keys.licences.playready.curve import Point, Scalar
from keys.licences.playready.elgamal import encrypt, key_message
from keys.licences.playready.xmr import ObjectType, container, item, key_material, licence
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import Hdcp, KeySignal, Outputs, Scheme, Security, TrackType
from keys.signalling import playready as signalling
from tests.keys.licences.playready_client import (
    DEVICE_KEYS,
    HEADERS,
    ROOT,
    ROOT_KEY,
    VECTORS,
    Cert,
    Client,
    Licence,
    device_chain,
    elgamal_decrypt,
    issuer,
    keys_of,
    raw_licences,
    read_objects,
    recorded_client,
    value,
)

NOW = 1_795_299_949.5
UNTIL = 1_795_310_000
TERM = Term(UNTIL)
KID = bytes.fromhex("00112233445566778899aabbccddeeff")
OTHER_KID = b"0123456789012345"
"""All ASCII digits, which tells a KID that was taken for text."""
UNKNOWN_OUTPUT = UUID("786627d8-c2a6-44be-8f88-08ae255b01a7")
AIRPLAY = UUID("5abf0f0d-dc29-4b82-9982-fd8e57525bfc")


def content_key(kid: bytes, key: bytes | None = None) -> ContentKey:
    return ContentKey(kid, key or hashlib.sha256(kid).digest()[:16], bytes(16), bytes(32))


def granted(kid: bytes = KID, track: TrackType = TrackType.SD, **terms: object) -> GrantedKey:
    return GrantedKey(content_key(kid), track, **terms)  # type: ignore[arg-type]  # the fields of GrantedKey


def entropy(seed: bytes = b"") -> Callable[[int], bytes]:
    """Bytes that are the same in every run and never twice in one."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(seed + bytes([count % 256, count // 256])).digest(size)

    return draw


def header(*kids: bytes, scheme: Scheme = Scheme.CENC) -> str:
    signals = [KeySignal(kid, bytes(8)) for kid in kids or (KID,)]
    return signalling.pro(signals, scheme)[10:].decode("utf-16-le")


def server(**changes: object) -> PlayReadyServer:
    material: dict[str, object] = {
        "roots": [ROOT, ROOT_KEY.public],
        "server_keys": [VECTORS["wmrm_key_pem"].encode()],
        "response_key": VECTORS["response_key_pem"].encode(),
        "response_chain": bytes.fromhex(VECTORS["response_chain"]),
    }
    return PlayReadyServer.load(**material | changes)  # type: ignore[arg-type]  # the arguments of load


SERVER = server()
OTHER_CURVE = ec.derive_private_key(5, ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def licences(
    *keys: GrantedKey, term: Term = TERM, client: Client | None = None, wrm_header: str | None = None
) -> list[Licence]:
    """What a client gets for a request."""
    client = client or Client()
    challenge = SERVER.open(client.challenge(wrm_header or header(*(key.key.kid for key in keys))), NOW)
    return client.accept(SERVER.issue(challenge, keys, term, now=NOW, entropy=entropy()))


# The recorded exchanges


@pytest.mark.parametrize("name", HEADERS)
def test_the_tests_client_accepts_the_recorded_responses(name: str) -> None:
    found = recorded_client(name).accept(VECTORS[name]["response_xml"].encode())
    assert keys_of(found) == VECTORS[name]["content_keys"]


@pytest.mark.parametrize("name", HEADERS)
def test_recorded_challenges_open(name: str) -> None:
    challenge = SERVER.open(VECTORS[name]["challenge_xml"].encode(), NOW)
    assert [kid.hex() for kid in challenge.kids] == list(VECTORS[name]["content_keys"])
    assert challenge.header.version == tuple(map(int, name.removeprefix("header_").split(".")))[:2]
    assert challenge.nonce == recorded_client(name).nonce
    assert challenge.custom_data == "token"
    assert challenge.client_version == "10.0.16384.10011"
    assert challenge.security_level == 2000
    assert challenge.real_time_expiration
    assert challenge.receiver.encode() == recorded_client(name).encryption.public
    assert (challenge.device.system, challenge.device.security) == ("playready", Security.SOFTWARE)
    assert challenge.device.model == "SelfTest Model 1"
    assert len(challenge.device.digest) == 16


@pytest.mark.parametrize("name", HEADERS)
def test_the_recorded_client_takes_our_licences(name: str) -> None:
    vector = VECTORS[name]
    challenge = SERVER.open(vector["challenge_xml"].encode(), NOW)
    keys = [
        GrantedKey(content_key(bytes.fromhex(kid), bytes.fromhex(key)), TrackType.HD)
        for kid, key in vector["content_keys"].items()
    ]
    response = SERVER.issue(challenge, keys, Term(UNTIL), now=NOW, entropy=entropy())
    found = recorded_client(name).accept(response)
    assert keys_of(found) == vector["content_keys"]
    assert {one.key_type for one in found} == {5 if name == "header_4.3.0.0" else 1}


def test_the_same_device_has_one_digest_and_another_device_another() -> None:
    first, second = (SERVER.open(VECTORS[name]["challenge_xml"].encode(), NOW) for name in HEADERS[:2])
    assert first.device == second.device
    assert SERVER.open(Client().challenge(header()), NOW).device.digest != first.device.digest


@pytest.mark.parametrize("at", range(3))
def test_a_recorded_licence_is_written_byte_for_byte(at: int) -> None:
    vector = VECTORS["header_4.2.0.0"]
    recorded = raw_licences(vector["response_xml"])[at]
    (tree,) = read_objects(recorded[24:])
    client = recorded_client("header_4.2.0.0")
    wrapped = tree.one(0x0A)[22:]
    integrity_key = elgamal_decrypt(client.encryption.private, wrapped)[:16]
    hdcp_type = UUID("abb2c6f1-e663-4625-a945-972d17b231e7").bytes_le + pack(">I", 1)
    containers = (
        container(
            ObjectType.GLOBAL_POLICY,
            item(ObjectType.SECURITY_LEVEL, pack(">H", 2000)),
            item(ObjectType.RIGHTS, pack(">H", 1)),
            item(ObjectType.ISSUED_AT, bytes.fromhex("6b021a6d")),
            item(ObjectType.VALID_BETWEEN, bytes.fromhex("6553f100713fb300")),
        )
        + container(
            ObjectType.PLAYBACK_POLICY,
            item(ObjectType.OUTPUT_LEVELS, pack(">5H", 500, 300, 200, 300, 300)),
            container(ObjectType.DIGITAL_VIDEO_PROTECTIONS, item(ObjectType.DIGITAL_VIDEO_PROTECTION, hdcp_type)),
        )
        + key_material(bytes.fromhex(list(vector["content_keys"])[at]), Scheme.CENC, wrapped, client.encryption.public)
    )
    assert licence(client.nonce, containers, integrity_key) == recorded


def test_the_worked_encryption_example() -> None:
    vector = {name: bytes.fromhex(text) for name, text in VECTORS["ec_elgamal"].items()}
    integrity_key, message = key_message(vector["content_key_CK"], lambda size: vector["integrity_key_CI"][:size])
    assert integrity_key == vector["integrity_key_CI"]
    assert message.encode() == vector["message_point"]
    k = Scalar(int.from_bytes(vector["k"], "big"))
    assert encrypt(message, Point.decode(vector["device_public"]), k) == vector["ciphertext"]


def test_an_integrity_key_never_begins_with_zero() -> None:
    draws = iter([b"\0" + bytes([i]) * 15 for i in range(40)] + [bytes([i]) * 16 for i in range(1, 41)])
    assert key_message(bytes(16), lambda size: next(draws))[0][0] != 0


def test_entropy_that_repeats_itself_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(ValueError, match="entropy"):
        key_message(bytes(16), bytes)


def test_a_content_key_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, expected 16"):
        key_message(bytes(32), entropy())


# Which keys a response holds


def test_every_granted_key_is_given_under_its_own_licence() -> None:
    kids = [bytes([at]) * 16 for at in range(23)] + [OTHER_KID]
    found = licences(*map(granted, kids))
    assert keys_of(found) == {kid.hex(): content_key(kid).key.hex() for kid in kids}
    assert len({one.tree.one(0x0A) for one in found}) == 24


def test_the_next_key_ahead_fits_a_header_that_takes_several() -> None:
    found = licences(granted(KID), granted(OTHER_KID), wrm_header=header(KID, bytes(16)))
    assert [one.kid for one in found] == [KID, OTHER_KID]


def test_an_old_header_gets_the_key_that_it_asks_for() -> None:
    found = licences(granted(OTHER_KID), granted(KID), wrm_header=header(KID))
    assert [one.kid for one in found] == [KID]


@pytest.mark.parametrize(
    ("wrm_header", "key_type"),
    [
        (header(KID, OTHER_KID), 1),
        (header(KID, OTHER_KID, scheme=Scheme.CBCS), 5),
        (header(KID, OTHER_KID).replace('ALGID="AESCTR" CHECKSUM="AAAAAAAAAAA=" ', ""), 5),
    ],
    ids=["AESCTR", "AESCBC", "not said"],
)
def test_the_header_says_the_algorithm_and_the_caller_where_it_does_not(wrm_header: str, key_type: int) -> None:
    challenge = SERVER.open(Client().challenge(wrm_header), NOW)
    response = SERVER.issue(challenge, [granted()], Term(UNTIL), now=NOW, entropy=entropy(), scheme=Scheme.CBCS)
    assert [one.key_type for one in Client().accept(response)] == [key_type]


def test_a_4_1_header_is_read() -> None:
    text = (
        '<WRMHEADER version="4.1.0.0"><DATA><PROTECTINFO><KID ALGID="AESCTR" VALUE="MyIRAFVEd2aImaq7zN3u/w=="></KID>'
        "</PROTECTINFO><DECRYPTORSETUP>ONDEMAND</DECRYPTORSETUP></DATA></WRMHEADER>"
    )
    challenge = SERVER.open(Client().challenge(text), NOW)
    assert challenge.kids == (KID,)
    assert not challenge.header.several


def test_keys_that_need_hardware_are_left_out_for_a_software_client() -> None:
    found = licences(
        granted(KID, TrackType.HD, security=Security.HARDWARE),
        granted(OTHER_KID, TrackType.AUDIO, security=Security.HARDWARE),
        granted(bytes(16), TrackType.SD),
    )
    assert [one.kid for one in found] == [OTHER_KID, bytes(16)]


def test_a_hardware_client_gets_them_with_their_level() -> None:
    client = Client(chain=device_chain(Cert(DEVICE_KEYS, level=3000)))
    assert SERVER.open(client.challenge(header()), NOW).device.security is Security.HARDWARE
    keys = [granted(KID, TrackType.UHD, security=Security.HARDWARE), granted(OTHER_KID, TrackType.SD)]
    assert [one.tree.one(0x34) for one in licences(*keys, client=client)] == [pack(">H", 3000), pack(">H", 2000)]


@pytest.mark.parametrize(
    ("keys", "term", "wrm_header", "reason"),
    [
        ([], Term(UNTIL), header(KID, OTHER_KID), "no-key"),
        ([granted(OTHER_KID)], Term(UNTIL), header(KID), "no-key"),
        ([granted(KID, TrackType.HD, security=Security.HARDWARE)], Term(UNTIL), header(KID), "security-level"),
        ([granted()], Term(NOW), header(KID), "expired"),
    ],
    ids=["nothing granted", "another key than the only one asked for", "software client", "term over"],
)
def test_a_licence_without_a_key_is_refused(keys: list[GrantedKey], term: Term, wrm_header: str, reason: str) -> None:
    challenge = SERVER.open(Client().challenge(wrm_header), NOW)
    with pytest.raises(LicenceRefusedError) as caught:
        SERVER.issue(challenge, keys, term, now=NOW, entropy=entropy())
    assert caught.value.reason == reason


def test_test_clients_are_served_only_where_configured() -> None:
    client = Client(chain=device_chain(Cert(DEVICE_KEYS, level=150)))
    message = client.challenge(header())
    with pytest.raises(LicenceRefusedError, match="security level"):
        SERVER.issue(SERVER.open(message, NOW), [granted()], Term(UNTIL), now=NOW, entropy=entropy())
    lenient = server(software_level=150)
    response = lenient.issue(lenient.open(message, NOW), [granted()], Term(UNTIL), now=NOW, entropy=entropy())
    assert client.accept(response)[0].tree.one(0x34) == pack(">H", 150)


def test_a_client_that_has_an_older_server_key_is_still_served() -> None:
    old = Client(server=Point.decode(ROOT_KEY.public).encode())
    rolled = replace(SERVER, server_keys=(*SERVER.server_keys, Scalar(ROOT_KEY.private)))
    assert rolled.open(old.challenge(header()), NOW).kids == (KID,)
    with pytest.raises(LicenceRequestError, match="another server's key"):
        SERVER.open(old.challenge(header()), NOW)


def test_aes_128_is_a_callers_mistake() -> None:
    challenge = SERVER.open(Client().challenge(header().replace("<ALGID>AESCTR</ALGID>", "")), NOW)
    with pytest.raises(ValueError, match="aes-128"):
        SERVER.issue(challenge, [granted()], TERM, now=NOW, entropy=entropy(), scheme=Scheme.AES128)


def test_a_rights_id_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="15 bytes, expected 16"):
        licence(bytes(15), b"", bytes(16))


# Time and persistence


def test_a_streaming_licence_ends_with_its_term_and_with_its_session() -> None:
    (found,) = licences(granted(), term=Term(UNTIL + 0.9, start_within=60, renew_every=30))
    assert found.rights_id == Client().nonce
    assert found.tree.one(0x0D) == pack(">H", 1)
    assert unpack(">I", found.tree.one(0x13)) == (int(NOW),)
    assert unpack(">II", found.tree.one(0x12)) == (int(NOW) - 3600, UNTIL)
    assert not found.tree.has(0x30)


def test_a_stored_licence_has_an_id_of_its_own_and_ends_with_the_window_to_start_in() -> None:
    first, second = licences(
        granted(KID), granted(OTHER_KID), term=Term(UNTIL, start_within=600, play_for=120, persistent=True)
    )
    assert len({first.rights_id, second.rights_id, Client().nonce}) == 3
    assert first.tree.one(0x0D) == pack(">H", 0)
    assert unpack(">II", first.tree.one(0x12)) == (int(NOW) - 3600, int(NOW) + 600)
    assert unpack(">I", first.tree.one(0x30)) == (120,)


def test_real_time_expiration_comes_first_and_only_for_clients_that_know_it() -> None:
    (new,) = licences(granted())
    (old,) = licences(granted(), client=Client(chain=device_chain(Cert(DEVICE_KEYS, features=[4]))))
    assert new.tree.inside[0].inside[0].type == 0x55
    assert not old.tree.has(0x55)


def test_a_licence_without_an_end_has_no_dates_to_check() -> None:
    (found,) = licences(granted(), term=Term(0, play_for=2**40))
    assert not found.tree.has(0x12)
    assert not found.tree.has(0x55)
    assert unpack(">I", found.tree.one(0x30)) == (2**32 - 1,)


def test_an_end_beyond_the_format_is_the_last_that_it_can_say() -> None:
    (found,) = licences(granted(), term=Term(float("inf")))
    assert unpack(">II", found.tree.one(0x12))[1] == 2**32 - 1


def test_a_persistent_licence_without_an_end_is_a_callers_mistake() -> None:
    challenge = SERVER.open(Client().challenge(header()), NOW)
    with pytest.raises(ValueError, match="must have an end"):
        SERVER.issue(challenge, [granted()], Term(0, persistent=True), now=NOW, entropy=entropy())


# Outputs


@pytest.mark.parametrize(
    ("outputs", "levels", "hdcp_type_1", "play_enablers"),
    [
        (Outputs(), (500, 100, 100, 100, 100), False, [UNKNOWN_OUTPUT, AIRPLAY]),
        (Outputs(hdcp=Hdcp.V1), (500, 300, 100, 100, 100), False, [AIRPLAY]),
        (Outputs(hdcp=Hdcp.V2_2), (500, 300, 100, 100, 100), True, [AIRPLAY]),
        (Outputs(airplay=False), (500, 100, 100, 100, 100), False, [UNKNOWN_OUTPUT]),
        (Outputs(av_adapter=False), (500, 100, 100, 100, 100), False, [AIRPLAY]),
        (Outputs(airplay=False, av_adapter=False), (500, 100, 100, 100, 100), False, []),
        (Outputs(analogue=False), (500, 100, 201, 100, 100), False, [AIRPLAY]),
        (Outputs(digital=False), (500, 301, 100, 100, 100), False, []),
        (Outputs(hdcp=Hdcp.V2_2, digital=False, analogue=False), (500, 301, 201, 100, 100), False, []),
    ],
)
def test_outputs(outputs: Outputs, levels: tuple[int, ...], hdcp_type_1: bool, play_enablers: list[UUID]) -> None:
    (found,) = licences(granted(outputs=outputs))
    assert found.levels == levels
    assert found.play_enablers == play_enablers
    assert [one.body.hex() for one in found.tree.all(0x59)] == [
        "f1c6b2ab63e62546a945972d17b231e700000001"
    ] * hdcp_type_1
    assert len(found.tree.all(0x58)) == hdcp_type_1


# Faults


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LicenceRefusedError("not-entitled", "buy <it> & watch\n{it}"), "0x8004c604"),
        (LicenceRefusedError("device-revoked", "revoked"), "0x8004c065"),
        (LicenceRequestError("broken"), "0x8004c601"),
        (ProtocolVersionError("version"), "0x8004c60b"),
        (KeyRingError("inside"), "0x8004c600"),
    ],
)
def test_refusals_are_soap_faults(error: LicenceRequestError, status: str) -> None:
    text = fault_for(error).decode()
    assert value(text, "StatusCode") == status
    assert "inside" not in text
    assert value(text, "faultcode") == "soap:Server"


def test_a_faults_message_is_escaped() -> None:
    text = fault(Status.SERVICE_SPECIFIC, "buy <it> & watch\n{it}\x00\ud800").decode()
    assert value(text, "faultstring") == "buy &lt;it&gt; &amp; watch?{it}??"


# Configuration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"roots": []}, "needs a root"),
        ({"roots": [bytes(64)]}, "not on the curve"),
        ({"roots": [ROOT[:-1]]}, "63 bytes"),
        ({"server_keys": []}, "needs a root and a server key"),
        ({"server_keys": [b"no PEM"]}, "server key: not an unencrypted private key"),
        ({"response_key": b""}, "response key: not an unencrypted private key"),
        ({"response_key": OTHER_CURVE}, "response key: not on the curve P-256"),
        ({"response_key": VECTORS["wmrm_key_pem"].encode()}, "does not have the response key"),
        ({"response_chain": b"CHAI"}, "response chain: PlayReady chain: 4 bytes"),
        ({"response_chain": bytes.fromhex(VECTORS["device_chain"])}, "0 keys of usage 0x14"),
    ],
)
def test_unusable_material_is_an_error_at_start(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        server(**changes)


def test_nothing_secret_is_shown() -> None:
    keys = [granted()]
    challenge = SERVER.open(Client().challenge(header(), custom_data="session-token"), NOW)
    shown = "".join(
        f"{thing!r} {thing}" for thing in (SERVER, challenge, keys, SERVER.server_keys, SERVER.signer, issuer())
    )
    secrets = [keys[0].key.key, SERVER.server_keys[0]._own.private_numbers().private_value.to_bytes(32, "big")]
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret) not in shown
        assert str(int.from_bytes(secret, "big")) not in shown
    assert "session-token" not in shown
    assert "BEGIN" not in shown


def test_the_same_entropy_gives_the_same_response() -> None:
    challenge = SERVER.open(Client().challenge(header()), NOW)

    def issue(seed: bytes) -> bytes:
        return SERVER.issue(challenge, [granted()], Term(UNTIL), now=NOW, entropy=entropy(seed))

    assert issue(b"a") == issue(b"a") != issue(b"b")
