"""The flow as a map of the plane: a grid of squares before and after."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from .. import checks
from ..solution import Solution
from .common import COLOURS, around, as_solution, axes_of, figure_size, legend_above, sides


def flow(
    solution: Solution,
    *,
    lines: int = 21,
    extent: tuple[float, float, float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the image of a grid of squares under the flow from the start to the end, in the plane.

    Parameters
    ----------
    solution : Solution
        Of a problem in dimension 2.
    lines : int, default 21
        Lines across the longer side of the grid, at least 2.
    extent : (left, right, bottom, top), optional
        What the grid covers at the start; the box around the samples without it. The shorter side
        is made a whole number of squares.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        In another dimension than 2; for an extent without area.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties, plot
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> ax = plot.flow(pmpnet.solve.msa(problem), lines=5, extent=(-1, 1, -1, 1))
    >>> [len(family.get_segments()) for family in ax.collections[1:]]
    [5, 5]
    """
    problem = as_solution(solution).problem
    checks.plane(problem.dynamics.dim)
    lines = checks.size("lines", lines, 2)
    box = around(problem.initial_states) if extent is None else checks.extent(extent)
    families = _grid_lines(box, lines)

    images = [solution.flow(f.reshape(-1, 2)).reshape(f.shape) for f in families]

    ax = axes_of(ax, figure_size(*sides(*families, *images)))
    before = LineCollection([line for family in families for line in family])
    before.set(color="0.75", lw=0.6, zorder=1, label="before")
    ax.add_collection(before)
    for i, image in enumerate(images):
        label = f"$x_{i + 1}$ const."
        ax.add_collection(LineCollection(image, colors=COLOURS[i], lw=0.9, zorder=2, label=label))
    ax.autoscale_view()
    ax.set_aspect("equal")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    legend_above(ax, ax.collections[-3:])
    return ax


def _grid_lines(box: tuple[float, float, float, float], lines: int) -> list[np.ndarray]:
    """Return the lines x1 = constant and x2 = constant of squares on a box, finely sampled."""
    left, right, bottom, top = box
    sides = np.array([right - left, top - bottom])
    cell = sides.max() / (lines - 1)
    cells = np.maximum(np.ceil(sides / cell - 1e-9), 1).astype(int)
    first = np.array([left + right, bottom + top]) / 2 - cells * cell / 2
    families = []
    for i in (0, 1):
        at = first[i] + cell * np.arange(cells[i] + 1)
        along = first[1 - i] + cell * np.linspace(0, cells[1 - i], 8 * cells[1 - i] + 1)
        pair = np.meshgrid(at, along, indexing="ij")
        families.append(np.stack(pair if i == 0 else pair[::-1], axis=-1))
    return families
