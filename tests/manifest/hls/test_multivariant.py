import pytest

from keys.model import TrackType
from relay.errors import AlreadyProtectedError, ManifestError, OriginForeignError, TrackWithheldError
from relay.manifest.context import Rewritten
from relay.manifest.hls.rewrite import read_siblings, rewrite_playlist
from relay.model import ManifestClass
from relay.sources import Source
from relay.urls import ClearRef, PlaylistRef
from tests.manifest.hls.world import CBCS_PERIOD, CENC, CENC_DRM, HOST, context, minted

SOURCE = Source("main/index.m3u8")
AT = "m/hd/main/index.m3u8"


def rewrite(text: str, cls: ManifestClass = CENC) -> Rewritten:
    return rewrite_playlist(f"#EXTM3U\n{text}".encode(), context(cls), SOURCE, AT, TrackType.HD)


def variant(attributes: str, uri: str) -> str:
    return f"#EXT-X-STREAM-INF:BANDWIDTH=1{attributes}\n{uri}\n"


def tracks(text: str, cls: ManifestClass = CENC) -> dict[str, TrackType | None]:
    refs = [ref for _, ref in minted(rewrite(text, cls).body, AT, context(cls))]
    return {ref.source.path: ref.track for ref in refs if isinstance(ref, PlaylistRef)}


@pytest.mark.parametrize(
    ("attributes", "track"),
    [
        (",RESOLUTION=768x576", TrackType.SD),
        (",RESOLUTION=1080x1920", TrackType.HD),
        (",RESOLUTION=3840x2160", TrackType.UHD),
        (',CODECS="mp4a.40.2"', TrackType.AUDIO),
        (',CODECS="ec-3, wvtt"', TrackType.AUDIO),
        (',CODECS="fLaC"', TrackType.AUDIO),
        (',CODECS="mp4a.40.2,c608"', TrackType.AUDIO),
        (',CODECS="avc1.64001f,mp4a.40.2"', TrackType.HD),
        (',CODECS="new1.2"', TrackType.HD),
        (',CODECS="wvtt"', TrackType.HD),
        ("", TrackType.HD),
    ],
)
def test_the_track_type_of_a_variant(attributes: str, track: TrackType) -> None:
    assert tracks(variant(attributes, "v.m3u8")) == {"main/v.m3u8": track}


def test_a_playlist_listed_twice_takes_the_highest_type_stated() -> None:
    sd, hd, none = (variant(size, "v.m3u8") for size in (",RESOLUTION=64x36", ",RESOLUTION=1280x720", ""))
    assert tracks(sd + hd) == tracks(hd + sd) == {"main/v.m3u8": TrackType.HD}
    assert tracks(none + sd) == tracks(sd + none) == {"main/v.m3u8": TrackType.SD}


def test_an_audio_rendition_that_is_a_variant_too() -> None:
    media = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="a.m3u8"\n'
    assert tracks(media + variant("", "a.m3u8")) == {"main/a.m3u8": TrackType.AUDIO}
    assert tracks(media + variant(",RESOLUTION=64x36", "a.m3u8")) == {"main/a.m3u8": TrackType.SD}


def test_renditions_by_type() -> None:
    text = (
        '#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="v",NAME="v",URI="angle.m3u8"\n'
        '#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="w",NAME="w",URI="orphan.m3u8"\n'
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="s",URI="text.m3u8"\n'
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="audio.m3u8"\n'
    )
    found = tracks(text + variant(',RESOLUTION=64x36,VIDEO="v"', "v.m3u8"))
    assert found == {
        "main/angle.m3u8": TrackType.SD,
        "main/orphan.m3u8": TrackType.HD,
        "main/text.m3u8": None,
        "main/audio.m3u8": TrackType.AUDIO,
        "main/v.m3u8": TrackType.SD,
    }


def test_variants_above_the_ceiling_are_left_out() -> None:
    text = variant(",RESOLUTION=64x36", "sd.m3u8") + variant(",RESOLUTION=1280x720", "hd.m3u8")
    assert tracks(text, ManifestClass(ceiling=TrackType.SD)) == {"main/sd.m3u8": TrackType.SD}
    with pytest.raises(TrackWithheldError, match="no variant at or below this session's audio"):
        rewrite(text, ManifestClass(ceiling=TrackType.AUDIO))


def test_siblings_are_what_the_multivariant_minted() -> None:
    text = '#EXT-X-DEFINE:NAME="n",VALUE="v"\n' + variant(",RESOLUTION=64x36", "{$n}.m3u8")
    siblings = read_siblings(f"#EXTM3U\n{text}".encode(), context(), SOURCE)
    assert siblings.tracks == {Source("main/v.m3u8"): TrackType.SD}
    assert siblings.variables == {"n": "v"}
    assert read_siblings(b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n", context(), SOURCE).tracks == {}


def test_session_keys_only_for_drm_with_stable_signalling() -> None:
    text = "#EXT-X-INDEPENDENT-SEGMENTS\n\n" + variant(",RESOLUTION=64x36", "v.m3u8")
    assert b"SESSION-KEY" not in rewrite(text, CENC).body
    assert b"SESSION-KEY" not in rewrite(text, CBCS_PERIOD).body
    lines = rewrite(text, CENC_DRM).body.decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "#EXTM3U",
        "#EXT-X-VERSION",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "",
        "#EXT-X-SESSION-KEY",
        "#EXT-X-SESSION-KEY",
        "#EXT-X-STREAM-INF",
        lines[-1],
    ]


def test_session_data() -> None:
    data = '#EXT-X-SESSION-DATA:DATA-ID="x",'
    kept = data + 'VALUE="text"\n'
    body = rewrite(
        kept
        + f'{data}VALUE="https://{HOST}/"\n{data}URI="https://foreign.example.org/x"\n'
        + f'{data}URI="x.json"\n'
        + variant("", "v.m3u8")
    ).body
    assert body.decode().splitlines()[1] + "\n" == kept
    refs = [ref for place, ref in minted(body, AT, context()) if place == "EXT-X-SESSION-DATA"]
    assert refs == [ClearRef(Source("main/x.json"))]
    assert body.count(b"SESSION-DATA") == 2


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\n", ManifestError, "line 2: EXT-X-STREAM-INF: no URI follows"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\n" + variant("", "v.m3u8"), ManifestError, "line 2: .*no URI follows"),
        (variant("", "v.m3u8") + "w.m3u8\n", ManifestError, "line 4: no EXT-X-STREAM-INF stands before"),
        (variant(",RESOLUTION=HD", "v.m3u8"), ManifestError, "line 2: EXT-X-STREAM-INF: not a decimal integer"),
        (variant(f',NAME="{HOST}"', "v.m3u8"), ManifestError, "line 2: .* names the origin's host"),
        (variant("", "https://foreign.example.org/v.m3u8"), OriginForeignError, "line 3: URI points outside"),
        (variant("", "https://[bad/v.m3u8"), OriginForeignError, "line 3: URI refused: not a URI"),
        (variant("", "../../../v.m3u8"), OriginForeignError, "line 3"),
        (variant("", "x" * 5000), OriginForeignError, "line 3"),
        ('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI=""\n', ManifestError, "line 2: .*empty URI"),
        ('#EXT-X-MEDIA:TYPE=NEW,GROUP-ID="a",NAME="a",URI="a"\n', ManifestError, "line 2: .*no such TYPE"),
        ('#EXT-X-MEDIA:GROUP-ID="a",URI="a"\n', ManifestError, "line 2: .*TYPE is missing"),
        ('#EXT-X-SESSION-DATA:DATA-ID="x",VALUE="y"\n', ManifestError, "without a variant"),
        (variant("", "v.m3u8") + "#EXTINF:1,\n", ManifestError, "both multivariant and media"),
        (variant("", "v.m3u8") + '#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI="x"\n', AlreadyProtectedError, "line 4"),
        ("#EXT-X-VERSION:1\n#EXT-X-VERSION:2\n" + variant("", "v.m3u8"), ManifestError, "line 3: .*given twice"),
    ],
)
def test_refused(text: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        rewrite(text, CENC_DRM)


def test_a_url_too_long_to_come_back_is_refused() -> None:
    with pytest.raises(ManifestError, match="line 3: URL would be longer"):
        rewrite(variant("", "é" * 1300 + "?" + "x" * 2600))
