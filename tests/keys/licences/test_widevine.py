"""New Widevine licences: the recorded exchanges, and our licences as their client reads them."""

from typing import Any

import pytest

from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.protobuf import Message, Value, encode
from keys.licences.terms import GrantedKey, Platform, Term
from keys.licences.widevine import (
    CertificateRequest,
    EntitledKey,
    Model,
    NewLicenceRequest,
    ServiceIdentity,
    StatusList,
    Unserved,
    WidevineServer,
    entitled_pssh_data,
)
from keys.licences.widevine.derivation import MacKeys, decrypt, derive
from keys.licences.widevine.licence import (
    Identification,
    Policy,
    key_container,
    licence_message,
    signing_container,
)
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Scheme, Security, TrackType
from keys.signalling import widevine as signalling
from keys.signalling.pssh import Pssh
from keys.signalling.systems import PLAYREADY
from tests.keys.licences.widevine_client import (
    CONTENT_KEYS,
    KEYS,
    KIDS,
    NOW,
    SYSTEM_ID,
    VECTORS,
    Entropy,
    client_id,
    granted,
    load_server,
    made_key,
    new_request,
    pssh_content,
    read_licence,
    read_with,
    signed,
    vector,
)

EXCHANGES = ["clear_id", "privacy", "offline"]
TERM = Term(until=NOW + 3600, renew_every=45)


def open_new(server: WidevineServer, challenge: bytes) -> NewLicenceRequest:
    opened = server.open(challenge, NOW)
    assert isinstance(opened, NewLicenceRequest)
    return opened


def test_the_published_derivation() -> None:
    keys = derive(vector("derivation_primitive", "session_key"), vector("derivation_primitive", "request"))
    assert keys.encryption == vector("derivation_primitive", "enc_key")
    assert keys.mac.server == vector("derivation_primitive", "mac_key_server")
    assert keys.mac.client == vector("derivation_primitive", "mac_key_client")


@pytest.mark.parametrize("name", EXCHANGES)
def test_recorded_challenges_are_accepted(name: str) -> None:
    opened = open_new(load_server(), vector(name, "challenge"))
    assert opened.kids == tuple(KIDS)
    assert opened.wanted.content_id == b"vector"
    assert opened.wants_storage is (name == "offline")
    assert len(opened.request_id) == 32
    assert opened.time == NOW
    assert opened.device.system == "widevine"
    assert opened.device.security is Security.HARDWARE
    assert opened.device.model == "Simulator"
    assert len(opened.device.digest) == 16
    assert opened.client.claims["company_name"] == "SelfTest"
    assert opened.client.capabilities.max_hdcp == 5


def test_one_device_has_one_digest_in_every_exchange() -> None:
    server = load_server()
    assert len({open_new(server, vector(name, "challenge")).device.digest for name in EXCHANGES}) == 1


@pytest.mark.parametrize("root", ["root_public_pkcs1", "root_signed_certificate"])
def test_a_root_is_a_key_or_a_certificate(root: str) -> None:
    assert open_new(load_server(root=vector(root)), vector("clear_id", "challenge")).kids


@pytest.mark.parametrize("name", EXCHANGES)
def test_recorded_keys_and_licences_come_out_again(name: str) -> None:
    """Given the recorded session key, IVs and IDs, the licence accepted by the client is rebuilt byte for byte."""
    request = Message.decode(vector(name, "challenge"), "challenge").blob(2)
    exchange = derive(vector(name, "session_key"), request)
    assert exchange.encryption == vector(name, "enc_key")
    assert exchange.mac == MacKeys(vector(name, "mac_key_server"), vector(name, "mac_key_client"))

    recorded = Message.decode(vector(name, "license"), "licence")
    licence = Message.decode(recorded.blob(2), "licence")
    ivs = [Message.decode(container, "container").blob(2) for container in licence.blobs(3)]
    identification = Identification.decode(licence.blob(1))
    policy = Policy(
        can_persist=name == "offline",
        can_renew=True,
        licence_duration=60,
        renewal_recovery_duration=20,
        renewal_delay=45,
        renewal_retry_interval=5,
    )
    containers = [
        signing_container(exchange.mac, exchange.encryption, ivs[0]),
        *(key_container(key, exchange.encryption, iv) for key, iv in zip(KEYS, ivs[1:], strict=True)),
    ]
    body = licence_message(identification, policy, containers, int(NOW))
    assert body == recorded.blob(2)
    assert exchange.mac.sign(body) == recorded.blob(3)


@pytest.mark.parametrize("name", EXCHANGES)
def test_with_the_recorded_entropy_the_server_makes_the_recorded_containers(name: str) -> None:
    recorded = Message.decode(Message.decode(vector(name, "license"), "licence").blob(2), "licence")
    identification = Identification.decode(recorded.blob(1))
    ivs = [Message.decode(container, "container").blob(2) for container in recorded.blobs(3)]
    signing = vector(name, "mac_key_server") + vector(name, "mac_key_client")
    entropy = Entropy(vector(name, "session_key"), signing, identification.session_id, *ivs)
    server = load_server()
    challenge = vector(name, "challenge")
    term = Term(NOW + 60, persistent=name == "offline", renew_every=45)
    answer = server.issue(open_new(server, challenge), KEYS, term, now=NOW, entropy=entropy)
    licence = read_licence(answer, challenge)
    assert licence.message.blobs(3) == recorded.blobs(3)
    assert licence.message.number(4) == recorded.number(4)
    assert Identification.decode(licence.id).session_id == identification.session_id


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_tests_own_client_reads_the_recorded_licence(name: str) -> None:
    challenge = vector(name, "challenge")
    licence = read_licence(vector(name, "license"), challenge)
    assert licence.keys == dict(zip(KIDS, CONTENT_KEYS, strict=True))
    request = Message.decode(challenge, "challenge").blob(2)
    assert read_with(vector(name, "session_key"), vector(name, "license"), request) == licence


@pytest.mark.parametrize("name", EXCHANGES)
def test_our_licence_gives_the_client_its_keys(name: str) -> None:
    server = load_server()
    challenge = vector(name, "challenge")
    term = Term(until=NOW + 3600, renew_every=45, persistent=name == "offline")
    licence = read_licence(server.issue(open_new(server, challenge), KEYS, term, now=NOW, entropy=Entropy()), challenge)
    assert licence.keys == dict(zip(KIDS, CONTENT_KEYS, strict=True))
    levels = {kid: container.number(5) for kid, container in licence.containers.items()}
    assert levels == dict(zip(KIDS, [1, 4, 1], strict=True))
    assert [container.blob(6).hex() for container in licence.containers.values()] == ["", "0804", ""]
    assert [container.blob(12) for container in licence.containers.values()] == [b"SD", b"HD", b"AUDIO"]
    identification = Identification.decode(licence.id)
    assert identification.request_id == open_new(server, challenge).request_id
    assert (identification.type, identification.version) == (2 if name == "offline" else 1, 0)
    assert licence.message.number(4) == NOW
    mac = vector(name, "mac_key_server")
    assert licence.mac_server != mac, "renewals have keys of their own"


def test_twenty_four_keys_in_one_licence() -> None:
    server = load_server()
    challenge = signed(new_request())
    keys = [
        GrantedKey(ContentKey(bytes([at]) * 16, bytes([at + 100]) * 16, bytes(16), bytes(32)), TrackType.SD)
        for at in range(24)
    ]
    answer = server.issue(open_new(server, challenge), keys, TERM, now=NOW, entropy=Entropy())
    assert read_licence(answer, challenge).keys == {key.key.kid: key.key.key for key in keys}


@pytest.mark.parametrize(
    ("term", "persistent", "policy"),
    [
        (Term(NOW + 3600), False, {1: 1, 6: 3600}),
        (Term(NOW + 0.4), False, {1: 1, 6: 1}),
        (Term(0), False, {1: 1}),
        (TERM, False, {1: 1, 3: 1, 6: 60, 7: 15, 9: 45, 10: 5}),
        (Term(NOW + 50, renew_every=45), False, {1: 1, 3: 1, 6: 50, 7: 15, 9: 45, 10: 5}),
        (Term(0, renew_every=1), False, {1: 1, 3: 1, 6: 2, 7: 1, 9: 1, 10: 1}),
        (Term(NOW + 9000, start_within=600, play_for=300), False, {1: 1, 4: 600, 5: 300, 6: 9000}),
        (Term(NOW + 86400, persistent=True), True, {1: 1, 2: 1, 6: 86400}),
        (Term(NOW + 86400, persistent=True, renew_every=90), True, {1: 1, 2: 1, 3: 1, 6: 86400, 9: 90, 10: 10}),
        (Term(NOW + 86400, persistent=True), False, {1: 1, 6: 86400}),
    ],
)
def test_terms_become_a_policy(term: Term, persistent: bool, policy: dict[int, int]) -> None:
    server = load_server()
    challenge = vector("offline" if persistent else "clear_id", "challenge")
    answer = server.issue(open_new(server, challenge), KEYS, term, now=NOW, entropy=Entropy())
    assert read_licence(answer, challenge).policy == policy


@pytest.mark.parametrize(("type_", "persist"), [(2, 1), (3, 1), (1, 0)])
def test_only_who_asks_or_leaves_it_open_may_store(type_: int, persist: int) -> None:
    server = load_server()
    challenge = signed(new_request(content=pssh_content(type_=type_)))
    term = Term(NOW + 60, persistent=True)
    answer = server.issue(open_new(server, challenge), KEYS, term, now=NOW, entropy=Entropy())
    assert read_licence(answer, challenge).policy.get(2, 0) == persist


@pytest.mark.parametrize(
    ("name", "term", "reason"),
    [("clear_id", Term(NOW), "expired"), ("offline", TERM, "persistence")],
)
def test_terms_that_refuse(name: str, term: Term, reason: str) -> None:
    server = load_server()
    with pytest.raises(LicenceRefusedError) as refused:
        server.issue(open_new(server, vector(name, "challenge")), KEYS, term, now=NOW, entropy=Entropy())
    assert refused.value.reason == reason


def test_a_persistent_term_has_an_end_and_a_session_is_small() -> None:
    server = load_server()
    opened = open_new(server, vector("offline", "challenge"))
    with pytest.raises(ValueError, match="must have an end"):
        server.issue(opened, KEYS, Term(0, persistent=True), now=NOW, entropy=Entropy())
    with pytest.raises(ValueError, match="more than 1024"):
        server.issue(opened, KEYS, TERM, now=NOW, entropy=Entropy(), session=bytes(1025))


OPEN, CLOSED = Outputs(), Outputs(digital=False, analogue=False)


@pytest.mark.parametrize(
    ("outputs", "protection"),
    [
        (OPEN, ""),
        (Outputs(Hdcp.V1), "0801"),
        (Outputs(Hdcp.V2_2), "0804"),
        (Outputs(analogue=False), "2001"),
        (Outputs(Hdcp.V1, analogue=False), "08012001"),
        (CLOSED, "08ff0120012801"),
    ],
)
def test_outputs_become_protection(outputs: Outputs, protection: str) -> None:
    container = Message.decode(key_container(granted(0, TrackType.SD, outputs=outputs), bytes(16), bytes(16)), "c")
    assert container.blob(6).hex() == protection


def test_hardware_audio_is_not_held_to_the_video_path() -> None:
    container = key_container(granted(2, TrackType.AUDIO, Security.HARDWARE), bytes(16), bytes(16))
    assert Message.decode(container, "c").number(5) == 1


CAPABLE: list[tuple[tuple[tuple[int, Value], ...], Outputs, bool]] = [
    ((), Outputs(Hdcp.V2_2, analogue=False), True),
    (((4, 4),), Outputs(Hdcp.V2_2), True),
    (((4, 3),), Outputs(Hdcp.V2_2), False),
    (((4, 0),), Outputs(Hdcp.V1), False),
    (((4, 0),), OPEN, True),
    (((4, 0),), Outputs(Hdcp.V2_2, digital=False), True),
    (((4, 255),), Outputs(Hdcp.V2_2), True),
    (((10, 2),), Outputs(analogue=False), False),
    (((10, 2), (11, 1)), Outputs(analogue=False), True),
    (((10, 1),), Outputs(analogue=False), True),
    (((10, 3),), OPEN, True),
]


@pytest.mark.parametrize(("capabilities", "outputs", "given"), CAPABLE)
def test_a_key_that_the_outputs_cannot_protect_is_left_out(
    capabilities: tuple[tuple[int, Value], ...], outputs: Outputs, given: bool
) -> None:
    server = load_server()
    challenge = signed(new_request(client_id(None, *capabilities)))
    keys = [granted(0, TrackType.SD), granted(1, TrackType.HD, outputs=outputs)]
    answer = server.issue(open_new(server, challenge), keys, TERM, now=NOW, entropy=Entropy())
    assert list(read_licence(answer, challenge).keys) == KIDS[: 1 + given]
    if not given:
        with pytest.raises(LicenceRefusedError) as refused:
            server.issue(open_new(server, challenge), keys[1:], TERM, now=NOW, entropy=Entropy())
        assert refused.value.reason == "output-protection"


def test_a_software_device_gets_no_hardware_key() -> None:
    server = load_server(status=StatusList())
    challenge = vector("clear_id", "challenge")
    opened = open_new(server, challenge)
    assert opened.device.security is Security.SOFTWARE
    assert opened.device.model == f"system ID {SYSTEM_ID}"
    answer = server.issue(opened, KEYS, TERM, now=NOW, entropy=Entropy())
    assert list(read_licence(answer, challenge).keys) == [KIDS[0], KIDS[2]]
    for keys, reason in [(KEYS[1:2], "security-level"), ([], "no-key")]:
        with pytest.raises(LicenceRefusedError) as refused:
            server.issue(opened, keys, TERM, now=NOW, entropy=Entropy())
        assert refused.value.reason == reason


def test_the_status_plug_in_sees_certificate_and_program_files() -> None:
    seen = []

    def status(candidate: Any) -> Model | Unserved:
        seen.append((candidate.certificate.system_id, candidate.client.verification))
        return Model(Security.HARDWARE) if candidate.client.verification == b"good" else Unserved.UNKNOWN

    server = load_server(status=status)
    identity = client_id() + encode((7, b"good"))
    assert open_new(server, signed(new_request(identity))).device.security is Security.HARDWARE
    with pytest.raises(LicenceRefusedError) as refused:
        server.open(signed(new_request()), NOW)
    assert refused.value.reason == "device-not-served"
    assert seen == [(SYSTEM_ID, b"good"), (SYSTEM_ID, b"")]


def test_the_status_list_revokes_and_shuts_out() -> None:
    challenge = vector("clear_id", "challenge")
    certificate = open_new(load_server(), challenge).certificate
    model = {SYSTEM_ID: Model(Security.HARDWARE)}
    for status, reason in [
        (StatusList(model, {certificate.serial}), "device-revoked"),
        (StatusList(model, {certificate.model_serial}), "device-revoked"),
        (StatusList({}, others=None), "device-not-served"),
    ]:
        with pytest.raises(LicenceRefusedError, match=f"{SYSTEM_ID} is not served") as refused:
            load_server(status=status).open(challenge, NOW)
        assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("security", "files", "platform"),
    [
        (Security.SOFTWARE, b"", Platform.UNVERIFIED),
        (Security.SOFTWARE, b"list", Platform.CLAIMED),
        (Security.HARDWARE, b"", Platform.VERIFIED),
    ],
)
def test_the_platform_is_as_good_as_what_a_device_shows_of_it(
    security: Security, files: bytes, platform: Platform
) -> None:
    server = load_server(status=StatusList({SYSTEM_ID: Model(security)}))
    device = open_new(server, signed(new_request(client_id() + (encode((7, files)) if files else b"")))).device
    assert (device.platform, device.system_id) == (platform, SYSTEM_ID)


def test_the_service_certificate_is_given_to_who_asks() -> None:
    server = load_server()
    assert server.open(b"\x08\x04", NOW) == CertificateRequest()
    answer = Message.decode(server.service_certificate(), "answer")
    assert (answer.number(1), answer.blob(2)) == (5, vector("service_certificate"))
    with pytest.raises(LicenceRefusedError) as refused:
        load_server(services=[]).service_certificate()
    assert refused.value.reason == "no-service-certificate"


CENC_BOX = signalling.pssh(KIDS[:1], Scheme.CENC)
OTHER_BOX = Pssh(PLAYREADY, b"other").encode()


@pytest.mark.parametrize(
    ("content", "kids", "content_id"),
    [
        (pssh_content(), [], b""),
        (pssh_content(encode((4, b"film"))), [], b"film"),
        (pssh_content(encode((2, KIDS[0]), (2, KIDS[1])), encode((2, KIDS[0]))), KIDS[:2], b""),
        (pssh_content(vector("entitlement", "pssh_data")), KIDS[:1], b"ch1"),
        (encode((2, encode((1, KIDS[2]), (2, 1), (3, b"request id")))), KIDS[2:], b""),
        (encode((4, encode((1, 1), (2, OTHER_BOX + CENC_BOX), (3, 1), (4, b"request id")))), KIDS[:1], b""),
        (encode((4, encode((2, CENC_BOX), (3, 1), (4, b"request id")))), KIDS[:1], b""),
        (encode((4, encode((1, 2), (2, KIDS[1]), (3, 1), (4, b"request id")))), KIDS[1:2], b""),
    ],
)
def test_every_way_to_name_the_content(content: bytes, kids: list[bytes], content_id: bytes) -> None:
    wanted = open_new(load_server(), signed(new_request(content=content))).wanted
    assert wanted.kids == tuple(kids)
    assert wanted.content_id == content_id
    assert (wanted.type, wanted.request_id) == (1, b"request id")


def test_entitled_keys_are_wrapped_as_recorded() -> None:
    names = ("entitlement_kid", "entitlement_key", "kid", "content_key", "iv")
    entitled = EntitledKey.wrap(*(vector("entitlement", name) for name in names))
    assert entitled.wrapped == vector("entitlement", "wrapped")
    assert entitled_pssh_data(b"ch1", 7, [entitled]) == vector("entitlement", "pssh_data")
    with pytest.raises(ValueError, match="32 bytes"):
        EntitledKey.wrap(bytes(16), bytes(16), bytes(16), bytes(16), bytes(16))


def test_an_entitlement_key_in_the_licence_opens_the_streams_key() -> None:
    server = load_server()
    challenge = signed(new_request(content=pssh_content(vector("entitlement", "pssh_data"))))
    opened = open_new(server, challenge)
    key = ContentKey(opened.kids[0], vector("entitlement", "entitlement_key"), bytes(16), bytes(32))
    answer = server.issue(opened, [GrantedKey(key, TrackType.HD)], TERM, now=NOW, entropy=Entropy())
    licence = read_licence(answer, challenge)
    assert licence.containers[opened.kids[0]].number(4) == 5
    iv, wrapped = vector("entitlement", "iv"), vector("entitlement", "wrapped")
    assert decrypt(licence.keys[opened.kids[0]], iv, wrapped) == vector("entitlement", "content_key")


def test_no_repr_shows_a_key() -> None:
    server = load_server()
    opened = open_new(server, vector("clear_id", "challenge"))
    exchange = derive(vector("clear_id", "session_key"), opened.body)
    wrapped = EntitledKey.wrap(KIDS[0], CONTENT_KEYS[0] * 2, KIDS[1], CONTENT_KEYS[1], bytes(16))
    shown = repr([server, server.services, opened, exchange, exchange.mac, wrapped]) + str(opened)
    secrets = [exchange.encryption, exchange.mac.server, exchange.mac.client, *CONTENT_KEYS, opened.client.token]
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:20] not in shown
    assert "PRIVATE" not in shown


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"roots": []}, "needs a root"),
        ({"state_keys": []}, "needs a root and a state key"),
        ({"state_keys": [bytes(16)]}, "has 32 bytes"),
        ({"roots": [b"0 not a key"]}, "Widevine root: its key cannot be read"),
        ({"roots": [b"junk"]}, "Widevine root"),
        ({"services": [(b"junk", b"")]}, "service certificate"),
        ({"services": [(vector("root_signed_certificate"), b"")]}, "not of type SERVICE"),
        ({"services": [(vector("service_certificate"), b"")]}, "not an unencrypted private key"),
        (
            {"services": [(vector("service_certificate"), VECTORS["device_private_pem"].encode())]},
            "certifies another key",
        ),
    ],
)
def test_unusable_material_is_refused_at_once(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_server(**changed)


def test_an_identity_is_accepted_under_an_older_service_certificate() -> None:
    current = ServiceIdentity(b"new", b"relay.test", b"new serial", made_key("service"))
    services = (current, *load_server().services)
    server = WidevineServer(load_server().roots, load_server().sealer, services)
    assert open_new(server, vector("privacy", "challenge")).kids
    with pytest.raises(LicenceRequestError, match="not held here"):
        WidevineServer(server.roots, server.sealer, (current,)).open(vector("privacy", "challenge"), NOW)
