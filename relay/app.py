"""The composition root: from a configuration to a running node with its two listeners."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop
from aiohttp import http_parser, web

from keys.errors import KeyRingError
from keys.material import RootKey
from keys.ring import KeyRing
from keys.seal import Sealer
from relay.config import Config, TokenKeyConfig, read_secret, read_text
from relay.control.app import create_control
from relay.delivery import Delivery
from relay.edge.app import create_edge
from relay.errors import ConfigError
from relay.gate.gate import Gate
from relay.gate.passes import PassCodec
from relay.gate.tokens import TokenKey, TokenVerifier
from relay.manifests import Manifests
from relay.node import Node
from relay.origin.client import Origin
from relay.state.journal import Journal
from relay.state.replica import Replica
from relay.state.salts import Salts
from relay.state.state import State
from relay.streams import Stream
from relay.units import Address

MIN_API_KEY_CHARACTERS = 32
MAX_REQUEST_LINE = 16 * 1024
"""Passes and signed URLs together are longer than aiohttp's own limit."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the configuration's files hold, read and checked once."""

    ring: KeyRing
    issuers: dict[str, list[TokenKey]]
    api_key: bytes


@dataclass(frozen=True, slots=True)
class Listening:
    """The addresses a running node is reached at, as (host, port)."""

    edge: tuple[str, int]
    control: tuple[str, int]


def read_secrets(config: Config, base: Path) -> Secrets:
    """Read the files a configuration names, relative to ``base``. Raises :class:`ConfigError`."""
    try:
        ring = KeyRing(
            RootKey(root.generation, read_secret(base, root.file, f"keys.roots[{number}].file"), root.active_from)
            for number, root in enumerate(config.keys.roots)
        )
    except KeyRingError as err:
        raise ConfigError(f"keys.roots: {err}. Make one with 'segmentgate keys new'.") from None
    issuers = {
        issuer.iss: [
            _token_key(base, key, f"tokens.issuers[{number}].keys[{at}].file") for at, key in enumerate(issuer.keys)
        ]
        for number, issuer in enumerate(config.tokens.issuers)
    }
    api_key = read_text(base, config.control.api_key_file, "control.api_key_file").encode()
    if len(api_key) < MIN_API_KEY_CHARACTERS:
        raise ConfigError(
            f"{base / config.control.api_key_file}: control.api_key_file: shorter than {MIN_API_KEY_CHARACTERS} "
            "characters. Make one with 'segmentgate keys new'."
        )
    return Secrets(ring, issuers, api_key)


@asynccontextmanager
async def running_node(config: Config, secrets: Secrets, base: Path) -> AsyncIterator[Node]:
    """A node with its origin client and journal open; closes them in the end."""
    journal = Journal(base / config.state.directory / "journal.sqlite") if config.state.directory else None
    replica = Replica(State(), time.time, journal)
    salts = Salts(replica, os.urandom)
    origin = Origin(config.origin)
    tokens = config.tokens
    gate = Gate(
        TokenVerifier(secrets.issuers, tokens.audience, tokens.leeway.seconds, tokens.max_lifetime.seconds),
        PassCodec(Sealer(secrets.ring.service_keys("pass"))),
        replica.state.revocations,
        tokens.session_lifetime.seconds,
    )
    mac_keys, sealer = secrets.ring.service_keys("url"), Sealer(secrets.ring.service_keys("origin query"))
    delivery = Delivery(origin, salts, config.cache.segments, config.origin)
    streams = {
        name: Stream(name, stream, secrets.ring, salts, mac_keys, sealer) for name, stream in config.streams.items()
    }
    manifests = Manifests(origin, salts, time.time, config.cache.manifests, config.origin.max_manifest)
    try:
        yield Node(config, gate, streams, manifests, delivery, replica, salts, time.time)
    finally:
        delivery.close()
        await origin.close()
        replica.close()


@asynccontextmanager
async def listening(config: Config, secrets: Secrets, base: Path) -> AsyncIterator[Listening]:
    """A node with both listeners open. ``base`` is the folder that a relative state directory counts from."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigError("aiohttp runs on its pure-Python parser, which frames HTTP differently. Install its wheel.")
    async with running_node(config, secrets, base) as node:
        edge = await _start(create_edge(node), config.edge.listen)
        control = await _start(create_control(node, secrets.api_key), config.control.listen)
        try:
            yield Listening(edge.addresses[0][:2], control.addresses[0][:2])
        finally:
            await edge.cleanup()
            await control.cleanup()


def serve(config: Config, base: Path) -> None:
    """Run a node until SIGINT or SIGTERM. Raises :class:`ConfigError` before anything is served."""
    secrets = read_secrets(config, base)
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, secrets, base))


async def _serve(config: Config, secrets: Secrets, base: Path) -> None:
    async with listening(config, secrets, base) as where:
        _log.info("serving", edge=where.edge, control=where.control, streams=sorted(config.streams))
        await stop_signal()
        _log.info("stopping")


async def stop_signal() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _start(app: web.Application, address: Address) -> web.AppRunner:
    # A viewer who leaves takes his handler with him, and with it an origin fetch nobody else waits for.
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=2.0, max_line_size=MAX_REQUEST_LINE
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as err:
        await runner.cleanup()
        raise ConfigError(f"cannot listen on {address}: {err.strerror}. Choose another address or port.") from None
    return runner


def _raise_descriptor_limit() -> None:
    # The usual soft limit of 1024 is for programs that use select(); every viewer needs a descriptor here.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _token_key(base: Path, key: TokenKeyConfig, where: str) -> TokenKey:
    try:
        if key.alg == "HS256":
            return TokenKey.symmetric(key.kid, read_secret(base, key.file, where))
        remedy = f"Put the PEM public key of {key.kid!r} there."
        return TokenKey.public(key.kid, key.alg, read_text(base, key.file, where, remedy))
    except ValueError as err:
        raise ConfigError(f"{base / key.file}: {where}: {err}. Put the key of {key.kid!r} there.") from None
