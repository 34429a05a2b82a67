"""Which sessions are live, and how many are remembered."""

from dataclasses import dataclass

from relay.gate.presence import LIVE_S, Live, Presence
from relay.model import Session

NOW = 1_790_000_000.0


@dataclass
class Visitor:
    session: Session
    stream: str = "news"
    live: Live | None = None


ISSUER = "https://platform.example"


def visitor(number: int = 1, stream: str = "news", issuer: str = ISSUER) -> Visitor:
    session = Session(f"session-{number}", f"account-{number % 3}", issuer, 0, device="tv")
    return Visitor(session, stream)


def test_a_session_is_live_for_a_minute_after_its_last_request() -> None:
    presence, viewer = Presence(), visitor()
    presence.seen(viewer, NOW, "192.0.2.1", 64500)
    assert [live.sid for live in presence.live(NOW + LIVE_S)] == ["session-1"]
    assert list(presence.live(NOW + LIVE_S + 0.1)) == []
    presence.played(viewer, NOW + LIVE_S + 5, "192.0.2.1", "player")
    assert [live.sid for live in presence.live(NOW + LIVE_S + 5)] == ["session-1"]


def test_a_record_tells_what_was_seen() -> None:
    presence, viewer = Presence(), visitor()
    presence.seen(viewer, NOW, "192.0.2.1", 64500)
    for at in range(3):
        presence.played(viewer, NOW + at, "192.0.2.2", "player", 64500)
    live = presence.get(ISSUER, "session-1")
    assert live is not None
    assert live is viewer.live
    assert (live.account, live.device, live.stream) == ("account-1", "tv", "news")
    assert (live.first, live.last, live.segments) == (NOW, NOW + 2, 3)
    assert (live.address, live.asn, live.trail) == ("192.0.2.2", 64500, None)
    assert presence.get(ISSUER, "session-2") is None


def test_one_session_has_one_record_whoever_opened_its_pass() -> None:
    presence = Presence()
    first, again, elsewhere = visitor(), visitor(), visitor(stream="sport")
    for at, who in enumerate((first, again, elsewhere)):
        presence.played(who, NOW + at, "192.0.2.1", "player")
    assert first.live is again.live is elsewhere.live
    assert len(presence) == 1
    assert [(live.stream, live.segments) for live in presence.live(NOW)] == [("sport", 3)]


def test_two_platforms_may_use_one_session_id() -> None:
    presence = Presence()
    one, other = visitor(), visitor(issuer="https://other.example")
    presence.played(one, NOW, "192.0.2.1", "player")
    assert presence.played(other, NOW, "198.51.100.1", "another") == ()
    assert presence.played(one, NOW, "192.0.2.1", "player") == ()
    assert one.live is not other.live
    assert len(presence) == 2


def test_a_channel_keeps_a_session_live_and_says_nothing_of_where_it_is() -> None:
    presence, viewer = Presence(), visitor()
    presence.held(viewer, NOW, "192.0.2.1", 64500)
    (live,) = presence.live(NOW)
    assert (live.address, live.asn) == ("192.0.2.1", 64500)
    for at in range(1, 8):
        # The viewer has moved on; the connection of his channel has not been noticed to be dead.
        assert presence.seen(viewer, NOW + 10 * at, "198.51.100.1", 64501) == ()
        presence.held(viewer, NOW + 10 * at + 5, "192.0.2.1", 64500)
    assert (live.address, live.last) == ("198.51.100.1", NOW + 75)


def test_what_has_gone_is_forgotten_as_others_come() -> None:
    presence = Presence()
    for number in range(10_000):
        presence.seen(visitor(number), NOW + number, "192.0.2.1")
        assert len(presence) <= 3 * LIVE_S
    assert len(list(presence.live(NOW + 10_000))) == LIVE_S


def test_those_who_stay_are_kept_while_others_come_and_go() -> None:
    presence, staying = Presence(), visitor(-1)
    presence.seen(staying, NOW, "192.0.2.1")
    record = staying.live
    for number in range(1000):
        presence.seen(visitor(number), NOW + number, "192.0.2.1")
        presence.seen(staying, NOW + number, "192.0.2.1")
    assert presence.get(ISSUER, "session--1") is record is staying.live


def test_beyond_the_limit_the_first_are_forgotten_and_join_again() -> None:
    presence = Presence(limit=3)
    viewers = [visitor(number) for number in range(5)]
    for viewer in viewers:
        presence.seen(viewer, NOW, "192.0.2.1")
        assert len(presence) <= 3
    lost = [viewer for viewer in viewers if presence.get(ISSUER, viewer.session.sid) is None]
    assert len(lost) == 2
    presence.seen(lost[0], NOW + 1, "192.0.2.1")
    assert presence.get(ISSUER, lost[0].session.sid) is lost[0].live
    assert len(presence) == 3
