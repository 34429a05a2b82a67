"""One session's open event channel, for as long as its connection lives."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace

from relay.edge.connection import reset, unsent
from relay.edge.visit import Visit
from relay.facts import Facts
from relay.sessions.open_responses import OpenResponse
from relay.told import Told
from relay.verdict import Deny, Reason

MAX_QUEUED = 64 * 1024
"""A reader who has left this much unread when the next event is due is cut off."""
SEND_BUFFER = 32 * 1024
"""What the kernel may queue for a channel: by itself it would let megabytes of events pile up unread."""

_PASSING = (Reason.STATE_STALE, Reason.KEY_PENDING)
"""Refusals that may be over when the player comes back."""


class Channel(asyncio.Protocol):
    """What a channel's connection speaks to once the request that opened it is done.

    ``told`` is what its player knows, ``push_at`` (node clock, s) when it may be told more, ``due`` its tick on the
    hub's wheel. It has yet to be told of a change where ``policy_changed``, and that its manifests are others where
    ``manifests_changed``. There is one for every viewer, so it holds nothing that another could share.
    """

    __slots__ = (
        "_chunked", "_facts", "_lost", "_transport",
        "cls", "due", "entry", "greeted", "manifests_changed", "policy_changed", "push_at", "told",
        "visitor",
    )  # fmt: skip

    def __init__(
        self,
        visit: Visit,
        told: Told | None,
        transport: asyncio.Transport,
        chunked: bool,
        lost: Callable[["Channel"], None],
    ) -> None:
        self._transport: asyncio.Transport | None = transport
        self._chunked = chunked
        self._lost = lost
        # The request's own would keep all of it alive; what is asked again are method, address and territory.
        self._facts = replace(visit.facts(), path="", query="", headers={})
        self.visitor = visit.visitor
        self.cls = visit.cls
        self.told = told
        self.push_at = 0.0
        self.due = 0
        self.greeted = False
        self.policy_changed = False
        self.manifests_changed = False
        self.entry = OpenResponse(visit.visitor, self.facts, self.cut)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._transport is None

    def facts(self) -> Facts:
        """Of the request that opened it."""
        return self._facts

    def send(self, event: bytes) -> None:
        """Write an event; a reader who left too many unread is cut off instead."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > MAX_QUEUED:
            self.drop()
        else:
            self._write(self._transport, event)

    def refuse(self, refused: Deny) -> None:
        """End it and say why: ``revoked``, or ``ended`` where asking again would be answered alike."""
        if refused.reason in _PASSING:
            self.close()
        else:
            kind = b"revoked" if refused.reason is Reason.REVOKED else b"ended"
            self.close(b'event: %b\ndata: {"reason":"%b"}\n\n' % (kind, refused.reason.encode()))

    def cut(self) -> None:
        """End it for a revocation."""
        if self._transport is not None and unsent(self._transport):
            # A reader this slow would still be handed keys that were queued for him.
            self.drop()
        else:
            self.refuse(Deny(Reason.REVOKED))

    def close(self, last: bytes = b"") -> None:
        """End it when what was written, and ``last``, is sent."""
        transport = self._leave()
        if transport is None or transport.is_closing():
            return
        if last:
            self._write(transport, last)
        if self._chunked:
            transport.write(b"0\r\n\r\n")
        transport.close()

    def drop(self) -> None:
        """End it, and with it what was written but not sent."""
        transport = self._leave()
        if transport is not None:
            reset(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The player has gone."""
        self._leave()

    def _write(self, transport: asyncio.Transport, event: bytes) -> None:
        transport.write(b"%x\r\n%b\r\n" % (len(event), event) if self._chunked else event)

    def _leave(self) -> asyncio.Transport | None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._lost(self)
        return transport
