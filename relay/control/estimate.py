"""``POST /api/v1/drm/license/estimate``: how many licences an audience asks for, and how fast. Changes nothing."""

import msgspec
from aiohttp import web

from relay.control.requests import decode, json_answer
from relay.licensing.estimate import Estimate, Usage, estimate
from relay.operation import Operation
from relay.roles import OPERATORS

_body: msgspec.json.Decoder[Usage] = msgspec.json.Decoder(Usage)


async def post_estimate(request: web.Request) -> web.Response:
    """Estimate what a usage asks for."""
    return json_answer(estimate(decode(await request.read(), _body)))


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v1/drm/license/estimate",
        handler=post_estimate,
        tag="Licences",
        roles=OPERATORS,
        body=Usage,
        answers={200: Estimate},
    ),
)
