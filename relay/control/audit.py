"""``GET /api/v1/audit``: who did what, when, to what effect. Nothing is ever taken out of it here."""

import msgspec
from aiohttp import web

from relay.api.audit import AuditEntry, AuditPage
from relay.control.notes import NOTES
from relay.control.pages import POSITIONS, PageQuery, cursor_of, place_of
from relay.control.requests import json_answer, read_query
from relay.operation import Operation
from relay.roles import AUDITORS


async def get_audit(request: web.Request) -> web.Response:
    """A page of what was done on this node, oldest first. Its ``next`` goes on where it ends, at any later time."""
    query = read_query(request, PageQuery)
    after = place_of(query.cursor, POSITIONS) or 0
    entries = await request.app[NOTES].audited(after, query.limit)
    return json_answer(
        AuditPage(
            entries=[
                AuditEntry(
                    position=entry.position,
                    at=entry.at,
                    who=entry.who,
                    what=entry.what,
                    effect=msgspec.Raw(entry.effect.encode()),
                )
                for entry in entries
            ],
            next=cursor_of(entries[-1].position if entries else after),
        )
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v1/audit",
        handler=get_audit,
        tag="Audit",
        roles=AUDITORS,
        query=PageQuery,
        answers={200: AuditPage},
    ),
)
