"""The URLs of a session: one frozen class for each kind of resource, written and read in one place.

A manifest names every resource by a path relative to its class folder,

    /p/{pass}/{stream}/{class}/   m|i|s|t|c|k / … ? … &sig=MAC

and the MAC covers the stream, the class and all that is said of the resource. So the rewriter, which
writes these, decides the track type, the crypto period and the origin path; the handlers, which read
them, obey; and an edited URL is refused instead of meaning something else.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import parse_qsl, quote

from keys.encoding import encode_fields
from keys.errors import SealError
from keys.model import TrackType
from keys.periods import Clock
from keys.seal import Sealer
from relay.errors import UrlError
from relay.model import ManifestClass
from relay.sources import ByteRange, Source, canonical_path

MAX_URL = 6000
"""Of the part below the class folder; with a long pass before it a URL stays under the 8 KB that proxies take."""
_MAC_BYTES = 12
_SIGNATURE_CHARACTERS = _MAC_BYTES * 4 // 3


@dataclass(frozen=True, slots=True)
class SlotRef:
    """Which content key: track type, root generation, and period start in ms (None: the stable key)."""

    track: TrackType
    generation: int
    period: int | None


@dataclass(frozen=True, slots=True)
class PlaylistRef:
    """An HLS media playlist. ``track`` is the type of its video, or audio; None for text, which stays clear."""

    source: Source
    track: TrackType | None


@dataclass(frozen=True, slots=True)
class InitRef:
    """An init segment, to be protected under ``slot`` (its video; audio in it goes by the same period)."""

    source: Source
    slot: SlotRef
    range: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """A media segment, part or byte range of one.

    ``init`` and ``init_range`` name its init segment (None for MPEG-TS and packed audio); ``sequence``
    is its media sequence number where the IV of HLS AES-128 is that.
    """

    source: Source
    slot: SlotRef
    range: ByteRange | None = None
    init: Source | None = None
    init_range: ByteRange | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The template values (numbers or times) first…last that lie in crypto period ``period``.

    A ``last`` of None leaves the span open.
    """

    first: int
    last: int | None
    generation: int
    period: int


@dataclass(frozen=True, slots=True)
class Clocked:
    """Numbered segments of equal length without a timeline: segment n starts at
    ``origin_ms + (n - start_number) * duration * 1000 / timescale`` of stream time on ``clock``."""

    origin_ms: int
    start_number: int
    duration: int
    timescale: int
    clock: Clock

    def start_of(self, number: int) -> int:
        """Start of segment ``number`` in ms of stream time, rounded down."""
        return self.origin_ms + (number - self.start_number) * self.duration * 1000 // self.timescale


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """A DASH template. The player fills in one value, which the MAC cannot cover, so ``spans`` (or
    ``clock`` where there is no timeline) say which values exist and in which crypto period each lies.

    ``source`` holds a placeholder of :mod:`relay.templates` where the value goes. A ``track`` of None names
    text or images, which stay clear and need no ``init``.
    """

    source: Source
    track: TrackType | None
    init: Source | None
    init_range: ByteRange | None = None
    spans: tuple[Span, ...] = ()
    clock: Clocked | None = None


@dataclass(frozen=True, slots=True)
class ClearRef:
    """A resource that stays clear: text, images, session data."""

    source: Source
    range: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class KeyRef:
    """The 16 bytes of one content key, for HLS key formats without a licence."""

    slot: SlotRef


Ref = PlaylistRef | InitRef | SegmentRef | TemplateRef | ClearRef | KeyRef


def own_query(query: str) -> str:
    """Our part of a query: all up to the signature. Players append theirs (``_HLS_msn``, ``CMCD``) behind it."""
    at = query.find("sig=")
    return query if at < 0 else query[: at + 4 + _SIGNATURE_CHARACTERS]


class SessionUrls:
    """Writes and reads the URLs of one stream and class.

    ``mac_keys`` sign (the first) and verify (any); ``sealer`` hides the origin's query strings.
    """

    def __init__(self, stream: str, cls: ManifestClass, mac_keys: Sequence[bytes], sealer: Sealer) -> None:
        self._scope = encode_fields(stream.encode(), str(cls).encode())
        self._keys = tuple(mac_keys)
        self._sealer = sealer

    def write(self, ref: Ref) -> str:
        """The URL of a resource, relative to the class folder. It holds no ``$``, quote or space."""
        text = self._unsigned(ref)
        return self._signed(text, self._keys[0])

    def write_template(self, ref: TemplateRef, identifier: str) -> str:
        """:meth:`write`, with ``identifier`` (``$Number$`` or ``$Time$``) where the value goes."""
        return self.write(ref).replace(_VALUE, identifier, 1)

    def read(self, path: str, query: str) -> tuple[Ref, int | None]:
        """The resource that a path (below the class folder) and query name, and the value in a template.

        Unknown parameters, such as ``_HLS_msn`` and ``CMCD``, are ignored. Raises :class:`UrlError`
        unless :meth:`write` gave this very URL.
        """
        if len(path) + len(query) > MAX_URL:
            raise UrlError(f"URL is longer than {MAX_URL} characters")
        try:
            ref, value = self._parse(path, query)
            signature = _only(query, "sig").encode()
        except (ValueError, SealError):
            raise UrlError("no such URL in this session") from None
        # Writing the parsed resource anew and comparing covers every field, spelling and duplicate at once.
        text = self._unsigned(ref)
        mine = [self._signed(text, key).rpartition("=")[2] for key in self._keys]
        if not any(hmac.compare_digest(signature, sig.encode()) for sig in mine):
            raise UrlError("URL signature does not match")
        return ref, value

    def _signed(self, text: str, key: bytes) -> str:
        mac = blake2b(self._scope + text.encode(), key=key, digest_size=_MAC_BYTES).digest()
        return f"{text}{'&' if '?' in text else '?'}sig={urlsafe_b64encode(mac).decode()}"

    def _unsigned(self, ref: Ref) -> str:
        query: list[tuple[str, str]] = []
        match ref:
            case PlaylistRef(source, track):
                path = f"m/{track or _TEXT}/{self._source(source, 'q', query)}"
            case ClearRef(source, span):
                path = f"c/{self._source(source, 'q', query)}"
                _write_range(span, "r", query)
            case InitRef(source, slot, span):
                path = f"i/{_write_slot(slot)}/{self._source(source, 'q', query)}"
                _write_range(span, "r", query)
            case KeyRef(slot):
                path = f"k/{_write_slot(slot)}.key"
            case SegmentRef(source, slot, span, init, init_range, sequence):
                path = f"s/{_write_slot(slot)}/{self._source(source, 'q', query)}"
                _write_range(span, "r", query)
                if init is not None:
                    query.append(("m", self._source(init, "mq", query)))
                    _write_range(init_range, "mr", query)
                if sequence is not None:
                    query.append(("n", str(sequence)))
            case TemplateRef(source, track, init, init_range, spans, clock):
                extension = source.path.rpartition("/")[2].rpartition(".")[2]
                path = f"t/{track or _TEXT}/{_VALUE}.{extension if extension.isalnum() else 'm4s'}"
                query.append(("t", self._source(source, "q", query)))
                if init is not None:
                    query.append(("m", self._source(init, "mq", query)))
                    _write_range(init_range, "mr", query)
                if spans:
                    query.append(("p", ",".join(map(_write_span, spans))))
                if clock:
                    query.append(("k", _write_clock(clock)))
        if not query:
            return path
        return path + "?" + "&".join(f"{name}={quote(value, safe=_QUERY_SAFE)}" for name, value in query)

    def _parse(self, path: str, query: str) -> tuple[Ref, int | None]:
        kind, _, rest = path.partition("/")
        head, _, tail = rest.partition("/")
        match kind:
            case "m":
                return PlaylistRef(self._read_source(tail, query, "q"), _read_track(head)), None
            case "c":
                return ClearRef(self._read_source(rest, query, "q"), _read_range(query, "r")), None
            case "i":
                source = self._read_source(tail, query, "q")
                return InitRef(source, _read_slot(head), _read_range(query, "r")), None
            case "k":
                return KeyRef(_read_slot(rest.removesuffix(".key"))), None
            case "s":
                init = _maybe(query, "m")
                sequence = _maybe(query, "n")
                return (
                    SegmentRef(
                        self._read_source(tail, query, "q"),
                        _read_slot(head),
                        _read_range(query, "r"),
                        None if init is None else self._read_source(init, query, "mq"),
                        None if init is None else _read_range(query, "mr"),
                        None if sequence is None else int(sequence),
                    ),
                    None,
                )
            case "t":
                init, spans, clock = _maybe(query, "m"), _maybe(query, "p"), _maybe(query, "k")
                ref = TemplateRef(
                    self._read_source(_only(query, "t"), query, "q"),
                    _read_track(head),
                    None if init is None else self._read_source(init, query, "mq"),
                    None if init is None else _read_range(query, "mr"),
                    tuple(map(_read_span, spans.split(","))) if spans else (),
                    _read_clock(clock) if clock else None,
                )
                return ref, _natural(tail.partition(".")[0])
        raise ValueError(kind)

    def _source(self, source: Source, query_name: str, query: list[tuple[str, str]]) -> str:
        if source.query:
            query.append((query_name, self._sealer.seal(source.query.encode(), self._scope)))
        marked = source.base or source.path.startswith("@")
        return f"@{source.base}/{source.path}" if marked else source.path

    def _read_source(self, text: str, query: str, query_name: str) -> Source:
        base = "0"
        if text.startswith("@"):
            base, _, text = text[1:].partition("/")
        sealed = _maybe(query, query_name)
        hidden = self._sealer.open(sealed, self._scope).decode() if sealed else ""
        return Source(canonical_path(text), hidden, _natural(base))


_TEXT = "text"
_VALUE = "(value)"
_QUERY_SAFE = "/!'()*,;:@~"
_MAX_VALUE = 2**63


def _write_slot(slot: SlotRef) -> str:
    return f"{slot.track}.{slot.generation}.{'stable' if slot.period is None else slot.period}"


def _read_slot(text: str) -> SlotRef:
    track, generation, period = text.split(".")
    return SlotRef(TrackType(track), _natural(generation), None if period == "stable" else int(period))


def _read_track(text: str) -> TrackType | None:
    return None if text == _TEXT else TrackType(text)


def _write_range(span: ByteRange | None, name: str, query: list[tuple[str, str]]) -> None:
    if span is not None:
        query.append((name, f"{span.start}-" + ("" if span.length is None else str(span.length))))


def _read_range(query: str, name: str) -> ByteRange | None:
    text = _maybe(query, name)
    if text is None:
        return None
    start, _, length = text.partition("-")
    return ByteRange(_natural(start), _natural(length) if length else None)


def _write_span(span: Span) -> str:
    return f"{span.first}-{'' if span.last is None else span.last}:{span.generation}.{span.period}"


def _read_span(text: str) -> Span:
    values, _, slot = text.partition(":")
    first, _, last = values.partition("-")
    generation, _, period = slot.partition(".")
    return Span(_natural(first), _natural(last) if last else None, _natural(generation), int(period))


def _write_clock(clock: Clocked) -> str:
    return f"{clock.clock},{clock.origin_ms},{clock.start_number},{clock.duration},{clock.timescale}"


def _read_clock(text: str) -> Clocked:
    clock, *numbers = text.split(",")
    origin_ms, start_number, duration, timescale = map(int, numbers)
    return Clocked(origin_ms, start_number, duration, timescale, Clock(clock))


def _maybe(query: str, name: str) -> str | None:
    found = [value for key, value in parse_qsl(query, keep_blank_values=True) if key == name]
    if len(found) > 1:
        raise ValueError(name)
    return found[0] if found else None


def _only(query: str, name: str) -> str:
    found = _maybe(query, name)
    if found is None:
        raise ValueError(name)
    return found


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < _MAX_VALUE:
        raise ValueError(text)
    return value
