"""Fuzz targets of key exchange: documents that ask for keys, documents that bring them, packagers' requests."""

import json
from base64 import b64encode

from keys.errors import ExchangeError
from keys.exchange import packager, provider, reader, speke
from keys.exchange.model import KeyPeriod, Version
from keys.exchange.packager import PackagerError, Signer, Status
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from tests.fuzz.target import Target
from tests.fuzz.tokens import JSON_WORDS
from tests.keys.exchange.material import CERTIFICATE, REQUEST, RING, delivery, derived, entropy, recipient_key

SIGNER = Signer("packager", bytes(32), bytes(16))
RECIPIENT = CERTIFICATE, recipient_key()
_KIDS = {track: bytes([track.rank + 1] * 16) for track in TrackType}
_QUESTION = speke.question("vod", _KIDS, Scheme.CBCS, KeyPeriod("p", 7), Version.V2_4)
_SEALED = speke.question("vod", _KIDS, Scheme.CENC, None, Version.V2_3, CERTIFICATE)
_WINDOW = {"first_crypto_period_index": 7, "crypto_period_count": 10, "crypto_period_seconds": 4}
_ASKED = {"content_id": "YWJj", "tracks": [{"type": "SD"}, {"type": "AUDIO"}], "drm_types": ["WIDEVINE"]}
GOOD_INPUTS = {
    "cpix": {
        "request": REQUEST.encode(),
        "sealed": REQUEST.replace("<cpix:ContentKeyList>", delivery(CERTIFICATE) + "<cpix:ContentKeyList>").encode(),
        "question": _QUESTION,
    },
    "cpix-answer": {"sealed": provider.answer(_SEALED, derived, entropy)},
    "packager": {
        "fixed": json.dumps(_ASKED).encode(),
        "window": json.dumps({**_ASKED, **_WINDOW, "protection_scheme": "CBCS", "policy": ""}).encode(),
    },
}


def run_cpix(data: bytes) -> bool:
    """A document that asks for keys: whatever is answered has a key for each key ID, all of them ours."""
    try:
        document = reader.parse(provider.answer(data, derived, entropy))
    except ExchangeError:
        return False
    assert all(entry.key or entry.encrypted for entry in document.keys)
    assert {rule.kid for rule in document.rules} >= {entry.kid for entry in document.keys}
    return True


def run_answer(data: bytes) -> bool:
    """A document that brings keys encrypted to us: they come out as they went in, or not at all."""
    try:
        found = speke.keys_of(data, "vod", TrackType, RECIPIENT)
    except ExchangeError:
        return False
    keys = {RING.content_key(RING.slot("vod", track, Scheme.CENC, 0)).key for track in TrackType}
    assert {one.key for one in found.values()} <= keys
    return True


def run_packager(data: bytes) -> bool:
    """The inner request of a packager, well signed."""
    sent = {"request": b64encode(data).decode(), "signature": b64encode(SIGNER.sign(data)).decode()}
    try:
        asked = packager.parse(json.dumps({**sent, "signer": SIGNER.name}).encode(), {SIGNER.name: SIGNER}.get)
    except PackagerError as err:
        if err.status in (Status.OK, Status.SIGNATURE_FAILED):
            raise AssertionError(f"a signed request is refused as {err.status}") from None
        return False
    assert packager.answer(asked, _key_of)
    return True


def _key_of(track: TrackType, index: int | None) -> ContentKey:
    return RING.content_key(RING.slot("abc", track, Scheme.CENC, index))


_XML_WORDS = (
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&b;",
    b"&#0;",
    b"<![CDATA[",
    b"<!--",
    b"<?xml version='1.0' encoding='utf-7'?>",
    b"<a>" * 40,
    b"<cpix:ContentKeyList>",
    b"</cpix:ContentKeyList>",
    b"<cpix:PSSH/>",
    b' kid="',
    b"\xff",
    b"UHD1+HD",
    b'start="9999-12-31T23:59:59Z"',
    b'duration="P999999D"',
)
EXCHANGE_TARGETS = [
    Target("cpix", run_cpix, _XML_WORDS),
    Target("cpix-answer", run_answer, _XML_WORDS),
    Target("packager", run_packager, (*JSON_WORDS, b'"CBCS"', b'"UHD1"', b"4294967296")),
]
