"""SPEKE, both sides: what is filled, what is left alone, what is refused and in which words."""

from base64 import b64decode, b64encode
from uuid import UUID

import pytest
from lxml import etree

from keys.errors import ExchangeError
from keys.exchange import markup, provider, reader, speke
from keys.exchange.encryption import decrypt_as
from keys.exchange.model import KeyPeriod, Playlist, Version
from keys.exchange.provider import Wanted
from keys.exchange.speke import Speke
from keys.model import Scheme, TrackType
from keys.signalling import playready, systems, widevine
from keys.signalling.pssh import Pssh
from tests.keys.exchange.material import (
    AUDIO,
    CERTIFICATE,
    REQUEST,
    RING,
    VIDEO,
    certificate,
    delivery,
    derived,
    entropy,
    recipient_key,
)

HD = RING.content_key(RING.slot("vod", TrackType.HD, Scheme.CBCS, 7000))
SOUND = RING.content_key(RING.slot("vod", TrackType.AUDIO, Scheme.CBCS, 7000))
GIVEN = "<cpix:Data><pskc:Secret><pskc:PlainValue>QUJD</pskc:PlainValue></pskc:Secret></cpix:Data>"
FOUR = {track: bytes([track.rank + 1] * 16) for track in TrackType}


def wanted_in(text: str) -> Wanted:
    """The first key that a request asks for."""
    (_, wanted), *_ = provider._wanted(reader.parse(text.encode()))
    return wanted


def answered(text: str = REQUEST) -> bytes:
    return provider.answer(text.encode(), derived, entropy)


def test_the_encryptors_key_ids_are_replaced_everywhere_and_the_keys_filled_in() -> None:
    raw = answered()
    document = reader.parse(raw)
    assert [(entry.kid, entry.key) for entry in document.keys] == [(HD.kid, HD.key), (SOUND.kid, SOUND.key)]
    assert [entry.explicit_iv for entry in document.keys] == [HD.constant_iv, SOUND.constant_iv]
    assert [system.kid for system in document.systems] == [HD.kid, HD.kid, SOUND.kid]
    assert [rule.kid for rule in document.rules] == [HD.kid, SOUND.kid]
    assert VIDEO.encode() not in raw
    assert AUDIO.encode() not in raw


def test_signalling_is_filled_in_and_what_was_there_is_left_alone() -> None:
    document = reader.parse(answered())
    wide, ready, fair = document.systems
    box = widevine.pssh([HD.kid], Scheme.CBCS)
    assert wide.pssh == box
    assert wide.content_protection is not None
    protection = etree.fromstring(wide.content_protection)
    assert protection.tag == "{urn:mpeg:cenc:2013}pssh"
    assert b64decode(protection.text or "") == box
    assert dict(wide.hls)[Playlist.MEDIA].startswith(b'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="data:text/plain;base64,')
    assert dict(wide.hls)[Playlist.MULTIVARIANT].startswith(b"#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,")
    assert ready.pssh == b"ABC"
    assert ready.smooth == playready.pro([HD.signal()], Scheme.CBCS)
    assert b"urn:microsoft:playready" in (ready.content_protection or b"")
    assert fair.hls == (
        (
            Playlist.MEDIA,
            f'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://{SOUND.kid.hex()}",'
            'KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"'.encode(),
        ),
    )
    assert b'own:note="kept"' in answered()


def test_an_answer_is_encrypted_to_whom_the_request_names() -> None:
    raw = answered(REQUEST.replace("<cpix:ContentKeyList>", delivery(CERTIFICATE) + "<cpix:ContentKeyList>"))
    assert b64encode(HD.key) not in raw
    document = reader.parse(raw)
    assert all(entry.key is None for entry in document.keys)
    opened = decrypt_as(document, CERTIFICATE, recipient_key())
    assert [entry.key for entry in opened.keys] == [HD.key, SOUND.key]


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        ('intendedTrackType="VIDEO"', None),
        ('intendedTrackType="ALL"', None),
        ('intendedTrackType="SD"', TrackType.SD),
        ('intendedTrackType="UHD1+UHD2"', TrackType.UHD),
        ('intendedTrackType="SD+HD1+HD2+UHD1"', TrackType.UHD),
        ('intendedTrackType="hd"', TrackType.HD),
        ('intendedTrackType="STEREO_AUDIO+MULTICHANNEL_AUDIO"', TrackType.AUDIO),
    ],
)
def test_a_key_is_that_of_the_best_track_type_it_covers(track: str, expected: TrackType | None) -> None:
    text = REQUEST.replace('intendedTrackType="SD+HD1"', track)
    wanted = wanted_in(text)
    assert wanted.track is expected
    assert wanted.period == KeyPeriod("p7", 7)
    assert wanted.kid == UUID(VIDEO).bytes


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ('<cpix:VideoFilter maxPixels="400000"/>', TrackType.SD),
        ('<cpix:VideoFilter maxPixels="400000"/><cpix:VideoFilter maxPixels="2000000"/>', TrackType.HD),
        ('<cpix:VideoFilter minPixels="400000" maxPixels="9000000"/>', TrackType.UHD),
        ('<cpix:VideoFilter minPixels="400000"/>', TrackType.UHD),
        ("<cpix:VideoFilter/>", None),
        ("<cpix:AudioFilter/>", TrackType.AUDIO),
    ],
)
def test_filters_tell_the_track_type_where_its_name_does_not(limits: str, expected: TrackType) -> None:
    text = REQUEST.replace("<cpix:VideoFilter/>", limits, 1)
    assert wanted_in(text.replace('intendedTrackType="SD+HD1"', "")).track is expected
    if "Video" in limits:
        assert wanted_in(text.replace("SD+HD1", "VIDEO")).track is expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (' contentId="vod"', "", "Missing CPIX@contentId"),
        (' version="2.3"', "", "Missing CPIX@version"),
        ('version="2.3"', 'version="2.4"', "Unsupported CPIX@version"),
        ('version="2.3"', 'version="1"', "Unsupported CPIX@version"),
        (' commonEncryptionScheme="cbcs"', "", "Non compliant ContentKey@commonEncryptionScheme combination"),
        ('"cbcs"', '"cenc"', "Non compliant ContentKey@commonEncryptionScheme combination"),
        ("SD+HD1", "SD+8K", "Unsupported ContentKeyUsageRule@intendedTrackType 8K"),
        ('intendedTrackType="SD+HD1"', 'intendedTrackType="AUDIO"', "two keys are for the same track type"),
        ('periodId="p7"', 'periodId="p8"', "no such ContentKeyPeriod"),
        (f'Rule kid="{VIDEO}"', f'Rule kid="{AUDIO}"', f"Missing ContentKeyUsageRule for KID {VIDEO}"),
        (f'System kid="{VIDEO}"', f'System kid="{UUID(int=1)}"', "DRMSystem@kid: no ContentKey"),
        ("edef8ba9", "edef8bad", "DRMSystem@systemId: no PSSH for"),
        (f'kid="{AUDIO}" common', f'kid="{VIDEO}" common', "two keys of one KID"),
        (f'kid="{VIDEO}" common', f'kid="{VIDEO}" dependsOnKey="{UUID(int=1)}" common', "@dependsOnKey: no ContentKey"),
        (
            '"cbcs"/>',
            f'"cbcs">{GIVEN}</cpix:ContentKey>',
            "has a key already",
        ),
        ("<cpix:ContentKeyList>", delivery(certificate("1024")) + "<cpix:ContentKeyList>", "RSA of 1024 bits"),
    ],
)
def test_what_is_refused(old: str, new: str, words: str) -> None:
    assert old in REQUEST
    with pytest.raises(ExchangeError, match=words):
        provider.answer(REQUEST.replace(old, new, 1).encode(), derived, entropy, Version.V2_3)


def test_a_key_without_scheme_is_refused_by_its_key_id() -> None:
    text = REQUEST.replace(' commonEncryptionScheme="cbcs"', "")
    with pytest.raises(ExchangeError, match=f"Missing ContentKey@commonEncryptionScheme for KID {VIDEO}"):
        answered(text)


def test_fairplay_is_not_for_cenc() -> None:
    with pytest.raises(ExchangeError, match="FairPlay knows cbcs only"):
        answered(REQUEST.replace("cbcs", "cenc"))


def test_several_periods_need_a_filter() -> None:
    text = REQUEST.replace('index="7"/>', 'index="7"/><cpix:ContentKeyPeriod id="p8" index="8"/>')
    assert reader.parse(answered(text)).keys[0].key == HD.key
    with pytest.raises(ExchangeError, match="several key periods"):
        answered(text.replace('<cpix:KeyPeriodFilter periodId="p7"/>', ""))


@pytest.mark.parametrize("version", [None, "", "1.0", "2.2", "3"])
def test_versions_of_speke(version: str | None) -> None:
    assert (Speke.parse("2.0").cpix, Speke.parse("2.1").cpix) == (Version.V2_3, Version.V2_4)
    with pytest.raises(ExchangeError, match="Unsupported SPEKE version"):
        Speke.parse(version)


@pytest.mark.parametrize("period", [None, KeyPeriod("a", 7), KeyPeriod("a", 7, start=7000, end=8000)])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("version", Version)
def test_a_question_and_its_answer(period: KeyPeriod | None, encrypted: bool, version: Version) -> None:
    asked = speke.question("vod", FOUR, Scheme.CENC, period, version, CERTIFICATE if encrypted else None)
    recipient = (CERTIFICATE, recipient_key()) if encrypted else None
    answer = provider.answer(asked, derived, entropy, version)
    found = speke.keys_of(answer, "vod", TrackType, recipient)
    for track in TrackType:
        expected = RING.content_key(RING.slot("vod", track, Scheme.CENC, 7000 if period else 0))
        assert (found[track].kid, found[track].key) == (expected.kid, expected.key)
        assert expected.key.hex() not in repr(found[track])
    (box, *_) = reader.parse(answer).systems
    assert Pssh.decode(box.pssh or b"").system == systems.WIDEVINE


def answer_with(old: bytes = b"", new: bytes = b"") -> bytes:
    asked = speke.question("vod", FOUR, Scheme.CENC, None, Version.V2_3)
    answer = provider.answer(asked, derived, entropy)
    assert old in answer
    return answer.replace(old, new) if old else answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answer_with(b'contentId="vod"', b'contentId="other"'), "other content"),
        (answer_with(b'"UHD"', b'"8K"'), "no key for UHD"),
        (speke.question("vod", FOUR, Scheme.CENC, None, Version.V2_3), "no key for AUDIO"),
        (b"<html/>", "not cpix:CPIX"),
    ],
)
def test_a_bad_answer_gives_no_keys(answer: bytes, why: str) -> None:
    with pytest.raises(ExchangeError, match=why):
        speke.keys_of(answer, "vod", TrackType)


def test_a_short_key_is_no_key() -> None:
    key = RING.content_key(RING.slot("vod", TrackType.SD, Scheme.CENC, 0)).key
    with pytest.raises(ExchangeError, match="15 bytes for SD"):
        speke.keys_of(answer_with(b64encode(key), b64encode(key[:15])), "vod", TrackType)


def test_keys_in_the_clear_are_refused_where_encrypted_ones_were_asked_for() -> None:
    with pytest.raises(ExchangeError, match="not encrypted"):
        speke.keys_of(answer_with(), "vod", TrackType, (CERTIFICATE, recipient_key()))


def test_an_answer_is_within_the_limits_of_documents() -> None:
    asked = speke.question(
        "vod", FOUR, Scheme.CBCS, None, Version.V2_4, CERTIFICATE, [systems.WIDEVINE, systems.PLAYREADY, systems.COMMON]
    )
    assert len(provider.answer(asked, derived, entropy)) < markup.MAX_BYTES / 10
