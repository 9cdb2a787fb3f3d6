"""Zeros in time: when a control stops, where it is exactly zero and where it is saturated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import checks
from ..solution import Solution
from .again import moved, priced_again

TOUCHES = 1e-9  # a bound counts as reached within this part of itself


@dataclass(frozen=True, eq=False)
class Sparsity:
    """Which layers are zero, saturated, or neither.

    Attributes
    ----------
    zero : ndarray of bool, shape (N,)
        Layers that are exactly zero.
    saturated : ndarray of bool, shape (N,)
        Layers that are not zero and at the bound of U: on the sphere of a ball, or with every
        entry that is not zero at a bound of a box.
    stopping_time : float
        From here on the control is exactly zero.
    l1_norm : float
        int |u(t)|_1 dt.
    """

    zero: np.ndarray
    saturated: np.ndarray
    stopping_time: float
    l1_norm: float

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many layers are saturated, fractional and exactly zero."""
        saturated, zero = int(self.saturated.sum()), int(self.zero.sum())
        return saturated, len(self.zero) - saturated - zero, zero

    @property
    def ordered(self) -> bool:
        """Whether all zero layers come behind all others."""
        return not np.any(self.zero[:-1] & ~self.zero[1:])

    def __repr__(self) -> str:
        saturated, fractional, zero = self.counts
        return (
            f"Sparsity: {saturated} saturated, {fractional} fractional and {zero} zero layers; "
            f"stops at {self.stopping_time:g}, L1 norm {self.l1_norm:.6g}"
        )


def stopping_time(solution: Solution, tol: float = 0.0) -> float:
    """Return the time from which on the control vanishes.

    Parameters
    ----------
    solution : Solution
    tol : float, default 0.0
        Entries up to this size count as zero; with 0 only exact zeros do.

    Returns
    -------
    float
        A point of the grid; its end if the last layer is not zero, its start if all are.

    Raises
    ------
    TypeError, ValueError
        For what is not a solution, or a negative tolerance.

    References
    ----------
    C. Esteve-Yague, B. Geshkovski, Sparsity in long-time control of neural ODEs, Systems and
    Control Letters, 2023.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((1, 2)), steps=4,
    ...                          terminal_cost=losses.Squared())
    >>> u = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    >>> stopping_time(pmpnet.solve.msa(problem, u, max_iter=0))
    0.5
    """
    layers = _kept(solution, tol)
    return float(solution.times[layers])


def _kept(solution: Solution, tol: float = 0.0) -> int:
    """Return how many layers there are up to the last one that is not zero."""
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    tol = checks.real("tol", tol, least=0.0)
    used = np.flatnonzero((np.abs(solution.controls) > tol).any(axis=1))
    return int(used[-1]) + 1 if used.size else 0


def sparsity(solution: Solution) -> Sparsity:
    """Return which layers are exactly zero, which are saturated, and when the control stops.

    Parameters
    ----------
    solution : Solution

    Returns
    -------
    Sparsity

    Raises
    ------
    TypeError
        For what is not a solution.

    References
    ----------
    C. Esteve-Yague, B. Geshkovski, Sparsity in long-time control of neural ODEs, Systems and
    Control Letters, 2023.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((1, 2)), steps=4,
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L1Ball(2.0))
    >>> u = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    >>> sparsity(pmpnet.solve.msa(problem, u, max_iter=0))
    Sparsity: 1 saturated, 1 fractional and 2 zero layers; stops at 0.5, L1 norm 0.75
    """
    stop = stopping_time(solution)
    u, penalty = solution.controls, solution.problem.penalty
    sizes = np.abs(u).sum(axis=1)
    zero, saturated = sizes == 0, np.zeros(len(u), bool)
    if penalty.ball is not None:
        saturated |= np.linalg.norm(u, axis=1) >= (1 - TOUCHES) * penalty.ball
    if penalty.l1_ball is not None:
        saturated |= sizes >= (1 - TOUCHES) * penalty.l1_ball
    if penalty.boxed:
        at_bound = np.isclose(u, penalty.lower, TOUCHES, 0) | np.isclose(
            u, penalty.upper, TOUCHES, 0
        )
        saturated |= (at_bound | (u == 0)).all(axis=1)
    steps = np.diff(solution.times) * solution.problem.dynamics.share
    return Sparsity(zero, saturated & ~zero, stop, float(steps @ sizes))


def prune(solution: Solution) -> Solution:
    """Return the solution without the layers behind the last one that is not zero.

    The flow is the same map. The horizon ends at the stopping time, and with it a running cost;
    where all layers are zero, one is kept.

    Parameters
    ----------
    solution : Solution

    Returns
    -------
    Solution
        Of a problem with a shorter horizon; the history is that of the longer one.

    Raises
    ------
    ValueError
        If the samples move under zero controls.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((1, 2)), steps=4,
    ...                          terminal_cost=losses.Squared())
    >>> u = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    >>> pruned = prune(pmpnet.solve.msa(problem, u, max_iter=0))
    >>> pruned.horizon, pruned.flow([[0.0, 0.0]]).tolist()
    (0.5, [[0.25, 0.5]])
    """
    n, N = max(_kept(solution), 1), len(solution.controls)
    if n == N:
        return solution
    states = solution.states()[n:]
    checks.stands_still(not moved(states[:1], states))
    lagrangian = solution.lagrangian
    if lagrangian is not None:
        lagrangian = replace(lagrangian, path=lagrangian.path[:n])
    return priced_again(
        solution,
        solution.problem.replace(
            times=solution.times[: n + 1],
            control_cost=solution.problem.control_cost.layer(np.arange(n)),
            free_horizon=None,
        ),
        solution.controls[:n].copy(),
        stretch=1.0,
        lagrangian=lagrangian,
        message=f"{solution.message} Pruned: the last {N - n} of {N} layers were zero.",
    )
