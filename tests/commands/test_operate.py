"""The commands of operators, against a running relay."""

import asyncio
import json
import os
import sys
import time
import tomllib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.config import ControlConfig
from tests.control.desk import API_KEY, Desk, desk_config, open_desk
from tests.control.studio import open_studio


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as made:
        yield made


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "api.key"
    file.write_text(API_KEY + "\n")
    return file


async def run(desk: Desk, key: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and error of a command: another process, for the node logs in this one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.cli", *arguments),
        env={**os.environ, "SEGMENTGATE_URL": desk.url, "SEGMENTGATE_KEY_FILE": str(key)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def told(desk: Desk, key: Path, *arguments: str) -> Any:
    status, out, err = await run(desk, key, *arguments)
    assert status == 0, err
    return json.loads(out)


async def test_a_viewer_is_stopped_and_let_in_again(desk: Desk, key: Path) -> None:
    viewer = desk.watch("s1", "a1")
    done = await told(desk, key, "revoke", "--account", "a1", "--reason", "shared", "--actor", "anna")
    assert (done["target"], desk.refuses(viewer)) == ({"type": "account", "value": "a1"}, True)
    assert (await told(desk, key, "status"))["by_type"]["account"] == 1
    await told(desk, key, "restore", done["id"])
    assert not desk.refuses(viewer)
    who = [entry["who"] for entry in (await desk.get("/api/v1/audit"))["entries"]]
    assert who == ["api:anna", "api"]


async def test_exactly_one_is_named(desk: Desk, key: Path) -> None:
    for arguments in ((), ("--session", "s", "--device", "d")):
        status, _, err = await run(desk, key, "revoke", *arguments)
        assert (status, "exactly one of" in err) == (2, True)


async def test_what_went_wrong_is_one_line(desk: Desk, key: Path, tmp_path: Path) -> None:
    status, _, err = await run(desk, key, "restore", "nothing")
    assert (status, err) == (1, "Error: not_found (2006): no such revocation is kept here\n")
    wrong = tmp_path / "wrong.key"
    await asyncio.to_thread(wrong.write_text, "another key")
    status, _, err = await run(desk, wrong, "status")
    assert (status, "api_key (2004)" in err, "another" in err) == (1, True, False)
    status, _, err = await run(desk, tmp_path / "none", "status")
    assert (status, "does not exist" in err) == (2, True)


SCENES = {
    "stream_id": "dated",
    "scenes": [
        {"label": "pre-game", "start": "00:00:00", "end": "01:00:00", "drm_level": "software"},
        {"label": "match", "start": "01:00:00", "drm_level": "L1", "hdcp": "2.2"},
    ],
}


@pytest.fixture
async def airing() -> AsyncIterator[Desk]:
    """A desk over a live stream."""
    async with open_studio() as studio, open_desk(streams={"dated": studio.stream("dated")}) as made:
        yield made


async def test_scenes_come_from_a_file(airing: Desk, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "match.json"
    await asyncio.to_thread(file.write_text, json.dumps(SCENES))
    begins = int(time.time()) + 86_400
    starts_at = datetime.fromtimestamp(begins, UTC).isoformat()
    done = await told(airing, key, "scenes", "set", str(file), "--starts-at", starts_at, "--actor", "anna")
    assert [one["label"] for one in done["scenes"]] == ["pre-game", "match"]
    shown = await told(airing, key, "scenes", "show", "--stream", "dated")
    assert (shown["version"], shown["clocks"]["wall"]["scenes"][0]["start"]["at"]) == (done["version"], begins)
    assert (await told(airing, key, "scenes", "at", "01:00:00"))["scene"] == "match"
    assert (await told(airing, key, "scenes", "remove", "--wait", "all"))["scenes"] == []
    assert [one["scenes"]["ordered"] for one in await told(airing, key, "streams")] == [0]


async def test_scenes_that_are_wrong_are_not_even_sent(airing: Desk, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "match.json"
    await asyncio.to_thread(file.write_text, json.dumps({"scenes": [SCENES["scenes"][1]] * 2}))
    status, _, err = await run(airing, key, "scenes", "set", str(file))
    assert (status, "/scenes/1/start" in err, "Nothing was changed" in err) == (1, True, True)
    assert (await airing.get("/api/v1/audit"))["entries"] == []


async def test_keys_rotate_as_told(airing: Desk, key: Path) -> None:
    done = await told(airing, key, "rotation", "set", "--stream", "dated", "--interval", "4m")
    assert done["key_rotation"]["interval_minutes"] == 4
    done = await told(airing, key, "rotation", "set", "--stream", "dated", "--pre-delivery", "40s")
    assert (done["key_rotation"]["interval_minutes"], done["key_rotation"]["pre_delivery_seconds"]) == (4, 40)
    done = await told(airing, key, "rotation", "set", "--stream", "dated", "--off")
    assert done["key_rotation"]["enabled"] is False
    done = await told(airing, key, "rotation", "emergency", "--stream", "dated", "--reason", "leaked", "--spread", "2s")
    assert (done["epoch"], done["spread_seconds"]) == (1, 2)
    assert (await told(airing, key, "rotation", "show", "--stream", "dated"))["epoch"] == 1


@pytest.mark.parametrize("given", [(), ("--off", "--interval", "4m")])
async def test_what_contradicts_itself_is_not_sent(airing: Desk, key: Path, given: tuple[str, ...]) -> None:
    status, _, err = await run(airing, key, "rotation", "set", "--stream", "dated", *given)
    assert (status, "give --off, or one or both of" in err) == (2, True)


async def test_sessions_are_issued_renewed_and_ended(airing: Desk, key: Path) -> None:
    issue = ("sessions", "issue", "--account", "a1", "--stream", "dated", "--expires-in", "10m", "--max-track", "hd")
    begun = await told(airing, key, *issue, "--session", "s1")
    assert (begun["session_id"], begun["streams"][0]["max_track"]) == ("s1", "hd")
    renewed = await told(airing, key, "sessions", "renew", "s1", "--expires-in", "1h")
    assert renewed["expires_at"] > begun["expires_at"] + 2900
    assert (await told(airing, key, "licences", "status", "s1"))["state"] == "none"
    assert await told(airing, key, "sessions", "list", "--account", "a1") == []
    await told(airing, key, "sessions", "end", "s1", "--detail", "complaint")
    assert (await told(airing, key, "licences", "status", "s1"))["state"] == "revoked"


async def test_entitlements_are_shown_and_taken_back(airing: Desk, key: Path) -> None:
    event = {"id": "order-1", "type": "purchase", "account_id": "a1", "stream_id": "dated"}
    _, sold, _ = await airing.call("POST", "/api/v1/purchases", event)
    (shown,) = await told(airing, key, "entitlements", "list", "a1")
    assert (shown["id"], shown["state"]) == (sold["entitlement"]["id"], "active")
    done = await told(airing, key, "entitlements", "withdraw", shown["id"])
    assert (done["entitlement"]["state"], done["complete"]) == ("returned", True)


async def test_webhooks_are_shown(airing: Desk, key: Path) -> None:
    assert await told(airing, key, "webhooks", "list") == []
    status, _, err = await run(airing, key, "webhooks", "test", "crm")
    assert (status, "not_found" in err) == (1, True)


async def test_errors_say_what_to_do_next(airing: Desk, key: Path) -> None:
    status, _, err = await run(airing, key, "rotation", "show", "--stream", "other")
    assert (status, err) == (
        1,
        "Error: not_found (2006): no stream 'other' is configured; /api/v1/streams lists those that are\n",
    )
    status, _, err = await run(airing, key, "streams", "--url", "http://127.0.0.1:9")
    assert (status, "is --url its control listener?" in err) == (1, True)


@pytest.mark.parametrize("role", ["admin", "platform", "watermark-vendor", "read-only"])
def test_a_key_is_printed_once_and_configured_by_its_digest(role: str) -> None:
    result = CliRunner().invoke(main, ["keys", "api", "--name", "shop", "--role", role])
    text, _, lines = result.stdout.partition("\n")
    assert len(text) >= 43
    assert text not in lines
    control = tomllib.loads(lines)["control"]
    keys = desk_config(control).control.keys
    assert [(one.name, one.role, one.sha256) for one in keys] == [
        ("shop", role, sha256(text.encode()).hexdigest()),
    ]
    assert CliRunner().invoke(main, ["keys", "api", "--name", "shop", "--role", role]).stdout != result.stdout


def test_a_key_can_go_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "shop.key"
    arguments = ["keys", "api", "--name", "shop", "--role", "platform", "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert out.stat().st_mode & 0o777 == 0o600
    assert (out.read_text().strip() in result.stdout, "sha256 = " in result.stdout) == (False, True)
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, "sha256" in again.output) == (1, False)


@pytest.mark.parametrize("name", ["", "a b", "-a", "ü", "x" * 65, 'a"\n'])
def test_a_name_that_cannot_be_configured_is_refused(name: str) -> None:
    result = CliRunner().invoke(main, ["keys", "api", f"--name={name}", "--role", "admin"])
    assert (result.exit_code, "--name" in result.output, "sha256" in result.output) == (2, True, False)


def test_keys_are_none_unless_configured() -> None:
    assert ControlConfig(api_key_file="-").keys == ()
