"""What is asked of the DRM systems' owners, byte for byte, and what is made of their answers."""

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import BridgeError, KeysError, LicenceRefusedError, LicenceRequestError
from keys.licences.bridges import playready, widevine
from keys.licences.bridges.fairplay import FairPlayModule
from keys.licences.bridges.widevine import CloudAccount, CloudChallenge
from keys.licences.protobuf import encode
from keys.licences.terms import GrantedKey, Platform, Term
from keys.licences.widevine.request import LicenceType, RequestType
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Scheme, Security, TrackType
from keys.seal import Sealer
from tests.keys.licences.playready_client import Client
from tests.keys.licences.test_widevine_renewal import licensed
from tests.keys.licences.widevine_client import (
    KIDS,
    NOW,
    SYSTEM_ID,
    client_id,
    load_server,
    new_request,
    signed,
    vector,
)

KEY = ContentKey(KIDS[0], bytes(range(16)), bytes(range(16, 32)), bytes(32))
SEALER = Sealer([bytes(32)])
ACCOUNT = CloudAccount(
    "widevine_test",
    bytes.fromhex("1ae8ccd0e7985cc0b6203a55855a1034afc252980e970ca90e5202689f947ab9"),
    bytes.fromhex("d58ce954203b7c9a9a9d467f59839249"),
)


def test_requests_are_signed_as_the_public_test_account_does() -> None:
    # Key, IV, message and signature are those of the packager's documentation.
    message = (
        b'{"content_id":"YWJj","policy":"","tracks":[{"type":"SD"},{"type":"HD"},{"type":"AUDIO"}],'
        b'"drm_types":["WIDEVINE"]}'
    )
    envelope = json.loads(ACCOUNT.sign(message))
    assert envelope["signature"] == "MeWwGYViMiXcK5zfy5YIo0m1aP+hKdy8o7KR12s95Zc="
    assert (b64decode(envelope["request"]), envelope["signer"]) == (message, "widevine_test")
    assert repr(ACCOUNT) == "CloudAccount(provider='widevine_test', policy='')"


@pytest.mark.parametrize(("key", "iv"), [(bytes(15), bytes(16)), (bytes(16), bytes(15)), (b"", b"")])
def test_an_account_needs_a_key_and_an_iv(key: bytes, iv: bytes) -> None:
    with pytest.raises(ValueError, match="16 or 32 bytes"):
        CloudAccount("me", key, iv)


def asked(challenge: CloudChallenge, *keys: GrantedKey, term: Term, session: bytes = b"") -> dict[str, Any]:
    request = widevine.cloud_request(ACCOUNT, challenge, b"stream", keys, term, now=NOW, sealer=SEALER, session=session)
    body: dict[str, Any] = json.loads(b64decode(json.loads(request)["request"]))
    return body


def test_a_recorded_challenge_shows_its_keys_and_device_but_not_in_privacy_mode() -> None:
    shown = widevine.read_challenge(vector("clear_id", "challenge"), SEALER)
    assert shown.device
    assert (shown.device.system_id, shown.device.platform, shown.type) == (
        SYSTEM_ID,
        Platform.UNVERIFIED,
        RequestType.NEW,
    )
    hidden = widevine.read_challenge(vector("privacy", "challenge"), SEALER)
    assert hidden.device is None
    assert hidden.kids == shown.kids
    offline = widevine.read_challenge(vector("offline", "challenge"), SEALER)
    assert offline.wants is LicenceType.OFFLINE
    assert widevine.read_challenge(b"\x08\x04", SEALER).type is None


def test_a_request_says_keys_terms_and_policy() -> None:
    challenge = widevine.read_challenge(vector("clear_id", "challenge"), SEALER)
    strict = GrantedKey(KEY, TrackType.UHD, Security.HARDWARE, Outputs(Hdcp.V1))
    closed = GrantedKey(KEY, TrackType.HD, Security.SOFTWARE, Outputs(digital=False))
    body = asked(challenge, strict, closed, term=Term(NOW + 90, 10, 20, 30))
    assert [
        (spec["track_type"], spec["security_level"], spec["required_output_protection"]["hdcp"])
        for spec in body["content_key_specs"]
    ] == [("UHD1", 4, "HDCP_V1"), ("HD", 1, "HDCP_NO_DIGITAL_OUTPUT")]
    assert b64decode(body["content_key_specs"][0]["key"]) == KEY.key
    assert body["provider"] == "widevine_test"
    assert "policy_name" not in body
    assert body["policy_overrides"] == {
        "can_play": True,
        "can_persist": False,
        "can_renew": True,
        "rental_duration_seconds": 10,
        "playback_duration_seconds": 20,
        "license_duration_seconds": 40,
        "renewal_recovery_duration_seconds": 10,
        "renewal_delay_seconds": 30,
        "renewal_retry_interval_seconds": 4,
    }


def test_what_is_sealed_into_a_licence_comes_back_with_its_renewal() -> None:
    challenge = widevine.read_challenge(vector("clear_id", "challenge"), SEALER)
    body = asked(challenge, GrantedKey(KEY, TrackType.SD), term=Term(NOW + 90), session=b"session")
    purchase = b64decode(body["session_init"]["purchase_id"])
    _, licence = licensed(load_server())
    id_ = licence.id + encode((3, purchase))
    renewal = widevine.read_challenge(licence.renewal(id_=id_), SEALER)
    assert (renewal.session, renewal.device, renewal.playing_for) == (b"session", challenge.device, 30)
    assert widevine.read_challenge(licence.renewal(), SEALER).session == b""
    with pytest.raises(LicenceRequestError, match="not of a licence issued here"):
        widevine.read_challenge(licence.renewal(id_=id_), Sealer([b"\1" * 32]))


@pytest.mark.parametrize(
    ("keys", "term", "reason"),
    [
        ((), Term(NOW + 1), "no-key"),
        ((GrantedKey(KEY, TrackType.SD),), Term(NOW), "expired"),
        ((GrantedKey(KEY, TrackType.SD, outputs=Outputs(analogue=False)),), Term(NOW + 1), "output-protection"),
    ],
)
def test_what_cannot_be_granted_is_not_asked_for(keys: tuple[GrantedKey, ...], term: Term, reason: str) -> None:
    challenge = widevine.read_challenge(vector("clear_id", "challenge"), SEALER)
    with pytest.raises(LicenceRefusedError) as refused:
        asked(challenge, *keys, term=term)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", BridgeError),
        (b"[]", BridgeError),
        (b'{"status":"OK"}', BridgeError),
        (b'{"status":"OK","license":"?"}', BridgeError),
        (b'{"status":"OK","license":7}', BridgeError),
        (b'{"status":"INTERNAL_ERROR","license":"AAAA"}', BridgeError),
        (b'{"status":"<b>secret</b>"}', BridgeError),
        (b'{"status":"INVALID_LICENSE_CHALLENGE"}', LicenceRequestError),
        (b'{"status":"DEVICE_REVOKED"}', LicenceRefusedError),
    ],
)
def test_answers_of_the_widevine_service_that_are_no_licence(answer: bytes, error: type[KeysError]) -> None:
    challenge = widevine.read_challenge(b"\x08\x04", SEALER)
    with pytest.raises(error) as raised:
        widevine.read_answer(answer, challenge)
    assert "secret" not in str(raised.value)


def test_the_service_tells_more_of_a_device_than_its_challenge() -> None:
    challenge = widevine.read_challenge(signed(new_request(client_id())), SEALER)
    facts = {"make": "Acme", "model": "Box\n", "security_level": 1}
    told = {**facts, "platform_verification_status": "PLATFORM_SOFTWARE_VERIFIED"}
    answer = json.dumps({"status": "OK", "license": b64encode(b"licence").decode(), **told}).encode()
    licence, device = widevine.read_answer(answer, challenge)
    assert licence == b"licence"
    assert device
    assert challenge.device
    assert (device.digest, device.system_id) == (challenge.device.digest, SYSTEM_ID)
    assert (device.make, device.model, device.security) == ("Acme", "Box", Security.HARDWARE)
    assert device.platform is Platform.VERIFIED


@given(st.binary(max_size=200))
def test_no_challenge_and_no_answer_breaks_a_bridge(data: bytes) -> None:
    for read in (
        lambda: widevine.read_challenge(data, SEALER),
        lambda: widevine.read_answer(data, CloudChallenge(b"", None)),
        lambda: playready.read_challenge(data),
        lambda: playready.read_answer(500, data),
        lambda: FairPlayModule(lambda _: data).open(b"spc"),
    ):
        with pytest.raises(KeysError):
            read()


HEADER = (
    '<WRMHEADER xmlns="http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader" version="4.0.0.0"><DATA><PROTECTINFO>'
    "<KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO><KID>MyIRAFVEd2aImaq7zN3u/w==</KID></DATA></WRMHEADER>"
)


def test_an_order_holds_only_keys_that_were_asked_for() -> None:
    challenge = playready.read_challenge(Client().challenge(HEADER))
    other = ContentKey(bytes(16), bytes(16), bytes(16), bytes(32))

    def order(*keys: GrantedKey, term: Term) -> str:
        return playready.licence_order(
            bytes(32), challenge, keys, term, content="s", scheme=Scheme.CENC, now=NOW, entropy=bytes
        )

    for keys, term, reason in (
        ((GrantedKey(other, TrackType.SD),), Term(NOW + 9), "no-key"),
        ((GrantedKey(KEY, TrackType.SD),), Term(NOW), "expired"),
    ):
        with pytest.raises(LicenceRefusedError) as refused:
            order(*keys, term=term)
        assert refused.value.reason == reason
    text = order(GrantedKey(KEY, TrackType.SD), GrantedKey(other, TrackType.SD), term=Term(NOW + 9))
    assert KEY.key.hex() not in text
    assert len(text) < 2000


def test_the_least_that_is_asked_of_a_fairplay_module() -> None:
    seen: list[dict[str, Any]] = []

    def process(request: bytes) -> bytes:
        seen.append(json.loads(request)["fairplay-streaming-request"])
        (operation,) = seen[-1]
        item = {"status": 0, "hu": "00" * 20, "asset-id": KEY.kid.hex(), "ckc": b64encode(b"ckc").decode()}
        return json.dumps({"fairplay-streaming-response": {operation: [item]}}).encode()

    module = FairPlayModule(process)
    opened = module.open(b"spc")
    assert opened.kids == (KEY.kid,)
    uhd = GrantedKey(KEY, TrackType.UHD, Security.HARDWARE, Outputs(Hdcp.V2_2))
    assert module.issue(opened, [uhd], Term(NOW + 60.9, renew_every=45), NOW, Scheme.CBCS) == b"ckc"
    assert seen[1]["create-ckc"][0]["asset-info"] == [
        {
            "content-key": KEY.key.hex(),
            "content-iv": KEY.constant_iv.hex(),
            "encryption-scheme": "cbcs",
            "content-type": "uhd",
            "hdcp-type": 1,
            "lease-duration": 45,
        }
    ]
    with pytest.raises(LicenceRefusedError, match="cannot be told the terms"):
        module.issue(opened, [GrantedKey(KEY, TrackType.HD, outputs=Outputs(airplay=False))], Term(0), NOW, Scheme.CBCS)
    with pytest.raises(LicenceRefusedError, match="is over"):
        module.issue(opened, [uhd], Term(NOW + 0.5), NOW, Scheme.CBCS)
    with pytest.raises(LicenceRequestError, match="more than"):
        module.open(bytes(20_000))
