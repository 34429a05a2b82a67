"""Fixtures that every folder of tests may use, and the list of faults at the end of a run."""

import pytest

from tests.edge.world import world

__all__ = ["world"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every fault that was made to happen, and whether it was survived."""
    found = {
        report.nodeid: outcome
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, ())
        if _is_fault(report.nodeid)
    }
    if found:
        terminalreporter.section("faults")
        for nodeid, outcome in found.items():
            name = nodeid.partition("::")[2].removeprefix("test_").removeprefix("fault_").replace("_", " ")
            terminalreporter.line(f"{'survived' if outcome == 'passed' else outcome.upper():9} {name}")


def _is_fault(nodeid: str) -> bool:
    return nodeid.startswith("tests/faults/") or "::test_fault_" in nodeid
