"""Log lines: written in order from a thread, never at the cost of who logs."""

import io
import threading
import time

from relay.telemetry.lines import MAX_WAITING, LineWriter


class Stalling(io.StringIO):
    """A file on a disk that stalls until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.stalled.set()
        self.go_on.wait(5)
        return super().write(text)


def test_lines_come_in_order() -> None:
    file = io.StringIO()
    lines = LineWriter(file)
    for number in range(1000):
        lines.write(f"{number}\n")
    lines.flush()
    assert file.getvalue() == "".join(f"{number}\n" for number in range(1000))


def test_a_disk_that_stalls_holds_up_nobody_and_what_is_lost_is_counted() -> None:
    file = Stalling()
    lines = LineWriter(file)
    lines.write("first\n")
    assert file.stalled.wait(5)
    started = time.monotonic()
    for number in range(MAX_WAITING + 7):
        lines.write(f"{number}\n")
    assert time.monotonic() - started < 1
    file.go_on.set()
    lines.flush()
    written = file.getvalue().splitlines()
    assert written[:2] == ["first", "0"]
    assert written[-1] == '{"event": "log_lines_lost", "level": "error", "lines": 7}'
    assert len(written) == MAX_WAITING + 2


def test_a_file_that_cannot_be_written_stops_nothing() -> None:
    file = io.StringIO()
    file.close()
    lines = LineWriter(file)
    lines.write("lost\n")
    lines.flush()
