"""A chart of Altair as SVG inside a page: with a title and a description, in the colours of the page's style sheet, and
without what the page's policy or a screen reader would stumble over.

The library sees numbers only. Words are put in here, as text, so that none of them can be anything else. It knows
elements and attributes, and not what a chart shows.
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
"""An HTML page says it itself."""
KEPT = {
    *("d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "transform", "text-anchor"),
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin"),
}
"""Attributes that draw. Fonts are the style sheet's; roles and labels would tell a picture mark by mark."""
LONG = re.compile(r"-?\d+\.\d{3,}(?:e-\d+)?")


def svg(chart: altair.LayerChart, kind: str, name: str, title: str, described: str, told: Sequence[str] = ()) -> Markup:
    """The element of class `plot` and `kind`, with ids that start with `name`.

    A mark whose `description` is a whole number shows that one of `told` under the pointer.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[])
    root = ElementTree.fromstring(drawn.replace(SPACE, "", 1))
    _tidy(root, told)
    for attribute in ("width", "height", "version", "class"):
        root.attrib.pop(attribute, None)
    for tag, text in (("desc", described), ("title", title)):
        element = Element(tag, id=f"{name}-{tag}")
        element.text = text
        root.insert(0, element)
    root.attrib |= {"class": f"plot {kind}", "role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _tidy(parent: Element, told: Sequence[str]) -> None:
    """Below `parent`: nothing that draws nothing, no group that says nothing, attributes of KEPT alone."""
    left: list[Element] = []
    for child in parent:
        _tidy(child, told)
        label, idle = child.get("aria-label", ""), child.get("class") in ("background", "foreground")
        if idle or child.get("opacity") == "0" or (child.tag == "g" and not len(child)):
            continue
        child.attrib = {key: LONG.sub(_short, value) for key, value in child.attrib.items() if key in KEPT}
        if label.isdecimal():
            SubElement(child, "title").text = told[int(label)]
        left.extend([child] if child.tag != "g" or child.attrib else child)
    parent[:] = left


def _short(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 2):g}"
