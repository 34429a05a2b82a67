"""Paths and hosts as attackers write them: none names what the relay did not mint, or leaves the origin's folder.

Each is sent raw, with a follower behind it on the same connection.
"""

from collections.abc import Callable

import pytest

from tests.security.target import FOLLOWER, NOT_FOUND, Target

PATHS: dict[str, Callable[[str], str]] = {
    "dot segments": lambda url: url.replace("/s/", "/s/../s/"),
    "dot segments to the top": lambda _: "/../../../../etc/passwd",
    "dot segments at the start": lambda url: "/.." + url,
    "dot segments, encoded": lambda url: url.replace("/s/", "/s/%2e%2e/s/"),
    "dot segments, encoded twice": lambda url: url.replace("/s/", "/s/%252e%252e/s/"),
    "dot segments, half encoded": lambda url: url.replace("/s/", "/s/.%2e/s/"),
    "single dot": lambda url: url.replace("/s/", "/./s/"),
    "slash, encoded": lambda url: url.replace("/s/", "%2fs%2f"),
    "slash, encoded twice": lambda url: url.replace("/s/", "%252fs%252f"),
    "backslash": lambda url: url.replace("/s/", "\\s\\"),
    "backslash, encoded": lambda url: url.replace("/s/", "%5cs%5c"),
    "parameter": lambda url: url.replace("/s/", "/s;x=y/"),
    "parameter with dots": lambda url: url.replace("/s/", "/..;/s/"),
    "double slash": lambda url: url.replace("/s/", "//s/"),
    "double slash at the start": lambda url: "/" + url,
    "slash at the end": lambda url: url.replace("?", "/?", 1),
    "capitals": lambda url: url.replace("/s/", "/S/"),
    "capitals of the file": lambda url: url.replace("_1.m4s", "_1.M4S"),
    "NUL, encoded": lambda url: url.replace("?", "%00?", 1),
    "NUL, encoded, before the ending": lambda url: url.replace(".m4s", "%00.m4s", 1),
    "line end, encoded": lambda url: url.replace("?", "%0d%0aX:%20y?", 1),
    "overlong UTF-8": lambda url: url.replace("/s/", "%c0%afs%c0%af"),
    "overlong dots": lambda url: url.replace("/s/", "/%c0%ae%c0%ae/s/"),
    "full-width slash": lambda url: url.replace("/s/", "%ef%bc%8fs%ef%bc%8f"),
    "broken escape": lambda url: url.replace("/s/", "/%zz/s/"),
    "question mark, encoded": lambda url: url.replace("?", "%3f", 1),
    "fragment": lambda url: url.replace("?", "#?", 1),
    "another stream": lambda url: url.replace("/vod/", "/other/", 1),
    "another file": lambda url: url.replace("_1.m4s", "_2.m4s", 1),
    "absolute form": lambda url: "http://b" + url,
    "absolute URL inside": lambda url: url.replace("/s/", "/s/http://127.0.0.1:1/", 1),
    "signature twice, the wrong one first": lambda url: url.replace("sig=", "sig=AAAA&sig=", 1),
    "unknown pass": lambda url: "/p/AAAA/" + url.split("/", 3)[3],
    "empty pass": lambda url: "/p//" + url.split("/", 3)[3],
    "no class": lambda url: "/".join(url.split("/")[:4]),
    "file of the host": lambda url: url.split("/vod/")[0] + "/vod//etc/passwd",
}


@pytest.mark.parametrize("write", PATHS.values(), ids=PATHS)
async def test_a_path_that_was_not_minted_gives_nothing(target: Target, write: Callable[[str], str]) -> None:
    segment = await target.segment()
    path = write(segment)
    assert path != segment
    del target.fetched[:]
    request = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    reply, follower = await target.exchange(request + FOLLOWER)
    assert reply.status in (400, 401, 403, 404)
    assert reply.headers["access-control-allow-origin"] == "*"
    assert follower.status == NOT_FOUND
    assert target.fetched == []


SAME = {
    # RFC 3986 §6.2.2.2: an escaped letter is that letter.
    "escaped letter": lambda url: url.replace("_1.m4s", "_%31.m4s"),
    # Players and proxies add parameters of their own behind what was minted.
    "another signature behind": lambda url: url + "&sig=AAAA",
}


@pytest.mark.parametrize("write", SAME.values(), ids=SAME)
async def test_another_spelling_of_a_minted_path_gives_the_same(target: Target, write: Callable[[str], str]) -> None:
    segment = await target.segment()
    assert (await target.get(write(segment))).body == (await target.get(segment)).body


@pytest.mark.parametrize("character", [0x00, 0x01, 0x0A, 0x0D, 0x7F, 0x80, 0xC0, 0xFF])
async def test_raw_bytes_in_a_path_are_refused(target: Target, character: int) -> None:
    segment = (await target.segment()).encode().replace(b"/s/", b"/" + bytes([character]) + b"/s/")
    reply, *others = await target.exchange(b"GET " + segment + b" HTTP/1.1\r\nHost: a\r\n\r\n" + FOLLOWER)
    assert reply.status in (400, 403, 404)
    assert [other.status for other in others] == ([] if reply.closes else [NOT_FOUND])


HOSTS = {
    "trailing dot": ("a.example.", True),
    "IDN": ("xn--bcher-kva.example", True),
    "IDN, raw": ("bücher.example", False),
    "IPv6": ("[::1]:8080", True),
    "IPv6 with zone": ("[fe80::1%25eth0]", False),
    "with user": ("user@evil.example", False),
    "with path": ("evil.example/path", False),
    "with markup": ('"><script>', False),
    "with XML": ("a&amp;b", False),
    "two": ("a, b", False),
    "empty": ("", False),
}


@pytest.mark.parametrize(("host", "named"), HOSTS.values(), ids=HOSTS)
async def test_a_manifest_names_a_host_only_where_it_is_one(target: Target, host: str, named: bool) -> None:
    """The licence URL is made of the Host field: what is no host must not get into a manifest, or break it."""
    master = await target.session()
    playlist = (await target.get(master)).body.decode()
    path = master.rpartition("/")[0] + "/" + next(line for line in playlist.splitlines() if line.startswith("m/"))
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    (reply,) = await target.exchange(request)
    assert (reply.status == 200) is named or reply.status == 400
    if reply.status == 200:
        assert f'"http://{host}/api/v1/drm/license?' in reply.body.decode()
