"""CPIX documents as values. What is not of the model (extensions, history, signatures) is not read."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lxml.etree import _Element as Element

from keys.errors import ExchangeError
from keys.exchange import markup
from keys.exchange.markup import base64_of, below, only, text_of, uuid_of
from keys.exchange.model import (
    AudioFilter,
    BitrateFilter,
    Document,
    DrmSystem,
    EncryptedKey,
    KeyEntry,
    KeyPeriod,
    Playlist,
    Recipient,
    UsageRule,
    Version,
    VideoFilter,
)
from keys.model import Scheme

MAX_KEYS = 64
MAX_SYSTEMS = 512
MAX_RECIPIENTS = 16
MAX_PERIODS = 64
MAX_RULES = 256
MAX_TEXT = 512

_PLAYLISTS = {"media": Playlist.MEDIA, "master": Playlist.MULTIVARIANT, "multiVariant": Playlist.MULTIVARIANT}
_DURATION = re.compile(
    r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.(\d{1,9}))?S)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(data: bytes) -> Document:
    """Read a document. Raises :class:`ExchangeError`, with the element or attribute that is wrong."""
    return read(markup.parse(data))


def read(root: Element) -> Document:
    """Read a document from its tree. Raises :class:`ExchangeError`."""
    if root.tag != f"{{{markup.CPIX}}}CPIX":
        raise ExchangeError("document: the root element is not cpix:CPIX")
    return Document(
        content_id=_text(root, "contentId"),
        version=_version(root.get("version")),
        name=_text(root, "name"),
        recipients=tuple(map(_recipient, _list(root, "DeliveryDataList", "DeliveryData", MAX_RECIPIENTS))),
        keys=tuple(map(_key, _list(root, "ContentKeyList", "ContentKey", MAX_KEYS))),
        systems=tuple(map(_system, _list(root, "DRMSystemList", "DRMSystem", MAX_SYSTEMS))),
        periods=tuple(map(_period, _list(root, "ContentKeyPeriodList", "ContentKeyPeriod", MAX_PERIODS))),
        rules=tuple(map(_rule, _list(root, "ContentKeyUsageRuleList", "ContentKeyUsageRule", MAX_RULES))),
    )


def playlist_of(text: str | None) -> Playlist:
    """What ``HLSSignalingData@playlist`` means; the media playlist by default. Raises :class:`ExchangeError`."""
    if text is None:
        return Playlist.MEDIA
    try:
        return _PLAYLISTS[text]
    except KeyError:
        raise ExchangeError("HLSSignalingData@playlist: expected media, master or multiVariant") from None


def _list(root: Element, name: str, member: str, most: int) -> Sequence[Element]:
    parent = only(root, f"cpix:{name}")
    members = [] if parent is None else below(parent, f"cpix:{member}")
    if len(members) > most:
        raise ExchangeError(f"{name}: {len(members)} members, more than {most}")
    return members


def _text(element: Element, name: str) -> str | None:
    value = element.get(name)
    if value is not None and len(value) > MAX_TEXT:
        raise ExchangeError(f"@{name}: more than {MAX_TEXT} characters")
    return value


def _version(text: str | None) -> Version | None:
    if text is None:
        return None
    try:
        return Version(text)
    except ValueError:
        raise ExchangeError("Unsupported CPIX@version") from None


def _recipient(element: Element) -> Recipient:
    certificate = only(element, "cpix:DeliveryKey/ds:X509Data/ds:X509Certificate")
    if certificate is None:
        raise ExchangeError("Missing DeliveryData/DeliveryKey/X509Data/X509Certificate")
    method = only(element, "cpix:MACMethod")
    if method is not None and method.get("Algorithm") != markup.HMAC_SHA512:
        raise ExchangeError("MACMethod@Algorithm: expected hmac-sha512")
    return Recipient(
        base64_of(text_of(certificate), "X509Certificate"),
        _cipher_value(only(element, "cpix:DocumentKey/cpix:Data/pskc:Secret/pskc:EncryptedValue"), markup.RSA_OAEP),
        _cipher_value(only(element, "cpix:MACMethod/pskc:MACKey"), markup.RSA_OAEP),
    )


def _cipher_value(parent: Element | None, algorithm: str) -> bytes | None:
    if parent is None:
        return None
    method, value = only(parent, "enc:EncryptionMethod"), only(parent, "enc:CipherData/enc:CipherValue")
    if method is None or method.get("Algorithm") != algorithm:
        raise ExchangeError(f"EncryptionMethod@Algorithm: expected {algorithm.partition('#')[2]}")
    if value is None:
        raise ExchangeError("Missing CipherData/CipherValue")
    return base64_of(text_of(value), "CipherValue")


def _key(element: Element) -> KeyEntry:
    secret = only(element, "cpix:Data/pskc:Secret")
    key, encrypted = None, None
    if secret is not None:
        plain, mac = only(secret, "pskc:PlainValue"), only(secret, "pskc:ValueMAC")
        if plain is not None and text_of(plain):
            key = base64_of(text_of(plain), "PlainValue")
        cipher = _cipher_value(only(secret, "pskc:EncryptedValue"), markup.AES256_CBC)
        if cipher is not None and mac is None:
            raise ExchangeError("Missing ValueMAC")
        if cipher is not None and mac is not None:
            encrypted = EncryptedKey(cipher, base64_of(text_of(mac), "ValueMAC"))
    iv = element.get("explicitIV")
    depends = element.get("dependsOnKey")
    return KeyEntry(
        kid=uuid_of(element.get("kid"), "ContentKey@kid").bytes,
        scheme=_scheme(element.get("commonEncryptionScheme")),
        key=key,
        encrypted=encrypted,
        explicit_iv=None if iv is None else base64_of(iv, "ContentKey@explicitIV"),
        depends_on=None if depends is None else uuid_of(depends, "ContentKey@dependsOnKey").bytes,
        content_id=_text(element, "contentId"),
    )


def _scheme(text: str | None) -> Scheme | None:
    if text is None:
        return None
    if text not in (Scheme.CENC, Scheme.CBCS):
        raise ExchangeError("ContentKey@commonEncryptionScheme: only cenc and cbcs are supported")
    return Scheme(text)


def _system(element: Element) -> DrmSystem:
    def content(name: str) -> bytes | None:
        child = only(element, f"cpix:{name}")
        return None if child is None else base64_of(text_of(child), name)

    return DrmSystem(
        uuid_of(element.get("systemId"), "DRMSystem@systemId"),
        uuid_of(element.get("kid"), "DRMSystem@kid").bytes,
        content("PSSH"),
        content("ContentProtectionData"),
        content("SmoothStreamingProtectionHeaderData"),
        tuple(
            (playlist_of(line.get("playlist")), base64_of(text_of(line), "HLSSignalingData"))
            for line in below(element, "cpix:HLSSignalingData")
        ),
    )


def _period(element: Element) -> KeyPeriod:
    offset = "startOffset" in element.attrib
    start = _duration(element, "startOffset") if offset else _date(element, "start")
    end = _duration(element, "endOffset") if offset else _date(element, "end")
    length = _duration(element, "duration")
    if end is None and start is not None and length is not None:
        end = start + length
    return KeyPeriod(
        _text(element, "id") or "",
        _number(element, "index", signed=True),
        _text(element, "label"),
        start,
        end,
        offset,
    )


def _rule(element: Element) -> UsageRule:
    def attributes(name: str, attribute: str) -> tuple[str, ...]:
        values = (_text(one, attribute) for one in below(element, f"cpix:{name}"))
        return tuple(value or "" for value in values)

    return UsageRule(
        uuid_of(element.get("kid"), "ContentKeyUsageRule@kid").bytes,
        _text(element, "intendedTrackType"),
        attributes("KeyPeriodFilter", "periodId"),
        attributes("LabelFilter", "label"),
        tuple(
            VideoFilter(
                _number(one, "minPixels"),
                _number(one, "maxPixels"),
                _boolean(one, "hdr"),
                _boolean(one, "wcg"),
                _number(one, "minFps"),
                _number(one, "maxFps"),
            )
            for one in below(element, "cpix:VideoFilter")
        ),
        tuple(
            AudioFilter(_number(one, "minChannels"), _number(one, "maxChannels"))
            for one in below(element, "cpix:AudioFilter")
        ),
        tuple(
            BitrateFilter(_number(one, "minBitrate"), _number(one, "maxBitrate"))
            for one in below(element, "cpix:BitrateFilter")
        ),
    )


def _number(element: Element, name: str, *, signed: bool = False) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}" if signed else r"[0-9]{1,18}", text):
        raise ExchangeError(f"@{name}: not a whole number")
    return int(text)


def _boolean(element: Element, name: str) -> bool | None:
    text = element.get(name)
    if text is None:
        return None
    if text not in ("true", "false", "1", "0"):
        raise ExchangeError(f"@{name}: neither true nor false")
    return text in ("true", "1")


def _date(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text)
        return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise ExchangeError(f"@{name}: not a date (xs:dateTime)") from None


def _duration(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ExchangeError(f"@{name}: not a duration in days, hours, minutes and seconds (xs:duration)")
    days, hours, minutes, seconds, fraction = found.groups(default="0")
    return (
        ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60_000 + int(seconds) * 1000 + int(f"{fraction:0<3}"[:3])
    )
