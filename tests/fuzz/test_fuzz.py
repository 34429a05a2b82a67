"""Every parser on its corpus, and on inputs made of it: a few here, the same each time; ``make fuzz`` runs for long."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.engine import NAMES
from tests.fuzz.mutations import NOTATIONS, inputs_for
from tests.fuzz.target import CORPUS, GOOD, MAX_INPUT
from tests.fuzz.targets import TARGETS

EXAMPLES = 120
CASES = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name}-{path.name}" for name, path in CASES])
def test_what_the_corpus_holds(name: str, path: Path) -> None:
    data = path.read_bytes()
    assert len(data) <= MAX_INPUT
    assert TARGETS[name].check(data) == path.name.startswith(GOOD)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_mutations(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    made = data.draw(inputs_for(target))
    try:
        target.check(made)
    except Exception as err:
        err.add_note(f"{name}: {made!r}")
        raise


@pytest.mark.parametrize("name", NOTATIONS)
def test_every_value_of_a_document_replaced(name: str) -> None:
    target = TARGETS[name]
    for made in NOTATIONS[name].replaced(target):
        try:
            target.check(made[:MAX_INPUT])
        except Exception as err:
            err.add_note(f"{name}: {made!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_at_all(name: str) -> None:
    # No pattern matches no text, and without a chain the peer is the client.
    assert TARGETS[name].check(b"") == (name in ("forwarded", "glob", "pattern"))


def test_every_folder_of_the_corpus_is_some_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS) == set(NAMES)
