"""Revocations: orders, records, previews."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from relay.api.revocations import Done, Item, Previewed, Record, RecordPage, RevokeBody, ShortDone
from relay.client.http import Http, Query, WaitFor
from relay.gate.targets import TargetType

PATH = "/api/v1/revocations"


class Revocations:
    """``/api/v1/revocations`` and the short form."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def revoke(
        self,
        *,
        session_id: str | None = None,
        account_id: str | None = None,
        device_id: str | None = None,
        watermark_id: str | None = None,
        issuer: str = "",
        reason: str = "",
    ) -> ShortDone:
        """Stop one session, account, device or watermark now."""
        body = RevokeBody(
            session_id=session_id,
            account_id=account_id,
            device_id=device_id,
            watermark_id=watermark_id,
            issuer=issuer,
            reason=reason,
        )
        return await self._http.change("POST", "/api/v1/drm/revoke", ShortDone, body)

    async def order(self, items: Sequence[Item], wait: WaitFor = "local", timeout_ms: int = 2000) -> Done:
        """Revoke or restore many at once. Not ``complete``: ask for :meth:`status` by the ``id``."""
        query = {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("POST", PATH, Done, items, query=query)

    async def status(self, name: str) -> Done:
        """What became of an order that was answered before all nodes had reported."""
        return await self._http.get(f"{PATH}/status/{quote(name, safe='')}", Done)

    async def restore(self, name: str, reason: str = "") -> Done:
        """Take back what the record of this id ordered."""
        return await self._http.change("DELETE", f"{PATH}/{quote(name, safe='')}", Done, query={"reason": reason})

    async def get(self, name: str) -> Record:
        """One record."""
        return await self._http.get(f"{PATH}/{quote(name, safe='')}", Record)

    async def about(self, kind: TargetType, value: str, issuer: str = "", viewer: str = "") -> RecordPage:
        """What was last ordered about one target, and whether it is revoked now."""
        query: Query = {"type": kind, "value": value, "issuer": issuer, "viewer": viewer}
        return await self._http.get(PATH, RecordPage, query)

    async def records(self, kind: TargetType | None = None, page_size: int = 100) -> AsyncIterator[Record]:
        """Every record, newest first, or those of one type; read page by page."""
        async for page in self._http.pages(PATH, RecordPage, {"type": kind, "limit": page_size}):
            for record in page.revocations:
                yield record

    async def preview(self, item: Item) -> Previewed:
        """What an order would stop on the node that is asked; changes nothing."""
        return await self._http.change("POST", f"{PATH}/preview", Previewed, item)
