"""In the process of an analysis: scores and the numbers of sessions in, those that leaked out. No names come here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relay.watermark.accuse.candidates import DerivedCandidates, Served
from relay.watermark.accuse.finding import Finding, accuse
from relay.watermark.accuse.readings import Readings
from relay.watermark.code import AssetCode
from relay.watermark.jobs.messages import Accuse, HasAccused
from relay.watermark.jobs.result import Accusation, Accused, Status

INTERVAL = np.dtype([("number", "<u8"), ("first", "<i4"), ("last", "<i4")])
"""As :data:`relay.watermark.jobs.gathered.INTERVAL` writes them."""


def accused(order: Accuse, progress: Callable[[str, float], None]) -> HasAccused:
    """Do what an order says."""
    progress("accuse", 0.0)
    numbers, served = candidates_in(Path(order.intervals))
    candidates = DerivedCandidates(AssetCode(order.code_key, order.colluders), numbers, served)
    readings = Readings.of(order.positions, order.z)
    finding = accuse(
        readings,
        candidates,
        false_accusation=order.false_accusation,
        hypotheses=order.hypotheses,
        segment_s=order.segment_s,
    )
    return HasAccused(_told(finding, readings, candidates, numbers))


def candidates_in(path: Path) -> tuple[npt.NDArray[np.uint64], Served]:
    """The distinct numbers in a file of intervals, and what each was served: with several sessions, all of theirs."""
    intervals = np.fromfile(path, dtype=INTERVAL)
    numbers, rows = np.unique(intervals["number"], return_inverse=True)
    order = np.argsort(rows, kind="stable")
    first, last = (intervals[name][order].astype(np.int64) for name in ("first", "last"))
    return numbers, Served(rows[order], first, last)


def _told(
    finding: Finding, readings: Readings, candidates: DerivedCandidates, numbers: npt.NDArray[np.uint64]
) -> Accusation:
    places = np.array([match.candidate for match in finding.matches], dtype=np.int64)
    named = candidates.take(places)
    bits, known = (table(0, len(named), readings.positions) for table in (named.bits, named.known))
    compared = np.ones_like(bits) if known is None else known
    agreeing = compared & (bits == (readings.z < 0))
    return Accusation(
        status=Status(finding.status),
        accused=[
            Accused(
                number=int(numbers[match.candidate]),
                evidence_bits=match.evidence_bits,
                false_accusation_bound=match.false_accusation_bound,
                segments_agreeing=int(agreeing[row].sum()),
                segments_compared=int(compared[row].sum()),
            )
            for row, match in enumerate(finding.matches)
        ],
        pair_bound=finding.pair_bound,
        needed_bits=finding.needed_bits,
        best_bits=finding.best_bits,
        runner_up_bits=finding.runner_up_bits,
        candidates=finding.candidates,
        segments_used=finding.segments_used,
        segments_erased=finding.segments_erased,
        estimated_further_seconds=finding.estimated_further_seconds,
        quality=finding.quality,
    )
