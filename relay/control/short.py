"""``POST /api/v1/drm/revoke``: the short form, one target by name."""

import msgspec
from aiohttp import web

from relay.api.revocations import NamedTarget, RevokeBody, ShortDone
from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES
from relay.control.records import report_of
from relay.control.requests import actor_of, check_targets, decode
from relay.errors import RequestError
from relay.gate.targets import Target, TargetType
from relay.node import NODE
from relay.operation import IDEMPOTENCY_KEY, Operation
from relay.roles import REVOKERS
from relay.sessions.revocations import Order

_body: msgspec.json.Decoder[RevokeBody] = msgspec.json.Decoder(RevokeBody)


async def post_revoke(request: web.Request) -> web.Response:
    """Stop a session, account, device or watermark now: refuse whatever it asks for and cut what it is being sent."""
    raw = await request.read()

    async def act() -> Reply:
        body = decode(raw, _body)
        return await _revoke(request, target_of(body), body.reason)

    return await once(request, raw, act)


def target_of(body: RevokeBody) -> Target:
    """What a body names. Raises :class:`RequestError`."""
    named = [
        (kind, value)
        for kind, value in (
            (TargetType.SESSION, body.session_id),
            (TargetType.ACCOUNT, body.account_id),
            (TargetType.DEVICE, body.device_id),
            (TargetType.WATERMARK, body.watermark_id),
        )
        if value is not None
    ]
    if len(named) != 1:
        raise RequestError("body: give exactly one of session_id, account_id, device_id and watermark_id")
    kind, value = named[0]
    if body.issuer and kind not in (TargetType.ACCOUNT, TargetType.DEVICE):
        raise RequestError("body: issuer goes with account_id or device_id")
    return Target(kind, value, body.issuer)


async def _revoke(request: web.Request, target: Target, reason: str) -> Reply:
    actor = actor_of(request)
    order = Order(target, reason=reason)
    check_targets(request, [order])
    done = await request.app[NODE].revocations.submit([order], actor)
    event = done.last
    request.app[NOTES].audit(
        actor,
        "drm.revoke",
        {
            "id": event.id,
            "type": target.type,
            "target": target.value,
            "reason": reason,
            "sessions_cut": done.cut.sessions,
            "responses_cut": done.cut.responses,
        },
    )
    return Reply.json(
        ShortDone(
            id=event.id,
            target=NamedTarget(type=target.type, value=target.value),
            accepted_at=done.accepted_at,
            expires_at=event.expires_at,
            sessions_cut=done.cut.sessions,
            responses_cut=done.cut.responses,
            applied_ms=round(done.applied_ms, 3),
            nodes=[report_of(report) for report in done.nodes],
        )
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v1/drm/revoke",
        handler=post_revoke,
        tag="Revocations",
        roles=REVOKERS,
        body=RevokeBody,
        headers=(IDEMPOTENCY_KEY,),
        answers={200: ShortDone},
    ),
)
