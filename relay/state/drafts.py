"""Changes that a node is about to make: events that have no number and no place in the order of changes yet."""

from dataclasses import dataclass, fields
from typing import Protocol, TypeVar

from relay.gate.targets import TargetType
from relay.state.events import Action, DocumentPut, Revocation

E_co = TypeVar("E_co", Revocation, DocumentPut, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A :class:`Revocation` without a number and a place in the order of changes."""

    action: Action
    type: TargetType
    value: str
    issuer: str = ""
    viewer: str = ""
    limit: int = 0
    reason: str = ""
    detail: str = ""
    actor: str = ""
    created_at: float
    effective_at: float = 0.0
    expires_at: float
    sources: tuple[str, ...] = ()

    def numbered(self, origin: str, seq: int, order: int) -> Revocation:
        """The revocation that this becomes."""
        return Revocation(origin=origin, seq=seq, order=order, **{name: getattr(self, name) for name in _DRAFTED})


_DRAFTED = tuple(field.name for field in fields(Draft))


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDraft:
    """A :class:`DocumentPut` without a number and a place in the order of changes."""

    kind: str
    name: str
    body: bytes
    actor: str = ""
    created_at: float
    expires_at: float = 0.0

    def numbered(self, origin: str, seq: int, order: int) -> DocumentPut:
        """The event that this becomes."""
        return DocumentPut(
            origin=origin,
            seq=seq,
            order=order,
            kind=self.kind,
            name=self.name,
            body=self.body,
            actor=self.actor,
            created_at=self.created_at,
            expires_at=self.expires_at,
        )


class Drafted(Protocol[E_co]):
    """What becomes an event once it has a number and an order."""

    def numbered(self, origin: str, seq: int, order: int) -> E_co:
        """The event."""
