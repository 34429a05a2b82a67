"""Whole MPDs, input beside output. ``UPDATE_GOLDEN=1 pytest …`` writes the outputs anew."""

import os
from pathlib import Path

import pytest
from lxml import etree

from relay.manifest.dash.rewrite import rewrite_mpd
from relay.model import ManifestClass
from tests.manifest.dash.world import MPD_AT, START_MS, play
from tests.manifest.hls.world import CBCS, CBCS_PERIOD, CENC, CENC_DRM, CENC_PERIOD, HOST, context

GOLDEN = Path(__file__).parents[2] / "golden" / "dash"
NOW_MS = START_MS + 3_640_000

CASES = [
    *(("live-timeline", cls) for cls in (CENC, CENC_PERIOD, CENC_DRM, CBCS, CBCS_PERIOD)),
    *(("live-number", cls) for cls in (CENC, CENC_PERIOD)),
    *(("vod-lists", cls) for cls in (CENC, CENC_PERIOD)),
    ("watermark-ingest", CENC),
]


@pytest.mark.parametrize(("name", "cls"), CASES, ids=[f"{name}.{cls}" for name, cls in CASES])
def test_golden(name: str, cls: ManifestClass) -> None:
    ctx = context(cls, vod=True, marked=name.startswith("watermark"))
    body = rewrite_mpd((GOLDEN / f"{name}.in.mpd").read_bytes(), ctx, MPD_AT, "index.mpd", NOW_MS).body

    # Laid out for readers of the golden file; what is served differs in white space alone.
    root = etree.fromstring(body, etree.XMLParser(remove_blank_text=True))
    laid_out = etree.tostring(root, pretty_print=True)
    golden = GOLDEN / f"{name}.{cls}.mpd"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_bytes(laid_out)
    assert laid_out == golden.read_bytes()
    assert HOST.encode() not in body
    assert b"hidden" not in body
    assert play(body, ctx, now_ms=NOW_MS, depth_s=20)
