"""The audit log."""

from collections.abc import AsyncIterator

from relay.api.audit import AuditEntry, AuditPage
from relay.client.http import Http


class Audit:
    """``/api/v1/audit``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def page(self, cursor: str = "", page_size: int = 100) -> AuditPage:
        """A page, oldest first; its ``next`` is the cursor to go on with, at any later time."""
        return await self._http.get("/api/v1/audit", AuditPage, {"cursor": cursor, "limit": page_size})

    async def entries(self, page_size: int = 100) -> AsyncIterator[AuditEntry]:
        """Every entry there is now, oldest first; read page by page."""
        page = await self.page(page_size=page_size)
        while page.entries:
            for entry in page.entries:
                yield entry
            page = await self.page(page.next, page_size)
