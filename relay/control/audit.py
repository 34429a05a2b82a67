"""``GET /api/v1/audit``: who did what, when, to what effect. Nothing is ever taken out of it here."""

import msgspec
from aiohttp import web

from relay.control.notes import NOTES
from relay.control.requests import json_answer, read_number, read_page_size

_LAST = 2**63 - 1


async def get_audit(request: web.Request) -> web.Response:
    """A page, oldest first; ``after`` is the position of the last entry seen."""
    after = read_number(request, "after", 0, _LAST)
    entries = await request.app[NOTES].audited(after, read_page_size(request))
    return json_answer(
        {
            "entries": [
                {
                    "position": entry.position,
                    "at": entry.at,
                    "who": entry.who,
                    "what": entry.what,
                    "effect": msgspec.Raw(entry.effect.encode()),
                }
                for entry in entries
            ],
            "next": entries[-1].position if entries else after,
        }
    )
