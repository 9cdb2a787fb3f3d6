"""Figures: how a solve got there, what it found, and what Pontryagin's principle says of it.

Every function draws into the axes it is given, or into a new figure, and returns the axes. None
shows a figure, and none touches matplotlib's settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from . import checks
from .certificate import Certificate, verify
from .dynamics.layer import Layer
from .problem import Problem
from .solution import Solution

# Okabe & Ito's colours, told apart by colour-blind eyes; those too pale for a line are left out
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, ORANGE = COLOURS[:2]
GREY = "0.45"
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^v<>"
MOST_LABELS = 30  # rows of a heat map that are named one by one

QUANTITIES = {
    "cost": "$J - J^*$",
    "gap": r"Hamiltonian gap, $\Sigma_k\, h_k D_k$",
    "residual": r"fixed-point residual, $\|u - \mathrm{prox}_R(u + g)\|$",
}
CLOCKS = {
    "sweeps": "sweeps (1 = one pass over all samples)",
    "seconds": "seconds (without compilation)",
    "iterations": "iterations",
}


# --------------------------------------------------------------------------------- the solve


def convergence(
    solutions: Solution | Sequence[Solution] | Mapping[str, Solution],
    *,
    quantity: str = "cost",
    against: str = "sweeps",
    best: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how solves went: a line per solution, on a logarithmic scale.

    Parameters
    ----------
    solutions : Solution, list of them, or dict of them
        Of one problem. A line is labelled by the key of the dict, or by the name of the method.
    quantity : {"cost", "gap", "residual"}
        The cost above the best one, the Hamiltonian gap, or the fixed-point residual with
        proximal weight 1.
    against : {"sweeps", "seconds", "iterations"}
        What is counted along the horizontal axis; a pass forward and one backward are two sweeps.
    best : float, optional
        J*, where a better one is known than the lowest cost of these solutions.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For anything but solutions, an unknown word, a quantity that is NaN throughout, a ``best``
        that is not the best.

    Notes
    -----
    Zeros have no place on a logarithmic scale: the cost of the best solution ends where it
    reaches J*, which may be its own. Solutions to be compared belong in one call, which measures
    them from one J*.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties, plot
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.msa(problem)
    >>> ax = plot.convergence({"successive approximations": solution}, against="iterations")
    >>> len(ax.lines[0].get_ydata()) == len(solution.history)
    True
    """
    checks.choice("quantity", quantity, QUANTITIES)
    checks.choice("against", against, CLOCKS)
    named = _named(solutions)
    values = [s.history[quantity] for _, s in named]
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    checks.drawable(quantity, len(finite) > 0)
    label = QUANTITIES[quantity]
    if quantity == "cost":
        lowest = min(finite.min(), *(s.cost for _, s in named if np.isfinite(s.cost)))
        best = checks.best_cost(best, float(lowest))
        values = [v - best for v in values]
        label += f"   (best cost $J^*$ = {best:.6g})"
    ax = _axes(ax)
    checks.same_scale(ax.get_ylabel(), label, tuple(QUANTITIES.values()))
    looks = islice(_looks(), len(ax.lines), None)
    for (name, solution), y, (colour, dashes) in zip(named, values, looks, strict=False):
        history = solution.history
        x = np.arange(len(history)) if against == "iterations" else history[against]
        mark = "o" if len(history) == 1 else None
        ax.plot(x, y, dashes, color=colour, marker=mark, label=name)
    if any((y[np.isfinite(y)] > 0).any() for y in values):
        ax.set_yscale("log", nonpositive="mask")
    if against == "iterations":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    epochs = against == "iterations" and any(len(s.history) != s.nit + 1 for _, s in named)
    ax.set_xlabel(CLOCKS[against] + (", or epochs of minibatches" if epochs else ""))
    ax.set_ylabel(label)
    ax.margins(x=0.02)
    ax.autoscale_view()
    ax.set_xlim(left=0.0, auto=None)
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(frameon=False)
    return ax


def hamiltonian(certificate: Certificate | Solution, *, ax: Axes | None = None) -> Axes:
    """Draw the Hamiltonian along time, and below it the gap D_k of every layer.

    Parameters
    ----------
    certificate : Certificate or Solution
        A solution is certified first, by `pmpnet.verify`.
    ax : Axes, optional
        Shared with the gaps, which take a strip below it. Where the Hamiltonian has no maximum,
        there are no gaps and no strip.

    Returns
    -------
    Axes
        That of the Hamiltonian.

    Notes
    -----
    At an optimum of an autonomous problem the Hamiltonian is constant up to O(h). It is shown on
    a scale of at least a millionth of its size, so that rounding looks like nothing.

    Examples
    --------
    >>> import numpy as np, pmpnet
    >>> from pmpnet import dynamics, losses, penalties, plot
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> ax = plot.hamiltonian(pmpnet.verify(problem, np.tile([0.2, 0.8 / 3], (20, 1))))
    >>> ax.get_ylabel()
    'Hamiltonian $H$'
    """
    checks.instance(
        "certificate",
        certificate,
        Certificate | Solution,
        "what pmpnet.verify returns, or a solution",
    )
    if isinstance(certificate, Solution):
        certificate = verify(certificate.problem, certificate)
    times = certificate.times
    H, gaps = certificate.hamiltonian, certificate.layer_gaps
    ax = _axes(ax)
    mean = float(H.mean())
    ax.axhline(mean, color=GREY, lw=1, ls="--", label=f"mean {mean:.6g}")
    _steps(ax, times, H, BLUE)
    least = 5e-7 * abs(mean) or 1e-12
    low, high = min(H.min(), mean - least), max(H.max(), mean + least)
    ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    ax.set_ylabel("Hamiltonian $H$")
    ax.legend(frameon=False, loc="best")
    last = ax
    if np.isfinite(gaps).any():
        last = _strip_below(ax)
        ax.tick_params(labelbottom=False)
        _steps(last, times, gaps, ORANGE)
        if (gaps > 0).any():
            # whole decades, so that there is always one to read
            low, high = np.log10(gaps[gaps > 0].min()), np.log10(gaps.max())
            last.set_yscale("log", nonpositive="mask")
            last.set_ylim(10.0 ** np.floor(low), 10.0 ** (np.floor(high) + 1))
            last.yaxis.set_major_locator(LogLocator(numticks=5))
            last.yaxis.set_minor_formatter(NullFormatter())
        last.set_ylabel("gap $D_k$")
    last.set_xlabel("time $t$")
    ax.margins(x=0.02)
    return ax


# ------------------------------------------------------------------------------- the control


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

    ax = _axes(ax, (6.4, float(np.clip(1.6 + 0.19 * c, 2.6, 8.0))))
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
        _legend_above(ax, [zero])
    return ax


# -------------------------------------------------------------------------------- the states


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
    problem = _solution(solution).problem
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

    width, height = _sides(paths)
    equal = len(shown) == 2 and 0.25 <= width / height <= 4.0
    colours, legend, scale = _sample_colours(solution, points[chosen] if new else None, chosen)
    beside = 0.0 if scale is None else 1.0
    ax = _axes(ax, _size(width, height, beside) if equal else (6.4, 4.4))
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
    _legend_above(ax, [*legend, *marks])
    if len(shown) == 1:
        ax.set(xlabel="time $t$", ylabel=_state(shown[0], dim))
        ax.margins(x=0.02)
    else:
        ax.set(xlabel=_state(shown[0], dim), ylabel=_state(shown[1], dim))
        ax.set_aspect("equal" if equal else "auto")
    return ax


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
    problem = _solution(solution).problem
    checks.plane(problem.dynamics.dim)
    lines = checks.integer("lines", lines, 2)
    box = _around(problem.initial_states) if extent is None else checks.extent(extent)
    families = _grid_lines(box, lines)

    images = [solution.flow(f.reshape(-1, 2)).reshape(f.shape) for f in families]

    ax = _axes(ax, _size(*_sides(*families, *images)))
    before = LineCollection([line for family in families for line in family])
    before.set(color="0.75", lw=0.6, zorder=1, label="before")
    ax.add_collection(before)
    for i, image in enumerate(images):
        label = f"$x_{i + 1}$ const."
        ax.add_collection(LineCollection(image, colors=COLOURS[i], lw=0.9, zorder=2, label=label))
    ax.autoscale_view()
    ax.set_aspect("equal")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    _legend_above(ax, ax.collections[-3:])
    return ax


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
    problem = _solution(solution).problem
    dim, classes = problem.dynamics.dim, problem.classes
    checks.has_classes(classes)
    resolution = checks.integer("resolution", resolution, 2)
    inputs, states_of = _inputs(problem, lift)
    if extent is None:
        checks.located(inputs is not None)
        box = _around(inputs, 0.08)
    else:
        box = checks.extent(extent)
    left, right, bottom, top = box
    a, b = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    plane = np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2)
    states = checks.lifted(states_of(plane), len(plane), dim)
    shape = resolution, resolution, -1
    likely = solution.predict_proba(states)[:, : len(classes)].reshape(shape)

    ax = _axes(ax, _size(right - left, top - bottom, beside=1.0 if len(classes) == 2 else 0.0))
    palette = _palette(len(classes))
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
        _legend_above(ax, handles)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_aspect("equal")
    where = "$x_{}(0)$" if lift is None else "input {}"
    ax.set(xlabel=where.format(1), ylabel=where.format(2))
    return ax


# ---------------------------------------------------------------------- what they have in common


def _axes(ax: Axes | None, size: tuple[float, float] = (6.4, 4.0)) -> Axes:
    """Return the axes to draw into: those given, or those of a new figure."""
    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    return checks.instance("ax", ax, Axes, "axes of matplotlib, such as plt.gca(), or leave it out")


def _sides(*points: np.ndarray) -> tuple[float, float]:
    """Return width and height of what points of a plane cover, leaving out what overflowed."""
    everything = np.concatenate([p.reshape(-1, 2) for p in points])
    everything = everything[np.isfinite(everything).all(axis=1)]
    width, height = np.ptp(everything, axis=0).tolist() if len(everything) else (0.0, 0.0)
    return width or height or 1.0, height or width or 1.0


def _size(width: float, height: float, beside: float = 0.0) -> tuple[float, float]:
    """Return the size of a figure whose axes have equal scales, in inches."""
    inch = min(5.0 / width, 4.2 / height)
    return max(inch * width, 2.5) + 0.9 + beside, max(inch * height, 1.5) + 1.0


def _solution(value: Any) -> Solution:
    return checks.instance(
        "solution", value, Solution, "what a method of pmpnet.solve returns, such as msa(problem)"
    )


def _named(solutions: Any) -> list[tuple[str, Solution]]:
    """Return solutions with a name each; those of one method are numbered."""
    if isinstance(solutions, Mapping):
        checks.some_solutions(solutions)
        return [(str(name), _solution(s)) for name, s in solutions.items()]
    if not isinstance(solutions, (list, tuple)):
        solutions = [solutions]
    checks.some_solutions(solutions)
    methods = [_solution(s).method for s in solutions]
    return [
        (m if methods.count(m) == 1 else f"{m}, run {methods[: i + 1].count(m)}", s)
        for i, (m, s) in enumerate(zip(methods, solutions, strict=True))
    ]


def _looks():
    """Yield colours and dashes of lines, without end: the dashes change after all the colours."""
    for dashes in cycle(DASHES):
        for colour in COLOURS:
            yield colour, dashes


def _palette(count: int) -> np.ndarray:
    """Return a colour per class, (count, 3)."""
    if count <= len(COLOURS):
        return np.array([to_rgb(c) for c in COLOURS[:count]])
    # darkened: its yellow is too pale for a line
    return 0.8 * plt.get_cmap("turbo")(np.linspace(0.02, 0.98, count))[:, :3]


def _legend_above(ax: Axes, handles: Sequence[Any]) -> None:
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


def _strip_below(ax: Axes) -> Axes:
    """Cut new axes from the lower part of axes, with the same horizontal axis."""
    figure, place = ax.figure, ax.get_subplotspec()
    if place is not None:
        parts = place.subgridspec(2, 1, height_ratios=(5, 2), hspace=0.06)
        ax.set_subplotspec(parts[0])
        return figure.add_subplot(parts[1], sharex=ax)
    left, bottom, width, height = ax.get_position(original=True).bounds
    ax.set_position((left, bottom + 0.34 * height, width, 0.66 * height))
    return figure.add_axes((left, bottom, width, 0.29 * height), sharex=ax)


def _steps(ax: Axes, times: np.ndarray, values: np.ndarray, colour: str) -> None:
    """Draw a value per interval; a dot where the interval starts, as long as dots stand apart."""
    mark = "o" if len(values) <= 60 else None
    (line,) = ax.step(times, np.append(values, values[-1]), where="post", color=colour, lw=1.2)
    line.set(marker=mark, markersize=3, markevery=slice(0, len(values)))


def _names(dynamics: Any) -> list[str] | None:
    """Return the names of a layer's weights, in the order of the control."""
    if not isinstance(dynamics, Layer):
        return None
    d = dynamics.dim
    comma = "," if d > 9 else ""
    names = [f"$W_{{{i}{comma}{j}}}$" for i in range(1, d + 1) for j in range(1, d + 1)]
    return names + [f"$b_{{{i}}}$" for i in range(1, d + 1)] * dynamics.bias


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
        palette = _palette(len(problem.classes))
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


def _around(points: np.ndarray, margin: float = 0.0) -> tuple[float, float, float, float]:
    """Return the box around points of the plane, never without area."""
    low, high = (np.asarray(e, np.float64) for e in (points.min(axis=0), points.max(axis=0)))
    wide = (high - low).max() or 1.0
    more = np.where(high - low > 1e-6 * wide, 0.0, 0.5 * wide) + margin * (high - low)
    (left, bottom), (right, top) = low - more, high + more
    return float(left), float(right), float(bottom), float(top)


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
