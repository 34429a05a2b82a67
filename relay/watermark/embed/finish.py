"""What can only be written once all positions are there: manifests, the proxy in one file, the index."""

import msgspec

from relay.watermark.embed.cmaf import segment_index
from relay.watermark.embed.errors import EmbedError
from relay.watermark.embed.folder import Done, put, put_joined
from relay.watermark.embed.manifests import Listed, Track, mpd, multivariant, playlist
from relay.watermark.embed.plan import Plan
from relay.watermark.embed.segment import proxy_size
from relay.watermark.embed.timing import Timing
from relay.watermark.embed.work import AUDIO, SoundDone
from relay.watermark.index import FILE, AssetIndex, Proxy, Segment, key_check

PROXY = "proxy.mp4"
_AVCC_PROFILE = 5  # of ``avcC`` in an init segment, from its type: version, then profile, compatibility, level


def finish(plan: Plan) -> AssetIndex:
    """Write manifests, proxy and index. Raises :class:`EmbedError` where the renditions do not agree."""
    done = _agreed(plan)
    videos = [video_track(plan, name, notes) for name, notes in done.items()]
    audio = sound_track(plan)
    origin = plan.folder.origin
    for track in [*videos, *([audio] if audio else [])]:
        put(origin / track.name / "index.m3u8", playlist(track).encode())
    put(origin / "master.m3u8", multivariant(videos, audio).encode())
    put(origin / "manifest.mpd", mpd(videos, audio).encode())
    _join_proxy(plan, len(next(iter(done.values()))))
    index = indexed(plan, done)
    put(plan.folder.asset / FILE, msgspec.json.encode(index))
    plan.folder.clear_work()
    return index


def indexed(plan: Plan, done: dict[str, list[Done]]) -> AssetIndex:
    """The index of consecutive positions that are done in all renditions."""
    timing, source, grid = plan.timing, plan.source, plan.pattern.grid
    begun = timing.first_frame(next(iter(done.values()))[0].position)
    segments = [
        Segment(
            position=first.position,
            first_frame=timing.first_frame(first.position) - begun,
            frames=first.frames,
            start_ms=timing.ms(timing.first_frame(first.position) - begun),
            duration_ms=timing.ms(first.frames),
            marks=dict(zip(done, (note.mark for note in (first, *others)), strict=True)),
        )
        for first, *others in zip(*done.values(), strict=True)
    ]
    encoding = plan.renditions[0].encoding
    return AssetIndex(
        asset=plan.pattern.asset,
        key_check=key_check(plan.pattern.chip_key, plan.pattern.asset),
        segment_ms=round(timing.segment_s * 1000),
        rate=(timing.rate.numerator, timing.rate.denominator),
        width=source.width,
        height=source.height,
        rows=grid.rows,
        columns=grid.columns,
        proxy=Proxy(PROXY, *proxy_size(encoding.width, encoding.height)),
        segments=segments,
    )


def video_track(plan: Plan, name: str, done: list[Done]) -> Track:
    """A rendition as manifests list it."""
    timing = plan.timing
    encoding = next(one.encoding for one in plan.renditions if one.name == name)
    listed = [
        Listed(
            note.position, timing.first_frame(note.position) * timing.tick, note.frames * timing.tick, max(note.sizes)
        )
        for note in done
    ]
    init = (plan.folder.origin / name / "init.mp4").read_bytes()
    at = init.index(b"avcC") + _AVCC_PROFILE
    codec = "avc1." + init[at : at + 3].hex().upper()
    return Track(name, codec, timing.timescale, listed, (encoding.width, encoding.height, encoding.rate))


def sound_track(plan: Plan) -> Track | None:
    """The sound as manifests list it."""
    note = plan.folder.sound_note
    if not note.exists():
        return None
    sound = msgspec.json.decode(note.read_bytes(), type=SoundDone)
    listed = [Listed(*segment) for segment in sound.segments]
    return Track(AUDIO, sound.codec, sound.rate, listed, None, sound.language, sound.channels)


def _agreed(plan: Plan) -> dict[str, list[Done]]:
    done = {one.name: sorted_done(plan, one.name) for one in plan.renditions}
    lengths = {name: [note.frames for note in notes] for name, notes in done.items()}
    first = lengths[plan.renditions[0].name]
    if not first:
        raise EmbedError(f"{plan.source.name}: not one frame of its video can be decoded")
    for name, frames in lengths.items():
        if [note.position for note in done[name]] != list(range(len(frames))) or frames != first:
            raise EmbedError(f"{name}: its segments are not those of {plan.renditions[0].name}. Run the command again.")
    return done


def sorted_done(plan: Plan, name: str) -> list[Done]:
    """What a rendition came to, in order."""
    return [note for _, note in sorted(plan.folder.done(name).items())]


def _join_proxy(plan: Plan, positions: int) -> None:
    timing: Timing = plan.timing
    pieces = [plan.folder.proxy_piece(position) for position in range(positions)]
    ticks = [note.frames * timing.tick for note in sorted_done(plan, plan.renditions[0].name)]
    sizes = [piece.stat().st_size for piece in pieces]
    head = plan.folder.proxy_init.read_bytes() + segment_index(
        timing.timescale, 0, list(zip(sizes, ticks, strict=True))
    )
    put_joined(plan.folder.asset / PROXY, head, pieces)
