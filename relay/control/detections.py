"""``/api/v1/drm/watermark/detections``: what detectors found in leaked copies, and what people say of it."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from relay.api.marks import Detected, DetectionBody, DetectionPage, Said, VerdictBody
from relay.api.revocations import Done, Id
from relay.control.errors import BodyError, BusyError, ConflictError, Flaw, NotFoundError, WebhookSignatureError
from relay.control.idempotency import Reply, once
from relay.control.mappings import session_ids
from relay.control.moments import read_moment
from relay.control.notes import NOTES
from relay.control.pages import PageQuery, cursor_of, place_of
from relay.control.records import outcome_of
from relay.control.requests import CALLER, actor_of, decode, json_answer, read_query
from relay.gate.targets import Target, TargetType
from relay.node import NODE, Node
from relay.operation import IDEMPOTENCY_KEY, WEBHOOK_SIGNATURE, Header, Operation
from relay.purchases.signatures import ID, SIGNATURE, TIMESTAMP, SignatureError
from relay.roles import OPERATORS, READERS, REVOKERS
from relay.sessions.revocations import Order
from relay.state.replica import Wait
from relay.watermark.detections.detectors import NEVER
from relay.watermark.detections.records import (
    DETECTION_KIND,
    VERDICT_KIND,
    Decision,
    Detection,
    DetectionState,
    Verdict,
    content_of,
    encode,
)

PATH = "/api/v1/drm/watermark/detections"
MAX_EVIDENCE = 4096
ANSWER_S = 5.0
"""How long a verdict that does not suffice waits for nodes: two may each hear of one at the same time."""
_body: msgspec.json.Decoder[DetectionBody] = msgspec.json.Decoder(DetectionBody)
_verdict: msgspec.json.Decoder[VerdictBody] = msgspec.json.Decoder(VerdictBody)
_names: msgspec.msgpack.Decoder[str] = msgspec.msgpack.Decoder(Annotated[str, Meta(max_length=32)])


class DetectionsQuery(PageQuery, frozen=True, kw_only=True):
    """``state``: those that this became of."""

    state: DetectionState | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class _Teller:
    """Who tells of a detection, and what its word is worth. ``trusted``: with what is known of viewers."""

    name: str
    actor: str
    revoke_at: float
    approvals: int
    trusted: bool = False


async def post_detection(request: web.Request) -> web.Response:
    """Tell of a watermark that was found. Of a detector that signs, its confidence may suffice to revoke at once.

    Signed as Standard Webhooks by a configured detector, or with an API key: then it waits for people, whatever its
    confidence.
    """
    node, raw = request.app[NODE], await request.read()
    teller = _teller(request, raw)
    detection = _detection(teller, raw, node.clock())
    known = node.marks.detection(detection.name, node.clock())
    if known is not None:
        if known.content != detection.content:
            raise ConflictError("a detection of this detector and id was told before, and said something else")
        done = None if _was_revoked(node, known) else await _revoke_if_due(request, known, teller.actor)
        return Reply.json(_shown(node, known, done, teller.trusted), 201).response(repeated=True)
    if not node.marks.has_room(DETECTION_KIND):
        raise BusyError("as many detections are kept as may be", 60)
    # First of all, for somebody is leaking: a detector that gets no answer tells of it again.
    done = await _revoke(request, detection, teller.actor) if detection.certain else None
    expires_at = detection.accepted_at + node.config.watermark.retention.seconds
    await node.registry.put(
        [node.registry.draft(DETECTION_KIND, detection.name, encode(detection), teller.actor, expires_at)]
    )
    effect = {"id": detection.name, "watermark": detection.watermark_id, "confidence": detection.confidence}
    request.app[NOTES].audit(teller.actor, "watermark.detections.post", effect | {"revoked": detection.certain})
    return Reply.json(_shown(node, detection, done, teller.trusted), 201).response()


async def get_detections(request: web.Request) -> web.Response:
    """What was detected, the latest first: all, or those that something became of."""
    node, query = request.app[NODE], read_query(request, DetectionsQuery)
    now = node.clock()
    found = node.marks.detections(now)
    if query.state is not UNSET:
        found = [one for one in found if node.marks.state(one, now) is query.state]
    after = place_of(query.cursor, _names)
    at = next((number + 1 for number, one in enumerate(found) if one.name == after), 0) if after else 0
    page = found[at : at + query.limit]
    more = cursor_of(page[-1].name) if at + query.limit < len(found) else None
    return json_answer(DetectionPage(detections=[_shown(node, one) for one in page], next=more))


async def get_detection(request: web.Request) -> web.Response:
    """One detection."""
    return json_answer(_shown(request.app[NODE], _find(request)))


async def post_approve(request: web.Request) -> web.Response:
    """Approve a detection. Its watermark is revoked when as many API keys have as must; a key counts once."""
    return await _say(request, Decision.APPROVE)


async def post_dismiss(request: web.Request) -> web.Response:
    """Dismiss a detection: nothing is revoked for it, whoever approves it later."""
    return await _say(request, Decision.DISMISS)


async def _say(request: web.Request, decision: Decision) -> web.Response:
    raw = await request.read()

    async def act() -> Reply:
        node, detection = request.app[NODE], _find(request)
        body, actor = decode(raw or b"{}", _verdict), actor_of(request)
        before = node.marks.state(detection, node.clock())
        wanted = DetectionState.DISMISSED if decision is Decision.DISMISS else DetectionState.REVOKED
        if before is not DetectionState.PENDING:
            if before is not wanted:
                raise ConflictError(f"the detection is {before} already")
            done = None if _was_revoked(node, detection) else await _revoke_if_due(request, detection, actor)
            return Reply.json(_shown(node, detection, done))
        said = Verdict(
            detection=detection.name,
            key=request[CALLER].key.name,
            actor=actor,
            decision=decision,
            at=node.clock(),
            reason=body.reason,
        )
        await _put(node, detection, said)
        done = await _revoke_if_due(request, detection, actor)
        state = node.marks.state(detection, node.clock())
        effect = {"id": detection.name, "watermark": detection.watermark_id, "state": state}
        request.app[NOTES].audit(actor, f"watermark.detections.{decision}", effect)
        return Reply.json(_shown(node, detection, done))

    return await once(request, raw, act)


async def _put(node: Node, detection: Detection, said: Verdict) -> None:
    """Make a verdict known. One that does not suffice is known everywhere, or it is clear where not, afterwards."""
    known = [one for one in node.marks.verdicts(detection.name, node.clock()) if one.key != said.key]
    open_still = detection.state([*known, said]) is DetectionState.PENDING
    expires_at = detection.accepted_at + node.config.watermark.retention.seconds
    draft = node.registry.draft(VERDICT_KIND, said.name, encode(said), said.actor, expires_at)
    await node.registry.put([draft], Wait.ALL if open_still else Wait.LOCAL, ANSWER_S)


async def _revoke_if_due(request: web.Request, detection: Detection, actor: str) -> Done | None:
    node = request.app[NODE]
    if node.marks.state(detection, node.clock()) is not DetectionState.REVOKED:
        return None
    return await _revoke(request, detection, actor)


async def _revoke(request: web.Request, detection: Detection, actor: str) -> Done:
    order = Order(_target(detection), reason=detection.reason or "watermark", detail=f"detection:{detection.name}")
    return outcome_of(await request.app[NODE].revocations.submit([order], actor))


def _was_revoked(node: Node, detection: Detection) -> bool:
    """Whether its watermark was ever revoked: what somebody restored since is left so."""
    return node.revocations.revoked.get(_target(detection)) is not None


def _target(detection: Detection) -> Target:
    return Target(TargetType.WATERMARK, detection.watermark_id)


def _teller(request: web.Request, raw: bytes) -> _Teller:
    node = request.app[NODE]
    if CALLER in request:
        key = request[CALLER].key
        trusted = key.role in OPERATORS
        return _Teller(f"api:{key.name}", actor_of(request), NEVER, node.config.watermark.approvals, trusted)
    try:
        found = node.policies.detectors.signer(request.headers, raw, node.clock())
    except SignatureError as err:
        raise WebhookSignatureError(f"send an API key, or sign the message: {err}") from None
    return _Teller(f"detector:{found.name}", f"detector:{found.name}", found.revoke_at, found.approvals)


def _detection(teller: _Teller, raw: bytes, now: float) -> Detection:
    body = decode(raw, _body)
    evidence = msgspec.json.encode(body.evidence)
    if len(evidence) > MAX_EVIDENCE:
        raise BodyError([Flaw("/evidence", f"more than {MAX_EVIDENCE} bytes")])
    try:
        detected_at = 0.0 if body.detected_at is None else read_moment(body.detected_at, now)
    except ValueError as err:
        raise BodyError([Flaw("/detected_at", str(err))]) from None
    return Detection(
        detector=teller.name,
        event_id=body.id,
        watermark_id=body.watermark_id,
        confidence=body.confidence,
        revoke_at=teller.revoke_at,
        approvals=teller.approvals,
        accepted_at=now,
        detected_at=detected_at,
        asset=body.asset,
        reason=body.reason,
        evidence=evidence,
        content=content_of(msgspec.msgpack.encode(body, order="deterministic")),
    )


def _find(request: web.Request) -> Detection:
    node = request.app[NODE]
    found = node.marks.detection(request.match_info["id"], node.clock())
    if found is None:
        raise NotFoundError("no such detection is kept here")
    return found


def _shown(node: Node, detection: Detection, done: Done | None = None, trusted: bool = True) -> Detected:
    now = node.clock()
    verdicts = node.marks.verdicts(detection.name, now)
    return Detected(
        id=detection.name,
        detector=detection.detector,
        event_id=detection.event_id,
        watermark_id=detection.watermark_id,
        state=detection.state(verdicts),
        confidence=detection.confidence,
        asset=detection.asset,
        detected_at=detection.detected_at or None,
        accepted_at=detection.accepted_at,
        reason=detection.reason,
        evidence=msgspec.json.decode(detection.evidence or b"{}", type=dict[str, object]),
        approvals_needed=0 if detection.certain else detection.approvals,
        verdicts=[Said(decision=one.decision, by=one.actor, at=one.at, reason=one.reason) for one in verdicts],
        session_ids=session_ids(node, detection.watermark_id) if trusted else UNSET,
        revoked=node.revocations.stands(_target(detection)),
        revocation=done,
    )


_row = partial(Operation, tag="Watermarks")
_say_row = partial(
    _row,
    method="POST",
    roles=OPERATORS,
    body=VerdictBody,
    body_required=False,
    headers=(IDEMPOTENCY_KEY,),
    answers={200: Detected},
    errors=(ConflictError, NotFoundError),
    path_types={"id": Id},
)
OPERATIONS = (
    _row(
        method="POST",
        path=PATH,
        handler=post_detection,
        roles=REVOKERS,
        other_credential=WEBHOOK_SIGNATURE,
        body=DetectionBody,
        headers=(
            Header(ID, "The id of a signed message."),
            Header(TIMESTAMP, "When it was signed, in seconds since the epoch."),
            Header(SIGNATURE, "`v1,` and the base64 of HMAC-SHA-256 over id, time and body, joined by dots."),
        ),
        answers={201: Detected},
        errors=(ConflictError, BusyError, WebhookSignatureError),
    ),
    _row(
        method="GET",
        path=PATH,
        handler=get_detections,
        roles=READERS,
        query=DetectionsQuery,
        answers={200: DetectionPage},
    ),
    _row(
        method="GET",
        path=f"{PATH}/{{id}}",
        handler=get_detection,
        roles=READERS,
        answers={200: Detected},
        errors=(NotFoundError,),
        path_types={"id": Id},
    ),
    _say_row(path=f"{PATH}/{{id}}/approve", handler=post_approve),
    _say_row(path=f"{PATH}/{{id}}/dismiss", handler=post_dismiss),
)
