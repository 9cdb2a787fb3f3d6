"""What is predicted over the plane of the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from .. import checks
from ..problem import Problem
from ..solution import Solution
from .common import around, as_solution, axes_of, class_colours, figure_size, legend_above

MARKERS = "osD^v<>"


def decision_boundary(
    solution: Solution,
    *,
    resolution: int = 200,
    extent: tuple[float, float, float, float] | None = None,
    lift: Callable[[np.ndarray], ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what is predicted over the plane of the inputs, with the samples on top.

    Two classes: the probability of the second, and the line where it is one half. More: the class
    predicted, in a darker shade where it is more probable.

    Parameters
    ----------
    solution : Solution
        Of a problem whose cost is Logistic or CrossEntropy.
    resolution : int, default 200
        Points along each side, at least 2.
    extent : (left, right, bottom, top), optional
        What to draw; the box around the samples, and a little more, without it.
    lift : callable, optional
        How inputs became states: from points (K, 2) to states (K, d). Without it the first two
        coordinates are the inputs, and any others are zero, as they must be in the samples.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For a problem without classes, samples outside the plane with no ``lift``, a ``lift`` that
        returns something else than states.

    Notes
    -----
    The inputs of the samples are found again where they are the first two coordinates of the
    states or ``lift`` is affine. Otherwise the samples are not drawn, and ``extent`` is needed.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties, plot
    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> problem = pmpnet.Problem(
    ...     dynamics.Layer(2), x, x[:, 0] > 0, control_cost=penalties.L2(0.1), steps=5,
    ...     terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]))
    >>> ax = plot.decision_boundary(pmpnet.solve.msa(problem), resolution=20)
    >>> ax.get_xlabel()
    '$x_1(0)$'
    """
    problem = as_solution(solution).problem
    dim, classes = problem.dynamics.dim, problem.classes
    checks.has_classes(classes)
    resolution = checks.size("resolution", resolution, 2)
    inputs, states_of = _inputs(problem, lift)
    if extent is None:
        checks.located(inputs is not None)
        box = around(inputs, 0.08)
    else:
        box = checks.extent(extent)
    left, right, bottom, top = box
    a, b = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    plane = np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2)
    states = checks.lifted(states_of(plane), len(plane), dim)
    shape = resolution, resolution, -1
    likely = solution.predict_proba(states)[:, : len(classes)].reshape(shape)

    ax = axes_of(
        ax, figure_size(right - left, top - bottom, beside=1.0 if len(classes) == 2 else 0.0)
    )
    palette = class_colours(len(classes))
    draw = _draw_probability if len(classes) == 2 else _draw_regions
    draw(ax, a, b, likely, classes, palette)
    if inputs is not None:
        member = np.searchsorted(classes, problem.targets.ravel())
        side = min(ax.bbox.width, ax.bbox.height) / ax.figure.dpi
        size = float(np.clip(8000 / len(inputs), 8, 24)) * min(1.0, (side / 3.3) ** 2)
        look = dict(edgecolors="white", lw=0.3, zorder=3)
        handles = []
        for i in np.unique(member):
            mark = MARKERS[i % len(MARKERS)]
            ax.scatter(*inputs[member == i].T, s=size, color=palette[i], marker=mark, **look)
            name = f"class {classes[i]}"
            handles.append(
                Line2D([], [], color=palette[i], marker=mark, ms=5, ls="none", label=name)
            )
        legend_above(ax, handles)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_aspect("equal")
    where = "$x_{}(0)$" if lift is None else "input {}"
    ax.set(xlabel=where.format(1), ylabel=where.format(2))
    return ax


def _inputs(problem: Problem, lift: Any):
    """Return the inputs of the samples (M, 2), or None, and the map from inputs to states."""
    x = np.asarray(problem.initial_states, np.float64)
    dim = problem.dynamics.dim

    def with_zeros(points: np.ndarray) -> np.ndarray:
        return np.c_[points, np.zeros((len(points), dim - 2))]

    if lift is None:
        checks.flat(dim >= 2 and not x[:, 2:].any(), dim)
        return x[:, :2], with_zeros
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    checks.lift(lift)
    zero, *axes = checks.lifted(lift(corners), 3, dim)
    solved = np.linalg.lstsq((np.array(axes) - zero).T, (x - zero).T)[0].T
    near = 1e-4 if problem.dtype == np.float32 else 1e-8
    for inputs in (x[:, :2], solved):
        if inputs.shape[1] == 2:
            back = checks.lifted(lift(inputs), len(x), dim)
            if np.abs(back - x).max() <= near * (1 + np.abs(x).max()):
                return inputs, lift
    return None, lift


def _image(ax: Axes, a: np.ndarray, b: np.ndarray, values: np.ndarray, **look: Any) -> Any:
    """Draw values at the points of a grid, each at the middle of its pixel."""
    i, j = (a[1] - a[0]) / 2, (b[1] - b[0]) / 2
    whole = a[0] - i, a[-1] + i, b[0] - j, b[-1] + j
    return ax.imshow(values, extent=whole, origin="lower", zorder=0, **look)


def _draw_probability(ax, a, b, likely, classes, palette) -> None:
    """Draw the probability of the second of two classes, and the line of one half."""
    p = likely[..., 1] / likely.sum(axis=-1)
    pale = LinearSegmentedColormap.from_list("", [_pale(palette[0]), "white", _pale(palette[1])])
    image = _image(ax, a, b, p, cmap=pale, vmin=0, vmax=1, interpolation="bilinear")
    if p.min() < 0.5 < p.max():
        ax.contour(a, b, p, [0.5], colors="black", linewidths=1.2, zorder=2)
    ax.figure.colorbar(image, ax=ax, label=f"probability of class {classes[1]}", pad=0.02)


def _draw_regions(ax, a, b, likely, classes, palette) -> None:
    """Draw the class predicted, darker where it is more probable, and the lines between."""
    shade = likely.max(axis=-1, keepdims=True)
    first = 1 / likely.shape[-1]
    shade = np.clip((shade - first) / (1 - first), 0, 1)
    colours = _pale(palette)[likely.argmax(axis=-1)]
    image = 1 - (0.15 + 0.85 * shade) * (1 - colours)
    _image(ax, a, b, image, interpolation="nearest")
    for i in range(likely.shape[-1]):
        margin = likely[..., i] - np.delete(likely, i, axis=-1).max(axis=-1)
        if margin.min() < 0 < margin.max():
            ax.contour(a, b, margin, [0.0], colors="0.25", linewidths=0.8, zorder=2)


def _pale(colour: np.ndarray, part: float = 0.55) -> np.ndarray:
    """Mix a colour with white."""
    return 1 - part * (1 - np.asarray(colour))
