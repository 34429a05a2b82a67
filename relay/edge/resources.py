"""Everything below a session's class folder: manifests, init and media segments, clear resources, keys."""

from aiohttp import web

from relay.bodies import Whole
from relay.edge.licence import licence_url
from relay.edge.respond import FRESH, MEDIA, SECRET, Answer
from relay.edge.visit import Result, Visit, serve, visit_of
from relay.errors import UrlError
from relay.manifest.context import LICENCE_URL
from relay.manifests import ManifestRequest
from relay.problems import denied
from relay.streams import ENTRY_DASH, ENTRY_HLS
from relay.templates import resolve_template
from relay.urls import ClearRef, InitRef, KeyRef, PlaylistRef, SegmentRef, SlotRef, TemplateRef
from relay.verdict import Deny, Reason

HLS_TYPE = "application/vnd.apple.mpegurl"
DASH_TYPE = "application/dash+xml"
_HOLD_PARAMETERS = ("_HLS_msn", "_HLS_part")


async def get_resource(request: web.Request) -> web.StreamResponse:
    """One resource of a session."""
    visit = visit_of(request)
    if isinstance(visit, Deny):
        return denied(request, visit)
    if visit.rest in (ENTRY_HLS, ENTRY_DASH):
        return await serve(request, visit, _entry_manifest, "manifest")
    ref, value = visit.stream.read_url(visit.cls, visit.rest, visit.query)
    match ref:
        case PlaylistRef():
            return await serve(request, visit, lambda req, vis: _playlist(req, vis, ref), "manifest")
        case InitRef():
            return await serve(request, visit, lambda _, vis: _init(vis, ref), "init")
        case SegmentRef():
            return await serve(request, visit, lambda _, vis: _segment(vis, ref), "segment")
        case TemplateRef():
            if value is None:
                raise UrlError("a template needs its value")
            context = visit.stream.context(visit.cls)
            segment = resolve_template(ref, value, context.schedule, context.generation_at)
            if isinstance(segment, ClearRef):
                return await serve(request, visit, lambda _, vis: _clear(vis, segment), "clear")
            return await serve(request, visit, lambda _, vis: _segment(vis, segment), "segment")
        case ClearRef():
            return await serve(request, visit, lambda _, vis: _clear(vis, ref), "clear")
        case KeyRef():
            return await serve(request, visit, lambda _, vis: _key(vis, ref), "key")


async def _entry_manifest(request: web.Request, visit: Visit) -> Result:
    return await _manifest(request, visit, ManifestRequest(visit.stream.name, visit.cls, visit.rest))


async def _playlist(request: web.Request, visit: Visit, ref: PlaylistRef) -> Result:
    refused = visit.node.gate.may_have(visit.visitor, ref.track) if ref.track else None
    if refused:
        return refused
    hold = "&".join(
        f"{name}={int(request.query[name])}" for name in _HOLD_PARAMETERS if request.query.get(name, "").isdecimal()
    )
    return await _manifest(request, visit, ManifestRequest(visit.stream.name, visit.cls, visit.rest, ref, hold))


async def _manifest(request: web.Request, visit: Visit, wanted: ManifestRequest) -> Result:
    node = visit.node
    renewed = node.gate.renewed(visit.visitor, node.clock())
    if renewed and "pass" in request.match_info:
        # A session that goes on gets a later pass, without the platform being asked.
        location = request.raw_path.replace(request.match_info["pass"], node.gate.pass_of(renewed), 1)
        return web.Response(status=302, headers={"Location": location, **SECRET})
    manifest = await node.manifests.get(visit.stream, wanted)
    body = manifest.rewritten.body
    if manifest.names_licence:
        body = body.replace(LICENCE_URL.encode(), licence_url(request, visit).encode())
    media_type = DASH_TYPE if wanted.at == ENTRY_DASH else HLS_TYPE
    return Answer(Whole(body, manifest.etag, media_type), FRESH)


async def _init(visit: Visit, ref: InitRef) -> Result:
    refused = _check_slot(visit, ref.slot)
    return refused or Answer(await visit.node.delivery.init(visit.stream, visit.cls.scheme, ref), MEDIA)


async def _segment(visit: Visit, ref: SegmentRef) -> Result:
    refused = _check_slot(visit, ref.slot)
    return refused or Answer(await visit.node.delivery.segment(visit.stream, visit.cls.scheme, ref), MEDIA)


async def _clear(visit: Visit, ref: ClearRef) -> Result:
    return Answer(await visit.node.delivery.clear(visit.stream, ref), MEDIA)


async def _key(visit: Visit, ref: KeyRef) -> Result:
    node, stream = visit.node, visit.stream
    await node.manifests.ensure_timeline(stream)
    refused = _check_slot(visit, ref.slot)
    if refused:
        return refused
    period = ref.slot.period
    if period is not None and not stream.timeline.released(period, node.clock()):
        return Deny(Reason.KEY_PENDING, "this key is not released yet")
    key = stream.content_key(stream.slot(ref.slot, visit.cls.scheme)).key
    return Answer(Whole(key, "", "application/octet-stream"), SECRET)


def _check_slot(visit: Visit, slot: SlotRef) -> Deny | None:
    return visit.node.gate.may_have(visit.visitor, slot.track)
