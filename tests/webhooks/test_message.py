"""CloudEvents signed as Standard Webhooks does."""

import json
from base64 import b64decode

import pytest

from relay.webhooks.message import CloudEvent, headers_of

# Published: the example of Svix's documentation, and the one that the libraries of Standard Webhooks are tested with.
VECTORS = [
    (
        "plJ3nmyCDGBKInavdOK15jsl",
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    ),
    (
        "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
]


@pytest.mark.parametrize(("secret", "name", "at", "body", "expected"), VECTORS)
def test_signatures_are_those_published(secret: str, name: str, at: int, body: bytes, expected: str) -> None:
    headers = headers_of(name, body, [b64decode(secret)], at + 0.9)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (name, str(at))
    assert headers["webhook-signature"] == expected


def test_every_secret_signs() -> None:
    one, two = bytes(24), bytes(range(24))
    both = headers_of("id", b"{}", [one, two], 1)["webhook-signature"]
    assert both.split(" ") == [headers_of("id", b"{}", [secret], 1)["webhook-signature"] for secret in (one, two)]


def test_an_event_has_what_cloudevents_ask_for() -> None:
    event = CloudEvent.of("com.example.kind", "id-1", "/nodes/a", 1_800_000_000.25, {"a": 1}, "session/s")
    assert json.loads(event.encode()) == {
        "specversion": "1.0",
        "id": "id-1",
        "source": "/nodes/a",
        "type": "com.example.kind",
        "time": "2027-01-15T08:00:00.250Z",
        "datacontenttype": "application/json",
        "subject": "session/s",
        "data": {"a": 1},
    }
