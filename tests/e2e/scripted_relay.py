"""A relay that does what a test tells it: enough of one for the player SDK, in a thread of its own."""

import json
import queue
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONSOLE = Path(__file__).parents[2] / "relay" / "console"
BASE = "/p/pass/demo/cenc.stable/"
TOO_MANY = {"Relay-Reason": "concurrency_limit"}
HANG_UP = None
"""In the queue of events: end the channel's response."""


def kid(number: int) -> str:
    """A key ID."""
    return urlsafe_b64encode(number.to_bytes(16, "big")).decode().rstrip("=")


def key_push(*numbers: int, period_s: int = 0, edge_s: int = 0, due_in_s: float | None = 60) -> dict[str, Any]:
    """The data of a ``keys`` event, with a key for each number.

    ``period_s`` is when the newest period starts and ``edge_s`` where the live edge is, in stream time; the
    next push is due in ``due_in_s``, None: never.
    """
    now = int(time.time() * 1000)
    return {
        "keys": [{"kty": "oct", "kid": kid(number), "k": kid(number + 1000)} for number in numbers],
        "type": "temporary",
        "period": period_s * 1000,
        "now": now,
        "next_at": None if due_in_s is None else now + int(due_in_s * 1000),
        "stream_now": edge_s * 1000,
        "channel_key": {"kty": "oct", "alg": "A256GCM", "k": urlsafe_b64encode(bytes(32)).decode().rstrip("=")},
    }


class ScriptedRelay:
    """What the relay answers, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.events: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self.keys: dict[str, Any] = {}
        self.refusal: tuple[int, str] | None = None
        self.occupied: dict[str, Any] = {}
        self.asked: list[str] = []
        self.queries: list[str] = []

    def count(self, name: str) -> int:
        """How often ``events`` or ``keys`` was asked for."""
        return self.asked.count(BASE + name)


class _Handler(BaseHTTPRequestHandler):
    relay: ScriptedRelay

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.relay.asked.append(path)
        self.relay.queries.append(query)
        if path == "/":
            self._answer(200, b"<!doctype html><video></video>", "text/html")
        elif path in ("/segmentgate.js", "/sdk-players.js"):
            self._answer(200, (CONSOLE / path[1:]).read_bytes(), "text/javascript")
        elif self.relay.refusal:
            status, reason = self.relay.refusal
            self._answer(status, b"", "text/plain", {"Relay-Reason": reason, "Cache-Control": "no-store"})
        elif path == "/watch/demo/index.m3u8" and self.relay.occupied and "terminate=" not in query:
            self._answer(409, json.dumps(self.relay.occupied).encode(), "application/problem+json", TOO_MANY)
        elif path == "/watch/demo/index.m3u8":
            self._answer(302, b"", "text/plain", {"Location": f"{BASE}index.m3u8"})
        elif path == f"{BASE}index.m3u8":
            self._answer(200, b"#EXTM3U\n", "application/vnd.apple.mpegurl")
        elif path == f"{BASE}keys":
            self._answer(200, json.dumps(self.relay.keys).encode(), "application/json")
        elif path == f"{BASE}events":
            self._stream()
        else:
            self._answer(404, b"", "text/plain")

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b": open\n\n")
        while event := self.relay.events.get():
            name, data = event
            mark = f"id: after {data['period']}\n" if name == "keys" else ""
            self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n{mark}\n".encode())

    def _answer(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""


@contextmanager
def scripted_relay() -> Iterator[ScriptedRelay]:
    """A scripted relay on a free port."""

    class Handler(_Handler):
        """One class for each relay, as the server makes an instance for each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.relay = relay = ScriptedRelay(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield relay
    finally:
        relay.events.put(HANG_UP)
        server.shutdown()
        thread.join()
        server.server_close()
