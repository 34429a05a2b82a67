from base64 import b64decode
from pathlib import Path

import pytest

from keys.model import Scheme, TrackType
from keys.signalling import playready, widevine
from relay.manifest.context import LICENCE_URL
from relay.manifest.hls.attributes import Attributes
from relay.manifest.hls.protection import key_tags, session_key_tags
from relay.model import ManifestClass, System
from relay.urls import KeyRef, SlotRef
from tests.manifest.hls.world import context

PACKAGED = Path(__file__).parents[2] / "vectors" / "cbcs" / "v.m3u8"
SLOT = SlotRef(TrackType.HD, 1, 10_000)
KID = context().signal(SLOT).kid
SYSTEMS = tuple(sorted(System))


def key_url(ref: KeyRef) -> str:
    return f"key/{ref.slot.period}"


def tags(cls: ManifestClass) -> dict[str | None, Attributes]:
    """Key tags by KEYFORMAT."""
    found = [Attributes.parse(tag.removeprefix("#EXT-X-KEY:")) for tag in key_tags(context(cls), SLOT, key_url)]
    return {attributes.get("KEYFORMAT"): attributes for attributes in found}


def test_cenc() -> None:
    found = tags(ManifestClass(systems=SYSTEMS))
    assert list(found) == [
        "org.w3.clearkey",
        "identity",
        "com.microsoft.playready",
        "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",
    ]
    assert {attributes.get("METHOD") for attributes in found.values()} == {"SAMPLE-AES-CTR"}
    # hls.js asks for one licence for each URI.
    assert found["org.w3.clearkey"].get("URI") == f"{LICENCE_URL}#10000"
    assert found["org.w3.clearkey"].get("KEYID") == f"0x{KID.hex()}"
    assert str(found["identity"]) == 'METHOD=SAMPLE-AES-CTR,URI="key/10000",KEYFORMAT="identity"'


def test_the_data_of_drm_systems() -> None:
    ctx = context(ManifestClass(systems=SYSTEMS))
    found = tags(ctx.cls)
    prefix, _, data = (found["urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"].get("URI") or "").partition(",")
    assert prefix == "data:text/plain;base64"
    assert b64decode(data) == widevine.pssh([KID], Scheme.CENC)
    prefix, _, data = (found["com.microsoft.playready"].get("URI") or "").partition(",")
    assert prefix == "data:text/plain;charset=UTF-16;base64"
    assert b64decode(data) == playready.pro([ctx.signal(SLOT)], Scheme.CENC)


def test_cbcs_tags_have_the_form_that_a_packager_gives_them() -> None:
    theirs = {}
    for line in PACKAGED.read_text().splitlines():
        if line.startswith("#EXT-X-KEY:"):
            attributes = Attributes.parse(line.removeprefix("#EXT-X-KEY:"))
            theirs[attributes.get("KEYFORMAT")] = attributes
    ours = tags(ManifestClass(Scheme.CBCS, systems=(System.FAIRPLAY, System.PLAYREADY, System.WIDEVINE)))
    assert set(ours) == set(theirs) - {"identity"}
    for key_format, mine in ours.items():
        for name in ("METHOD", "KEYFORMATVERSIONS"):
            assert mine.get(name) == theirs[key_format].get(name)
        assert (mine.get("URI") or "").partition(",")[0].partition("//")[0] == (
            theirs[key_format].get("URI") or ""
        ).partition(",")[0].partition("//")[0]


@pytest.mark.parametrize(
    ("systems", "formats"),
    [
        ((System.CLEARKEY, System.IDENTITY), ["org.w3.clearkey"]),
        ((System.IDENTITY,), ["identity"]),
        ((System.FAIRPLAY, System.IDENTITY), ["com.apple.streamingkeydelivery", "identity"]),
    ],
)
def test_cbcs_never_shows_identity_beside_clear_key(systems: tuple[System, ...], formats: list[str]) -> None:
    assert list(tags(ManifestClass(Scheme.CBCS, systems=systems))) == formats


def test_aes_128_has_one_tag_whatever_the_systems() -> None:
    cls = ManifestClass(Scheme.AES128, systems=SYSTEMS)
    assert list(key_tags(context(cls), SLOT, key_url)) == ['#EXT-X-KEY:METHOD=AES-128,URI="key/10000"']
    assert list(session_key_tags(context(cls), SLOT, key_url)) == []


def test_session_keys_are_for_drm_systems() -> None:
    cls = ManifestClass(Scheme.CBCS, systems=SYSTEMS)
    keys = list(key_tags(context(cls), SLOT, key_url))
    session_keys = list(session_key_tags(context(cls), SLOT, key_url))
    assert [tag.replace("SESSION-KEY", "KEY") for tag in session_keys] == [
        tag for tag in keys if "clearkey" not in tag and "identity" not in tag
    ]
