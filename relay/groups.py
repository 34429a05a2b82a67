"""DRM groups as documents that all nodes know: named templates of what streams have in common.

A stream that joins one takes it over as it is then, as a change of its plan; a group that is changed is taken over
anew by the streams that are in it.
"""

import msgspec
import structlog

from policies.text import GroupText
from relay.state.documents import Documents

KIND = "group"
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[GroupText] = msgspec.msgpack.Decoder(GroupText)
_log = structlog.get_logger()


def write_group(group: GroupText) -> bytes:
    """A group as an event keeps it."""
    return _encoder.encode(group)


def groups_of(documents: Documents, now: float) -> dict[str, GroupText]:
    """All groups by name, in its order."""
    found = {}
    for name, document in sorted(documents.of(KIND, now)):
        try:
            found[name] = _decoder.decode(document.body)
        except msgspec.DecodeError as err:
            # Written by a newer version of the relay, perhaps: the others still hold.
            _log.error("group_unreadable", group=name, error=str(err))
    return found
