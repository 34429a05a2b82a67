"""A node: everything one relay process works with, wired once by :mod:`relay.app`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields

from aiohttp import web

from keys.exchange.packager import Signer
from relay.api_keys import ApiKeys
from relay.broadcast import Broadcast
from relay.config import Config
from relay.delivery import Delivery
from relay.errors import UnknownStreamError
from relay.gate.gate import Gate
from relay.gate.presence import Presence
from relay.licensing.issuers import Issuers
from relay.licensing.own import OwnLicences
from relay.licensing.repeats import Repeats
from relay.manifests import Manifests
from relay.purchases.sources import Sources
from relay.purchases.till import Till
from relay.secrets import Secrets
from relay.sessions.leases import StreamLeases
from relay.sessions.open_responses import OpenResponses
from relay.sessions.records import SessionRecords
from relay.sessions.revocations import Revocations
from relay.sessions.signals import SharingSignals
from relay.state.journal import Journal
from relay.state.registry import Registry
from relay.state.replica import Replica
from relay.state.salts import Salts
from relay.streams import Stream
from relay.watermark.detections.detectors import Detectors
from relay.watermark.detections.marks import Marks
from relay.watermark.etsi.wmt import WatermarkTokens
from relay.watermark.jobs.analyses import Analyses
from relay.watermark.serving.inquiries import Inquiries
from relay.watermark.serving.positions import Positions
from relay.watermark.serving.servings import Servings

TELL_OVER_S = 5.0
"""Over this players are told of a change: some of them load their manifest again."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A change of one stream: its players are told over ``spread_s``; ``manifests`` if all of its may be others now."""

    spread_s: float = TELL_OVER_S
    manifests: bool = True


@dataclass(slots=True)
class Policies:
    """What a configuration decides and a reload replaces, all at once."""

    config: Config
    gate: Gate
    streams: Mapping[str, Stream]
    api_keys: ApiKeys
    licences: Issuers
    packagers: Mapping[str, Signer]
    shops: Sources
    detectors: Detectors
    own: OwnLicences
    watermark_tokens: WatermarkTokens

    def replace(self, other: "Policies") -> None:
        """Become like ``other``."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of a running relay. ``clock`` gives seconds since the epoch.

    ``reload`` takes over a changed configuration, or raises :class:`relay.errors.ConfigError` and changes nothing.
    ``changed`` tells of the streams whose configuration it has replaced, or whose policy is another, by name.
    """

    policies: Policies
    reload: Callable[[Config, Secrets], Awaitable[None]]
    manifests: Manifests
    delivery: Delivery
    positions: Positions
    servings: Servings
    inquiries: Inquiries
    analyses: Analyses
    replica: Replica
    registry: Registry
    journal: Journal
    salts: Salts
    open_responses: OpenResponses
    presence: Presence
    leases: StreamLeases
    revocations: Revocations
    signals: SharingSignals
    repeats: Repeats
    records: SessionRecords
    till: Till
    marks: Marks
    changed: Broadcast[Mapping[str, Changed]]
    clock: Callable[[], float]

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.policies.config

    @property
    def gate(self) -> Gate:
        """The gate in force."""
        return self.policies.gate

    @property
    def licences(self) -> Issuers:
        """What makes the licences of DRM systems."""
        return self.policies.licences

    @property
    def streams(self) -> Mapping[str, Stream]:
        """The streams in force, by name."""
        return self.policies.streams

    def stream(self, name: str) -> Stream:
        """A configured stream. Raises :class:`UnknownStreamError`."""
        try:
            return self.policies.streams[name]
        except KeyError:
            raise UnknownStreamError("no such stream") from None


NODE = web.AppKey("node", Node)
