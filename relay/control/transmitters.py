"""From configuration and secrets to the Shared Signals transmitters whose events are obeyed."""

from dataclasses import dataclass, field

from relay.config import Config
from relay.gate.dialects.keys import KeySet
from relay.published.jwks import PinnedSet
from relay.secrets import Secrets


@dataclass(frozen=True, slots=True)
class Transmitter:
    """Whose events are obeyed. ``account_issuer`` is the token issuer of its users' accounts; empty: any.

    Empty tokens and URL: it may not push, it is not polled.
    """

    iss: str
    audience: str
    keys: KeySet
    account_issuer: str = ""
    push_token: str = field(default="", repr=False)
    poll_url: str = ""
    poll_token: str = field(default="", repr=False)
    poll_every_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Obeyed:
    """The transmitters, and the key sets of theirs that are to be refreshed while the relay runs."""

    transmitters: tuple[Transmitter, ...]
    pinned: tuple[PinnedSet, ...]


def obeyed(config: Config, secrets: Secrets) -> Obeyed:
    """The transmitters of a configuration."""
    transmitters, pinned = [], []
    for written in config.transmitters:
        own = secrets.transmitters[written.iss]
        keys = KeySet(own.keys)
        if written.jwks:
            times = written.jwks.refresh.seconds, written.jwks.keep.seconds
            pinned.append(PinnedSet(keys, written.jwks.url, own.keys, refresh_s=times[0], keep_s=times[1]))
        transmitters.append(
            Transmitter(
                iss=written.iss,
                audience=written.audience,
                keys=keys,
                account_issuer=written.account_issuer,
                push_token=own.push_token,
                poll_url=written.poll_url,
                poll_token=own.poll_token,
                poll_every_s=written.poll_every.seconds,
            )
        )
    return Obeyed(tuple(transmitters), tuple(pinned))
