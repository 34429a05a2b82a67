"""Common Access Tokens: the vector and everything derived from it, every claim, and what others got wrong."""

import base64
import ipaddress
from collections.abc import Mapping
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import base64url
from relay.bounds import Bounds
from relay.gate.dialects.base import Proof, Renewal, Use
from relay.gate.dialects.cat import CatDialect, CatOptions, mint_cat
from relay.gate.dialects.cat_claims import REFUSED, Deadline
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.scope import Kind, Match, Scope, UriRule
from relay.gate.uri import Part
from relay.model import Session, StreamLimit
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.platform import (
    EC_KEY,
    ED_KEY,
    FACTS,
    LEEWAY,
    MAX_LIFETIME,
    NEXT_SECRET,
    private_pem,
    public_pem,
)

# COSE_Mac0 with HS256 and the key of RFC 8392 appendix A.2.2; checked against an independent implementation.
VECTOR = (
    "2D3RhEOhAQWhBEJrMVhpqAF0aHR0cHM6Ly9hdXRoLmV4YW1wbGUCZ2FjY3QtNDIEGmqxSZAFGmqxO4AHSF8MKpt9PkxhGQE2ARkBOKIBoQBs"
    "ZWRnZS5leGFtcGxlA6EBai9saXZlL2NoMS8ZATmCY0dFVGRIRUFEWCDU5fKmU6H6g-YbsxlOTeV3vQBhrj4ZivAJvzLp79m-Xw"
)
TAG = bytes.fromhex("d4e5f2a653a1fa83e61bb3194e4de577bd0061ae3e198af009bf32e9efd9be5f")
K = bytes.fromhex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388")
NOW = 1_790_000_000
CLAIMS: Mapping[Any, Any] = {
    1: "https://auth.example",
    2: "acct-42",
    4: NOW + 3600,
    5: NOW,
    7: bytes.fromhex("5f0c2a9b7d3e4c61"),
    310: 1,
    312: {1: {0: "edge.example"}, 3: {1: "/live/ch1/"}},
    313: ["GET", "HEAD"],
}
FEW: Mapping[Any, Any] = {1: "https://auth.example", 4: NOW + 3600, 7: b"token-1"}
TERMS = Terms("https://auth.example", "edge", LEEWAY, MAX_LIFETIME)
SIGNERS = {
    "k1": ("HS256", K),
    "k2": ("HS256", NEXT_SECRET),
    "es-1": ("ES256", private_pem(EC_KEY)),
    "ed-1": ("EdDSA", private_pem(ED_KEY)),
}
KEYS = KeySet(Signer.load(kid, *signer).public() for kid, signer in SIGNERS.items())
DIALECT = CatDialect(TERMS, KEYS)


def verified(text: str, now: float = NOW, by: CatDialect = DIALECT) -> Proof | Deny:
    return by.verify(text, FACTS, now)


def proof_of(text: str, by: CatDialect = DIALECT) -> Proof:
    proof = verified(text, NOW, by)
    assert isinstance(proof, Proof), proof
    return proof


def refusal_of(text: str, now: float = NOW, by: CatDialect = DIALECT) -> Deny:
    deny = verified(text, now, by)
    assert isinstance(deny, Deny)
    return deny


def reason_of(text: str, now: float = NOW, by: CatDialect = DIALECT) -> Reason | None:
    verdict = verified(text, now, by)
    return verdict.reason if isinstance(verdict, Deny) else None


def cat(claims: Mapping[Any, Any] | None = None, kid: str = "k1", **named: Any) -> str:
    return mint_cat({**FEW, **(claims or {}), **named}, kid, *SIGNERS[kid])


def message(
    payload: bytes | Mapping[Any, Any] = FEW,
    protected: bytes | Mapping[Any, Any] | None = None,
    unprotected: Any = None,
    tags: tuple[int, ...] = (61, 17),
    secret: bytes = K,
    mac_bytes: int = 32,
) -> bytes:
    """A message with a good HMAC whatever its parts are, so that only they can be wrong."""
    body = payload if isinstance(payload, bytes) else cbor2.dumps(dict(payload))
    head = protected if isinstance(protected, bytes) else cbor2.dumps({1: 5} if protected is None else dict(protected))
    signed = cbor2.dumps(["MAC0", head, b"", body])
    mac = TokenKey("", "HS256", secret).mac(signed)[:mac_bytes]
    item: Any = [head, {4: b"k1"} if unprotected is None else unprotected, body, mac]
    for tag in reversed(tags):
        item = cbor2.CBORTag(tag, item)
    return cbor2.dumps(item)


def spelt(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# The vector.


def test_the_vector_is_verified() -> None:
    proof = proof_of(VECTOR)
    assert proof.session == Session(
        sid="5f0c2a9b7d3e4c61",
        account="acct-42",
        issuer="https://auth.example",
        expires_at=NOW + 3600,
        token_id=base64url.encode(bytes.fromhex("5f0c2a9b7d3e4c61")),
        key_id="k1",
        bounds=Bounds(methods=("GET", "HEAD")),
    )
    rule = UriRule(
        ((Part.HOST, (Match(Kind.EXACT, "edge.example"),)), (Part.PATH, (Match(Kind.PREFIX, "/live/ch1/"),)))
    )
    assert proof.scope == Scope((rule,))
    assert (proof.use, proof.renewal, proof.answers) == (Use.MANY, None, {})


def test_the_encoder_makes_the_vector() -> None:
    assert mint_cat(CLAIMS, "k1", "HS256", K) == VECTOR
    assert base64.urlsafe_b64decode(VECTOR + "==")[-32:] == TAG


def test_every_negative_of_the_vector_is_refused() -> None:
    for name, mutant in (*negatives.all_of(VECTOR), *negatives.spare_bits(VECTOR), *negatives.byte_flips(VECTOR)):
        assert reason_of(mutant), name
    data = base64.urlsafe_b64decode(VECTOR + "==")
    for length in range(len(data)):
        assert reason_of(spelt(data[:length])), length
    for extra in (b"\0", b"\xf6", data, b"\xff"):
        assert reason_of(spelt(data + extra)) is Reason.TOKEN_MALFORMED


def test_parts_of_two_good_tokens_do_not_mix() -> None:
    mine, theirs = (cbor2.loads(base64.urlsafe_b64decode(text + "==")).value.value for text in (VECTOR, cat(kid="k2")))
    for at in (1, 2, 3):
        parts = [*mine[:at], theirs[at], *mine[at + 1 :]]
        data = cbor2.dumps(cbor2.CBORTag(61, cbor2.CBORTag(17, parts)))
        assert reason_of(spelt(data)) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    ("text", "now", "reason"),
    [
        (VECTOR, NOW + 3600 + LEEWAY, Reason.TOKEN_EXPIRED),
        (VECTOR, NOW + 7200, Reason.TOKEN_EXPIRED),
        (VECTOR, NOW - LEEWAY, None),
        (VECTOR, NOW - LEEWAY - 1, Reason.TOKEN_NOT_YET_VALID),
        (cat({3: "edge"}), NOW, None),
        (cat({3: "core"}), NOW, Reason.TOKEN_AUDIENCE),
        (cat({1: "https://other.example"}), NOW, Reason.KEY_UNKNOWN),
        (cat({6: NOW + 6}), NOW, Reason.TOKEN_NOT_YET_VALID),
        (cat({4: NOW + 2 * 86_400}), NOW, Reason.TOKEN_UNSUPPORTED),
        (spelt(message(unprotected={4: b"k9"})), NOW, Reason.KEY_UNKNOWN),
        (spelt(message(unprotected={4: b"../k1"})), NOW, Reason.KEY_UNKNOWN),
    ],
)
def test_the_wrong_time_or_place(text: str, now: float, reason: Reason | None) -> None:
    assert reason_of(text, now) is reason


# The envelope.


@pytest.mark.parametrize("kid", SIGNERS)
def test_each_algorithm_is_verified(kid: str) -> None:
    assert proof_of(cat(kid=kid)).session.key_id == kid


@pytest.mark.parametrize("kid", SIGNERS)
def test_every_flipped_bit_of_every_algorithm_is_refused(kid: str) -> None:
    for name, mutant in negatives.byte_flips(cat(kid=kid)):
        assert reason_of(mutant), name


@pytest.mark.parametrize(
    "text",
    [
        VECTOR + "==",
        VECTOR.translate(str.maketrans("-_", "+/")),
        VECTOR.translate(str.maketrans("-_", "+/")) + "==",
    ],
)
def test_other_spellings_are_the_same_token_to_a_revocation(text: str) -> None:
    assert proof_of(text) == proof_of(VECTOR)


@pytest.mark.parametrize(
    "text", [VECTOR + "=", VECTOR + "===", "=" + VECTOR, VECTOR[:4] + "=" + VECTOR[4:], "", "===="]
)
def test_padding_has_its_place(text: str) -> None:
    assert reason_of(text) is Reason.TOKEN_MALFORMED


def test_a_token_may_have_4096_characters_and_no_more() -> None:
    size = len(cat({"x": b""}))
    room = (4096 - size) * 3 // 4 - 8
    assert reason_of(cat({"x": bytes(room)})) is None
    assert reason_of(cat({"x": bytes(room + 20)})) is Reason.TOKEN_MALFORMED


def test_a_public_key_is_no_hmac_secret() -> None:
    pem = public_pem(EC_KEY).encode()
    for secret in (pem, pem.strip()):
        assert reason_of(spelt(message(unprotected={4: b"es-1"}, secret=secret))) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("algorithm", [4, 6, 7, -7, -8, -37, 0, None, "HS256", [5], True])
def test_the_algorithm_is_the_keys_not_the_tokens(algorithm: Any) -> None:
    assert reason_of(spelt(message(protected={1: algorithm}))) is Reason.TOKEN_SIGNATURE


def test_a_message_without_an_algorithm_is_refused() -> None:
    nothing: dict[int, int] = {}
    for protected in (nothing, b"", cbor2.dumps(nothing)):
        assert reason_of(spelt(message(protected=protected))) is Reason.TOKEN_SIGNATURE


def test_the_cose_tag_must_fit_the_algorithm() -> None:
    assert reason_of(spelt(message(tags=(61, 18)))) is Reason.TOKEN_SIGNATURE
    signed = cbor2.loads(base64.urlsafe_b64decode(cat(kid="es-1") + "==")).value
    assert signed.tag == 18
    other = cbor2.dumps(cbor2.CBORTag(61, cbor2.CBORTag(17, signed.value)))
    assert reason_of(spelt(other)) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    "tags", [(), (61,), (61, 61, 17), (17, 61), (61, 17, 17), (61, 98), (61, 97), (61, 16), (55799, 61, 17)]
)
def test_other_tags_are_malformed(tags: tuple[int, ...]) -> None:
    for by in (DIALECT, CatDialect(TERMS, KEYS, CatOptions(untagged=True))):
        assert reason_of(spelt(message(tags=tags)), by=by) is Reason.TOKEN_MALFORMED


def test_the_tag_of_a_web_token_may_be_missing_where_that_is_allowed() -> None:
    bare = spelt(message(tags=(17,)))
    assert reason_of(bare) is Reason.TOKEN_MALFORMED
    assert reason_of(bare, by=CatDialect(TERMS, KEYS, CatOptions(untagged=True))) is None


def test_a_key_id_may_be_protected_or_not_but_not_two() -> None:
    inside = {1: 5, 4: b"k1"}
    assert reason_of(spelt(message(protected=inside, unprotected={}))) is None
    assert reason_of(spelt(message(protected=inside, unprotected={4: b"k1"}))) is None
    assert reason_of(spelt(message(protected=inside, unprotected={4: b"k2"}))) is Reason.TOKEN_MALFORMED
    assert reason_of(spelt(message(unprotected={}))) is Reason.KEY_UNKNOWN
    for kid in ("k1", 1, None, [b"k1"]):
        assert reason_of(spelt(message(unprotected={4: kid}))) is Reason.TOKEN_MALFORMED


def test_what_nothing_vouches_for_is_refused() -> None:
    for label in (1, 2, 5, 33, "x"):
        assert reason_of(spelt(message(unprotected={4: b"k1", label: 5}))) is Reason.TOKEN_UNSUPPORTED


@pytest.mark.parametrize(
    ("crit", "reason"),
    [
        ([1], None),
        ([1, 4], None),
        ([99], Reason.TOKEN_UNSUPPORTED),
        ([1, "x"], Reason.TOKEN_UNSUPPORTED),
        ([], Reason.TOKEN_UNSUPPORTED),
        (1, Reason.TOKEN_UNSUPPORTED),
        ([[1]], Reason.TOKEN_UNSUPPORTED),
    ],
)
def test_a_critical_header_must_be_understood(crit: Any, reason: Reason | None) -> None:
    assert reason_of(spelt(message(protected={1: 5, 2: crit}))) is reason


def test_a_short_mac_counts_only_where_that_is_configured() -> None:
    short = spelt(message(protected={1: 4}, mac_bytes=8))
    lenient = CatDialect(TERMS, KEYS, CatOptions(short_mac=True))
    assert reason_of(short) is Reason.TOKEN_SIGNATURE
    assert reason_of(short, by=lenient) is None
    assert reason_of(cat(), by=lenient) is Reason.TOKEN_SIGNATURE
    assert mint_cat(FEW, "k1", "HS256", K, short_mac=True) == short
    for size in (0, 7, 9, 32):
        assert reason_of(spelt(message(protected={1: 4}, mac_bytes=size)), by=lenient) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("size", [0, 8, 31])
def test_a_mac_is_whole(size: int) -> None:
    assert reason_of(spelt(message(mac_bytes=size))) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"", {}, b""],
        [b"", {}, b"", b"", b""],
        [b"", {}, "", b""],
        [{}, {}, b"", b""],
        [b"", [], b"", b""],
        [b"", {}, None, b""],
        {1: 2},
        b"text",
    ],
)
def test_a_message_has_four_parts(parts: Any) -> None:
    data = cbor2.dumps(cbor2.CBORTag(61, cbor2.CBORTag(17, parts)))
    assert reason_of(spelt(data)) is Reason.TOKEN_MALFORMED


def test_keys_retire_and_are_replaced() -> None:
    keys = KeySet([TokenKey.symmetric("k1", K, retire_at=NOW + 10)])
    running = CatDialect(TERMS, keys)
    assert reason_of(VECTOR, NOW + 9, running) is None
    assert reason_of(VECTOR, NOW + 10, running) is Reason.KEY_UNKNOWN
    keys.replace([TokenKey.symmetric("k1", K)])
    assert reason_of(VECTOR, NOW + 10, running) is None


# CBOR.


def entries(*pairs: bytes) -> bytes:
    """A map of ready-made keys and values after the few claims of a good token."""
    good = cbor2.dumps(dict(FEW))
    count = len(FEW) + len(pairs) // 2
    assert count < 24
    return bytes([0xA0 | count]) + good[1:] + b"".join(pairs)


def test_ready_made_entries_are_fine_when_they_are_good() -> None:
    assert reason_of(spelt(message(entries(cbor2.dumps("x"), cbor2.dumps([1, None, True, 1.5]))))) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        cbor2.dumps([1]),
        cbor2.dumps("text"),
        entries() + b"\0",
        entries()[:-1],
        entries(cbor2.dumps(1), cbor2.dumps("https://auth.example")),  # twice
        entries(b"\x19\x00\x01", cbor2.dumps("https://auth.example")),  # twice, spelt otherwise
        entries(cbor2.dumps("x"), cbor2.dumps({1: 2})[:1] + b"\x01\x02\x01\x02"),
        entries(cbor2.dumps("x"), b"\xa2\x01\x02\x01\x03"),  # twice, further in
        entries(cbor2.dumps("x"), b"\x9f\x01\xff"),  # indefinite
        entries(cbor2.dumps("x"), b"\x5f\x41\x00\xff"),
        entries(cbor2.dumps("x"), b"\x7f\x61a\xff"),
        entries(cbor2.dumps("x"), b"\xbf\x01\x02\xff"),
        b"\xbf" + entries()[1:] + b"\xff",
        entries(cbor2.dumps("x"), b"\x81" * 8 + b"\x01"),  # nested
        entries(cbor2.dumps("x"), b"\x81" * 2000 + b"\x01"),
        entries(cbor2.dumps("x"), b"\xa1\x01" * 8 + b"\x01"),
        entries(cbor2.dumps("x"), b"\x9b" + b"\xff" * 8),  # huge counts
        entries(cbor2.dumps("x"), b"\x9a\x7f\xff\xff\xff\x01"),
        entries(cbor2.dumps("x"), b"\x5b" + b"\xff" * 8),
        entries(cbor2.dumps("x"), b"\xbb" + b"\xff" * 8 + b"\x01\x02"),
        entries(cbor2.dumps("x"), b"\x61\xff"),  # no UTF-8
        entries(cbor2.dumps("x"), b"\xf7"),  # undefined
        entries(cbor2.dumps("x"), b"\xf8\xff"),
        entries(cbor2.dumps("x"), b"\xe0"),
        entries(cbor2.dumps("x"), b"\x1c"),  # reserved
        entries(cbor2.dumps(1.5), b"\x01"),  # keys that are no labels
        entries(b"\x41a", b"\x01"),
        entries(b"\x80", b"\x01"),
        entries(b"\xf5", b"\x01"),
        entries(cbor2.dumps("x"), b"\xc1\x01"),  # tags
        entries(cbor2.dumps("x"), b"\xc2\x41\x01"),
        entries(cbor2.dumps("x"), b"\xd8\x1d\x00"),
        entries(cbor2.dumps("x"), b"\xd8\x23\x64(a+)"),
        entries(cbor2.dumps("x"), b"\xd8\x3d\x01"),
        entries(cbor2.dumps("x"), b"\xd8\x34\x43\x01\x02\x03"),  # no address
        entries(cbor2.dumps("x"), b"\xd8\x34\x01"),
        cbor2.dumps({**FEW, **dict.fromkeys(range(1000, 1000 + 62), 0)}),
    ],
)
def test_claims_that_are_not_strict_cbor_are_malformed(payload: bytes) -> None:
    assert reason_of(spelt(message(payload))) is Reason.TOKEN_MALFORMED


def test_headers_that_are_not_strict_cbor_are_malformed() -> None:
    for protected in (b"\xa2\x01\x05\x01\x05", b"\xa1\x01", b"\x81\x01", b"\xa1\x01\x05\x00", b"\xbf\x01\x05\xff"):
        assert reason_of(spelt(message(protected=protected))) is Reason.TOKEN_MALFORMED
    duplicate = message().replace(b"\xa1\x04\x42k1", b"\xa2\x04\x42k1\x04\x42k1")
    assert reason_of(spelt(duplicate)) is Reason.TOKEN_MALFORMED


# Claims.


@pytest.mark.parametrize("label", [4, 5, 6])
@pytest.mark.parametrize(
    "value", [1.79e9, NOW + 0.5, float("nan"), float("inf"), "1790003600", None, True, -1, 0, 2**53, [NOW]]
)
def test_times_are_whole_seconds(label: int, value: Any) -> None:
    assert reason_of(cat({label: value})) is Reason.TOKEN_MALFORMED


def test_a_token_without_an_expiry_is_refused() -> None:
    assert reason_of(mint_cat({1: FEW[1], 7: FEW[7]}, "k1", "HS256", K)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("audience", [["core", "edge"], ["edge"], "edge"])
def test_an_array_of_audiences_is_not_dropped(audience: Any) -> None:
    assert reason_of(cat({3: audience})) is None


@pytest.mark.parametrize("audience", [["core"], [], None, 1, {"edge": 1}, [["edge"]], b"edge", "edge "])
def test_a_token_for_someone_else_is_refused(audience: Any) -> None:
    assert reason_of(cat({3: audience})) is Reason.TOKEN_AUDIENCE


@pytest.mark.parametrize(
    ("cti", "token_id", "sid"),
    [
        (b"\x01\xff", base64url.encode(b"\x01\xff"), "01ff"),
        (bytes(32), base64url.encode(bytes(32)), "00" * 32),
        (bytes(33), base64url.encode(bytes(33)), base64url.encode(bytes(33))),
        ("text-1", base64url.encode(b"text-1"), "text-1"),
    ],
)
def test_a_token_is_known_by_its_cti(cti: Any, token_id: str, sid: str) -> None:
    session = proof_of(cat({7: cti})).session
    assert (session.token_id, session.sid, session.account) == (token_id, sid, sid)


@pytest.mark.parametrize("cti", [b"", "", bytes(49), "x" * 49, 7, None, [b"x"], "with space"])
def test_a_cti_of_the_wrong_shape_is_malformed(cti: Any) -> None:
    assert reason_of(cat({7: cti})) is Reason.TOKEN_MALFORMED


def test_a_session_needs_a_name() -> None:
    nameless = {1: FEW[1], 4: FEW[4]}
    assert reason_of(mint_cat(nameless, "k1", "HS256", K)) is Reason.TOKEN_MALFORMED
    assert proof_of(mint_cat({**nameless, "sid": "session-1"}, "k1", "HS256", K)).session.token_id == ""


def test_private_claims_are_taken_by_name_or_by_configured_label() -> None:
    said = {
        "sid": "session-1",
        "did": "tv-1",
        "sver": 4,
        "wmid": "wm-7",
        "ent": ["news"],
        "csl": {"limit": 2},
        "reval": 9,
    }
    session = proof_of(cat(said)).session
    assert (session.sid, session.device, session.version, session.watermark) == ("session-1", "tv-1", 4, "wm-7")
    assert (session.streams, session.limit) == (frozenset({"news"}), StreamLimit(2))
    assert session.bounds.revalidate == 9
    labelled = CatDialect(TERMS, KEYS, CatOptions(sid=-70001, did="device", drm=-70002))
    session = proof_of(cat({-70001: "session-2", "device": "tv-2", -70002: {"max_track": "sd"}}), labelled).session
    assert (session.sid, session.device, str(session.ceiling)) == ("session-2", "tv-2", "sd")


@pytest.mark.parametrize(
    "options",
    [{"sid": 7}, {"sid": 312}, {"sid": 309}, {"did": 329}, {"sid": "catu"}, {"sid": ""}, {"sid": True}, {"sid": "did"}],
)
def test_a_private_claim_takes_no_label_that_means_something_else(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stands for another claim"):
        CatOptions(**options)


@pytest.mark.parametrize(
    ("claims", "bounds"),
    [
        ({313: ["GET"]}, Bounds(methods=("GET",))),
        ({316: ["DE", "AT-9"]}, Bounds(countries=("DE", "AT-9"))),
        ({311: [cbor2.CBORTag(52, [24, bytes([192, 0, 2])])]}, Bounds(networks=("192.0.2.0/24",))),
        ({311: [cbor2.CBORTag(52, bytes([192, 0, 2, 7]))]}, Bounds(networks=("192.0.2.7/32",))),
        ({311: [cbor2.CBORTag(54, [32, bytes.fromhex("20010db8")])]}, Bounds(networks=("2001:db8::/32",))),
        ({311: [ipaddress.ip_address("2001:db8::1"), 64500]}, Bounds(networks=("2001:db8::1/128", "AS64500"))),
        ({8: {3: bytes(32)}}, Bounds(proof_key="A" * 43)),
        ({8: {3: "A" * 43}}, Bounds(proof_key="A" * 43)),
        ({8: {3: bytes(32)}, 321: {0: 30}}, Bounds(proof_key="A" * 43, proof_window=30)),
        ({8: {3: bytes(32)}, 321: {0: 30, 1: 0}}, Bounds(proof_key="A" * 43, proof_window=30, proof_reuse=True)),
        ({8: {3: bytes(32)}, 321: {1: 1}}, Bounds(proof_key="A" * 43)),
    ],
)
def test_restrictions_become_bounds(claims: dict[Any, Any], bounds: Bounds) -> None:
    assert proof_of(cat(claims)).session.bounds == bounds


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({313: []}, "catm"),
        ({313: "GET"}, "catm"),
        ({313: [1]}, "catm"),
        ({316: []}, "catgeoiso3166"),
        ({316: ["de"]}, "catgeoiso3166"),
        ({311: []}, "catnip"),
        ({311: [0]}, "catnip"),
        ({311: [2**32]}, "catnip"),
        ({311: [True]}, "catnip"),
        ({311: ["192.0.2.0/24"]}, "catnip"),
        ({311: [ipaddress.ip_interface("192.0.2.7/24")]}, "catnip"),
        ({311: [1] * 65}, "catnip"),
        ({8: {}}, "cnf"),
        ({8: {3: bytes(31)}}, "cnf"),
        ({8: {3: bytes(32), 5: bytes(32)}}, "cnf"),
        ({8: {5: bytes(32)}}, "cnf"),
        ({8: bytes(32)}, "cnf"),
        ({321: {0: -1}}, "catdpop"),
        ({321: {0: 1e3}}, "catdpop"),
        ({321: {1: 2}}, "catdpop"),
        ({321: {9: 1}}, "catdpop"),
        ({321: {"crit": [9]}}, "catdpop"),
        ({308: 3}, "catreplay"),
        ({308: -1}, "catreplay"),
        ({308: True}, "catreplay"),
        ({312: {3: {9: "x"}}}, "catu"),
        ({312: {9: {0: "x"}}}, "catu"),
        ({312: {3: {1: b"/live/"}}}, "catu"),
        ({312: {3: {}}}, "catu"),
        ({312: [{3: {1: "/"}}]}, "catu"),
        ({312: {3: {4: ["(a+)+b"]}}, "x": 1, 315: {"X": {4: ["(?=a)"]}}}, "cath"),
        ({312: {3: {4: ["a", "x"]}}}, "catu"),
        ({312: {3: {-1: bytes(31)}}}, "catu"),
        ({315: {1: {0: "x"}}}, "cath"),
        ({315: {"X": {0: "x"}, "x": {0: "y"}}}, "cath"),
        ({310: 2}, "catv"),
        ({310: "1"}, "catv"),
        ({310: True}, "catv"),
        ({310: None}, "catv"),
    ],
)
def test_a_restriction_that_is_not_understood_is_refused_by_name(claims: dict[Any, Any], name: str) -> None:
    deny = refusal_of(cat(claims))
    assert deny.reason in (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED)
    assert name in deny.detail


@pytest.mark.parametrize(("label", "name"), REFUSED.items())
def test_a_restriction_that_is_not_enforced_is_refused_by_name(label: int, name: str) -> None:
    deny = refusal_of(cat({label: [1]}))
    assert deny.reason is Reason.TOKEN_UNSUPPORTED
    assert name in deny.detail


@pytest.mark.parametrize("label", [283, 307, 325, 330, "catu", "catnip", "exp", "or", "moqt", "moqt-reval"])
def test_a_claim_that_may_restrict_is_refused_by_name(label: int | str) -> None:
    deny = refusal_of(mint_cat({**FEW, label: 1}, "k1", "HS256", K) if isinstance(label, int) else named(label))
    assert deny.reason is Reason.TOKEN_UNSUPPORTED
    assert str(label) in deny.detail


def named(label: str) -> str:
    return spelt(message({**FEW, label: 1}))


@pytest.mark.parametrize("label", [9, 10, 256, 331, 1000, -70001, "note"])
def test_other_claims_restrict_nothing(label: int | str) -> None:
    assert reason_of(cat({label: [1], 320: "echo"})) is None


def test_uri_parts_and_headers_are_read() -> None:
    scope = proof_of(cat({312: {8: {0: "m4s"}, 3: {4: ["/live/.*", "i"]}}, 315: {"User-Agent": {3: "TV"}}})).scope
    assert scope.uris == (
        UriRule(((Part.PATH, (Match(Kind.REGEX, "/live/.*", True),)), (Part.EXTENSION, (Match(Kind.EXACT, "m4s"),)))),
    )
    assert scope.headers == (("user-agent", (Match(Kind.CONTAINS, "TV"),)),)


@pytest.mark.parametrize(("value", "use"), [(0, Use.MANY), (1, Use.ONCE), (2, Use.WATCH)])
def test_the_replay_rule_is_passed_on(value: int, use: Use) -> None:
    assert proof_of(cat({308: value})).use is use


def test_a_token_for_one_use_needs_an_id() -> None:
    claims = {1: FEW[1], 4: FEW[4], "sid": "s", 308: 1}
    assert reason_of(mint_cat(claims, "k1", "HS256", K)) is Reason.TOKEN_MALFORMED


# What is answered when a claim fails.


def test_a_token_says_what_is_answered_when_a_claim_fails() -> None:
    wanted = {4: [307, {"Location": "https://login.example/"}], 312: [403, {"X-Why": "path"}], 311: [404]}
    proof = proof_of(cat({322: wanted}))
    assert proof.answers == {
        Reason.TOKEN_EXPIRED: (307, {"Location": "https://login.example/"}),
        Reason.SCOPE_PATH: (403, {"X-Why": "path"}),
        Reason.SCOPE_HOST: (403, {"X-Why": "path"}),
        Reason.SCOPE_NETWORK: (404, {}),
    }
    deny = refusal_of(cat({322: wanted}), NOW + 3700)
    assert (deny.reason, deny.answer) == (Reason.TOKEN_EXPIRED, (307, {"Location": "https://login.example/"}))
    assert refusal_of(cat({322: wanted, 5: NOW + 60})).answer is None


def test_what_is_answered_must_be_proven_first() -> None:
    forged = spelt(message({**FEW, 4: 1, 322: {4: [302, {"Location": "https://evil.example/"}]}}, secret=NEXT_SECRET))
    assert refusal_of(forged) == Deny(Reason.TOKEN_SIGNATURE, "the signature or MAC does not verify")
    assert refusal_of(forged).answer is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({4: [302, {"Location": ["https://x.example/", {1: "me"}]}]}, Reason.TOKEN_UNSUPPORTED),
        ({4: [302, {"Location": "https://x.example/"}, b"k1"]}, Reason.TOKEN_UNSUPPORTED),
        ({4: [200, {}]}, Reason.TOKEN_MALFORMED),
        ({4: [100, {}]}, Reason.TOKEN_MALFORMED),
        ({4: [600, {}]}, Reason.TOKEN_MALFORMED),
        ({4: ["302", {}]}, Reason.TOKEN_MALFORMED),
        ({4: []}, Reason.TOKEN_MALFORMED),
        ({4: 302}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"Location": "https://x.example/\r\nSet-Cookie: a=b"}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"Loc\nation": "x"}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"Location": "\u00e4"}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"Content-Length": "0"}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"transfer-encoding": "chunked"}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {1: "x"}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"X": 1}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {"X": "x" * 2049}]}, Reason.TOKEN_MALFORMED),
        ({4: [302, {f"X-{at}": "x" for at in range(17)}]}, Reason.TOKEN_MALFORMED),
        ([4], Reason.TOKEN_MALFORMED),
    ],
)
def test_an_answer_that_cannot_be_given_is_refused_by_name(value: Any, reason: Reason) -> None:
    deny = refusal_of(cat({322: value}))
    assert deny.reason is reason
    assert "catif" in deny.detail


# Renewal.


@pytest.mark.parametrize(
    ("catr", "renewal"),
    [
        ({0: 0, 1: 300}, Renewal(300, 60)),
        ({0: 0, 1: 300, 2: 30}, Renewal(300, 30)),
        ({0: 0, 1: 300, 2: NOW + 3600 - 90}, Renewal(300, 90)),
        ({0: 0, 1: 300, 2: NOW + 9999}, Renewal(300, 0)),
        (
            {0: 1, 1: 300, 3: "cat", 5: ["Path=/", "Secure"]},
            Renewal(300, 60, "cookie", "cat", 302, ("Path=/", "Secure")),
        ),
        ({0: 1, 1: 300, 5: "Path=/; Secure"}, Renewal(300, 60, "cookie", "", 302, ("Path=/", "Secure"))),
        ({0: 2, 1: 300, 4: "X-Cat"}, Renewal(300, 60, "header", "X-Cat")),
        ({0: 3, 1: 300, 7: 307}, Renewal(300, 60, "redirect", "", 307)),
    ],
)
def test_a_renewal_is_read(catr: dict[int, Any], renewal: Renewal) -> None:
    assert proof_of(cat({323: catr})).renewal == renewal


@pytest.mark.parametrize(
    ("reading", "value", "deadline"),
    [
        (Deadline.SECONDS, 2, 2),
        (Deadline.MINUTES, 2, 120),
        (Deadline.ABSOLUTE, NOW + 3500, 100),
        (Deadline.AUTO, 10**9 - 1, None),
        (Deadline.AUTO, 10**9, None),
        (Deadline.SECONDS, NOW, None),
    ],
)
def test_a_deadline_is_read_as_the_issuer_means_it(reading: Deadline, value: int, deadline: int | None) -> None:
    by = CatDialect(TERMS, KEYS, CatOptions(deadline=reading))
    text = cat({323: {0: 0, 1: 300, 2: value}})
    if deadline is None:
        # A deadline of years: no renewal, or one that is always due, would be a guess.
        assert reason_of(text, by=by) is Reason.TOKEN_MALFORMED
    else:
        assert proof_of(text, by).renewal == Renewal(300, deadline)


@pytest.mark.parametrize(
    "catr",
    [
        {},
        {0: 0},
        {1: 300},
        {0: 4, 1: 300},
        {0: 0, 1: 0},
        {0: 0, 1: -5},
        {0: 0, 1: 1.5},
        {0: 0, 1: 300, 2: 1.5},
        {0: 0, 1: 300, 9: 1},
        {0: 1, 1: 300, 3: "a b"},
        {0: 1, 1: 300, 3: b"cat"},
        {0: 1, 1: 300, 5: ["Path=/\r\nX: y"]},
        {0: 1, 1: 300, 5: ["a;b"]},
        {0: 1, 1: 300, 5: [1]},
        {0: 1, 1: 300, 5: ["x"] * 9},
        {0: 2, 1: 300, 4: "Transfer-Encoding"},
        {0: 3, 1: 300, 7: 200},
        {0: 3, 1: 300, 7: "302"},
        [0, 300],
    ],
)
def test_a_renewal_that_makes_no_sense_is_refused_by_name(catr: Any) -> None:
    deny = refusal_of(cat({323: catr}))
    assert deny.reason in (Reason.TOKEN_MALFORMED, Reason.TOKEN_UNSUPPORTED)
    assert "catr" in deny.detail


def test_a_renewed_token_says_the_same_but_for_its_expiry() -> None:
    claims = {
        **CLAIMS,
        6: NOW,
        311: [ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_address("2001:db8::1"), 64500],
        323: {0: 0, 1: 300},
        "sid": "session-1",
        "note": [1, {"a": None}],
    }
    before = proof_of(mint_cat(claims, "k2", *SIGNERS["k2"]))
    text = DIALECT.renew(before, NOW + 4000)
    assert text is not None
    after = proof_of(text)
    assert after.claims == {**before.claims, 4: NOW + 4000}
    assert (after.session.sid, after.session.issued_at, after.session.key_id) == ("session-1", NOW, "k2")


def test_an_absolute_deadline_keeps_its_distance() -> None:
    before = proof_of(cat({6: NOW, 323: {0: 0, 1: 300, 2: NOW + 3500}}))
    text = DIALECT.renew(before, NOW + 8000)
    assert text is not None
    assert proof_of(text).renewal == before.renewal == Renewal(300, 100)


def test_a_renewed_token_is_signed_by_the_key_that_is_expected() -> None:
    proof = proof_of(cat(kid="es-1"))
    assert DIALECT.renew(proof, NOW + 4000) is None
    for kid in ("k9", "ed-1"):
        assert CatDialect(TERMS, KEYS, signer=Signer.load(kid, *SIGNERS["es-1"])).renew(proof, NOW + 4000) is None
    text = CatDialect(TERMS, KEYS, signer=Signer.load("es-1", *SIGNERS["es-1"])).renew(proof, NOW + 4000)
    assert text is not None
    assert proof_of(text).session.key_id == "es-1"


def test_a_short_mac_is_renewed_as_one() -> None:
    lenient = CatDialect(TERMS, KEYS, CatOptions(short_mac=True))
    text = lenient.renew(proof_of(mint_cat(FEW, "k1", "HS256", K, short_mac=True), lenient), NOW + 4000)
    assert text is not None
    assert proof_of(text, lenient).session.expires_at == NOW + 4000


# Anything at all.


@given(st.text(max_size=300))
def test_any_text_is_refused_and_nothing_is_raised(text: str) -> None:
    assert isinstance(verified(text), Deny)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert isinstance(verified(spelt(data)), Deny)
    assert isinstance(verified(spelt(message(data))), Deny)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(-3, 12) | st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KNOWN = st.sampled_from(
    [1, 2, 3, 4, 5, 6, 7, 8, 308, 310, 311, 312, 313, 315, 316, 320, 321, 322, 323, "sid", "csl", "ent"]
)


@given(st.dictionaries(KNOWN, VALUES, max_size=3))
def test_well_signed_nonsense_is_judged_without_raising(claims: dict[Any, Any]) -> None:
    assert isinstance(verified(spelt(message({**FEW, **claims}))), Proof | Deny)


def test_a_refusal_repeats_nothing_of_the_token() -> None:
    for bad in (cat({2: "secret" * 30}), cat(sid="secret subject"), cat({3: "secret"}), cat({7: "secret text"})):
        assert "secret" not in refusal_of(bad).detail
    assert K.hex() not in repr(DIALECT)
