"""Which devices a stream's licences are for, by what their certificates prove. Pure."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from msgspec import Meta, Struct

from keys.licences.terms import Device, Platform
from relay.errors import ConfigError

_PLATFORMS = {"any": Platform.UNVERIFIED, "claimed": Platform.CLAIMED, "verified": Platform.VERIFIED}

Glob = Annotated[str, Meta(max_length=64)]


class DeviceRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A kind of device: whatever is given must hold. ``make`` and ``model`` may have ``*`` and ``?``, any case."""

    system: Literal["", "widevine", "playready", "fairplay"] = ""
    system_id: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    make: Glob = ""
    model: Glob = ""

    def covers(self, device: Device) -> bool:
        """Whether a device is of this kind."""
        return (
            self.system in ("", device.system)
            and self.system_id in (None, device.system_id or None)
            and _matches(self.make, device.make)
            and _matches(self.model, device.model)
        )


class DevicesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which devices get licences: those of ``allow``, all if it is empty, and none of ``refuse``.

    ``platform`` is what a Widevine client in software must show of its program files: nothing, a list (VMP), or one
    that Google's service has verified, which only a bridge tells.
    """

    allow: Annotated[tuple[DeviceRule, ...], Meta(max_length=256)] = ()
    refuse: Annotated[tuple[DeviceRule, ...], Meta(max_length=256)] = ()
    platform: Literal["any", "claimed", "verified"] = "any"

    @property
    def asks(self) -> bool:
        """Whether anything is asked of devices."""
        return bool(self.allow or self.refuse) or self.platform != "any"

    def admits(self, device: Device | None) -> bool:
        """Whether a device gets licences. One that is not told does only where nothing is asked."""
        if device is None:
            return not self.asks
        return (
            device.platform >= _PLATFORMS[self.platform]
            and (not self.allow or any(rule.covers(device) for rule in self.allow))
            and not any(rule.covers(device) for rule in self.refuse)
        )


def check_devices(where: str, devices: DevicesConfig) -> None:
    """Raises :class:`ConfigError` for a rule that says nothing, and so covers everything."""
    for name, rules in (("allow", devices.allow), ("refuse", devices.refuse)):
        for number, rule in enumerate(rules):
            if rule == DeviceRule():
                raise ConfigError(f"{where}.{name}[{number}]: covers every device. Say which it means.")


def _matches(glob: str, text: str) -> bool:
    return not glob or fnmatchcase(text.casefold(), glob.casefold())
