"""The open event channels of a node, and the one task that tells all of them.

An idle channel is a connection, a :class:`Channel` and its place in the registry of open responses. No task, timer
or event text is its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TypeVar
from zlib import crc32

import structlog

from relay.edge.key_bodies import jitter, keys_body, keys_json, with_channel_key
from relay.edge.open_channel import Channel
from relay.edge.policy_body import policy_body
from relay.edge.wheel import TICK_S, Wheel
from relay.errors import KeyPendingError, RelayError
from relay.model import Session
from relay.node import Changed, Node
from relay.streams import Stream
from relay.told import Told, lacking, told_by
from relay.verdict import Deny, Reason

HEARTBEAT_S = 15.0
BATCH = 32
"""Channels told before the event loop may turn: about a millisecond."""
MAX_OF_SESSION = 16
"""Channels of one session: its tabs and reloads, and those whose end has not been noticed yet."""
RETRY_MS = (1000, 3000)
"""When a player may come back whose channel broke, spread so that a node's players do not come all at once."""
LOOK_AGAIN_S = 1.0
"""Between two looks at a stream whose live edge is not known."""

_RENDERED = 64
T = TypeVar("T")
_ALIVE = b": alive\n\n"
_log = structlog.get_logger()


class Hub:
    """Tells each channel what it lacks when it is due. ``most`` is how many there may be."""

    def __init__(self, node: Node, most: int) -> None:
        self._node = node
        self._most = most
        self._channels: set[Channel] = set()
        self._watched: Counter[str] = Counter()
        self._of_session: Counter[tuple[str, str]] = Counter()
        self._wheel: Wheel[Channel] = Wheel()
        self._new: deque[Channel] = deque()
        self._stir = asyncio.Event()
        # Ten thousand channels of one stream are told the same keys: one text for all of them.
        self._rendered: dict[tuple[Stream, Told | None, Told], bytes] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many channels as there may be."""
        return len(self._channels) >= self._most

    def is_crowded(self, session: Session) -> bool:
        """Whether one session has as many as it may have: a pass must not take all there are."""
        return self._of_session[session.issuer, session.sid] >= MAX_OF_SESSION

    def add(self, channel: Channel) -> None:
        """Take a channel on; it is told as soon as the event loop turns."""
        self._channels.add(channel)
        self._watched[channel.visitor.stream] += 1
        session = channel.visitor.session
        self._of_session[session.issuer, session.sid] += 1
        self._node.open_responses.add(channel.entry)
        self._new.append(channel)
        self._stir.set()

    def forget(self, channel: Channel) -> None:
        """A channel has ended."""
        self._channels.discard(channel)
        _count_down(self._watched, channel.visitor.stream)
        session = channel.visitor.session
        _count_down(self._of_session, (session.issuer, session.sid))
        self._node.open_responses.discard(channel.entry)

    def changed(self, streams: Mapping[str, Changed]) -> None:
        """These streams are others now: tell their channels, each over its time, with the keys that came with it."""
        self._rendered.clear()
        now = asyncio.get_running_loop().time()
        for channel in self._channels:
            change = streams.get(channel.visitor.stream)
            if change is None:
                continue
            due = self._wheel.add(channel, now + change.spread_s * _share_of(channel.visitor.session))
            # An emergency is told no later for a change that came after it.
            channel.due = min(channel.due, due) if channel.policy_changed else due
            channel.policy_changed = True
            channel.manifests_changed |= change.manifests
            # Its next key may come sooner now.
            channel.push_at = 0.0

    def close(self) -> None:
        """End every channel; its player comes back, here or elsewhere."""
        for channel in list(self._channels):
            channel.close()

    async def run(self) -> None:
        """Tell channels until cancelled."""
        try:
            await self._run()
        finally:
            looking = list(self._looking.values())
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        told = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S if self._channels else None):
                    await self._stir.wait()
            self._stir.clear()
            self._look_at_streams()
            for channel in self._due(loop.time()):
                if channel.closed:
                    continue
                await self._tell_safely(channel)
                told += 1
                if told % BATCH == 0:
                    await asyncio.sleep(0)

    def _due(self, now: float) -> Iterator[Channel]:
        while self._new:
            yield self._new.popleft()
        for tick, channel in self._wheel.turn(now):
            # One that was put on the wheel again has left its old place behind.
            if channel.due == tick:
                yield channel

    async def _tell_safely(self, channel: Channel) -> None:
        try:
            await self._tell(channel)
        except Exception:
            # One channel's failure must not be all channels'. Its player comes back.
            _log.exception("channel_failed", stream=channel.visitor.stream)
            channel.drop()

    async def _tell(self, channel: Channel) -> None:
        node, visitor = self._node, channel.visitor
        stream = node.streams.get(visitor.stream)
        if stream is None:
            channel.refuse(Deny(Reason.STREAM_UNKNOWN))
            return
        now, ceiling = node.clock(), visitor.ceiling
        pushing = now >= channel.push_at
        current = told_by(stream, visitor, channel.cls, now) if pushing else None
        try:
            keys = await self._lacking(stream, channel.told, current, now) if current else None
        except KeyPendingError:
            # Looked for again at the next heartbeat.
            current, keys = None, None
        if node.streams.get(visitor.stream) is not stream:
            # Changed meanwhile: what was made here is the old one's.
            self._new.append(channel)
            return
        events = []
        # Where there are scenes each of their edges is a key's, too: with the keys comes what scene is next.
        turned = stream.plan.has_scenes and (not channel.greeted or (current is not None and current != channel.told))
        if channel.policy_changed or turned:
            reload = channel.manifests_changed
            events.append(_policy_event(policy_body(stream, visitor, channel.cls, now, reload=reload)))
        if current and keys is not None:
            events.append(_keys_event(stream, visitor.session, keys, current, now))
        if not channel.greeted:
            events.append(_greeting(visitor.session))
        # Asked right before the write: between it and the write nothing can revoke.
        refused = node.gate.recheck(visitor, channel.facts, node.clock())
        if refused:
            channel.refuse(refused)
            return
        if visitor.ceiling is not ceiling:
            # Some of what was bought has ended: what was made here may go beyond what is left.
            self._new.append(channel)
            return
        channel.send(b"".join(events) or _ALIVE)
        here = channel.facts()
        node.presence.held(visitor, now, here.address, here.asn)
        channel.greeted, channel.policy_changed, channel.manifests_changed = True, False, False
        if current and (keys is not None or channel.told is None or channel.told.newest <= current.newest):
            channel.told = current
        if pushing:
            channel.push_at = _push_at(stream, visitor.session, current, now)
        wait = min(HEARTBEAT_S, visitor.session.expires_at - now)
        if channel.push_at > now:
            wait = min(wait, channel.push_at - now)
        channel.due = self._wheel.add(channel, asyncio.get_running_loop().time() + wait)

    async def _lacking(self, stream: Stream, told: Told | None, current: Told, now: float) -> bytes | None:
        """What a player lacks as JSON; None if that is nothing."""
        if told == current:
            return None
        # Not by its name: a stream that was configured anew has other keys.
        mark = (stream, told, current)
        keys = self._rendered.get(mark)
        if keys is None:
            slots = lacking(stream, told, current, now)
            if not slots:
                return None
            keys = keys_json(stream, slots)
            await self._node.salts.settle()
            if len(self._rendered) >= _RENDERED:
                self._rendered.clear()
            self._rendered[mark] = keys
        return keys

    def _look_at_streams(self) -> None:
        """See to it that the live edge of every stream with channels is known: players need not ask for it again."""
        now = self._node.clock()
        for name in self._watched:
            stream = self._node.streams.get(name)
            if stream and name not in self._looking and stream.timeline.stale(now):
                self._looking[name] = asyncio.ensure_future(self._look(stream))

    async def _look(self, stream: Stream) -> None:
        try:
            await self._node.manifests.ensure_timeline(stream)
        except RelayError as err:
            _log.warning("timeline_unknown", stream=stream.name, code=err.code, detail=str(err))
        except Exception:
            _log.exception("look_failed", stream=stream.name)
        try:
            await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            del self._looking[stream.name]


def _count_down(counts: Counter[T], name: T) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _push_at(stream: Stream, session: Session, current: Told | None, now: float) -> float:
    release = stream.timeline.next_release(now)
    if current is None or release is None:
        # With no release to wait for, each heartbeat looks whether there is something to tell.
        return 0.0
    return release + jitter(stream, session, current.newest)


def _keys_event(stream: Stream, session: Session, keys: bytes, told: Told, now: float) -> bytes:
    body = with_channel_key(keys_body(stream, session, keys, told.newest, now), stream, session)
    return b"event: keys\ndata: %b\nid: %b\n\n" % (body, str(told).encode())


def _policy_event(body: bytes) -> bytes:
    return b"event: policy\ndata: %b\n\n" % body


def _greeting(session: Session) -> bytes:
    first, last = RETRY_MS
    return b"retry: %d\n\n" % (first + _share_of(session) * (last - first))


def _share_of(session: Session) -> float:
    """A number in [0, 1) that is the session's own, to spread crowds by."""
    return crc32(session.sid.encode()) / 2**32
