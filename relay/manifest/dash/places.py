"""Every place of an MPD besides addressing where a URL can hide, and what becomes of it.

Addressing (BaseURL, segment templates, lists, bases) is rewritten elsewhere. Here is all the rest that
could lead a player around the relay or show it the origin.
"""

import re
from datetime import UTC, datetime, timedelta

from lxml.etree import _Element as Element

from relay.errors import AlreadyProtectedError, UnsupportedMediaError
from relay.manifest.dash.mpd import children, descendants, local, remove, serialise
from relay.sources import OriginScope

_XLINK = "{http://www.w3.org/1999/xlink}"
_RESOLVE_TO_ZERO = "urn:mpeg:dash:resolve-to-zero:2013"
_DVB_URL = "{urn:dvb:dash:dash-extensions:2014-1}url"
_URL_PARAMETERS = re.compile(r"urn:mpeg:dash:urlparam:20\d\d")
_CALLBACK = "urn:mpeg:dash:event:callback:2015"
_DIRECT = "urn:mpeg:dash:utc:direct:2014"
_HTTP_TIME = re.compile(r"urn:mpeg:dash:utc:http-")

# Refresh, steering and reporting addresses: players stay with the URL that the MPD came from, and
# report to nobody. An InitializationSet repeats init segments under the origin's addresses.
_DROPPED = (
    "Location", "PatchLocation", "ContentSteering", "Metrics", "InitializationSet", "InitializationGroup",
    "InitializationPresentation", "ImportedMPD", "EmptyAdaptationSet", "RepresentationIndex", "BitstreamSwitching",
)  # fmt: skip


def refuse_protected(root: Element) -> None:
    """Raise :class:`AlreadyProtectedError` for a ContentProtection anywhere."""
    if next(descendants(root, "ContentProtection"), None) is not None:
        raise AlreadyProtectedError("MPD: holds ContentProtection, so its media is encrypted already")


def clean(root: Element, scope: OriginScope, now_ms: int) -> None:
    """Remove or replace what the module says.

    Raises :class:`UnsupportedMediaError` where the origin wants players to add query parameters.
    """
    remove(element for element in descendants(root, *_DROPPED) if not _in_event(element))
    _drop_links(root)
    _drop_properties(root)
    for element in descendants(root, "ProgramInformation", "LeapSecondInformation"):
        for name in [name for name in element.attrib if str(name).lower().endswith("url")]:
            del element.attrib[name]
    remove(stream for stream in descendants(root, "EventStream", "InbandEventStream") if _is(stream, _CALLBACK))
    remove(event for event in descendants(root, "Event") if _shows(event, scope))
    _replace_clocks(root, scope, now_ms)


def _drop_links(root: Element) -> None:
    """XLink (ISO/IEC 23009-1 §5.5): what is only a reference goes; where content stands in for it, that stays."""
    linked = [element for element in root.iter() if f"{_XLINK}href" in element.attrib and not _in_event(element)]
    for element in linked:
        if element.get(f"{_XLINK}href") == _RESOLVE_TO_ZERO or len(element) == 0:
            remove([element])
        for name in [name for name in element.attrib if str(name).startswith(_XLINK)]:
            del element.attrib[name]


def _drop_properties(root: Element) -> None:
    for prop in list(descendants(root, "EssentialProperty", "SupplementalProperty")):
        adds_query = _URL_PARAMETERS.match(prop.get("schemeIdUri", "")) or any(
            local(child) in ("UrlQueryInfo", "ExtUrlQueryInfo", "ExtHttpHeaderInfo", "RequestParam") for child in prop
        )
        if adds_query and local(prop) == "EssentialProperty":
            raise UnsupportedMediaError("MPD: wants players to add URL parameters (urn:mpeg:dash:urlparam)")
        if adds_query or _DVB_URL in prop.attrib:
            remove([prop])


def _replace_clocks(root: Element, scope: OriginScope, now_ms: int) -> None:
    """Time servers (§5.8.4.11). The origin's own is replaced by our time, which can only be late, never early."""
    ours = False
    for timing in children(root, "UTCTiming"):
        if not _HTTP_TIME.match(timing.get("schemeIdUri", "")):
            continue
        urls = timing.get("value", "").split()
        if all("://" in url for url in urls) and not _shows(timing, scope):
            continue
        if ours:
            remove([timing])
            continue
        ours = True
        timing.set("schemeIdUri", _DIRECT)
        timing.set("value", _iso(now_ms))


def _shows(element: Element, scope: OriginScope) -> bool:
    return scope.named_in(serialise(element).decode())


def _in_event(element: Element) -> bool:
    """Whether an element is part of an event's message, which players hand to the application as it is."""
    return any(local(above) == "Event" for above in element.iterancestors())


def _is(element: Element, scheme: str) -> bool:
    return element.get("schemeIdUri", "").strip().lower() == scheme


def _iso(now_ms: int) -> str:
    # Not fromtimestamp: it goes through floats and the platform's limits.
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now_ms % 1000:03d}Z"
