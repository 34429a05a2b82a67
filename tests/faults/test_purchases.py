"""Whoever has bought plays at every node from the answer on, whatever fails; whoever is refunded, at none."""

import asyncio
import time
from itertools import count
from typing import Any

import aiohttp

from tests.faults.site import BOUND_S, REPAIRED_S, Site
from tests.faults.viewer import Viewer
from tests.proxy import Mode

A, B, C = range(3)
_numbers = count(1)


async def tell(site: Site, at: int, **event: Any) -> tuple[Any, float]:
    """What a node answers to an event, and when."""
    node = site.nodes[at]
    headers = {"Authorization": f"Bearer {node.api_key}"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{node.control}/api/v1/purchases", json=event, headers=headers) as answer,
    ):
        assert answer.status == 201, await answer.text()
        return await answer.json(), time.monotonic()


async def buy(site: Site, at: int) -> tuple[Any, str]:
    """Buy stream "sold" at a node: the answer, and the account."""
    account = f"buyer-{next(_numbers)}"
    sold, _ = await tell(site, at, id=account, type="purchase", account_id=account, stream_id="sold")
    return sold, account


async def refund(site: Site, at: int, account: str) -> tuple[Any, float]:
    event = {"id": f"refund-{account}", "type": "refund", "account_id": account, "purchase_id": account}
    return await tell(site, at, **event)


async def entries(site: Site, account: str, *nodes: int) -> list[tuple[int, str]]:
    """What nodes answer to a token of an account: status and reason."""
    found = []
    async with aiohttp.ClientSession() as client:
        for node in (site.nodes[at] for at in nodes):
            url = f"{node.edge}/watch/sold/index.m3u8?token={node.token(sub=account, sid=account)}"
            async with client.get(url, allow_redirects=False) as answer:
                found.append((answer.status, answer.headers.get("Relay-Reason", "")))
    return found


async def with_licence(site: Site, sold: Any, at: int = A) -> Viewer:
    """A viewer who has nothing but the licence of a purchase."""
    entry = site.nodes[at].edge + sold["licence"]["playback"][0]["hls"]
    return await Viewer.begin(site.nodes, sold["licence"]["session_id"], entry)


SERVED = (302, "")


async def test_bought_at_one_node_it_plays_at_all(site: Site) -> None:
    for at in (A, B, C) * 3:
        sold, account = await buy(site, at)
        assert sold["complete"]
        assert await entries(site, account, A, B, C) == [SERVED] * 3
    async with (await with_licence(site, sold)).taking():
        pass


async def test_a_refund_ends_it_at_all_in_the_middle_of_a_segment(site: Site) -> None:
    sold, account = await buy(site, A)
    viewer = await with_licence(site, sold)
    async with viewer.taking():
        back, at = await refund(site, B, account)
        assert back["complete"]
        await viewer.wait_refused(BOUND_S + 1, "not_entitled")
        viewer.got_nothing_after(at + BOUND_S)
    assert await entries(site, account, A, B, C) == [(403, "not_entitled")] * 3


async def test_at_a_node_that_was_cut_off_the_licence_plays_and_nobody_is_turned_away(site: Site) -> None:
    site.proxies[C].mode = Mode.BLACKHOLE
    sold, account = await buy(site, A)
    assert not sold["complete"]
    (answer,) = await entries(site, account, C)
    assert answer == (503, "state_stale")
    assert await entries(site, account, A, B) == [SERVED] * 2
    async with (await with_licence(site, sold)).taking():
        pass
    site.proxies[C].mode = Mode.PASS
    until = time.monotonic() + REPAIRED_S + 5
    while (answer := (await entries(site, account, C))[0]) != SERVED:
        assert answer == (503, "state_stale")
        assert time.monotonic() < until


async def test_killed_right_after_the_answer(site: Site) -> None:
    """Told to a node that nobody could reach and that then died, it is in that node's journal."""
    site.proxies[C].mode = Mode.BLACKHOLE
    sold, account = await buy(site, C)
    await site.kill(C)
    assert not sold["complete"]
    assert await entries(site, account, A, B) == [(503, "state_stale")] * 2
    viewer = await with_licence(site, sold)
    assert await viewer.verdicts(A, B) == ["served", "served"]
    site.proxies[C].mode = Mode.PASS
    await site.start_again(C)
    await site.ready(C)
    until = time.monotonic() + 2 * REPAIRED_S
    while (answers := await entries(site, account, A, B, C)) != [SERVED] * 3:
        assert {status for status, _ in answers} <= {302, 503}
        assert time.monotonic() < until
    async with viewer.taking():
        await refund(site, A, account)
        await viewer.wait_refused(BOUND_S + 1, "not_entitled")


async def test_the_same_event_everywhere_at_once_is_one_purchase(site: Site) -> None:
    account = f"buyer-{next(_numbers)}"
    event = {"id": account, "type": "purchase", "account_id": account, "stream_id": "sold", "valid_for_seconds": 600}
    answers = [sold for sold, _ in await asyncio.gather(*(tell(site, at % 3, **event) for at in range(20)))]
    assert len({(sold["id"], str(sold["entitlement"]), str(sold["licence"])) for sold in answers}) == 1
    assert await entries(site, account, A, B, C) == [SERVED] * 3
