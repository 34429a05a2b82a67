"""What a key server is asked with: its settings, and the secrets that their files hold."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from relay.exchange.settings import KeyServerConfig


@dataclass(frozen=True, slots=True)
class KeyServerMaterial:
    """``recipient`` is the certificate (DER) and key that answers are to be encrypted to; None: they come in the clear
    inside TLS.
    """

    config: KeyServerConfig
    authorization: str = field(default="", repr=False)
    recipient: tuple[bytes, RSAPrivateKey] | None = field(default=None, repr=False)
