"""The revocation set: exact, until its expiry, and no larger than it must be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.revocation import RevocationSet, Target, TargetType, digests_of
from relay.model import Session

NOW = 1000.0
SESSION = Session("session-1", "account-1", "issuer-1", 2000)
OTHERS = (
    replace(SESSION, sid="session-2", account="account-2"),
    # The same words in other places.
    replace(SESSION, sid="account-1", account="session-1"),
    replace(SESSION, sid="session-1issuer", account="account-"),
)


def revoked(target: Target, expires_at: float = 5000) -> RevocationSet:
    found = RevocationSet()
    found.add(target, expires_at, NOW)
    return found


@pytest.mark.parametrize(
    "target",
    [
        Target(TargetType.SESSION, "session-1"),
        Target(TargetType.ACCOUNT, "account-1", "issuer-1"),
        Target(TargetType.ACCOUNT, "account-1"),
    ],
)
def test_a_target_covers_its_session_and_no_other(target: Target) -> None:
    found = revoked(target)
    assert found.covers(digests_of(SESSION), NOW)
    assert not any(found.covers(digests_of(other), NOW) for other in OTHERS)


def test_an_account_of_one_issuer_is_not_that_of_another() -> None:
    elsewhere = replace(SESSION, issuer="issuer-2")
    assert not revoked(Target(TargetType.ACCOUNT, "account-1", "issuer-1")).covers(digests_of(elsewhere), NOW)
    assert revoked(Target(TargetType.ACCOUNT, "account-1")).covers(digests_of(elsewhere), NOW)


def test_an_unknown_target_covers_nobody() -> None:
    for target in (Target(TargetType.SESSION, "session-10"), Target(TargetType.ACCOUNT, "account-1", "issuer-10")):
        assert not revoked(target).covers(digests_of(SESSION), NOW)


def test_a_revocation_ends_with_its_expiry() -> None:
    found = revoked(Target(TargetType.SESSION, "session-1"), expires_at=2000)
    assert found.covers(digests_of(SESSION), 1999.9)
    assert not found.covers(digests_of(SESSION), 2000)


@pytest.mark.parametrize(("first", "second"), [(2000, 3000), (3000, 2000), (3000, 3000)])
def test_a_second_revocation_never_shortens_the_first(first: float, second: float) -> None:
    target = Target(TargetType.SESSION, "session-1")
    found = revoked(target, first)
    found.add(target, second, NOW)
    assert found.covers(digests_of(SESSION), 2999)
    assert len(found) == 1


def test_every_revocation_moves_the_version() -> None:
    found, seen = RevocationSet(), set()
    for number in range(5):
        seen.add(found.version)
        found.add(Target(TargetType.SESSION, f"s{number % 2}"), 5000, NOW)
    assert len(seen | {found.version}) == 6


def test_expired_revocations_make_room() -> None:
    found = RevocationSet()
    largest = 0
    for number in range(20_000):
        found.add(Target(TargetType.SESSION, f"s{number}"), number + 100, number)
        largest = max(largest, len(found))
    assert largest <= 1024  # 100 live ones at any time
    assert found.covers([Target(TargetType.SESSION, "s19999").digest()], 20_000)


def test_live_revocations_are_never_dropped() -> None:
    found = RevocationSet()
    targets = [Target(TargetType.SESSION, f"s{number}") for number in range(10_000)]
    for at, target in enumerate(targets):
        found.add(target, 50_000, at)
    assert len(found) == len(targets)
    assert all(found.covers([target.digest()], 49_999) for target in targets)


targets = st.builds(Target, st.sampled_from(TargetType), st.text(max_size=6), st.text(max_size=6))


@given(targets, targets)
def test_different_targets_have_different_digests(one: Target, other: Target) -> None:
    assert (one.digest() == other.digest()) == (one == other)
