"""What a player is told of its stream's policy: what it may have, how keys rotate, and the scenes now and next."""

import msgspec

from keys.model import TrackType
from policies.plan import Stretch, best_of
from relay.gate.gate import Visitor
from relay.model import ManifestClass
from relay.streams import Stream

_Json = dict[str, str | int | None]


def policy_body(stream: Stream, visitor: Visitor, cls: ManifestClass, now: float, *, reload: bool) -> bytes:
    """The policy as a JSON object.

    ``ceiling`` is the best track type that the session may have in all scenes that are listed or to come: a player that
    shows better pictures now has to change to it. ``reload`` says that its manifests are others than before. ``scene``
    is the one at the live edge, ``next`` the one that follows, each with its own ceiling for this session.
    ``stream_now`` and their times are ms of stream time. A finished title is in no scene: there it is for the player to
    say where it is.
    """
    rotation = stream.rotation
    limit = visitor.session.limit or stream.config.limit.stream_limit()
    current, following = stream.scenes_at_edge(now)
    top = _lesser(visitor.ceiling, cls.ceiling)
    body = {
        "stream": stream.name,
        "ceiling": _lesser(stream.best_track(cls, now), top),
        "reload": reload,
        "rotation_ms": int(rotation.interval_ms),
        "pre_delivery_ms": int(rotation.pre_delivery_ms),
        "limit": None if limit is None else {"streams": limit.most, "mode": limit.mode},
        "stream_now": stream.timeline.stream_now(now),
        "scene": _described(current, cls, top),
        "next": _described(following, cls, top),
    }
    return msgspec.json.encode(body)


def _described(stretch: Stretch | None, cls: ManifestClass, top: TrackType) -> _Json | None:
    scene = stretch.scene if stretch else None
    if stretch is None or scene is None:
        return None
    ceiling = _lesser(best_of(stretch.terms, cls.meets), top)
    return {"label": scene.label, "starts_at": scene.start, "ends_at": scene.end, "ceiling": ceiling}


def _lesser(one: TrackType, other: TrackType) -> TrackType:
    return min(one, other, key=lambda track: track.rank)
