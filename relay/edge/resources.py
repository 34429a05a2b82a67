"""Everything below a session's class folder: manifests, init and media segments, clear resources, keys."""

import re
from dataclasses import replace
from hashlib import blake2b

from aiohttp import web

from keys.model import TrackType
from relay.bodies import Whole
from relay.edge.facts import client_address, client_asn
from relay.edge.licence import licence_url
from relay.edge.marked import marked_segment, marking_of
from relay.edge.next_keys import next_keys_header
from relay.edge.respond import FRESH, MEDIA, SECRET, Answer
from relay.edge.visit import Result, Visit, serve, unproven, visit_of
from relay.manifest.context import LICENCE_URL
from relay.manifests import Manifest, ManifestRequest
from relay.problems import denied
from relay.sessions.leases import Pending
from relay.streams import ENTRY_DASH, ENTRY_HLS
from relay.urls import ClearRef, InitRef, KeyRef, PlaylistRef, SegmentRef, SlotRef
from relay.verdict import Deny, Reason

HLS_TYPE = "application/vnd.apple.mpegurl"
DASH_TYPE = "application/dash+xml"
_NUMBER = re.compile(r"[0-9]{1,15}")
_HELD = ("_HLS_msn", "_HLS_part")


async def get_resource(request: web.Request) -> web.StreamResponse:
    """One resource of a session."""
    visit = visit_of(request)
    if isinstance(visit, Deny):
        return denied(request, visit)
    if visit.rest in (ENTRY_HLS, ENTRY_DASH):
        entry = ManifestRequest(visit.stream.name, visit.cls, visit.rest)
        return await serve(request, visit, lambda: _manifest(request, visit, entry), "manifest")
    ref = visit.stream.read_url(visit.cls, visit.rest, visit.query)
    match ref:
        case PlaylistRef():
            return await serve(request, visit, lambda: _playlist(request, visit, ref), "manifest")
        case InitRef():
            return await serve(request, visit, lambda: _init(visit, ref), "init")
        case SegmentRef():
            return await serve(request, visit, lambda: _segment(request, visit, ref), "segment")
        case ClearRef():
            return await serve(request, visit, lambda: _clear(visit, ref), "clear")
        case KeyRef():
            return await serve(request, visit, lambda: _key(request, visit, ref), "key")


async def _playlist(request: web.Request, visit: Visit, ref: PlaylistRef) -> Result:
    refused = visit.node.gate.may_have(visit.visitor, ref.track) if ref.track else None
    if refused:
        return refused
    wanted = ManifestRequest(visit.stream.name, visit.cls, visit.rest, ref)
    held = {name: request.query[name] for name in _HELD if _NUMBER.fullmatch(request.query.get(name, ""))}
    if "_HLS_msn" not in held:
        return await _manifest(request, visit, wanted)
    wanted = replace(wanted, hold="&".join(f"{name}={value}" for name, value in held.items()))
    return await _manifest(request, visit, wanted, int(held["_HLS_msn"]))


async def _manifest(request: web.Request, visit: Visit, wanted: ManifestRequest, held: int | None = None) -> Result:
    manifests = visit.node.manifests
    while True:
        visit = visit.current
        if held is None:
            manifest = await manifests.get(visit.stream, wanted)
        else:
            manifest = await manifests.get_held(visit.stream, wanted, held)
        # Above all one that was held tells of segments that came after a change: they must not be under old keys.
        if visit.current is visit:
            return await _answer(request, visit, wanted, manifest)


async def _answer(request: web.Request, visit: Visit, wanted: ManifestRequest, manifest: Manifest) -> Answer:
    body, etag = manifest.body, manifest.etag
    if manifest.names_licence:
        url = licence_url(request, visit).encode()
        body = body.replace(LICENCE_URL.encode(), url)
        # Another session's licence URL makes other bytes, and one tag must never stand for both.
        etag = f'{etag[:-1]}-{blake2b(url, digest_size=6).hexdigest()}"'
    headers = {**FRESH, **await next_keys_header(visit, visit.node.clock())}
    return Answer(Whole(body, etag, DASH_TYPE if wanted.at == ENTRY_DASH else HLS_TYPE), headers)


async def _init(visit: Visit, ref: InitRef) -> Result:
    refused = _check_slot(visit, ref.slot)
    return refused or Answer(await visit.node.delivery.init(visit.stream, visit.cls.scheme, ref), MEDIA)


async def _segment(request: web.Request, visit: Visit, ref: SegmentRef) -> Result:
    refused = may_play(visit, ref)
    if refused:
        return refused
    edge, agent = visit.node.config.edge, request.headers.get("User-Agent", "")
    note_played(visit, ref, client_address(edge, request), agent, client_asn(edge, request))
    refused = await _beat(visit)
    if refused:
        return refused
    marking = marking_of(visit, ref)
    if marking is None:
        body = await visit.node.delivery.segment(visit.stream, visit.cls.scheme, ref)
    else:
        chosen = await marked_segment(request, visit, marking, ref)
        if isinstance(chosen, Deny):
            return chosen
        body = chosen
    return Answer(body, {**MEDIA, **await next_keys_header(visit, visit.node.clock())})


def may_play(visit: Visit, ref: SegmentRef) -> Deny | None:
    """Whether a segment is for a visitor and his class of devices."""
    refused = _check_slot(visit, ref.slot)
    if not refused and visit.stream.withholds(visit.cls, ref.slot):
        # Without its key it would freeze the picture; refused, it makes players change to a lesser rendition.
        refused = Deny(Reason.SECURITY_LEVEL, f"this scene's {ref.slot.track} is not for this class of devices")
    return refused


async def _beat(visit: Visit) -> Deny | None:
    """Hold a viewer's slot for him. Only his first request on a node may wait for others' word."""
    node, now = visit.node, visit.node.clock()
    beat = node.leases.beat(visit.visitor, now, visit.stream.timeline.segment_s)
    return await node.leases.resume(beat, now) if isinstance(beat, Pending) else beat


def note_played(visit: Visit, ref: SegmentRef, address: str, agent: str, asn: int) -> None:
    """Note that a viewer plays, asking from there with some User-Agent, and the signs of sharing that this gives."""
    node = visit.node
    signals = node.presence.played(
        visit.visitor,
        node.clock(),
        address,
        agent,
        asn,
        # Of video alone: the audio that goes with it is no faster watching.
        duration_s=0.0 if ref.slot.track is TrackType.AUDIO else visit.stream.timeline.segment_s,
    )
    if signals:
        node.signals.note(signals)


async def _clear(visit: Visit, ref: ClearRef) -> Result:
    return Answer(await visit.node.delivery.clear(visit.stream, ref), MEDIA)


async def _key(request: web.Request, visit: Visit, ref: KeyRef) -> Result:
    refused = unproven(request, visit) or _check_slot(visit, ref.slot)
    if refused:
        return refused
    visit = await visit.caught_up()
    node, stream = visit.node, visit.stream
    slot = stream.slot(ref.slot, visit.cls.scheme)
    if not stream.in_clear(slot):
        return Deny(Reason.SECURITY_LEVEL, f"keys of {ref.slot.track} are given in licences only")
    period = ref.slot.period
    now = node.clock()
    if period is not None and not stream.timeline.released(period, now):
        return Deny(Reason.KEY_PENDING, "this key is not released yet")
    if period is not None and not stream.timeline.may_be_told(period, now):
        return Deny(Reason.SCOPE_KEY, "what this key is for has left the window")
    key = stream.content_key(slot).key
    return Answer(Whole(key, "", "application/octet-stream"), SECRET)


def _check_slot(visit: Visit, slot: SlotRef) -> Deny | None:
    return visit.node.gate.may_have(visit.visitor, slot.track)
