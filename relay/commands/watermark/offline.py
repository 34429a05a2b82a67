"""An analysis on this machine, without a relay: for evidence to be checked again, and for a look at the scores."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec

from relay.api.watermark import Candidate
from relay.watermark.analyse.analysis import analyse
from relay.watermark.analyse.errors import AssetError
from relay.watermark.analyse.limits import Limits
from relay.watermark.analyse.reading import AssetReading
from relay.watermark.jobs.accusing import accused
from relay.watermark.jobs.chip_keys import chip_key_of
from relay.watermark.jobs.findings import finding_of, result_of, scores_of, segment_s_of
from relay.watermark.jobs.gathered import Gathered
from relay.watermark.jobs.job import Job, State
from relay.watermark.jobs.messages import Accuse
from relay.watermark.jobs.messages import Limits as ProcessLimits
from relay.watermark.jobs.reading import assets_in
from relay.watermark.jobs.report import page_of
from relay.watermark.jobs.result import Accusation, AnalysisResult, AssetFinding, Pictures, Status
from relay.watermark.jobs.work import Progress
from relay.watermark.serving.served import Interval
from relay.watermark.serving.servings import ServedRow

_KEY_BYTES = 32
_UNLIMITED = ProcessLimits(0, 0, 0)
"""This is the caller's own process."""
_candidates = msgspec.json.Decoder(Candidate)


@dataclass(frozen=True, slots=True)
class Scan:
    """Who may have been served it: lines as the API's candidates come in; and what their bits come from."""

    candidates: Path
    code_key: bytes = field(repr=False)
    colluders: int
    false_accusation: float


def analysed_here(
    file: Path,
    folder: Path,
    asset: str,
    note: str,
    secret: bytes,
    scan: Scan | None,
    tell: Callable[[str, float], None],
) -> tuple[AnalysisResult, str]:
    """What came of it, and the evidence as a page. Without a scan nobody is named. Raises as an analysis does."""
    begun, at = time.time(), Progress()

    def progress(step: str, share: float) -> None:
        at.tell(step, share)
        tell(step, at.share)

    assets = {one.asset: one for one in assets_in(folder, asset)}

    def key_of(name: str) -> bytes:
        key = chip_key_of(name, assets[name].key_check, secret, secret if len(secret) == _KEY_BYTES else b"")
        if key is None:
            raise AssetError(f"asset {name} was marked with another chip key")
        return key

    with file.open("rb") as upload:
        digest = file_digest(upload, "sha256").hexdigest()
        reading = analyse(upload, list(assets.values()), key_of, Limits(), progress)
    findings = [_finding(one, len(reading.assets), scan, progress) for one in reading.assets]
    result = result_of(reading, findings, asset)
    job = Job(
        id="offline", state=State.DONE, key="", actor="", asset=asset, note=note,
        size=file.stat().st_size, digest=digest, created_at=begun, finished_at=time.time(),
    )  # fmt: skip
    pictures = [Pictures(asset=one.asset, pictures=list(one.pictures)) for one in reading.assets]
    return result, page_of(job, result, pictures, scan.false_accusation if scan else 1e-9)


def _finding(
    reading: AssetReading, hypotheses: int, scan: Scan | None, progress: Callable[[str, float], None]
) -> AssetFinding:
    if scan is None:
        return finding_of(reading, _nobody(reading), {}, [])
    positions, z = scores_of(reading)
    with TemporaryDirectory() as folder, Gathered(Path(folder)) as gathered:
        gathered.add(_rows(scan.candidates))
        gathered.done()
        order = Accuse(
            limits=_UNLIMITED,
            intervals=str(gathered.intervals),
            code_key=scan.code_key,
            colluders=scan.colluders,
            positions=positions,
            z=z,
            segment_s=segment_s_of(reading),
            hypotheses=hypotheses,
            false_accusation=scan.false_accusation,
        )
        found = accused(order, progress).accusation
        rows = gathered.rows_of(frozenset(one.number for one in found.accused))
    return finding_of(reading, found, rows, [])


def _nobody(reading: AssetReading) -> Accusation:
    """What is found where nobody was asked about."""
    erased = sum(one.erased for one in reading.positions)
    return Accusation(
        status=Status.INSUFFICIENT_EVIDENCE,
        accused=[],
        pair_bound=None,
        needed_bits=0.0,
        best_bits=0.0,
        runner_up_bits=0.0,
        candidates=0,
        segments_used=len(reading.positions) - erased,
        segments_erased=erased,
        estimated_further_seconds=None,
        quality=reading.median_z,
    )


def _rows(file: Path) -> Iterator[ServedRow]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if b'"complete"' in line or not line.strip():
                # The last line says whether that was all.
                continue
            try:
                yield _row(_candidates.decode(line))
            except msgspec.MsgspecError as err:
                raise click.ClickException(f"{file}:{number}: {err}. Give what the API answered.") from None


def _row(one: Candidate) -> ServedRow:
    return ServedRow(
        asset="",
        watermark_id=one.watermark_id,
        issuer=one.issuer,
        sid=one.session_id,
        account=one.account_id,
        device=one.device_id,
        stream=one.stream_id,
        node=one.node,
        intervals=[
            Interval(part.first, part.last, part.since, part.until, part.marked, part.exact) for part in one.intervals
        ],
    )
