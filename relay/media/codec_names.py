"""Codec names: what kind of track each stands for.

One name serves in two places: as the format of a sample entry (ISO/IEC 14496-12 §8.5.2) and, with details
behind a dot, in the ``codecs`` that manifests give of a rendition (RFC 6381 §3.3).
"""

from collections.abc import Mapping

from relay.media.model import TrackKind

CONFIG_BOX: Mapping[bytes, bytes] = {
    b"avc1": b"avcC",
    b"avc3": b"avcC",
    b"dva1": b"avcC",
    b"dvav": b"avcC",
    b"hvc1": b"hvcC",
    b"hev1": b"hvcC",
    b"dvh1": b"hvcC",
    b"dvhe": b"hvcC",
    b"vp09": b"vpcC",
    b"av01": b"av1C",
}
"""The video that can be protected, each with the box that holds its decoder configuration."""

AUDIO = frozenset({b"mp4a", b"ac-3", b"ec-3", b"Opus", b"fLaC", b"alac", b"mha1", b"mhm1"})
"""Audio that is protected whole-sample."""

# AC-4 takes a pattern of its own in cbcs; the rest has no rule here.
_OTHER_AUDIO = frozenset({b"ac-4", b"mha2", b"mhm2", b"iamf", b"mp3"} | {b"dtsc", b"dtse", b"dtsh", b"dtsl", b"dtsx"})

CLEAR = frozenset(
    {b"wvtt", b"stpp", b"sbtt", b"stxt", b"tx3g", b"c608", b"c708", b"im1t", b"im1i"}
    | {b"mett", b"metx", b"urim", b"evte", b"tmcd"}
    | {b"jpeg", b"png ", b"mjpg"}
)
"""Text, timed metadata and pictures: left as they are."""

_KINDS: Mapping[str, TrackKind] = {
    name.decode().strip().lower(): kind
    for kind, names in (
        (TrackKind.VIDEO, CONFIG_BOX),
        (TrackKind.AUDIO, AUDIO | _OTHER_AUDIO),
        (TrackKind.CLEAR, CLEAR),
    )
    for name in names
}


def kind_of(codec: str) -> TrackKind | None:
    """What an element of a manifest's ``codecs`` stands for; None where it is not known.

    Case does not matter: manifests write ``opus`` and ``flac``, sample entries ``Opus`` and ``fLaC``.
    """
    return _KINDS.get(codec.partition(".")[0].strip().lower())
