"""Purchases on two nodes over a real Valkey: what one has answered holds on both, whatever they hear of each other."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.purchases.till import ANSWER_S
from relay.verdict import Reason
from tests.control.desk import Desk, open_desk
from tests.control.test_purchases import (
    ENTITLEMENTS,
    EVENT,
    PATH,
    REFUND,
    SETTINGS,
    shown,
    tell,
    verdict,
    without_reports,
)
from tests.proxy import FaultyProxy, Mode, faulty_proxy
from tests.state.cluster import until
from tests.valkey import valkey_server

Desks = tuple[Desk, Desk, FaultyProxy]


@pytest.fixture
async def desks() -> AsyncIterator[Desks]:
    """Two desks; all that the second hears of the log comes through a proxy that may fail."""
    with valkey_server() as server, faulty_proxy(server.address) as proxy:
        async with (
            open_desk(log=server.url, settings=SETTINGS) as one,
            open_desk(name="node-b", log=proxy.url, settings=SETTINGS) as two,
        ):
            await until(lambda: all(knows_the_other(desk) for desk in (one, two)))
            yield one, two, proxy


def knows_the_other(desk: Desk) -> bool:
    return len(desk.node.replica.members()) == 1 and desk.node.replica.is_sure()


async def test_what_one_node_answered_all_know(desks: Desks) -> None:
    one, two, _ = desks
    assert verdict(two) is Reason.NOT_ENTITLED
    for number, (here, there) in enumerate([(one, two), (two, one)] * 5):
        sold = await tell(here, id=f"event-{number}", account_id=f"account-{number}")
        # Not a moment later, and with nothing in between.
        assert verdict(there, account=f"account-{number}") is shown(there, sold["licence"]) is None
        assert (sold["complete"], [node["state"] for node in sold["nodes"]]) == (True, ["applied", "applied"])
        assert await there.get(f"{ENTITLEMENTS}/{sold['id']}") == sold["entitlement"]


async def test_the_same_event_at_both_at_once_gets_one_answer(desks: Desks) -> None:
    for number in range(10):
        event = {**EVENT, "id": f"event-{number}", "valid_for_seconds": 1000}
        answers = await asyncio.gather(*(desk.call("POST", PATH, event) for desk in [*desks[:2]] * 5))
        assert [status for status, _, _ in answers] == [201] * 10
        first, *others = (without_reports(body) for _, body, _ in answers)
        assert others == [first] * 9


async def test_two_events_of_one_name_at_once_are_one_and_a_conflict(desks: Desks) -> None:
    one, two, _ = desks
    for number in range(10):
        event = {**EVENT, "id": f"event-{number}"}
        answers = await asyncio.gather(
            one.call("POST", PATH, {**event, "account_id": "a"}), two.call("POST", PATH, {**event, "account_id": "b"})
        )
        assert sorted(status for status, _, _ in answers) == [201, 409]


async def test_purchase_and_refund_at_once_come_to_a_refund_everywhere(desks: Desks) -> None:
    one, two, _ = desks
    sold, _ = await asyncio.gather(tell(one), tell(two, **REFUND))
    for desk in (one, two):
        assert verdict(desk) is Reason.NOT_ENTITLED
        if sold["licence"]:
            assert shown(desk, sold["licence"]) is Reason.NOT_ENTITLED


async def test_a_refund_cuts_at_the_other_node(desks: Desks) -> None:
    one, two, _ = desks
    await tell(one)
    two.watch(stream="film")
    refund = await tell(one, **REFUND)
    assert (two.cut, refund["nodes"][1]["responses_cut"]) == (["session-1"], 1)


async def test_a_node_cut_off_serves_the_licence_and_turns_nobody_away_for_good(desks: Desks) -> None:
    one, two, proxy = desks
    proxy.mode = Mode.BLACKHOLE
    sold = await tell(one)
    assert (sold["complete"], sold["nodes"][1]["state"]) == (False, "pending")
    assert shown(two, sold["licence"]) is None
    assert verdict(two) is Reason.STATE_STALE
    proxy.mode = Mode.PASS
    # Nor on the way back.
    while (found := verdict(two)) is not None:
        assert found is Reason.STATE_STALE
        await asyncio.sleep(0.005)
    # Whoever asks again hears that it is everywhere now.
    status, again, _ = await one.call("POST", PATH, EVENT)
    assert (status, again["complete"]) == (201, True)
    assert again["licence"] == sold["licence"]


async def test_so_it_is_where_the_node_that_sold_is_the_one_cut_off(desks: Desks) -> None:
    one, two, proxy = desks
    proxy.mode = Mode.BLACKHOLE
    began = time.monotonic()
    sold = await tell(two)
    assert time.monotonic() - began < ANSWER_S + 2
    assert sold["complete"] is False
    assert verdict(two) is shown(one, sold["licence"]) is None
    assert verdict(one) is Reason.STATE_STALE
    proxy.mode = Mode.PASS
    while (found := verdict(one)) is not None:
        assert found is Reason.STATE_STALE
        await asyncio.sleep(0.005)


async def test_a_node_that_knows_nothing_yet_takes_nothing() -> None:
    with valkey_server() as server, faulty_proxy(server.address) as proxy:
        proxy.mode = Mode.BLACKHOLE
        async with open_desk(log=proxy.url, settings=SETTINGS) as desk:
            status, body, _ = await desk.call("POST", PATH, EVENT)
            assert (status, body["code"]) == (503, "state_stale")
            assert verdict(desk) is Reason.STATE_STALE


async def test_what_was_answered_is_there_after_a_restart(tmp_path: Any) -> None:
    async with open_desk(tmp_path, settings=SETTINGS) as desk:
        sold = await tell(desk)
        await tell(desk, id="event-3", account_id="account-3")
        await tell(desk, **{**REFUND, "purchase_id": "event-3", "account_id": "account-3"})
    async with open_desk(tmp_path, settings=SETTINGS) as desk:
        assert verdict(desk) is shown(desk, sold["licence"]) is None
        assert verdict(desk, account="account-3") is Reason.NOT_ENTITLED
        status, again, headers = await desk.call("POST", PATH, EVENT)
        assert (status, headers["Idempotency-Replayed"], again["licence"]) == (201, "true", sold["licence"])
