"""What licence requests come to, put down for operators."""

from collections.abc import Sequence

from aiohttp import web

from keys.licences.detect import DrmSystem
from keys.licences.terms import Device, GrantedKey, Term
from keys.model import Security
from relay.edge.visit import Visit
from relay.grants import Grant
from relay.node import NODE
from relay.sessions.records import Licensed, Refused, Renewed
from relay.verdict import Deny, Reason


def note_in_clear(visit: Visit, system: DrmSystem, granted: Grant) -> None:
    """A licence that keeps no terms is about to leave, with all that was granted."""
    stream, session, now = visit.stream, visit.visitor.session, visit.node.clock()
    visit.node.records.note(
        Licensed(
            session=session,
            at=now,
            node=visit.node.replica.name,
            stream=stream.name,
            system=system,
            expires_at=session.expires_at,
            tracks=granted.tracks,
            scene=stream.scene_label(now),
            newest=granted.newest,
        )
    )


def note_licence(
    visit: Visit, system: DrmSystem, keys: Sequence[GrantedKey], term: Term, device: Device | None
) -> None:
    """A licence is about to leave for a device, or, without keys, a renewal of one.

    Keys that the device is not trusted with are not in it, whatever was granted.
    """
    node, stream, session, now = visit.node, visit.stream, visit.visitor.session, visit.node.clock()
    renew_by = now + term.renew_every if term.renew_every else 0.0
    if not keys:
        node.records.note(
            Renewed(
                session=session,
                at=now,
                node=node.replica.name,
                stream=stream.name,
                system=system,
                expires_at=term.until,
                renew_by=renew_by,
            )
        )
        return
    trusted = device is None or device.security is Security.HARDWARE
    given = [key for key in keys if trusted or key.security is Security.SOFTWARE]
    hard = any(key.security is Security.HARDWARE for key in given)
    node.records.note(
        Licensed(
            session=session,
            at=now,
            node=node.replica.name,
            stream=stream.name,
            system=system,
            expires_at=term.until,
            renew_by=renew_by,
            device_level=device.security if device else None,
            key_level=Security.HARDWARE if hard else Security.SOFTWARE,
            tracks=tuple(sorted({key.track for key in given}, key=lambda track: track.rank)),
            device=device.digest.hex() if device else "",
            model=device.model if device else "",
            scene=stream.scene_label(now),
            newest=_newest(visit, now),
        )
    )


def note_refused(visit: Visit, reason: Reason) -> None:
    """A session that passed the gate gets no licence."""
    node = visit.node
    node.records.note(
        Refused(
            session=visit.visitor.session,
            at=node.clock(),
            node=node.replica.name,
            stream=visit.stream.name,
            reason=reason,
        )
    )


def note_turned_away(request: web.Request, refused: Deny) -> None:
    """A session did not pass the gate. It is known by its pass; one that came with a token has not begun."""
    node = request.app[NODE]
    text, _, rest = request.query.get("session", "").partition("/")
    session = node.gate.session_of(text)
    stream = rest.partition("/")[0]
    if session is not None and stream in node.streams:
        node.records.note(
            Refused(session=session, at=node.clock(), node=node.replica.name, stream=stream, reason=refused.reason)
        )


def _newest(visit: Visit, now: float) -> int | None:
    return max((start for _, start in visit.stream.timeline.heads(now)), default=None)
