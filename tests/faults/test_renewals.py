"""A Common Access Token is renewed while its session is revoked: nothing that a renewal gave outlives that."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from keys import base64url
from relay.gate.dialects.cat import mint_cat
from tests.faults.hammer import Answer, Request, given, given_after, hammering
from tests.faults.site import BOUND_S, Site, until
from tests.faults.viewer import Taken, Viewer

ISSUER = "https://cat.example"
HEADER = "Renewed-Token"
BY_HEADER, BY_REDIRECT = 2, 3
ADD_S, DEADLINE_S = 600, 599
"""A token of less than 599 s is renewed for 600, so one that was renewed is due again a second later."""
ROUNDS = 2
_numbers = count(1)


@dataclass
class Subject:
    """A session by Common Access Tokens, and what its clients were given."""

    key: bytes
    number: int = field(default_factory=lambda: next(_numbers))
    tokens: list[str] = field(default_factory=list)
    """Each that came of a renewal, once, oldest first."""
    passes: list[str] = field(default_factory=list)
    """The path of each session that was begun."""

    @property
    def token_id(self) -> bytes:
        return self.number.to_bytes(8, "big")

    @property
    def account(self) -> str:
        return f"renewer-{self.number}"

    def targets(self) -> dict[str, dict[str, str]]:
        """What a revocation of it may name."""
        token_id = base64url.encode(self.token_id)
        return {
            "session": {"type": "session", "value": self.token_id.hex()},
            "account": {"type": "account", "value": self.account},
            "token": {"type": "token", "value": token_id},
        }

    def fresh(self, way: int) -> str:
        """A token that is due to be renewed."""
        now = int(time.time())
        renewal = {0: way, 1: ADD_S, 2: DEADLINE_S, 4: HEADER}
        claims = {"iss": ISSUER, "sub": self.account, "cti": self.token_id, "iat": now - 5, "exp": now + 200}
        return mint_cat({**claims, "catr": renewal}, "c1", "HS256", self.key)

    def last(self) -> str:
        """The token that was last given to it."""
        return self.tokens[-1] if self.tokens else self.fresh(BY_HEADER)

    def heard(self, answer: Answer) -> None:
        """Keep what an answer gave."""
        location = answer.headers.get("Location", "")
        if location.startswith("/p/"):
            self.passes.append(location)
        redirected = parse_qs(urlsplit(location).query).get("CAT", [""])[0]
        token = answer.headers.get(HEADER, redirected)
        if token and token not in self.tokens:
            self.tokens.append(token)


async def accept_cats(site: Site) -> bytes:
    """Have every node take tokens of :data:`ISSUER`; their key."""
    for at, node in enumerate(site.nodes):
        file, key = node.folder / "relay.toml", '{ kid = "c1", alg = "HS256", file = "token.key" }'
        text = file.read_text()
        if ISSUER not in text:
            issuer = f'issuers = [{{ iss = "{ISSUER}", dialect = "cat", keys = [{key}] }}, '
            file.write_text(text.replace("issuers = [", issuer))
            await site.reload(at)
    return bytes.fromhex((site.nodes[0].folder / "token.key").read_text())


def with_token(path: str, token: str) -> str:
    """A path of a session, asked for by token instead."""
    _, _, _, rest = path.split("/", 3)
    return f"/t/{rest}{'&' if '?' in rest else '?'}CAT={token}"


def requests_of(subject: Subject, session: Viewer) -> list[Request]:
    """Renewals of new tokens on both ways, of the last one, and new sessions by either."""

    def by(path: Callable[[str], str], token: Callable[[], str]) -> Request:
        return Request(lambda: path(token()), heard=subject.heard)

    segment = partial(with_token, session.paths["segment"])
    entry = "/watch/live/index.m3u8?CAT={}".format
    new, redirected = (partial(subject.fresh, way) for way in (BY_HEADER, BY_REDIRECT))
    tokens: list[Callable[[], str]] = [new, redirected, subject.last]
    return [*(by(segment, token) for token in tokens), by(entry, new), by(entry, subject.last)]


async def statuses(site: Site, paths: Iterable[str]) -> set[tuple[int, str]]:
    """What every node says to some requests."""
    found = set()
    async with aiohttp.ClientSession() as client:
        for url in (node.edge + path for node in site.nodes for path in paths):
            async with client.get(url, allow_redirects=False) as answer:
                found.add((answer.status, answer.headers.get("Relay-Reason", "")))
    return found


@pytest.mark.parametrize("kind", ["session", "account", "token"])
async def test_revoke_racing_the_renewal_of_a_common_access_token(site: Site, kind: str) -> None:
    key = await accept_cats(site)
    session = await site.enter()
    for number in range(ROUNDS):
        subject, at = Subject(key), number % 3
        paths = {
            name: with_token(path, subject.fresh(BY_HEADER))
            for name, path in session.paths.items()
            if name != "licence"
        }
        player = replace(session, paths=paths, taken=[Taken() for _ in site.nodes])
        async with player.taking(), hammering(site.nodes, requests_of(subject, session)) as answers:
            await until(lambda: {answer.at for answer in given(answers)} == {0, 1, 2})
            # Long enough for what was renewed to be renewed again.
            await asyncio.sleep(1.2 + random.uniform(0, 0.2))
            assert len(subject.tokens) > 1
            done = await site.order(at, **subject.targets()[kind])
            assert done.status == 200, done
            await asyncio.sleep(BOUND_S)
            await player.wait_refused(BOUND_S)
        assert given_after(answers, done.at, at) == []
        assert given_after(answers, done.at + BOUND_S) == []
        assert any(answer.began > done.at + BOUND_S for answer in answers)
        player.got_nothing_after(done.at + BOUND_S)
        last = [with_token(session.paths["segment"], token) for token in subject.tokens]
        entries = [f"/watch/live/index.m3u8?CAT={token}" for token in subject.tokens]
        assert await statuses(site, [*last, *entries, *subject.passes[-20:]]) == {(403, "revoked")}
