"""FairPlay: which key a device gets, and what the CKC tells it about how long and where."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRefusedError
from keys.licences.fairplay import FairPlayChallenge, FairPlayServer
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Security, TrackType
from tests.keys.licences import fairplay_device as device
from tests.keys.licences.fairplay_device import CREDENTIALS, NOW, FairPlayDevice, stand_in_d

SERVER = FairPlayServer([CREDENTIALS], stand_in_d)
KID = bytes.fromhex("00112233445566778899aabbccddeeff")
HD = ContentKey(KID, b"\x51" * 16, b"\x52" * 16, bytes(32))
SD = ContentKey(b"\x61" * 16, b"\x62" * 16, b"\x63" * 16, bytes(32))
WEEK = 604800


def granted(key: ContentKey = HD, **outputs: Any) -> GrantedKey:
    return GrantedKey(key, TrackType.HD, Security.HARDWARE, Outputs(**outputs))


def opened(simulated: FairPlayDevice) -> FairPlayChallenge:
    return SERVER.open(simulated.spc(), NOW)


def told(simulated: FairPlayDevice, term: Term, *keys: GrantedKey) -> dict[str, Any]:
    return simulated.read(SERVER.issue(opened(simulated), keys or (granted(),), term, NOW, bytes))


def refusal(simulated: FairPlayDevice, term: Term, *keys: GrantedKey) -> str:
    with pytest.raises(LicenceRefusedError) as refused:
        SERVER.issue(opened(simulated), keys, term, NOW, bytes)
    return refused.value.reason


@pytest.mark.parametrize(
    ("term", "duration"),
    [
        (Term(until=0), None),
        (Term(until=NOW + 60.9), ("lease", 60, 0)),
        (Term(until=0, renew_every=300), ("lease", 300, 0)),
        (Term(until=NOW + WEEK, renew_every=300), ("lease", 300, 0)),
        (Term(until=NOW + 100, renew_every=300), ("lease", 100, 0)),
        (Term(until=NOW + WEEK, play_for=7200), ("lease", 7200, 0)),
        (Term(until=0, start_within=900), ("rental", 0, 900)),
        (Term(until=NOW + 600, start_within=900), ("both", 600, 600)),
        (Term(until=NOW + WEEK, start_within=900, renew_every=300), ("both", 300, 900)),
        (Term(until=NOW + 2**40), ("lease", 2**32 - 1, 0)),
    ],
)
def test_durations(term: Term, duration: tuple[str, int, int] | None) -> None:
    seen = told(FairPlayDevice(), term)
    if duration is None:
        assert "duration" not in seen
    else:
        kind, lease, rental = duration
        assert seen["duration"] == {"type": kind, "lease": lease, "rental": rental, "reserved_ok": True}
    assert "offline" not in seen


@pytest.mark.parametrize(
    ("term", "rental", "storage", "playback"),
    [
        (Term(NOW + WEEK, persistent=True), WEEK, WEEK, WEEK),
        (Term(NOW + WEEK, start_within=86400, play_for=3600, persistent=True), WEEK, 86400, 3600),
        (Term(NOW + 60, start_within=86400, play_for=3600, persistent=True), 60, 60, 60),
        (Term(NOW + 2**40, persistent=True), 2**32 - 1, 2**32 - 1, 2**32 - 1),
    ],
)
def test_keys_to_keep(term: Term, rental: int, storage: int, playback: int) -> None:
    seen = told(FairPlayDevice(), term)
    assert seen["duration"] == {"type": "persist-limited", "lease": 0, "rental": rental, "reserved_ok": True}
    assert seen["offline"] == {"version": 1, "content_id": KID.hex(), "storage": storage, "playback": playback}


def test_a_device_that_keeps_no_keys_gets_a_lease_instead() -> None:
    seen = told(FairPlayDevice(capabilities=1), Term(NOW + WEEK, persistent=True))
    assert seen["duration"]["type"] == "lease"
    assert "offline" not in seen


@given(
    st.floats(-10, 2**33),
    st.integers(0, 2**33),
    st.integers(0, 2**33),
    st.integers(0, 2**33),
    st.booleans(),
)
def test_no_device_holds_a_key_past_the_end(
    left: float, start_within: int, play_for: int, renew_every: int, persistent: bool
) -> None:
    term = Term(NOW + left, start_within, play_for, renew_every, persistent)
    if NOW + left - NOW < 1:
        assert refusal(FairPlayDevice(), term, granted()) == "expired"
        return
    seen = told(FairPlayDevice(), term)
    duration = seen["duration"]
    ends = seen["offline"]["playback"] if persistent else duration["lease"]
    assert 0 < ends <= left + 1e-3
    assert duration["rental"] <= left + 1e-3


def test_a_persistent_term_needs_an_end() -> None:
    for capabilities in (0, 3):
        with pytest.raises(ValueError, match="needs an end"):
            told(FairPlayDevice(capabilities=capabilities), Term(0, persistent=True))


def test_a_device_without_a_playback_state_gets_unlimited_keys_only() -> None:
    simulated = FairPlayDevice(changes={device.PLAYBACK: None}, returned=(device.TRANSACTION,))
    for term in (Term(NOW + 60), Term(0, renew_every=60), Term(NOW + 60, persistent=True)):
        assert refusal(simulated, term, granted()) == "unlimited-device"
    assert "duration" not in told(simulated, Term(0))


@pytest.mark.parametrize(
    ("capabilities", "outputs", "seen"),
    [
        (1, {}, "none"),
        (1, {"hdcp": Hdcp.V1}, "type0"),
        (1, {"hdcp": Hdcp.V2_2}, "type1"),
        (1, {"analogue": False}, "type0"),
        (1, {"analogue": False, "hdcp": Hdcp.V2_2}, "type1"),
        # Without enforcement the block means nothing to the device, and type 0 holds.
        (0, {}, None),
        (0, {"hdcp": Hdcp.V1}, None),
        (0, {"analogue": False}, None),
    ],
)
def test_hdcp(capabilities: int, outputs: dict[str, Any], seen: str | None) -> None:
    simulated = FairPlayDevice(capabilities=capabilities)
    assert told(simulated, Term(NOW + 60), granted(**outputs)).get("hdcp") == seen


@pytest.mark.parametrize(
    ("simulated", "outputs", "reason"),
    [
        (FairPlayDevice(capabilities=0), {"hdcp": Hdcp.V2_2}, "hdcp"),
        (FairPlayDevice(indicator=device.AIRPLAY), {"airplay": False}, "airplay"),
        (FairPlayDevice(indicator=device.AV_ADAPTER), {"av_adapter": False}, "av-adapter"),
        (FairPlayDevice(), {"digital": False}, "digital-output"),
    ],
)
def test_a_device_gets_no_key_whose_outputs_it_cannot_guard(
    simulated: FairPlayDevice, outputs: dict[str, Any], reason: str
) -> None:
    assert refusal(simulated, Term(NOW + 60), granted(**outputs), granted(SD)) == reason


@pytest.mark.parametrize(
    ("indicator", "outputs"),
    [
        (0, {"airplay": False, "av_adapter": False}),
        (device.AIRPLAY, {"av_adapter": False}),
        (device.AV_ADAPTER, {"airplay": False}),
    ],
)
def test_screens_only_count_where_they_are_in_use(indicator: int, outputs: dict[str, Any]) -> None:
    assert told(FairPlayDevice(indicator=indicator), Term(NOW + 60), granted(**outputs))["key"] == HD.key.hex()


def test_the_asset_id_picks_the_key() -> None:
    keys = (granted(SD), granted(HD))
    assert told(FairPlayDevice(), Term(0), *keys)["key"] == HD.key.hex()
    assert told(FairPlayDevice(asset_id=SD.kid.hex().encode()), Term(0), *keys)["key"] == SD.key.hex()
    assert refusal(FairPlayDevice(asset_id=b"77" * 16), Term(0), *keys) == "no-key"
    assert refusal(FairPlayDevice(), Term(0)) == "no-key"


def test_an_asset_id_of_the_operators_own_gets_the_only_key() -> None:
    simulated = FairPlayDevice(asset_id=b"film-17")
    assert told(simulated, Term(0), granted(SD))["key"] == SD.key.hex()
    assert refusal(simulated, Term(0), granted(SD), granted(HD)) == "no-key"
    assert refusal(simulated, Term(0)) == "no-key"


def test_a_ckc_is_for_one_device_and_one_request() -> None:
    ckc = SERVER.issue(opened(FairPlayDevice()), [granted()], Term(0), NOW, bytes)
    for other in (FairPlayDevice(r1=bytes(44)), FairPlayDevice(ar_seed=bytes(16))):
        with pytest.raises(AssertionError):
            other.read(ckc)
    assert FairPlayDevice(session_key=bytes(16)).read(ckc)["key"] != HD.key.hex()


def test_what_the_device_wants_back_comes_back_whole_and_once() -> None:
    unknown = 0x0123456789ABCDEF
    returned = (unknown, device.TRANSACTION, unknown, device.ASSET)
    simulated = FairPlayDevice(returned=returned, changes={unknown: bytes(range(100))})
    told(simulated, Term(NOW + 60))


def test_order_padding_and_iv_are_drawn() -> None:
    draws: list[int] = []

    def entropy(size: int) -> bytes:
        draws.append(size)
        return len(draws).to_bytes(size)

    simulated = FairPlayDevice()
    ckc = SERVER.issue(opened(simulated), [granted()], Term(NOW + 60), NOW, entropy)
    assert ckc[8:24] == len(draws).to_bytes(16)
    assert draws == [16, 4, 16, 8, *[8] * 6, 16]
    simulated.read(ckc)
