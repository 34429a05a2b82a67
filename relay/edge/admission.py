"""Admitting a request that carries a platform's token: found, verified, and renewed when it is due."""

from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web

from relay.edge.facts import bare_path, facts_of, watermark_prefix
from relay.edge.possession import note_nonce
from relay.gate.carriers import Carrier, Presented, strip
from relay.gate.gate import Admission
from relay.gate.renewal import RenewalAnswer
from relay.gate.signals import Signal, SignalKind
from relay.node import NODE
from relay.streams import Stream
from relay.verdict import Deny

TOKEN_IN_PATH = "token"
"""The part of a route's path where a token may stand."""
_REDIRECTS: Mapping[int, type[web.HTTPMove]] = {
    301: web.HTTPMovedPermanently,
    302: web.HTTPFound,
    303: web.HTTPSeeOther,
    307: web.HTTPTemporaryRedirect,
    308: web.HTTPPermanentRedirect,
}


def admit(request: web.Request, stream: Stream) -> Admission | Deny:
    """The session that a request's token begins, or the first reason against it."""
    node = request.app[NODE]
    facts = facts_of(node.config.edge, request)
    # The raw element: a link token's MAC stands over its own percent-encoding.
    element = facts.path.split("/")[2] if TOKEN_IN_PATH in request.match_info else ""
    now = node.clock()
    admission = node.gate.admit(Presented(request.headers, facts.query, element), facts, stream.name, now)
    if isinstance(admission, Deny):
        return admission
    note_nonce(request, admission.visitor)
    if admission.reused:
        session = admission.visitor.session
        detail = "a token that should come once came again"
        node.signals.note([Signal(SignalKind.REUSE, session.sid, session.account, stream.name, now, detail)])
    return admission


def renewal_headers(request: web.Request, admission: Admission) -> Mapping[str, str]:
    """Headers that hand a client its renewed token, where one is due.

    Raises a redirect to the same URL where the token travels in it.
    """
    node = request.app[NODE]
    answer = node.gate.renewal(admission, node.clock())
    if answer is None:
        return {}
    if answer.carrier is Carrier.HEADER:
        scheme = "Bearer " if answer.name.lower() == "authorization" else ""
        return {answer.name: f"{scheme}{answer.value}"}
    if answer.carrier is Carrier.COOKIE:
        return {"Set-Cookie": "; ".join([f"{answer.name}={answer.value}", *answer.parameters])}
    raise _REDIRECTS[answer.status](_with_token(request, answer))


def _with_token(request: web.Request, answer: RenewalAnswer) -> str:
    path, query = bare_path(request)
    mark = watermark_prefix(request)
    token = quote(answer.value, safe="~=*!/,.-_")
    if answer.carrier is Carrier.PATH:
        before, _, after = path.split("/", 3)[1:]
        return f"{mark}/{before}/{quote(answer.name)}={token}/{after}" + (f"?{query}" if query else "")
    rest = strip(query, {answer.name})
    return f"{mark}{path}?{rest + '&' if rest else ''}{quote(answer.name)}={token}"
