"""The WRMHEADER as it comes back in a challenge: which keys a client asks for (PlayReady Header Specification)."""

from dataclasses import dataclass

from lxml.etree import _Element as Element

from keys.errors import LicenceRequestError
from keys.licences.playready.markup import base64_of, children, only, text_of
from keys.material import kid_guid
from keys.model import Scheme

MAX_KIDS = 64

_SCHEMES = {"AESCTR": Scheme.CENC, "AESCBC": Scheme.CBCS}
_VERSIONS = {"4.0.0.0": (4, 0), "4.1.0.0": (4, 1), "4.2.0.0": (4, 2), "4.3.0.0": (4, 3)}


@dataclass(frozen=True, slots=True)
class Header:
    """``version`` is (4, 0) to (4, 3); ``keys`` has the key IDs asked for (big-endian, each once, in their order) and
    the protection scheme of each, None where the header does not say.
    """

    version: tuple[int, int]
    keys: tuple[tuple[bytes, Scheme | None], ...]

    @property
    def kids(self) -> tuple[bytes, ...]:
        """The key IDs alone."""
        return tuple(kid for kid, _ in self.keys)

    @property
    def several(self) -> bool:
        """Whether a client with this header takes more than one licence in a response."""
        return self.version >= (4, 2)


def read_header(element: Element) -> Header:
    """Read a WRMHEADER element; what else it holds is ignored. Raises :class:`LicenceRequestError`."""
    version = _VERSIONS.get(element.get("version") or "")
    if version is None:
        raise LicenceRequestError(f"PlayReady header: version is none of {', '.join(_VERSIONS)}")
    data = only(element, "DATA", what="PlayReady header")
    protect = children(data, "PROTECTINFO")
    if len(protect) > 1:
        raise LicenceRequestError("PlayReady header: several elements PROTECTINFO")
    found: list[tuple[str, str | None]] = []
    if version == (4, 0):
        algorithms = children(protect[0], "ALGID") if protect else []
        algorithm = text_of(algorithms[0]) if algorithms else None
        found = [(text_of(only(data, "KID", what="PlayReady header")), algorithm)]
    elif protect:
        parent = protect[0] if version == (4, 1) else only(protect[0], "KIDS", what="PlayReady header")
        found = [(kid.get("VALUE") or "", kid.get("ALGID")) for kid in children(parent, "KID")]
    if len(found) > (1 if version < (4, 2) else MAX_KIDS):
        raise LicenceRequestError(f"PlayReady header: {len(found)} key IDs")
    keys: dict[bytes, Scheme | None] = {}
    for at, (kid, name) in enumerate(found):
        keys.setdefault(_kid(kid, at), _scheme(name, at))
    return Header(version, tuple(keys.items()))


def _kid(text: str, at: int) -> bytes:
    guid = base64_of(text, f"PlayReady header: KID {at}")
    if len(guid) != 16:
        raise LicenceRequestError(f"PlayReady header: KID {at} has {len(guid)} bytes, expected 16")
    return kid_guid(guid)  # its own inverse


def _scheme(name: str | None, at: int) -> Scheme | None:
    if name is None:
        return None
    if name not in _SCHEMES:
        raise LicenceRequestError(f"PlayReady header: ALGID of KID {at} is none of {', '.join(_SCHEMES)}")
    return _SCHEMES[name]
