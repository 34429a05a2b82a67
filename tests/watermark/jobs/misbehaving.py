"""A process of an analysis whose work goes wrong in the way that its argument says."""

import ctypes
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from relay.watermark.jobs import child


def memory(*_: Any) -> None:
    held = []
    while True:
        held.append(bytearray(8 << 20))


def spin(*_: Any) -> None:
    while True:
        pass


def sleep(*_: Any) -> None:
    time.sleep(600)


def crash(*_: Any) -> None:
    ctypes.string_at(0)


def abort(*_: Any) -> None:
    os.abort()


def leave(*_: Any) -> None:
    os._exit(3)


def fail(*_: Any) -> None:
    raise ZeroDivisionError("of no interest to a caller")


def write(*_: Any) -> None:
    with Path("large").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def babble(*_: Any) -> None:
    sys.stdout.write("x" * 100_000)
    sys.stdout.flush()
    os._exit(0)


def misframe(*_: Any) -> None:
    _say(b"\xff\xff\xff\xff" + bytes(100))


def garble(*_: Any) -> None:
    _say(b"\0\0\0\x05hello")


def _say(raw: bytes) -> None:
    # The one descriptor beyond the usual that is a pipe.
    for number in range(3, 20):
        try:
            os.write(number, raw)
        except OSError:
            continue
    time.sleep(600)


def stay(_: Any, key_of: Any, progress: Any) -> None:
    """Tell how far it is, and for whom it works, and go on for ever."""
    (Path("pid")).write_text(str(os.getpid()))
    progress("align", 0.5)
    time.sleep(600)


if __name__ == "__main__":
    stand_in = ModuleType("relay.watermark.jobs.reading")
    stand_in.read = globals()[sys.argv[1]]  # type: ignore[attr-defined]  # in place of what reads uploads
    sys.modules[stand_in.__name__] = stand_in
    child.main()
