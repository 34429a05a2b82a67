"""The composition root: from a configuration to a running node with its two listeners."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any

from aiohttp import http_parser

from keys.periods import Clock
from keys.seal import Sealer
from keys.watermark import code_key
from relay.api_keys import ApiKeys
from relay.broadcast import Broadcast
from relay.config import Config, LimitConfig, StreamConfig
from relay.control.app import create_control
from relay.control.status import observe
from relay.control.transmitters import obeyed
from relay.control.webhooks import endpoints_of
from relay.delivery import Delivery
from relay.edge.app import create_edge
from relay.edge.fastlane import FastLane
from relay.edge.licence import OPERATIONS as LICENCE_OPERATIONS
from relay.errors import ConfigError
from relay.exchange.outside import KeyServers
from relay.gate.dialects.claims import Terms
from relay.gate.entitlements import Entitlements
from relay.gate.gate import Gate, GatePolicy, Stale
from relay.gate.passes import PassCodec
from relay.gate.presence import Presence
from relay.gate.replay import SeenOnce
from relay.gate.targets import Target, TargetType
from relay.issuing import issuers_of, lists_of
from relay.keeping import inquiry_bus, journal_of, name_of, path_in, record_store, shared_log, spool_of
from relay.licensing.issuers import Issuers
from relay.licensing.own import OwnLicences
from relay.licensing.repeats import Repeats
from relay.listener import Limits, bind, open_listener, tls_context
from relay.manifests import Manifests
from relay.model import Cut
from relay.node import TELL_OVER_S, Changed, Node, Policies
from relay.origin.client import Origin
from relay.plans import changes_by_stream, streams_in
from relay.published.jwks import PinnedSet
from relay.published.refresh import Refresher
from relay.published.status_lists import PinnedList
from relay.purchases.ledger import Ledger
from relay.purchases.sources import Sources
from relay.purchases.till import Till
from relay.reload import check_reload, check_ring
from relay.secrets import Secrets
from relay.sessions.leases import StreamLeases
from relay.sessions.open_responses import OpenResponses
from relay.sessions.records import SessionRecords
from relay.sessions.revocations import Order, Revocations
from relay.sessions.signals import SharingSignals
from relay.sessions.whereabouts import keep_telling
from relay.state.events import Action, Event, Revocation
from relay.state.registry import Registry
from relay.state.replica import Replica, new_incarnation
from relay.state.salts import Following, Salts
from relay.state.state import State
from relay.streams import Stream
from relay.watermark.detections.detectors import Detectors
from relay.watermark.detections.marks import Marks
from relay.watermark.etsi.wmt import WatermarkTokens
from relay.watermark.jobs.analyses import Analyses
from relay.watermark.jobs.work import Setting
from relay.watermark.serving.inquiries import Inquiries
from relay.watermark.serving.marking import Marking
from relay.watermark.serving.positions import Positions
from relay.watermark.serving.servings import Servings

CONTROL_DRAIN_S = 2.0
"""For calls that are under way when the last viewer is gone."""
CATCH_UP_S = 5.0
"""How long a worker's connections wait for it to learn what was revoked, before the streams' policies decide."""
OBSERVE_EVERY_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Listening:
    """A running node: the addresses it is reached at, as (host, port), and how it takes over a new configuration.

    ``reload`` takes over all of it, or raises :class:`ConfigError` and changes nothing.
    """

    edge: tuple[str, int]
    control: tuple[str, int]
    reload: Callable[[Config, Secrets], Awaitable[None]]


class NodeBuilder:
    """Makes a node's policies from a configuration, and anew whenever that changed.

    Streams take keys from ``key_servers``. ``cut_refused`` is called when a status list may have ended sessions.
    """

    def __init__(
        self,
        replica: Replica,
        salts: Salts,
        key_servers: KeyServers,
        entitlements: Entitlements,
        cut_refused: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._replica = replica
        self._salts = salts
        self._key_servers = key_servers
        self._entitlements = entitlements
        self._clock = clock
        self._tokens_seen, self._proofs_seen = SeenOnce(), SeenOnce()
        self._cut_refused = cut_refused
        self._pinned: list[PinnedSet] = []
        self._lists: list[PinnedList] = []
        self._refreshers: list[Refresher] = []
        self._secrets: Secrets | None = None

    async def policies(self, config: Config, secrets: Secrets, before: Policies | None = None) -> Policies:
        """What a configuration decides. It goes on from what is known under the one ``before``."""
        tokens, state = config.tokens, config.state
        issuers, pinned = issuers_of(tokens, secrets, self._pinned)
        await self._refresh(pinned, lists_of(tokens, issuers, self._lists))
        # Below nothing waits: a policy that is changed meanwhile would be lost with the streams that it is replaced by.
        self._secrets = secrets
        self._key_servers.configure(secrets.key_servers)
        gate = Gate(
            issuers,
            PassCodec(Sealer(secrets.ring.service_keys("pass"))),
            self._replica.state.revocations,
            GatePolicy(
                session_lifetime=tokens.session_lifetime.seconds,
                token_lifetime=tokens.max_lifetime.seconds,
                stale_after=state.stale_after.seconds,
                grace=state.grace.seconds,
                stale={name: Stale(stream.stale) for name, stream in config.streams.items()},
                sold=frozenset(name for name, stream in config.streams.items() if stream.entitlement == "required"),
            ),
            self._replica.age,
            self._tokens_seen,
            self._proofs_seen,
            self._entitlements,
        )
        return Policies(
            config,
            gate,
            self._streams(config, secrets, before),
            ApiKeys.of(secrets.api_key, config.control.keys),
            _licences(config, secrets, before),
            secrets.packagers,
            Sources.of(config.purchases, secrets.purchases),
            Detectors.of(config.watermark, secrets.detectors),
            OwnLicences.of(secrets.ring.service_keys, os.urandom),
            WatermarkTokens(
                secrets.vendors, Terms("", tokens.audience, tokens.leeway.seconds, tokens.max_lifetime.seconds)
            ),
        )

    def replan(self, policies: Policies, streams: Set[str] | None = None) -> dict[str, Changed]:
        """Build those of ``streams`` (None: of all) anew whose policy has changed since; these, by name."""
        assert self._secrets is not None
        fresh = dict(policies.streams) | self._streams(policies.config, self._secrets, policies, streams)
        changed = {}
        for name, stream in policies.streams.items():
            if fresh[name] is not stream:
                emergency_ms = fresh[name].plan.spread_ms(stream.plan)
                spread_s = TELL_OVER_S if emergency_ms is None else emergency_ms / 1000
                # Live, what is listed stays; of a title without a live edge anything may be another now.
                changed[name] = Changed(spread_s, manifests=Clock.MEDIA in stream.timeline.clocks)
        policies.streams = fresh
        return changed

    async def close(self) -> None:
        """Stop what keeps the policies fresh."""
        for refresher in self._refreshers:
            await refresher.close()

    async def _refresh(self, pinned: list[PinnedSet], lists: list[PinnedList]) -> None:
        # Keys first: they verify the lists.
        refreshers = [Refresher(pinned), Refresher(lists, "lists", on_doubt=self._cut_refused)]
        try:
            for refresher in refreshers:
                await refresher.start()
        except BaseException:
            for refresher in refreshers:
                await refresher.close()
            raise
        await self.close()
        self._pinned, self._lists, self._refreshers = pinned, lists, refreshers

    def _streams(
        self, config: Config, secrets: Secrets, before: Policies | None, only: Set[str] | None = None
    ) -> dict[str, Stream]:
        mac_keys, sealer = secrets.ring.service_keys("url"), Sealer(secrets.ring.service_keys("origin query"))
        streams = {}
        documents = self._replica.state.documents
        plans = changes_by_stream(documents, self._clock(), config.streams if only is None else only)
        for name, settings in config.streams.items():
            if only is not None and name not in only:
                continue
            old = before.streams.get(name) if before else None
            changes = plans.get(name, ())
            marking = _marking(name, settings, secrets)
            if (
                before
                and old
                and (old.config, before.config.keys, old.plan.changes) == (settings, config.keys, changes)
                and old.marking == marking
            ):
                streams[name] = old
                continue
            outside = self._key_servers.get(name)
            streams[name] = Stream(
                name, settings, secrets.ring, self._salts, mac_keys, sealer, changes, outside, marking
            )
            if old:
                streams[name].succeed(old)
        return streams


@asynccontextmanager
async def running_node(
    config: Config, secrets: Secrets, base: Path, clock: Callable[[], float] = time.time
) -> AsyncIterator[Node]:
    """A node at work: it follows the shared log, keeps its key sets fresh and watches the time; closed in the end."""
    async with AsyncExitStack() as stack:
        journal = journal_of(config, base)
        stack.callback(journal.close)
        log, store = shared_log(config, secrets, incarnation := new_incarnation())
        records = SessionRecords(clock, record_store(config, secrets))
        stack.push_async_callback(records.close)
        replica = Replica(State(), journal, clock, name_of(config), incarnation, log, path_in(config, base, "snapshot"))
        salts = Salts(replica, os.urandom)
        key_servers = KeyServers()
        stack.push_async_callback(key_servers.close)
        ledger = Ledger(replica.state.documents, replica.is_sure)
        builder = NodeBuilder(
            replica, salts, key_servers, ledger.entitlements, lambda: revocations.cut_refused(), clock
        )
        stack.push_async_callback(builder.close)
        policies = await builder.policies(config, secrets)
        salts.configure(_salted(policies))
        stack.push_async_callback(lambda: policies.licences.close())
        open_responses, presence = OpenResponses(), Presence()
        marks = Marks(replica.state.documents)
        revocations = Revocations(
            config, replica, lambda: policies.gate, open_responses, presence, clock, marks.sessions
        )

        async def end(sids: Sequence[str]) -> None:
            orders = [Order(Target(TargetType.SESSION, sid), reason="concurrency_limit") for sid in sids]
            await revocations.submit(orders, "stream limit")

        leases = StreamLeases(_stream_limits(config), end, open_responses.cut_session, clock, store)
        stack.push_async_callback(leases.close)

        def release(events: Sequence[Event], _: str) -> Cut:
            for event in events:
                if not isinstance(event, Revocation) or event.type is not TargetType.SESSION:
                    continue
                if not leases.knows(event.value):
                    continue
                if revocations.stands(event.target):
                    leases.release(event.value)
                elif event.action is Action.RESTORE:
                    leases.forgive(event.value)
            return Cut()

        replica.on_applied.append(release)
        changed: Broadcast[Mapping[str, Changed]] = Broadcast()

        def replan(events: Sequence[Event], _: str) -> Cut:
            if named := streams_in(events):
                anew = builder.replan(policies, named)
                salts.configure(_salted(policies))
                changed.send(anew)
            return Cut()

        replica.on_applied.append(replan)

        def reckon(events: Sequence[Event], _: str) -> Cut:
            fewer = ledger.apply(events)
            return revocations.cut_lessened(fewer) if fewer else Cut()

        replica.on_applied.append(reckon)

        def mark(events: Sequence[Event], _: str) -> Cut:
            revocations.stop_mapped(
                (Target(TargetType.WATERMARK, one.watermark_id), Target(TargetType.SESSION, one.session_id))
                for one in marks.apply(events)
            )
            return Cut()

        replica.on_applied.append(mark)
        origin = Origin(config.origin)
        stack.push_async_callback(origin.close)
        delivery = Delivery(origin, salts, config.cache.segments, config.origin)
        stack.callback(delivery.close)
        servings = Servings(
            path_in(config, base, "served.sqlite"), replica.name, clock, config.watermark.retention.seconds
        )
        stack.push_async_callback(servings.close)
        bus = inquiry_bus(config, secrets)
        if bus:
            stack.push_async_callback(bus.close)
        inquiries = Inquiries(servings, replica.name, lambda: _live(replica), bus, os.urandom)

        def analysis(config: Config, secrets: Secrets) -> Setting:
            assets = config.watermark.analysis.assets
            return Setting(
                config.watermark.analysis,
                (base / assets).resolve() if assets else None,
                secrets.watermark_secret,
                secrets.chip_key,
                lambda asset: _marking_of(asset, policies.streams),
            )

        spool = stack.enter_context(spool_of(config, base))
        analyses = Analyses(spool, analysis(config, secrets), inquiries, clock)

        async def reload(config: Config, new: Secrets) -> None:
            nonlocal secrets
            check_reload(policies.config, config)
            check_ring(secrets.ring, new.ring)
            fresh = await builder.policies(config, new, policies)
            anew = {
                name: Changed() for name, stream in policies.streams.items() if fresh.streams.get(name) is not stream
            }
            licences = policies.licences
            policies.replace(fresh)
            # Which streams ask for an entitlement may have changed.
            ledger.entitlements.reconsider()
            # Status lists were fetched anew, or are gone.
            revocations.cut_refused()
            leases.configure(_stream_limits(config))
            salts.configure(_salted(policies))
            servings.keep_s = config.watermark.retention.seconds
            analyses.setting = analysis(config, new)
            secrets = new
            changed.send(anew)
            if policies.licences is not licences:
                # Last, for a plug-in that hangs may hold it up.
                await licences.close()

        registry = Registry(replica, clock)
        node = Node(
            policies=policies,
            reload=reload,
            manifests=Manifests(origin, salts, clock, config.cache.manifests, config.origin.max_manifest),
            delivery=delivery,
            positions=Positions(origin, delivery.parsed_init),
            servings=servings,
            inquiries=inquiries,
            analyses=analyses,
            replica=replica,
            registry=registry,
            journal=journal,
            salts=salts,
            open_responses=open_responses,
            presence=presence,
            leases=leases,
            revocations=revocations,
            signals=SharingSignals(),
            repeats=Repeats(),
            records=records,
            till=Till(ledger, registry, replica, clock),
            marks=marks,
            changed=changed,
            clock=clock,
        )
        await replica.start()
        stack.push_async_callback(replica.close)
        # What was decided or sold before this start has only now been read.
        builder.replan(policies)
        salts.configure(_salted(policies))
        ledger.load()
        marks.load()
        telling = keep_telling(records, presence, clock, replica.name)
        keeping = servings.keep_saving(), inquiries.keep_answering()
        async with _running(revocations.keep_watch(), telling, *keeping):
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


def _marking(name: str, settings: StreamConfig, secrets: Secrets) -> Marking | None:
    mark = settings.watermark
    if mark is None:
        return None
    key = secrets.code_keys.get(name) or code_key(secrets.watermark_secret, mark.asset or name)
    return Marking.of(mark, name, key)


def _marking_of(asset: str, streams: Mapping[str, Stream]) -> Marking | None:
    """How the segments of an asset are marked: the same on all streams that have it."""
    return next((one.marking for one in streams.values() if one.marking and one.marking.asset == asset), None)


def _live(replica: Replica) -> list[str]:
    return [member.node for member in replica.members() if member.live]


def _licences(config: Config, secrets: Secrets, before: Policies | None) -> Issuers:
    size = config.licences.processes, config.licences.queue, config.licences.time_limit.seconds
    if before and (before.licences.material, before.licences.size) == (secrets.licences, size):
        return before.licences
    return Issuers(secrets.licences, *size)


def _salted(policies: Policies) -> dict[str, Following]:
    return {name: stream.following for name, stream in policies.streams.items() if stream.config.rotation.salt}


def _stream_limits(config: Config) -> dict[str, LimitConfig]:
    return {name: stream.limit for name, stream in config.streams.items()}


@asynccontextmanager
async def listening(
    config: Config, secrets: Secrets, base: Path, sockets: tuple[socket.socket, socket.socket] | None = None
) -> AsyncIterator[Listening]:
    """A node with both listeners open, on ``sockets`` for edge and control where these are bound already.

    ``base`` is the folder that relative paths count from.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigError("aiohttp runs on its pure-Python parser, which frames HTTP differently. Install its wheel.")
    tls = _tls(config, base)
    async with running_node(config, secrets, base) as node, AsyncExitStack() as stack:
        if sockets:
            await stack.enter_async_context(_running(_keep_observing(node)))
            await _catch_up(node)
        at_edge, at_control = sockets or (bind(config.edge.listen), bind(config.control.listen))
        edge_limits, control_limits = _limits(config)
        # The first to open is the last to close: while viewers are let go, they can still be revoked.
        trusted = obeyed(config, secrets)
        keys = Refresher(trusted.pinned, "transmitters")
        stack.push_async_callback(keys.close)
        await keys.start()
        application = create_control(node, trusted.transmitters, LICENCE_OPERATIONS, endpoints_of(config, secrets))
        control = await open_listener(application, at_control, control_limits)
        stack.push_async_callback(control.close, CONTROL_DRAIN_S)
        edge = await open_listener(create_edge(node), at_edge, edge_limits, tls, FastLane(node))
        stack.push_async_callback(lambda: edge.close(node.config.edge.drain.seconds))

        async def reload(config: Config, secrets: Secrets) -> None:
            _tls(config, base)
            await node.reload(config, secrets)
            edge.limits, control.limits = _limits(config)
            if tls:
                tls.load_cert_chain(base / config.edge.tls_certificate, base / config.edge.tls_key)

        yield Listening(edge.address, control.address, reload)


async def _catch_up(node: Node) -> None:
    # Connections to a worker wait in its socket: better there than to be told that revocations may be missing here.
    for _ in range(round(CATCH_UP_S / _POLL_S)):
        if node.replica.ready:
            return
        await asyncio.sleep(_POLL_S)


async def _keep_observing(node: Node) -> None:
    # Whichever worker is asked for metrics answers for all, by what each of them has noted.
    while True:
        observe(node)
        await asyncio.sleep(OBSERVE_EVERY_S)


def _limits(config: Config) -> tuple[Limits, Limits]:
    patience = config.edge.head_timeout.seconds
    return Limits(patience, config.edge.max_connections), Limits(patience, config.control.max_connections)


def _tls(config: Config, base: Path) -> SSLContext | None:
    edge = config.edge
    if not edge.tls_certificate and not edge.tls_key:
        return None
    if not edge.tls_certificate or not edge.tls_key:
        raise ConfigError("edge.tls_certificate, edge.tls_key: one goes with the other. Set both or none.")
    return tls_context(base / edge.tls_certificate, base / edge.tls_key)
