"""Watermarked streams from the outside: who gets which variant, and what of it anybody can see."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import pytest
from aiohttp import web

from relay.model import Session
from relay.watermark.etsi.inband import find, with_wmpi
from relay.watermark.etsi.pace import PaceInfo
from relay.watermark.etsi.sidecar import EGRESS_HEADER, Discrete, Segment, encode_egress
from tests.edge.film import (
    COUNT,
    SINGLE,
    STARTS,
    TS_VARIANTS,
    VARIANTS,
    Film,
    Handler,
    showing,
    single_playlist,
    variant_of,
)
from tests.edge.world import API_KEY
from tests.media.decrypt import read_entries

SESSIONS = [f"session-{number}" for number in range(6)]


@pytest.fixture
async def film() -> AsyncIterator[Film]:
    """The film, its positions in sidecars."""
    async with showing() as film:
        yield film


async def bits(film: Film, sid: str, stream: str = "film", query: str = "") -> list[int]:
    """The variants that a session gets of all segments."""
    variants = TS_VARIANTS if stream == "ts" else VARIANTS
    found = []
    for url, pair in zip(await film.segments(sid, stream, query), variants, strict=True):
        status, body, _ = await film.world.get(url)
        assert status == 200, body
        found.append(variant_of(body, url, stream, pair))
    return found


@pytest.mark.parametrize(
    ("stream", "query"),
    [("film", ""), ("film", "&scheme=cbcs"), ("film", "&scheme=aes-128"), ("ts", ""), ("single", "")],
)
async def test_each_session_gets_the_variants_of_its_code(film: Film, stream: str, query: str) -> None:
    every = []
    for sid in SESSIONS:
        expected = [film.bit(sid, 100 + number) for number in range(COUNT)]
        assert await bits(film, sid, stream, query) == expected
        every.append(expected)
    assert len(set(map(tuple, every))) > 3


async def test_the_platforms_watermark_id_is_what_the_code_goes_by(film: Film) -> None:
    one = [await film.segments(sid, wmid="00000000000000aa") for sid in ("one", "two")]
    bodies = [[(await film.world.get(url))[1] for url in urls] for urls in one]
    assert bodies[0] == bodies[1]


async def test_dash_is_the_same(film: Film) -> None:
    session = await film.world.enter("film", "index.mpd", sid="session-1")
    text = (await film.world.get(session))[1].decode()
    template = re.search(r'media="(t/[^"]*\$Number\$[^"]*)"', text.replace("&amp;", "&"))
    assert template, text
    templates = [
        one for one in re.findall(r'media="([^"]+)"', text.replace("&amp;", "&")) if "/hd/" in one or "/sd/" in one
    ]
    for number in range(COUNT):
        url = urljoin(session, templates[0].replace("$Number$", str(number + 1)))
        status, body, _ = await film.world.get(url)
        assert status == 200
        assert body in [(await film.world.get(one))[1] for one in await film.segments("session-1")]


async def test_parts_ranges_and_growing_segments_are_all_of_one_variant(film: Film) -> None:
    """Many sessions at the same time, each by another way: every body is wholly the variant of its code."""

    def slowly(body: bytes) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for at in range(0, len(body), 3000):
                await response.write(body[at : at + 3000])
                await asyncio.sleep(0.001)
            await response.write_eof()
            return response

        return answer

    for number in (0, 1):
        for letter, body in zip("ab", VARIANTS[number], strict=True):
            film.handlers[f"/film/{letter}/v_{number + 1}.m4s"] = slowly(body)

    async def play(sid: str, number: int) -> None:
        url = (await film.segments(sid))[number]
        whole, again = await asyncio.gather(film.world.get(url), film.world.get(url))
        assert whole[1] == again[1]
        assert variant_of(whole[1], url, "film", VARIANTS[number]) == film.bit(sid, 100 + number)
        step = len(whole[1]) // 3 + 1
        spans = [film.world.get(url, Range=f"bytes={at}-{at + step - 1}") for at in range(0, len(whole[1]), step)]
        assert b"".join(body for _, body, _ in await asyncio.gather(*spans)) == whole[1]

    await asyncio.gather(*(play(f"s{count}", number) for count in range(12) for number in range(3)))
    assert sum(path.startswith("GET /film/a/v_3") for path in film.asked) <= 1
    assert sum("WMPaceInfo/v_3" in path for path in film.asked) == 1


async def test_low_latency_parts_go_with_their_segment(film: Film) -> None:
    """Parts are segments of their own to an edge: those of one position are of one variant."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:2", "#EXT-X-PART-INF:PART-TARGET=1.0"]
    lines += ["#EXT-X-MEDIA-SEQUENCE:7", '#EXT-X-MAP:URI="v_init.mp4"', "#EXTINF:2.0,", "v_1.m4s"]
    lines += [f'#EXT-X-PART:DURATION=1.0,URI="v_2.{part}.m4s"' for part in (0, 1)]
    film.files["/film/v.m3u8"] = "\n".join([*lines, ""]).encode()
    for part in (0, 1):
        for letter, body in zip("ab", VARIANTS[2 + part], strict=True):
            film.files[f"/film/{letter}/v_2.{part}.m4s"] = body
        film.files[f"/film/WMPaceInfo/v_2.{part}.m4s"] = Discrete(
            Segment(101, firstpart=part == 0, lastpart=part == 1)
        ).encode()
    for sid in SESSIONS:
        session = await film.world.enter("film", sid=sid)
        master = (await film.world.get(session))[1].decode()
        playlist = urljoin(session, next(line for line in master.splitlines() if line.startswith("m/")))
        text = (await film.world.get(playlist))[1].decode()
        urls = [urljoin(playlist, uri) for uri in re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', text)]
        assert len(urls) == 2
        for url, pair in zip(urls, VARIANTS[2:4], strict=True):
            assert variant_of((await film.world.get(url))[1], url, "film", pair) == film.bit(sid, 101)


async def test_nothing_that_a_session_sees_names_a_variant(film: Film) -> None:
    urls = {sid: await film.segments(sid) for sid in SESSIONS}
    # But for the pass, all have the same URLs.
    assert len({tuple(url.split("/film/", 1)[1] for url in each) for each in urls.values()}) == 1
    seen: dict[int, tuple[set[str], set[str]]] = {0: (set(), set()), 1: (set(), set())}
    for sid in SESSIONS:
        _, body, headers = await film.world.get(urls[sid][0])
        names, tags = seen[variant_of(body, urls[sid][0], "film", VARIANTS[0])]
        names.add(",".join(headers))
        tags.add(headers["ETag"])
        assert not {"Last-Modified", "Age", "Location", EGRESS_HEADER} & set(headers)
        _, _, partial = await film.world.get(urls[sid][0], Range="bytes=0-9", **{"If-Range": headers["ETag"]})
        assert partial["Content-Range"] == f"bytes 0-9/{len(body)}"
    assert seen[0][0] == seen[1][0]
    # Ranges of two variants are never put together, so each has a tag; it is made under a secret.
    assert [len(tags) for _, tags in seen.values()] == [1, 1]
    assert seen[0][1] != seen[1][1]


async def test_variants_share_a_key_and_no_counter_block(film: Film) -> None:
    """All that an IV could be made of but the samples themselves is the same in both: name, boxes, times, key."""
    found: dict[int, bytes] = {}
    for sid in SESSIONS:
        url = (await film.segments(sid))[0]
        body = (await film.world.get(url))[1]
        found[variant_of(body, url, "film", VARIANTS[0])] = body
    ivs = [{iv for iv, _ in read_entries(found[variant], 0, 0, 8)} for variant in (0, 1)]
    assert len(ivs[0]) == len(ivs[1]) > 40
    assert not ivs[0] & ivs[1]
    at = min(at for at in range(len(found[0])) if found[0][at] != found[1][at])
    moof = found[0].index(b"moof")
    # They differ from the IVs on, and where the clear samples are equal, too.
    assert moof < at < found[0].index(b"mdat")


@pytest.mark.parametrize("folder", ["a", "b", "WMPaceInfo"])
async def test_players_cannot_ask_for_a_variant_or_its_pace(film: Film, folder: str) -> None:
    url = (await film.segments("session-0"))[0]
    status, body, _ = await film.world.get(url.replace("/v_1.m4s", f"/{folder}/v_1.m4s"))
    assert (status, b"scope_url" in body) == (403, True)
    status, _, _ = await film.world.get(f"{film.world.edge}/watch/film/{folder}/v_1.m4s?token={film.world.token()}")
    assert status == 404
    assert not any(f"/{folder}/" in asked for asked in film.asked)


async def test_a_manifest_that_lists_pace_information_does_not_open_it(film: Film) -> None:
    film.files["/film/v.m3u8"] = film.files["/film/v.m3u8"].replace(b"v_2.m4s", b"WMPaceInfo/v_2.m4s")
    status, _, _ = await film.world.get((await film.segments("session-0"))[1])
    assert status == 403
    assert not any("WMPaceInfo" in asked for asked in film.asked)


async def test_without_variant_b_everybody_has_variant_a(film: Film) -> None:
    other = next(sid for sid in SESSIONS if film.bit(sid, 102))
    del film.files["/film/b/v_3.m4s"]
    assert (await bits(film, other))[2] == 0
    film.files["/film/b/v_3.m4s"] = VARIANTS[2][1]
    assert await film.served() == {other: [(100, 101, True), (102, 102, False), (103, 105, True)]}
    # Nor a little later: who has some of the segment goes on with the same.
    assert (await bits(film, other))[2] == 0
    assert [
        number for number in range(COUNT) if (await bits(film, other))[number] != film.bit(other, 100 + number)
    ] == [2]


async def test_a_broken_variant_b_is_one_that_is_missing(film: Film) -> None:
    other = next(sid for sid in SESSIONS if film.bit(sid, 102))
    film.files["/film/b/v_3.m4s"] = b"not a segment"
    assert (await bits(film, other))[2] == 0


async def test_a_segment_that_is_gone_is_gone(film: Film) -> None:
    for letter in "ab":
        del film.files[f"/film/{letter}/v_3.m4s"]
    for sid in SESSIONS[:3]:
        status, _, _ = await film.world.get((await film.segments(sid))[2])
        assert status == 404


@pytest.mark.parametrize("sidecar", [None, b"", b"\xa0", Discrete(Segment(7, "other")).encode()])
async def test_without_pace_information_everybody_has_variant_a(film: Film, sidecar: bytes | None) -> None:
    path = "/film/WMPaceInfo/v_3.m4s"
    if sidecar is None:
        del film.files[path]
    else:
        film.files[path] = sidecar
    assert [(await bits(film, sid))[2] for sid in SESSIONS] == [0] * len(SESSIONS)
    assert film.asked.count(f"GET {path}") == 1
    # It is told that something was served there which nobody can be told by.
    kept = [(100, 101, True), (-2, -2, False), (103, 105, True)]
    assert await film.served() == dict.fromkeys(SESSIONS, kept)


async def test_what_has_neither_pace_nor_variants_plays(film: Film) -> None:
    """A slate or an advertisement between the film's own segments."""
    for path in ("/film/WMPaceInfo/v_3.m4s", "/film/a/v_3.m4s", "/film/b/v_3.m4s"):
        del film.files[path]
    film.files["/film/v_3.m4s"] = VARIANTS[2][0]
    assert [(await bits(film, sid))[2] for sid in SESSIONS] == [0] * len(SESSIONS)


async def test_what_pace_information_calls_unmarked_is_variant_a(film: Film) -> None:
    film.files["/film/WMPaceInfo/v_3.m4s"] = Discrete(Segment(-1)).encode()
    assert [(await bits(film, sid))[2] for sid in SESSIONS] == [0] * len(SESSIONS)


async def test_a_byte_range_over_two_positions_is_refused(film: Film) -> None:
    halves = [(STARTS[1] - STARTS[0], STARTS[0]), (STARTS[3] - STARTS[1], STARTS[1])]
    film.files["/single/film.m3u8"] = single_playlist(*halves).encode()
    for sid in SESSIONS[:3]:
        one, two = await film.segments(sid, "single")
        assert variant_of((await film.world.get(one))[1], one, "single", VARIANTS[0]) == film.bit(sid, 100)
        status, body, _ = await film.world.get(two)
        assert (status, b"origin_media_unsupported" in body) == (502, True)
    assert len(SINGLE[0]) == len(SINGLE[1])


async def test_positions_from_a_header_of_the_origin() -> None:
    async with showing(pace="egress") as film:

        def telling(number: int) -> Handler:
            async def answer(_: web.Request) -> web.Response:
                return web.Response(body=VARIANTS[number][0], headers={EGRESS_HEADER: encode_egress(500 + number)})

            return answer

        for number in range(COUNT):
            film.handlers[f"/film/a/v_{number + 1}.m4s"] = telling(number)
        for sid in SESSIONS:
            assert await bits(film, sid) == [film.bit(sid, 500 + number) for number in range(COUNT)]
        url = (await film.segments(SESSIONS[0]))[0]
        assert EGRESS_HEADER not in (await film.world.get(url))[2]
        assert film.asked.count("HEAD /film/a/v_1.m4s") == 1


@pytest.mark.parametrize(("stream", "query"), [("film", ""), ("single", ""), ("film", "&scheme=aes-128")])
async def test_positions_from_media_time(stream: str, query: str) -> None:
    async with showing(pace="time", segment="2s") as film:
        for sid in SESSIONS:
            assert await bits(film, sid, stream, query) == [film.bit(sid, number) for number in range(COUNT)]
        assert not any("WMPaceInfo" in asked for asked in film.asked)


async def test_media_without_a_time_is_not_guessed_at() -> None:
    async with showing(pace="time", segment="2s") as film:
        assert await bits(film, SESSIONS[0], "ts") == [0] * COUNT


@pytest.mark.parametrize(("query", "growing"), [("", False), ("", True), ("&scheme=aes-128", False)])
async def test_pace_information_in_media_is_overwritten(film: Film, query: str, growing: bool) -> None:
    sid = next(sid for sid in SESSIONS if film.bit(sid, 100))
    told = with_wmpi(VARIANTS[0][1], PaceInfo(100, 1))
    assert find(told)

    async def piecemeal(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(told), 7):
            await response.write(told[at : at + 7])
        await response.write_eof()
        return response

    film.files["/film/b/v_1.m4s"] = told
    if growing:
        film.handlers["/film/b/v_1.m4s"] = piecemeal
    url = (await film.segments(sid, query=query))[0]
    status, body, _ = await film.world.get(url)
    assert status == 200
    if query:
        assert variant_of(body, url, "film", (told.replace(told[told.index(b"wmpi") + 4 :][:5], b"\xff" * 5),)) == 0
    else:
        assert find(body) is None
        assert variant_of(body, url, "film", VARIANTS[0]) == 1


async def test_what_was_served_is_kept_by_session_and_seen_from_the_leak(film: Film) -> None:
    await asyncio.gather(*(bits(film, sid) for sid in ("one", "two")))
    urls = await film.segments("three")
    for number in (0, 1, 4, 1):
        await film.world.get(urls[number])
    whole = [(100, 105, True)]
    assert await film.served() == {"one": whole, "two": whole, "three": [(100, 101, True), (104, 104, True)]}
    # Audio is not watermarked, and so is no sign of what was seen.
    session = await film.world.enter("film", sid="listener")
    master = (await film.world.get(session))[1].decode()
    audio = urljoin(session, re.findall(r'URI="(m/audio/[^"]+)"', master)[0])
    text = (await film.world.get(audio))[1].decode()
    status, _, _ = await film.world.get(urljoin(audio, re.findall(r"^\.\./\.\./s/audio.+$", text, re.MULTILINE)[0]))
    assert status == 200
    assert "listener" not in await film.served()


async def test_a_session_that_changes_nodes_gets_the_same_bytes(film: Film) -> None:
    async with showing() as other:
        for sid in SESSIONS[:3]:
            for url in await film.segments(sid):
                elsewhere = url.replace(film.world.edge, other.world.edge)
                here, there = await film.world.get(url), await other.world.get(elsewhere)
                assert (here[:2], here[2]["ETag"]) == (there[:2], there[2]["ETag"])


async def test_a_leaker_is_stopped_by_his_watermark_id(film: Film) -> None:
    urls = {sid: await film.segments(sid) for sid in ("leaker", "other")}
    leaker = Session("leaker", "account-1", "https://platform.example", 0).watermark_id
    await film.world.revoke(watermark_id=leaker)
    assert [(await film.world.get(urls[sid][0]))[0] for sid in urls] == [403, 200]


async def test_logs_and_metrics_name_no_session(film: Film, capsys: pytest.CaptureFixture[str]) -> None:
    del film.files["/film/b/v_3.m4s"], film.files["/film/WMPaceInfo/v_4.m4s"]
    for sid in SESSIONS:
        await bits(film, sid)
    out = capsys.readouterr().out
    assert "watermark_position_unknown" in out
    assert "watermark_variant_unusable" in out
    assert not any(sid in out for sid in SESSIONS)
    _, body, _ = await film.world.get(f"{film.world.control}/metrics", Authorization=f"Bearer {API_KEY}")
    counted = {line.split()[0] for line in body.decode().splitlines() if "watermark_unmarked_total{" in line}
    assert counted == {
        'segmentgate_watermark_unmarked_total{missing="position"}',
        'segmentgate_watermark_unmarked_total{missing="variant"}',
    }
