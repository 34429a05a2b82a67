"""Fuzz targets of what the relay wrote itself, or another node of it, and that may come back altered or damaged."""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from keys.seal import Sealer
from relay.errors import MediaError, OriginError
from relay.gate.passes import _CONTEXT
from relay.gate.targets import subject_of, targets_of
from relay.manifest.dash.rewrite import index_requests, rewrite_mpd
from relay.manifest.hls.rewrite import read_siblings, rewrite_playlist
from relay.media.init_segment import parse_init, protect_init
from relay.media.ivs import CountingIvs
from relay.media.protect import protect_segment
from relay.model import Session
from relay.sessions.records import Known, SessionRecords, decode_record, encode_record
from relay.sources import Source
from relay.state.database import MEMORY
from relay.state.events import Event, decode_event
from relay.state.journal import Journal
from relay.state.messages import Claim, Envelope, Heartbeat, Message, Report
from relay.state.snapshot import _MAGIC, SnapshotError, load_snapshot
from relay.state.state import State
from relay.state.vector import Extent, Vector
from relay.told import MAX_TEXT, Told
from tests.fuzz.target import Target, good_inputs, text_of
from tests.fuzz.tokens import PASSES
from tests.gate.links import NOW
from tests.manifest.hls.world import context
from tests.media.material import protection, read

SEALER = Sealer([bytes(32)])
ENVELOPE = Envelope(SEALER)
_KINDS: tuple[Any, ...] = (Message, Heartbeat, Report, Claim)


@cache
def _known_passes() -> frozenset[Session]:
    sessions = [PASSES.read(text_of(data)) for data in good_inputs("pass")]
    return frozenset(session for session in sessions if session)


def run_pass(data: bytes) -> bool:
    """A pass as it comes: none is read but those minted."""
    session = PASSES.read(text_of(data))
    assert session is None or session in _known_passes()
    return session is not None


def run_pass_body(data: bytes) -> bool:
    """What a pass holds, sealed: a session or nothing."""
    session = PASSES.read(SEALER.seal(data, _CONTEXT)) if data else None
    if session is None:
        return False
    subject_of(session, "vod")
    return True


def run_envelope(data: bytes) -> bool:
    """A message of the shared log as it comes: nothing opens but what was sealed as such."""
    for kind in _KINDS:
        try:
            ENVELOPE.open(data, kind)
        except ValueError:
            continue
        assert data in good_inputs("envelope")
        return True
    return False


def _opened(kind: Any, use: Callable[[Any], object]) -> Callable[[bytes], bool]:
    """What a message holds, sealed, and then used."""

    def run(data: bytes) -> bool:
        if not data:
            return False
        try:
            use(ENVELOPE.open(SEALER.seal(data, kind.__name__.encode()).encode(), kind))
        except ValueError:
            return False
        return True

    return run


def _use_message(message: Message) -> None:
    vector = Vector()
    vector.covers(message.spans)
    for origin, first, last in message.spans:
        vector.add(origin, first, min(last, first + 1000))
        vector.has(origin, first)
    apply_all(message.events())


def _use_heartbeat(heartbeat: Heartbeat) -> None:
    mine = Extent({"0" * 16: 5}, {"1" * 16: 7})
    heartbeat.extent.beyond(mine)
    mine.beyond(heartbeat.extent)


def _use_report(report: Report) -> None:
    Vector().covers(report.spans)


def apply_all(events: list[Event]) -> None:
    """Fold events, twice, and keep them: what one node could write, every node must be able to take."""
    state = State()
    for event in (*events, *events):
        state.apply(event, NOW)
    state.revocations.advance(NOW + 100)
    for piece in state.dump():
        State().load(piece)
    named = {(event.origin, event.seq): event for event in reversed(events)}
    journal = Journal(MEMORY)
    journal.append(list(named.values()))
    assert len(list(journal.replay())) == len(named)
    journal.compact(NOW)
    journal.close()


def run_event(data: bytes) -> bool:
    """A row of the journal."""
    try:
        event = decode_event(data)
    except ValueError:
        return False
    apply_all([event])
    return True


def run_session_record(data: bytes) -> bool:
    """A record of a session, as another node put it down."""
    try:
        record = decode_record(data)
    except ValueError:
        return False
    records, known = SessionRecords(lambda: NOW), Known()
    for _ in range(2):
        records.note(record)
        known.add(record)
    assert encode_record(known.latest) == encode_record(record)
    targets_of(record.session, "vod")
    return True


def run_piece(data: bytes) -> bool:
    """A piece of a snapshot."""
    state = State()
    try:
        state.load(data)
    except ValueError:
        return False
    state.revocations.advance(NOW)
    return True


def run_snapshot(data: bytes) -> bool:
    """A snapshot's file as it is, and with its checksum put right: either it is loaded or it is refused."""
    return any([_load(data), _load(_MAGIC + data + blake2b(_MAGIC + data, digest_size=32).digest())])


def _load(data: bytes) -> bool:
    handle, name = tempfile.mkstemp(prefix="snapshot")
    path = Path(name)
    state = State()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        load_snapshot(path, state)
    except SnapshotError:
        return False
    finally:
        path.unlink()
    return True


def run_told(data: bytes) -> bool:
    """A ``Last-Event-ID``."""
    text = text_of(data)
    told = Told.parse(text)
    if told is None:
        return False
    assert len(text) <= MAX_TEXT
    assert str(told) == text
    assert told.newest >= 0
    return True


_CONTEXT_OF_MANIFESTS = context()


def run_hls(data: bytes) -> bool:
    """A playlist of the origin."""
    source = Source("show/index.m3u8")
    try:
        read_siblings(data, _CONTEXT_OF_MANIFESTS, source)
        rewrite_playlist(data, _CONTEXT_OF_MANIFESTS, source, "index.m3u8", None)
    except OriginError:
        return False
    return True


def run_dash(data: bytes) -> bool:
    """An MPD of the origin."""
    source = Source("show/manifest.mpd")
    try:
        if not index_requests(data, _CONTEXT_OF_MANIFESTS, source):
            rewrite_mpd(data, _CONTEXT_OF_MANIFESTS, source, "index.mpd", NOW * 1000)
    except OriginError:
        return False
    return True


def run_init(data: bytes) -> bool:
    """An init segment of the origin."""
    try:
        protect_init(parse_init(data), protection("cenc"))
    except MediaError:
        return False
    return True


_INIT = parse_init(read("clear/a_init.mp4"))


def run_segment(data: bytes) -> bool:
    """A media segment of the origin."""
    try:
        protect_segment(data, _INIT, protection("cenc"), CountingIvs(1))
    except MediaError:
        return False
    return True


_HEADS = ("c0", "c2", "c3", "cb7ff8000000000000", "cb7ff0000000000000", "cfffffffffffffffff", "d3ffffffffffffffff")
_PACK_WORDS = (
    *map(bytes.fromhex, (*_HEADS, "dcffff", "ddffffffff", "dbffff", "c6ffff", "d6ff00000000", "a4eda08061")),
    *(b"\x91" * 200, b"\x81\xa1a" * 200),
)
_PLAYLIST_WORDS = (
    b"#EXT-X-KEY:",
    b"#EXT-X-DEFINE:",
    b"{$a}",
    b"\r",
    b"\n\n",
    b'"',
    b"9" * 30,
    b"0x",
    b"://",
    b"../" * 9,
)
_MPD_WORDS = (b"<!DOCTYPE", b"&lt;", b"&#0;", b"<Period>", b"$Number%0999d$", b"PT1E9S", b"-1", b"9" * 30, b"<a>" * 40)
_BOX_WORDS = (b"moof", b"traf", b"senc", b"sidx", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x08free" * 50)

RECORD_TARGETS = [
    Target("pass", run_pass, (b"=", b"-", b"_", b"A")),
    Target("pass-body", run_pass_body, _PACK_WORDS),
    Target("envelope", run_envelope, (b"=", b"-", b"_", b"A")),
    Target("message", _opened(Message, _use_message), _PACK_WORDS),
    Target("heartbeat", _opened(Heartbeat, _use_heartbeat), _PACK_WORDS),
    Target("report", _opened(Report, _use_report), _PACK_WORDS),
    Target("claim", _opened(Claim, repr), _PACK_WORDS),
    Target("event", run_event, _PACK_WORDS),
    Target("session-record", run_session_record, _PACK_WORDS),
    Target("snapshot-piece", run_piece, (b"r", b"P", b"L", b"N", b"S", b"s", b"o", bytes(24), *_PACK_WORDS)),
    Target("snapshot", run_snapshot, (_MAGIC, bytes(4), b"\0\0\0\x09o\0\0\0\0\0\0\0\1", *_PACK_WORDS)),
    Target("last-event-id", run_told, (b"~", b"-", b".", b"1", b"cenc", b"wall", b"\xd9\xa1", b"9" * 16)),
    Target("hls", run_hls, _PLAYLIST_WORDS),
    Target("dash", run_dash, _MPD_WORDS),
    Target("init", run_init, _BOX_WORDS),
    Target("segment", run_segment, _BOX_WORDS),
]
