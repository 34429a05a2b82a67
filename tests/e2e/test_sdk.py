"""The player SDK in a real browser with a real CDM, against a relay that follows a script."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser import open_page, until
from tests.e2e.scripted_relay import BASE, HANG_UP, ScriptedRelay, scripted_relay

ATTACH = """async ({ base }) => {
  const sdk = await import('/segmentgate.js');
  const video = document.querySelector('video');
  const access = await navigator.requestMediaKeySystemAccess('org.w3.clearkey', [
    { initDataTypes: ['keyids'], videoCapabilities: [{ contentType: 'video/mp4; codecs="avc1.42E01E"' }] }]);
  const mediaKeys = await access.createMediaKeys();
  const told = (window.told = { order: [], handed: [], dropped: [], sessions: [], end: null, refused: null });
  const create = mediaKeys.createSession.bind(mediaKeys);
  mediaKeys.createSession = (...rest) => {
    const session = create(...rest);
    session.closed.then(() => told.order.push('session closed'));
    told.sessions.push(session);
    return session;
  };
  await video.setMediaKeys(mediaKeys);
  video.addEventListener('emptied', () => told.order.push('emptied'));
  const pause = video.pause.bind(video);
  video.pause = () => { told.order.push('pause'); pause(); };
  window.guard = sdk.attach({
    video, base, kind: 'shaka',
    player: { unload: async () => told.order.push('unload') },
    onkeys: ({ kids, dropped }) => { told.handed.push(...kids); told.dropped.push(...dropped); },
    onrevoked: (end) => { told.order.push('revoked'); told.end = end; },
    onrefused: (error) => (told.refused = error.reason),
  });
}"""


@pytest.fixture
def relay() -> Iterator[ScriptedRelay]:
    with scripted_relay() as relay:
        yield relay


@pytest.fixture
def page(browser: Browser, relay: ScriptedRelay) -> Iterator[Page]:
    with open_page(browser) as page:
        page.goto(relay.url)
        yield page


def kid(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes(16, "big")).decode().rstrip("=")


def push(*numbers: int, due_in_s: float = 60, starts_in_s: float = 0) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {
        "keys": [{"kty": "oct", "kid": kid(number), "k": kid(number + 1000)} for number in numbers],
        "type": "temporary",
        "period": now + int(starts_in_s * 1000),
        "next_at": now + int(due_in_s * 1000),
        "stream_now": now,
    }


def attach(page: Page, relay: ScriptedRelay) -> None:
    page.evaluate(ATTACH, {"base": relay.url + BASE})


def told(page: Page, what: str) -> Any:
    return page.evaluate(f"window.told.{what}")


def wait(page: Page, condition: str) -> None:
    until(page, condition, 8)


def test_pushed_keys_are_in_the_cdm(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", push(1, 2)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 2")
    relay.events.put(("keys", push(2, 3)))
    wait(page, "window.told.handed.length === 3")
    assert told(page, "handed") == [kid(1), kid(2), kid(3)]
    assert page.evaluate("window.guard.kids") == [kid(1), kid(2), kid(3)]
    statuses = page.evaluate("window.told.sessions.map((s) => [...s.keyStatuses.values()])")
    assert statuses == [["usable", "usable"], ["usable"]]
    assert relay.count("keys") == 0


def test_a_push_that_does_not_come_is_fetched(page: Page, relay: ScriptedRelay) -> None:
    relay.keys = push(2)
    relay.events.put(("keys", push(1, due_in_s=1.5)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 2")
    assert relay.count("keys") == 1


def test_without_a_channel_the_keys_are_fetched(page: Page, relay: ScriptedRelay) -> None:
    relay.keys = push(1)
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")


def test_a_lost_channel_is_opened_again(page: Page, relay: ScriptedRelay) -> None:
    relay.keys = push(1)
    relay.events.put(("keys", push(1)))
    relay.events.put(HANG_UP)
    relay.events.put(("keys", push(1)))
    relay.events.put(("keys", push(2)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 2")
    assert told(page, "handed") == [kid(1), kid(2)], "a key is handed over once"
    assert relay.count("events") == 2


def test_old_keys_leave_the_cdm(page: Page, relay: ScriptedRelay) -> None:
    page.clock.install()
    attach(page, relay)
    relay.events.put(("keys", push(1)))
    wait(page, "window.told.handed.length === 1")
    relay.events.put(("keys", push(2, starts_in_s=5)))
    wait(page, "window.told.handed.length === 2")
    page.clock.fast_forward(34_000)
    relay.events.put(("keys", push(3, starts_in_s=5)))
    wait(page, "window.told.handed.length === 3")
    assert told(page, "dropped") == []
    page.clock.fast_forward(10_000)
    relay.events.put(("keys", push(4, starts_in_s=5)))
    wait(page, "window.told.handed.length === 4")
    assert told(page, "dropped") == [kid(1)]
    assert page.evaluate("window.guard.kids") == [kid(2), kid(3), kid(4)]


def test_revocation_stops_closes_and_unloads_in_this_order(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", push(1)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    relay.events.put(("revoked", {"reason": "revoked"}))
    relay.events.put(HANG_UP)
    wait(page, "window.told.end !== null")
    order = told(page, "order")
    assert (order[0], order[-1]) == ("pause", "revoked")
    assert set(order[1:-1]) >= {"session closed", "unload"}
    assert told(page, "end") == {"reason": "revoked"}
    asked = len(relay.asked)
    page.wait_for_timeout(2500)
    assert len(relay.asked) == asked, "a revoked client must be quiet"


def test_a_revocation_missed_while_the_channel_was_down_is_obeyed(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", push(1)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    relay.refusal = (403, "revoked")
    relay.events.put(HANG_UP)
    wait(page, "window.told.end !== null")
    assert told(page, "order")[0] == "pause"


def test_another_refusal_ends_the_channel_and_leaves_the_picture(page: Page, relay: ScriptedRelay) -> None:
    relay.refusal = (401, "token_expired")
    attach(page, relay)
    wait(page, "window.told.refused !== null")
    assert told(page, "refused") == "token_expired"
    assert told(page, "order") == []


def test_an_entry_url_becomes_a_session(page: Page, relay: ScriptedRelay) -> None:
    entry = f"{relay.url}/watch/demo/index.m3u8?token=t"
    opened = page.evaluate("(url) => import('/segmentgate.js').then((sdk) => sdk.openSession(url))", entry)
    assert opened == {"manifestUrl": f"{relay.url}{BASE}index.m3u8", "base": relay.url + BASE}


def test_a_refused_entry_says_why(page: Page, relay: ScriptedRelay) -> None:
    relay.refusal = (403, "revoked")
    refused = page.evaluate(
        "(url) => import('/segmentgate.js').then((sdk) => sdk.openSession(url)).catch((e) => [e.name, e.reason])",
        f"{relay.url}/watch/demo/index.m3u8",
    )
    assert refused == ["RefusedError", "revoked"]
