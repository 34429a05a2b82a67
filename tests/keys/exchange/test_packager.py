"""The packager key request: its signature, what it may ask for, what it gets."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from keys.exchange import packager
from keys.exchange.packager import KeyRequest, PackagerError, Rotation, Signer, Status
from keys.licences.protobuf import Message
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from tests.keys.exchange.material import PACKAGER, RING

SIGNER = Signer("widevine_test", bytes.fromhex(PACKAGER["aes_signing_key"]), bytes.fromhex(PACKAGER["aes_signing_iv"]))
SIGNERS = {SIGNER.name: SIGNER}.get
INNER = json.loads(PACKAGER["request_json"])
RSA_KEY = rsa.generate_private_key(65537, 2048)


def envelope(inner: dict[str, Any] | bytes, signature: bytes | None = None, signer: str = SIGNER.name) -> bytes:
    request = inner if isinstance(inner, bytes) else json.dumps(inner).encode()
    signed = SIGNER.sign(request) if signature is None else signature
    return json.dumps(
        {"request": b64encode(request).decode(), "signature": b64encode(signed).decode(), "signer": signer}
    ).encode()


def key_of(track: TrackType, index: int | None) -> ContentKey:
    return RING.content_key(RING.slot("abc", track, Scheme.CENC, (index or 0) * 1000))


def read(answer: bytes) -> Any:
    return json.loads(b64decode(json.loads(answer)["response"]))


def test_the_documented_request_is_signed_as_the_packager_signs_it() -> None:
    request = PACKAGER["request_json"].encode()
    assert b64encode(SIGNER.sign(request)).decode() == PACKAGER["signature_b64"]
    asked = packager.parse(
        json.dumps(
            {"request": PACKAGER["request_b64"], "signature": PACKAGER["signature_b64"], "signer": "widevine_test"}
        ).encode(),
        SIGNERS,
    )
    tracks = (("SD", TrackType.SD), ("HD", TrackType.HD), ("AUDIO", TrackType.AUDIO))
    assert asked == KeyRequest("widevine_test", b"abc", tracks, Scheme.CENC, None)


def test_fixed_keys() -> None:
    answer = read(packager.answer(packager.parse(envelope(INNER), SIGNERS), key_of))
    assert (answer["status"], answer["already_used"]) == ("OK", False)
    assert [track["type"] for track in answer["tracks"]] == ["SD", "HD", "AUDIO"]
    for given_track, track in zip(answer["tracks"], (TrackType.SD, TrackType.HD, TrackType.AUDIO), strict=True):
        key = key_of(track, None)
        assert b64decode(given_track["key_id"]) == key.kid
        assert b64decode(given_track["key"]) == key.key
        (box,) = given_track["pssh"]
        assert box["drm_type"] == "WIDEVINE"
        assert Message.decode(b64decode(box["data"]), "pssh").blob(2) == key.kid
        assert not {"crypto_period_index", "iv"} & set(given_track)


def test_a_window_of_crypto_periods() -> None:
    window = {"first_crypto_period_index": 70, "crypto_period_count": 10, "crypto_period_seconds": 10}
    asked = packager.parse(envelope({**INNER, **window, "protection_scheme": "CBCS"}), SIGNERS)
    assert (asked.rotation, asked.scheme) == (Rotation(70, 10, 10), Scheme.CBCS)
    tracks = read(packager.answer(asked, key_of))["tracks"]
    assert [track["crypto_period_index"] for track in tracks] == [n for n in range(70, 80) for _ in range(3)]
    assert b64decode(tracks[-1]["key"]) == key_of(TrackType.AUDIO, 79).key
    assert b64decode(tracks[-1]["iv"]) == key_of(TrackType.AUDIO, 79).constant_iv


def test_both_names_of_uhd_have_its_key() -> None:
    tracks = [{"type": "UHD1"}, {"type": "UHD2"}]
    first, second = read(packager.answer(packager.parse(envelope({**INNER, "tracks": tracks}), SIGNERS), key_of))[
        "tracks"
    ]
    assert (first["type"], second["type"]) == ("UHD1", "UHD2")
    assert first["key"] == second["key"] == b64encode(key_of(TrackType.UHD, None).key).decode()


def refused(body: bytes, signers: Callable[[str], Signer | None] = SIGNERS) -> Status:
    with pytest.raises(PackagerError) as caught:
        packager.parse(body, signers)
    status = caught.value.status
    answer = read(packager.refusal(status))
    assert (answer["status"], answer["tracks"]) == (status, [])
    return status


@pytest.mark.parametrize("at", range(0, 32, 5))
def test_an_altered_signature_is_refused(at: int) -> None:
    signature = bytearray(SIGNER.sign(json.dumps(INNER).encode()))
    signature[at] ^= 1
    assert refused(envelope(INNER, bytes(signature))) is Status.SIGNATURE_FAILED


@pytest.mark.parametrize(
    "body",
    [
        envelope(INNER, b""),
        envelope(INNER, bytes(32)),
        envelope(INNER, signer="nobody"),
        envelope(INNER, Signer("", bytes(32), bytes(16)).sign(json.dumps(INNER).encode()), signer="nobody"),
        envelope(b"no JSON at all", bytes(32)),
    ],
)
def test_other_signatures_and_signers_are_refused_alike(body: bytes) -> None:
    assert refused(body) is Status.SIGNATURE_FAILED


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"content_id": ""}, Status.CONTENT_ID_MISSING),
        ({"content_id": "?"}, Status.MALFORMED_REQUEST),
        ({"content_id": 5}, Status.MALFORMED_REQUEST),
        ({"tracks": []}, Status.TRACK_TYPE_MISSING),
        ({"tracks": [{"type": "8K"}]}, Status.TRACK_TYPE_UNKNOWN),
        ({"tracks": [{"type": "SD"}] * 17}, Status.MALFORMED_REQUEST),
        ({"drm_types": ["PLAYREADY"]}, Status.MALFORMED_REQUEST),
        ({"protection_scheme": "CENS"}, Status.MALFORMED_REQUEST),
        ({"enable_entitlement_license": True}, Status.MALFORMED_REQUEST),
        ({"first_crypto_period_index": 0, "crypto_period_count": 10}, Status.NO_REQUESTED_CRYPTO_PERIODS),
        ({"first_crypto_period_index": -1, "crypto_period_seconds": 1}, Status.MALFORMED_REQUEST),
        (
            {"first_crypto_period_index": 0, "crypto_period_seconds": 1, "crypto_period_count": 65},
            Status.MALFORMED_REQUEST,
        ),
    ],
)
def test_what_is_asked_for_is_checked(change: dict[str, Any], status: Status) -> None:
    assert refused(envelope({**INNER, **change})) is status


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 50_000, b"\xff", b'{"request":"?","signature":"","signer":""}']
)
def test_what_is_no_request_is_malformed(body: bytes) -> None:
    assert refused(body) is Status.MALFORMED_REQUEST


def test_rsa_signatures() -> None:
    request = json.dumps(INNER).encode()
    signature = RSA_KEY.sign(request, padding.PSS(padding.MGF1(hashes.SHA1()), 20), hashes.SHA1())
    signers = {"rsa": Signer("rsa", rsa_key=RSA_KEY.public_key())}.get
    assert packager.parse(envelope(request, signature, "rsa"), signers).content_id == b"abc"
    assert refused(envelope(request + b" ", signature, "rsa"), signers) is Status.SIGNATURE_FAILED
    assert refused(envelope(request, b"", "rsa"), signers) is Status.SIGNATURE_FAILED


@pytest.mark.parametrize(("key", "iv"), [(b"", b""), (bytes(15), bytes(16)), (bytes(32), bytes(8))])
def test_a_signer_needs_a_whole_key(key: bytes, iv: bytes) -> None:
    with pytest.raises(ValueError, match="16 or 32 bytes"):
        Signer("short", key, iv)
    with pytest.raises(ValueError, match="2048 bits"):
        Signer("small", rsa_key=rsa.generate_private_key(65537, 1024).public_key())


def test_a_signers_key_does_not_print() -> None:
    assert PACKAGER["aes_signing_key"][:8] not in repr(SIGNER)
    assert "\\x" not in repr(SIGNER)


@given(st.binary(max_size=200))
def test_any_signed_bytes_that_are_no_request_are_malformed(inner: bytes) -> None:
    assert refused(envelope(inner)) in (Status.MALFORMED_REQUEST, Status.CONTENT_ID_MISSING)
