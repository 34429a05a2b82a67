"""Session tokens: what a good one grants, and every way a bad one is told apart."""

import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from keys.model import TrackType
from relay.bounds import Bounds
from relay.gate.carriers import MAX_TOKEN
from relay.gate.dialects.base import Proof, Renewal, Use
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.jwt import JwtDialect
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.scope import Kind, Match, Scope, UriRule
from relay.gate.uri import Part
from relay.model import LimitCount, LimitMode, LimitScope, Session, StreamLimit
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.platform import (
    CLAIMS,
    EC_KEY,
    ED_KEY,
    FACTS,
    HEADER,
    LEEWAY,
    MAX_LIFETIME,
    NOW,
    SECRET,
    SIGNERS,
    TERMS,
    dialect,
    keys,
    private_pem,
    public_pem,
    raw_token,
    token,
)

DIALECT = dialect()


def verified(text: str, now: float = NOW, by: JwtDialect = DIALECT) -> Proof | Deny:
    return by.verify(text, FACTS, now)


def proof_of(text: str, by: JwtDialect = DIALECT) -> Proof:
    proof = verified(text, NOW, by)
    assert isinstance(proof, Proof), proof
    return proof


def refusal_of(text: str, now: float = NOW) -> Deny:
    deny = verified(text, now)
    assert isinstance(deny, Deny)
    return deny


def reason_of(text: str, now: float = NOW, by: JwtDialect = DIALECT) -> Reason | None:
    verdict = verified(text, now, by)
    return verdict.reason if isinstance(verdict, Deny) else None


def claims_with(text: str) -> bytes:
    """The good claims as JSON, with ``text`` spliced in before the end."""
    return json.dumps(dict(CLAIMS)).encode()[:-1] + b", " + text.encode() + b"}"


@pytest.mark.parametrize("kid", SIGNERS)
def test_each_algorithm_and_each_of_an_issuers_keys_is_verified(kid: str) -> None:
    assert proof_of(token(kid)).session == Session(
        sid="session-1",
        account="account-1",
        issuer=TERMS.issuer,
        expires_at=NOW + 600,
        token_id="token-1",
        key_id=kid,
        issued_at=NOW,
    )


def test_a_session_is_what_the_claims_say() -> None:
    session = proof_of(
        token(did="tv-1", ent=["news", "sport"], drm={"max_track": "sd"}, sver=3, wmid="wm-7", csl={"limit": 2})
    ).session
    assert (session.version, session.watermark, session.limit) == (3, "wm-7", StreamLimit(2))
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
        ({"b64": False}, Reason.TOKEN_UNSUPPORTED),
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
        ({"iat": NOW - 3600}, NOW, None),
        ({"iat": NOW - 10**6}, NOW, Reason.TOKEN_UNSUPPORTED),
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
    deny = refusal_of(token(without=name))
    assert deny.reason is Reason.TOKEN_MALFORMED
    assert name in deny.detail


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
        ("paths", [{"path": {"glob": "/live/*"}}]),
        ("paths", [{"fragment": {"exact": "x"}}]),
        ("paths", [{"path": {"regex": "(a+)\\1"}}]),
        ("hdr", {"User-Agent": {"glob": "TV*"}}),
        ("cnf", {"kid": "x"}),
        ("cnf", {"jkt": "A" * 43, "x5t#S256": "x"}),
        ("csl", {"limit": 1, "scope": "tenant"}),
        ("csl", {"limit": 1, "mode": "stop_lowest_priority"}),
        ("csl", {"limit": 1, "pool": "x"}),
        ("rnw", {"add": 60, "via": "post"}),
        ("rnw", {"add": 60, "times": 3}),
        ("use", "twice"),
        ("use", None),
        ("use", ["once"]),
        ("req", ["tier"]),
        ("req", [1]),
        ("drm", {"hdcp": 2}),
    ],
)
def test_what_narrows_and_is_not_enforced_is_refused_by_name(name: str, value: Any) -> None:
    deny = refusal_of(token(**{name: value}))
    assert deny.reason is Reason.TOKEN_UNSUPPORTED
    assert name in deny.detail


@pytest.mark.parametrize("name", ["paths", "mth", "net", "geo", "hdr", "cnf", "csl", "rnw"])
@pytest.mark.parametrize("value", [None, 1, "x", [1], [None], [[]], {"limit": "x"}, True, [""], ["a b"]])
def test_a_narrowing_claim_of_the_wrong_shape_is_refused_by_name(name: str, value: Any) -> None:
    deny = refusal_of(token(**{name: value}))
    assert deny.reason in (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED)
    assert name in deny.detail


@pytest.mark.parametrize("name", ["mth", "net", "geo"])
def test_an_empty_list_is_not_taken_for_no_restriction(name: str) -> None:
    empty: dict[str, Any] = {name: []}
    assert refusal_of(token(**empty)).reason is Reason.TOKEN_MALFORMED


def test_restrictions_become_bounds() -> None:
    thumbprint = base64url.encode(bytes(32))
    bounds = proof_of(
        token(
            mth=["GET", "HEAD"],
            net=["192.0.2.7/24", "2001:db8::1", "AS64500", "192.0.2.0/24"],
            geo=["DE", "AT-9"],
            cnf={"jkt": thumbprint},
            reval=30,
        )
    ).session.bounds
    assert bounds == Bounds(
        methods=("GET", "HEAD"),
        networks=("192.0.2.0/24", "2001:db8::1/128", "AS64500"),
        countries=("DE", "AT-9"),
        proof_key=thumbprint,
        revalidate=30,
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"net": ["192.0.2.0/33"]},
        {"net": ["192.0.2.256"]},
        {"net": ["AS0"]},
        {"net": ["as64500"]},
        {"net": ["192.0.2.0/24", "fe80::1%eth0"]},
        {"net": ["1"] * 65},
        {"geo": ["de"]},
        {"geo": ["DEU"]},
        {"geo": ["DE-"]},
        {"mth": ["GE T"]},
        {"mth": ["GET"] * 17},
        {"cnf": {}},
        {"cnf": {"jkt": "x"}},
        {"cnf": {"jkt": "A" * 42 + "B"}},
        {"cnf": {"jkt": ["A" * 43]}},
        {"csl": {}},
        {"csl": {"limit": 0}},
        {"csl": {"limit": True}},
        {"csl": {"limit": 1001}},
        {"reval": -1},
        {"reval": 1.5},
        {"reval": "30"},
        {"sver": -1},
        {"sver": 2**53},
        {"sver": True},
        {"wmid": ""},
        {"wmid": "w" * 129},
        {"wmid": 5},
        {"req": "exp"},
        {"req": None},
        {"rnw": {}},
        {"rnw": {"add": 0}},
        {"rnw": {"add": 60.5}},
        {"rnw": {"add": 60, "deadline": -1}},
        {"rnw": {"add": 60, "name": "a b"}},
        {"rnw": {"add": 60, "name": "Set: x\r\nX"}},
        {"rnw": {"add": 60, "name": "Content-Length"}},
        {"rnw": {"add": 60, "name": None}},
        {"paths": [{"path": {}}]},
        {"paths": [{"path": {"prefix": 1}}]},
        {"paths": [{}] * 33},
        {"hdr": {"a b": {"exact": "x"}}},
        {"hdr": {"X": {"exact": "1"}, "x": {"exact": "2"}}},
    ],
)
def test_restrictions_of_the_wrong_shape_are_malformed(claims: dict[str, Any]) -> None:
    assert reason_of(raw_token(HEADER, {**CLAIMS, **claims})) is Reason.TOKEN_MALFORMED


def test_restrictions_become_a_scope() -> None:
    scope = proof_of(
        token(
            paths=[{"path": {"prefix": "/live/ch1/"}}, {"host": {"exact": "EDGE.example"}}],
            hdr={"User-Agent": {"contains": "TV"}},
        )
    ).scope
    assert scope == Scope(
        uris=(
            UriRule(((Part.PATH, (Match(Kind.PREFIX, "/live/ch1/"),)),)),
            UriRule(((Part.HOST, (Match(Kind.EXACT, "edge.example"),)),)),
        ),
        headers=(("user-agent", (Match(Kind.CONTAINS, "TV"),)),),
    )
    assert proof_of(token()).scope == Scope()
    assert proof_of(token(paths=[])).scope.check(FACTS) is not None


def test_a_stream_limit_is_read_whole() -> None:
    limit = {"limit": 3, "mode": "ask", "scope": "title", "count": "devices"}
    assert proof_of(token(csl=limit)).session.limit == StreamLimit(
        3, LimitMode.ASK, LimitScope.TITLE, LimitCount.DEVICES
    )


@pytest.mark.parametrize(("said", "use"), [("many", Use.MANY), ("once", Use.ONCE), ("watch", Use.WATCH)])
def test_the_replay_rule_is_passed_on(said: str, use: Use) -> None:
    assert proof_of(token(use=said)).use is use


def test_every_understood_claim_may_be_required() -> None:
    names = [*CLAIMS, "paths", "mth", "net", "geo", "hdr", "cnf", "use", "rnw", "csl", "drm", "wmid", "reval", "req"]
    assert reason_of(token(req=names)) is None


def test_a_renewal_is_read() -> None:
    assert proof_of(token(rnw={"add": 300})).renewal == Renewal(add=300, deadline=60)
    wanted = {"add": 300, "deadline": 30, "via": "cookie", "name": "segmentgate"}
    assert proof_of(token(rnw=wanted)).renewal == Renewal(300, 30, "cookie", "segmentgate")
    assert proof_of(token()).renewal is None


@pytest.mark.parametrize("kid", ["hs-1", "hs-2"])
def test_a_renewed_token_says_the_same_but_for_its_expiry(kid: str) -> None:
    before = proof_of(token(kid, did="tv-1", rnw={"add": 300}, paths=[{"path": {"prefix": "/"}}], note="\u00fc"))
    text = DIALECT.renew(before, NOW + 900)
    assert text is not None
    after = proof_of(text)
    assert after.claims == {**before.claims, "exp": NOW + 900}
    assert after.session.issued_at == NOW
    assert (after.session.sid, after.session.key_id) == (before.session.sid, kid)


def test_a_public_key_renews_only_with_the_private_half() -> None:
    proof = proof_of(token("es-1"))
    assert DIALECT.renew(proof, NOW + 900) is None
    with_key = JwtDialect(TERMS, keys(), signer=Signer.load("es-1", "ES256", private_pem(EC_KEY)))
    text = with_key.renew(proof, NOW + 900)
    assert text is not None
    assert proof_of(text).session.expires_at == NOW + 900


@pytest.mark.parametrize(
    "signer", [Signer.load("es-1", "EdDSA", private_pem(ED_KEY)), Signer.load("x", *SIGNERS["es-1"])]
)
def test_a_renewed_token_is_never_signed_by_a_key_that_is_not_expected(signer: Signer) -> None:
    assert JwtDialect(TERMS, keys(), signer=signer).renew(proof_of(token("es-1")), NOW + 900) is None


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
    assert proof_of(token(ent=[])).session.streams == frozenset()


def test_a_refusal_repeats_nothing_of_the_token() -> None:
    for bad in (token(sub="secret-subject" * 20), token(sid="secret subject"), token(aud="secret-subject")):
        assert "secret" not in refusal_of(bad).detail


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_is_raised(text: str) -> None:
    assert isinstance(verified(text), Deny)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"])
_NAMES = "iss sub aud exp nbf iat jti sid did ent drm use req paths mth net geo hdr cnf rnw csl wmid reval sver"
CLAIM_NAMES = st.sampled_from(_NAMES.split())


@given(st.dictionaries(HEADER_NAMES, JSON, max_size=2), st.dictionaries(CLAIM_NAMES, JSON, max_size=3))
def test_well_signed_nonsense_is_judged_without_raising(header: dict[str, Any], claims: dict[str, Any]) -> None:
    assert isinstance(verified(raw_token({**HEADER, **header}, {**CLAIMS, **claims})), Proof | Deny)


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(min_size=1, max_size=64))
def test_any_bytes_for_parts_are_refused(header: bytes, claims: bytes, signature: bytes) -> None:
    text = ".".join(map(base64url.encode, (header, claims, signature)))
    assert isinstance(verified(text), Deny)


def test_a_second_opinion_agrees_on_a_good_token() -> None:
    decoded = jwt.decode(
        token("es-1"), public_pem(EC_KEY), algorithms=["ES256"], audience="edge", options={"verify_exp": False}
    )
    assert decoded == dict(CLAIMS)


def test_a_dialect_without_keys_knows_nobody() -> None:
    assert reason_of(token(), by=JwtDialect(TERMS, KeySet())) is Reason.KEY_UNKNOWN


def test_keys_are_replaced_while_the_dialect_runs() -> None:
    kept = KeySet([TokenKey.symmetric("hs-2", SIGNERS["hs-2"][1])])
    running = JwtDialect(TERMS, kept)
    assert reason_of(token(), by=running) is Reason.KEY_UNKNOWN
    kept.replace([TokenKey.symmetric("hs-1", SECRET)])
    assert reason_of(token(), by=running) is None
    assert reason_of(token("hs-2"), by=running) is Reason.KEY_UNKNOWN


def test_a_retired_key_is_unknown() -> None:
    running = JwtDialect(TERMS, KeySet([TokenKey.symmetric("hs-1", SECRET, retire_at=NOW + 10)]))
    assert reason_of(token(), NOW + 9, running) is None
    assert reason_of(token(), NOW + 10, running) is Reason.KEY_UNKNOWN


# HS256 with the key of RFC 8392 appendix A.2.2; checked against an independent implementation.
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0"
    ".eyJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZSIsImF1ZCI6ImVkZ2UiLCJzdWIiOiJhY2N0LTQyIiwic2lkIjoiNWYwYzJhOWI3ZDNlNGM2MSIs"
    "ImlhdCI6MTc5MDAwMDAwMCwibmJmIjoxNzkwMDAwMDAwLCJleHAiOjE3OTAwMDM2MDB9"
    ".iwWFi8dJUvZNbqS-r__XEDkT4QdOuHVwYY1aFiCZwhE"
)
VECTOR_KEY = TokenKey.symmetric("k1", bytes.fromhex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"))
VECTOR_TERMS = Terms("https://auth.example", "edge", LEEWAY, MAX_LIFETIME)
PLAIN = JwtDialect(VECTOR_TERMS, KeySet([VECTOR_KEY]), plain=True)


def test_the_vector_is_verified_by_an_issuer_that_takes_plain_tokens() -> None:
    assert proof_of(VECTOR, PLAIN).session == Session(
        sid="5f0c2a9b7d3e4c61",
        account="acct-42",
        issuer="https://auth.example",
        expires_at=1_790_003_600,
        key_id="k1",
        issued_at=1_790_000_000,
    )


def test_a_strict_issuer_wants_a_type_of_its_own_and_a_token_id() -> None:
    strict = JwtDialect(VECTOR_TERMS, KeySet([VECTOR_KEY]))
    assert reason_of(VECTOR, by=strict) is Reason.TOKEN_UNSUPPORTED
    text = raw_token({**HEADER, "typ": "JWT"}, {**CLAIMS, "use": "once"})
    assert proof_of(text, dialect(plain=True)).use is Use.ONCE


def test_a_plain_token_without_an_id_cannot_be_for_one_use() -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != "jti"}
    text = raw_token({**HEADER, "typ": "JWT"}, {**claims, "use": "once"})
    assert reason_of(text, by=dialect(plain=True)) is Reason.TOKEN_MALFORMED


def test_a_plain_token_stays_plain_when_renewed() -> None:
    text = PLAIN.renew(proof_of(VECTOR, PLAIN), 1_790_007_200)
    assert text is not None
    assert proof_of(text, PLAIN).session.expires_at == 1_790_007_200


def test_every_negative_of_the_vector_is_refused() -> None:
    for name, mutant in negatives.all_of(VECTOR, "."):
        assert reason_of(mutant, by=PLAIN), name
    for name, mutant in (*negatives.byte_flips(VECTOR, "."), *negatives.spare_bits(VECTOR, ".")):
        assert reason_of(mutant, by=PLAIN), name
    other = raw_token({**HEADER, "kid": "k1"}, {**CLAIMS, "iss": "https://auth.example"}, VECTOR_KEY.key)
    for name, mutant in negatives.mixed(VECTOR, other, "."):
        assert reason_of(mutant, by=PLAIN), name


def claims_changed(**claims: Any) -> str:
    payload = json.loads(base64url.decode(VECTOR.split(".")[1]))
    return raw_token({"alg": "HS256", "kid": "k1", "typ": "JWT"}, {**payload, **claims}, VECTOR_KEY.key)


@pytest.mark.parametrize(
    ("text", "now", "reason"),
    [
        (VECTOR, 1_790_003_600 + LEEWAY, Reason.TOKEN_EXPIRED),
        (VECTOR, 1_790_000_000 - LEEWAY - 1, Reason.TOKEN_NOT_YET_VALID),
        (VECTOR, 1_790_000_000 + 3600 + 3600, Reason.TOKEN_EXPIRED),
        (claims_changed(), NOW, None),
        (claims_changed(aud="core"), NOW, Reason.TOKEN_AUDIENCE),
        (claims_changed(iss="https://other.example"), NOW, Reason.KEY_UNKNOWN),
        (raw_token({**HEADER, "kid": "k2"}, {**CLAIMS, "iss": "https://auth.example"}), NOW, Reason.KEY_UNKNOWN),
    ],
)
def test_the_vector_at_the_wrong_time_or_place(text: str, now: float, reason: Reason | None) -> None:
    assert reason_of(text, now, PLAIN) is reason
