"""Relay-native licences: the vector, byte for byte; what a device gets; and that nothing else opens."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRefusedError, SealError
from keys.licences.native import (
    MAX_KEYS,
    LicenceSecrets,
    NativeKey,
    NativeLicence,
    NativeServer,
    expiry,
    open_licence,
)
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Security, TrackType

VECTOR = json.loads((Path(__file__).parent / "vectors" / "native.json").read_text())
PRK, OTHER_PRK = bytes.fromhex(VECTOR["prk"]), b"\xee" * 32
SESSION_ID = bytes.fromhex(VECTOR["session_id"])
END: int = VECTOR["expiry"]
NOW = END - 600.0
WATERMARK = bytes.fromhex(VECTOR["watermark_payload"])
KEYS = tuple(
    ContentKey(bytes.fromhex(kid), bytes.fromhex(key), bytes(16), bytes(32))
    for kid, key in VECTOR["content_keys"].items()
)
GRANTED = [GrantedKey(key, TrackType.HD) for key in KEYS]
SEALED = bytes.fromhex(VECTOR["license"])
SECRETS = LicenceSecrets.derive(PRK, SESSION_ID, END)
LICENCE = NativeLicence(SESSION_ID, END, tuple(NativeKey(key.kid, key.key) for key in KEYS), WATERMARK)
SERVER = NativeServer([PRK])

sixteen_bytes = st.binary(min_size=16, max_size=16)


def test_the_vector() -> None:
    assert SECRETS.wrapping_key.hex() == VECTOR["kek"]
    assert SECRETS.mac_key.hex() == VECTOR["mac_key"]
    assert len(SEALED) == 160
    assert SERVER.issue(SESSION_ID, GRANTED, Term(END), WATERMARK, NOW) == SEALED
    assert open_licence(SEALED, SECRETS) == LICENCE
    assert SERVER.open(SEALED, NOW) == LICENCE
    assert SERVER.secrets(SESSION_ID, END) == SECRETS


@given(
    sixteen_bytes,
    st.integers(0, 2**64 - 1),
    st.lists(st.builds(NativeKey, sixteen_bytes, sixteen_bytes), max_size=8),
    sixteen_bytes,
)
def test_what_was_sealed_opens(session_id: bytes, end: int, keys: list[NativeKey], watermark: bytes) -> None:
    licence = NativeLicence(session_id, end, tuple(keys), watermark)
    secrets = LicenceSecrets.derive(PRK, session_id, end)
    assert open_licence(licence.seal(secrets), secrets) == licence


def test_every_flipped_bit_is_noticed() -> None:
    for at in range(len(SEALED)):
        for bit in range(8):
            forged = bytearray(SEALED)
            forged[at] ^= 1 << bit
            with pytest.raises(SealError):
                SERVER.open(bytes(forged), NOW)
            with pytest.raises(SealError):
                open_licence(bytes(forged), SECRETS)


def test_truncated_licences_do_not_open_at_any_byte() -> None:
    for size in range(len(SEALED)):
        with pytest.raises(SealError):
            SERVER.open(SEALED[:size], NOW)
    with pytest.raises(SealError):
        SERVER.open(SEALED + bytes(40), NOW)


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: SEALED[:32] + tail))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(SealError):
        SERVER.open(data, NOW)


def test_a_key_that_does_not_unwrap_is_a_seal_error() -> None:
    # A MAC that holds over a wrapped key that does not: only whoever has the secrets can make that.
    wrong = LicenceSecrets(bytes(16), SECRETS.watermark_mask, SECRETS.mac_key)
    with pytest.raises(SealError, match="does not unwrap"):
        open_licence(LICENCE.seal(wrong), SECRETS)


def test_other_sessions_ends_and_epochs_do_not_open() -> None:
    for other in (
        LicenceSecrets.derive(OTHER_PRK, SESSION_ID, END),
        LicenceSecrets.derive(PRK, bytes(16), END),
        LicenceSecrets.derive(PRK, SESSION_ID, END + 1),
    ):
        with pytest.raises(SealError, match="does not open"):
            open_licence(SEALED, other)
    with pytest.raises(SealError, match="does not open"):
        NativeServer([OTHER_PRK]).open(SEALED, NOW)


def test_licences_of_a_former_epoch_still_open() -> None:
    server = NativeServer([OTHER_PRK, PRK])
    assert server.open(SEALED, NOW) == LICENCE
    assert server.issue(SESSION_ID, GRANTED, Term(END), WATERMARK, NOW) != SEALED


def test_expired_licences_are_refused_but_told_apart() -> None:
    assert SERVER.open(SEALED, END - 0.5) == LICENCE
    with pytest.raises(LicenceRefusedError) as refused:
        SERVER.open(SEALED, END)
    assert refused.value.reason == "expired"


@pytest.mark.parametrize(
    ("term", "end"),
    [
        (Term(NOW + 60.9), 60),
        (Term(NOW + 60, renew_every=10), 60),
        (Term(NOW + 6000, play_for=100), 100),
        (Term(NOW + 6000, start_within=50, play_for=100), 150),
        (Term(0, start_within=50, play_for=100), 150),
        (Term(NOW + 60, start_within=50), 60),
    ],
)
def test_ends(term: Term, end: int) -> None:
    assert expiry(term, NOW) == NOW + end
    assert SERVER.open(SERVER.issue(SESSION_ID, GRANTED, term, WATERMARK, NOW), NOW).expiry == NOW + end


def test_a_term_that_is_over_gets_no_licence() -> None:
    for until in (NOW - 1, NOW, NOW + 0.9):
        with pytest.raises(LicenceRefusedError) as refused:
            SERVER.issue(SESSION_ID, GRANTED, Term(until), WATERMARK, NOW)
        assert refused.value.reason == "expired"


@pytest.mark.parametrize(
    "strict",
    [
        GrantedKey(KEYS[0], TrackType.HD, Security.HARDWARE),
        GrantedKey(KEYS[0], TrackType.HD, outputs=Outputs(hdcp=Hdcp.V1)),
        GrantedKey(KEYS[0], TrackType.HD, outputs=Outputs(digital=False)),
        GrantedKey(KEYS[0], TrackType.HD, outputs=Outputs(analogue=False)),
        GrantedKey(KEYS[0], TrackType.HD, outputs=Outputs(airplay=False)),
        GrantedKey(KEYS[0], TrackType.HD, outputs=Outputs(av_adapter=False)),
    ],
)
def test_keys_whose_terms_a_device_cannot_meet_are_left_out(strict: GrantedKey) -> None:
    sealed = SERVER.issue(SESSION_ID, [strict, GRANTED[1]], Term(END), WATERMARK, NOW)
    assert [key.kid for key in SERVER.open(sealed, NOW).keys] == [KEYS[1].kid]
    with pytest.raises(LicenceRefusedError) as refused:
        SERVER.issue(SESSION_ID, [strict], Term(END), WATERMARK, NOW)
    assert refused.value.reason == "no-key"


def test_a_trusted_device_gets_the_keys_that_need_one() -> None:
    strict = GrantedKey(KEYS[0], TrackType.HD, Security.HARDWARE)
    sealed = SERVER.issue(SESSION_ID, [strict, GRANTED[1]], Term(END), WATERMARK, NOW, Security.HARDWARE)
    assert sealed == SEALED


def test_what_the_format_cannot_say_is_refused() -> None:
    for session_id, watermark in ((b"short", WATERMARK), (SESSION_ID, b"short")):
        with pytest.raises(ValueError, match="16 bytes each"):
            SERVER.issue(session_id, GRANTED, Term(END), watermark, NOW)
    with pytest.raises(ValueError, match="needs an end"):
        SERVER.issue(SESSION_ID, GRANTED, Term(0, start_within=60), WATERMARK, NOW)
    with pytest.raises(ValueError, match=f"at most {MAX_KEYS}"):
        SERVER.issue(SESSION_ID, GRANTED * MAX_KEYS, Term(END), WATERMARK, NOW)
    most = SERVER.issue(SESSION_ID, (GRANTED * MAX_KEYS)[:MAX_KEYS], Term(END), WATERMARK, NOW)
    assert len(SERVER.open(most, NOW).keys) == MAX_KEYS
    for secrets in ([], [PRK, b"short"]):
        with pytest.raises(ValueError, match="32 bytes"):
            NativeServer(secrets)


def test_nothing_prints_keys() -> None:
    shown = " ".join(map(repr, (SECRETS, LICENCE, SERVER, *LICENCE.keys)))
    secrets = (SECRETS.wrapping_key, SECRETS.watermark_mask, SECRETS.mac_key, PRK, WATERMARK, *(k.key for k in KEYS))
    for secret in secrets:
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
