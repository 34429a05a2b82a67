"""Purchases, and the entitlements that come of them."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from relay.api.purchases import Entitlement, EntitlementPage, PurchaseBody, Sold, Withdrawn
from relay.client.http import Http, Query

ENTITLEMENTS = "/api/v1/entitlements"


class Purchases:
    """``/api/v1/purchases``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def tell(self, event: PurchaseBody) -> Sold:
        """Tell of a purchase, a refund or a cancellation. The same event again gets the same answer."""
        return await self._http.change("POST", "/api/v1/purchases", Sold, event)


class Entitlements:
    """``/api/v1/entitlements``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def of(self, account_id: str, *, issuer: str = "", page_size: int = 100) -> AsyncIterator[Entitlement]:
        """Every entitlement of an account, also those that are over or were taken back."""
        query: Query = {"account_id": account_id, "issuer": issuer, "limit": page_size}
        async for page in self._http.pages(ENTITLEMENTS, EntitlementPage, query):
            for entitlement in page.entitlements:
                yield entitlement

    async def get(self, name: str) -> Entitlement:
        """One entitlement."""
        return await self._http.get(f"{ENTITLEMENTS}/{quote(name, safe='')}", Entitlement)

    async def withdraw(self, name: str) -> Withdrawn:
        """Take an entitlement back, as a refund does."""
        return await self._http.change("DELETE", f"{ENTITLEMENTS}/{quote(name, safe='')}", Withdrawn)
