"""Watermark variants in manifests: what an ingest manifest lists once for each variant is shown to players once, and
without a word of it (ETSI TS 104 002 V1.1.1 §5.6.4, §5.6.5)."""

from collections.abc import Iterable

HLS_ATTRIBUTE = "WATERMARKING-VARIANT"
HLS_PACE_INFO = "EXT-X-WMPACEINFO"


def neutral_of(variants: Iterable[str]) -> str:
    """The variant whose listing stands for all: the first of those there are, as names or numbers count."""
    return min(variants, key=lambda name: (len(name), name))


def without_variant(uri: str, variant: str) -> str:
    """A segment's URI, or template of one, without the folder named after its variant, if it lies in one."""
    folder, slash, _ = uri.partition("?")[0].rpartition("/")
    above, _, name = folder.rpartition("/")
    if not slash or not variant or name != variant:
        return uri
    return (f"{above}/" if above or folder.startswith("/") else "") + uri[len(folder) + 1 :]
