"""URL parts: one spelling for each, and none for a path that two readers could take for two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.facts import Facts
from relay.gate.uri import Part, normal_path, sorted_query, spellings

HERE = Facts("GET", "/live/ch1/seg.1.m4s", "b=2&a=1", "HTTPS", "Edge.Example.:8443")


@pytest.mark.parametrize(
    ("part", "texts"),
    [
        (Part.SCHEME, ("https",)),
        (Part.HOST, ("edge.example",)),
        (Part.PORT, ("8443",)),
        (Part.PATH, ("/live/ch1/seg.1.m4s",)),
        (Part.QUERY, ("a=1&b=2",)),
        (Part.PARENT_PATH, ("/live/ch1", "/live/ch1/")),
        (Part.FILENAME, ("seg.1.m4s",)),
        (Part.STEM, ("seg.1",)),
        (Part.EXTENSION, ("m4s", ".m4s")),
    ],
)
def test_the_parts_of_a_url(part: Part, texts: tuple[str, ...]) -> None:
    assert spellings(part, HERE) == texts


@pytest.mark.parametrize(
    ("path", "parent", "filename", "stem", "extension"),
    [
        ("/", ("/", "/"), "", "", ("",)),
        ("/live/", ("/live", "/live/"), "", "", ("",)),
        ("/live", ("/", "/"), "live", "live", ("",)),
        ("/.hidden", ("/", "/"), ".hidden", "", ("hidden", ".hidden")),
        ("/a.", ("/", "/"), "a.", "a", ("", ".")),
        ("/a.b/c", ("/a.b", "/a.b/"), "c", "c", ("",)),
    ],
)
def test_parts_of_odd_paths(
    path: str, parent: tuple[str, ...], filename: str, stem: str, extension: tuple[str, ...]
) -> None:
    facts = Facts("GET", path)
    assert spellings(Part.PARENT_PATH, facts) == parent
    assert spellings(Part.FILENAME, facts) == (filename,)
    assert spellings(Part.STEM, facts) == (stem,)
    assert spellings(Part.EXTENSION, facts) == extension


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("http", "edge.example", ("edge.example", "80")),
        ("https", "edge.example", ("edge.example", "443")),
        ("https", "[2001:DB8::1]", ("[2001:db8::1]", "443")),
        ("https", "[2001:db8::1]:8443", ("[2001:db8::1]", "8443")),
        ("https", "edge.example.", ("edge.example", "443")),
        ("ftp", "", ("", "")),
    ],
)
def test_host_and_port(scheme: str, host: str, expected: tuple[str, str]) -> None:
    facts = Facts("GET", "/", scheme=scheme, host=host)
    assert (spellings(Part.HOST, facts)[0], spellings(Part.PORT, facts)[0]) == expected


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/..", "/"),
        ("/a//b", "/a//b"),
        ("/a//../b", "/a/b"),
        ("//a", "//a"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E/b", "/a/b"),
        ("/a/.%2e/b", "/b"),
        ("/%61", "/a"),
        ("/%252e%252e/a", "/%2e%2e/a"),
        ("/%25", "/%"),
        ("/a;x=1", "/a;x=1"),
        ("/...", "/..."),
        ("/%C3%A4", "/\u00e4"),
        ("/\u00e4", "/\u00e4"),
    ],
)
def test_a_path_has_one_spelling(raw: str, path: str) -> None:
    assert normal_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "a",
        "*",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a\0",
        "/a%0a",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002f",
        "/a%%41",
        "/%c0%af",
        "/%c0%ae%c0%ae/",
        "/%e0%80%af",
        "/%ff",
        "/%ed%a0%80",
        "/\ud800",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_no_path(raw: str) -> None:
    assert normal_path(raw) is None
    assert spellings(Part.PATH, Facts("GET", raw)) == ()
    assert spellings(Part.EXTENSION, Facts("GET", raw)) == ()


@given(st.text(max_size=60))
def test_any_path_is_normal_or_none_at_all(raw: str) -> None:
    path = normal_path("/" + raw)
    assert path is None or (path.startswith("/") and not {"..", "."} & set(path.split("/")))


def test_a_query_is_sorted() -> None:
    assert sorted_query("b=2&a=1&&a=0&c") == "a=0&a=1&b=2&c"
    assert sorted_query("") == ""
