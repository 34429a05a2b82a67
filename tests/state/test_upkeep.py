"""Whose files these were before: the next incarnation of a node speaks the last word of the one that was killed."""

import time
from pathlib import Path

from relay.state.database import MEMORY
from relay.state.journal import Journal
from relay.state.state import State
from relay.state.upkeep import Upkeep
from relay.state.vector import Vector


def upkeep(journal: Journal) -> Upkeep:
    return Upkeep(State(), Vector(), journal, None, time.time)


def test_each_incarnation_learns_whose_files_they_were(tmp_path: Path) -> None:
    found = []
    for incarnation in ("a" * 16, "b" * 16, "c" * 16):
        journal = Journal(tmp_path / "j.sqlite")
        found.append(upkeep(journal).succeed(incarnation))
        journal.close()
    assert found == ["", "a" * 16, "b" * 16]


def test_a_node_that_keeps_nothing_succeeds_nobody() -> None:
    assert upkeep(Journal(MEMORY)).succeed("a" * 16) == ""
