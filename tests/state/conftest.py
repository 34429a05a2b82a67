"""Fixtures of the tests with several nodes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from relay.state import members, repair
from tests.proxy import FaultyProxy, faulty_proxy
from tests.state.cluster import Cluster, cluster_on
from tests.valkey import Valkey, valkey_server


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in life takes tenths here."""
    monkeypatch.setattr(repair, "ROLL_S", 0.1)
    monkeypatch.setattr(repair, "STARTING_ROLL_S", 0.05)
    monkeypatch.setattr(repair, "OFFERED_FOR_S", 0.5)
    monkeypatch.setattr(members, "PATIENCE_S", 0.15)
    monkeypatch.setattr(members, "SILENT_S", 1.0)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Valkey]:
    with valkey_server() as server:
        yield server


@pytest.fixture
async def server(shared_server: Valkey) -> Valkey:
    async with Redis.from_url(shared_server.url) as client:
        await client.flushall()
    return shared_server


@pytest.fixture
def mortal() -> Iterator[Valkey]:
    with valkey_server() as server:
        yield server


@pytest.fixture
async def cluster(server: Valkey, hurried: None, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster_on(server, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def fragile(mortal: Valkey, hurried: None, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster_on(mortal, tmp_path) as cluster:
        yield cluster


@pytest.fixture
def proxy(server: Valkey) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.address) as proxy:
        yield proxy
