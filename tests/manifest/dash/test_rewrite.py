"""Addressing forms, track types, classes: what each becomes, read back from the URLs."""

import itertools
import re
from fractions import Fraction
from pathlib import Path

import pytest
from lxml import etree

from keys.model import Scheme, TrackType
from keys.periods import Clock
from relay.errors import AlreadyProtectedError, ManifestError, OriginForeignError, RequestError, UnsupportedMediaError
from relay.manifest.context import LICENCE_URL, Observed
from relay.manifest.dash.index import IndexRequest
from relay.manifest.dash.rewrite import index_requests, rewrite_mpd
from relay.model import ManifestClass, Signalling, System
from relay.sources import ByteRange, Source
from relay.urls import MAX_URL, ClearRef, Clocked, InitRef, SegmentRef, SlotRef, TemplateRef
from tests.manifest.dash.test_index import sidx
from tests.manifest.dash.world import MPD_AT, NS, START_MS, live, play, read
from tests.manifest.hls.world import CBCS, CENC, CENC_PERIOD, HOST, context

VECTORS = Path(__file__).parents[2] / "vectors"
NUMBERS = '<SegmentTemplate media="$Number$" initialization="i" duration="2"/>'
BY_NAME = '<SegmentTemplate duration="2" media="$RepresentationID$/$Number$" initialization="$RepresentationID$"/>'
VIDEO = '<Representation id="v" bandwidth="9" width="1280" height="720"/>'


def vod(sets: str, *, more: str = "", length: int = 20) -> bytes:
    return (
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT{length}S">{more}'
        f'<Period id="p">{sets}</Period></MPD>'
    ).encode()


def video(addressing: str, representation: str = VIDEO) -> str:
    return f'<AdaptationSet id="1" mimeType="video/mp4">{addressing}{representation}</AdaptationSet>'


def urls_of(body: bytes) -> list[str]:
    root = etree.fromstring(body)
    return [
        value
        for element in root.iter()
        for value in (*(element.get(n) for n in ("media", "initialization", "sourceURL")), *_base(element))
        if value
    ]


def _base(element: etree._Element) -> list[str | None]:
    return [element.text] if element.tag == f"{NS}BaseURL" else []


@pytest.mark.parametrize("signalling", list(Signalling))
def test_packager_vod(signalling: Signalling) -> None:
    ctx = context(ManifestClass(signalling=signalling, systems=(System.CLEARKEY,)))
    rewritten = rewrite_mpd(
        (VECTORS / "clear/manifest.mpd").read_bytes(), ctx, Source("clear/manifest.mpd"), "index.mpd", 0
    )
    found = play(rewritten.body, ctx)
    period = None if signalling is Signalling.STABLE else 0
    init = Source("clear/v_init.mp4")
    assert [seen.ref for seen in found if seen.representation == "0"] == [
        SegmentRef(Source(f"clear/v_{n}.m4s"), SlotRef(TrackType.SD, 1, 0), init=init) for n in range(1, 7)
    ]
    assert {seen.init for seen in found if seen.representation == "1"} == {
        InitRef(Source("clear/a_init.mp4"), SlotRef(TrackType.AUDIO, 1, period))
    }
    assert rewritten.shelf_life is None
    assert rewritten.observed == Observed(Clock.MEDIA, 0, 12_000, True, frozenset({TrackType.SD, TrackType.AUDIO}))


@pytest.mark.parametrize("name", ["cenc", "cbcs", "cenc-rotating"])
def test_protected_origins_are_refused(name: str) -> None:
    with pytest.raises(AlreadyProtectedError):
        rewrite_mpd((VECTORS / name / "manifest.mpd").read_bytes(), context(), MPD_AT, "index.mpd", 0)


@pytest.mark.parametrize(("at", "up"), [("index.mpd", ""), ("a/index.mpd", "../"), ("a/b/c.mpd", "../../../"[:6])])
def test_urls_climb_to_the_class_folder(at: str, up: str) -> None:
    ctx = context()
    body = rewrite_mpd(live(1, 10), ctx, MPD_AT, at, START_MS).body
    found = urls_of(body)
    assert len(found) == 4
    assert all(url.startswith(up + kind) for url, kind in zip(sorted(found), ["i/", "i/", "t/", "t/"], strict=True))
    assert play(body, ctx, at)


def test_base_urls_chain_and_the_first_inside_the_origin_wins() -> None:
    data = vod(
        '<BaseURL>deep/</BaseURL><AdaptationSet id="1" mimeType="video/mp4"><BaseURL>er/</BaseURL>'
        '<SegmentTemplate media="$Number$.m4s" initialization="i.mp4?token=hidden" duration="2"/>'
        '<Representation id="v" width="1" height="1"><BaseURL>x/</BaseURL></Representation></AdaptationSet>',
        more=f"<BaseURL>https://elsewhere.example/live/</BaseURL><BaseURL>https://{HOST}/live/alt/</BaseURL>",
    )
    ctx = context()
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    found = play(body, ctx)
    assert [seen.ref.source.path for seen in found] == [f"alt/deep/er/x/{n}.m4s" for n in range(1, 11)]
    assert isinstance(found[0].ref, SegmentRef)
    assert found[0].ref.init == Source("alt/deep/er/x/i.mp4", "token=hidden")
    assert b"BaseURL" not in body
    assert b"hidden" not in body


def test_everything_outside_the_origin_is_refused() -> None:
    data = vod(video("<BaseURL>https://elsewhere.example/</BaseURL>" + NUMBERS))
    with pytest.raises(OriginForeignError):
        rewrite_mpd(data, context(), MPD_AT, "index.mpd", 0)


def test_static_numbers_without_a_timeline_get_their_spans() -> None:
    ctx = context(vod=True)
    data = vod(
        video('<SegmentTemplate timescale="2" duration="4" startNumber="5" media="$Number$" initialization="i"/>')
    )
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    ref, _ = read(urls_of(body)[0].replace("$Number$", "5"), "index.mpd", ctx)
    assert isinstance(ref, TemplateRef)
    assert [(span.first, span.last, span.period) for span in ref.spans] == [(5, 9, 0), (10, 14, 10_000)]
    assert ref.clock is None
    assert len(play(body, ctx)) == 10


def test_long_time_templates_carry_a_rule_instead_of_spans() -> None:
    ctx = context(vod=True)
    timeline = '<SegmentTimeline><S t="900" d="20" r="1999"/></SegmentTimeline>'
    data = vod(
        video(
            '<SegmentTemplate timescale="10" presentationTimeOffset="900" media="$Time$" initialization="i">'
            f"{timeline}</SegmentTemplate>"
        ),
        length=4000,
    )
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    ref, _ = read(urls_of(body)[0].replace("$Time$", "900"), "index.mpd", ctx)
    assert isinstance(ref, TemplateRef)
    assert (ref.spans, ref.clock) == ((), Clocked(0, 900, 1, 10, Clock.MEDIA))
    found = play(body, ctx)
    assert len(found) == 2000
    assert all(seen.crypto == ctx.schedule_of(Clock.MEDIA).period_of(int(seen.start * 1000)).start for seen in found)
    with pytest.raises(ManifestError, match="crypto periods do not fit"):
        rewrite_mpd(data.replace(b"$Time$", b"$Number$"), ctx, MPD_AT, "index.mpd", 0)


def rotating(identifier: str, periods: int) -> bytes:
    """A template of the largest numbers there are, with one segment in each crypto period."""
    offset = 2**60
    return vod(
        video(
            f'<SegmentTemplate timescale="90000" presentationTimeOffset="{offset}" media="{identifier}"'
            f' startNumber="{offset}" initialization="i"><SegmentTimeline>'
            f'<S t="{offset}" d="900000" r="{periods - 1}"/></SegmentTimeline></SegmentTemplate>'
        ),
        length=10 * periods,
    )


@pytest.mark.parametrize(
    ("identifier", "periods"), [("$Number$", 100), *(("$Time$", count) for count in range(100, 131))]
)
def test_every_template_is_short_enough_to_be_taken_back(identifier: str, periods: int) -> None:
    ctx, data = context(vod=True), rotating(identifier, periods)
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    assert max(len(url.replace(identifier, "9" * 19)) for url in urls_of(body)) <= MAX_URL
    assert len(play(body, ctx)) == periods


@pytest.mark.parametrize(
    "addressing",
    [
        '<SegmentTemplate media="{0}$Number$" initialization="{0}i" duration="2"/>',
        '<SegmentList duration="20"><Initialization sourceURL="{0}i"/><SegmentURL media="{0}s"/></SegmentList>',
    ],
)
def test_urls_that_would_not_be_taken_back_are_refused(addressing: str) -> None:
    assert rewrite_mpd(vod(video(addressing.format("a" * 2500))), context(), MPD_AT, "index.mpd", 0).body
    with pytest.raises(ManifestError, match=f"{MAX_URL} characters"):
        rewrite_mpd(vod(video(addressing.format("a" * 3500))), context(), MPD_AT, "index.mpd", 0)


@pytest.mark.parametrize("base", ["(number)/", "%28time%29/", "a(time:05)b/"])
def test_base_urls_that_look_like_the_relays_placeholders_are_refused(base: str) -> None:
    with pytest.raises(ManifestError, match="reserves"):
        rewrite_mpd(vod(video(f"<BaseURL>{base}</BaseURL>{NUMBERS}")), context(), MPD_AT, "index.mpd", 0)
    whole = vod(video(f"<BaseURL>{base}</BaseURL>" + NUMBERS.replace("$Number$", "s").replace('"2"', '"20"')))
    assert play(rewrite_mpd(whole, context(), MPD_AT, "index.mpd", 0).body, context())


@pytest.mark.parametrize("cls", [CENC, CENC_PERIOD], ids=str)
def test_segment_lists(cls: ManifestClass) -> None:
    entries = "".join(f'<SegmentURL media="all.mp4" mediaRange="{n}00-{n}99"/>' for n in range(1, 11))
    data = vod(video(
        '<SegmentList timescale="10" duration="20"><Initialization sourceURL="i.mp4" range="0-9"/>'
                f"{entries}</SegmentList>"
    ))  # fmt: skip
    ctx = context(cls, vod=True)
    found = play(rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body, ctx)
    assert [seen.start for seen in found] == [2 * n for n in range(10)]
    assert [seen.ref.range for seen in found] == [ByteRange(100 * n + 100, 100) for n in range(10)]
    assert [seen.crypto for seen in found] == [0] * 5 + [10_000] * 5
    for seen in found:
        assert isinstance(seen.ref, SegmentRef)
        assert seen.ref.init == Source("show/i.mp4")
        assert seen.ref.init_range == ByteRange(0, 10)


@pytest.mark.parametrize("cls", [CENC, CENC_PERIOD], ids=str)
def test_indexed_files(cls: ManifestClass) -> None:
    data = vod(video(
        "<BaseURL>film.mp4</BaseURL>"
        '<SegmentBase indexRange="800-999" timescale="1" presentationTimeOffset="3">'
                '<Initialization range="0-799"/></SegmentBase>'
    ))  # fmt: skip
    ctx = context(cls, vod=True)
    film = Source("show/film.mp4")
    (request,) = index_requests(data, ctx, MPD_AT)
    assert request == IndexRequest(film, ByteRange(800, 200))
    with pytest.raises(ManifestError, match="was not fetched"):
        rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0)
    index = sidx([(1000, 4000)] * 4 + [(500, 4000)], scale=1000, start=3000)
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0, {request: index}).body
    found = play(body, ctx)
    first = 800 + len(index)
    assert [seen.start for seen in found] == [0, 4, 8, 12, 16]
    assert [seen.ref.range for seen in found][::4] == [ByteRange(first, 1000), ByteRange(first + 4000, 500)]
    # 12 s is the first start after the boundary at 10 s, less the guard.
    assert [seen.crypto for seen in found] == [0, 0, 0, 10_000, 10_000]
    assert {(seen.ref.init, seen.ref.init_range) for seen in found if isinstance(seen.ref, SegmentRef)} == {
        (film, ByteRange(0, 800))
    }
    assert b"indexRange" not in body


def test_numbers_that_straddle_a_boundary_get_a_timeline() -> None:
    template = '<SegmentTemplate duration="6" media="a$Number$" initialization="i"/>'
    audio = f'<AdaptationSet id="2" mimeType="audio/mp4">{template}<Representation id="a"/></AdaptationSet>'
    data = vod(video(NUMBERS) + audio, length=36)
    ctx = context(CENC_PERIOD, vod=True)
    found = play(rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body, ctx)
    heard = [(int(seen.start), seen.crypto) for seen in found if seen.representation == "a"]
    assert heard == [
        (0, 0), (6, 0), (6, 10_000), (12, 10_000), (18, 10_000), (18, 20_000), (24, 20_000), (30, 30_000),
    ]  # fmt: skip


def test_files_without_an_index_cannot_be_protected() -> None:
    with pytest.raises(UnsupportedMediaError):
        rewrite_mpd(vod(video("<BaseURL>film.mp4</BaseURL>")), context(), MPD_AT, "index.mpd", 0)


def test_text_and_images_stay_clear() -> None:
    data = vod(
        '<AdaptationSet id="1" mimeType="text/vtt"><Representation id="t">'
        "<BaseURL>en.vtt</BaseURL></Representation></AdaptationSet>"
        '<AdaptationSet id="2" contentType="text" mimeType="application/mp4" codecs="stpp">'
        '<SegmentTemplate duration="10" media="$Number$.mp4" initialization="s.mp4"/>'
        '<Representation id="s"/></AdaptationSet>'
        '<AdaptationSet id="3" mimeType="image/jpeg"><SegmentTemplate duration="10" media="thumb_$Number$.jpg"/>'
        '<Representation id="i" width="320" height="180"/></AdaptationSet>'
        '<AdaptationSet id="4" mimeType="application/mp4" codecs="wvtt"><Representation id="w"><BaseURL>w.mp4</BaseURL>'
        '<SegmentBase indexRange="5-9"><Initialization range="0-4"/></SegmentBase></Representation></AdaptationSet>'
    )
    ctx = context()
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    assert b"ContentProtection" not in body
    files = [read(url, "index.mpd", ctx)[0] for url in urls_of(body) if "$" not in url]
    assert files == [ClearRef(Source(f"show/{name}")) for name in ("en.vtt", "s.mp4", "w.mp4")]
    assert [seen.ref for seen in play(body, ctx)] == [
        ClearRef(Source(f"show/{name}")) for name in ("1.mp4", "2.mp4", "thumb_1.jpg", "thumb_2.jpg")
    ]
    assert b'indexRange="5-9"' in body


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        'mimeType="application/mp4"',
        'mimeType="video/mp2t"',
        'mimeType="video/webm"',
        'mimeType="application/mp4" codecs="avc1.64001f"',
        'mimeType="audio/mpeg"',
    ],
)
def test_what_may_be_audio_or_video_never_goes_out_clear(attributes: str) -> None:
    template = '<SegmentTemplate duration="10" media="$Number$.mp4" initialization="s.mp4"/>'
    data = vod(f'<AdaptationSet id="1" {attributes}>{template}<Representation id="x"/></AdaptationSet>')
    with pytest.raises(UnsupportedMediaError):
        rewrite_mpd(data, context(), MPD_AT, "index.mpd", 0)


LADDER = "".join(
    f'<Representation id="{height}" width="{width}" height="{height}"/>'
    for width, height in ((3840, 2160), (640, 360), (1280, 720), (256, 144), (1920, 1080))
)


def test_sets_are_split_by_key_and_linked() -> None:
    data = vod(
        video(
            BY_NAME,
            LADDER,
        )
        + f'<AdaptationSet id="1000011" mimeType="audio/mp4">{NUMBERS}'
        '<Representation id="a"/></AdaptationSet>'
    )
    ctx = context()
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    found = play(body, ctx)
    groups: dict[str, set[str]] = {}
    for seen in found:
        groups.setdefault(seen.adaptation_set, set()).add(seen.representation)
    assert sorted(map(sorted, groups.values())) == [["1080", "720"], ["144", "360"], ["2160"], ["a"]]
    assert "1" in groups
    assert "1000011" in groups
    for found_set in etree.fromstring(body).iter(f"{NS}AdaptationSet"):
        links = [p.get("value", "") for p in found_set.iter(f"{NS}SupplementalProperty")]
        if found_set.get("id") == "1000011":
            assert not links
        else:
            assert set(links[0].split(",")) | {found_set.get("id")} == set(groups) - {"1000011"}
    assert rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body == body


def test_the_ceiling_leaves_renditions_out() -> None:
    data = vod(
        video(
            BY_NAME,
            LADDER,
        )
    )
    ctx = context(ManifestClass(ceiling=TrackType.SD))
    body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body
    assert {seen.representation for seen in play(body, ctx)} == {"144", "360"}
    assert body.count(b"<AdaptationSet") == 1


def test_several_periods() -> None:
    def period(name: str, offset: int) -> str:
        return (
            f'<Period id="{name}" duration="PT11S"><AdaptationSet id="1" mimeType="video/mp4">'
            f'<SegmentTemplate timescale="10" presentationTimeOffset="{offset}" media="{name}/$Number$"'
            f' initialization="{name}/i"><SegmentTimeline>'
            f'<S t="{offset}" d="20" r="4"/><S d="10"/></SegmentTimeline></SegmentTemplate>{VIDEO}</AdaptationSet>'
            "</Period>"
        )

    data = f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">{period("a", 0)}{period("b", 777)}</MPD>'.encode()
    for cls in (CENC, CENC_PERIOD):
        ctx = context(cls, vod=True)
        found = play_with_starts(rewrite_mpd(data, ctx, MPD_AT, "index.mpd", 0).body)
        assert [name for name, _, _ in found] == (
            ["a", "b"] if cls is CENC else ["a-0", "a-10000", "b-10000", "b-20000"]
        )
    assert [(name, start, duration) for name, start, duration in found] == [
        ("a-0", "PT0S", None), ("a-10000", "PT10S", "PT1S"), ("b-10000", "PT11S", None), ("b-20000", "PT19S", "PT3S"),
    ]  # fmt: skip


def play_with_starts(body: bytes) -> list[tuple[str | None, str | None, str | None]]:
    return [(p.get("id"), p.get("start"), p.get("duration")) for p in etree.fromstring(body).iter(f"{NS}Period")]


def test_events_stay_with_the_period_where_they_start() -> None:
    events = (
        '<EventStream schemeIdUri="urn:x" timescale="3" presentationTimeOffset="9"><Event presentationTime="12"/>'
        '<Event presentationTime="69" duration="3"/></EventStream>'
    )
    timeline = '<SegmentTimeline><S d="90000" r="19"/></SegmentTimeline>'
    data = vod(
        events
        + video(f'<SegmentTemplate timescale="44100" media="$Number$" initialization="i">{timeline}</SegmentTemplate>'),
        length=40,
    )
    root = etree.fromstring(rewrite_mpd(data, context(CENC_PERIOD, vod=True), MPD_AT, "index.mpd", 0).body)
    absolute = []
    for period in root.iter(f"{NS}Period"):
        for stream in period.iter(f"{NS}EventStream"):
            scale, offset = int(stream.get("timescale", 1)), int(stream.get("presentationTimeOffset", 0))
            start = Fraction(period.get("start", "")[2:-1])
            times = [start + Fraction(int(e.get("presentationTime", 0)) - offset, scale) for e in stream]
            assert all(time >= start for time in times)
            absolute += [round(float(time), 5) for time in times]
    assert absolute == [1, 20]


def test_continuity_and_asset_of_split_periods() -> None:
    root = etree.fromstring(rewrite_mpd(live(1, 15), context(CENC_PERIOD), MPD_AT, "index.mpd", START_MS).body)
    periods = list(root.iter(f"{NS}Period"))
    assets = {asset.get("value") for asset in root.iter(f"{NS}AssetIdentifier")}
    assert assets == {"stream/live"}
    for before, period in itertools.pairwise(periods):
        for found_set in period.iter(f"{NS}AdaptationSet"):
            links = {p.get("schemeIdUri"): p.get("value") for p in found_set.iter(f"{NS}SupplementalProperty")}
            assert links == {"urn:mpeg:dash:period-continuity:2015": before.get("id")}


ALL_SYSTEMS = tuple(sorted(System))


@pytest.mark.parametrize("scheme", [Scheme.CENC, Scheme.CBCS])
def test_content_protection(scheme: Scheme) -> None:
    ctx = context(ManifestClass(scheme, systems=ALL_SYSTEMS))
    body = rewrite_mpd(live(1, 5), ctx, MPD_AT, "index.mpd", START_MS).body
    found_set = next(etree.fromstring(body).iter(f"{NS}AdaptationSet"))
    shown = [(p.get("schemeIdUri"), p.get("value")) for p in found_set if p.tag == f"{NS}ContentProtection"]
    assert found_set[0].tag == f"{NS}ContentProtection"
    fairplay = [("urn:uuid:94ce86fb-07ff-4f43-adb8-93d2fa968ca2", None)] if scheme is Scheme.CBCS else []
    assert shown == [
        ("urn:mpeg:dash:mp4protection:2011", str(scheme)),
        ("urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e", "ClearKey1.0"),
        *fairplay,
        ("urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95", "MSPR 2.0"),
        ("urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", None),
    ]
    for literal in (
        f'<dashif:Laurl xmlns:dashif="https://dashif.org/CPS">{LICENCE_URL}</dashif:Laurl>',
        f">{LICENCE_URL}</clearkey:Laurl>",
        "<mspr:pro ",
        "<cenc:pssh>",
        ' cenc:default_KID="',
    ):
        assert literal in body.decode()


def test_prefixes_hold_where_the_origin_uses_others() -> None:
    data = live(1, 5).replace(
        b"<MPD ",
        b'<MPD xmlns:foo="urn:mpeg:cenc:2013" xmlns:bar="http://dashif.org/guidelines/clearKey" foo:x="1"'
        b' xmlns:dashif="urn:other" xmlns:cenc="urn:another" ',
    )
    for cls in (CENC, CENC_PERIOD, CBCS):
        body = rewrite_mpd(data, context(cls), MPD_AT, "index.mpd", START_MS).body.decode()
        assert "<clearkey:Laurl " in body
        assert '<dashif:Laurl xmlns:dashif="https://dashif.org/CPS">' in body
        assert re.search(r'xmlns:cenc="urn:mpeg:cenc:2013"[^>]* cenc:default_KID=', body)


def test_dash_has_no_aes_128() -> None:
    with pytest.raises(RequestError, match="AES-128"):
        rewrite_mpd(live(1, 5), context(ManifestClass(Scheme.AES128)), MPD_AT, "index.mpd", 0)
