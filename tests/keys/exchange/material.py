"""Vectors, recipients and requests for the tests of key exchange."""

import json
from base64 import b64encode
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from keys.exchange.provider import Wanted
from keys.material import ContentKey, RootKey
from keys.model import TrackType
from keys.ring import KeyRing

_VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "exchange.json").read_text())
CPIX: dict[str, Any] = _VECTORS["cpix"]
PACKAGER: dict[str, str] = _VECTORS["packager"]
DOCUMENT = str(CPIX["document"]).encode()
CERTIFICATE = bytes.fromhex(CPIX["recipient_certificate_der"])
RING = KeyRing([RootKey(1, bytes(32))])
VIDEO, AUDIO = "00112233-4455-6677-8899-aabbccddeeff", "01234567-89ab-cdef-fedc-ba9876543210"

REQUEST = f"""<?xml version="1.0" encoding="UTF-8"?>
<cpix:CPIX contentId="vod" version="2.3" xmlns:cpix="urn:dashif:org:cpix"
    xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"
    xmlns:own="urn:example">
  <!--keys-->
  <cpix:ContentKeyList>
    <cpix:ContentKey kid="{VIDEO}" commonEncryptionScheme="cbcs"/>
    <cpix:ContentKey kid="{AUDIO}" commonEncryptionScheme="cbcs"/>
  </cpix:ContentKeyList>
  <cpix:DRMSystemList>
    <cpix:DRMSystem kid="{VIDEO}" systemId="edef8ba9-79d6-4ace-a3c8-27dcd51d21ed" own:note="kept">
      <cpix:PSSH/><cpix:ContentProtectionData/>
      <cpix:HLSSignalingData playlist="media"/><cpix:HLSSignalingData playlist="master"/>
    </cpix:DRMSystem>
    <cpix:DRMSystem kid="{VIDEO}" systemId="9a04f079-9840-4286-ab92-e65be0885f95">
      <cpix:ContentProtectionData/><cpix:PSSH>QUJD</cpix:PSSH><cpix:SmoothStreamingProtectionHeaderData/>
    </cpix:DRMSystem>
    <cpix:DRMSystem kid="{AUDIO}" systemId="94ce86fb-07ff-4f43-adb8-93d2fa968ca2">
      <cpix:HLSSignalingData playlist="media"/>
    </cpix:DRMSystem>
  </cpix:DRMSystemList>
  <cpix:ContentKeyPeriodList><cpix:ContentKeyPeriod id="p7" index="7"/></cpix:ContentKeyPeriodList>
  <cpix:ContentKeyUsageRuleList>
    <cpix:ContentKeyUsageRule kid="{VIDEO}" intendedTrackType="SD+HD1">
      <cpix:KeyPeriodFilter periodId="p7"/><cpix:VideoFilter/>
    </cpix:ContentKeyUsageRule>
    <cpix:ContentKeyUsageRule kid="{AUDIO}" intendedTrackType="AUDIO">
      <cpix:KeyPeriodFilter periodId="p7"/><cpix:AudioFilter/>
    </cpix:ContentKeyUsageRule>
  </cpix:ContentKeyUsageRuleList>
</cpix:CPIX>"""


def derived(wanted: Wanted) -> ContentKey:
    """A provider whose crypto periods last a second."""
    period = 0 if wanted.period is None else (wanted.period.index or 0) * 1000
    return RING.content_key(RING.slot(wanted.content_id, wanted.track or TrackType.HD, wanted.scheme, period))


def recipient_key() -> rsa.RSAPrivateKey:
    """The recipient's of the recorded document."""
    key = load_pem_private_key(CPIX["recipient_key_pem"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@cache
def certificate(kind: str) -> bytes:
    """A self-signed certificate (DER) of an RSA key of ``kind`` bits, or of a curve."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, int(kind))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "recipient")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(2026, 1, 1), datetime(2036, 1, 1))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def delivery(der: bytes) -> str:
    """The list that asks for keys encrypted to one certificate."""
    return (
        "<cpix:DeliveryDataList><cpix:DeliveryData><cpix:DeliveryKey><ds:X509Data><ds:X509Certificate>"
        f"{text(der)}</ds:X509Certificate></ds:X509Data></cpix:DeliveryKey></cpix:DeliveryData></cpix:DeliveryDataList>"
    )


def text(data: bytes) -> str:
    """Base64."""
    return b64encode(data).decode()


def entropy(size: int) -> bytes:
    """Not random at all."""
    return bytes(range(size))
