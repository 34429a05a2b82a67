"""From the entry URL to decrypted samples: a player's way through the relay, without a player."""

import json
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urljoin

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import relay.node
from tests.edge.world import VECTORS, World
from tests.media.decrypt import read_samples


def lines(body: bytes) -> list[str]:
    return [line for line in body.decode().splitlines() if line and not line.startswith("#")]


async def playlist(world: World, query: str = "") -> tuple[str, bytes]:
    """URL and body of the video media playlist."""
    master = await world.enter("vod", query=query)
    status, body, _ = await world.get(master)
    assert status == 200
    url = urljoin(master, lines(body)[0])
    status, body, _ = await world.get(url)
    assert status == 200, body
    return url, body


async def test_the_entry_leads_into_a_session_and_leaves_the_token_behind(world: World) -> None:
    url = await world.enter("vod")
    assert "/p/" in url
    assert world.token() not in url
    status, body, headers = await world.get(url)
    assert status == 200
    assert headers["Content-Type"] == "application/vnd.apple.mpegurl"
    assert b"127.0.0.1" not in body


async def test_equal_sessions_of_a_class_share_every_byte_but_the_licence_url(world: World) -> None:
    bodies = []
    for sid in ("one", "two"):
        _, body, _ = await world.get(await world.enter("vod", "index.mpd", sid=sid))
        bodies.append(re.sub(rb"\?session=[^<\"]+", b"", body))
    assert bodies[0] == bodies[1]


async def test_a_session_outlives_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await world.enter("vod", exp=int(time.time()) + 1)
    later = time.time() + 60
    monkeypatch.setattr(relay.node.Node, "clock", lambda _: later)
    status, _, _ = await world.get(url)
    assert status == 200


async def test_a_licence_holds_the_key_that_decrypts_the_segments(world: World) -> None:
    url, body = await playlist(world, "&signalling=period&systems=clearkey")
    licence = re.search(rb'URI="(http[^"]+license[^"]+)"', body)
    kid = re.search(rb"KEYID=0x([0-9a-f]{32})", body)
    init = re.search(rb'EXT-X-MAP:URI="([^"]+)"', body)
    assert licence
    assert kid
    assert init
    raw = bytes.fromhex(kid[1].decode())
    challenge = {"kids": [urlsafe_b64encode(raw).rstrip(b"=").decode()], "type": "temporary"}
    async with world.client.post(licence[1].decode(), data=json.dumps(challenge)) as answer:
        assert answer.status == 200
        keys = {
            urlsafe_b64decode(key["kid"] + "=="): urlsafe_b64decode(key["k"] + "==")
            for key in (await answer.json())["keys"]
        }
    _, init_body, _ = await world.get(urljoin(url, init[1].decode()))
    _, segment, _ = await world.get(urljoin(url, lines(body)[0]))
    clear = (VECTORS / "clear" / "v_1.m4s").read_bytes()
    clear_init = (VECTORS / "clear" / "v_init.mp4").read_bytes()
    assert read_samples(init_body, segment, keys) == read_samples(clear_init, clear)


async def test_aes128_segments_decrypt_with_the_delivered_key(world: World) -> None:
    master = await world.enter("ts")
    _, body, _ = await world.get(master)
    url = urljoin(master, lines(body)[0])
    _, body, _ = await world.get(url)
    key_uri = re.search(rb'METHOD=AES-128,URI="([^"]+)"', body)
    assert key_uri
    status, key, headers = await world.get(urljoin(url, key_uri[1].decode()))
    assert (status, len(key), headers["Cache-Control"]) == (200, 16, "no-store")
    _, segment, _ = await world.get(urljoin(url, lines(body)[0]))
    decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
    padded = decryptor.update(segment) + decryptor.finalize()
    assert padded[: -padded[-1]] == (VECTORS / "ts-clear" / "v_1.ts").read_bytes()


@pytest.mark.parametrize(
    ("agent", "query", "scheme"),
    [
        ("Lavf/61.7.100", "", "aes-128"),
        ("VLC/3.0.21 LibVLC/3.0.21", "", "aes-128"),
        ("Lavf/61.7.100", "&scheme=cbcs", "cbcs"),
        ("Mozilla/5.0", "", "cenc"),
    ],
)
async def test_players_without_a_cdm_are_led_to_aes128(world: World, agent: str, query: str, scheme: str) -> None:
    url = f"{world.edge}/watch/vod/index.m3u8?token={world.token()}{query}"
    async with world.client.get(url, headers={"User-Agent": agent}, allow_redirects=False) as answer:
        assert f"/vod/{scheme}." in answer.headers["Location"]


async def test_a_segment_is_fetched_and_protected_once_for_all_viewers(world: World) -> None:
    bodies = set()
    for sid in ("a", "b", "c"):
        master = await world.enter("vod", sid=sid)
        _, body, _ = await world.get(master)
        url = urljoin(master, lines(body)[0])
        _, body, _ = await world.get(url)
        bodies.add((await world.get(urljoin(url, lines(body)[0])))[1])
    assert len(bodies) == 1
    assert world.fetched.count("/clear/v_1.m4s") == 1


async def test_ranges_heads_and_conditions_are_honoured(world: World) -> None:
    url, body = await playlist(world)
    segment = urljoin(url, lines(body)[0])
    _, whole, headers = await world.get(segment)
    status, part, part_headers = await world.get(segment, Range="bytes=100-199")
    assert (status, part) == (206, whole[100:200])
    assert part_headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    status, tail, _ = await world.get(segment, Range="bytes=-50")
    assert (status, tail) == (206, whole[-50:])
    status, _, refused = await world.get(segment, Range=f"bytes={len(whole)}-")
    assert (status, refused["Content-Range"]) == (416, f"bytes */{len(whole)}")
    status, everything, _ = await world.get(segment, Range="bytes=0-1,5-6")
    assert (status, everything) == (200, whole)
    status, nothing, _ = await world.get(segment, **{"If-None-Match": headers["ETag"]})
    assert (status, nothing) == (304, b"")
    async with world.client.head(segment) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(whole)))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("&scheme=cbcs&systems=identity", "METHOD=SAMPLE-AES,"),
        ("&systems=clearkey", 'KEYFORMAT="org.w3.clearkey"'),
        ("&scheme=aes-128", "METHOD=AES-128"),
        ("&systems=widevine,playready", "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"),
        ("&scheme=cbcs&signalling=period&systems=fairplay", "com.apple.streamingkeydelivery"),
    ],
)
async def test_the_entry_query_chooses_the_class(world: World, query: str, expected: str) -> None:
    _, body = await playlist(world, query)
    assert expected in body.decode()
