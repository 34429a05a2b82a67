"""The gate: who may have what, asked anew every time."""

from dataclasses import replace
from typing import Any

import pytest

from keys.model import TrackType
from keys.seal import Sealer
from relay.facts import Facts
from relay.gate.carriers import DEFAULT_NAMES, Presented
from relay.gate.gate import Admission, Gate, GatePolicy, Stale, Visitor
from relay.gate.issuers import IssuerSpec, build_issuers
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet, Standing
from relay.gate.targets import Target, TargetType
from relay.model import Session
from relay.verdict import Deny, Reason
from tests.gate.platform import AUDIENCE, ISSUER, LEEWAY, MAX_LIFETIME, NOW, keys, token

SESSION_LIFETIME = 5000.0
SESSION = Target(TargetType.SESSION, "session-1")
ACCOUNT = Target(TargetType.ACCOUNT, "account-1", ISSUER)
HERE = Facts("GET", "/watch/news/index.m3u8", address="192.0.2.7", asn=64500, country="DE")
STALE = {"shut": Stale.CLOSED, "news": Stale.GRACE, "open": Stale.OPEN}


def here() -> Facts:
    return HERE


class World:
    def __init__(self) -> None:
        self.revoked = RevocationSet()
        self.age = 0.0
        policy = GatePolicy(SESSION_LIFETIME, stale_after=5.0, grace=60.0, stale=STALE)
        codec = PassCodec(Sealer([bytes(32)]))
        platform = IssuerSpec(ISSUER, "jwt", keys(), DEFAULT_NAMES["jwt"])
        issuers = build_issuers([platform], AUDIENCE, LEEWAY, MAX_LIFETIME)
        self.gate = Gate(issuers, codec, self.revoked, policy, lambda _: self.age)
        self.orders = iter(range(1, 1000))

    def verdict(self, text: str, stream: str = "news", now: float = NOW, facts: Facts = HERE) -> Admission | Deny:
        return self.gate.admit(Presented({"Authorization": f"Bearer {text}"}), facts, stream, now)

    def admit(self, stream: str = "news", now: float = NOW, **claims: Any) -> Visitor:
        admission = self.verdict(token(**claims), stream, now)
        assert isinstance(admission, Admission), admission
        return admission.visitor

    def visit(self, text: str, stream: str = "news", now: float = NOW, facts: Facts = HERE) -> Visitor | Deny:
        return self.gate.visit(text, stream, lambda: facts, now)

    def record(self, target: Target, *, revoked: bool = True, effective_at: float = 0.0) -> None:
        record = Standing(next(self.orders), revoked, effective_at, NOW + 99_999, target.limit)
        self.revoked.apply(target, record, NOW)


@pytest.fixture
def world() -> World:
    return World()


def reason_of(verdict: object) -> Reason | None:
    return verdict.reason if isinstance(verdict, Deny) else None


def test_a_token_becomes_a_pass_and_the_pass_the_same_session(world: World) -> None:
    visitor = world.admit(ent=["news"], did="tv", drm={"max_track": "hd"}, sver=3, wmid="w1", net=["192.0.2.0/24"])
    text = world.gate.pass_of(visitor)
    again = world.visit(text, now=NOW + 1)
    assert isinstance(again, Visitor)
    assert again.session == visitor.session
    assert again.session.key_id == "hs-1"
    assert world.visit(text, now=NOW + 2) is world.visit(text, now=NOW + 3)


def test_a_session_lasts_its_own_time_whatever_the_token_said(world: World) -> None:
    assert world.admit(exp=NOW + 1).session.expires_at == NOW + SESSION_LIFETIME


@pytest.mark.parametrize(
    ("text", "now", "reason"),
    [
        ("x", NOW, Reason.TOKEN_MALFORMED),
        (token(aud="other"), NOW, Reason.TOKEN_AUDIENCE),
        (token(), NOW + 600 + LEEWAY, Reason.TOKEN_EXPIRED),
        (token(ent=["sport"]), NOW, Reason.SCOPE_STREAM),
        (token(ent=[]), NOW, Reason.SCOPE_STREAM),
        (token(mth=["HEAD"]), NOW, Reason.SCOPE_METHOD),
        (token(net=["198.51.100.0/24", "AS64501"]), NOW, Reason.SCOPE_NETWORK),
        (token(geo=["FR"]), NOW, Reason.GEO_BLOCKED),
        (token(hdr={"X-App": {"exact": "tv"}}), NOW, Reason.SCOPE_HEADER),
        (token(paths=[{"path": {"prefix": "/watch/sport/"}}]), NOW, Reason.SCOPE_PATH),
        (token(cnf={"jkt": "A" * 43}), NOW, Reason.PROOF_MISSING),
    ],
)
def test_a_refused_token_begins_no_session(world: World, text: str, now: float, reason: Reason) -> None:
    assert reason_of(world.verdict(text, now=now)) is reason


def test_a_token_bound_to_urls_opens_no_other_stream(world: World) -> None:
    """It was proven for the request that carried it, and no other."""
    text = world.gate.pass_of(world.admit(paths=[{"path": {"prefix": "/watch/"}}]))
    assert reason_of(world.visit(text)) is None
    assert reason_of(world.visit(text, "open")) is Reason.SCOPE_STREAM


def test_what_binds_the_session_binds_every_request(world: World) -> None:
    text = world.gate.pass_of(world.admit(net=["192.0.2.0/24"], geo=["DE"]))
    assert reason_of(world.visit(text)) is None
    assert reason_of(world.visit(text, facts=replace(HERE, address="198.51.100.1"))) is Reason.SCOPE_NETWORK
    assert reason_of(world.visit(text, facts=replace(HERE, country="FR"))) is Reason.GEO_BLOCKED


def test_a_token_for_once_is_taken_once_and_one_to_watch_is_reported(world: World) -> None:
    once, watched = token(use="once"), token(use="watch", jti="token-2")
    assert isinstance(world.verdict(once), Admission)
    assert reason_of(world.verdict(once)) is Reason.REPLAYED
    verdicts = [world.verdict(watched), world.verdict(watched)]
    assert [isinstance(verdict, Admission) and verdict.reused for verdict in verdicts] == [False, True]


def test_a_token_refused_for_something_else_is_not_used_up(world: World) -> None:
    once = token(use="once", net=["192.0.2.0/24"])
    assert reason_of(world.verdict(once, facts=replace(HERE, address="198.51.100.1"))) is Reason.SCOPE_NETWORK
    assert isinstance(world.verdict(once), Admission)


def test_a_pass_ends(world: World) -> None:
    text = world.gate.pass_of(world.admit())
    assert reason_of(world.visit(text, now=NOW + SESSION_LIFETIME - 1)) is None
    assert reason_of(world.visit(text, now=NOW + SESSION_LIFETIME)) is Reason.TOKEN_EXPIRED


def test_a_pass_opens_only_the_streams_of_its_session(world: World) -> None:
    text = world.gate.pass_of(world.admit(ent=["news", "sport"]))
    assert reason_of(world.visit(text, "sport")) is None
    assert reason_of(world.visit(text, "films")) is Reason.SCOPE_STREAM
    anything = world.gate.pass_of(world.admit())
    assert reason_of(world.visit(anything, "films")) is None


KINDS = TargetType


@pytest.mark.parametrize(
    "target",
    [
        SESSION,
        ACCOUNT,
        Target(KINDS.ACCOUNT, "account-1"),
        Target(KINDS.DEVICE, "tv"),
        Target(KINDS.DEVICE, "tv", ISSUER),
        Target(KINDS.TOKEN, "token-1"),
        Target(KINDS.WATERMARK, "w1"),
        Target(KINDS.STREAM, "news"),
        Target(KINDS.STREAM, "news", viewer="account-1"),
        Target(KINDS.NETWORK, "192.0.2.0/24"),
        Target(KINDS.NETWORK, "AS64500"),
        Target(KINDS.ISSUER_KEY, "hs-1", ISSUER),
        Target(KINDS.SESSION_VERSION, "account-1", ISSUER, limit=3),
        Target(KINDS.SESSION_VERSION, "session-1", limit=3),
        Target(KINDS.ISSUED_BEFORE, "account-1", limit=NOW + 1),
        Target(KINDS.ISSUED_BEFORE, "", ISSUER, limit=NOW + 1),
    ],
    ids=str,
)
def test_a_revocation_is_seen_at_once_though_visitors_are_remembered(world: World, target: Target) -> None:
    claims: dict[str, Any] = {"did": "tv", "wmid": "w1", "sver": 3}
    visitor = world.admit(**claims)
    text = world.gate.pass_of(visitor)
    assert reason_of(world.visit(text)) is None
    before = world.gate.revocation_version
    world.record(target)
    assert world.gate.revocation_version > before
    assert reason_of(world.visit(text)) is Reason.REVOKED
    assert reason_of(world.gate.recheck(visitor, here, NOW)) is Reason.REVOKED
    assert reason_of(world.verdict(token(**claims))) is Reason.REVOKED
    world.record(target, revoked=False)
    assert reason_of(world.visit(text)) is None


@pytest.mark.parametrize(
    "target",
    [
        Target(KINDS.SESSION, "session-2"),
        Target(KINDS.ACCOUNT, "account-1", "https://other.example"),
        Target(KINDS.DEVICE, "tablet"),
        Target(KINDS.STREAM, "sport"),
        Target(KINDS.STREAM, "news", viewer="account-2"),
        Target(KINDS.NETWORK, "198.51.100.0/24"),
        Target(KINDS.ISSUER_KEY, "hs-2"),
        Target(KINDS.SESSION_VERSION, "account-1", limit=2),
        Target(KINDS.ISSUED_BEFORE, "account-1", limit=NOW),
        Target(KINDS.ISSUED_BEFORE, "", "https://other.example", limit=NOW + 1),
    ],
    ids=str,
)
def test_a_revocation_of_something_else_changes_nothing(world: World, target: Target) -> None:
    text = world.gate.pass_of(world.admit(did="tv", sver=3))
    world.record(target)
    assert reason_of(world.visit(text)) is None


def test_a_scheduled_revocation_bites_when_its_time_has_come(world: World) -> None:
    text = world.gate.pass_of(world.admit())
    world.record(SESSION, effective_at=NOW + 100)
    assert reason_of(world.visit(text, now=NOW + 99)) is None
    world.revoked.advance(NOW + 100)
    assert reason_of(world.visit(text, now=NOW + 100)) is Reason.REVOKED


def test_revoked_wins_over_expired_and_over_scope(world: World) -> None:
    text = world.gate.pass_of(world.admit(ent=["news"]))
    world.record(SESSION)
    assert reason_of(world.visit(text, now=NOW + 2 * SESSION_LIFETIME)) is Reason.REVOKED
    assert reason_of(world.visit(text, "films")) is Reason.REVOKED


@pytest.mark.parametrize(
    ("stream", "age", "beginning", "existing"),
    [
        ("news", 5.0, None, None),
        ("news", 5.1, Reason.STATE_STALE, None),
        ("news", 60.1, Reason.STATE_STALE, Reason.STATE_STALE),
        ("shut", 5.1, Reason.STATE_STALE, Reason.STATE_STALE),
        ("open", 9999.0, None, None),
        ("unnamed", 5.1, Reason.STATE_STALE, None),
    ],
)
def test_stale_state_is_dealt_with_as_the_stream_says(
    world: World, stream: str, age: float, beginning: Reason | None, existing: Reason | None
) -> None:
    text = world.gate.pass_of(world.admit(stream))
    world.age = age
    assert reason_of(world.verdict(token(), stream, NOW + 10)) is beginning
    assert reason_of(world.visit(text, stream, NOW + 10)) is existing
    world.age = 0.0
    assert reason_of(world.visit(text, stream, NOW + 20)) is None


def test_a_session_may_ask_for_fresher_state_than_its_stream(world: World) -> None:
    text = world.gate.pass_of(world.admit("open", reval=2))
    world.age = 1.9
    assert reason_of(world.visit(text, "open")) is None
    world.age = 2.1
    assert reason_of(world.visit(text, "open")) is Reason.STATE_STALE


def test_a_session_may_have_track_types_up_to_its_ceiling(world: World) -> None:
    visitor = world.admit(drm={"max_track": "sd"})
    denied = {track for track in TrackType if reason_of(world.gate.may_have(visitor, track)) is Reason.SCOPE_TRACK}
    assert denied == {TrackType.HD, TrackType.UHD}
    assert not any(world.gate.may_have(world.admit(), track) for track in TrackType)


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 100, "A" * 10_000, "../..", "\udcff"])
def test_what_is_no_pass_is_malformed(world: World, text: str) -> None:
    assert reason_of(world.visit(text)) is Reason.TOKEN_MALFORMED


def test_made_up_passes_are_not_remembered(world: World) -> None:
    real = world.gate.pass_of(world.admit())
    first = world.visit(real)
    for number in range(20_000):
        world.visit(f"made-up-{number}")
    assert world.visit(real) is first


def test_a_visitor_without_a_name_to_share_is_found_by_those_it_has() -> None:
    session = Session("s", "a", "i", 1, device="d")
    assert set(Visitor.of(session, "news").names) == {"s", "a", "d", session.watermark_id}


def test_a_clock_that_was_set_back_hides_no_stale_state(world: World) -> None:
    text = world.gate.pass_of(world.admit("shut"))
    assert reason_of(world.visit(text, "shut", NOW)) is None
    world.age = 200.0
    assert reason_of(world.visit(text, "shut", NOW - 300)) is Reason.STATE_STALE


def test_a_token_for_once_is_not_taken_again_while_its_expiry_is_forgiven(world: World) -> None:
    for expiry in range(NOW + 1, NOW + 9):
        once = token(use="once", jti=f"token-{expiry}", exp=expiry)
        assert isinstance(world.verdict(once), Admission)
        assert reason_of(world.verdict(once, now=expiry + LEEWAY - 0.5)) is Reason.REPLAYED
