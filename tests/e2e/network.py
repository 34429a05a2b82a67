"""What reached a page over the network, by the browser's own record."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page


@dataclass
class Exchange:
    """A request and what came of it. Times are of ``time.monotonic``, which Chromium's record uses, too."""

    method: str
    url: str
    body: str
    status: int = 0
    received: int = 0
    """Bytes of the body."""
    last_byte_at: float = 0.0
    over: bool = False
    error: str = ""

    @property
    def path(self) -> str:
        """Path and query."""
        parts = urlsplit(self.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    @property
    def is_channel(self) -> bool:
        """Whether it is the session's event channel."""
        return urlsplit(self.url).path.endswith("/events")


class Network:
    """Notes what a page asks of the site at ``url``."""

    def __init__(self, page: Page, url: str) -> None:
        self._url = url
        self._exchanges: dict[str, Exchange] = {}
        session = page.context.new_cdp_session(page)
        for name, note in {
            "requestWillBeSent": self._sent,
            "responseReceived": self._answered,
            "dataReceived": self._received,
            "loadingFinished": self._ended,
            "loadingFailed": self._ended,
        }.items():
            session.on(f"Network.{name}", note)
        session.send("Network.enable")

    @property
    def served(self) -> list[Exchange]:
        """Whatever was answered well: manifests, segments, keys, licences, and the channel."""
        return [exchange for exchange in self._exchanges.values() if exchange.status in (200, 206)]

    @property
    def last_byte_at(self) -> float:
        """When the last byte of these came, but for the channel, which tells of the revocation itself."""
        return max(exchange.last_byte_at for exchange in self.served if not exchange.is_channel)

    def segment_in_flight(self, most: int) -> Exchange | None:
        """A segment of which something has come, but no more than ``most`` bytes."""
        flying = (exchange for exchange in self.served if ".m4s" in exchange.url and not exchange.over)
        return next((exchange for exchange in flying if 0 < exchange.received <= most), None)

    def _sent(self, event: dict[str, Any]) -> None:
        request = event["request"]
        if request["url"].startswith(self._url):
            exchange = Exchange(request["method"], request["url"], request.get("postData", ""))
            self._exchanges[event["requestId"]] = exchange

    def _answered(self, event: dict[str, Any]) -> None:
        if exchange := self._exchanges.get(event["requestId"]):
            exchange.status = event["response"]["status"]

    def _received(self, event: dict[str, Any]) -> None:
        if exchange := self._exchanges.get(event["requestId"]):
            exchange.received += event["dataLength"]
            exchange.last_byte_at = event["timestamp"]

    def _ended(self, event: dict[str, Any]) -> None:
        if exchange := self._exchanges.get(event["requestId"]):
            exchange.over = True
            exchange.error = event.get("errorText", "")
