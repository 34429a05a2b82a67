"""The key ring: which generation derives what, and what it refuses."""

import pytest

from keys.errors import KeyRingError
from keys.material import RootKey
from keys.model import KeySlot, Scheme, TrackType
from keys.ring import KeyRing
from keys.schedule import derive_content_key, derive_kid, derive_service_key

FIRST = RootKey(1, bytes(32))
SECOND = RootKey(2, b"\x01" * 32, active_from=1_200_000)
THIRD = RootKey(5, b"\x02" * 48, active_from=1_800_000)
SALT = b"\x05" * 16


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing([THIRD, FIRST, SECOND])


@pytest.mark.parametrize(
    ("period", "generation"),
    [(None, 1), (0, 1), (1_199_999, 1), (1_200_000, 2), (1_799_999, 2), (1_800_000, 5), (10**13, 5)],
)
def test_a_period_belongs_to_the_newest_generation_active_at_its_start(
    ring: KeyRing, period: int | None, generation: int
) -> None:
    assert ring.generation_at(period) == generation
    slot = ring.slot("live", TrackType.HD, Scheme.CENC, period)
    assert slot == KeySlot("live", TrackType.HD, Scheme.CENC, generation, period)


def test_before_any_activation_the_oldest_generation_serves() -> None:
    assert KeyRing([SECOND, THIRD]).generation_at(0) == 2


def test_generations_are_told_oldest_first(ring: KeyRing) -> None:
    assert ring.generations == (1, 2, 5)


def test_a_slot_is_derived_from_the_root_of_its_generation(ring: KeyRing) -> None:
    slot = KeySlot("live", TrackType.SD, Scheme.CBCS, 2, 0)
    assert ring.content_key(slot) == derive_content_key(SECOND, slot)
    assert ring.content_key(slot, SALT) == derive_content_key(SECOND, slot, SALT)
    assert ring.kid(slot) == derive_kid(SECOND, slot)
    assert ring.signal(slot, SALT) == derive_content_key(SECOND, slot, SALT).signal()


def test_the_second_request_for_a_key_derives_nothing(ring: KeyRing) -> None:
    slot = ring.slot("live", TrackType.HD, Scheme.CENC, 0)
    assert ring.content_key(slot) is ring.content_key(slot)
    assert ring.content_key(slot) is not ring.content_key(slot, SALT)


def test_a_generation_that_left_the_ring_is_refused(ring: KeyRing) -> None:
    slot = KeySlot("live", TrackType.HD, Scheme.CENC, 3, 0)
    for ask in (ring.content_key, ring.kid, ring.signal):
        with pytest.raises(KeyRingError, match="no root key of generation 3"):
            ask(slot)


def test_service_keys_come_newest_first(ring: KeyRing) -> None:
    assert ring.service_keys("pass") == tuple(derive_service_key(root, "pass") for root in (THIRD, SECOND, FIRST))


@pytest.mark.parametrize(
    ("roots", "message"),
    [
        ([], "at least one root key"),
        ([FIRST, RootKey(1, b"\x09" * 32)], "share a generation"),
        ([RootKey(7, bytes(31))], "generation 7 is shorter than 32 bytes"),
        ([RootKey(-1, bytes(32))], "generation -1 is not from 0 to 65535"),
    ],
)
def test_unusable_rings_are_refused(roots: list[RootKey], message: str) -> None:
    with pytest.raises(KeyRingError, match=message):
        KeyRing(roots)
