"""Relay processes from start to end: reload, drain, several workers under one supervisor."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from yarl import URL

from relay.gate.dialects.jwt import mint_token
from tests.certificate import write_certificate
from tests.e2e.local import Server, free_port
from tests.relay_process import AUDIENCE, ISSUER, RelayProcess, relay_process, write_configuration
from tests.slow_origin import ENDLESS, create_slow_origin
from tests.valkey import valkey_server
from tests.wire import Reply, Wire, wire

OK = "/sdk/segmentgate.js"
CLIENTS = 8
RELOADS = int(os.environ.get("SEGMENTGATE_RELOADS", "50"))


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The URL of an origin of test vectors."""
    server = Server()
    yield server.start(create_slow_origin())
    server.stop()


@pytest.fixture
def folder(tmp_path: Path, origin: str) -> Path:
    """A configuration with one stream."""
    write_configuration(tmp_path, {"vod": stream(origin)}, (free_port(), free_port()))
    return tmp_path


def stream(origin: str) -> dict[str, str]:
    return {"origin": f'"{origin}/"', "hls": '"master.m3u8"'}


def rewrite(folder: Path, old: str, new: str) -> None:
    """Edit the configuration."""
    text = (folder / "relay.toml").read_text()
    assert old in text
    # In one step: a relay that reads it meanwhile must not find half of it.
    (folder / "new.toml").write_text(text.replace(old, new, 1))
    (folder / "new.toml").rename(folder / "relay.toml")


def events(folder: Path, name: str) -> list[dict[str, object]]:
    """What the log says of an event."""
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def eventually(holds: Callable[[], object], within_s: float = 10.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def hang_up(relay: RelayProcess, event: str) -> dict[str, object]:
    """SIGHUP, and what the relay says of it."""
    before = len(events(relay.folder, event))
    relay.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(events(relay.folder, event)) > before)
    return events(relay.folder, event)[-1]


def address(url: str) -> tuple[str, int]:
    parts = URL(url)
    assert parts.host is not None
    assert parts.port is not None
    return parts.host, parts.port


async def ask(peer: Wire, path: str = OK, *fields: str) -> Reply | None:
    await peer.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode())
    return await peer.reply()


async def fetch(url: str, path: str = OK, tls: ssl.SSLContext | None = None, patience_s: float = 5.0) -> Reply:
    """One request on a connection of its own."""
    async with wire(address(url), tls, patience_s) as peer:
        reply = await ask(peer, path, "Connection: close")
        assert reply is not None
        return reply


async def enter(relay: RelayProcess, name: str = "vod", tls: ssl.SSLContext | None = None) -> Reply:
    return await fetch(relay.edge, f"/watch/{name}/index.m3u8?token={relay.token()}", tls)


async def revoke(relay: RelayProcess, api_key: str, session: str = "unknown") -> int:
    body = json.dumps({"session_id": session})
    fields = (f"Authorization: Bearer {api_key}", f"Content-Length: {len(body)}", "", body)
    async with wire(address(relay.control)) as peer:
        await peer.send("\r\n".join(["POST /api/v1/drm/revoke HTTP/1.1", "Host: a", *fields]).encode())
        reply = await peer.reply()
        assert reply is not None
        return reply.status


async def keep_asking(at: str, until: asyncio.Event, path: str = OK) -> int:
    """Requests on one connection until told to stop or the relay says that it closes; how many were answered."""
    async with wire(address(at)) as peer:
        answered = 0
        while not until.is_set():
            reply = await ask(peer, path)
            assert reply is not None, f"request {answered} was not answered"
            assert reply.status == 200
            answered += 1
            if reply.closes:
                assert await peer.closed()
                return answered
        return answered


# One process


async def test_a_reload_takes_over_streams_and_secrets(folder: Path, origin: str) -> None:
    with relay_process(folder) as relay:
        assert (await enter(relay)).status == 302
        assert (await enter(relay, "more")).status == 404
        old_key, old_token = relay.api_key, relay.token()
        (folder / "api.key").write_text("another" * 6)
        (folder / "token.key").write_text(os.urandom(32).hex())
        with (folder / "relay.toml").open("a") as file:
            file.write("\n[streams.more]\n" + "\n".join(f"{key} = {value}" for key, value in stream(origin).items()))
        assert hang_up(relay, "reloaded")["streams"] == ["more", "vod"]
        assert (await enter(relay)).status == 302
        assert (await enter(relay, "more")).status == 302
        assert (await fetch(relay.edge, f"/watch/vod/index.m3u8?token={old_token}")).status == 401
        assert (await revoke(relay, old_key), await revoke(relay, relay.api_key)) == (401, 200)


async def test_a_token_that_was_used_stays_used_over_a_reload(folder: Path) -> None:
    with relay_process(folder) as relay:
        path = f"/watch/vod/index.m3u8?token={relay.token(use='once')}"
        assert (await fetch(relay.edge, path)).status == 302
        rewrite(folder, "[streams.vod]", "[streams.vod]\nwindow = '60m'")
        hang_up(relay, "reloaded")
        assert (await fetch(relay.edge, path)).headers["relay-reason"] == "replayed"


async def test_keys_that_were_fetched_outlive_a_reload_while_their_issuer_is_away(folder: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = {**ECAlgorithm.to_jwk(private.public_key(), as_dict=True), "kid": "fetched", "alg": "ES256"}
    answers = [web.json_response({"keys": [public]})]

    async def publish(_: web.Request) -> web.Response:
        return answers.pop() if answers else web.Response(status=503)

    issuer = web.Application()
    issuer.router.add_get("/jwks", publish)
    server = Server()
    rewrite(folder, "issuers = [{ ", f'issuers = [{{ jwks = {{ url = "{server.start(issuer)}/jwks" }}, ')
    with relay_process(folder) as relay:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "sid": "s", "jti": "t", "exp": int(time.time()) + 600}
        path = f"/watch/vod/index.m3u8?token={mint_token(claims, 'fetched', 'ES256', pem)}"
        assert (await fetch(relay.edge, path)).status == 302
        rewrite(folder, "[streams.vod]", "[streams.vod]\nwindow = '60m'")
        await asyncio.to_thread(hang_up, relay, "reloaded")
        assert not answers
        assert (await fetch(relay.edge, path)).status == 302
    server.stop()


async def test_sessions_outlive_a_reload_and_a_stream_that_left_does_not(folder: Path, origin: str) -> None:
    with (folder / "relay.toml").open("a") as file:
        file.write("\n[streams.more]\n" + "\n".join(f"{key} = {value}" for key, value in stream(origin).items()))
    with relay_process(folder) as relay:
        sessions = [(await enter(relay, name)).headers["location"] for name in ("vod", "more")]
        rewrite(folder, "[streams.more]", "[streams.other]")
        hang_up(relay, "reloaded")
        assert [(await fetch(relay.edge, session)).status for session in sessions] == [200, 404]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('edge = { listen = "127.0.0.1:', 'edge = { listen = "127.0.0.1:1', "edge.listen"),
        ("state = { ", 'state = { stale_after = "7s", ', "state.stale_after"),
        ("[tokens]", '[cache]\nsegments = "64MiB"\n[tokens]', "cache.segments"),
        ("[streams.vod]", "[streams.vod]\nrotation.salt = true", "streams.vod.rotation.salt"),
        ("[streams.vod]", "[streams.vod]\nhsl = 'x'", "hsl"),
        ("[tokens]", "[tokens", "not valid TOML"),
        ('"api.key"', '"none.key"', "none.key"),
    ],
    ids=["address", "state", "cache", "salt", "unknown name", "syntax", "missing secret"],
)
async def test_what_cannot_be_taken_over_is_refused_whole_and_named(
    folder: Path, old: str, new: str, named: str
) -> None:
    with relay_process(folder) as relay:
        token = relay.token()
        (folder / "token.key").write_text(os.urandom(32).hex())
        rewrite(folder, old, new)
        assert named in str(hang_up(relay, "reload_refused")["reason"])
        assert (await fetch(relay.edge, f"/watch/vod/index.m3u8?token={token}")).status == 302


async def test_a_root_secret_is_not_changed_under_its_generation(folder: Path) -> None:
    with relay_process(folder) as relay:
        (folder / "root.key").write_text(os.urandom(32).hex())
        assert "generation 1 changed" in str(hang_up(relay, "reload_refused")["reason"])


async def test_reloads_under_load_fail_no_request(folder: Path) -> None:
    """Every client keeps its one connection throughout; each reload changes a setting of their stream."""
    with relay_process(folder) as relay:
        session, segment = (await enter(relay)).headers["location"], await segment_of(relay, "a_1.m4s")
        done = asyncio.Event()
        clients = [asyncio.create_task(keep_asking(relay.edge, done, path)) for path in (OK, session, segment) * 3]
        rewrite(folder, "[streams.vod]", "[streams.vod]\nwindow = '60m'")
        for number in range(RELOADS):
            rewrite(folder, f"'{number + 60}m'", f"'{number + 61}m'")
            await asyncio.to_thread(hang_up, relay, "reloaded")
            await asyncio.sleep(0.02)
        done.set()
        assert min(await asyncio.gather(*clients)) > 20
        assert len(events(folder, "reloaded")) == RELOADS
        assert not events(folder, "reload_refused")


async def test_draining_under_load_fails_no_request(folder: Path) -> None:
    with relay_process(folder) as relay:
        clients = [asyncio.create_task(keep_asking(relay.edge, asyncio.Event())) for _ in range(CLIENTS)]
        await asyncio.sleep(0.5)
        started = time.perf_counter()
        relay.process.terminate()
        assert min(await asyncio.gather(*clients)) > 5
        assert await asyncio.to_thread(relay.process.wait, 10) == 0
        assert time.perf_counter() - started < 3


async def test_draining_waits_for_a_response_under_way_and_takes_revocations_meanwhile(folder: Path) -> None:
    rewrite(folder, "edge = { ", 'edge = { drain = "8s", ')
    with relay_process(folder) as relay:
        async with wire(address(relay.edge)) as peer:
            await peer.send(f"GET {await segment_of(relay, ENDLESS)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert await peer.reader.readline() == b"HTTP/1.1 200 OK\r\n"
            relay.process.terminate()
            await asyncio.sleep(1.5)
            assert relay.process.poll() is None
            assert await revoke(relay, relay.api_key) == 200
        # The viewer has left.
        assert await asyncio.to_thread(relay.process.wait, 5) == 0


async def segment_of(relay: RelayProcess, name: str, tls: ssl.SSLContext | None = None) -> str:
    """The path of an audio segment; its origin is still making :data:`ENDLESS`."""
    master = (await enter(relay, tls=tls)).headers["location"]
    for line in (await fetch(relay.edge, master, tls)).body.decode().split("\n"):
        if match := re.search(r'TYPE=AUDIO.*URI="([^"]+)"', line):
            playlist = URL(master, encoded=True).join(URL(match[1], encoded=True))
            text = (await fetch(relay.edge, str(playlist), tls)).body.decode()
            last = [entry for entry in text.split("\n") if name in entry and not entry.startswith("#")][-1]
            return str(playlist.join(URL(last, encoded=True)))
    raise AssertionError("no audio")


def with_tls(folder: Path) -> ssl.SSLContext:
    """Turn TLS on, and what a client trusts then."""
    write_certificate(folder / "tls.pem", folder / "tls.key")
    rewrite(folder, "edge = { ", 'edge = { tls_certificate = "tls.pem", tls_key = "tls.key", ')
    trust = ssl.create_default_context(cafile=str(folder / "tls.pem"))
    trust.check_hostname = False
    return trust


async def test_a_revocation_cuts_a_response_over_tls(folder: Path) -> None:
    trust = with_tls(folder)
    with relay_process(folder) as relay:
        path = await segment_of(relay, ENDLESS, trust)
        async with wire(address(relay.edge), trust) as peer:
            await peer.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert await peer.reader.readline() == b"HTTP/1.1 200 OK\r\n"
            assert await revoke(relay, relay.api_key, "session") == 200
            started = time.perf_counter()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                async with asyncio.timeout(5):
                    while await peer.reader.read(1 << 20):
                        pass
            assert time.perf_counter() - started < 0.4


async def test_a_renewed_certificate_is_used_and_old_connections_stay(folder: Path) -> None:
    trust = with_tls(folder)
    write_certificate(folder / "next.pem", folder / "next.key", serial=2)
    trust.load_verify_locations(str(folder / "next.pem"))
    with relay_process(folder) as relay:
        async with wire(address(relay.edge), trust) as old:
            assert (await ask(old)) is not None
            for kind in ("pem", "key"):
                shutil.copy(folder / f"next.{kind}", folder / f"tls.{kind}")
            hang_up(relay, "reloaded")
            async with wire(address(relay.edge), trust) as new:
                serials = [peer.writer.get_extra_info("peercert")["serialNumber"] for peer in (old, new)]
                assert serials == ["01", "02"]
                for peer in (old, new):
                    assert (await ask(peer)) is not None
            (folder / "tls.pem").write_text("broken")
            hang_up(relay, "reload_refused")
            assert (await ask(old)) is not None


def test_the_pure_python_parser_is_refused(folder: Path) -> None:
    status, said = ended(folder, AIOHTTP_NO_EXTENSIONS="1")
    assert status == 1
    assert "pure-Python parser" in said


def ended(folder: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Status and standard error of a relay that ends by itself."""
    done = subprocess.run(
        [*command(folder), *options], env={**os.environ, **environment}, capture_output=True, text=True, timeout=20
    )
    return done.returncode, done.stderr


def command(folder: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("segmentgate")), "serve", "--config", str(folder / "relay.toml")]


# Several


@pytest.fixture(scope="module")
def log_url() -> Iterator[str]:
    """A shared log."""
    with valkey_server() as server:
        yield server.url


@pytest.fixture
def shared(folder: Path, log_url: str) -> Path:
    """A configuration of relays that share a log."""
    rewrite(folder, "state = { ", f'state = {{ log = "{log_url}", namespace = "{folder.name[:40]}", ')
    return folder


@contextlib.contextmanager
def supervised(folder: Path, workers: int = 2) -> Iterator[RelayProcess]:
    """A supervisor with its workers; it must end well."""
    with (folder / "log").open("a+") as log:
        process = subprocess.Popen([*command(folder), "--workers", str(workers)], stderr=log, text=True)
    try:
        eventually(lambda: process.poll() is not None or any("workers" in said for said in events(folder, "serving")))
        assert process.poll() is None, (folder / "log").read_text()
        where = events(folder, "serving")[-1]
        edge, control = (f"http://127.0.0.1:{where[name][1]}" for name in ("edge", "control"))  # type: ignore[index]
        yield RelayProcess(folder, process, edge, control)
        if process.poll() is None:
            process.terminate()
            assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def workers_of(relay: RelayProcess) -> list[int]:
    pid = relay.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_several_workers_without_a_shared_log_are_refused(folder: Path) -> None:
    status, said = ended(folder, "--workers", "2")
    assert status == 1
    assert "state.log: without a shared log one worker would go on serving" in said


async def test_workers_share_the_addresses_and_keep_journals_of_their_own(shared: Path) -> None:
    with supervised(shared) as relay:
        assert len(workers_of(relay)) == 2
        for _ in range(20):
            assert (await fetch(relay.edge)).status == 200
            assert (await fetch(relay.control, "/healthz")).status == 200
        assert sorted(path.name for path in (shared / "state").iterdir()) == ["analyses", "worker-0", "worker-1"]


async def test_a_revocation_reaches_every_worker(shared: Path) -> None:
    with supervised(shared) as relay:
        location = (await enter(relay)).headers["location"]
        assert {(await fetch(relay.edge, location)).status for _ in range(20)} == {200}
        assert await revoke(relay, relay.api_key, "session") == 200
        await asyncio.sleep(0.3)
        assert {(await fetch(relay.edge, location)).status for _ in range(20)} == {403}


async def test_a_worker_that_is_killed_is_started_again_and_no_connection_is_lost(shared: Path) -> None:
    with supervised(shared) as relay:
        before = workers_of(relay)
        os.kill(before[0], signal.SIGKILL)
        replies = await asyncio.gather(*(fetch(relay.edge, patience_s=20) for _ in range(40)))
        assert {reply.status for reply in replies} == {200}
        eventually(lambda: len([pid for pid in workers_of(relay) if is_running(pid)]) == 2)
        assert workers_of(relay) != before
        assert [line["status"] for line in events(shared, "worker_ended")] == [-signal.SIGKILL]


async def test_a_reload_reaches_every_worker_and_fails_no_request(shared: Path) -> None:
    with supervised(shared) as relay:
        done = asyncio.Event()
        clients = [asyncio.create_task(keep_asking(relay.edge, done)) for _ in range(CLIENTS)]
        old_key = relay.api_key
        (shared / "api.key").write_text("another" * 6)
        relay.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(eventually, lambda: len(events(shared, "reloaded")) == 2)
        assert {await revoke(relay, old_key) for _ in range(10)} == {401}
        rewrite(shared, "[tokens]", '[cache]\nsegments = "64MiB"\n[tokens]')
        assert "cache.segments" in str((await asyncio.to_thread(hang_up, relay, "reload_refused"))["reason"])
        done.set()
        assert min(await asyncio.gather(*clients)) > 5


async def test_stopping_drains_every_worker(shared: Path) -> None:
    with supervised(shared) as relay:
        workers = workers_of(relay)
        clients = [asyncio.create_task(keep_asking(relay.edge, asyncio.Event())) for _ in range(CLIENTS)]
        await asyncio.sleep(0.3)
        relay.process.terminate()
        assert min(await asyncio.gather(*clients)) > 5
        assert await asyncio.to_thread(relay.process.wait, 15) == 0
        assert not any(is_running(pid) for pid in workers)


async def test_workers_do_not_outlive_their_supervisor(shared: Path) -> None:
    with supervised(shared) as relay:
        workers = workers_of(relay)
        relay.process.kill()
        relay.process.wait()
        await asyncio.to_thread(eventually, lambda: not any(is_running(pid) for pid in workers))


async def test_metrics_are_of_all_workers_together(shared: Path) -> None:
    with supervised(shared) as relay:
        for _ in range(20):
            assert (await enter(relay, "nowhere")).status == 404
        for _ in range(10):
            text = (await fetch(relay.control, "/metrics")).body.decode()
            assert 'segmentgate_denied_total{reason="stream_unknown"} 20.0' in text
            assert "pid=" not in text


def test_workers_that_cannot_start_end_it_with_their_reason(shared: Path) -> None:
    (shared / "state").write_text("not a folder")
    status, said = ended(shared, "--workers", "2")
    assert status == 1
    assert "worker_ended" in said


def test_a_second_relay_on_the_same_address_is_refused(shared: Path) -> None:
    with supervised(shared):
        status, said = ended(shared, "--workers", "2")
    assert status == 1
    assert "cannot listen on" in said
