"""Webhooks: how they are, and trying one."""

from urllib.parse import quote

from relay.api.webhooks import WebhookList, WebhookState, WebhookTest
from relay.client.http import Http

PATH = "/api/v1/webhooks"


class Webhooks:
    """``/api/v1/webhooks``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def all(self) -> list[WebhookState]:
        """Every webhook as it is on the node that is asked."""
        return (await self._http.get(PATH, WebhookList)).webhooks

    async def test(self, name: str) -> WebhookTest:
        """Send a test event now, and say what became of it; a disabled webhook that takes it is called again."""
        return await self._http.change("POST", f"{PATH}/{quote(name, safe='')}/test", WebhookTest)
