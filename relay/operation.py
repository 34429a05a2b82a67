"""Operations: the rows that the HTTP API is made of.

A resource module lists its own as ``OPERATIONS``. The routes, the check of who may call and the OpenAPI document all
come from these rows, so to add an endpoint is to write a handler and its row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Meta, Struct

from relay.errors import RelayError
from relay.roles import Roles
from relay.verdict import Reason

JSON = "application/json"
FORM = "multipart/form-data"
API_KEY, TRANSMITTER_TOKEN, SESSION_TOKEN = "apiKey", "transmitterToken", "sessionToken"
WEBHOOK_SIGNATURE = "webhookSignature"
CREDENTIALS: Mapping[str, str] = {
    API_KEY: "A key of `control.api_key_file` or `control.keys`.",
    TRANSMITTER_TOKEN: "The push token of a Shared Signals transmitter.",
    SESSION_TOKEN: "A viewer's session token, in the dialect of its issuer.",
    WEBHOOK_SIGNATURE: "The signature of a source of purchases or a detector of watermarks (Standard Webhooks).",
}
"""What callers prove themselves with: bearers, the signature aside."""


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is read or made as it is, by the media types that it may have."""

    types: tuple[str, ...]

    @classmethod
    def of(cls, *types: str) -> "Media":
        """A body of one of these types."""
        return cls(types)


@dataclass(frozen=True, slots=True)
class Header:
    """A request header that an operation reads; ``schema`` is its type, to msgspec."""

    name: str
    description: str
    schema: Any = str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row. Its description is the docstring of the handler.

    ``roles`` are those that may call it with an API key; other operations ask for another ``credential`` or none. One
    with both takes either; its handler checks the other.
    ``body`` is the type that msgspec reads the body as where it is JSON, the first of the media types that it
    ``accepts``, or that tells the members of a form; ``answers`` are the types of the bodies that it answers with, by
    status, None for no body. ``query`` is a Struct with a field for each parameter. ``errors`` are those, and the
    refusals, that callers meet beyond what any operation of its kind may answer with. One that ``streams`` takes no
    HEAD.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    roles: Roles
    answers: Mapping[int, Any]
    body: Any = None
    body_required: bool = True
    accepts: tuple[str, ...] = (JSON,)
    query: type[Struct] | None = None
    headers: tuple[Header, ...] = ()
    errors: tuple[type[RelayError] | Reason, ...] = ()
    streams: bool = False
    path_types: Mapping[str, Any] = field(default_factory=dict)
    other_credential: str = ""

    @property
    def credential(self) -> str:
        """Which of :data:`CREDENTIALS` it asks for; empty: none."""
        return API_KEY if self.roles else self.other_credential


IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "The same key with the same call gets the same answer again, for a day.",
    Annotated[str, Meta(min_length=1, max_length=128, pattern="^[ -~]+$")],
)
Routes = Mapping[web.AbstractRoute, Operation]
ROUTES = web.AppKey("routes", Routes)


def add_operations(app: web.Application, operations: Iterable[Operation]) -> None:
    """Route requests to their operations, and let ``app[ROUTES]`` tell which one a request is for."""
    routes = {}
    for operation in operations:
        methods = [operation.method]
        if operation.method == "GET" and not operation.streams:
            methods.append("HEAD")
        for method in methods:
            routes[app.router.add_route(method, operation.path, operation.handler)] = operation
    app[ROUTES] = routes
