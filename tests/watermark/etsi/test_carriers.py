import pytest

from relay.verdict import Deny, Reason
from relay.watermark.etsi.carriers import Carried, take_out


@pytest.mark.parametrize(
    ("path", "query", "header", "bearer", "expected"),
    [
        ("/a/b.m4s", "", "", False, Carried("", "/a/b.m4s", "")),
        ("/wmt:T0k-n/a/b.m4s", "", "", False, Carried("T0k-n", "/a/b.m4s", "")),
        ("/wmt%3AT.o.k/a", "x=1", "", False, Carried("T.o.k", "/a", "x=1")),
        ("/%77mt:t/a", "", "", False, Carried("t", "/a", "")),
        ("/wmt:t", "", "", False, Carried("t", "/", "")),
        ("/a/wmt:t/b", "", "", False, Carried("", "/a/wmt:t/b", "")),
        ("/a", "x=1&wmt=t&y=2", "", False, Carried("t", "/a", "x=1&y=2")),
        ("/a", "wmt=t%2E1", "", False, Carried("t.1", "/a", "")),
        ("/a", "", "t", False, Carried("t", "/a", "")),
        ("/a", "", "WMT  t ", False, Carried("t", "/a", "")),
        ("/a", "", "Bearer t", False, Carried("", "/a", "")),
        ("/a", "", "Bearer t", True, Carried("t", "/a", "")),
        ("/a", "", "Bearer", True, Carried("", "/a", "")),
        ("/a", "", "Basic t", True, Carried("", "/a", "")),
        ("/wmt:t/a", "wmt=t&wmt=t", "t", False, Carried("t", "/a", "")),
    ],
)
def test_where_tokens_travel(path: str, query: str, header: str, bearer: bool, expected: Carried) -> None:
    assert take_out(path, query, header, bearer=bearer) == expected


@pytest.mark.parametrize(
    ("path", "query", "header", "reason"),
    [
        ("/wmt:t/a", "wmt=u", "", Reason.TOKEN_CONFLICT),
        ("/a", "wmt=t&wmt=u", "", Reason.TOKEN_CONFLICT),
        ("/wmt:t/a", "", "u", Reason.TOKEN_CONFLICT),
        ("/wmt:/a", "", "", Reason.TOKEN_MALFORMED),
        ("/a", "wmt=", "", Reason.TOKEN_MALFORMED),
        ("/a", "wmt=", "t", Reason.TOKEN_CONFLICT),
        ("/wmt:" + "t" * 4097, "", "", Reason.TOKEN_MALFORMED),
    ],
)
def test_what_is_refused(path: str, query: str, header: str, reason: Reason) -> None:
    found = take_out(path, query, header)
    assert isinstance(found, Deny)
    assert found.reason is reason


def test_the_token_does_not_print() -> None:
    assert "s3cret" not in repr(take_out("/wmt:s3cret/a"))
