"""Where the relay may fetch from: nothing but the configured bases, however an address is spelled."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import OriginForeignError
from relay.sources import MAX_URI, ByteRange, OriginScope, Source, canonical_path

SCOPE = OriginScope(("http://origin.example/live/ch1/", "https://other.example:8443/"))
MANIFEST = Source("hd/index.m3u8", "key=1")


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("seg.m4s", Source("hd/seg.m4s")),
        ("./seg.m4s", Source("hd/seg.m4s")),
        ("../sd/seg.m4s", Source("sd/seg.m4s")),
        ("a/../b/seg.m4s", Source("hd/b/seg.m4s")),
        ("/live/ch1/seg.m4s", Source("seg.m4s")),
        ("//origin.example/live/ch1/seg.m4s", Source("seg.m4s")),
        ("http://origin.example/live/ch1/seg.m4s", Source("seg.m4s")),
        ("HTTP://Origin.Example/live/ch1/seg.m4s", Source("seg.m4s")),
        ("https://other.example:8443/seg.m4s", Source("seg.m4s", base=1)),
        ("seg.m4s?token=a%2Fb&x=$1", Source("hd/seg.m4s", "token=a%2Fb&x=$1")),
        ("?other=2", Source("hd/index.m3u8", "other=2")),
        ("", Source("hd/index.m3u8", "key=1")),
        ("seg.m4s#part", Source("hd/seg.m4s")),
        ("  seg.m4s\r\n", Source("hd/seg.m4s")),
        ("a//b.m4s", Source("hd/a//b.m4s")),
        ("/live/ch1/a//b.m4s", Source("a//b.m4s")),
        ("folder/", Source("hd/folder/")),
        ("..", Source("")),
        ("seg%20one.m4s", Source("hd/seg%20one.m4s")),
        ("s%65g.m4s", Source("hd/seg.m4s")),
        ("größe.m4s?q=ä", Source("hd/gr%C3%B6%C3%9Fe.m4s", "q=%C3%A4")),
        ("%252e%252e/x", Source("hd/%252e%252e/x")),
        ("a..b/...m4s", Source("hd/a..b/...m4s")),
        ("seg$Number$.m4s", Source("hd/seg%24Number%24.m4s")),
        ("x;v=1.m4s", Source("hd/x;v=1.m4s")),
    ],
)
def test_what_lies_below_a_base_is_found(uri: str, source: Source) -> None:
    assert SCOPE.resolve(uri, MANIFEST) == source


@pytest.mark.parametrize(
    "uri",
    [
        "http://evil.example/live/ch1/seg.m4s",
        "//evil.example/seg.m4s",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1/live/ch1/x",
        "http://[::1]/live/ch1/x",
        "http://localhost/live/ch1/x",
        "https://origin.example/live/ch1/seg.m4s",
        "http://origin.example:8080/live/ch1/seg.m4s",
        "http://origin.example.evil.example/live/ch1/x",
        "http://origin.example./live/ch1/seg.m4s",
        "http://user@origin.example/live/ch1/seg.m4s",
        "http://user:pass@origin.example/live/ch1/seg.m4s",
        "http://origin.example@evil.example/live/ch1/seg.m4s",
        "http://evil.example#@origin.example/live/ch1/x",
        "http://evil.example?@origin.example/live/ch1/x",
        "http://оrigin.example/live/ch1/x",
        "http://origin。example/live/ch1/x",
        "https://other.example/seg.m4s",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "ftp://origin.example/live/ch1/x",
        "data:text/plain,x",
        "javascript:alert(1)",
        "gopher://origin.example/live/ch1/x",
        "skd://key",
        "unix:/run/docker.sock",
    ],
)
def test_foreign_addresses_are_refused(uri: str) -> None:
    with pytest.raises(OriginForeignError):
        SCOPE.resolve(uri, MANIFEST)


@pytest.mark.parametrize(
    "uri",
    [
        "../../x",
        "../../../x",
        "../../ch10/x",
        "/live/ch10/x",
        "/live/ch1",
        "/live/CH1/x",
        "/x",
        "/",
        "http://origin.example",
        "/live/ch1/../ch2/x",
        "http://origin.example/live/ch1/../ch2/x",
        "http://origin.example/live/ch1/a/../x",
        "%2e%2e/%2e%2e/x",
        "%2E%2e/x",
        ".%2e/x",
        "a/%2e/x",
        "..;/admin",
        "a/..;x=1/admin",
        "%2e%2e;/x",
        "..%3b/x",
        "..%2fx",
        "a%2Fb",
        "..%5cx",
        "..\\x",
        "\\\\evil.example\\x",
        "/\\evil.example/x",
        "a%00b",
        "%c0%ae%c0%ae/x",
        "%ff.m4s",
        "\udcff.m4s",
        "x?\udcff",
        "a\x00b",
        "a b.m4s",
        "a\tb",
        "a\nb",
        "a\x7fb",
        "http://[origin.example/live/ch1/x",
        "//[",
        "http://[::g]/x",
        "http://origin\u2100.example/x",
        "x" * (MAX_URI + 1),
    ],
)
def test_ways_out_of_a_base_and_ambiguous_spellings_are_refused(uri: str) -> None:
    with pytest.raises(OriginForeignError):
        SCOPE.resolve(uri, MANIFEST)


@given(st.text(st.sampled_from("./\\:;?#@%25eEfF[]a~-\n é"), max_size=20) | st.text(max_size=40))
def test_any_uri_lands_below_a_base_or_is_refused(uri: str) -> None:
    try:
        source = SCOPE.resolve(uri, MANIFEST)
    except OriginForeignError:
        return
    url = SCOPE.url(source)
    assert url.startswith(SCOPE.bases)
    assert url.isascii()
    parts = urlsplit(url)
    assert not {".", ".."} & set(parts.path.split("/"))
    assert SCOPE.resolve(url) == source


@given(st.text(max_size=40))
def test_a_canonical_path_is_its_own(path: str) -> None:
    try:
        once = canonical_path(path)
    except ValueError:
        return
    assert canonical_path(once) == once
    assert once.isascii()
    assert not set(once) & set(' "$<>\\^`{|}?#')


def test_a_base_that_was_taken_away_is_foreign() -> None:
    with pytest.raises(OriginForeignError, match="configured no more"):
        SCOPE.url(Source("x", base=2))


def test_a_base_with_encoded_letters_is_compared_by_meaning() -> None:
    scope = OriginScope(("http://origin.example/l%69ve%20one/",))
    source = scope.resolve("http://origin.example/live%20one/x")
    assert source == Source("x")
    assert scope.url(source) == "http://origin.example/l%69ve%20one/x"


@pytest.mark.parametrize(
    ("span", "header"),
    [(ByteRange(0, 1), "bytes=0-0"), (ByteRange(100, 50), "bytes=100-149"), (ByteRange(7, None), "bytes=7-")],
)
def test_the_range_header(span: ByteRange, header: str) -> None:
    assert span.header() == header


HOSTS = OriginScope(("http://origin.example:8080/live/", "http://video/", "https://[2001:db8::1]/"))


@pytest.mark.parametrize(
    "text",
    [
        "http://origin.example/live/x",
        "HTTPS://ORIGIN.EXAMPLE",
        'see "//origin.example:9000"',
        "//user:word@origin.example/",
        "//a@b@origin.example/",
        "http://origin.example./x",
        "http://video/x",
        "http://video:8080",
        "https://[2001:db8::1]:443/",
    ],
)
def test_addresses_of_the_origin_are_seen(text: str) -> None:
    assert HOSTS.addressed_in(text)
    assert HOSTS.named_in(text)


@pytest.mark.parametrize("text", ["origin.example", "Live from Origin.Example.", "a=origin.example/x", "2001:db8::1"])
def test_names_of_the_origin_are_seen(text: str) -> None:
    assert HOSTS.named_in(text)
    assert not HOSTS.addressed_in(text)


@pytest.mark.parametrize(
    "text",
    ["", "video", "/video/x", "http://videos/", "http://video.example/", "http://origin.example.org/",
     "http://my-origin.example/", "cdn.origin.example", "//elsewhere.example/video"],
)  # fmt: skip
def test_other_hosts_and_everyday_words_are_none_of_the_origin(text: str) -> None:
    assert not HOSTS.named_in(text)
    assert not HOSTS.addressed_in(text)
