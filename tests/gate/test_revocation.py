"""The revocation set: the same verdicts in whatever order records come, and no larger than it must be."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.revocation import RevocationSet, Standing
from relay.gate.targets import Target, TargetType, subject_of
from relay.model import Session

NOW = 1000.0
LONG = 1e9
SESSION = Session(
    "session-1", "account-1", "issuer-1", 2000, "token-1", "device-1", key_id="key-1", issued_at=500, version=3,
    watermark="mark-1",
)  # fmt: skip
SUBJECT = subject_of(SESSION, "news")
HIT = Target(TargetType.SESSION, "session-1")


def revoke(order: int = 1, effective: float = 0.0, expires: float = LONG, limit: int = 0) -> Standing:
    return Standing(order, True, effective, expires, limit)


def restore(order: int = 1, expires: float = LONG) -> Standing:
    return Standing(order, False, 0.0, expires)


def folded(*records: Standing, target: Target = HIT, now: float = NOW) -> RevocationSet:
    found = RevocationSet()
    for record in records:
        found.apply(target, record, now)
    return found


def covers(found: RevocationSet, now: float = NOW) -> bool:
    return found.covers(SUBJECT, now)


kinds = TargetType
COVERING = [
    HIT,
    Target(kinds.ACCOUNT, "account-1", "issuer-1"),
    Target(kinds.ACCOUNT, "account-1"),
    Target(kinds.DEVICE, "device-1", "issuer-1"),
    Target(kinds.DEVICE, "device-1"),
    Target(kinds.TOKEN, "token-1"),
    Target(kinds.WATERMARK, "mark-1"),
    Target(kinds.STREAM, "news"),
    Target(kinds.STREAM, "news", viewer="account-1"),
    Target(kinds.ISSUER_KEY, "key-1"),
    Target(kinds.SESSION_VERSION, "account-1", limit=3),
    Target(kinds.SESSION_VERSION, "session-1", limit=7),
    Target(kinds.ISSUED_BEFORE, "account-1", "issuer-1", limit=501),
    Target(kinds.ISSUED_BEFORE, "", "issuer-1", limit=501),
]
NOT_COVERING = [
    Target(kinds.SESSION, "session-2"),
    Target(kinds.SESSION, "account-1"),
    Target(kinds.ACCOUNT, "account-1", "issuer-2"),
    Target(kinds.DEVICE, "device-1", "issuer-2"),
    Target(kinds.STREAM, "sport"),
    Target(kinds.STREAM, "news", viewer="account-2"),
    Target(kinds.SESSION_VERSION, "account-1", limit=2),
    Target(kinds.ISSUED_BEFORE, "account-1", limit=500),
    Target(kinds.ISSUED_BEFORE, "", "issuer-2", limit=501),
    Target(kinds.NETWORK, "192.0.2.0/24"),
]


@pytest.mark.parametrize("target", COVERING, ids=str)
def test_a_target_covers_its_session(target: Target) -> None:
    found = folded(revoke(limit=target.limit), target=target)
    assert covers(found)
    assert found.counts()[target.type] == len(found) == 1


@pytest.mark.parametrize("target", NOT_COVERING, ids=str)
def test_a_target_covers_no_other(target: Target) -> None:
    assert not covers(folded(revoke(limit=target.limit), target=target))


def test_a_revocation_ends_with_its_expiry() -> None:
    found = folded(revoke(expires=1999.5))
    assert covers(found, 1999.9)  # rounded up, never down
    assert not covers(found, 2000)


def test_the_last_record_stands_and_of_two_alike_a_revocation() -> None:
    assert not covers(folded(revoke(1), restore(2)))
    assert not covers(folded(restore(2), revoke(1)))
    assert covers(folded(restore(2), revoke(3)))
    assert covers(folded(revoke(2), restore(2)))
    assert covers(folded(restore(2), revoke(2)))


def test_two_revocations_alike_hold_as_early_as_long_and_as_wide_as_either() -> None:
    target = COVERING[10]
    for records in permutations([revoke(1, 0, 2000, 2), revoke(1, 1500, 3000, 3), revoke(1, 1600, 2500, 1)]):
        found = folded(*records, target=target)
        assert found.get(target) == revoke(1, 0, 3000, 3)


def test_a_record_that_shortens_hides_the_longer_one_for_good() -> None:
    """Also after its own expiry, when the longer one is delivered again."""
    for records in ([revoke(1, expires=5000), revoke(2, expires=2000)], [revoke(1, expires=5000), restore(2, 2000)]):
        found = folded(*records)
        sweep(found, 3000.0)
        assert not found.apply(HIT, records[0], 3000.0)
        assert not covers(found, 3000.0)
        sweep(found, 5000.0)
        assert found.get(HIT) is None


def test_a_scheduled_revocation_takes_effect_in_time() -> None:
    found = folded(revoke(effective=1500.0))
    version = found.version
    assert found.next_change <= 1500.0
    assert not covers(found, 1499.9)
    assert covers(found, 1500.0)  # whether or not anybody called advance
    assert found.advance(1499.9) == []
    assert found.version == version
    assert found.advance(1500.0) == [HIT.digest()]
    assert found.version > version
    assert covers(found, 1500.0)
    assert found.get(HIT) == revoke()


def test_at_once_is_at_once_whatever_the_clock_says() -> None:
    assert covers(folded(revoke(effective=0.0), now=1.0), now=1.0)


def test_an_effective_time_gone_by_is_at_once() -> None:
    found = folded(revoke(effective=999.0))
    assert found.get(HIT) == revoke()
    assert covers(found)


def test_a_later_record_takes_a_schedule_with_it() -> None:
    found = folded(revoke(1, effective=1500.0), restore(2))
    assert found.advance(1600.0) == []
    assert not covers(found, 1600.0)
    found = folded(revoke(1, effective=1500.0), revoke(2, effective=1700.0))
    assert not covers(found, 1600.0)
    assert found.advance(1600.0) == []
    assert found.advance(1700.0) == [HIT.digest()]


def test_many_that_take_effect_at_once_do_so_in_bounded_steps() -> None:
    found = RevocationSet()
    for number in range(2500):
        found.apply(Target(TargetType.SESSION, f"s{number}"), revoke(effective=1500.0), NOW)
    found.apply(HIT, revoke(effective=1500.0), NOW)
    steps = []
    while found.next_change <= 1500.0:
        assert covers(found, 1500.0)
        steps.append(len(found.advance(1500.0)))
    assert steps == [1000, 1000, 501]


def test_scheduling_again_and_again_takes_no_more_room() -> None:
    found = RevocationSet()
    for order in range(20_000):
        found.apply(HIT, revoke(order, effective=1e8 + order), NOW)
    assert len(found._times) < 3000
    assert found.advance(1e8 + 19_998) == []
    assert found.advance(1e8 + 19_999) == [HIT.digest()]


def test_the_version_grows_with_what_stands_and_only_then() -> None:
    found = RevocationSet()
    for record, changes in [
        (revoke(5, expires=3000), True),
        (revoke(5, expires=3000), False),
        (revoke(4), False),
        (revoke(5, expires=2000), False),
        (revoke(5, expires=4000), True),
        (restore(5), False),
        (restore(6), True),
        (restore(6), False),
    ]:
        version = found.version
        assert found.apply(HIT, record, NOW) is changes
        assert (found.version > version) is changes


def test_restored_targets_are_not_counted() -> None:
    found = folded(revoke(1), restore(2))
    assert (len(found), found.restored) == (0, 1)
    assert found.get(HIT) == restore(2)


@pytest.mark.parametrize(("expires", "effective"), [(inf, 0.0), (nan, 0.0), (1e300, -1.0), (LONG, nan), (LONG, -inf)])
def test_times_that_are_none_do_not_set_anybody_free(expires: float, effective: float) -> None:
    found = folded(revoke(expires=expires, effective=effective))
    assert covers(found, 4e9 if expires != LONG else NOW)


@pytest.mark.parametrize("expires", [-inf, -1.0, 0.0])
def test_a_record_long_expired_covers_nobody(expires: float) -> None:
    assert not covers(folded(revoke(expires=expires)), 0.0)


# Networks.


@pytest.mark.parametrize(
    ("revoked", "address", "asn", "covered"),
    [
        ("192.0.2.0/24", "192.0.2.7", 0, True),
        ("192.0.2.0/24", "::ffff:192.0.2.7", 0, True),
        ("192.0.2.7", "192.0.2.7", 0, True),
        ("192.0.2.0/24", "192.0.3.7", 64500, False),
        ("2001:db8::/32", "2001:db8:1::1", 0, True),
        ("AS64500", "192.0.2.7", 64500, True),
        ("AS64500", "", 64500, True),
        ("AS64500", "192.0.2.7", 0, False),
        ("no network", "192.0.2.7", 0, False),
    ],
)
def test_a_network_covers_its_addresses(revoked: str, address: str, asn: int, covered: bool) -> None:
    found = folded(revoke(), target=Target(TargetType.NETWORK, revoked))
    assert found.covers_network(address, asn, NOW) is covered
    assert found.has_networks is (revoked != "no network")


def test_one_network_written_in_two_ways_is_one() -> None:
    found = folded(revoke(1), target=Target(TargetType.NETWORK, "192.0.2.7/32"))
    assert found.apply(Target(TargetType.NETWORK, "192.0.2.7"), restore(2), NOW)
    assert not found.covers_network("192.0.2.7", 0, NOW)
    assert found.get(Target(TargetType.NETWORK, "::ffff:192.0.2.7")) == restore(2)
    assert found.get(Target(TargetType.NETWORK, "nonsense")) is None


def test_networks_expire_and_wait_like_all_else() -> None:
    target = Target(TargetType.NETWORK, "192.0.2.0/24")
    found = folded(revoke(effective=1500, expires=2000), target=target)
    assert [found.covers_network("192.0.2.7", 0, now) for now in (1499, 1500, 1999, 2000)] == [False, True, True, False]
    sweep(found, 2000)
    assert not found.has_networks


# Memory.


def sweep(found: RevocationSet, now: float) -> None:
    for _ in range(2048):
        found.advance(now)


def test_expired_records_make_room() -> None:
    found, largest = RevocationSet(), 0
    for number in range(100_000):
        found.apply(Target(TargetType.SESSION, f"s{number}"), revoke(expires=number + 100), number)
        if number % 4 == 0:
            found.apply(Target(TargetType.SESSION_VERSION, f"s{number}"), revoke(expires=number + 100), number)
        largest = max(largest, len(found))
    assert largest < 50_000  # what one round of the sweep takes
    sweep(found, 1e6)
    assert (len(found), len(found._plain), len(found._limited)) == (0, 0, 0)
    assert set(found.counts().values()) == {0}


def test_live_records_are_never_dropped() -> None:
    found = RevocationSet()
    sessions = [replace(SESSION, sid=f"s{number}") for number in range(20_000)]
    for session in sessions:
        found.apply(Target(TargetType.SESSION, session.sid), revoke(expires=3000), NOW)
    sweep(found, 2999)
    assert all(found.covers(subject_of(session, "news"), 2999) for session in sessions)


# Any order.

versions = Target(TargetType.SESSION_VERSION, "account-1")
blocks = Target(TargetType.NETWORK, "192.0.2.0/24")
record_times = st.sampled_from([0.0, 500.0, 1500.0, 2500.0])
records = st.builds(
    Standing,
    order=st.integers(0, 3),
    revoked=st.booleans(),
    effective_at=record_times,
    expires_at=st.sampled_from([900.0, 2000.0, 2000.5, 3000.0]),
    limit=st.integers(1, 4),
)
histories = st.lists(st.tuples(st.sampled_from([HIT, versions, blocks]), records), max_size=6)


def verdicts(found: RevocationSet, since: float = NOW) -> list[object]:
    times = [at for at in (1000.0, 1499.0, 1500.0, 1999.0, 2000.0, 2001.0, 2500.0, 2999.0, 3000.0) if at >= since]
    return [(at, found.covers(SUBJECT, at), found.covers_network("192.0.2.7", 0, at)) for at in times]


def standings(found: RevocationSet) -> list[object]:
    return [found.counts(), found.restored, *(found.get(target) for target in (HIT, versions, blocks))]


def fold(history: Iterable[tuple[Target, Standing]]) -> RevocationSet:
    found = RevocationSet()
    for target, record in history:
        found.apply(target, record, NOW)
    return found


@given(histories, st.data())
def test_any_order_of_delivery_and_duplicates_give_the_same_verdicts(
    history: list[tuple[Target, Standing]], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    shuffled = data.draw(st.permutations(history + again))
    assert verdicts(fold(shuffled)) == verdicts(fold(history))
    assert standings(fold(shuffled)) == standings(fold(history))


@given(histories, st.data())
def test_a_record_may_come_after_a_schedule_was_kept_or_not(
    history: list[tuple[Target, Standing]], data: st.DataObject
) -> None:
    """Two nodes, of which one hears a part of everything late: from then on they agree."""
    late = data.draw(st.sets(st.integers(0, 5)))
    prompt, tardy = fold(history), fold(item for at, item in enumerate(history) if at not in late)
    for found in (prompt, tardy):
        for now in (1600.0, 1800.0):
            found.advance(now)
    for at, (target, record) in enumerate(history):
        if at in late:
            tardy.apply(target, record, 1800.0)
    assert verdicts(prompt, 1800.0) == verdicts(tardy, 1800.0)


@given(histories, histories)
def test_a_dump_taken_meanwhile_and_what_came_since_make_the_same(
    before: list[tuple[Target, Standing]], since: list[tuple[Target, Standing]]
) -> None:
    living = fold(before)
    pieces, left = [], list(since)
    for piece in living.dump():
        pieces.append(piece)
        if left:
            living.apply(*left.pop(0), NOW)
    loaded = RevocationSet()
    for piece in pieces:
        loaded.load(piece)
    for target, record in since:
        loaded.apply(target, record, NOW)
        living.apply(target, record, NOW)
    assert verdicts(loaded) == verdicts(living)
    assert standings(loaded) == standings(living)


def test_an_empty_set_has_nothing_to_do() -> None:
    found = RevocationSet()
    assert (found.next_change, found.version, len(found)) == (inf, 0, 0)
    assert list(found.dump()) == []
    assert found.get(HIT) is None


@pytest.mark.parametrize(
    "piece", [b"", b"P", b"P\x00", b"X", b"S123", b"Nno network", b"N\xff", b"P\x00" + bytes(1025)]
)
def test_what_is_no_piece_is_refused(piece: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        RevocationSet().load(piece)


@pytest.mark.parametrize(
    ("newer", "narrower"),
    [
        (revoke(2), False),
        (revoke(2, expires=LONG + 1), False),
        (revoke(2, expires=NOW + 60), True),
        (revoke(2, effective=NOW + 60), True),
        (restore(2), False),
        (revoke(1, expires=NOW + 60), False),
    ],
    ids=str,
)
def test_a_newer_revocation_that_lets_go_of_something_is_noticed(newer: Standing, narrower: bool) -> None:
    """Whoever made it knew nothing of the one that stood: someone has to make it whole again."""
    found = folded(revoke(1), newer)
    assert found.take_narrowed() == ([(HIT, revoke(1))] if narrower else [])
    assert found.take_narrowed() == []
