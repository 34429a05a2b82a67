"""A watermarked film at an origin that holds each video segment in two variants, and what its sessions should get."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urljoin

from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from keys.model import Scheme, TrackType
from keys.watermark import code_key
from relay.media.init_segment import parse_init, protect_init
from relay.media.model import Protection
from relay.model import Session
from relay.watermark.code import AssetCode, number_of
from relay.watermark.etsi.sidecar import ByteRanges, Discrete, Segment
from relay.watermark.etsi.vendors import Vendor
from tests.edge.world import API_KEY, KEY_RING, VECTORS, World, running_world
from tests.media.decrypt import read_samples

CLEAR = VECTORS / "clear"
INIT = (CLEAR / "v_init.mp4").read_bytes()
COUNT = 6
CODE = AssetCode(code_key(KEY_RING.service_keys("watermark")[-1], "the film"))


def altered(segment: bytes) -> bytes:
    """Another variant of a segment: the same boxes, and every sample with another last byte."""
    out, at = bytearray(segment), 0
    for sample in read_samples(INIT, segment)[1]:
        at = segment.index(sample, at) + len(sample)
        out[at - 1] ^= 0x55
    return bytes(out)


VARIANTS = [
    (segment, altered(segment))
    for segment in ((CLEAR / f"v_{number}.m4s").read_bytes() for number in range(1, COUNT + 1))
]
TS_VARIANTS = [
    (segment, segment[:-1] + bytes([segment[-1] ^ 0x55]))
    for segment in ((VECTORS / "ts-clear" / f"v_{number}.ts").read_bytes() for number in range(1, COUNT + 1))
]
SINGLE = tuple(INIT + b"".join(pair[variant] for pair in VARIANTS) for variant in (0, 1))
"""Both variants of the film in one file each."""
STARTS = [len(INIT) + sum(len(pair[0]) for pair in VARIANTS[:number]) for number in range(COUNT)]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def single_playlist(*ranges: tuple[int, int]) -> str:
    """A media playlist of byte ranges, (length, start), of one file."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:3", "#EXT-X-PLAYLIST-TYPE:VOD"]
    lines += [f'#EXT-X-MAP:URI="film.mp4",BYTERANGE="{len(INIT)}@0"']
    lines += [f"#EXTINF:2.0,\n#EXT-X-BYTERANGE:{length}@{start}\nfilm.mp4" for length, start in ranges]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def files() -> dict[str, bytes]:
    """What lies at the origin, by path."""
    found = {f"/film/{path.name}": path.read_bytes() for path in CLEAR.iterdir() if not path.name.startswith("v_")}
    found["/film/v_init.mp4"] = INIT
    for name in ("master.m3u8", "v.m3u8"):
        found[f"/ts/{name}"] = (VECTORS / "ts-clear" / name).read_bytes()
    for number in range(COUNT):
        for folder, extension, variants in (("film", "m4s", VARIANTS), ("ts", "ts", TS_VARIANTS)):
            name = f"v_{number + 1}.{extension}"
            for letter, variant in zip("ab", variants[number], strict=True):
                found[f"/{folder}/{letter}/{name}"] = variant
            found[f"/{folder}/WMPaceInfo/{name}"] = Discrete(Segment(100 + number)).encode()
    for letter, whole in zip("ab", SINGLE, strict=True):
        found[f"/single/{letter}/film.mp4"] = whole
    edges = [*STARTS, len(SINGLE[0])]
    ranges = [(end - start, start) for start, end in pairwise(edges)]
    found["/single/film.m3u8"] = single_playlist(*ranges).encode()
    found["/single/WMPaceInfo/film.mp4"] = ByteRanges(
        len(SINGLE[0]), (0, *STARTS), (-1, *(100 + number for number in range(COUNT)))
    ).encode()
    return found


@dataclass
class Film:
    """A relay before the film. ``files`` and ``handlers`` are the origin's; ``asked`` is what it was asked for."""

    world: World
    files: dict[str, bytes] = field(default_factory=files)
    handlers: dict[str, Handler] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def segments(self, sid: str, stream: str = "film", query: str = "", **claims: Any) -> list[str]:
        """The URLs of a session's video segments."""
        session = await self.world.enter(stream, query=query, sid=sid, **claims)
        url, body = session, (await self.world.get(session))[1].decode()
        if "#EXT-X-STREAM-INF" in body:
            url = urljoin(session, _uris(body)[0])
            body = (await self.world.get(url))[1].decode()
        return [urljoin(url, uri) for uri in _uris(body)]

    async def served(self) -> dict[str, list[tuple[int, int, bool]]]:
        """By session what the relay says that it was served of the film: first, last, and whether marked."""
        url = f"{self.world.control}/api/v1/drm/watermark/candidates"
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with self.world.client.get(url, params={"asset": "the film"}, headers=headers) as answer:
            *rows, _ = [json.loads(line) for line in (await answer.text()).splitlines()]
        return {
            row["session_id"]: [(one["first"], one["last"], one["marked"]) for one in row["intervals"]] for row in rows
        }

    def bit(self, sid: str, position: int) -> int:
        """What the code says a session gets there."""
        return CODE.bit(number_of(Session(sid, "", "https://platform.example", 0).watermark_id), position)


def _uris(body: str) -> list[str]:
    return [line for line in body.splitlines() if line and not line.startswith("#")]


def variant_of(body: bytes, url: str, stream: str, variants: tuple[bytes, ...]) -> int:
    """Which variant a protected segment is, all of it, with the key of its URL's slot."""
    scheme = Scheme(url.split(f"/{stream}/", 1)[1].split(".", 1)[0])
    match = re.search(r"/s/(\w+)\.\d+\.(\d+)/", url)
    assert match
    content = KEY_RING.content_key(KEY_RING.slot(stream, TrackType(match[1]), scheme, int(match[2])))
    if scheme is Scheme.AES128:
        number = re.search(r"[?&]n=(\d+)", url)
        assert number
        decryptor = Cipher(algorithms.AES(content.key), modes.CBC(int(number[1]).to_bytes(16, "big"))).decryptor()
        padded = decryptor.update(body) + decryptor.finalize()
        fits = [variant == padded[: -padded[-1]] for variant in variants]
        assert True in fits, "no variant"
        return fits.index(True)
    init = protect_init(parse_init(INIT), Protection(scheme, content, content))
    found = read_samples(init, body, {content.kid: content.key})
    fits = [read_samples(INIT, variant) == found for variant in variants]
    assert True in fits, "no variant"
    return fits.index(True)


@asynccontextmanager
async def showing(vendors: Sequence[Vendor] = (), **settings: Any) -> AsyncIterator[Film]:
    """The film at a relay whose streams have further ``settings`` of the watermark, and take tokens of ``vendors``."""
    holder: list[Film] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        film = holder[0]
        film.asked.append(f"{request.method} {request.path}")
        if request.path in film.handlers:
            return await film.handlers[request.path](request)
        if request.path not in film.files:
            return web.Response(status=404)
        body = film.files[request.path]
        span = request.http_range
        headers = {"ETag": f'"{len(body):x}-65a0"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        if span.start is None:
            return web.Response(body=body, headers=headers)
        start, stop, _ = span.indices(len(body))
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)

    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", answer)
    app.router.add_route("HEAD", "/{path:.*}", answer)
    mark = {"asset": "the film", **settings}

    def streams(origin: str) -> dict[str, Any]:
        return {
            "film": {"origin": f"{origin}/film/", "hls": "master.m3u8", "dash": "manifest.mpd", "watermark": mark},
            "single": {"origin": f"{origin}/single/", "hls": "film.m3u8", "watermark": mark},
            "ts": {"origin": f"{origin}/ts/", "hls": "master.m3u8", "scheme": "aes-128", "watermark": mark},
        }

    async with running_world(app, streams, vendors=vendors) as world:
        holder.append(Film(world))
        yield holder[0]
