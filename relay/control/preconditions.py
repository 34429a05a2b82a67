"""Changes and readings that depend on what is there: ``If-Match`` and ``If-None-Match`` on the control API.

A resource that may be changed answers with an entity tag. Whoever sends it back in ``If-Match`` changes what he has
seen or nothing (412); ``If-None-Match: *`` creates and never replaces.
"""

import msgspec
from aiohttp import web

from relay.conditions import entity_tag, matches, matches_strongly
from relay.control.errors import PreconditionFailedError
from relay.operation import Header

IF_MATCH = Header("If-Match", "Only if the resource still has this entity tag; otherwise 412.")
IF_NONE_MATCH = Header("If-None-Match", "Of a reading: 304 if the resource still has this entity tag.")
CREATE_ONLY = Header("If-None-Match", "`*`: only if there is no such resource yet; otherwise 412.")


def tag_of(value: object) -> str:
    """The entity tag of a resource that is answered as JSON."""
    return entity_tag(msgspec.json.encode(value))


def check_preconditions(request: web.Request, current: object | None) -> None:
    """Before a change: raise :class:`PreconditionFailedError` unless what is there is what the caller expects.

    ``current`` is the resource as it would be answered now, None where there is none. Call it where nothing can come
    between it and the change.
    """
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    tag = None if current is None else tag_of(current)
    if wanted is not None and (tag is None or not matches_strongly(wanted, tag)):
        raise PreconditionFailedError("If-Match: the resource is not, or no longer, what you have seen; read it again")
    if unwanted is not None and tag is not None and matches(unwanted, tag):
        raise PreconditionFailedError("If-None-Match: there is such a resource already")


def tagged_answer(request: web.Request, value: object, version: object | None = None) -> web.Response:
    """A resource with its entity tag: 200, or 304 where the caller has it already.

    Where its text tells the time, too, ``version`` is what the tag is made of, and what preconditions are checked on.
    """
    body = msgspec.json.encode(value)
    headers = {"Cache-Control": "no-cache", "ETag": entity_tag(body) if version is None else tag_of(version)}
    if matches(request.headers.get("If-None-Match", ""), headers["ETag"]):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)
