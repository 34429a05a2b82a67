"""The gate: who may have what, asked anew every time."""

from typing import Any

import pytest

from keys.model import TrackType
from keys.seal import Sealer
from relay.gate.gate import Gate, Visitor
from relay.gate.passes import PassCodec
from relay.gate.revocation import RevocationSet, Target, TargetType
from relay.verdict import Deny, Reason
from tests.gate.platform import ISSUER, LEEWAY, NOW, token, verifier

SESSION_LIFETIME = 5000.0
SESSION = Target(TargetType.SESSION, "session-1")
ACCOUNT = Target(TargetType.ACCOUNT, "account-1", ISSUER)


class World:
    def __init__(self) -> None:
        self.revoked = RevocationSet()
        codec = PassCodec(Sealer([bytes(32)]))
        self.gate = Gate(verifier(), codec, self.revoked, SESSION_LIFETIME)

    def admit(self, stream: str = "news", now: float = NOW, **claims: Any) -> Visitor:
        visitor = self.gate.admit(token(**claims), stream, now)
        assert isinstance(visitor, Visitor)
        return visitor


@pytest.fixture
def world() -> World:
    return World()


def reason_of(verdict: object) -> Reason | None:
    return verdict.reason if isinstance(verdict, Deny) else None


def test_a_token_becomes_a_pass_and_the_pass_the_same_visitor(world: World) -> None:
    visitor = world.admit(ent=["news"], did="tv", drm={"max_track": "hd"})
    text = world.gate.pass_of(visitor)
    assert world.gate.visit(text, "news", NOW + 1) == visitor
    assert world.gate.visit(text, "news", NOW + 2) is world.gate.visit(text, "news", NOW + 3)


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
    ],
)
def test_a_refused_token_begins_no_session(world: World, text: str, now: float, reason: Reason) -> None:
    assert reason_of(world.gate.admit(text, "news", now)) is reason


def test_a_pass_ends(world: World) -> None:
    text = world.gate.pass_of(world.admit())
    assert reason_of(world.gate.visit(text, "news", NOW + SESSION_LIFETIME - 1)) is None
    assert reason_of(world.gate.visit(text, "news", NOW + SESSION_LIFETIME)) is Reason.TOKEN_EXPIRED


def test_a_pass_opens_only_the_streams_of_its_session(world: World) -> None:
    text = world.gate.pass_of(world.admit(ent=["news", "sport"]))
    assert reason_of(world.gate.visit(text, "sport", NOW)) is None
    assert reason_of(world.gate.visit(text, "films", NOW)) is Reason.SCOPE_STREAM
    anything = world.gate.pass_of(world.admit())
    assert reason_of(world.gate.visit(anything, "films", NOW)) is None


@pytest.mark.parametrize("target", [SESSION, ACCOUNT, Target(TargetType.ACCOUNT, "account-1")])
def test_a_revocation_is_seen_at_once_though_visitors_are_remembered(world: World, target: Target) -> None:
    visitor = world.admit()
    text = world.gate.pass_of(visitor)
    assert reason_of(world.gate.visit(text, "news", NOW)) is None
    before = world.gate.revocation_version
    world.revoked.add(target, NOW + 99_999, NOW)
    assert world.gate.revocation_version > before
    assert reason_of(world.gate.visit(text, "news", NOW)) is Reason.REVOKED
    assert reason_of(world.gate.recheck(visitor, "news", NOW)) is Reason.REVOKED
    assert reason_of(world.gate.admit(token(), "news", NOW)) is Reason.REVOKED


def test_another_session_of_the_account_goes_on(world: World) -> None:
    other = world.gate.pass_of(world.admit(sid="session-2"))
    world.revoked.add(SESSION, NOW + 99_999, NOW)
    assert reason_of(world.gate.visit(other, "news", NOW)) is None


def test_revoked_wins_over_expired_and_over_scope(world: World) -> None:
    text = world.gate.pass_of(world.admit(ent=["news"]))
    world.revoked.add(SESSION, NOW + 99_999, NOW)
    assert reason_of(world.gate.visit(text, "news", NOW + 2 * SESSION_LIFETIME)) is Reason.REVOKED
    assert reason_of(world.gate.visit(text, "films", NOW)) is Reason.REVOKED


def test_a_session_may_have_track_types_up_to_its_ceiling(world: World) -> None:
    visitor = world.admit(drm={"max_track": "sd"})
    denied = {track for track in TrackType if reason_of(world.gate.may_have(visitor, track)) is Reason.SCOPE_TRACK}
    assert denied == {TrackType.HD, TrackType.UHD}
    assert not any(world.gate.may_have(world.admit(), track) for track in TrackType)


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 100, "A" * 10_000, "../..", "\udcff"])
def test_what_is_no_pass_is_malformed(world: World, text: str) -> None:
    assert reason_of(world.gate.visit(text, "news", NOW)) is Reason.TOKEN_MALFORMED


def test_made_up_passes_are_not_remembered(world: World) -> None:
    real = world.gate.pass_of(world.admit())
    first = world.gate.visit(real, "news", NOW)
    for number in range(20_000):
        world.gate.visit(f"made-up-{number}", "news", NOW)
    assert world.gate.visit(real, "news", NOW) is first
