"""The document of the API: it is current, and it tells of what is there and of nothing else."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from relay.cli import main
from relay.codes import CODES
from relay.control.app import OPERATIONS
from relay.edge.licence import OPERATIONS as PLAYERS
from relay.operation import API_KEY, ROUTES
from relay.roles import Role
from tests.control.desk import Desk

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "openapi.json"


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PUBLISHED.read_bytes())
    return found


def plain(path: str) -> str:
    """A path as the document writes it: without the patterns of its parts."""
    return re.sub(r":[^}]+", "", path)


def operations_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def references_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(references_in, value))
    return set()


def test_the_published_document_is_current() -> None:
    printed = CliRunner().invoke(main, ["openapi"])
    assert printed.exit_code == 0
    if os.environ.get("UPDATE_GOLDEN"):
        PUBLISHED.write_bytes(printed.stdout_bytes)
    assert PUBLISHED.read_bytes() == printed.stdout_bytes, "UPDATE_GOLDEN=1 writes it anew"


async def test_it_is_served_without_a_key_and_conditionally(desk: Desk, document: dict[str, Any]) -> None:
    url = f"{desk.url}/api/openapi.json"
    async with desk.client.get(url) as answer:
        assert (answer.status, await answer.json()) == (200, document)
        tag = answer.headers["ETag"]
    async with desk.client.get(url, headers={"If-None-Match": f'"other", W/{tag}'}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


async def test_the_page_and_its_parts_are_served(desk: Desk) -> None:
    for path, kind in (("", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        async with desk.client.get(f"{desk.url}/api/docs{path}") as answer:
            assert (answer.status, answer.content_type) == (200, kind)
            assert "'self'" in answer.headers["Content-Security-Policy"]
    # Nothing comes from elsewhere.
    page = "".join(file.read_text() for file in (PUBLISHED.parent.parent / "relay/console/api").iterdir())
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//|@import|url\(", page)


def test_every_route_is_in_it_and_nothing_else(desk: Desk, document: dict[str, Any]) -> None:
    app = desk.server.app
    assert isinstance(app, web.Application)
    routed = {
        (route.method, plain(operation.path)) for route, operation in app[ROUTES].items() if route.method != "HEAD"
    }
    every_route = {route.method for route in app.router.routes()}
    assert len(app[ROUTES]) == len(list(app.router.routes())), every_route
    assert operations_of(document).keys() == routed | {(one.method, one.path) for one in PLAYERS}


def test_every_operation_is_complete(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations_of(document).values()]
    assert len(set(names)) == len(names)
    for name, operation in operations_of(document).items():
        assert operation["summary"].endswith("."), name
        assert ":class:" not in json.dumps(operation), name
        assert set(operation.get("x-roles", ())) <= set(Role), name
        assert all(response["description"] for response in operation["responses"].values()), name
        in_path = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", name[1])), name


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references_in(document) == known


def test_every_code_it_names_is_known(document: dict[str, Any]) -> None:
    for operation in operations_of(document).values():
        for response in operation["responses"].values():
            for name, number in re.findall(r"`(\w+)` \((\d+)\)", response["description"]):
                assert CODES[name].number == int(number)


def test_operations_that_ask_for_a_key_say_so(document: dict[str, Any]) -> None:
    described = operations_of(document)
    for operation in OPERATIONS:
        found = described[operation.method, plain(operation.path)]
        keyed = operation.credential == API_KEY
        assert (found["security"][:1] == [{"apiKey": []}]) == keyed
        assert ("401" in found["responses"]) == (keyed or operation.path == "/ssf/events")
