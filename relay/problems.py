"""How refusals and failures leave the relay; the one place that decides it.

Players retry 5xx and time-outs and take 4xx as final, so final refusals are 4xx and temporary ones 5xx.
Media paths answer with one short line, APIs with a problem document (RFC 9457); both carry the reason in
a header. Nothing of the inside leaves: no origin address, no exception text, no token.
"""

from collections.abc import Mapping
from math import ceil
from secrets import token_hex
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from keys.licences.detect import Wrapping, wrap
from keys.licences.playready import Status, fault
from relay.codes import CODES
from relay.errors import ProtocolVersionError, RefusedError, RelayError, RequestError
from relay.telemetry.metrics import DENIED, FAILED
from relay.verdict import Deny, Reason

REASON_HEADER = "Relay-Reason"
REQUEST_ID_HEADER = "X-Request-Id"
NUMBER_HEADER = "Relay-Reason-Number"
NONCE_HEADER = "DPoP-Nonce"
API_PREFIXES = ("/api/", "/taas/")
RETRY_AFTER_MS = 1000
"""When asking again is right, where nothing better is known."""

_CHALLENGES: Mapping[str, str] = {
    Reason.PROOF_MISSING: "DPoP",
    Reason.PROOF_INVALID: "DPoP",
    Reason.PROOF_NONCE: 'DPoP error="use_dpop_nonce"',
}
"""RFC 9449 §7.1, §9."""
_FAULTS: Mapping[str, Status] = {
    RequestError.code: Status.INVALID_MESSAGE,
    ProtocolVersionError.code: Status.PROTOCOL_VERSION,
    Reason.DEVICE_REVOKED: Status.DEVICE_REVOKED,
    RelayError.code: Status.INTERNAL,
}
"""Of PlayReady; anything else is the service's own affair."""
_REQUEST_ID = web.RequestKey("request_id", str)
_PLAYREADY = web.RequestKey("playready", Wrapping)
SHOW_REASON = web.AppKey("show_reason", bool)
_log = structlog.get_logger()


def denied(request: web.Request, deny: Deny) -> web.Response:
    """The answer to a request the gate refused."""
    DENIED.labels(deny.reason).inc()
    status, headers = deny.answer or (CODES[deny.reason].status, {})
    answer = problem(request, status, deny.reason, deny.detail)
    answer.headers.update(headers)
    if deny.nonce:
        answer.headers[NONCE_HEADER] = deny.nonce
    return answer


def problem(
    request: web.Request, status: int, code: str, detail: str, members: Mapping[str, Any] | None = None
) -> web.Response:
    """An error answer in the form that the path's clients read; ``members`` are further ones of the document.

    ``code`` is one of :data:`relay.codes.CODES`.
    """
    headers = {"Cache-Control": "no-store", REQUEST_ID_HEADER: _id_of(request)}
    if request.app.get(SHOW_REASON, True):
        headers[REASON_HEADER] = code
        headers[NUMBER_HEADER] = str(CODES[code].number)
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGES.get(code, "Bearer")
    members = dict(members or {})
    if status in (429, 503):
        wait_ms = members.setdefault("retry_after_ms", RETRY_AFTER_MS)
        headers["Retry-After"] = str(ceil(wait_ms / 1000))
    if _PLAYREADY in request:
        text = fault(_FAULTS.get(code, Status.SERVICE_SPECIFIC), f"{code}: {detail}" if detail else code)
        answer, content_type = wrap(request[_PLAYREADY], text)
        headers["Content-Type"] = content_type
        return web.Response(status=max(status, 500), body=answer, headers=headers)
    if not request.path.startswith(API_PREFIXES):
        return web.Response(status=status, text=f"{code}\n", headers=headers)
    body = {
        "type": f"urn:segmentgate:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "number": CODES[code].number,
        "detail": detail,
        "instance": f"urn:segmentgate:request:{_id_of(request)}",
        **members,
    }
    if CODES[code].aliases:
        body["aliases"] = CODES[code].aliases
    return web.Response(
        status=status, body=msgspec.json.encode(body), headers=headers, content_type="application/problem+json"
    )


def tell_playready(request: web.Request, wrapping: Wrapping) -> None:
    """From now on answer errors of a request by SOAP faults, wrapped as its challenge was."""
    request[_PLAYREADY] = wrapping


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Render whatever a handler raises."""
    try:
        return await handler(request)
    except web.HTTPException as err:
        # The router's own 404 and 405, and 413 for a body over the limit.
        if err.status < 400:
            raise
        code = err.reason.lower().replace(" ", "_")
        answer = problem(request, err.status, code if code in CODES else RequestError.code, err.reason)
        if "Allow" in err.headers:
            answer.headers["Allow"] = err.headers["Allow"]
        return answer
    except web.RequestPayloadError:
        return problem(request, RequestError.status, RequestError.code, "the body is broken, or broke off")
    except RefusedError as err:
        return denied(request, Deny(err.reason, str(err)))
    except RelayError as err:
        FAILED.labels(err.code).inc()
        # What a client may read may quote what it sent, a token in the wrong place among it: not for the log.
        told = {} if err.public else {"detail": str(err)}
        _log.warning("request_failed", code=err.code, request_id=_id_of(request), **told)
        detail = str(err) if err.public else err.code.replace("_", " ")
        return problem(request, err.status, err.code, detail, err.members)
    except Exception:
        FAILED.labels("internal").inc()
        _log.exception("bug", request_id=_id_of(request))
        return problem(request, 500, "internal", "internal error")


def _id_of(request: web.Request) -> str:
    """The id by which an answer's recipient and the log speak of the same request; made when first needed."""
    if _REQUEST_ID not in request:
        request[_REQUEST_ID] = token_hex(8)
    return request[_REQUEST_ID]
