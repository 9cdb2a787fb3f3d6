"""How solves went: convergence, and methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .. import checks
from ..solution import Solution
from .common import as_named, axes_of, line_looks

QUANTITIES = {
    "cost": "$J - J^*$",
    "gap": r"Hamiltonian gap, $\Sigma_k\, h_k D_k$",
    "residual": r"fixed-point residual, $\|u - \mathrm{prox}_R(u + g)\|$",
}
FLOOR = 1e-14  # of what a comparison shows, relative to its largest value
CLOCKS = {
    "sweeps": "sweeps (1 = one pass over all samples)",
    "seconds": "seconds (without compilation)",
    "iterations": "iterations",
}


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
    named = as_named(solutions)
    values = [s.history[quantity] for _, s in named]
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    checks.drawable(quantity, len(finite) > 0)
    label = QUANTITIES[quantity]
    if quantity == "cost":
        lowest = min(finite.min(), *(s.cost for _, s in named if np.isfinite(s.cost)))
        best = checks.best_cost(best, float(lowest))
        values = [v - best for v in values]
        label += f"   (best cost $J^*$ = {best:.6g})"
    ax = axes_of(ax)
    checks.same_scale(ax.get_ylabel(), label, tuple(QUANTITIES.values()))
    looks = islice(line_looks(), len(ax.lines), None)
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


def compare(
    solutions: Solution | Sequence[Solution] | Mapping[str, Solution],
    *,
    best: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw methods beside each other: cost above the best, against sweeps and against seconds.

    Parameters
    ----------
    solutions : Comparison, Solution, list of them, or dict of them
        Of one problem. A line is labelled by the key of the dict, or by the name of the method.
    best : float, optional
        J*, where a better one is known than the lowest cost of these solutions.
    ax : Axes, optional
        Its place is shared by both panels.

    Returns
    -------
    Axes
        That of the sweeps.

    Raises
    ------
    ValueError, TypeError
        As `convergence`.

    Notes
    -----
    All axes are logarithmic: the first sweeps of fast methods and the last ones of slow methods are
    both seen. Methods that meet give lines that end where the cost reaches J*; what is smaller
    than the largest difference by 1e14 is rounding, and cut off. The chains of `solve.refine` and
    `solve.stochastic` have no rows between their start and their last level.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties, plot
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> ax = plot.compare([pmpnet.solve.msa(problem), pmpnet.solve.lbfgs(problem)])
    >>> [panel.get_xlabel() for panel in ax.figure.axes]
    ['sweeps', 'seconds']
    """
    names = [name for name, _ in as_named(solutions)]
    left = axes_of(ax, (9.6, 4.0))
    right = _beside(left, 0.6 + 0.085 * max(map(len, names)) if len(names) > 1 else 0.0)
    for panel, clock in ((left, "sweeps"), (right, "seconds")):
        convergence(solutions, against=clock, best=best, ax=panel)
        panel.set_xscale("log", nonpositive="mask")  # a row before any sweep has no place
        panel.autoscale(axis="x")
        panel.set_xlabel(clock)  # the panels are narrow
        if panel.get_legend() is not None:
            panel.get_legend().remove()
    right.set_ylabel("")
    right.tick_params(labelleft=False)
    low, high = left.get_ylim()
    left.set_ylim(bottom=max(low, FLOOR * high))
    if len(names) > 1:
        right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    return left


def _beside(ax: Axes, legend: float) -> Axes:
    """Cut new axes from the right half of axes, with the same vertical axis.

    Where no layout engine makes room for a legend to the right, so many inches are left for it.
    """
    figure, place = ax.figure, ax.get_subplotspec()
    arranged = figure.get_layout_engine() is not None
    room = 0.0 if arranged else min(legend * figure.dpi / ax.bbox.width, 0.5)
    if place is not None:
        parts = place.subgridspec(1, 3, width_ratios=(1 - room, 1 - room, 2 * room), wspace=0.06)
        parts = place.subgridspec(1, 2, wspace=0.06) if arranged else parts
        ax.set_subplotspec(parts[0])
        return figure.add_subplot(parts[1], sharey=ax)
    left, bottom, width, height = ax.get_position(original=True).bounds
    width *= 1 - room
    ax.set_position((left, bottom, 0.47 * width, height))
    return figure.add_axes((left + 0.53 * width, bottom, 0.47 * width, height), sharey=ax)
