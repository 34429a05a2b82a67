"""State = fold(events). The one place where an event changes anything."""

from collections.abc import Iterator

import msgspec

from relay.gate.revocation import RevocationSet, Standing
from relay.state.documents import Documents
from relay.state.events import Action, DocumentPut, Event, Revocation, SaltDrawn

MAX_SALTS = 4096
"""Of one stream: more periods than any window holds. One stream's must never push out another's."""
_LATEST, _SALTS, _REVOCATIONS, _DOCUMENTS = b"o", b"s", b"r", b"d"
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[tuple[str, dict[int, bytes]]] = msgspec.msgpack.Decoder(tuple[str, dict[int, bytes]])


class State:
    """What the events so far amount to. ``latest`` is the highest order of any."""

    def __init__(self) -> None:
        self.revocations = RevocationSet()
        self.documents = Documents()
        self.latest = 0
        self._salts: dict[str, dict[int, bytes]] = {}

    def apply(self, event: Event, now: float) -> bool:
        """Fold one event in. Whether it changed anything: applying one twice changes nothing more.

        ``now`` is 0 while old events are replayed; see :meth:`RevocationSet.apply`.
        """
        match event:
            case Revocation():
                self.latest = max(self.latest, event.order)
                record = Standing(
                    order=event.order,
                    revoked=event.action is Action.REVOKE,
                    effective_at=event.effective_at,
                    expires_at=event.expires_at,
                    limit=event.limit,
                )
                return self.revocations.apply(event.target, record, now)
            case SaltDrawn():
                # The first draw stands: whatever was encrypted under it must stay decryptable.
                salts = self._salts.setdefault(event.stream, {})
                if event.period in salts:
                    return False
                salts[event.period] = event.salt
                while len(salts) > MAX_SALTS:
                    del salts[next(iter(salts))]
                return True

            case DocumentPut():
                self.latest = max(self.latest, event.order)
                return self.documents.apply(event, now)

    def salt(self, stream: str, period: int) -> bytes | None:
        """The salt drawn for a period, if any."""
        return self._salts.get(stream, {}).get(period)

    def dump(self) -> Iterator[bytes]:
        """Everything, in pieces for :meth:`load`; see :meth:`RevocationSet.dump`."""
        yield _LATEST + self.latest.to_bytes(8)
        for stream in list(self._salts):
            yield _SALTS + _encoder.encode((stream, self._salts[stream]))
        for piece in self.documents.dump():
            yield _DOCUMENTS + piece
        for piece in self.revocations.dump():
            yield _REVOCATIONS + piece

    def load(self, piece: bytes) -> None:
        """Take in a piece of a dump, before any event. Raises ValueError for anything else."""
        tag, rest = piece[:1], piece[1:]
        if tag == _LATEST:
            self.latest = int.from_bytes(rest)
        elif tag == _SALTS:
            stream, salts = _decoder.decode(rest)
            self._salts[stream] = salts
        elif tag == _REVOCATIONS:
            self.revocations.load(rest)
        elif tag == _DOCUMENTS:
            self.documents.load(rest)
        else:
            raise ValueError("no piece of a state")
