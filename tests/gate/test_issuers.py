"""Issuers: whose token it is, for which streams, and what is remembered of one."""

import hmac
from collections.abc import Iterable
from dataclasses import replace

import pytest

from relay.facts import Facts
from relay.gate.carriers import DEFAULT_NAMES, Carrier, Credential, Names, Presented
from relay.gate.dialects.base import Proof
from relay.gate.dialects.cat import mint_cat
from relay.gate.dialects.jwt import mint_token
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.issuers import MAX_CACHED, Issuer, Issuers, IssuerSpec, build_issuers
from relay.verdict import Deny, Reason
from tests.gate.platform import CLAIMS, NOW, SECRET

OTHER = bytes(reversed(range(32)))
HERE = Facts("GET", "/watch/news/index.m3u8")


class Counting:
    """A dialect that counts how often it is asked."""

    def __init__(self, inner: Issuer) -> None:
        self.inner = inner.dialect
        self.asked = 0

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        self.asked += 1
        return self.inner.verify(token, facts, now)

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        return self.inner.renew(proof, expires_at)


def spec(name: str, dialect: str = "jwt", secret: bytes = SECRET, streams: Iterable[str] = ()) -> IssuerSpec:
    keys = KeySet([TokenKey("k1", "HS256", secret)])
    return IssuerSpec(name, dialect, keys, DEFAULT_NAMES[dialect], frozenset(streams))


def build(*specs: IssuerSpec) -> Issuers:
    return build_issuers(specs, "edge", 5.0, 86_400.0)


def counting(one: IssuerSpec) -> tuple[Issuers, Counting]:
    inner = build(one)[one.name]
    dialect = Counting(inner)
    return Issuers([replace(inner, dialect=dialect)]), dialect


def token(iss: str = "a", secret: bytes = SECRET, **claims: object) -> str:
    return mint_token({**CLAIMS, "iss": iss, **claims}, "k1", "HS256", secret)


def asked(issuers: Issuers, text: str, stream: str = "news", now: float = NOW) -> Proof | Deny:
    credential = issuers.find(Presented({}, f"token={text}"))
    assert isinstance(credential, Credential)
    return issuers.verify(credential, HERE, stream, now)


def reason_of(verdict: Proof | Deny) -> Reason | None:
    return verdict.reason if isinstance(verdict, Deny) else None


def test_issuers_that_share_a_name_are_told_apart() -> None:
    issuers = build(spec("a"), spec("b", secret=OTHER), spec("f", "fastly"))
    for iss, secret in (("a", SECRET), ("b", OTHER)):
        proof = asked(issuers, token(iss, secret))
        assert isinstance(proof, Proof)
        assert proof.session.issuer == iss
    assert reason_of(asked(issuers, token("a", OTHER))) is Reason.TOKEN_SIGNATURE
    assert reason_of(asked(issuers, token("c"))) is Reason.KEY_UNKNOWN
    assert reason_of(asked(issuers, "nonsense")) is Reason.TOKEN_MALFORMED
    assert reason_of(asked(issuers, token("b", OTHER, exp=NOW - 60))) is Reason.TOKEN_EXPIRED


def test_every_dialect_can_be_built_and_asked() -> None:
    issuers = build(*(spec(name, name) for name in DEFAULT_NAMES))
    for name in DEFAULT_NAMES:
        credential = Credential("nonsense", Carrier.QUERY, "x", (name,))
        assert reason_of(issuers.verify(credential, HERE, "news", NOW)) is Reason.TOKEN_MALFORMED
    claims: dict[object, object] = {1: "cat", 3: "edge", 4: NOW + 60, 7: b"0123456789abcdef", 310: 1}
    text = mint_cat(claims, "k1", "HS256", SECRET)
    assert isinstance(issuers.verify(Credential(text, Carrier.QUERY, "cat", ("cat",)), HERE, "news", NOW), Proof)


def test_an_issuer_admits_to_its_streams_only() -> None:
    issuers = build(spec("a", streams=["news", "sport"]))
    proof = asked(issuers, token())
    assert isinstance(proof, Proof)
    assert proof.session.streams == frozenset({"news", "sport"})
    assert reason_of(asked(issuers, token(), "films")) is Reason.SCOPE_STREAM
    narrower = asked(issuers, token(ent=["sport", "films"]), "sport")
    assert isinstance(narrower, Proof)
    assert narrower.session.streams == frozenset({"sport"})
    # Whether a token is good is not told by which stream it asks for.
    assert reason_of(asked(issuers, token(secret=OTHER), "films")) is Reason.TOKEN_SIGNATURE


def test_of_several_with_one_key_the_one_for_the_stream_is_asked() -> None:
    names = Names(query=("hdnts",))
    specs = [
        replace(spec(name, "fastly", streams=[stream]), names=names) for name, stream in (("n", "news"), ("f", "films"))
    ]
    issuers = build(*specs)
    expiry = NOW + 60
    text = f"{expiry}_{hmac.digest(SECRET, f'{HERE.path}{expiry}'.encode(), 'sha1').hex()}"
    for stream, issuer in (("news", "n"), ("films", "f")):
        credential = issuers.find(Presented({}, f"hdnts={text}"))
        assert isinstance(credential, Credential)
        proof = issuers.verify(credential, HERE, stream, NOW)
        assert isinstance(proof, Proof)
        assert proof.session.issuer == issuer


def test_a_proof_is_kept_until_the_token_expires() -> None:
    issuers, dialect = counting(spec("a"))
    text = token(exp=NOW + 60)
    first = asked(issuers, text)
    assert asked(issuers, text, now=NOW + 59) is first
    assert dialect.asked == 1
    assert isinstance(asked(issuers, text, now=NOW + 60), Proof)
    assert reason_of(asked(issuers, text, now=NOW + 65)) is Reason.TOKEN_EXPIRED
    assert dialect.asked == 3


def test_a_clock_that_goes_back_asks_again() -> None:
    issuers, dialect = counting(spec("a"))
    text = token(nbf=NOW, iat=NOW)
    assert isinstance(asked(issuers, text), Proof)
    assert reason_of(asked(issuers, text, now=NOW - 3600)) is Reason.TOKEN_NOT_YET_VALID
    assert dialect.asked == 2


def test_a_proof_does_not_outlive_its_key() -> None:
    one = spec("a")
    issuers, _ = counting(one)
    text = token()
    one.keys.replace([TokenKey("k1", "HS256", SECRET, retire_at=NOW + 10)])
    assert isinstance(asked(issuers, text), Proof)
    assert reason_of(asked(issuers, text, now=NOW + 10)) is Reason.KEY_UNKNOWN
    one.keys.replace([TokenKey("k1", "HS256", SECRET)])
    assert isinstance(asked(issuers, text), Proof)
    one.keys.replace([TokenKey("k1", "HS256", OTHER)])
    assert reason_of(asked(issuers, text)) is Reason.TOKEN_SIGNATURE
    one.keys.replace([])
    assert reason_of(asked(issuers, text)) is Reason.KEY_UNKNOWN


def test_refusals_are_not_kept() -> None:
    issuers, dialect = counting(spec("a"))
    for _ in range(3):
        assert reason_of(asked(issuers, token(secret=OTHER))) is Reason.TOKEN_SIGNATURE
    assert dialect.asked == 3


def test_what_is_proven_of_one_request_is_not_kept() -> None:
    issuers, dialect = counting(spec("s", "secure-link"))
    for _ in range(2):
        issuers.verify(Credential("x", Carrier.QUERY, "md5,expires", ("s",)), HERE, "news", NOW)
    assert dialect.asked == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CACHED == 4096
    monkeypatch.setattr("relay.gate.issuers.MAX_CACHED", 3)
    issuers, dialect = counting(spec("a"))
    texts = [token(sid=f"s{number}") for number in range(5)]
    for text in [*texts, *texts[2:]]:
        asked(issuers, text)
    assert dialect.asked == 5
    asked(issuers, texts[0])
    assert dialect.asked == 6


def test_facts_are_bare_of_every_token_name() -> None:
    issuers = build(spec("a"), spec("b", "akamai"))
    facts = Facts("GET", "/watch/hdntl=x/news/i", "token=t&hdnts=u&a=1")
    bare = issuers.bare(facts, Presented({}, facts.query, "hdntl=x"))
    assert (bare.path, bare.query) == ("/watch/news/i", "a=1")


def test_a_token_for_nobody_is_unknown() -> None:
    assert reason_of(build().verify(Credential("t", Carrier.QUERY, "t", ()), HERE, "news", NOW)) is Reason.KEY_UNKNOWN
