"""What an analysis ends in: plain values, as they are kept and told. Times are seconds since the epoch. Pure."""

from enum import StrEnum
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from relay.watermark.analyse.reading import Geometry, Picture, PositionReading, Run
from relay.watermark.serving.served import Interval

MAX_SESSIONS = 100
"""Told of one watermark id."""


class Status(StrEnum):
    """What was found. ``registration_failed``: the copy does not show the asset that it was said to be of."""

    IDENTIFIED = "identified"
    PAIR_IDENTIFIED = "pair_identified"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"
    ASSET_NOT_FOUND = "asset_not_found"
    REGISTRATION_FAILED = "registration_failed"


class Positions(Struct, frozen=True, kw_only=True):
    """Positions ``first`` to ``last``, served between ``since`` and ``until``; not ``exact``: perhaps not all."""

    first: int
    last: int
    since: float
    until: float
    exact: bool

    @classmethod
    def of(cls, one: Interval) -> "Positions":
        """An interval as it is told."""
        return cls(first=one.first, last=one.last, since=one.since, until=one.until, exact=one.exact)


class ServedSession(Struct, frozen=True, kw_only=True):
    """A session with the watermark id, and when it was served what the copy shows."""

    session_id: str
    issuer: str
    account_id: str
    device_id: str
    stream_id: str
    nodes: list[str]
    served_from: float
    served_to: float
    positions: list[Positions]


class Match(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A watermark that is named. ``false_accusation_bound`` is the probability of naming an innocent one.

    Of the ``segments_compared`` that told a variant and that it was served, ``segments_agreeing`` show its own.
    ``sessions`` are told to those alone who may read of viewers; ``sessions_in_all`` is how many there are.
    """

    watermark_id: str
    number: str
    evidence_bits: float
    false_accusation_bound: float
    segments_agreeing: int
    segments_compared: int
    served_from: float | None
    served_to: float | None
    sessions_in_all: int
    sessions: list[ServedSession] | UnsetType = UNSET


class LeakRange(Struct, frozen=True, kw_only=True):
    """From where to where in the asset the copy shows it, in seconds; ``speed`` is that of its longest passage."""

    start_s: float
    end_s: float
    speed: float
    mirrored: bool


class AssetFinding(Struct, frozen=True, kw_only=True):
    """What was found of one asset. The members are those of the accusation and of the reading it is made from.

    ``candidates`` sessions were served anything of the copy; ``complete`` if all nodes have told of theirs, or which
    are ``missing_nodes``. ``quality`` is the median strength of the scores: 0.7 is unmarked, 48 the most there is;
    ``control_rms`` that of keys nobody used, which must be about 1. ``estimated_further_seconds`` of a copy as good as
    this until somebody can be expected to be named; null: nothing allows to say.
    """

    status: Status
    asset: str
    leak_range: LeakRange | None = None
    segments_used: int = 0
    segments_erased: int = 0
    quality: float = 0.0
    control_rms: float = 0.0
    needed_bits: float = 0.0
    best_bits: float = 0.0
    runner_up_bits: float = 0.0
    candidates: int = 0
    complete: bool = True
    missing_nodes: list[str] = []
    estimated_further_seconds: float | None = None
    pair_bound: float | None = None
    matches: list[Match] = []
    passages: list[Run] = []
    geometry: Geometry | None = None
    scores: list[PositionReading] = []


class Upload(Struct, frozen=True, kw_only=True):
    """The copy: its pictures' size, its length, how much of it no asset explains; ``cut_short``: not all was read."""

    width: int
    height: int
    duration_s: float
    unknown_s: float
    cut_short: bool


F = TypeVar("F", bound=AssetFinding)


class AnalysisResult(AssetFinding, frozen=True, kw_only=True):
    """What was found of the asset that the copy shows most of; of ``others`` where it shows several."""

    upload: Upload
    others: list[AssetFinding] = []

    @property
    def findings(self) -> list[AssetFinding]:
        """One for each asset."""
        return [self, *self.others]

    @property
    def names_sessions(self) -> bool:
        """Whether any session is named in it."""
        return any(match.sessions_in_all for one in self.findings for match in one.matches)

    def pseudonymous(self) -> "AnalysisResult":
        """Without what names a viewer."""
        return replace(_unnamed(self), others=[_unnamed(one) for one in self.others])


def _unnamed(finding: F) -> F:
    return replace(finding, matches=[replace(match, sessions=UNSET) for match in finding.matches])


class Accused(Struct, frozen=True, kw_only=True):
    """A number that the scan names, and how the copy agrees with its bits."""

    number: int
    evidence_bits: float
    false_accusation_bound: float
    segments_agreeing: int
    segments_compared: int


class Accusation(Struct, frozen=True, kw_only=True):
    """What the scan found; see :class:`relay.watermark.accuse.finding.Finding`."""

    status: Status
    accused: list[Accused]
    pair_bound: float | None
    needed_bits: float
    best_bits: float
    runner_up_bits: float
    candidates: int
    segments_used: int
    segments_erased: int
    estimated_further_seconds: float | None
    quality: float


class Pictures(Struct, frozen=True, kw_only=True):
    """The alignment pictures of an asset."""

    asset: str
    pictures: list[Picture]
