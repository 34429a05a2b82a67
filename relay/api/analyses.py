"""What goes over the wire of ``/api/v1/drm/watermark/analyses``. Times are seconds since the epoch."""

from typing import Annotated

from msgspec import Meta, Struct

from relay.watermark.jobs.job import State
from relay.watermark.jobs.result import AnalysisResult, Pictures

AnalysisId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Asset = Annotated[str, Meta(max_length=128)]
Note = Annotated[str, Meta(max_length=512)]


class UploadForm(Struct, frozen=True, kw_only=True):
    """A suspected copy, a video. ``asset`` is what it is of; left out, it is found. ``note`` is for the record."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    asset: Asset = ""
    note: Note = ""


class AnalysisFault(Struct, frozen=True, kw_only=True):
    """Why an analysis came to nothing; ``code`` and ``number`` as in a problem document."""

    code: str
    number: int
    detail: str


class Analysis(Struct, frozen=True, kw_only=True):
    """An analysis of a suspected copy. ``progress`` is how much of it is done, ``step`` what it is at.

    ``digest`` is the SHA-256 of the upload, which is erased when it was analysed. ``result`` comes with the state
    ``done``, ``error`` with ``failed``; the whole is erased at ``expires_at``.
    """

    id: str
    state: State
    progress: float
    step: str
    asset: str
    note: str
    ordered_by: str
    size: int
    digest: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None
    error: AnalysisFault | None = None
    result: AnalysisResult | None = None


class AnalysisPage(Struct, frozen=True, kw_only=True):
    """Analyses without their results, the latest first."""

    analyses: list[Analysis]
    next: str | None


class AnalysisReport(Struct, frozen=True, kw_only=True):
    """An analysis as evidence to keep: with its alignment pictures, JPEG in base64, asset by asset."""

    analysis: Analysis
    pictures: list[Pictures]
