"""Recent changes: never misses one that is within memory, and says so of those that are not."""

from hypothesis import given
from hypothesis import strategies as st

from relay.gate.recent import LIMIT, RecentChanges

digests = st.integers(0, 5).map(lambda number: bytes([number]) * 16)


@given(st.lists(digests, max_size=30), st.integers(0, 30), st.lists(digests, max_size=3))
def test_a_change_since_is_never_missed(changes: list[bytes], since: int, asked: list[bytes]) -> None:
    recent = RecentChanges()
    for version, digest in enumerate(changes, 1):
        recent.add(digest, version)
    if set(changes[since:]) & set(asked):
        assert recent.touch(asked, since)
    if not set(changes) & set(asked):
        assert not recent.touch(asked, since)


def test_what_lies_too_far_back_may_have_changed() -> None:
    recent = RecentChanges()
    for version in range(1, 3 * LIMIT):
        recent.add(version.to_bytes(16, "big"), version)
    never = [b"n" * 16]
    assert recent.touch(never, 0)
    assert recent.touch(never, LIMIT - 1)
    assert not recent.touch(never, 2 * LIMIT)
    for version in range(2 * LIMIT, 3 * LIMIT):
        assert recent.touch([version.to_bytes(16, "big")], version - 1)


def test_after_forgetting_only_what_came_later_is_known() -> None:
    recent = RecentChanges()
    recent.add(b"a" * 16, 1)
    recent.forget(2)
    assert recent.touch([b"n" * 16], 1)
    assert not recent.touch([b"a" * 16], 2)
