"""Webhooks as configured: who is told of what. Pure."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from relay.errors import ConfigError
from relay.webhooks.addresses import is_loopback, is_public

MAX_WEBHOOKS = 16
"""Standard Webhooks, "signature scheme"."""


class EventType(StrEnum):
    """What webhooks are told of. Values are public and never reused."""

    REVOCATION_CREATED = "com.segmentgate.revocation.created"
    REVOCATION_RESTORED = "com.segmentgate.revocation.restored"
    SESSION_ENDED = "com.segmentgate.session.ended"
    """A session alone was ended: by a stream limit, or over the API."""
    PURCHASE_RECORDED = "com.segmentgate.purchase.recorded"
    """Something that a shop told of was taken in: a purchase, or what became of one."""
    PURCHASE_RETURNED = "com.segmentgate.purchase.returned"
    POLICY_CHANGED = "com.segmentgate.policy.changed"
    ROTATION_CHANGED = "com.segmentgate.rotation.changed"
    ROTATION_EMERGENCY = "com.segmentgate.rotation.emergency"
    LICENCE_DENIED = "com.segmentgate.licence.denied"
    """A revoked viewer asked for a licence. At most once in ten minutes for a session, and not kept over a restart."""


TEST = "com.segmentgate.webhook.test"
"""What a webhook is sent to try it."""


class WebhookConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One receiver of events.

    ``events`` are the types that it is sent, all of them where none is listed. With ``streams`` it hears nothing of
    other streams, but still what concerns none in particular. ``private`` lets its name lead into private networks.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
    url: Annotated[str, Meta(pattern=r"^https?://[^\s#@]+\Z", max_length=1024)]
    secret_files: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=512)], ...], Meta(min_length=1, max_length=4)
    ]
    events: Annotated[tuple[EventType, ...], Meta(max_length=64)] = ()
    streams: Annotated[tuple[str, ...], Meta(max_length=1024)] = ()
    private: bool = False


def check_webhooks(where: str, webhooks: Sequence[WebhookConfig], streams: Collection[str]) -> None:
    """Raises :class:`ConfigError` for names given twice, streams that are not there, and URLs not to be called."""
    if len({hook.name for hook in webhooks}) != len(webhooks):
        raise ConfigError(f"{where}: two have the same 'name'. Give each its own.")
    for number, hook in enumerate(webhooks):
        unknown = set(hook.streams) - set(streams)
        if unknown:
            raise ConfigError(f"{where}[{number}].streams: no stream {min(unknown)!r}. Add it to 'streams'.")
        _check_url(f"{where}[{number}].url", hook)


def _check_url(where: str, hook: WebhookConfig) -> None:
    try:
        parts = urlsplit(hook.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ConfigError(f"{where}: has no host, or no port that could be. Correct it.")
    try:
        address = ip_address(host)
    except ValueError:
        if parts.scheme == "http" and host != "localhost":
            raise ConfigError(f"{where}: plain http is for this machine alone. Use https.") from None
        return
    if parts.scheme == "http" and not is_loopback(address):
        raise ConfigError(f"{where}: plain http is for this machine alone. Use https.")
    if parts.scheme == "https" and not hook.private and not is_public(address):
        raise ConfigError(f"{where}: a private address. Set 'private' if it is meant.")
