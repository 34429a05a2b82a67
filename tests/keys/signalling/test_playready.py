"""PlayReady signalling, byte for byte what an independent packager writes, and canonical beyond that."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SignallingError
from keys.model import KeySignal, Scheme
from keys.signalling import playready
from keys.signalling.pssh import Pssh
from keys.signalling.systems import PLAYREADY
from tests.keys.signalling.vectors import (
    AUDIO,
    MP4_SCHEMES,
    VIDEO,
    box_of,
    init_boxes,
    mpd_boxes,
    mpd_objects,
    playlist_data,
)

NAMESPACE = "{http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader}"
LA_URL = "https://licence.example/drm?a=1&b=%3C<x>'\""


def header(found: bytes) -> str:
    """The WRMHEADER of an object whose lengths and record are as they must be."""
    assert int.from_bytes(found[:4], "little") == len(found)
    assert found[4:8] == bytes([1, 0, 1, 0])
    assert int.from_bytes(found[8:10], "little") == len(found) - 10
    return found[10:].decode("utf-16-le")


@pytest.mark.parametrize("scheme", MP4_SCHEMES)
def test_object_and_box_are_the_packagers(scheme: Scheme) -> None:
    assert [playready.pro([signal], scheme) for signal in (VIDEO, AUDIO)] == mpd_objects(scheme)
    assert playready.pro([VIDEO], scheme) == playlist_data(scheme, "com.microsoft.playready")
    assert playready.pssh([VIDEO], scheme) == box_of(mpd_boxes(scheme), PLAYREADY)
    assert playready.pssh([VIDEO], scheme) == box_of(init_boxes(scheme), PLAYREADY)


def test_several_cenc_keys_keep_their_checksums() -> None:
    root = ElementTree.fromstring(header(playready.pro([VIDEO, AUDIO], Scheme.CENC)))
    assert root.get("version") == "4.3.0.0"
    kids = root.findall(f"{NAMESPACE}DATA/{NAMESPACE}PROTECTINFO/{NAMESPACE}KIDS/{NAMESPACE}KID")
    assert [kid.attrib for kid in kids] == [
        {"ALGID": "AESCTR", "CHECKSUM": "LOpLiYZ3kfc=", "VALUE": "HjpcbUsPLUyOnxAhMkNUag=="},
        {"ALGID": "AESCTR", "CHECKSUM": "JjoNOEWdOOA=", "VALUE": "1MOyofblGAcpOktcbX6PkA=="},
    ]


def test_cbcs_keys_have_no_checksum() -> None:
    assert "CHECKSUM" not in header(playready.pro([VIDEO, AUDIO], Scheme.CBCS))


@pytest.mark.parametrize("scheme", MP4_SCHEMES)
@pytest.mark.parametrize("signals", [[VIDEO], [VIDEO, AUDIO]], ids=["one", "two"])
def test_the_header_is_canonical_xml_and_names_the_licence_url_last(scheme: Scheme, signals: list[KeySignal]) -> None:
    text = header(playready.pro(signals, scheme, LA_URL))
    assert ElementTree.canonicalize(text) == text
    data = ElementTree.fromstring(text)[0]
    assert data[-1].tag == f"{NAMESPACE}LA_URL"
    assert data[-1].text == LA_URL


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_no_licence_url_breaks_out_of_its_element(url: str) -> None:
    data = ElementTree.fromstring(header(playready.pro([VIDEO], Scheme.CBCS, url)))[0]
    assert [child.tag.removeprefix(NAMESPACE) for child in data] == ["PROTECTINFO", "LA_URL"]
    assert data[1].text == url


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=5), st.sampled_from(MP4_SCHEMES))
def test_the_box_holds_the_object(kids: list[bytes], scheme: Scheme) -> None:
    signals = [KeySignal(kid, kid[:8]) for kid in kids]
    assert Pssh.decode(playready.pssh(signals, scheme)) == Pssh(PLAYREADY, playready.pro(signals, scheme))


@pytest.mark.parametrize("url", ["", "https://a/ b", "https://a/\n", "https://é/", "https://a/\ud800", "\0"])
def test_a_licence_url_must_be_a_url(url: str) -> None:
    with pytest.raises(SignallingError, match="la_url is no URL"):
        playready.pro([VIDEO], Scheme.CENC, url)


@pytest.mark.parametrize(
    ("signals", "scheme", "la_url", "message"),
    [
        ([], Scheme.CENC, None, "needs at least one key"),
        ([KeySignal(bytes(8), bytes(8))], Scheme.CENC, None, "8 bytes, expected 16"),
        ([VIDEO], Scheme.AES128, None, "knows no aes-128"),
        ([VIDEO] * 200, Scheme.CBCS, None, "more than 15360"),
        ([VIDEO], Scheme.CENC, "https://a/" + "x" * 8000, "more than 15360"),
    ],
)
def test_what_playready_cannot_signal_is_refused(
    signals: list[KeySignal], scheme: Scheme, la_url: str | None, message: str
) -> None:
    with pytest.raises(SignallingError, match=message):
        playready.pro(signals, scheme, la_url)
