"""From a session and its stream's configuration to the terms of one licence. Pure."""

from collections.abc import Callable, Sequence

from keys.errors import LicenceRefusedError
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import KeySlot
from policies.model import Terms
from relay.licensing.settings import LicenceConfig, whole_seconds
from relay.model import Session

MAX_KEYS = 128
"""In one licence: more than a window of a few hours has, and what a device's DRM module may still hold."""


def term_of(session: Session, licence: LicenceConfig, now: float) -> Term:
    """How long a new licence holds: never longer than the session."""
    return Term(
        until=_until(session, licence, now),
        start_within=whole_seconds(licence.start_within),
        play_for=whole_seconds(licence.play_for),
        renew_every=whole_seconds(licence.renew_every),
        persistent=licence.persistent,
    )


def renewed_term_of(session: Session, licence: LicenceConfig, playing_for: int, now: float) -> Term:
    """How long a renewed licence holds that has been used for ``playing_for`` seconds.

    Raises :class:`LicenceRefusedError` when all that could be played was.
    """
    play_for = whole_seconds(licence.play_for)
    if play_for and playing_for >= play_for:
        raise LicenceRefusedError("expired", "the time in which this licence plays is over")
    return Term(
        until=_until(session, licence, now),
        # Counted from the first frame still: a device keeps that moment through renewals.
        play_for=play_for,
        renew_every=whole_seconds(licence.renew_every),
        persistent=licence.persistent,
    )


def granted_slots(
    slots: Sequence[KeySlot], kid_of: Callable[[KeySlot], bytes], kids: frozenset[bytes]
) -> list[KeySlot]:
    """The slots of one licence: those asked for first, then stable ones, then new ones; 128 at most.

    ``slots`` are in order of time, stable ones first, so that as a rule few key IDs have to be derived.
    """
    left, asked = set(kids), set[KeySlot]()
    for slot in slots:
        if not left:
            break
        kid = kid_of(slot)
        if kid in left:
            left.discard(kid)
            asked.add(slot)
    order = sorted(slots, key=lambda slot: (slot not in asked, slot.period is not None, -(slot.period or 0)))
    return order[:MAX_KEYS]


def granted_keys(
    slots: Sequence[KeySlot], terms_of: Callable[[KeySlot], Terms | None], key_of: Callable[[KeySlot], ContentKey]
) -> list[GrantedKey]:
    """The keys of slots, each with its terms; those without terms are for nobody."""
    granted = []
    for slot in slots:
        terms = terms_of(slot)
        if terms is not None:
            granted.append(GrantedKey(key_of(slot), slot.track, terms.security, terms.outputs))
    return granted


def _until(session: Session, licence: LicenceConfig, now: float) -> float:
    end = float(session.expires_at)
    return min(end, now + whole_seconds(licence.duration)) if licence.duration else end
