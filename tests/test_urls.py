"""Session URLs: what is written is read again, and what was edited is refused or means the same."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keys.model import Scheme, TrackType
from keys.periods import Clock
from keys.seal import Sealer
from relay.errors import UrlError
from relay.model import ManifestClass, Signalling
from relay.sources import ByteRange, Source, canonical_path
from relay.urls import (
    MAX_URL,
    ClearRef,
    Clocked,
    InitRef,
    KeyRef,
    PlaylistRef,
    Ref,
    SegmentRef,
    SessionUrls,
    SlotRef,
    Span,
    TemplateRef,
)

OLD, NEW = b"\x01" * 32, b"\x02" * 32
SEALER = Sealer([b"\x03" * 32])
CLS = ManifestClass(Scheme.CENC)
URLS = SessionUrls("news", CLS, [NEW], SEALER)

letters = st.characters(exclude_categories=["Cs"], exclude_characters="/")
paths = st.lists(st.text(letters, max_size=8), min_size=1, max_size=4).map("/".join).map(canonical_path)
queries = st.just("") | st.text(letters, min_size=1, max_size=20)
sources = st.builds(Source, paths, queries, st.integers(0, 8))
naturals = st.integers(0, 2**53)
tracks = st.sampled_from(TrackType)
slots = st.builds(SlotRef, tracks, st.integers(0, 9), st.none() | st.integers(0, 2**50))
ranges = st.none() | st.builds(ByteRange, naturals, st.none() | naturals)
playlists = st.builds(PlaylistRef, sources, st.none() | tracks)
inits = st.builds(InitRef, sources, slots, ranges)
clears = st.builds(ClearRef, sources, ranges)
keys = st.builds(KeyRef, slots)
segments = st.builds(SegmentRef, sources, slots, ranges, st.none(), st.none(), st.none() | naturals) | st.builds(
    SegmentRef, sources, slots, ranges, sources, ranges, st.none() | naturals
)
spans = st.lists(st.builds(Span, naturals, st.none() | naturals, st.integers(0, 9), naturals), max_size=4).map(tuple)
clocks = st.none() | st.builds(Clocked, st.integers(-(2**50), 2**50), naturals, naturals, naturals)
templates = st.builds(TemplateRef, sources, st.none() | tracks, st.none(), st.none(), spans, clocks) | st.builds(
    TemplateRef, sources, tracks, sources, ranges, spans, clocks
)
fixed = playlists | inits | clears | keys | segments

SEGMENT = SegmentRef(
    Source("hd/seg%201@.m4s", "token=x"),
    SlotRef(TrackType.HD, 1, 600_000),
    ByteRange(10, 20),
    Source("@init.mp4", "", 1),
    ByteRange(0, None),
    7,
)
TEMPLATE = TemplateRef(
    Source("v/(number:05).m4s"),
    TrackType.UHD,
    Source("v/init.mp4"),
    spans=(Span(1, 5, 1, 0), Span(6, None, 1, 600_000)),
    clock=Clocked(0, 1, 2, 1, Clock.MEDIA),
)


def read(url: str, urls: SessionUrls = URLS) -> tuple[Ref, int | None]:
    path, _, query = url.partition("?")
    return urls.read(path, query)


def read_or_none(url: str, urls: SessionUrls = URLS) -> tuple[Ref, int | None] | None:
    try:
        return read(url, urls)
    except UrlError:
        return None


@given(fixed)
@example(SEGMENT)
def test_every_resource_is_read_as_it_was_written(ref: Ref) -> None:
    url = URLS.write(ref)
    assert read(url) == (ref, None)
    assert not set(url) & set(" \"'<>$\\") - {"'"}
    assert url.isascii()


@given(templates, st.integers(0, 2**62))
def test_every_template_is_read_with_its_value(ref: TemplateRef, value: int) -> None:
    for identifier in ("$Number$", "$Time$"):
        url = URLS.write_template(ref, identifier)
        assert url.count("$") == 2
        assert read(url.replace(identifier, str(value))) == (ref, value)


def test_the_origins_query_is_not_shown() -> None:
    hidden = Source("x.m4s", "hdnts=secret")
    for ref in (SegmentRef(hidden, SEGMENT.slot, init=hidden), TemplateRef(hidden, None, None), ClearRef(hidden)):
        assert "hdnts" not in URLS.write(ref)
        assert "secret" not in URLS.write(ref)


# Characters that mean something in URLs, numbers or slots, beside ordinary ones.
ALPHABET = "abz019-._~!*'();:@&=+$,/?%#[]{} \u0661é\udcff"


@pytest.mark.parametrize("ref", [SEGMENT, PlaylistRef(Source("a.m3u8"), None), KeyRef(SlotRef(TrackType.SD, 1, 0))])
def test_any_single_edit_is_refused_or_means_the_same(ref: Ref) -> None:
    url = URLS.write(ref)
    for at in range(len(url) + 1):
        edits = [url[:at] + url[at + 1 :]]
        for character in ALPHABET:
            edits += [url[:at] + character + url[at:], url[:at] + character + url[at + 1 :]]
        for edited in edits:
            assert read_or_none(edited) in (None, (ref, None)), edited


def test_any_single_edit_of_a_template_changes_the_value_at_most() -> None:
    url = URLS.write_template(TEMPLATE, "$Number$").replace("$Number$", "3")
    for at in range(len(url) + 1):
        for character in ALPHABET:
            for edited in (url[:at] + character + url[at:], url[:at] + character + url[at + 1 :]):
                found = read_or_none(edited)
                assert found is None or found[0] == TEMPLATE, edited


@given(fixed, st.integers(0, 400), st.text(max_size=3), st.integers(0, 3))
def test_longer_edits_are_no_different(ref: Ref, at: int, text: str, dropped: int) -> None:
    url = URLS.write(ref)
    assert read_or_none(url[:at] + text + url[at + dropped :]) in (None, (ref, None))


@given(fixed)
def test_every_truncation_is_refused(ref: Ref) -> None:
    url = URLS.write(ref)
    for size in range(len(url)):
        assert read_or_none(url[:size]) is None


def test_parameters_of_others_are_ignored_and_ours_may_not_be_added() -> None:
    url = URLS.write(SEGMENT)
    assert read(url + "&CMCD=bl%3D100&_HLS_msn=7") == (SEGMENT, None)
    for added in ("r=0-5", "m=x", "mr=0-1", "n=1", "q=AAAA", "mq=AAAA", "sig=AAAA", "sig="):
        assert read_or_none(f"{url}&{added}") is None, added


@pytest.mark.parametrize(
    "other",
    [
        SessionUrls("news2", CLS, [NEW], SEALER),
        SessionUrls("news", ManifestClass(Scheme.CBCS), [NEW], SEALER),
        SessionUrls("news", ManifestClass(Scheme.CENC, Signalling.PERIOD), [NEW], SEALER),
        SessionUrls("news", ManifestClass(Scheme.CENC, ceiling=TrackType.SD), [NEW], SEALER),
        SessionUrls("news", CLS, [OLD], SEALER),
        SessionUrls("news", CLS, [NEW], Sealer([b"\x04" * 32])),
    ],
)
def test_a_url_is_good_for_its_own_stream_class_and_keys_only(other: SessionUrls) -> None:
    assert read_or_none(other.write(SEGMENT)) is None
    assert read_or_none(URLS.write(SEGMENT), other) is None


def test_a_replaced_key_still_reads_and_no_longer_writes() -> None:
    before, during = SessionUrls("news", CLS, [OLD], SEALER), SessionUrls("news", CLS, [NEW, OLD], SEALER)
    assert read(before.write(SEGMENT), during) == (SEGMENT, None)
    assert during.write(SEGMENT) == URLS.write(SEGMENT)


def test_a_signature_does_not_move_between_resources() -> None:
    signature = URLS.write(SEGMENT).rpartition("sig=")[2]
    other = URLS.write(KeyRef(SEGMENT.slot)).rpartition("sig=")[0]
    assert read_or_none(other + "sig=" + signature) is None


def test_a_url_past_the_limit_is_refused() -> None:
    url = URLS.write(SEGMENT)
    assert read(url + "&x=" + "a" * (MAX_URL - len(url) - 5)) == (SEGMENT, None)
    with pytest.raises(UrlError, match="longer than"):
        read(url + "&x=" + "a" * MAX_URL)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", ""),
        ("x/y", "sig=AAAA"),
        ("s/hd.1/seg.m4s", "sig=AAAA"),
        ("s/8k.1.0/seg.m4s", "sig=AAAA"),
        ("s/hd.1.x/seg.m4s", "sig=AAAA"),
        ("s/hd.-1.0/seg.m4s", "sig=AAAA"),
        ("s/hd.1.0/seg.m4s", ""),
        ("s/hd.1.0/seg.m4s", "sig=%ff%fe"),
        ("s/hd.1.0/seg.m4s", "sig=\udcff"),
        ("s/hd.1.0/%ff.m4s", "sig=AAAA"),
        ("s/hd.1.0/\udcff.m4s", "sig=AAAA"),
        ("s/hd.1.0/@x/seg.m4s", "sig=AAAA"),
        ("s/hd.1.0/@99999999999999999999/seg.m4s", "sig=AAAA"),
        ("s/hd.1.0/seg.m4s", "r=5&sig=AAAA"),
        ("s/hd.1.0/seg.m4s", "r=a-b&sig=AAAA"),
        ("s/hd.1.0/seg.m4s", "q=%00&sig=AAAA"),
        ("s/hd.1.0/seg.m4s", "n=" + "9" * 5000 + "&sig=AAAA"),
        ("t/hd/1.m4s", "sig=AAAA"),
        ("t/hd/x.m4s", "t=a&sig=AAAA"),
        ("t/hd/-1.m4s", "t=a&sig=AAAA"),
        ("t/hd/1.m4s", "t=a&k=1,2&sig=AAAA"),
        ("t/hd/1.m4s", "t=a&k=1,2,3,4,5&sig=AAAA"),
        ("t/hd/1.m4s", "t=a&p=1&sig=AAAA"),
        ("t/hd/1.m4s", "t=a&p=,&sig=AAAA"),
        ("k/hd.1.0", "sig=AAAA"),
    ],
)
def test_made_up_urls_raise_nothing_else(path: str, query: str) -> None:
    with pytest.raises(UrlError):
        URLS.read(path, query)


@given(st.sampled_from("mcikst"), st.text(max_size=30), st.text(max_size=30))
def test_any_text_raises_nothing_but_a_url_error(kind: str, path: str, query: str) -> None:
    with pytest.raises(UrlError):
        URLS.read(f"{kind}/{path}", f"{query}&sig=AAAA")


def test_a_numbered_clock_counts_from_its_origin() -> None:
    clock = Clocked(origin_ms=1000, start_number=5, duration=180_180, timescale=90_000, clock=Clock.WALL)
    assert [clock.start_of(number) for number in (4, 5, 6, 1005)] == [-1002, 1000, 3002, 2_003_000]
