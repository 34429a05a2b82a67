"""Watermark variants in an MPD: AdaptationSets, or Representations, that differ by a property alone, made one."""

from collections.abc import Iterator

from lxml.etree import _Element as Element

from relay.manifest.dash import mpd
from relay.manifest.variants import neutral_of, without_variant

_SCHEMES = ("http://dashif.org/guidelines/watermarking_", "https://dashif.org/guidelines/watermarking_")
"""The standard's own examples have both."""
_VARIANT, _PACE_INFO = "variant#", "wmpaceinfo"
_PROPERTIES = ("EssentialProperty", "SupplementalProperty")


def neutralise(root: Element, marked: bool) -> None:
    """Show each group of variants once, and take off everything that tells of variants or of sidecars.

    Where a variant will be chosen (``marked``), addresses of segments, and of files that hold them all, lose the folder
    of the variant. Init segments that are files keep theirs: variants share them.
    """
    for period in mpd.children(root, "Period"):
        for variant, element in _shown(period):
            if marked:
                _rename(element, variant)
    mpd.remove(prop for prop in list(mpd.descendants(root, *_PROPERTIES)) if _about(prop) is not None)


def _shown(period: Element) -> Iterator[tuple[str, Element]]:
    """What remains of each group of a Period, and the variant that it is; the others are taken out."""
    groups: dict[str, list[tuple[str, Element]]] = {}
    for element in mpd.descendants(period, "AdaptationSet", "Representation"):
        for prop in mpd.children(element, *_PROPERTIES):
            about = _about(prop)
            if about and about.startswith(_VARIANT):
                groups.setdefault(prop.get("value", ""), []).append((about.removeprefix(_VARIANT), element))
    for members in groups.values():
        neutral = neutral_of(variant for variant, _ in members)
        mpd.remove(element for variant, element in members if variant != neutral)
        yield from (member for member in members if member[0] == neutral)


def _rename(element: Element, variant: str) -> None:
    for addressed in mpd.descendants(element, "SegmentTemplate", "SegmentURL"):
        if "media" in addressed.attrib:
            addressed.set("media", without_variant(addressed.get("media", ""), variant))
    for base in mpd.descendants(element, "BaseURL"):
        if base.text and not base.text.rstrip().endswith("/"):
            base.text = without_variant(base.text.strip(), variant)


def _about(prop: Element) -> str | None:
    """What a property tells of a watermark; None where it is about something else."""
    scheme = prop.get("schemeIdUri", "").strip()
    for prefix in _SCHEMES:
        if scheme.startswith((prefix + _VARIANT, prefix + _PACE_INFO)):
            return scheme.removeprefix(prefix)
    return None
