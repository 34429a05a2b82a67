"""Media CDN tokens: the vendor's vectors, negatives, and what each field restricts."""

import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.dialects.media_cdn import MediaCdnDialect, MediaCdnOptions
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.links import END, KEY, NOW, SID, TERMS, TIMES, at, proven, refused, secrets

TOKEN = (
    f"PathGlobs=/live/*~Expires={END}~SessionID={SID}"
    "~hmac=637828b910ecdb72845239aee388f95be0f5bdd650cf80eaee241353bd42e096"
)
HERE = at("/live/ch1/index.m3u8")
DIALECT = MediaCdnDialect(TERMS, secrets(KEY))

# Google's published samples of dual tokens (Apache-2.0): their keys, times and expected tokens.
SAMPLE_NOW = 1_663_027_200
SAMPLE_HERE = Facts(
    "GET",
    "/example.m3u8",
    scheme="http",
    host="10.20.30.40",
    headers={"Foo": "bar", "BAZ": "quux"},
    address="203.0.113.9",
)
SAMPLE_SECRET = base64url.decode("g_SlMILiIWKqsC6Z2L7gy0sReDOqtSrJrE7CXNr5Nl8")
SAMPLE_KEY = Ed25519PrivateKey.from_private_bytes(base64url.decode("DJUcnLguVFKmVCFnWGubG1MZg7fWAnxacMjKDhVZMGI"))
SAMPLE_KEYS = KeySet([TokenKey.of("ed", "EdDSA", SAMPLE_KEY.public_key()), TokenKey("hs", "HS256", SAMPLE_SECRET)])
SAMPLE = MediaCdnDialect(TERMS, SAMPLE_KEYS, MediaCdnOptions(hashes=("sha256", "sha1"), account="Data"))
ALL = (
    "PathGlobs=/*~Starts=1663027200~Expires=1663070400~SessionID=test-id~Data=test-data~Headers=Foo,BAZ"
    "~IPRanges=MjAzLjAuMTEzLjAvMjQsMjAwMTpkYjg6NGE3ZjphNzMyLzY0"
)
PREFIX = "URLPrefix=aHR0cDovLzEwLjIwLjMwLjQwLw~Expires=1663070400"
GLOB, FULL = "PathGlobs=/*~Expires=1663070400", "FullPath~Expires=1663070400"
SAMPLES = [
    f"{PREFIX}~Signature=OQLXEjnApFGJaGZ_jvp2R7VY5q3ic-HT3igFpi9iPsJRXtQuvPF4cxZUT-rtCqzteXx3vSRhk09FxgDQauO_DA",
    f"{GLOB}~Signature=9pBdD_6O6LB-4V67HZ_SOc2G_jIkSZ_tMsKnVqElmPlwKB_xDiW7DKAnv8L8CmweeZquaLFlnLogbMcIV8bNCQ",
    f"{FULL}~Signature=X74OTNjtseIUmsab-YiOTZ8jyX_KG7v4YQWwcFpfFmjhzaX8NdweMc9Wglj8wxEsEW85g3_MBG3T9jzLZFQDCw",
    f"{PREFIX}~hmac=6f5b4bb82536810d5ee111cba3e534d49c6ac3cb",
    f"{GLOB}~hmac=c1c446eea24faa31392519f975fea7eefb945625",
    f"{FULL}~hmac=7af78177d6bc001d5626eefe387b1774a4a99ca2",
    f"{PREFIX}~hmac=409722313cf6d987da44bb360e60dccc3d79764520fc5e3b57654e1d4d2c862e",
    f"{GLOB}~hmac=9439ecdd5c4919f76f915dea72afa85a045579794e63d8cda664f5a1140c8d93",
    f"{FULL}~hmac=365b41fd77297371d890fc9a56e4e3d3baa4c7afbd230a0e9a81c8e1bcab9420",
    f"{ALL}~Signature=A7u67hveGxGvP8KBWZlUuH0IsqhS4a2lcsXwy3uc4X3zaVuw7LY-2FQT1ZF8UxkSFAsDS3_0LYnXwXB2XdepDg",
    f"{ALL}~hmac=b8242e8b76cbfbbd61b3540ed0eb60a2ec2fdbdb",
    f"{ALL}~hmac=dda9c3d6f3b2e867a09fbb76209ea138dd81f8512210f970d1e92f90927bef4b",
]


def minted(fields: str, signed: str = "") -> str:
    return f"{fields}~hmac={hmac.digest(KEY, (signed or fields).encode(), 'sha256').hex()}"


def spelt(text: str) -> str:
    return base64url.encode(text.encode())


def test_our_vector() -> None:
    session = proven(DIALECT, TOKEN, HERE).session
    assert (session.sid, session.account, session.expires_at, session.issued_at) == (SID, SID, END, 0)
    assert refused(DIALECT, TOKEN, HERE) is None
    assert refused(DIALECT, TOKEN, at("/vod/a")) is Reason.SCOPE_PATH


@pytest.mark.parametrize("token", SAMPLES)
def test_the_vendors_samples(token: str) -> None:
    proof = proven(SAMPLE, token, SAMPLE_HERE, SAMPLE_NOW)
    assert proof.scope.check(SAMPLE_HERE) is None
    assert proof.session.bounds.check(SAMPLE_HERE) is None
    assert proof.session.key_id == ("ed" if "Signature" in token else "hs")
    if "SessionID" in token:
        session = proof.session
        assert (session.sid, session.account, session.issued_at) == ("test-id", "test-data", SAMPLE_NOW)
        # The sample's second network is none.
        assert session.bounds == Bounds(networks=("203.0.113.0/24",))


@pytest.mark.parametrize("token", [SAMPLES[9], SAMPLES[2], SAMPLES[8]])
def test_mechanical_negatives_of_samples(token: str) -> None:
    mutants = [*negatives.all_of(token, "~")]
    if "Signature" in token:
        signature = token.rpartition("=")[2]
        cut = token.removesuffix(signature)
        mutants += [(name, cut + mutant) for name, mutant in negatives.byte_flips(signature)]
        mutants += [(name, cut + mutant) for name, mutant in negatives.spare_bits(signature)]
    for name, mutant in mutants:
        assert isinstance(SAMPLE.verify(mutant, SAMPLE_HERE, SAMPLE_NOW), Deny), name


def test_mechanical_negatives() -> None:
    for name, mutant in (*negatives.all_of(TOKEN, "~"), *negatives.hex_flips(TOKEN, TOKEN.rpartition("=")[2])):
        assert isinstance(DIALECT.verify(mutant, HERE, NOW), Deny), name
    other = minted(f"PathGlobs=/*~Expires={END - 1}~SessionID=other")
    for name, mutant in negatives.mixed(TOKEN, other, "~"):
        assert refused(DIALECT, mutant, HERE) is Reason.TOKEN_SIGNATURE, name


@pytest.mark.parametrize(("now", "reason"), TIMES)
def test_times(now: float, reason: Reason | None) -> None:
    assert refused(DIALECT, TOKEN, HERE, now) is reason


def test_a_start_that_lies_ahead() -> None:
    assert refused(DIALECT, minted(f"PathGlobs=/*~Starts={NOW + 6}~Expires={END}"), HERE) is Reason.TOKEN_NOT_YET_VALID


def test_sha1_is_for_issuers_that_may_use_it() -> None:
    strict = MediaCdnDialect(TERMS, SAMPLE_KEYS)
    assert refused(strict, SAMPLES[4], SAMPLE_HERE, SAMPLE_NOW) is Reason.TOKEN_SIGNATURE
    assert refused(strict, SAMPLES[7], SAMPLE_HERE, SAMPLE_NOW) is None


def test_a_public_key_makes_no_mac() -> None:
    public = SAMPLE_KEY.public_key().public_bytes_raw()
    token = f"{GLOB}~hmac={hmac.digest(public, GLOB.encode(), 'sha256').hex()}"
    assert refused(SAMPLE, token, SAMPLE_HERE, SAMPLE_NOW) is Reason.TOKEN_SIGNATURE


def test_a_full_path_is_that_of_the_request() -> None:
    token = minted(f"FullPath~Expires={END}", f"FullPath={HERE.path}~Expires={END}")
    assert refused(DIALECT, token, HERE) is None
    assert refused(DIALECT, token, at("/live/ch2/index.m3u8")) is Reason.TOKEN_SIGNATURE


def test_headers_are_signed_with_their_values() -> None:
    signed = f"PathGlobs=/*~Expires={END}~Headers=User-Agent=tv"
    token = minted(f"PathGlobs=/*~Expires={END}~Headers=User-Agent", signed)
    assert refused(DIALECT, token, at("/a", headers={"User-Agent": "tv"})) is None
    assert refused(DIALECT, token, at("/a", headers={"User-Agent": "phone"})) is Reason.TOKEN_SIGNATURE
    assert refused(DIALECT, token, at("/a", headers={"User-Agent": "\udcff"})) is Reason.TOKEN_SIGNATURE
    assert refused(DIALECT, token, at("/a")) is Reason.SCOPE_HEADER


def test_a_request_cannot_bring_the_fields_that_its_token_leaves_out() -> None:
    ranges = f"IPRanges={spelt('198.51.100.0/24')}"
    signed = f"PathGlobs=/*~Expires={END}~Headers=A=v~{ranges}"
    mac = minted(f"PathGlobs=/*~Expires={END}~Headers=A~{ranges}", signed).rpartition("~")[2]
    cut = f"PathGlobs=/*~Expires={END}~Headers=A~{mac}"
    assert refused(DIALECT, cut, at("/a", headers={"A": f"v~{ranges}"})) is Reason.SCOPE_HEADER
    mac = minted("x", f"FullPath=/a~Starts={NOW + 60}~Expires={END}").rpartition("~")[2]
    assert refused(DIALECT, f"FullPath~Expires={END}~{mac}", at(f"/a~Starts={NOW + 60}")) is Reason.SCOPE_PATH


@pytest.mark.parametrize(
    ("prefix", "here", "reason"),
    [
        ("https://edge.example/live/", HERE, None),
        ("https://EDGE.example/live/", HERE, None),
        ("https://edge.example:443/live/ch1/ind", HERE, None),
        ("https://edge.example/", at("/live/a", host="edge.example:443"), None),
        ("https://edge.example:8443/", at("/live/a", host="edge.example:8443"), None),
        ("https://[2001:db8::1]/", at("/live/a", host="[2001:db8::1]"), None),
        ("http://edge.example/live/", HERE, Reason.SCOPE_HOST),
        ("https://edge.example:8443/live/", HERE, Reason.SCOPE_HOST),
        ("https://other.example/live/", HERE, Reason.SCOPE_HOST),
        ("https://edge.example/vod/", HERE, Reason.SCOPE_PATH),
        ("https://edge.example/live/", at("/live/../vod/a"), Reason.SCOPE_PATH),
        ("https://edge.example", HERE, Reason.TOKEN_MALFORMED),
        ("/live/", HERE, Reason.TOKEN_MALFORMED),
        ("ftp://edge.example/", HERE, Reason.TOKEN_MALFORMED),
        ("https://edge.example:99999/", HERE, Reason.TOKEN_MALFORMED),
        ("https://[edge/", HERE, Reason.TOKEN_MALFORMED),
        ("https://user@edge.example/live/", HERE, Reason.TOKEN_UNSUPPORTED),
        ("https://edge.example/live/?a=1", HERE, Reason.TOKEN_UNSUPPORTED),
    ],
)
def test_a_url_prefix(prefix: str, here: Facts, reason: Reason | None) -> None:
    assert refused(DIALECT, minted(f"URLPrefix={spelt(prefix)}~Expires={END}"), here) is reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (f"Expires={END}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~FullPath~Expires={END}", Reason.TOKEN_SIGNATURE),
        (f"PathGlobs=/*~URLPrefix={spelt('https://edge.example/')}~Expires={END}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~PathGlobs=/*~Expires={END}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=~Expires={END}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs~Expires={END}", Reason.TOKEN_MALFORMED),
        (f"FullPath=/a~Expires={END}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs={','.join(['/a'] * 6)}~Expires={END}", Reason.TOKEN_UNSUPPORTED),
        ("PathGlobs=/*", Reason.TOKEN_MALFORMED),
        ("PathGlobs=/*~Expires=soon", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~Expires={END}~Country=DE", Reason.TOKEN_UNSUPPORTED),
        (f"PathGlobs=/*~Expires={END}~SessionID=a b", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~Expires={END}~IPRanges=192.0.2.0/24", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~Expires={END}~IPRanges={spelt('nowhere')}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~Expires={END}~IPRanges={spelt(',')}", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~Expires={END}~IPRanges={spelt(','.join(['192.0.2.0/24'] * 65))}", Reason.TOKEN_UNSUPPORTED),
        (f"PathGlobs=/*~Expires={END}~IPRanges={spelt('198.51.100.0/24')}", Reason.SCOPE_NETWORK),
        (f"PathGlobs=/*~Expires={END}~Headers=a b", Reason.TOKEN_MALFORMED),
        (f"PathGlobs=/*~Expires={END}~Headers={','.join(['A'] * 17)}", Reason.TOKEN_MALFORMED),
    ],
)
def test_well_signed_nonsense_is_refused(fields: str, reason: Reason) -> None:
    assert refused(DIALECT, minted(fields), HERE) is reason


@pytest.mark.parametrize(
    ("globs", "fits"), [("/vod/*,/live/*", True), ("/vod/*!/live/ch?/*", True), ("/vod/*,/x", False)]
)
def test_globs_are_alternatives(globs: str, fits: bool) -> None:
    assert (refused(DIALECT, minted(f"PathGlobs={globs}~Expires={END}"), HERE) is None) is fits


@given(
    st.text(max_size=80)
    | st.from_regex(
        r"(PathGlobs|URLPrefix|IPRanges|Expires)=[ -~]{0,20}(~(FullPath|Headers=[ -~]{0,9})){0,2}", fullmatch=True
    )
)
def test_any_fields_are_judged_without_raising(fields: str) -> None:
    for token in (fields, minted(fields), f"{fields}~Signature=AAAA") if fields.isascii() else (fields,):
        SAMPLE.verify(token, SAMPLE_HERE, NOW)
        DIALECT.verify(token, HERE, NOW)
