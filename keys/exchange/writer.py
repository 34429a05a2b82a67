"""CPIX documents from values, their elements in the order of the schema."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from lxml import etree
from lxml.etree import _Element as Element

from keys.errors import ExchangeError
from keys.exchange import markup
from keys.exchange.markup import AES256_CBC, HMAC_SHA512, RSA_OAEP, add, below, to_base64
from keys.exchange.model import Document, DrmSystem, EncryptedKey, KeyEntry, KeyPeriod, Recipient, UsageRule, Version

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write(document: Document) -> bytes:
    """The document as bytes, its elements in the order of the schema; lists without members are left out.

    Raises :class:`ExchangeError` for times beyond the year 9999.
    """
    return markup.dump(build(document))


def build(document: Document) -> Element:
    """The document as a tree."""
    root = etree.Element(f"{{{markup.CPIX}}}CPIX", nsmap=markup.NAMESPACES)
    version = document.version
    for name, value in (("contentId", document.content_id), ("version", version), ("name", document.name)):
        if value is not None:
            root.set(name, value)
    if document.recipients:
        parent = add(root, "cpix:DeliveryDataList")
        for recipient in document.recipients:
            _add_recipient(parent, recipient)
    parent = add(root, "cpix:ContentKeyList")
    for entry in document.keys:
        _add_key(parent, entry)
    if document.systems:
        parent = add(root, "cpix:DRMSystemList")
        for system in document.systems:
            _add_system(parent, system, version or Version.V2_4)
    if document.periods:
        parent = add(root, "cpix:ContentKeyPeriodList")
        for period in document.periods:
            _add_period(parent, period)
    if document.rules:
        parent = add(root, "cpix:ContentKeyUsageRuleList")
        for rule in document.rules:
            _add_rule(parent, rule)
    return root


def fill_recipient(delivery: Element, recipient: Recipient) -> None:
    """Put the encrypted document key and MAC key behind the certificate of a ``DeliveryData``."""
    assert recipient.document_key is not None
    assert recipient.mac_key is not None
    secret = add(add(add(delivery, "cpix:DocumentKey"), "cpix:Data"), "pskc:Secret")
    _add_encrypted(add(secret, "pskc:EncryptedValue"), RSA_OAEP, recipient.document_key)
    method = add(delivery, "cpix:MACMethod", Algorithm=HMAC_SHA512)
    _add_encrypted(add(method, "pskc:MACKey"), RSA_OAEP, recipient.mac_key)


def fill_key(content_key: Element, key: bytes | EncryptedKey) -> None:
    """Put a key, in the clear or encrypted, into a ``ContentKey`` that has none."""
    for empty in below(content_key, "cpix:Data"):
        content_key.remove(empty)
    data = add(content_key, "cpix:Data")
    content_key.insert(0, data)
    secret = add(data, "pskc:Secret")
    if isinstance(key, bytes):
        add(secret, "pskc:PlainValue", to_base64(key))
        return
    _add_encrypted(add(secret, "pskc:EncryptedValue"), AES256_CBC, key.cipher)
    add(secret, "pskc:ValueMAC", to_base64(key.mac))


def _add_recipient(parent: Element, recipient: Recipient) -> None:
    delivery = add(parent, "cpix:DeliveryData")
    data = add(add(delivery, "cpix:DeliveryKey"), "ds:X509Data")
    add(data, "ds:X509Certificate", to_base64(recipient.certificate))
    if recipient.document_key is not None:
        fill_recipient(delivery, recipient)


def _add_encrypted(parent: Element, algorithm: str, cipher: bytes) -> None:
    add(parent, "enc:EncryptionMethod", Algorithm=algorithm)
    add(add(parent, "enc:CipherData"), "enc:CipherValue", to_base64(cipher))


def _add_key(parent: Element, entry: KeyEntry) -> None:
    element = add(
        parent,
        "cpix:ContentKey",
        kid=_uuid(entry.kid),
        commonEncryptionScheme=entry.scheme,
        explicitIV=None if entry.explicit_iv is None else to_base64(entry.explicit_iv),
        dependsOnKey=None if entry.depends_on is None else _uuid(entry.depends_on),
        contentId=entry.content_id,
    )
    key = entry.encrypted or entry.key
    if key is not None:
        fill_key(element, key)


def _add_system(parent: Element, system: DrmSystem, version: Version) -> None:
    element = add(parent, "cpix:DRMSystem", kid=_uuid(system.kid), systemId=str(system.system))
    for name, data in (("PSSH", system.pssh), ("ContentProtectionData", system.content_protection)):
        if data is not None:
            add(element, f"cpix:{name}", to_base64(data))
    for playlist, line in system.hls:
        add(element, "cpix:HLSSignalingData", to_base64(line), playlist=playlist.written(version))
    if system.smooth is not None:
        add(element, "cpix:SmoothStreamingProtectionHeaderData", to_base64(system.smooth))


def _add_period(parent: Element, period: KeyPeriod) -> None:
    write_time, suffix = (_written_duration, "Offset") if period.offset else (_written_date, "")
    times = {
        name + suffix: write_time(value)
        for name, value in (("start", period.start), ("end", period.end))
        if value is not None
    }
    index = None if period.index is None else str(period.index)
    add(parent, "cpix:ContentKeyPeriod", id=period.id, index=index, label=period.label, **times)


def _add_rule(parent: Element, rule: UsageRule) -> None:
    element = add(parent, "cpix:ContentKeyUsageRule", kid=_uuid(rule.kid), intendedTrackType=rule.track)
    for period in rule.periods:
        add(element, "cpix:KeyPeriodFilter", periodId=period)
    for label in rule.labels:
        add(element, "cpix:LabelFilter", label=label)
    for video in rule.video:
        add(
            element,
            "cpix:VideoFilter",
            minPixels=_written(video.min_pixels),
            maxPixels=_written(video.max_pixels),
            hdr=_written(video.hdr),
            wcg=_written(video.wcg),
            minFps=_written(video.min_fps),
            maxFps=_written(video.max_fps),
        )
    for audio in rule.audio:
        add(
            element,
            "cpix:AudioFilter",
            minChannels=_written(audio.min_channels),
            maxChannels=_written(audio.max_channels),
        )
    for rate in rule.bitrates:
        add(element, "cpix:BitrateFilter", minBitrate=_written(rate.min_bitrate), maxBitrate=_written(rate.max_bitrate))


def _written(value: bool | int | None) -> str | None:
    return None if value is None else str(value).lower()


def _uuid(kid: bytes) -> str:
    return str(UUID(bytes=kid))


def _written_date(ms: int) -> str:
    try:
        date = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        raise ExchangeError("ContentKeyPeriod: no date that could be written") from None
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written_duration(ms: int) -> str:
    return f"PT{ms // 1000}.{ms % 1000:03}S"
