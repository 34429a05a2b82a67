"""Licences on the player listener: one URL for every DRM system, which the challenge tells."""

import asyncio
import re
from functools import partial

from aiohttp import web
from msgspec import Struct

from keys.errors import LicenceRequestError
from keys.licences.detect import Detected, DrmSystem, Wrapping, detect, wrap
from relay.edge.admission import admit
from relay.edge.clear_key import granted_in_clear, kids_asked_for, made_before, make
from relay.edge.drm import answer_challenge
from relay.edge.facts import facts_of
from relay.edge.licensed import note_in_clear, note_refused, note_turned_away
from relay.edge.own_licence import answer_own
from relay.edge.possession import check_possession
from relay.edge.respond import SECRET
from relay.edge.visit import Result, Visit, serve
from relay.errors import RefusedError, RequestError
from relay.licensing.workers import LicencesBusyError
from relay.links import LICENCE_PATH, licence_link
from relay.model import ManifestClass
from relay.node import NODE
from relay.operation import JSON, SESSION_TOKEN, Media, Operation
from relay.problems import denied, tell_playready
from relay.roles import EVERYONE
from relay.verdict import Deny, Reason

BODY_TIMEOUT_S = 10.0
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")
CERTIFICATE_PATH = f"{LICENCE_PATH}/fairplay-certificate"


def licence_url(request: web.Request, visit: Visit) -> str:
    """The absolute licence URL of a session. It holds no ``&``, so it reads the same in HLS and in XML."""
    base = visit.node.config.edge.public_url or f"{request.scheme}://{_host_of(request)}"
    return base + licence_link(visit.node.gate.pass_of(visit.visitor), visit.stream.name, visit.cls)


async def post_licence(request: web.Request) -> web.StreamResponse:
    """Answer a licence challenge: by the session URL from a manifest, or by a token and ``stream_id``.

    The challenge tells its DRM system, and is wrapped as players of that system do; so is the licence. PlayReady
    clients are told of errors by SOAP faults (status 500 or above).
    """
    if "AcquireLicense" in request.headers.get("SOAPAction", ""):
        tell_playready(request, Wrapping(DrmSystem.PLAYREADY))
    visit = _visit_of_licence(request)
    if isinstance(visit, Deny):
        note_turned_away(request, visit)
        return denied(request, visit)
    return await serve(request, visit, lambda: _answer(request, visit), "licence")


async def get_certificate(request: web.Request) -> web.StreamResponse:
    """The FairPlay certificate (DER), which players need to make a challenge. It is public."""
    certificate = request.app[NODE].licences.material.fairplay_certificate
    if certificate is None:
        return denied(request, Deny(Reason.SYSTEM_UNSUPPORTED, "no licences of fairplay are issued here"))
    headers = {"Cache-Control": "public, max-age=300"}
    return web.Response(body=certificate, content_type="application/octet-stream", headers=headers)


async def _answer(request: web.Request, visit: Visit) -> Result:
    expected = _expected_system(request)
    try:
        made = await _made(request, visit, expected)
    except RefusedError as err:
        note_refused(visit, err.reason)
        raise
    if isinstance(made, Deny):
        note_refused(visit, made.reason)
    return made


async def _made(request: web.Request, visit: Visit, expected: DrmSystem | None) -> Result:
    try:
        detected = detect(await _body(request), request.headers.get("Content-Type", ""), expected)
    except LicenceRequestError as err:
        raise RequestError(str(err)) from None
    except (web.RequestPayloadError, TimeoutError):
        raise RequestError("the body is broken, or took too long") from None
    if detected.system is DrmSystem.PLAYREADY:
        tell_playready(request, detected.wrapping)
    if detected.system is DrmSystem.CLEARKEY:
        made: bytes | Deny = await _clear_key(visit, detected)
    elif detected.system is DrmSystem.RELAY:
        made = await answer_own(visit, detected.challenge)
    else:
        made = await answer_challenge(visit, detected)
    if isinstance(made, Deny):
        return made
    body, content_type = wrap(detected.wrapping, made)
    return web.Response(body=body, headers={**SECRET, "Content-Type": content_type})


async def _clear_key(visit: Visit, detected: Detected) -> bytes:
    kids = kids_asked_for(detected.challenge)
    visit = await visit.caught_up()
    granted = granted_in_clear(visit, kids)
    licence = made_before(granted) or await make(visit, granted)
    note_in_clear(visit, DrmSystem.CLEARKEY, granted)
    return licence


async def _body(request: web.Request) -> bytes:
    if request.content.is_eof():
        # Nearly always: it came with its head.
        return await request.read()
    async with asyncio.timeout(BODY_TIMEOUT_S):
        return await request.read()


def _expected_system(request: web.Request) -> DrmSystem | None:
    name = request.query.get("drm")
    try:
        return None if name is None else DrmSystem(name)
    except ValueError:
        raise RequestError(f"drm is none of {', '.join(DrmSystem)}") from None


def _visit_of_licence(request: web.Request) -> Visit | Deny:
    node = request.app[NODE]
    now = node.clock()
    facts = partial(facts_of, node.config.edge, request)
    if "session" in request.query:
        text, _, rest = request.query["session"].partition("/")
        name, _, cls = rest.partition("/")
        stream = node.stream(name)
        visitor = node.gate.visit(text, name, facts, now)
        found = ManifestClass.parse(cls)
    else:
        name = request.query.get("stream_id", "")
        if not name:
            return Deny(Reason.SCOPE_STREAM, "name the stream in the query: stream_id=…")
        stream = node.stream(name)
        admission = admit(request, stream)
        visitor = admission if isinstance(admission, Deny) else admission.visitor
        found = stream.config.default_class()
    if isinstance(visitor, Deny):
        return visitor
    bound = "session" in request.query and visitor.session.bounds.proof_key
    unproven = check_possession(request, visitor, facts()) if bound else None
    return node.leases.refused(visitor, now) or unproven or Visit(node, stream, visitor, facts, found, "", "")


def _host_of(request: web.Request) -> str:
    if not _HOST.fullmatch(request.host):
        raise RequestError("the Host header is no host")
    return request.host


class LicenceQuery(Struct, frozen=True, kw_only=True):
    """``session`` is in the licence URLs that manifests name; without it, ``stream_id`` goes with a session token.

    ``drm`` says which system the challenge is of, where a player would rather be refused than misread.
    """

    session: str = ""
    stream_id: str = ""
    drm: DrmSystem | None = None


_BINARY = "application/octet-stream"
_XML = "text/xml"
OPERATIONS = (
    Operation(
        method="POST",
        path=LICENCE_PATH,
        handler=post_licence,
        tag="Players",
        roles=EVERYONE,
        other_credential=SESSION_TOKEN,
        query=LicenceQuery,
        body=Media.of(_BINARY, JSON, _XML),
        answers={200: Media.of(_BINARY, JSON, _XML)},
        errors=(RequestError, LicencesBusyError, *Reason),
    ),
    Operation(
        method="GET",
        path=CERTIFICATE_PATH,
        handler=get_certificate,
        tag="Players",
        roles=EVERYONE,
        answers={200: Media.of(_BINARY)},
        errors=(Reason.SYSTEM_UNSUPPORTED,),
    ),
)
