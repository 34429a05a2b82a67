"""The session's event channel (server-sent events) and the same keys for a single GET.

The next key is pushed when it is released, spread over the lead by a delay that depends on session and
period alone: no crowd asks at a boundary, and nobody has to ask at all. A revoked session is told so
before its connection ends.
"""

from collections.abc import AsyncIterator

from aiohttp import web

from relay.background import in_background
from relay.edge.hub import Hub
from relay.edge.key_bodies import keys_body, keys_json, with_channel_key
from relay.edge.open_channel import Channel
from relay.edge.respond import SECRET
from relay.edge.visit import Result, Visit, serve, unproven, visit_of
from relay.grants import grant
from relay.node import NODE
from relay.problems import denied, problem
from relay.told import Told
from relay.verdict import Deny

HUB = web.AppKey("channels", Hub)
LAST_EVENT_ID = "Last-Event-ID"
LAST_EVENT_QUERY = "last_event_id"
"""The same for a player that opens a new EventSource, which cannot set headers."""

_HEADERS = {**SECRET, "X-Accel-Buffering": "no"}


def add_channels(app: web.Application) -> None:
    """Keep the channels of an application with a node: begun when it starts, ended when it shuts down."""

    async def keep(app: web.Application) -> AsyncIterator[None]:
        app[HUB] = hub = Hub(app[NODE], app[NODE].config.edge.max_connections)
        with app[NODE].changed.listening(hub.changed):
            async with in_background(hub.run()):
                yield

    async def end(app: web.Application) -> None:
        app[HUB].close()

    app.cleanup_ctx.append(keep)
    app.on_shutdown.append(end)


async def get_keys(request: web.Request) -> web.StreamResponse:
    """The keys the session may hold now, as JSON."""
    visit = visit_of(request)
    if isinstance(visit, Deny):
        return denied(request, visit)
    refused = unproven(request, visit)
    if refused:
        return denied(request, refused)
    return await serve(request, visit, lambda: _keys(visit), "keys")


async def get_events(request: web.Request) -> web.StreamResponse:
    """The session's channel. Events:

    * ``keys`` at once and at every release, with an id from which a player that comes back goes on;
    * ``policy`` when a new configuration or policy changed its stream; where there are scenes, also at once and with
      the keys of each period;
    * ``revoked`` or ``ended``, with the reason, as the last one.
    """
    visit = visit_of(request)
    if isinstance(visit, Deny):
        return denied(request, visit)
    refused = unproven(request, visit)
    if refused:
        return denied(request, refused)
    await visit.node.manifests.ensure_timeline(visit.stream)
    # Below nothing waits, so what holds here holds when the channel is added.
    refused = visit.node.gate.recheck(visit.visitor, visit.facts, visit.node.clock())
    if refused:
        return denied(request, refused)
    hub = request.app[HUB]
    if hub.full:
        return problem(request, 503, "overload", "too many channels are open; try again")
    if hub.is_crowded(visit.visitor.session):
        return problem(request, 429, "too_many_channels", "this session has too many channels open; try again")
    response = web.StreamResponse(headers=_HEADERS)
    response.content_type = "text/event-stream"
    response.force_close()
    await response.prepare(request)
    _hand_over(request, response, visit, hub)
    return response


def _hand_over(request: web.Request, response: web.StreamResponse, visit: Visit, hub: Hub) -> None:
    """Give the connection to a channel, and let go of all else that the request holds: several KB for each viewer.

    To aiohttp it looks as if the player had gone, which it is good at.
    """
    connection, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        return
    told = Told.parse(request.headers.get(LAST_EVENT_ID) or request.query.get(LAST_EVENT_QUERY, ""))
    channel = Channel(visit, told, transport, "Transfer-Encoding" in response.headers, hub.forget)
    transport.set_protocol(channel)
    # Without a transport it has nothing to close.
    connection.transport = None
    connection.connection_lost(None)
    hub.add(channel)


async def _keys(visit: Visit) -> Result:
    visit = await visit.caught_up()
    node, stream, session = visit.node, visit.stream, visit.visitor.session
    now = node.clock()
    granted = grant(stream, visit.visitor, visit.cls, now)
    body = keys_body(stream, session, keys_json(stream, granted.slots), granted.newest, now)
    await node.salts.settle()
    body = with_channel_key(body, stream, session)
    return web.Response(body=body, content_type="application/json", headers=SECRET)
