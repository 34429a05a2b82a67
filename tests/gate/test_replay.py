"""What may come once: remembered as long as it could come again, and never more than there is room for."""

from dataclasses import replace

import pytest

from relay.gate.replay import SeenOnce, digest_of_token
from relay.model import Session

NOW = 1_790_000_000.0
SESSION = Session("s", "a", "https://platform.example", int(NOW) + 60, token_id="t")


def test_the_first_time_is_the_only_one() -> None:
    seen = SeenOnce()
    assert seen.first_time(b"one", NOW + 60, NOW)
    assert not seen.first_time(b"one", NOW + 60, NOW)
    assert not seen.first_time(b"one", NOW + 600, NOW + 59)
    assert seen.first_time(b"two", NOW + 60, NOW)


def test_nothing_is_forgotten_before_it_expires_and_everything_after() -> None:
    seen = SeenOnce()
    for at in range(100):
        assert seen.first_time(bytes([at]), NOW + at, NOW)
    for at in range(100):
        assert not seen.first_time(bytes([99]), NOW + 99, NOW + at)
        assert len(seen) >= 100 - at
    assert seen.first_time(b"next", NOW + 200, NOW + 110)
    assert len(seen) == 1


def test_when_it_is_full_it_refuses_what_is_new_and_still_knows_what_is_old() -> None:
    seen = SeenOnce(limit=3)
    assert all(seen.first_time(bytes([at]), NOW + 60, NOW) for at in range(3))
    assert not seen.first_time(b"new", NOW + 60, NOW)
    assert not seen.first_time(bytes([0]), NOW + 60, NOW)
    assert len(seen) == 3
    assert seen.first_time(b"new", NOW + 600, NOW + 70)


def test_a_clock_that_goes_back_forgets_nothing_more() -> None:
    seen = SeenOnce()
    assert seen.first_time(b"one", NOW + 60, NOW)
    assert not seen.first_time(b"one", NOW + 60, NOW - 3600)
    assert not seen.first_time(b"one", NOW + 60, NOW)


@pytest.mark.parametrize(
    "other",
    [replace(SESSION, issuer="x"), replace(SESSION, token_id="x"), replace(SESSION, expires_at=int(NOW) + 61)],
)
def test_a_token_is_its_issuer_its_id_and_its_expiry(other: Session) -> None:
    assert digest_of_token(other) != digest_of_token(SESSION)


def test_a_token_is_not_how_it_is_spelt() -> None:
    assert digest_of_token(replace(SESSION, sid="other", account="other")) == digest_of_token(SESSION)
