"""The client against a node: typed answers, errors that say what is wrong, pages read to their end."""

import pytest

from relay.api.revocations import Item, NamedTarget
from relay.client import Client, ClientError, ProblemError, UnreachableError
from relay.gate.targets import TargetType
from relay.state.events import Action
from tests.control.desk import API_KEY, Desk


def session(name: str, reason: str = "") -> Item:
    return Item(type=TargetType.SESSION, value=name, reason=reason)


async def test_a_viewer_is_stopped_and_let_in_again(desk: Desk, relay: Client) -> None:
    viewer = desk.watch("s1", "viewer-1")
    done = await relay.revocations.revoke(account_id="viewer-1", reason="chargeback")
    assert (done.target, done.sessions_cut) == (NamedTarget(type=TargetType.ACCOUNT, value="viewer-1"), 1)
    assert (desk.refuses(viewer), desk.cut) == (True, ["s1"])
    record = await relay.revocations.get(done.id)
    assert (record.reason, record.actor, record.action) == ("chargeback", "api:anna", Action.REVOKE)
    undone = await relay.revocations.restore(done.id, "paid")
    assert (undone.complete, desk.refuses(viewer)) == (True, False)
    page = await relay.revocations.about(TargetType.ACCOUNT, "viewer-1")
    assert (page.revoked, [record.reason for record in page.revocations]) == (False, ["paid", "chargeback"])


async def test_many_orders_at_once(desk: Desk, relay: Client) -> None:
    viewers = [desk.watch(f"s{number}", f"a{number}") for number in range(3)]
    previewed = await relay.revocations.preview(session("s1"))
    assert (previewed.sessions, previewed.responses) == (1, 1)
    done = await relay.revocations.order([session("s0"), session("s2", reason="shared")], wait="all")
    assert (done.targets, done.complete, [node.state for node in done.nodes]) == (2, True, ["applied"])
    assert [desk.refuses(viewer) for viewer in viewers] == [True, False, True]


async def test_lists_are_read_to_their_end(relay: Client) -> None:
    await relay.revocations.order([session(f"s{number}") for number in range(5)])
    await relay.blocks.block("users", "a/b ü")
    read = [record.target.value async for record in relay.revocations.records(TargetType.SESSION, page_size=2)]
    assert read == ["s4", "s3", "s2", "s1", "s0"]
    assert len([record async for record in relay.revocations.records()]) == 6
    done = [entry.what async for entry in relay.audit.entries(page_size=1)]
    assert done == ["revocations.post", "blocks.post"]


async def test_blocks_come_and_go(desk: Desk, relay: Client) -> None:
    viewer = desk.watch("s1", "a/b ü")
    await relay.blocks.block("users", "a/b ü", reason="fraud", duration_s=60)
    found = await relay.blocks.get("users", "a/b ü")
    assert (found.id, found.blocked, found.reason, desk.refuses(viewer)) == ("a/b ü", True, "fraud", True)
    await relay.blocks.unblock("users", "a/b ü")
    assert not (await relay.blocks.get("users", "a/b ü")).blocked
    assert not desk.refuses(viewer)


async def test_how_the_node_is(relay: Client) -> None:
    assert (await relay.health()).status == "ok"
    ready = await relay.ready()
    assert (ready.status, ready.log_age_s) == ("ready", 0.0)
    await relay.revocations.revoke(device_id="d")
    status = await relay.status()
    assert (status.node, status.by_type[TargetType.DEVICE]) == ("node-a", 1)


async def test_errors_say_what_is_wrong_and_where(relay: Client) -> None:
    with pytest.raises(ProblemError) as missing:
        await relay.revocations.get("0000000000000000-1")
    assert (missing.value.status, missing.value.code, missing.value.number) == (404, "not_found", 2006)
    with pytest.raises(ProblemError, match="/1/value: required") as wrong:
        await relay.revocations.order([session("s"), session("")])
    assert [fault.pointer for fault in wrong.value.problem.errors] == ["/1/value"]
    assert not [record async for record in relay.revocations.records()]


async def test_a_wrong_key_is_told_and_not_printed(desk: Desk) -> None:
    async with Client(desk.url, "w" * 40) as relay:
        with pytest.raises(ProblemError) as refused:
            await relay.revocations.revoke(session_id="s")
    assert (refused.value.code, refused.value.number) == ("api_key", 2004)
    assert "www" not in str(refused.value)


@pytest.mark.parametrize(("key", "actor"), [("a\nb", ""), ("ü", ""), ("key", "anna\r\nX: y")])
async def test_what_no_header_can_hold_is_refused(key: str, actor: str) -> None:
    with pytest.raises(ClientError, match="printable"):
        Client("http://127.0.0.1:9", key, actor)


async def test_no_url() -> None:
    async with Client("127.0.0.1:8081", API_KEY) as relay:
        with pytest.raises(UnreachableError, match="no URL"):
            await relay.health()


async def test_nobody_there(desk: Desk) -> None:
    async with Client("http://127.0.0.1:9", API_KEY, patience_s=0.3) as relay:
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
            await relay.health()
