"""Which settings a running relay can take over from a changed configuration, and which need a restart."""

from msgspec import Struct, structs

from keys.ring import KeyRing
from relay.config import Config
from relay.errors import ConfigError

_RELOADABLE = (
    "control.api_key_file",
    "control.keys",
    "edge.address_header",
    "edge.asn_header",
    "edge.country_header",
    "edge.credentialed_origins",
    "edge.drain",
    "edge.head_timeout",
    "edge.max_connections",
    "edge.public_url",
    "edge.region_header",
    "edge.tls_certificate",
    "edge.tls_key",
    "edge.trusted_proxies",
    "control.max_connections",
    "keys",
    "licences",
    "packagers",
    "purchases",
    "streams",
    "tokens.audience",
    "tokens.issuers",
    "watermark.analysis",
    "watermark.approvals",
    "watermark.detectors",
    "watermark.retention",
)
_FIXED_IN_STREAM = (".rotation.salt", ".key_server", ".key_server.content_id")
"""Key IDs do not tell salted or outside keys from others, and players hold licences for both."""
_FIXED = (*_FIXED_IN_STREAM, "watermark.analysis.directory")


def check_reload(old: Config, new: Config) -> None:
    """Raise :class:`ConfigError` where ``new`` differs in what cannot change in a running relay."""
    fixed = [path for path in changes(old, new) if not path.startswith(_RELOADABLE) or path.endswith(_FIXED)]
    if bool(old.edge.tls_certificate) != bool(new.edge.tls_certificate):
        fixed.append("edge.tls_certificate")
    if fixed:
        raise ConfigError(f"{', '.join(fixed)}: cannot change while running. Restart the relay, or set the old values.")


def check_ring(old: KeyRing, new: KeyRing) -> None:
    """Raise :class:`ConfigError` where a generation's secret is not what it was: every key and URL would break."""
    before, now = _by_generation(old), _by_generation(new)
    broken = [generation for generation in before.keys() & now.keys() if before[generation] != now[generation]]
    if broken:
        raise ConfigError(
            f"keys.roots: the secret of generation {min(broken)} changed. Put the old one back and add a generation."
        )


def _by_generation(ring: KeyRing) -> dict[int, bytes]:
    return dict(zip(reversed(ring.generations), ring.service_keys("reload"), strict=True))


def changes(old: Config, new: Config) -> list[str]:
    """The key paths of settings that differ, sorted; of a list, the path of the whole."""
    return sorted(_differing("", old, new))


def _differing(path: str, old: object, new: object) -> list[str]:
    if isinstance(old, Struct) and isinstance(new, Struct):
        old, new = structs.asdict(old), structs.asdict(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [path]
    found: list[str] = []
    for key in old.keys() | new.keys():
        found += _differing(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    return found
