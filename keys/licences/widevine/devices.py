"""What a Widevine client says of itself, and who decides how far its kind of device is trusted."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from keys.errors import LicenceRequestError
from keys.licences.protobuf import Message
from keys.licences.terms import GrantedKey
from keys.licences.widevine.certificates import DeviceCertificate
from keys.model import Hdcp, Security

_DRM_CERTIFICATE = 1


class HdcpLevel(IntEnum):
    """``OutputProtection.HDCP`` and ``ClientCapabilities.HdcpVersion``."""

    NONE = 0
    V1 = 1
    V2_2 = 4
    NO_DIGITAL_OUTPUT = 255


HDCP_LEVELS = {Hdcp.NONE: HdcpLevel.NONE, Hdcp.V1: HdcpLevel.V1, Hdcp.V2_2: HdcpLevel.V2_2}

_HAS_ANALOGUE_OUTPUT = 2
"""``AnalogOutputCapabilities``: this and higher."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the client says its outputs can do; None: it says nothing, so its DRM module decides by itself."""

    max_hdcp: int | None = None
    can_stop_analogue: bool | None = None

    def meet(self, granted: GrantedKey) -> bool:
        """Whether the outputs can be protected as ``granted`` demands."""
        outputs = granted.outputs
        hdcp = outputs.digital and self.max_hdcp is not None and self.max_hdcp < HDCP_LEVELS[outputs.hdcp]
        return not hdcp and (outputs.analogue or self.can_stop_analogue is not False)

    @classmethod
    def read(cls, message: Message) -> "Capabilities":
        """Read ``ClientCapabilities``."""
        max_hdcp = message.number(4) if 4 in message else None
        if message.number(10) >= _HAS_ANALOGUE_OUTPUT:
            return cls(max_hdcp, bool(message.number(11)))
        return cls(max_hdcp)


@dataclass(frozen=True, slots=True)
class ClientId:
    """A ``ClientIdentification``: the certificate chain, and claims that nothing but the request's signature backs.

    ``verification`` is the client's signed list of its own program files (``vmp_data``), empty without one.
    """

    token: bytes = field(repr=False)
    claims: Mapping[str, str]
    capabilities: Capabilities
    verification: bytes = field(default=b"", repr=False)

    @classmethod
    def decode(cls, encoded: bytes) -> "ClientId":
        """Raises :class:`LicenceRequestError` for a client without a DRM certificate."""
        message = Message.decode(encoded, "Widevine client ID")
        if message.number(1) != _DRM_CERTIFICATE:
            raise LicenceRequestError(f"Widevine client ID: token of type {message.number(1)}, not a DRM certificate")
        pairs = (Message.decode(pair, "Widevine client info") for pair in message.blobs(3))
        return cls(
            message.blob(2),
            {_text(pair.blob(1)): _text(pair.blob(2)) for pair in pairs},
            Capabilities.read(message.message(6, "Widevine client capabilities")),
            message.blob(7),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device with a proven certificate that asks to be served."""

    certificate: DeviceCertificate
    client: ClientId


@dataclass(frozen=True, slots=True)
class Model:
    """How far devices with one system ID are trusted; ``name`` is for operators."""

    security: Security
    name: str = ""


class Unserved(Enum):
    """Why a device is served nothing; the values are the reasons of refusals."""

    REVOKED = "device-revoked"
    UNKNOWN = "device-not-served"


DeviceStatus = Callable[[Candidate], Model | Unserved]
"""Says what a device is trusted with, or why it is served nothing. Decides by certificates, and, where the operator
can check them, by the client's verified program files; it must not block."""


@dataclass(frozen=True, slots=True)
class StatusList:
    """A :data:`DeviceStatus` from lists: models by system ID, and revoked certificates by serial number.

    A revoked model certificate revokes all its devices. System IDs not listed are ``others``; None: not served.
    """

    models: Mapping[int, Model] = field(default_factory=dict)
    revoked: Collection[bytes] = frozenset()
    others: Model | None = Model(Security.SOFTWARE)

    def __call__(self, candidate: Candidate) -> Model | Unserved:
        """The candidate's model, unless it is revoked or unknown."""
        certificate = candidate.certificate
        if certificate.serial in self.revoked or certificate.model_serial in self.revoked:
            return Unserved.REVOKED
        return self.models.get(certificate.system_id, self.others) or Unserved.UNKNOWN


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
