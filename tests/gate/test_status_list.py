"""Status lists: read from what their issuer signed alone, whatever a stranger sends; and what they do to sessions."""

import tracemalloc
import zlib
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from keys.seal import Sealer
from relay.facts import Facts
from relay.gate.carriers import DEFAULT_NAMES, Presented
from relay.gate.dialects import cose
from relay.gate.dialects.base import Proof
from relay.gate.dialects.cat import CatDialect
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import Signer
from relay.gate.dialects.uri_signing import UriSigningDialect
from relay.gate.gate import Admission, Gate, GatePolicy
from relay.gate.issuers import IssuerSpec, build_issuers
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet
from relay.gate.status_list import MAX_BYTES, MAX_INFLATED, StatusList, StatusLists, read_status_list
from relay.model import StatusRef
from relay.verdict import Deny, Reason
from tests.gate.platform import (
    AUDIENCE,
    CLAIMS,
    FACTS,
    ISSUER,
    LEEWAY,
    MAX_LIFETIME,
    NOW,
    SIGNERS,
    TERMS,
    dialect,
    keys,
    raw_token,
    token,
)

URI = "https://platform.example/statuslists/1"
EXAMPLE_1 = "eNrbuRgAAhcBXQ"
EXAMPLE_2 = "eNo76fITAAPfAgc"
"""The two examples of draft-ietf-oauth-status-list §4.2."""
STATUSES_1 = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
STATUSES_2 = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]
SAID: Mapping[str, Any] = {
    "sub": URI,
    "iat": NOW,
    "exp": NOW + 3600,
    "ttl": 60,
    "status_list": {"bits": 1, "lst": EXAMPLE_1},
}
HEADER: Mapping[str, Any] = {"alg": "HS256", "kid": "hs-1", "typ": "statuslist+jwt"}


def packed(data: bytes) -> str:
    return base64url.encode(zlib.compress(data))


def signed(kid: str = "es-1", without: str = "", typ: str = "statuslist+jwt", **claims: Any) -> bytes:
    said = {name: value for name, value in {**SAID, **claims}.items() if name != without}
    return seal({"kid": kid, "typ": typ}, said, Signer.load(kid, *SIGNERS[kid])).encode()


def read(raw: bytes, now: float = NOW) -> StatusList:
    return read_status_list(raw, URI, TERMS, keys(), now)


@pytest.mark.parametrize("kid", SIGNERS)
@pytest.mark.parametrize(("bits", "lst", "statuses"), [(1, EXAMPLE_1, STATUSES_1), (2, EXAMPLE_2, STATUSES_2)])
def test_the_examples_of_the_draft(kid: str, bits: int, lst: str, statuses: list[int]) -> None:
    found = read(signed(kid, status_list={"bits": bits, "lst": lst, "aggregation_uri": "https://a/"}))
    assert (found.issued_at, found.expires_at, found.ttl) == (NOW, NOW + 3600, 60)
    assert [found.at(index) for index in range(len(statuses))] == statuses
    assert found.at(len(statuses)) is None
    assert found.at(2**53 - 1) is None


@given(bits=st.sampled_from([1, 2, 4, 8]), data=st.data())
def test_every_status_stands_where_it_was_put(bits: int, data: st.DataObject) -> None:
    statuses = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=64))
    array = bytearray(-(-len(statuses) * bits // 8))
    for index, status in enumerate(statuses):
        array[index * bits // 8] |= status << index * bits % 8
    found = read(signed("hs-1", status_list={"bits": bits, "lst": packed(bytes(array))}))
    assert [found.at(index) for index in range(len(statuses))] == statuses


def test_exp_ttl_and_iss_may_be_left_out() -> None:
    found = read(signed(without="exp") + b"\n")
    assert (found.expires_at, found.ttl) == (inf, 60)
    assert read(signed(without="ttl", iss=ISSUER)).ttl == inf
    assert read(signed(ttl=10**400)).ttl == 2**53


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not a compact JWT"),
        (b"\xff.\xff.\xff", "not a compact JWT"),
        (b"a" * (MAX_BYTES + 1), "not a compact JWT"),
        (signed(typ="session+jwt"), "typ must be"),
        (signed(typ="JWT"), "typ must be"),
        (token().encode(), "typ must be"),
        (raw_token({"alg": "HS256", "kid": "hs-1"}, SAID).encode(), "typ must be"),
        (raw_token({**HEADER, "kid": "other"}, SAID).encode(), "no key"),
        (raw_token({"alg": "HS256", "typ": "statuslist+jwt"}, SAID).encode(), "kid"),
        (raw_token({**HEADER, "kid": "es-1"}, SAID).encode(), "algorithm"),
        (raw_token({**HEADER, "alg": "none"}, SAID).encode(), "algorithm"),
        (raw_token({**HEADER, "jku": "https://a/"}, SAID).encode(), "jku"),
        (raw_token({**HEADER, "crit": ["x"]}, SAID).encode(), "crit"),
        (raw_token(HEADER, SAID, bytes(32)).encode(), "does not verify"),
        (raw_token(HEADER, b"[" * 300).encode(), "JSON"),
        (raw_token(HEADER, b'{"sub":"a","sub":"b"}').encode(), "strict JSON"),
        (signed(iss="https://other.example"), "no key"),
        (signed(sub=f"{URI}2"), "sub is not"),
        (signed(without="sub"), "sub is not"),
        (signed(without="iat"), "iat"),
        (signed(iat=NOW + 6), "lies ahead"),
        (signed(nbf=NOW + 6), "lies ahead"),
        (signed(exp=NOW), "exp has passed"),
        (signed(exp=0), "exp"),
        (signed(exp="never"), "exp"),
        (signed(ttl=0), "ttl"),
        (signed(ttl=-1), "ttl"),
        (signed(ttl=True), "ttl"),
        (signed(ttl="60"), "ttl"),
        (signed(without="status_list"), "an object is required"),
        (signed(status_list=[]), "an object is required"),
        (signed(status_list={"lst": EXAMPLE_1}), "bits"),
        (signed(status_list={"bits": 3, "lst": EXAMPLE_1}), "bits"),
        (signed(status_list={"bits": True, "lst": EXAMPLE_1}), "bits"),
        (signed(status_list={"bits": "1", "lst": EXAMPLE_1}), "bits"),
        (signed(status_list={"bits": 1}), "lst"),
        (signed(status_list={"bits": 1, "lst": ""}), "lst"),
        (signed(status_list={"bits": 1, "lst": [1]}), "lst"),
        (signed(status_list={"bits": 1, "lst": "=\u00e9"}), "lst: not base64url"),
        (signed(status_list={"bits": 1, "lst": f"{EXAMPLE_1}=="}), "lst: not base64url"),
        (signed(status_list={"bits": 1, "lst": "AAAA"}), "zlib"),
        (signed(status_list={"bits": 1, "lst": base64url.encode(zlib.compress(b"12")[:-1])}), "too soon"),
        (signed(status_list={"bits": 1, "lst": base64url.encode(zlib.compress(b"12") + b"x")}), "bytes after it"),
        (signed(status_list={"bits": 1, "lst": packed(bytes(MAX_INFLATED + 1))}), "more than 4 MiB"),
    ],
)
def test_what_is_no_list_of_this_issuer_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(raw)


def test_a_list_of_the_largest_size_is_read_and_a_bomb_is_not_unpacked() -> None:
    assert len(read(signed(status_list={"bits": 1, "lst": packed(bytes(MAX_INFLATED))})).statuses) == MAX_INFLATED
    bomb = signed(status_list={"bits": 1, "lst": packed(bytes(100 << 20))})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 4 MiB"):
            read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_INFLATED
    finally:
        tracemalloc.stop()


# What the lists say.


def test_valid_alone_is_let_through_and_what_cannot_be_known_is_refused() -> None:
    lists = StatusLists([URI])

    def reason(index: int, now: float = NOW, uri: str = URI) -> Reason | None:
        deny = lists.check(StatusRef(index, uri), now)
        return deny.reason if deny else None

    assert reason(0) is Reason.STATE_STALE
    lists.put(URI, read(signed(status_list={"bits": 2, "lst": EXAMPLE_2})))
    assert [reason(index) for index in (0, 1, 3)] == [Reason.REVOKED] * 3
    assert reason(2) is None
    assert reason(len(STATUSES_2)) is Reason.TOKEN_UNSUPPORTED
    assert reason(2, uri=f"{URI}?") is Reason.TOKEN_UNSUPPORTED
    assert reason(2, NOW + 3599.9) is None
    assert reason(2, NOW + 3600) is Reason.STATE_STALE
    lists.put(URI, None)
    assert reason(2) is Reason.STATE_STALE


def test_an_older_list_takes_nothing_back() -> None:
    lists = StatusLists([URI])
    new = read(signed())
    lists.put(URI, new)
    with pytest.raises(ValueError, match="older"):
        lists.put(URI, replace(new, issued_at=NOW - 1))
    assert lists.get(URI) is new
    lists.put(URI, replace(new))


# Tokens that name one.


def status(index: object = 1, uri: object = URI, **more: object) -> dict[str, Any]:
    return {"status": {"status_list": {"idx": index, "uri": uri, **more}}}


def cat(claim: Mapping[str, Any], label: int | str = 65535) -> str:
    """The labels are the registered ones (RFC 8392 §4; §6.3.1 of the draft)."""
    few: dict[int | str, Any] = {1: ISSUER, 2: "a", 3: AUDIENCE, 4: NOW + 600, 6: NOW, 7: b"token"}
    return cose.seal(cbor2.dumps({**few, label: claim["status"]}), Signer.load("hs-1", *SIGNERS["hs-1"]))


def test_both_dialects_carry_the_status_of_their_token() -> None:
    for proof in (
        dialect().verify(token(**status()), FACTS, NOW),
        CatDialect(TERMS, keys()).verify(cat(status()), FACTS, NOW),
    ):
        assert isinstance(proof, Proof), proof
        assert proof.session.status == StatusRef(1, URI)
        codec = PassCodec(Sealer([bytes(32)]))
        assert codec.read(codec.mint(proof.session)) == proof.session


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"status": None}, Reason.TOKEN_MALFORMED),
        ({"status": []}, Reason.TOKEN_MALFORMED),
        ({"status": {}}, Reason.TOKEN_MALFORMED),
        ({"status": {"status_list": None}}, Reason.TOKEN_MALFORMED),
        ({"status": {"status_list": {"idx": 1}}}, Reason.TOKEN_MALFORMED),
        ({"status": {"status_list": {"uri": URI}}}, Reason.TOKEN_MALFORMED),
        (status(-1), Reason.TOKEN_MALFORMED),
        (status(True), Reason.TOKEN_MALFORMED),
        (status(1.0), Reason.TOKEN_MALFORMED),
        (status(2**53), Reason.TOKEN_MALFORMED),
        (status("1"), Reason.TOKEN_MALFORMED),
        (status(1, ""), Reason.TOKEN_MALFORMED),
        (status(1, 7), Reason.TOKEN_MALFORMED),
        (status(1, "u" * 513), Reason.TOKEN_MALFORMED),
        (status(1, URI, more=1), Reason.TOKEN_UNSUPPORTED),
        ({"status": {**status()["status"], "other": {}}}, Reason.TOKEN_UNSUPPORTED),
        ({"status": {"assertion": {}}}, Reason.TOKEN_UNSUPPORTED),
    ],
)
def test_a_status_that_is_not_understood_is_not_ignored(claim: Mapping[str, Any], reason: Reason) -> None:
    for verdict in (
        dialect().verify(token(**claim), FACTS, NOW),
        CatDialect(TERMS, keys()).verify(cat(claim), FACTS, NOW),
    ):
        assert isinstance(verdict, Deny)
        assert verdict.reason is reason


def test_a_status_elsewhere_than_where_it_is_asked_for_is_not_ignored() -> None:
    by_name = CatDialect(TERMS, keys()).verify(cat(status(), "status"), FACTS, NOW)
    assert isinstance(by_name, Deny)
    assert by_name.reason is Reason.TOKEN_UNSUPPORTED
    said = {**CLAIMS, "cdniuc": "regex:.*", **status()}
    in_a_link = seal({"kid": "hs-1", "typ": "JWT"}, said, Signer.load("hs-1", *SIGNERS["hs-1"]))
    uri_signing = UriSigningDialect(TERMS, keys()).verify(in_a_link, FACTS, NOW)
    assert isinstance(uri_signing, Deny)
    assert uri_signing.reason is Reason.TOKEN_UNSUPPORTED


# Sessions.

HERE = Facts("GET", "/watch/news/index.m3u8", address="192.0.2.7")


def gate_of(lists: StatusLists, issuer: str = ISSUER) -> Gate:
    spec = IssuerSpec(issuer, "jwt", keys(), DEFAULT_NAMES["jwt"], status_lists=lists)
    issuers = build_issuers([spec], AUDIENCE, LEEWAY, MAX_LIFETIME)
    return Gate(issuers, PassCodec(Sealer([bytes(32)])), RevocationSet(), GatePolicy(5000.0))


def admitted(gate: Gate, **claims: Any) -> Admission | Deny:
    return gate.admit(Presented({"Authorization": f"Bearer {token(**claims)}"}), HERE, "news", NOW)


def reason_of(verdict: object) -> Reason | None:
    return verdict.reason if isinstance(verdict, Deny) else None


def listing(*statuses: int) -> StatusList:
    return StatusList(8, bytes(statuses), NOW)


def test_a_running_session_ends_when_the_list_says_so_and_goes_on_when_it_was_suspended() -> None:
    lists = StatusLists([URI])
    lists.put(URI, listing(0, 0, 1))
    gate = gate_of(lists)
    assert reason_of(admitted(gate, **status(2))) is Reason.REVOKED
    admission = admitted(gate, **status(1))
    assert isinstance(admission, Admission)
    text = gate.pass_of(admission.visitor)
    for code in (1, 2, 3, 255):
        lists.put(URI, listing(0, code, 1))
        assert reason_of(gate.visit(text, "news", lambda: HERE, NOW)) is Reason.REVOKED
        # Also where what the token proves is kept.
        assert reason_of(admitted(gate, **status(1))) is Reason.REVOKED
    lists.put(URI, listing(0, 0))
    assert reason_of(gate.visit(text, "news", lambda: HERE, NOW)) is None
    lists.put(URI, None)
    assert reason_of(gate.visit(text, "news", lambda: HERE, NOW)) is Reason.STATE_STALE


def test_a_list_or_issuer_no_longer_configured_ends_its_sessions() -> None:
    lists = StatusLists([URI])
    lists.put(URI, listing(0, 0))
    gate = gate_of(lists)
    admission = admitted(gate, **status())
    assert isinstance(admission, Admission)
    text = gate.pass_of(admission.visitor)
    for after in (gate_of(StatusLists()), gate_of(lists, "https://other.example")):
        assert reason_of(after.visit(text, "news", lambda: HERE, NOW)) is Reason.TOKEN_UNSUPPORTED
    assert reason_of(admitted(gate_of(StatusLists()), **status())) is Reason.TOKEN_UNSUPPORTED


def test_a_token_without_status_needs_no_list() -> None:
    assert isinstance(admitted(gate_of(StatusLists([URI]))), Admission)
