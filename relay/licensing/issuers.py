"""Who makes the licences of which DRM system: a process of our own, a server behind a bridge, or nobody."""

import asyncio
from typing import Protocol

from keys.licences.detect import DrmSystem
from relay.licensing.bridges import Bridge, PlayReadyBridge, WidevineBridge
from relay.licensing.desk import Made, Opened, Order, Refusal
from relay.licensing.material import Material
from relay.licensing.workers import LicenceWorkers


class Issuer(Protocol):
    """Opens challenges and makes their licences; what it opened, it alone makes the licence for."""

    async def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """What a challenge says. Raises :class:`relay.errors.RelayError` for failures."""

    async def make(self, opened: Opened, order: Order | None, now: float) -> Made | Refusal:
        """The answer to an opened challenge; without an order, one that ends a licence or gives none."""

    def drop(self, opened: Opened) -> None:
        """Forget an opened challenge that gets no answer."""


class Issuers:
    """The issuers of a relay process. ``size`` is what :class:`LicenceWorkers` takes."""

    def __init__(self, material: Material, *size: *tuple[int, int, float]) -> None:
        self.material = material
        self.size = size
        self._workers = LicenceWorkers(material, *size)
        self._bridges: dict[DrmSystem, Bridge] = {}
        if material.widevine_bridge:
            self._bridges[DrmSystem.WIDEVINE] = WidevineBridge(material.widevine_bridge)
        if material.playready_bridge:
            self._bridges[DrmSystem.PLAYREADY] = PlayReadyBridge(material.playready_bridge)

    def of(self, system: DrmSystem) -> Issuer | None:
        """Where a challenge is best taken now; None if no licences of its system are made."""
        if system in self._bridges:
            return self._bridges[system]
        made_here = getattr(self.material, system, None) or (
            system is DrmSystem.FAIRPLAY and self.material.fairplay_bridge
        )
        return self._workers.least_busy() if made_here else None

    async def close(self) -> None:
        """End processes and connections."""
        await asyncio.gather(self._workers.close(), *(bridge.close() for bridge in self._bridges.values()))
