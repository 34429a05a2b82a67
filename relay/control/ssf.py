"""Shared Signals receiver: security events pushed to us (RFC 8935), and what is done about any of them."""

import hmac
from collections.abc import Sequence

import msgspec
import structlog
from aiohttp import web

from relay.control.notes import Notes
from relay.control.ssf_events import Source, SubjectError, orders_of
from relay.control.ssf_tokens import MAX_SET_BYTES, SetError, SetVerifier
from relay.control.transmitters import Transmitter
from relay.errors import RequestError
from relay.node import Node
from relay.operation import TRANSMITTER_TOKEN, Media, Operation
from relay.roles import EVERYONE
from relay.telemetry.metrics import SECURITY_EVENTS

PUSH_PATH = "/ssf/events"
CONTENT_TYPE = "application/secevent+jwt"
MAX_SEEN = 65_536
"""Token ids remembered of each transmitter. One that comes again after that is obeyed again, which changes little."""
_log = structlog.get_logger()


class PushRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a pushed token was not taken (RFC 8935 §2.3); ``err`` is a code of its §2.4."""

    err: str
    description: str


class Receiver:
    """Turns the verified events of one transmitter into revocations."""

    def __init__(self, transmitter: Transmitter, node: Node, notes: Notes) -> None:
        self.transmitter = transmitter
        self._verifier = SetVerifier(transmitter.iss, transmitter.audience, transmitter.keys)
        self._node = node
        self._notes = notes
        self._seen: dict[str, None] = {}

    async def take(self, token: str) -> None:
        """Do what a token asks; durable when this returns. Raises :class:`SetError`, and what a revocation raises."""
        try:
            await self._take(token)
        except SetError as err:
            SECURITY_EVENTS.labels(err.code).inc()
            _log.warning("security_event_refused", transmitter=self.transmitter.iss, code=err.code, detail=str(err))
            raise

    async def _take(self, token: str) -> None:
        now = self._node.clock()
        said = self._verifier.verify(token, now)
        if said.jti in self._seen:
            SECURITY_EVENTS.labels("duplicate").inc()
            return
        source = Source(self.transmitter.iss, self.transmitter.account_issuer, said.issued_at)
        try:
            orders = orders_of(said.events, said.subject, source, now)
        except SubjectError as err:
            raise SetError("invalid_request", str(err)) from None
        if orders:
            try:
                outcome = await self._node.revocations.submit(orders, source.name)
            except RequestError as err:
                # Asked again it would be no better.
                raise SetError("invalid_request", str(err)) from None
            self._notes.audit(
                source.name,
                "security-event",
                {"jti": said.jti, "events": [order.detail for order in orders], "id": outcome.last.id},
            )
        SECURITY_EVENTS.labels("obeyed" if orders else "ignored").inc()
        # Only now: one that could not be made durable must be obeyed when it comes again.
        self._seen[said.jti] = None
        while len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]


RECEIVERS = web.AppKey("receivers", Sequence[Receiver])


async def post_events(request: web.Request) -> web.Response:
    """Take one pushed token: 202 with nothing in it, or 400 with what is wrong (RFC 8935 §2)."""
    receiver = _pusher(request)
    if receiver is None:
        SECURITY_EVENTS.labels("authentication_failed").inc()
        return _refusal(401, SetError("authentication_failed", "send this transmitter's bearer token"))
    if request.content_type != CONTENT_TYPE:
        return _refusal(400, SetError("invalid_request", f"send {CONTENT_TYPE}"))
    try:
        body = await request.read()
        if len(body) > MAX_SET_BYTES:
            raise SetError("invalid_request", f"more than {MAX_SET_BYTES} bytes")
        await receiver.take(body.decode("ascii", "replace").strip())
    except SetError as err:
        return _refusal(400, err)
    return web.Response(status=202)


def _pusher(request: web.Request) -> Receiver | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    sent = token.strip().encode("utf-8", "surrogateescape")
    found = None
    # All are compared, so that the time tells nothing of which there are.
    for receiver in request.app[RECEIVERS]:
        expected = receiver.transmitter.push_token.encode()
        if hmac.compare_digest(sent, expected) and expected:
            found = receiver
    return found if scheme.lower() == "bearer" else None


def _refusal(status: int, err: SetError) -> web.Response:
    headers = {"Cache-Control": "no-store", "Content-Language": "en"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = msgspec.json.encode(PushRefusal(err=err.code, description=str(err)))
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


OPERATIONS = (
    Operation(
        method="POST",
        path=PUSH_PATH,
        handler=post_events,
        tag="Security events",
        roles=EVERYONE,
        other_credential=TRANSMITTER_TOKEN,
        body=Media.of(CONTENT_TYPE),
        answers={202: None, 400: PushRefusal, 401: PushRefusal},
    ),
)
