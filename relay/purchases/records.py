"""What all nodes know of purchases: two kinds of documents, and what follows from them. Pure.

Each event that a shop told of is a document under the event's own name, so the same event makes the same document at
any node. That a purchase was taken back is another, under the name of the purchase. An entitlement is a purchase that
nothing takes back: it makes no difference in which order nodes hear of the two, and nothing that two nodes are told at
the same time overrules the other.
"""

from enum import StrEnum
from hashlib import blake2b

import msgspec
from msgspec import Struct

from keys.encoding import encode_fields
from keys.model import TrackType
from relay.gate.entitlements import Entitlement
from relay.model import Session, Voucher

EVENT_KIND, RETURN_KIND = "purchase", "return"
MAX_AHEAD_S = 10 * 366 * 86_400
"""How far ahead a purchase may begin or end; without an end it is so long."""
REMEMBERED_S = 7 * 86_400
"""For how long at least an event is recognised when it comes again: shops repeat theirs for three days or so."""
RETURNED_S = MAX_AHEAD_S + 366 * 86_400
"""For how long a refund is kept: it must outlive every purchase that may yet come in late."""


class EventType(StrEnum):
    """What a shop tells of. Values are public."""

    PURCHASE = "purchase"
    REFUND = "refund"
    CANCEL = "cancel"


class Sale(Struct, frozen=True, array_like=True, kw_only=True):
    """One event, as it was told and taken. Times are whole seconds since the epoch, ``accepted_at`` aside.

    ``channel`` is who told of it: the name of a configured source, or "api"; ``source`` its own word for where it comes
    from (CloudEvents). ``content`` stands for all that was said. The voucher of a purchase ends at ``voucher_until``.
    """

    type: EventType
    channel: str
    source: str
    event_id: str
    purchase_id: str
    issuer: str
    account: str
    content: bytes
    accepted_at: float
    streams: tuple[str, ...] = ()
    product: str = ""
    ceiling: TrackType = TrackType.UHD
    begins_at: int = 0
    ends_at: int = 0
    voucher_until: int = 0
    device: str = ""
    watermark: str = ""

    @property
    def name(self) -> str:
        """The name of the event, the entitlement that it makes, and the session that it begins: 32 hex digits."""
        return _name("event", self.channel, self.source, self.event_id)

    @property
    def usual_purchase_event(self) -> str:
        """The name of the event by which its purchase was told of, where that had the purchase's id, as is usual."""
        return _name("event", self.channel, self.source, self.purchase_id)

    @property
    def purchase(self) -> str:
        """The name of the purchase that it is about."""
        return _name("purchase", self.channel, self.issuer, self.account, self.purchase_id)

    @property
    def expires_at(self) -> float:
        """From when on the event itself need not be known any more."""
        return max(self.ends_at, self.accepted_at + REMEMBERED_S)

    def entitlement(self) -> Entitlement:
        """What a purchase entitles to."""
        return Entitlement(self.issuer, self.account, self.streams, self.ceiling, self.begins_at, self.ends_at)

    def session(self) -> Session | None:
        """The session that a purchase begins by itself; None where it would be over before it begins."""
        if self.type is not EventType.PURCHASE or self.begins_at >= self.voucher_until:
            return None
        return Session(
            sid=self.name,
            account=self.account,
            issuer=self.issuer,
            expires_at=self.voucher_until,
            device=self.device,
            streams=frozenset(self.streams),
            ceiling=self.ceiling,
            issued_at=int(self.accepted_at),
            watermark=self.watermark,
            voucher=Voucher(self.purchase, self.begins_at),
        )


class Return(Struct, frozen=True, array_like=True, kw_only=True):
    """A purchase is taken back. Whose it was is said, so that what flows to him can be cut; ``event`` is by what."""

    issuer: str
    account: str
    event: str


_encoder = msgspec.msgpack.Encoder()
_sales: msgspec.msgpack.Decoder[Sale] = msgspec.msgpack.Decoder(Sale)
_returns: msgspec.msgpack.Decoder[Return] = msgspec.msgpack.Decoder(Return)


def encode(record: Sale | Return) -> bytes:
    """The text of a document."""
    return _encoder.encode(record)


def read_sale(body: bytes) -> Sale:
    """The event in a document. Raises ValueError."""
    return _sales.decode(body)


def read_return(body: bytes) -> Return:
    """What a document says was taken back. Raises ValueError."""
    return _returns.decode(body)


def _name(kind: str, *fields: str) -> str:
    return blake2b(encode_fields(*(field.encode() for field in (kind, *fields))), digest_size=16).hexdigest()
