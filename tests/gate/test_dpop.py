"""Proof of possession: a good proof, and everything that can be wrong with one."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from keys import base64url
from keys.seal import Sealer
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import Signer
from relay.gate.dpop import AHEAD_S, check_proof, thumbprint
from relay.gate.nonces import SLOT_S, Nonces
from relay.gate.replay import SeenOnce
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.platform import EC_KEY, ED_KEY, NOW, SECRET, private_pem

TOKEN = "header.claims.signature"
NONCES = Nonces(Sealer([bytes(32)]))
SIGNERS = {
    "ES256": Signer.load("", "ES256", private_pem(EC_KEY)),
    "EdDSA": Signer.load("", "EdDSA", private_pem(ED_KEY)),
}
STRANGER = Signer.load("", "ES256", private_pem(derive_private_key(7, SECP256R1())))
CLAIMS: Mapping[str, Any] = {
    "htm": "GET",
    "htu": "https://edge.example/watch/news/index.m3u8",
    "iat": NOW,
    "jti": "proof-1",
    "ath": base64url.encode(sha256(TOKEN.encode()).digest()),
}


def jwk_of(key: EllipticCurvePrivateKey | Any) -> dict[str, str]:
    if isinstance(key, EllipticCurvePrivateKey):
        numbers = key.public_key().public_numbers()
        x, y = (base64url.encode(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(key.public_key().public_bytes_raw())}


JWKS = {"ES256": jwk_of(EC_KEY), "EdDSA": jwk_of(ED_KEY)}
BOUNDS = {algorithm: Bounds(proof_key=thumbprint(jwk)) for algorithm, jwk in JWKS.items()}


def proof(
    algorithm: str = "ES256",
    header: Mapping[str, Any] | None = None,
    signer: Signer | None = None,
    without: str = "",
    **claims: Any,
) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if name != without}
    head = {"typ": "dpop+jwt", "jwk": JWKS[algorithm], **(header or {})}
    return seal(head, said, signer or SIGNERS[algorithm])


def facts(*proofs: str, **changes: Any) -> Facts:
    here: dict[str, Any] = {
        "method": "GET",
        "path": "/watch/news/index.m3u8",
        "scheme": "https",
        "host": "edge.example",
    }
    headers: CIMultiDict[str] = CIMultiDict()
    for text in proofs:
        headers.add("dpop", text)
    return Facts(**{**here, "headers": headers, **changes})


def reason_of(
    here: Facts, token: str = TOKEN, bounds: Bounds = BOUNDS["ES256"], seen: SeenOnce | None = None, now: float = NOW
) -> Reason | None:
    deny = check_proof(bounds, token, here, SeenOnce() if seen is None else seen, now)
    return None if deny is None else deny.reason


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    # RFC 8037 appendix A.3.
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "no part of it"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_thumbprint_is_that_of_rfc_9449() -> None:
    # RFC 9449 §6.1 gives the thumbprint of the key in its §4.
    jwk = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    }
    assert thumbprint(jwk) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_good_proof_is_taken(algorithm: str) -> None:
    assert reason_of(facts(proof(algorithm)), bounds=BOUNDS[algorithm]) is None


def test_without_a_token_the_proof_need_not_be_bound_to_one() -> None:
    assert reason_of(facts(proof(without="ath")), token="") is None
    assert reason_of(facts(proof(without="ath"))) is Reason.PROOF_INVALID


def test_a_missing_proof_is_told_from_a_bad_one() -> None:
    assert reason_of(facts()) is Reason.PROOF_MISSING
    assert reason_of(facts("")) is Reason.PROOF_INVALID


def test_there_is_one_proof() -> None:
    assert reason_of(facts(proof(), proof())) is Reason.PROOF_INVALID
    assert reason_of(facts(proof(), proof(jti="proof-2"))) is Reason.PROOF_INVALID
    assert reason_of(facts(f"{proof()}, {proof()}")) is Reason.PROOF_INVALID


def test_every_negative_of_a_good_proof_is_refused() -> None:
    good = proof("EdDSA")
    for name, mutant in (*negatives.all_of(good, "."), *negatives.spare_bits(good, ".")):
        assert reason_of(facts(mutant), bounds=BOUNDS["EdDSA"]), name


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "session+jwt"},
        {"typ": None},
        {"crit": ["exp"]},
        {"b64": False},
        {"jwk": None},
        {"jwk": "x"},
        {"jwk": []},
        {"jwk": {}},
        {"jwk": JWKS["EdDSA"]},
        {"jwk": jwk_of(derive_private_key(7, SECP256R1()))},
        {"jwk": {**JWKS["ES256"], "d": "AAAA"}},
        {"jwk": {**JWKS["ES256"], "k": "AAAA"}},
        {"jwk": {**JWKS["ES256"], "crv": "P-384"}},
        {"jwk": {**JWKS["ES256"], "x": JWKS["ES256"]["y"]}},
        {"jwk": {**JWKS["ES256"], "x": JWKS["ES256"]["x"] + "="}},
        {"jwk": {**JWKS["ES256"], "x": "AAAA"}},
        {"jwk": {**JWKS["ES256"], "x": 5}},
        {"jwk": {name: value for name, value in JWKS["ES256"].items() if name != "y"}},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": {"kty": ["EC"], "crv": "P-256"}},
    ],
)
def test_bad_headers(header: dict[str, Any]) -> None:
    assert reason_of(facts(proof(header=header))) is Reason.PROOF_INVALID


def test_the_algorithm_is_asymmetric_and_the_keys() -> None:
    assert reason_of(facts(proof(signer=Signer.load("", "HS256", SECRET)))) is Reason.PROOF_INVALID
    assert reason_of(facts(proof(signer=SIGNERS["EdDSA"]))) is Reason.PROOF_INVALID
    head, rest = proof().split(".", 1)
    for algorithm in ("none", "RS256", "HS256", None, ["ES256"]):
        other = json.dumps({**json.loads(base64url.decode(head)), "alg": algorithm}).encode()
        assert reason_of(facts(f"{base64url.encode(other)}.{rest}")) is Reason.PROOF_INVALID


def test_another_key_is_not_the_viewers() -> None:
    own = {"jwk": jwk_of(derive_private_key(7, SECP256R1()))}
    assert reason_of(facts(proof(header=own, signer=STRANGER))) is Reason.PROOF_INVALID
    assert reason_of(facts(proof(signer=STRANGER))) is Reason.PROOF_INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "POST"},
        {"htm": "get"},
        {"htm": None},
        {"htu": "http://edge.example/watch/news/index.m3u8"},
        {"htu": "https://edge.example:8443/watch/news/index.m3u8"},
        {"htu": "https://edge.example.evil/watch/news/index.m3u8"},
        {"htu": "https://me@edge.example/watch/news/index.m3u8"},
        {"htu": "https://edge.example/watch/news/"},
        {"htu": "https://edge.example/watch/news/index.m3u8/"},
        {"htu": "https://edge.example/watch/news%2findex.m3u8"},
        {"htu": "https://edge.example/watch/news/\nindex.m3u8"},
        {"htu": " https://edge.example/watch/news/index.m3u8"},
        {"htu": "https://edge.example\\watch/news/index.m3u8"},
        {"htu": "/watch/news/index.m3u8"},
        {"htu": "https://[edge.example/watch/news/index.m3u8"},
        {"htu": ""},
        {"htu": None},
        {"htu": ["https://edge.example/watch/news/index.m3u8"]},
        {"iat": NOW - 301},
        {"iat": NOW + AHEAD_S + 1},
        {"iat": float(NOW)},
        {"iat": str(NOW)},
        {"iat": True},
        {"iat": None},
        {"jti": ""},
        {"jti": "j" * 129},
        {"jti": 1},
        {"jti": None},
        {"ath": base64url.encode(sha256(b"another").digest())},
        {"ath": ""},
        {"ath": None},
        {"ath": "\u00e4"},
    ],
)
def test_bad_claims(claims: dict[str, Any]) -> None:
    assert reason_of(facts(proof(**claims))) is Reason.PROOF_INVALID


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_is_required(name: str) -> None:
    assert reason_of(facts(proof(without=name))) is Reason.PROOF_INVALID


@pytest.mark.parametrize(
    "url",
    [
        "https://edge.example/watch/news/index.m3u8?token=x",
        "https://edge.example/watch/news/index.m3u8#x",
        "HTTPS://EDGE.example:443/watch/news/index.m3u8",
        "https://edge.example/watch/./news/%69ndex.m3u8",
    ],
)
def test_the_url_is_compared_in_its_normal_form(url: str) -> None:
    assert reason_of(facts(proof(htu=url), query="token=x")) is None


def test_a_path_that_cannot_be_trusted_is_no_ones() -> None:
    bad = "/watch/%2e%2f/news"
    assert reason_of(facts(proof(htu=f"https://edge.example{bad}"), path=bad)) is Reason.PROOF_INVALID


def test_a_proof_is_for_one_request() -> None:
    seen = SeenOnce()
    assert reason_of(facts(proof()), seen=seen) is None
    assert reason_of(facts(proof()), seen=seen) is Reason.REPLAYED
    assert reason_of(facts(proof()), seen=seen, now=NOW + 300) is Reason.REPLAYED
    assert reason_of(facts(proof(jti="proof-2")), seen=seen) is None


def test_a_token_may_let_a_proof_come_again() -> None:
    seen = SeenOnce()
    bounds = Bounds(proof_key=BOUNDS["ES256"].proof_key, proof_reuse=True)
    assert [reason_of(facts(proof()), bounds=bounds, seen=seen) for _ in range(2)] == [None, None]
    assert len(seen) == 0


def test_a_token_may_narrow_the_window() -> None:
    bounds = Bounds(proof_key=BOUNDS["ES256"].proof_key, proof_window=30)
    assert reason_of(facts(proof()), bounds=bounds, now=NOW + 30) is None
    assert reason_of(facts(proof()), bounds=bounds, now=NOW + 31) is Reason.PROOF_INVALID


def test_only_what_the_key_signed_takes_room() -> None:
    seen = SeenOnce(limit=1)
    own = {"jwk": jwk_of(derive_private_key(7, SECP256R1()))}
    for bad in (proof(header=own, signer=STRANGER), proof(signer=STRANGER), proof(htm="POST"), proof(iat=NOW - 400)):
        assert reason_of(facts(bad), seen=seen) is Reason.PROOF_INVALID
    assert len(seen) == 0
    assert reason_of(facts(proof()), seen=seen) is None
    assert reason_of(facts(proof(jti="proof-2")), seen=seen) is Reason.REPLAYED


def test_a_proof_needs_no_nonce_and_may_hold_any_where_none_is_asked_for() -> None:
    assert reason_of(facts(proof(nonce="theirs"))) is None


@pytest.mark.parametrize(
    "nonce", [None, "", 5, ["x"], "theirs", NONCES.at(NOW - 2 * SLOT_S), NONCES.at(NOW + 2 * SLOT_S)]
)
def test_where_a_nonce_is_asked_for_the_proof_must_hold_a_fresh_one(nonce: object) -> None:
    seen = SeenOnce()
    deny = check_proof(BOUNDS["ES256"], TOKEN, facts(proof(nonce=nonce)), seen, NOW, NONCES)
    assert deny == Deny(Reason.PROOF_NONCE, deny.detail if deny else "")
    assert deny.nonce == NONCES.at(NOW)
    # The proof was not used up, although its key is not likely to send it again.
    assert len(seen) == 0
    assert check_proof(BOUNDS["ES256"], TOKEN, facts(proof(nonce=deny.nonce)), seen, NOW, NONCES) is None


def test_a_proof_with_a_nonce_holds_once_all_the_same() -> None:
    seen, here = SeenOnce(), facts(proof(nonce=NONCES.at(NOW - SLOT_S)))
    assert check_proof(BOUNDS["ES256"], TOKEN, here, seen, NOW, NONCES) is None
    again = check_proof(BOUNDS["ES256"], TOKEN, here, seen, NOW, NONCES)
    assert again
    assert again.reason is Reason.REPLAYED


@pytest.mark.parametrize("bad", [(), ("x",), (proof(), proof()), (proof(htm="POST", nonce=NONCES.at(NOW)),)])
def test_every_refusal_brings_a_nonce_where_one_is_asked_for(bad: tuple[str, ...]) -> None:
    deny = check_proof(BOUNDS["ES256"], TOKEN, facts(*bad), SeenOnce(), NOW, NONCES)
    assert deny
    assert deny.reason in (Reason.PROOF_MISSING, Reason.PROOF_INVALID)
    assert deny.nonce == NONCES.at(NOW)
    without = check_proof(BOUNDS["ES256"], TOKEN, facts(*bad), SeenOnce(), NOW)
    assert without
    assert without.nonce == ""


@given(st.text(max_size=200))
def test_any_header_is_refused_and_nothing_is_raised(text: str) -> None:
    assert reason_of(facts(text)) is Reason.PROOF_INVALID


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.lists(st.text(max_size=5), max_size=2)


@given(st.dictionaries(st.sampled_from(["htm", "htu", "iat", "jti", "ath"]), VALUES, min_size=1, max_size=3))
def test_well_signed_nonsense_is_judged_without_raising(claims: dict[str, Any]) -> None:
    assert reason_of(facts(proof(**claims))) in (None, Reason.PROOF_INVALID)
