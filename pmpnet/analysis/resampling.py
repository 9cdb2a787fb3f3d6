"""More and more samples: how fast the optimal cost of a sample comes to that of the measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import checks
from ..problem import Problem
from ..solution import Solution
from .rates import rate


@dataclass(frozen=True, eq=False)
class SampleConvergence:
    """Optimal costs of random subsamples.

    Attributes
    ----------
    sizes : ndarray of int, shape (S,)
        How many samples.
    costs : ndarray, shape (S, R)
        J of the solutions of R subsamples of each size, on their own samples.
    held_out : ndarray, shape (S, R)
        What their controls cost on all samples.
    rate : float
        Slope of the logarithm of the costs' spread over resamples against log(size): near -1/2.
    """

    sizes: np.ndarray
    costs: np.ndarray
    held_out: np.ndarray
    rate: float

    def __repr__(self) -> str:
        rows = [
            f"  {n:6d} samples  {own.mean():.6g} +- {own.std():.2g}, on all samples {all_.mean():.6g}"
            for n, own, all_ in zip(self.sizes, self.costs, self.held_out, strict=True)
        ]
        return "\n".join([f"SampleConvergence: spread of the order M^{self.rate:.3f}", *rows])


def sample_convergence(
    problem: Problem,
    solve: Callable[[Problem], Solution],
    sizes: Sequence[int],
    resamples: int = 10,
    seed: int = 0,
) -> SampleConvergence:
    """Solve a problem on random subsamples of several sizes.

    Parameters
    ----------
    problem : Problem
        All its samples stand for the measure.
    solve : callable
        A method of `pmpnet.solve`, or a function of a problem that returns a solution.
    sizes : sequence of int
        How many samples, at most as many as there are.
    resamples : int, default 10
        Subsamples of each size, drawn without replacement.
    seed : int, default 0
        Of the draws.

    Returns
    -------
    SampleConvergence

    Raises
    ------
    ValueError, TypeError
        For bad input.

    References
    ----------
    W. E, J. Han, Q. Li, A mean-field optimal control formulation of deep learning, Research in the
    Mathematical Sciences, 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, np.zeros((2000, 2)), steps=2,
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> found = sample_convergence(problem, pmpnet.solve.msa, [10, 100], resamples=20)
    >>> -0.7 < found.rate < -0.3
    True
    """
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    checks.solver(solve)
    M = problem.samples.count
    sizes = checks.sample_sizes(sizes, M)
    resamples = checks.integer("resamples", resamples, 2)
    rng = np.random.default_rng(checks.integer("seed", seed, 0))
    costs, held_out = np.zeros((2, len(sizes), resamples))
    for i, size in enumerate(sizes):
        for j in range(resamples):
            found = solve(problem.on(np.sort(rng.choice(M, size, replace=False))))
            costs[i, j] = found.cost
            held_out[i, j] = problem.cost_of(found.controls, found.readouts, found.stretch)
    return SampleConvergence(np.array(sizes), costs, held_out, rate(sizes, costs.std(axis=1)))
