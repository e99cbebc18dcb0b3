"""Renders an Altair chart as inline SVG with a title and a description, in the colours of the page's style sheet.

Attributes that the page's policy forbids or that confuse screen readers are removed. The library only sees numbers;
words are inserted here as text nodes, so that they cannot be markup.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

if TYPE_CHECKING:
    import altair

SPACE = ' xmlns="http://www.w3.org/2000/svg"'
"""Not needed within an HTML page."""
KEPT_ATTRIBUTES = {
    *("d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "transform", "text-anchor"),
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin"),
}
"""Attributes that draw. Fonts come from the style sheet; roles and labels would be read out mark by mark."""
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-\d+)?")


def svg(
    chart: altair.LayerChart, kind: str, name: str, title: str, description: str, tooltips: Sequence[str] = ()
) -> Markup:
    """An `svg` element of classes `plot` and `kind`; its ids start with `name`.

    A mark whose `description` is an integer shows that entry of `tooltips` on hover.
    """
    import vl_convert

    rendered = vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[])
    root = ElementTree.fromstring(rendered.replace(SPACE, "", 1))
    _tidy(root, tooltips)
    for attribute in ("width", "height", "version", "class"):
        root.attrib.pop(attribute, None)
    for tag, text in (("desc", description), ("title", title)):
        element = Element(tag, id=f"{name}-{tag}")
        element.text = text
        root.insert(0, element)
    root.attrib |= {"class": f"plot {kind}", "role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _tidy(parent: Element, tooltips: Sequence[str]) -> None:
    """Removes invisible elements, empty groups and attributes outside KEPT_ATTRIBUTES below `parent`, in place."""
    kept: list[Element] = []
    for child in parent:
        _tidy(child, tooltips)
        label, idle = child.get("aria-label", ""), child.get("class") in ("background", "foreground")
        if idle or child.get("opacity") == "0" or (child.tag == "g" and not len(child)):
            continue
        child.attrib = {
            key: LONG_NUMBER.sub(_short, value) for key, value in child.attrib.items() if key in KEPT_ATTRIBUTES
        }
        if label.isdecimal():
            SubElement(child, "title").text = tooltips[int(label)]
        kept.extend([child] if child.tag != "g" or child.attrib else child)
    parent[:] = kept


def _short(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 2):g}"
