"""Nothing secret in what the relay says of itself: logs at their loudest, metrics, error answers, audit log, reprs."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from keys import base64url
from keys.exchange import packager
from keys.exchange.encryption import DocumentSecrets
from keys.exchange.model import KeyEntry
from keys.exchange.speke import OutsideKey
from keys.licences.clearkey import JsonWebKey
from keys.material import ContentKey, RootKey
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.control.transmitters import Transmitter
from relay.exchange.material import KeyServerMaterial
from relay.exchange.settings import KeyServerConfig
from relay.gate.carriers import Carrier, Credential
from relay.gate.dialects.akamai import AkamaiOptions
from relay.gate.dialects.jws import take_apart
from relay.gate.dialects.jwt import mint_token
from relay.gate.dialects.keys import KeySet, Signer, TokenKey
from relay.gate.dialects.uri_signing import UriSigningOptions
from relay.gate.passes import PassCodec
from relay.gate.renewal import RenewalAnswer
from relay.published.jwks import PinnedSet
from relay.secrets import Secrets, TransmitterSecrets
from relay.state.log import LogSettings
from tests.e2e.local import Server
from tests.edge.world import VECTORS
from tests.gate import platform
from tests.security.talkative import (
    CHALLENGE,
    ENCRYPTION_KEY,
    KEY_SET_SECRET,
    LINK_KEY,
    ORIGIN_SECRET,
    POLL_TOKEN,
    PUSH_TOKEN,
    SALT,
    Told,
    Visitor,
    configure,
    loud_relay,
    spellings,
)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """An origin that fails in every way, and whose playlists hold secrets in their queries."""

    async def answer(request: web.Request) -> web.StreamResponse:
        kind, name = request.match_info["kind"], request.match_info["name"]
        path = VECTORS / "clear" / name
        match kind:
            case "clear" if path.is_file():
                return web.FileResponse(path)
            case "broken":
                return web.Response(status=500, text=f"sorry, {ORIGIN_SECRET}")
            case "garbage":
                return web.Response(text=f"#EXTM3U\n#EXTINF:x\n{ORIGIN_SECRET}\n")
            case "slow":
                await asyncio.sleep(1)
            case "secret" if name == "master.m3u8":
                playlist = f"v.m3u8?key={ORIGIN_SECRET}"
                return web.Response(text=f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360\n{playlist}\n")
            case "secret" if name == "v.m3u8":
                lines = [
                    "#EXTM3U",
                    "#EXT-X-TARGETDURATION:6",
                    f'#EXT-X-MAP:URI="i.mp4?key={ORIGIN_SECRET}"',
                    "#EXTINF:6,",
                ]
                return web.Response(text="\n".join([*lines, f"1.m4s?key={ORIGIN_SECRET}", "#EXT-X-ENDLIST", ""]))
        return web.Response(status=404, text=ORIGIN_SECRET)

    app = web.Application()
    app.router.add_route("*", "/{kind}/{name}", answer)
    server = Server()
    yield server.start(app)
    server.stop()


async def test_the_relay_never_tells_a_secret(tmp_path: Path, origin: str, client: aiohttp.ClientSession) -> None:
    configure(tmp_path, origin)
    told = Told()
    for name, secret in {"link key": LINK_KEY, "encryption key": ENCRYPTION_KEY}.items():
        told.keep(name, *spellings(secret))
    for name, text in {
        "salt": SALT, "push token": PUSH_TOKEN, "poll token": POLL_TOKEN, "key set's URL": KEY_SET_SECRET,
        "origin's query": ORIGIN_SECRET, "challenge": CHALLENGE,
    }.items():  # fmt: skip
        told.keep(name, text)
    with loud_relay(tmp_path) as relay:
        for name in ("root.key", "token.key"):
            told.keep(name, *spellings(bytes.fromhex((tmp_path / name).read_text())))
        told.keep("API key", relay.api_key)
        visitor = Visitor(relay, client, told)
        await visitor.enter_in_every_way()
        await visitor.play()
        await visitor.ask_for_licences()
        await visitor.meet_failures_of_the_origin()
        await visitor.operate()
        await visitor.push_events()
        await visitor.send_what_is_no_http()
        visitor.reload_nonsense()
        await visitor.read_what_operators_read()
    told.said["the log"] = (tmp_path / "log").read_text()
    assert told.leaks() == []
    # So that the silence means something.
    assert told.statuses >= {200, 302, 400, 401, 403, 404, 502, 504}
    for event in ("serving", "request_failed", "key_set_not_refreshed", "poll_failed", "security_event_refused"):
        assert f'"{event}"' in told.said["the log"], event
    assert "reload_refused" in told.said["the log"]


def test_an_exception_tells_its_place_and_not_its_text() -> None:
    program = """
import logging, structlog
from relay.telemetry.log import set_up_logging
set_up_logging("debug")
for log in (structlog.get_logger(), logging.getLogger("aiohttp.server")):
    try:
        try:
            int("a-secret")
        except ValueError:
            {}["a-secret"]
    except KeyError:
        log.exception("bug")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    assert [line["event"] for line in lines] == ["bug", "bug"]
    for line in lines:
        assert "secret" not in str(line)
        assert line["exception"].startswith("KeyError\n")
        assert "ValueError" in line["exception"]
        assert "line 10, in <module>" in line["exception"]


def test_objects_that_hold_secrets_do_not_print_them() -> None:
    secret, text = os.urandom(32), os.urandom(20).hex()
    told = Told()
    told.keep("secret", *spellings(secret), *spellings(secret[:16]))
    told.keep("text", text)
    key = TokenKey.symmetric("k", secret)
    ring = KeyRing([RootKey(1, secret)])
    token = mint_token(platform.CLAIMS, "k", "HS256", secret)
    told.token("token", token)
    jws = take_apart(token)
    proof = platform.dialect().verify(platform.token(), platform.FACTS, platform.NOW)
    own = TransmitterSecrets((key,), text, text)
    holders = [
        key, Signer.load("k", "HS256", secret), Signer.load("e", "EdDSA", platform.SIGNERS["ed-1"][1]), KeySet([key]),
        RootKey(1, secret), ring, ContentKey(secret[:16][::-1], secret, secret[:16], secret), Sealer([secret]),
        PassCodec(Sealer([secret])), Credential(token, Carrier.QUERY, "token", ("i",)), jws, proof, own,
        RenewalAnswer(Carrier.COOKIE, "c", token), AkamaiOptions(salt=text), UriSigningOptions(secret),
        Secrets(ring, {"i": [key]}, secret, {"i": AkamaiOptions(salt=text)}, {"t": own}, text),
        Transmitter("i", "a", KeySet([key]), push_token=text, poll_token=text), LogSettings("redis://h", password=text),
        PinnedSet(KeySet([key]), f"https://h/?key={text}"), JsonWebKey("oct", "kid", base64url.encode(secret[:16])),
        packager.Signer("p", secret, secret[:16]), DocumentSecrets(secret, secret), KeyEntry(b"kid", key=secret),
        OutsideKey(b"kid", secret), KeyServerMaterial(KeyServerConfig(url="https://h/"), text),
    ]  # fmt: skip
    told.said = {f"{type(held).__name__}": f"{held!r} {held}" for held in holders}
    assert not told.leaks()
