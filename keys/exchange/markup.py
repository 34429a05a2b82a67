"""The XML of key exchange documents, read within limits and without anything that reaches outside the document.

Comments and processing instructions mean nothing here and are dropped; a DTD is refused, and with it entities.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from uuid import UUID

from lxml import etree
from lxml.etree import _Element as Element

from keys.errors import ExchangeError

MAX_BYTES = 512 * 1024
"""Of an answer with all signalling of dozens of keys; requests are far smaller."""
MAX_ELEMENTS = 10_000
MAX_DEPTH = 16
"""The schema goes ten deep, in DeliveryData."""

CPIX = "urn:dashif:org:cpix"
PSKC = "urn:ietf:params:xml:ns:keyprov:pskc"
DS = "http://www.w3.org/2000/09/xmldsig#"
ENC = "http://www.w3.org/2001/04/xmlenc#"
NAMESPACES = {"cpix": CPIX, "pskc": PSKC, "ds": DS, "enc": ENC}

RSA_OAEP = f"{ENC}rsa-oaep-mgf1p"
AES256_CBC = f"{ENC}aes256-cbc"
HMAC_SHA512 = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"

_DECLARATION = re.compile(r"\s*<\?xml\s[^<>]*\?>")
_DEEPER = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
_WHITE = re.compile(r"[ \t\r\n]+")


def parse(data: bytes) -> Element:
    """The root element. Raises :class:`ExchangeError` for anything over the limits, not UTF-8 or not well-formed."""
    if len(data) > MAX_BYTES:
        raise ExchangeError(f"document: {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ExchangeError("document: not UTF-8") from None
    if declaration := _DECLARATION.match(text):
        # It may claim another encoding than the one just found.
        text = text[declaration.end() :]
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ExchangeError("document: a DTD is refused")
    if text.count("<") > 2 * MAX_ELEMENTS:
        raise ExchangeError(f"document: more than {MAX_ELEMENTS} elements")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError:
        # The parser's own message may quote the document, keys among it.
        raise ExchangeError("document: not well-formed XML") from None
    if _DEEPER(root):
        raise ExchangeError(f"document: nested deeper than {MAX_DEPTH}")
    return root


def dump(root: Element) -> bytes:
    """The document as bytes."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def below(parent: Element, path: str) -> list[Element]:
    """The elements at a path of prefixed names, such as ``cpix:Data/pskc:Secret``."""
    return parent.findall(path, NAMESPACES)


def only(parent: Element, path: str) -> Element | None:
    """The element at a path, None where there is none. Raises :class:`ExchangeError` for several."""
    found = below(parent, path)
    if len(found) > 1:
        raise ExchangeError(f"{path.rpartition(':')[2]}: {len(found)} of them, expected 1")
    return found[0] if found else None


def add(parent: Element, name: str, text: str | None = None, **attributes: str | None) -> Element:
    """Append an element of a prefixed name; attributes of None are left out."""
    prefix, _, local = name.partition(":")
    given = {key: value for key, value in attributes.items() if value is not None}
    child: Element = etree.SubElement(parent, f"{{{NAMESPACES[prefix]}}}{local}", given)
    child.text = text
    return child


def text_of(element: Element) -> str:
    """An element's text without white space around it. Raises :class:`ExchangeError` where it holds elements."""
    if len(element):
        raise ExchangeError(f"{etree.QName(element).localname}: holds elements, expected text")
    return (element.text or "").strip()


def base64_of(text: str, what: str) -> bytes:
    """Decode base64 (RFC 4648 §4), white space allowed. Raises :class:`ExchangeError`."""
    try:
        return b64decode(_WHITE.sub("", text), validate=True)
    except (Base64Error, ValueError):
        raise ExchangeError(f"{what}: not base64") from None


def to_base64(data: bytes) -> str:
    """Data as base64 text."""
    return b64encode(data).decode()


def uuid_of(text: str | None, what: str) -> UUID:
    """A UUID with dashes. Raises :class:`ExchangeError` for any other spelling, and where there is none."""
    if text is None:
        raise ExchangeError(f"Missing {what}")
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or str(found) != text.lower():
        raise ExchangeError(f"{what}: not a UUID with dashes")
    return found
