"""The Hamiltonian of a decision, layer by layer, as a function of the control.

H(t, x, p, v) = sum_m [<p_m, f(t, x_m, v)> - alpha w_m l(t, x_m, v)] - R(v), with the states and
costates that the decision led to. With Euler's scheme the principle holds exactly for
H_k(v) = H(t_k, x_k, p_{k+1}, v).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from . import checks
from .distributed import Partitions
from .problem import Problem
from .reduced import Reduced

PIECE = 1 << 22  # numbers that the states of a piece of a partition may be
SPREAD = 2.0  # candidates for an unbounded entry: up to so many times the largest one there is


class Hamiltonian:
    """The Hamiltonian along the states and costates of a decision.

    Parameters
    ----------
    reduced : Reduced
    v : ndarray, shape (n,)
    """

    def __init__(self, reduced: Reduced, v: np.ndarray) -> None:
        problem = reduced.problem
        self.reduced, self.v = reduced, v
        self.problem, self.controls = problem, reduced.control(v)
        self.readouts = reduced.readouts(v)
        start = problem.times[0]
        self.times = start + reduced.stretch(v) * (problem.times - start)

    @cached_property
    def trajectories(self) -> tuple[np.ndarray, np.ndarray]:
        """States and costates of all samples, (N+1, M, d) each."""
        done = self.reduced.sweep(self.v, states=True, costates=True)
        own = self.problem.own
        return np.asarray(own(done.states), np.float64), np.asarray(own(done.costates), np.float64)

    @cached_property
    def theta(self) -> np.ndarray:
        """The samples' parameters, (M, p)."""
        return np.asarray(self.problem.parameters, np.float64)

    def along(self) -> np.ndarray:
        """Return H_k(u_k) of every layer, (N,)."""
        share, samples = self.problem.dynamics.share, self.reduced.samples
        far = isinstance(samples, Partitions)
        gains = samples.sum(_gains, self.v) if far else self.gains()
        return gains - share * self.problem.control_values(self.controls)

    def gains(self) -> np.ndarray:
        """Return H_k(u_k) + R(u_k) of every layer, (N,): a sum over the samples."""
        u = self.controls
        return np.array([self._without_cost(k, k + 1, u[k : k + 1])[0] for k in range(len(u))])

    def at(self, k: int, controls: np.ndarray) -> np.ndarray:
        """Return the Hamiltonian of layer k for many controls (K, c), as (K,).

        A scheme with several stages sees the whole interval: it is the mean of both ends'.
        """
        cost = self.problem.dynamics.share * self.problem.control_values(controls, layer=k)
        if self.problem.scheme.stages == 1:
            return self._without_cost(k, k + 1, controls) - cost
        ends = self._without_cost(k, k, controls) + self._without_cost(k + 1, k + 1, controls)
        return 0.5 * ends - cost

    def _without_cost(self, i: int, j: int, controls: np.ndarray) -> np.ndarray:
        """Return H(t_i, x_i, p_j, v) + R(v) for many controls v."""
        (states, costates), problem = self.trajectories, self.problem
        t, x, p = self.times[i], states[i], costates[j]
        H = np.empty(len(controls))
        for n, u in enumerate(controls):
            rate = problem.dynamics.f(t, x, u, self.theta)
            H[n] = np.add.reduce((p * rate).ravel()) - problem.kinetic_energy(rate)
            H[n] -= problem.running_weight * problem.mean_loss(1, t, x, u, self.readouts)
        return H

    def maximisers(self, candidates: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Search every layer for its global maximiser, without a proof that it is.

        Candidates are spread over the bounds of the control, or where there are none over
        several times what the decision uses; the best are polished.

        Returns
        -------
        controls : ndarray, shape (N, c)
            The best found; the decision's own where nothing better was.
        gaps : ndarray, shape (N,)
            How much the Hamiltonian gains, at least 0.
        """
        from scipy.optimize import minimize
        from scipy.stats import qmc

        problem, u = self.problem, self.controls
        low, high = self._region()
        checks.few_controls(u.shape[1], qmc.Sobol.MAXDIM)
        # Sobol's points come by powers of two
        points = qmc.Sobol(u.shape[1], rng=np.random.default_rng(seed))
        cube = points.random_base2(max(candidates - 1, 0).bit_length())[:candidates]
        spread = low + cube * (high - low)
        best, gaps = u.copy(), np.zeros(len(u))
        for k in range(len(u)):

            def loss(v: np.ndarray, k: int = k) -> float:
                return -float(self.at(k, problem.penalty.layer(k).project(v[None]))[0])

            trial = problem.penalty.layer(k).project(np.concatenate([u, spread]))
            values = self.at(k, trial)
            here = values[k]
            first = trial[values.argmax()]
            if values.max() > here:
                found = minimize(loss, first, method="BFGS", options={"gtol": 1e-8})
                polished = problem.penalty.layer(k).project(found.x[None])[0]
                gain = -loss(polished) - here
                if gain > gaps[k]:
                    best[k], gaps[k] = polished, gain
        return best, gaps

    def _region(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the box that candidates are spread over."""
        reach = SPREAD * np.abs(self.controls).max(initial=0.5)
        penalty = self.problem.penalty
        shape = self.controls.shape
        low = np.broadcast_to(penalty.lower, shape).max(axis=0)
        high = np.broadcast_to(penalty.upper, shape).min(axis=0)
        return np.where(np.isfinite(low), low, -reach), np.where(np.isfinite(high), high, reach)


def _gains(problem: Problem, v: np.ndarray) -> np.ndarray:
    """Return `Hamiltonian.gains` of a partition, whose trajectories need not fit into memory."""
    numbers = (problem.intervals + 1) * problem.samples.x.shape[1]
    pieces = problem.pieces(max(1, PIECE // numbers))
    return sum(Hamiltonian(Reduced(piece), v).gains() for piece in pieces)
