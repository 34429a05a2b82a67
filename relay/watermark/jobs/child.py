"""The process of an analysis: ``python -m relay.watermark.jobs.child``. One order, one answer, then it ends.

It limits itself before it opens anything, and it ends when the relay does.
"""

import errno
import os
import queue
import resource
import sys
import threading
import traceback
from typing import BinaryIO

from relay.errors import RelayError
from relay.watermark.jobs.errors import AnalysisFailedError, AnalysisLimitError, AssetKeyError
from relay.watermark.jobs.messages import (
    LENGTH_BYTES,
    Accuse,
    AskKey,
    Failed,
    FromProcess,
    Key,
    Limits,
    Progress,
    Read,
    ToProcess,
    framed,
    to_process,
)

NICE = 10
_GRACE_S = 5


class Line:
    """The line to the relay: what is said, and what is answered."""

    def __init__(self, heard: BinaryIO, said: BinaryIO) -> None:
        self._said = said
        self._heard: queue.SimpleQueue[ToProcess] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def hear(self) -> ToProcess:
        """What the relay says next."""
        return self._heard.get()

    def say(self, message: FromProcess) -> None:
        """Say something."""
        self._said.write(framed(message))
        self._said.flush()

    def chip_key(self, asset: str, check: str) -> bytes:
        """Ask for a chip key. Raises :class:`AssetKeyError` where the relay has none."""
        self.say(AskKey(asset, check))
        answer = self.hear()
        if not isinstance(answer, Key) or answer.key is None:
            raise AssetKeyError(f"asset {asset} was marked with a chip key that is not known here")
        return answer.key

    def progress(self, step: str, share: float) -> None:
        """Tell how far it is."""
        self.say(Progress(step, share))

    def _listen(self, heard: BinaryIO) -> None:
        try:
            while length := heard.read(LENGTH_BYTES):
                self._heard.put(to_process.decode(heard.read(int.from_bytes(length))))
        finally:
            # The relay has let go, or is no more; a process that is at work does not look.
            os._exit(0)


def limit(limits: Limits) -> None:
    """Let this process take no more than that, and let everything else go first."""
    os.nice(NICE)
    for what, most in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    # At the first of these SIGXCPU ends it, which tells why.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + _GRACE_S))


def main() -> None:
    """Do as the relay says."""
    said = os.fdopen(os.dup(1), "wb")
    # Libraries that print must not be heard by the relay.
    os.dup2(2, 1)
    line = Line(sys.stdin.buffer, said)
    order = line.hear()
    assert isinstance(order, Read | Accuse)
    limit(order.limits)
    line.say(_answer(order, line))
    # Not by way of the interpreter's end, which would wait for who listens.
    os._exit(0)


def _answer(order: Read | Accuse, line: Line) -> FromProcess:
    try:
        if isinstance(order, Read):
            from relay.watermark.jobs.reading import read

            return read(order, line.chip_key, line.progress)
        from relay.watermark.jobs.accusing import accused

        return accused(order, line.progress)
    except MemoryError:
        return Failed(
            AnalysisLimitError.code,
            f"more than the {order.limits.memory >> 20} MiB of memory that an analysis may take",
        )
    except RelayError as err:
        return Failed(err.code, str(err))
    except Exception as err:
        if isinstance(err, OSError) and err.errno in (errno.EFBIG, errno.ENOSPC):
            return Failed(
                AnalysisLimitError.code,
                f"more disk than there is, or than the {order.limits.file >> 20} MiB of one file",
            )
        # Where, but not the text: it may quote what a process that holds keys was at.
        traceback.print_tb(err.__traceback__)
        return Failed(AnalysisFailedError.code, type(err).__name__)


if __name__ == "__main__":
    main()
