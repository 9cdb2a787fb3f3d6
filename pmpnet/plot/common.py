"""What figures have in common: axes, colours, legends, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from .. import checks
from ..solution import Solution

# Okabe & Ito's colours, told apart by colour-blind eyes; those too pale for a line are left out
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, ORANGE = COLOURS[:2]
GREY = "0.45"
DASHES = ("-", "--", "-.", ":")


def axes_of(ax: Axes | None, size: tuple[float, float] = (6.4, 4.0)) -> Axes:
    """Return the axes to draw into: those given, or those of a new figure."""
    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    return checks.instance("ax", ax, Axes, "axes of matplotlib, such as plt.gca(), or leave it out")


def as_solution(value: Any) -> Solution:
    """Check that what is to be drawn is a solution."""
    return checks.instance(
        "solution", value, Solution, "what a method of pmpnet.solve returns, such as msa(problem)"
    )


def as_named(solutions: Any) -> list[tuple[str, Solution]]:
    """Return solutions with a name each; those of one method are numbered."""
    if isinstance(solutions, Mapping):
        checks.some_solutions(solutions)
        return [(str(name), as_solution(s)) for name, s in solutions.items()]
    if not isinstance(solutions, (list, tuple)):
        solutions = [solutions]
    checks.some_solutions(solutions)
    methods = [as_solution(s).method for s in solutions]
    return [
        (m if methods.count(m) == 1 else f"{m}, run {methods[: i + 1].count(m)}", s)
        for i, (m, s) in enumerate(zip(methods, solutions, strict=True))
    ]


def line_looks() -> Iterator[tuple[str, str]]:
    """Yield colours and dashes of lines, without end: the dashes change after all the colours."""
    for dashes in cycle(DASHES):
        for colour in COLOURS:
            yield colour, dashes


def class_colours(count: int) -> np.ndarray:
    """Return a colour per class, (count, 3)."""
    if count <= len(COLOURS):
        return np.array([to_rgb(c) for c in COLOURS[:count]])
    # darkened: its yellow is too pale for a line
    return 0.8 * plt.get_cmap("turbo")(np.linspace(0.02, 0.98, count))[:, :3]


def legend_above(ax: Axes, handles: Sequence[Any]) -> None:
    """Put a legend above the axes, where it hides nothing, in as few rows as fit."""
    lengths = np.array([len(re.sub(r"[${}_\\]", "", handle.get_label())) for handle in handles])
    inches = ax.bbox.width / ax.figure.dpi
    for rows in range(1, len(handles) + 1):
        columns = [lengths[i : i + rows].max() for i in range(0, len(handles), rows)]
        if sum(0.45 + 0.085 * letters for letters in columns) <= inches:
            break
    ax.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(columns),
        frameon=False,
        borderaxespad=0.2,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def sides(*points: np.ndarray) -> tuple[float, float]:
    """Return width and height of what points of a plane cover, leaving out what overflowed."""
    everything = np.concatenate([p.reshape(-1, 2) for p in points])
    everything = everything[np.isfinite(everything).all(axis=1)]
    width, height = np.ptp(everything, axis=0).tolist() if len(everything) else (0.0, 0.0)
    return width or height or 1.0, height or width or 1.0


def figure_size(width: float, height: float, beside: float = 0.0) -> tuple[float, float]:
    """Return the size of a figure whose axes have equal scales, in inches."""
    inch = min(5.0 / width, 4.2 / height)
    return max(inch * width, 2.5) + 0.9 + beside, max(inch * height, 1.5) + 1.0


def around(points: np.ndarray, margin: float = 0.0) -> tuple[float, float, float, float]:
    """Return the box around points of the plane, never without area."""
    low, high = (np.asarray(e, np.float64) for e in (points.min(axis=0), points.max(axis=0)))
    wide = (high - low).max() or 1.0
    more = np.where(high - low > 1e-6 * wide, 0.0, 0.5 * wide) + margin * (high - low)
    (left, bottom), (right, top) = low - more, high + more
    return float(left), float(right), float(bottom), float(top)
