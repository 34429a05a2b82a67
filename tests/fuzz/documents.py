"""Fuzz targets of what comes in documents, headers and URLs: scopes, carriers, proofs, key sets, API bodies."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote

import msgspec
from multidict import CIMultiDict

from keys import base64url
from keys.errors import LicenceRequestError
from keys.licences.clearkey import parse_request
from keys.model import Scheme
from keys.seal import Sealer
from relay.control import blocks, short, taas
from relay.control.errors import BodyError, BodyTooLargeError
from relay.control.orders import ItemError, order_of, pieces_of, read_item
from relay.control.requests import decode
from relay.control.ssf_events import Source, SubjectError, orders_of
from relay.control.ssf_tokens import SetError, SetVerifier
from relay.edge.facts import _client
from relay.errors import UrlError
from relay.facts import Facts
from relay.gate.carriers import DEFAULT_NAMES, MAX_TOKEN, Credential, Presented
from relay.gate.dialects.cbor import CborError, read
from relay.gate.dialects.jwk import keys_of
from relay.gate.dialects.keys import KeySet, Signer
from relay.gate.dpop import check_proof
from relay.gate.globs import Glob
from relay.gate.issuers import Issuer, Issuers
from relay.gate.networks import NetworkIndex, parse_network
from relay.gate.patterns import PatternError, compile_pattern
from relay.gate.replay import SeenOnce
from relay.gate.scope import Scope, ScopeError, headers_from_cbor, headers_from_json, uris_from_cbor, uris_from_json
from relay.gate.targets import Target as RevocationTarget
from relay.gate.targets import TargetType
from relay.gate.uri import Part, normal_path, spellings
from relay.model import ManifestClass
from relay.sessions.revocations import Order
from relay.state.events import Revocation, decode_event, encode_event
from relay.urls import SessionUrls
from relay.verdict import Deny
from tests.fuzz.target import Target, good_inputs, text_of
from tests.fuzz.tokens import CBOR_WORDS, DIALECTS, HERE, JSON_WORDS, LINK_KEYS, PLATFORM_KEYS, REQUESTS, Tokens
from tests.gate import platform
from tests.gate.links import NOW
from tests.gate.test_dpop import BOUNDS, SIGNERS

PROXIES = ("10.0.0.0/8", "2001:db8::/32")
SOURCE = Source("https://idp.example", "", NOW - 10)
SETS = SetVerifier("https://idp.example", "edge", KeySet([Signer.load("ed-1", *platform.SIGNERS["ed-1"]).public()]))
URLS = SessionUrls("news", ManifestClass(Scheme.CENC), [bytes(32)], Sealer([bytes(32)]))
PROOF_HERE = Facts("GET", "/watch/news/index.m3u8", scheme="https", host="edge.example")


def _scope(read_value: Callable[[bytes], Any], uris: Callable[[Any], Any], headers: Callable[[Any], Any]) -> Any:
    def run(data: bytes) -> bool:
        accepted = False
        try:
            value = read_value(data)
        except ValueError:
            return False
        for read_part, make in ((uris, Scope), (headers, lambda found: Scope(headers=found))):
            try:
                scope = make(read_part(value))
            except ScopeError:
                continue
            accepted = True
            for facts in REQUESTS:
                assert isinstance(scope.check(facts), Deny | None)
        return accepted

    return run


def _read_cbor(data: bytes) -> object:
    try:
        return read(data, (52, 54))
    except CborError:
        raise ValueError from None


def _pair(data: bytes) -> tuple[str, str]:
    first, _, second = text_of(data).partition("\n")
    return first, second


def run_pattern(data: bytes) -> bool:
    """A pattern, and on the next line a text to match."""
    pattern, text = _pair(data)
    try:
        compiled = compile_pattern(pattern, ignore_case=text.startswith("A"))
    except PatternError:
        return False
    return compiled.matches(text)


def run_glob(data: bytes) -> bool:
    """A wildcard pattern, and on the next line a text."""
    pattern, text = _pair(data)
    # As long as one may be that came in a token.
    return Glob(pattern[:MAX_TOKEN]).holds(text)


def run_path(data: bytes) -> bool:
    """A raw path and, on the next line, a host."""
    raw, host = _pair(data)
    facts = replace(HERE, path=raw, host=host)
    for part in Part:
        assert all(isinstance(text, str) for text in spellings(part, facts))
    path = normal_path(raw)
    if path is None:
        return False
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert "\\" not in path
    return True


ISSUERS = Issuers(
    Issuer(name, dialect, PLATFORM_KEYS if name in ("jwt", "cat") else LINK_KEYS, DEFAULT_NAMES[name], cacheable=False)
    for name, dialect in DIALECTS.items()
)
_QUERY_NAMES = {name for names in DEFAULT_NAMES.values() for name in names.query}


def run_carriers(data: bytes) -> bool:
    """A path element, a raw query, then header fields: whose token they carry. Accepted where that is a good one."""
    element, _, rest = text_of(data).partition("\n")
    query, _, rest = rest.partition("\n")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in rest.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.add(name.strip(), value.strip())
    facts = replace(HERE, path=f"/watch/{element}/live/x", query=query, headers=headers)
    presented = Presented(headers, query, element)
    found = ISSUERS.find(presented)
    bare = ISSUERS.bare(facts, presented)
    assert not {unquote(pair.partition("=")[0]) for pair in bare.query.split("&")} & _QUERY_NAMES
    if isinstance(found, Deny):
        return False
    assert isinstance(found, Credential)
    assert 0 < len(found.token) <= MAX_TOKEN
    assert found.issuers
    verdict = ISSUERS.verify(found, replace(HERE, path="/live/ch1/index.m3u8"), "vod", NOW)
    if isinstance(verdict, Deny):
        return False
    assert any(verdict.session in Tokens(name).known for name in found.issuers)
    return True


def run_forwarded(data: bytes) -> bool:
    """A chain of proxies as a header tells it: the client is an address."""
    ip_address(_client("10.0.0.1", text_of(data), PROXIES))
    return True


def _dpop(proof_of: Callable[[bytes], str]) -> Callable[[bytes], bool]:
    def run(data: bytes) -> bool:
        facts = replace(PROOF_HERE, headers={"dpop": proof_of(data)})
        verdict = check_proof(BOUNDS["EdDSA"], "header.claims.signature", facts, SeenOnce(), platform.NOW)
        return verdict is None

    return run


def _signed_proof(data: bytes) -> str:
    header, _, claims = data.partition(b"\n")
    signed = ".".join(map(base64url.encode, (header, claims)))
    return f"{signed}.{base64url.encode(SIGNERS['EdDSA'].sign(signed.encode()))}"


def run_dpop(data: bytes) -> bool:
    """A proof as it comes: none is accepted but the good ones."""
    accepted = _dpop(text_of)(data)
    assert not accepted or data in good_inputs("dpop")
    return accepted


def run_dpop_claims(data: bytes) -> bool:
    """Header and claims of a proof, one a line, signed: accepted for this method, URL and token alone."""
    accepted = _dpop(_signed_proof)(data)
    if accepted:
        claims = json.loads(data.partition(b"\n")[2])
        assert claims["htm"] == "GET"
        assert claims["htu"].lower().startswith("https://edge.example")
        assert claims["ath"] == base64url.encode(sha256(b"header.claims.signature").digest())
        assert platform.NOW - 300 <= claims["iat"] <= platform.NOW + 60
    return accepted


def run_jwks(data: bytes) -> bool:
    """A JWK set; its keys must be able to say no."""
    try:
        keys = keys_of(data)
    except ValueError:
        return False
    # More than one would only cost as much again.
    for key in keys[:1]:
        assert not key.verifies(b"message", bytes(64))
    KeySet(keys)
    return bool(keys)


def check_order(order: Order) -> None:
    """That an order comes back from the journal as it was, and has a digest."""
    target = order.target
    event = Revocation(
        origin="0" * 16, seq=1, order=1, action=order.action, type=target.type, value=target.value,
        issuer=target.issuer, viewer=target.viewer, limit=target.limit, reason=order.reason, detail=order.detail,
        created_at=float(NOW), effective_at=order.effective_at, expires_at=order.expires_at or NOW + 1.0,
        sources=order.sources,
    )  # fmt: skip
    assert decode_event(encode_event(event)) == event
    assert len(target.digest()) == 16


def _items(lines: bool) -> Callable[[bytes], bool]:
    def run(data: bytes) -> bool:
        try:
            orders = [order_of(read_item(piece), NOW) for _, piece in pieces_of(data, lines)]
        except (BodyError, BodyTooLargeError, ItemError):
            return False
        for order in orders:
            check_order(order)
        return True

    return run


_BODIES: tuple[msgspec.json.Decoder[Any], ...] = (
    short._body,
    blocks._body,
    taas._list_body,
    taas._identifiers,
    taas._ids,
)


def run_body(data: bytes) -> bool:
    """A small JSON body, read as each of those that the API takes."""
    accepted = False
    for decoder in _BODIES:
        try:
            decode(data, decoder)
        except BodyError as err:
            msgspec.json.encode(err.members)
            continue
        accepted = True
    return accepted


def _events(token_of: Callable[[bytes], str]) -> Callable[[bytes], bool]:
    def run(data: bytes) -> bool:
        try:
            said = SETS.verify(token_of(data), NOW)
            orders = orders_of(said.events, said.subject, replace(SOURCE, issued_at=said.issued_at), NOW)
        except (SetError, SubjectError) as err:
            msgspec.json.encode(str(err))
            return False
        for order in orders:
            check_order(order)
        return True

    return run


def run_set(data: bytes) -> bool:
    """A security event token as it comes: none is accepted but the good ones."""
    accepted = _events(text_of)(data)
    assert not accepted or data in good_inputs("set")
    return accepted


def _signed_set(data: bytes) -> str:
    header = b'{"alg":"EdDSA","kid":"ed-1","typ":"secevent+jwt"}'
    signed = ".".join(map(base64url.encode, (header, data)))
    return f"{signed}.{base64url.encode(Signer.load('ed-1', *platform.SIGNERS['ed-1']).sign(signed.encode()))}"


def run_network(data: bytes) -> bool:
    """A network as operators write it: its normal form is one, and contains its own addresses."""
    try:
        name = parse_network(text_of(data))
    except ValueError as err:
        str(err).encode(errors="backslashreplace")
        return False
    assert parse_network(name) == name
    index, digest = NetworkIndex(), RevocationTarget(TargetType.NETWORK, name).digest()
    index.add(digest, name)
    asn = int(name[2:]) if name.startswith("AS") else 0
    address = "" if asn else str(ip_network(name).network_address)
    assert index.containing(address, asn) == [digest]
    index.discard(digest)
    assert not index
    return True


def run_url(data: bytes) -> bool:
    """A path below a class folder and, on the next line, its query: none is read but those written."""
    path, query = _pair(data)
    try:
        ref, _ = URLS.read(path, query)
    except UrlError:
        return False
    assert ref in {URLS.read(*_pair(good))[0] for good in good_inputs("url")}
    return True


def run_clear_key(data: bytes) -> bool:
    """A Clear Key licence request."""
    try:
        return bool(parse_request(data).kids)
    except LicenceRequestError:
        return False


_JSON_WORDS = (*JSON_WORDS, b'"keys"', b'"complex"', b'"opaque"', b'"' + b"x" * 600 + b'"')
_URL_WORDS = (b"%2f", b"%2e%2e", b"/../", b"%", b"%00", b"%c0%af", b"\\", b"&", b"=", b"\xff", b"?", b"//", b";", b",")
_PATTERN_WORDS = (
    b"(a*)*",
    b"{256}",
    b"{0,256}",
    b"(" * 20,
    b"[^a-z]",
    b"\\d",
    b"|",
    b".*" * 40,
    b"a" * 2100,
    b"$",
    b"^",
)
_names = [b"token", b"CAT", b"hdnts", b"md5", b"expires", b"URISigningPackage", b"edge-cache-token"]
_HEADER_WORDS = (*_URL_WORDS, *(b"Cookie: " + name + b"=" for name in _names), b"Bearer ", b"\n", b'"')
_NETWORK_WORDS = (
    b"::ffff:1.2.3.4/96",
    b"AS0",
    b"/0",
    b"/129",
    b"%eth0",
    b"\xd9\xa1",
    b"0x7f",
    b"AS4294967295",
    b"/032",
)

DOCUMENT_TARGETS = [
    Target("scope-json", _scope(json.loads, uris_from_json, headers_from_json), _JSON_WORDS + _PATTERN_WORDS),
    Target("scope-cbor", _scope(_read_cbor, uris_from_cbor, headers_from_cbor), CBOR_WORDS),
    Target("pattern", run_pattern, _PATTERN_WORDS),
    Target("glob", run_glob, (b"*", b"?", b"*a" * 1000, b"a" * 2000, b"\n")),
    Target("path", run_path, _URL_WORDS),
    Target("carriers", run_carriers, _HEADER_WORDS),
    Target("forwarded", run_forwarded, (b", ", b"10.0.0.2", b"2001:db8::1", b"::ffff:10.0.0.1", *_NETWORK_WORDS)),
    Target("dpop", run_dpop, (b".", b"=", b"-")),
    Target("dpop-claims", run_dpop_claims, _JSON_WORDS),
    Target("jwks", run_jwks, (*_JSON_WORDS, b'"RSA"', b'"OKP"', b'"k":"AA"', b'"e":"' + b"_" * 2048 + b'"')),
    Target("items-array", _items(False), _JSON_WORDS),
    Target("items-lines", _items(True), _JSON_WORDS),
    Target("body", run_body, _JSON_WORDS),
    Target("set", run_set, (b".", b"=", b"-")),
    Target("set-claims", _events(_signed_set), _JSON_WORDS),
    Target("network", run_network, _NETWORK_WORDS),
    Target("url", run_url, _URL_WORDS),
    Target("clear-key", run_clear_key, _JSON_WORDS),
]
