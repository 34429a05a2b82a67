"""The dialects by the names that configurations use: what options and keys each takes, and how to make one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from relay.gate.dialects.akamai import AkamaiDialect, AkamaiOptions
from relay.gate.dialects.base import Dialect
from relay.gate.dialects.cat import CatDialect, CatOptions
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.fastly import FastlyDialect, FastlyOptions
from relay.gate.dialects.jwt import JwtDialect
from relay.gate.dialects.keys import MIN_SECRET_BYTES, SYMMETRIC, KeySet
from relay.gate.dialects.media_cdn import MediaCdnDialect, MediaCdnOptions
from relay.gate.dialects.secure_link import SecureLinkDialect, SecureLinkOptions
from relay.gate.dialects.secure_media import SecureMediaDialect
from relay.gate.dialects.uri_signing import UriSigningDialect, UriSigningOptions

MIN_LINK_SECRET_BYTES = 16
"""Of secrets that sign links: what their issuers have in the field."""
_PUBLIC = ("ES256", "EdDSA", "PS256")


@dataclass(frozen=True, slots=True)
class JwtOptions:
    """``plain``: tokens of type ``JWT`` are taken, too."""

    plain: bool = False


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Of dialects without any."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One dialect.

    ``cacheable``: what a token proves depends on it and the time alone. ``secrets`` are those of its options that are
    secret, and so are read from files, whether they are text. ``published``: its keys may come from a JWK set.
    """

    make: Callable[[Terms, KeySet, Any], Dialect]
    options: type[Any] = NoOptions
    algorithms: tuple[str, ...] = (SYMMETRIC,)
    min_secret_bytes: int = MIN_LINK_SECRET_BYTES
    secrets: Mapping[str, bool] = field(default_factory=dict)
    cacheable: bool = False

    @property
    def published(self) -> bool:
        """Whether its keys may be public ones."""
        return self.algorithms != (SYMMETRIC,)


DIALECTS: Mapping[str, Kind] = {
    "jwt": Kind(
        lambda terms, keys, options: JwtDialect(terms, keys, options.plain),
        JwtOptions,
        (SYMMETRIC, *_PUBLIC),
        MIN_SECRET_BYTES,
        cacheable=True,
    ),
    "cat": Kind(CatDialect, CatOptions, (SYMMETRIC, *_PUBLIC), MIN_SECRET_BYTES, cacheable=True),
    "akamai": Kind(AkamaiDialect, AkamaiOptions, secrets={"salt": True}),
    "uri-signing": Kind(
        UriSigningDialect,
        UriSigningOptions,
        (SYMMETRIC, *_PUBLIC),
        MIN_SECRET_BYTES,
        secrets={"encryption_key": False},
    ),
    "media-cdn": Kind(MediaCdnDialect, MediaCdnOptions, (SYMMETRIC, "EdDSA")),
    "secure-media": Kind(lambda terms, keys, _: SecureMediaDialect(terms, keys), min_secret_bytes=MIN_SECRET_BYTES),
    "secure-link": Kind(SecureLinkDialect, SecureLinkOptions),
    "fastly": Kind(FastlyDialect, FastlyOptions),
}


def options_of(dialect: str, given: Mapping[str, object]) -> object:
    """The options of a dialect from plain values. Raises ValueError that names what is wrong."""
    kind = DIALECTS[dialect]
    known = [option.name for option in fields(kind.options)]
    for name in given:
        if name not in known:
            raise ValueError(f"{name}: no such option; {dialect} knows {', '.join(known) or 'none'}")
    try:
        return msgspec.convert(given, kind.options)
    except msgspec.ValidationError as err:
        what, _, where = str(err).partition(" - at `$.")
        raise ValueError(f"{where.rstrip('`')}: {what}" if where else what) from None
