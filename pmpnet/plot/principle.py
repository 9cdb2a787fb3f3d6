"""What Pontryagin's principle says: the Hamiltonian along time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from .. import checks
from ..certificate import Certificate, verify
from ..solution import Solution
from .common import BLUE, GREY, ORANGE, axes_of


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
    ax = axes_of(ax)
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
