"""The XML of MPDs: read within limits, walked by local name, written back.

Everything here matches elements by local name alone, as players do, so that an element in a strange
namespace cannot carry past the rewriter what a player would act on.
"""

from collections.abc import Iterable, Iterator

from lxml import etree
from lxml.etree import _Element as Element

from relay.errors import ManifestError

MAX_BYTES = 8 * 1024 * 1024
MAX_ELEMENTS = 100_000
MAX_DEPTH = 32
MAX_REPRESENTATIONS = 1000
MAX_TIMELINE_WORK = 200_000
"""Most Representations times timeline entries: each of the first may read all of the second."""

_REPRESENTATIONS = etree.XPath("count(//*[local-name() = 'Representation'])")
_TIMELINE_ENTRIES = etree.XPath("count(//*[local-name() = 'S'])")
_DEEPER = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")


def parse(data: bytes) -> Element:
    """The root element of an MPD, without comments and processing instructions.

    Raises :class:`ManifestError` for anything over the limits above, not well-formed or not UTF-8, for
    a document type declaration (entities), and for another root than ``MPD``.
    """
    if len(data) > MAX_BYTES:
        raise ManifestError(f"MPD: {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestError("MPD: not UTF-8") from None
    if "<!DOCTYPE" in text:
        raise ManifestError("MPD: document type declarations are refused")
    # Each element costs one or two of these, and a tree some hundred bytes for each.
    if text.count("<") > 2 * MAX_ELEMENTS:
        raise ManifestError(f"MPD: more than {MAX_ELEMENTS} elements")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ManifestError(f"MPD: not well-formed: {error.msg}") from None
    if _DEEPER(root):
        raise ManifestError(f"MPD: nested deeper than {MAX_DEPTH}")
    representations = _REPRESENTATIONS(root)
    if representations > MAX_REPRESENTATIONS:
        raise ManifestError(f"MPD: more than {MAX_REPRESENTATIONS} Representations")
    if representations * _TIMELINE_ENTRIES(root) > MAX_TIMELINE_WORK:
        raise ManifestError("MPD: too many timeline entries for so many Representations")
    if local(root) != "MPD":
        raise ManifestError("MPD: the root element is not MPD")
    return root


def serialise(root: Element) -> bytes:
    """The document as UTF-8."""
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def local(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, *names: str) -> list[Element]:
    """The child elements of these local names."""
    return [child for child in element if local(child) in names]


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """The element itself and all below it, of these local names; of any where none is given."""
    return element.iter(*(f"{{*}}{name}" for name in names))


def named(like: Element, name: str) -> str:
    """The tag for ``name`` in the namespace of ``like``."""
    return str(like.tag).rpartition("}")[0] + ("}" if "}" in str(like.tag) else "") + name


def remove(elements: Iterable[Element]) -> None:
    """Take elements, and the text behind them, out of the tree."""
    for element in list(elements):
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
