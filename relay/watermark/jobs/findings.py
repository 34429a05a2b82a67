"""What was read, whom the scan names and what they were served, put together. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import nan
from statistics import median

from relay.watermark.analyse.reading import AssetReading, Reading
from relay.watermark.jobs.result import (
    MAX_SESSIONS,
    Accusation,
    Accused,
    AnalysisResult,
    AssetFinding,
    LeakRange,
    Match,
    Positions,
    ServedSession,
    Status,
    Upload,
)
from relay.watermark.serving.served import Interval
from relay.watermark.serving.servings import ServedRow

_SEGMENT_S = 2.0
"""Where a copy shows but one position, which does not tell how long they are."""


def scores_of(reading: AssetReading) -> tuple[list[int], list[float]]:
    """The positions that the copy covers, and their scores: NaN for those that could not be read."""
    return (
        [one.position for one in reading.positions],
        [nan if one.erased else one.z for one in reading.positions],
    )


def segment_s_of(reading: AssetReading) -> float:
    """How long a position lasts."""
    ordered = sorted((one.position, one.start_s) for one in reading.positions)
    steps = [
        (later[1] - before[1]) / (later[0] - before[0]) for before, later in pairwise(ordered) if later[0] > before[0]
    ]
    return median(steps) if steps else _SEGMENT_S


def finding_of(
    reading: AssetReading,
    accusation: Accusation,
    rows: Mapping[int, Sequence[ServedRow]],
    missing: Sequence[str],
) -> AssetFinding:
    """What was found of an asset. ``rows`` are what the accused numbers were served, ``missing`` silent nodes."""
    positions = [one.position for one in reading.positions]
    longest = max(reading.runs, key=lambda run: run.leak_end_s - run.leak_start_s)
    return AssetFinding(
        status=accusation.status,
        asset=reading.asset,
        leak_range=LeakRange(
            start_s=min(run.asset_start_s for run in reading.runs),
            end_s=max(run.asset_end_s for run in reading.runs),
            speed=longest.speed,
            mirrored=reading.geometry.mirrored,
        ),
        segments_used=accusation.segments_used,
        segments_erased=accusation.segments_erased,
        quality=accusation.quality,
        control_rms=reading.control_rms,
        needed_bits=accusation.needed_bits,
        best_bits=accusation.best_bits,
        runner_up_bits=accusation.runner_up_bits,
        candidates=accusation.candidates,
        complete=not missing,
        missing_nodes=list(missing),
        estimated_further_seconds=accusation.estimated_further_seconds,
        pair_bound=accusation.pair_bound,
        matches=[_match(one, rows.get(one.number, ()), positions) for one in accusation.accused],
        passages=list(reading.runs),
        geometry=reading.geometry,
        scores=list(reading.positions),
    )


def result_of(reading: Reading, findings: Sequence[AssetFinding], asset: str) -> AnalysisResult:
    """What came of an upload that was said to be of an ``asset``, if that is not empty."""
    upload = Upload(
        width=reading.width,
        height=reading.height,
        duration_s=reading.duration_s,
        unknown_s=reading.unknown_s,
        cut_short=reading.cut_short,
    )
    if not findings:
        status = Status.REGISTRATION_FAILED if asset else Status.ASSET_NOT_FOUND
        return AnalysisResult(status=status, asset=asset, upload=upload)
    first, *others = findings
    members = {name: getattr(first, name) for name in first.__struct_fields__}
    return AnalysisResult(**members, upload=upload, others=others)


def _match(accused: Accused, rows: Sequence[ServedRow], positions: Sequence[int]) -> Match:
    by_session: dict[tuple[str, str], list[ServedRow]] = {}
    for row in rows:
        by_session.setdefault((row.issuer, row.sid), []).append(row)
    sessions = [found for each in by_session.values() if (found := _session(each, positions)) is not None]
    sessions.sort(key=lambda one: one.served_from)
    return Match(
        watermark_id=rows[0].watermark_id if rows else "",
        number=f"{accused.number:016x}",
        evidence_bits=accused.evidence_bits,
        false_accusation_bound=accused.false_accusation_bound,
        segments_agreeing=accused.segments_agreeing,
        segments_compared=accused.segments_compared,
        served_from=min((one.served_from for one in sessions), default=None),
        served_to=max((one.served_to for one in sessions), default=None),
        sessions_in_all=len(sessions),
        sessions=sessions[:MAX_SESSIONS],
    )


def _session(rows: Sequence[ServedRow], positions: Sequence[int]) -> ServedSession | None:
    """A session, with what it was served of these positions; None where that is nothing."""
    served = [part for row in rows for one in row.intervals if (part := _shown(one, positions)) is not None]
    if not served:
        return None
    served.sort(key=lambda one: one.since)
    first = rows[0]
    return ServedSession(
        session_id=first.sid,
        issuer=first.issuer,
        account_id=first.account,
        device_id=first.device,
        stream_id=first.stream,
        nodes=sorted({row.node for row in rows}),
        served_from=min(one.since for one in served),
        served_to=max(one.until for one in served),
        positions=served,
    )


def _shown(one: Interval, positions: Sequence[int]) -> Positions | None:
    """The part of an interval that the copy shows, and when it was served."""
    shown = [position for position in positions if one.first <= position <= one.last]
    if not shown or not one.marked:
        return None
    first, last = min(shown), max(shown)
    return Positions(first=first, last=last, since=one.when(first), until=one.when(last), exact=one.exact)
