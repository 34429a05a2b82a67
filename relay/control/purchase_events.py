"""Reading what shops send: plain JSON, or CloudEvents 1.0 in structured or binary mode."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from urllib.parse import unquote

import msgspec
from msgspec import structs

from keys.model import TrackType
from relay.api.purchases import CloudEvent, PurchaseBody, SaleData
from relay.control.errors import BodyError, Flaw, MediaTypeError
from relay.control.orders import ItemError, moment_of
from relay.control.requests import decode
from relay.errors import RequestError
from relay.purchases.records import MAX_AHEAD_S, EventType, Sale

STRUCTURED = "application/cloudevents+json"
PLAIN = ("application/json", "application/octet-stream", "")
_WORDS = {
    "purchase": EventType.PURCHASE,
    "purchased": EventType.PURCHASE,
    "refund": EventType.REFUND,
    "refunded": EventType.REFUND,
    "cancel": EventType.CANCEL,
    "canceled": EventType.CANCEL,
    "cancelled": EventType.CANCEL,
}
_DONE = ("completed", "created", "succeeded")
_data: msgspec.json.Decoder[SaleData] = msgspec.json.Decoder(SaleData)
_plain: msgspec.json.Decoder[PurchaseBody] = msgspec.json.Decoder(PurchaseBody)
_structured: msgspec.json.Decoder[CloudEvent] = msgspec.json.Decoder(CloudEvent)


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it was sent. ``at`` is the JSON Pointer to its data."""

    id: str
    source: str
    type: EventType
    data: SaleData
    at: str = ""


@dataclass(frozen=True, slots=True)
class Shop:
    """What may be sold by who tells of it. ``products`` are groups of ``streams``; ``voucher_s``: how long its session
    lasts at most."""

    channel: str
    issuers: tuple[str, ...]
    streams: frozenset[str]
    products: Mapping[str, tuple[str, ...]]
    voucher_s: float


def read_told(headers: Mapping[str, str], content_type: str, body: bytes, types: Mapping[str, str]) -> Told:
    """The event in a request. ``types`` says what types of CloudEvents mean whose names do not tell.

    Raises :class:`RequestError` and :class:`MediaTypeError`.
    """
    if content_type == STRUCTURED:
        event = decode(body, _structured)
        if event.data_base64:
            raise BodyError([Flaw("/data_base64", "send JSON as 'data'")])
        return _of_event(event, bytes(event.data), "/data", types)
    if content_type not in PLAIN and not content_type.endswith("+json"):
        raise MediaTypeError(f"send application/json or {STRUCTURED}")
    if "ce-specversion" in headers:
        return _of_event(_from_headers(headers), body, "", types)
    plain = decode(body, _plain)
    data = SaleData(**{name: getattr(plain, name) for name in SaleData.__struct_fields__})
    return Told(plain.id, "", plain.type, data)


def accepting(told: Told, shop: Shop) -> Callable[[float], Sale]:
    """What makes an event of what was told, as accepted at a time. It raises :class:`BodyError`."""
    return lambda now: _accept(told, shop, now)


def type_of(name: str, types: Mapping[str, str]) -> EventType | None:
    """What a CloudEvent's type means: as configured, else by its last word, after which "completed" may come."""
    if name in types:
        return EventType(types[name])
    words = name.lower().split(".")
    if len(words) > 1 and words[-1] in _DONE:
        words.pop()
    return _WORDS.get(words[-1])


def _of_event(event: CloudEvent, data: bytes, at: str, types: Mapping[str, str]) -> Told:
    kind = type_of(event.type, types)
    if kind is None:
        raise RequestError(f"type: {event.type!r} tells neither of a purchase nor of its end; see purchases.sources")
    media = event.datacontenttype.partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise MediaTypeError("datacontenttype: send application/json")
    try:
        return Told(event.id, event.source, kind, decode(data, _data), at)
    except BodyError as err:
        raise BodyError([Flaw(at + flaw.pointer, flaw.detail) for flaw in err.flaws]) from None


def _from_headers(headers: Mapping[str, str]) -> CloudEvent:
    # Percent-encoded, by the HTTP protocol binding §3.1.3.2.
    given = ((name, headers.get(f"ce-{name}")) for name in ("specversion", "id", "source", "type"))
    said = {name: unquote(value) for name, value in given if value is not None}
    try:
        # What is no text could not be written down.
        msgspec.json.encode(said)
        return msgspec.convert(said, CloudEvent)
    except UnicodeEncodeError:
        raise RequestError("ce-… headers: not UTF-8") from None
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$")
        raise RequestError(f"ce-{where.strip('.`')}: {what}" if where else f"ce-… headers: {what}") from None


def _accept(told: Told, shop: Shop, now: float) -> Sale:
    data, at = told.data, told.at

    def flawed(name: str, detail: str) -> BodyError:
        return BodyError([Flaw(f"{at}/{name}", detail)])

    issuer = data.issuer or (shop.issuers[0] if len(shop.issuers) == 1 else "")
    if issuer not in shop.issuers:
        raise flawed("issuer", "not one whose accounts may be sold to" if issuer else "required: there are several")
    sale = Sale(
        type=told.type,
        channel=shop.channel,
        source=told.source,
        event_id=told.id,
        purchase_id=data.purchase_id or told.id,
        issuer=issuer,
        account=data.account_id,
        content=_digest_of(told),
        accepted_at=now,
    )
    if told.type is not EventType.PURCHASE:
        if data.purchase_id is None:
            raise flawed("purchase_id", "required: what is taken back")
        return sale
    begins_at, ends_at = _times(data, at, now)
    return structs.replace(
        sale,
        streams=_streams(data, shop, flawed),
        product=data.product_id,
        ceiling=TrackType(data.track or TrackType.UHD),
        begins_at=begins_at,
        ends_at=ends_at,
        # Nothing that is revoked by a session's or account's name may outlive what is kept of that.
        voucher_until=min(ends_at, int(now + shop.voucher_s)),
        device=data.device_id,
        watermark=data.watermark_id,
    )


def _streams(data: SaleData, shop: Shop, flawed: Callable[[str, str], BodyError]) -> tuple[str, ...]:
    if bool(data.stream_id) == bool(data.product_id):
        raise flawed("stream_id", "give stream_id or product_id")
    if data.product_id and data.product_id not in shop.products:
        raise flawed("product_id", "no such product is configured")
    streams = shop.products[data.product_id] if data.product_id else (data.stream_id,)
    if not shop.streams.issuperset(streams):
        raise flawed("product_id" if data.product_id else "stream_id", "no such stream, or not this source's to sell")
    return streams


def _times(data: SaleData, at: str, now: float) -> tuple[int, int]:
    try:
        begins = moment_of("valid_from", data.valid_from, now)
        ends = moment_of("valid_until", data.valid_until, now)
    except ItemError as err:
        raise BodyError([err.flaw(at)]) from None
    # A node whose clock is behind must not take what was just bought for something yet to come.
    begins_at = int(begins) if begins is not None and begins > now else 0
    if ends is not None and data.valid_for_seconds is not None:
        raise BodyError([Flaw(f"{at}/valid_for_seconds", "give valid_until or valid_for_seconds, not both")])
    if ends is None:
        ends = max(begins_at, now) + data.valid_for_seconds if data.valid_for_seconds else now + MAX_AHEAD_S
    ends_at = ceil(ends)
    if ends_at <= max(begins_at, now):
        raise BodyError([Flaw(f"{at}/valid_until", "lies before the purchase begins, or is over")])
    return begins_at, ends_at


def _digest_of(told: Told) -> bytes:
    said = msgspec.json.encode((told.type, told.source, told.data), order="sorted")
    return blake2b(said, digest_size=16).digest()
