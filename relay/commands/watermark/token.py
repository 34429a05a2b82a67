"""``segmentgate watermark token``: a session's watermark token (ETSI TS 104 002), for edges that are not ours."""

import time
from pathlib import Path
from secrets import token_bytes

import click

from keys.watermark import KEY_BYTES, code_key
from relay.commands.reporting import reports_errors
from relay.commands.watermark.secret_file import FILE, read_hex
from relay.gate.dialects.keys import SYMMETRIC, Signer
from relay.watermark.code import PROFILES, AssetCode
from relay.watermark.etsi.pattern_encryption import NONCE_BYTES
from relay.watermark.etsi.wmt import MAX_PATTERN_BITS, Issue, mint_direct, mint_indirect


@click.command()
@click.option("--watermark", "watermark_id", required=True, help="The session's watermark id.")
@click.option("--vendor", type=click.IntRange(0, 255), required=True, help="Your number on the DASH-IF list (wmvnd).")
@click.option("--bits", type=click.IntRange(1, MAX_PATTERN_BITS), default=3600, show_default=True, help="Its length.")
@click.option("--key", "key_file", type=FILE, required=True, help="What signs it: a secret in hex, or a PEM.")
@click.option("--algorithm", type=click.Choice([SYMMETRIC, "ES256"]), default=SYMMETRIC, show_default=True)
@click.option("--kid", default="", help="The key's id, where the edge wants one.")
@click.option("--form", type=click.Choice(["cwt", "jwt"]), default="cwt", show_default=True)
@click.option("--ttl", type=click.IntRange(1, 30 * 86_400), default=4 * 3600, show_default=True, help="In seconds.")
@click.option("--indirect", is_flag=True, help="Name the session; otherwise the token brings the pattern.")
@click.option("--operator", type=click.IntRange(0), default=0, help="wmopid of indirect tokens.")
@click.option("--key-version", type=click.IntRange(0), default=0, help="wmkeyver of indirect tokens.")
@click.option("--asset", default="", help="The asset whose code it is; with --secret-file.")
@click.option("--secret-file", type=FILE, default=None, help="The watermark secret, as `keys new` makes one.")
@click.option("--code-key", "code_key_file", type=FILE, default=None, help="The asset's code key in hex, instead.")
@click.option("--colluders", type=click.Choice([str(one) for one in PROFILES]), default="2", show_default=True)
@click.option("--pattern-key", type=FILE, default=None, help="An AES-256 key in hex that encrypts the pattern.")
@click.option("--last-bit-first", is_flag=True, help="For edges that count from the pattern's end, as Akamai's code.")
@reports_errors
def token(
    watermark_id: str,
    vendor: int,
    bits: int,
    key_file: Path,
    algorithm: str,
    kid: str,
    form: str,
    ttl: int,
    indirect: bool,
    operator: int,
    key_version: int,
    asset: str,
    secret_file: Path | None,
    code_key_file: Path | None,
    colluders: str,
    pattern_key: Path | None,
    last_bit_first: bool,
) -> None:
    """Print a watermark token of a session. Whoever has it gets that session's variants: handle it as a secret."""
    now = int(time.time())
    issue = Issue(vendor, bits, now, now + ttl, watermark_id, operator, key_version)
    try:
        secret = read_hex(key_file) if algorithm == SYMMETRIC else key_file.read_bytes()
        signer = Signer.load(kid, algorithm, secret)
        if indirect:
            click.echo(mint_indirect(issue, signer, form=form))
            return
        code = AssetCode(_code_key(asset, secret_file, code_key_file), int(colluders))
        sealed_with = read_hex(pattern_key) if pattern_key else b""
        if len(sealed_with) not in (0, 32):
            raise ValueError(f"--pattern-key: {len(sealed_with)} bytes, expected 32")
        nonce = token_bytes(NONCE_BYTES)
        click.echo(
            mint_direct(
                issue, code, signer, form=form, pattern_key=sealed_with, nonce=nonce, last_bit_first=last_bit_first
            )
        )
    except ValueError as err:
        raise click.UsageError(f"{err}.") from None


def _code_key(asset: str, secret_file: Path | None, code_key_file: Path | None) -> bytes:
    if (secret_file is None) == (code_key_file is None) or bool(asset) != bool(secret_file):
        raise click.UsageError("give --code-key, or --secret-file with --asset.")
    if secret_file is not None:
        return code_key(read_hex(secret_file), asset)
    assert code_key_file is not None
    key = read_hex(code_key_file)
    if len(key) != KEY_BYTES:
        raise click.UsageError(f"--code-key: {len(key)} bytes, a code key has {KEY_BYTES}.")
    return key
