"""Which key covers a Representation, and AdaptationSets that hold one kind of key each."""

from copy import deepcopy

from lxml.etree import SubElement
from lxml.etree import _Element as Element

from keys.model import TrackType
from relay.errors import UnsupportedMediaError
from relay.manifest.dash.addressing import Levels
from relay.manifest.dash.mpd import children, local, named
from relay.manifest.dash.values import integer
from relay.media.codec_names import kind_of
from relay.media.model import TrackKind

SWITCHING = "urn:mpeg:dash:adaptation-set-switching:2016"

_CLEAR = {"text", "image"}
_PROTECTABLE = ("mp4", "iso.segment", "x-m4v", "quicktime")
# The elements of RepresentationBaseType that come before SupplementalProperty's successors (§5.3.7.3).
_BEFORE_PROPERTIES = (
    "FramePacking", "AudioChannelConfiguration", "ContentProtection", "OutputProtection", "EssentialProperty",
    "SupplementalProperty",
)  # fmt: skip


def track_of(levels: Levels, default: TrackType) -> TrackType | None:
    """The track type of a Representation; None for text, images and metadata, which stay clear.

    ``default`` is that of video of unknown size. Raises :class:`UnsupportedMediaError` where it might be
    audio or video that cannot be protected: nothing goes out in the clear by guess.
    """
    kind, mime = _kind(levels), (levels.inherited("mimeType") or "").lower()
    if kind in _CLEAR:
        return None
    if kind not in ("video", "audio"):
        if kind == "application" and (_codecs(levels) == {TrackKind.CLEAR} or mime.endswith("xml")):
            return None
        raise UnsupportedMediaError(f"MPD: cannot tell what a Representation of type {mime[:64]!r} holds")
    if mime and not mime.partition("/")[2].startswith(_PROTECTABLE):
        raise UnsupportedMediaError(f"MPD: media of type {mime[:64]!r} cannot be protected")
    if kind == "audio":
        return TrackType.AUDIO
    sized = [e for e in (levels.representation, levels.adaptation_set) if "width" in e.attrib and "height" in e.attrib]
    if not sized:
        return default
    return TrackType.of_picture(integer(sized[0], "width"), integer(sized[0], "height"))


def split_by_key(period: Element, tracks: dict[Element, TrackType | None]) -> None:
    """Split AdaptationSets whose Representations need several keys, linking the parts for switching.

    ``tracks`` gives the track type of each Representation. Every AdaptationSet of the Period then has an
    @id: the first part keeps its own, the others' follow from it, so they are the same on every refresh.
    """
    sets = children(period, "AdaptationSet")
    taken = {found.get("id", "") for found in sets}
    for place, found in enumerate(sets):
        own = found.get("id")
        base = int(own) if own and own.isascii() and own.isdigit() and len(own) < 9 else 100_000 + place
        if own is None:
            own = _free(base, taken)
            found.set("id", own)
        groups: dict[TrackType | None, list[Element]] = {}
        for representation in children(found, "Representation"):
            groups.setdefault(tracks[representation], []).append(representation)
        if len(groups) < 2:
            continue
        parts = {own: found}
        for track, members in list(groups.items())[1:]:
            rank = 0 if track is None else track.rank + 1
            name = _free(1_000_000 + 10 * base + rank, taken)
            parts[name] = _part(list(parts.values())[-1], members)
            parts[name].set("id", name)
        for name, part in parts.items():
            add_property(part, SWITCHING, ",".join(other for other in parts if other != name))


def add_property(element: Element, scheme: str, value: str) -> None:
    """Add a SupplementalProperty where the schema wants it."""
    place = sum(1 for child in element if local(child) in _BEFORE_PROPERTIES)
    prop = SubElement(element, named(element, "SupplementalProperty"), schemeIdUri=scheme, value=value)
    element.insert(place, prop)


def _part(behind: Element, members: list[Element]) -> Element:
    """A copy of an AdaptationSet, put behind it, that takes over ``members`` of its family."""
    part = deepcopy(behind)
    for representation in children(part, "Representation"):
        part.remove(representation)
    behind.addnext(part)
    for representation in members:
        part.append(representation)
    return part


def _free(number: int, taken: set[str]) -> str:
    while str(number) in taken:
        number += 1
    taken.add(str(number))
    return str(number)


def _kind(levels: Levels) -> str:
    declared = {component.get("contentType", "") for component in children(levels.adaptation_set, "ContentComponent")}
    declared.add(levels.inherited("contentType") or "")
    major = (levels.inherited("mimeType") or "").partition("/")[0].lower()
    if "video" in declared:
        return "video"
    if "audio" in declared:
        return "audio"
    if major == "video" and _codecs(levels) == {TrackKind.AUDIO}:
        return "audio"
    # A type that says audio or video is protected whatever else is said: only then can it be clear.
    if major in ("video", "audio"):
        return major
    return next((kind for kind in ("text", "image", "application") if kind in declared or kind == major), "")


def _codecs(levels: Levels) -> set[TrackKind | None]:
    """The kinds of what @codecs lists; None stands for a codec that is not known."""
    return {kind_of(codec) for codec in (levels.inherited("codecs") or "").split(",") if codec.strip()}
