"""Sessions, licences, purchases and webhooks over the client."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import structs

from keys.model import TrackType
from relay.api.purchases import EntitlementState, PurchaseBody
from relay.api.sessions import RenewBody, SessionBody
from relay.client import Client, ProblemError
from relay.gate.gate import Visitor
from relay.licensing.estimate import Usage
from relay.model import Session
from relay.purchases.records import EventType
from relay.sessions.records import Refused
from relay.verdict import Reason
from relay.webhooks.hook import Endpoint
from tests.control.desk import API_KEY, ISSUER, Desk, open_desk


def refused(desk: Desk, url: str, stream: str) -> Reason | None:
    """Why the gate refuses who shows the pass of a URL; None if it does not."""
    sealed = url.partition("/p/")[2].partition("/")[0]
    found = desk.node.gate.visit(sealed, stream, desk.facts, desk.node.clock())
    return None if isinstance(found, Visitor) else found.reason


async def test_a_session_is_issued_renewed_and_ended(desk: Desk, relay: Client) -> None:
    begun = await relay.sessions.issue(
        SessionBody(account_id="a1", stream_ids=["vod"], device_id="tv", expires_in=600, max_track=TrackType.SD)
    )
    (links,) = begun.streams
    assert (links.stream_id, links.max_track, begun.expires_at - time.time() <= 600) == ("vod", TrackType.SD, True)
    assert isinstance(links.hls_url, str)
    assert refused(desk, links.hls_url, "vod") is None
    renewed = await relay.sessions.renew(begun.session_id, RenewBody(expires_in=3600))
    assert renewed.expires_at > begun.expires_at + 2900
    assert (await relay.sessions.renew(begun.session_id)).expires_at > renewed.expires_at
    done = await relay.sessions.end(begun.session_id, "complaint")
    assert (await relay.revocations.get(done.id)).detail == "complaint"
    assert refused(desk, links.hls_url, "vod") is Reason.REVOKED
    with pytest.raises(ProblemError) as late:
        await relay.sessions.renew(begun.session_id)
    assert (late.value.status, late.value.code) == (403, "revoked")


async def test_sessions_that_are_live_are_listed(desk: Desk, relay: Client) -> None:
    for number in range(5):
        session = Session(f"s{number}", f"a{number % 2}", ISSUER, int(time.time()) + 600)
        desk.node.presence.seen(Visitor.of(session, "vod"), desk.node.clock(), "192.0.2.7")
    assert [one.session_id async for one in relay.sessions.live(page_size=2)] == ["s0", "s1", "s2", "s3", "s4"]
    assert [one.session_id async for one in relay.sessions.live(account_id="a1")] == ["s1", "s3"]
    assert [one.session_id async for one in relay.sessions.live(stream_id="film")] == []
    one = await relay.sessions.get("s3")
    assert (one.account_id, one.stream_id, one.network) == ("a1", "vod", "192.0.2.0/24")


async def test_what_became_of_a_licence(desk: Desk, relay: Client) -> None:
    with pytest.raises(ProblemError, match="not_found"):
        await relay.licences.status("nobody")
    begun = await relay.sessions.issue(SessionBody(account_id="a1", stream_ids=["vod"], watermark_id="w"))
    session = Session(begun.session_id, "a1", ISSUER, begun.expires_at, watermark="w")
    desk.node.records.note(
        Refused(session=session, at=time.time(), node="node-a", stream="vod", reason=Reason.SECURITY_LEVEL)
    )
    told = await relay.licences.status(begun.session_id)
    assert (told.state, told.watermark_id, told.revoked) == ("none", "w", False)
    assert told.last_denial
    assert told.last_denial.reason is Reason.SECURITY_LEVEL
    await relay.revocations.revoke(account_id="a1", reason="fraud")
    told = await relay.licences.status(begun.session_id)
    assert told.revoked_by
    assert (told.state, told.revoked_by.reason) == ("revoked", "fraud")


async def test_licences_are_estimated(relay: Client) -> None:
    told = await relay.licences.estimate(Usage(viewers=1000, duration_s=3600, renewal_interval_s=600))
    assert (told.licences.first, told.licences.renewals, told.licences.total) == (1000, 5000, 6000)


async def test_a_purchase_is_told_looked_up_and_taken_back(desk: Desk, relay: Client) -> None:
    event = PurchaseBody(id="order-1", type=EventType.PURCHASE, account_id="a1", product_id="season")
    sold = await relay.purchases.tell(event)
    assert sold.entitlement
    assert sold.licence
    assert (sold.complete, sold.entitlement.state, sold.entitlement.streams) == (
        True,
        EntitlementState.ACTIVE,
        ("film",),
    )
    hls = sold.licence.playback[0].hls or ""
    assert refused(desk, hls, "film") is None
    assert (await relay.purchases.tell(event)).licence == sold.licence
    with pytest.raises(ProblemError, match="conflict"):
        await relay.purchases.tell(structs.replace(event, account_id="a2"))
    found = [one async for one in relay.entitlements.of("a1", page_size=1)]
    assert found == [await relay.entitlements.get(sold.entitlement.id)] == [sold.entitlement]
    withdrawn = await relay.entitlements.withdraw(sold.entitlement.id)
    assert (withdrawn.complete, withdrawn.entitlement.state) == (True, EntitlementState.RETURNED)
    assert refused(desk, hls, "film") is Reason.NOT_ENTITLED


@pytest.fixture
async def hooked() -> AsyncIterator[tuple[Client, list[bytes]]]:
    """A client of a node with a webhook, and what that was sent."""
    came: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        came.append(await request.read())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", take)
    async with TestServer(app) as server:
        endpoint = Endpoint("crm", str(server.make_url("/hook")), (bytes(32),))
        async with open_desk(endpoints=[endpoint]) as desk, Client(desk.url, API_KEY, patience_s=5) as relay:
            yield relay, came


async def test_webhooks_are_shown_and_tried(hooked: tuple[Client, list[bytes]]) -> None:
    relay, came = hooked

    # It begins to follow the journal a moment after the node is there.
    async with asyncio.timeout(8):
        while not (states := await relay.webhooks.all()):  # noqa: ASYNC110 -- another process would ask like this, too
            await asyncio.sleep(0.01)
    (state,) = states
    assert (state.name, state.state, state.last_success) == ("crm", "active", None)
    told = await relay.webhooks.test("crm")
    assert (told.delivered, told.status, told.id.encode() in came[-1]) == (True, 204, True)
    with pytest.raises(ProblemError, match="not_found"):
        await relay.webhooks.test("other")
