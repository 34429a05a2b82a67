"""A node with streams of every kind, and a client of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.client import Client
from tests.control.desk import API_KEY, Desk, open_desk
from tests.control.studio import Studio, open_studio


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with open_studio() as made:
        yield made


@pytest.fixture
async def desk(studio: Studio) -> AsyncIterator[Desk]:
    """A desk over a live stream, and two titles of which ``film`` is sold."""
    streams: dict[str, Any] = {
        "dated": studio.stream("dated"),
        "vod": studio.stream("finished"),
        "film": studio.stream("finished", entitlement="required"),
    }
    settings = {"purchases": {"products": {"season": ["film"]}}}
    async with open_desk(streams=streams, settings=settings) as made:
        yield made


@pytest.fixture
async def relay(desk: Desk) -> AsyncIterator[Client]:
    async with Client(desk.url + "/", API_KEY, "anna", patience_s=5) as client:
        yield client
