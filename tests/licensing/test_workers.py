"""The processes that make licences: bounded, replaced when they die or hang, and never in the way of the event loop."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from keys.licences.detect import DrmSystem
from keys.material import RootKey
from keys.ring import KeyRing
from relay.app import running_node
from relay.gate.dialects.keys import TokenKey
from relay.licensing import process as process_module
from relay.licensing.desk import FORGOTTEN, Desk, Kind, Opened, Refusal
from relay.licensing.issuers import Issuers
from relay.licensing.material import FairPlayMaterial, Material
from relay.licensing.process import ProcessLostError
from relay.licensing.workers import LicenceFailedError, LicencesBusyError, Worker
from relay.secrets import Secrets
from tests.keys.licences import fairplay_device
from tests.keys.licences.fairplay_device import FairPlayDevice
from tests.licensing.configured import configured


def fairplay_material(derive_secret: str = "tests.keys.licences.fairplay_device:stand_in_d") -> Material:
    apple = fairplay_device.VECTORS
    credentials = bytes.fromhex(apple["certificate_der"]), apple["rsa_key_pem"].encode(), fairplay_device.ASK
    return Material(fairplay=FairPlayMaterial((credentials,), derive_secret))


async def opened_by(issuers: Issuers, count: int = 1) -> Sequence[Opened | Refusal | BaseException]:
    worker = issuers.of(DrmSystem.FAIRPLAY)
    assert worker
    spc = FairPlayDevice().spc()
    calls = (worker.open(DrmSystem.FAIRPLAY, spc, fairplay_device.NOW) for _ in range(count))
    return await asyncio.gather(*calls, return_exceptions=True)


def worker_of(issuers: Issuers) -> Worker:
    worker = issuers.of(DrmSystem.FAIRPLAY)
    assert isinstance(worker, Worker)
    return worker


async def test_a_full_queue_says_so_and_a_dead_process_is_replaced() -> None:
    issuers = Issuers(fairplay_material(), 1, 2, 10.0)
    try:
        assert issuers.of(DrmSystem.WIDEVINE) is None
        found = await opened_by(issuers, 4)
        assert [type(one) for one in found] == [Opened, Opened, LicencesBusyError, LicencesBusyError]
        worker = worker_of(issuers)
        first = found[0]
        assert isinstance(first, Opened)
        assert first.kind is Kind.NEW
        assert worker.process
        assert worker.process.pid
        os.kill(worker.process.pid, signal.SIGKILL)
        with capture_logs() as logs:
            assert [type(one) for one in await opened_by(issuers)] == [LicencesBusyError]
        assert [(one["event"], one["system"], one["how"]) for one in logs] == [
            ("licence_process_lost", "fairplay", "ended (exit code -9)")
        ]
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
        # What the dead process had opened is not confused with what its successor has.
        made = await worker.make(first, None, fairplay_device.NOW)
        assert isinstance(made, Refusal)
        assert made.reason == FORGOTTEN
    finally:
        await issuers.close()
    assert [type(one) for one in await opened_by(issuers)] == [LicencesBusyError]


def hanging_d(_: bytes, __: bytes) -> bytes:
    time.sleep(600)
    return b""


async def test_a_plug_in_that_never_returns_costs_its_process_and_holds_up_neither_others_nor_the_end() -> None:
    issuers = Issuers(fairplay_material("tests.licensing.test_workers:hanging_d"), 1, 8, 0.2)
    with capture_logs() as logs:
        assert {type(one) for one in await opened_by(issuers, 2)} == {LicencesBusyError}
    assert {(one["event"], one["how"]) for one in logs} == {
        ("licence_process_lost", "took longer than 0.2 s (exit code -9)")
    }
    waiting = asyncio.create_task(opened_by(issuers))
    await asyncio.sleep(0)
    await issuers.close()
    assert {type(one) for one in await waiting} == {LicencesBusyError}


async def test_starting_a_process_does_not_hold_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    started_in: list[str] = []
    spawn = process_module._spawn

    def noted(material: Material) -> Any:
        started_in.append(threading.current_thread().name)
        return spawn(material)

    monkeypatch.setattr(process_module, "_spawn", noted)
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
    finally:
        await issuers.close()
    assert len(started_in) == 1
    assert started_in != [threading.main_thread().name]


async def test_what_is_not_wanted_is_forgotten() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        (opened,) = await opened_by(issuers)
        assert isinstance(opened, Opened)
        worker = worker_of(issuers)
        worker.drop(opened)
        made = await worker.make(opened, None, fairplay_device.NOW)
        assert isinstance(made, Refusal)
        assert made.reason == FORGOTTEN
    finally:
        await issuers.close()


def test_two_desks_never_give_the_same_ticket() -> None:
    tickets = set()
    for _ in range(2):
        opened = Desk(fairplay_material()).open(DrmSystem.FAIRPLAY, FairPlayDevice().spc(), fairplay_device.NOW)
        assert isinstance(opened, Opened)
        tickets.add(opened.ticket)
    assert len(tickets) == 2


async def test_what_was_asked_when_the_processes_are_replaced_is_answered_and_no_more() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    assert [type(one) for one in await opened_by(issuers)] == [Opened]
    waiting = asyncio.create_task(opened_by(issuers, 8))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await issuers.close()
    assert {type(one) for one in await waiting} == {Opened}
    assert [type(one) for one in await opened_by(issuers)] == [LicencesBusyError]


async def test_whoever_asks_while_a_process_starts_for_a_configuration_that_goes_is_told_to_ask_again() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    waiting = asyncio.create_task(opened_by(issuers, 8))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await issuers.close()
    assert {type(one) for one in await waiting} == {LicencesBusyError}


async def test_who_went_away_while_a_process_started_leaves_it_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Material] = []
    spawn = process_module._spawn

    def noted(material: Material) -> Any:
        started.append(material)
        return spawn(material)

    monkeypatch.setattr(process_module, "_spawn", noted)
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        gone = asyncio.create_task(opened_by(issuers))
        await asyncio.sleep(0.01)
        gone.cancel()
        assert [type(one) for one in await opened_by(issuers, 2)] == [Opened, Opened]
        assert len(started) == 1
    finally:
        await issuers.close()


async def test_a_process_that_cannot_begin_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = process_module._spawn

    def failing(_: Material) -> Any:
        raise ProcessLostError("cannot be started: no memory")

    monkeypatch.setattr(process_module, "_spawn", failing)
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        assert {type(one) for one in await opened_by(issuers, 2)} == {LicencesBusyError}
        monkeypatch.setattr(process_module, "_spawn", spawn)
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
    finally:
        await issuers.close()


async def test_who_went_away_while_a_licence_was_made_leaves_no_mark() -> None:
    issuers = Issuers(fairplay_material(), 1, 8, 10.0)
    try:
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
        gone = asyncio.create_task(opened_by(issuers))
        await asyncio.sleep(0)
        gone.cancel()
        assert [type(one) for one in await opened_by(issuers)] == [Opened]
        assert worker_of(issuers).waiting == 0
    finally:
        await issuers.close()


def failing_d(_: bytes, __: bytes) -> bytes:
    raise OSError("no library")


async def test_what_a_plug_in_raises_is_a_failure_of_ours() -> None:
    issuers = Issuers(fairplay_material("tests.licensing.test_workers:failing_d"), 1, 2, 10.0)
    try:
        with capture_logs() as logs:
            (error,) = await opened_by(issuers)
        assert isinstance(error, LicenceFailedError)
        assert [(one["event"], one["system"], one["error"]) for one in logs] == [
            ("licence_work_failed", "fairplay", "OSError")
        ]
        assert "no library" not in str(logs)
    finally:
        await issuers.close()


async def test_a_reload_takes_over_changed_material_and_leaves_the_rest_at_work() -> None:
    before = configured()
    ring = KeyRing([RootKey(1, bytes(32))])
    keys = {"https://platform.example": [TokenKey.symmetric("k1", bytes(32))]}

    def secrets(material: Material) -> Secrets:
        return Secrets(ring, keys, b"", licences=material)

    async with running_node(before, secrets(Material()), Path()) as node:
        none = node.licences
        assert none.of(DrmSystem.FAIRPLAY) is None
        await node.reload(before, secrets(Material()))
        assert node.licences is none
        await node.reload(before, secrets(fairplay_material()))
        served = node.licences
        assert [type(one) for one in await opened_by(served)] == [Opened]
        await node.reload(configured(None, {"queue": 5}), secrets(fairplay_material()))
        assert node.licences is not served
        assert [type(one) for one in await opened_by(served)] == [LicencesBusyError]
