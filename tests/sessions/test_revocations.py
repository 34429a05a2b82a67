"""What is in force must be written and told, whatever went wrong behind it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.errors import RequestError
from relay.gate.targets import Target, TargetType
from relay.model import Cut
from relay.sessions.revocations import Order
from relay.state.events import Event
from relay.state.replica import SLICE
from tests.control.desk import open_desk


def orders(count: int) -> list[Order]:
    return [Order(Target(TargetType.SESSION, f"s{number}")) for number in range(count)]


async def test_a_bug_in_the_middle_of_a_batch_leaves_nothing_unwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path) as desk:
        replica, apply, published = desk.node.replica, desk.node.replica.apply, list[Event]()

        def once(events: Sequence[Event]) -> Cut:
            monkeypatch.setattr(replica, "apply", broken)
            return apply(events)

        def broken(_: Sequence[Event]) -> Cut:
            raise RuntimeError("a bug")

        async def publish(events: Sequence[Event], ask: bool = False) -> None:
            assert not ask
            published.extend(events)

        monkeypatch.setattr(replica, "apply", once)
        monkeypatch.setattr(replica, "publish", publish)
        with pytest.raises(RuntimeError):
            await desk.node.revocations.submit(orders(SLICE + 1), "me")
        stored = [row.event for row in desk.node.journal.after(0, 100)]
        assert len(stored) == SLICE
        assert stored == published


async def test_an_order_that_cannot_be_kept_leaves_those_before_it_written(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        bad = Order(Target(TargetType.SESSION, "x" * 10_000))
        with pytest.raises(RequestError):
            await desk.node.revocations.submit([*orders(SLICE), bad], "me")
        assert len(desk.node.journal.after(0, 100)) == SLICE
