"""What can be done to a player's connection beneath HTTP: see what is unsent, and break it so that this stays so."""

import asyncio
import fcntl
import os
import socket
import struct
import sys

import structlog

from relay.sessions.open_responses import OpenResponse, OpenResponses

LOOK_AGAIN_S = 0.05
"""How soon it is looked again whether a response has left; each time twice as late, for many readers are slow."""
LOOK_AT_LEAST_S = 0.4
_SIOCOUTQNSD = 0x894B
"""Linux's request for the bytes of a send queue that have not been sent (tcp(7), SIOCOUTQNSD)."""
_log = structlog.get_logger()


def reset(transport: asyncio.Transport) -> None:
    """Break a connection so that nothing queued for it is sent any more, not even by the kernel.

    A plain close would still deliver megabytes from the socket's send buffer; a zero linger time drops
    them and resets the connection.
    """
    try:
        connection = transport.get_extra_info("socket")
        if connection is not None and not transport.is_closing():
            with socket.socket(fileno=os.dup(connection.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        # No descriptor to spare: a plain abort still drops what this process holds.
        _log.warning("cut_without_reset")
    finally:
        transport.abort()


def unsent(transport: asyncio.Transport) -> int:
    """Bytes written to a connection that are still here, in this process or in the kernel. Asking takes 1 µs."""
    connection = transport.get_extra_info("socket")
    queued = transport.get_write_buffer_size()
    try:
        return queued + int.from_bytes(fcntl.ioctl(connection.fileno(), _SIOCOUTQNSD, bytes(4)), sys.byteorder)
    except (OSError, AttributeError):
        # No Linux, or no socket any more.
        return queued


def discard_when_sent(
    registry: OpenResponses, entry: OpenResponse, transport: asyncio.Transport | None, again_s: float = LOOK_AGAIN_S
) -> None:
    """Take a response that is complete out of the registry, once the last of it has left.

    What is written is not yet sent: the kernel holds megabytes for a slow reader, and a cut must still find them.
    """
    if transport is None or transport.is_closing() or not unsent(transport):
        registry.discard(entry)
    else:
        # A look takes 5 µs with its timer: at ten thousand readers who never read, every 50 ms would take a processor.
        later_s = min(2 * again_s, LOOK_AT_LEAST_S)
        asyncio.get_running_loop().call_later(again_s, discard_when_sent, registry, entry, transport, later_s)
