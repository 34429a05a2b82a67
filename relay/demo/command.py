"""``segmentgate demo``: an origin, a relay and a page on this machine, and one JSON line that says where."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex, token_urlsafe

from aiohttp import web
from rich.console import Console
from rich.progress import Progress

import relay
from keys.material import RootKey
from keys.ring import KeyRing
from relay.app import Listening, listening
from relay.client import Client, ClientError
from relay.config import Config, parse_config
from relay.demo.clip import Clip, build_clip
from relay.demo.marked import ASSET
from relay.demo.origin import create_origin
from relay.demo.page import create_page
from relay.errors import RelayError
from relay.gate.dialects.jwt import mint_token
from relay.gate.dialects.keys import TokenKey
from relay.model import Session
from relay.process.serving import on_signals
from relay.secrets import Secrets

STREAM = "demo"
ACCOUNT = "demo-viewer"
DEVICE = "demo-browser"
ISSUER = "https://platform.example"
AUDIENCE = "segmentgate-demo"
TOKEN_LIFETIME_S = 3600
CLIP_FOLDER = Path(tempfile.gettempdir()) / f"segmentgate-demo-{os.getuid()}"
_LOCAL = "127.0.0.1"


class DemoError(RelayError):
    """The demo cannot run here; says what to do."""

    code = "demo"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line chooses. Ports of 0 are free ones; a duration of None never ends."""

    port: int = 0
    control_port: int = 0
    rotation_s: float = 10.0
    pre_delivery_s: float = 4.0
    duration_s: float | None = None
    browser: bool = True


class _Platform:
    """The part of the customer: it knows viewers, issues their tokens and may revoke their sessions."""

    def __init__(self, where: Listening, secret: bytes, api_key: str, rotation_s: float) -> None:
        self.edge = f"http://{where.edge[0]}:{where.edge[1]}"
        self.control = f"http://{where.control[0]}:{where.control[1]}"
        self.api_key = api_key
        self._secret = secret
        self._rotation_s = rotation_s

    async def new_session(self) -> dict[str, object]:
        """Entry URLs of a fresh session, each with its token in it."""
        now = int(time.time())
        session_id = token_urlsafe(16)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": ACCOUNT,
            "sid": session_id,
            "did": DEVICE,
            "jti": token_hex(8),
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
            "ent": [STREAM],
        }
        token = mint_token(claims, "demo", "HS256", self._secret)
        watch = f"{self.edge}/watch/{STREAM}"
        return {
            "hls": f"{watch}/index.m3u8?token={token}",
            "dash": f"{watch}/index.mpd?token={token}",
            "hls_aes128": f"{watch}/index.m3u8?scheme=aes-128&token={token}",
            "license": f"{self.edge}/api/v1/drm/license?stream_id={STREAM}&token={token}",
            "sdk": f"{self.edge}/sdk/segmentgate.js",
            "token": token,
            "stream_id": STREAM,
            "session_id": session_id,
            "account_id": ACCOUNT,
            "watermark_id": Session(session_id, ACCOUNT, ISSUER, now).watermark_id,
            "rotation_ms": round(self._rotation_s * 1000),
        }

    async def revoke(self, session_id: str) -> None:
        """Revoke a session as a platform does: over the control API."""
        try:
            async with Client(self.control, self.api_key, "demo page") as client:
                await client.revocations.revoke(session_id=session_id)
        except ClientError as err:
            raise DemoError(f"the session was not revoked: {err}") from None


async def run_demo(options: DemoOptions) -> None:
    """Set everything up, print the JSON line, and run until the duration or a signal ends it."""
    _config(options, "http://localhost:1", Path())  # bad options are told before seconds are spent on encoding
    stopped = asyncio.create_task(on_signals(signal.SIGINT, signal.SIGTERM).wait())
    clip = await _build_clip(stopped.done)
    if clip is None:
        return
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(_site(create_origin(clip, time.time), 0))
        secret, api_key = os.urandom(32), token_urlsafe(32)
        config = _config(options, origin, clip.assets)
        secrets = Secrets(
            KeyRing([RootKey(1, os.urandom(32))]),
            {ISSUER: [TokenKey.symmetric("demo", secret)]},
            api_key.encode(),
            chip_key=clip.chip_key,
        )
        where = await stack.enter_async_context(listening(config, secrets, Path()))
        platform = _Platform(where, secret, api_key, options.rotation_s)
        package = Path(relay.__file__).parent
        page_app = create_page(
            package / "console", package.parent / "node_modules", platform.new_session, platform.revoke
        )
        page = await stack.enter_async_context(_site(page_app, 0))
        session: Mapping[str, object] = await platform.new_session()
        line = {
            "page": page,
            **session,
            "edge": platform.edge,
            "control": platform.control,
            "api_key": platform.api_key,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if options.browser:
            webbrowser.open(page)
        await asyncio.wait([stopped], timeout=options.duration_s)
    stopped.cancel()


class _StoppedError(Exception):
    """A signal came while the clip was being encoded."""


async def _build_clip(stopped: Callable[[], bool]) -> Clip | None:
    """The clip; None when a signal ended the wait for it."""

    def build() -> Clip | None:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Encoding the demo clip", total=1.0)

            def progress(done: float) -> None:
                if stopped():
                    raise _StoppedError
                bar.update(task, completed=done)

            try:
                return build_clip(CLIP_FOLDER, progress)
            except _StoppedError:
                return None

    return await asyncio.to_thread(build)


def _config(options: DemoOptions, origin: str, assets: Path) -> Config:
    return parse_config(
        {
            "edge": {"listen": f"{_LOCAL}:{options.port}"},
            "control": {"listen": f"{_LOCAL}:{options.control_port}", "api_key_file": "in memory"},
            "keys": {"roots": [{"generation": 1, "file": "in memory"}]},
            "tokens": {
                "audience": AUDIENCE,
                "issuers": [{"iss": ISSUER, "keys": [{"kid": "demo", "alg": "HS256", "file": "in memory"}]}],
            },
            "streams": {
                STREAM: {
                    "origin": f"{origin}/live/",
                    "hls": "master.m3u8",
                    "dash": "manifest.mpd",
                    "window": "2m",
                    "rotation": {
                        "interval": f"{round(options.rotation_s * 1000)}ms",
                        "pre_delivery": f"{round(options.pre_delivery_s * 1000)}ms",
                    },
                    "watermark": {"asset": ASSET},
                }
            },
            "watermark": {"analysis": {"assets": str(assets)}},
        },
        "demo options",
    )


@asynccontextmanager
async def _site(app: web.Application, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, _LOCAL, port).start()
        yield f"http://{_LOCAL}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
