"""The composition root: from a configuration to a running node with its two listeners."""

import asyncio
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop
from aiohttp import http_parser, web

from keys.seal import Sealer
from relay.broadcast import Broadcast
from relay.config import Config
from relay.control.app import create_control
from relay.delivery import Delivery
from relay.edge.app import create_edge
from relay.errors import ConfigError
from relay.gate.carriers import DEFAULT_NAMES, Names
from relay.gate.dialects.keys import KeySet
from relay.gate.gate import Gate, GatePolicy, Stale
from relay.gate.issuers import IssuerSpec, build_issuers
from relay.gate.passes import PassCodec
from relay.gate.presence import Presence
from relay.gate.targets import Target, TargetType
from relay.jwks import JwksRefresher, PinnedSet
from relay.lease_store import LeaseStore
from relay.leases import StreamLeases
from relay.manifests import Manifests
from relay.model import Cut
from relay.node import Node, Policies
from relay.open_responses import OpenResponses
from relay.origin.client import Origin
from relay.revocations import Order, Revocations
from relay.secrets import Secrets, read_secrets
from relay.signals import SharingSignals
from relay.state.database import MEMORY
from relay.state.events import Event, Revocation
from relay.state.journal import Journal
from relay.state.log import LogSettings, SharedLog
from relay.state.messages import Envelope
from relay.state.replica import Replica, new_incarnation
from relay.state.salts import Salts
from relay.state.state import State
from relay.streams import Stream
from relay.units import Address

MAX_REQUEST_LINE = 16 * 1024
"""Passes and signed URLs together are longer than aiohttp's own limit."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Listening:
    """The addresses a running node is reached at, as (host, port)."""

    edge: tuple[str, int]
    control: tuple[str, int]


class NodeBuilder:
    """Makes the parts of a node, and later its policies anew from a changed configuration."""

    def __init__(self, replica: Replica, salts: Salts) -> None:
        self._replica = replica
        self._salts = salts

    def policies(self, config: Config, secrets: Secrets) -> tuple[Policies, list[PinnedSet]]:
        """What a configuration decides, and the key sets that are to be kept fresh for it."""
        specs, pinned = _issuers(config, secrets)
        tokens, state = config.tokens, config.state
        gate = Gate(
            build_issuers(specs, tokens.audience, tokens.leeway.seconds, tokens.max_lifetime.seconds),
            PassCodec(Sealer(secrets.ring.service_keys("pass"))),
            self._replica.state.revocations,
            GatePolicy(
                session_lifetime=tokens.session_lifetime.seconds,
                token_lifetime=tokens.max_lifetime.seconds,
                stale_after=state.stale_after.seconds,
                grace=state.grace.seconds,
                stale={name: Stale(stream.stale) for name, stream in config.streams.items()},
            ),
            self._replica.age,
        )
        mac_keys, sealer = secrets.ring.service_keys("url"), Sealer(secrets.ring.service_keys("origin query"))
        streams = {
            name: Stream(name, stream, secrets.ring, self._salts, mac_keys, sealer)
            for name, stream in config.streams.items()
        }
        return Policies(config, gate, streams, secrets.api_key), pinned


@asynccontextmanager
async def running_node(
    config: Config, secrets: Secrets, base: Path, clock: Callable[[], float] = time.time
) -> AsyncIterator[Node]:
    """A node at work: it follows the shared log, keeps its key sets fresh and watches the time; closed in the end."""
    async with AsyncExitStack() as stack:
        journal = _journal(config, base)
        stack.callback(journal.close)
        log, store = _shared(config, secrets, incarnation := new_incarnation())
        replica = Replica(State(), journal, clock, _name(config), incarnation, log)
        salts = Salts(replica, os.urandom)
        policies, pinned = NodeBuilder(replica, salts).policies(config, secrets)
        open_responses, presence = OpenResponses(), Presence()
        revocations = Revocations(config, replica, lambda: policies.gate, open_responses, presence, clock)

        async def end(sids: Sequence[str]) -> None:
            orders = [Order(Target(TargetType.SESSION, sid), reason="concurrency_limit") for sid in sids]
            await revocations.submit(orders, "stream limit")

        limits = {name: stream.limit for name, stream in config.streams.items()}
        leases = StreamLeases(limits, end, open_responses.cut_session, clock, store)
        stack.push_async_callback(leases.close)

        def release(events: Sequence[Event], _: str) -> Cut:
            for event in events:
                if isinstance(event, Revocation) and event.type is TargetType.SESSION:
                    leases.release(event.value)
            return Cut()

        replica.on_applied.append(release)
        origin = Origin(config.origin)
        stack.push_async_callback(origin.close)
        delivery = Delivery(origin, salts, config.cache.segments, config.origin)
        stack.callback(delivery.close)
        node = Node(
            policies=policies,
            manifests=Manifests(origin, salts, clock, config.cache.manifests, config.origin.max_manifest),
            delivery=delivery,
            replica=replica,
            journal=journal,
            salts=salts,
            open_responses=open_responses,
            presence=presence,
            leases=leases,
            revocations=revocations,
            signals=SharingSignals(),
            changed=Broadcast(),
            clock=clock,
        )
        await replica.start()
        stack.push_async_callback(replica.close)
        keys = JwksRefresher(pinned)
        await keys.start()
        stack.push_async_callback(keys.close)
        async with _running(revocations.keep_watch()):
            yield node


@asynccontextmanager
async def _running(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work in the background for the length of a block. If any of it fails, the node ends: nothing goes unwatched."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def _journal(config: Config, base: Path) -> Journal:
    directory = config.state.directory
    return Journal(base / directory / "journal.sqlite" if directory else MEMORY)


def _shared(config: Config, secrets: Secrets, incarnation: str) -> tuple[SharedLog | None, LeaseStore | None]:
    state = config.state
    if not state.log:
        return None, None
    settings = LogSettings(state.log, state.namespace, secrets.log_password)
    envelope = Envelope(Sealer(secrets.ring.service_keys("shared log")))
    return (
        SharedLog(settings, envelope, incarnation),
        LeaseStore(state.log, secrets.log_password, state.namespace),
    )


def _name(config: Config) -> str:
    return config.state.node or f"{socket.gethostname()}-{os.getpid()}"


def _issuers(config: Config, secrets: Secrets) -> tuple[list[IssuerSpec], list[PinnedSet]]:
    specs, pinned = [], []
    for issuer in config.tokens.issuers:
        fixed = tuple(secrets.issuers[issuer.iss])
        keys, usual = KeySet(fixed), DEFAULT_NAMES[issuer.dialect]
        names = Names(
            header=usual.header if issuer.header is None else issuer.header,
            cookie=usual.cookie if issuer.cookie is None else issuer.cookie,
            query=usual.query if issuer.query is None else issuer.query,
            path=usual.path if issuer.path is None else issuer.path,
            joined=usual.joined,
        )
        options = secrets.options.get(issuer.iss)
        specs.append(IssuerSpec(issuer.iss, issuer.dialect, keys, names, frozenset(issuer.streams), options))
        if issuer.jwks:
            times = issuer.jwks.refresh.seconds, issuer.jwks.keep.seconds
            pinned.append(PinnedSet(keys, issuer.jwks.url, fixed, refresh_s=times[0], keep_s=times[1]))
    return specs, pinned


@asynccontextmanager
async def listening(config: Config, secrets: Secrets, base: Path) -> AsyncIterator[Listening]:
    """A node with both listeners open. ``base`` is the folder that a relative state directory counts from."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigError("aiohttp runs on its pure-Python parser, which frames HTTP differently. Install its wheel.")
    async with running_node(config, secrets, base) as node:
        edge = await _start(create_edge(node), config.edge.listen)
        control = await _start(create_control(node), config.control.listen)
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
