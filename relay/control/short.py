"""``POST /api/v1/drm/revoke``: the short form, one target by name."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from relay.control.idempotency import Reply, once
from relay.control.notes import NOTES
from relay.control.records import report_of
from relay.control.requests import actor_of, decode
from relay.errors import RequestError
from relay.gate.targets import Target, TargetType
from relay.node import NODE
from relay.sessions.revocations import Order

_Id = Annotated[str, Meta(min_length=1, max_length=128)]


class RevokeBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exactly one of the ids. ``issuer`` narrows an account or device to one token issuer; without it, at all."""

    session_id: _Id | None = None
    account_id: _Id | None = None
    device_id: _Id | None = None
    watermark_id: _Id | None = None
    issuer: Annotated[str, Meta(max_length=512)] = ""
    reason: Annotated[str, Meta(max_length=512)] = ""


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
    done = await request.app[NODE].revocations.submit([Order(target, reason=reason)], actor)
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
        {
            "id": event.id,
            "target": {"type": target.type, "value": target.value},
            "accepted_at": done.accepted_at,
            "expires_at": event.expires_at,
            "sessions_cut": done.cut.sessions,
            "responses_cut": done.cut.responses,
            "applied_ms": round(done.applied_ms, 3),
            "nodes": [report_of(report) for report in done.nodes],
        }
    )
