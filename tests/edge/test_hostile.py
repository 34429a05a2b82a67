"""Bad URLs, tokens, bodies and origins: each gets its own answer, and none harms another stream."""

import asyncio
import re
from urllib.parse import urljoin

import pytest
from aiohttp import web

from tests.edge.world import VECTORS, World


async def first_segment(world: World, stream: str = "vod") -> str:
    master = await world.enter(stream)
    _, body, _ = await world.get(master)
    url = urljoin(master, next(line for line in body.decode().splitlines() if line.startswith("m/")))
    _, body, _ = await world.get(url)
    return urljoin(url, next(line for line in body.decode().splitlines() if "/s/" in line and line[0] != "#"))


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"/s/sd\.", "/s/hd."),
        (r"\.1\.0/", ".1.600000/"),
        (r"v_1\.m4s", "v_2.m4s"),
        (r"v_1\.m4s", "../cenc/v_1.m4s"),
        (r"v_1\.m4s", "..%2fcenc%2fv_1.m4s"),
        (r"m=v_init", "m=a_init"),
        (r"/cenc\.stable", "/cbcs.stable"),
        (r"/vod/", "/locked/"),
        (r"sig=.{16}", "sig=AAAAAAAAAAAAAAAA"),
        (r"&sig=.*", ""),
        (r"/s/", "/c/"),
        (r"/s/sd", "/k/sd"),
    ],
)
async def test_an_edited_url_is_refused(world: World, pattern: str, replacement: str) -> None:
    segment = await first_segment(world)
    edited = re.sub(pattern, replacement, segment, count=1)
    assert edited != segment
    status, _, headers = await world.get(edited)
    assert (status, headers["Relay-Reason"]) == (403, "scope_url")
    assert world.fetched.count("/clear/v_2.m4s") == 0


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/watch/vod/index.m3u8", 401, "token_missing"),
        ("/watch/vod/index.m3u8?token=x", 400, "token_malformed"),
        ("/watch/vod/index.m3u8?token=a.b.c", 400, "token_malformed"),
        ("/watch/nowhere/index.m3u8?token={token}", 404, "stream_unknown"),
        ("/watch/vod/other.m3u8?token={token}", 404, "stream_unknown"),
        ("/watch/vod/index.m3u8?token={token}&token=x", 400, "token_conflict"),
        ("/watch/vod/index.m3u8?token={token}&scheme=rot13", 400, "request_invalid"),
        ("/p/x/vod/cenc.stable.uhd/index.m3u8", 400, "token_malformed"),
        ("/nothing/here", 404, "not_found"),
    ],
)
async def test_bad_requests_are_told_apart(world: World, path: str, status: int, reason: str) -> None:
    found, body, headers = await world.get(world.edge + path.format(token=world.token()))
    assert (found, headers["Relay-Reason"], headers["Access-Control-Allow-Origin"]) == (status, reason, "*")
    assert body.decode().strip() == reason


async def test_a_session_may_have_only_its_streams_and_tracks(world: World) -> None:
    url = f"{world.edge}/watch/vod/index.m3u8?token={world.token(ent=['other'])}"
    status, _, headers = await world.get(url)
    assert (status, headers["Relay-Reason"]) == (403, "scope_stream")
    segment = await first_segment(world)
    audio_only = await world.enter("vod", drm={"max_track": "audio"})
    mine = audio_only.split("/vod/")[0]
    stolen = mine + "/vod/" + segment.split("/vod/")[1]
    listed = audio_only.replace(".audio.", ".uhd.")
    for url in (stolen, listed, stolen.replace(".uhd.", ".audio.")):
        status, _, headers = await world.get(url)
        assert (status, headers["Relay-Reason"]) in {(403, "scope_track"), (403, "scope_url")}


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (lambda: web.Response(body=b"garbage"), 502, "origin_media"),
        (lambda: web.Response(body=(VECTORS / "clear/v_1.m4s").read_bytes()[:-7]), 502, "origin_media"),
        (lambda: web.Response(body=(VECTORS / "cenc/v_1.m4s").read_bytes()), 502, "origin_already_protected"),
        (lambda: web.Response(status=404), 404, "origin_missing"),
        (lambda: web.Response(status=403), 502, "origin_status"),
        (lambda: web.Response(status=500), 502, "origin_status"),
        (lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"}), 502, "origin_foreign"),
        (lambda: web.Response(status=302, headers={"Location": "/cenc/v_1.m4s"}), 502, "origin_foreign"),
    ],
)
async def test_an_origin_failure_is_named_and_never_cached(
    world: World, answer: "type[web.Response]", status: int, reason: str
) -> None:
    segment = await first_segment(world)

    async def fail(_: web.Request) -> web.Response:
        return answer()

    world.handlers["/clear/v_1.m4s"] = fail
    found, body, headers = await world.get(segment)
    assert (found, headers["Relay-Reason"]) == (status, reason)
    assert b"127.0.0.1" not in body
    del world.handlers["/clear/v_1.m4s"]
    found, _, _ = await world.get(segment)
    assert found == 200


async def test_a_slow_origin_is_a_gateway_timeout(world: World) -> None:
    segment = await first_segment(world)

    let_go = asyncio.Event()

    async def sleep(_: web.Request) -> web.Response:
        await let_go.wait()
        return web.Response()

    world.handlers["/clear/v_1.m4s"] = sleep
    status, _, headers = await world.get(segment)
    assert (status, headers["Relay-Reason"]) == (504, "origin_timeout")
    let_go.set()


async def test_one_retry_hides_a_hiccup_of_the_origin(world: World) -> None:
    segment = await first_segment(world)
    answers = iter([503, 200])

    async def hiccup(_: web.Request) -> web.Response:
        return web.Response(status=next(answers), body=(VECTORS / "clear/v_1.m4s").read_bytes())

    world.handlers["/clear/v_1.m4s"] = hiccup
    status, _, _ = await world.get(segment)
    assert status == 200


async def test_protected_input_and_dead_origins_leave_other_streams_alone(world: World) -> None:
    master = await world.enter("locked")
    status, _, headers = await world.get(master)
    playlist = urljoin(master, "x")
    assert playlist
    _, body, _ = await world.get(master)
    url = urljoin(master, next(line for line in body.decode().splitlines() if line.startswith("m/")))
    status, _, headers = await world.get(url)
    assert (status, headers["Relay-Reason"]) == (502, "origin_already_protected")
    status, _, headers = await world.get(await world.enter("gone"))
    assert (status, headers["Relay-Reason"]) == (502, "origin_unreachable")
    assert (await world.get(await world.enter("vod")))[0] == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "request_invalid"),
        (b"[" * 100_000, "request_entity_too_large"),
        (b"[" * 10_000, "request_invalid"),
        (b'{"kids":[]}', "request_invalid"),
        (b'{"kids":["AAAA"],"type":"temporary"}', "request_invalid"),
        (b'{"kids":["AAAAAAAAAAAAAAAAAAAAAA"],"type":"persistent-license"}', "request_invalid"),
        (b'{"kids":["AAAAAAAAAAAAAAAAAAAAAA"],"type":"temporary"}', "scope_key"),
        (b"\xff\xfe", "request_invalid"),
    ],
)
async def test_bad_challenges_are_refused_with_a_problem(world: World, body: bytes, reason: str) -> None:
    url = f"{world.edge}/api/v1/drm/license?stream_id=vod"
    headers = {"Authorization": f"Bearer {world.token()}"}
    async with world.client.post(url, data=body, headers=headers) as answer:
        problem = await answer.json()
        assert answer.content_type == "application/problem+json"
        assert (problem["code"], problem["status"]) == (reason, answer.status)
        assert 400 <= answer.status < 500


async def test_preflights_need_no_token(world: World) -> None:
    async with world.client.options(f"{world.edge}/api/v1/drm/license?session=x") as answer:
        assert answer.status == 204
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]


async def test_one_streams_stalled_origin_leaves_the_others_their_connections(world: World) -> None:
    """Every connection of one stream hangs; another stream is served as ever."""
    let_go = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await let_go.wait()
        return web.Response()

    for number in range(300):
        world.handlers[f"/live/seg-{number}.m4s"] = hang
    lines = "\n".join(f"#EXTINF:1.0,\nseg-{number}.m4s" for number in range(300))

    async def playlist(_: web.Request) -> web.Response:
        return web.Response(text=f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="init.mp4"\n{lines}\n')

    async def init(_: web.Request) -> web.Response:
        return web.Response(body=(VECTORS / "clear/v_init.mp4").read_bytes())

    world.handlers["/live/live.m3u8"] = playlist
    world.handlers["/live/init.mp4"] = init
    session = await world.enter("live")
    _, body, _ = await world.get(session)
    urls = [urljoin(session, line) for line in body.decode().splitlines() if line.startswith("s/")]
    assert len(urls) == 300
    hanging = [asyncio.create_task(world.get(url)) for url in urls]
    await asyncio.sleep(0.3)
    assert (await world.get(await first_segment(world)))[0] == 200
    let_go.set()
    await asyncio.gather(*hanging)


async def test_a_playlist_that_claims_a_century_is_answered_at_once(world: World) -> None:
    """Two dates a century apart would be a billion periods; what is handed out stays bounded."""

    async def playlist(_: web.Request) -> web.Response:
        return web.Response(
            text="#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:5\n"
            '#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00Z\n#EXT-X-MAP:URI="init.mp4"\n#EXTINF:1.0,\na.m4s\n'
            "#EXT-X-PROGRAM-DATE-TIME:2070-01-01T00:00:00Z\n#EXTINF:1.0,\nb.m4s\n#EXT-X-ENDLIST\n"
        )

    world.handlers["/live/live.m3u8"] = playlist
    session = await world.enter("live")
    assert (await world.get(session))[0] == 200
    status, body, _ = await asyncio.wait_for(world.get(urljoin(session, "keys")), 5)
    assert status == 200
    assert body.count(b'"kid"') < 1000


async def test_a_foreign_page_is_never_answered_with_credentials(world: World) -> None:
    headers = {"Origin": "https://evil.example", "Cookie": f"segmentgate={world.token()}"}
    _, _, found = await world.get(f"{world.edge}/t/vod/cenc.stable.uhd/keys", **headers)
    assert found["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in found
