"""``make fuzz``: every target for a while, guided by the branches and comparisons that its inputs reach.

The engine is Atheris, which is libFuzzer for Python; its wheels are for Linux. Inputs that reach something new are
kept below ``build/fuzz``, where the next run begins; those that break a target in ``build/fuzz/broken``. Such a one
belongs into the corpus, under a name that says what is wrong with it, along with the fix.
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from tests.fuzz.target import BUDGET_S, CORPUS, MAX_INPUT, Target

NAMES = tuple(sorted(path.name for path in CORPUS.iterdir()))
ROOT = CORPUS.parents[2]
FOUND = ROOT / "build" / "fuzz"
SLOWED = 20
"""How much slower code runs, about, while it is watched."""
_WORD_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def main() -> int:
    """Fuzz the targets named on the command line, or all, one after another. 1 where one broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *NAMES], help="all, if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--found", type=Path, default=FOUND, help="where to keep what is found")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _fuzz(options.targets[0], options.seconds, options.found)
    broken = []
    for number, name in enumerate(options.targets or NAMES, start=1):
        print(f"[{number}/{len(options.targets or NAMES)}] {name}", flush=True)  # noqa: T201 - progress for a person
        command = [sys.executable, "-m", __spec__.name, name, "--inside"]
        settings = ["--seconds", str(options.seconds), "--found", str(options.found)]
        if subprocess.run([*command, *settings], cwd=ROOT, check=False).returncode:
            broken.append(name)
    print("broken:", ", ".join(broken) or "none")  # noqa: T201 - the result for a person
    return 1 if broken else 0


def _fuzz(name: str, seconds: int, found: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["keys", "relay"]):
        target: Target = importlib.import_module("tests.fuzz.targets").TARGETS[name]

    def run(data: bytes) -> None:
        target.check(data, SLOWED * BUDGET_S)

    for folder in (found / name, found / "broken"):
        folder.mkdir(parents=True, exist_ok=True)
    dictionary = found / f"{name}.words"
    dictionary.write_text("".join(f'"{_spelt(word)}"\n' for word in target.words))
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT}", "-timeout=10", "-rss_limit_mb=2048"]
    places = [f"-artifact_prefix={found / 'broken'}/{name}-", "-print_final_stats=1"]
    if target.words:
        places.append(f"-dict={dictionary}")
    atheris.Setup([sys.argv[0], *limits, *places, str(found / name), str(CORPUS / name)], run)
    atheris.Fuzz()


def _spelt(word: bytes) -> str:
    return "".join(chr(byte) if byte in _WORD_CHARACTERS else f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
