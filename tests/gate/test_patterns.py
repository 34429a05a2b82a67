"""Regular expressions of tokens: what they match, what is refused, and that none takes long."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.patterns import MAX_INPUT, MAX_PATTERN, Pattern, PatternError, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "fits", "differs"),
    [
        ("", [""], ["a"]),
        ("abc", ["abc"], ["ab", "abcd", "xabc", "ABC", ""]),
        ("^abc$", ["abc"], ["xabc", "abc\n"]),
        ("/live/.*", ["/live/", "/live/a/b"], ["/liv", "/vod/live/x"]),
        (
            r"/ch\d+/[^/]+\.(m4s|mp4)",
            ["/ch1/a.m4s", "/ch12/b.mp4"],
            ["/ch/a.m4s", "/ch1/a/b.m4s", "/ch1/am4s", "/ch٣/a.m4s"],
        ),
        ("a|bc|", ["a", "bc", ""], ["b", "ac"]),
        ("(a|b)*c", ["c", "abbac"], ["ab", "abcd"]),
        ("a{2,3}", ["aa", "aaa"], ["a", "aaaa"]),
        ("a{2,}", ["aa", "aaaaaa"], ["a"]),
        ("(ab){0}x", ["x"], ["abx"]),
        ("a+?b??", ["a", "aaab"], ["b", ""]),
        (r"[a-c\-\]x-]+", ["a-]xc"], ["d", "\\"]),
        (r"[^\d/]", ["a"], ["1", "/", ""]),
        (r"\w\W\s\S\D", ["a- b-", "_.\t.x"], ["--  -"]),
        (r"\/\.\*\(\)\[\]\{\}\|\^\$\\\-", ["/.*()[]{}|^$\\-"], []),
        ("[.$^*]", [".", "$", "^", "*"], ["a"]),
        ("(?:a(?:b))?c", ["abc", "c"], ["bc"]),
        ("\u00e4.", ["\u00e4\u00f6"], ["\u00e4"]),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, fits: list[str], differs: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [text for text in fits if not compiled.matches(text)] == []
    assert [text for text in differs if compiled.matches(text)] == []


def test_case_is_ignored_only_when_asked() -> None:
    assert compile_pattern("/Live/[a-c]+", ignore_case=True).matches("/lIVE/AbC")
    assert not compile_pattern("/Live/[a-c]+").matches("/live/abc")
    assert not compile_pattern("[^a]", ignore_case=True).matches("A")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a)\1", "escape"),
        (r"a\b", "escape"),
        (r"\x41", "escape"),
        (r"\u0041", "escape"),
        (r"\Z", "escape"),
        ("(?=a)a", "look-around"),
        ("(?!a)b", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?P<n>a)", "named"),
        ("(?<n>a)", "named"),
        ("(?>a+)", "atomic"),
        ("(?i)a", "flags"),
        ("(?#x)a", "look-around"),
        ("a*+", "possessive or stacked"),
        ("a++", "possessive or stacked"),
        ("a**", "possessive or stacked"),
        ("a{2}{3}", "possessive or stacked"),
        ("a*??", "possessive or stacked"),
        ("*a", "neither escaped"),
        ("a|*", "neither escaped"),
        ("a{", "begins no"),
        ("a{,3}", "begins no"),
        ("a{x}", "begins no"),
        ("a{1,2", "begins no"),
        ("a{-1}", "begins no"),
        ("a{٣}", "begins no"),
        ("a{1000}", "begins no"),
        ("a{3,2}", "empty or beyond"),
        ("a{257}", "empty or beyond"),
        ("a}", "neither escaped"),
        ("a]", "neither escaped"),
        ("(a", "ends too soon"),
        ("a)", "unmatched"),
        ("[a", "ends too soon"),
        ("[a-", "ends too soon"),
        ("[]", "empty class"),
        ("[^]", "empty class"),
        ("[b-a]", "no order"),
        (r"[a-\d]", "no order"),
        (r"[\w-z]", "no order"),
        (r"[\D]", "negated class inside"),
        ("a^b", "at the ends"),
        ("a$b", "at the ends"),
        ("(^a)", "at the ends"),
        ("(a$)", "at the ends"),
        ("a\\", "ends too soon"),
        ("(" * 17 + ")" * 17, "nested deeper"),
        ("a" * (MAX_PATTERN + 1), "longer than"),
        ("((a{30}){30}){30}", "add up to more"),
        ("(((){99}){99}){99}", "add up to more"),
    ],
)
def test_what_is_outside_the_subset_is_refused_with_its_reason(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=re.escape(message)):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+", "a" * (MAX_INPUT - 1) + "b"),
        ("(a|a)*", "a" * (MAX_INPUT - 1) + "b"),
        ("(a|aa)+", "a" * (MAX_INPUT - 1) + "b"),
        ("(.*){16}x", "a" * MAX_INPUT),
        (".*" * 120 + "x", "a" * MAX_INPUT),
        ("(.*a){100}", "a" * (MAX_INPUT - 1) + "b"),
        ("((a{0,10}){0,10})*b", "a" * MAX_INPUT),
    ],
)
def test_no_pattern_takes_long(pattern: str, text: str) -> None:
    compiled = Pattern(pattern)
    start = time.process_time()
    assert not compiled.matches(text)
    # Python's own engine would need longer than anyone can wait for most of these; here the worst takes some 50 ms.
    assert time.process_time() - start < 2


def test_a_text_beyond_the_limit_matches_nothing() -> None:
    assert compile_pattern(".*").matches("a" * MAX_INPUT)
    assert not compile_pattern(".*").matches("a" * (MAX_INPUT + 1))


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", "(?:)"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "{2,3}?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("abc", max_size=7))
def test_it_agrees_with_the_engine_of_python(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    assert compiled.matches(text) == bool(re.fullmatch(pattern, text))


@given(st.text(r"ab()[]{}|?*+^$\.-,0123", max_size=20), st.text("ab01-", max_size=8))
def test_any_pattern_is_compiled_or_refused(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    compiled.matches(text)
