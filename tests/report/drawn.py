"""Reads a picture back: where its marks stand, on the axes that its own labels tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

CurvePoint = tuple[float, float]


class Text(NamedTuple):
    at: CurvePoint
    anchor: str
    text: str


class Shape(NamedTuple):
    """A path or a line. `corners` are on the axes, and empty for a mark, whose place is `at`."""

    at: CurvePoint
    corners: list[CurvePoint]
    breaks: int
    element: Element

    @property
    def told(self) -> str:
        return self.element.findtext("title", "")


class Drawn:
    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.texts: list[Text] = []
        self.raw: list[tuple[CurvePoint, list[CurvePoint], int, Element]] = []
        self._read(self.root, (0.0, 0.0))
        self.x_labels = [one for one in self.texts if one.anchor == "middle"][:-1]
        self.y_labels = [one for one in self.texts if one.anchor == "end"]

    def _read(self, element: Element, at: CurvePoint) -> None:
        moved = re.fullmatch(r"translate\(([-\d.e]+),([-\d.e]+)\)", element.get("transform", "translate(0,0)"))
        assert moved, element.attrib
        at = at[0] + float(moved[1]), at[1] + float(moved[2])
        if element.tag == "text":
            self.texts.append(Text(at, element.get("text-anchor", ""), element.text or ""))
        if element.tag == "path":
            found = re.findall(r"([ML])([-\d.e]+),([-\d.e]+)", element.get("d", ""))
            corners = [(at[0] + float(x), at[1] + float(y)) for _, x, y in found]
            self.raw.append((at, corners, [pen for pen, *_ in found].count("M"), element))
        if element.tag == "line":
            end = at[0] + float(element.get("x2", 0)), at[1] + float(element.get("y2", 0))
            self.raw.append((at, [at, end], 1, element))
        for child in element:
            self._read(child, at)

    def shapes(self, **attributes: str) -> list[Shape]:
        """Those with the attributes, on the axes."""
        asked = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [
            Shape(self.value(at), [self.value(corner) for corner in corners], breaks, element)
            for at, corners, breaks, element in self.raw
            if asked.items() <= element.attrib.items()
        ]

    def value(self, at: CurvePoint) -> CurvePoint:
        # Half a pixel beside the marks, as Vega draws axes; a letter hangs a few above the height that it names.
        return _between(self.x_labels, 0, at[0] + 0.5), _between(self.y_labels, 1, at[1] + 4.5)


def number(label: str) -> float:
    scale = 0.01 if label.endswith("\u00a0%") else 1
    return scale * float(label.removesuffix("\u00a0%").replace("\u2212", "-").replace(",", ""))


def _between(labels: Sequence[Text], axis: int, at: float) -> float:
    if len(labels) == 1:
        return number(labels[0].text)
    first, last = labels[0], labels[-1]
    part = (at - first.at[axis]) / (last.at[axis] - first.at[axis])
    return number(first.text) + part * (number(last.text) - number(first.text))
