"""A relay with a real origin, a token issuer and both listeners, for tests from the outside."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from keys.exchange.packager import Signer
from keys.material import RootKey
from keys.ring import KeyRing
from relay.app import listening
from relay.config import parse_config
from relay.exchange.material import KeyServerMaterial
from relay.gate.dialects.jwt import mint_token
from relay.gate.dialects.keys import TokenKey
from relay.licensing.material import Material
from relay.secrets import Secrets
from relay.watermark.etsi.vendors import Vendor

VECTORS = Path(__file__).parent.parent / "vectors"
SECRET = bytes(range(32))
API_KEY = "k" * 40
KEY_RING = KeyRing([RootKey(1, bytes(32))])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class World:
    """One relay and its origin. ``handlers`` replaces the origin's answer for a path."""

    edge: str
    control: str
    client: aiohttp.ClientSession
    handlers: dict[str, Handler] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def token(self, **claims: Any) -> str:
        """A session token of the platform."""
        now = int(time.time())
        base = {
            "iss": "https://platform.example",
            "aud": "edge",
            "sub": "account-1",
            "sid": "session-1",
            "jti": "token-1",
            "iat": now,
            "exp": now + 600,
        }
        return mint_token({**base, **claims}, "k1", "HS256", SECRET)

    async def enter(self, stream: str, index: str = "index.m3u8", query: str = "", **claims: Any) -> str:
        """The session URL that the entry redirects to."""
        url = f"{self.edge}/watch/{stream}/{index}?token={self.token(**claims)}{query}"
        async with self.client.get(url, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
            return self.edge + answer.headers["Location"]

    async def get(self, url: str, **headers: str) -> tuple[int, bytes, Any]:
        """Status, body and headers of a GET."""
        async with self.client.get(url, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def order(self, *items: dict[str, Any]) -> dict[str, Any]:
        """Post revocations or restores."""
        headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": str(time.time_ns())}
        async with self.client.post(f"{self.control}/api/v1/revocations", json=list(items), headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            result: dict[str, Any] = await answer.json()
            return result

    async def revoke(self, **body: Any) -> dict[str, Any]:
        """Call the revocation API."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with self.client.post(f"{self.control}/api/v1/drm/revoke", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            result: dict[str, Any] = await answer.json()
            return result


def stream(origin: str, folder: str, **settings: Any) -> dict[str, Any]:
    """Configuration of a stream of the test origin."""
    return {"origin": f"{origin}/{folder}/", **settings}


@asynccontextmanager
async def running_world(
    origin_app: web.Application,
    world_of: Callable[[str], dict[str, Any]],
    material: Material | None = None,
    packagers: Sequence[tuple[Signer, Sequence[str]]] = (),
    key_servers: Mapping[str, KeyServerMaterial] | None = None,
    vendors: Sequence[Vendor] = (),
    **issuer: Any,
) -> AsyncIterator[World]:
    """A relay before ``origin_app``; ``world_of`` gives the configuration's streams for the origin's URL.

    ``material`` is what licences are made with, ``packagers`` may ask for keys of streams, ``key_servers`` give those
    of streams, ``vendors`` watermark tokens, ``issuer`` are further settings of the platform as an issuer.
    """
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(origin_app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        config = parse_config(
            {
                "edge": {"listen": "127.0.0.1:0"},
                "control": {"listen": "127.0.0.1:0", "api_key_file": "-", "probe": "0s"},
                "keys": {"roots": [{"generation": 1, "file": "-"}]},
                "tokens": {
                    "audience": "edge",
                    "issuers": [
                        {
                            "iss": "https://platform.example",
                            "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}],
                            **issuer,
                        }
                    ],
                },
                "origin": {"read_timeout": "1s", "connect_timeout": "1s"},
                "streams": world_of(origin),
                "packagers": [
                    {"signer": signer.name, "streams": list(names), "rsa_key": "-"} for signer, names in packagers
                ],
                "watermark": {
                    "vendors": [
                        {"number": vendor.number, "keys": [{"alg": "HS256", "file": "-"}]} for vendor in vendors
                    ]
                },
            },
            "test",
        )
        issuers = {"https://platform.example": [TokenKey.symmetric("k1", SECRET)]}
        secrets = Secrets(
            KEY_RING,
            issuers,
            API_KEY.encode(),
            licences=material or Material(),
            packagers={signer.name: signer for signer, _ in packagers},
            key_servers=key_servers or {},
            vendors=tuple(vendors),
        )
        where = await stack.enter_async_context(listening(config, secrets, Path()))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield World(f"http://127.0.0.1:{where.edge[1]}", f"http://127.0.0.1:{where.control[1]}", client)
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A relay before an origin that serves the test vectors, and whatever a test puts into ``handlers``."""
    holder: list[World] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        here = holder[0]
        here.fetched.append(request.path_qs)
        if request.path in here.handlers:
            return await here.handlers[request.path](request)
        path = VECTORS / request.path.lstrip("/")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)

    def streams(origin: str) -> dict[str, Any]:
        manifests = {"hls": "master.m3u8", "dash": "manifest.mpd"}
        return {
            "vod": stream(origin, "clear", **manifests),
            "ts": stream(origin, "ts-clear", hls="master.m3u8", scheme="aes-128"),
            "locked": stream(origin, "cenc", **manifests),
            "live": stream(
                origin, "live", hls="live.m3u8", dash="live.mpd",
                rotation={"interval": "4s", "pre_delivery": "1s"}, window="2m", default_track="sd",
            ),
            "gone": stream("http://127.0.0.1:9", "x", **manifests),
        }  # fmt: skip

    async with running_world(app, streams) as made:
        holder.append(made)
        yield made
