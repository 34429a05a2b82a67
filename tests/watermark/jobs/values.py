"""Readings, accusations and served ranges as analyses meet them, without any video."""

from typing import Any

from relay.watermark.analyse.reading import AssetReading, Geometry, Picture, PositionReading, Reading, Run
from relay.watermark.jobs.job import Job, State
from relay.watermark.jobs.result import Accusation, Accused, Status
from relay.watermark.serving.served import Interval
from relay.watermark.serving.servings import ServedRow

GEOMETRY = Geometry(
    corners=((0.1, 0.1), (0.9, 0.12), (0.88, 0.9), (0.1, 0.88)), mirrored=True, visible=0.8, bend_px=1.5, moved_px=3.0
)


def score(position: int, z: float = 20.0, erased: bool = False) -> PositionReading:
    return PositionReading(
        position=position, z=z, erased=erased, frames=6, agreement=0.9, start_s=position * 2.0, leak_s=position * 2.0
    )


def asset_reading(*positions: PositionReading, asset: str = "film") -> AssetReading:
    return AssetReading(
        asset=asset,
        positions=positions,
        runs=(
            Run(leak_start_s=0.0, leak_end_s=30.0, asset_start_s=100.0, asset_end_s=130.0, speed=1.0),
            Run(leak_start_s=30.0, leak_end_s=40.0, asset_start_s=10.0, asset_end_s=20.0, speed=1.04),
        ),
        geometry=GEOMETRY,
        pictures=(Picture(position=1, leak_s=2.0, jpeg=b"\xff\xd8jpeg"),),
        median_z=20.0,
        control_rms=1.01,
    )


def reading(*assets: AssetReading) -> Reading:
    return Reading(assets=assets, width=1280, height=720, duration_s=40.0, cut_short=True, unknown_s=3.0)


def accused(number: int, bits: float = 40.0, bound: float = 1e-10) -> Accused:
    return Accused(
        number=number, evidence_bits=bits, false_accusation_bound=bound, segments_agreeing=9, segments_compared=10
    )


def accusation(*found: Accused, status: Status = Status.IDENTIFIED, **further: Any) -> Accusation:
    return Accusation(
        **{
            "status": status,
            "accused": list(found),
            "pair_bound": None,
            "needed_bits": 38.2,
            "best_bits": 40.0,
            "runner_up_bits": 4.0,
            "candidates": 1000,
            "segments_used": 10,
            "segments_erased": 1,
            "estimated_further_seconds": 0.0,
            "quality": 20.0,
            **further,
        }
    )


def row(sid: str, *intervals: Interval, watermark_id: str = "wm-1", node: str = "node-a") -> ServedRow:
    return ServedRow(
        asset="film",
        watermark_id=watermark_id,
        issuer="https://platform.example",
        sid=sid,
        account=f"account-{sid}",
        device=f"device-{sid}",
        stream="vod",
        node=node,
        intervals=list(intervals),
    )


def job(**members: Any) -> Job:
    return Job(
        **{
            "id": "0" * 32,
            "state": State.DONE,
            "key": "vendor",
            "actor": "api:vendor:anna",
            "asset": "",
            "note": "seen on a forum",
            "size": 3_000_000,
            "digest": "d" * 64,
            "created_at": 1_700_000_000.0,
            "finished_at": 1_700_000_100.0,
            **members,
        }
    )
