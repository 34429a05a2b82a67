"""``/api/v1/purchases``: what shops tell of. One event makes entitlement and licence together, on every node."""

from collections.abc import Sequence

from aiohttp import web

from keys.model import Security
from relay.api.purchases import Entitlement, EntitlementState, Licence, Playback, PurchaseBody, Sold
from relay.control.errors import BodyTooLargeError, ConflictError, MediaTypeError, WebhookSignatureError
from relay.control.idempotency import Reply
from relay.control.notes import NOTES
from relay.control.purchase_events import STRUCTURED, Shop, accepting, read_told
from relay.control.records import report_of
from relay.control.requests import CALLER, actor_of
from relay.gate.gate import Visitor
from relay.links import licence_link, session_link
from relay.model import Session
from relay.node import NODE, Node
from relay.operation import JSON, WEBHOOK_SIGNATURE, Header, Operation
from relay.purchases.records import EventType, Sale
from relay.purchases.signatures import ID, SIGNATURE, TIMESTAMP, SignatureError
from relay.purchases.sources import Source
from relay.purchases.till import SoldOtherwiseError, Taken
from relay.roles import OPERATORS
from relay.streams import ENTRY_DASH, ENTRY_HLS, Stream
from relay.verdict import Reason

PATH = "/api/v1/purchases"
API_CHANNEL = "api"
"""Who tells of an event that came with an API key. No source is called so: their names follow ``shop:``."""


async def post_purchase(request: web.Request) -> web.Response:
    """Take a purchase, refund or cancellation: answered when all nodes know of it, or it is clear which do not.

    Plain JSON, or a CloudEvent in structured (`application/cloudevents+json`) or binary mode (`ce-…` headers), with an
    API key or signed as Standard Webhooks. The same event again, at any node, gets the same entitlement and licence.
    """
    node, body = request.app[NODE], await request.read()
    source = _signer(request, body)
    content_type = request.content_type if "Content-Type" in request.headers else ""
    told = read_told(request.headers, content_type, body, source.types if source else {})
    actor = f"shop:{source.name}" if source else actor_of(request)
    try:
        taken = await node.till.take(accepting(told, _shop(node, source)), actor)
    except SoldOtherwiseError as err:
        raise ConflictError(str(err)) from None
    sold = _sold(node, taken)
    if not taken.repeated:
        effect = {"id": sold.id, "type": sold.type, "account": taken.sale.account, "complete": sold.complete}
        request.app[NOTES].audit(actor, "purchases.post", effect)
    return Reply.json(sold, 201).response(taken.repeated)


def entitlement_of(node: Node, sale: Sale) -> Entitlement:
    """An entitlement as the API shows it."""
    return Entitlement(
        id=sale.name,
        state=_state(node, sale),
        account_id=sale.account,
        issuer=sale.issuer,
        streams=sale.streams,
        product_id=sale.product,
        track=sale.ceiling,
        valid_from=sale.begins_at or int(sale.accepted_at),
        valid_until=sale.ends_at,
        purchase_id=sale.purchase_id,
        event_id=sale.event_id,
        source=sale.source,
        session_id=sale.name,
        device_id=sale.device,
        watermark_id=session.watermark_id if (session := sale.session()) else sale.watermark,
        created_at=sale.accepted_at,
    )


def _state(node: Node, sale: Sale) -> EntitlementState:
    now = node.clock()
    if node.till.ledger.is_returned(sale.purchase, now):
        return EntitlementState.RETURNED
    if sale.ends_at <= now:
        return EntitlementState.EXPIRED
    return EntitlementState.UPCOMING if now < sale.begins_at else EntitlementState.ACTIVE


def _sold(node: Node, taken: Taken) -> Sold:
    sale, put = taken.sale, taken.put
    entitlement = entitlement_of(node, sale) if sale.type is EventType.PURCHASE else None
    session = sale.session()
    if entitlement is None or entitlement.state is EntitlementState.RETURNED:
        session = None
    return Sold(
        id=sale.name,
        type=sale.type,
        event_id=sale.event_id,
        purchase_id=sale.purchase_id,
        entitlement=entitlement,
        licence=None if session is None else _licence(node, sale, session),
        complete=put.complete,
        nodes=[report_of(report) for report in put.nodes],
    )


def _licence(node: Node, sale: Sale, session: Session) -> Licence:
    sealed = node.gate.pass_of(Visitor.of(session, ""))
    streams = [node.streams[name] for name in sale.streams if name in node.streams]
    return Licence(
        session_id=session.sid,
        sealed=sealed,
        valid_from=sale.begins_at or int(sale.accepted_at),
        valid_until=session.expires_at,
        playback=[_playback(node, stream, session, sealed) for stream in streams],
    )


def _playback(node: Node, stream: Stream, session: Session, sealed: str) -> Playback:
    base, config = node.config.edge.public_url, stream.config
    cls = stream.class_for(config.default_class(), session.ceiling, node.clock(), Security.HARDWARE)

    def entry(index: str) -> str:
        return base + session_link(sealed, stream.name, cls, index)

    return Playback(
        stream_id=stream.name,
        license_url=base + licence_link(sealed, stream.name, cls),
        hls=entry(ENTRY_HLS) if config.hls else None,
        dash=entry(ENTRY_DASH) if config.dash else None,
    )


def _signer(request: web.Request, body: bytes) -> Source | None:
    """The source that signed a request; None for one that came with an API key."""
    if CALLER in request:
        return None
    node = request.app[NODE]
    try:
        return node.policies.shops.signer(request.headers, body, node.clock())
    except SignatureError as err:
        raise WebhookSignatureError(f"send an API key, or sign the message: {err}") from None


def _shop(node: Node, source: Source | None) -> Shop:
    config = node.config
    issuers: Sequence[str] = [issuer.iss for issuer in config.tokens.issuers]
    if source and source.issuer:
        issuers = [source.issuer]
    return Shop(
        channel=f"shop:{source.name}" if source else API_CHANNEL,
        issuers=tuple(issuers),
        streams=(source and source.streams) or frozenset(config.streams),
        products=config.purchases.products,
        voucher_s=config.tokens.session_lifetime.seconds,
    )


OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        handler=post_purchase,
        tag="Purchases",
        roles=OPERATORS,
        other_credential=WEBHOOK_SIGNATURE,
        body=PurchaseBody,
        accepts=(JSON, STRUCTURED),
        headers=(
            Header(ID, "The id of a signed message."),
            Header(TIMESTAMP, "When it was signed, in seconds since the epoch."),
            Header(SIGNATURE, "`v1,` and the base64 of HMAC-SHA-256 over id, time and body, joined by dots."),
        ),
        answers={201: Sold},
        errors=(ConflictError, MediaTypeError, BodyTooLargeError, WebhookSignatureError, Reason.STATE_STALE),
    ),
)
