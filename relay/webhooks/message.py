"""What a webhook is sent: a CloudEvents 1.0 document in JSON, signed as Standard Webhooks does. Pure."""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


class CloudEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """CloudEvents 1.0.2, JSON format 1.0.2 §3. ``source`` and ``id`` together name an event for ever."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    data: Any
    subject: str = ""

    @classmethod
    def of(cls, kind: str, name: str, source: str, at: float, data: Any, subject: str = "") -> "CloudEvent":
        """An event that happened ``at`` seconds since the epoch."""
        return cls(
            specversion="1.0",
            id=name,
            source=source,
            type=kind,
            time=datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            datacontenttype="application/json",
            data=data,
            subject=subject,
        )

    def encode(self) -> bytes:
        """The body of a request."""
        return msgspec.json.encode(self)


def headers_of(name: str, body: bytes, secrets: Sequence[bytes], now: float) -> Mapping[str, str]:
    """The headers that go with a body: its name, the time it is sent, and a signature by each secret."""
    at = str(int(now))
    signed = b"%b.%b.%b" % (name.encode(), at.encode(), body)
    signatures = (b64encode(hmac.new(secret, signed, sha256).digest()).decode() for secret in secrets)
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": name,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
