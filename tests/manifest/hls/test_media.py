import re

import pytest

from keys.model import TrackType
from keys.periods import Clock
from relay.errors import AlreadyProtectedError, ManifestError, TrackWithheldError, UnsupportedMediaError
from relay.manifest.context import Observed, RewriteContext, Rewritten
from relay.manifest.hls.rewrite import ALONE, rewrite_playlist
from relay.manifest.hls.siblings import Siblings
from relay.model import ManifestClass
from relay.sources import ByteRange, OriginScope, Source
from relay.urls import ClearRef, InitRef, KeyRef, PlaylistRef, Ref, SegmentRef, SlotRef
from tests.manifest.hls.world import AES, CBCS, CENC, CENC_PERIOD, HOST, context, minted

SOURCE = Source("live/v.m3u8", "token=1")
AT = "m/hd/live/v.m3u8"
HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
MAP = '#EXT-X-MAP:URI="init.mp4"\n'
INIT = Source("live/init.mp4")
STABLE = SlotRef(TrackType.HD, 1, None)


def slot(period: int) -> SlotRef:
    return SlotRef(TrackType.HD, 1, period)


def rewrite(
    text: str,
    ctx: RewriteContext | None = None,
    track: TrackType | None = TrackType.HD,
    siblings: Siblings = ALONE,
) -> Rewritten:
    return rewrite_playlist((HEAD + text).encode(), ctx or context(), SOURCE, AT, track, siblings=siblings)


def refs(text: str, ctx: RewriteContext | None = None, track: TrackType | None = TrackType.HD) -> list[tuple[str, Ref]]:
    return minted(rewrite(text, ctx, track).body, AT, ctx or context())


def tags(body: bytes) -> list[str]:
    """The shape of a playlist: tag names without EXT-X-, and ``uri``."""
    lines = [line for line in body.decode().splitlines() if line]
    return [line[1:].partition(":")[0].removeprefix("EXT-X-") if line.startswith("#") else "uri" for line in lines]


def segments(count: int, duration: str = "4") -> str:
    return "".join(f"#EXTINF:{duration},\n{n}.m4s\n" for n in range(count))


def test_stable_signalling_says_nothing_at_a_boundary() -> None:
    body = rewrite(MAP + segments(5), context(CENC)).body
    assert tags(body) == ["EXTM3U", "VERSION", "TARGETDURATION", "MAP", "KEY", "KEY", *["EXTINF", "uri"] * 5]
    found = refs(MAP + segments(5), context(CENC))
    assert found[:2] == [("EXT-X-MAP", InitRef(INIT, STABLE)), ("EXT-X-KEY", KeyRef(STABLE))]
    assert [ref.slot.period for _, ref in found if isinstance(ref, SegmentRef)] == [0, 0, 0, 10_000, 10_000]


def test_period_signalling_shows_each_period_map_first() -> None:
    body = rewrite(MAP + segments(5), context(CENC_PERIOD)).body
    first = ["MAP", "KEY", *["EXTINF", "uri"] * 3]
    assert tags(body) == ["EXTM3U", "VERSION", "TARGETDURATION", *first, "MAP", "KEY", *["EXTINF", "uri"] * 2]
    maps = [ref for place, ref in minted(body, AT, context(CENC_PERIOD)) if place == "EXT-X-MAP"]
    assert maps == [InitRef(INIT, slot(0)), InitRef(INIT, slot(10_000))]
    key_ids = re.findall(rb"KEYID=0x([0-9a-f]{32})", body)
    ctx = context(CENC_PERIOD)
    assert key_ids == [ctx.signal(slot(period)).kid.hex().encode() for period in (0, 10_000)]


def test_both_signallings_mint_the_same_segments() -> None:
    def of(cls: ManifestClass) -> list[Ref]:
        return [ref for place, ref in refs(MAP + segments(9), context(cls)) if place == ""]

    assert of(CENC) == of(CENC_PERIOD)


def test_a_boundary_of_the_schedule_counts_like_any_other() -> None:
    found = refs(MAP + segments(3), context(interval_ms=600_000, boundaries=(4_500,)))
    assert [ref.slot.period for _, ref in found if isinstance(ref, SegmentRef)] == [0, 4_500, 4_500]


def test_vod_rotates_only_where_the_policy_says_so() -> None:
    text = "#EXT-X-PLAYLIST-TYPE:VOD\n" + MAP + segments(4)
    for vod, periods in ((False, {0}), (True, {0, 10_000})):
        found = refs(text, context(vod=vod))
        assert {ref.slot.period for _, ref in found if isinstance(ref, SegmentRef)} == periods


def test_aes_128_counts_sequence_numbers_and_keeps_maps_clear() -> None:
    text = "#EXT-X-MEDIA-SEQUENCE:1\n" + MAP + segments(3) + '#EXT-X-MAP:URI="other.mp4"\n' + segments(1)
    body = rewrite(text, context(AES)).body
    assert tags(body)[4:] == [
        *("MAP", "KEY", "EXTINF", "uri", "EXTINF", "uri"),
        *("KEY", "EXTINF", "uri"),
        *("KEY", "MAP", "KEY", "EXTINF", "uri"),
    ]
    assert body.count(b"#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP") == 1
    assert b"IV=" not in body
    assert b"KEYFORMAT" not in body
    found = minted(body, AT, context(AES))
    assert [ref.sequence for _, ref in found if isinstance(ref, SegmentRef)] == [1, 2, 3, 4]
    assert [ref.slot for _, ref in found if isinstance(ref, InitRef)] == [STABLE, STABLE]
    assert [ref.slot for _, ref in found if isinstance(ref, KeyRef)] == [slot(0), slot(10_000), slot(10_000)]


def test_mpeg_ts_needs_aes_128() -> None:
    assert [place for place, _ in refs(segments(1), context(AES))] == ["EXT-X-KEY", ""]
    for cls in (CENC, CENC_PERIOD, CBCS):
        with pytest.raises(UnsupportedMediaError, match="line 3: segment without EXT-X-MAP; MPEG-TS"):
            rewrite(segments(1), context(cls))


def test_cbcs_shows_clear_key_or_identity_never_both() -> None:
    body = rewrite(MAP + segments(1), context(CBCS)).body
    assert b"org.w3.clearkey" in body
    assert b"identity" not in body
    assert b"com.apple.streamingkeydelivery" in body


def test_text_stays_clear() -> None:
    text = "#EXT-X-KEY:METHOD=NONE\n" + MAP + "#EXTINF:4,\n#EXT-X-BYTERANGE:5@7\n0.vtt\n#EXTINF:4,\n1.vtt?a=b\n"
    rewritten = rewrite(text, track=None)
    assert tags(rewritten.body) == ["EXTM3U", "TARGETDURATION", "MAP", "EXTINF", "uri", "EXTINF", "uri"]
    assert minted(rewritten.body, AT, context()) == [
        ("EXT-X-MAP", ClearRef(INIT)),
        ("", ClearRef(Source("live/0.vtt"), ByteRange(7, 5))),
        ("", ClearRef(Source("live/1.vtt", "a=b"))),
    ]
    assert rewritten.observed is None


def test_byte_ranges_continue_those_of_the_same_resource() -> None:
    text = MAP + "".join(
        f"#EXTINF:4,\n#EXT-X-BYTERANGE:{span}\n{uri}\n"
        for span, uri in [("10@5", "a"), ("7@100", "b"), ("20", "a"), ("1@0", "a"), ("3", "a"), ("3", "b")]
    )
    found = [ref.range for _, ref in refs(text) if isinstance(ref, SegmentRef)]
    assert found == [ByteRange(*pair) for pair in [(5, 10), (100, 7), (15, 20), (0, 1), (1, 3), (107, 3)]]
    with pytest.raises(ManifestError, match="line 6: byte range without an offset continues no earlier one"):
        rewrite(MAP + "#EXTINF:4,\n#EXT-X-BYTERANGE:9\na\n")


PARTS = (
    "#EXT-X-PART-INF:PART-TARGET=1\n"
    + MAP
    + "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:05Z\n"
    + segments(1)
    + '#EXT-X-PART:DURATION=1,URI="p.0.m4s",INDEPENDENT=YES\n'
)


def test_a_hint_has_the_url_of_the_later_part() -> None:
    hint = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p.1.m4s"\n'
    part = '#EXT-X-PART:DURATION=1,URI="p.1.m4s"\n'
    (hinted,) = [ref for place, ref in refs(PARTS + hint) if place == "EXT-X-PRELOAD-HINT"]
    listed = [ref for place, ref in refs(PARTS + part) if place == "EXT-X-PART"]
    assert listed[1] == hinted
    url = rewrite(PARTS + hint).body.decode().splitlines()[-1].partition('URI="')[2]
    assert url == rewrite(PARTS + part).body.decode().splitlines()[-1].partition('URI="')[2]


def test_a_ranged_hint_has_the_url_of_the_later_part_or_goes() -> None:
    part = '#EXT-X-PART:DURATION=1,URI="p.m4s",BYTERANGE="9@90"\n'
    closed = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p.m4s",BYTERANGE-START=90,BYTERANGE-LENGTH=9\n'
    opened = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p.m4s",BYTERANGE-START=99\n'
    whole = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p.m4s"\n'
    (hinted,) = [ref for place, ref in refs(PARTS + closed) if place == "EXT-X-PRELOAD-HINT"]
    assert [ref for place, ref in refs(PARTS + part) if place == "EXT-X-PART"][1] == hinted
    assert "PRELOAD-HINT" not in tags(rewrite(PARTS + opened).body)
    assert "PRELOAD-HINT" not in tags(rewrite(PARTS + part + whole).body)


def test_parts_lie_in_the_period_of_their_segment() -> None:
    # The segment starts at 9 s, right at the guard of the boundary at 10 s; the next at 13 s.
    found = [ref for place, ref in refs(PARTS) if place in ("EXT-X-PART", "")]
    assert [ref.slot.period for ref in found if isinstance(ref, SegmentRef)] == [0, 10_000]
    body = rewrite(PARTS, context(CENC_PERIOD)).body
    assert tags(body)[-3:] == ["MAP", "KEY", "PART"]


def test_map_hints() -> None:
    hint = '#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="next.mp4"\n'
    found = refs(PARTS + hint)
    assert found[-1] == ("EXT-X-PRELOAD-HINT", InitRef(Source("live/next.mp4"), STABLE))
    assert "PRELOAD-HINT" not in tags(rewrite(PARTS + '#EXT-X-PRELOAD-HINT:TYPE=NEW,URI="x"\n').body)


def test_rendition_reports_name_playlists_as_the_multivariant_did() -> None:
    uris = ["../a/a.m3u8", "uhd.m3u8", "unknown.m3u8", "https://foreign.example.org/x.m3u8", "../s/s.m3u8"]
    text = MAP + segments(1) + "".join(f'#EXT-X-RENDITION-REPORT:URI="{uri}",LAST-MSN=1\n' for uri in uris)
    known = Siblings(
        {Source("a/a.m3u8"): TrackType.AUDIO, Source("live/uhd.m3u8"): TrackType.UHD, Source("s/s.m3u8"): None}
    )
    ctx = context(ManifestClass(ceiling=TrackType.HD))
    found = minted(rewrite(text, ctx, siblings=known).body, AT, ctx)
    assert [ref for place, ref in found if place == "EXT-X-RENDITION-REPORT"] == [
        PlaylistRef(Source("a/a.m3u8"), TrackType.AUDIO),
        PlaylistRef(Source("s/s.m3u8"), None),
    ]


@pytest.mark.parametrize(
    ("given", "cls", "expected"),
    [
        ("CAN-SKIP-UNTIL=24,CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3", CENC, "CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3"),
        ("CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3", AES, "CAN-BLOCK-RELOAD=YES"),
        ("CAN-SKIP-UNTIL=24,CAN-SKIP-DATERANGES=YES", CENC, None),
    ],
)
def test_server_control(given: str, cls: ManifestClass, expected: str | None) -> None:
    body = rewrite(f"#EXT-X-SERVER-CONTROL:{given}\n" + MAP + segments(1), context(cls)).body.decode()
    found = [line.partition(":")[2] for line in body.splitlines() if "SERVER-CONTROL" in line]
    assert found == ([] if expected is None else [expected])


def test_only_the_first_prefetch_has_a_url() -> None:
    text = MAP + segments(1) + "#EXT-X-PREFETCH:1.m4s\n#EXT-X-PREFETCH:2.m4s\n"
    later = refs(MAP + segments(2))
    assert [ref for place, ref in refs(text) if place == "EXT-X-PREFETCH"] == [later[-1][1]]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("# a comment about https://tool.example.org/", True),
        (f"# fetched from https://{HOST}/live", False),
        (f"# {HOST.upper()}:8443", False),
        (f"# not{HOST}", True),
        ("#EXT-X-CUE-OUT:30", True),
        ("#EXT-OATCLS-SCTE35:/DAlAAAAAAAAAP/wFAUAAAABf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=", True),
        ('#EXT-X-NEW:URI="x.m4s"', False),
        ('#EXT-X-NEW\0URI="x.m4s"', False),
        ('#EXT-X-SCTE35:CUE="/DAlURI="', True),
        ("#EXT-X-NEW:A=1,FALLBACK-URL=x", False),
        ("#EXT-X-NEW:see http://else.example.org", False),
        (f"#EXT-X-NEW:{HOST}", False),
        ('#EXT-X-TILES:RESOLUTION=1x1,LAYOUT=1x1,DURATION=1,URI="x.jpg"', False),
        ('#EXT-X-DATERANGE:ID="a",X-AD="none"', True),
        ('#EXT-X-DATERANGE:ID="a",SCTE35-OUT=0xFC,', True),
        ('#EXT-X-DATERANGE:ID="a",CLASS="com.apple.hls.interstitial",X-ASSET-LIST="list.json"', False),
        ('#EXT-X-DATERANGE:ID="a",X-URL="https:', False),
        ("", True),
        (" ", True),
    ],
)
def test_lines_nobody_owns(line: str, kept: bool) -> None:
    lines = rewrite(f"{line}\n" + MAP + segments(1)).body.decode().splitlines()
    assert (line in lines[3:4]) is kept


def test_date_ranges_lose_addresses_only() -> None:
    text = f'#EXT-X-DATERANGE:ID="a",X-LOGO="https://a.example/x",X-HOST="{HOST}",X-BEACON-URL="b",DURATION=3\n'
    assert b'#EXT-X-DATERANGE:ID="a",DURATION=3\n' in rewrite(text + MAP + segments(1)).body


def test_a_title_that_names_the_origin_goes() -> None:
    body = rewrite(MAP + f"#EXTINF:4.50,see {HOST}\n0.m4s\n").body
    assert b"#EXTINF:4.50,\n" in body


def test_an_attribute_of_a_rewritten_tag_that_names_the_origin_is_refused() -> None:
    with pytest.raises(ManifestError, match="EXT-X-PART: an attribute names the origin's host"):
        rewrite(PARTS + f'#EXT-X-PART:DURATION=1,URI="p.1.m4s",X-FROM="{HOST}"\n')


@pytest.mark.parametrize("host", ["video", "localhost"])
def test_a_one_word_host_is_an_everyday_word(host: str) -> None:
    ctx = context(scope=OriginScope((f"http://{host}:8080/",)))
    body = rewrite(f"# {host}\n# http://{host}:8080/x\n" + MAP + segments(1), ctx).body.decode()
    assert f"# {host}\n" in body
    assert "8080" not in body


@pytest.mark.parametrize(
    ("tag", "error"),
    [
        ('#EXT-X-KEY:METHOD=AES-128,URI="k"', AlreadyProtectedError),
        ("#EXT-X-KEY:METHOD=SAMPLE-AES", AlreadyProtectedError),
        ('#EXT-X-KEY:URI="k"', ManifestError),
    ],
)
def test_encrypted_input_is_refused(tag: str, error: type[Exception]) -> None:
    for track in (TrackType.HD, None):
        with pytest.raises(error, match="line 3: EXT-X-KEY"):
            rewrite(f"{tag}\n" + MAP + segments(1), track=track)


def test_a_rendition_above_the_ceiling_is_refused() -> None:
    with pytest.raises(TrackWithheldError, match="hd rendition is above this session's sd"):
        rewrite(MAP + segments(1), context(ManifestClass(ceiling=TrackType.SD)))


@pytest.mark.parametrize(
    ("text", "observed", "shelf_life"),
    [
        (segments(3), Observed(Clock.SEQUENCE, 0, 12_000, False, frozenset({TrackType.HD})), 2.0),
        (
            segments(3, "3.5") + "#EXT-X-ENDLIST\n",
            Observed(Clock.MEDIA, 0, 10_500, True, frozenset({TrackType.HD})),
            None,
        ),
        (
            "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:05Z\n" + segments(2, "0"),
            Observed(Clock.WALL, 5_000, 5_001, False, frozenset({TrackType.HD})),
            2.0,
        ),
        ("", None, 2.0),
    ],
)
def test_what_is_observed(text: str, observed: Observed | None, shelf_life: float | None) -> None:
    rewritten = rewrite(MAP + text)
    assert (rewritten.observed, rewritten.shelf_life) == (observed, shelf_life)


def test_parts_and_hints_move_the_edge() -> None:
    rewritten = rewrite(PARTS + '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p.1.m4s"\n')
    assert rewritten.observed == Observed(Clock.WALL, 5_000, 11_000, False, frozenset({TrackType.HD}))
    assert rewritten.shelf_life == 0.5


@pytest.mark.parametrize(
    ("text", "cls", "version"),
    [
        (MAP + segments(1), CENC, ["#EXT-X-VERSION:6"]),
        ("#EXT-X-VERSION:4\n" + MAP + segments(1), CENC, ["#EXT-X-VERSION:6"]),
        ("#EXT-X-VERSION: 9 \n" + MAP + segments(1), CENC, ["#EXT-X-VERSION: 9 "]),
        (segments(1), AES, []),
        ("#EXT-X-VERSION:2\n" + segments(1), AES, ["#EXT-X-VERSION:2"]),
    ],
)
def test_the_version_covers_what_we_write(text: str, cls: ManifestClass, version: list[str]) -> None:
    body = rewrite(text, context(cls)).body.decode()
    assert [line for line in body.splitlines() if "VERSION:" in line] == version
