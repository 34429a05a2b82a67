"""A relay in a process of its own before a local origin, for benches and tests that measure or restart one."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.gate.dialects.jwt import mint_token

ISSUER = "https://platform.example"
AUDIENCE = "edge"
_SKEWED = """
import sys, time
right, ahead_s = time.time, float(sys.argv.pop(1))
time.time = lambda: right() + ahead_s
from relay.cli import main
main()
"""


@dataclass
class RelayProcess:
    """A running ``segmentgate serve``. ``folder`` holds its configuration, secrets and journal.

    Its clock is ``ahead_s`` ahead of this machine's.
    """

    folder: Path
    process: "subprocess.Popen[str]"
    edge: str
    control: str
    ahead_s: float = 0.0

    @property
    def api_key(self) -> str:
        """The key of its control API."""
        return (self.folder / "api.key").read_text().strip()

    def token(self, **claims: Any) -> str:
        """A session token."""
        now = int(time.time())
        base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "account", "sid": "session", "jti": "t", "exp": now + 600}
        return mint_token({**base, **claims}, "k1", "HS256", bytes.fromhex((self.folder / "token.key").read_text()))

    def stop(self) -> None:
        """End it by SIGTERM; it must end well."""
        self.process.terminate()
        assert self.process.wait(15) == 0

    def kill(self) -> None:
        """End it by SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait(15)

    def start_again(self) -> None:
        """Start another on the same configuration and journal, after :meth:`kill`."""
        self.process, self.edge, self.control = _start(self.folder, self.ahead_s)

    def restart(self) -> None:
        """End it and start another on the same configuration, journal and, where they are fixed, ports."""
        self.stop()
        self.process, self.edge, self.control = _start(self.folder, self.ahead_s)

    def resident_bytes(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match
        return int(match[1]) * 1024


def write_configuration(
    folder: Path,
    streams: dict[str, dict[str, str]],
    ports: tuple[int, int] = (0, 0),
    state: dict[str, str] | None = None,
    control: dict[str, str] | None = None,
) -> None:
    """A configuration with fresh secrets; the secrets stay if they are there.

    ``state`` and ``control`` are further settings of these sections, as TOML values.
    """
    for name in ("root.key", "token.key", "api.key"):
        if not (folder / name).exists():
            (folder / name).write_text(os.urandom(32).hex())
    lines = [
        f'edge = {{ listen = "127.0.0.1:{ports[0]}" }}',
        f'control = {{ listen = "127.0.0.1:{ports[1]}", api_key_file = "api.key"{_inline(control)} }}',
        'keys = { roots = [{ generation = 1, file = "root.key" }] }',
        f'state = {{ directory = "{folder / "state"}"{_inline(state)} }}',
        "[tokens]",
        f'audience = "{AUDIENCE}"',
        f'issuers = [{{ iss = "{ISSUER}", keys = [{{ kid = "k1", alg = "HS256", file = "token.key" }}] }}]',
    ]
    for name, settings in streams.items():
        lines.append(f"[streams.{name}]")
        lines += [f"{key} = {value}" for key, value in settings.items()]
    (folder / "relay.toml").write_text("\n".join(lines))


def _inline(settings: dict[str, str] | None) -> str:
    return "".join(f", {key} = {value}" for key, value in (settings or {}).items())


@contextmanager
def relay_process(folder: Path, ahead_s: float = 0.0) -> Iterator[RelayProcess]:
    """Run ``segmentgate serve`` on the configuration in ``folder``; it ends by SIGTERM."""
    process, edge, control = _start(folder, ahead_s)
    relay = RelayProcess(folder, process, edge, control, ahead_s)
    try:
        yield relay
    finally:
        if relay.process.poll() is None:
            relay.stop()


def _start(folder: Path, ahead_s: float) -> tuple["subprocess.Popen[str]", str, str]:
    program = [str(Path(sys.executable).with_name("segmentgate"))]
    if ahead_s:
        program = [sys.executable, "-c", _SKEWED, str(ahead_s)]
    command = [*program, "serve", "--config", str(folder / "relay.toml")]
    with (folder / "log").open("a+") as log:
        start = log.tell()
        process = subprocess.Popen(command, stderr=log, text=True)
        until = time.monotonic() + 20
        while (serving := _serving((folder / "log").read_text()[start:])) is None:
            assert time.monotonic() < until, "the relay did not start"
            assert process.poll() is None, (folder / "log").read_text()[start:]
            time.sleep(0.02)
    return process, f"http://127.0.0.1:{serving['edge'][1]}", f"http://127.0.0.1:{serving['control'][1]}"


def _serving(said: str) -> dict[str, Any] | None:
    for line in said.splitlines(keepends=True):
        if line.endswith("\n") and '"event": "serving"' in line:
            event: dict[str, Any] = json.loads(line)
            return event
    return None
