"""Manifest classes: one spelling each, and what their devices meet."""

import pytest

from keys.model import Hdcp, Outputs, Scheme, Security, TrackType
from policies.model import FREE, Terms
from relay.errors import UrlError
from relay.model import ManifestClass, Signalling, System

SPELLED = [
    ("cenc.stable.uhd", ManifestClass()),
    ("aes-128.period.sd", ManifestClass(Scheme.AES128, Signalling.PERIOD, (), TrackType.SD)),
    ("cbcs.stable.hd.clearkey", ManifestClass(Scheme.CBCS, systems=(System.CLEARKEY,), ceiling=TrackType.HD)),
    (
        "cenc.stable.hd.software.widevine",
        ManifestClass(systems=(System.WIDEVINE,), ceiling=TrackType.HD, security=Security.SOFTWARE),
    ),
]


@pytest.mark.parametrize(("text", "cls"), SPELLED)
def test_a_class_reads_as_it_was_written(text: str, cls: ManifestClass) -> None:
    assert str(cls) == text
    assert ManifestClass.parse(text) == cls


@pytest.mark.parametrize(
    "text",
    [
        "", "cenc", "cenc.stable", "cenc.stable.4k", "cenc.stable.hd.", "cenc.stable.hd.widevine.clearkey",
        "cenc.stable.hd.clearkey.clearkey", "cenc.stable.hd.hardware.widevine", "cenc.stable.hd.widevine.software",
        "cenc.stable.hd.software", "cenc.stable.hd.software.clearkey.identity", "cenc.stable.software.widevine",
    ],
)  # fmt: skip
def test_any_other_spelling_is_no_class(text: str) -> None:
    with pytest.raises(UrlError):
        ManifestClass.parse(text)


HARDWARE, WIRED = Terms(Security.HARDWARE), Terms(outputs=Outputs(Hdcp.V2_2))


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("cenc.stable.uhd.clearkey.identity", [FREE]),
        ("aes-128.period.uhd", [FREE]),
        ("cenc.stable.uhd.software.widevine", [FREE, WIRED]),
        ("cenc.stable.uhd.widevine", [FREE, WIRED, HARDWARE]),
    ],
)
def test_what_a_class_meets(text: str, met: list[Terms]) -> None:
    assert [terms for terms in (FREE, WIRED, HARDWARE) if ManifestClass.parse(text).meets(terms)] == met
