"""Bad inputs made of good ones: edits of the corpus, and values of the right structure with the wrong content."""

import json
from collections.abc import Callable, Mapping
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


def _respelt(
    target: Target, read: Callable[[bytes], Any], write: Callable[[Any], bytes], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[bytes]:
    """Documents of the corpus in which one value, at any depth, is another."""
    documents = [read(data) for data in target.corpus().values() if data[:1] not in b"-" and _is_readable(read, data)]

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        return write(_changed(draw, draw(st.sampled_from(documents)), values))

    return changed()


def _is_readable(read: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        read(data)
    except ValueError:
        return False
    return True


def _changed(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any]) -> Any:
    if isinstance(document, Mapping) and document and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(list(document)))
        return {**document, name: _changed(draw, document[name], values)}
    if isinstance(document, list | tuple) and document and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(document) - 1))
        return [*document[:at], _changed(draw, document[at], values), *document[at + 1 :]]
    return draw(values)


def _spell_json(value: Any) -> bytes:
    return json.dumps(value).encode()


_LINES_OF = {"dpop-claims", "items-lines"}
_JSON_TARGETS = {
    "jwt-claims", "uri-signing-claims", "secure-media-claims", "scope-json", "jwks", "items-array", "body", "set-claims",
    "clear-key",
}  # fmt: skip
_CBOR_TARGETS = {"cat-claims", "scope-cbor", "cat-message"}
_PACKED_TARGETS = {"pass-body", "message", "heartbeat", "report", "claim", "event"}


def inputs_for(target: Target) -> st.SearchStrategy[bytes]:
    """Bad inputs, and now and then a good one, for a target."""
    if target.name in _JSON_TARGETS:
        return edited(target) | _respelt(target, json.loads, _spell_json, _JSON)
    if target.name in _LINES_OF:
        return edited(target) | _respelt(target, _read_lines, _spell_lines, _JSON)
    if target.name in _CBOR_TARGETS:
        return edited(target) | _respelt(target, cbor2.loads, cbor2.dumps, _CBOR)
    if target.name in _PACKED_TARGETS:
        return edited(target) | _respelt(target, msgspec.msgpack.decode, msgspec.msgpack.encode, _CBOR)
    if target.name in ("jwt", "dpop", "set"):
        return edited(target) | _reencoded(target)
    return edited(target)


def _read_lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.split(b"\n")]


def _spell_lines(value: Any) -> bytes:
    return b"\n".join(map(_spell_json, value if isinstance(value, list) else [value]))


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
