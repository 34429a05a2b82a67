"""A configured stream at run time: its origin, its crypto periods, and what each manifest class needs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from keys.channel import derive_channel_key
from keys.material import ContentKey
from keys.model import KeySignal, KeySlot, Scheme, Security, TrackType
from keys.periods import Clock, RotationPolicy, Schedule
from keys.ring import KeyRing
from keys.seal import Sealer
from policies.model import Change, Terms
from policies.plan import ClockUnknownError, Plan, Stretch
from relay.ahead import Ahead
from relay.config import StreamConfig
from relay.errors import ManifestError, UnknownStreamError, UrlError
from relay.exchange.naming import Periods
from relay.exchange.outside import KeyServer
from relay.licensing.settings import LicenceConfig
from relay.manifest.context import Observed, RewriteContext
from relay.manifest.hls.siblings import Siblings
from relay.model import ManifestClass, Session, Signalling
from relay.sources import OriginScope, Source
from relay.state.salts import Salts
from relay.templates import resolve_template
from relay.timeline import StreamTimeline
from relay.urls import ClearRef, InitRef, KeyRef, PlaylistRef, SegmentRef, SessionUrls, SlotRef, TemplateRef, own_query
from relay.watermark.etsi.sidecar import FOLDER
from relay.watermark.serving.marking import Marking

ENTRY_HLS = "index.m3u8"
ENTRY_DASH = "index.mpd"

_CLASSES = 256
_CLOCKS = 1024
_PARSED_URLS = 2048
_PERIODS = 4096


Resource = PlaylistRef | InitRef | SegmentRef | ClearRef | KeyRef
"""What a URL of a session names in the end."""


class Stream:
    """One stream: from configuration and keys to slots, contexts and URLs. Does no I/O."""

    def __init__(
        self,
        name: str,
        config: StreamConfig,
        ring: KeyRing,
        salts: Salts,
        mac_keys: Sequence[bytes],
        sealer: Sealer,
        changes: tuple[Change, ...] = (),
        outside: KeyServer | None = None,
        marking: Marking | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.marking = marking
        """How it is watermarked; None: not at all."""
        self.plan = Plan(config.rotation_policy(), config.licence.terms(), changes)
        self.scope = OriginScope((config.origin, *config.also))
        self.timeline = StreamTimeline(self.schedule_of, config.window)
        self.siblings: Siblings | None = None
        """What the HLS multivariant playlist said of the media playlists; None until it was read."""
        self.clocks: dict[Source, Clock] = {}
        """The clock each manifest was first seen on: one that changed it would change published URLs."""
        self._ring = ring
        self._salts = salts
        self._mac_keys = mac_keys
        self._sealer = sealer
        self._outside = outside
        self._channel_secret = ring.service_keys("session channel")[0]
        self.ahead = Ahead()
        self.context = lru_cache(maxsize=_CLASSES)(self._build_context)
        self._parsed = lru_cache(maxsize=_PARSED_URLS)(self._parse)
        self._terms = lru_cache(maxsize=_PERIODS)(self.plan.terms_of)
        self._best = lru_cache(maxsize=_CLASSES)(self._best_since)
        self._epoch = lru_cache(maxsize=_PERIODS)(self.plan.epoch_of)

    def entry(self, name: str) -> Source:
        """The origin's entry manifest behind ``index.m3u8`` or ``index.mpd``. Raises :class:`UnknownStreamError`."""
        path = {ENTRY_HLS: self.config.hls, ENTRY_DASH: self.config.dash}.get(name)
        if not path:
            raise UnknownStreamError(f"stream {self.name} has no {name}")
        return self.scope.resolve(path)

    def succeed(self, before: "Stream") -> None:
        """Go on from what the stream had learnt under another configuration, as far as that still holds."""
        old, new = before.config, self.config
        if (old.origin, old.also, old.hls, old.dash) != (new.origin, new.also, new.hls, new.dash):
            return
        self.siblings, self.clocks = before.siblings, before.clocks
        self.timeline = before.timeline
        self.timeline.configure(self.schedule_of, new.window)

    def note(self, source: Source, observed: Observed, now: float) -> None:
        """Take note of what a manifest said of the timeline; ``now`` in seconds."""
        self.timeline.observe(observed, now)
        if observed.clock is not Clock.MEDIA:
            # What began as a finished slate may go live; what was live stays on its clock when it ends.
            self.clocks.setdefault(source, observed.clock)
        if len(self.clocks) > _CLOCKS:
            del self.clocks[next(iter(self.clocks))]

    def check_class(self, cls: ManifestClass) -> None:
        """Refuse a class whose scheme this stream does not offer. Raises :class:`UrlError`."""
        if cls.scheme not in self.config.schemes:
            raise UrlError(f"stream {self.name} is not offered as {cls.scheme}")

    def schedule_of(self, clock: Clock) -> Schedule:
        """The crypto periods on a clock. Raises :class:`ManifestError` where the stream's scenes are on another."""
        try:
            return self.plan.schedule(clock)
        except ClockUnknownError as err:
            raise ManifestError(f"stream {self.name}: {err}") from None

    def following(self, period: int) -> Iterator[int]:
        """The periods after the one of this name, on the clock that it is on."""
        for clock in self.timeline.clocks or Clock:
            with suppress(ManifestError):
                schedule = self.schedule_of(clock)
                one = schedule.period_at(period)
                if one.start == period:
                    while one.end is not None:
                        one = schedule.period_at(one.end)
                        yield one.start
                    return

    @property
    def rotation(self) -> RotationPolicy:
        """How keys rotate now."""
        return self.plan.rotation_now

    @property
    def licence(self) -> LicenceConfig:
        """What licences allow that are issued now: the stream's own, or that of its group."""
        return self.config.licence.under(self.plan.group)

    def terms_of(self, slot: KeySlot) -> Terms | None:
        """What a device must do to get the key of a slot; None: nobody gets it."""
        return self._terms(slot.track, slot.period, self.timeline.seen_on)

    def best_track(self, cls: ManifestClass, now: float) -> TrackType:
        """The best video that a class may have in all scenes that are listed or to come; see :class:`Plan`."""
        # In whole seconds, so that many ask about the same.
        return self._best(cls, tuple((clock, tail // 1000) for clock, tail in self.timeline.tails(now).items()))

    def withholds(self, cls: ManifestClass, slot: SlotRef) -> bool:
        """Whether a class may not have a slot's pictures, and has lesser ones to change to."""
        if not self.plan.changes or self._may_have(cls, slot.track, slot.period):
            return False
        lesser = (track for track in self.timeline.tracks if 0 < track.rank < slot.track.rank)
        return any(self._may_have(cls, track, slot.period) for track in lesser)

    def class_for(self, cls: ManifestClass, ceiling: TrackType, now: float, security: Security) -> ManifestClass:
        """A class within a ceiling and within what the stream's scenes let a device of a security level play."""
        if cls.scheme is Scheme.AES128:
            # Nothing but the scheme matters there; one spelling keeps one cache entry.
            cls = replace(cls, signalling=Signalling.PERIOD, systems=())
        if not cls.in_clear:
            cls = replace(cls, security=security)
        return replace(cls, ceiling=min(ceiling, self.best_track(cls, now), key=lambda track: track.rank))

    def scenes_at_edge(self, now: float) -> tuple[Stretch | None, Stretch | None]:
        """What holds at the live edge, and the scene that comes next. A finished title has no edge."""
        edges = self.timeline.edges(now)
        clock = next((clock for clock in (Clock.WALL, Clock.SEQUENCE) if clock in edges), None)
        if clock is None:
            return None, None
        current, *coming = self.plan.stretches(clock, edges[clock])
        following = (stretch for stretch in coming if stretch.scene and stretch.scene != current.scene)
        return current, next(following, None)

    def scene_label(self, now: float) -> str:
        """The name of the scene at the live edge; empty where there is none."""
        if not self.plan.changes:
            return ""
        current, _ = self.scenes_at_edge(now)
        return current.scene.label if current and current.scene else ""

    def in_clear(self, slot: KeySlot) -> bool:
        """Whether the key of a slot may go to a player that keeps no terms."""
        terms = self.terms_of(slot)
        return self.config.in_clear and terms is not None and terms.in_clear

    def epoch_of(self, period: int | None) -> int:
        """How many times all keys had been replaced before a period."""
        return self._epoch(period)

    def slot(self, ref: SlotRef, scheme: Scheme) -> KeySlot:
        """The key slot that a URL names."""
        return KeySlot(self.name, ref.track, scheme, ref.generation, ref.period)

    def slot_of(self, track: TrackType, scheme: Scheme, period: int | None) -> KeySlot:
        """The key slot of a period under the generation in force then."""
        return self._ring.slot(self.name, track, scheme, period, self._epoch(period))

    @property
    def periods(self) -> Periods:
        """The stream's crypto periods as key exchange names them."""
        known = [clock for clock in Clock if self.plan.knows(clock)] or [Clock.WALL]
        # Those of a finished title with scenes are all there is.
        finished = Clock.MEDIA if Clock.MEDIA in known else known[0]
        return Periods(self.schedule_of(known[0]), self.schedule_of(finished))

    def generation_at(self, period: int | None) -> int:
        """The generation of the keys of a period."""
        return self._ring.generation_at(period, self._epoch(period))

    def content_key(self, slot: KeySlot) -> ContentKey:
        """The material of a slot of this stream. Raises :class:`KeyPendingError` while a key server is asked for it."""
        derived = self._ring.content_key(slot, self._salt(slot.period))
        # The stable key encrypts nothing, so that no key server need know of it.
        if self._outside is None or slot.period is None:
            return derived
        outside = self._outside.of(slot, self.periods, self._derived_kid)
        return replace(derived, kid=outside.kid, key=outside.key)

    def kid(self, slot: KeySlot) -> bytes:
        """The key ID of a slot of this stream. Raises what :meth:`content_key` raises."""
        return self._ring.kid(slot) if self._outside is None else self.content_key(slot).kid

    def expect(self, slots: Iterable[KeySlot]) -> None:
        """Have keys asked for that a key server has not given yet, all at once."""
        if self._outside is not None:
            self._outside.expect(slots, self.periods, self._derived_kid)

    def channel_key(self, session: Session) -> bytes:
        """What is sealed for a session alone is sealed under this."""
        return derive_channel_key(self._channel_secret, session.issuer, session.sid)

    def read_url(self, cls: ManifestClass, path: str, query: str) -> Resource:
        """What a URL of this stream names. Raises :class:`UrlError` unless it was minted for this class."""
        return self._parsed(cls, path, own_query(query))

    def _best_since(self, cls: ManifestClass, tails_s: tuple[tuple[Clock, int], ...]) -> TrackType:
        return self.plan.best_track(cls.meets, {clock: tail * 1000 for clock, tail in tails_s})

    def _may_have(self, cls: ManifestClass, track: TrackType, period: int | None) -> bool:
        terms = self._terms(track, period, self.timeline.seen_on)
        return terms is not None and cls.meets(terms)

    def _salt(self, period: int | None) -> bytes | None:
        return self._salts.of(self.name, period) if self.config.rotation.salt else None

    def _signal(self, slot: KeySlot) -> KeySignal:
        return self.content_key(slot).signal()

    def _derived_kid(self, track: TrackType, scheme: Scheme, period: int) -> bytes:
        return self._ring.kid(self.slot_of(track, scheme, period))

    def _parse(self, cls: ManifestClass, path: str, query: str) -> Resource:
        context = self.context(cls)
        ref, value = context.urls.read(path, query)
        if self.marking is not None and not isinstance(ref, KeyRef) and FOLDER in ref.source.path.split("/"):
            # Even where a manifest lists it: it is for edges alone (ETSI TS 104 002 §5.7.5.2).
            raise UrlError("pace information is not for players")
        if not isinstance(ref, TemplateRef):
            return ref
        if value is None:
            raise UrlError("a template needs its value")
        return resolve_template(ref, value, context.schedule_of, context.generation_at)

    def _build_context(self, cls: ManifestClass) -> RewriteContext:
        return RewriteContext(
            urls=SessionUrls(self.name, cls, self._mac_keys, self._sealer),
            cls=cls,
            scope=self.scope,
            schedule_of=self.schedule_of,
            signal=lambda ref: self._signal(self.slot(ref, cls.scheme)),
            generation_at=self.generation_at,
            stream=self.name,
            default_track=self.config.default_track,
            marked=self.marking is not None,
        )
