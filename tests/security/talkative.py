"""A relay at its loudest and a visitor who goes through everything with it, and what was secret in all of that."""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from keys import base64url
from relay.gate.dialects.akamai import AkamaiOptions, mint_acl_token
from relay.gate.dialects.cat import mint_cat
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import Signer
from tests.relay_process import RelayProcess, _serving, write_configuration
from tests.wire import wire

LINK_KEY, ENCRYPTION_KEY, SALT = os.urandom(32), os.urandom(16), "salt-" + os.urandom(8).hex()
PUSH_TOKEN, POLL_TOKEN, KEY_SET_SECRET = (f"{name}-{os.urandom(20).hex()}" for name in ("push", "poll", "keyset"))
ORIGIN_SECRET, CHALLENGE = (f"{name}-{os.urandom(12).hex()}" for name in ("origin", "challenge"))
IDP = "https://idp.example"
LEAST = 12
"""Characters of a secret that must not be seen in a row."""


def spellings(secret: bytes) -> list[str]:
    return [
        secret.hex(),
        secret.hex().upper(),
        base64url.encode(secret),
        base64.b64encode(secret).decode(),
        repr(secret),
    ]


@dataclass
class Told:
    """Everything that the relay said, by where, and the secrets that went in."""

    said: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)

    def keep(self, name: str, *texts: str) -> None:
        """Note a secret in each of its spellings."""
        for at, text in enumerate(texts):
            self.secrets[f"{name} {at}"] = text

    def token(self, name: str, token: str) -> None:
        """Note a token, and the parts of it that prove or tell something."""
        self.keep(name, *(part for part in re.split(r"[.~,_&]", token) if len(part) >= 20), token)

    def leaks(self) -> list[str]:
        """Which secrets, or large pieces of them, stand where."""
        return [
            f"{name} in {where}: {text[:80]!r}"
            for name, secret in self.secrets.items()
            for where, text in self.said.items()
            for piece in {secret[:40], secret[-40:]}
            if len(piece) >= LEAST and piece in text
        ]


def tokens(relay: RelayProcess) -> dict[str, tuple[str, str]]:
    """A good token of every dialect, as the query and the header it travels in."""
    now = int(time.time())
    end, path = now + 600, "/watch/vod/index.m3u8"
    signer = Signer("link", "HS256", LINK_KEY)
    md5 = hashlib.md5(f"{end}{path}127.0.0.1 ".encode() + LINK_KEY).digest()
    glob = f"PathGlobs=/*~Expires={end}"
    made = {
        "jwt": relay.token(),
        "cat": mint_cat({"iss": "cat", "exp": end, "cti": b"cat-1"}, "link", "HS256", LINK_KEY),
        "akamai": mint_acl_token({"exp": end, "acl": "/*", "id": "ak-1"}, LINK_KEY, AkamaiOptions(SALT)),
        "uri-signing": seal({"kid": "link"}, {"iss": "uri-signing", "exp": end, "cdniuc": "regex:.*"}, signer),
        "media-cdn": f"{glob}~hmac={hmac.digest(LINK_KEY, glob.encode(), 'sha256').hex()}",
        "secure-media": seal({"kid": "link"}, {"exp": end, "iat": now, "paths": ["/"], "exc": []}, signer),
        "secure-link": f"{base64url.encode(md5)},{end}",
        "fastly": f"{end}_{hmac.digest(LINK_KEY, f'{path}{end}'.encode(), 'sha1').hex()}",
    }
    digest, _, expires = made["secure-link"].partition(",")
    queries = {
        "jwt": f"token={made['jwt']}",
        "cat": f"CAT={made['cat']}",
        "akamai": f"hdnts={made['akamai']}",
        "uri-signing": f"URISigningPackage={made['uri-signing']}",
        "media-cdn": f"edge-cache-token={made['media-cdn']}",
        "secure-media": f"smd={made['secure-media']}",
        "secure-link": f"md5={digest}&expires={expires}",
        "fastly": f"ftoken={made['fastly']}",
    }
    return {name: (token, queries[name]) for name, token in made.items()}


def spoilt(text: str) -> str:
    """A token with another last character, long enough to be told from the good one."""
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def configure(folder: Path, origin: str) -> None:
    write_configuration(
        folder, {"vod": {"origin": f'"{origin}/clear/"', "hls": '"master.m3u8"', "dash": '"manifest.mpd"'}}
    )
    for number, name in enumerate(("missing", "broken", "garbage", "slow", "secret")):
        with (folder / "relay.toml").open("a") as file:
            file.write(f'\n[streams.bad{number}]\norigin = "{origin}/{name}/"\nhls = "master.m3u8"\n')
    for name, text in {
        "link.key": LINK_KEY.hex(), "enc.key": ENCRYPTION_KEY.hex(), "salt": SALT, "push": PUSH_TOKEN,
        "poll": POLL_TOKEN,
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    options = {"akamai": '{ salt_file = "salt" }', "uri-signing": '{ encryption_key_file = "enc.key" }'}
    names = {"secure-media": 'query = ["smd"]', "fastly": 'query = ["ftoken"]'}
    keys = '[{ kid = "link", alg = "HS256", file = "link.key" }]'
    issuers = [
        f'{{ iss = "{name}", dialect = "{name}", keys = {keys}, options = {options.get(name, "{}")}'
        + (f", {names[name]}" if name in names else "")
        + " }"
        for name in ("cat", "akamai", "uri-signing", "media-cdn", "secure-media", "secure-link", "fastly")
    ]
    jwks = f'{{ url = "{origin}/missing/keys?key={KEY_SET_SECRET}", refresh = "10s" }}'
    issuers.append(f'{{ iss = "published", jwks = {jwks} }}')
    issuers.append(
        f'{{ iss = "dead", jwks = {{ url = "http://127.0.0.1:9/?key={KEY_SET_SECRET}", refresh = "10s" }} }}'
    )
    config = folder / "relay.toml"
    text = config.read_text().replace("issuers = [{", f"issuers = [{', '.join(issuers)}, {{", 1)
    text += (
        f'\n[[transmitters]]\niss = "{IDP}"\naudience = "edge"\npush_token_file = "push"\npoll_token_file = "poll"\n'
        f'poll_url = "{origin}/broken/poll?key={KEY_SET_SECRET}"\npoll_every = "1s"\nkeys = {keys}\n'
    )
    config.write_text('origin = { read_timeout = "500ms" }\n' + text)


@contextmanager
def loud_relay(folder: Path) -> Iterator[RelayProcess]:
    command = [str(Path(sys.executable).with_name("segmentgate")), "serve", "--log-level", "debug"]
    with (folder / "log").open("a+") as log:
        process = subprocess.Popen(
            [*command, "--config", str(folder / "relay.toml")], stdout=log, stderr=log, text=True
        )
    until = time.monotonic() + 20
    while (serving := _serving((folder / "log").read_text())) is None:
        assert time.monotonic() < until, "the relay did not start"
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.02)
    edge, control = (f"http://127.0.0.1:{serving[name][1]}" for name in ("edge", "control"))
    try:
        yield RelayProcess(folder, process, edge, control)
    finally:
        process.terminate()
        process.wait(15)


@dataclass
class Visitor:
    """Goes through everything, good and bad, and keeps what it is told."""

    relay: RelayProcess
    client: aiohttp.ClientSession
    told: Told
    master: str = ""

    async def ask(self, method: str, url: str, **how: Any) -> tuple[int, dict[str, str], bytes]:
        """One request. What a refusal says is kept; what is served is the viewer's own."""
        options: dict[str, Any] = {"allow_redirects": False, **how}
        async with self.client.request(method, URL(url, encoded=True), **options) as answer:
            body = await answer.read()
        self.told.statuses.add(answer.status)
        if answer.status >= 400:
            self.told.said[f"{method} {len(self.told.said)} {answer.status}"] = f"{dict(answer.headers)} {body!r}"
        return answer.status, dict(answer.headers), body

    async def enter_in_every_way(self) -> None:
        """Good and bad tokens of every dialect, in every carrier."""
        edge, entered = self.relay.edge, 0
        for name, (token, query) in tokens(self.relay).items():
            for kind, text, asked in (("good", token, query), ("bad", spoilt(token), spoilt(query))):
                self.told.token(f"{kind} {name}", text)
                status, headers, _ = await self.ask("GET", f"{edge}/watch/vod/index.m3u8?{asked}")
                entered += status == 302
                assert (status == 302) == (kind == "good"), (name, kind, status)
                if status == 302:
                    self.told.keep(f"pass of {name}", headers["Location"].split("/")[2])
                for field_name in ("Authorization", "CTA-Common-Access-Token", "DPoP"):
                    fields = {field_name: f"Bearer {text}" if field_name == "Authorization" else text}
                    await self.ask("GET", f"{edge}/watch/vod/index.m3u8", headers=fields)
                cookie = query.partition("=")[0] if name != "jwt" else "segmentgate"
                await self.ask("GET", f"{edge}/watch/vod/index.m3u8", headers={"Cookie": f"{cookie}={text}"})
                await self.ask("GET", f"{edge}/watch/{text}/vod/index.m3u8")
                await self.ask("GET", f"{edge}/watch/{query.partition('=')[0]}={text}/vod/index.m3u8")
                await self.ask("GET", f"{edge}/t/vod/cenc.stable.uhd/index.m3u8?{asked}")
                # In places where a clumsy client might put it.
                await self.ask("GET", f"{edge}/{text}")
                await self.ask("GET", f"{edge}/watch/{text}/{text}?{asked}")
                await self.ask("GET", f"{edge}/watch/vod/index.m3u8?{query}&scheme={text}&signalling={text}")
                await self.ask("GET", f"{edge}/p/{text}/vod/cenc.stable.uhd/index.m3u8")
        assert entered

    async def play(self) -> None:
        """A session's own URLs, and the same ones edited."""
        _, headers, _ = await self.ask(
            "GET", f"{self.relay.edge}/watch/vod/index.m3u8?token={self.relay.token(sid='p')}"
        )
        self.master = self.relay.edge + headers["Location"]
        urls = [self.master]
        for pattern in (rb"(?m)^m/[^\n]+", rb"(?m)^[^#\n]*s/[^\n]+"):
            _, _, body = await self.ask("GET", urls[-1])
            found = re.search(pattern, body)
            assert found
            urls.append(str(URL(urls[-1], encoded=True).join(URL(found[0].decode(), encoded=True))))
        for url in urls:
            assert (await self.ask("GET", url))[0] == 200
            await self.ask("GET", spoilt(url))
            await self.ask("GET", url.replace("/p/", "/p/x", 1))
            await self.ask("POST", url, data=b"x")
            if "sig=" in url:
                self.told.keep("a URL's MAC", url.rpartition("sig=")[2])
        folder = self.master.rpartition("/")[0]
        _, _, body = await self.ask("GET", f"{folder}/keys")
        said = json.loads(body)
        for key in (*said["keys"], said["channel_key"]):
            self.told.keep("content key", *spellings(base64url.decode(key["k"])))
        async with self.client.get(f"{folder}/events", headers={"Last-Event-ID": CHALLENGE}) as events:
            assert b"event" in await events.content.readline()

    async def ask_for_licences(self) -> None:
        """Challenges good and bad, by session and by token."""
        base = f"{self.relay.edge}/api/v1/drm/license"
        session = "/".join(self.master.split("/")[4:7])
        kid = base64url.encode(bytes(16))
        for query in (f"session={session}", f"session=x{session}", f"stream_id=vod&token={self.relay.token(sid='q')}"):
            asked: list[dict[str, Any]] = [{"kids": [CHALLENGE]}, {"kids": [kid], "type": CHALLENGE}, {"kids": [kid]}]
            marked = CHALLENGE.encode()
            for body in (*(json.dumps(one).encode() for one in asked), marked, b"\x08\x01" + marked, marked * 4000):
                await self.ask("POST", f"{base}?{query}", data=body)

    async def meet_failures_of_the_origin(self) -> None:
        """Status, time-out, nonsense, and failures of URLs that hold the origin's own secrets."""
        for number in range(5):
            token = self.relay.token(sid=f"o{number}")
            url = f"{self.relay.edge}/watch/bad{number}/index.m3u8?token={token}"
            _, headers, _ = await self.ask("GET", url)
            url = self.relay.edge + headers["Location"]
            for pattern in (rb"(?m)^m/[^\n]+", rb"(?m)^[^#\n]*s/[^\n]+"):
                _, _, body = await self.ask("GET", url)
                found = re.search(pattern, body)
                if not found:
                    break
                url = str(URL(url, encoded=True).join(URL(found[0].decode(), encoded=True)))
            await self.ask("GET", url)

    async def operate(self) -> None:
        """Calls of the control API with the key, with another, with tokens in the wrong places."""
        api, token = f"{self.relay.control}/api/v1", self.relay.token(sid="s")
        self.told.token("a token for operators", token)
        wrong = spoilt(self.relay.api_key)
        self.told.keep("a wrong API key", wrong)
        for key in (self.relay.api_key, wrong):
            for scheme in ("Bearer", "Basic", ""):
                fields = {"Authorization": f"{scheme} {key}", "X-Actor": "ops", "Idempotency-Key": os.urandom(4).hex()}
                for path in ("/drm/revoke", "/revocations", "/revocations/preview", "/blocks/users/u"):
                    for body in (b"{", b'{"session_id":"gone"}', b'{"type":"session","value":"gone"}', b'{"reason":1}'):
                        how = {"headers": {**fields, "Idempotency-Key": os.urandom(4).hex()}, "data": body}
                        await self.ask("POST", api + path, **how)
                await self.ask("GET", f"{api}/revocations/{token}", headers=fields)
                await self.ask("GET", f"{api}/revocations?cursor={token}&type={token}", headers=fields)
            await self.ask("GET", f"{api}/revocations?api_key={key}")
        fields = {"Authorization": f"Bearer {self.relay.api_key}"}
        for path in ("/drm/revoke", "/revocations", "/revocations/preview", "/blocks/users/u"):
            # An operator may read what he sent himself; the log may not.
            body = json.dumps({"type": token, "reason": [token], token: 1}).encode()
            headers = {**fields, "Idempotency-Key": os.urandom(4).hex()}
            async with self.client.post(api + path, headers=headers, data=body) as answer:
                assert answer.status == 400

    async def push_events(self) -> None:
        """Security events: good ones, bad ones, by who may and who may not."""
        url = f"{self.relay.control}/ssf/events"
        claims = {
            "iss": IDP,
            "aud": "edge",
            "jti": "set-1",
            "iat": int(time.time()),
            "sub_id": {"format": "opaque", "id": "u"},
        }
        kind = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
        good = seal(
            {"kid": "link", "typ": "secevent+jwt"}, {**claims, "events": {kind: {}}}, Signer("link", "HS256", LINK_KEY)
        )
        self.told.token("a security event", good)
        for token in (PUSH_TOKEN, spoilt(PUSH_TOKEN)):
            for body in (good, spoilt(good), CHALLENGE):
                fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/secevent+jwt"}
                await self.ask("POST", url, data=body.encode(), headers=fields)

    async def send_what_is_no_http(self) -> None:
        """Bytes that no parser takes, with secrets in them."""
        token = self.relay.token(sid="h")
        self.told.token("a token in bad HTTP", token)
        for base in (self.relay.edge, self.relay.control):
            host, port = URL(base).host, URL(base).port
            assert host is not None
            assert port is not None
            for data in (
                f"GET /watch/vod/index.m3u8?token={token} HTTP/9.9\r\n\r\n",
                f"GET /watch/vod/index.m3u8 HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {token}\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: a\r\nCookie: segmentgate={token}\x00\r\n\r\n",
                f"{token} / HTTP/1.1\r\nHost: a\r\n\r\n",
                f"POST /api/v1/drm/license?session={token} HTTP/1.1\r\nHost: a\r\nContent-Length: x{token}\r\n\r\n",
                f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{token}\r\n",
                f"GET /p/{token * 40}/ HTTP/1.1\r\nHost: a\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: {token}\r\nConnection: close\r\n\r\n",
            ):
                async with wire((host, port)) as peer:
                    await peer.send(data.encode())
                    peer.writer.write_eof()
                    self.told.said[f"answer {len(self.told.said)}"] = str(await peer.replies())

    def reload_nonsense(self) -> None:
        """A configuration that cannot be taken over, again and again."""
        file, root = self.relay.folder / "relay.toml", self.relay.folder / "root.key"
        good, secret = file.read_text(), root.read_text()
        bad_keys = ("not hex " + secret, secret[:10], os.urandom(32).hex())
        for text, key in (
            (good + "\n[", secret),
            (good.replace("audience", "audiens"), secret),
            *((good, key) for key in bad_keys),
        ):
            file.write_text(text)
            root.write_text(key)
            before = (self.relay.folder / "log").read_text().count("reload_")
            self.relay.process.send_signal(signal.SIGHUP)
            until = time.monotonic() + 10
            while (self.relay.folder / "log").read_text().count("reload_") == before:
                assert time.monotonic() < until, "it did not try to reload"
                time.sleep(0.02)
        file.write_text(good)
        root.write_text(secret)

    async def read_what_operators_read(self) -> None:
        """Metrics, health, and what the control API tells of the past."""
        fields = {"Authorization": f"Bearer {self.relay.api_key}"}
        for path in (
            "/metrics",
            "/healthz",
            "/readyz",
            "/api/v1/audit",
            "/api/v1/revocations",
            "/api/v1/revocations/meta",
        ):
            status, _, body = await self.ask("GET", self.relay.control + path, headers=fields)
            assert status == 200, path
            self.told.said[path] = body.decode()
