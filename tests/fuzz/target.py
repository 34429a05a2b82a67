"""What is fuzzed: a function that takes bytes from a stranger and may end in a value or in its parser's own error."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT = 16 * 1024
BUDGET_S = 0.05
"""Of one input, in processor time: what an event loop may be held up for by a stranger."""
GOOD = "good-"
"""How the names of inputs begin that are to be accepted."""


class TooSlowError(AssertionError):
    """An input took longer than its budget."""


@dataclass(frozen=True)
class Target:
    """One parser. ``run`` says whether it accepted the input, and raises for whatever must not happen.

    ``words`` are pieces of input that mutations may put in.
    """

    name: str
    run: Callable[[bytes], bool]
    words: tuple[bytes, ...] = field(default=(), repr=False)

    def check(self, data: bytes, budget_s: float = BUDGET_S) -> bool:
        """Run on one input, whose end and time are asserted. Whether it was accepted."""
        # More than once: the garbage collector may have been at work.
        for _ in range(3):
            began = time.thread_time()
            accepted = self.run(data)
            took = time.thread_time() - began
            if took <= budget_s:
                return accepted
        raise TooSlowError(f"{self.name}: {took * 1000:.0f} ms for {len(data)} bytes")

    def corpus(self) -> Mapping[str, bytes]:
        """The saved inputs by name."""
        return {path.name: path.read_bytes() for path in sorted((CORPUS / self.name).iterdir())}


def text_of(data: bytes) -> str:
    """Bytes as an HTTP server hands them on: what is no UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def good_inputs(name: str) -> list[bytes]:
    """The saved inputs of a target that are to be accepted."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.glob(f"{GOOD}*"))]
