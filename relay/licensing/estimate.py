"""How many licences an audience asks for, and how fast: what to size a licence service or a contract for one by. Pure.

A viewer's device asks once for each playing, or once for many if it may store licences; again each time a licence has
to be renewed; and again for each new key, unless that is sent ahead. Systems whose licences hold one key ask as often
as there are keys.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from keys.periods import SPREAD_SHARE
from relay.errors import RequestError
from relay.model import System

MAX_LICENCES = 2**53 - 1
"""More than JSON numbers can count (RFC 8259 §6) is nobody's audience."""
_ROUNDED = 1e-6

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Few = Annotated[int, Meta(ge=1, le=100_000)]
Seconds = Annotated[int, Meta(ge=1, le=366 * 86_400)]
"""Whole seconds up to a year, so that how often one goes into another is exact."""
SecondsOrNone = Annotated[int, Meta(ge=0, le=366 * 86_400)]
"""The same; 0 says that there is no such thing."""
Percent = Annotated[float, Meta(ge=0, le=100)]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what is asked: frozen, and refusing names it does not know."""


class Shares(_Strict, frozen=True):
    """How many viewers in a hundred use a DRM system."""

    widevine: Percent = 0.0
    playready: Percent = 0.0
    fairplay: Percent = 0.0
    clearkey: Percent = 0.0

    def __post_init__(self) -> None:
        """Raises :class:`ValueError` unless they add up."""
        if abs(sum(share for _, share in self.by_system()) - 100) > _ROUNDED:
            raise ValueError("the shares of the systems must add up to 100")

    def by_system(self) -> tuple[tuple[System, float], ...]:
        """Each system with its share."""
        return (
            (System.WIDEVINE, self.widevine),
            (System.PLAYREADY, self.playready),
            (System.FAIRPLAY, self.fairplay),
            (System.CLEARKEY, self.clearkey),
        )


class Usage(_Strict, frozen=True):
    """Who watches what, and how it is protected. All times are whole seconds; where 0 is allowed it means *none*."""

    viewers: Count
    duration_s: Seconds
    """How long one playing lasts: of an event, how long each viewer stays."""
    titles: Few = 1
    """Different videos that each viewer plays."""
    plays: Few = 1
    """How often each of them is played, evenly over ``plays_within_s``."""
    plays_within_s: Seconds = 30 * 86_400
    persistent_s: SecondsOrNone = 0
    """How long a stored licence can be used; 0: licences are not stored, and each playing asks."""
    titles_per_key: Few = 1
    """Titles that share their keys, and so a stored licence."""
    keys: Annotated[int, Meta(ge=1, le=128)] = 1
    """Keys that a player comes to use: audio, SD, HD, …"""
    renewal_interval_s: SecondsOrNone = 0
    rotation_interval_s: SecondsOrNone = 0
    pre_delivery_s: SecondsOrNone = 0
    """The lead by which the next key is sent or asked for; 0: players ask when they meet it."""
    arrival_s: Seconds = 60
    """Over this the viewers arrive, evenly."""
    boundary_s: Seconds = 10
    """Over this players meet a new key that was not sent ahead: about what a segment takes to reach all of them."""
    systems: Shares = field(default_factory=lambda: Shares(widevine=100.0))

    def __post_init__(self) -> None:
        """Raises :class:`ValueError` for a lead that no rotation has room for."""
        if self.pre_delivery_s and self.pre_delivery_s >= self.rotation_interval_s:
            raise ValueError("pre_delivery_s must be shorter than rotation_interval_s")


class Licences(Struct, frozen=True, kw_only=True):
    """Requests by what they are for."""

    first: int
    renewals: int
    rotation: int
    total: int


class SystemLicences(Licences, frozen=True, kw_only=True):
    """The same of one DRM system. ``requests_each`` are needed to get all keys of one moment.

    ``next_key_in`` says how its players get the key of the next crypto period: by the event ``channel``, or in a
    ``licence`` that they ask for.
    """

    viewers: int
    requests_each: int
    next_key_in: str


class Peak(Struct, frozen=True, kw_only=True):
    """Most requests a second, if all viewers watch at the same time.

    ``starts`` and ``renewals`` are spread as the viewers arrive. Those of a rotation come ``at_boundary``, or, if
    every player asks at a moment of its own in the lead or is sent the key, ``spread``. The ``total`` of either is for
    a rotation while licences are asked for and renewed most.
    """

    starts: float
    renewals: float
    rotation_at_boundary: float
    rotation_spread: float
    total_at_boundary: float
    total_spread: float


class Estimate(Struct, frozen=True, kw_only=True):
    """What :class:`Usage` comes to."""

    licences: Licences
    licences_per_viewer: float
    systems: dict[System, SystemLicences]
    peak_per_s: Peak


def estimate(usage: Usage) -> Estimate:
    """Count what a usage asks for. Raises :class:`RequestError` where that is more than can be counted."""
    systems = {system: _licences(usage, system, viewers) for system, viewers in _audiences(usage)}
    total = Licences(
        first=sum(one.first for one in systems.values()),
        renewals=sum(one.renewals for one in systems.values()),
        rotation=sum(one.rotation for one in systems.values()),
        total=sum(one.total for one in systems.values()),
    )
    if total.total > MAX_LICENCES:
        raise RequestError(f"estimate: more than {MAX_LICENCES} licences; ask for a shorter time or fewer viewers")
    return Estimate(
        licences=total,
        licences_per_viewer=round(total.total / usage.viewers, 3),
        systems=systems,
        peak_per_s=_peak(usage, list(systems.values())),
    )


def _audiences(usage: Usage) -> list[tuple[System, int]]:
    """How many viewers use each system. Sums are rounded, not shares, so that none is lost."""
    found, share_so_far, counted = [], 0.0, 0
    for system, share in usage.systems.by_system():
        share_so_far += share
        viewers = round(usage.viewers * min(share_so_far, 100) / 100) - counted
        counted += viewers
        if viewers:
            found.append((system, viewers))
    return found


def _licences(usage: Usage, system: System, viewers: int) -> SystemLicences:
    each = usage.keys if system is System.FAIRPLAY else 1
    pushed = system is System.CLEARKEY and usage.pre_delivery_s > 0
    playings = viewers * usage.titles * usage.plays
    first = viewers * _asked_for_playing(usage) * each
    renewals = playings * (_licences_in_a_playing(usage) - 1) * each
    rotation = 0
    interval = usage.rotation_interval_s
    if interval and not pushed:
        # Periods lie on a grid of stream time, wherever a viewer begins: on average he meets this many new ones.
        # Rounded without floating point, which is not exact for numbers of this size.
        rotation = (2 * playings * usage.duration_s * each + interval) // (2 * interval)
    return SystemLicences(
        viewers=viewers,
        requests_each=each,
        next_key_in="channel" if pushed else "licence",
        first=first,
        renewals=renewals,
        rotation=rotation,
        total=first + renewals + rotation,
    )


def _asked_for_playing(usage: Usage) -> int:
    """How often one viewer's device needs a licence to begin playing, over all titles."""
    if not usage.persistent_s:
        return usage.titles * usage.plays
    packages, rest = divmod(usage.titles, usage.titles_per_key)
    return packages * _stored(usage, usage.titles_per_key * usage.plays) + _stored(usage, rest * usage.plays)


def _stored(usage: Usage, plays: int) -> int:
    """Licences that so many playings under the same keys take, if each is stored until it ends."""
    if not plays:
        return 0
    served_by_one = min(plays, _ceil_div(usage.persistent_s * plays, usage.plays_within_s))
    return _ceil_div(plays, served_by_one)


def _licences_in_a_playing(usage: Usage) -> int:
    """The first and its renewals: one at the start of each interval."""
    return _ceil_div(usage.duration_s, usage.renewal_interval_s) if usage.renewal_interval_s else 1


def _peak(usage: Usage, systems: list[SystemLicences]) -> Peak:
    everyone = sum(one.viewers * one.requests_each for one in systems)
    asking = sum(one.viewers * one.requests_each for one in systems if one.next_key_in == "licence")
    # Each interval after he came, a viewer comes again: the arrivals repeat as waves, and long ones overlap.
    licences = _licences_in_a_playing(usage)
    overlap = _ceil_div(usage.arrival_s, usage.renewal_interval_s) if usage.renewal_interval_s else 1
    starts = everyone / usage.arrival_s
    at_boundary = spread = 0.0
    if usage.rotation_interval_s:
        at_boundary = everyone / usage.boundary_s
        spread = asking / (usage.pre_delivery_s * SPREAD_SHARE) if usage.pre_delivery_s else at_boundary
    base = starts * min(licences, overlap)
    return Peak(
        starts=round(starts, 1),
        renewals=round(starts * min(licences - 1, overlap), 1),
        rotation_at_boundary=round(at_boundary, 1),
        rotation_spread=round(spread, 1),
        total_at_boundary=round(base + at_boundary, 1),
        total_spread=round(base + spread, 1),
    )


def _ceil_div(number: int, by: int) -> int:
    return -(-number // by)
