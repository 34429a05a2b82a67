"""A source that is still being written, as a file that ends only when nothing more comes."""

import time
from collections.abc import Callable
from typing import IO

_PAUSE_S = 0.05


class Growing:
    """Reads a file that grows, and waits at its end for more; what was quiet for ``idle_s`` seconds has ended.

    It cannot be sought in, which keeps FFmpeg from looking for an end that is not there.
    """

    def __init__(
        self,
        file: IO[bytes],
        idle_s: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        # Of a pipe: what is there. A plain read waits until all that was asked for has come.
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self._idle_s = idle_s
        self._pause = pause
        self._stopped = False
        self.name = getattr(file, "name", "source")

    def stop(self) -> None:
        """Let the source end here, for whoever reads."""
        self._stopped = True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; none where the source has ended."""
        waited = 0.0
        while not self._stopped:
            data = self._read(size)
            if data:
                return data
            if waited >= self._idle_s:
                break
            self._pause(_PAUSE_S)
            waited += _PAUSE_S
        return b""
