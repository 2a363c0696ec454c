"""Drawings of the results page: SVG inside its HTML, in the colours of its light or dark style sheet."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from l2m.paper.cells import Cell
from l2m.report import drawing
from l2m.report.drawing import STYLES

SIZE = (2.6, 1.85)
"""Inches of a panel; the page scales it to its column."""

INK = "#123456"
"""Stands for the colour of text until the page's own takes its place."""

SCREEN: dict[Any, Any] = drawing.PRINT | {
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}

COLOURS = {INK: "currentColor", "#ffffff": "var(--surface)"} | {
    colour.lower(): f"var(--{strategy})" for strategy, (colour, _) in STYLES.items()
}


def panel(draw: Callable[[Axes], None], salt: str) -> Markup:
    """What ``draw`` puts into one panel, as an SVG element; ``salt`` keeps its ids apart from others'."""
    with mpl.rc_context(SCREEN):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.subplots())
        return element(figure, salt)


def element(figure: Figure, salt: str) -> Markup:
    """A figure as an SVG element without ids but those it refers to, in the page's colours; text is escaped."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    used = set(re.findall(r'#([^")]+)[")]', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(
        r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" style="--inches: {figure.get_figwidth():g}" aria-hidden="true">',
        text,
    )
    text = re.sub(r'(?<= [dxy]=")[^"]*', lambda path: re.sub(r"\d+\.\d+", _tenth, path[0]), text)
    found = 1
    while found:  # a group without attributes, around one mark, says nothing
        text, found = re.subn(r"<g>\s*(<(?:use|path)[^>]*/>)\s*</g>", r"\1", text)
    for colour, own in COLOURS.items():
        text = re.sub(f"{colour}\\b", own, text)
    return Markup(re.sub(r"\n\s*", "\n", text))


def dots(axes: Axes, cells: Mapping[str, list[Cell]], checkpoint: int) -> None:
    """Mean ± sd of each strategy at a checkpoint: ours a full dot, the paper's a circle below it."""
    for place, (strategy, found) in enumerate(cells.items()):
        cell, (colour, _) = found[checkpoint], STYLES.get(strategy, drawing.OTHERS[0])
        spread = cell.values.std(ddof=1) if len(cell.values) > 1 else None
        mean = cell.values.mean()
        axes.errorbar(mean, place - 0.13, xerr=spread, color=colour, marker="o", markersize=4, elinewidth=1.2)
        if paper := cell.printed:
            circle = drawing.CIRCLE
            axes.errorbar(paper.mean, place + 0.17, xerr=paper.sd, color=colour, marker="o", elinewidth=0.7, **circle)
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", linewidth=0.3, color="#888888", alpha=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def sample(strategy: str) -> Markup:
    """A piece of a strategy's line, for a legend."""
    colour, dashes = STYLES.get(strategy, drawing.OTHERS[0])
    pattern = "none" if dashes == "-" else " ".join(f"{1.6 * length:g}" for length in dashes[1])
    own = COLOURS.get(colour.lower(), colour)
    return Markup(
        '<svg class="sample" viewBox="0 0 30 6" aria-hidden="true"><line x1="0" y1="3" x2="30" y2="3" '
        f'stroke="{own}" stroke-width="1.8" stroke-dasharray="{pattern}"/></svg>'
    )


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
