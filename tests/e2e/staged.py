"""A relay in this process, before the demo's origin: a test may change its policies and sees every byte it answers."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from keys.material import RootKey
from keys.periods import Clock
from keys.ring import KeyRing
from policies.text import SceneText, write_scenes
from relay.app import running_node
from relay.config import parse_config
from relay.demo.clip import Clip
from relay.demo.origin import create_origin
from relay.demo.page import create_page
from relay.edge.app import create_edge
from relay.gate.dialects.jwt import mint_token
from relay.gate.dialects.keys import TokenKey
from relay.node import Node
from relay.plans import KIND, name_of
from relay.secrets import Secrets
from tests.e2e.local import CONSOLE, NODE_MODULES, Server

STREAM = "demo"
ISSUER = "https://platform.example"
SECRET = bytes(range(32))
RING = KeyRing([RootKey(1, bytes(32))])
T = TypeVar("T")


class Recorder:
    """Stands before the relay at ``target`` and keeps, connection by connection, whatever it answers."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = host, int(port)
        self.answers: list[bytearray] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; the URL to reach the relay by."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Let go of every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        answers, requests = await asyncio.open_connection(*self._target)
        kept = bytearray()
        self.answers.append(kept)
        try:
            await asyncio.gather(_carry(reader, requests, None), _carry(answers, writer, kept))
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # one side is gone, or the test is over
        finally:
            for end in (writer, requests):
                end.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None) -> None:
    while data := await reader.read(65_536):
        if kept is not None:
            kept += data
        writer.write(data)
        await writer.drain()
    raise EOFError


@dataclass
class Staged:
    """The running relay, the demo's page before it, and what it has answered."""

    node: Node
    page: str
    recorder: Recorder
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    def put_scenes(self, zero: int, scenes: Sequence[SceneText], since: int | None = None) -> None:
        """Set the scenes of the stream, times counted from ``zero`` (ms of stream time)."""
        start = zero if since is None else since
        body = write_scenes({Clock.WALL: start}, {Clock.WALL: zero}, scenes)
        registry = self.node.registry
        self.run(registry.put([registry.draft(KIND, name_of(STREAM, f"{start}"), body)]))


@contextmanager
def staged_relay(server: Server, clip: Clip, rotation: Mapping[str, str]) -> Iterator[Staged]:
    """A relay for one live stream in SD and HD, with the demo's page that plays it."""
    origin = server.start(create_origin(clip, time.time))
    manifests = {"origin": f"{origin}/live/", "hls": "master.m3u8", "dash": "manifest.mpd", "window": "2m"}
    config = parse_config(
        {
            "control": {"api_key_file": "-", "probe": "0s"},
            "keys": {"roots": [{"generation": 1, "file": "-"}]},
            "tokens": {
                "audience": "edge",
                "issuers": [{"iss": ISSUER, "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}]}],
            },
            "streams": {STREAM: {**manifests, "rotation": dict(rotation)}},
        },
        "test",
    )
    secrets = Secrets(RING, {ISSUER: [TokenKey.symmetric("k1", SECRET)]}, b"k" * 40)

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, server.loop).result(15)

    # One task enters and leaves the node, as its task group wants.
    ready: asyncio.Future[Node] = asyncio.Future(loop=server.loop)
    over = asyncio.Event()

    async def keep() -> None:
        async with AsyncExitStack() as stack:
            ready.set_result(await stack.enter_async_context(running_node(config, secrets, Path())))
            await over.wait()

    async def begin() -> Node:
        keeping.append(asyncio.ensure_future(keep()))
        return await ready

    async def end() -> None:
        await recorder.stop()
        over.set()
        await keeping[0]

    keeping: list[asyncio.Future[None]] = []
    node = run(begin())
    recorder = Recorder(server.start(create_edge(node)))
    edge = run(recorder.start())

    async def new_session() -> dict[str, object]:
        claims = {
            "iss": ISSUER,
            "aud": "edge",
            "sub": "viewer",
            "sid": "session",
            "jti": "t",
            "exp": int(time.time()) + 600,
        }
        token = mint_token(claims, "k1", "HS256", SECRET)
        urls = {name: f"{edge}/watch/{STREAM}/index.{index}?token={token}" for name, index in _ENTRIES.items()}
        return {**urls, "session_id": "session", "account_id": "viewer", "stream_id": STREAM}

    async def revoke(_: str) -> None:
        raise NotImplementedError("nobody is revoked on this stage")

    try:
        page: web.Application = create_page(CONSOLE, NODE_MODULES, new_session, revoke)
        yield Staged(node, server.start(page), recorder, run)
    finally:
        run(end())


_ENTRIES = {"hls": "m3u8", "dash": "mpd"}
