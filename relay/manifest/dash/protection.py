"""ContentProtection: how an MPD shows the keys of an AdaptationSet (ISO/IEC 23001-7 §11, DASH-IF IOP part 6)."""

from base64 import b64encode
from collections.abc import Sequence
from uuid import UUID

from lxml.etree import SubElement
from lxml.etree import _Element as Element

from keys.model import KeySignal, Scheme
from keys.signalling import playready, systems, widevine
from relay.manifest.context import LICENCE_URL
from relay.manifest.dash.mpd import local, named
from relay.model import ManifestClass, System

# Some players compare these prefixes letter by letter.
CENC = {"cenc": "urn:mpeg:cenc:2013"}
MSPR = {"mspr": "urn:microsoft:playready"}
DASHIF = {"dashif": "https://dashif.org/CPS"}
CLEARKEY = {"clearkey": "http://dashif.org/guidelines/clearKey"}

MP4_PROTECTION = "urn:mpeg:dash:mp4protection:2011"

MAX_LISTED_KEYS = 48
"""How many keys one pssh lists at most: PlayReady's object may not pass 15 KB."""

_BEFORE = ("FramePacking", "AudioChannelConfiguration")


def protect(adaptation_set: Element, own: KeySignal, window: Sequence[KeySignal], cls: ManifestClass) -> None:
    """Put ContentProtection for the key ``own`` before all that the schema lets follow it.

    ``window`` are the keys of the whole MPD: listing them all in every pssh makes the initialisation data
    of all AdaptationSets and Periods one, for which players ask one licence.
    """
    listed = list(window) if len(window) <= MAX_LISTED_KEYS else [own]
    place = sum(1 for child in adaptation_set if local(child) in _BEFORE)
    following = list(adaptation_set)[place:]
    general = _add(adaptation_set, MP4_PROTECTION, str(cls.scheme))
    general.set(f"{{{CENC['cenc']}}}default_KID", str(UUID(bytes=own.kid)))
    for system in cls.systems:
        match system:
            case System.CLEARKEY:
                _clearkey(_add_system(adaptation_set, systems.CLEARKEY, "ClearKey1.0"))
            case System.WIDEVINE:
                pssh = widevine.pssh([signal.kid for signal in listed], cls.scheme)
                _child(_add_system(adaptation_set, systems.WIDEVINE), CENC, "pssh", _base64(pssh))
            case System.PLAYREADY:
                element = _add_system(adaptation_set, systems.PLAYREADY, "MSPR 2.0")
                _child(element, CENC, "pssh", _base64(playready.pssh(listed, cls.scheme)))
                _child(element, MSPR, "pro", _base64(playready.pro(listed, cls.scheme)))
            case System.FAIRPLAY if cls.scheme is Scheme.CBCS:
                _add_system(adaptation_set, systems.FAIRPLAY)
            case _:
                pass  # identity is a key format of HLS; FairPlay knows no cenc
    # Moved behind instead of inserting before: lxml renames the prefixes of what is moved.
    adaptation_set.extend(following)


def _add_system(parent: Element, system: UUID, value: str | None = None) -> Element:
    return _add(parent, f"urn:uuid:{system}", value)


def _add(parent: Element, scheme: str, value: str | None) -> Element:
    element: Element = SubElement(parent, named(parent, "ContentProtection"), schemeIdUri=scheme, nsmap=CENC)
    if value is not None:
        element.set("value", value)
    return element


def _clearkey(element: Element) -> None:
    _child(element, DASHIF, "Laurl", LICENCE_URL)
    _child(element, CLEARKEY, "Laurl", LICENCE_URL).set("Lic_type", "EME-1.0")


def _child(parent: Element, namespace: dict[str, str], name: str, text: str) -> Element:
    (uri,) = namespace.values()
    child: Element = SubElement(parent, f"{{{uri}}}{name}", nsmap=namespace)
    child.text = text
    return child


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
