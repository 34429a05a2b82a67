"""Several relay processes that share one log, for tests and benches of revocation across nodes."""

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

from tests.relay_process import RelayProcess, relay_process, write_configuration

_SECRETS = ("root.key", "token.key", "api.key")


@contextmanager
def cluster(
    folder: Path,
    streams: dict[str, dict[str, str]],
    logs: Sequence[str],
    state: dict[str, str] | None = None,
    control: dict[str, str] | None = None,
    ahead_s: Sequence[float] = (),
) -> Iterator[list[RelayProcess]]:
    """One relay for each URL in ``logs``, by which it reaches the shared log. All hold the same secrets.

    The nodes are named a, b, c and are ready when this yields. ``ahead_s`` says how wrong their clocks are.
    """
    with ExitStack() as stack:
        nodes = []
        for number, log in enumerate(logs):
            name = "abcdefgh"[number]
            home = folder / name
            home.mkdir(parents=True, exist_ok=True)
            for secret in _SECRETS if number else ():
                shutil.copy(folder / "a" / secret, home / secret)
            shared = {"log": json.dumps(log), "node": json.dumps(name), **(state or {})}
            write_configuration(home, streams, state=shared, control={"probe": '"0s"', **(control or {})})
            nodes.append(stack.enter_context(relay_process(home, ahead_s[number] if ahead_s else 0.0)))
        for node in nodes:
            wait_ready(node)
        yield nodes


def wait_ready(node: RelayProcess, within_s: float = 20.0) -> None:
    """Wait until a node says that it has caught up."""
    until = time.monotonic() + within_s
    while not is_ready(node):
        assert time.monotonic() < until, "the node did not become ready"
        time.sleep(0.02)


def is_ready(node: RelayProcess) -> bool:
    """Whether a node says that it has caught up."""
    try:
        with urllib.request.urlopen(f"{node.control}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (HTTPError, URLError, TimeoutError):
        return False
