"""Requests of every DRM system in the wrappings that players send, and what is none."""

import json
from base64 import b64encode, urlsafe_b64encode
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRequestError
from keys.licences.detect import (
    FORM_TYPE,
    JSON_TYPE,
    MAX_BODY_BYTES,
    Detected,
    DrmSystem,
    Shape,
    Wrapping,
    detect,
    wrap,
)
from tests.keys.licences.fairplay_device import VECTORS

SPC = bytes.fromhex(VECTORS["lease"]["spc"])
SOAP = (
    b'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    b'<soap:Body><AcquireLicense xmlns="http://schemas.microsoft.com/DRM/2007/03/protocols"/></soap:Body>'
    b"</soap:Envelope>"
)
CLEARKEY = b'{"kids":["ABEiM0RVZneImaq7zN3u_w"],"type":"temporary"}'
CHALLENGES = {
    # Bytes that base64 spells with both signs that its alphabets differ in.
    DrmSystem.WIDEVINE: b"\x08\x01\x12\x03\xfb\xef\xff\xfe",
    DrmSystem.PLAYREADY: SOAP,
    DrmSystem.FAIRPLAY: SPC,
    DrmSystem.CLEARKEY: CLEARKEY,
}
LICENCE = b"\xfb\xef\xff licence"
LICENCE_B64 = b64encode(LICENCE)

every_system = pytest.mark.parametrize(("system", "challenge"), CHALLENGES.items(), ids=CHALLENGES)


@pytest.mark.parametrize(
    ("body", "system"),
    [
        (b"\x08\x04", DrmSystem.WIDEVINE),
        (CHALLENGES[DrmSystem.WIDEVINE], DrmSystem.WIDEVINE),
        (SOAP, DrmSystem.PLAYREADY),
        (b"\r\n" + SOAP, DrmSystem.PLAYREADY),
        (SPC, DrmSystem.FAIRPLAY),
        (b"\0\0\0\x02" + SPC[4:], DrmSystem.FAIRPLAY),
        (b"\0\0\0\x03" + SPC[4:], DrmSystem.FAIRPLAY),
        (SPC[:177], DrmSystem.FAIRPLAY),
        (CLEARKEY, DrmSystem.CLEARKEY),
    ],
)
@pytest.mark.parametrize("content_type", ["", "application/octet-stream", FORM_TYPE, JSON_TYPE, "text/xml", "\0;;"])
def test_unwrapped_challenges_are_told_by_their_bytes(body: bytes, system: DrmSystem, content_type: str) -> None:
    assert detect(body, content_type) == (system, body, Wrapping(system))


def test_a_byte_order_mark_is_nothing() -> None:
    for body in (SOAP, CLEARKEY, b'{"spc":"%s"}' % b64encode(SPC)):
        assert detect(b"\xef\xbb\xbf" + body) == detect(body)
    assert detect(b64encode(b"\xef\xbb\xbf" + SOAP)).challenge == SOAP


@every_system
@pytest.mark.parametrize("content_type", ["", "text/plain", FORM_TYPE])
def test_base64(system: DrmSystem, challenge: bytes, content_type: str) -> None:
    expected = Detected(system, challenge, Wrapping(system, Shape.BASE64))
    standard = b64encode(challenge)
    lines = b"\r\n".join(standard[at : at + 76] for at in range(0, len(standard), 76)) + b"\n"
    for body in (standard, urlsafe_b64encode(challenge), standard.rstrip(b"="), lines):
        assert detect(body, content_type) == expected


@every_system
@pytest.mark.parametrize("name", ["spc", "challenge", "payload"])
def test_forms(system: DrmSystem, challenge: bytes, name: str) -> None:
    expected = Detected(system, challenge, Wrapping(system, Shape.FORM))
    standard = b64encode(challenge).decode()
    bodies = [
        f"{name}={standard}",
        f"{name}={quote(standard, safe='')}",
        f"{name}={standard}&assetId=film%2017",
        f"{name}={standard.replace('+', ' ')}",
        quote(f"{name}={standard}", safe=""),
        quote(f"{name}={standard}&assetId=film", safe=""),
    ]
    for body in bodies:
        for content_type in ("", "text/plain", FORM_TYPE, f"{FORM_TYPE.upper()}; charset=UTF-8"):
            assert detect(body.encode(), content_type) == expected
    assert detect(f"assetId=film&{name}={standard}".encode(), FORM_TYPE) == expected


@every_system
@pytest.mark.parametrize(("name", "member"), [("spc", "ckc"), ("challenge", "license"), ("payload", "license")])
def test_json(system: DrmSystem, challenge: bytes, name: str, member: str) -> None:
    wrapping = Wrapping(system, Shape.JSON, member)
    for text in (b64encode(challenge), urlsafe_b64encode(challenge).rstrip(b"=")):
        body = json.dumps({"assetId": "film", name: text.decode(), "more": [{"deep": None}]}).encode()
        for content_type in ("", JSON_TYPE, "text/plain", FORM_TYPE):
            assert detect(b" " + body + b"\n", content_type) == Detected(system, challenge, wrapping)


def streaming_keys(*spcs: bytes, **members: Any) -> bytes:
    keys = [{"uri": "skd://film", "spc": b64encode(spc).decode()} | members for spc in spcs]
    return json.dumps({"fairplay-streaming-request": {"version": 1, "streaming-keys": keys}}).encode()


@pytest.mark.parametrize(("members", "request_id"), [({"id": 7}, 7), ({"id": "seven"}, "seven"), ({}, 1)])
def test_streaming_keys(members: dict[str, Any], request_id: int | str) -> None:
    found = detect(streaming_keys(SPC, **members), JSON_TYPE)
    wrapping = Wrapping(DrmSystem.FAIRPLAY, Shape.STREAMING_KEYS, request_id=request_id)
    assert found == (DrmSystem.FAIRPLAY, SPC, wrapping)
    body, content_type = wrap(found.wrapping, LICENCE)
    key = {"id": request_id, "status": 0, "ckc": LICENCE_B64.decode()}
    assert json.loads(body) == {"fairplay-streaming-response": {"version": 1, "streaming-keys": [key]}}
    assert content_type == JSON_TYPE


def key_message(*challenges: bytes) -> str:
    elements = "".join(
        f'<Challenge encoding="base64encoded">\n{b64encode(challenge).decode()}\n</Challenge>'
        for challenge in challenges
    )
    return f'<PlayReadyKeyMessage type="LicenseAcquisition">{elements}</PlayReadyKeyMessage>'


def test_playready_key_messages_are_unwrapped() -> None:
    expected = Detected(DrmSystem.PLAYREADY, SOAP, Wrapping(DrmSystem.PLAYREADY))
    assert detect(key_message(SOAP).encode("utf-16-le")) == expected
    assert detect(b"\xff\xfe" + key_message(SOAP).encode("utf-16-le")) == expected


@pytest.mark.parametrize(
    ("system", "content_type"),
    [
        (DrmSystem.CLEARKEY, "application/json"),
        (DrmSystem.WIDEVINE, "application/octet-stream"),
        (DrmSystem.PLAYREADY, "text/xml; charset=utf-8"),
        (DrmSystem.FAIRPLAY, "application/octet-stream"),
    ],
)
def test_licences_are_wrapped_as_their_requests_were(system: DrmSystem, content_type: str) -> None:
    text_type = "text/plain; charset=utf-8"
    assert wrap(Wrapping(system), LICENCE) == (LICENCE, content_type)
    assert wrap(Wrapping(system, Shape.BASE64), LICENCE) == (LICENCE_B64, text_type)
    assert wrap(Wrapping(system, Shape.FORM), LICENCE) == (LICENCE_B64, text_type)
    assert wrap(Wrapping(system, Shape.JSON, "ckc"), LICENCE) == (b'{"ckc":"%s"}' % LICENCE_B64, JSON_TYPE)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no challenge of a known DRM system"),
        (bytes(MAX_BODY_BYTES + 1), f"more than {MAX_BODY_BYTES}"),
        (b"\x08", "neither a challenge nor base64"),
        (b"\x08\x02\x12", "neither a challenge nor base64"),
        (SPC[:176], "neither a challenge nor base64"),
        (b"\0\0\0\x04" + SPC[4:], "neither a challenge nor base64"),
        (b"<html></html>", "neither a challenge nor base64"),
        (b64encode(b"hello"), "no challenge of a known DRM system"),
        (b64encode(b64encode(SPC)), "no challenge of a known DRM system"),
        (b"spc=", "form field holds no challenge|body"),
        (b"spc=%", "neither a challenge nor base64"),
        (b"spc=" + b64encode(SPC) + b"&payload=" + b64encode(SPC), "2 challenges in a form"),
        (b"{", "not JSON"),
        (b'{"spc":"\xff"}', "not JSON"),
        (b'{"spc":"\\ud800"}', "not JSON|neither"),
        (b'{"a":' + b"[" * 100_000, "not JSON"),
        (b"{}", "must have one challenge"),
        (b'{"spc":"AA","challenge":"AA"}', "must have one challenge"),
        (b'{"spc":"AA","kids":[]}', "must have one challenge"),
        (b'{"spc":null}', "must have one challenge"),
        (b'{"spc":7}', r"Expected `str \| null`, got `int` - at `\$.spc`"),
        (b'{"spc":"*"}', "spc is neither a challenge nor base64"),
        (b'{"payload":"AAAA"}', "payload holds no challenge"),
        (b'{"fairplay-streaming-request":{}}', "streaming-keys"),
        (streaming_keys(), "0 streaming keys"),
        (streaming_keys(SPC, SPC), "2 streaming keys"),
        (key_message().encode("utf-16"), "0 challenges"),
        (key_message(SOAP, SOAP).encode("utf-16"), "2 challenges"),
        (key_message(b"hello").encode("utf-16"), "neither a challenge nor base64"),
        (b"\xff\xfe\x00\xd8", "not UTF-16"),
        (b"<\x00/", "not UTF-16"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(LicenceRequestError, match=message):
        detect(body)


@pytest.mark.parametrize("body", [b"<Challenge " * 30_000, b"<Challenge>" * 30_000, b"spc=" * 90_000, b"&" * 390_000])
def test_hostile_bodies_cost_no_more_than_their_length(body: bytes) -> None:
    for text in (body, body[:190_000].decode().encode("utf-16")):
        with pytest.raises(LicenceRequestError):
            detect(text, FORM_TYPE)


_starts = st.sampled_from([b"", b"spc=", b"payload%3D", b"{", b'{"spc":"', b'{"kids":', b"\xff\xfe", b"<\x00", b"<"])


def test_a_found_challenge_is_not_printed() -> None:
    shown = repr(detect(CLEARKEY))
    assert shown.startswith("Detected(clearkey, 54 bytes, Wrapping(")
    assert "ABEi" not in shown


@given(_starts, st.binary(max_size=300) | st.text(max_size=100).map(str.encode), st.sampled_from(["", FORM_TYPE]))
def test_random_bytes_raise_nothing_else(start: bytes, rest: bytes, content_type: str) -> None:
    with suppress(LicenceRequestError):
        assert wrap(detect(start + rest, content_type).wrapping, LICENCE)


@given(st.dictionaries(st.sampled_from(["spc", "kids", "payload", "fairplay-streaming-request"]), st.from_type(object)))
def test_random_members_raise_nothing_else(members: dict[str, Any]) -> None:
    text = json.dumps(members, default=lambda _: {"streaming-keys": [{"spc": "AA", "id": 2**70}]})
    with suppress(LicenceRequestError):
        detect(text.encode())
