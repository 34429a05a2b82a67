"""What a PlayReady client gets back: a signed ``AcquireLicenseResponse``, or a SOAP fault."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric import ec

from keys.errors import KeysError, LicenceRefusedError, LicenceRequestError
from keys.licences.playready.certificates import Usage, read_chain
from keys.licences.playready.challenge import ProtocolVersionError
from keys.licences.playready.curve import Point
from keys.licences.playready.markup import escaped
from keys.licences.playready.signatures import sign

_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    "<soap:Body>{}</soap:Body></soap:Envelope>"
)
_PROTOCOLS = "http://schemas.microsoft.com/DRM/2007/03/protocols"
_XMLDSIG = "http://www.w3.org/2000/09/xmldsig#"


class Status(IntEnum):
    """The status codes of faults (PlayReady's public error codes)."""

    DEVICE_REVOKED = 0x8004C065
    INTERNAL = 0x8004C600
    INVALID_MESSAGE = 0x8004C601
    SERVICE_SPECIFIC = 0x8004C604
    PROTOCOL_VERSION = 0x8004C60B


@dataclass(frozen=True, slots=True)
class ResponseSigner:
    """The key that signs responses, and the chain of binary certificates that vouches for it.

    Raises :class:`ValueError` unless the chain's leaf has the key for signing responses.
    """

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: bytes = field(repr=False)

    def __post_init__(self) -> None:
        numbers = self.key.public_key().public_numbers()
        try:
            leaf_key = read_chain(self.chain)[0].key_for(Usage.SIGN_RESPONSE)
        except LicenceRequestError as error:
            raise ValueError(f"response chain: {error}") from None
        if leaf_key != Point(numbers.x, numbers.y).encode():
            raise ValueError("response chain: its leaf does not have the response key for signing responses")

    def response(self, licences: Sequence[bytes], nonce: bytes, response_id: bytes) -> bytes:
        """The whole envelope around ``licences``; ``nonce`` is the challenge's, ``response_id`` random."""
        # Both signed parts carry their own namespace and no short tags: their literal bytes are their canonical form.
        signed = (
            f'<LicenseResponse xmlns="{_PROTOCOLS}"><Version>1</Version>'
            f"<Licenses>{''.join(f'<License>{_b64(licence)}</License>' for licence in licences)}</Licenses>"
            f"<LicenseNonce>{_b64(nonce)}</LicenseNonce><ResponseID>{_b64(response_id)}</ResponseID>"
            f"<SigningCertificateChain>{_b64(self.chain)}</SigningCertificateChain></LicenseResponse>"
        )
        signed_info = (
            f'<SignedInfo xmlns="{_XMLDSIG}">'
            '<CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315">'
            "</CanonicalizationMethod>"
            f'<SignatureMethod Algorithm="{_PROTOCOLS}#ecdsa-sha256"></SignatureMethod>'
            f'<Reference URI="#SignedData"><DigestMethod Algorithm="{_PROTOCOLS}#sha256"></DigestMethod>'
            f"<DigestValue>{_b64(hashlib.sha256(signed.encode()).digest())}</DigestValue></Reference></SignedInfo>"
        )
        body = (
            f'<AcquireLicenseResponse xmlns="{_PROTOCOLS}"><AcquireLicenseResult>'
            f'<Response xmlns="{_PROTOCOLS}/messages">{signed}<Signature xmlns="{_XMLDSIG}">{signed_info}'
            f"<SignatureValue>{_b64(sign(self.key, signed_info.encode()))}</SignatureValue></Signature></Response>"
            "</AcquireLicenseResult></AcquireLicenseResponse>"
        )
        return _ENVELOPE.format(body).encode()


def fault(status: Status, message: str) -> bytes:
    """A SOAP 1.1 fault (§4.4), to be sent with HTTP status 500. ``message`` reaches the player."""
    return _ENVELOPE.format(
        f"<soap:Fault><faultcode>soap:Server</faultcode><faultstring>{escaped(message)}</faultstring>"
        f"<detail><Exception><StatusCode>{status:#010x}</StatusCode></Exception></detail></soap:Fault>"
    ).encode()


def fault_for(error: KeysError) -> bytes:
    """The fault that tells a client why a challenge got no licence; what is not its fault stays unsaid."""
    if isinstance(error, LicenceRefusedError):
        revoked = error.reason == "device-revoked"
        return fault(Status.DEVICE_REVOKED if revoked else Status.SERVICE_SPECIFIC, str(error))
    if isinstance(error, ProtocolVersionError):
        return fault(Status.PROTOCOL_VERSION, str(error))
    if isinstance(error, LicenceRequestError):
        return fault(Status.INVALID_MESSAGE, str(error))
    return fault(Status.INTERNAL, "internal error")


def _b64(data: bytes) -> str:
    return b64encode(data).decode()
