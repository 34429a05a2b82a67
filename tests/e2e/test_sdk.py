"""The player SDK in a real browser with a real CDM, against a relay that follows a script."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from keys import base64url
from keys.channel import seal_next_keys
from tests.e2e.browser import open_page, until
from tests.e2e.scripted_relay import BASE, HANG_UP, ScriptedRelay, key_push, kid, scripted_relay

ATTACH = """async ({ base }) => {
  const sdk = await import('/segmentgate.js');
  const video = document.querySelector('video');
  const access = await navigator.requestMediaKeySystemAccess('org.w3.clearkey', [
    { initDataTypes: ['keyids'], videoCapabilities: [{ contentType: 'video/mp4; codecs="avc1.42E01E"' }] }]);
  const mediaKeys = await access.createMediaKeys();
  const told = (window.told = { order: [], handed: [], dropped: [], sessions: [], end: null, refused: null,
    policies: [], capped: [], errors: [], filters: new Set() });
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
    player: {
      unload: async () => told.order.push('unload'),
      configure: (...settings) => told.capped.push(settings),
      getNetworkingEngine: () => ({
        registerResponseFilter: (filter) => told.filters.add(filter),
        unregisterResponseFilter: (filter) => told.filters.delete(filter),
      }),
    },
    onpolicy: (policy) => told.policies.push(policy),
    onerror: (error) => told.errors.push(error.name),
    onkeys: ({ kids, dropped }) => { told.handed.push(...kids); told.dropped.push(...dropped); },
    onrevoked: (end) => { told.order.push('revoked'); told.end = end; },
    onrefused: (error) => { told.order.push('refused'); told.refused = error.reason; },
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


def attach(page: Page, relay: ScriptedRelay) -> None:
    page.evaluate(ATTACH, {"base": relay.url + BASE})


def told(page: Page, what: str) -> Any:
    return page.evaluate(f"window.told.{what}")


def wait(page: Page, condition: str) -> None:
    until(page, condition, 8)


def pass_time(page: Page, seconds: int) -> None:
    """Let time pass for the page's timers, and leave what they asked for a moment to arrive."""
    page.clock.run_for(seconds * 1000)
    page.wait_for_timeout(100)


def test_pushed_keys_are_in_the_cdm(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", key_push(1, 2)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 2")
    # A channel tells only what is new, but a new channel tells all that is in force.
    relay.events.put(("keys", key_push(2, 3)))
    relay.events.put(("keys", key_push(4)))
    wait(page, "window.told.handed.length === 4")
    assert told(page, "handed") == [kid(1), kid(2), kid(3), kid(4)]
    assert page.evaluate("window.guard.kids") == [kid(1), kid(2), kid(3), kid(4)]
    statuses = page.evaluate("window.told.sessions.map((s) => [...s.keyStatuses.values()])")
    assert statuses == [["usable", "usable"], ["usable"], ["usable"]]
    assert relay.count("keys") == 0


def test_a_push_that_does_not_come_is_fetched(page: Page, relay: ScriptedRelay) -> None:
    relay.keys = key_push(2)
    relay.events.put(("keys", key_push(1, due_in_s=1.5)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 2")
    assert relay.count("keys") == 1


def test_without_a_channel_the_keys_are_fetched(page: Page, relay: ScriptedRelay) -> None:
    relay.keys = key_push(1)
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")


def test_a_lost_channel_is_opened_again(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", key_push(1, period_s=100)))
    relay.events.put(HANG_UP)
    relay.events.put(("keys", key_push(1, period_s=100)))
    relay.events.put(("keys", key_push(2, period_s=110)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 2")
    assert told(page, "handed") == [kid(1), kid(2)], "a key is handed over once"
    asked = [query for path, query in zip(relay.asked, relay.queries, strict=True) if path == BASE + "events"]
    assert asked == ["", "last_event_id=after+100000"], "it says where it left off"
    assert relay.count("keys") == 0


@pytest.mark.parametrize("clock", ["2001-01-01", "2040-01-01"])
def test_a_wrong_clock_asks_for_nothing(page: Page, relay: ScriptedRelay, clock: str) -> None:
    page.clock.install(time=clock)
    relay.events.put(("keys", key_push(1)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    pass_time(page, 50)
    assert relay.count("keys") == 0
    pass_time(page, 20)
    assert relay.count("keys") >= 1, "the push is overdue"


@pytest.mark.parametrize("flaw", ["next_at", "now"])
def test_due_times_that_make_no_sense_do_not_make_it_poll(page: Page, relay: ScriptedRelay, flaw: str) -> None:
    page.clock.install()
    relay.keys = key_push(1, due_in_s=-100)
    if flaw == "now":
        del relay.keys["now"]
    relay.events.put(("keys", relay.keys))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    for _ in range(12):
        pass_time(page, 10)
    # After 2, 4, 8 and 16 seconds, then every 30.
    assert 4 <= relay.count("keys") <= 7


@pytest.mark.parametrize("due_in_s", [None, 40 * 86400])
def test_nothing_is_asked_before_a_key_is_due(page: Page, relay: ScriptedRelay, due_in_s: float | None) -> None:
    page.clock.install()
    relay.events.put(("keys", key_push(1, due_in_s=due_in_s)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    pass_time(page, 60)
    assert relay.count("keys") == 0


def test_a_channel_that_keeps_breaking_is_opened_ever_more_slowly(page: Page, relay: ScriptedRelay) -> None:
    page.clock.install()
    relay.keys = key_push(1)
    for _ in range(50):
        relay.events.put(("keys", key_push(1)))
        relay.events.put(HANG_UP)
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    for _ in range(30):
        pass_time(page, 1)
    assert 3 <= relay.count("events") <= 8


def test_old_keys_leave_the_cdm(page: Page, relay: ScriptedRelay) -> None:
    """Without a seekable range, 30 s after the next period began; the channel never repeats a key."""
    attach(page, relay)
    for number, period_s, edge_s in [(1, 100, 100), (2, 110, 106), (3, 120, 116), (4, 140, 139)]:
        relay.events.put(("keys", key_push(number, period_s=period_s, edge_s=edge_s)))
        wait(page, f"window.told.handed.length === {number}")
    assert told(page, "dropped") == []
    relay.events.put(("keys", key_push(5, period_s=150, edge_s=146)))
    wait(page, "window.told.handed.length === 5")
    assert told(page, "dropped") == [kid(1)]
    assert page.evaluate("window.guard.kids") == [kid(2), kid(3), kid(4), kid(5)]


def test_a_new_channel_does_not_age_the_current_key(page: Page, relay: ScriptedRelay) -> None:
    """It tells the whole window again, with keys that have left the CDM since."""
    attach(page, relay)
    relay.events.put(("keys", key_push(2, period_s=100, edge_s=100)))
    wait(page, "window.told.handed.length === 1")
    relay.events.put(HANG_UP)
    relay.events.put(("keys", key_push(1, 2, period_s=100, edge_s=110)))
    wait(page, "window.told.handed.length === 2")
    relay.events.put(("keys", key_push(3, period_s=700, edge_s=670)))
    wait(page, "window.told.handed.length === 3")
    assert told(page, "dropped") == []


def test_revocation_stops_closes_and_unloads_in_this_order(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", key_push(1)))
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
    relay.events.put(("keys", key_push(1)))
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
    assert told(page, "order") == ["refused"]


def test_a_session_that_ended_is_over_and_leaves_the_picture(page: Page, relay: ScriptedRelay) -> None:
    relay.events.put(("keys", key_push(1)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    relay.events.put(("ended", {"reason": "token_expired"}))
    relay.events.put(HANG_UP)
    wait(page, "window.told.refused !== null")
    assert told(page, "refused") == "token_expired"
    asked = len(relay.asked)
    page.wait_for_timeout(2500)
    assert len(relay.asked) == asked, "the channel is closed for good"
    assert told(page, "order") == ["refused"]


def test_a_silent_channel_is_given_up(page: Page, relay: ScriptedRelay) -> None:
    page.clock.install()
    relay.events.put(("keys", key_push(1, due_in_s=None)))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")
    pass_time(page, 45)
    assert relay.count("events") == 1
    pass_time(page, 10)
    assert relay.count("events") == 2


def test_a_changed_policy_is_told_to_the_page(page: Page, relay: ScriptedRelay) -> None:
    policy = {"stream": "demo", "ceiling": "hd", "reload": False, "scene": {"label": "opening"}}
    relay.events.put(("policy", policy))
    attach(page, relay)
    wait(page, "window.told.policies.length === 1")
    assert told(page, "policies") == [policy]
    for ceiling in ("sd", "uhd"):
        relay.events.put(("policy", {**policy, "ceiling": ceiling}))
    wait(page, "window.told.policies.length === 3")
    # No limit is Infinity, for which JSON has no word.
    pixels = page.evaluate("told.capped.map(([name, most]) => [name, String(most)])")
    assert pixels == [["restrictions.maxPixels", str(most)] for most in (1920 * 1088, 768 * 576, "Infinity")]


ATTACH_DASH = """async ({ base }) => {
  const sdk = await import('/segmentgate.js');
  window.told = { policies: 0, refreshed: 0 };
  const refreshManifest = () => told.refreshed++;
  const player = { addResponseInterceptor() {}, removeResponseInterceptor() {}, refreshManifest };
  const video = document.querySelector('video');
  sdk.attach({ video, player, base, kind: 'dash', onpolicy: () => told.policies++ });
}"""


def test_a_manifest_is_loaded_again_only_where_it_is_another(page: Page, relay: ScriptedRelay) -> None:
    for reload in (False, True, False):
        relay.events.put(("policy", {"ceiling": "uhd", "reload": reload}))
    page.evaluate(ATTACH_DASH, {"base": relay.url + BASE})
    wait(page, "window.told.policies === 3")
    assert told(page, "refreshed") == 1


LEVELS = """async (levels) => {
  const { CAP } = await import('/sdk-players.js');
  const player = { levels: levels.map(([width, height]) => ({ width, height })) };
  return [0, 768 * 576, 1920 * 1088, Infinity].map((pixels) => (CAP.hls(player, pixels), player.autoLevelCapping));
}"""


def test_hls_js_is_capped_at_the_best_level_that_fits(page: Page) -> None:
    ladder = [[640, 360], [768, 576], [1280, 720], [3840, 2160]]
    assert page.evaluate(LEVELS, ladder) == [-1, 1, 2, -1]
    assert page.evaluate(LEVELS, ladder[2:]) == [-1, -1, 0, -1]


CHANNEL_KEY = bytes(range(32))


def sealed(number: int, period_s: int, key: bytes = CHANNEL_KEY, stream: str = "demo") -> str:
    push = {name: value for name, value in key_push(number, period_s=period_s).items() if name != "channel_key"}
    return seal_next_keys(key, json.dumps(push).encode(), stream, period_s * 1000, bytes(12))


def load_with(page: Page, header: str) -> None:
    """The player loads something that brings a header."""
    page.evaluate(
        "(text) => { for (const filter of told.filters) filter(1, { headers: { 'segmentgate-next-keys': text } }); }",
        header,
    )


def attach_with_key(page: Page, relay: ScriptedRelay) -> None:
    jwk = {"kty": "oct", "alg": "A256GCM", "k": base64url.encode(CHANNEL_KEY)}
    relay.events.put(("keys", {**key_push(1, period_s=100), "channel_key": jwk}))
    attach(page, relay)
    wait(page, "window.told.handed.length === 1")


def test_keys_sealed_in_a_header_are_handed_over_once(page: Page, relay: ScriptedRelay) -> None:
    attach_with_key(page, relay)
    for _ in range(3):
        load_with(page, sealed(2, 110))
    wait(page, "window.told.handed.length === 2")
    relay.events.put(("keys", key_push(2, period_s=110)))
    relay.events.put(("keys", key_push(3, period_s=120)))
    wait(page, "window.told.handed.length === 3")
    assert told(page, "handed") == [kid(1), kid(2), kid(3)]
    assert told(page, "errors") == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "!",
        "AQ",
        "AAAA" * 20,
        sealed(2, 110, bytes(32)),
        sealed(2, 110, stream="other"),
        sealed(1, 100),
        sealed(2, 90),
    ],
    ids=["none", "no base64", "short", "no version", "another's", "another stream's", "known", "old"],
)
def test_headers_that_bring_nothing_do_no_harm(page: Page, relay: ScriptedRelay, header: str) -> None:
    attach_with_key(page, relay)
    load_with(page, header)
    load_with(page, sealed(3, 120))
    wait(page, "window.told.handed.length === 2")
    assert told(page, "handed") == [kid(1), kid(3)]


def test_a_key_that_replaces_one_of_the_newest_period_is_handed_over(page: Page, relay: ScriptedRelay) -> None:
    attach_with_key(page, relay)
    load_with(page, sealed(2, 100))
    wait(page, "window.told.handed.length === 2")
    assert told(page, "handed") == [kid(1), kid(2)]


def test_after_a_revocation_no_header_is_read(page: Page, relay: ScriptedRelay) -> None:
    attach_with_key(page, relay)
    relay.events.put(("revoked", {"reason": "revoked"}))
    wait(page, "window.told.end !== null")
    assert page.evaluate("told.filters.size") == 0


LIMITED = """async ([url, ended]) => {
  const { openSession } = await import('/segmentgate.js');
  let asked = null;
  const onlimit = (limit) => { asked = limit; return ended; };
  const opened = await openSession(url, { onlimit }).then(() => 'opened', (error) => error.reason);
  return [asked, opened];
}"""


@pytest.mark.parametrize(("ended", "outcome"), [("12345678", "opened"), (None, "concurrency_limit")])
def test_one_stream_too_many_asks_which_to_end(
    page: Page, relay: ScriptedRelay, ended: str | None, outcome: str
) -> None:
    sessions = [{"session": "12345678", "device": "tv", "stream": "demo", "since": 1}]
    relay.occupied = {"code": "concurrency_limit", "sessions": sessions}
    asked, opened = page.evaluate(LIMITED, [f"{relay.url}/watch/demo/index.m3u8?token=t", ended])
    assert (asked["sessions"], opened) == (sessions, outcome)
    entered = [query for path, query in zip(relay.asked, relay.queries, strict=True) if path.startswith("/watch/")]
    assert entered == ["token=t", f"token=t&terminate={ended}"][: 2 if ended else 1]


def test_an_entry_url_becomes_a_session(page: Page, relay: ScriptedRelay) -> None:
    entry = f"{relay.url}/watch/demo/index.m3u8?token=t"
    opened = page.evaluate("(url) => import('/segmentgate.js').then((sdk) => sdk.openSession(url))", entry)
    assert opened == {
        "manifestUrl": f"{relay.url}{BASE}index.m3u8",
        "licenceUrl": f"{relay.url}/api/v1/drm/license?session=pass/demo/cenc.stable",
        "base": relay.url + BASE,
    }


FINAL = [400, 401, 403, 404, 405, 410, 416, 431, 451]
TEMPORARY = [408, 425, 429, 500, 502, 503, 504]


OPENED = """async (url) => {
  const { openSession } = await import('/segmentgate.js');
  return openSession(url).catch((error) => [error.name, error.reason ?? null, error.status ?? null]);
}"""


def test_an_entry_that_is_refused_says_why(page: Page, relay: ScriptedRelay) -> None:
    for status in [*FINAL, *TEMPORARY]:
        relay.refusal = (status, "a_reason")
        error = page.evaluate(OPENED, f"{relay.url}/watch/demo/index.m3u8")
        assert error == (["RefusedError", "a_reason", status] if status in FINAL else ["Error", None, None])


RETRIED = """async ([statuses, live]) => {
  const sdk = await import('/segmentgate.js');
  let again = false;
  const player = { isLive: () => live, retryStreaming: () => (again = true) };
  const { failureCallback } = sdk.shakaConfig({ player }).streaming;
  const { playlistLoadPolicy, fragLoadPolicy } = sdk.hlsConfig({});
  const retries = ({ default: { errorRetry } }, code) => errorRetry.shouldRetry(errorRetry, 0, false, { code });
  const chosen = (retry) => statuses.filter((status) => retry(status));
  return {
    shaka: chosen((status) => { again = false; failureCallback({ data: ['url', status] }); return again; }),
    playlists: chosen((status) => retries(playlistLoadPolicy, status)),
    segments: chosen((status) => retries(fragLoadPolicy, status)),
  };
}"""


def test_players_take_the_same_statuses_as_final(page: Page) -> None:
    """Only that a live segment is gone says nothing of the session."""
    gone = [404, *TEMPORARY]
    live = page.evaluate(RETRIED, [[*FINAL, *TEMPORARY], True])
    assert {name: sorted(statuses) for name, statuses in live.items()} == {
        "shaka": gone,
        "playlists": TEMPORARY,
        "segments": gone,
    }
    assert page.evaluate(RETRIED, [[*FINAL, *TEMPORARY], False])["shaka"] == TEMPORARY
