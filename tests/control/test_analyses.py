"""Suspected copies over the API: what is taken in, by whom, and what is told of it. No copy here is read to its end."""

import asyncio
import gzip
import io
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.roles import Role
from relay.watermark.jobs import analyses, process
from relay.watermark.jobs.job import State
from relay.watermark.jobs.spool import Spool
from tests.control.desk import Answer, Desk, open_desk
from tests.control.test_roles import KEYS, NAMED, bearer
from tests.watermark.jobs.values import job

POST = "/api/v1/drm/watermark/analyze"
PATH = "/api/v1/drm/watermark/analyses"
VIDEO = b"\0\0\0\x20ftypisom" + bytes(5000)
VENDOR = bearer(KEYS[Role.WATERMARK_VENDOR])


def settings(assets: Path, **analysis: Any) -> dict[str, Any]:
    return {"watermark": {"analysis": {"assets": str(assets), **analysis}}}


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """A folder of assets, one of them, of which nothing but its name can be read."""
    folder = tmp_path / "assets" / "one"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text('{"asset": "film"}')
    return folder.parent


@pytest.fixture
async def desk(tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A desk whose analyses never end by themselves."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-P", "-m", "tests.watermark.jobs.misbehaving", "stay"))
    monkeypatch.setattr(analyses, "LOOK_EVERY_S", 0.05)
    async with open_desk(tmp_path, keys=NAMED, settings=settings(assets, queue=2, keep=4)) as made:
        yield made


async def post(desk: Desk, body: bytes = VIDEO, query: str = "", /, **headers: str) -> Answer:
    return await desk.call("POST", POST + query, body, **{"Content_Type": "video/mp4", **headers})


async def post_form(desk: Desk, form: aiohttp.FormData, **headers: str) -> Answer:
    bearing = {"Authorization": f"Bearer {'k' * 40}", **{name.replace("_", "-"): v for name, v in headers.items()}}
    async with desk.client.post(desk.url + POST, data=form, headers=bearing) as answer:
        return answer.status, await answer.json(content_type=None), answer.headers


def form(video: bytes = VIDEO, **members: str) -> aiohttp.FormData:
    made = aiohttp.FormData()
    for name, value in members.items():
        made.add_field(name, value)
    made.add_field("file", io.BytesIO(video), filename="leak.mp4", content_type="video/mp4")
    return made


async def until(desk: Desk, location: str, state: State) -> Any:
    for _ in range(400):
        seen = await desk.get(location)
        if seen["state"] == state:
            return seen
        await asyncio.sleep(0.05)
    raise AssertionError(seen)


async def test_an_upload_is_queued_and_its_progress_told(desk: Desk) -> None:
    status, body, headers = await post_form(desk, form(note="seen on a forum", asset="film"), X_Actor="anna")
    assert (status, headers["Location"]) == (202, f"{PATH}/{body['id']}")
    assert {name: body[name] for name in ("state", "asset", "note", "size", "digest", "ordered_by", "result")} == {
        "state": "queued",
        "asset": "film",
        "note": "seen on a forum",
        "size": len(VIDEO),
        "digest": sha256(VIDEO).hexdigest(),
        "ordered_by": "api:anna",
        "result": None,
    }
    for _ in range(400):
        seen = await until(desk, headers["Location"], State.RUNNING)
        if seen["progress"]:
            break
        await asyncio.sleep(0.05)
    assert (seen["step"], 0.3 < seen["progress"] < 0.9) == ("align", True)
    status, problem, _ = await desk.call("GET", f"{headers['Location']}/report")
    assert (status, problem["code"]) == (409, "analysis_pending")
    entry = next(one for one in (await desk.get("/api/v1/audit"))["entries"] if one["what"].startswith("watermark."))
    assert (entry["who"], entry["what"]) == ("api:anna", "watermark.analyses.post")
    assert entry["effect"]["sha256"] == body["digest"]
    assert (await desk.get("/healthz"))["status"] == "ok"


async def test_the_video_may_come_alone(desk: Desk) -> None:
    status, body, _ = await post(desk, VIDEO, "?asset=film&note=n")
    assert (status, body["asset"], body["note"], body["digest"]) == (202, "film", "n", sha256(VIDEO).hexdigest())


def _member(name: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; name=" + name + b"\r\n\r\nhi\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("body", "query", "headers", "expected"),
    [
        (VIDEO, "", {"Content_Type": "application/json"}, (415, "media_type")),
        (VIDEO, "", {"Content_Type": "multipart/mixed; boundary=x"}, (415, "media_type")),
        (b"PK\x03\x04" + bytes(3000), "", {}, (422, "leak_not_video")),
        (b"", "", {}, (422, "leak_not_video")),
        (VIDEO, "?asset=other", {}, (422, "asset_unknown")),
        (VIDEO, "?film=1", {}, (400, "request_invalid")),
        (VIDEO, f"?note={'n' * 600}", {}, (400, "request_invalid")),
        (VIDEO, "", {"Content_Type": "multipart/form-data"}, (400, "request_invalid")),
        (VIDEO, "", {"Content_Type": "multipart/form-data; boundary=x"}, (400, "request_invalid")),
        (b"--x\r\n\r\nhi\r\n--x--", "", {"Content_Type": "multipart/form-data; boundary=x"}, (400, "request_invalid")),
        (_member(b'"a\xf1\x84"'), "", {"Content_Type": "multipart/form-data; boundary=x"}, (400, "request_invalid")),
        (_member(b'"a"\x00: b'), "", {"Content_Type": "multipart/form-data; boundary=x"}, (400, "request_invalid")),
    ],
)  # fmt: skip
async def test_what_is_not_taken_in(
    desk: Desk, body: bytes, query: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    status, problem, _ = await post(desk, body, query, **headers)
    assert (status, problem["code"]) == expected, problem
    assert (await desk.get(PATH))["analyses"] == []


@pytest.mark.parametrize(
    "made",
    [
        form(color="red"),
        form(note="n" * 5000),
        form(note="n" * 600),
        form(note="a\nb"),
        aiohttp.FormData({"note": "no file", "asset": ""}, default_to_multipart=True),
    ],
)
async def test_forms_that_make_no_sense(desk: Desk, made: aiohttp.FormData) -> None:
    status, problem, _ = await post_form(desk, made)
    assert (status, problem["code"]) == (400, "request_invalid"), problem


async def test_no_more_is_read_than_is_taken(tmp_path: Path, assets: Path) -> None:
    async with open_desk(tmp_path, settings=settings(assets, max_upload="1MiB")) as desk:
        large = VIDEO + bytes(1 << 20)
        # What unpacks to more than it seems to be; what says how long it is; what does not.
        bomb = gzip.compress(VIDEO + bytes(64 << 20))
        assert len(bomb) < 1 << 20
        for answer in (
            await post(desk, bomb, Content_Encoding="gzip"),
            await post(desk, large),
            await post_form(desk, form(large)),
        ):
            assert (answer[0], answer[1]["code"]) == (413, "leak_too_large")
        assert list((tmp_path / "analyses" / "uploads").iterdir()) == []
        assert (await desk.get("/healthz"))["status"] == "ok"


async def test_the_same_call_twice_is_one_analysis(desk: Desk) -> None:
    first = await post_form(desk, form(note="n"), Idempotency_Key="k1")
    again = await post_form(desk, form(note="n"), Idempotency_Key="k1")
    assert (first[0], again[0], first[1]["id"]) == (202, 202, again[1]["id"])
    assert again[2]["Idempotency-Replayed"] == "true"
    status, problem, _ = await post_form(desk, form(note="other"), Idempotency_Key="k1")
    assert (status, problem["code"]) == (409, "idempotency_conflict")
    assert len((await desk.get(PATH))["analyses"]) == 1


async def test_no_more_wait_than_may(desk: Desk) -> None:
    first, second, third = [await post(desk) for _ in range(3)]
    assert [first[0], second[0], third[0]] == [202, 202, 503]
    assert third[1]["code"] == "analyses_busy"
    assert "Retry-After" in third[2]
    await until(desk, first[2]["Location"], State.RUNNING)
    # Whoever is erased makes room, and the next one begins.
    assert (await desk.call("DELETE", first[2]["Location"]))[0] == 204
    await until(desk, second[2]["Location"], State.RUNNING)
    assert (await post(desk))[0] == 202


async def test_an_analysis_that_is_erased_ends(desk: Desk, tmp_path: Path) -> None:
    _, body, headers = await post(desk)
    pid = tmp_path / "analyses" / "jobs" / body["id"] / "work" / "pid"
    for _ in range(400):
        if pid.exists() and (text := pid.read_text()):
            break
        await asyncio.sleep(0.02)
    assert (await desk.call("DELETE", headers["Location"]))[0] == 204
    assert (await desk.call("DELETE", headers["Location"]))[0] == 404
    assert (await desk.call("GET", headers["Location"]))[0] == 404
    for _ in range(200):
        if not (Path("/proc") / text).exists():
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("it goes on")
    assert list((tmp_path / "analyses" / "jobs").iterdir()) == []


async def test_whichever_worker_is_asked_knows_of_all(desk: Desk, tmp_path: Path, assets: Path) -> None:
    _, body, headers = await post(desk)
    await until(desk, headers["Location"], State.RUNNING)
    shared = settings(assets, directory=str(tmp_path / "analyses"), queue=2)
    async with open_desk(name="node-b", settings=shared) as other:
        seen = await other.get(headers["Location"])
        assert (seen["id"], seen["state"]) == (body["id"], "running")
        # It has work of its own now, which waits until the first worker is done.
        second = (await post(other))[2]["Location"]
        await asyncio.sleep(0.3)
        assert (await desk.get(second))["state"] == "queued"
        assert (await post(desk))[1]["code"] == "analyses_busy"
        assert (await other.call("DELETE", headers["Location"]))[0] == 204
        await until(other, second, State.RUNNING)
        assert (await other.call("DELETE", second))[0] == 204


async def test_a_vendor_sees_what_it_ordered(desk: Desk) -> None:
    own, others = await post(desk, **VENDOR), await post(desk)
    seen = (await desk.call("GET", PATH, **VENDOR))[1]["analyses"]
    assert [one["id"] for one in seen] == [own[1]["id"]]
    assert len((await desk.get(PATH))["analyses"]) == 2
    for method in ("GET", "DELETE"):
        assert (await desk.call(method, others[2]["Location"], **VENDOR))[0] == 404
        assert (await desk.call(method, own[2]["Location"], **VENDOR))[0] in (200, 204)


async def test_pages_are_the_latest_first(tmp_path: Path, assets: Path) -> None:
    spool = Spool(tmp_path / "analyses")
    for number in range(5):
        with spool.receiving("upload") as (path, _):
            spool.put(job(id=f"{number:032x}", finished_at=2e9), path)
    async with open_desk(tmp_path, settings=settings(assets)) as desk:
        seen, query = [], "?limit=2"
        while True:
            page = await desk.get(PATH + query)
            seen.append([int(one["id"], 16) for one in page["analyses"]])
            if page["next"] is None:
                break
            query = f"?limit=2&cursor={page['next']}"
    assert seen == [[4, 3], [2, 1], [0]]


async def test_results_are_kept_for_as_long_as_is_said(tmp_path: Path, assets: Path) -> None:
    now = 1_900_000_000.0
    spool = Spool(tmp_path / "analyses")
    for name, at in (("a" * 32, now - 86_400 * 8), ("b" * 32, now - 86_400 * 6)):
        with spool.receiving("upload") as (path, _):
            spool.put(job(id=name, finished_at=at), path)
    kept = settings(assets, retention="7d")
    async with open_desk(tmp_path, settings=kept, clock=lambda: now) as desk:
        for _ in range(100):
            seen = [one["id"] for one in (await desk.get(PATH))["analyses"]]
            if len(seen) == 1:
                break
            await asyncio.sleep(0.02)
        assert seen == ["b" * 32]
        told = await desk.get(f"{PATH}/{'b' * 32}")
        assert told["expires_at"] == now + 86_400


async def test_what_the_relay_was_at_when_it_ended_begins_again(
    tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-P", "-m", "tests.watermark.jobs.misbehaving", "stay"))
    monkeypatch.setattr(analyses, "LOOK_EVERY_S", 0.05)
    for _ in range(3):
        async with open_desk(tmp_path, settings=settings(assets)) as desk:
            if not (found := (await desk.get(PATH))["analyses"]):
                found = [(await post(desk))[1]]
            seen = await until(desk, f"{PATH}/{found[0]['id']}", State.RUNNING)
    # Stopped as it should be it is as it was; one that ends with the relay twice is not tried once more.
    spool = Spool(tmp_path / "analyses")
    (left,) = spool.jobs()
    assert (left.state, left.runs) == (State.QUEUED, 0)
    spool.save(job(id=left.id, state=State.RUNNING, finished_at=None, runs=analyses.RUNS))
    async with open_desk(tmp_path, settings=settings(assets)) as desk:
        seen = await until(desk, f"{PATH}/{left.id}", State.FAILED)
        assert (seen["error"]["code"], seen["error"]["number"]) == ("analysis_interrupted", 5010)


async def test_time_that_is_up(tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-P", "-m", "tests.watermark.jobs.misbehaving", "stay"))
    async with open_desk(tmp_path, settings=settings(assets, time_limit="1s")) as desk:
        _, _, headers = await post(desk)
        seen = await until(desk, headers["Location"], State.FAILED)
        assert seen["error"]["code"] == "analysis_limit"
        assert "1 s" in seen["error"]["detail"]
        assert not (tmp_path / "analyses" / "jobs" / seen["id"] / "upload").exists()


async def test_without_assets_or_libraries_it_says_what_is_missing(
    tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk() as desk:
        status, problem, _ = await post(desk)
        assert (status, problem["code"]) == (501, "analysis_unavailable")
        assert "watermark.analysis.assets" in problem["detail"]
    monkeypatch.setattr(analyses, "_missing", lambda: "av, cv2")
    async with open_desk(settings=settings(assets)) as desk:
        status, problem, _ = await post(desk)
        assert (status, problem["code"]) == (501, "analysis_unavailable")
        assert "install segmentgate[watermark]" in problem["detail"]


@pytest.mark.parametrize("name", ["0" * 32, "..", "x", "%2e%2e%2flock"])
async def test_there_is_no_such_analysis(desk: Desk, name: str) -> None:
    for path in (f"{PATH}/{name}", f"{PATH}/{name}/report", f"{PATH}/{name}/report.json"):
        assert (await desk.call("GET", path))[0] == 404
