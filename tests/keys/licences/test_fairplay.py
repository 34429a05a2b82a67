"""FairPlay: recorded exchanges, byte for byte; and every SPC that is not one."""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRequestError
from keys.licences.fairplay import (
    FairPlayChallenge,
    FairPlayCredentials,
    FairPlayServer,
    PlaybackState,
    Screen,
    SpcVersionError,
)
from keys.licences.fairplay.ckc import payload_key
from keys.licences.fairplay.credentials import encrypt_block
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Security, TrackType
from tests.keys.licences import fairplay_device as device
from tests.keys.licences.fairplay_device import (
    ASK,
    CREDENTIALS,
    EXCHANGES,
    NOW,
    VECTORS,
    FairPlayDevice,
    block,
    encrypt_payload,
    open_payload,
    split,
    stand_in_d,
)

SERVER = FairPlayServer([CREDENTIALS], stand_in_d)
TERMS = {
    "lease": Term(until=NOW + 300),
    "rental_hdcp1": Term(until=0, start_within=900),
    "offline": Term(until=NOW + 604800, start_within=86400, play_for=3600, persistent=True),
}


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def recorded(name: str) -> tuple[dict[str, Any], FairPlayChallenge, GrantedKey]:
    exchange = VECTORS[name]
    key = ContentKey(b"\x77" * 16, unhex(exchange["content_key"]), unhex(exchange["content_iv"]), bytes(32))
    outputs = Outputs(hdcp=Hdcp.V2_2 if name == "rental_hdcp1" else Hdcp.NONE)
    return exchange, SERVER.open(unhex(exchange["spc"]), NOW), GrantedKey(key, TrackType.HD, outputs=outputs)


@pytest.mark.parametrize("name", EXCHANGES)
def test_recorded_spcs_are_read(name: str) -> None:
    exchange, challenge, _ = recorded(name)
    assert challenge.session_key == unhex(exchange["session_key"])
    assert challenge.r1 == unhex(exchange["r1"])
    assert challenge.ar_seed == unhex(exchange["ar_seed"])
    assert challenge.asset_id == exchange["asset_id"].encode()
    assert challenge.kids == ()
    assert challenge.screen is Screen.OWN
    assert (challenge.enforces_hdcp, challenge.keeps_keys) == (name == "rental_hdcp1", name == "offline")
    assert challenge.playback is not None
    assert challenge.playback.state is (PlaybackState.PLAYING if name == "rental_hdcp1" else PlaybackState.READY)
    assert challenge.playback.renews is (name == "rental_hdcp1")


def test_recorded_spcs_are_of_one_device_and_three_transactions() -> None:
    challenges = [recorded(name)[1] for name in EXCHANGES]
    assert len({challenge.device for challenge in challenges}) == 1
    assert len({challenge.transaction_id for challenge in challenges}) == 3
    assert challenges[0].device.security is Security.HARDWARE
    assert len(challenges[0].device.digest) == 16


@pytest.mark.parametrize("name", EXCHANGES)
def test_recorded_clients_see_in_our_ckc_what_they_saw(name: str) -> None:
    exchange, challenge, granted = recorded(name)
    content_id = unhex(exchange["content_iv"])
    ckc = SERVER.issue(challenge, [granted], TERMS[name], NOW, bytes, content_id)
    r1, ar_seed = unhex(exchange["r1"]), unhex(exchange["ar_seed"])
    returned = {whole for tag, _, whole in open_payload(unhex(exchange["ckc"]), r1, ar_seed) if tag in RETURNED}
    assert len(returned) == 2
    saw = device.read_ckc(ckc, unhex(exchange["session_key"]), r1, ar_seed, returned)
    assert saw | {"asset_id": exchange["asset_id"]} == exchange["client_saw"]


@pytest.mark.parametrize("name", EXCHANGES)
def test_recorded_ckcs_are_rewritten_byte_for_byte(name: str) -> None:
    exchange, challenge, granted = recorded(name)
    ckc = unhex(exchange["ckc"])
    blocks = open_payload(ckc, unhex(exchange["r1"]), unhex(exchange["ar_seed"]))
    order = [tag for tag, _, _ in blocks]
    ours = (device.ENCRYPTED_KEY, device.R1, device.DURATION, device.HDCP, device.OFFLINE)
    written = [tag for tag in ours if tag in order]
    padding = {tag: whole[16 + len(value) :] for tag, value, whole in blocks}
    draws = [
        *(padding[tag] for tag in written),
        *(order.index(tag).to_bytes(8) for tag in [*written, *RETURNED]),
        ckc[8:24],
    ]

    def entropy(size: int) -> bytes:
        drawn = draws.pop(0)
        assert len(drawn) == size
        return drawn

    content_id = unhex(exchange["content_iv"])
    assert SERVER.issue(challenge, [granted], TERMS[name], NOW, entropy, content_id).hex() == exchange["ckc"]
    assert draws == []


RETURNED = (device.TRANSACTION, device.PLAYBACK)


def test_primitives() -> None:
    vector = VECTORS["primitive"]
    assert encrypt_block(unhex(vector["sk"]), unhex(vector["content_key"])).hex() == vector["encrypted_ck"]
    assert payload_key(unhex(vector["r1"]), unhex(vector["ar_seed"])).hex() == vector["ckc_payload_key"]


@pytest.mark.parametrize(
    ("asset_id", "kids"),
    [
        (b"00112233445566778899aabbccddeeff", 1),
        (b"skd://00112233445566778899AABBCCDDEEFF", 1),
        (b"00112233-4455-6677-8899-aabbccddeeff", 1),
        (b"00112233445566778899aabbccddeeff0", 0),
        (b"0011223344-556677-8899-aabb-ccddeeff", 0),
        ("٠".encode() * 32, 0),
        (b"\xff\xfe", 0),
    ],
)
def test_key_ids_are_read_out_of_asset_ids(asset_id: bytes, kids: int) -> None:
    challenge = SERVER.open(FairPlayDevice(asset_id=asset_id).spc(), NOW)
    assert challenge.asset_id == asset_id
    assert challenge.kids == (unhex("00112233445566778899aabbccddeeff"),) * kids


def test_blocks_may_come_in_any_order_with_unknown_ones_between() -> None:
    simulated = FairPlayDevice(changes={0x0123456789ABCDEF: b"unknown", 0x77966DE1DC1083AD: bytes(40)})
    assert SERVER.open(simulated.spc(), NOW) == SERVER.open(simulated.spc(lambda blocks: blocks[::-1]), NOW)


def test_old_devices_leave_blocks_out() -> None:
    changes = dict.fromkeys((device.INDICATOR, device.PLAYBACK, device.CAPABILITIES))
    challenge = SERVER.open(FairPlayDevice(changes=changes, returned=()).spc(), NOW)
    assert (challenge.screen, challenge.playback) == (Screen.OWN, None)
    assert not challenge.enforces_hdcp
    assert not challenge.keeps_keys


@pytest.mark.parametrize(
    ("indicator", "screen"),
    [(0, Screen.OWN), (device.AIRPLAY, Screen.AIRPLAY), (device.AV_ADAPTER, Screen.AV_ADAPTER), (1, Screen.OWN)],
)
def test_screens(indicator: int, screen: Screen) -> None:
    assert SERVER.open(FairPlayDevice(indicator=indicator).spc(), NOW).screen is screen


@pytest.mark.parametrize(
    ("state", "expected", "renews"),
    [
        (device.READY, PlaybackState.READY, False),
        (device.PLAYING, PlaybackState.PLAYING, True),
        (device.LEASE_ENDS, PlaybackState.PLAYING_LEASE_ENDS, True),
        (device.HALTED, PlaybackState.HALTED, False),
        (1, None, False),
    ],
)
def test_playback_states(state: int, expected: PlaybackState | None, renews: bool) -> None:
    playback = SERVER.open(FairPlayDevice(state=state).spc(), NOW).playback
    assert playback is not None
    assert (playback.state, playback.renews, playback.playback_id) == (expected, renews, b"playback")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({device.SK_R1: None}, "no SESSION_KEY_R1"),
        ({device.SK_R1: bytes(111)}, "SESSION_KEY_R1 has 111 bytes, expected 112"),
        ({device.SK_R1: bytes(112)}, "integrity does not hold"),
        ({device.INTEGRITY: bytes(16)}, "integrity does not hold"),
        ({device.INTEGRITY: b"\x41" * 15}, "INTEGRITY has 15 bytes"),
        ({device.R2: b"\x36" * 21}, "integrity does not hold"),
        ({device.R2: bytes(20)}, "R2 has 20 bytes"),
        ({device.AR_SEED: None}, "no AR_SEED"),
        ({device.TRANSACTION: bytes(7)}, "TRANSACTION_ID has 7 bytes"),
        ({device.ASSET: None}, "no ASSET_ID"),
        ({device.ASSET: b"x"}, "ASSET_ID has 1 bytes"),
        ({device.ASSET: b"x" * 201}, "ASSET_ID has 201 bytes"),
        ({device.INDICATOR: bytes(4)}, "STREAMING_INDICATOR has 4 bytes"),
        ({device.PLAYBACK: bytes(8)}, "PLAYBACK_STATE has 8 bytes"),
        ({device.CAPABILITIES: bytes(8)}, "CAPABILITIES has 8 bytes"),
        ({device.RETURN: None}, "no RETURN_REQUEST"),
        ({device.RETURN: bytes(9)}, "RETURN_REQUEST has 9 bytes"),
        ({device.RETURN: bytes(8)}, "wants a block that is not there"),
        (
            {device.RETURN: device.DURATION.to_bytes(8), device.DURATION: bytes(16)},
            "wants a block that only a server writes",
        ),
        ({device.PLAYBACK: (int(NOW) - 3601).to_bytes(4) + bytes(12)}, "not made about now"),
        ({device.PLAYBACK: (int(NOW) + 3601).to_bytes(4) + bytes(12)}, "not made about now"),
    ],
)
def test_wrong_blocks_are_refused(changes: dict[int, bytes | None], message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        SERVER.open(FairPlayDevice(changes=changes).spc(), NOW)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "no R2"),
        (block(7, b"x") + block(7, b"y"), "block at 32 repeats a tag"),
        (bytes(8) + (32).to_bytes(4) + bytes(4), "block at 0 is cut short"),
        (bytes(8) + (16).to_bytes(4) + (17).to_bytes(4) + bytes(16), "block at 0 has impossible lengths"),
        (bytes(8) + (8).to_bytes(4) + bytes(20), "block at 0 has impossible lengths"),
        (b"\xff" * 32, "block at 0 has impossible lengths"),
    ],
)
def test_wrong_payloads_are_refused(payload: bytes, message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        SERVER.open(encrypt_payload(payload), NOW)


def with_bytes(spc: bytes, at: int, value: bytes) -> bytes:
    return spc[:at] + value + spc[at + len(value) :]


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda spc: b"", "0 bytes, cut short"),
        (lambda spc: bytes(16 * 1024 + 1), "more than 16384"),
        (lambda spc: with_bytes(spc, 24, b"\0"), "its key does not decrypt"),
        (lambda spc: with_bytes(spc, 24, b"\xff" * 128), "its key does not decrypt"),
        (lambda spc: with_bytes(spc, 152, bytes(20)), "made for a certificate that is not of this server"),
        (lambda spc: with_bytes(spc, 172, bytes(4)), "a payload of 0 bytes"),
        (lambda spc: spc + bytes(16), "656 bytes, 672 are there"),
    ],
)
def test_wrong_containers_are_refused(forge: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        SERVER.open(forge(unhex(VECTORS["lease"]["spc"])), NOW)


@pytest.mark.parametrize("version", [0, 2, 3, 0xFFFFFFFF])
def test_other_versions_are_told_apart(version: int) -> None:
    with pytest.raises(SpcVersionError, match=f"version {version}, expected 1"):
        SERVER.open(with_bytes(unhex(VECTORS["lease"]["spc"]), 0, version.to_bytes(4)), NOW)


@pytest.mark.parametrize("name", EXCHANGES)
def test_truncated_spcs_are_refused_at_every_byte(name: str) -> None:
    spc = unhex(VECTORS[name]["spc"])
    for size in range(len(spc)):
        with pytest.raises(LicenceRequestError):
            SERVER.open(spc[:size], NOW)


def test_truncated_payloads_are_refused_at_every_block_of_the_cipher() -> None:
    payload = b"".join(FairPlayDevice().blocks())
    for size in range(0, len(payload), 16):
        with pytest.raises(LicenceRequestError):
            SERVER.open(encrypt_payload(payload[:size]), NOW)


def test_flipped_bits_of_the_integrity_are_refused_in_either_place() -> None:
    values = {tag: value for tag, value, _ in split(b"".join(FairPlayDevice().blocks()))}
    # The last two cipher blocks of the sealed part are those that its integrity depends on.
    for tag, places in ((device.SK_R1, range(80, 112)), (device.INTEGRITY, range(16))):
        for at in places:
            flipped = bytearray(values[tag])
            flipped[at] ^= 1
            with pytest.raises(LicenceRequestError, match="integrity does not hold"):
                SERVER.open(FairPlayDevice(changes={tag: bytes(flipped)}).spc(), NOW)


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(LicenceRequestError):
        SERVER.open(data, NOW)


@given(st.binary(max_size=40).map(lambda data: data * 16))
def test_random_payloads_raise_nothing_else(payload: bytes) -> None:
    with pytest.raises(LicenceRequestError):
        SERVER.open(encrypt_payload(payload), NOW)


@given(st.data())
def test_random_values_raise_nothing_else(data: st.DataObject) -> None:
    tags = st.sampled_from(
        [device.SK_R1, device.R2, device.ASSET, device.INDICATOR, device.PLAYBACK, device.CAPABILITIES, device.RETURN]
    )
    changes = data.draw(st.dictionaries(tags, st.none() | st.binary(max_size=24), min_size=1))
    with suppress(LicenceRequestError):
        SERVER.open(FairPlayDevice(changes=changes, returned=()).spc(), NOW)


def other_credentials(secret: bytes = ASK, bits: int = 1024) -> FairPlayCredentials:
    key = rsa.generate_private_key(65537, bits)  # as short as the container's field
    return FairPlayCredentials.load(self_signed(key), pem(key), secret)


def self_signed(key: rsa.RSAPrivateKey) -> bytes:
    name, start = x509.Name([]), datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=9))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_an_spc_for_another_certificate_is_refused_until_it_is_added() -> None:
    other = other_credentials()
    spc = unhex(VECTORS["lease"]["spc"])
    with pytest.raises(LicenceRequestError, match="not of this server"):
        FairPlayServer([other], stand_in_d).open(spc, NOW)
    both = FairPlayServer([other, CREDENTIALS], stand_in_d)
    assert both.open(spc, NOW) == SERVER.open(spc, NOW)
    assert both.certificate == other.certificate


def test_another_application_secret_is_refused() -> None:
    wrong = dataclasses.replace(CREDENTIALS, secret=bytes(16))
    with pytest.raises(LicenceRequestError, match="integrity does not hold"):
        FairPlayServer([wrong], stand_in_d).open(unhex(VECTORS["lease"]["spc"]), NOW)


def test_credentials_must_fit_together() -> None:
    certificate, key = unhex(VECTORS["certificate_der"]), VECTORS["rsa_key_pem"].encode()
    with pytest.raises(ValueError, match="15 bytes, expected 16"):
        FairPlayCredentials.load(certificate, key, ASK[1:])
    encrypted = CREDENTIALS.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    with pytest.raises(ValueError, match="FairPlay key: encrypted"):
        FairPlayCredentials.load(certificate, encrypted, ASK)
    with pytest.raises(ValueError, match="made for another key"):
        FairPlayCredentials.load(other_credentials().certificate, key, ASK)
    with pytest.raises(ValueError, match="1024 bits"):
        other_credentials(bits=2048)
    with pytest.raises(ValueError, match="1024 bits"):
        FairPlayCredentials.load(certificate, pem(ec.generate_private_key(ec.SECP256R1())), ASK)


def test_a_server_needs_credentials_and_a_d_function_of_16_bytes() -> None:
    with pytest.raises(ValueError, match="needs a credential set"):
        FairPlayServer([], stand_in_d)
    with pytest.raises(ValueError, match="gave 15 bytes"):
        FairPlayServer([CREDENTIALS], lambda ask, r2: bytes(15)).open(FairPlayDevice().spc(), NOW)


def test_nothing_prints_keys() -> None:
    _, challenge, granted = recorded("lease")
    shown = " ".join(map(repr, (challenge, granted, CREDENTIALS, SERVER)))
    for secret in (challenge.session_key, challenge.r1, challenge.ar_seed, granted.key.key, ASK, *challenge.returned):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
