"""The paths of samples."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from .. import checks
from ..problem import Problem
from ..solution import Solution
from .common import (
    BLUE,
    ORANGE,
    as_solution,
    axes_of,
    class_colours,
    figure_size,
    legend_above,
    sides,
)


def trajectories(
    solution: Solution,
    x: ArrayLike | None = None,
    *,
    components: int | tuple[int, ...] = (0, 1),
    limit: int = 200,
    ax: Axes | None = None,
) -> Axes:
    """Draw the paths of samples, in the plane of two components or, one component, along time.

    A path starts at a circle and ends at a dot. Samples are coloured by their class or number,
    new points by the class predicted for them. Where the target is a state, a cross shows it, and
    in the plane a line how far it was missed. The plane has equal scales, unless one range is
    more than four times the other.

    Parameters
    ----------
    solution : Solution
    x : array-like, shape (M, d), optional
        New points, in place of the samples.
    components : int or pair of int, default (0, 1)
        Counted from 0. In dimension 1, the state is drawn against time.
    limit : int, default 200
        Most paths; of more, a seeded choice is drawn.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For points or components that do not fit the state.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties, plot
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> ax = plot.trajectories(pmpnet.solve.msa(problem), limit=10)
    >>> len(ax.collections[0].get_segments())
    10
    """
    problem = as_solution(solution).problem
    dim = problem.dynamics.dim
    plane = isinstance(components, tuple) and components == (0, 1)
    shown = checks.components(0 if dim == 1 and plane else components, dim)
    limit = checks.integer("limit", limit, 1)
    new = x is not None
    points = checks.points(x, dim, problem.dtype) if new else problem.initial_states
    checks.some_points(len(points))
    chosen = _some(len(points), limit)
    states = solution.states(points[chosen])
    paths = [states[:, :, i].T for i in shown]
    if len(shown) == 1:
        paths.insert(0, np.broadcast_to(solution.times, paths[0].shape))
    paths = np.stack(paths, axis=-1)

    width, height = sides(paths)
    equal = len(shown) == 2 and 0.25 <= width / height <= 4.0
    colours, legend, scale = _sample_colours(solution, points[chosen] if new else None, chosen)
    beside = 0.0 if scale is None else 1.0
    ax = axes_of(ax, figure_size(width, height, beside) if equal else (6.4, 4.4))
    ax.add_collection(LineCollection(paths, colors=colours, lw=0.8, alpha=0.5))
    start, end = paths[:, 0], paths[:, -1]
    ax.scatter(*start.T, s=16, facecolors="white", edgecolors=colours, lw=0.9, zorder=3)
    ax.scatter(*end.T, s=12, c=colours, lw=0, zorder=4)
    dark = dict(color="0.3", ls="none")
    marks = [
        Line2D([], [], marker="o", mfc="white", ms=4.5, label="start", **dark),
        Line2D([], [], marker="o", ms=4, label="end", **dark),
    ]
    targets = None if new else _target_states(problem)
    if targets is not None:
        there = targets[chosen][:, shown]
        if len(shown) == 1:
            there = np.c_[np.full(len(there), solution.times[-1]), there]
        else:
            missed = np.stack([end, there], axis=1)
            ax.add_collection(LineCollection(missed, colors=ORANGE, lw=0.6, zorder=5))
        ax.scatter(*there.T, s=9, marker="x", c=ORANGE, lw=0.8, zorder=5)
        marks.append(Line2D([], [], marker="x", ms=4, label="target", color=ORANGE, ls="none"))
    if scale is not None:
        ax.figure.colorbar(scale, ax=ax, label="target", pad=0.02)
    legend_above(ax, [*legend, *marks])
    if len(shown) == 1:
        ax.set(xlabel="time $t$", ylabel=_state(shown[0], dim))
        ax.margins(x=0.02)
    else:
        ax.set(xlabel=_state(shown[0], dim), ylabel=_state(shown[1], dim))
        ax.set_aspect("equal" if equal else "auto")
    return ax


def _state(i: int, dim: int) -> str:
    return "state $x$" if dim == 1 else f"$x_{{{i + 1}}}$"


def _some(count: int, limit: int) -> np.ndarray:
    """Return at most so many indices, chosen by a fixed seed: a rule would follow a grid."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def _sample_colours(solution: Solution, x: np.ndarray | None, chosen: np.ndarray):
    """Return colours of paths, entries of a legend, and a scale where colours are numbers."""
    problem = solution.problem
    if problem.classes is not None:
        word = "class" if x is None else "predicted"
        labels = problem.targets.ravel()[chosen] if x is None else solution.predict(x)
        member = np.searchsorted(problem.classes, labels)
        palette = class_colours(len(problem.classes))
        legend = [
            Line2D([], [], color=palette[i], label=f"{word} {problem.classes[i]}")
            for i in np.unique(member)
        ]
        return palette[member], legend, None
    targets = problem.targets
    if x is not None or targets is None or targets.size != len(targets):
        return np.tile(to_rgb(BLUE), (len(chosen), 1)), [], None
    values = targets.ravel().astype(np.float64)
    # viridis without its yellow, which is too pale for a line
    dark = ListedColormap(plt.get_cmap("viridis")(np.linspace(0.0, 0.88, 256)))
    scale = plt.cm.ScalarMappable(Normalize(values.min(), values.max()), dark)
    # where the target is a state, its place says its number
    return scale.to_rgba(values[chosen]), [], None if _target_states(problem) is not None else scale


def _target_states(problem: Problem) -> np.ndarray | None:
    """Return the states that samples should reach, (M, d), if their targets are states."""
    loss = problem.terminal_cost
    if problem.targets is None or problem.classes is not None or loss is None:
        return None
    return None if loss.readout is not None else problem.targets.reshape(-1, problem.dynamics.dim)
