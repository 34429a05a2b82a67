"""Proof that other nodes have applied what this one asked them to. Times of ``time.perf_counter``, as arguments."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from relay.state.events import MAX_BATCH, Event
from relay.state.messages import Report

MAX_OPEN = 256
"""Questions kept. One whose answers nobody waits for any more makes room."""


class Wait(StrEnum):
    """What an order waits for."""

    LOCAL = "local"
    """Applied and durable on the node that took it."""
    QUORUM = "quorum"
    """Applied on more than half of the nodes."""
    ALL = "all"
    """Applied on every node."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What is known of one node: ``state`` is "applied", "pending" or "unreachable".

    ``applied_ms`` is from acceptance to the arrival of its report, both by the clock of the node that asked: what the
    report took to come back is part of it.
    """

    node: str
    state: Literal["applied", "pending", "unreachable"]
    applied_ms: float | None = None
    sessions_cut: int = 0
    responses_cut: int = 0


def enough(others: Sequence[NodeReport], wait: Wait) -> bool:
    """Whether reports of the other nodes are what ``wait`` asks for; this node itself has applied it."""
    applied, everyone = 1 + sum(report.state == "applied" for report in others), 1 + len(others)
    match wait:
        case Wait.LOCAL:
            return True
        case Wait.QUORUM:
            return applied > everyone // 2
        case Wait.ALL:
            return applied == everyone


@dataclass(slots=True)
class _Answer:
    missing: set[int]
    sessions: int = 0
    responses: int = 0
    arrived: float = 0.0


@dataclass(slots=True)
class Question:
    """Events that others were asked about, and what they have answered."""

    seqs: frozenset[int]
    answers: dict[str, _Answer] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def report_of(self, name: str, incarnation: str, started: float) -> NodeReport:
        """What a live node has answered so far."""
        answer = self.answers.get(incarnation)
        if answer is None or answer.missing:
            return NodeReport(name, "pending")
        elapsed_ms = (answer.arrived - started) * 1000
        return NodeReport(name, "applied", elapsed_ms, answer.sessions, answer.responses)


class Questions:
    """The open questions of one node, whose own events have ``origin``."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._open: dict[str, Question] = {}

    def ask(self, events: Sequence[Event]) -> None:
        """Begin to listen for reports on events of this node's own."""
        self._open[events[0].id] = Question(frozenset(event.seq for event in events))
        while len(self._open) > MAX_OPEN:
            del self._open[next(iter(self._open))]

    def about(self, first: Event) -> Question | None:
        """The question asked with this event and those that followed it, if it is still open."""
        return self._open.get(first.id)

    def close(self, first: Event) -> None:
        """Listen no more."""
        self._open.pop(first.id, None)

    def hear(self, report: Report, arrived: float) -> None:
        """Take in a report. What it says of another node's events is no answer, whoever passed it on to us."""
        reported = _numbers(report, self._origin)
        for question in self._open.values():
            told = question.seqs & reported
            if told:
                answer = question.answers.setdefault(report.incarnation, _Answer(set(question.seqs)))
                if answer.missing & told:  # a message that came twice is reported twice
                    answer.missing -= told
                    answer.sessions += report.sessions
                    answer.responses += report.responses
                    answer.arrived = arrived
                    question.changed.set()


def _numbers(report: Report, asked: str) -> frozenset[int]:
    spans: Iterable[tuple[int, int]] = ((first, last) for origin, first, last in report.spans if origin == asked)
    return frozenset(seq for first, last in spans for seq in range(first, min(last, first + MAX_BATCH) + 1))
