"""Proof of possession where the issuer asks for nonces: how a client gets one, keeps it fresh, and what it opens."""

import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import relay.node
from keys import base64url
from relay.gate.dialects.jws import seal
from relay.gate.dialects.keys import Signer
from relay.gate.dpop import thumbprint
from relay.gate.nonces import SLOT_S
from relay.problems import NONCE_HEADER, REASON_HEADER
from tests.edge.world import VECTORS, World, running_world, stream

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
SIGNER = Signer.load("", "EdDSA", PEM)
JWK = {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(KEY.public_key().public_bytes_raw())}
BOUND = {"jkt": thumbprint(JWK)}


async def vectors(request: web.Request) -> web.StreamResponse:
    path = VECTORS / Path(request.path.lstrip("/"))
    return web.FileResponse(path) if path.is_file() else web.Response(status=404)


def streams(origin: str) -> dict[str, Any]:
    return {"vod": stream(origin, "clear", hls="master.m3u8", dash="manifest.mpd")}


@pytest.fixture
async def strict() -> AsyncIterator[World]:
    """A relay whose issuer asks for nonces."""
    app = web.Application()
    app.router.add_get("/{path:.*}", vectors)
    async with running_world(app, streams, proof_nonce=True) as world:
        yield world


def proof(method: str, url: str, now: float, token: str = "", **claims: str) -> str:
    said = {"htm": method, "htu": url, "iat": int(now), "jti": uuid4().hex, **claims}
    if token:
        said["ath"] = base64url.encode(sha256(token.encode()).digest())
    return seal({"typ": "dpop+jwt", "jwk": JWK}, said, SIGNER)


async def test_a_refused_client_comes_back_with_the_nonce_and_gets_the_next_in_time(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.time() // SLOT_S * SLOT_S
    now = start
    monkeypatch.setattr(relay.node.Node, "clock", lambda _: now)
    token = strict.token(cnf=BOUND, iat=int(start))
    url = f"{strict.edge}/watch/vod/index.mpd"

    async def enter(**claims: str) -> tuple[int, Any]:
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof("GET", url, now, token, **claims)}
        async with strict.client.get(url, headers=headers, allow_redirects=False) as answer:
            return answer.status, answer.headers

    status, headers = await enter()
    assert status == 401
    assert headers["WWW-Authenticate"] == 'DPoP error="use_dpop_nonce"'
    assert headers[REASON_HEADER] == "proof_nonce"
    assert headers["Cache-Control"] == "no-store"
    exposed = headers["Access-Control-Expose-Headers"].split(", ")
    assert {NONCE_HEADER, "WWW-Authenticate"} <= set(exposed)
    nonce = headers[NONCE_HEADER]
    status, headers = await enter(nonce=nonce)
    assert status == 302
    assert headers[NONCE_HEADER] == nonce
    session = strict.edge + headers["Location"]
    # Of the next slot: still taken, and the answer brings its successor.
    now = start + SLOT_S
    keys = session.rpartition("/")[0] + "/keys"
    status, _, headers = await strict.get(keys, DPoP=proof("GET", keys, now, nonce=nonce))
    assert status == 200
    fresh = headers[NONCE_HEADER]
    assert fresh != nonce
    # Without a proof, too, the refusal brings one.
    status, _, headers = await strict.get(keys)
    assert (status, headers["WWW-Authenticate"], headers[NONCE_HEADER]) == (401, "DPoP", fresh)
    now = start + 2 * SLOT_S
    for held, expected in ((nonce, 401), (fresh, 200)):
        status, _, headers = await strict.get(keys, DPoP=proof("GET", keys, now, nonce=held))
        assert status == expected, held


async def test_what_a_cache_may_keep_brings_no_nonce(strict: World) -> None:
    token = strict.token(cnf=BOUND)

    async def get(url: str, nonce: str) -> Any:
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof("GET", url, time.time(), token, nonce=nonce)}
        async with strict.client.get(url, headers=headers) as answer:
            return answer.status, answer.headers, (await answer.read()).decode(errors="replace")

    url = f"{strict.edge}/t/vod/cenc.stable.uhd.clearkey/index.m3u8"
    _, headers, _ = await get(url, "none")
    nonce = headers[NONCE_HEADER]
    for _ in range(2):
        status, headers, body = await get(url, nonce)
        assert status == 200
        assert headers[NONCE_HEADER]
        url = urljoin(url, next(line for line in body.splitlines() if line and not line.startswith("#")))
    # By now it is a segment.
    status, headers, _ = await get(url, nonce)
    assert status == 200
    assert "max-age" in headers["Cache-Control"]
    assert NONCE_HEADER not in headers


async def test_who_is_bound_to_no_key_hears_of_no_nonce(strict: World) -> None:
    url = await strict.enter("vod", "index.mpd")
    status, _, headers = await strict.get(url)
    assert status == 200
    assert NONCE_HEADER not in headers
