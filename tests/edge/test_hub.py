"""The hub by itself: thousands of channels on connections that only remember what was written."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keys.model import Scheme, TrackType
from keys.periods import Clock
from policies.model import Rekeying
from relay.edge import hub as hub_module
from relay.edge.hub import Hub
from relay.edge.open_channel import MAX_QUEUED, Channel
from relay.edge.visit import Visit
from relay.errors import OriginError
from relay.facts import Facts
from relay.gate.presence import LIVE_S, Presence
from relay.manifest.context import Observed
from relay.model import ManifestClass, Session
from relay.node import Changed, Node
from relay.sessions.open_responses import OpenResponse
from relay.streams import Stream
from relay.told import Told
from relay.verdict import Deny, Reason
from tests.test_grants import stream_of

INTERVAL_MS, LEAD_MS = 4000, 1500
TRACKS = frozenset({TrackType.AUDIO, TrackType.HD})


class Wire(asyncio.Transport):
    """A connection that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[float, bytes]] = []
        self.queued = 0
        self.ended = ""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return self.queued

    def is_closing(self) -> bool:
        return bool(self.ended)

    def write(self, data: Any) -> None:
        assert not self.ended
        self.sent.append((time.monotonic(), bytes(data)))

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "reset"

    @property
    def text(self) -> str:
        return b"".join(data for _, data in self.sent).decode()

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(found) for found in re.findall(rf"event: {kind}\ndata: (.*)\n", self.text)]


class Relay:
    """What a hub needs of a node, with a gate that refuses whom a test names."""

    def __init__(self) -> None:
        self.stream = stream_of(rotation={"interval": "4s", "pre_delivery": "1500ms"}, window="2m")
        self.streams: dict[str, Stream] = {"news": self.stream}
        self.refused: dict[str, Reason] = {}
        self.open: set[OpenResponse] = set()
        self.gate = self.open_responses = self.manifests = self.salts = self
        self.looked = 0
        self.settled = 0
        self.clock = time.time
        self.presence = Presence()
        self.failure: Exception = OriginError("away")
        self.add, self.discard = self.open.add, self.open.discard

    def recheck(self, visitor: Any, facts: Any, now: float) -> Deny | None:
        assert facts().address == "192.0.2.1"
        reason = self.refused.get(visitor.session.sid)
        return Deny(reason) if reason else None

    def may_have(self, visitor: Any, track: TrackType) -> Deny | None:
        return None

    async def ensure_timeline(self, stream: Stream) -> None:
        self.looked += 1
        raise self.failure

    async def settle(self) -> None:
        self.settled += 1

    def observe(self, into_period_ms: int = 0) -> None:
        """The live edge is so far into a crypto period now."""
        edge = 10 * INTERVAL_MS + into_period_ms - 1000
        observed = Observed(Clock.WALL, 9 * INTERVAL_MS, edge, False, TRACKS, 2000)
        self.stream.timeline.observe(observed, time.time())


@pytest.fixture
def relay() -> Relay:
    made = Relay()
    made.observe()
    return made


@pytest.fixture
async def hub(relay: Relay) -> AsyncIterator[Hub]:
    made = Hub(cast(Node, relay), 50_000)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def join(hub: Hub, sid: str = "s", told: Told | None = None, chunked: bool = False, **session: Any) -> Wire:
    wire = Wire()
    facts = Facts("GET", "/p/secret", address="192.0.2.1")
    held = replace(Session(sid, "a", "i", int(time.time()) + 600), **session)
    visitor = SimpleNamespace(
        session=held,
        ceiling=held.ceiling,
        stream="news",
        names=(sid,),
        live=None,
    )
    visit = SimpleNamespace(visitor=visitor, cls=ManifestClass(Scheme.CENC), facts=lambda: facts)
    hub.add(Channel(cast(Visit, visit), told, wire, chunked, hub.forget))
    return wire


async def until(condition: Any, timeout_s: float = 5.0) -> None:
    for _ in range(int(timeout_s * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still not so after {timeout_s} s")


async def test_a_new_channel_is_told_the_window_and_how_to_come_back(hub: Hub) -> None:
    wire = join(hub)
    await until(lambda: wire.sent)
    (keys,) = wire.events("keys")
    assert len(keys["keys"]) == 3 * len(TRACKS)
    assert keys["channel_key"]["alg"] == "A256GCM"
    found = re.search(r"\nid: (.*)\n\nretry: (\d+)\n\n$", wire.text)
    assert found
    assert Told.parse(found[1])
    assert 1000 <= int(found[2]) < 3000


async def test_events_are_chunked_where_the_response_is(hub: Hub) -> None:
    wire = join(hub, chunked=True)
    await until(lambda: wire.sent)
    size, _, rest = wire.sent[0][1].partition(b"\r\n")
    assert rest[int(size, 16) :] == b"\r\n"
    hub.close()
    assert wire.sent[-1][1] == b"0\r\n\r\n"


async def test_one_who_comes_back_is_told_only_what_was_released_since(hub: Hub, relay: Relay) -> None:
    first = join(hub)
    await until(lambda: first.sent)
    mark = re.search(r"\nid: (.*)\n", first.text)
    assert mark
    told = Told.parse(mark[1])
    again = join(hub, told=told)
    await until(lambda: again.sent)
    assert again.events("keys") == []
    assert again.text.startswith("retry: ")
    relay.observe(INTERVAL_MS - 1000)
    late = join(hub, told=told)
    await until(lambda: late.sent)
    (keys,) = late.events("keys")
    assert len(keys["keys"]) == len(TRACKS)


async def test_a_push_is_spread_over_the_lead(hub: Hub, relay: Relay) -> None:
    """2,000 channels of one stream: each is told once, within the lead. What it costs is the bench's to say."""
    relay.observe(INTERVAL_MS - LEAD_MS - 1000)
    wires = [join(hub, f"session-{number}") for number in range(2_000)]
    await until(lambda: all(wire.sent for wire in wires), 20)
    relay.observe(INTERVAL_MS - LEAD_MS - 300)
    await until(lambda: all(len(wire.events("keys")) == 2 for wire in wires[::97]), 10)
    await asyncio.sleep(0.5)
    assert all(len(wire.events("keys")) == 2 for wire in wires)
    times = sorted(wire.sent[-1][0] for wire in wires)
    assert times[-1] - times[0] > LEAD_MS / 1000 / 3
    assert times[-1] - times[0] < LEAD_MS / 1000
    # Rendered once for the window and once for the push.
    assert relay.settled <= 4


async def test_a_refused_session_is_told_so_instead_of_its_key(hub: Hub, relay: Relay) -> None:
    relay.observe(INTERVAL_MS - LEAD_MS - 1500)
    names = ["kept", "revoked", "expired", "stale"]
    wires = {name: join(hub, name) for name in names}
    await until(lambda: all(wire.sent for wire in wires.values()))
    relay.refused = {"revoked": Reason.REVOKED, "expired": Reason.TOKEN_EXPIRED, "stale": Reason.STATE_STALE}
    await until(lambda: len(wires["kept"].events("keys")) == 2)
    await until(lambda: all(wires[name].ended == "closed" for name in names[1:]))
    assert [len(wire.events("keys")) for wire in wires.values()] == [2, 1, 1, 1]
    assert wires["revoked"].text.endswith('event: revoked\ndata: {"reason":"revoked"}\n\n')
    assert wires["expired"].text.endswith('event: ended\ndata: {"reason":"token_expired"}\n\n')
    assert "ended" not in wires["stale"].text
    assert len(relay.open) == 1


async def test_keys_beyond_what_is_left_of_a_purchase_are_told_to_no_one(
    hub: Hub, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate finds out with the question right before the write."""

    def recheck(visitor: Any, facts: Any, now: float) -> None:
        visitor.ceiling = TrackType.AUDIO

    def may_have(visitor: Any, track: TrackType) -> Deny | None:
        return None if track.rank <= visitor.ceiling.rank else Deny(Reason.SCOPE_TRACK)

    monkeypatch.setattr(relay, "recheck", recheck)
    monkeypatch.setattr(relay, "may_have", may_have)
    wire = join(hub)
    await until(lambda: wire.sent)
    (keys,) = wire.events("keys")
    assert len(keys["keys"]) == 3


async def test_a_session_is_ended_when_it_expires(hub: Hub, relay: Relay) -> None:
    wire = join(hub, expires_at=int(time.time()) + 2)
    await until(lambda: wire.sent)
    await asyncio.sleep(0.5)
    relay.refused = {"s": Reason.TOKEN_EXPIRED}
    await until(lambda: wire.ended, 3)


async def test_a_cut_is_told_at_once_and_only_once(hub: Hub, relay: Relay) -> None:
    wire = join(hub)
    await until(lambda: wire.sent)
    (entry,) = relay.open
    entry.cut()
    assert wire.events("revoked") == [{"reason": "revoked"}]
    assert wire.ended == "closed"
    assert not relay.open
    entry.cut()


async def test_a_cut_before_the_first_event_leaves_no_key_behind(hub: Hub, relay: Relay) -> None:
    wire = join(hub)
    (entry,) = relay.open
    entry.cut()
    await asyncio.sleep(0.1)
    assert wire.events("keys") == []


async def test_a_cut_drops_what_a_slow_reader_has_not_taken(hub: Hub, relay: Relay) -> None:
    wire = join(hub)
    await until(lambda: wire.sent)
    wire.queued = 1
    (entry,) = relay.open
    entry.cut()
    assert wire.ended == "reset"
    assert wire.events("revoked") == []


async def test_a_reader_who_takes_nothing_is_cut_off(hub: Hub, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.1)
    slow, fast = join(hub, "slow"), join(hub, "fast")
    await until(lambda: slow.sent and fast.sent)
    slow.queued = MAX_QUEUED + 1
    await until(lambda: slow.ended == "reset")
    await until(lambda: ": alive" in fast.text)
    assert not fast.ended


async def test_a_changed_configuration_is_told_over_some_time(hub: Hub, relay: Relay) -> None:
    wires = [join(hub, f"session-{number}", ceiling=TrackType.HD) for number in range(100)]
    await until(lambda: all(wire.sent for wire in wires))
    hub.changed({"other": Changed()})
    hub.changed({"news": Changed(1.0)})
    await until(lambda: all(wire.events("policy") for wire in wires))
    told = [wire.events("policy") for wire in wires]
    ((policy,),) = {tuple(json.dumps({**event, "stream_now": 0}) for event in events) for events in told}
    assert json.loads(policy) == {
        "stream": "news", "ceiling": "hd", "reload": True, "rotation_ms": 4000, "pre_delivery_ms": 1500, "limit": None,
        "stream_now": 0, "scene": None, "next": None,
    }  # fmt: skip
    times = sorted(wire.sent[-1][0] for wire in wires)
    assert 0.5 < times[-1] - times[0] < 1.5


async def test_an_emergency_is_told_over_its_own_spread_with_its_keys(hub: Hub, relay: Relay) -> None:
    """And no later for what changes after it: a spread of seconds for that leaves it where it was."""
    wires = [join(hub, f"session-{number}") for number in range(60)]
    await until(lambda: all(wire.sent for wire in wires))
    rekeying = Rekeying("r", 1, {Clock.WALL: 10 * INTERVAL_MS - 1000}, 1, 400)
    relay.stream = relay.streams["news"] = stream_of(
        rekeying, rotation={"interval": "4s", "pre_delivery": "1500ms"}, window="2m"
    )
    relay.observe()
    began = time.monotonic()
    hub.changed({"news": Changed(0.4, manifests=False)})
    hub.changed({"news": Changed(30.0, manifests=False)})
    await until(lambda: all(len(wire.sent) > 1 for wire in wires))
    for wire in wires:
        told, keys = wire.sent[1][1].split(b"event: keys")
        assert told.startswith(b"event: policy\n")
        assert b'"reload":false' in told
        assert len(json.loads(keys.split(b"data: ")[1].split(b"\n")[0])["keys"]) == 2 * len(TRACKS)
    times = sorted(wire.sent[1][0] - began for wire in wires)
    assert times[-1] - times[0] > 0.2


async def test_a_stream_that_is_gone_ends_its_channels(hub: Hub, relay: Relay) -> None:
    wire = join(hub)
    await until(lambda: wire.sent)
    relay.streams.clear()
    hub.changed({"news": Changed(0.1)})
    await until(lambda: wire.ended)
    assert wire.events("ended") == [{"reason": "stream_unknown"}]


async def test_one_failure_is_not_everybodys(hub: Hub, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    good = relay.recheck

    def recheck(visitor: Any, facts: Any, now: float) -> Deny | None:
        if visitor.session.sid == "bad":
            raise ZeroDivisionError
        return good(visitor, facts, now)

    monkeypatch.setattr(relay, "recheck", recheck)
    bad, fine = join(hub, "bad"), join(hub, "fine")
    await until(lambda: fine.sent)
    assert bad.ended == "reset"


async def test_an_unknown_timeline_is_looked_for_without_a_hurry(hub: Hub, relay: Relay) -> None:
    relay.stream = stream_of(rotation={"interval": "4s", "pre_delivery": "1500ms"}, window="2m")
    relay.streams["news"] = relay.stream
    wire = join(hub)
    await until(lambda: wire.sent)
    assert wire.events("keys") == []
    await asyncio.sleep(1.5)
    assert 1 <= relay.looked <= 2


async def test_a_look_that_fails_is_no_last_one(hub: Hub, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LOOK_AGAIN_S", 0.05)
    relay.failure = ZeroDivisionError()
    relay.stream = relay.streams["news"] = stream_of(rotation={"interval": "4s", "pre_delivery": "1500ms"}, window="2m")
    join(hub)
    await until(lambda: relay.looked > 1)


async def test_nobody_looks_any_more_when_the_hub_has_ended(relay: Relay) -> None:
    relay.stream = relay.streams["news"] = stream_of(rotation={"interval": "4s", "pre_delivery": "1500ms"}, window="2m")
    made = Hub(cast(Node, relay), 10)
    before = asyncio.all_tasks()
    running = asyncio.create_task(made.run())
    join(made)
    await until(lambda: relay.looked)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_what_an_old_configuration_gave_is_told_to_no_one_after_it(
    hub: Hub, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the change comes while its keys are being made."""
    old, new = relay.stream, stream_of(rotation={"interval": "4s", "pre_delivery": "1500ms"}, window="2m")
    new.timeline.observe(
        Observed(Clock.WALL, 9 * INTERVAL_MS, 10 * INTERVAL_MS - 1000, False, TRACKS, 2000), time.time()
    )
    names = {old: b"old", new: b"new"}
    monkeypatch.setattr(hub_module, "keys_json", lambda stream, slots: b'["%b"]' % names[stream])

    async def settle() -> None:
        relay.streams["news"] = new
        hub.changed({"news": Changed()})

    monkeypatch.setattr(relay, "settle", settle)
    first = join(hub)
    await until(lambda: first.sent)
    assert first.events("keys")[0]["keys"] == ["new"]
    second = join(hub, "t")
    await until(lambda: second.sent)
    assert second.events("keys")[0]["keys"] == ["new"]


async def test_an_open_channel_keeps_its_session_live(hub: Hub, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.1)
    began = time.time()
    join(hub)
    await until(lambda: len(relay.presence) == 1)
    (live,) = relay.presence.live(began)
    first = live.last
    assert (live.sid, live.address) == ("s", "192.0.2.1")
    await until(lambda: live.last > first)
    assert list(relay.presence.live(live.last + LIVE_S)) == [live]


async def test_the_hub_is_full(relay: Relay) -> None:
    small = Hub(cast(Node, relay), 1)
    seen = [small.full]
    join(small)
    seen.append(small.full)
    small.close()
    assert [*seen, small.full] == [False, True, False]
