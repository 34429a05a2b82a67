"""Writing log lines from a thread of its own: a disk or a reader that stalls must not hold up what logs."""

import atexit
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TextIO

MAX_WAITING = 10_000
"""Lines that wait to be written; further ones are lost, and their number is written in their place."""
_PATIENCE_S = 2.0
_GROUP_S = 0.01
"""Lines that come close together are written at once: each turn of this thread stops the one that serves."""


class LineWriter:
    """A text stream that never blocks. Lines that cannot be written are lost: the relay must go on."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._written = threading.Event()
        self._written.set()
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.flush)

    def write(self, text: str) -> None:
        """Take whole lines; they are written soon, in the order they came."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._lost += 1
                return
            self._waiting.append(text)
            self._written.clear()
        self._filled.set()

    def flush(self) -> None:
        """Wait until what was taken is written, a little at most."""
        if threading.current_thread() is threading.main_thread():
            self._written.wait(_PATIENCE_S)

    def _run(self) -> None:
        while True:
            self._filled.wait()
            time.sleep(_GROUP_S)
            self._filled.clear()
            while text := self._take():
                with suppress(OSError, ValueError):
                    self._file.write(text)
                    self._file.flush()

    def _take(self) -> str:
        with self._lock:
            lines, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost = 0
            if not lines:
                self._written.set()
        if lost:
            lines.append(f'{{"event": "log_lines_lost", "level": "error", "lines": {lost}}}\n')
        return "".join(lines)
