"""Renewal: when it is due, how far it goes, and where the new token is put."""

from dataclasses import replace

import pytest

from relay.facts import Facts
from relay.gate.carriers import DEFAULT_NAMES, Carrier, Credential, Names
from relay.gate.dialects.base import Proof, Renewal
from relay.gate.dialects.cat import CatDialect, mint_cat
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.renewal import COOKIE_PARAMETERS, RenewalAnswer, renewal_of
from relay.model import Session
from relay.verdict import Deny
from tests.gate.platform import FACTS, LEEWAY, MAX_LIFETIME, NOW, SECRET, dialect, token

NAMES = DEFAULT_NAMES["cat"]
CAT_TERMS = Terms("https://auth.example", "edge", LEEWAY, MAX_LIFETIME)
DAY = 86_400.0
USUAL = Renewal(add=300, deadline=60)


class Signing:
    """A dialect that renews whatever it is given, and remembers until when."""

    def __init__(self, text: str | None = "renewed") -> None:
        self.text = text
        self.until: list[int] = []

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        raise AssertionError("renewal verifies nothing")

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        self.until.append(expires_at)
        return self.text


def proof(renewal: Renewal | None = USUAL, issued_at: int = NOW, expires_at: int = NOW + 300) -> Proof:
    return Proof(Session("s", "a", "i", expires_at, issued_at=issued_at), renewal=renewal)


def came_by(carrier: Carrier = Carrier.HEADER, name: str = "common-access-token") -> Credential:
    return Credential("old", carrier, name, ("i",))


def answer(
    proven: Proof,
    now: float,
    credential: Credential | None = None,
    signing: Signing | None = None,
    names: Names = NAMES,
    max_lifetime: float = DAY,
) -> RenewalAnswer | None:
    return renewal_of(proven, signing or Signing(), credential or came_by(), names, max_lifetime, now)


@pytest.mark.parametrize(("now", "due"), [(NOW, False), (NOW + 239.9, False), (NOW + 240, True), (NOW + 303, True)])
def test_a_token_is_renewed_from_its_deadline_on(now: float, due: bool) -> None:
    assert (answer(proof(), now) is not None) is due


def test_a_token_that_asks_for_nothing_gets_nothing() -> None:
    assert answer(proof(renewal=None), NOW + 290) is None


def test_the_new_expiry_counts_from_now() -> None:
    signing = Signing()
    answer(proof(), NOW + 250.7, signing=signing)
    assert signing.until == [NOW + 550]


def test_repeated_renewals_build_no_super_token() -> None:
    signing, expires_at = Signing(), NOW + 300
    for at in range(240, 1000):
        answer(proof(expires_at=expires_at, renewal=Renewal(300, 10**6)), NOW + at, signing=signing)
        expires_at = signing.until[-1]
        assert expires_at <= NOW + at + 300


def test_renewals_end_at_the_longest_lifetime_since_the_first_issue() -> None:
    signing = Signing()
    assert answer(proof(issued_at=NOW - 400), NOW + 280, signing=signing, max_lifetime=800) is not None
    assert signing.until == [NOW + 400]
    ended = proof(issued_at=NOW - 400, expires_at=NOW + 400)
    assert answer(ended, NOW + 390, signing=signing, max_lifetime=800) is None
    assert signing.until == [NOW + 400]


def test_a_token_of_unknown_age_is_not_renewed() -> None:
    assert answer(proof(issued_at=0), NOW + 290) is None


def test_a_token_without_a_key_to_sign_with_is_not_renewed() -> None:
    assert answer(proof(), NOW + 290, signing=Signing(None)) is None


def test_a_token_that_would_be_too_long_to_come_back_is_not_renewed() -> None:
    assert answer(proof(), NOW + 290, signing=Signing("x" * 4097)) is None


@pytest.mark.parametrize(
    ("renewal", "credential", "expected"),
    [
        (Renewal(300, 60), came_by(), RenewalAnswer(Carrier.HEADER, "common-access-token", "renewed")),
        (
            Renewal(300, 60),
            came_by(Carrier.COOKIE, "Common-Access-Token"),
            RenewalAnswer(Carrier.COOKIE, "Common-Access-Token", "renewed", COOKIE_PARAMETERS),
        ),
        (
            Renewal(300, 60),
            came_by(Carrier.QUERY, "CAT"),
            RenewalAnswer(Carrier.QUERY, "CAT", "renewed", status=302),
        ),
        (
            Renewal(300, 60, status=307),
            came_by(Carrier.PATH, "cat"),
            RenewalAnswer(Carrier.PATH, "cat", "renewed", status=307),
        ),
        (
            Renewal(300, 60, "cookie"),
            came_by(),
            RenewalAnswer(Carrier.COOKIE, "CTA-Common-Access-Token", "renewed", COOKIE_PARAMETERS),
        ),
        (
            Renewal(300, 60, "cookie", "own", parameters=("Path=/live",)),
            came_by(),
            RenewalAnswer(Carrier.COOKIE, "own", "renewed", ("Path=/live",)),
        ),
        (
            Renewal(300, 60, "header"),
            came_by(Carrier.QUERY, "CAT"),
            RenewalAnswer(Carrier.HEADER, "CTA-Common-Access-Token", "renewed"),
        ),
        (
            Renewal(300, 60, "header", "X-Cat", parameters=("x",)),
            came_by(),
            RenewalAnswer(Carrier.HEADER, "X-Cat", "renewed", ("x",)),
        ),
        (
            Renewal(300, 60, "redirect", status=308),
            came_by(),
            RenewalAnswer(Carrier.QUERY, "CAT", "renewed", status=308),
        ),
        (
            Renewal(300, 60, "redirect"),
            came_by(Carrier.PATH, "cat"),
            RenewalAnswer(Carrier.PATH, "cat", "renewed", status=302),
        ),
    ],
)
def test_where_the_new_token_is_put(renewal: Renewal, credential: Credential, expected: RenewalAnswer) -> None:
    assert answer(proof(renewal), NOW + 290, credential) == expected


def test_an_issuer_without_a_place_for_the_token_renews_nothing() -> None:
    assert answer(proof(Renewal(300, 60, "cookie")), NOW + 290, names=Names()) is None
    assert answer(proof(Renewal(300, 60, "redirect")), NOW + 290, names=Names()) is None


@pytest.mark.parametrize("deadline", [300, 301, 10**6])
def test_a_redirect_never_leads_to_the_next(deadline: int) -> None:
    query = came_by(Carrier.QUERY, "CAT")
    assert answer(proof(Renewal(300, deadline)), NOW + 290, query) is None
    assert answer(proof(Renewal(300, deadline)), NOW + 290) is not None


def test_the_token_does_not_print() -> None:
    given = answer(proof(), NOW + 290)
    assert given is not None
    assert "renewed" not in repr(given)


def test_a_real_jwt_is_renewed_by_header() -> None:
    verifying = dialect()
    proven = verifying.verify(token(rnw={"add": 600, "deadline": 60}), FACTS, NOW)
    assert isinstance(proven, Proof)
    given = renewal_of(proven, verifying, came_by(), NAMES, MAX_LIFETIME, NOW + 590)
    assert given is not None
    again = verifying.verify(given.value, FACTS, NOW + 700)
    assert isinstance(again, Proof)
    assert again.session == replace(proven.session, expires_at=NOW + 1190)


def test_a_real_cat_is_renewed_until_its_longest_lifetime() -> None:
    verifying = CatDialect(CAT_TERMS, KeySet([TokenKey.symmetric("k1", SECRET)]))
    claims = {1: "https://auth.example", 4: NOW + 300, 6: NOW, 7: b"id", 323: {0: 0, 1: 300, 2: 100}}
    text, now, count = mint_cat(claims, "k1", "HS256", SECRET), float(NOW), 0
    while True:
        proven = verifying.verify(text, FACTS, now)
        if isinstance(proven, Deny):
            break
        assert (proven.session.sid, proven.session.issued_at) == (b"id".hex(), NOW)
        given = renewal_of(proven, verifying, came_by(), NAMES, 2000, now)
        text, count = (given.value, count + 1) if given else (text, count)
        now += 50
    assert NOW + 2000 <= now <= NOW + 2100
    assert count == 9
