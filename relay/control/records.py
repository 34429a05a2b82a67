"""How revocations look to operators: one record, a page of them, the outcome of a call."""

import asyncio

from msgspec import UNSET, UnsetType

from relay.api.revocations import Done, NodeOutcome, RecordPage, record_of
from relay.control.errors import NotFoundError
from relay.control.pages import cursor_of
from relay.gate.targets import Target, TargetType
from relay.node import Node
from relay.sessions.revocations import Outcome
from relay.state.events import Action, Revocation
from relay.state.journal import Journal, Stored
from relay.state.replica import NodeReport

SCANNED = 5000
"""Events looked at for one page of a type; fewer matches than asked for may then come, with a cursor to go on."""
_PAGE = 500
_FIRST = 2**63 - 1


def report_of(report: NodeReport) -> NodeOutcome:
    """What is known of one node."""
    return NodeOutcome(
        node=report.node,
        state=report.state,
        applied_ms=None if report.applied_ms is None else round(report.applied_ms, 3),
        sessions_cut=report.sessions_cut,
        responses_cut=report.responses_cut,
    )


def outcome_of(outcome: Outcome) -> Done:
    """What became of a call. What was cut is counted on all nodes heard of."""
    last = outcome.last
    return Done(
        id=last.id,
        seq=last.seq,
        accepted_at=outcome.accepted_at,
        targets=outcome.targets,
        complete=outcome.complete,
        applied_ms=round(outcome.applied_ms, 3),
        sessions_cut=sum(report.sessions_cut for report in outcome.nodes),
        responses_cut=sum(report.responses_cut for report in outcome.nodes),
        nodes=[report_of(report) for report in outcome.nodes],
    )


async def find_record(node: Node, name: str) -> Revocation:
    """A record by its id. Raises :class:`NotFoundError`."""
    found = await asyncio.to_thread(node.journal.find, name)
    if found is None or not isinstance(found.event, Revocation):
        raise NotFoundError("no such revocation is kept here")
    return found.event


async def latest_record(node: Node, target: Target) -> Revocation | None:
    """The record that stands for a target, whether or not it has expired."""
    found = await asyncio.to_thread(node.journal.about, target, _PAGE)
    events = [stored.event for stored in found if isinstance(stored.event, Revocation)]
    return max(events, key=lambda event: (event.order, event.action is Action.REVOKE), default=None)


async def page_about(node: Node, target: Target, limit: int, before: int | None) -> RecordPage:
    """A page of what was recorded of one target before a place in the journal, newest first."""
    found = await asyncio.to_thread(node.journal.about, target, limit, _FIRST if before is None else before)
    standing = node.revocations.revoked.get(target)
    now = node.clock()
    revoked = bool(standing and standing.revoked and standing.effective_at <= now < standing.expires_at)
    return _page(found, found[-1].position if len(found) == limit else None, revoked)


async def page_of(node: Node, kind: TargetType | None, limit: int, before: int | None) -> RecordPage:
    """A page of all records, or of those of one type, before a place in the journal, newest first."""
    found, position = await asyncio.to_thread(_scan, node.journal, kind, limit, _FIRST if before is None else before)
    return _page(found, position)


def _scan(journal: Journal, kind: TargetType | None, limit: int, before: int) -> tuple[list[Stored], int | None]:
    found: list[Stored] = []
    for _ in range(0, SCANNED, _PAGE):
        rows = journal.newest(_PAGE, before)
        for row in rows:
            before = row.position
            if isinstance(row.event, Revocation) and kind in (None, row.event.type):
                found.append(row)
                if len(found) == limit:
                    return found, before
        if len(rows) < _PAGE:
            return found, None
    return found, before


def _page(found: list[Stored], position: int | None, revoked: bool | UnsetType = UNSET) -> RecordPage:
    records = [record_of(row.event) for row in found if isinstance(row.event, Revocation)]
    return RecordPage(revocations=records, next=None if position is None else cursor_of(position), revoked=revoked)
