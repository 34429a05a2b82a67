"""The work on one upload: read in one process, its numbers scanned in another, put together here.

The scan has numbers and no names; names never leave the relay's own process and the disk beside the upload.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relay.watermark.analyse.reading import AssetReading, Reading
from relay.watermark.jobs.chip_keys import chip_key_of
from relay.watermark.jobs.errors import AssetUnservedError
from relay.watermark.jobs.findings import finding_of, result_of, scores_of, segment_s_of
from relay.watermark.jobs.gathered import Gathered
from relay.watermark.jobs.job import Job
from relay.watermark.jobs.messages import Accuse, HasAccused, HasRead, Limits, Read
from relay.watermark.jobs.process import perform
from relay.watermark.jobs.result import AnalysisResult, AssetFinding, Pictures
from relay.watermark.jobs.settings import AnalysisConfig
from relay.watermark.serving.inquiries import Inquiries
from relay.watermark.serving.marking import Marking

MAX_FILE: Final = 6 << 30
"""Of what a process writes: 20 minutes of small pictures of a high copy have 5.5 GB."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a configuration says. ``assets`` is an absolute path, None where nothing is analysed here.

    ``secret`` is what chip keys are derived from; ``other_key`` is that of assets marked with another, if not empty.
    ``code_of`` gives what the edge marks an asset's segments by.
    """

    config: AnalysisConfig
    assets: Path | None
    secret: bytes = field(repr=False)
    other_key: bytes = field(repr=False)
    code_of: Callable[[str], Marking | None]

    def chip_key(self, asset: str, check: str) -> bytes | None:
        """The chip key of an asset: the one that its index was made with, by its key check."""
        return chip_key_of(asset, check, self.secret, self.other_key)


class Progress:
    """The step at hand, and how much of the whole is done by it."""

    _STEPS: Final[Mapping[str, tuple[float, float]]] = {
        "decode": (0.0, 0.3),
        "align": (0.3, 0.55),
        "pictures": (0.85, 0.05),
        "candidates": (0.9, 0.05),
        "accuse": (0.95, 0.05),
    }
    """By when it begins and how long it takes, as shares of an analysis."""

    def __init__(self) -> None:
        self.step, self.share = "", 0.0

    def tell(self, step: str, share: float) -> None:
        """How far a step is."""
        begins, takes = self._STEPS.get(step, (self.share, 0.0))
        self.step, self.share = step, max(self.share, round(begins + takes * min(max(share, 0.0), 1.0), 3))


async def analysed(
    job: Job, upload: Path, folder: Path, setting: Setting, inquiries: Inquiries, at: Progress
) -> tuple[AnalysisResult, list[Pictures]]:
    """What comes of an upload. ``folder`` is for files that are needed meanwhile.

    Raises :class:`AnalysisFaultError` and the errors of :mod:`relay.watermark.jobs.errors`.
    """
    reading = await _read(job, upload, folder, setting, at)
    findings = []
    for asset in reading.assets:
        at.tell("candidates", 0.0)
        findings.append(await _accuse(asset, len(reading.assets), folder, setting, inquiries, at))
    pictures = [Pictures(asset=one.asset, pictures=list(one.pictures)) for one in reading.assets]
    return result_of(reading, findings, job.asset), pictures


async def _read(job: Job, upload: Path, folder: Path, setting: Setting, at: Progress) -> Reading:
    config = setting.config
    order = Read(
        limits=_limits(config),
        upload=str(upload),
        assets=str(setting.assets),
        asset=job.asset,
        max_upload=int(config.max_upload),
        max_duration_s=config.max_duration.seconds,
        read_s=config.read.seconds,
    )
    answer = await perform(order, folder, setting.chip_key, at.tell)
    assert isinstance(answer, HasRead)
    return answer.reading


async def _accuse(
    reading: AssetReading, hypotheses: int, folder: Path, setting: Setting, inquiries: Inquiries, at: Progress
) -> AssetFinding:
    marking = setting.code_of(reading.asset)
    if marking is None:
        raise AssetUnservedError(f"the copy is of asset {reading.asset}; no stream is configured with it")
    positions, z = scores_of(reading)
    inquiry = inquiries.ask(reading.asset, positions[0], positions[-1])
    with Gathered(folder) as gathered:
        async for rows in inquiry.pages():
            await asyncio.to_thread(gathered.add, rows)
        await asyncio.to_thread(gathered.done)
        order = Accuse(
            limits=_limits(setting.config),
            intervals=str(gathered.intervals),
            code_key=marking.key,
            colluders=marking.colluders,
            positions=positions,
            z=z,
            segment_s=segment_s_of(reading),
            hypotheses=hypotheses,
            false_accusation=setting.config.false_accusation,
        )
        answer = await perform(order, folder, lambda _asset, _check: None, at.tell)
        assert isinstance(answer, HasAccused)
        named = frozenset(one.number for one in answer.accusation.accused)
        rows_of = await asyncio.to_thread(gathered.rows_of, named)
    return finding_of(reading, answer.accusation, rows_of, inquiry.missing)


def _limits(config: AnalysisConfig) -> Limits:
    return Limits(int(config.memory), MAX_FILE, max(1, round(config.cpu.seconds)))
