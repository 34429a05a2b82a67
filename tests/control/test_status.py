"""How a node is: health, readiness, metrics and snapshot."""

from math import inf
from typing import Any

import pytest

from relay.gate.targets import Target, TargetType
from relay.state.replica import NodeView
from relay.state.snapshot import load_snapshot
from relay.state.state import State
from tests.control.desk import Desk


async def metrics(desk: Desk) -> dict[str, str]:
    async with desk.client.get(f"{desk.url}/metrics") as answer:
        assert answer.status == 200
        lines = (await answer.text()).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


async def test_health_and_readiness_need_no_key(desk: Desk) -> None:
    for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
        async with desk.client.get(desk.url + path) as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, status)


@pytest.mark.parametrize(("ready", "age", "status"), [(False, inf, "starting"), (True, 60.0, "stale")])
async def test_a_node_that_may_lack_revocations_is_not_ready(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, ready: bool, age: float, status: str
) -> None:
    monkeypatch.setattr(type(desk.node.replica), "ready", property(lambda _: ready))
    monkeypatch.setattr(desk.node.replica, "age", lambda _: age)
    async with desk.client.get(f"{desk.url}/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (503, status)
    assert (await metrics(desk))["segmentgate_ready"] == "0.0"


async def test_metrics_tell_by_type_and_name_no_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.node.presence.seen(desk.watch(), desk.node.clock(), "192.0.2.1")
    await desk.revoke({"type": "session", "value": "session-secret"}, {"type": "network", "value": "AS1"})
    monkeypatch.setattr(desk.node.replica, "members", lambda: [NodeView("node-b", True, 0.5, 7)])
    found = await metrics(desk)
    assert found["segmentgate_revocations"] == "2.0"
    assert found['segmentgate_revocations_by_type{type="network"}'] == "1.0"
    assert found["segmentgate_open_responses"] == "1.0"
    assert found["segmentgate_live_sessions"] == "1.0"
    assert found['segmentgate_node_lag_seconds{node="node-b"}'] == "0.5"
    assert found["segmentgate_ready"] == "1.0"
    assert float(found["segmentgate_revocation_cut_seconds_count"]) >= 1
    assert not [name for name in found if "secret" in name]
    monkeypatch.undo()
    assert 'segmentgate_node_lag_seconds{node="node-b"}' not in await metrics(desk)


async def test_a_snapshot_holds_the_state(desk: Desk, tmp_path: Any) -> None:
    await desk.revoke({"type": "session", "value": "s"}, {"type": "account", "value": "a"})
    status, body, headers = await desk.call("GET", "/api/v1/revocations/snapshot")
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    (tmp_path / "snapshot").write_bytes(body)
    state = State()
    vector = load_snapshot(tmp_path / "snapshot", state)
    assert vector == {desk.node.replica.origin: 2}
    standing = state.revocations.get(Target(TargetType.SESSION, "s"))
    assert standing is not None
    assert standing.revoked


@pytest.mark.parametrize("path", ["/api/v1/revocations/snapshot", "/api/v1/audit", "/api/v1/revocations/stream"])
async def test_what_names_viewers_needs_the_key(desk: Desk, path: str) -> None:
    status, problem, headers = await desk.call("GET", path, Authorization="Bearer wrong")
    assert (status, problem["code"], headers["WWW-Authenticate"]) == (401, "api_key", "Bearer")


async def test_wrong_methods_say_which_are_right(desk: Desk) -> None:
    status, problem, headers = await desk.call("PATCH", "/api/v1/revocations")
    assert (status, problem["code"]) == (405, "method_not_allowed")
    assert set(headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}
