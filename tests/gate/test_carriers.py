"""Carriers: where a token is found, and that one request has one."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.facts import Facts
from relay.gate.carriers import (
    ANY_PATH,
    DEFAULT_NAMES,
    MAX_TOKEN,
    Carrier,
    Carriers,
    Credential,
    Names,
    Presented,
    strip,
)
from relay.verdict import Deny, Reason

CARRIERS = Carriers(DEFAULT_NAMES)
AKAMAI = "exp=1~acl=/*~hmac=00"


def found(presented: Presented, carriers: Carriers = CARRIERS) -> Credential:
    credential = carriers.find(presented)
    assert isinstance(credential, Credential), credential
    return credential


def missed(presented: Presented, carriers: Carriers = CARRIERS) -> Reason:
    deny = carriers.find(presented)
    assert isinstance(deny, Deny)
    return deny.reason


def cookie(text: str) -> Presented:
    return Presented({"Cookie": text})


@pytest.mark.parametrize(
    ("presented", "carrier", "name", "token", "issuers"),
    [
        (Presented({"Authorization": "Bearer t"}), Carrier.HEADER, "authorization", "t", ("jwt",)),
        (Presented({"AUTHORIZATION": "bearer  t "}), Carrier.HEADER, "authorization", "t", ("jwt",)),
        (Presented({"Authorization": "DPoP t"}), Carrier.HEADER, "authorization", "t", ("jwt",)),
        (Presented({"CTA-Common-Access-Token": " t "}), Carrier.HEADER, "cta-common-access-token", "t", ("cat",)),
        (cookie("a=b; segmentgate=t"), Carrier.COOKIE, "segmentgate", "t", ("jwt",)),
        (cookie('segmentgate="t"'), Carrier.COOKIE, "segmentgate", "t", ("jwt",)),
        (cookie(f"hdntl={AKAMAI}"), Carrier.COOKIE, "hdntl", AKAMAI, ("akamai",)),
        (cookie("Edge-Cache-Cookie=t"), Carrier.COOKIE, "Edge-Cache-Cookie", "t", ("media-cdn",)),
        (Presented({}, "a=1&token=t"), Carrier.QUERY, "token", "t", ("jwt", "fastly")),
        (Presented({}, "to%6ben=t"), Carrier.QUERY, "token", "t", ("jwt", "fastly")),
        (Presented({}, "CAT=a%2Bb%2F%3D"), Carrier.QUERY, "CAT", "a+b/=", ("cat",)),
        (Presented({}, "cat=a+b"), Carrier.QUERY, "cat", "a+b", ("cat",)),
        (Presented({}, f"hdnts={AKAMAI}"), Carrier.QUERY, "hdnts", AKAMAI, ("akamai",)),
        (Presented({}, "URISigningPackage=a.b.c"), Carrier.QUERY, "URISigningPackage", "a.b.c", ("uri-signing",)),
        (Presented({}, "md5=m&a=1&expires=2"), Carrier.QUERY, "md5,expires", "m,2", ("secure-link",)),
        (Presented({}, "expires=2&md5=m"), Carrier.QUERY, "md5,expires", "m,2", ("secure-link",)),
        (Presented({}, path="hdntl=exp=1~acl=%2f*"), Carrier.PATH, "hdntl", "exp=1~acl=%2f*", ("akamai",)),
        (Presented({}, path="edge-cache-token=t"), Carrier.PATH, "edge-cache-token", "t", ("media-cdn",)),
        (Presented({}, path="sid.a.b.c"), Carrier.PATH, ANY_PATH, "sid.a.b.c", ("secure-media",)),
    ],
)
def test_where_each_dialects_tokens_are_found(
    presented: Presented, carrier: Carrier, name: str, token: str, issuers: tuple[str, ...]
) -> None:
    assert found(presented) == Credential(token, carrier, name, issuers)


@pytest.mark.parametrize(
    "presented",
    [
        Presented({}),
        Presented({"Authorization": "Basic t"}),
        Presented({"Authorization": "Bearer"}),
        Presented({"Authorization": ""}),
        Presented({"X-Token": "t"}, "tokens=t&x=token"),
        Presented({}, "TOKEN=t"),
        Presented({}, "token="),
        Presented({}, "token"),
        cookie("SEGMENTGATE=t; x; =t; segmentgate="),
    ],
)
def test_what_is_no_token(presented: Presented) -> None:
    assert missed(presented) is Reason.TOKEN_MISSING


@pytest.mark.parametrize(
    ("value", "token"),
    [
        # Over percent-encoding of its own a token's MAC stands.
        ("exp=1~acl=%2flive%2f*~hmac=00", "exp=1~acl=%2flive%2f*~hmac=00"),
        # A URL builder has encoded the whole.
        ("exp%3D1~acl%3D%2Flive%2F*~hmac%3D00", "exp=1~acl=/live/*~hmac=00"),
        ("exp%3d1%7Eacl%3d%252flive%252f*", "exp=1~acl=%2flive%2f*"),
    ],
)
def test_percent_encoding_is_undone_where_it_is_the_carriers(value: str, token: str) -> None:
    assert found(Presented({}, f"hdnts={value}")).token == token
    assert found(cookie(f"hdnts={value}")).token == token
    assert found(Presented({}, path=f"hdntl={value}")).token == token


def test_header_comes_before_cookie_before_path_before_query() -> None:
    names = {"all": Names(("X-T",), ("t",), ("t",), "t")}
    carriers = Carriers(names)
    assert found(Presented({"X-T": "1", "Cookie": "t=1"}, "t=1", "t=1"), carriers).carrier is Carrier.HEADER
    assert found(Presented({"Cookie": "t=1"}, "t=1", "t=1"), carriers).carrier is Carrier.COOKIE
    assert found(Presented({}, "t=1", "t=1"), carriers).carrier is Carrier.PATH
    assert found(Presented({}, "t=1"), carriers).carrier is Carrier.QUERY


def test_the_same_token_twice_is_fine_and_may_be_of_the_issuers_of_either_name() -> None:
    credential = found(Presented({"Authorization": "Bearer t", "Cookie": "segmentgate=t"}, "token=t&token=t&cat=t"))
    assert (credential.carrier, credential.issuers) == (Carrier.HEADER, ("jwt", "fastly", "cat"))


@pytest.mark.parametrize(
    "presented",
    [
        Presented({"Authorization": "Bearer t"}, "token=u"),
        Presented({}, "token=t&token=u"),
        Presented({}, "token=t&hdnts=u"),
        cookie("segmentgate=t; segmentgate=u"),
        Presented({"Cookie": "segmentgate=t"}, path="hdntl=u"),
        Presented({}, "token=t&md5=m&expires=1"),
    ],
)
def test_two_tokens_are_a_conflict(presented: Presented) -> None:
    assert missed(presented) is Reason.TOKEN_CONFLICT


def test_a_repeated_header_is_seen() -> None:
    headers: CIMultiDict[str] = CIMultiDict([("Authorization", "Bearer t"), ("Authorization", "Bearer u")])
    assert missed(Presented(headers)) is Reason.TOKEN_CONFLICT
    cookies: CIMultiDict[str] = CIMultiDict([("Cookie", "segmentgate=t"), ("Cookie", "segmentgate=t")])
    assert found(Presented(cookies)).token == "t"


@pytest.mark.parametrize(
    ("query", "token"),
    [("md5=m", "m,"), ("expires=1", ",1"), ("md5=m&md5=n&expires=1", "m,n,1"), ("md5=m&md5=m&expires=1", "m,1")],
)
def test_parts_that_are_missing_or_given_twice_make_no_link(query: str, token: str) -> None:
    assert found(Presented({}, query)).token == token


def test_a_token_is_not_longer_than_it_may_be() -> None:
    assert found(Presented({}, f"cat={'x' * MAX_TOKEN}")).token
    for presented in (
        Presented({}, f"cat={'x' * (MAX_TOKEN + 1)}"),
        Presented({"Authorization": f"Bearer {'x' * (MAX_TOKEN + 1)}"}),
        Presented({}, f"md5={'x' * MAX_TOKEN}&expires=1"),
    ):
        assert missed(presented) is Reason.TOKEN_MALFORMED


def test_a_named_path_element_is_not_also_a_bare_one() -> None:
    assert found(Presented({}, path="hdntl=t")).issuers == ("akamai",)
    assert found(Presented({}, path="other=t")).name == ANY_PATH


def test_a_token_does_not_print() -> None:
    assert "secret" not in repr(found(Presented({}, "token=secret")))


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("", ""),
        ("token=t", ""),
        ("a=1&token=t&b=2", "a=1&b=2"),
        ("token=t&token=u&a", "a"),
        ("to%6Ben=t&a=%2F", "a=%2F"),
        ("a=token&tokens=1", "a=token&tokens=1"),
        ("token", ""),
        ("a=1&&b=2", "a=1&&b=2"),
    ],
)
def test_stripping_a_query_leaves_the_rest_as_it_was(query: str, rest: str) -> None:
    assert strip(query, {"token"}) == rest


def test_the_facts_of_a_request_without_its_token() -> None:
    facts = Facts("GET", "/watch/hdntl=exp=1~hmac=0/news/index.m3u8", "hdnts=x&scheme=cbcs")
    presented = Presented({}, facts.query, "hdntl=exp=1~hmac=0")
    bare = presented.without(facts, CARRIERS.query_names)
    assert (bare.path, bare.query, bare.method) == ("/watch/news/index.m3u8", "scheme=cbcs", "GET")
    plain = Facts("GET", "/watch/news/index.m3u8", "a=1")
    assert Presented({}, "a=1").without(plain, CARRIERS.query_names) == plain


def test_every_query_name_is_stripped() -> None:
    assert {"token", "CAT", "hdnts", "md5", "expires", "URISigningPackage"} <= CARRIERS.query_names


HEADERS: st.SearchStrategy[Mapping[str, str]] = st.dictionaries(
    st.sampled_from(["Authorization", "Cookie", "Common-Access-Token"]), st.text(max_size=30), max_size=3
)


@given(HEADERS, st.text(max_size=60), st.text(max_size=30))
def test_any_request_is_judged_without_raising(headers: Mapping[str, str], query: str, path: str) -> None:
    assert isinstance(CARRIERS.find(Presented(headers, query, path)), Credential | Deny)
    strip(query, {"token"})
