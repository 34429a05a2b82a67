"""Bodies and answers of ``/taas/v2``, in the shapes of Akamai's Access Revocation API v2."""

from typing import Annotated

from msgspec import Meta, Struct

from relay.api.revocations import MAX_AHEAD_S

DEFAULT_DURATION_S = 86_400
MAX_CALL = 5000
Count = Annotated[int, Meta(ge=0)]
TokenId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]


class ListBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A list to be made or renamed."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,128}\Z")]
    contract_id: Annotated[str, Meta(max_length=128)] = ""


class Identifier(Struct, frozen=True, kw_only=True, rename="camel"):
    """A session id to be put on a list, and for how long; under half an hour is raised to that."""

    id: TokenId
    duration_seconds: Annotated[int, Meta(ge=0, le=MAX_AHEAD_S)] = DEFAULT_DURATION_S


ToAdd = Annotated[list[Identifier], Meta(min_length=1, max_length=MAX_CALL)]
ToRemove = Annotated[list[TokenId], Meta(min_length=1, max_length=MAX_CALL)]


class ListMade(Struct, frozen=True, kw_only=True, rename="camel"):
    """A list that was made."""

    contract_id: str
    id: int
    name: str


class ListDetails(Struct, frozen=True, kw_only=True, rename="camel"):
    """A list; its time in seconds since the epoch."""

    contract_id: str
    created_by: str
    created_time: int
    id: int
    name: str


class Listed(Struct, frozen=True):
    """A session on a list, and for how many seconds more."""

    id: str
    ttl: Count


class ListMeta(Struct, frozen=True):
    """How many sessions are on a list, and how many there may be."""

    count: Count
    limit: Count


class Property(Struct, frozen=True, kw_only=True, rename="camel"):
    """What heeds a list."""

    arl_file_id: int
    property_id: int
    property_name: str
