"""Watermarks of other vendors: whose they are, and what detectors found."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from relay.api.marks import (
    Detected,
    DetectionBody,
    DetectionPage,
    Mapped,
    MappingBody,
    MappingsDone,
    VerdictBody,
)
from relay.client.http import Http, Query
from relay.watermark.detections.records import DetectionState

MAPPINGS = "/api/v1/drm/watermark/mappings"
DETECTIONS = "/api/v1/drm/watermark/detections"


class Mappings:
    """``/api/v1/drm/watermark/mappings``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def put(self, mappings: Sequence[MappingBody]) -> MappingsDone:
        """Say whose watermark ids are, up to 256 at a time."""
        return await self._http.change("POST", MAPPINGS, MappingsDone, list(mappings))

    async def get(self, watermark_id: str) -> Mapped:
        """The sessions of a watermark id."""
        return await self._http.get(f"{MAPPINGS}/{quote(watermark_id, safe='')}", Mapped)

    async def forget(self, watermark_id: str) -> MappingsDone:
        """Forget whose a watermark id is."""
        return await self._http.change("DELETE", f"{MAPPINGS}/{quote(watermark_id, safe='')}", MappingsDone)


class Detections:
    """``/api/v1/drm/watermark/detections``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def tell(self, detection: DetectionBody) -> Detected:
        """Tell of a watermark that was found. The same again gets the same answer."""
        return await self._http.change("POST", DETECTIONS, Detected, detection)

    async def all(self, state: DetectionState | None = None, page_size: int = 100) -> AsyncIterator[Detected]:
        """What was detected, the latest first: all, or those that something became of."""
        query: Query = {"limit": page_size, **({"state": str(state)} if state else {})}
        async for page in self._http.pages(DETECTIONS, DetectionPage, query):
            for detection in page.detections:
                yield detection

    async def get(self, name: str) -> Detected:
        """One detection."""
        return await self._http.get(f"{DETECTIONS}/{quote(name, safe='')}", Detected)

    async def approve(self, name: str, reason: str = "") -> Detected:
        """Approve a detection: when as many API keys have as must, its watermark is revoked."""
        return await self._say(name, "approve", reason)

    async def dismiss(self, name: str, reason: str = "") -> Detected:
        """Dismiss a detection."""
        return await self._say(name, "dismiss", reason)

    async def _say(self, name: str, decision: str, reason: str) -> Detected:
        path = f"{DETECTIONS}/{quote(name, safe='')}/{decision}"
        return await self._http.change("POST", path, Detected, VerdictBody(reason=reason))
