"""CPIX documents: read, written, hostile."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from keys.errors import ExchangeError
from keys.exchange import markup, reader, writer
from keys.exchange.model import (
    AudioFilter,
    BitrateFilter,
    Document,
    DrmSystem,
    EncryptedKey,
    KeyEntry,
    KeyPeriod,
    Playlist,
    Recipient,
    UsageRule,
    Version,
    VideoFilter,
)
from keys.model import Scheme
from tests.keys.exchange.material import AUDIO, CERTIFICATE, DOCUMENT, REQUEST, VIDEO

KID = UUID(VIDEO).bytes


def whole(version: Version) -> Document:
    """A document with everything in it."""
    return Document(
        content_id="title",
        version=version,
        name="A & B",
        recipients=(Recipient(CERTIFICATE, b"d" * 256, b"m" * 256), Recipient(b"other")),
        keys=(
            KeyEntry(KID, Scheme.CBCS, key=bytes(16), explicit_iv=bytes(16), content_id="part"),
            KeyEntry(bytes(16), Scheme.CENC, encrypted=EncryptedKey(bytes(32), bytes(64)), depends_on=KID),
            KeyEntry(bytes([1] * 16)),
        ),
        systems=(
            DrmSystem(
                UUID(int=1), KID, b"pssh", b"<x/>", b"pro", ((Playlist.MEDIA, b"a"), (Playlist.MULTIVARIANT, b""))
            ),
            DrmSystem(UUID(int=2), KID),
        ),
        periods=(
            KeyPeriod("p1", index=7),
            KeyPeriod("p2", label="ad", start=1_700_000_000_123, end=1_700_000_060_000),
            KeyPeriod("p3", start=0, end=90_061_001, offset=True),
        ),
        rules=(
            UsageRule(
                KID,
                "SD+HD1",
                ("p1", "p2"),
                ("label",),
                (VideoFilter(1, 2, True, False, 24, 60), VideoFilter()),
                (AudioFilter(1, 2),),
                (BitrateFilter(max_bitrate=9),),
            ),
            UsageRule(bytes(16)),
        ),
    )


@pytest.mark.parametrize("version", Version)
def test_what_is_written_is_read(version: Version) -> None:
    document = whole(version)
    assert reader.parse(writer.write(document)) == document


def test_elements_stand_in_the_order_of_the_schema() -> None:
    root = etree.fromstring(writer.write(whole(Version.V2_4)))
    assert [etree.QName(child).localname for child in root] == [
        "DeliveryDataList",
        "ContentKeyList",
        "DRMSystemList",
        "ContentKeyPeriodList",
        "ContentKeyUsageRuleList",
    ]
    (delivery, _) = markup.below(root, "cpix:DeliveryDataList/cpix:DeliveryData")
    assert [etree.QName(child).localname for child in delivery] == ["DeliveryKey", "DocumentKey", "MACMethod"]


@pytest.mark.parametrize(("version", "name"), [(Version.V2_3, b"master"), (Version.V2_4, b"multiVariant")])
def test_the_multivariant_playlist_is_called_as_the_version_calls_it(version: Version, name: bytes) -> None:
    assert b'playlist="%b"' % name in writer.write(whole(version))


def test_the_recorded_document_is_read() -> None:
    document = reader.parse(DOCUMENT)
    assert (document.content_id, document.version) == ("vector", Version.V2_3)
    assert [str(UUID(bytes=entry.kid)) for entry in document.keys] == [VIDEO, AUDIO]
    assert [(entry.scheme, entry.key, entry.explicit_iv) for entry in document.keys] == [
        (Scheme.CBCS, None, bytes(16))
    ] * 2
    assert document.systems == (DrmSystem(UUID("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"), KID, pssh=b""),)
    assert document.periods == (KeyPeriod("p7", 7),)
    assert [(rule.track, rule.periods) for rule in document.rules] == [("VIDEO", ("p7",)), ("AUDIO", ("p7",))]
    assert reader.parse(writer.write(document)) == document


def test_a_key_period_may_have_a_duration() -> None:
    text = REQUEST.replace('index="7"', 'start="2026-01-01T00:00:00Z" duration="PT1M30.5S"')
    (period,) = reader.parse(text.encode()).periods
    assert (period.start, period.end) == (1_767_225_600_000, 1_767_225_690_500)


def test_secrets_do_not_print() -> None:
    assert "q83v" not in repr(KeyEntry(KID, key=b"q83v" * 4))


BILLION = "<!DOCTYPE a [" + "".join(f"<!ENTITY e{n + 1} '{f'&e{n};' * 10}'>" for n in range(9)) + "]>"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "well-formed"),
        (b"<a>", "well-formed"),
        (b"<a/>", "not cpix:CPIX"),
        (b"\xff\xfe<\x00a\x00/\x00>\x00", "not UTF-8"),
        (f"{BILLION}<a>&e9;</a>".encode(), "DTD"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DTD"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1/">]><a>&x;</a>', "DTD"),
        (b"<a>&undeclared;</a>", "well-formed"),
        (b"<a>" * 17 + b"</a>" * 17, "deeper"),
        (b"<a>" + b"<b/>" * 20_001 + b"</a>", "elements"),
        (b"<a>" + b" " * markup.MAX_BYTES + b"</a>", "bytes"),
        (b"<?xml version='1.0' encoding='UTF-16'?><a/>", "not cpix:CPIX"),
    ],
)
def test_hostile_documents_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(ExchangeError, match=why):
        reader.parse(data)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (f'ContentKey kid="{VIDEO}"', 'ContentKey kid="x"', "ContentKey@kid: not a UUID"),
        (f'ContentKey kid="{VIDEO}"', f'ContentKey kid="{VIDEO.replace("-", "")}"', "ContentKey@kid: not a UUID"),
        (f'ContentKey kid="{VIDEO}"', "ContentKey", "Missing ContentKey@kid"),
        ('"cbcs"', '"cens"', "only cenc and cbcs"),
        ('"cbcs"', '"cbcs" explicitIV="?"', "explicitIV: not base64"),
        ('version="2.3"', 'version="2.5"', "Unsupported CPIX@version"),
        ('playlist="master"', 'playlist="main"', "HLSSignalingData@playlist"),
        ('index="7"', 'index="7.0"', "@index: not a whole number"),
        ('index="7"', 'index="٧"', "@index: not a whole number"),
        ('index="7"', 'start="yesterday"', "@start: not a date"),
        ('index="7"', 'startOffset="P1Y"', "@startOffset: not a duration"),
        ("<cpix:VideoFilter/>", '<cpix:VideoFilter hdr="maybe"/>', "@hdr"),
        (">QUJD<", ">QUJ<", "PSSH: not base64"),
        (">QUJD<", "><x/><", "PSSH: holds elements"),
        ('contentId="vod"', f'contentId="{"v" * 600}"', "@contentId: more than"),
        ("<cpix:DRMSystemList>", "<cpix:DRMSystemList/><cpix:DRMSystemList>", "DRMSystemList: 2"),
        (
            "<cpix:ContentKeyPeriodList>",
            "<cpix:ContentKeyPeriodList>" + "<cpix:ContentKeyPeriod/>" * 65,
            "more than 64",
        ),
    ],
)
def test_what_makes_no_sense_is_told(old: str, new: str, why: str) -> None:
    assert old in REQUEST
    with pytest.raises(ExchangeError, match=why):
        reader.parse(REQUEST.replace(old, new, 1).encode())


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_mutation_is_read_or_refused(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from([DOCUMENT, REQUEST.encode()]))
    start = data.draw(st.integers(0, len(original)))
    length = data.draw(st.integers(0, 40))
    made = original[:start] + data.draw(st.binary(max_size=20)) + original[start + length :]
    try:
        document = reader.parse(made)
    except ExchangeError:
        return
    if document.version is not None:
        assert reader.parse(writer.write(document)) == document
