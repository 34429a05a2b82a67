"""The XML of PlayReady messages: read within limits, as bytes and as a tree that cannot disagree.

Signatures cover literal bytes. Comments, CDATA and processing instructions are refused, since only within them could
something look like an element and be none: what then looks like an element is the one that the parser sees.
"""

import re
from base64 import b64decode
from html import escape

from lxml import etree
from lxml.etree import _Element as Element

from keys.errors import LicenceRequestError

MAX_BYTES = 128 * 1024
MAX_ELEMENTS = 1000
MAX_DEPTH = 24

_DECLARATION = re.compile(r"\s*<\?xml\s[^<>]*\?>")
_DEEPER = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")


def parse(data: bytes, what: str) -> tuple[str, Element]:
    """A document as text, without byte order mark and declaration, and as its root element.

    Raises :class:`LicenceRequestError`, with ``what`` as the document's name, for anything over the limits, not
    well-formed or not UTF-8, and for anything that is neither element nor text.
    """
    if len(data) > MAX_BYTES:
        raise LicenceRequestError(f"{what}: {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LicenceRequestError(f"{what}: not UTF-8") from None
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    if "<!" in text or "<?" in text:
        raise LicenceRequestError(f"{what}: declarations, comments and instructions are refused")
    if text.count("<") > 2 * MAX_ELEMENTS:
        raise LicenceRequestError(f"{what}: more than {MAX_ELEMENTS} elements")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )  # fmt: skip
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError:
        # The parser's own message may repeat names from the document.
        raise LicenceRequestError(f"{what}: not well-formed XML") from None
    if _DEEPER(root):
        raise LicenceRequestError(f"{what}: nested deeper than {MAX_DEPTH}")
    return text, root


def literal(text: str, name: str, what: str) -> bytes:
    """The only element of this name, without prefix, from its ``<`` to its last ``>``, as it was sent.

    Raises :class:`LicenceRequestError` unless there is exactly one.
    """
    starts = [match.start() for match in re.finditer(f"<{name}[\\s>]", text)]
    ends = [match.end() for match in re.finditer(f"</{name}\\s*>", text)]
    if len(starts) != 1 or len(ends) != 1:
        raise LicenceRequestError(f"{what}: {len(starts)} elements {name}, expected 1")
    return text[starts[0] : ends[0]].encode()


def children(parent: Element, name: str) -> list[Element]:
    """The children of this local name: clients do not agree on namespaces inside a message."""
    return [child for child in parent if local(child) == name]


def only(parent: Element, *path: str, what: str) -> Element:
    """Go down by local names. Raises :class:`LicenceRequestError` where a step finds none or several."""
    for name in path:
        found = children(parent, name)
        if len(found) != 1:
            raise LicenceRequestError(f"{what}: {len(found)} elements {name}, expected 1")
        parent = found[0]
    return parent


def optional_text(parent: Element, name: str, what: str) -> str:
    """The text of a child that may be missing, then empty. Raises :class:`LicenceRequestError` for several."""
    return text_of(only(parent, name, what=what)) if children(parent, name) else ""


def text_of(element: Element) -> str:
    """The text before an element's first child, without white space around it."""
    return (element.text or "").strip()


def base64_of(text: str, what: str) -> bytes:
    """Decode base64 (RFC 4648 §4), white space allowed. Raises :class:`LicenceRequestError`."""
    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise LicenceRequestError(f"{what}: not base64") from None


def local(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def escaped(text: str) -> str:
    """Text as element content; what XML cannot hold becomes a question mark."""
    return escape("".join(c if c.isprintable() else "?" for c in text), quote=False)
