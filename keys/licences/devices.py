"""A device as bytes, for what is sealed and comes back in a renewal, which itself names no device."""

import struct

from keys.licences.terms import Device, Platform
from keys.model import Security

# Hardware, platform, system ID, lengths of digest, make and model.
_HEAD = struct.Struct(">?BQBHH")


def pack_device(device: Device) -> bytes:
    """All of a device but its DRM system."""
    make, model = device.make.encode(), device.model.encode()
    hardware = device.security is Security.HARDWARE
    head = _HEAD.pack(hardware, device.platform, device.system_id, len(device.digest), len(make), len(model))
    return head + device.digest + make + model


def unpack_device(system: str, packed: bytes) -> Device:
    """The device that was packed. Raises :class:`ValueError` or :class:`struct.error` for anything else."""
    hardware, platform, system_id, digest_bytes, make_bytes, model_bytes = _HEAD.unpack_from(packed)
    make_at = _HEAD.size + digest_bytes
    model_at = make_at + make_bytes
    if model_at + model_bytes != len(packed):
        raise ValueError("a packed device of another length")
    return Device(
        system,
        packed[_HEAD.size : make_at],
        Security.HARDWARE if hardware else Security.SOFTWARE,
        packed[model_at:].decode(),
        packed[make_at:model_at].decode(),
        system_id,
        Platform(platform),
    )
