"""Proof of possession on the player listener (RFC 9449): asked for, and answered with the nonce for the next one."""

from aiohttp import web

from relay.facts import Facts
from relay.gate.gate import Visitor
from relay.node import NODE
from relay.problems import NONCE_HEADER
from relay.verdict import Deny

_NONCE = web.RequestKey("proof_nonce", str)


def check_possession(request: web.Request, visitor: Visitor, facts: Facts) -> Deny | None:
    """Whether a request by a session's URL lacks the proof that its session is bound to."""
    node = request.app[NODE]
    refused = node.gate.check_possession(visitor, facts, node.clock())
    if refused is None:
        note_nonce(request, visitor)
    return refused


def note_nonce(request: web.Request, visitor: Visitor) -> None:
    """Let the answer to a request that was proven bring the nonce that is given out now (RFC 9449 §8.2)."""
    node = request.app[NODE]
    nonce = node.gate.nonce_for(visitor, node.clock())
    if nonce:
        request[_NONCE] = nonce


async def add_nonce(request: web.Request, response: web.StreamResponse) -> None:
    """Add the nonce to an answer, unless a cache could bring it back when it is no longer fresh."""
    if _NONCE in request and "max-age" not in response.headers.get("Cache-Control", ""):
        response.headers[NONCE_HEADER] = request[_NONCE]
