"""The built-in probe: it reaches every step, and says so when it does not."""

import asyncio
from typing import Any

import pytest

from relay.model import Cut
from relay.probe import LIFETIME_S, Probe, ProbeError
from relay.state.replica import NodeReport
from relay.telemetry.metrics import PROBE_FAILED, PROBE_SUCCESS
from tests.control.desk import Desk, open_desk


@pytest.fixture
async def desk() -> Any:
    async with open_desk() as made:
        yield made


def failures(step: str) -> float:
    return float(PROBE_FAILED.labels(step)._value.get())


async def test_a_probe_reaches_every_step_and_leaves_little(desk: Desk) -> None:
    reached = await Probe(desk.node, 60.0).probe()
    assert list(reached) == ["refused", "cut", "everywhere"]
    assert all(0 < seconds < 1 for seconds in reached.values())
    assert float(PROBE_SUCCESS._value.get()) == pytest.approx(desk.node.clock(), abs=5)
    assert desk.node.open_responses.count == 0
    (record,) = (await desk.get("/api/v1/revocations"))["revocations"]
    assert (record["sources"], record["reason"], record["actor"]) == (["probe"], "probe", "probe")
    assert record["expires_at"] - record["created_at"] == pytest.approx(LIFETIME_S, abs=1)


async def test_a_step_that_is_missed_is_told_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reports(*_: object) -> list[NodeReport]:
        return [NodeReport("node-b", "pending")]

    before = failures("everywhere"), failures("cut")
    monkeypatch.setattr(desk.node.replica, "reports", reports)
    assert list(await Probe(desk.node, 60.0).probe()) == ["refused", "cut"]
    monkeypatch.setattr(desk.node.open_responses, "cut", lambda *_: Cut())
    assert list(await Probe(desk.node, 60.0).probe()) == ["refused"]
    assert (failures("everywhere"), failures("cut")) == (before[0] + 2, before[1] + 1)


async def test_a_viewer_refused_beforehand_proves_nothing(desk: Desk) -> None:
    await desk.revoke({"type": "account", "value": "probe"})
    with pytest.raises(ProbeError):
        await Probe(desk.node, 60.0).probe()


async def test_it_runs_by_itself_and_survives_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = asyncio.Event()
    tries = 0

    async def probe(self: Probe) -> dict[str, float]:
        nonlocal tries
        tries += 1
        if tries > 1:
            probed.set()
        raise ProbeError("no")

    monkeypatch.setattr(Probe, "probe", probe)
    before = failures("accepted")
    async with open_desk(probe="10ms"), asyncio.timeout(5):
        await probed.wait()
    assert failures("accepted") >= before + 1
