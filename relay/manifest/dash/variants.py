"""Watermark variants in an MPD: AdaptationSets, or Representations, that differ by a property alone, made one."""

from lxml.etree import _Element as Element

from relay.manifest.dash import mpd
from relay.manifest.variants import neutral_of, without_variant

_SCHEMES = ("http://dashif.org/guidelines/watermarking_", "https://dashif.org/guidelines/watermarking_")
"""The standard's own examples have both."""
_VARIANT, _PACE_INFO = "variant#", "wmpaceinfo"
_PROPERTIES = ("EssentialProperty", "SupplementalProperty")


def neutralise(root: Element) -> None:
    """Show each group of variants once, and take off everything that tells of variants or of sidecars.

    The addresses of segments lose the folder of the variant; init segments, which variants share, keep theirs, and so
    do single files (BaseURL), whose index could not be found without it.
    """
    for period in mpd.children(root, "Period"):
        _show_once(period)
    mpd.remove(prop for prop in list(mpd.descendants(root, *_PROPERTIES)) if _about(prop) is not None)


def _show_once(period: Element) -> None:
    groups: dict[str, list[tuple[str, Element]]] = {}
    for element in mpd.descendants(period, "AdaptationSet", "Representation"):
        for prop in mpd.children(element, *_PROPERTIES):
            about = _about(prop)
            if about and about.startswith(_VARIANT):
                groups.setdefault(prop.get("value", ""), []).append((about.removeprefix(_VARIANT), element))
    for members in groups.values():
        neutral = neutral_of(variant for variant, _ in members)
        mpd.remove(element for variant, element in members if variant != neutral)
        for variant, element in members:
            if variant == neutral:
                _rename(element, variant)


def _rename(element: Element, variant: str) -> None:
    for addressed in mpd.descendants(element, "SegmentTemplate", "SegmentURL"):
        if "media" in addressed.attrib:
            addressed.set("media", without_variant(addressed.get("media", ""), variant))


def _about(prop: Element) -> str | None:
    """What a property tells of a watermark; None where it is about something else."""
    scheme = prop.get("schemeIdUri", "").strip()
    for prefix in _SCHEMES:
        if scheme.startswith((prefix + _VARIANT, prefix + _PACE_INFO)):
            return scheme.removeprefix(prefix)
    return None
