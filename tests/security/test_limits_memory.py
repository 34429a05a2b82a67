"""A relay's memory is bounded: what strangers send many times over, each time another, is not kept.

Every kind is sent once until caches and the allocator have what they want, then again; if what was sent the second
time were kept, memory would grow by twice the bound at least.
"""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
from yarl import URL

from keys import base64url
from tests.relay_process import RelayProcess
from tests.security.target import Target
from tests.wire import wire

REQUESTS = 6000
SIZE = 4000
"""Of what differs from request to request, in characters."""
MAX_GROWTH = REQUESTS * SIZE // 3
BATCH, CONNECTIONS = 40, 4
CHANNELS = 600
CHANNEL_GROWTH = CHANNELS * 4096
"""An open channel takes a little more, its socket not counted."""


def filler() -> str:
    """Text that no other is like."""
    return base64url.encode(os.urandom(SIZE * 3 // 4))


def get(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def post(path: str, body: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *fields, f"Content-Length: {len(body)}", "", body]).encode()


def bad_tokens(_: RelayProcess) -> bytes:
    head = base64url.encode(b'{"alg":"HS256","kid":"k1","typ":"session+jwt"}')
    claims = base64url.encode(b'{"iss":"https://platform.example","x":"%s"}' % filler()[: SIZE // 2].encode())
    return get(
        "/watch/vod/index.m3u8", f"Authorization: Bearer {head}.{claims}.{filler()[:43]}", f"X-Filler: {filler()}"
    )


def bad_passes(_: RelayProcess) -> bytes:
    return get(f"/p/{filler()}/vod/cenc.stable.uhd.clearkey/index.m3u8")


def bad_cookies(_: RelayProcess) -> bytes:
    return get("/watch/vod/index.m3u8", f"Cookie: segmentgate={filler()}; {filler()[:40]}=1")


def bad_paths(_: RelayProcess) -> bytes:
    return get(f"/{filler()}?{filler()[:100]}")


def bad_proofs(_: RelayProcess) -> bytes:
    return get(
        "/t/vod/cenc.stable.uhd.clearkey/index.m3u8", f"DPoP: {filler()}", f"Authorization: DPoP {filler()[:2000]}"
    )


def bad_challenges(_: RelayProcess) -> bytes:
    return post(f"/api/v1/drm/license?session={filler()[:800]}/vod/cenc.stable.uhd.clearkey", filler())


def idempotency_keys(relay: RelayProcess) -> bytes:
    fields = [f"Authorization: Bearer {relay.api_key}", f"Idempotency-Key: {filler()[:128]}"]
    return post("/api/v1/revocations", "{" + filler() + "}", *fields)


def bad_api_keys(_: RelayProcess) -> bytes:
    return get(f"/api/v1/revocations/{filler()[:200]}", f"Authorization: Bearer {filler()}")


EDGE = (bad_tokens, bad_passes, bad_cookies, bad_paths, bad_proofs, bad_challenges)
CONTROL = (idempotency_keys, bad_api_keys)


async def flood(base: str, requests: Iterator[bytes]) -> None:
    """Send requests, several on one connection before the answers to them are read; all of them are refused."""

    async def one() -> None:
        url = URL(base)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        while batch := [request for request, _ in zip(requests, range(BATCH), strict=False)]:
            writer.write(b"".join(batch))
            answered = b""
            while answered.count(b"HTTP/1.1 4") < len(batch):
                piece = await reader.read(1 << 16)
                assert piece, answered[-500:]
                answered += piece
        writer.close()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(one())


async def watch(target: Target, channel: str, times: int) -> None:
    """Open a session's channel, hear from it, and go, again and again."""
    for _ in range(times):
        async with wire(target.address("edge")) as peer:
            await peer.send(get(channel))
            assert b"event: keys" in await peer.reader.readuntil(b"event: keys")


@pytest.mark.parametrize("make", [*EDGE, *CONTROL], ids=lambda make: make.__name__)
async def test_what_strangers_send_is_not_kept(target: Target, make: Callable[[RelayProcess], bytes]) -> None:
    relay = target.relay
    base = relay.control if make in CONTROL else relay.edge
    await flood(base, (make(relay) for _ in range(REQUESTS)))
    before = relay.resident_bytes()
    await flood(base, (make(relay) for _ in range(REQUESTS)))
    grown = relay.resident_bytes() - before
    assert grown < MAX_GROWTH, f"{grown >> 20} MiB"


async def test_channels_that_were_closed_are_gone(target: Target) -> None:
    channel = (await target.session()).rpartition("/")[0] + "/events"
    await watch(target, channel, CHANNELS)
    before = target.relay.resident_bytes()
    await watch(target, channel, CHANNELS)
    grown = target.relay.resident_bytes() - before
    assert grown < CHANNEL_GROWTH, f"{grown >> 10} KiB"
