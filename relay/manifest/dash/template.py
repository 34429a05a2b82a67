"""The template language of ``SegmentTemplate@media`` and ``@initialization`` (ISO/IEC 23009-1 §5.3.9.4.4)."""

import re
from dataclasses import dataclass

from relay.errors import ManifestError, UnsupportedMediaError
from relay.templates import count_placeholders, placeholder

_IDENTIFIER = re.compile(r"\$(?:(RepresentationID|Number|Bandwidth|Time|SubNumber)(?:%0([0-9]{1,2})d)?)?\$")
_MAX_WIDTH = 20


@dataclass(frozen=True, slots=True)
class Template:
    """A template for one Representation. ``uri`` holds placeholders for the value of ``identifier``.

    ``identifier`` is ``$Number$``, ``$Time$``, or None where the template names one resource.
    """

    uri: str
    identifier: str | None


def expand(text: str, representation_id: str, bandwidth: int | None) -> Template:
    """Fill in what a Representation says. Raises :class:`ManifestError`."""
    found: list[str] = []
    out: list[str] = []
    end = 0
    for match in _IDENTIFIER.finditer(text):
        out.append(_literal(text[end : match.start()]))
        end = match.end()
        name, width = match[1], int(match[2] or 1)
        if width > _MAX_WIDTH:
            raise ManifestError(f"MPD: a template pads to more than {_MAX_WIDTH} digits")
        match name:
            case None:
                out.append("$")
            case "RepresentationID":
                out.append(representation_id)
            case "Bandwidth":
                if bandwidth is None:
                    raise ManifestError("MPD: a template uses $Bandwidth$, but the Representation has none")
                out.append(f"{bandwidth:0{width}d}")
            case "SubNumber":
                raise UnsupportedMediaError("MPD: $SubNumber$ templates are not supported")
            case _:
                found.append(f"${name}$")
                out.append(placeholder(name.lower(), width if match[2] else None))
    out.append(_literal(text[end:]))
    if len(set(found)) > 1:
        raise ManifestError("MPD: a template uses both $Number$ and $Time$")
    uri = "".join(out)
    if count_placeholders(uri) != len(found):
        raise ManifestError("MPD: a template holds a text that the relay reserves, (number) or (time)")
    return Template(uri, found[0] if found else None)


def _literal(text: str) -> str:
    if "$" in text:
        raise ManifestError("MPD: a template holds an unknown identifier or a lone $")
    return text
