"""Widevine licences, from challenge to signed answer."""

from keys.licences.widevine.certificates import DeviceCertificate, Roots
from keys.licences.widevine.devices import Candidate, ClientId, DeviceStatus, Model, StatusList, Unserved
from keys.licences.widevine.entitlement import EntitledKey, entitled_pssh_data
from keys.licences.widevine.privacy import ServiceIdentity
from keys.licences.widevine.server import (
    CertificateRequest,
    ExistingLicenceRequest,
    NewLicenceRequest,
    WidevineChallenge,
    WidevineServer,
)

__all__ = [
    "Candidate",
    "CertificateRequest",
    "ClientId",
    "DeviceCertificate",
    "DeviceStatus",
    "EntitledKey",
    "ExistingLicenceRequest",
    "Model",
    "NewLicenceRequest",
    "Roots",
    "ServiceIdentity",
    "StatusList",
    "Unserved",
    "WidevineChallenge",
    "WidevineServer",
    "entitled_pssh_data",
]
