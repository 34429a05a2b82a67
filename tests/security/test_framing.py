"""Where one request ends and the next begins, by RFC 9112: no two readings of the same bytes.

Each case is sent with a follower behind it on the same connection. Either it is refused, with a single answer
after which the connection ends; or it is answered and the follower is answered, each once and in this order.
"""

from dataclasses import dataclass

import pytest

from tests.security.target import FOLLOWER, NOT_FOUND, Target

HOST = b"Host: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes before a follower, and whether both are to be answered."""

    name: str
    data: bytes
    served: bool = False


def post(name: str, fields: bytes, body: bytes = b"", served: bool = False, version: bytes = b"HTTP/1.1") -> Case:
    head = b"POST /api/v1/drm/license " + version + b"\r\n" + HOST + fields + b"\r\n\r\n"
    return Case(name, head + body, served)


def chunked(name: str, body: bytes, served: bool = False) -> Case:
    return post(name, b"Transfer-Encoding: chunked", body, served)


def get(name: str, fields: bytes, served: bool = False) -> Case:
    return Case(name, b"GET /sdk/segmentgate.js HTTP/1.1\r\n" + HOST + fields + b"\r\n", served)


LENGTHS = [
    post("content-length", b"Content-Length: 5", b"hello", served=True),
    post("content-length with leading space", b"Content-Length:   5", b"hello", served=True),
    post("content-length with trailing space", b"Content-Length: 5  ", b"hello", served=True),
    post("content-length with leading zeros", b"Content-Length: 005", b"hello", served=True),
    post("content-length repeated", b"Content-Length: 5\r\nContent-Length: 5", b"hello"),
    post("content-length twice and unequal", b"Content-Length: 5\r\nContent-Length: 0", b"hello"),
    post("content-length list", b"Content-Length: 5, 5", b"hello"),
    post("content-length with plus", b"Content-Length: +5", b"hello"),
    post("content-length in hex", b"Content-Length: 0x5", b"hello"),
    post("content-length negative", b"Content-Length: -5", b"hello"),
    post("content-length with inner space", b"Content-Length: 5 5", b"hello"),
    post("content-length of 2^64", b"Content-Length: 18446744073709551616", b"hello"),
    post("content-length of 2^64 + 5", b"Content-Length: 18446744073709551621", b"hello"),
    post("content-length empty", b"Content-Length:", b"hello"),
    post("content-length in Arabic digits", "Content-Length: ٥".encode(), b"hello"),
    post("content-length with vertical tab", b"Content-Length: \x0b5", b"hello"),
    post("content-length with underscore in name", b"Content_Length: 5", served=True),
    post("close-delimited body", b"X: y", b"hello"),
    post("no body", b"X: y", served=True),
]
CODINGS = [
    post("content-length and chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    post("chunked and content-length", b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n"),
    post("chunked in capitals", b"Transfer-Encoding: CHUNKED", b"0\r\n\r\n", served=True),
    post("xchunked", b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
    post("chunked then identity", b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
    post("identity then chunked", b"Transfer-Encoding: identity, chunked", b"0\r\n\r\n"),
    post("gzip then chunked", b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"),
    post("identity", b"Transfer-Encoding: identity", b"0\r\n\r\n"),
    post("chunked twice", b"Transfer-Encoding: chunked, chunked", b"0\r\n\r\n"),
    post("chunked in two fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    post("chunked and identity fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"),
    post("chunked with parameter", b"Transfer-Encoding: chunked;q=1", b"0\r\n\r\n"),
    post("chunked quoted", b'Transfer-Encoding: "chunked"', b"0\r\n\r\n"),
    post("coding empty", b"Transfer-Encoding:", b"0\r\n\r\n"),
    post("coding with space before colon", b"Transfer-Encoding : chunked", b"0\r\n\r\n"),
    post("coding with tab before colon", b"Transfer-Encoding\t: chunked", b"0\r\n\r\n"),
    post("coding folded", b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n"),
    post("coding behind a fold", b"X: y\r\n Transfer-Encoding: chunked", b"0\r\n\r\n"),
    post("coding with vertical tab", b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
    post("coding behind a bare CR", b"X: y\rTransfer-Encoding: chunked", b"0\r\n\r\n"),
    post("coding behind a bare LF", b"X: y\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    post("chunked in HTTP/1.0", b"Transfer-Encoding: chunked", b"0\r\n\r\n", version=b"HTTP/1.0"),
    post("body in kept HTTP/1.0", b"Content-Length: 5\r\nConnection: keep-alive", b"hello", True, b"HTTP/1.0"),
]  # fmt: skip
CHUNKS = [
    chunked("chunks", b"5\r\nhello\r\n0\r\n\r\n", served=True),
    chunked("chunk size with leading zeros", b"0005\r\nhello\r\n0\r\n\r\n", served=True),
    chunked("chunk extension", b"5;a=b\r\nhello\r\n0\r\n\r\n", served=True),
    chunked("LF in a chunk extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    chunked("CR in a chunk extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size with plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size negative", b"-5\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size with leading space", b" 5\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size with trailing space", b"5 \r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size with underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size over 2^64", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size empty", b"\r\nhello\r\n0\r\n\r\n"),
    chunked("chunk size line ends with LF", b"5\nhello\r\n0\r\n\r\n"),
    chunked("chunk data not followed by CRLF", b"5\r\nhelloXX0\r\n\r\n"),
    chunked("chunk data followed by LF", b"5\r\nhello\n0\r\n\r\n"),
    chunked("chunk data longer than its size", b"3\r\nhello\r\n0\r\n\r\n"),
    chunked("last chunk ends with LF", b"5\r\nhello\r\n0\n\n"),
    chunked("trailer", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", served=True),
    chunked("trailer with a length", b"0\r\nContent-Length: 50\r\n\r\n"),
    chunked("trailer with a coding", b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    chunked("trailer with space before colon", b"0\r\nX : y\r\n\r\n"),
    chunked("a request inside a chunk", b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), served=True),
]
LINES = [
    Case("bare LF line ends", b"GET /sdk/segmentgate.js HTTP/1.1\nHost: a\n\n"),
    Case("bare CR line ends", b"GET /sdk/segmentgate.js HTTP/1.1\rHost: a\r\r"),
    Case("empty line before the request", b"\r\n\r\nGET /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n", served=True),
    Case("space before the request", b" GET /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n"),
    # Leniency that RFC 9112 §3 allows: where the request ends is beyond doubt.
    Case("two spaces in the request line", b"GET  /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n", served=True),
    Case("tab in the request line", b"GET\t/sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("space behind the version", b"GET /sdk/segmentgate.js HTTP/1.1 \r\nHost: a\r\n\r\n"),
    Case("HTTP/0.9", b"GET /sdk/segmentgate.js\r\n"),
    Case("HTTP/1.2", b"GET /sdk/segmentgate.js HTTP/1.2\r\nHost: a\r\n\r\n"),
    Case("HTTP/2.0", b"GET /sdk/segmentgate.js HTTP/2.0\r\nHost: a\r\n\r\n"),
    Case("HTTP/11.1", b"GET /sdk/segmentgate.js HTTP/11.1\r\nHost: a\r\n\r\n"),
    Case("version in Arabic digits", "GET /sdk/segmentgate.js HTTP/١.١\r\nHost: a\r\n\r\n".encode()),
    Case("version in small letters", b"GET /sdk/segmentgate.js http/1.1\r\nHost: a\r\n\r\n"),
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Case("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"),
    Case("unknown method", b"FETCH /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("method in small letters", b"get /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("method of another kind", b"DELETE /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n", served=True),
    Case("TRACE", b"TRACE /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\nX-Secret: s\r\n\r\n", served=True),
    Case("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", served=True),
    get("field name with space", b"X y: z\r\n"),
    get("field name with parenthesis", b"X(: z\r\n"),
    get("field name with NUL", b"X\x00: z\r\n"),
    get("field name in UTF-8", "Ñ: z\r\n".encode()),
    get("field without colon", b"X\r\n"),
    get("field with empty name", b": z\r\n"),
    get("first field folded", b" z\r\n"),
    get("value with NUL", b"X: a\x00b\r\n"),
    get("value with CR", b"X: a\rb\r\n"),
    get("value with DEL", b"X: a\x7fb\r\n"),
    get("value in Latin 1", b"X: \xe9\r\n", served=True),
    get("value empty", b"X:\r\n", served=True),
]
HOSTS = [
    Case("no Host", b"GET /sdk/segmentgate.js HTTP/1.1\r\n\r\n"),
    Case("two Hosts", b"GET /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    Case("two equal Hosts", b"GET /sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    Case("absolute form, other Host", b"GET http://b/sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n", served=True),
    Case("absolute form without authority", b"GET http:/sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("neither path nor absolute form", b"GET sdk/segmentgate.js HTTP/1.1\r\nHost: a\r\n\r\n"),
]  # fmt: skip
CASES = [*LENGTHS, *CODINGS, *CHUNKS, *LINES, *HOSTS]


@pytest.mark.parametrize("listener", ["edge", "control"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_is_refused_or_both_are_answered_once(target: Target, case: Case, listener: str) -> None:
    data = case.data
    if listener == "control":
        data = data.replace(b"/sdk/segmentgate.js", b"/healthz").replace(b"/drm/license", b"/drm/revoke")
    replies = await target.exchange(data + FOLLOWER, listener)
    if case.served:
        first, follower = replies
        assert first.status < 500
        assert not first.closes
        assert (follower.status, follower.closes) == (NOT_FOUND, True)
    else:
        (reply,) = replies
        assert 400 <= reply.status < 500
        assert reply.closes
    assert not any(b"smuggled" in reply.body or b"X-Secret" in reply.body for reply in replies)
