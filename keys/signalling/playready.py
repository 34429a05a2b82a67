"""PlayReady signalling: the PlayReady Object and its ``pssh`` box (PlayReady Header Specification)."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from struct import pack

from keys.errors import SignallingError
from keys.material import kid_guid
from keys.model import KeySignal, Scheme
from keys.signalling.pssh import Pssh, require_kids
from keys.signalling.systems import PLAYREADY

MAX_OBJECT_BYTES = 15 * 1024
"""The limit that the header specification sets."""

_NAMESPACE = "http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader"
_HEADER_RECORD = 1


def pro(signals: Sequence[KeySignal], scheme: Scheme, la_url: str | None = None) -> bytes:
    """The PlayReady Object of one or more keys; ``la_url`` tells players where licences are.

    Raises :class:`SignallingError` without a key, for AES-128, for a ``la_url`` that is no URL, and for
    an object over the limit.
    """
    header = _header(signals, scheme, la_url).encode("utf-16-le")
    size = 10 + len(header)
    if size > MAX_OBJECT_BYTES:
        raise SignallingError(f"PlayReady: object of {size} bytes, more than {MAX_OBJECT_BYTES}")
    return pack("<IHHH", size, 1, _HEADER_RECORD, len(header)) + header


def pssh(signals: Sequence[KeySignal], scheme: Scheme, la_url: str | None = None) -> bytes:
    """The whole ``pssh`` box around :func:`pro`. Raises what that raises."""
    return Pssh(PLAYREADY, pro(signals, scheme, la_url)).encode()


def _header(signals: Sequence[KeySignal], scheme: Scheme, la_url: str | None) -> str:
    """The WRMHEADER. Clients compare it byte for byte, so it is canonical XML without white space."""
    if scheme is Scheme.AES128:
        raise SignallingError("PlayReady: knows no aes-128")
    if not signals:
        raise SignallingError("PlayReady: needs at least one key")
    require_kids([signal.kid for signal in signals])
    # 4.0.0.0 reaches the oldest clients but holds one AES-CTR key; 4.3.0.0 holds many, and AES-CBC.
    if scheme is Scheme.CENC and len(signals) == 1:
        version = "4.0.0.0"
        keys = (
            "<PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO>"
            f"<KID>{_guid(signals[0])}</KID><CHECKSUM>{_checksum(signals[0])}</CHECKSUM>"
        )
    else:
        version = "4.3.0.0"
        kids = "".join(f"<KID {_attributes(signal, scheme)}></KID>" for signal in signals)
        keys = f"<PROTECTINFO><KIDS>{kids}</KIDS></PROTECTINFO>"
    return f'<WRMHEADER xmlns="{_NAMESPACE}" version="{version}"><DATA>{keys}{_la_url(la_url)}</DATA></WRMHEADER>'


def _attributes(signal: KeySignal, scheme: Scheme) -> str:
    if scheme is Scheme.CBCS:
        return f'ALGID="AESCBC" VALUE="{_guid(signal)}"'  # a checksum is defined for AES-CTR only
    return f'ALGID="AESCTR" CHECKSUM="{_checksum(signal)}" VALUE="{_guid(signal)}"'


def _guid(signal: KeySignal) -> str:
    return b64encode(kid_guid(signal.kid)).decode()


def _checksum(signal: KeySignal) -> str:
    return b64encode(signal.checksum).decode()


def _la_url(url: str | None) -> str:
    if url is None:
        return ""
    if not url or not all("!" <= character <= "~" for character in url):
        raise SignallingError("PlayReady: la_url is no URL (RFC 3986: printable ASCII without spaces)")
    return f"<LA_URL>{escape(url, quote=False)}</LA_URL>"
