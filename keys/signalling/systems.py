"""The system IDs by which manifests and ``pssh`` boxes name DRM systems.

They are registered at https://dashif.org/identifiers/content_protection/; each line below names the
document that defines the system's own signalling.
"""

from uuid import UUID

COMMON = UUID("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b")
"""W3C "cenc" Initialization Data Format §4: key IDs for whichever system the player has."""

WIDEVINE = UUID("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed")
"""Widevine: the ``WidevinePsshData`` message of its DRM proxy documents."""

PLAYREADY = UUID("9a04f079-9840-4286-ab92-e65be0885f95")
"""Microsoft, PlayReady Header Specification."""

FAIRPLAY = UUID("94ce86fb-07ff-4f43-adb8-93d2fa968ca2")
"""Apple FairPlay Streaming: the name only, since its signalling is an HLS key tag."""

CLEARKEY = UUID("e2719d58-a985-b3c9-781a-b030af78d30e")
"""DASH-IF: W3C Clear Key (EME §9.1) in an MPD. Boxes in media use :data:`COMMON`."""
