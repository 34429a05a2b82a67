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
from relay.roles import EVERYONE, Roles

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is not JSON, by its media type."""

    type: str


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

    ``roles`` are those that may call it, ``EVERYONE`` if no API key is asked for. ``body`` is the type that msgspec
    reads the body as, in the first of the media types ``accepts``; ``answers`` the types of the bodies it answers
    with, by status, a :class:`Media` or None for no body. ``query`` is a Struct with a field for each parameter.
    ``errors`` are those that callers meet beyond the ones that any operation of its kind may raise. One that
    ``streams`` takes no HEAD.
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
    errors: tuple[type[RelayError], ...] = ()
    streams: bool = False
    path_types: Mapping[str, Any] = field(default_factory=dict)

    @property
    def public(self) -> bool:
        """Whether it asks for no API key."""
        return self.roles == EVERYONE


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
