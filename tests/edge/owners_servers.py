"""Licence servers of DRM systems' owners, as far as the relay's bridges meet them: over HTTP, with what they check."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from os import urandom
from time import time
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from keys.errors import LicenceRequestError
from keys.licences.playready import PlayReadyServer, Status, fault
from keys.licences.terms import GrantedKey, Term
from keys.licences.widevine import CertificateRequest, NewLicenceRequest, WidevineServer
from keys.material import ContentKey
from keys.model import Hdcp, Outputs, Scheme, Security, TrackType

SIGNING_KEY, SIGNING_IV = bytes(range(32)), bytes(range(16))
ORDER_SECRET = bytes(range(100, 132))
Override = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class OwnersServer:
    """One server. ``override`` answers in its place; ``seen`` are the requests as it understood them."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    override: Override | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    url: str = ""


@asynccontextmanager
async def running(server: OwnersServer, answer: Override) -> AsyncIterator[None]:
    """Serve under ``server.url``."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await (server.override or answer)(request)

    app = web.Application()
    app.router.add_post("/license", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/license"
    try:
        yield
    finally:
        await runner.cleanup()


def widevine_service(server: OwnersServer, issuer: WidevineServer) -> Override:
    """Google's licence service, with ``issuer`` for what devices get."""

    async def answer(request: web.Request) -> web.StreamResponse:
        envelope = await request.json()
        message = b64decode(envelope["request"])
        decryptor = Cipher(algorithms.AES(SIGNING_KEY), modes.CBC(SIGNING_IV)).decryptor()
        digest = decryptor.update(b64decode(envelope["signature"]))
        if envelope["signer"] != "tester" or digest != sha1(message).digest() + b"\x0c" * 12:
            return web.json_response({"status": "SIGNATURE_FAILED"})
        body = json.loads(message)
        server.seen.append(body)
        try:
            licence = issued(body)
        except LicenceRequestError:
            return web.json_response({"status": "INVALID_LICENSE_CHALLENGE"})
        secret = {"session_state": {"signing_key": "c2VjcmV0"}}
        return web.json_response({"status": "OK", "license": b64encode(licence).decode(), **server.facts, **secret})

    def issued(body: dict[str, Any]) -> bytes:
        now = time()
        opened = issuer.open(b64decode(body["payload"]), now)
        if isinstance(opened, CertificateRequest):
            return issuer.service_certificate()
        if "policy_overrides" not in body:
            assert not isinstance(opened, NewLicenceRequest)
            return issuer.end(opened, now=now)
        policy = body["policy_overrides"]
        seconds = policy["license_duration_seconds"]
        term = Term(now + seconds if seconds else 0, renew_every=policy["renewal_delay_seconds"])
        if not isinstance(opened, NewLicenceRequest):
            return issuer.renew(opened, term, now=now)
        hdcp = {"HDCP_NONE": Hdcp.NONE, "HDCP_V1": Hdcp.V1, "HDCP_V2_2": Hdcp.V2_2}
        keys = [
            GrantedKey(
                ContentKey(b64decode(spec["key_id"]), b64decode(spec["key"]), bytes(16), bytes(8)),
                TrackType.AUDIO if spec["track_type"] == "AUDIO" else TrackType.HD,
                Security.HARDWARE if spec["security_level"] > 3 else Security.SOFTWARE,
                Outputs(hdcp[spec["required_output_protection"]["hdcp"]]),
            )
            for spec in body["content_key_specs"]
        ]
        return issuer.issue(opened, keys, term, now=now, entropy=urandom)

    return answer


def playready_server(server: OwnersServer, issuer: PlayReadyServer) -> Override:
    """A server built on Microsoft's SDK, with ``issuer`` for what clients get."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        protected, _, nonce, sealed, tag = request.headers["X-Licence-Order"].split(".")
        assert json.loads(base64url.decode(protected)) == {
            "alg": "dir",
            "enc": "A256GCM",
            "typ": "licence-order+jwe",
        }
        opened = AESGCM(ORDER_SECRET).decrypt(
            base64url.decode(nonce), base64url.decode(sealed) + base64url.decode(tag), protected.encode()
        )
        order = json.loads(opened)
        assert order["challenge"] == base64url.encode(sha256(body).digest())
        assert order["iat"] <= time() + 1 < order["exp"]
        server.seen.append(order)
        try:
            challenge = issuer.open(body, time())
        except LicenceRequestError:
            return web.Response(status=500, body=fault(Status.INVALID_MESSAGE, "no"))
        keys = [
            GrantedKey(
                ContentKey(bytes.fromhex(key["kid"]), bytes.fromhex(key["key"]), bytes(16), bytes(8)),
                TrackType(key["track"]),
                Security.HARDWARE if key["security_level"] >= 3000 else Security.SOFTWARE,
            )
            for key in order["keys"]
        ]
        scheme = Scheme(order["keys"][0]["scheme"])
        response = issuer.issue(challenge, keys, Term(order["end"]), now=time(), entropy=urandom, scheme=scheme)
        return web.Response(body=response, content_type="text/xml")

    return answer
