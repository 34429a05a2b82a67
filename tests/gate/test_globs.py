"""Wildcards: what they take, and that no pattern makes them slow."""

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.globs import glob_matches


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("**", "", True),
        ("?", "", False),
        ("/live/*", "/live/ch1/index.m3u8", True),
        ("/live/*", "/live/", True),
        ("/live/*", "/live", False),
        ("/live/*", "/LIVE/ch1", False),
        ("/live/*", "/vod/live/ch1", False),
        ("/live/?/a", "/live/1/a", True),
        ("/live/?/a", "/live/12/a", False),
        ("*/a/*/b", "/a/a/b/b", True),
        ("*.m3u8", "/x.m3u8.ts", False),
        ("/a.b", "/axb", False),
        ("/[ab]", "/a", False),
        ("/[ab]", "/[ab]", True),
        ("/a\\*", "/a*", False),
    ],
)
def test_patterns(pattern: str, text: str, fits: bool) -> None:
    assert glob_matches(pattern, text) is fits


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=10))
def test_a_second_opinion_agrees(pattern: str, text: str) -> None:
    assert glob_matches(pattern, text) is fnmatch.fnmatchcase(text, pattern)


@pytest.mark.parametrize("pattern", ["*a" * 200 + "b", "*" + "a" * 1000 + "b", "*?a?" * 1000, "?" * 4000 + "b*"])
def test_no_pattern_is_slow(pattern: str) -> None:
    began = time.thread_time()
    assert not glob_matches(pattern, "a" * 2000)
    assert time.thread_time() - began < 0.05
