"""What the configuration says of purchases: who may tell of them, and what streams a product consists of."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from relay.errors import ConfigError

StreamName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
ProductName = Annotated[str, Meta(min_length=1, max_length=128)]
EventType = Annotated[str, Meta(min_length=1, max_length=256)]
MAX_SECRETS = 4
MAX_STREAMS = 32
"""Of one product: all of them stand in each purchase of it, and in the pass of every URL of its session."""


class SourceConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A shop that signs its events (Standard Webhooks) with any of the secrets in ``secret_files``.

    ``issuer`` is the token issuer whose accounts it sells to, ``streams`` what it may sell; none: every one. ``types``
    are the types of its CloudEvents whose names do not tell what they mean.
    """

    name: StreamName
    secret_files: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1, max_length=MAX_SECRETS)]
    issuer: Annotated[str, Meta(max_length=512)] = ""
    streams: Annotated[tuple[StreamName, ...], Meta(max_length=1024)] = ()
    types: Annotated[dict[EventType, Literal["purchase", "refund", "cancel"]], Meta(max_length=64)] = field(
        default_factory=dict
    )


class PurchasesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``products`` are groups of streams that are sold as one, by the name that events call them."""

    products: dict[ProductName, Annotated[tuple[StreamName, ...], Meta(min_length=1, max_length=MAX_STREAMS)]] = field(
        default_factory=dict
    )
    sources: Annotated[tuple[SourceConfig, ...], Meta(max_length=64)] = ()


def check_purchases(
    where: str, purchases: PurchasesConfig, streams: Mapping[str, object], issuers: Collection[str]
) -> None:
    """Raises :class:`ConfigError` for names that lead nowhere, or that two sources share."""
    for product, members in purchases.products.items():
        unknown = set(members) - streams.keys()
        if unknown:
            raise ConfigError(f"{where}.products.{product}: no stream {min(unknown)!r}. Add it to 'streams'.")
    if len({source.name for source in purchases.sources}) != len(purchases.sources):
        raise ConfigError(f"{where}.sources: two have the same 'name'. Give each its own.")
    for number, source in enumerate(purchases.sources):
        here = f"{where}.sources[{number}]"
        unknown = set(source.streams) - streams.keys()
        if unknown:
            raise ConfigError(f"{here}.streams: no stream {min(unknown)!r}. Add it to 'streams'.")
        if source.issuer and source.issuer not in issuers:
            raise ConfigError(f"{here}.issuer: no issuer {source.issuer!r}. Add it to 'tokens.issuers'.")
        if not source.issuer and len(issuers) > 1:
            raise ConfigError(f"{here}.issuer: there are several issuers. Say whose accounts it sells to.")
