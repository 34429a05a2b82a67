"""The registry: documents in force at once, durable when answered, known to every node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.errors import JournalError, RequestError
from relay.state.events import MAX_DOCUMENT_BYTES
from relay.state.journal import Journal
from relay.state.registry import Registry
from relay.state.reports import Wait
from tests.state.cluster import Cluster, Node, alone

NOW = 1_790_000_000.0


def registry_of(node: Node) -> Registry:
    return Registry(node.replica, lambda: NOW)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with alone(tmp_path / "journal") as node:
        yield node


async def test_documents_are_put_in_one_transaction_and_last(node: Node, tmp_path: Path) -> None:
    registry = registry_of(node)
    before = node.journal.transactions
    done = await registry.put([registry.draft("k", "one", b"1", "me"), registry.draft("k", "two", b"2")])
    assert node.journal.transactions == before + 1
    assert done.complete
    assert [(report.node, report.state) for report in done.nodes] == [(node.name, "applied")]
    assert [(event.name, event.body, event.actor) for event in done.events] == [("one", b"1", "me"), ("two", b"2", "")]
    assert {name: found.body for name, found in registry.documents.of("k", NOW)} == {"one": b"1", "two": b"2"}


async def test_of_one_document_the_journal_keeps_what_stands(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with alone(path) as node:
        registry = registry_of(node)
        for text in (b"1", b"2", b"3"):
            await registry.put([registry.draft("k", "one", text), registry.draft("k", "other", text)])
        await registry.put([registry.draft("k", "other", b"")])
    journal = Journal(path)
    kept = [(event.name, event.body) for event in journal.replay()]  # type: ignore[union-attr]  # nothing else is in it
    journal.close()
    assert sorted(kept) == [("one", b"3"), ("other", b"")]
    async with alone(path) as again:
        found = again.replica.state.documents
        assert {name: document.body for name, document in found.of("k", NOW)} == {"one": b"3"}


async def test_a_disk_that_fails_is_told_though_the_change_holds(node: Node) -> None:
    registry = registry_of(node)
    node.journal.full = True
    with pytest.raises(JournalError):
        await registry.put([registry.draft("k", "one", b"1")])
    assert registry.documents.get("k", "one", NOW)
    node.journal.full = False


async def test_a_document_that_could_not_be_read_back_is_refused_whole(node: Node) -> None:
    registry = registry_of(node)
    with pytest.raises(RequestError, match="body"):
        await registry.put([registry.draft("k", "ok", b"1"), registry.draft("k", "big", bytes(MAX_DOCUMENT_BYTES + 1))])
    assert not list(registry.documents.of("k", NOW))


async def test_every_node_knows_a_document_once_all_have_reported(cluster: Cluster) -> None:
    nodes = [await cluster.start(name) for name in ("a", "b", "c")]
    await cluster.all_know_each_other()
    here = registry_of(nodes[0])
    done = await here.put([here.draft("k", "one", b"1")], Wait.ALL, 5.0)
    assert done.complete
    assert {report.node for report in done.nodes} == {"a", "b", "c"}
    for node in nodes:
        found = node.replica.state.documents.get("k", "one", NOW)
        assert found is not None
        assert found.body == b"1"


async def test_of_two_changes_at_once_every_node_keeps_the_same(cluster: Cluster) -> None:
    nodes = [await cluster.start(name) for name in ("a", "b")]
    await cluster.all_know_each_other()
    both = [registry_of(node) for node in nodes]
    drafts = [registry.draft("k", "one", node.name.encode()) for registry, node in zip(both, nodes, strict=True)]
    await asyncio.gather(*(registry.put([draft], Wait.ALL, 5.0) for registry, draft in zip(both, drafts, strict=True)))
    found = [node.replica.state.documents.get("k", "one", NOW) for node in nodes]
    assert found[0] is not None
    assert found[0] == found[1]


async def test_a_node_that_comes_later_is_told_what_stands(cluster: Cluster) -> None:
    first = await cluster.start("a")
    registry = registry_of(first)
    for text in (b"1", b"2"):
        await registry.put([registry.draft("k", "one", text)])
    later = await cluster.start("b")
    found = later.replica.state.documents.get("k", "one", NOW)
    assert found is not None
    assert found.body == b"2"
