"""Broken and hostile MPDs: only the errors that blame the origin, and quickly."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import ManifestError, OriginError
from relay.manifest.dash import mpd
from relay.manifest.dash.rewrite import index_requests, rewrite_mpd
from relay.model import ManifestClass
from relay.sources import Source
from tests.manifest.dash.world import MPD_AT, START_MS, live
from tests.manifest.hls.world import CENC, CENC_PERIOD, HOST, context

GOLDEN = Path(__file__).parents[2] / "golden" / "dash"
SEEDS = [live(1, 30), *(path.read_bytes() for path in sorted(GOLDEN.glob("*.in.mpd")))]
BOMB = (
    b'<!DOCTYPE MPD [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
)
HEAD = b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'


def attempt(data: bytes, cls: ManifestClass = CENC) -> None:
    ctx = context(cls, vod=True)
    body = b""
    # Anything else than an error that blames the origin fails the test.
    with suppress(OriginError):
        index_requests(data, ctx, MPD_AT)
        body = rewrite_mpd(data, ctx, MPD_AT, "index.mpd", START_MS).body
    assert f"//{HOST}" not in body.decode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not well-formed"),
        (b"\xff\xfe<\x00", "not UTF-8"),
        ("<MPD/>".encode("utf-16-be"), "not well-formed"),
        (b"<MPD>", "not well-formed"),
        (b"<html/>", "root element"),
        (HEAD + b"</MPD>", "no Period"),
        (BOMB + HEAD + b"&c;</MPD>", "document type"),
        (b'<!DOCTYPE MPD [<!ENTITY x SYSTEM "file:///etc/passwd">]><MPD>&x;</MPD>', "document type"),
        (b'<!DOCTYPE MPD SYSTEM "http://elsewhere.example/x.dtd"><MPD/>', "document type"),
        (HEAD + b"&unknown;</MPD>", "not well-formed"),
        (HEAD + b"<a>" * 100 + b"</a>" * 100 + b"</MPD>", "nested deeper"),
        (HEAD + b"<a>" * 5000 + b"</a>" * 5000 + b"</MPD>", "not well-formed"),
        (HEAD + b"<a/>" * (2 * mpd.MAX_ELEMENTS) + b"</MPD>", "elements"),
        (HEAD + b" " * mpd.MAX_BYTES + b"</MPD>", "more than"),
        (b'<MPD type="dynamic"><Period/></MPD>', "availabilityStartTime"),
        (HEAD + b"<Period/><Period/></MPD>", "where a Period starts"),
        (HEAD + b'<Period start="PT5S"/><Period start="PT3S"/></MPD>', "ends before"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        rewrite_mpd(data, context(), MPD_AT, "index.mpd", 0)


def test_a_declared_encoding_does_not_matter() -> None:
    data = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-16"?>' + live(1, 5)
    assert rewrite_mpd(data, context(), MPD_AT, "index.mpd", START_MS).body


@pytest.mark.parametrize("cls", [CENC, CENC_PERIOD], ids=str)
def test_mutations_raise_only_errors_of_the_origin(cls: ManifestClass) -> None:
    chance = random.Random(7)
    values = [
        b"",
        b"-1",
        b"0",
        b"9" * 18,
        b"9" * 40,
        b"PT1S",
        b"$Time$",
        b"$",
        b"../../..",
        b"http://[",
        b"//x",
        b"%2e%2e/",
        b"audio",
    ]
    for _ in range(400):
        data = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(1, 3)):
            quotes = [at for at, byte in enumerate(data) if byte == 0x22]
            at = chance.randrange(0, len(quotes) - 1, 2)
            if chance.random() < 0.7:
                data[quotes[at] + 1 : quotes[at + 1]] = chance.choice(values)
            else:
                spot = chance.randrange(len(data))
                data[spot : spot + chance.randint(0, 40)] = chance.randbytes(chance.randint(0, 2))
        attempt(bytes(data), cls)


@given(st.binary(max_size=300))
def test_noise(noise: bytes) -> None:
    attempt(noise)


@settings(max_examples=60)
@given(
    st.sampled_from(["timescale", "presentationTimeOffset", "startNumber", "duration", "media", "initialization"]),
    st.one_of(st.integers(-5, 2**70).map(str), st.text("0123456789$()%/.:aNumberTime", max_size=24)),
)
def test_template_attributes(name: str, value: str) -> None:
    template = {"timescale": "10", "duration": "20", "media": "$Number$", "initialization": "i", name: value}
    attributes = " ".join(f'{n}="{v}"' for n, v in template.items())
    attempt(
        f'<MPD mediaPresentationDuration="PT20S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<SegmentTemplate {attributes}/><Representation id="v"/></AdaptationSet></Period></MPD>'.encode()
    )


def test_huge_repeats_cost_nothing() -> None:
    data = live(1, 30).replace(b'r="29"', b'r="3000000000"')
    for cls in (CENC, CENC_PERIOD):
        with pytest.raises(ManifestError, match="crypto periods"):
            rewrite_mpd(data, context(cls), MPD_AT, "index.mpd", START_MS)
    assert rewrite_mpd(data, context(interval_ms=0), Source("x.mpd"), "index.mpd", START_MS).body
