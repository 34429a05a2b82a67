"""What nodes keep of who was served what: durable, bounded, for a while, and told to whoever asks any of them."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import relay.watermark.serving.inquiries as inquiries_module
import relay.watermark.serving.servings as servings_module
from keys.seal import Sealer
from relay.errors import JournalError
from relay.gate.gate import Visitor
from relay.model import Session
from relay.watermark.code import number_of
from relay.watermark.serving.inquiries import Bus, Inquiries, Inquiry
from relay.watermark.serving.servings import IDLE_S, ServedRow, Servings
from tests.valkey import Valkey, valkey_server

NOW = 1_800_000_000.0
DAY_S = 86_400.0


class Time:
    """Seconds since the epoch, when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def visitor(sid: str, **fields: Any) -> Visitor:
    session = Session(sid, f"account-{sid}", "issuer", 2**40, device=f"device-{sid}", **fields)
    return Visitor.of(session, "film")


def watch(servings: Servings, time: Time, sid: str, *positions: int, asset: str = "asset", **fields: Any) -> Visitor:
    """Have a session served positions, two seconds apart."""
    who = visitor(sid, **fields)
    for position in positions:
        servings.viewing(who, asset).note(position, True, time.now)
        time.now += 2
    return who


async def told(servings: Servings, first: int = 0, last: int = 2**31, asset: str = "asset") -> list[ServedRow]:
    return [row async for rows in servings.candidates(asset, first, last) for row in rows]


async def test_candidates_are_those_who_got_any_of_the_positions(time: Time) -> None:
    servings = Servings(None, "node-a", time, DAY_S)
    watch(servings, time, "early", 1, 2, 3)
    watch(servings, time, "late", 50, 51, watermark="ffffffffffffffff")
    watch(servings, time, "elsewhere", 1, 2, asset="another")
    (row,) = await told(servings, 40, 60)
    assert (row.sid, row.account, row.device, row.stream, row.node) == (
        "late", "account-late", "device-late", "film", "node-a",
    )  # fmt: skip
    assert (row.watermark_id, row.number) == ("ffffffffffffffff", 2**64 - 1)
    assert [(one.first, one.last) for one in row.intervals] == [(50, 51)]
    everyone = await told(servings)
    assert [row.sid for row in everyone] == ["early", "late"]
    assert everyone[0].number == number_of(Session("early", "", "issuer", 0).watermark_id)
    assert await told(servings, 4, 49) == []
    await servings.close()


async def test_only_the_intervals_asked_for_are_told(time: Time) -> None:
    servings = Servings(None, "n", time, DAY_S)
    who = watch(servings, time, "s", 1, 2, 900, 901)
    servings.viewing(who, "asset").note(-2, False, time.now)
    (row,) = await told(servings, 900, 900)
    assert [(one.first, one.last, one.marked) for one in row.intervals] == [(900, 901, True), (-2, -2, False)]
    await servings.close()


async def test_a_restart_loses_nothing(tmp_path: Path, time: Time) -> None:
    path = tmp_path / "served.sqlite"
    servings = Servings(path, "n", time, DAY_S)
    watch(servings, time, "s", *range(10))
    await servings.close()
    servings = Servings(path, "n", time, DAY_S)
    watch(servings, time, "s", *range(10, 20))
    rows = await told(servings)
    assert [(row.sid, row.intervals[0].first, row.intervals[0].last) for row in rows] == [("s", 0, 9), ("s", 10, 19)]
    await servings.close()


async def test_who_is_idle_is_let_go_of_and_comes_back(time: Time) -> None:
    servings = Servings(None, "n", time, DAY_S)
    who = watch(servings, time, "s", 1, 2)
    time.now += IDLE_S + 1
    await servings.save()
    assert len(servings) == 0
    servings.viewing(who, "asset").note(3, True, time.now)
    assert len(servings) == 1
    assert [(row.intervals[0].first, row.intervals[0].last) for row in await told(servings)] == [(1, 2), (3, 3)]
    await servings.close()


async def test_too_many_at_once_are_put_down_all_the_same(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servings_module, "MAX_HELD", 10)
    servings = Servings(None, "n", time, DAY_S)
    for number in range(15):
        watch(servings, time, f"s{number}", number)
    assert len(servings) == 10
    assert len(await told(servings)) == 15
    await servings.close()


async def test_a_save_that_is_cut_off_is_made_again(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servings_module, "MAX_HELD", 2)
    path = tmp_path / "served.sqlite"
    servings = Servings(path, "n", time, DAY_S)
    for number in range(4):
        watch(servings, time, f"s{number}", number)
    begun, go_on = threading.Event(), threading.Event()

    def stuck(_: object) -> None:
        begun.set()
        go_on.wait(5)
        raise JournalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(servings, "_write", stuck)
        saving = asyncio.create_task(servings.save())
        await asyncio.to_thread(begun.wait, 5)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        go_on.set()
        with pytest.raises(JournalError):
            await servings.save()
    await servings.close()
    again = Servings(path, "n", time, DAY_S)
    assert sorted(row.sid for row in await told(again)) == ["s0", "s1", "s2", "s3"]
    await again.close()


async def test_retention_and_the_size_of_the_file(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    servings = Servings(None, "n", time, DAY_S)
    monkeypatch.setattr(servings, "_most", 20)
    for number in range(30):
        watch(servings, time, f"s{number}", number)
    await servings.save()
    servings.expire()
    assert [row.sid for row in await told(servings)] == [f"s{number}" for number in range(10, 30)]
    time.now += DAY_S
    watch(servings, time, "new", 5)
    await servings.save()
    servings.expire()
    assert [row.sid for row in await told(servings)] == ["new"]
    await servings.close()


async def test_pages_bound_what_is_held_at_a_time(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servings_module, "PAGE", 7)
    servings = Servings(None, "n", time, DAY_S)
    for number in range(40):
        watch(servings, time, f"s{number}", number)
    sizes = [len(rows) async for rows in servings.candidates("asset", 0, 99)]
    assert sum(sizes) == 40
    assert max(sizes) == 7
    await servings.close()


@pytest.fixture
async def valkey() -> AsyncIterator[Valkey]:
    with valkey_server() as server:
        yield server


def inquiring(servings: Servings, node: str, others: list[str], bus: Bus) -> Inquiries:
    return Inquiries(servings, node, lambda: list(others), bus, lambda count: node.encode().ljust(count, b"."))


async def collected(inquiry: Inquiry) -> list[ServedRow]:
    return [row async for rows in inquiry.pages() for row in rows]


async def test_any_node_tells_what_all_nodes_served(
    valkey: Valkey, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiries_module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(inquiries_module, "QUIET_S", 1.0)
    monkeypatch.setattr(inquiries_module, "MAX_UNREAD", 2)
    monkeypatch.setattr(servings_module, "PAGE", 3)
    sealer, stranger = Sealer([bytes(range(32))]), Sealer([bytes(32)])
    buses = [Bus(valkey.url, "", "ns", each) for each in (sealer, sealer, stranger)]
    names = ["a", "b", "c"]
    stores = [Servings(None, name, time, DAY_S) for name in names]
    for name, store in zip(names, stores, strict=True):
        for number in range(20):
            watch(store, time, f"{name}{number}", 7)
    nodes = [
        inquiring(store, name, [other for other in names if other != name], bus)
        for store, name, bus in zip(stores, names, buses, strict=True)
    ]
    answering = [asyncio.create_task(node.keep_answering()) for node in nodes]
    await asyncio.sleep(0.2)
    inquiry = nodes[0].ask("asset", 0, 10)
    found = await collected(inquiry)
    # A node with other secrets neither reads what is asked nor is believed; it is told to be missing.
    assert sorted(row.sid for row in found) == sorted(f"{name}{number}" for name in "ab" for number in range(20))
    assert inquiry.missing == ["c"]
    for task in answering:
        task.cancel()
    await asyncio.gather(*answering, return_exceptions=True)
    for bus, store in zip(buses, stores, strict=True):
        await bus.close()
        await store.close()


async def test_without_the_others_a_node_tells_its_own(time: Time) -> None:
    bus = Bus("redis://127.0.0.1:9/0", "", "ns", Sealer([bytes(range(32))]))
    servings = Servings(None, "a", time, DAY_S)
    watch(servings, time, "s", 1)
    inquiry = inquiring(servings, "a", ["b"], bus).ask("asset", 0, 10)
    assert [row.sid for row in await collected(inquiry)] == ["s"]
    assert inquiry.missing == ["b"]
    await bus.close()
    await servings.close()
