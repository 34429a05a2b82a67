"""Scenes as players meet them: what is listed for them, which keys they get, and what old URLs are still good for."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import pytest

from keys import base64url
from keys.model import Scheme, TrackType
from policies.model import ScenesChange
from policies.text import write_scenes
from relay.control.planning import Standing, drafts_of
from relay.edge.next_keys import NEXT_KEYS_HEADER
from relay.streams import Stream
from tests.edge.stage import INIT, SEGMENT, SEGMENT_S, STRICT, WINDOW_S, Stage, open_stage
from tests.edge.test_channel import channel, read_event
from tests.edge.test_licences import PLAIN, WidevineDevice, kids_json, material
from tests.keys.test_channel import unseal
from tests.media.decrypt import read_samples

SD, HD = TrackType.SD, TrackType.HD
CLEAR = read_samples(INIT, SEGMENT)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(material()) as made:
        yield made


def class_of(session: str) -> str:
    return session.split("/live/")[1].split("/")[0]


def scene(label: str, start: int, end: int, level: str = "L3", **tracks: Any) -> dict[str, Any]:
    return {"label": label, "start": start, "end": end, "drm_level": level, "tracks": tracks}


LAX, STRICT_SD = {"drm_level": "L3"}, {"sd": {"drm_level": "L3"}}
LIST_CASES = [
    ("", STRICT, "cenc.stable.sd.clearkey.identity"),
    ("&systems=identity", STRICT, "cenc.stable.sd.identity"),
    ("&scheme=aes-128", STRICT, "aes-128.period.sd"),
    ("&systems=clearkey,widevine&level=L3", STRICT, "cenc.stable.sd.software.clearkey.widevine"),
    ("&systems=widevine&level=L3", STRICT, "cenc.stable.sd.software.widevine"),
    ("&systems=widevine&level=L1", STRICT, "cenc.stable.uhd.widevine"),
    ("&systems=widevine&max_track=hd", STRICT, "cenc.stable.hd.widevine"),
    ("&level=L3", STRICT, "cenc.stable.sd.clearkey.identity"),
    # Withheld from all: nobody's list has it.
    ("&systems=widevine", [scene("a", 0, 20), scene("b", 20, 40, hd=None, uhd=None)], "cenc.stable.sd.widevine"),
    # A scene without any video for a class says nothing of the others.
    ("", [scene("a", 0, 20), scene("b", 20, 40, "L1")], "cenc.stable.uhd.clearkey.identity"),
    ("", [scene("a", 0, 20, "L1"), scene("b", 20, 40, "L1", **STRICT_SD)], "cenc.stable.sd.clearkey.identity"),
]


@pytest.mark.parametrize(("query", "scenes", "expected"), LIST_CASES)
async def test_a_class_is_listed_what_it_may_have_in_every_scene(
    stage: Stage, query: str, scenes: list[dict[str, Any]], expected: str
) -> None:
    await stage.scenes(0, *scenes)
    session = await stage.world.enter("live", query=query)
    assert class_of(session) == expected
    listed = {line.split("/")[1] for line in await stage.lines(session)}
    assert listed == ({"sd"} if ".sd" in expected else {"sd", "hd"})
    if "aes-128" not in expected:
        _, mpd, _ = await stage.world.get(session.replace("index.m3u8", "index.mpd"))
        assert (b'id="hd"' in mpd) == ("hd" in listed)


async def test_what_has_left_the_window_counts_no_more(stage: Stage) -> None:
    await stage.scenes(0, *STRICT)
    await stage.go(45 + WINDOW_S - 2 * SEGMENT_S)
    assert class_of(await stage.world.enter("live")) == "cenc.stable.sd.clearkey.identity"
    await stage.go(45 + WINDOW_S + SEGMENT_S)
    assert class_of(await stage.world.enter("live")) == "cenc.stable.uhd.clearkey.identity"


async def test_a_session_keeps_the_class_it_entered_in(stage: Stage) -> None:
    await stage.scenes(0, *STRICT)
    session = await stage.world.enter("live")
    await stage.go(45 + 2 * WINDOW_S)
    assert {line.split("/")[1] for line in await stage.lines(session)} == {"sd"}
    assert not await everything_told(stage, session) & {stage.key(HD, 45 + WINDOW_S)[1]}


async def everything_told(stage: Stage, session: str) -> set[bytes]:
    """Every key that a session gets by any way there is for players without a DRM system."""
    world, told = stage.world, await stage.keys(session)
    found = list(told["keys"])
    own = base64url.decode(told["channel_key"]["k"])
    master = session.replace("index.mpd", "index.m3u8")
    _, _, headers = await world.get(master)
    if NEXT_KEYS_HEADER in headers:
        found += json.loads(unseal(headers[NEXT_KEYS_HEADER], own, b"live")[1])["keys"]
    async with channel(world, session) as events:
        while (event := await read_event(events)).get("event") != "keys":
            pass
        found += json.loads(event["data"])["keys"]
    stream = stage.stream
    stable = [stream.content_key(stream.slot_of(track, Scheme.CENC, None)) for track in (SD, HD)]
    url = f"{world.edge}/api/v1/drm/license?session={'/'.join(session.split('/p/')[1].split('/')[:3])}"
    for asked in (stable, stable[:1], stable[1:]):
        async with world.client.post(url, data=kids_json(*asked)) as answer:
            found += (await answer.json())["keys"] if answer.status == 200 else []
    return {base64url.decode(key["k"]) for key in found}


async def keys_by_url(stage: Stage, session: str) -> dict[str, int]:
    """What each key URL of a session's AES-128 playlists is answered with."""
    found = {}
    for line in await stage.lines(session):
        playlist = urljoin(session, line)
        _, body, _ = await stage.world.get(playlist)
        for uri in re.findall(r'METHOD=AES-128,URI="([^"]+)"', body.decode()):
            status, key, _ = await stage.world.get(urljoin(playlist, uri))
            found[key.hex() if status == 200 else uri] = status
    return found


@pytest.mark.parametrize("query", ["", "&signalling=period", "&systems=clearkey,widevine"])
async def test_a_strict_scenes_keys_reach_nobody_without_a_drm_system(stage: Stage, query: str) -> None:
    """A session that began in HD before the scenes were set, at every moment around them, by every way there is."""
    session = await stage.world.enter("live", query=query)
    await stage.scenes(0, *STRICT)
    strict = {stage.key(HD, moment)[1] for moment in range(25, 44)}
    lax = {stage.key(HD, moment)[1] for moment in (*range(20), *range(46, 60))}
    sd = {stage.key(SD, moment)[1] for moment in range(60)}
    got: set[bytes] = set()
    for moment in range(0, 60, 2):
        await stage.go(moment)
        got |= await everything_told(stage, session)
    assert not got & strict
    assert got >= sd | lax
    assert len(strict) == 3


async def test_nor_by_key_urls(stage: Stage) -> None:
    session = await stage.world.enter("live", query="&scheme=aes-128")
    await stage.scenes(0, *STRICT)
    strict = {stage.key(HD, moment, Scheme.AES128)[1].hex() for moment in range(25, 44)}
    for moment in range(0, 60, 2):
        await stage.go(moment)
        answers = await keys_by_url(stage, session)
        assert not answers.keys() & strict
        assert set(answers.values()) <= {200, 403}
    sd = {stage.key(SD, moment, Scheme.AES128)[1].hex() for moment in range(25, 44)}
    assert answers.keys() >= sd


def scenes_set_while_waiting(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next request wait for its origin until scenes were set and keys of theirs are out."""
    manifests = stage.node.manifests
    ensure = manifests.ensure_timeline

    async def wait(stream: Stream) -> None:
        monkeypatch.setattr(manifests, "ensure_timeline", ensure)
        await stage.scenes(0, *STRICT)
        await stage.go(36)
        assert stage.stream is not stream

    monkeypatch.setattr(manifests, "ensure_timeline", wait)


@pytest.mark.parametrize("way", ["keys", "clearkey", "widevine"])
async def test_scenes_set_while_a_request_waits_hold_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    session = await stage.world.enter("live")
    device, stream = WidevineDevice(PLAIN), stage.stream
    stable, lax, strict = (
        stream.content_key(stream.slot_of(HD, Scheme.CENC, period)) for period in (None, stage.at(10), stage.at(30))
    )
    url = f"{stage.world.edge}/api/v1/drm/license?stream_id=live&token={stage.world.token()}"
    challenge = device.challenge(stable.kid)
    body = challenge if way == "widevine" else kids_json(stable)
    scenes_set_while_waiting(stage, monkeypatch)
    if way == "keys":
        found = {base64url.decode(key["kid"]) for key in (await stage.keys(session))["keys"]}
    else:
        async with stage.world.client.post(url, data=body) as answer:
            made = await answer.read()
        if way == "widevine":
            found = set(device.read(made, challenge).keys)
        else:
            found = {base64url.decode(key["kid"]) for key in json.loads(made)["keys"]}
    assert lax.kid in found
    assert strict.kid not in found


async def key_urls(stage: Stage, session: str) -> dict[int, str]:
    """The key URLs of the HD playlist of an AES-128 session, by the start of their periods."""
    playlist = urljoin(session, next(line for line in await stage.lines(session) if "hd" in line))
    _, body, _ = await stage.world.get(playlist)
    found = re.findall(r'METHOD=AES-128,URI="([^"]+?\.(\d{10,})[^"]*)"', body.decode())
    return {int(start): urljoin(playlist, uri) for uri, start in found}


async def test_key_urls_heed_scenes_set_while_they_wait(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await stage.world.enter("live", query="&scheme=aes-128")
    await stage.go(36)
    urls = await key_urls(stage, session)
    scenes_set_while_waiting(stage, monkeypatch)
    assert (await stage.world.get(urls[stage.at(30)]))[0] == 403


async def test_the_header_heeds_scenes_set_while_a_segment_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await stage.world.enter("live")
    own = base64url.decode((await stage.keys(session))["channel_key"]["k"])
    manifests, strict = stage.node.manifests, stage.at(40)
    kids = {track: stage.stream.kid(stage.stream.slot_of(track, Scheme.CENC, strict)) for track in (SD, HD)}
    get = manifests.get

    async def wait(*asked: Any) -> Any:
        monkeypatch.setattr(manifests, "get", get)
        found = await get(*asked)
        await stage.scenes(0, *STRICT)
        await stage.go(37)
        return found

    monkeypatch.setattr(manifests, "get", wait)
    _, _, headers = await stage.world.get(session)
    told = json.loads(unseal(headers[NEXT_KEYS_HEADER], own, b"live")[1])["keys"]
    found = {base64url.decode(key["kid"]) for key in told}
    assert [kids[track] in found for track in (SD, HD)] == [True, False]


async def test_a_playlist_that_waited_lists_what_came_after_an_emergency_under_new_keys(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await stage.world.enter("live")
    playlist = urljoin(session, next(line for line in await stage.lines(session) if "sd" in line))
    before = set(await stage.lines(playlist))
    manifests = stage.node.manifests
    get = manifests.get

    async def wait(*asked: Any) -> Any:
        monkeypatch.setattr(manifests, "get", get)
        await stage.rekey(0)
        await stage.go(6)
        return await get(*asked)

    monkeypatch.setattr(manifests, "get", wait)
    listed = await stage.lines(playlist)
    assert any(line in before for line in listed)
    assert all(".65537." in line for line in listed if line not in before)
    assert not all(line in before for line in listed)


async def test_key_urls_do_not_outlive_what_is_known_of_their_scenes(stage: Stage) -> None:
    """What no longer matters to a stream's policy is forgotten; its keys must not be free then."""
    session = await stage.world.enter("live", query="&scheme=aes-128")
    await stage.scenes(0, *STRICT)
    await stage.go(50)
    urls = await key_urls(stage, session)
    strict, lax = urls[stage.at(30)], urls[stage.at(20)]
    assert [(await stage.world.get(url))[0] for url in (strict, lax)] == [403, 200]
    await stage.go(200)
    put = stage.node.registry.put
    for moment in (200, 400):
        await stage.go(moment)
        standing = Standing.of(stage.stream, stage.time.now)
        body = write_scenes(standing.since, standing.since, ())
        await put(drafts_of(stage.node, stage.stream, standing, [body], "api"))
    assert not any(change.scenes for change in stage.stream.plan.changes if isinstance(change, ScenesChange))
    assert (await stage.world.get(strict))[0] == 403


async def test_devices_get_what_they_meet_with_what_the_scene_asks_of_outputs(stage: Stage) -> None:
    await stage.scenes(0, *STRICT)
    await stage.go(30)
    strict_hd, strict_sd, lax_hd = stage.key(HD, 30)[0], stage.key(SD, 30)[0], stage.key(HD, 10)[0]
    stable = stage.stream.kid(stage.stream.slot_of(SD, Scheme.CENC, None))
    url = f"{stage.world.edge}/api/v1/drm/license?stream_id=live&token={stage.world.token()}"
    found = {}
    for device in (WidevineDevice(), WidevineDevice(PLAIN)):
        challenge = device.challenge(stable, request_id=b"%d" % device.system_id)
        async with stage.world.client.post(url, data=challenge) as answer:
            assert answer.status == 200, await answer.text()
            found[device.system_id] = device.read(await answer.read(), challenge)
    hardware, software = found.values()
    assert hardware.keys[strict_hd] == stage.key(HD, 30)[1]
    assert hardware.keys.keys() >= {strict_sd, lax_hd}
    assert software.keys.keys() >= {strict_sd, lax_hd}
    assert strict_hd not in software.keys
    # Field 6 is the required protection of outputs, whose field 1 is the version of HDCP: 4 stands for 2.2.
    asked = {kid: hardware.containers[kid] for kid in (strict_hd, strict_sd, lax_hd)}
    assert {kid: 6 in container for kid, container in asked.items()} == {
        strict_hd: True,
        strict_sd: False,
        lax_hd: False,
    }
    assert asked[strict_hd].message(6, "protection").number(1) == 4


async def test_segments_change_keys_at_scene_edges(stage: Stage) -> None:
    await stage.scenes(0, *STRICT)
    session = await stage.world.enter("live")
    await stage.go(58)
    (line,) = await stage.lines(session)
    playlist = urljoin(session, line)
    urls = {int(url.split("/sd/")[-1].split(".")[0]): urljoin(playlist, url) for url in await stage.lines(playlist)}
    _, text, _ = await stage.world.get(playlist)
    init_url = re.search(r'#EXT-X-MAP:URI="([^"]+)"', text.decode())
    assert init_url
    _, init, _ = await stage.world.get(urljoin(playlist, init_url[1]))
    kids = []
    for moment in (22, 26, 28, 30, 42, 46):
        _, media, _ = await stage.world.get(urls[(stage.time.start + moment) // SEGMENT_S])
        kid, key = stage.key(SD, moment)
        assert read_samples(init, media, {kid: key}) == CLEAR
        kids.append(kid)
    # Edges at 25 s and 45 s, boundaries of the rotation at 20, 30 and 40 s.
    assert [kids.index(kid) for kid in kids] == [0, 1, 1, 3, 4, 5]


def template_of(mpd: bytes, track: str, number: int) -> str:
    """The URL that a player fills in for a segment of a track."""
    (found,) = re.findall(rf'media="([^"]*/{track}/[^"]*)"', mpd.decode())
    return str(found).replace("&amp;", "&").replace("$Number$", str(number))


async def test_a_template_from_before_the_scenes_gives_their_segments_under_their_keys(stage: Stage) -> None:
    """An MPD that players never load again: SD goes on, under the strict scene's key; HD is refused, to change down."""
    session = await stage.world.enter("live", index="index.mpd")
    _, mpd, _ = await stage.world.get(session)
    lax_kid = stage.key(SD, 30)[0]
    await stage.scenes(15, *STRICT)
    await stage.go(40)
    number = (stage.time.start + 26) // SEGMENT_S
    status, media, _ = await stage.world.get(urljoin(session, template_of(mpd, "sd", number)))
    assert status == 200
    assert stage.key(SD, 26)[0] in media
    assert lax_kid == stage.key(SD, 30)[0], "30 s begins a period of the rotation under both plans"
    status, _, headers = await stage.world.get(urljoin(session, template_of(mpd, "hd", number)))
    assert (status, headers["Relay-Reason"]) == (403, "security_level")
    status, _, _ = await stage.world.get(urljoin(session, template_of(mpd, "hd", number - 4)))
    assert status == 200, "what was published plays on"


async def test_a_span_from_before_the_scenes_ends_where_they_begin(stage: Stage) -> None:
    """Per-period signalling shows the period that comes next before there is any segment in it."""
    session = await stage.world.enter("live", index="index.mpd", query="&signalling=period")
    await stage.go(18)
    _, mpd, _ = await stage.world.get(session)
    start = stage.at(20)
    found = re.search(rf'<Period id="p-{start}".*?</Period>', mpd.decode(), re.DOTALL)
    assert found
    await stage.scenes(24, *STRICT)
    await stage.go(40)
    statuses = {}
    for moment in (20, 22, 24, 26, 28):
        number = (stage.time.start + moment) // SEGMENT_S
        url = urljoin(session, template_of(found[0].encode(), "sd", number))
        status, media, _ = await stage.world.get(url)
        statuses[moment] = status
        assert status != 200 or stage.key(SD, moment)[0] in media
    assert statuses == {20: 200, 22: 200, 24: 403, 26: 403, 28: 403}


async def test_a_blackout_is_frozen_rather_than_failed(stage: Stage) -> None:
    """Where a class has nothing to change to, players that are refused a segment give up for good."""
    await stage.scenes(0, scene("a", 0, 20), scene("b", 20, 40, "L1"), scene("c", 40, 60))
    session = await stage.world.enter("live")
    await stage.go(38)
    playlist = urljoin(session, next(line for line in await stage.lines(session) if "/hd/" in line))
    for url in (await stage.lines(playlist))[-2:]:
        assert (await stage.world.get(urljoin(playlist, url)))[0] == 200


async def test_the_channel_tells_the_scene_now_and_next(stage: Stage) -> None:
    session = await stage.world.enter("live")
    await stage.scenes(0, *STRICT)
    await stage.go(10)

    async def policy() -> dict[str, Any]:
        async with channel(stage.world, session) as events:
            event = await read_event(events)
        assert event["event"] == "policy"
        found: dict[str, Any] = json.loads(event["data"])
        return found

    told = await policy()
    assert told["stream_now"] == stage.at(10)
    assert (told["ceiling"], told["reload"]) == ("sd", False)
    opening, final = told["scene"], told["next"]
    assert opening == {"label": "opening", "starts_at": stage.at(0), "ends_at": stage.at(25), "ceiling": "uhd"}
    assert final == {"label": "final", "starts_at": stage.at(25), "ends_at": stage.at(45), "ceiling": "sd"}
    await stage.go(50)
    told = await policy()
    assert (told["scene"]["label"], told["scene"]["ends_at"], told["next"]) == ("credits", None, None)


async def test_without_scenes_a_channel_begins_with_keys(stage: Stage) -> None:
    async with channel(stage.world, await stage.world.enter("live")) as events:
        assert (await read_event(events))["event"] == "keys"


async def test_an_emergency_is_told_at_once_with_the_keys_it_brings(stage: Stage) -> None:
    session = await stage.world.enter("live")
    await stage.go(17)
    ahead = stage.key(SD, 20)
    async with channel(stage.world, session) as events:
        first = await read_event(events)
        assert base64url.encode(ahead[1]) in first["data"]
        assert set(await read_event(events)) == {"retry"}
        await stage.rekey(18, spread_ms=0)
        policy = await read_event(events)
        keys = await read_event(events)
    assert (policy["event"], keys["event"]) == ("policy", "keys")
    assert json.loads(policy["data"])["reload"] is False
    new = {stage.key(SD, moment)[1] for moment in (18, 20)}
    assert {base64url.encode(key) for key in new} <= {key["k"] for key in json.loads(keys["data"])["keys"]}
    assert ahead[1] not in new
    async with channel(stage.world, session, **{"Last-Event-ID": keys["id"]}) as events:
        assert set(await read_event(events)) == {"retry"}
    async with channel(stage.world, session, **{"Last-Event-ID": first["id"]}) as events:
        missed = json.loads((await read_event(events))["data"])["keys"]
    assert {base64url.encode(key) for key in new} <= {key["k"] for key in missed}
    assert len(missed) == len(json.loads(keys["data"])["keys"])


async def test_the_header_brings_an_emergencys_keys_until_a_segment_under_them_is_listed(stage: Stage) -> None:
    session = await stage.world.enter("live")
    await stage.go(14)
    _, _, headers = await stage.world.get(session)
    assert NEXT_KEYS_HEADER not in headers
    await stage.rekey(16)
    own = base64url.decode((await stage.keys(session))["channel_key"]["k"])
    new = base64url.encode(stage.key(SD, 16)[1])
    brought = {}
    for moment in (14, 15, 18, 24):
        await stage.go(moment)
        _, _, headers = await stage.world.get(session)
        text = headers.get(NEXT_KEYS_HEADER)
        brought[moment] = new in unseal(text, own, b"live")[1].decode() if text else None
    assert brought == {14: True, 15: True, 18: True, 24: None}
