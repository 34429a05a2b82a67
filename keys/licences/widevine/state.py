"""What a Widevine renewal needs to know of its licence, sealed into the licence itself.

Any node that holds the state keys can renew, and none has to remember.
"""

import struct
from dataclasses import dataclass, field

from keys.encoding import encode_fields
from keys.errors import LicenceRequestError, SealError
from keys.licences.devices import pack_device, unpack_device
from keys.licences.terms import Device
from keys.licences.widevine.derivation import MacKeys
from keys.licences.widevine.licence import Identification
from keys.seal import Sealer

MAX_SESSION_BYTES = 1024
"""What a caller may add to a licence's state: enough for IDs, too little to bloat every renewal."""

_CONTEXT = b"segmentgate/2 widevine state"
# MAC keys, end of the term, length of the device.
_HEAD = struct.Struct(">64sdH")
"""The layout belongs to the label above: change both together."""


@dataclass(frozen=True, slots=True)
class State:
    """A licence's MAC keys, its device, its end (seconds since the epoch, 0: none) and the caller's ``session``."""

    mac: MacKeys
    device: Device
    until: float
    session: bytes = field(repr=False)

    def seal(self, sealer: Sealer, request_id: bytes, session_id: bytes, type_: int, version: int) -> Identification:
        """The licence's identification with this state in it, and bound to it."""
        device = pack_device(self.device)
        head = _HEAD.pack(self.mac.joined(), self.until, len(device))
        context = _context(request_id, session_id, type_, version)
        sealed = sealer.seal(head + device + self.session, context)
        return Identification(request_id, session_id, type_, version, sealed.encode())

    @classmethod
    def open(cls, sealer: Sealer, found: Identification, system: str) -> "State":
        """The state in ``found``. Raises :class:`LicenceRequestError` for one that was not sealed just like this."""
        context = _context(found.request_id, found.session_id, found.type, found.version)
        try:
            opened = sealer.open(found.state.decode("ascii"), context)
            mac, until, device_bytes = _HEAD.unpack_from(opened)
        except (SealError, UnicodeDecodeError, struct.error):
            raise LicenceRequestError("Widevine licence ID: not of a licence made here") from None
        session_at = _HEAD.size + device_bytes
        device = unpack_device(system, opened[_HEAD.size : session_at])
        return cls(MacKeys.split(mac), device, until, opened[session_at:])


def _context(request_id: bytes, session_id: bytes, type_: int, version: int) -> bytes:
    numbers = [number.to_bytes(8, "big") for number in (type_, version)]
    return encode_fields(_CONTEXT, request_id, session_id, *numbers)
