"""Documents that all nodes know: small texts of a few kinds, each by its name. A fold of :class:`DocumentPut`.

What stands is the document with the highest order, whatever the order of arrival; see there.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from relay.state.events import DocumentPut

_STEP = 500
"""Documents in one piece of a dump."""


class Document(NamedTuple):
    """What stands. ``body`` is empty where the document was removed; times are seconds since the epoch, 0 never."""

    order: int
    body: bytes
    created_at: float
    expires_at: float
    gone_at: float

    def holds(self, now: float) -> bool:
        """Whether it is there: neither removed nor expired."""
        return bool(self.body) and not 0 < self.expires_at <= now


_Piece = tuple[str, dict[str, Document]]
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Piece] = msgspec.msgpack.Decoder(_Piece)


class Documents:
    """All of them. ``version`` grows with every change."""

    def __init__(self) -> None:
        self.version = 0
        self._kinds: dict[str, dict[str, Document]] = {}

    def get(self, kind: str, name: str, now: float) -> Document | None:
        """A document that is there."""
        found = self._kinds.get(kind, {}).get(name)
        return found if found is not None and found.holds(now) else None

    def of(self, kind: str, now: float) -> Iterator[tuple[str, Document]]:
        """Name and document of all of a kind, in no order."""
        for name, document in self._kinds.get(kind, {}).items():
            if document.holds(now):
                yield name, document

    def kept(self, kind: str) -> Mapping[str, Document]:
        """All that is known of a kind, what was removed or has expired included."""
        return self._kinds.get(kind, {})

    def apply(self, event: DocumentPut, now: float) -> bool:
        """Fold an event in. Whether it changed anything. ``now`` is 0 while old events are replayed."""
        documents = self._kinds.setdefault(event.kind, {})
        before = documents.get(event.name)
        if before is not None and (before.order, before.body) >= (event.order, event.body):
            return False
        if 0 < event.gone_at <= now:
            # Overruled or not, nobody needs to know of it any more.
            documents.pop(event.name, None)
        else:
            documents[event.name] = Document(event.order, event.body, event.created_at, event.expires_at, event.gone_at)
        self.version += 1
        return True

    def forget(self, now: float) -> None:
        """Drop what is gone."""
        for documents in self._kinds.values():
            for name in [name for name, document in documents.items() if 0 < document.gone_at <= now]:
                del documents[name]

    def dump(self) -> Iterator[bytes]:
        """Everything, in pieces for :meth:`load`; documents may change between two of them."""
        for kind in list(self._kinds):
            names = list(self._kinds[kind])
            for at in range(0, len(names), _STEP):
                known = self._kinds[kind]
                piece = {name: known[name] for name in names[at : at + _STEP] if name in known}
                yield _encoder.encode((kind, piece))

    def load(self, piece: bytes) -> None:
        """Take in a piece of a dump, before any event. Raises ValueError for anything else."""
        kind, documents = _decoder.decode(piece)
        self._kinds.setdefault(kind, {}).update(documents)
