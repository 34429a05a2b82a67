"""Analyses of suspected copies."""

from collections.abc import AsyncIterator
from pathlib import Path

from relay.api.analyses import Analysis, AnalysisPage, AnalysisReport
from relay.client.http import Http

PATH = "/api/v1/drm/watermark/analyses"
UPLOAD_S = 3600.0
"""How long an upload may take."""


class Analyses:
    """``/api/v1/drm/watermark/analyze`` and ``…/analyses``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def begin(self, file: Path, asset: str = "", note: str = "", timeout_s: float = UPLOAD_S) -> Analysis:
        """Upload a suspected copy; the answer comes when it is queued. ``asset`` is what it is of, if that is known.

        Raises :class:`OSError` for a file that cannot be read.
        """
        path, query = "/api/v1/drm/watermark/analyze", {"asset": asset or None, "note": note or None}
        return await self._http.upload(path, Analysis, file, "video/mp4", query, timeout_s)

    async def get(self, name: str) -> Analysis:
        """How far an analysis is, and what came of it."""
        return await self._http.get(f"{PATH}/{name}", Analysis)

    async def all(self, page_size: int = 100) -> AsyncIterator[Analysis]:
        """All of that machine, the latest first, without their results; read page by page."""
        async for page in self._http.pages(PATH, AnalysisPage, {"limit": page_size}):
            for one in page.analyses:
                yield one

    async def page(self, name: str) -> bytes:
        """The evidence as a page of HTML."""
        return (await self._http.call("GET", f"{PATH}/{name}/report")).body

    async def report(self, name: str) -> AnalysisReport:
        """The evidence for programs, with its pictures."""
        return await self._http.get(f"{PATH}/{name}/report.json", AnalysisReport)

    async def erase(self, name: str) -> None:
        """Erase an analysis with all that came of it; one that is under way ends."""
        await self._http.call("DELETE", f"{PATH}/{name}")
