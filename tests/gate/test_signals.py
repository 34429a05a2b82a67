"""Signs of sharing: what two viewers on one session do, and what one viewer may do without a sign."""

from dataclasses import dataclass

import pytest

from relay.gate.presence import Live, Presence
from relay.gate.signals import QUIET_S, Signal, SignalKind, network_of
from relay.model import Session

NOW = 1_790_000_000.0


@dataclass
class Visitor:
    session: Session
    stream: str = "news"
    live: Live | None = None


@pytest.fixture
def visitor() -> Visitor:
    return Visitor(Session("session-0123456789", "account-1", "https://platform.example", int(NOW) + 600))


def kinds(signals: tuple[Signal, ...]) -> list[SignalKind]:
    return [signal.kind for signal in signals]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        ("", ""),
        ("not an address", ""),
        ("192.0.2.7:80", ""),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


A, A2, B, C, SIX = "192.0.2.1", "192.0.2.99", "198.51.100.1", "203.0.113.1", "2001:db8::1"


@pytest.mark.parametrize(
    ("addresses", "raised"),
    [
        ([A, A2, A], []),
        ([A, B, B, B], []),
        ([A, B, A], [SignalKind.NETWORKS]),
        ([A, B, C], [SignalKind.NETWORKS]),
        ([A, SIX, A, SIX, A], []),
        ([A, SIX, B, SIX], []),
        ([A, SIX, B, SIX, A], [SignalKind.NETWORKS]),
        ([A, "unknown", A, "", A], []),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else None,
)
def test_networks_by_turns(visitor: Visitor, addresses: list[str], raised: list[SignalKind]) -> None:
    presence = Presence()
    found = [presence.seen(visitor, NOW + 5 * at, address) for at, address in enumerate(addresses)]
    assert [kind for signals in found for kind in kinds(signals)] == raised


def test_a_return_after_a_while_is_a_move(visitor: Visitor) -> None:
    presence = Presence()
    for at, address in enumerate([A, B, A, B]):
        assert presence.seen(visitor, NOW + 61 * at, address) == ()


def test_autonomous_systems_by_turns(visitor: Visitor) -> None:
    presence = Presence()
    found = [
        presence.seen(visitor, NOW + at, address, asn)
        for at, (address, asn) in enumerate([(A, 64500), (B, 64501), (A, 64500)])
    ]
    assert kinds(found[-1]) == [SignalKind.NETWORKS, SignalKind.ASNS]
    assert found[-1][1] == Signal(
        SignalKind.ASNS, "session-0123456789", "account-1", "news", NOW + 2, "by turns from AS64500, AS64501"
    )
    assert presence.seen(visitor, NOW + 3, B, 0) == ()


def test_each_kind_is_raised_once_in_a_while(visitor: Visitor) -> None:
    presence = Presence()
    raised: list[Signal] = []
    for second in range(0, 1500, 5):
        raised += presence.seen(visitor, NOW + second, A if second % 10 else B)
    assert len(raised) == 3
    assert raised[1].at - raised[0].at >= QUIET_S


def test_the_trail_of_networks_is_bounded(visitor: Visitor) -> None:
    presence = Presence()
    for at in range(200):
        presence.seen(visitor, NOW + at / 10, f"10.0.{at}.1", at + 1)
        presence.played(visitor, NOW + at / 10, f"10.0.{at}.1", f"agent {at}", at + 1)
    assert visitor.live is not None
    trail = visitor.live.trail
    assert trail is not None
    assert len(trail.networks) <= 8
    assert len(trail.asns) <= 8
    assert len(trail.agents) <= 4


def test_a_second_user_agent(visitor: Visitor) -> None:
    presence = Presence()
    assert presence.played(visitor, NOW, A, "one") == ()
    assert kinds(presence.played(visitor, NOW + 1, A, "two")) == [SignalKind.AGENTS]
    assert presence.played(visitor, NOW + 2, A, "one") == ()
    assert presence.played(visitor, NOW + 3, A, "three") == ()


def watch(presence: Presence, visitor: Visitor, start: float, seconds: int, rate: float) -> list[Signal]:
    """Four seconds of media each four seconds, ``rate`` times."""
    raised: list[Signal] = []
    count = int(seconds * rate / 4)
    for at in range(count):
        raised += presence.played(visitor, start + at * 4 / rate, A, "player", duration_s=4.0)
    return raised


@pytest.mark.parametrize("rate", [1.0, 1.25, 1.49])
def test_one_viewer_fills_a_buffer_and_goes_on_in_real_time(visitor: Visitor, rate: float) -> None:
    presence = Presence()
    for _ in range(15):
        assert presence.played(visitor, NOW, A, "player", duration_s=8.0) == ()
    assert watch(presence, visitor, NOW, 3600, rate) == []


@pytest.mark.parametrize(("rate", "within"), [(2.0, 400), (3.0, 150), (20.0, 15)])
def test_media_faster_than_it_can_be_watched(visitor: Visitor, rate: float, within: float) -> None:
    raised = watch(Presence(), visitor, NOW, 1000, rate)
    assert kinds(tuple(raised[:1])) == [SignalKind.RATE]
    assert raised[0].at - NOW <= within


def test_the_rate_is_forgiven_when_it_falls(visitor: Visitor) -> None:
    presence = Presence()
    assert watch(presence, visitor, NOW, 100, 20.0)
    assert watch(presence, visitor, NOW + QUIET_S, 600, 1.0) == []
