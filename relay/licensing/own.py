"""The relay's own licences, for players that an operator ships: made and renewed without any state.

The player keeps a licence that it cannot read, and brings it back to have it renewed at any node.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from keys.encoding import encode_fields
from keys.licences.sealed import LicenceOpener, LicenceSealer, SealedLicence
from relay.model import Session

_PURPOSE = "sealed licence"


@dataclass(frozen=True, slots=True)
class OwnLicences:
    """What seals licences here, and opens those of all nodes."""

    sealer: LicenceSealer
    opener: LicenceOpener

    @classmethod
    def of(cls, service_keys: Callable[[str], Sequence[bytes]], entropy: Callable[[int], bytes]) -> "OwnLicences":
        """With the deployment's keys, newest first, as a key ring gives them, and ``entropy`` (``os.urandom``)."""
        secrets = service_keys(_PURPOSE)
        return cls(LicenceSealer(secrets[0], entropy(16)), LicenceOpener(secrets))

    def issue(self, session: Session, stream: str, device: str, until: int, entries: bytes) -> bytes:
        """A licence for a session of a stream on a device; ``entries``: see :func:`keys.licences.sealed.entries_of`."""
        return self.sealer.seal(
            _digest(session.issuer, session.sid, stream), until, _digest(device), _digest(session.watermark_id), entries
        )

    def open(self, sealed: bytes, session: Session, stream: str, device: str, now: float) -> SealedLicence | None:
        """The licence that a session brings; None for one of another session or stream.

        Raises what :meth:`LicenceOpener.open` raises.
        """
        licence = self.opener.open(sealed, _digest(device), now)
        return licence if licence.session_id == _digest(session.issuer, session.sid, stream) else None


def _digest(*fields: str) -> bytes:
    return blake2b(encode_fields(*(field.encode() for field in fields)), digest_size=16).digest()
