"""Status lists as documents to refresh: when they are asked for again, and whether they say anything new."""

from dataclasses import replace
from math import inf

import pytest

from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import Signer
from relay.gate.status_list import StatusList, StatusLists
from relay.published.status_lists import MIN_REFRESH_S, PinnedList
from tests.gate.platform import NOW, SIGNERS, TERMS, keys

URL = "https://platform.example/lists/1?key=query-secret"


@pytest.fixture
def pinned() -> PinnedList:
    return PinnedList(StatusLists([URL]), URL, TERMS, keys(), 60.0, 3600.0, lambda: NOW)


def published(lst: str = "eNrbuRgAAhcBXQ", iat: int = NOW) -> bytes:
    said = {"sub": URL, "iat": iat, "status_list": {"bits": 1, "lst": lst}}
    return seal({"kid": "ed-1", "typ": "statuslist+jwt"}, said, Signer.load("ed-1", *SIGNERS["ed-1"])).encode()


@pytest.mark.parametrize(
    ("expires_at", "ttl", "pause_s"),
    [
        (inf, inf, 60),
        (inf, 30, 30),
        (inf, 0.1, MIN_REFRESH_S),
        (NOW + 20, 30, 16),
        (NOW + 10_000, 3600, 60),
        (NOW - 10, inf, MIN_REFRESH_S),
    ],
)
def test_a_list_is_asked_for_again_before_it_ends(
    pinned: PinnedList, expires_at: float, ttl: float, pause_s: float
) -> None:
    assert pinned.refresh_s == 60
    pinned.lists.put(URL, StatusList(1, b"", NOW, expires_at, ttl))
    assert pinned.refresh_s == pause_s


def test_only_what_a_list_says_anew_may_end_sessions(pinned: PinnedList) -> None:
    assert pinned.take(published())
    assert not pinned.take(published(iat=NOW + 1))
    assert pinned.take(published("eNo76fITAAPfAgc", NOW + 2))
    with pytest.raises(ValueError, match="older"):
        pinned.take(published())
    with pytest.raises(ValueError, match="sub is not"):
        replace(pinned, url=f"{URL}2").take(published())
    assert pinned.lists.get(URL) is not None
    pinned.lapse()
    assert pinned.lists.get(URL) is None


def test_a_url_is_not_printed(pinned: PinnedList) -> None:
    assert "query-secret" not in repr(replace(pinned, lists=StatusLists()))
