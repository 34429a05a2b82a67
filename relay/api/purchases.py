"""Bodies and answers of ``/api/v1/purchases`` and ``/api/v1/entitlements``. Times are seconds since the epoch."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from keys.model import TrackType
from relay.api.revocations import Id, Moment, NodeOutcome
from relay.purchases.records import MAX_AHEAD_S, EventType
from relay.state.events import Text


class SaleData(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a shop says of a purchase, also as the ``data`` of a CloudEvent. Times may be ISO 8601 with an offset, too.

    ``purchase_id`` is the event's own id where it is left out, and what a refund or cancellation takes back. A purchase
    is of a ``stream_id`` or a ``product_id``; without ``valid_until`` or ``valid_for_seconds`` it holds for ten years.
    ``issuer`` is the token issuer of the account, needed where there are several. ``track`` is the best track type.
    The session that comes with a purchase has ``device_id`` and ``watermark_id`` for revocations to name.
    """

    account_id: Id
    purchase_id: Id | None = None
    issuer: Text = ""
    stream_id: Annotated[str, Meta(max_length=64)] = ""
    product_id: Annotated[str, Meta(max_length=128)] = ""
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    valid_for_seconds: Annotated[float, Meta(ge=1, le=MAX_AHEAD_S)] | None = None
    track: Literal["sd", "hd", "uhd"] | None = None
    device_id: Annotated[str, Meta(max_length=128)] = ""
    watermark_id: Annotated[str, Meta(max_length=128)] = ""


class PurchaseBody(SaleData, frozen=True, kw_only=True):
    """A purchase, or that it is taken back. ``id`` names the event: the same again gets the same answer."""

    id: Id
    type: EventType


class CloudEvent(Struct, frozen=True, kw_only=True):
    """The envelope of CloudEvents 1.0 in structured mode, as far as it matters here."""

    specversion: Literal["1.0"]
    id: Id
    source: Annotated[str, Meta(min_length=1, max_length=512)]
    type: Annotated[str, Meta(min_length=1, max_length=256)]
    datacontenttype: Annotated[str, Meta(max_length=128)] = "application/json"
    data: msgspec.Raw = msgspec.Raw()
    data_base64: msgspec.Raw = msgspec.Raw()


class EntitlementState(StrEnum):
    """Whether an entitlement holds. Values are public."""

    ACTIVE = "active"
    UPCOMING = "upcoming"
    EXPIRED = "expired"
    RETURNED = "returned"


class Entitlement(Struct, frozen=True, kw_only=True):
    """What one purchase entitles an account to. ``session_id`` is that of the session that came with it."""

    id: str
    state: EntitlementState
    account_id: str
    issuer: str
    streams: tuple[str, ...]
    product_id: str
    track: TrackType
    valid_from: int
    valid_until: int
    purchase_id: str
    event_id: str
    source: str
    session_id: str
    device_id: str
    watermark_id: str
    created_at: float


class EntitlementPage(Struct, frozen=True, kw_only=True):
    """Entitlements of one account, by id."""

    entitlements: list[Entitlement]
    next: str | None


class Playback(Struct, frozen=True, kw_only=True):
    """Where a session plays one of its streams at once; paths alone where ``edge.public_url`` is not set."""

    stream_id: str
    license_url: str
    hls: str | None
    dash: str | None


class Licence(Struct, frozen=True, kw_only=True):
    """The sealed licence of a purchase: any node that is shown it serves its session, whatever it has heard.

    It plays from ``valid_from`` until ``valid_until``, which is no later than one session lasts.
    """

    session_id: str
    sealed: str
    valid_from: int
    valid_until: int
    playback: list[Playback]


class Sold(Struct, frozen=True, kw_only=True):
    """What became of an event. ``complete``: every node knows; where one does not yet, the licence plays all the same.

    ``entitlement`` is what was bought, None where something was taken back. ``licence`` is None also for a purchase
    that was taken back already, or begins later than a session lasts.
    """

    id: str
    type: EventType
    event_id: str
    purchase_id: str
    entitlement: Entitlement | None
    licence: Licence | None
    complete: bool
    nodes: list[NodeOutcome]


class Withdrawn(Struct, frozen=True, kw_only=True):
    """An entitlement that was taken back. ``complete``: every node knows."""

    entitlement: Entitlement
    complete: bool
    nodes: list[NodeOutcome]
