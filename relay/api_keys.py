"""API keys: random texts of which only a digest is kept, each with a name and a role. Pure.

A plain digest suffices, without salt or stretching: the texts are random and long, so none can be guessed.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated

from msgspec import Meta, Struct

from relay.errors import ConfigError
from relay.roles import Role

MIN_KEY_BYTES = 32
MAX_KEYS = 256


class ApiKeyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One key of ``control.keys``. ``sha256`` is the hex digest of its text, as ``segmentgate keys api`` prints it."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
    role: Role
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


def check_api_keys(where: str, keys: Sequence[ApiKeyConfig]) -> None:
    """Raises :class:`ConfigError` where two keys could not be told apart."""
    for what, values in (("name", [key.name for key in keys]), ("sha256", [key.sha256 for key in keys])):
        if len(set(values)) != len(values):
            raise ConfigError(f"{where}: two have the same {what!r}. Give each its own.")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the relay knows it. The one of ``control.api_key_file`` has an empty name."""

    name: str
    role: Role
    digest: bytes = field(repr=False)


class ApiKeys:
    """The keys in force."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def of(cls, admin: bytes, named: Iterable[ApiKeyConfig]) -> "ApiKeys":
        """The key of the file, which may do everything, and those of the configuration."""
        others = (ApiKey(key.name, key.role, bytes.fromhex(key.sha256)) for key in named)
        return cls([ApiKey("", Role.ADMIN, digest_of(admin)), *others])

    def find(self, text: bytes) -> ApiKey | None:
        """The key that a caller presents, or None for one that is not known."""
        digest, found = digest_of(text), None
        # All are compared, so that the time tells neither whether one was found nor which.
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found


def digest_of(text: bytes) -> bytes:
    """What is kept of a key."""
    return sha256(text).digest()
