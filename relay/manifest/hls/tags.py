"""What happens to the tags that playlists of both kinds can hold and nobody rewrites."""

from relay.errors import AlreadyProtectedError, ManifestError
from relay.manifest.hls.attributes import Attributes, integer
from relay.manifest.hls.mint import Mint
from relay.manifest.hls.playlist import Line, Playlist

MIN_VERSION = 1
"""Of playlists without EXT-X-VERSION (RFC 8216 §4.3.1.2)."""


def pass_on(line: Line, mint: Mint) -> str | None:
    """The text of a line that is not rewritten, or None where it must not leave.

    It leaves untouched unless it could show an address: any line with the origin's host name goes, and
    any tag with a URL or a ``…URI``/``…URL`` attribute, known or not, since players might fetch it past
    the gate. Comments may hold other people's URLs. Of EXTINF only the title goes.
    """
    if not line.name:
        return None if mint.names_origin(line.text) else line.text
    if line.name == "EXTINF":
        duration, comma, title = line.text.partition(",")
        return duration + comma if mint.names_origin(title) else line.text
    if line.name == "EXT-X-DATERANGE":
        return _date_range(line, mint)
    return None if mint.holds_address(line.text) else line.text


def _date_range(line: Line, mint: Mint) -> str | None:
    """Timed metadata less the attributes that hold an address; an interstitial (RFC 8216bis, appendix D)
    goes whole, since it is nothing but an address."""
    if not mint.holds_address(line.text) and "X-ASSET-" not in line.text:
        return line.text
    try:
        attributes = Attributes.parse(line.value)
    except ManifestError:
        return None
    if "X-ASSET-URI" in attributes or "X-ASSET-LIST" in attributes:
        return None
    kept = [item for item in attributes.items if not mint.holds_address("=".join(item))]
    return f"#{line.name}:{Attributes(tuple(kept))}" if "ID" in dict(kept) else None


def refuse_key(line: Line) -> None:
    """Raises :class:`AlreadyProtectedError` for a key tag with any METHOD but NONE, which nothing needs to say
    of an origin's segments, and :class:`ManifestError` for one without METHOD."""
    if line.read(line.attributes().require, "METHOD") != "NONE":
        raise AlreadyProtectedError(f"HLS playlist, line {line.number}: {line.name}: the origin encrypts already")


def raise_version(playlist: Playlist, version: int) -> Playlist:
    """The playlist with EXT-X-VERSION at least ``version``, unchanged where it is."""
    found = [index for index, line in enumerate(playlist.lines) if line.name == "EXT-X-VERSION"]
    if len(found) > 1:
        raise playlist.lines[found[1]].error("given twice")
    lines = list(playlist.lines)
    tag = f"#EXT-X-VERSION:{version}"
    if found:
        line = lines[found[0]]
        if line.read(integer, line.value) < version:
            lines[found[0]] = Line(line.number, tag, line.end, line.name, str(version))
    elif version > MIN_VERSION:
        lines.insert(1, Line(1, tag, playlist.end, "EXT-X-VERSION", str(version)))
    return Playlist(tuple(lines), playlist.variables)
