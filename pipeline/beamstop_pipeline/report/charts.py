"""Charts as inline SVG, drawn by matplotlib and labelled for people who cannot see them."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from lxml import etree
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searched, read aloud, in the page's own font
    "svg.hashsalt": "beamstop",
    "font.size": 10.5,
    "font.family": "sans-serif",
    "text.color": "#22303a",
    "axes.labelcolor": "#4a5862",
    "axes.edgecolor": "#c8d0d4",
    "xtick.color": "#4a5862",
    "ytick.color": "#22303a",
}
# Distinct in grey and for colour-blind people; contrast on white at least 3:1 (WCAG 1.4.11).
COLOURS = {"written": "#2f6f62", "rejected": "#7b8794", "quarantined": "#b45309", "failed": "#8f1d3f"}
PARTS = ("#1f4e79", "#2f6f62", "#b45309", "#7b8794", "#6b4e8a")
_WIDTH, _BAR, _FRAME = 7.6, 0.34, 0.95  # inches


def stacked(
    name: str, title: str, rows: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], unit: str
) -> str:
    """Return a chart with one horizontal, stacked bar per row, in the given order.

    Args:
        name: unique among the charts of the page.
        title: one sentence about what the chart shows.
        rows: label of the bar → label of the part → length.
        colours: label of the part → colour, in the order of the parts.
        unit: the unit of lengths.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _FRAME + _BAR * len(rows)), layout="constrained")
        axes = figure.subplots()
        labels, ends = list(rows), [0.0] * len(rows)
        for part, colour in colours.items():
            lengths = [float(rows[label].get(part, 0)) for label in labels]
            if any(lengths):
                axes.barh(
                    labels, lengths, left=ends, color=colour, label=part, height=0.68, edgecolor="white"
                )
            ends = [end + length for end, length in zip(ends, lengths, strict=True)]
        for number, end in enumerate(ends):
            axes.annotate(_short(end), (end, number), (4, 0), textcoords="offset points", va="center")
        _tidy(axes, unit)
        axes.invert_yaxis()
        axes.set_xlim(0, (max(ends, default=0) or 1) * 1.12)
        if len(axes.containers) > 1:
            figure.legend(loc="outside upper left", ncols=len(colours), frameon=False, fontsize=10)
        said = "; ".join(
            f"{label}: " + ", ".join(f"{part} {_short(length)}" for part, length in parts.items() if length)
            for label, parts in rows.items()
        )
        return _inline(figure, name, title, f"{said}. The table beside it has the same figures.")


def columns(name: str, title: str, labels: Sequence[str], heights: Sequence[int], unit: str) -> str:
    """Return a chart with one upright bar per label; arguments as for `stacked`."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 2.1), layout="constrained")
        axes = figure.subplots()
        axes.bar(labels, heights, color=PARTS[0], width=0.9)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.yaxis.set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlabel(unit)
        for place, height in enumerate(heights):
            axes.annotate(_short(height), (place, height), (0, 3), textcoords="offset points", ha="center")
        axes.set_ylim(0, (max(heights, default=0) or 1) * 1.2)
        said = ", ".join(f"{label}: {height}" for label, height in zip(labels, heights, strict=True))
        return _inline(figure, name, title, f"{said} ({unit}). The table beside it has the same figures.")


def _tidy(axes: Axes, unit: str) -> None:
    for place in ("top", "right", "bottom"):
        axes.spines[place].set_visible(False)
    axes.tick_params(length=0)
    axes.xaxis.set_visible(False)
    axes.set_title(unit, loc="right", fontsize=9.5, color="#4a5862")


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


def _inline(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an `svg` element with title, description and unique ids."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = etree.fromstring(drawn.getvalue())
    for each in [*root.iter(f"{_SVG}metadata", f"{_SVG}style")]:  # its style would reach the whole page
        parent = each.getparent()
        if parent is not None:
            parent.remove(each)
    used = {
        value[5:-1] for node in root.iter() for value in node.attrib.values() if value.startswith("url(#")
    }
    used |= {node.get(_LINK, "#")[1:] for node in root.iter()}
    for node in root.iter():
        for key, value in list(node.attrib.items()):
            if key == "id" and value not in used:
                del node.attrib[key]
            elif key == "id":
                node.set(key, f"{name}-{value}")
            elif value.startswith("url(#"):
                node.set(key, f"url(#{name}-{value[5:]}")
            elif key == _LINK:
                node.set(key, f"#{name}-{value[1:]}")
    for number, (kind, text) in enumerate([("title", title), ("desc", description)]):
        label = etree.Element(f"{_SVG}{kind}", id=f"{name}-{kind}")
        label.text = text
        root.insert(number, label)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root.set("width", "100%")
    del root.attrib["height"]
    drawing: str = etree.tostring(root, encoding="unicode")
    return drawing
