"""`segmentgate demo` as a user starts it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROTATION_S = 10
PRE_DELIVERY_S = 4
START_S = 300
"""The first start encodes the clip."""


@contextmanager
def running_demo(*options: str) -> Iterator[dict[str, str]]:
    """What the demo printed once it served. It is ended with SIGINT, and must end well."""
    command = [str(Path(sys.executable).with_name("segmentgate")), "demo", "--no-browser"]
    command += ["--rotation", str(ROTATION_S), "--pre-delivery", str(PRE_DELIVERY_S), "--duration", "900", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(_first_line(process.stdout))
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _first_line(stream: IO[bytes]) -> bytes:
    until = time.monotonic() + START_S
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0, until - time.monotonic()))
        assert ready, f"the demo did not serve within {START_S} s"
        byte = os.read(stream.fileno(), 1)
        assert byte, "the demo ended before it served"
        line += byte
    return line
