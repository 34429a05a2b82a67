"""AWS Secure Media Delivery tokens: the vendor's own, negatives, and what each claim binds a token to."""

import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects.base import Proof
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.dialects.secure_media import SecureMediaDialect
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.links import END, KEY, NOW, TERMS, TIMES, at, proven, refused, secrets

# From the unit tests of AWS's solution (Apache-2.0): token, secret, and the request that it was made for.
SAMPLE = (
    "cKyrFyOVnjza.eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InNlY3JldDFfa2V5X3RvX3JlcGxhY2UifQ.eyJpcCI6ZmFsc2UsImNvIjpm"
    "YWxzZSwiY3R5IjpmYWxzZSwicmVnIjpmYWxzZSwic3NuIjp0cnVlLCJleHAiOjE2NTgzMTg3ODQsImhlYWRlcnMiOlsidXNlci1hZ2VudCJdLCJxcyI6"
    "W10sImludHNpZyI6Il8wR205T01QUnpFS1JMUldTaVM5SVJ0Z3o5RHJSV3MyNjAwV3duQkllY0UiLCJwYXRocyI6WyIvb3V0L3YxLzAwYzZmZjk4MmQ0"
    "MDRlMmY5NDBiNDg0OTViMjQzYjNjLyJdLCJleGMiOlsiL2Fkcy8iXSwibmJmIjoxNjQ1MDAwMDAwLCJpYXQiOjE2NTgzMDc5ODR9."
    "oPYrdIJbJkAQvw1ST87mgxrzLnzjEuH5ds3H9kl5upE"
)
SAMPLE_NOW, SAMPLE_END = 1_658_307_985, 1_658_318_784
BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:91.0) Gecko/20100101 Firefox/91.0"
SAMPLE_HERE = at("/out/v1/00c6ff982d404e2f940b48495b243b3c/index.m3u", headers={"user-agent": BROWSER})
SAMPLE_KEYS = KeySet([TokenKey("secret1_key_to_replace", "HS256", b"secret1_value_to_replace")])
VENDORS = SecureMediaDialect(TERMS, SAMPLE_KEYS)

SIGNER = Signer("k1", "HS256", KEY)
DIALECT = SecureMediaDialect(TERMS, secrets(KEY))
HERE = at("/watch/news/index.m3u8", country="DE", region="DE-BY", query="a=1&b=2", headers={"user-agent": "tv"})
CLAIMS = {"exp": END, "nbf": NOW, "iat": NOW, "paths": ["/watch/news/"], "exc": [], "headers": [], "qs": []}


def minted(values: str = "", sid: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
    bound = {"intsig": base64url.encode(hmac.digest(KEY, values.encode(), "sha256"))} if values else {}
    said = {name: value for name, value in {**CLAIMS, **bound, **claims}.items() if value is not None}
    return (sid and f"{sid}.") + seal({"kid": "k1", "typ": "JWT", **(header or {})}, said, SIGNER)


def here(**facts: Any) -> Facts:
    return at(HERE.path, **{"country": "DE", "region": "DE-BY", "headers": HERE.headers, **facts})


def test_the_vendors_token() -> None:
    session = proven(VENDORS, SAMPLE, SAMPLE_HERE, SAMPLE_NOW).session
    assert (session.sid, session.account, session.expires_at) == ("cKyrFyOVnjza", "cKyrFyOVnjza", SAMPLE_END)
    assert session.issued_at == 1_658_307_984
    assert refused(VENDORS, SAMPLE, SAMPLE_HERE, SAMPLE_NOW) is None
    # As in the vendor's test.
    assert refused(VENDORS, SAMPLE, SAMPLE_HERE, SAMPLE_END + 10) is Reason.TOKEN_EXPIRED
    other = at(SAMPLE_HERE.path, headers={"user-agent": "curl"})
    assert refused(VENDORS, SAMPLE, other, SAMPLE_NOW) is Reason.SCOPE_CONNECTION
    assert refused(VENDORS, SAMPLE, at("/out/v1/x", headers=SAMPLE_HERE.headers), SAMPLE_NOW) is Reason.SCOPE_PATH
    assert refused(VENDORS, SAMPLE, at("/ads/1.m3u8", headers=SAMPLE_HERE.headers), SAMPLE_NOW) is None
    for sid in ("cKyrFyOVnjzb.", "x.", ""):
        assert refused(VENDORS, sid + SAMPLE.partition(".")[2], SAMPLE_HERE, SAMPLE_NOW) is not None


def test_mechanical_negatives() -> None:
    mutants = (*negatives.all_of(SAMPLE, "."), *negatives.byte_flips(SAMPLE, "."), *negatives.spare_bits(SAMPLE, "."))
    for name, mutant in mutants:
        assert isinstance(VENDORS.verify(mutant, SAMPLE_HERE, SAMPLE_NOW), Deny), name


@pytest.mark.parametrize(("now", "reason"), TIMES[:3])
def test_times(now: float, reason: Reason | None) -> None:
    assert refused(DIALECT, minted(), HERE, now) is reason


def test_a_token_bound_to_nothing() -> None:
    session = proven(DIALECT, minted(), HERE).session
    assert session.sid == session.account == session.token_id
    assert session.bounds == Bounds()
    # A session id that is not signed for is nobody's choice to make.
    assert proven(DIALECT, minted(sid="chosen"), HERE).session == session
    assert refused(DIALECT, minted(sid="no$id"), HERE) is Reason.TOKEN_MALFORMED
    assert refused(DIALECT, "." + minted(), HERE) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("claims", "values", "bounds"),
    [
        ({"ip": True, "ip_ver": 4}, "192.0.2.7", Bounds(networks=("192.0.2.7/32",))),
        ({"co": True}, "DE", Bounds(countries=("DE",))),
        ({"reg": True}, "BY", Bounds(countries=("DE-BY",))),
        ({"co": True, "reg": True, "co_fallback": True}, "DE:BY", Bounds(countries=("DE-BY",))),
        ({"headers": ["user-agent", "x-none"]}, "tv", Bounds()),
        ({"qs": ["b", "a", "none"]}, "2:1", Bounds()),
        (
            {"ip": True, "ip_ver": 4, "co": True, "reg": True, "headers": ["user-agent"], "qs": ["a"]},
            "192.0.2.7:DE:BY:tv:1",
            Bounds(networks=("192.0.2.7/32",), countries=("DE-BY",)),
        ),
    ],
)
def test_what_a_token_is_bound_to_is_rebuilt(claims: dict[str, Any], values: str, bounds: Bounds) -> None:
    token = minted(values, **claims)
    assert refused(DIALECT, token, HERE) is None
    assert proven(DIALECT, token, HERE).session.bounds == bounds
    assert refused(DIALECT, minted(values + "x", **claims), HERE) is Reason.SCOPE_CONNECTION
    assert refused(DIALECT, minted(**claims), HERE) is Reason.SCOPE_CONNECTION
    assert refused(DIALECT, minted(**claims, intsig=""), HERE) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("claims", "values", "request_", "reason"),
    [
        ({"ip": True, "ip_ver": 4}, "192.0.2.7", {"address": "192.0.2.8"}, Reason.SCOPE_CONNECTION),
        ({"ip": True, "ip_ver": 4}, "192.0.2.7", {"address": "2001:db8::7"}, Reason.SCOPE_NETWORK),
        ({"ip": True, "ip_ver": 4}, "192.0.2.7", {"address": ""}, Reason.SCOPE_NETWORK),
        ({"ip": True}, "192.0.2.7", {}, Reason.SCOPE_NETWORK),
        ({"co": True}, "DE", {"country": "FR"}, Reason.SCOPE_CONNECTION),
        ({"co": True}, "DE", {"country": ""}, Reason.GEO_BLOCKED),
        ({"co": True, "co_fallback": True}, "DE", {"country": ""}, Reason.GEO_BLOCKED),
        ({"reg": True}, "BY", {"region": ""}, Reason.GEO_BLOCKED),
        ({"reg": True}, "BY", {"region": "DE"}, Reason.GEO_BLOCKED),
        ({"headers": ["user-agent"]}, "tv", {"headers": {}}, Reason.SCOPE_CONNECTION),
        ({"headers": ["user-agent"]}, "tv", {"headers": {"user-agent": "\udcff"}}, Reason.SCOPE_CONNECTION),
        ({"qs": ["a"]}, "1", {"query": "a=2"}, Reason.SCOPE_CONNECTION),
        ({"qs": ["a"]}, "1", {"query": ""}, Reason.SCOPE_CONNECTION),
        ({"qs": ["a"]}, "1", {"query": "a=2&a=1"}, Reason.SCOPE_CONNECTION),
        ({"ssn": True}, "sid-1", {}, Reason.SCOPE_PATH),
    ],
)
def test_another_request_is_refused(
    claims: dict[str, Any], values: str, request_: dict[str, Any], reason: Reason
) -> None:
    assert refused(DIALECT, minted(values, **claims), here(**request_)) is reason


def test_an_address_of_version_6_is_signed_with_all_its_digits() -> None:
    token = minted("2001:0db8:0000:0000:0000:0000:0000:0007", ip=True, ip_ver=6)
    assert refused(DIALECT, token, here(address="2001:db8::7")) is None
    assert refused(DIALECT, token, HERE) is Reason.SCOPE_NETWORK


def test_a_header_that_the_token_was_made_without_must_stay_away() -> None:
    token = minted(headers=["x-probe"])
    assert refused(DIALECT, token, HERE) is None
    assert refused(DIALECT, token, here(headers={"x-probe": "1"})) is Reason.SCOPE_CONNECTION


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"cty": True}, Reason.TOKEN_UNSUPPORTED),
        ({"geo": "DE"}, Reason.TOKEN_UNSUPPORTED),
        ({"ip": "yes"}, Reason.TOKEN_MALFORMED),
        ({"ip": 1}, Reason.TOKEN_MALFORMED),
        ({"ip": True, "ip_ver": "4"}, Reason.TOKEN_MALFORMED),
        ({"paths": "/watch/"}, Reason.TOKEN_MALFORMED),
        ({"paths": [1]}, Reason.TOKEN_MALFORMED),
        ({"paths": [""]}, Reason.TOKEN_MALFORMED),
        ({"paths": ["/a"] * 33}, Reason.TOKEN_MALFORMED),
        ({"paths": []}, Reason.SCOPE_PATH),
        ({"paths": None}, Reason.SCOPE_PATH),
        ({"paths": ["/watch/news/../sport/"]}, Reason.SCOPE_PATH),
        ({"headers": {"a": 1}}, Reason.TOKEN_MALFORMED),
        ({"intsig": 7}, Reason.TOKEN_MALFORMED),
        ({"intsig": "\u00e9"}, Reason.SCOPE_CONNECTION),
        ({"exp": None}, Reason.TOKEN_MALFORMED),
        ({"exp": str(END)}, Reason.TOKEN_MALFORMED),
        ({"nbf": NOW + 6}, Reason.TOKEN_NOT_YET_VALID),
    ],
)
def test_claims_of_the_wrong_shape_are_refused(claims: dict[str, Any], reason: Reason) -> None:
    assert refused(DIALECT, minted(**claims), HERE) is reason


def test_excluded_paths_are_allowed_but_excused_from_nothing() -> None:
    token = minted("DE", co=True, exc=["/watch/free/"])
    assert refused(DIALECT, token, at("/watch/free/index.m3u8", country="DE")) is None
    assert refused(DIALECT, token, at("/watch/free/index.m3u8", country="FR")) is Reason.SCOPE_CONNECTION


def test_keys() -> None:
    assert refused(DIALECT, minted(header={"kid": "k2"}), HERE) is Reason.KEY_UNKNOWN
    assert refused(DIALECT, minted(header={"kid": 1}), HERE) is Reason.TOKEN_MALFORMED
    retiring = SecureMediaDialect(TERMS, KeySet([TokenKey("k1", "HS256", KEY, retire_at=NOW)]))
    assert refused(retiring, minted(), HERE) is Reason.KEY_UNKNOWN


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=4), max_size=3)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "ip", "ip_ver", "co", "reg", "ssn", "intsig"]), JSON, max_size=4))
def test_well_signed_nonsense_is_judged_without_raising(claims: dict[str, Any]) -> None:
    assert isinstance(DIALECT.verify(minted(sid="s", **claims), HERE, NOW), Proof | Deny)


@given(st.text(max_size=80))
def test_any_text_is_refused(text: str) -> None:
    assert isinstance(DIALECT.verify(text, HERE, NOW), Deny)
