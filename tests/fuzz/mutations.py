"""Bad inputs made of good ones: edits of the corpus, and values of the right structure with the wrong content."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cbor2
import msgspec
from hypothesis import strategies as st

from keys import base64url
from tests.fuzz.target import MAX_INPUT, Target

MAX_EDITS = 6


@st.composite
def edited(draw: st.DrawFn, target: Target) -> bytes:
    """An input of the corpus after a few edits."""
    corpus = list(target.corpus().values())
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(1, MAX_EDITS))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 6)):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:at] + draw(st.binary(max_size=4)) + data[at:]
            case 2:
                data = data[:at] + data[at:end] * draw(st.integers(2, 60)) + data[end:]
            case 3 if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
            case 4 if target.words:
                data = data[:at] + draw(st.sampled_from(target.words)) + data[end:]
            case 5:
                other = draw(st.sampled_from(corpus))
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
            case _:
                data = data[:at]
    return data[:MAX_INPUT]


_NUMBERS = st.sampled_from([0, 1, -1, 2, 255, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63), 1_790_000_600, 1.5, 1e300])
_TEXTS = st.text(max_size=8) | st.sampled_from(
    ["", "*", "GET", "DE", "AS1", "192.0.2.0/24", "::/0", "cookie", "regex:.*", "x" * 600, "\0", "a b", "session", "AA"]
)


def _values(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda some: st.lists(some, max_size=4) | st.dictionaries(names, some, max_size=4), max_leaves=8
    )


_PLAIN = st.none() | st.booleans() | _NUMBERS | _TEXTS
_JSON = _values(_PLAIN, _TEXTS)
_CBOR = _values(_PLAIN | st.binary(max_size=40), _TEXTS | st.integers(-3, 9))


@dataclass(frozen=True, slots=True)
class Notation:
    """How the documents of some targets are read and written, and values that have no business in them."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    odd: tuple[Any, ...]
    values: st.SearchStrategy[Any]

    def documents(self, target: Target) -> Iterator[Any]:
        """The inputs of the corpus that are documents."""
        for data in target.corpus().values():
            with suppress(ValueError):
                yield self.read(data)

    def replaced(self, target: Target) -> Iterator[bytes]:
        """Every document with every one of its values replaced by each odd one."""
        for document in self.documents(target):
            for odd in self.odd:
                for changed in _replaced(document, odd):
                    with suppress(ValueError, TypeError, OverflowError, msgspec.EncodeError):  # what cannot be written
                        yield self.write(changed)


def _replaced(document: Any, odd: Any) -> Iterator[Any]:
    yield odd
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield {other: kept for other, kept in document.items() if other != name}
            for changed in _replaced(value, odd):
                yield {**document, name: changed}
    elif isinstance(document, list | tuple):
        for at, value in enumerate(document):
            for changed in _replaced(value, odd):
                yield [*document[:at], changed, *document[at + 1 :]]


@st.composite
def _respelt(draw: st.DrawFn, target: Target, notation: Notation, values: st.SearchStrategy[Any]) -> bytes:
    """A document of the corpus in which a value, at any depth, is another."""
    document = draw(st.sampled_from(list(notation.documents(target))))
    try:
        return notation.write(_changed(draw, document, values))
    except (ValueError, TypeError, OverflowError, msgspec.EncodeError):
        return b""


def _changed(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any]) -> Any:
    if isinstance(document, Mapping) and document and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(list(document)))
        return {**document, name: _changed(draw, document[name], values)}
    if isinstance(document, list | tuple) and document and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(document) - 1))
        return [*document[:at], _changed(draw, document[at], values), *document[at + 1 :]]
    return draw(values)


def _spell_json(value: Any) -> bytes:
    # A number that JSON can spell and that is read as infinite.
    return json.dumps(value).replace("Infinity", "1e999").encode()


def _read_lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.split(b"\n")]


def _spell_lines(value: Any) -> bytes:
    return b"\n".join(map(_spell_json, value if isinstance(value, list) else [value]))


_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**53,
    2**64,
    10**400,
    float("inf"),
    "",
    "A",
    "\0",
    "x" * 600,
    [],
    [[]],
    {},
    {"a": []},
)
_ODD_JSON = (*_ODD, float("nan"), "\ud800", "*" * 300)
_ODD_BINARY = (*_ODD, float("nan"), b"", bytes(8), {1: {0: "A"}}, [b"\xff"])
_JSON_NOTATION = Notation(json.loads, _spell_json, _ODD_JSON, _JSON)
_LINES = Notation(_read_lines, _spell_lines, _ODD_JSON, _JSON)
_CBOR_NOTATION = Notation(cbor2.loads, cbor2.dumps, _ODD_BINARY, _CBOR)
_PACKED = Notation(msgspec.msgpack.decode, msgspec.msgpack.encode, _ODD_BINARY, _CBOR)
_JSON_TARGETS = (
    *("jwt-claims", "uri-signing-claims", "secure-media-claims", "status-list-claims", "scope-json"),
    *("jwks", "items-array", "body", "set-claims", "clear-key", "packager", "wm-ingest"),
)
NOTATIONS: Mapping[str, Notation] = {
    **dict.fromkeys(_JSON_TARGETS, _JSON_NOTATION),
    **dict.fromkeys(("dpop-claims", "items-lines"), _LINES),
    **dict.fromkeys(("cat-claims", "scope-cbor", "cat-message", "wm-sidecar", "wmt-claims"), _CBOR_NOTATION),
    **dict.fromkeys(("pass-body", "message", "heartbeat", "report", "claim", "event", "session-record"), _PACKED),
}
"""Of the targets whose inputs are documents."""


def inputs_for(target: Target) -> st.SearchStrategy[bytes]:
    """Bad inputs, and now and then a good one, for a target."""
    if target.name in NOTATIONS:
        notation = NOTATIONS[target.name]
        return edited(target) | _respelt(target, notation, notation.values)
    if target.name in ("jwt", "dpop", "set", "status-list"):
        return edited(target) | _reencoded(target)
    return edited(target)


@st.composite
def _reencoded(draw: st.DrawFn, target: Target) -> bytes:
    """A compact token one part of which says something else, so that mutations get past base64url."""
    parts = draw(st.sampled_from(list(target.corpus().values()))).decode("latin-1").split(".")
    at = draw(st.integers(0, len(parts) - 1))
    try:
        said = bytearray(base64url.decode(parts[at]))
    except ValueError:
        said = bytearray(b"{}")
    if said:
        said[draw(st.integers(0, len(said) - 1))] = draw(st.integers(0, 255))
    return ".".join([*parts[:at], base64url.encode(bytes(said)), *parts[at + 1 :]]).encode("latin-1")
