"""Key exchange as configured: who may ask for keys as a packager, and where a stream's keys come from elsewhere."""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from keys.model import Scheme
from relay.errors import ConfigError
from relay.exposure import is_exposed
from relay.units import Duration

MAX_TIMEOUT = Duration.parse("60s")


class PackagerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account for the packager key request, and the streams whose keys it may ask for.

    It signs with an AES key and IV (files of hex), or with the private key to the RSA public key ``rsa_key`` (PEM).
    """

    signer: Annotated[str, Meta(min_length=1, max_length=256)]
    streams: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1024)]
    key_file: str = ""
    iv_file: str = ""
    rsa_key: str = ""


class KeyServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key server that is asked by SPEKE for a stream's content keys, under ``content_id`` (the stream's name).

    ``authorization_file`` holds the whole value of the Authorization header. With ``certificate`` and ``key`` (PEM) it
    is asked to encrypt its keys to them.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s?#@/]+/[^\s#@]*\Z", max_length=1024)]
    version: Literal["2.0", "2.1"] = "2.0"
    content_id: Annotated[str, Meta(pattern=r"^[!-~]*\Z", max_length=512)] = ""
    authorization_file: str = ""
    certificate: str = ""
    key: str = ""
    timeout: Duration = Duration.parse("10s")


def check_packagers(where: str, packagers: Sequence[PackagerConfig], streams: Collection[str]) -> None:
    """Raise :class:`ConfigError` for accounts that contradict themselves or one another."""
    if len({packager.signer for packager in packagers}) != len(packagers):
        raise ConfigError(f"{where}: two have the same 'signer'. Make them one.")
    for number, packager in enumerate(packagers):
        if (bool(packager.key_file), bool(packager.iv_file)) != (not packager.rsa_key,) * 2:
            raise ConfigError(
                f"{where}[{number}]: signs in one way. Give 'key_file' and 'iv_file', or 'rsa_key' alone."
            )
        if unknown := set(packager.streams) - set(streams):
            raise ConfigError(f"{where}[{number}].streams: no stream {min(unknown)!r}. Add it to 'streams'.")


def check_key_server(where: str, server: KeyServerConfig, schemes: Collection[Scheme], salt: bool) -> None:
    """Raise :class:`ConfigError` for a key server whose keys others could read, or that does not fit its stream."""
    if is_exposed(server.url):
        raise ConfigError(f"{where}.url: keys would travel in the clear. Write it with https.")
    if bool(server.certificate) != bool(server.key):
        raise ConfigError(f"{where}.certificate, {where}.key: one goes with the other. Set both or none.")
    if not 0 < server.timeout <= MAX_TIMEOUT:
        raise ConfigError(
            f"{where}.timeout: out of range. Give a duration above 0s, at most {MAX_TIMEOUT.seconds:.0f}s."
        )
    if Scheme.AES128 in schemes:
        raise ConfigError(f"{where}: SPEKE knows no keys for aes-128. Leave it out of the stream's 'schemes'.")
    if salt:
        raise ConfigError(f"{where}: its keys are not derived. Leave out rotation.salt.")
