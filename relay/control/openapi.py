"""The OpenAPI 3.1 document of the HTTP API, made from its operations."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import getdoc
from typing import Any

import msgspec

from relay.api.problem import Problem
from relay.codes import CODES
from relay.control.errors import (
    ApiKeyError,
    BodyTooLargeError,
    IdempotencyConflictError,
    NotFoundError,
    PreconditionFailedError,
    RoleError,
)
from relay.control.preconditions import CREATE_ONLY, IF_MATCH
from relay.control.requests import ACTOR
from relay.errors import JournalError, RelayError, RequestError
from relay.operation import (
    API_KEY,
    CREDENTIALS,
    FORM,
    IDEMPOTENCY_KEY,
    JSON,
    WEBHOOK_SIGNATURE,
    Header,
    Media,
    Operation,
)
from relay.verdict import Reason

PROBLEM_JSON = "application/problem+json"
_REFERENCE = "#/components/schemas/{name}"
_PLACE = re.compile(r"\{(\w+)(?::([^}]+))?\}")
_TEXT = re.compile(r"text/|.*\+jwt")
_ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
_RAISES = re.compile(r"\s*Raises :class:.*?(?:\.(?=\s|$)|$)", re.DOTALL)
VERSION = "1"
"""Of the API, as in its paths."""
_TITLE = "Segmentgate"
_ABOUT = """The API of a Segmentgate relay: for operators and the customer's own systems on the control listener, and \
for players on the edge listener.

Calls of the control listener carry an API key, `Authorization: Bearer …`; `x-roles` says which roles an operation is \
for. Errors are problem documents whose `code` and `number` never change. Lists come in pages: `limit`, `cursor`, and \
`next` in the answer. A call with an `Idempotency-Key` may be sent again. Times are seconds since the epoch."""
_BEARER = {"type": "http", "scheme": "bearer"}
_SCHEMES = {WEBHOOK_SIGNATURE: {"type": "apiKey", "in": "header", "name": "webhook-signature"}}
_CONTROL_SERVER = {"url": "/", "description": "The control listener"}
_EDGE_SERVER = {
    "url": "{edge}",
    "description": "The edge listener, as players reach it",
    "variables": {"edge": {"default": "https://watch.example.com"}},
}


def document(control: Sequence[Operation], edge: Sequence[Operation]) -> dict[str, Any]:
    """The document of the operations that the control listener has, and of those of the edge that it is to tell of."""
    schemas = _Schemas([*control, *edge])
    paths: dict[str, dict[str, Any]] = {}
    for operations, servers in ((control, None), (edge, [_EDGE_SERVER])):
        for operation in operations:
            described = _operation(operation, schemas)
            if servers:
                described["servers"] = servers
            paths.setdefault(_PLACE.sub(r"{\1}", operation.path), {})[operation.method.lower()] = described
    tags = dict.fromkeys(operation.tag for operation in (*control, *edge))
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": VERSION, "description": _ABOUT},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [_CONTROL_SERVER],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                name: {**_SCHEMES.get(name, _BEARER), "description": text} for name, text in CREDENTIALS.items()
            },
        },
    }


class _Schemas:
    """The JSON Schemas of every type that the operations name; each looked up by where it stands in a row."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        types = list({id(kind): kind for kind in (Problem, *_types_of(operations))}.values())
        written, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        self._by_type: dict[int, dict[str, Any]] = {
            id(kind): _for_readers(schema) for kind, schema in zip(types, written, strict=True)
        }
        # Parameters stand by themselves in OpenAPI, so the Structs that read them are none of its schemas.
        queries = {operation.query.__name__ for operation in operations if operation.query}
        self._queries = {name: _for_readers(components[name]) for name in queries}
        written_out = {name: _for_readers(schema) for name, schema in sorted(components.items()) if name not in queries}
        # The type of a mapping's keys is written as one, too, and named by nothing.
        named = set(_names_in([*self._by_type.values(), *self._queries.values(), *written_out.values()]))
        self.components = {name: schema for name, schema in written_out.items() if name in named}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type."""
        return self._by_type[id(kind)]

    def parameters(self, query: type[msgspec.Struct]) -> list[dict[str, Any]]:
        """The parameters that a Struct reads from the query."""
        schema = self._queries[query.__name__]
        return [
            {"name": name, "in": "query", "required": name in schema["required"], "schema": one}
            for name, one in schema["properties"].items()
        ]


def _names_in(schema: Any) -> Iterator[str]:
    """The components that a schema refers to."""
    for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "$ref":
            yield value.rpartition("/")[2]
        elif isinstance(value, dict | list):
            yield from _names_in(value)


def _types_of(operations: Iterable[Operation]) -> Iterable[Any]:
    for operation in operations:
        yield from (kind for kind in (operation.body, *operation.answers.values()) if kind and not _is_media(kind))
        yield from operation.path_types.values()
        yield from (header.schema for header in _headers_of(operation))
        if operation.query:
            yield operation.query


def _is_media(kind: Any) -> bool:
    return isinstance(kind, Media)


def _headers_of(operation: Operation) -> tuple[Header, ...]:
    named = operation.credential == API_KEY and operation.method != "GET"
    return (*operation.headers, ACTOR) if named else operation.headers


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    summary, _, rest = _prose(getdoc(operation.handler) or "").partition("\n\n")
    described: dict[str, Any] = {
        "operationId": f"{operation.handler.__module__.rpartition('.')[2]}_{_name_of(operation)}",
        "tags": [operation.tag],
        "summary": summary,
        "security": [{name: []} for name in dict.fromkeys((operation.credential, operation.other_credential)) if name],
    }
    about_query = _prose(getdoc(operation.query) or "") if operation.query else ""
    if rest or about_query:
        described["description"] = "\n\n".join(filter(None, [rest, about_query]))
    if operation.roles:
        described["x-roles"] = sorted(operation.roles)
    parameters = [*_path_parameters(operation, schemas)]
    if operation.query:
        parameters += schemas.parameters(operation.query)
    parameters += [
        {
            "name": header.name,
            "in": "header",
            "required": header.required,
            "description": header.description,
            "schema": schemas.of(header.schema),
        }
        for header in _headers_of(operation)
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": _content(operation.body, operation.accepts, schemas),
        }
    described["responses"] = _responses(operation, schemas)
    return described


def _name_of(operation: Operation) -> str:
    return str(getattr(operation.handler, "__name__", operation.path))


def _path_parameters(operation: Operation, schemas: _Schemas) -> Iterable[dict[str, Any]]:
    for name, choices in _PLACE.findall(operation.path):
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if name in operation.path_types:
            schema = schemas.of(operation.path_types[name])
        elif choices:
            schema = {"type": "string", "enum": choices.split("|")}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _content(kind: Any, types: Sequence[str], schemas: _Schemas) -> dict[str, Any]:
    if isinstance(kind, Media):
        return {one: {"schema": {"type": "string"}} if _TEXT.match(one) else {} for one in kind.types}
    return {one: {"schema": schemas.of(kind) if one in (JSON, FORM) else {"type": "string"}} for one in types}


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in operation.answers.items():
        response: dict[str, Any] = {"description": _about(kind)}
        if kind is not None:
            response["content"] = _content(kind, (JSON,), schemas)
        responses[str(status)] = response
    by_status: dict[int, list[str]] = {}
    for error in _errors_of(operation):
        code = CODES[error if isinstance(error, Reason) else error.code]
        by_status.setdefault(code.status, []).append(f"`{code.name}` ({code.number})")
    for status, codes in sorted(by_status.items()):
        known = responses.setdefault(str(status), {"description": "", "content": {}})
        known["description"] = ", ".join(filter(None, [known["description"], *dict.fromkeys(codes)]))
        known["content"][PROBLEM_JSON] = {"schema": schemas.of(Problem)}
    return dict(sorted(responses.items()))


def _errors_of(operation: Operation) -> Iterable[type[RelayError] | Reason]:
    if operation.credential == API_KEY:
        yield from (RequestError, ApiKeyError, RoleError, JournalError)
    if _PLACE.search(operation.path):
        yield NotFoundError
    if operation.body is not None and operation.credential == API_KEY:
        yield BodyTooLargeError
    headers = {header.name for header in operation.headers}
    if IDEMPOTENCY_KEY.name in headers:
        yield IdempotencyConflictError
    if operation.method != "GET" and headers & {IF_MATCH.name, CREATE_ONLY.name}:
        yield PreconditionFailedError
    yield from operation.errors


def _about(kind: Any) -> str:
    if kind is None:
        return "Done; there is no body."
    text = "" if isinstance(kind, Media) else _prose(getdoc(kind) or "")
    return text.partition("\n\n")[0] if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else "The answer."


def _for_readers(schema: Any) -> Any:
    """A schema without what only Python understands: the markup of docstrings, ``\\Z`` in patterns."""
    if isinstance(schema, Mapping):
        cleaned = {name: _for_readers(value) for name, value in schema.items()}
        if isinstance(cleaned.get("description"), str):
            cleaned["description"] = _prose(cleaned["description"])
        if isinstance(cleaned.get("pattern"), str):
            cleaned["pattern"] = cleaned["pattern"].replace(r"\Z", "$")
        return cleaned
    if isinstance(schema, list | tuple):
        return [_for_readers(value) for value in schema]
    return schema


def _prose(text: str) -> str:
    """A docstring as Markdown, without what it says to programmers of the relay."""
    text = _ROLE.sub(r"`\1`", _RAISES.sub("", text)).replace("``", "`")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n")).strip()
