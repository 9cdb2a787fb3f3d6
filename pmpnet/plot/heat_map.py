"""The control as a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .. import checks
from ..dynamics.layer import Layer
from ..solution import Solution
from .common import axes_of, legend_above

MOST_LABELS = 30  # rows of a heat map that are named one by one


def controls(
    solution: Solution | ArrayLike, *, times: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a control as a heat map over time; what is exactly zero is hatched, or grey if small.

    Parameters
    ----------
    solution : Solution or array-like, shape (N, c)
    times : array-like, shape (N+1,), optional
        The grid of an array; layers are counted without it. A solution brings its own.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For a control that is not a table of finite numbers, times that do not fit it.

    Examples
    --------
    >>> from pmpnet import plot
    >>> ax = plot.controls([[1.0, 0.0], [-0.5, 0.0], [0.0, 2.0]], times=[0.0, 0.1, 0.5, 1.0])
    >>> ax.get_legend().get_texts()[0].get_text()
    'exactly zero (50 %)'
    """
    names = None
    if isinstance(solution, Solution):
        checks.no_times(times)
        u, times = solution.controls, solution.times
        names = _names(solution.problem.dynamics)
    else:
        u = checks.real_array("controls", solution, ndim=2)
        if times is not None:
            times = checks.control_times(times, len(u))
    u = checks.real_array("controls", u, ndim=2)
    N, c = u.shape
    checks.some_controls(u.size)
    edges = np.arange(N + 1) if times is None else times
    largest = np.abs(u).max() or 1.0

    ax = axes_of(ax, (6.4, float(np.clip(1.6 + 0.19 * c, 2.6, 8.0))))
    # hatches wider than the cells would only be noise
    cell = min(ax.bbox.width / N, ax.bbox.height / c) / ax.figure.dpi
    zero = Rectangle((edges[0], -0.5), edges[-1] - edges[0], c, zorder=0)
    zero.set(fc="0.87", ec="0.62", lw=0, hatch="////" if cell > 0.08 else None)
    ax.add_patch(zero)
    mesh = ax.pcolormesh(
        edges,
        np.arange(c + 1) - 0.5,
        np.ma.masked_equal(u.T, 0.0),
        cmap="RdBu_r",
        norm=Normalize(-largest, largest),
        rasterized=True,
    )
    ax.set(xlim=(edges[0], edges[-1]), ylim=(c - 0.5, -0.5))
    ax.set_xlabel("layer" if times is None else "time $t$")
    if c <= MOST_LABELS:
        ax.set_yticks(np.arange(c), names)
        ax.tick_params(axis="y", length=0)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if times is None:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if names is None or c > MOST_LABELS:
        ax.set_ylabel("entry of $u$ (from 0)")
    ax.figure.colorbar(mesh, ax=ax, label="control $u$", pad=0.02)
    if (u == 0).any():
        zero.set_label(f"exactly zero ({100 * np.mean(u == 0):.0f} %)")
        legend_above(ax, [zero])
    return ax


def _names(dynamics: Any) -> list[str] | None:
    """Return the names of a layer's weights, in the order of the control."""
    if not isinstance(dynamics, Layer):
        return None
    d = dynamics.dim
    comma = "," if d > 9 else ""
    names = [f"$W_{{{i}{comma}{j}}}$" for i in range(1, d + 1) for j in range(1, d + 1)]
    return names + [f"$b_{{{i}}}$" for i in range(1, d + 1)] * dynamics.bias
