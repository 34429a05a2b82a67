"""The entry: the platform's token in, a session's own URL out."""

from contextlib import suppress
from functools import partial

import msgspec
from aiohttp import web

from keys.model import Scheme, Security, TrackType
from relay.codes import CODES
from relay.edge.admission import admit
from relay.edge.facts import facts_of, watermark_prefix
from relay.errors import OriginError, RequestError
from relay.gate.limits import Occupied
from relay.links import session_link
from relay.model import ManifestClass, Signalling, System
from relay.node import NODE
from relay.problems import denied, problem
from relay.streams import ENTRY_HLS, Stream
from relay.telemetry.metrics import DENIED
from relay.verdict import Deny, Reason

TERMINATE_HEADER = "X-Terminate"
_LEVELS = {"L1": Security.HARDWARE, "L3": Security.SOFTWARE}
_WITHOUT_CDM = ("Lavf/", "VLC/", "libmpv")


async def enter(request: web.Request) -> web.StreamResponse:
    """Exchange a token for a pass and lead the player into its session by a 302.

    One stream too many is answered with 409 and, where the limit says *ask*, the list of the others; entering
    again with ``terminate=`` one of them ends that one.
    """
    node = request.app[NODE]
    stream = node.stream(request.match_info["stream"])
    index = request.match_info["index"]
    admission = admit(request, stream)
    if isinstance(admission, Deny):
        return denied(request, admission)
    visitor = admission.visitor
    stream.entry(index)
    if stream.plan.changes:
        # Which scenes are over tells the timeline alone.
        with suppress(OriginError):
            await node.manifests.ensure_timeline(stream)
    cls = wanted_class(request, stream, visitor.ceiling, node.clock())
    stream.check_class(cls)
    terminate = request.query.get("terminate", "") or request.headers.get(TERMINATE_HEADER, "")
    occupied = await node.leases.enter(visitor, terminate, node.clock(), stream.timeline.segment_s)
    if occupied:
        return _occupied(request, occupied)
    # Others' word on the slot may have taken a while: who was revoked meanwhile must not keep it.
    refused = node.gate.recheck(visitor, partial(facts_of, node.config.edge, request), node.clock())
    if refused:
        node.leases.release(visitor.session.sid)
        return denied(request, refused)
    location = watermark_prefix(request) + session_link(node.gate.pass_of(visitor), stream.name, cls, index)
    return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})


def _occupied(request: web.Request, occupied: Occupied) -> web.Response:
    """Who holds the places, as JSON, for the page to ask its viewer which one to end."""
    DENIED.labels(Reason.CONCURRENCY_LIMIT).inc()
    answer = problem(request, 409, Reason.CONCURRENCY_LIMIT, "too many streams are playing")
    answer.body = msgspec.json.encode(
        {
            "code": Reason.CONCURRENCY_LIMIT,
            "number": CODES[Reason.CONCURRENCY_LIMIT].number,
            "sessions": occupied.others,
        }
    )
    answer.content_type = "application/json"
    return answer


def wanted_class(request: web.Request, stream: Stream, ceiling: TrackType, now: float) -> ManifestClass:
    """The class that the query asks for, over the stream's default, within what the stream's scenes let it play.

    ``level`` says how well the device guards keys where that is not told by the key systems. Raises
    :class:`RequestError`.
    """
    default = stream.config.default_class()
    query = request.query
    try:
        scheme = Scheme(query.get("scheme", _usual_scheme(request, stream)))
        signalling = Signalling(query.get("signalling", default.signalling))
        asked = query["systems"].split(",") if "systems" in query else default.systems
        systems = tuple(sorted({System(name) for name in asked}))
        asked_track = TrackType(query.get("max_track", ceiling))
        level = _LEVELS[query.get("level", "L1")]
    except ValueError as err:
        raise RequestError(f"scheme, signalling, systems or max_track: {err}") from None
    except KeyError:
        raise RequestError("level: L1 or L3") from None
    top = min(ceiling, asked_track, key=lambda track: track.rank)
    return stream.class_for(ManifestClass(scheme, signalling, systems), top, now, level)


def _usual_scheme(request: web.Request, stream: Stream) -> Scheme:
    """What a player gets that asks for no scheme: the stream's, or AES-128 if it cannot play that.

    Players built on libavformat have no CDM and read key IDs from ``tenc`` alone.
    """
    plain = request.headers.get("User-Agent", "").startswith(_WITHOUT_CDM)
    if plain and request.match_info["index"] == ENTRY_HLS and Scheme.AES128 in stream.config.schemes:
        return Scheme.AES128
    return stream.config.scheme
