"""From an operator's order to a change of a stream's plan: where the stream stands, and from where on it may change.

Nothing that anybody may have seen is changed: a live stream from beyond the latest segment whose key may be out, a
finished title, which has no place in time, as a whole. Each order becomes a document of its own, so of two that come
to two nodes at once neither is lost.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from keys.periods import GUARD_MS, SPREAD_SHARE, Clock
from policies.plan import MAX_CHANGES
from policies.text import read_change
from relay.control.errors import BodyTooLargeError, ConflictError, NotFoundError, TimelineUnknownError
from relay.errors import OriginError
from relay.node import Node
from relay.plans import KIND, name_of
from relay.state.drafts import DocumentDraft
from relay.state.events import MAX_DOCUMENT_BYTES
from relay.streams import Stream
from relay.timeline import KEPT_MS

MARGIN_MS = 2000
"""Other nodes may have seen the origin a little earlier, and hear of a change a little later."""
SPREAD_SEGMENTS = 2
"""Players hold about this much ahead of what they show, so keys told within it are there before they are needed."""
LAST = 2**63 - 1
"""The order of what is about to be changed: after all that is known."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stream stands ``now`` (node clock, s). All else is in ms of stream time, by clock.

    ``edges`` are the live edges, or where it ended. ``since`` is where nobody has been yet. Nothing ``before`` is
    asked for any more. ``finished`` are the clocks of titles that were finished from the start.
    """

    now: float
    edges: Mapping[Clock, int]
    since: Mapping[Clock, int]
    before: Mapping[Clock, int]

    @classmethod
    def of(cls, stream: Stream, now: float) -> "Standing":
        """As far as this node has seen the stream."""
        timeline = stream.timeline
        edges = timeline.edges(now)
        window = stream.config.window
        return cls(
            now,
            edges,
            {
                clock: 0 if clock is Clock.MEDIA else until + GUARD_MS + MARGIN_MS
                for clock, until in timeline.released_until(now).items()
            },
            {
                clock: 0 if clock is Clock.MEDIA else max(0, min(seen.first, edges[clock] - window) - KEPT_MS)
                for clock, seen in timeline.clocks.items()
            },
        )

    @property
    def next_segments(self) -> Mapping[Clock, int]:
        """A boundary right before the segments that start at the edge or later."""
        return {clock: 0 if clock is Clock.MEDIA else edge + GUARD_MS // 2 for clock, edge in self.edges.items()}

    def zero(self, starts_at: float | None) -> Mapping[Clock, int]:
        """Where an event begins, which ``starts_at`` (s since the epoch) or where changes take effect; titles at 0."""
        if starts_at is None:
            return self.since
        return {clock: 0 if clock is Clock.MEDIA else self.time_of(clock, starts_at) for clock in self.edges}

    def time_of(self, clock: Clock, at: float) -> int:
        """The stream time of a wall clock time (s since the epoch); on clocks without dates, by the live edge."""
        ms = round(at * 1000)
        return ms if clock is Clock.WALL else self.edges[clock] + ms - self._edge_at

    def at_of(self, clock: Clock, time: int) -> float | None:
        """The wall clock time (s since the epoch) of a stream time; None where there is none."""
        if clock is Clock.WALL:
            return time / 1000
        if clock is Clock.MEDIA or clock not in self.edges:
            return None
        return (self._edge_at + time - self.edges[clock]) / 1000

    @property
    def _edge_at(self) -> int:
        """When what lies at the live edge happens, in ms since the epoch."""
        return self.edges.get(Clock.WALL, round(self.now * 1000))


async def seen_of(node: Node, name: str) -> tuple[Stream, Standing]:
    """A stream and where it stands, as far as anything is known of that. Raises :class:`NotFoundError`."""
    with suppress(OriginError):
        await node.manifests.see(stream_of(node, name))
    # It may have been configured anew meanwhile.
    stream = stream_of(node, name)
    return stream, Standing.of(stream, node.clock())


def stream_of(node: Node, name: str) -> Stream:
    """A configured stream. Raises :class:`NotFoundError`."""
    stream = node.streams.get(name)
    if stream is None:
        raise NotFoundError(f"no stream {name!r} is configured; /api/v1/streams lists those that are")
    return stream


async def standing_of(node: Node, name: str) -> tuple[Stream, Standing]:
    """A stream and where it stands. Raises :class:`TimelineUnknownError`, and :class:`NotFoundError`."""
    await seen_of(node, name)
    return standing_now(node, name)


def standing_now(node: Node, name: str) -> tuple[Stream, Standing]:
    """The same by what was seen before: it is old as soon as something is waited for. Raises the same."""
    stream = stream_of(node, name)
    standing = Standing.of(stream, node.clock())
    if not standing.edges:
        raise TimelineUnknownError(f"nobody knows where {name} stands: its origin shows no manifest with segments")
    return stream, standing


def drafts_of(
    node: Node, stream: Stream, standing: Standing, bodies: Sequence[bytes], actor: str, most: int = MAX_CHANGES
) -> list[DocumentDraft]:
    """What makes ``bodies`` changes of a stream's plan, and does away with those that are needless then.

    To be put without waiting for anything first. Raises :class:`BodyTooLargeError` for a change longer than nodes
    tell one another in one piece, :class:`ConflictError` where ``most`` changes still matter.
    """
    if any(len(body) > MAX_DOCUMENT_BYTES for body in bodies):
        raise BodyTooLargeError(f"more than {MAX_DOCUMENT_BYTES} bytes as a document; give fewer or shorter scenes")
    names = [secrets.token_hex(8) for _ in bodies]
    new = [read_change(name, LAST, body) for name, body in zip(names, bodies, strict=True)]
    plan = replace(stream.plan, changes=(*stream.plan.changes, *new))
    needless = plan.needless(standing.before)
    if len(plan.changes) - len(needless) > most:
        raise ConflictError(
            f"{most} changes of {stream.name} still matter to what its viewers may be playing; repeat it when the "
            "earliest has left the window"
        )
    draft = partial(node.registry.draft, KIND, actor=actor)
    return [
        *(draft(name_of(stream.name, name), body) for name, body in zip(names, bodies, strict=True)),
        *(draft(name_of(stream.name, change.id), b"") for change in needless),
    ]


def spread_of(stream: Stream) -> int:
    """Over how long (ms) sessions are told new keys that are needed at once, lest all ask for them at once."""
    lead, segment = stream.rotation.pre_delivery_ms, stream.timeline.segment_s * 1000
    return round(min((span for span in (SPREAD_SHARE * lead, SPREAD_SEGMENTS * segment) if span), default=0))
