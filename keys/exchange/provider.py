"""Answers to CPIX documents that ask for keys (the provider of SPEKE, and of plain CPIX).

What is empty is filled, the rest left alone, with two exceptions. Keys are derived, and licences are made for the key
IDs derived with them: a licence for a key ID of the encryptor's choice would need a record of it on every node. So the
encryptor's key IDs are replaced, everywhere in the document alike, as SPEKE allows. And ``cbcs`` is given its constant
IV, which FairPlay players take from the licence.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from lxml import etree
from lxml.etree import _Element as Element

from keys.errors import ExchangeError
from keys.exchange import markup, reader, signalling, writer
from keys.exchange.encryption import DocumentSecrets, Entropy
from keys.exchange.markup import below, text_of, to_base64, uuid_of
from keys.exchange.model import (
    Document,
    KeyEntry,
    KeyPeriod,
    UsageRule,
    Version,
)
from keys.material import ContentKey
from keys.model import Scheme, TrackType


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that is asked for. ``kid`` is the encryptor's own, ``track`` None for video of whichever size, ``period``
    None where keys do not rotate.
    """

    content_id: str
    track: TrackType | None
    scheme: Scheme
    period: KeyPeriod | None
    kid: bytes


Provider = Callable[[Wanted], ContentKey]
"""Gives a key, or raises :class:`ExchangeError` to say why not."""

_COMPONENTS: Mapping[str, TrackType | None] = {
    "ALL": None,
    "VIDEO": None,
    "AUDIO": TrackType.AUDIO,
    "STEREO_AUDIO": TrackType.AUDIO,
    "MULTICHANNEL_AUDIO": TrackType.AUDIO,
    "MULTICHANNEL_AUDIO_3_6": TrackType.AUDIO,
    "MULTICHANNEL_AUDIO_7": TrackType.AUDIO,
    "SD": TrackType.SD,
    "HD": TrackType.HD,
    "HD1": TrackType.HD,
    "HD2": TrackType.HD,
    "UHD": TrackType.UHD,
    "UHD1": TrackType.UHD,
    "UHD2": TrackType.UHD,
}
"""The components of ``intendedTrackType`` in SPEKE's encryption contract."""


def answer(data: bytes, provider: Provider, entropy: Entropy, version: Version | None = None) -> bytes:
    """A request with all it asks for filled in. With ``version``, documents of another one are refused.

    Keys are encrypted where the request names recipients. Raises :class:`ExchangeError` with SPEKE's own words where
    it has some.
    """
    root = markup.parse(data)
    document = _checked(root, version)
    given = {entry.kid: provider(wanted) for entry, wanted in _wanted(document)}
    kids = [key.kid for key in given.values()]
    if len(set(kids)) != len(kids):
        # Two elements of one key ID would make the document ambiguous.
        raise ExchangeError("ContentKeyUsageRuleList: two keys are for the same track type here; ask for one")
    schemes = {entry.kid: entry.scheme for entry in document.keys}
    _fill_systems(root, document, given, schemes)
    _fill_keys(root, document, given, entropy)
    for element in root.iter():
        for name in ("kid", "dependsOnKey"):
            if name in element.attrib and etree.QName(element).namespace == markup.CPIX:
                asked = uuid_of(element.get(name), name).bytes
                if asked not in given:
                    raise ExchangeError(f"@{name}: no ContentKey {UUID(bytes=asked)}")
                element.set(name, str(UUID(bytes=given[asked].kid)))
    return markup.dump(root)


def _checked(root: Element, version: Version | None) -> Document:
    for name in ("contentId", "version"):
        if not root.get(name):
            raise ExchangeError(f"Missing CPIX@{name}")
    document = reader.read(root)
    if version is not None and document.version is not version:
        raise ExchangeError("Unsupported CPIX@version")
    if not document.keys:
        raise ExchangeError("Missing ContentKeyList/ContentKey")
    if len({entry.kid for entry in document.keys}) != len(document.keys):
        raise ExchangeError("ContentKeyList: two keys of one KID")
    if len({entry.scheme for entry in document.keys}) > 1:
        raise ExchangeError("Non compliant ContentKey@commonEncryptionScheme combination")
    return document


def _wanted(document: Document) -> Iterable[tuple[KeyEntry, Wanted]]:
    periods = {period.id: period for period in document.periods}
    for entry in document.keys:
        name = UUID(bytes=entry.kid)
        if entry.scheme is None:
            raise ExchangeError(f"Missing ContentKey@commonEncryptionScheme for KID {name}")
        if entry.key is not None or entry.encrypted is not None:
            raise ExchangeError(f"ContentKey {name}: has a key already")
        content_id = entry.content_id or document.content_id or ""
        rules = [rule for rule in document.rules if rule.kid == entry.kid]
        if not rules:
            raise ExchangeError(f"Missing ContentKeyUsageRule for KID {name}")
        track = _highest([_track_of(rule) for rule in rules])
        yield entry, Wanted(content_id, track, entry.scheme, _period_of(rules, periods), entry.kid)


def _track_of(rule: UsageRule) -> TrackType | None:
    """The best track type that a rule covers: whoever may not have that must not get the key."""
    if rule.track:
        components = rule.track.upper().split("+")
        if unknown := [component for component in components if component not in _COMPONENTS]:
            raise ExchangeError(f"Unsupported ContentKeyUsageRule@intendedTrackType {unknown[0]}")
        track = _highest([_COMPONENTS[component] for component in components])
        if track is not None:
            return track
    elif rule.audio and not rule.video:
        return TrackType.AUDIO
    elif not rule.video:
        raise ExchangeError(f"Missing ContentKeyUsageRule@intendedTrackType for KID {UUID(bytes=rule.kid)}")
    limits = [one.max_pixels for one in rule.video]
    if limits and None not in limits:
        return TrackType.of_picture(max(limit for limit in limits if limit is not None), 1)
    return TrackType.UHD if any(one.min_pixels for one in rule.video) else None


def _highest(tracks: Sequence[TrackType | None]) -> TrackType | None:
    known = [track for track in tracks if track is not None]
    return max(known, key=lambda track: track.rank) if len(known) == len(tracks) else None


def _period_of(rules: Sequence[UsageRule], periods: Mapping[str, KeyPeriod]) -> KeyPeriod | None:
    named = {name for rule in rules for name in rule.periods}
    if not named:
        # A rule without a filter is for everything there is.
        named = set(periods)
    if len(named) > 1:
        raise ExchangeError("ContentKeyUsageRule: one key for several key periods")
    if not named:
        return None
    (name,) = named
    if name not in periods:
        raise ExchangeError("KeyPeriodFilter@periodId: no such ContentKeyPeriod")
    return periods[name]


def _fill_keys(root: Element, document: Document, given: Mapping[bytes, ContentKey], entropy: Entropy) -> None:
    secrets = None
    if document.recipients:
        secrets = DocumentSecrets.fresh(entropy)
        deliveries = below(root, "cpix:DeliveryDataList/cpix:DeliveryData")
        for delivery, recipient in zip(deliveries, document.recipients, strict=True):
            if recipient.document_key is not None or recipient.mac_key is not None:
                raise ExchangeError("DeliveryData: has a document key already")
            for empty in (*below(delivery, "cpix:DocumentKey"), *below(delivery, "cpix:MACMethod")):
                delivery.remove(empty)
            writer.fill_recipient(delivery, secrets.to(recipient.certificate))
    for element, entry in zip(below(root, "cpix:ContentKeyList/cpix:ContentKey"), document.keys, strict=True):
        key = given[entry.kid]
        writer.fill_key(element, key.key if secrets is None else secrets.encrypt(key.key, entropy))
        if entry.scheme is Scheme.CBCS or entry.explicit_iv == b"":
            element.set("explicitIV", to_base64(key.constant_iv))


def _fill_systems(
    root: Element, document: Document, given: Mapping[bytes, ContentKey], schemes: Mapping[bytes, Scheme | None]
) -> None:
    for element, asked in zip(below(root, "cpix:DRMSystemList/cpix:DRMSystem"), document.systems, strict=True):
        key, scheme = given.get(asked.kid), schemes.get(asked.kid)
        if key is None or scheme is None:
            raise ExchangeError(f"DRMSystem@kid: no ContentKey {UUID(bytes=asked.kid)}")
        for name, make in (
            ("PSSH", signalling.pssh),
            ("ContentProtectionData", signalling.content_protection),
            ("SmoothStreamingProtectionHeaderData", signalling.smooth),
        ):
            for empty in _empty(element, name):
                empty.text = to_base64(make(asked.system, key, scheme))
        for empty in _empty(element, "HLSSignalingData"):
            playlist = reader.playlist_of(empty.get("playlist"))
            empty.text = to_base64(signalling.hls(asked.system, key, scheme, playlist))


def _empty(parent: Element, name: str) -> list[Element]:
    return [child for child in below(parent, f"cpix:{name}") if not text_of(child)]
