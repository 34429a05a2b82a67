"""The demo's origin: the clip as an endless live stream and as VOD, in the clear, over HTTP.

It stands for the customer's CDN. All it serves is a function of the clip and the clock. Its manifests are neutral; of
video there are two watermarked variants and sidecars that tell positions, as ETSI TS 104 002 §5.5 has them. Who asks
for a segment by its neutral name gets variant a.
"""

from collections.abc import Callable
from hashlib import blake2b

from aiohttp import web

from relay.demo.clip import SEGMENTS, VARIANTS, Clip
from relay.demo.manifests import DASH_TYPE, HLS_TYPE, live_mpd, live_playlist, multivariant, vod_mpd, vod_playlist
from relay.demo.timeline import LAP, Endless
from relay.watermark.etsi import sidecar

Clock = Callable[[], float]
"""Seconds since the epoch."""

_MANIFEST_AGE = 1
_MEDIA_AGE = 3600


def create_origin(clip: Clip, clock: Clock) -> web.Application:
    """An application with ``live/`` and ``vod/``: ``master.m3u8``, ``{track}.m3u8``, ``manifest.mpd``,
    ``{track}/init.mp4``, and ``{track}/{number}.m4s`` or, for DASH, ``{track}/t{time}.m4s``. Of video, ``a/``, ``b/``
    and ``WMPaceInfo/`` stand before a segment's name for its variants and its position."""
    origin = _Origin(clip, clock)
    app = web.Application()
    app.router.add_get("/{form:live|vod}/master.m3u8", origin.multivariant)
    app.router.add_get("/{form:live|vod}/manifest.mpd", origin.mpd)
    app.router.add_get("/{form:live|vod}/{track}.m3u8", origin.playlist)
    app.router.add_get("/{form:live|vod}/{track}/init.mp4", origin.init)
    for name in (r"{number:\d{1,18}}.m4s", r"t{time:\d{1,18}}.m4s"):
        app.router.add_get("/{form:live|vod}/{track}/" + name, origin.segment)
        app.router.add_get("/{form:live|vod}/{track}/{variant:a|b}/" + name, origin.segment)
        app.router.add_get(f"/{{form:live|vod}}/{{track}}/{sidecar.FOLDER}/{name}", origin.pace)
    return app


class _Origin:
    def __init__(self, clip: Clip, clock: Clock) -> None:
        self._clip = clip
        self._clock = clock
        self._tracks = {track.name: Endless(track) for track in clip.tracks}

    async def multivariant(self, request: web.Request) -> web.Response:
        return _answer(request, multivariant(self._clip).encode(), HLS_TYPE, _MANIFEST_AGE)

    async def mpd(self, request: web.Request) -> web.Response:
        text = live_mpd(self._clip, self._clock()) if _is_live(request) else vod_mpd(self._clip)
        return _answer(request, text.encode(), DASH_TYPE, _MANIFEST_AGE)

    async def playlist(self, request: web.Request) -> web.Response:
        track = self._endless(request).track
        text = live_playlist(track, self._clock()) if _is_live(request) else vod_playlist(track)
        return _answer(request, text.encode(), HLS_TYPE, _MANIFEST_AGE)

    async def init(self, request: web.Request) -> web.Response:
        track = self._endless(request).track
        return _answer(request, track.init, _media_type(track.size is not None), _MEDIA_AGE)

    async def segment(self, request: web.Request) -> web.Response:
        endless = self._endless(request)
        number = self._number(request, endless)
        variant = VARIANTS.index(request.match_info.get("variant", "a"))
        if variant >= len(endless.track.variants):
            raise web.HTTPNotFound
        return _answer(request, endless.body(number, variant), _media_type(endless.track.size is not None), _MEDIA_AGE)

    async def pace(self, request: web.Request) -> web.Response:
        endless = self._endless(request)
        if endless.track.size is None:
            raise web.HTTPNotFound
        # Picture, chips and so the code's bits come again with every lap.
        position = self._number(request, endless) % SEGMENTS
        body = sidecar.Discrete(sidecar.Segment(position, firstpart=True, lastpart=True)).encode()
        return _answer(request, body, sidecar.CONTENT_TYPE, _MEDIA_AGE)

    def _number(self, request: web.Request, endless: Endless) -> int:
        if "time" in request.match_info:
            number = endless.number_at(int(request.match_info["time"]))
        else:
            number = int(request.match_info["number"])
        if number is None or number not in (endless.live_numbers(self._clock()) if _is_live(request) else LAP):
            raise web.HTTPNotFound
        return number

    def _endless(self, request: web.Request) -> Endless:
        try:
            return self._tracks[request.match_info["track"]]
        except KeyError:
            raise web.HTTPNotFound from None


def _is_live(request: web.Request) -> bool:
    return request.match_info["form"] == "live"


def _media_type(video: bool) -> str:
    return "video/mp4" if video else "audio/mp4"


def _answer(request: web.Request, body: bytes, content_type: str, age_s: int) -> web.Response:
    etag = blake2b(body, digest_size=12).hexdigest()
    headers = {"ETag": f'"{etag}"', "Cache-Control": f"max-age={age_s}"}
    if any(known.value in (etag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, headers=headers)
