"""XML as a tree, never pasted together: no name or path can break out of its element."""

import unicodedata
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vrasnode.errors import Refused

NAMESPACE = "urn:openvras:machine:1"

ElementTree.register_namespace("openvras", NAMESPACE)


def element(tag: str, *children: Element, text: str | None = None, **attributes: str) -> Element:
    """An element of these children and attributes. Raises Refused(bad_machine_text) for text that no XML
    can carry."""
    for value in (text or "", *attributes.values()):
        _check(value)
    made = Element(tag, attributes)
    made.text = text
    made.extend(children)
    return made


def to_text(root: Element) -> str:
    """Indented, with a line break at the end."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _check(text: str) -> None:
    """XML 1.0 §2.2 cannot carry most control characters, and a line break in a name is never meant."""
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"} or character in "\ufffe\uffff":
            raise Refused(
                "bad_machine_text", f"{text!r} cannot be part of a machine's definition; rename it."
            )
