"""Fuzz targets of watermarking: what origins and encoders say of a segment's position, and watermark tokens."""

import cbor2

from keys import base64url
from relay.errors import MediaError
from relay.gate.dialects import cose
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import Signer
from relay.verdict import Deny
from relay.watermark.code import AssetCode
from relay.watermark.etsi import inband
from relay.watermark.etsi.carriers import take_out
from relay.watermark.etsi.pace import NOT_MARKED, PaceInfo, read_ingest
from relay.watermark.etsi.pattern_encryption import PatternKeys, encrypt0
from relay.watermark.etsi.sidecar import ByteRanges, Discrete, Segment, read_sidecar
from relay.watermark.etsi.vendors import Vendor, VendorKey
from relay.watermark.etsi.wmt import LABELS, Issue, WatermarkTokens, mint_direct, mint_indirect
from tests.fuzz.target import Target, text_of
from tests.gate.platform import AUDIENCE, EC_KEY, LEEWAY, MAX_LIFETIME, NOW, SECRET
from tests.media.build import Traf, box, fragment

_SIGNER = Signer("k1", "HS256", SECRET)
_CODE = AssetCode(bytes(32))
_KEYS = (VendorKey("HS256", SECRET),)
_TOKENS = WatermarkTokens(
    [Vendor(1, _KEYS, derives=True), Vendor(2, _KEYS, PatternKeys(SECRET, EC_KEY))],
    Terms("", AUDIENCE, LEEWAY, MAX_LIFETIME),
)
_MARKED = PaceInfo(33, 1)


def run_sidecar(data: bytes) -> bool:
    """A sidecar, and what it says of a segment."""
    try:
        sidecar = read_sidecar(data)
        if isinstance(sidecar, Discrete):
            found = sidecar.position_of("video_segment_5_124.mp4")
        else:
            found = sidecar.position_of(1200, 1300)
    except MediaError:
        return False
    assert found is None or found >= NOT_MARKED
    assert read_sidecar(sidecar.encode()).encode() == sidecar.encode()
    return True


def run_ingest(data: bytes) -> bool:
    """The header of pushed content: what is read says the same when it is written."""
    try:
        info = read_ingest(text_of(data))
    except MediaError:
        return False
    return read_ingest(info.encode_ingest()) == info


def run_pace(data: bytes) -> bool:
    """Pace information in a segment of any kind: where it can be walked, nothing of it is left."""
    try:
        gone = inband.overwritten(data)
    except MediaError:
        return False
    assert len(gone) == len(data)
    try:
        return inband.find(data) is not None and inband.find(gone) is None
    except MediaError:
        return False


def run_token(data: bytes) -> bool:
    """A watermark token as strangers send it."""
    return not isinstance(_TOKENS.verify(text_of(data), NOW), Deny)


def run_claims(data: bytes) -> bool:
    """Claims of a watermark token, signed."""
    if len(data) > 2048:
        return False
    found = _TOKENS.verify(cose.seal(data, _SIGNER), NOW)
    if isinstance(found, Deny):
        return False
    assert {found.bit(position, _CODE) for position in range(-1, 40)} <= {0, 1}
    return True


def run_carrier(data: bytes) -> bool:
    """The parts of a request that may carry a token, one a line."""
    path, query, header = [*text_of(data).split("\n"), "", ""][:3]
    found = take_out(path, query, header)
    return not isinstance(found, Deny) and bool(found.token)


_ISSUE = Issue(1, 64, NOW, NOW + 60, "w1", 3, 2)
_DIRECT = {4: NOW + 60, 6: NOW, 300: 1, 301: 1, 302: 32, 303: [60_000, 10_000], 304: b"\x0a\x0b\x0c\x0d"}
_SEALED = encrypt0(b"\x0a\x0b\x0c\x0d", SECRET, bytes(12))
WATERMARK_INPUTS = {
    "wm-sidecar": {
        "names": Discrete(Segment(21, "segment_.*?_124.mp4", True, False), Segment(22)).encode(),
        "ranges": ByteRanges(9999, (0, 1118, 2000), (-1, 0, 1)).encode(),
    },
    "wm-ingest": {"standard": _MARKED.encode_ingest().encode()},
    "wm-pace": {
        "box": inband.with_wmpi(box(b"styp", b"cmfs", bytes(4)) + fragment(Traf(1, [[b"picture"]])), _MARKED),
        "sei": fragment(Traf(1, [[b"\0\0\0\x19\x06\x05\x15" + inband.SEI_UUID + _MARKED.encode() + b"\x80"]])),
        "stream": b"\x47\x01\x00\x30\x0a\x01\x08\x00\xdf\x05" + _MARKED.encode() + bytes(173),
    },
    "wmt": {
        "direct": mint_direct(_ISSUE, _CODE, _SIGNER).encode(),
        "indirect": mint_indirect(_ISSUE, _SIGNER).encode(),
        "jwt": mint_direct(_ISSUE, _CODE, _SIGNER, form="jwt").encode(),
    },
    "wmt-claims": {
        "direct": cbor2.dumps(_DIRECT),
        "sealed": cbor2.dumps({**_DIRECT, 301: 2, 304: _SEALED}),
        "tagged": cbor2.dumps({**_DIRECT, 301: 2, 304: cbor2.loads(_SEALED)}),
        "indirect": cbor2.dumps({4: NOW + 60, 6: NOW, 300: 1, 301: 1, 302: 32, 305: "w1", 306: 3, 307: 2}),
    },
    "wmt-carrier": {"path": b"/wmt:abc/a/b.m4s", "query": b"/a\nx=1&wmt=abc", "header": b"/a\n\nWMT abc"},
}
WATERMARK_TARGETS = (
    Target("wm-sidecar", run_sidecar),
    Target("wm-ingest", run_ingest, (b'"position"', b"-1", b"32767", b"true")),
    Target("wm-pace", run_pace, (inband.SEI_UUID, b"wmpi", b"\x47", b"\xdf\x05", _MARKED.encode(), b"\xff" * 5)),
    Target("wmt", run_token, (b".", base64url.encode(b"\xd8\x3d").encode())),
    Target("wmt-claims", run_claims, tuple(cbor2.dumps(label) for label in LABELS.values())),
    Target("wmt-carrier", run_carrier, (b"wmt:", b"wmt=", b"WMT ", b"%", b"/", b"&", b"\n")),
)
