"""What a stream that goes on shows of itself: a window of segments, older files removed, and an asset of each hour."""

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from relay.watermark.embed.cmaf import moved
from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.finish import PROXY, indexed, video_track
from relay.watermark.embed.folder import PACE_FOLDER, Done, put, segment_name
from relay.watermark.embed.manifests import Listed, Track, mpd, multivariant, playlist
from relay.watermark.embed.plan import Plan
from relay.watermark.embed.work import AUDIO, SoundDone
from relay.watermark.index import FILE
from relay.watermark.picture.mark import VARIANTS

_PART_S = 3600
_KEPT_WINDOWS = 2  # of files: players that read the manifest before the last one still find theirs


@dataclass(slots=True)
class Window:
    """The manifests of a stream, and the files that they may still lead to."""

    plan: Plan
    positions: int
    _done: deque[dict[str, Done]] = field(default_factory=deque)
    _sound: deque[tuple[int, int, int, int]] = field(default_factory=deque)
    _sound_head: SoundDone | None = None

    def begin_sound(self, head: SoundDone) -> None:
        """There is sound of this kind."""
        self._sound_head = head

    def add_sound(self, segment: tuple[int, int, int, int]) -> None:
        """A segment of sound is there."""
        self._sound.append(segment)
        while len(self._sound) > self.positions * _KEPT_WINDOWS:
            old = self._sound.popleft()
            (self.plan.folder.origin / AUDIO / segment_name(old[0])).unlink(missing_ok=True)

    def add(self, done: dict[str, Done]) -> None:
        """A position is there in all renditions."""
        self._done.append(done)
        for name, note in done.items():
            self.plan.folder.forget(name, note.position)
        while len(self._done) > self.positions * _KEPT_WINDOWS:
            for name, note in self._done.popleft().items():
                for folder in (*VARIANTS, PACE_FOLDER):
                    (self.plan.folder.origin / name / folder / segment_name(note.position)).unlink(missing_ok=True)

    def publish(self, now: float, *, ended: bool = False) -> None:
        """Write the manifests; ``now`` is Unix time. Raises :class:`EmbedError`."""
        origin = self.plan.folder.origin
        shown = self._without_gaps()
        if not shown:
            return
        videos = [video_track(self.plan, one.name, [done[one.name] for done in shown]) for one in self.plan.renditions]
        audio = self._audio(shown[0][self.plan.renditions[0].name].position)
        for track in [*videos, *([audio] if audio else [])]:
            put(origin / track.name / "index.m3u8", playlist(track, live=True, ended=ended).encode())
        put(origin / "manifest.mpd", mpd(videos, audio, published=now).encode())
        put(origin / "master.m3u8", multivariant(videos, audio).encode())

    def _without_gaps(self) -> list[dict[str, Done]]:
        """The last positions that follow each other: playlists number segments without gaps."""
        shown: list[dict[str, Done]] = []
        main = self.plan.renditions[0].name
        for done in reversed(self._done):
            if len(shown) == self.positions or (shown and shown[-1][main].position != done[main].position + 1):
                break
            shown.append(done)
        return shown[::-1]

    def _audio(self, first: int) -> Track | None:
        # A copy: the reader adds to it meanwhile.
        listed = [Listed(*segment) for segment in list(self._sound) if segment[0] >= first]
        head = self._sound_head
        if head is None or not listed:
            return None
        return Track(AUDIO, head.codec, head.rate, listed, None, head.language, head.channels)


class Parts:
    """The assets of a stream that goes on: one for each hour of it, and after every gap, named by its first position.

    Each is complete after every position, so that a copy can be looked at while the stream still runs.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._done: list[dict[str, Done]] = []

    def add(self, position: int, done: dict[str, Done]) -> None:
        """A position is there; its piece of the proxy moves into the part. Raises :class:`EmbedError`."""
        a_part = max(1, int(_PART_S / self._plan.timing.segment_s))
        if self._done:
            last = next(iter(self._done[-1].values())).position
            if position != last + 1 or position // a_part != last // a_part:
                self._done = []
        fresh = not self._done
        self._done.append(done)
        first = next(iter(self._done[0].values())).position
        folder = self._plan.folder.asset / str(first)
        piece = self._plan.folder.proxy_piece(position)
        timing = self._plan.timing
        # The proxy's time begins with its part, as that of a title begins with it.
        body = moved(piece.read_bytes(), timing.first_frame(first) * timing.tick)
        self._append(folder / PROXY, (self._plan.folder.proxy_init.read_bytes() if fresh else b"") + body, fresh)
        piece.unlink()
        by_name = {one.name: [each[one.name] for each in self._done] for one in self._plan.renditions}
        put(folder / FILE, msgspec.json.encode(indexed(self._plan, by_name)))

    @staticmethod
    def _append(path: Path, body: bytes, fresh: bool) -> None:
        # The index is written after it, so a piece that was cut short is one that no index tells of.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb" if fresh else "ab") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError as err:
            raise EmbedError(f"{path}: {err.strerror}") from None
