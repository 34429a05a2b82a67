"""Policies as the API reads and writes them, and as events keep them.

The API's form is the one of the customer's own documents: clock times of the event, levels by their market names.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from keys.model import Hdcp, Outputs, Security, TrackType
from keys.periods import Clock
from policies.model import Change, Rekeying, RotationChange, Scene, ScenesChange, Terms

MAX_SCENES = 96
Level = Literal["software", "hardware", "L1", "L2", "L3", "High", "Medium", "Low"]
"""What is asked of devices, under Widevine's names and customary ones, too.

Medium and L2, decryption alone in hardware, ask for all of it: no system has anything in between that every device
keeps.
"""
_SOFTWARE = ("software", "L3", "Low")
HdcpText = Literal["none", "1", "1.0", "1.1", "1.2", "1.3", "1.4", "1.x", "2.0", "2.1", "2.2"]
TimeOfEvent = Annotated[str, Meta(pattern=r"^[0-9]{1,3}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?\Z")]
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)(?:\.(\d{1,3}))?")


class OutputsText(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Outputs that pictures may leave a device by."""

    digital: bool = True
    analogue: bool = True
    airplay: bool = True
    av_adapter: bool = True


class TermsText(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked of a device for one track type. ``hdcp`` false is none, true any version."""

    drm_level: Level = "L3"
    hdcp: HdcpText | bool = False
    outputs: OutputsText = OutputsText()

    def terms(self) -> Terms:
        """As values."""
        out = self.outputs
        return Terms(
            level_of(self.drm_level),
            Outputs(hdcp_of(self.hdcp), out.digital, out.analogue, out.airplay, out.av_adapter),
        )


class SceneText(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One scene. Level, HDCP and outputs are those of its video; its audio is free, as no system guards that as well.

    ``tracks`` makes exceptions by track type; null there: nobody gets it. Without ``end`` it goes on for ever.
    """

    label: Annotated[str, Meta(min_length=1, max_length=64)]
    start: TimeOfEvent
    end: TimeOfEvent | None = None
    drm_level: Level
    hdcp: HdcpText | bool = False
    outputs: OutputsText = OutputsText()
    tracks: dict[TrackType, TermsText | None] = {}

    def scene(self) -> Scene:
        """As a value, in time of the event. Raises ValueError for one that ends before it starts."""
        video = TermsText(drm_level=self.drm_level, hdcp=self.hdcp, outputs=self.outputs).terms()
        terms: dict[TrackType, Terms | None] = {track: video if track.rank else Terms() for track in TrackType}
        terms |= {track: None if text is None else text.terms() for track, text in self.tracks.items()}
        return Scene(self.label, ms_of(self.start), None if self.end is None else ms_of(self.end), terms)


def level_of(level: Level) -> Security:
    """The security level under any of its names."""
    return Security.SOFTWARE if level in _SOFTWARE else Security.HARDWARE


def hdcp_of(text: HdcpText | bool) -> Hdcp:
    """The version of HDCP that a text asks for, at least."""
    if text in (False, "none"):
        return Hdcp.NONE
    return Hdcp.V2_2 if isinstance(text, str) and text.startswith("2") else Hdcp.V1


def ms_of(text: TimeOfEvent) -> int:
    """A clock time of the event, ``HH:MM:SS`` with or without thousandths, in ms."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no HH:MM:SS")
    hours, minutes, seconds, thousandths = match.groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int((thousandths or "").ljust(3, "0"))


def scenes_of(texts: Sequence[SceneText]) -> tuple[Scene, ...]:
    """Scenes in order of time. Raises ValueError, naming the scene, where one makes no sense or two overlap."""
    scenes = sorted((text.scene() for text in texts), key=lambda scene: scene.start)
    for before, after in pairwise(scenes):
        if before.end is None or before.end > after.start:
            raise ValueError(f"scene {after.label!r} starts before {before.label!r} ends")
    return tuple(scenes)


class _Written(Struct, frozen=True, array_like=True, tag=True):
    since: dict[Clock, int]


class _Scenes(_Written, frozen=True, tag="scenes"):
    zero: dict[Clock, int]
    scenes: tuple[SceneText, ...]


class _Rotation(_Written, frozen=True, tag="rotation"):
    interval_ms: int
    pre_delivery_ms: int


class _Rekeying(_Written, frozen=True, tag="rekeying"):
    epoch: int
    spread_ms: int


_decoder: msgspec.msgpack.Decoder[_Scenes | _Rotation | _Rekeying] = msgspec.msgpack.Decoder(
    _Scenes | _Rotation | _Rekeying
)
_encoder = msgspec.msgpack.Encoder()


def write_scenes(since: Mapping[Clock, int], zero: Mapping[Clock, int], scenes: Sequence[SceneText]) -> bytes:
    """A change of scenes as an event keeps it."""
    return _encoder.encode(_Scenes(dict(since), dict(zero), tuple(scenes)))


def write_rotation(since: Mapping[Clock, int], interval_ms: int, pre_delivery_ms: int) -> bytes:
    """A change of rotation as an event keeps it."""
    return _encoder.encode(_Rotation(dict(since), interval_ms, pre_delivery_ms))


def write_rekeying(since: Mapping[Clock, int], epoch: int, spread_ms: int) -> bytes:
    """An emergency rotation as an event keeps it."""
    return _encoder.encode(_Rekeying(dict(since), epoch, spread_ms))


def read_change(name: str, order: int, body: bytes) -> Change:
    """A change as it was kept. Raises ValueError for anything else."""
    match _decoder.decode(body):
        case _Scenes(since, zero, scenes):
            return ScenesChange(name, order, since, zero, scenes_of(scenes))
        case _Rotation(since, interval_ms, pre_delivery_ms):
            return RotationChange(name, order, since, interval_ms, pre_delivery_ms)
        case _Rekeying(since, epoch, spread_ms):
            return Rekeying(name, order, since, epoch, spread_ms)
