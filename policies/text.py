"""Policies as the API reads and writes them, and as events keep them.

The API's form is the one of the customer's own documents: clock times of the event, levels by their market names.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from keys.model import Hdcp, Outputs, Scheme, Security, TrackType
from keys.periods import Clock, RotationPolicy
from policies.model import (
    Change,
    Group,
    GroupChange,
    Rekeying,
    RotationChange,
    Scene,
    ScenesChange,
    Terms,
    TermsByTrack,
)

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

    @classmethod
    def of(cls, terms: Terms) -> "TermsText":
        """The text of terms."""
        out = terms.outputs
        return cls(
            drm_level="L1" if terms.security is Security.HARDWARE else "L3",
            hdcp=_HDCP[out.hdcp],
            outputs=OutputsText(
                digital=out.digital, analogue=out.analogue, airplay=out.airplay, av_adapter=out.av_adapter
            ),
        )

    def terms(self) -> Terms:
        """As values."""
        out = self.outputs
        return Terms(
            level_of(self.drm_level),
            Outputs(hdcp_of(self.hdcp), out.digital, out.analogue, out.airplay, out.av_adapter),
        )


_HDCP: Mapping[Hdcp, HdcpText] = {Hdcp.NONE: "none", Hdcp.V1: "1.x", Hdcp.V2_2: "2.2"}


class SceneError(ValueError):
    """Scenes that make no sense: ``at`` is the place of one in the list, ``field`` what of it is wrong."""

    def __init__(self, at: int, field: str, detail: str) -> None:
        super().__init__(detail)
        self.at = at
        self.field = field


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
        video = TermsText(drm_level=self.drm_level, hdcp=self.hdcp, outputs=self.outputs)
        terms = by_track(video, self.tracks)
        return Scene(self.label, ms_of(self.start), None if self.end is None else ms_of(self.end), terms)


Minutes = Annotated[float, Meta(ge=0, le=527_040)]
"""Up to a year."""


class GroupText(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What the streams of a DRM group have in common.

    Licences hold for ``duration_minutes`` and are renewed every ``renew_minutes`` (0: without an end of their own,
    never); a ``persistent`` one may be stored and needs an end, others may not. Keys rotate every ``rotation_minutes``
    (0: never). Level, HDCP, outputs and ``tracks`` are as in scenes. What is not given stays as the stream's
    configuration has it.
    """

    persistent: bool = False
    duration_minutes: Minutes | None = None
    renew_minutes: Minutes | None = None
    rotation_minutes: Minutes | None = None
    drm_level: Level | None = None
    hdcp: HdcpText | bool = False
    outputs: OutputsText = OutputsText()
    tracks: dict[TrackType, TermsText | None] = {}

    def group(self, name: str) -> Group:
        """As a value."""
        level = self.drm_level
        video = None if level is None else TermsText(drm_level=level, hdcp=self.hdcp, outputs=self.outputs)
        return Group(
            name,
            by_track(video, self.tracks),
            self.persistent,
            *(
                None if minutes is None else ms_in(minutes)
                for minutes in (self.duration_minutes, self.renew_minutes, self.rotation_minutes)
            ),
        )


def by_track(video: TermsText | None, exceptions: Mapping[TrackType, TermsText | None]) -> TermsByTrack:
    """Terms of video and of what is an exception to them; audio is free where video has terms."""
    terms: dict[TrackType, Terms | None] = {}
    if video is not None:
        terms = {track: video.terms() if track.rank else Terms() for track in TrackType}
    return terms | {track: None if text is None else text.terms() for track, text in exceptions.items()}


def ms_in(minutes: float) -> int:
    """Minutes in ms."""
    return round(minutes * 60_000)


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
    """Scenes in order of time. Raises :class:`SceneError` where one ends before it starts, or two overlap."""
    read: list[tuple[Scene, int]] = []
    for at, text in enumerate(texts):
        try:
            read.append((text.scene(), at))
        except ValueError:
            raise SceneError(at, "end", f"scene {text.label!r} does not end after its start") from None
    read.sort(key=lambda one: one[0].start)
    for (before, _), (after, at) in pairwise(read):
        if before.end is None or before.end > after.start:
            raise SceneError(at, "start", f"scene {after.label!r} starts before {before.label!r} ends")
    return tuple(scene for scene, _ in read)


class _Written(Struct, frozen=True, array_like=True, tag=True):
    since: dict[Clock, int]


class _Scenes(_Written, frozen=True, tag="scenes"):
    zero: dict[Clock, int]
    scenes: tuple[SceneText, ...]


class _Rotation(_Written, frozen=True, tag="rotation"):
    interval_ms: int
    pre_delivery_ms: int
    rekeys: bool = True
    scheme: Scheme | None = None


class _Group(_Written, frozen=True, tag="group"):
    name: str
    group: GroupText | None


class _Rekeying(_Written, frozen=True, tag="rekeying"):
    epoch: int
    spread_ms: int


_decoder: msgspec.msgpack.Decoder[_Scenes | _Rotation | _Group | _Rekeying] = msgspec.msgpack.Decoder(
    _Scenes | _Rotation | _Group | _Rekeying
)
_encoder = msgspec.msgpack.Encoder()


def write_scenes(since: Mapping[Clock, int], zero: Mapping[Clock, int], scenes: Sequence[SceneText]) -> bytes:
    """A change of scenes as an event keeps it."""
    return _encoder.encode(_Scenes(dict(since), dict(zero), tuple(scenes)))


def write_rotation(
    since: Mapping[Clock, int],
    interval_ms: int,
    pre_delivery_ms: int,
    rekeys: bool = True,
    scheme: Scheme | None = None,
) -> bytes:
    """A change of rotation as an event keeps it."""
    return _encoder.encode(_Rotation(dict(since), interval_ms, pre_delivery_ms, rekeys, scheme))


def write_group(since: Mapping[Clock, int], name: str, group: GroupText | None) -> bytes:
    """A stream's joining or leaving of a group as an event keeps it."""
    return _encoder.encode(_Group(dict(since), name, group))


def write_rekeying(since: Mapping[Clock, int], epoch: int, spread_ms: int) -> bytes:
    """An emergency rotation as an event keeps it."""
    return _encoder.encode(_Rekeying(dict(since), epoch, spread_ms))


def read_change(name: str, order: int, body: bytes) -> Change:
    """A change as it was kept. Raises ValueError for anything else."""
    match _decoder.decode(body):
        case _Scenes(since, zero, scenes):
            return ScenesChange(name, order, since, zero, scenes_of(scenes))
        case _Rotation(since, interval_ms, pre_delivery_ms, rekeys, scheme):
            # Here, where it concerns this change alone: later it would keep all others from holding.
            RotationPolicy(interval_ms, pre_delivery_ms)
            return RotationChange(name, order, since, interval_ms, pre_delivery_ms, rekeys, scheme)
        case _Group(since, group, text):
            return GroupChange(name, order, since, None if text is None else text.group(group))
        case _Rekeying(since, epoch, spread_ms):
            return Rekeying(name, order, since, epoch, spread_ms)


def read_scenes(body: bytes) -> tuple[SceneText, ...]:
    """The scenes of a change as they were ordered. Raises ValueError for a change of anything else."""
    change = _decoder.decode(body)
    if not isinstance(change, _Scenes):
        raise ValueError("not a change of scenes")
    return change.scenes
