"""CDNI URI signing: the specification's examples, negatives, and what each claim restricts."""

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.carriers import Carrier, Credential, Names
from relay.gate.dialects.base import Proof, Use
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.jwk import public_key
from relay.gate.dialects.jws import seal, take_apart
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.dialects.uri_signing import UriSigningDialect, UriSigningOptions
from relay.gate.renewal import renewal_of
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.links import KEY, NOW, TERMS, at, proven, refused

# The examples that the authors of RFC 9246 generate (its appendix A shows the same claims), their keys and times.
SPEC_KEY = public_key(
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "be807S4O7dzB6I4hTiCUvmxCI6FuxWba1xYBlLSSsZ8",
        "y": "rOGC4vI69g-WF9AGEVI37sNNwbjIzBxSjLvIL7f3RBA",
    },
    "P5UpOv0eMq1wcxLf7WxIg09JdSYGYFDOWkldueaImf0",
)
SPEC_NOW, SPEC_END = 1_641_000_000, 1_641_079_223
SPEC = UriSigningDialect(
    Terms("uCDN Inc", "dCDN LLC", 5.0, 2 * 86_400.0),
    KeySet([SPEC_KEY]),
    UriSigningOptions(base64url.decode("4uFxxV7fhNmrtiah2d1fFg")),
)
HEAD = "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ."
SIMPLE = HEAD + (
    "eyJleHAiOjE2NDEwNzkyMjMsImlzcyI6InVDRE4gSW5jIiwiY2RuaXVjIjoiaGFzaDpzaGEtMjU2OzJ0ZGVyZldQYTg2S3U3WW56VzUxWVVwN2RHVWpC"
    "U18zU1czRUx4NGhtV1kifQ.P5It6q0kxNx5NBA76D-bYKIxlourey5JpU4diFLGHaVTk21QkEskjxoeneDoBj_1C5Ty1smBOovQMrGzuPmEHA"
)
COMPLEX = HEAD + (
    "eyJhdWQiOiJkQ0ROIExMQyIsInN1YiI6ImV5SmxibU1pT2lKQk1USTRSME5OSWl3aVlXeG5Jam9pWkdseUlpd2lhMmxrSWpvaVppMVhZbXA0UWtNelpG"
    "QjFTVE5rTWpSclVESm9ablp2Y3pkUmVqWTRPRlZVYVRaaFFqQm9Uams1T0NKOS4uTWJUOHRXZXQwMVZWSGp1Uy40S1A3QUplZlU3MGIuUmNfbzN0Q2ZX"
    "b1BrSWR5U3NZdGZNdyIsImNkbmlpcCI6ImV5SmxibU1pT2lKQk1USTRSME5OSWl3aVlXeG5Jam9pWkdseUlpd2lhMmxrSWpvaVppMVhZbXA0UWtNelpG"
    "QjFTVE5rTWpSclVESm9ablp2Y3pkUmVqWTRPRlZVYVRaaFFqQm9Uams1T0NKOS4uczYxNHpfX2F0SzRDaWppYy5pZVNtN28ybzdySXFDWWJERXhkb3lR"
    "LkpVblBMUXpCZjJkUGhCUFJUeEhLd3ciLCJjZG5pdiI6MSwiZXhwIjoxNjQxMDc5MjIzLCJpYXQiOjE2NDA5MDY0MjMsImlzcyI6InVDRE4gSW5jIiwi"
    "anRpIjoiNURBYWZMaFpBZmhzYmUiLCJuYmYiOjE2NDA5OTI4MjMsImNkbml1YyI6InJlZ2V4Omh0dHA6Ly9jZG5pXFwuZXhhbXBsZS9mb28vYmFyL1sw"
    "LTldezN9XFwucG5nIn0.MgV1AIvlWf3rjUqWGKlpR1CcCpF8N5FX7xlZ0wGCqfJY3KpqTrVNKaEWVXGoo12oVgQ7J2KoRtcr2ah9dsjqOA"
)
CHAINED = HEAD + (
    "eyJjZG5pZXRzIjozMCwiY2RuaXN0dCI6MSwiY2RuaXN0ZCI6MiwiZXhwIjoxNjQxMDc5MjIzLCJjZG5pdWMiOiJyZWdleDpodHRwOi8vY2RuaVxcLmV4"
    "YW1wbGUvZm9vL2Jhci9bMC05XXszfVxcLnRzIn0.qp4l3B36rRmIUBXzPWdK7p0_zlq7tvgt5oJSBSMOUEWtMsIZf3q0nXSnHPxsNdLcsTSNoFOAgq5y"
    "0EjQmvNQoA"
)
HERE = at("/watch/news/index.m3u8")
URI = "https://edge.example/watch/news/index.m3u8"
END = NOW + 600
CLAIMS = {"iss": TERMS.issuer, "exp": END, "iat": NOW, "cdniuc": f"regex:{URI}".replace(".", "\\.")}
SIGNER = Signer("k1", "HS256", KEY)
KEYS = KeySet([SIGNER.public()])
DIALECT = UriSigningDialect(TERMS, KEYS, UriSigningOptions(bytes(32)))
NAMES = Names(cookie=("URISigningPackage",), query=("URISigningPackage",))


def there(path: str, **facts: Any) -> Facts:
    return Facts("GET", path, **{"scheme": "http", "host": "cdni.example", "address": "2001:db8::9", **facts})


def minted(without: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if name != without}
    return seal({"kid": "k1", "typ": "JWT", **(header or {})}, said, SIGNER)


def encrypted(text: str, key: bytes = bytes(32), enc: str = "A256GCM", nonce: bytes = bytes(12)) -> str:
    head = base64url.encode(f'{{"alg":"dir","enc":"{enc}"}}'.encode())
    sealed = AESGCM(key).encrypt(nonce, text.encode(), head.encode())
    return f"{head}..{base64url.encode(nonce)}.{base64url.encode(sealed[:-16])}.{base64url.encode(sealed[-16:])}"


def test_the_simple_example_is_about_one_uri() -> None:
    session = proven(SPEC, SIMPLE, there("/foo/bar"), SPEC_NOW).session
    assert (session.issuer, session.expires_at, session.key_id) == ("uCDN Inc", SPEC_END, SPEC_KEY.kid)
    assert session.sid == session.account == session.token_id
    assert refused(SPEC, SIMPLE, there("/foo/bar"), SPEC_NOW) is None
    for other in (there("/foo/bar/"), there("/foo/bar", query="a"), there("/foo/bar", scheme="https"), there("/foo")):
        assert refused(SPEC, SIMPLE, other, SPEC_NOW) is Reason.SCOPE_PATH


def test_the_complex_example() -> None:
    proof = proven(SPEC, COMPLEX, there("/foo/bar/123.png"), SPEC_NOW)
    session = proof.session
    assert (session.account, session.token_id, session.issued_at) == ("UserToken", "5DAafLhZAfhsbe", 1_640_906_423)
    assert session.bounds == Bounds(networks=("2001:db8::/32",))
    assert proof.use is Use.ONCE
    assert refused(SPEC, COMPLEX, there("/foo/bar/123.png"), SPEC_NOW) is None
    assert refused(SPEC, COMPLEX, there("/foo/bar/123.png", address="2001:db9::9"), SPEC_NOW) is Reason.SCOPE_NETWORK
    assert refused(SPEC, COMPLEX, there("/foo/bar/1234.png"), SPEC_NOW) is Reason.SCOPE_PATH
    assert refused(SPEC, COMPLEX, there("/foo/bar/123xpng"), SPEC_NOW) is Reason.SCOPE_PATH
    assert refused(SPEC, COMPLEX, there("/foo/bar/123.png"), 1_640_992_817) is Reason.TOKEN_NOT_YET_VALID


def test_the_chained_example_is_renewed_in_a_cookie() -> None:
    proof = proven(SPEC, CHAINED, there("/foo/bar/001.ts"), SPEC_NOW)
    assert proof.renewal is not None
    assert (proof.renewal.add, proof.renewal.via, proof.renewal.parameters[0]) == (30, "cookie", "Path=/foo/bar")
    # Its keys here only verify.
    assert SPEC.renew(proof, SPEC_NOW + 30) is None


@pytest.mark.parametrize(("token", "here"), [(SIMPLE, there("/foo/bar")), (CHAINED, there("/foo/bar/001.ts"))])
def test_mechanical_negatives_of_the_examples(token: str, here: Facts) -> None:
    for name, mutant in (*negatives.spellings(token), *negatives.truncations(token), *negatives.trailing(token, ".")):
        assert isinstance(SPEC.verify(mutant, here, SPEC_NOW), Deny), name
    for name, mutant in negatives.mixed(SIMPLE, CHAINED, "."):
        assert isinstance(SPEC.verify(mutant, here, SPEC_NOW), Deny), name


def test_mechanical_negatives() -> None:
    token = minted()
    mutants = (*negatives.all_of(token, "."), *negatives.byte_flips(token, "."), *negatives.spare_bits(token, "."))
    for name, mutant in mutants:
        assert isinstance(DIALECT.verify(mutant, HERE, NOW), Deny), name


def test_two_signatures_of_one_token_are_one_session() -> None:
    # Whoever holds an ECDSA signature can make another good one, (r, n - s): it must not be another session.
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signed, _, signature = SIMPLE.rpartition(".")
    raw = base64url.decode(signature)
    other = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    twin = f"{signed}.{base64url.encode(other)}"
    assert twin != SIMPLE
    here = there("/foo/bar")
    assert proven(SPEC, twin, here, SPEC_NOW).session == proven(SPEC, SIMPLE, here, SPEC_NOW).session


@pytest.mark.parametrize(
    ("now", "reason"),
    [(NOW, None), (END + 4.9, None), (END + 5, Reason.TOKEN_EXPIRED), (NOW - 6, Reason.TOKEN_NOT_YET_VALID)],
)
def test_times(now: float, reason: Reason | None) -> None:
    assert refused(DIALECT, minted(), HERE, now) is reason


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": TERMS.audience},
        {"aud": ["x", TERMS.audience]},
        {"cdniv": 1},
        {"cdnicrit": "exp,cdniuc"},
        {"sub": "ann"},
        {"jti": "n-1", "cdnicrit": "jti"},
        {"cdniip": "192.0.2.7"},
        {"cdniip": "192.0.2.0/24"},
        {"cdniip": encrypted("192.0.2.7")},
        {"unknown": 1},
        {"nbf": NOW},
        {"cdnistt": 0},
    ],
)
def test_claims_that_this_request_meets(claims: dict[str, Any]) -> None:
    assert refused(DIALECT, minted(**claims), HERE) is None


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "other"}, Reason.TOKEN_AUDIENCE),
        ({"iss": "other"}, Reason.KEY_UNKNOWN),
        ({"iss": 7}, Reason.TOKEN_MALFORMED),
        ({"cdniv": 2}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniv": "1"}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniv": True}, Reason.TOKEN_UNSUPPORTED),
        ({"cdnicrit": "exp,geo", "geo": "DE"}, Reason.TOKEN_UNSUPPORTED),
        ({"cdnicrit": "jti"}, Reason.TOKEN_UNSUPPORTED),
        ({"cdnicrit": ""}, Reason.TOKEN_MALFORMED),
        ({"cdnicrit": "exp,"}, Reason.TOKEN_UNSUPPORTED),
        ({"cdnicrit": ["exp"]}, Reason.TOKEN_MALFORMED),
        ({"cdniip": "192.0.2.8"}, Reason.SCOPE_NETWORK),
        ({"cdniip": "[2001:db8::1/32]"}, Reason.SCOPE_NETWORK),
        ({"cdniip": "home"}, Reason.TOKEN_MALFORMED),
        ({"cdniip": ""}, Reason.TOKEN_MALFORMED),
        ({"cdniip": encrypted("192.0.2.8")}, Reason.SCOPE_NETWORK),
        ({"cdniip": encrypted("192.0.2.7", bytes(31) + b"x")}, Reason.TOKEN_MALFORMED),
        ({"cdniip": encrypted("192.0.2.7", bytes(16), "A128GCM")}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniip": encrypted("192.0.2.7")[:-1] + "\n"}, Reason.TOKEN_MALFORMED),
        ({"cdniip": "a..b.c.d"}, Reason.TOKEN_MALFORMED),
        ({"sub": "e30..AAAA.AAAA.AAAA"}, Reason.TOKEN_UNSUPPORTED),
        ({"sub": encrypted("x" * 1000)}, Reason.TOKEN_MALFORMED),
        ({"cdniuc": "regex:https://edge.example/other"}, Reason.SCOPE_PATH),
        ({"cdniuc": "regex:/watch/news/index"}, Reason.SCOPE_PATH),
        ({"cdniuc": "regex:(?=x)"}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniuc": "regex:(a+)+("}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniuc": "hash:sha-256;x"}, Reason.SCOPE_PATH),
        ({"cdniuc": "hash:sha-512;x"}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniuc": URI}, Reason.TOKEN_UNSUPPORTED),
        ({"cdniuc": ""}, Reason.TOKEN_MALFORMED),
        ({"cdnistt": 2, "cdniets": 30}, Reason.TOKEN_MALFORMED),
        ({"cdnistt": 1}, Reason.TOKEN_MALFORMED),
        ({"cdniets": 30}, Reason.TOKEN_MALFORMED),
        ({"cdnistt": 1, "cdniets": -1}, Reason.TOKEN_MALFORMED),
        ({"cdnistt": 1, "cdniets": 30, "cdnistd": 17}, Reason.TOKEN_MALFORMED),
        ({"exp": None}, Reason.TOKEN_MALFORMED),
        ({"exp": NOW + 86_406}, Reason.TOKEN_UNSUPPORTED),
        ({"iat": NOW + 6}, Reason.TOKEN_NOT_YET_VALID),
        ({"sid": "with space"}, Reason.TOKEN_MALFORMED),
        ({"jti": "j" * 65}, Reason.TOKEN_MALFORMED),
    ],
)
def test_claims_that_this_request_does_not_meet(claims: dict[str, Any], reason: Reason) -> None:
    assert refused(DIALECT, minted(**claims), HERE) is reason


@pytest.mark.parametrize("name", ["exp", "cdniuc"])
def test_a_claim_that_must_be_there(name: str) -> None:
    assert refused(DIALECT, minted(without=name), HERE) is Reason.TOKEN_MALFORMED


def test_the_issuer_may_be_left_out() -> None:
    assert proven(DIALECT, minted(without="iss"), HERE).session.issuer == TERMS.issuer


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "session+jwt"}, Reason.TOKEN_UNSUPPORTED),
        ({"typ": None}, Reason.TOKEN_UNSUPPORTED),
        ({"kid": "k2"}, Reason.KEY_UNKNOWN),
        ({"kid": None}, Reason.TOKEN_MALFORMED),
        ({"jku": "https://evil.example"}, Reason.TOKEN_UNSUPPORTED),
        ({"crit": ["exp"]}, Reason.TOKEN_UNSUPPORTED),
    ],
)
def test_bad_headers(header: dict[str, Any], reason: Reason) -> None:
    assert refused(DIALECT, minted(header=header), HERE) is reason


def test_encrypted_claims_need_the_key_that_is_configured() -> None:
    without = UriSigningDialect(TERMS, KEYS)
    assert refused(without, minted(cdniip=encrypted("192.0.2.7")), HERE) is Reason.TOKEN_UNSUPPORTED
    assert proven(DIALECT, minted(sub=encrypted("ann")), HERE).session.account == "ann"
    again = proven(DIALECT, minted(sub=encrypted("ann", nonce=b"another nonc")), HERE).session
    assert again.account == "ann"
    assert "00" * 4 not in repr(UriSigningOptions(bytes(16)))
    with pytest.raises(ValueError, match="16 or 32 bytes"):
        UriSigningOptions(bytes(15))


def test_a_hash_is_of_the_uri_without_the_token() -> None:
    uri = f"{URI}?scheme=cbcs"
    digest = base64url.encode(sha256(uri.encode()).digest())
    token = minted(cdniuc=f"hash:sha-256;{digest}")
    assert refused(DIALECT, token, at(HERE.path, query="scheme=cbcs")) is None
    assert refused(DIALECT, token, HERE) is Reason.SCOPE_PATH


def test_a_path_that_can_be_read_in_two_ways_matches_nothing() -> None:
    token = minted(cdniuc="regex:.*")
    for path in ("/watch%2fnews/a", "/a\\b", "/watch/%"):
        assert refused(DIALECT, token, at(path)) is Reason.SCOPE_PATH
    # Dot segments are gone before a pattern sees a path.
    folder = minted(cdniuc="regex:https://edge\\.example/watch/news/.*")
    assert refused(DIALECT, folder, at("/watch/news/../sport/index.m3u8")) is Reason.SCOPE_PATH


def test_a_nonce_counts_once() -> None:
    assert proven(DIALECT, minted(jti="n-1"), HERE).use is Use.ONCE
    assert proven(DIALECT, minted(), HERE).use is Use.MANY


@pytest.mark.parametrize(
    ("depth", "path"),
    [(None, "Path=/"), (0, "Path=/"), (1, "Path=/watch"), (2, "Path=/watch/news"), (9, "Path=/watch/news/index.m3u8")],
)
def test_a_renewed_tokens_cookie_has_the_depth_asked_for(depth: int | None, path: str) -> None:
    renewal = proven(DIALECT, minted(cdnistt=1, cdniets=30, cdnistd=depth or 0), HERE).renewal
    assert renewal is not None
    assert renewal.parameters == (path, "Secure", "HttpOnly", "SameSite=None")


def renewed(proof: Proof, now: float, max_lifetime: float = 3600) -> str | None:
    credential = Credential("", Carrier.QUERY, "URISigningPackage", (TERMS.issuer,))
    answer = renewal_of(proof, DIALECT, credential, NAMES, max_lifetime, now)
    if answer is None:
        return None
    assert (answer.carrier, answer.name) == (Carrier.COOKIE, "URISigningPackage")
    return answer.value


def test_a_renewed_token_is_the_same_session_with_another_nonce_and_expiry() -> None:
    first = proven(DIALECT, minted(cdnistt=1, cdniets=900, jti="n-1", sub="ann"), HERE)
    again = renewed(first, NOW + 100)
    assert again is not None
    second = proven(DIALECT, again, HERE, NOW + 100)
    assert (second.session.sid, second.session.account) == (first.session.sid, "ann")
    assert second.session.expires_at == NOW + 1000
    assert second.session.issued_at == NOW
    assert second.session.token_id != first.session.token_id
    third = renewed(second, NOW + 200)
    assert third is not None
    assert proven(DIALECT, third, HERE, NOW + 200).session.sid == first.session.sid


def test_renewals_never_add_up_past_the_absolute_lifetime() -> None:
    token, now = minted(cdnistt=1, cdniets=900), float(NOW)
    ends = []
    for _ in range(100):
        proof = proven(DIALECT, token, HERE, now)
        ends.append(proof.session.expires_at)
        now += 60
        again = renewed(proof, now)
        if again is None:
            break
        token = again
    assert max(ends) == NOW + 3600
    assert refused(DIALECT, token, HERE, NOW + 3606) is Reason.TOKEN_EXPIRED


def test_a_renewed_token_says_whose_it_is() -> None:
    proof = proven(DIALECT, minted(without="iss", cdnistt=1, cdniets=900), HERE)
    token = DIALECT.renew(proof, END + 1)
    assert token is not None
    assert take_apart(token).claims["iss"] == TERMS.issuer


def test_a_public_key_is_no_secret() -> None:
    both = KeySet([TokenKey("k1", "ES256", SPEC_KEY.key)])
    assert refused(UriSigningDialect(TERMS, both), minted(), HERE) is Reason.TOKEN_SIGNATURE


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=4), max_size=2)
NAMES_OF_CLAIMS = st.sampled_from(
    ["sub", "aud", "exp", "jti", "sid", "cdniv", "cdnicrit", "cdniip", "cdniuc", "cdniets", "cdnistt", "cdnistd"]
)


@given(st.dictionaries(NAMES_OF_CLAIMS, JSON, max_size=3))
def test_well_signed_nonsense_is_judged_without_raising(claims: dict[str, Any]) -> None:
    assert isinstance(DIALECT.verify(minted(**claims), HERE, NOW), Proof | Deny)


@given(st.text(alphabet=st.sampled_from("aA0-_.="), max_size=60))
def test_any_encrypted_claim_is_judged_without_raising(text: str) -> None:
    assert isinstance(DIALECT.verify(minted(cdniip=text), HERE, NOW), Proof | Deny)
