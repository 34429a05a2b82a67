"""A node with its control listener alone, and an operator at it: for tests of the operator-facing API."""

import hmac
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from keys.material import RootKey
from keys.ring import KeyRing
from relay.app import running_node
from relay.config import Config, parse_config
from relay.control.app import create_control
from relay.control.transmitters import Transmitter
from relay.edge.licence import OPERATIONS as LICENCE_OPERATIONS
from relay.facts import Facts
from relay.gate.dialects.keys import TokenKey
from relay.gate.gate import Visitor
from relay.model import Session
from relay.node import Node
from relay.secrets import Secrets
from relay.sessions.open_responses import OpenResponse
from relay.webhooks.hook import Endpoint

API_KEY = "k" * 40
ISSUER = "https://platform.example"
Answer = tuple[int, Any, Any]
VOD = {"vod": {"origin": "http://127.0.0.1:9/vod/", "hls": "a.m3u8"}}


def signature(secret: bytes, body: bytes, at: int = 0) -> dict[str, str]:
    """The headers of a signed webhook (Standard Webhooks)."""
    written = str(at or int(time.time()))
    signed = hmac.digest(secret, f"message-1.{written}.".encode() + body, "sha256")
    return {
        "webhook_id": "message-1",
        "webhook_timestamp": written,
        "webhook_signature": f"v1,{b64encode(signed).decode()}",
    }


@dataclass
class Desk:
    """One node's control listener. ``cut`` lists the session ids whose open responses were cut."""

    node: Node
    server: TestServer
    url: str
    client: aiohttp.ClientSession
    cut: list[str] = field(default_factory=list)
    calls: int = 0

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Status, JSON body (None where there is none) and headers of an API call; a body of bytes goes as it is."""
        headers = {"Authorization": f"Bearer {API_KEY}", **{name.replace("_", "-"): v for name, v in headers.items()}}
        headers = {name: value for name, value in headers.items() if value}
        sent: dict[str, Any] = {"data": BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        async with self.client.request(method, self.url + path, headers=headers, **sent) as answer:
            raw = await answer.read()
            is_json = answer.headers.get("Content-Type", "").partition(";")[0].endswith(("/json", "+json"))
            return answer.status, await answer.json(content_type=None) if is_json else raw or None, answer.headers

    async def get(self, path: str, **headers: str) -> Any:
        """The JSON of a resource."""
        status, body, _ = await self.call("GET", path, **headers)
        assert status == 200, body
        return body

    async def revoke(self, *items: dict[str, Any], query: str = "", **headers: str) -> Any:
        """Post items under a key of their own; the answer's JSON."""
        self.calls += 1
        headers.setdefault("Idempotency_Key", f"call-{self.calls}")
        status, body, _ = await self.call("POST", f"/api/v1/revocations{query}", list(items), **headers)
        assert status == 200, body
        return body

    def watch(self, sid: str = "session-1", account: str = "account-1", stream: str = "vod", **claims: Any) -> Visitor:
        """Open a response of a session on a stream."""
        session = Session(sid, account, ISSUER, int(time.time()) + 86_400, **claims)
        visitor = Visitor.of(session, stream)
        self.open(visitor)
        return visitor

    def open(self, visitor: Visitor) -> None:
        """Open a response of a visitor."""
        entry = OpenResponse(visitor, self.facts, lambda: self._gone(visitor.session.sid, entry))
        self.node.open_responses.add(entry)

    def facts(self) -> Facts:
        """Of every request."""
        return Facts("GET", "/", address="192.0.2.1", asn=64500)

    def refuses(self, visitor: Visitor) -> bool:
        """Whether the gate refuses a visitor by revocation."""
        return self.node.gate.is_revoked(visitor, self.facts, self.node.clock())

    def _gone(self, sid: str, entry: OpenResponse) -> None:
        self.cut.append(sid)
        self.node.open_responses.discard(entry)


@asynccontextmanager
async def open_desk(
    directory: Path | None = None,
    transmitters: list[Transmitter] | None = None,
    clock: Callable[[], float] = time.time,
    probe: str = "0s",
    name: str = "node-a",
    log: str = "",
    keys: Sequence[dict[str, str]] = (),
    streams: dict[str, Any] | None = None,
    endpoints: Sequence[Endpoint] = (),
    settings: Mapping[str, Any] | None = None,
    webhooks: Mapping[str, Sequence[bytes]] | None = None,
) -> AsyncIterator[Desk]:
    """A desk; its journal is in memory unless a directory is given, and it is alone unless a shared log is.

    ``settings`` are further sections of its configuration; ``webhooks`` are the secrets of those that sell or detect.
    """
    further = dict(settings or {})
    control = {"probe": probe, "keys": keys, **further.pop("control", {})}
    config = desk_config(control, directory, name, log, {**(streams or VOD), **further.pop("streams", {})}, **further)
    sold = webhooks or {source["name"]: () for source in further.get("purchases", {}).get("sources", [])}
    detectors = [detector["name"] for detector in further.get("watermark", {}).get("detectors", [])]
    secrets = replace(
        desk_secrets(),
        purchases={name: tuple(found) for name, found in sold.items()},
        detectors={name: tuple((webhooks or {}).get(name, ())) for name in detectors},
    )
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(running_node(config, secrets, Path(), clock))
        server = TestServer(create_control(node, transmitters or [], LICENCE_OPERATIONS, endpoints))
        await server.start_server()
        stack.push_async_callback(server.close)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Desk(node, server, str(server.make_url("")).rstrip("/"), client)


def desk_config(
    control: dict[str, Any],
    directory: Path | None = None,
    name: str = "node-a",
    log: str = "",
    streams: dict[str, Any] | None = None,
    **further: Any,
) -> Config:
    """The configuration of a desk's node, with ``further`` sections."""
    return parse_config(
        {
            "edge": {"listen": "127.0.0.1:0"},
            "control": {"listen": "127.0.0.1:0", "api_key_file": "-", **control},
            "keys": {"roots": [{"generation": 1, "file": "-"}]},
            "tokens": {
                "audience": "edge",
                "issuers": [{"iss": ISSUER, "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}]}],
            },
            "streams": streams or VOD,
            "state": {"directory": str(directory) if directory else "", "node": name, "log": log},
            **further,
        },
        "test",
    )


def desk_secrets() -> Secrets:
    """What its files hold."""
    issuers = {ISSUER: [TokenKey.symmetric("k1", bytes(range(32)))]}
    return Secrets(KeyRing([RootKey(1, bytes(32))]), issuers, API_KEY.encode())
