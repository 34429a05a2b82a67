"""Clear Key signalling: the init data from which every EME player can ask for keys by ID."""

from collections.abc import Sequence

from keys.errors import SignallingError
from keys.signalling.pssh import Pssh
from keys.signalling.systems import COMMON


def common_pssh(kids: Sequence[bytes]) -> bytes:
    """The whole version 1 ``pssh`` box of the common system (W3C "cenc" Initialization Data Format §4).

    Raises :class:`SignallingError` without a key ID.
    """
    if not kids:
        raise SignallingError("Clear Key: needs at least one key ID")
    return Pssh(COMMON, kids=tuple(kids)).encode()
