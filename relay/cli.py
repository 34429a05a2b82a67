"""The ``segmentgate`` command."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex, token_urlsafe
from urllib.parse import urlsplit

import click
import msgspec

from keys.model import Scheme, TrackType
from relay.api_keys import MIN_KEY_BYTES, ApiKeyConfig, digest_of
from relay.commands.operate import COMMANDS, licence_status
from relay.commands.options import Hex, Seconds, Share, Time
from relay.commands.reporting import reports_errors
from relay.commands.watermark import watermark
from relay.config import Config, load_config, parse_config
from relay.errors import ConfigError, RelayError
from relay.model import Signalling
from relay.roles import Role

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONFIG = click.option("--config", "config_file", type=_FILE, required=True, help="The configuration file.")


@click.group()
@click.version_option(package_name="segmentgate")
def main() -> None:
    """An edge relay that protects, gates and re-keys live HLS and DASH on the fly."""


for _command in COMMANDS:
    main.add_command(_command)


@main.command()
@_CONFIG
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes; several need state.log."
)
@click.option("--worker", "inherited", default=None, hidden=True, help="What the supervisor hands to a worker.")
@reports_errors
def serve(config_file: Path, log_level: str, workers: int, inherited: str | None) -> None:
    """Run the relay. SIGTERM drains it, SIGHUP makes it read the configuration again."""
    from relay.process.serving import run_relay, run_supervisor
    from relay.process.worker import Worker
    from relay.telemetry.log import set_up_logging

    set_up_logging(log_level)
    if workers == 1:
        run_relay(config_file, Worker.inherit(inherited) if inherited else None)
        return
    command = [sys.executable, "-m", "relay.cli", "serve", "--config", str(config_file), "--log-level", log_level]
    if not run_supervisor(config_file, command, workers):
        raise click.exceptions.Exit(1)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Player-facing port; 0 takes a free one.")
@click.option("--control-port", type=click.IntRange(0, 65535), default=0, help="Control port; 0 takes a free one.")
@click.option("--rotation", type=Seconds(2), default=10.0, show_default=True, help="Seconds a key lasts.")
@click.option("--pre-delivery", type=Seconds(0), default=None, help="Seconds of lead; 4 or half the rotation.")
@click.option("--duration", type=Seconds(min=0, min_open=True), default=None, help="Seconds until it ends.")
@click.option("--browser/--no-browser", default=True, help="Open the page.")
@reports_errors
def demo(
    port: int, control_port: int, rotation: float, pre_delivery: float | None, duration: float | None, browser: bool
) -> None:
    """Run a live origin, the relay and a page that plays it, all on this machine."""
    import uvloop

    from relay.demo.command import DemoOptions, run_demo
    from relay.telemetry.log import set_up_logging

    set_up_logging("warning")
    lead = min(4.0, rotation / 2) if pre_delivery is None else pre_delivery
    options = DemoOptions(port, control_port, rotation, lead, duration, browser)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_demo(options))


@main.command("check-config")
@click.argument("file", type=_FILE)
@reports_errors
def check_config(file: Path) -> None:
    """Check a configuration file and the secrets it names."""
    from relay.secrets import read_secrets

    config = load_config(file)
    with _naming(file):
        read_secrets(config, file.parent)
    click.echo(f"{file}: good: {len(config.streams)} stream(s), {len(config.tokens.issuers)} token issuer(s)")


@main.command()
def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    from relay.control.app import OPERATIONS
    from relay.control.reference import described
    from relay.edge.licence import OPERATIONS as PLAYERS

    sys.stdout.buffer.write(described(OPERATIONS, PLAYERS))


@main.group()
def token() -> None:
    """Session tokens."""


@token.command("mint")
@_CONFIG
@click.option("--account", required=True, help="The viewer's pseudonymous id (claim sub).")
@click.option("--stream", "streams", multiple=True, help="A stream the viewer may watch; repeatable. None: every one.")
@click.option("--session", "session_id", default=None, help="Session id (claim sid); random when left out.")
@click.option("--device", default=None, help="Device id (claim did).")
@click.option("--max-track", type=click.Choice([str(track) for track in TrackType]), default=None)
@click.option("--ttl", type=click.IntRange(1, 86_400), default=3600, show_default=True, help="Seconds it is valid.")
@click.option("--issuer", default=None, help="Which issuer of the configuration; the first by default.")
@click.option("--kid", default=None, help="Which of the issuer's keys; the first by default.")
@click.option("--private-key", type=_FILE, default=None, help="PEM private key, for ES256 and EdDSA keys.")
@reports_errors
def token_mint(
    config_file: Path,
    account: str,
    streams: tuple[str, ...],
    session_id: str | None,
    device: str | None,
    max_track: str | None,
    ttl: int,
    issuer: str | None,
    kid: str | None,
    private_key: Path | None,
) -> None:
    """Mint a token in the issuer's dialect as the platform would, for trying things out."""
    from relay.commands.minting import mint
    from relay.config import read_secret
    from relay.secrets import read_options

    config = load_config(config_file)
    unknown = set(streams) - set(config.streams)
    if unknown:
        raise ConfigError(f"{config_file}: no stream {min(unknown)!r}. Known: {', '.join(config.streams)}.")
    chosen = next((one for one in config.tokens.issuers if issuer in (None, one.iss)), None)
    key = next((one for one in chosen.keys if kid in (None, one.kid)), None) if chosen else None
    if chosen is None or key is None:
        raise ConfigError(f"{config_file}: tokens.issuers: no such issuer or kid. Name one that is there.")
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": chosen.iss,
        "aud": config.tokens.audience,
        "sub": account,
        "sid": session_id or token_urlsafe(16),
        "jti": token_hex(8),
        "iat": now,
        "exp": now + ttl,
    }
    if streams:
        claims["ent"] = list(streams)
    if device:
        claims["did"] = device
    if max_track:
        claims["drm"] = {"max_track": max_track}
    secret: bytes
    if key.alg == "HS256":
        with _naming(config_file):
            secret = read_secret(config_file.parent, key.file, f"the secret of {key.kid!r}")
    elif private_key is None:
        raise click.UsageError(f"key {key.kid!r} is {key.alg}: give --private-key with its PEM file.")
    else:
        secret = private_key.read_bytes()
    with _naming(config_file):
        options = read_options(config_file.parent, chosen, "tokens.issuers.options")
    try:
        click.echo(mint(chosen.dialect, options, claims, key.kid, key.alg, secret))
    except ValueError as err:
        raise click.UsageError(f"{private_key or key.file}: {err}.") from None


@main.group()
def keys() -> None:
    """Root and content keys."""


_OUT = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="File to write, mode 600."
)


@keys.command("new")
@_OUT
def keys_new(out: Path | None) -> None:
    """Make 32 random bytes as hex: a root key, a token secret or an API key."""
    _hand_out(os.urandom(32).hex(), out)


@keys.command("api")
@click.option("--name", required=True, help="What the audit log calls its holder.")
@click.option("--role", type=click.Choice([str(role) for role in Role]), required=True)
@_OUT
@reports_errors
def keys_api(name: str, role: str, out: Path | None) -> None:
    """Make an API key: print it, this once, and the lines for the configuration, which hold only its digest."""
    text = token_urlsafe(MIN_KEY_BYTES)
    try:
        key = msgspec.convert({"name": name, "role": role, "sha256": digest_of(text.encode()).hex()}, ApiKeyConfig)
    except msgspec.ValidationError:
        raise click.BadParameter("1 to 64 of A-Z a-z 0-9 _ -, the first no sign.", param_hint="--name") from None
    _hand_out(text, out)
    click.echo(f'\n[[control.keys]]\nname = "{key.name}"\nrole = "{key.role}"\nsha256 = "{key.sha256}"')


def _hand_out(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text)
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as err:
        raise click.ClickException(f"{out}: {err.strerror}. Choose a new file: a key is never overwritten.") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


@keys.command("derive")
@_CONFIG
@click.option("--stream", required=True)
@click.option("--track", type=click.Choice([str(track) for track in TrackType]), required=True)
@click.option("--scheme", type=click.Choice([str(scheme) for scheme in Scheme]), default=str(Scheme.CENC))
@click.option("--at", default=None, help="Stream time: ms, or ISO 8601. Left out: the stable key.")
@reports_errors
def keys_derive(config_file: Path, stream: str, track: str, scheme: str, at: str | None) -> None:
    """Print the key ID and content key of a slot as JSON. Handle the output as a secret."""
    from keys.periods import Schedule
    from relay.secrets import read_secrets

    config = load_config(config_file)
    if stream not in config.streams:
        raise ConfigError(f"{config_file}: no stream {stream!r}. Known: {', '.join(config.streams)}.")
    if config.streams[stream].rotation.salt:
        raise ConfigError(f"{config_file}: streams.{stream}.rotation.salt: salted keys derive only inside the relay.")
    if config.streams[stream].key_server:
        raise ConfigError(f"{config_file}: streams.{stream}.key_server: its keys are not derived. Ask that server.")
    period = None
    if at is not None:
        schedule = Schedule(config.streams[stream].rotation_policy())
        period = schedule.period_of(_stream_time(at)).start
    with _naming(config_file):
        ring = read_secrets(config, config_file.parent).ring
    slot = ring.slot(stream, TrackType(track), Scheme(scheme), period)
    key = ring.content_key(slot)
    values = {"stream": stream, "track": track, "scheme": scheme, "period": period, "generation": slot.generation}
    click.echo(json.dumps({**values, "kid": key.kid.hex(), "key": key.key.hex()}))


@main.group()
def licences() -> None:
    """Licences of DRM systems."""


@licences.command("estimate")
@click.option("--viewers", type=int, required=True)
@click.option("--duration", type=Time(), required=True, help="How long one playing lasts, as 90m.")
@click.option("--titles", type=int, help="Different videos that each viewer plays.")
@click.option("--plays", type=int, help="How often each of them is played.")
@click.option("--plays-within", type=Time(), help="Over how long these are spread; 30d.")
@click.option("--persistent", type=Time(), help="How long a stored licence can be used; left out: none is stored.")
@click.option("--titles-per-key", type=int, help="Titles that share their keys.")
@click.option("--keys", type=int, help="Keys that a player comes to use, as audio, SD and HD: 3.")
@click.option("--renewal-interval", type=Time(), help="How often licences are renewed.")
@click.option("--rotation-interval", type=Time(), help="How long a key lasts.")
@click.option("--pre-delivery", type=Time(), help="The lead by which the next key is sent or asked for.")
@click.option("--arrival", type=Time(), help="Over how long the viewers arrive; 60s.")
@click.option("--boundary", type=Time(), help="Over how long players meet a new key that was not sent ahead; 10s.")
@click.option(
    "--share", type=Share(), multiple=True, help="Viewers of a system in per cent, as fairplay=30; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
@reports_errors
def licences_estimate(as_json: bool, share: tuple[tuple[str, float], ...], **given: int | None) -> None:
    """Estimate how many licences an audience asks for, and how fast."""
    from relay.commands.sizing import estimate_json, estimate_table, usage_of

    usage = usage_of(given, dict(share))
    click.echo(estimate_json(usage) if as_json else estimate_table(usage))


licences.add_command(licence_status)
main.add_command(watermark)


@main.group()
def policy() -> None:
    """Protection policies in files."""


@policy.command("check")
@click.argument("file", type=_FILE)
@reports_errors
def policy_check(file: Path) -> None:
    """Check a protection policy, and show its scenes as a table. Asks nobody."""
    from relay.commands.scenes import read_file, scenes_table

    with _naming(file):
        body = read_file(file.read_bytes(), time.time())
    click.echo(scenes_table(body.scenes))


@main.command()
@click.option("--scheme", type=click.Choice([str(Scheme.CENC), str(Scheme.CBCS)]), required=True)
@click.option("--key", type=Hex(16), required=True, help="Content key.")
@click.option("--kid", type=Hex(16), required=True, help="Key ID.")
@click.option("--iv", type=Hex(8, 16), default=None, help="cenc: IV of the first sample (8 bytes); cbcs: constant IV.")
@click.option("--init", "init_file", type=_FILE, default=None, help="Init segment; left out: the file holds it, too.")
@click.option("--out-init", type=click.Path(dir_okay=False, path_type=Path), default=None)
@click.option("--out-dir", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.argument("segments", nargs=-1, required=True, type=_FILE)
@reports_errors
def protect(
    scheme: str,
    key: bytes,
    kid: bytes,
    iv: bytes | None,
    init_file: Path | None,
    out_init: Path | None,
    out_dir: Path,
    segments: tuple[Path, ...],
) -> None:
    """Protect clear fMP4 files under a given key."""
    from relay.media.files import FileProtection, FileProtector, protect_file

    if (init_file is None) != (out_init is None):
        raise click.UsageError("give --init and --out-init together, or neither for files that hold their own init.")
    needed = 8 if scheme == Scheme.CENC else 16
    if iv is not None and len(iv) != needed:
        raise click.UsageError(f"--iv: {scheme} takes {2 * needed} hex digits.")
    wanted = FileProtection.of(Scheme(scheme), kid, key, iv)
    inputs = {path.resolve() for path in (init_file, *segments) if path}
    outputs = [path.resolve() for path in (out_init, *(out_dir / segment.name for segment in segments)) if path]
    if inputs & set(outputs):
        raise click.UsageError("a clear file would be overwritten. Choose another folder or name for the output.")
    if len(set(outputs)) != len(outputs):
        raise click.UsageError("two outputs share a file name: they would overwrite each other. Protect them apart.")
    out_dir.mkdir(parents=True, exist_ok=True)
    if init_file is None or out_init is None:
        ivs = wanted.ivs()
        for path in segments:
            with _naming(path):
                (out_dir / path.name).write_bytes(protect_file(path.read_bytes(), wanted, ivs))
        return
    with _naming(init_file):
        protector = FileProtector(init_file.read_bytes(), wanted)
    out_init.write_bytes(protector.init)
    for path in segments:
        with _naming(path):
            (out_dir / path.name).write_bytes(protector.segment(path.read_bytes()))


@main.command()
@click.argument("file", type=_FILE)
@click.option("--url", required=True, help="The URL that the manifest was fetched from.")
@click.option("--config", "config_file", type=_FILE, default=None, help="Use its streams and keys.")
@click.option("--scheme", type=click.Choice([str(scheme) for scheme in Scheme]), default=None)
@click.option("--signalling", type=click.Choice([str(one) for one in Signalling]), default=None)
@click.option("--track", type=click.Choice([str(track) for track in TrackType]), default=None, help="Of a playlist.")
@reports_errors
def rewrite(
    file: Path, url: str, config_file: Path | None, scheme: str | None, signalling: str | None, track: str | None
) -> None:
    """Print a manifest as the relay would serve it."""
    from relay.commands.preview import PreviewOptions, preview

    options = PreviewOptions(
        Scheme(scheme) if scheme else None,
        Signalling(signalling) if signalling else None,
        TrackType(track) if track else None,
    )

    if config_file is None:
        config, base = _ephemeral_config(url), None
    else:
        config, base = load_config(config_file), config_file.parent
    sys.stdout.buffer.write(preview(file.read_bytes(), url, config, base, options, time.time()))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file an error is about."""
    try:
        yield
    except RelayError as err:
        raise click.ClickException(f"{path}: {err}") from None


def _ephemeral_config(url: str) -> Config:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise click.UsageError("--url: an absolute http or https URL is needed.")
    folder = parts.path.rpartition("/")[0] + "/"
    stream = {"origin": f"{parts.scheme}://{parts.netloc}{folder}", "hls": "index.m3u8", "dash": "index.mpd"}
    return parse_config(
        {
            "control": {"api_key_file": "none"},
            "keys": {"roots": [{"generation": 1, "file": "none"}]},
            "tokens": {
                "audience": "preview",
                "issuers": [{"iss": "none", "keys": [{"kid": "none", "alg": "HS256", "file": "none"}]}],
            },
            "streams": {"preview": stream},
        },
        "--url",
    )


def _stream_time(text: str) -> int:
    try:
        if text.isdecimal():
            return int(text)
        moment = datetime.fromisoformat(text)
        # Without an offset it is UTC, or the same command would print another key on another machine.
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except ValueError:
        raise click.BadParameter("give milliseconds or an ISO 8601 time.", param_hint="--at") from None


if __name__ == "__main__":
    main()
