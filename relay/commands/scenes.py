"""Scenes on the command line: a file in, a table out."""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import structs

from policies.text import OutputsText, SceneText, TermsText, ms_of, write_scenes
from relay.api.plans import PolicyBody
from relay.commands.tables import aligned
from relay.control.errors import BodyTooLargeError
from relay.control.policy_body import read_policy
from relay.state.events import MAX_DOCUMENT_BYTES

_COLUMNS = ("label", "from", "to", "level", "HDCP", "exceptions")


def read_file(raw: bytes, now: float) -> PolicyBody:
    """The policy of a file, with its start in seconds. Raises :class:`BodyError`, :class:`BodyTooLargeError`."""
    body, starts_at = read_policy(raw, now)
    if len(write_scenes({}, {}, body.scenes)) > MAX_DOCUMENT_BYTES:
        raise BodyTooLargeError(f"more than {MAX_DOCUMENT_BYTES} bytes as nodes keep it; give fewer or shorter scenes")
    return structs.replace(body, starts_at=starts_at)


def scenes_table(scenes: Sequence[SceneText]) -> str:
    """Scenes in order of time, in aligned columns. Between them the stream's own terms hold."""
    if not scenes:
        return "No scenes: the stream's own terms hold."
    ordered = sorted(scenes, key=lambda scene: ms_of(scene.start))
    rows = [_COLUMNS, *map(_row, ordered)]
    gaps = [
        f"From {before.end} to {after.start} the stream's own terms hold."
        for before, after in pairwise(ordered)
        if before.end is not None and ms_of(before.end) < ms_of(after.start)
    ]
    return "\n".join([*aligned(rows, len(_COLUMNS)), *gaps])


def _row(scene: SceneText) -> tuple[str, ...]:
    # As values and back: what is asked under any name, in the words that the API answers with.
    terms = TermsText.of(TermsText(drm_level=scene.drm_level, hdcp=scene.hdcp, outputs=scene.outputs).terms())
    exceptions = [f"{track}: {'nobody' if text is None else _said(text)}" for track, text in scene.tracks.items()]
    return (
        scene.label,
        scene.start,
        scene.end or "the end",
        terms.drm_level,
        str(terms.hdcp),
        "; ".join([*_withheld(scene.outputs), *exceptions]),
    )


def _said(text: TermsText) -> str:
    terms = TermsText.of(text.terms())
    hdcp = [] if terms.hdcp == "none" else [f"HDCP {terms.hdcp}"]
    return ", ".join([terms.drm_level, *hdcp, *_withheld(terms.outputs)])


def _withheld(outputs: OutputsText) -> list[str]:
    return [f"no {name.replace('_', ' ')}" for name, allowed in structs.asdict(outputs).items() if not allowed]
