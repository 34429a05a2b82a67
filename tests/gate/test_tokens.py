"""Session tokens: what a good one grants, and every way a bad one is told apart."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from keys.model import TrackType
from relay.gate.tokens import MAX_TOKEN, TokenKey, TokenVerifier, mint_token
from relay.model import Session
from relay.verdict import Deny, Reason
from tests.gate.platform import (
    CLAIMS,
    EC_KEY,
    ED_KEY,
    HEADER,
    ISSUER,
    LEEWAY,
    MAX_LIFETIME,
    NOW,
    SECRET,
    SIGNERS,
    private_pem,
    public_pem,
    raw_token,
    token,
    verifier,
)

VERIFIER = verifier()


def reason_of(text: str, now: float = NOW) -> Reason | None:
    verdict = VERIFIER.verify(text, now)
    return verdict.reason if isinstance(verdict, Deny) else None


def claims_with(text: str) -> bytes:
    """The good claims as JSON, with ``text`` spliced in before the end."""
    return json.dumps(dict(CLAIMS)).encode()[:-1] + b", " + text.encode() + b"}"


@pytest.mark.parametrize("kid", SIGNERS)
def test_each_algorithm_and_each_of_an_issuers_keys_is_verified(kid: str) -> None:
    assert VERIFIER.verify(token(kid), NOW) == Session(
        sid="session-1", account="account-1", issuer=ISSUER, expires_at=NOW + 600, token_id="token-1"
    )


def test_a_session_is_what_the_claims_say() -> None:
    session = VERIFIER.verify(token(did="tv-1", ent=["news", "sport"], drm={"max_track": "sd"}), NOW)
    assert isinstance(session, Session)
    assert (session.device, session.ceiling) == ("tv-1", TrackType.SD)
    assert session.streams == frozenset({"news", "sport"})


@pytest.mark.parametrize("claims", [{"aud": ["other", "edge"]}, {"use": "many"}, {"req": []}, {"unknown": {"a": [1]}}])
def test_claims_that_narrow_nothing_are_fine(claims: dict[str, Any]) -> None:
    assert reason_of(token(**claims)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.TOKEN_MALFORMED),
        ("..", Reason.TOKEN_MALFORMED),
        ("a.b", Reason.TOKEN_MALFORMED),
        ("a.b.c", Reason.TOKEN_MALFORMED),
        (token() + ".x", Reason.TOKEN_MALFORMED),
        (token() + "=", Reason.TOKEN_MALFORMED),
        (token() + "\n", Reason.TOKEN_MALFORMED),
        (" " + token(), Reason.TOKEN_MALFORMED),
        (token() + "A", Reason.TOKEN_SIGNATURE),
        (token() + "AAAA", Reason.TOKEN_SIGNATURE),
        ("A" * (MAX_TOKEN + 1), Reason.TOKEN_MALFORMED),
        (token(pad="A" * MAX_TOKEN), Reason.TOKEN_MALFORMED),
        (token().rpartition(".")[0] + ".", Reason.TOKEN_MALFORMED),
        (".".join(reversed(token().split("."))), Reason.TOKEN_MALFORMED),
        (token().replace(".", "\u3002"), Reason.TOKEN_MALFORMED),
    ],
)
def test_what_is_no_compact_token_is_malformed(text: str, reason: Reason) -> None:
    assert reason_of(text) is reason


@pytest.mark.parametrize("kid", SIGNERS)
def test_every_flipped_character_and_every_truncation_is_refused(kid: str) -> None:
    good = token(kid)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for at, character in enumerate(good):
        for other in {chr(ord(character) ^ 1 << bit) for bit in range(8)} | {alphabet[alphabet.find(character) ^ 1]}:
            if other != character:
                assert reason_of(good[:at] + other + good[at + 1 :]), (at, other)
        assert reason_of(good[:at])


def test_a_signature_has_one_spelling() -> None:
    # 32 bytes are 43 characters, the last with two spare bits.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = token()
    for spare in (1, 2, 3):
        assert reason_of(good[:-1] + alphabet[alphabet.index(good[-1]) ^ spare]) is Reason.TOKEN_MALFORMED


def test_parts_of_two_good_tokens_do_not_mix() -> None:
    mine, theirs = token().split("."), token(sub="account-2", kid="hs-2").split(".")
    for mixed in ([theirs[0], *mine[1:]], [mine[0], theirs[1], mine[2]], [*mine[:2], theirs[2]]):
        assert reason_of(".".join(mixed)) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, Reason.TOKEN_SIGNATURE),
        ({"alg": "None"}, Reason.TOKEN_SIGNATURE),
        ({"alg": "hs256"}, Reason.TOKEN_SIGNATURE),
        ({"alg": "HS512"}, Reason.TOKEN_SIGNATURE),
        ({"alg": None}, Reason.TOKEN_SIGNATURE),
        ({"alg": ["HS256"]}, Reason.TOKEN_SIGNATURE),
        ({"alg": "ES256"}, Reason.TOKEN_SIGNATURE),
        ({"kid": "es-1"}, Reason.TOKEN_SIGNATURE),
        ({"kid": "ed-1"}, Reason.TOKEN_SIGNATURE),
        ({"kid": "hs-2"}, Reason.TOKEN_SIGNATURE),
        ({"kid": "other-1"}, Reason.KEY_UNKNOWN),
        ({"kid": "hs-1 "}, Reason.KEY_UNKNOWN),
        ({"kid": "HS-1"}, Reason.KEY_UNKNOWN),
        ({"kid": "../../etc/passwd"}, Reason.KEY_UNKNOWN),
        ({"kid": "x' OR '1'='1"}, Reason.KEY_UNKNOWN),
        ({"kid": ""}, Reason.TOKEN_MALFORMED),
        ({"kid": None}, Reason.TOKEN_MALFORMED),
        ({"kid": 1}, Reason.TOKEN_MALFORMED),
        ({"kid": ["hs-1"]}, Reason.TOKEN_MALFORMED),
        ({"kid": "k" * 513}, Reason.TOKEN_MALFORMED),
        ({"kid": "\ud800"}, Reason.TOKEN_MALFORMED),
        ({"typ": "JWT"}, Reason.TOKEN_UNSUPPORTED),
        ({"typ": "Session+JWT"}, Reason.TOKEN_UNSUPPORTED),
        ({"typ": None}, Reason.TOKEN_UNSUPPORTED),
        ({"jku": "https://evil.example/keys"}, Reason.TOKEN_UNSUPPORTED),
        ({"x5u": "https://evil.example/cert"}, Reason.TOKEN_UNSUPPORTED),
        ({"x5c": ["MII"]}, Reason.TOKEN_UNSUPPORTED),
        ({"jwk": {"kty": "oct", "k": "AAAA"}}, Reason.TOKEN_UNSUPPORTED),
        ({"crit": ["exp"]}, Reason.TOKEN_UNSUPPORTED),
        ({"crit": []}, Reason.TOKEN_UNSUPPORTED),
        ({"b64": False, "crit": ["b64"]}, Reason.TOKEN_UNSUPPORTED),
        ({"b64": False}, Reason.TOKEN_SIGNATURE),
    ],
)
def test_bad_headers(header: dict[str, Any], reason: Reason) -> None:
    assert reason_of(raw_token({**HEADER, **header}, CLAIMS)) is reason


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_a_missing_header_is_refused(name: str) -> None:
    assert reason_of(raw_token({key: value for key, value in HEADER.items() if key != name}, CLAIMS))


@pytest.mark.parametrize(("kid", "key"), [("es-1", EC_KEY), ("ed-1", ED_KEY)])
def test_a_public_key_is_no_hmac_secret(kid: str, key: Any) -> None:
    for secret in (public_pem(key).encode(), public_pem(key).strip().encode()):
        assert reason_of(raw_token({**HEADER, "kid": kid}, CLAIMS, secret)) is Reason.TOKEN_SIGNATURE


def test_a_key_of_another_issuer_is_unknown() -> None:
    assert reason_of(token(iss="https://other.example")) is Reason.KEY_UNKNOWN
    assert reason_of(token(iss="https://nobody.example")) is Reason.KEY_UNKNOWN
    claims = {**CLAIMS, "iss": "https://other.example"}
    assert reason_of(raw_token({**HEADER, "kid": "other-1"}, claims)) is Reason.TOKEN_SIGNATURE


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"{}{}",
        b'{"a":1,}',
        b"\xff\xfe",
        b'{"sub":"\xff"}',
        b"\xef\xbb\xbf" + json.dumps(dict(CLAIMS)).encode(),
        json.dumps(dict(CLAIMS)).encode("utf-16"),
        json.dumps(dict(CLAIMS)).encode("utf-32-le"),
        claims_with('"sub": "account-2"'),
        claims_with('"x": {"a": 1, "a": 2}'),
        claims_with('"x": NaN'),
        claims_with('"x": -Infinity'),
        claims_with(f'"x": {nested(1300)}'),
        nested(1500).encode(),
    ],
)
def test_claims_that_are_not_strict_json_are_malformed(claims: bytes) -> None:
    assert reason_of(raw_token(HEADER, claims)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"\xff",
        nested(1300).encode(),
        b'{"alg":"HS256","kid":"hs-1","typ":"session+jwt","x":' + nested(1200).encode() + b"}",
        b'{"alg":"none","alg":"HS256","kid":"hs-1","typ":"session+jwt"}',
        b'{"alg":"HS256","kid":"hs-1","kid":"hs-1","typ":"session+jwt"}',
    ],
)
def test_headers_that_are_not_strict_json_are_malformed(header: bytes) -> None:
    assert reason_of(raw_token(header, CLAIMS)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "value",
    ["1790000600.0", "1.79e9", '"1790000600"', "NaN", "Infinity", "-Infinity", "1e400", "true", "null", "[]", "{}"],
)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_times_are_whole_seconds(name: str, value: str) -> None:
    others = json.dumps({key: said for key, said in CLAIMS.items() if key != name}).encode()
    claims = others[:-1] + f', "{name}": {value}}}'.encode()
    assert reason_of(raw_token(HEADER, claims)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("value", [0, -1, 2**53, 10**400])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_times_lie_in_this_age(name: str, value: int) -> None:
    assert reason_of(raw_token(HEADER, {**CLAIMS, name: value})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("claims", "now", "reason"),
    [
        ({"exp": NOW}, NOW + LEEWAY - 0.1, None),
        ({"exp": NOW}, NOW + LEEWAY, Reason.TOKEN_EXPIRED),
        ({"exp": NOW}, NOW + 3600, Reason.TOKEN_EXPIRED),
        ({"nbf": NOW + LEEWAY}, NOW, None),
        ({"nbf": NOW + 6}, NOW, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + 6}, NOW, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + 3600}, NOW, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": NOW - 10**6}, NOW, None),
        ({"exp": NOW + int(MAX_LIFETIME + LEEWAY)}, NOW, None),
        ({"exp": NOW + int(MAX_LIFETIME + LEEWAY) + 1}, NOW, Reason.TOKEN_UNSUPPORTED),
        ({"exp": 2**53 - 1}, NOW, Reason.TOKEN_UNSUPPORTED),
    ],
)
def test_times_are_checked_with_leeway(claims: dict[str, Any], now: float, reason: Reason | None) -> None:
    whole = {name: int(value) if isinstance(value, float) else value for name, value in claims.items()}
    assert reason_of(raw_token(HEADER, {**CLAIMS, **whole}), now) is reason


def test_nbf_and_iat_may_be_left_out() -> None:
    assert reason_of(token(without="nbf")) is None
    assert reason_of(token(without="iat")) is None


@pytest.mark.parametrize("name", ["iss", "sub", "sid", "jti", "exp"])
def test_a_required_claim_may_not(name: str) -> None:
    verdict = VERIFIER.verify(token(without=name), NOW)
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.TOKEN_MALFORMED
    assert name in verdict.detail


@pytest.mark.parametrize(
    "audience", ["other", "EDGE", "", None, [], ["other"], [["edge"]], {"edge": 1}, 1, "edge,other"]
)
def test_a_token_for_someone_else_is_refused(audience: Any) -> None:
    assert reason_of(token(aud=audience)) is Reason.TOKEN_AUDIENCE


def test_a_missing_audience_is_refused() -> None:
    assert reason_of(token(without="aud")) is Reason.TOKEN_AUDIENCE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paths", [{"path": {"prefix": "/live/"}}]),
        ("mth", ["GET"]),
        ("net", ["192.0.2.0/24"]),
        ("geo", ["DE"]),
        ("hdr", {}),
        ("cnf", {"jkt": "x"}),
        ("csl", {"limit": 1}),
        ("reval", 10),
        ("use", "once"),
        ("use", None),
        ("req", ["tier"]),
        ("drm", {"hdcp": 2}),
    ],
)
def test_a_claim_that_narrows_and_is_not_enforced_is_refused_by_name(name: str, value: Any) -> None:
    verdict = VERIFIER.verify(token(**{name: value}), NOW)
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.TOKEN_UNSUPPORTED
    assert name in verdict.detail


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": ""},
        {"sub": "x" * 129},
        {"sub": 7},
        {"sub": "\ud800"},
        {"sub": "a\udfffb"},
        {"sid": "with space"},
        {"sid": "../x"},
        {"sid": "s" * 65},
        {"sid": "ｓ１"},
        {"sid": "session-1\n"},
        {"jti": ["x"]},
        {"jti": "j" * 65},
        {"did": ""},
        {"did": None},
        {"did": "\udc80"},
        {"iss": ["x"]},
        {"iss": "i" * 513},
        {"ent": "news"},
        {"ent": [1]},
        {"ent": ["../news"]},
        {"ent": ["news\n"]},
        {"ent": {"news": 1}},
        {"ent": None},
        {"ent": ["s"] * 257},
        {"drm": []},
        {"drm": None},
        {"drm": {"max_track": "8k"}},
        {"drm": {"max_track": 4}},
        {"drm": {"max_track": ["hd"]}},
    ],
)
def test_claims_of_the_wrong_shape_are_malformed(claims: dict[str, Any]) -> None:
    assert reason_of(raw_token(HEADER, {**CLAIMS, **claims})) is Reason.TOKEN_MALFORMED


def test_an_empty_entitlement_grants_nothing() -> None:
    session = VERIFIER.verify(token(ent=[]), NOW)
    assert isinstance(session, Session)
    assert session.streams == frozenset()


def test_a_refusal_repeats_nothing_of_the_token() -> None:
    for bad in (token(sub="secret-subject" * 20), token(sid="secret subject"), token(aud="secret-subject")):
        verdict = VERIFIER.verify(bad, NOW)
        assert isinstance(verdict, Deny)
        assert "secret" not in verdict.detail


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_is_raised(text: str) -> None:
    assert isinstance(VERIFIER.verify(text, NOW), Deny)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"])
CLAIM_NAMES = st.sampled_from(
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "did", "ent", "drm", "use", "req"]
)


@given(st.dictionaries(HEADER_NAMES, JSON, max_size=2), st.dictionaries(CLAIM_NAMES, JSON, max_size=3))
def test_well_signed_nonsense_is_judged_without_raising(header: dict[str, Any], claims: dict[str, Any]) -> None:
    assert isinstance(VERIFIER.verify(raw_token({**HEADER, **header}, {**CLAIMS, **claims}), NOW), Session | Deny)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(min_size=1, max_size=64))
def test_any_bytes_for_parts_are_refused(header: bytes, claims: bytes, signature: bytes) -> None:
    text = ".".join(map(base64url.encode, (header, claims, signature)))
    assert isinstance(VERIFIER.verify(text, NOW), Deny)


def test_a_short_secret_is_no_key() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        TokenKey.symmetric("k", bytes(31))


@pytest.mark.parametrize(
    ("algorithm", "pem", "message"),
    [
        ("ES256", "not a key", "not a PEM public key"),
        ("ES256", private_pem(EC_KEY).decode(), "not a PEM public key"),
        ("EdDSA", public_pem(EC_KEY), "does not fit EdDSA"),
        ("ES256", public_pem(ED_KEY), "does not fit ES256"),
        ("ES256", public_pem(generate_private_key(SECP384R1())), "does not fit ES256"),
        ("HS256", public_pem(EC_KEY), "does not fit HS256"),
        ("none", public_pem(EC_KEY), "does not fit none"),
    ],
)
def test_a_public_key_must_fit_its_algorithm(algorithm: str, pem: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenKey.public("k", algorithm, pem)


def test_keys_do_not_print() -> None:
    assert SECRET.hex() not in repr(TokenKey.symmetric("k", SECRET))
    assert repr(SECRET) not in repr(TokenKey.symmetric("k", SECRET))


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", b"not a key"),
        ("ES256", private_pem(ED_KEY)),
        ("ES256", public_pem(EC_KEY).encode()),
        ("EdDSA", private_pem(EC_KEY)),
        ("EdDSA", public_pem(ED_KEY).encode()),
        ("HS256", private_pem(EC_KEY)),
    ],
)
def test_minting_names_a_key_that_does_not_fit(algorithm: str, key: bytes) -> None:
    with pytest.raises(ValueError, match=f"does not fit {algorithm}"):
        mint_token(CLAIMS, "k", algorithm, key)


def test_a_second_opinion_agrees_on_a_good_token() -> None:
    decoded = jwt.decode(
        token("es-1"), public_pem(EC_KEY), algorithms=["ES256"], audience="edge", options={"verify_exp": False}
    )
    assert decoded == dict(CLAIMS)


def test_a_verifier_without_keys_knows_nobody() -> None:
    verdict = TokenVerifier({}, "edge", LEEWAY, MAX_LIFETIME).verify(token(), NOW)
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.KEY_UNKNOWN
