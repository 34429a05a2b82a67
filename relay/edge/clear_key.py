"""Clear Key licences of a stream: made once for all who are granted the same."""

from weakref import WeakKeyDictionary

from keys.errors import LicenceRequestError
from keys.licences.clearkey import SessionType, licence, parse_request
from relay.edge.visit import Visit
from relay.errors import RequestError
from relay.grants import Grant, grant_for

_rendered: WeakKeyDictionary[Grant, bytes] = WeakKeyDictionary()


def kids_asked_for(challenge: bytes) -> frozenset[bytes]:
    """The key IDs that a challenge names. Raises :class:`RequestError`."""
    try:
        asked = parse_request(challenge)
    except LicenceRequestError as err:
        raise RequestError(str(err)) from None
    if asked.type is not SessionType.TEMPORARY:
        # Nothing in a Clear Key licence could make it expire.
        raise RequestError("Clear Key licences are temporary only")
    return frozenset(asked.kids)


def granted_in_clear(visit: Visit, kids: frozenset[bytes]) -> Grant:
    """What a visitor gets who asks for key IDs. Raises what :func:`relay.grants.grant_for` does."""
    return grant_for(visit.stream, visit.visitor, visit.cls, kids, visit.node.clock())


def made_before(granted: Grant) -> bytes | None:
    """The licence for a grant, if it was made already."""
    return _rendered.get(granted)


async def make(visit: Visit, granted: Grant) -> bytes:
    """The licence for a grant, which may first have to wait for salts."""
    keys = [visit.stream.content_key(slot) for slot in granted.slots]
    await visit.node.salts.settle()
    made = licence(keys, SessionType.TEMPORARY)
    if not visit.stream.config.rotation.salt:
        # A salt may yet turn out to be another node's.
        _rendered[granted] = made
    return made
