"""``/api/v1/keys``: content keys for packagers, as CPIX, by SPEKE, and by the packager key request."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from functools import partial
from os import urandom
from typing import Annotated
from uuid import UUID

import structlog
from aiohttp import web
from msgspec import Meta, Struct

from keys.errors import ExchangeError
from keys.exchange import packager, provider
from keys.exchange.model import KeyPeriod, Version
from keys.exchange.packager import KeyRequest, PackagerError, Status
from keys.exchange.speke import SPEKE_VERSION, Speke, question
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from keys.periods import WHOLE
from keys.signalling import systems
from relay.control.errors import ExchangeRefusedError
from relay.control.notes import NOTES
from relay.control.requests import actor_of, read_query
from relay.errors import RelayError
from relay.exchange.given import key_of, wanted_key
from relay.exchange.naming import MAX_START
from relay.model import System
from relay.node import NODE
from relay.operation import JSON, Header, Media, Operation
from relay.roles import ADMINS, EVERYONE
from relay.streams import Stream
from relay.verdict import Reason

CPIX_PATH = "/api/v1/keys/cpix"
SPEKE_PATH = "/api/v1/keys/speke"
PACKAGER_PATH = "/api/v1/keys/widevine"
XML = "application/xml"
_USER_AGENT = "X-Speke-User-Agent"
_SYSTEMS = {
    System.CLEARKEY: systems.COMMON,
    System.WIDEVINE: systems.WIDEVINE,
    System.PLAYREADY: systems.PLAYREADY,
}
"""Those whose signalling fits into a box; FairPlay's is a line for HLS, for which a document has to ask."""
_log = structlog.get_logger()


class CpixQuery(Struct, frozen=True):
    """Which keys are asked for: the stream's scheme and those that do not rotate, unless it says otherwise."""

    stream: str
    scheme: Scheme | None = None
    version: Version = Version.V2_4
    period: Annotated[int, Meta(ge=0, le=MAX_START)] | None = None


async def post_cpix(request: web.Request) -> web.Response:
    """Fill the empty elements of a CPIX document."""
    body = await request.read()
    try:
        answer = await _fill(request, body, "keys.cpix")
    except ExchangeError as err:
        raise ExchangeRefusedError(str(err)) from None
    return _document(answer)


async def get_cpix(request: web.Request) -> web.Response:
    """All keys of a stream under one scheme in one crypto period, as a CPIX document of ``version``.

    ``period`` is the period's start in ms of stream time; without it they are the keys that do not rotate.
    """
    query = read_query(request, CpixQuery)
    stream = request.app[NODE].stream(query.stream)
    scheme = query.scheme or stream.config.scheme
    period = None if query.period is None else KeyPeriod("period", start=query.period)
    # Any will do: they are replaced by those of the keys.
    kids = {track: bytes(15) + bytes([track.rank]) for track in TrackType}
    try:
        asked = question(stream.name, kids, scheme, period, query.version, drm=_systems(stream))
        return _document(await _fill(request, asked, "keys.cpix"))
    except ExchangeError as err:
        raise ExchangeRefusedError(str(err)) from None


async def post_speke(request: web.Request) -> web.Response:
    """SPEKE 2.0 and 2.1. What is refused is told as the protocol does: 422, and why as plain text."""
    body = await request.read()
    try:
        version = Speke.parse(request.headers.get(SPEKE_VERSION))
        answer = await _fill(request, body, "keys.speke", version.cpix)
    except ExchangeError as err:
        return web.Response(
            status=422, text=str(err), headers={"Cache-Control": "no-store", _USER_AGENT: "segmentgate"}
        )
    return _document(answer, {SPEKE_VERSION: version, _USER_AGENT: "segmentgate"})


async def post_widevine(request: web.Request) -> web.Response:
    """The packager key request. Its signature is what authenticates it; a refusal is an answer with a status."""
    node = request.app[NODE]
    body = await request.read()
    try:
        asked = packager.parse(body, node.policies.packagers.get)
        stream = _allowed(request, asked)
        answer = packager.answer(asked, partial(_packager_key, stream, asked, node.clock()))
        await node.salts.settle()
    except PackagerError as err:
        _log.warning("packager_refused", status=err.status, detail=str(err))
        return _raw_json(packager.refusal(err.status))
    except RelayError as err:
        # A key that is not agreed on yet, a journal that cannot be written: packagers ask again.
        _log.warning("packager_refused", status=Status.INTERNAL_ERROR, code=err.code)
        return _raw_json(packager.refusal(Status.INTERNAL_ERROR))
    request.app[NOTES].audit(f"packager:{asked.signer}", "keys.widevine", {"stream": stream.name})
    return _raw_json(answer)


async def _fill(request: web.Request, body: bytes, what: str, version: Version | None = None) -> bytes:
    node, actor = request.app[NODE], actor_of(request)
    given: set[str] = set()

    def provide(wanted: provider.Wanted) -> ContentKey:
        key = wanted_key(node.streams, wanted, node.clock())
        given.add(wanted.content_id)
        return key

    answer = provider.answer(body, provide, urandom, version)
    await node.salts.settle()
    request.app[NOTES].audit(actor, what, {"streams": sorted(given)})
    return answer


def _allowed(request: web.Request, asked: KeyRequest) -> Stream:
    node = request.app[NODE]
    name = asked.content_id.decode("utf-8", "replace")
    allowed = {one.signer: one.streams for one in node.config.packagers}.get(asked.signer, ())
    if name not in allowed or name not in node.streams:
        raise PackagerError(Status.ACCESS_DENIED, "this signer may not ask for keys of this content")
    return node.streams[name]


def _packager_key(stream: Stream, asked: KeyRequest, now: float, track: TrackType, index: int | None) -> ContentKey:
    # Fixed keys are given of streams that rotate, too: packagers ask for them first and use them for nothing.
    start = WHOLE
    try:
        if index is not None and asked.rotation is not None:
            start = stream.periods.indexed(index, asked.rotation.seconds * 1000)
    except ExchangeError as err:
        raise PackagerError(Status.NO_REQUESTED_CRYPTO_PERIODS, str(err)) from None
    try:
        return key_of(stream, track, asked.scheme, start, now)
    except ExchangeError as err:
        raise PackagerError(Status.MALFORMED_REQUEST, str(err)) from None


def password_of(credentials: str) -> str:
    """The password of basic authentication (RFC 7617), "" where there is none: what SPEKE encryptors can send."""
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _systems(stream: Stream) -> Sequence[UUID]:
    return [_SYSTEMS[system] for system in sorted(set(stream.config.systems)) if system in _SYSTEMS]


def _document(body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, content_type=XML, headers={"Cache-Control": "no-store", **(headers or {})})


def _raw_json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


OPERATIONS = (
    Operation(
        method="GET",
        path=CPIX_PATH,
        handler=get_cpix,
        tag="Keys",
        roles=ADMINS,
        query=CpixQuery,
        answers={200: Media.of(XML)},
        errors=(ExchangeRefusedError, Reason.STREAM_UNKNOWN, Reason.KEY_PENDING),
        streams=True,
    ),
    Operation(
        method="POST",
        path=CPIX_PATH,
        handler=post_cpix,
        tag="Keys",
        roles=ADMINS,
        accepts=(XML,),
        body=Media.of(XML),
        answers={200: Media.of(XML)},
        errors=(ExchangeRefusedError, Reason.STREAM_UNKNOWN, Reason.KEY_PENDING),
    ),
    Operation(
        method="POST",
        path=SPEKE_PATH,
        handler=post_speke,
        tag="Keys",
        roles=ADMINS,
        accepts=(XML,),
        body=Media.of(XML),
        headers=(Header(SPEKE_VERSION, "The version of SPEKE that is spoken: 2.0 or 2.1."),),
        answers={200: Media.of(XML), 422: Media.of("text/plain")},
        errors=(Reason.STREAM_UNKNOWN, Reason.KEY_PENDING),
    ),
    Operation(
        method="POST",
        path=PACKAGER_PATH,
        handler=post_widevine,
        tag="Keys",
        roles=EVERYONE,
        body=Media.of(JSON),
        body_required=False,
        answers={200: Media.of(JSON)},
    ),
)
