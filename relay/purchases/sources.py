"""From configuration and secrets to the shops whose signed events are believed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.purchases.settings import PurchasesConfig
from relay.purchases.signatures import signer_of


@dataclass(frozen=True, slots=True)
class Source:
    """One shop; its fields are as :class:`relay.purchases.settings.SourceConfig` has them."""

    name: str
    secrets: tuple[bytes, ...] = field(repr=False)
    issuer: str
    streams: frozenset[str]
    types: Mapping[str, str]


class Sources:
    """The shops in force."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._sources = tuple(sources)

    @classmethod
    def of(cls, purchases: PurchasesConfig, secrets: Mapping[str, Sequence[bytes]]) -> "Sources":
        """Those of a configuration; ``secrets`` by their names."""
        return cls(
            Source(one.name, tuple(secrets[one.name]), one.issuer, frozenset(one.streams), one.types)
            for one in purchases.sources
        )

    def signer(self, headers: Mapping[str, str], body: bytes, now: float) -> Source:
        """The shop that has signed a message. Raises :class:`SignatureError` where none has."""
        return signer_of(self._sources, headers, body, now)
