"""Clear Key signalling: the init data from which every EME player can ask for keys by ID."""

from collections.abc import Sequence

import msgspec

from keys import base64url
from keys.errors import SignallingError
from keys.signalling.pssh import Pssh, require_kids
from keys.signalling.systems import COMMON


def common_pssh(kids: Sequence[bytes]) -> bytes:
    """The whole version 1 ``pssh`` box of the common system (W3C "cenc" Initialization Data Format §4).

    Raises :class:`SignallingError` without a key ID.
    """
    _require_some(kids)
    return Pssh(COMMON, kids=tuple(kids)).encode()


def keyids_init_data(kids: Sequence[bytes]) -> bytes:
    """The same key IDs as JSON (W3C "keyids" Initialization Data Format §2).

    Raises :class:`SignallingError` without a key ID.
    """
    _require_some(kids)
    require_kids(kids)
    return msgspec.json.encode({"kids": [base64url.encode(kid) for kid in kids]})


def _require_some(kids: Sequence[bytes]) -> None:
    if not kids:
        raise SignallingError("Clear Key: needs at least one key ID")
