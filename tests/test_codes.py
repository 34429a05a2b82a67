"""Codes and numbers: none is missing, none is given twice, and the document shows what the code says."""

import importlib
import os
import pkgutil
import re
from pathlib import Path

import relay
from relay import codes
from relay.codes import CODES, table
from relay.errors import RefusedError, RelayError
from relay.listener import _REFUSED
from relay.verdict import Reason

DOCUMENT = Path(__file__).parent.parent / "docs" / "errors.md"
OF_THE_DEMO = {"demo", "demo_clip"}
"""Printed on a terminal, never answered."""


def classes_of(base: type[RelayError]) -> set[type[RelayError]]:
    found = {base}
    for one in base.__subclasses__():
        found |= classes_of(one)
    return found


def every_error() -> set[type[RelayError]]:
    for module in pkgutil.walk_packages(relay.__path__, "relay."):
        importlib.import_module(module.name)
    return {one for one in classes_of(RelayError) if one.__module__.startswith("relay.")}


def test_no_number_is_given_twice() -> None:
    numbers = [code.number for code in CODES.values()]
    assert len(set(numbers)) == len(numbers) == len(re.findall(r"(?m)^    Code\(", Path(codes.__file__).read_text()))


def test_every_reason_has_one() -> None:
    assert not set(Reason) - CODES.keys()


def test_every_error_has_one_and_the_status_of_the_table() -> None:
    for error in every_error() - classes_of(RefusedError):
        if error.code not in OF_THE_DEMO:
            assert CODES[error.code].status == error.status, error


def test_so_has_what_cannot_be_framed() -> None:
    assert not set(_REFUSED.values()) - CODES.keys()


def test_the_numbers_that_were_published_stay() -> None:
    # A sample of each kind; whoever changes one of these breaks somebody's program.
    published = {
        "token_expired": 1008,
        "revoked": 1101,
        "concurrency_limit": 1103,
        "scope_url": 1310,
        "request_invalid": 2001,
        "api_key": 2004,
        "role": 2005,
        "origin_error": 3001,
        "internal": 5001,
        "state_unwritable": 5003,
    }
    assert {name: CODES[name].number for name in published} == published
    assert CODES["token_expired"].aliases == {"doverunner": 7011}


def test_the_document_is_current() -> None:
    text = DOCUMENT.read_text()
    start = text.index("| number |")
    if os.environ.get("UPDATE_GOLDEN"):
        DOCUMENT.write_text(text[:start] + table())
    else:
        assert text[start:] == table()
