"""Continuation: from few layers to many, from a strong penalty to a weak one, in the horizon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .. import checks
from ..problem import Problem
from ..solution import Solution
from .checkpoint import Checkpoint
from .continuation import Level, follow
from .loop import METHODS

COUNTS = {"depth": 5, "penalty": 8, "horizon": 4}  # levels, where nothing is said of them
FEWEST = 4  # intervals of a level, where only their number is said
FACTOR = 2.0  # between the weights of a path


def refine(
    problem: Problem,
    start=None,
    max_iter: int = 500,
    tol: float = 1e-6,
    progress: bool = False,
    callback: Callable | None = None,
    seed: int = 0,
    *,
    along: str = "depth",
    levels: int | Sequence[float] | None = None,
    method: str | Callable = "accelerated",
    starts: int = 1,
    carry: bool = True,
    level_iter: int | None = None,
    level_tol: float | None = None,
    held_out: tuple | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: str | Path | None = None,
) -> Solution:
    """Solve by continuation: a chain of problems, each from the solution of the one before.

    Parameters
    ----------
    problem : Problem
    start : array-like (N, c), Solution or None
        Where to begin; None is zero controls.
    max_iter : int, default 500
        Most iterations of every level; 0 prices the start.
    tol : float, default 1e-6
        Bound on residual / max(1, residual of the start).
    progress : bool, default False
        Whether to show a progress bar (tqdm) of every level.
    callback : callable, optional
        Called with rows as those of the history; stops the solve by returning True. The costs of
        a level are those of its own problem.
    seed : int, default 0
        Of everything random.
    along : str, default "depth"
        - ``"depth"``: fewer intervals of the same horizon first. The optimal control converges as
          the grid is refined, and a sweep over a quarter of the layers costs a quarter.
        - ``"penalty"``: the control cost times a factor that falls to 1: a path of solutions from
          strong to weak, every one solved to ``tol``.
        - ``"horizon"``: shorter horizons first, in as many intervals; the control stays on what
          is added what it was at the end.
    levels : int or sequence of float, optional
        How many levels there are, each twice (depth, horizon) or half (penalty) the one before;
        or what they are: numbers of intervals, factors, horizons. The problem itself is the last.
        By default 5 in depth, none with fewer than 4 intervals; 8 for the penalty; 4 horizons.
    method : str or callable, default "accelerated"
        Any method of `pmpnet.solve`, or its name.
    starts : int, default 1
        How many starts to run on the first level, where they are cheap; the best is kept.
    carry : bool, default True
        In depth, whether the curvature that one level has found is prolonged to the next, where
        the method takes it as ``curvature=``; the default one does.
    level_iter, level_tol : int and float, optional
        What bounds the levels before the last: 60 and 1e-4; ``max_iter`` and ``tol`` for the
        penalty.
    held_out : (x, y), optional
        Points and targets on which every level is scored; see `Solution.score`.
    checkpoint : path or Checkpoint, optional
        A file in which the solve is written down every 30 seconds, and at its end.
    resume : path, optional
        A file that ``checkpoint`` wrote, in a solve with the same arguments: this one goes on from
        there, to the same bits.

    Returns
    -------
    Solution
        Of the problem itself. Sweeps are counted in its own: one over a quarter of the layers is
        a quarter. The history has the start and then the rows of the last level.
        ``annotations["path"]`` has for every level what it was ("intervals", "factor" or
        "horizon"), "cost", "residual", "zeros" (part of the controls), "success", "nit", "sweeps",
        "controls", and "score" of held-out points.

    Raises
    ------
    ValueError, TypeError
        For bad input, before any sweep.

    References
    ----------
    E. Haber, L. Ruthotto, E. Holtham, S.-H. Jun, Learning across scales: multiscale methods for
    convolution neural networks, AAAI 2018; J. Friedman, T. Hastie, R. Tibshirani, Regularization
    paths for generalized linear models via coordinate descent, Journal of Statistical Software,
    2010; E. Allgower, K. Georg, Numerical Continuation Methods, 1990.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L1(0.1))
    >>> path = pmpnet.solve.refine(problem, along="penalty", levels=[8, 7, 3]).annotations["path"]
    >>> [(level["factor"], level["zeros"]) for level in path]
    [(8.0, 1.0), (7.0, 0.5), (3.0, 0.0), (1.0, 0.0)]
    """
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    chain = ALONG[checks.choice("along", along, ALONG)](problem, levels)
    path = along == "penalty"
    level_iter = (max_iter if path else 60) if level_iter is None else level_iter
    level_tol = (tol if path else 1e-4) if level_tol is None else level_tol
    *before, last = chain
    return follow(
        before, last,
        checks.method("method", method, METHODS),
        start, max_iter, checks.real("tol", tol, least=0.0), progress, callback, seed,
        name=f'refine (along="{along}")',
        level_iter=checks.integer("level_iter", level_iter, 0),
        level_tol=checks.real("level_tol", level_tol, least=0.0),
        carry=checks.flag("carry", carry) and along == "depth",
        starts=checks.integer("starts", starts, 1),
        held_out=checks.held_out("held_out", held_out),
        told=dict(levels=[level.told for level in chain]),
        checkpoint=checkpoint,
        resume=resume,
    )  # fmt: skip


def _in_depth(problem: Problem, levels: int | Sequence[float] | None) -> list[Level]:
    """Return the problem on coarser and coarser grids, the coarsest first."""
    N = problem.intervals
    if _counted(levels):
        halved = [N >> i for i in range(_count("depth", levels))]
        numbers = [n for n in reversed(halved) if n >= FEWEST or n == N]
    else:
        numbers = checks.increasing("levels", levels, N, "number of intervals")
        numbers = checks.whole_numbers("levels", numbers)
    return [
        Level(_coarsened(problem, n) if n < N else problem, n / N, {"intervals": n})
        for n in numbers
    ]


def _coarsened(problem: Problem, n: int) -> Problem:
    """Return the problem on n intervals; weights that vary over time are those of the middle."""
    N = problem.intervals
    times = np.interp(np.linspace(0, N, n + 1), np.arange(N + 1), problem.times)
    middle = (2 * np.arange(n) + 1) * N // (2 * n)
    return problem.replace(times=times, control_cost=problem.control_cost.layer(middle))


def _in_penalty(problem: Problem, levels: int | Sequence[float] | None) -> list[Level]:
    """Return the problem with its control cost times factors, the largest first."""
    R = problem.control_cost
    checks.weighable(R.weighted)
    if _counted(levels):
        factors = FACTOR ** np.arange(_count("penalty", levels))[::-1]
        factors = factors.tolist()
    else:
        factors = checks.factors(levels)
    return [
        Level(problem.replace(control_cost=f * R) if f != 1 else problem, 1.0, {"factor": f})
        for f in factors
    ]


def _in_horizon(problem: Problem, levels: int | Sequence[float] | None) -> list[Level]:
    """Return the problem with shorter horizons, the shortest first."""
    checks.horizon_given(problem.free_horizon)
    T, t = problem.length, problem.times
    if _counted(levels):
        horizons = [T / 2.0**i for i in reversed(range(_count("horizon", levels)))]
    else:
        horizons = checks.increasing("levels", levels, T, "horizon")
    return [
        Level(
            problem.replace(times=t[0] + (t - t[0]) * (h / T)) if h < T else problem,
            1.0,
            {"horizon": h},
        )
        for h in horizons
    ]


def _counted(levels: int | Sequence[float] | None) -> bool:
    return levels is None or np.ndim(levels) == 0


def _count(along: str, levels: int | None) -> int:
    return COUNTS[along] if levels is None else checks.integer("levels", levels, 1)


ALONG = {"depth": _in_depth, "penalty": _in_penalty, "horizon": _in_horizon}
