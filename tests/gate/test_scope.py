"""Scopes: which requests a token may be presented for, in both spellings."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA512_256, Hash
from multidict import CIMultiDict

from keys import base64url
from relay.facts import Facts
from relay.gate.scope import (
    MAX_HEADERS,
    MAX_RULES,
    MAX_VALUE,
    Scope,
    ScopeError,
    UnenforcedError,
    headers_from_cbor,
    headers_from_json,
    uris_from_cbor,
    uris_from_json,
)
from relay.verdict import Reason

HERE = Facts(
    "GET",
    "/live/ch1/seg1.m4s",
    "b=2&a=1",
    "https",
    "edge.example",
    CIMultiDict({"User-Agent": "TV/2.0", "X-Empty": ""}),
)


def sha512_256(data: bytes) -> bytes:
    digest = Hash(SHA512_256())
    digest.update(data)
    return digest.finalize()


def test_sha_512_256_is_not_sha_512_cut_short() -> None:
    # FIPS 180-4 gives it initial values of its own; this is the example of "abc" published with it.
    expected = bytes.fromhex("53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23")
    assert sha512_256(b"abc") == expected != hashlib.sha512(b"abc").digest()[:32]
    abc = Facts("GET", "/abc")
    assert Scope(uris_from_cbor({6: {-2: expected}})).check(abc) is None
    assert Scope(uris_from_cbor({6: {-2: hashlib.sha512(b"abc").digest()[:32]}})).check(abc)


PATH = b"/live/ch1/seg1.m4s"
MATCHES: list[tuple[str, int, Any, Any, bool]] = [
    ("exact", 0, "/live/ch1/seg1.m4s", None, True),
    ("exact", 0, "/live/ch1/", None, False),
    ("exact", 0, "", None, False),
    ("prefix", 1, "/live/ch1/", None, True),
    ("prefix", 1, "/live/ch2/", None, False),
    ("prefix", 1, "/Live/", None, False),
    ("suffix", 2, ".m4s", None, True),
    ("suffix", 2, "seg1", None, False),
    ("contains", 3, "/ch1/", None, True),
    ("contains", 3, "ch2", None, False),
    ("regex", 4, ["/live/ch[0-9]/.*"], None, True),
    ("regex", 4, ["/LIVE/.*", "i"], None, True),
    ("regex", 4, ["ch1"], None, False),
    ("regex", 4, "/live/.*", None, True),
    ("sha256", -1, hashlib.sha256(PATH).digest(), "digest", True),
    ("sha256", -1, hashlib.sha256(PATH + b"x").digest(), "digest", False),
    ("sha512-256", -2, sha512_256(PATH), "digest", True),
    ("sha512-256", -2, hashlib.sha512(PATH).digest()[:32], "digest", False),
]


@pytest.mark.parametrize(("name", "label", "value", "spelling", "fits"), MATCHES)
def test_each_match_type_in_both_spellings(name: str, label: int, value: Any, spelling: str | None, fits: bool) -> None:
    json_value = base64url.encode(value) if spelling else value
    one, other = uris_from_json([{"path": {name: json_value}}]), uris_from_cbor({3: {label: value}})
    assert one == other
    assert (Scope(one).check(HERE) is None) is fits


PARTS: list[tuple[str, int, str, bool]] = [
    ("scheme", 0, "https", True),
    ("scheme", 0, "HTTPS", True),
    ("scheme", 0, "http", False),
    ("host", 1, "edge.example", True),
    ("host", 1, "EDGE.Example", True),
    ("host", 1, "edge.example.evil", False),
    ("port", 2, "443", True),
    ("port", 2, "80", False),
    ("path", 3, "/live/ch1/seg1.m4s", True),
    ("query", 4, "a=1&b=2", True),
    ("query", 4, "b=2&a=1", True),
    ("query", 4, "a=1", False),
    ("parent-path", 5, "/live/ch1", True),
    ("parent-path", 5, "/live/ch1/", True),
    ("parent-path", 5, "/live", False),
    ("filename", 6, "seg1.m4s", True),
    ("stem", 7, "seg1", True),
    ("stem", 7, "seg1.m4s", False),
    ("extension", 8, "m4s", True),
    ("extension", 8, ".m4s", True),
    ("extension", 8, "4s", False),
]


@pytest.mark.parametrize(("name", "label", "value", "fits"), PARTS)
def test_each_part_in_both_spellings(name: str, label: int, value: str, fits: bool) -> None:
    one, other = uris_from_json([{name: {"exact": value}}]), uris_from_cbor({label: {0: value}})
    assert one == other
    assert (Scope(one).check(HERE) is None) is fits


def test_every_listed_part_and_match_must_fit() -> None:
    good = {1: {0: "edge.example"}, 3: {1: "/live/", 2: ".m4s"}}
    assert Scope(uris_from_cbor(good)).check(HERE) is None
    for bad in ({**good, 1: {0: "x"}}, {**good, 3: {1: "/live/", 2: ".mp4"}}, {**good, 8: {0: "mp4"}}):
        assert Scope(uris_from_cbor(bad)).check(HERE)


def test_any_one_rule_of_a_list_is_enough() -> None:
    bad: dict[str, Any] = {"path": {"prefix": "/vod/"}}
    assert Scope(uris_from_json([bad, {"path": {"prefix": "/live/"}}])).check(HERE) is None
    assert Scope(uris_from_json([bad, bad])).check(HERE)


def test_nothing_listed_allows_nothing_and_nothing_asked_allows_everything() -> None:
    assert Scope(uris_from_json([])).check(HERE)
    assert Scope(uris_from_json([{}])).check(HERE) is None
    assert Scope().check(HERE) is None


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([{"host": {"exact": "x"}}], Reason.SCOPE_HOST),
        ([{"scheme": {"exact": "http"}, "path": {"exact": "/"}}], Reason.SCOPE_HOST),
        ([{"path": {"exact": "/"}}], Reason.SCOPE_PATH),
        ([{"host": {"exact": "x"}}, {"query": {"exact": ""}}], Reason.SCOPE_PATH),
        ([], Reason.SCOPE_PATH),
    ],
)
def test_the_refusal_says_which_part(rules: list[Any], reason: Reason) -> None:
    deny = Scope(uris_from_json(rules)).check(HERE)
    assert deny is not None
    assert deny.reason is reason


@pytest.mark.parametrize(
    "path",
    [
        "/live/ch1/../ch2/seg1.m4s",
        "/live/ch1/%2e%2e/ch2/seg1.m4s",
        "/live/ch1/..%2fch2/seg1.m4s",
        "/live/ch1%2f..%2fch2",
        "/live/ch1/..\\ch2",
        "/live/ch1/%5c..",
        "/live/ch1/%c0%ae%c0%ae/ch2",
        "/live/ch1/%00",
        "/live/ch1/%",
        "/live/ch10/seg1.m4s",
        "//live/ch1/",
        "/LIVE/ch1/",
    ],
)
def test_a_prefix_is_not_escaped(path: str) -> None:
    deny = Scope(uris_from_json([{"path": {"prefix": "/live/ch1/"}}])).check(Facts("GET", path))
    assert deny is not None
    assert deny.reason is Reason.SCOPE_PATH


def test_dot_segments_that_stay_inside_are_fine() -> None:
    scope = Scope(uris_from_json([{"path": {"prefix": "/live/ch1/"}}]))
    assert scope.check(Facts("GET", "/live/x/../ch1/%73eg")) is None


def test_headers_must_be_there_and_match() -> None:
    both = headers_from_json({"user-agent": {"prefix": "TV/"}}), headers_from_cbor({"USER-AGENT": {1: "TV/"}})
    assert both[0] == both[1]
    assert Scope(headers=both[0]).check(HERE) is None
    for wrong in ({"user-agent": {"prefix": "Phone"}}, {"x-other": {"contains": ""}}, {"X-Empty": {"exact": "x"}}):
        deny = Scope(headers=headers_from_json(wrong)).check(HERE)
        assert deny is not None
        assert deny.reason is Reason.SCOPE_HEADER
    assert Scope(headers=headers_from_json({"x-empty": {"exact": ""}})).check(HERE) is None
    mixed = headers_from_json({"user-agent": {"prefix": "TV/"}, "x-other": {"exact": "x"}})
    assert Scope(headers=mixed).check(HERE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        {},
        [1],
        [[]],
        ["path"],
        [{"path": "x"}],
        [{"path": []}],
        [{"path": {}}],
        [{"path": {"prefix": None}}],
        [{"path": {"prefix": ["/"]}}],
        [{"path": {"exact": "x" * (MAX_VALUE + 1)}}],
        [{"path": {"sha256": "x"}}],
        [{"path": {"sha256": "A" * 42 + "B"}}],
        [{"path": {"sha256": "A" * 44}}],
        [{"path": {"sha256": 1}}],
        [{"path": {"regex": []}}],
        [{"path": {"regex": [1]}}],
        [{"path": {"regex": ["a", 1]}}],
        [{"path": {"regex": ["a", "", ""]}}],
        [{}] * (MAX_RULES + 1),
    ],
)
def test_malformed_rules(value: Any) -> None:
    with pytest.raises(ScopeError) as caught:
        uris_from_json(value)
    assert not isinstance(caught.value, UnenforcedError)


@pytest.mark.parametrize(
    "value",
    [
        [{"fragment": {"exact": "x"}}],
        [{"PATH": {"exact": "x"}}],
        [{"path": {"glob": "x"}}],
        [{"path": {"Exact": "x"}}],
        [{"path": {"regex": ["a", "m"]}}],
        [{"path": {"regex": ["(a)\\1"]}}],
        [{"path": {"regex": ["a" * 257]}}],
    ],
)
def test_rules_that_are_not_enforced_here(value: Any) -> None:
    with pytest.raises(UnenforcedError):
        uris_from_json(value)


@pytest.mark.parametrize(
    "value", [{"path": {0: "x"}}, {3: {"exact": "x"}}, {9: {0: "x"}}, {3: {5: "x"}}, {True: {0: "x"}}]
)
def test_labels_and_names_do_not_mix(value: Any) -> None:
    with pytest.raises(UnenforcedError):
        uris_from_cbor(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"": {"exact": "x"}},
        {"a b": {"exact": "x"}},
        {"a:": {"exact": "x"}},
        {"a\r\n": {"exact": "x"}},
        {"x" * 65: {"exact": "x"}},
        {"\u00e4": {"exact": "x"}},
        {"X": {}},
        {"X": "x"},
        {"X": {"exact": "1"}, "x": {"exact": "2"}},
        {f"x-{at}": {"exact": "x"} for at in range(MAX_HEADERS + 1)},
    ],
)
def test_malformed_headers(value: Any) -> None:
    with pytest.raises(ScopeError):
        headers_from_json(value)
