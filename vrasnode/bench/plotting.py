"""A comparison as a picture: one bar a measure, its range, the line that it has to reach. Plain SVG 1.1."""

from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from vrasnode.bench.comparing import Comparison, Row

_LEFT, _RIGHT, _TOP, _STEP = 190, 90, 56, 30
_WIDTH = 420.0  # of the scale
_PASSED, _FAILED = "#1a7f37", "#b3261e"


def svg(comparison: Comparison, *, title: str) -> str:
    """The picture as text. 1 on its scale is the bare PC."""
    top = max([1.1, *(row.high for row in comparison.rows)])
    height = _TOP + _STEP * len(comparison.rows) + 34
    picture = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_LEFT + _WIDTH + _RIGHT:.0f} {height}",
            "font-family": "sans-serif",
            "font-size": "12",
            "role": "img",
        },
    )
    _add(picture, "title", title)
    _add(picture, "rect", width="100%", height="100%", fill="#ffffff")
    _add(picture, "text", title, x="12", y="22", **{"font-size": "15", "font-weight": "bold"})
    note = "median of the machine ÷ median of the bare PC; thin line: slowest to fastest round; mark: the bar"
    _add(picture, "text", note, x="12", y="40", fill="#57606a")
    picture.extend(_scale(top, height))
    for place, row in enumerate(comparison.rows):
        picture.extend(_bar(row, _TOP + _STEP * place, _WIDTH / top))
    ElementTree.indent(picture)
    return ElementTree.tostring(picture, encoding="unicode") + "\n"


def _scale(top: float, height: int) -> Iterator[Element]:
    for tenth in range(0, int(top * 10) + 1, 2):
        x = f"{_LEFT + tenth / 10 * _WIDTH / top:.1f}"
        stroke = "#57606a" if tenth == 10 else "#d0d7de"
        yield Element("line", {"x1": x, "x2": x, "y1": str(_TOP), "y2": str(height - 24), "stroke": stroke})
        label = Element("text", {"x": x, "y": str(height - 8), "text-anchor": "middle", "fill": "#57606a"})
        label.text = f"{tenth / 10:.1f}"
        yield label


def _bar(row: Row, y: int, unit: float) -> Iterator[Element]:
    middle = y + _STEP // 2
    name = Element("text", {"x": str(_LEFT - 8), "y": str(middle + 4), "text-anchor": "end"})
    name.text = row.measure
    yield name
    fill = _PASSED if row.passed else _FAILED
    size = {"x": str(_LEFT), "y": str(y + 7), "width": f"{row.ratio * unit:.1f}", "height": str(_STEP - 14)}
    yield Element("rect", {**size, "fill": fill, "fill-opacity": "0.75"})
    yield _line((_LEFT + row.low * unit, middle), (_LEFT + row.high * unit, middle), width=1)
    bar = _LEFT + row.bar * unit
    yield _line((bar, y + 3), (bar, y + _STEP - 3), width=2)
    verdict = Element("text", {"x": f"{_LEFT + _WIDTH + 8:.1f}", "y": str(middle + 4), "fill": fill})
    verdict.text = f"{row.ratio:.3f} {'pass' if row.passed else 'fail'}"
    yield verdict


def _line(start: tuple[float, float], end: tuple[float, float], *, width: int) -> Element:
    ends = {"x1": f"{start[0]:.1f}", "y1": f"{start[1]:.1f}", "x2": f"{end[0]:.1f}", "y2": f"{end[1]:.1f}"}
    return Element("line", {**ends, "stroke": "#24292f", "stroke-width": str(width)})


def _add(parent: Element, tag: str, text: str | None = None, **attributes: str) -> None:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text
