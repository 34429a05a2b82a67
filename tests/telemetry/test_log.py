"""Logging must never be what stops the relay."""

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
import structlog

from relay.telemetry.log import set_up_logging


class FullDisk(io.StringIO):
    """A log file that takes nothing while ``full``."""

    full = False

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_is_json() -> None:
    with redirect_stderr(FullDisk()) as file:
        lines = set_up_logging("info")
        structlog.get_logger().info("served", stream="live")
        structlog.get_logger().debug("unheard")
        lines.flush()
    event = json.loads(file.getvalue())
    assert (event["event"], event["level"], event["stream"]) == ("served", "info", "live")


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical", "exception"])
def test_a_line_that_cannot_be_written_is_lost(level: str) -> None:
    with redirect_stderr(FullDisk()) as file:
        lines = set_up_logging("info")
        file.full = True
        getattr(structlog.get_logger(), level)("journal_unwritable")
        lines.flush()
        file.full = False
        structlog.get_logger().info("later")
        lines.flush()
    assert '"later"' in file.getvalue()
