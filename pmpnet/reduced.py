"""The reduced problem: states eliminated by a sweep, everything decided in one vector.

A method sees a vector v (the control, and trained readouts behind it), an inner product, a round
and a closed-form maximiser. It never asks what is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problem import Problem, Readouts, matrix
from .sweeps import Readout, Samples


@dataclass(frozen=True)
class Point:
    """A decision with its price and its direction of ascent.

    Attributes
    ----------
    v : ndarray, shape (n,)
        The decision vector.
    terms : dict
        The cost's parts.
    cost : float
        J(v), their sum.
    g : ndarray, shape (n,)
        Minus the gradient of the sampled costs, in the inner product of `Reduced`: for the
        control, the g_k of the Hamiltonian <g_k, u>.
    """

    v: np.ndarray
    terms: dict[str, float]
    cost: float
    g: np.ndarray

    @property
    def finite(self) -> bool:
        """Whether cost and direction are finite numbers."""
        return bool(np.isfinite(self.cost) and np.isfinite(self.g).all())


class Reduced:
    """Minimise J over one vector; forward and backward sweeps are counted.

    Attributes
    ----------
    metric : ndarray, shape (n,)
        Weights of the inner product: h_k for the control (that of L2(0, T)), 1 for readouts.
    nfev, njev : float
        Forward and backward sweeps so far; one over all samples counts 1.
    """

    def __init__(self, problem: Problem, samples: Samples | None = None) -> None:
        self.problem = problem
        self.samples = problem.samples if samples is None else samples
        N, c = problem.control_shape
        self.controls = N * c
        h = np.repeat(problem.steps, c)
        # parts beside the control: (slice of v, shape of [P c], penalty, roles)
        self.parts = []
        end = self.controls
        for roles in problem.trained_readouts:
            shape = problem.outputs[roles[0]], problem.dynamics.dim + 1
            size = shape[0] * shape[1]
            self.parts.append(
                (slice(end, end + size), shape, problem.readout_penalty(roles), roles)
            )
            end += size
        self.size = end
        self.metric = np.concatenate([h, np.ones(end - self.controls)])
        self.nfev = self.njev = 0.0

    # ----------------------------------------------------------------------- the vector

    def control(self, v: np.ndarray) -> np.ndarray:
        """Return the control part as (N, c)."""
        return v[: self.controls].reshape(self.problem.control_shape)

    def readouts(self, v: np.ndarray) -> Readouts:
        """Return the trained readouts by role."""
        found: list[Readout | None] = [None, None]
        for where, shape, _, roles in self.parts:
            P = v[where].reshape(shape)
            for i in roles:
                found[i] = Readout(P[:, :-1], P[:, -1])
        return found[0], found[1]

    def join(self, u: np.ndarray, readouts: Readouts) -> np.ndarray:
        """Return the vector of a control and readouts."""
        rest = [matrix(readouts[roles[0]]).ravel() for *_, roles in self.parts]
        return np.concatenate([np.asarray(u, np.float64).ravel(), *rest])

    def inner(self, a: np.ndarray, b: np.ndarray) -> float:
        """Inner product; NumPy's pairwise sum has one order, whatever the threads."""
        return float(np.add.reduce(self.metric * a * b))

    def norm(self, a: np.ndarray) -> float:
        """Norm of the inner product."""
        return float(np.sqrt(self.inner(a, a)))

    # ----------------------------------------------------------------------- the sweeps

    def cost(self, v: np.ndarray) -> float:
        """Return J(v), by a forward sweep."""
        u, readouts = self.control(v), self.readouts(v)
        done = self.problem.sweeper.run(self.samples, u, readouts, backward=False)
        self.nfev += self._share
        return float(sum(self.problem.terms_of(done, u, readouts).values()))

    def evaluate(self, v: np.ndarray) -> Point:
        """Return J(v) and g(v), by a fused round: one forward and one backward sweep."""
        u, readouts = self.control(v), self.readouts(v)
        done = self.problem.sweeper.run(self.samples, u, readouts)
        self.nfev += self._share
        self.njev += self._share
        terms = self.problem.terms_of(done, u, readouts)
        g = np.empty(self.size)
        g[: self.controls] = done.g.ravel()
        for where, _, _, roles in self.parts:
            g[where] = -sum(matrix(done.readouts[i]) for i in roles).ravel()
        return Point(v, terms, float(sum(terms.values())), g)

    def on(self, index: np.ndarray) -> Reduced:
        """Return the reduced problem on some of the samples; its sweeps are counted here."""
        return _Batch(self, index)

    @property
    def sweeps(self) -> float:
        """Forward and backward sweeps together."""
        return self.nfev + self.njev

    @property
    def _share(self) -> float:
        return self.samples.count / self.problem.samples.count

    # ------------------------------------------------------------- penalties and certificates

    def _each(self, function, *vectors: np.ndarray) -> np.ndarray:
        out = np.empty(self.size)
        heads = [self.control(v) for v in vectors]
        out[: self.controls] = function(self.problem.penalty, *heads).ravel()
        for where, shape, penalty, _ in self.parts:
            out[where] = function(penalty, *(v[where].reshape(shape) for v in vectors)).ravel()
        return out

    def argmax(self, z: np.ndarray, rho: float) -> np.ndarray:
        """Return argmax_v <z, v> - R(v) - rho/2 |v|^2 over U, pointwise and exact."""
        return self._each(lambda penalty, part: penalty.argmax(part, rho), z)

    def prox(self, y: np.ndarray, gamma: float) -> np.ndarray:
        """Return argmin_v R(v) + |v - y|^2 / (2 gamma) over U."""
        return self.argmax(y / gamma, 1.0 / gamma)

    def prox_rest(self, y: np.ndarray, gamma: float) -> np.ndarray:
        """Return the proximal map of what is not differentiable in R: l1, groups and U."""
        return self._each(lambda penalty, part: penalty.rest.prox(part, gamma), y)

    def penalty_gradient(self, v: np.ndarray) -> np.ndarray:
        """Gradient of the differentiable part of R."""
        return self._each(lambda penalty, part: penalty.gradient(part), v)

    def penalty_subgradient(self, v: np.ndarray) -> np.ndarray:
        """Gradient of R, with the usual subgradient where it has none."""
        return self._each(lambda penalty, part: penalty.subgradient(part), v)

    def project(self, v: np.ndarray) -> np.ndarray:
        """Return the nearest point of U."""
        return self._each(lambda penalty, part: penalty.project(part), v)

    def violation(self, v: np.ndarray) -> float:
        """Largest amount by which a bound is passed."""
        parts = [
            penalty.violation(v[where].reshape(shape)) for where, shape, penalty, _ in self.parts
        ]
        return max([self.problem.penalty.violation(self.control(v)), *parts])

    @property
    def coercive(self) -> bool:
        """Whether the Hamiltonian has a maximum without a proximal term."""
        return self.problem.penalty.coercive and all(p.coercive for _, _, p, _ in self.parts)

    def residual(self, v: np.ndarray, g: np.ndarray) -> float:
        """Fixed-point residual |v - prox_R(v + g)|, with proximal weight 1."""
        return self.norm(v - self.argmax(v + g, 1.0))

    def layer_gaps(self, v: np.ndarray, g: np.ndarray) -> np.ndarray:
        """D_k = max_v [<g_k, v> - R(v)] - [<g_k, u_k> - R(u_k)] of every layer, shape (N,)."""
        penalty = self.problem.penalty
        u, slope = self.control(v), self.control(g)
        if not penalty.coercive:
            return np.full(len(u), np.nan)
        best = penalty.argmax(slope, 0.0)
        here = (slope * u).sum(axis=1) - penalty.layer_values(u)
        return (slope * best).sum(axis=1) - penalty.layer_values(best) - here

    def gap(self, v: np.ndarray, g: np.ndarray) -> float:
        """Hamiltonian gap sum_k h_k D_k of the control; NaN where the maximum is infinite."""
        return float((self.problem.steps * self.layer_gaps(v, g)).sum())


class _Batch(Reduced):
    """A reduced problem on some samples of another one."""

    def __init__(self, whole: Reduced, index: np.ndarray) -> None:
        self.__dict__.update(whole.__dict__)
        self.whole, self.samples = whole, whole.samples.take(index)

    def cost(self, v: np.ndarray) -> float:
        cost = super().cost(v)
        self.whole.nfev += self._share
        return cost

    def evaluate(self, v: np.ndarray) -> Point:
        point = super().evaluate(v)
        self.whole.nfev += self._share
        self.whole.njev += self._share
        return point
