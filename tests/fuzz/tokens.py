"""Fuzz targets of the token dialects.

Two for most of them. The one takes tokens as strangers send them: it accepts those that the corpus holds as good, and
only for the places that they are for. The other signs its input, as a platform with a strange mind would, so that
mutations get past the signature: whatever is then accepted must be a session that the rest of the relay can carry.
"""

import hashlib
import hmac
import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from urllib.parse import unquote

import cbor2

from keys import base64url
from keys.seal import Sealer
from relay.facts import Facts
from relay.gate.dialects.akamai import AkamaiDialect, AkamaiOptions
from relay.gate.dialects.base import Dialect, Proof
from relay.gate.dialects.cat import CatDialect
from relay.gate.dialects.cose import seal as seal_cose
from relay.gate.dialects.fastly import FastlyDialect, FastlyOptions
from relay.gate.dialects.jwt import JwtDialect
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.dialects.media_cdn import MediaCdnDialect, MediaCdnOptions
from relay.gate.dialects.secure_link import SecureLinkDialect
from relay.gate.dialects.secure_media import SecureMediaDialect
from relay.gate.dialects.uri_signing import UriSigningDialect, UriSigningOptions
from relay.gate.gate import Visitor
from relay.gate.passes import PassCodec
from relay.gate.status_list import MAX_INFLATED, StatusList, read_status_list
from relay.model import Session
from relay.verdict import Deny
from tests.fuzz.target import Target, good_inputs, text_of
from tests.gate import links, platform
from tests.gate.links import KEY, NOW

ENCRYPTION_KEY = bytes(range(16))
PLATFORM_KEYS = platform.keys()
LINK_KEYS = KeySet([TokenKey("k1", "HS256", KEY), Signer.load("ed", *platform.SIGNERS["ed-1"]).public()])
LINK_SIGNER = Signer("k1", "HS256", KEY)
STATUS_LIST_URI = "https://platform.example/statuslists/1"
PASSES = PassCodec(Sealer([bytes(32)]))
HERE = Facts(
    "GET",
    "/live/ch1/index.m3u8",
    query="a=1&b=2",
    scheme="https",
    host="edge.example",
    headers={"user-agent": "tv", "x-tier": "gold"},
    address="192.0.2.7",
    asn=64500,
    country="DE",
    region="DE-BY",
)
"""The request that tokens of the corpus are presented with."""
REQUESTS = (
    HERE,
    replace(HERE, path="/live/%2e%2e/a\\b", query="&&=&%00", address="fe80::1%eth0", host="[::1]:443"),
    replace(HERE, method="HEAD", path="/" + "a" * 2047, headers={}, address="", country="", region=""),
    replace(HERE, path="/\udcff/%C0%AF", host="EDGE.example.:8443", scheme="http", query="b=\udcff"),
)
_HEADER_TEXT = re.compile(r"[ -~]*")

DIALECTS: dict[str, Dialect] = {
    "jwt": JwtDialect(platform.TERMS, PLATFORM_KEYS, plain=True),
    "cat": CatDialect(platform.TERMS, PLATFORM_KEYS),
    "akamai": AkamaiDialect(links.TERMS, LINK_KEYS, AkamaiOptions(salt="pepper", account="data")),
    "uri-signing": UriSigningDialect(links.TERMS, LINK_KEYS, UriSigningOptions(ENCRYPTION_KEY)),
    "media-cdn": MediaCdnDialect(links.TERMS, LINK_KEYS, MediaCdnOptions(account="Data")),
    "secure-media": SecureMediaDialect(links.TERMS, LINK_KEYS),
    "secure-link": SecureLinkDialect(links.TERMS, LINK_KEYS),
    "fastly": FastlyDialect(links.TERMS, LINK_KEYS, FastlyOptions(with_query=True)),
}
PLACES = {
    "jwt": r"/live(/.*)?",
    "cat": r"/live/ch1(/.*)?",
    "akamai": r"/live(/.*)?|/vod(/.*)?",
    "uri-signing": r"/live/ch1/[a-z]+\.m3u8",
    "media-cdn": r"/live(/.*)?",
    "secure-media": r"/live/ch1.*",
    "secure-link": r"/live/ch1/index\.m3u8",
    "fastly": r"/live/ch1/index\.m3u8",
}
"""Where the good tokens of the corpus may be used, told once more and in another way."""


def request_of(data: bytes) -> tuple[str, Facts]:
    """A token and the request it comes with: lines of token, path, query, address, User-Agent; all but one optional."""
    token, *rest = text_of(data).split("\n")
    given = dict(zip(("path", "query", "address", "agent"), rest, strict=False))
    facts = replace(HERE, path=given.get("path", HERE.path), query=given.get("query", HERE.query))
    headers = {**HERE.headers, "user-agent": given.get("agent", "tv")}
    return token, replace(facts, address=given.get("address", HERE.address), headers=headers)


class Tokens:
    """The target that takes tokens of one dialect as they come."""

    def __init__(self, name: str, spell: Callable[[bytes], tuple[str, Facts]] = request_of, corpus: str = "") -> None:
        self._corpus = corpus or name
        self._dialect = DIALECTS[name]
        self._place = re.compile(PLACES[name])
        self._spell = spell

    @cached_property
    def known(self) -> set[Session]:
        """The sessions of the good tokens."""
        verdicts = [self._dialect.verify(*self._spell(data), NOW) for data in good_inputs(self._corpus)]
        assert verdicts
        return {verdict.session for verdict in verdicts if isinstance(verdict, Proof)}

    def run(self, data: bytes) -> bool:
        """Whether a token proves something for its request; then it must be a good one at its place."""
        token, facts = self._spell(data)
        verdict = self._dialect.verify(token, facts, NOW)
        if isinstance(verdict, Deny):
            return False
        assert verdict.session in self.known, "a token that nobody signed"
        if verdict.scope.check(facts) or verdict.session.bounds.check(facts):
            return False
        # POSIX keeps two slashes in front; a URL's dot segments take one away (RFC 3986 §5.2.4).
        path = "/" + posixpath.normpath(unquote(facts.path, errors="strict")).lstrip("/")
        assert self._place.fullmatch(path), f"a good token for a place it is not for: {path}"
        return True


class Signed:
    """The target that signs what it is given before a dialect sees it."""

    def __init__(self, dialect: str, sign: Callable[[bytes], str]) -> None:
        self._dialect = DIALECTS[dialect]
        self._sign = sign

    def run(self, data: bytes) -> bool:
        """Whether the token is accepted; then every part of the relay must be able to carry its session."""
        verdict = self._dialect.verify(self._sign(data), HERE, NOW)
        if isinstance(verdict, Deny):
            return False
        check_proof(verdict, self._dialect)
        return True


def check_proof(proof: Proof, dialect: Dialect) -> None:
    """That a proof can be used in every way that the relay uses it."""
    session = proof.session
    assert PASSES.read(PASSES.mint(session)) == session
    Visitor.of(session, "vod")
    for facts in REQUESTS:
        assert isinstance(proof.scope.check(facts), Deny | None)
        assert isinstance(session.bounds.check(facts), Deny | None)
    for status, headers in proof.answers.values():
        assert 300 <= status <= 599
        assert all(map(_HEADER_TEXT.fullmatch, [*headers, *headers.values()]))
    if proof.renewal is not None:
        assert all(map(_HEADER_TEXT.fullmatch, [proof.renewal.name, *proof.renewal.parameters]))
        renewed = dialect.renew(proof, session.expires_at)
        if renewed is not None and len(renewed) <= 4096:
            again = dialect.verify(renewed, HERE, NOW)
            assert isinstance(again, Proof), again
            assert (again.session.sid, again.session.account) == (session.sid, session.account)


def _jws(signer: Signer, defaults: dict[str, str]) -> Callable[[bytes], str]:
    """Signs claims, which a line with a header may precede."""
    header = json.dumps({**defaults, "kid": signer.kid, "alg": signer.algorithm}).encode()

    def sign(data: bytes) -> str:
        first, newline, claims = data.partition(b"\n")
        parts = (first, claims) if newline else (header, data)
        signed = ".".join(map(base64url.encode, parts))
        return f"{signed}.{base64url.encode(signer.sign(signed.encode()))}"

    return sign


SIGN_STATUS_LIST = _jws(Signer("hs-1", *platform.SIGNERS["hs-1"]), {"typ": "statuslist+jwt"})


def _sign_cat(data: bytes) -> str:
    return seal_cose(data, Signer.load("hs-1", *platform.SIGNERS["hs-1"]))


def _sign_akamai(data: bytes) -> str:
    fields = text_of(data)
    url = "" if "~acl=" in f"~{fields}" else f"~url={HERE.path}"
    message = f"{fields}{url}~salt=pepper".encode("utf-8", "surrogateescape")
    return f"{fields}~hmac={hmac.digest(KEY, message, hashlib.sha256).hex()}"


def _sign_media_cdn(data: bytes) -> str:
    fields = text_of(data)
    signed = "~".join(f"FullPath={HERE.path}" if part == "FullPath" else part for part in fields.split("~"))
    signed = signed.replace("~Headers=x-tier", "~Headers=x-tier=gold")
    return f"{fields}~hmac={hmac.digest(KEY, signed.encode('utf-8', 'surrogateescape'), hashlib.sha256).hex()}"


def _cose_text(data: bytes) -> tuple[str, Facts]:
    return base64url.encode(data), HERE


class StatusListTokens:
    """The target of status list tokens, as they are published or, with ``sign``, their claims before they are signed.

    Whatever is accepted is for the list's URI, holds, and has a status for every index or none. As published, it must
    be one that the corpus holds as good.
    """

    def __init__(self, sign: Callable[[bytes], str] | None = None) -> None:
        self._sign = sign

    @cached_property
    def known(self) -> list[StatusList]:
        """The good lists."""
        return [self._read(data) for data in good_inputs("status-list")]

    def run(self, data: bytes) -> bool:
        """Whether a list is accepted."""
        try:
            found = self._read(data)
        except ValueError:
            return False
        assert self._sign or found in self.known, "a list that nobody signed"
        assert found.expires_at > NOW
        assert found.ttl > 0
        count = len(found.statuses) * 8 // found.bits
        assert len(found.statuses) <= MAX_INFLATED
        assert all(found.at(index) in range(2**found.bits) for index in {0, count // 2, count - 1} if count)
        assert found.at(count) is None
        return True

    def _read(self, data: bytes) -> StatusList:
        raw = self._sign(data).encode() if self._sign else data
        return read_status_list(raw, STATUS_LIST_URI, platform.TERMS, PLATFORM_KEYS, NOW)


_ODD_ITEMS: tuple[object, ...] = (
    2**63,
    -1,
    1e300,
    float("nan"),
    cbor2.undefined,
    True,
    None,
    b"",
    "",
    [],
    {},
    {1: {2: {}}},
)
_HEADS = ("9bffffffffffffffff", "9f", "bf", "d834", "d836", "5bffffffffffffffff")
CBOR_WORDS = (*map(cbor2.dumps, _ODD_ITEMS), *map(bytes.fromhex, _HEADS))
"""Items out of place, and beginnings of items that promise much."""
JSON_WORDS = (
    *rb'"\ud800" 1e999 -0 9007199254740993 null true [] {} "" [[]] {"a":1} -1 "%2e%2e" "regex" "i" "(a*)*b"'.split(),
    *(b'"' + b"9" * 400 + b'"', b"9" * 5000, b"[" * 300, b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\0", b"\n", b"\\u0000"),
)
"""Values of JSON that few expect, and bytes that are none."""
_LINK_WORDS = (
    *b"~ = , ! * ? %2f %2e%2e %00 %ff & # // /../ \\ [::1] -1 99999999999 ip=fe80::1%1 acl= id= data= st= exp=".split(),
    *(b"*a" * 200, "\u0661".encode(), b"\xff"),
)

TOKEN_TARGETS = [
    *(Target(name, Tokens(name).run, _LINK_WORDS) for name in DIALECTS),
    Target("cat-message", Tokens("cat", _cose_text, "cat-message").run, CBOR_WORDS),
    Target(
        "jwt-claims", Signed("jwt", _jws(Signer("hs-1", *platform.SIGNERS["hs-1"]), {"typ": "JWT"})).run, JSON_WORDS
    ),
    Target("cat-claims", Signed("cat", _sign_cat).run, CBOR_WORDS),
    Target("status-list", StatusListTokens().run, _LINK_WORDS),
    Target("status-list-claims", StatusListTokens(SIGN_STATUS_LIST).run, (*JSON_WORDS, b"0.5", b"eNrbuRgAAhcBXQ")),
    Target("uri-signing-claims", Signed("uri-signing", _jws(LINK_SIGNER, {"typ": "JWT"})).run, JSON_WORDS),
    Target("secure-media-claims", Signed("secure-media", _jws(LINK_SIGNER, {"typ": "JWT"})).run, JSON_WORDS),
    Target("akamai-fields", Signed("akamai", _sign_akamai).run, _LINK_WORDS),
    Target("media-cdn-fields", Signed("media-cdn", _sign_media_cdn).run, _LINK_WORDS),
]
