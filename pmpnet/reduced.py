"""The reduced problem: states eliminated by a sweep, everything decided in one vector.

A method sees a vector v (the control, and trained readouts behind it), an inner product, a round
and a closed-form maximiser. It never asks what is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np

from .penalties import Box
from .problem import Problem, Readouts, matrix
from .sweeps import Multipliers, Readout, Round, Samples

SMALLEST_CURVATURE = 1e-6  # of a known curvature, relative to its mean: below it others count


@dataclass(frozen=True)
class Point:
    """A decision with its price and its direction of ascent.

    Attributes
    ----------
    v : ndarray, shape (n,)
        The decision vector.
    terms : dict
        The cost's parts, whose sum is J.
    cost : float
        What a method lowers: J(v), and the terms of the augmented Lagrangian where there are
        constraints.
    g : ndarray, shape (n,)
        Minus the gradient of the sampled costs, in the inner product of `Reduced`: for the
        control, the g_k of the Hamiltonian <g_k, u>.
    sums : ndarray, shape (N, q), or None
        What the Gram matrices of the fields are made of, where the kinetic energy is priced.
    """

    v: np.ndarray
    terms: dict[str, float]
    cost: float
    g: np.ndarray
    sums: np.ndarray | None = None

    @property
    def price(self) -> float:
        """J(v)."""
        return float(sum(self.terms.values()))

    @cached_property
    def finite(self) -> bool:
        """Whether cost and direction are finite numbers."""
        known = isfinite(self.cost) and np.logical_and.reduce(np.isfinite(self.g))
        return bool(known and (self.sums is None or np.isfinite(self.sums).all()))


class Reduced:
    """Minimise J over one vector; forward and backward sweeps are counted.

    Attributes
    ----------
    metric : ndarray, shape (n,)
        Weights of the inner product: h_k for the control (that of L2(0, T)), 1 for readouts, T
        for the stretch of a free horizon.
    nfev, njev : float
        Forward and backward sweeps so far; one over all samples counts 1.
    multipliers : Multipliers or None
        Of the augmented Lagrangian, where the problem has constraints.
    """

    def __init__(
        self,
        problem: Problem,
        samples: Samples | None = None,
        multipliers: Multipliers | None = None,
    ) -> None:
        self.problem, self.multipliers = problem, multipliers
        self.samples = problem.samples if samples is None else samples
        self.shape = N, c = problem.control_shape
        self.controls = N * c
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
        weights = [np.repeat(problem.metric, c), np.ones(end - self.controls)]
        self.range = None
        if problem.free_horizon is not None:
            self.range = Box(*(bound / problem.length for bound in problem.free_horizon))
            weights.append(np.full(1, problem.length))
        self.metric = np.concatenate(weights)
        self.size = len(self.metric)
        self.nfev = self.njev = 0.0
        self.compiling = 0.0  # seconds a method took to compile more than the round

    # ----------------------------------------------------------------------- the vector

    def control(self, v: np.ndarray) -> np.ndarray:
        """Return the control part as (N, c)."""
        return v[: self.controls].reshape(self.shape)

    def readouts(self, v: np.ndarray) -> Readouts:
        """Return the trained readouts by role."""
        found: list[Readout | None] = [None, None]
        for where, shape, _, roles in self.parts:
            P = v[where].reshape(shape)
            for i in roles:
                found[i] = Readout(P[:, :-1], P[:, -1])
        return found[0], found[1]

    def stretch(self, v: np.ndarray) -> float:
        """Return the stretch of the horizon; 1 where it is fixed."""
        return 1.0 if self.range is None else float(v[-1])

    def join(self, u: np.ndarray, readouts: Readouts, stretch: float = 1.0) -> np.ndarray:
        """Return the vector of a control, readouts and the stretch of a free horizon."""
        rest = [matrix(readouts[roles[0]]).ravel() for *_, roles in self.parts]
        if self.range is not None:
            rest.append(np.full(1, stretch))
        return np.concatenate([np.asarray(u, np.float64).ravel(), *rest])

    def inner(self, a: np.ndarray, b: np.ndarray) -> float:
        """Inner product; NumPy's pairwise sum has one order, whatever the threads."""
        return float(np.add.reduce(self.metric * a * b))

    def norm(self, a: np.ndarray) -> float:
        """Norm of the inner product."""
        return float(np.sqrt(self.inner(a, a)))

    # ----------------------------------------------------------------------- the sweeps

    def sweep(self, v: np.ndarray, **wanted: bool) -> Round:
        """Run one round at v; see `pmpnet.sweeps.Sweeper.run`. The caller counts it."""
        return self.problem.sweep(
            self.control(v), self.readouts(v), self.stretch(v), self.samples,
            multipliers=self.multipliers, **wanted,
        )  # fmt: skip

    def terms(self, v: np.ndarray, done: Round) -> dict[str, float]:
        """Return the parts of J, given a round at v."""
        return self.problem.terms_of(done, self.control(v), self.readouts(v), self.stretch(v))

    def cost(self, v: np.ndarray) -> float:
        """Return what `Point.cost` is, by a forward sweep."""
        done = self.sweep(v, backward=False)
        self.nfev += self._share
        return float(sum(self.terms(v, done).values())) + done.constraints

    def evaluate(self, v: np.ndarray) -> Point:
        """Return cost and g at v, by a fused round: one forward and one backward sweep."""
        return self._point(v, self._round(v))

    def trajectories(self, v: np.ndarray) -> tuple[Point, np.ndarray, np.ndarray]:
        """Return what `evaluate` does, and states and costates (N+1, M, d), by one round."""
        done = self._round(v, states=True, costates=True)
        return self._point(v, done), done.states, done.costates

    def _round(self, v: np.ndarray, **wanted: bool) -> Round:
        share = self._share
        self.nfev += share
        self.njev += share
        sums = self.problem.model.gram is not None
        return self.sweep(v, initial=self.range is not None, sums=sums, **wanted)

    def _point(self, v: np.ndarray, done: Round) -> Point:
        terms = self.terms(v, done)
        g = np.empty(self.size)
        np.divide(done.g.ravel(), self.problem.dynamics.share, out=g[: self.controls])
        for where, _, _, roles in self.parts:
            g[where] = -sum(matrix(done.readouts[i]) for i in roles).ravel()
        if self.range is not None:
            slope = float(np.add.reduce(done.initial[:, -1], dtype=np.float64))
            g[-1] = (slope - self._control_cost(v)) / self.metric[-1]
        cost = float(sum(terms.values())) + done.constraints
        return Point(v, terms, cost, g, done.sums)

    def sampled(self, v: np.ndarray, at: np.ndarray) -> float:
        """Return the part of the cost at v whose gradient is -g, R being that of the point at."""
        done = self.sweep(v, backward=False)
        terms = self.problem.terms_of(done, self.control(at), self.readouts(at), 0.0)
        # of the control cost there is left what the samples have part in: the kinetic energy
        sampled = terms["terminal"] + terms["running"] + terms["control"] + done.constraints
        return sampled + self.stretch(v) * self._control_cost(at) * (self.range is not None)

    def _control_cost(self, v: np.ndarray) -> float:
        problem = self.problem
        with np.errstate(over="ignore", invalid="ignore"):
            return problem.integral(problem.penalty, self.control(v))

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

    def _each(self, function, *vectors: np.ndarray, stretch: float = 1.0) -> np.ndarray:
        """Apply function(penalty, its weight, parts of the vectors) to each part of the vector."""
        whole, _ = self.problem.flat_penalties
        if whole is not None:
            return function(whole, 1.0, *vectors).copy()  # never the vector that was given
        out = np.empty(self.size)
        heads = [self.control(v) for v in vectors]
        out[: self.controls] = function(self.problem.penalty, stretch, *heads).ravel()
        for where, shape, penalty, _ in self.parts:
            out[where] = function(penalty, 1.0, *(v[where].reshape(shape) for v in vectors)).ravel()
        if self.range is not None:
            out[-1] = function(self.range, 1.0, *(v[None, -1:] for v in vectors)).item()
        return out

    def argmax(self, z: np.ndarray, rho: float) -> np.ndarray:
        """Return argmax_v <z, v> - R(v) - rho/2 |v|^2 over U, pointwise and exact.

        Where the horizon is free, R counts as often as the new horizon says.
        """
        whole, _ = self.problem.flat_penalties
        if whole is not None:
            return whole.argmax(z, rho)
        stretch = 1.0
        if self.range is not None:
            stretch = self.range.argmax(z[None, -1:], rho).item()
        return self._each(
            lambda penalty, c, part: penalty.argmax(part / c, rho / c), z, stretch=stretch
        )

    def maximise(self, point: Point, gamma: float = np.inf) -> np.ndarray:
        """Return argmax_v <g, v> - R(v) - |v - u|^2 / (2 gamma) over U, at a point u.

        Without ``gamma`` that is the maximiser of the Hamiltonian. The kinetic energy, whose slope
        is in g already, counts by its curvature kappa (v - u)' G (v - u) / 2; see
        `pmpnet.penalties.Kinetic`.
        """
        if np.isinf(gamma):
            best = self.argmax(point.g, 0.0)
        else:
            best = self.prox(point.v + gamma * point.g, gamma)
        if self.problem.model.gram is not None:
            step = self._gram_step(point.v, point.g, point.sums, 1.0 / gamma, self.stretch(best))
            self.control(best)[:] = self.control(point.v) + step
        return best

    def _gram_step(
        self, v: np.ndarray, g: np.ndarray, sums: np.ndarray, rho: float, stretch: float
    ) -> np.ndarray:
        """Return (kappa G + (beta + rho) I)^-1 (g - beta u) of every layer, (N, c)."""
        problem, beta = self.problem, stretch * self.problem.penalty.l2
        return problem.model.gram.solve(
            sums, self.control(g) - beta * self.control(v),
            stretch * float(problem.penalty.kinetic), beta + rho, np.finfo(problem.dtype).eps,
        )  # fmt: skip

    @property
    def curved(self) -> bool:
        """Whether curvature is known at a point: that of the kinetic energy."""
        return self.problem.model.gram is not None

    def preconditioned(self, point: Point, a: np.ndarray) -> np.ndarray:
        """Return a over the curvature that is known at a point, kappa G + beta, in units of its mean.

        Where none is known beside that of `prox`, a itself.
        """
        gram = self.problem.model.gram
        if gram is None:
            return a
        kappa, beta = float(self.problem.penalty.kinetic), self.problem.penalty.l2
        mean = kappa * gram.mean_diagonal(point.sums) + float(np.mean(beta))
        if not mean > 0:
            return a
        out = a.copy()
        self.control(out)[:] = mean * gram.solve(
            point.sums, self.control(a), kappa, beta + SMALLEST_CURVATURE * mean,
            np.finfo(self.problem.dtype).eps,
        )  # fmt: skip
        return out

    def kinetic_curvature(self, point: Point, s: np.ndarray) -> float:
        """Return the inner product of s with kappa G s: what `maximise` counts by itself."""
        gram = self.problem.model.gram
        if gram is None:
            return 0.0
        u = self.control(s)
        kappa = self.stretch(point.v) * float(self.problem.penalty.kinetic)
        return kappa * float((self.problem.metric[:, None] * u * gram.apply(point.sums, u)).sum())

    def prox(self, y: np.ndarray, gamma: float) -> np.ndarray:
        """Return argmin_v R(v) + |v - y|^2 / (2 gamma) over U."""
        return self.argmax(y / gamma, 1.0 / gamma)

    def prox_each(self, y: np.ndarray, gammas: np.ndarray) -> np.ndarray:
        """Return argmin_v R(v) + sum_i metric_i (v_i - y_i)^2 / (2 gamma_i) over U.

        Every entry has a step of its own: R and U must be `entrywise`.
        """
        stretch = 1.0 if self.range is None else self.range.project(y[None, -1:]).item()
        return self._each(
            lambda penalty, c, part, gamma: penalty.prox(part, c * gamma), y, gammas,
            stretch=stretch,
        )  # fmt: skip

    def undo_energy(self, move: np.ndarray, gamma: float, v: np.ndarray) -> np.ndarray:
        """Return the move of a forward point by which its proximal point moves by ``move``.

        The energy l2/2 |v|^2 divides by 1 + gamma l2; that is what is undone.
        """
        whole, _ = self.problem.flat_penalties
        if whole is not None:
            return (1.0 + gamma * whole.l2) * move
        return self._each(
            lambda penalty, c, part: (1.0 + gamma * c * penalty.l2) * part,
            move,
            stretch=self.stretch(v),
        )

    def prox_rest(self, y: np.ndarray, gamma: float) -> np.ndarray:
        """Return the proximal map of what is not differentiable in R: l1, groups and U."""
        stretch = 1.0 if self.range is None else self.range.project(y[None, -1:]).item()
        return self._each(
            lambda penalty, c, part: penalty.rest.prox(part, gamma * c), y, stretch=stretch
        )

    def penalty_gradient(self, v: np.ndarray) -> np.ndarray:
        """Gradient of the differentiable part of R."""
        return self._each(
            lambda penalty, c, part: c * penalty.gradient(part), v, stretch=self.stretch(v)
        )

    def penalty_subgradient(self, v: np.ndarray) -> np.ndarray:
        """Gradient of R, with the usual subgradient where it has none."""
        return self._each(
            lambda penalty, c, part: c * penalty.subgradient(part), v, stretch=self.stretch(v)
        )

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of every entry, each (n,)."""

        def each(name: str) -> np.ndarray:
            return self._each(
                lambda penalty, c, part: np.broadcast_to(getattr(penalty, name), part.shape),
                np.zeros(self.size),
            )

        return each("lower"), each("upper")

    def thresholds(self, v: np.ndarray) -> np.ndarray:
        """Return the weight of the absolute value of every entry in R, (n,)."""
        return self._each(
            lambda penalty, c, part: np.broadcast_to(c * penalty.l1, part.shape),
            v,
            stretch=self.stretch(v),
        )

    def project(self, v: np.ndarray) -> np.ndarray:
        """Return the nearest point of U."""
        return self._each(lambda penalty, c, part: penalty.project(part), v)

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

    @property
    def entrywise(self) -> bool:
        """Whether R and U treat every entry by itself: sums of L1, L2 and Box."""
        return self.problem.penalty.entrywise and all(p.entrywise for _, _, p, _ in self.parts)

    def residual(self, v: np.ndarray, g: np.ndarray) -> float:
        """Fixed-point residual |v - prox_R(v + g)|, with proximal weight 1.

        Where R is not convex the proximal term may hold back a control that maximises nothing:
        there it is the root of twice the Hamiltonian gap.
        """
        r, penalty = v - self.argmax(v + g, 1.0), self.problem.penalty
        if penalty.convex or not penalty.coercive:
            return self.norm(r)
        r[: self.controls] = 0.0
        return float(np.sqrt(self.inner(r, r) + 2 * max(self.gap(v, g), 0.0)))

    def layer_gaps(
        self, v: np.ndarray, g: np.ndarray, sums: np.ndarray | None = None
    ) -> np.ndarray:
        """D_k = max_v [<g_k, v> - R(v)] - [<g_k, u_k> - R(u_k)] of every layer, shape (N,).

        ``sums`` are those of the point, swept for where they are needed and not given.
        """
        penalty, c = self.problem.penalty, self.stretch(v)
        if self.problem.model.gram is not None:
            return self._kinetic_gaps(v, g, sums)
        u, slope = self.control(v), self.control(g)
        if not penalty.coercive:
            return np.full(len(u), np.nan)
        best = penalty.argmax(slope / c, 0.0)
        here = (slope * u).sum(axis=1) - c * penalty.layer_values(u)
        return (slope * best).sum(axis=1) - c * penalty.layer_values(best) - here

    def _kinetic_gaps(self, v: np.ndarray, g: np.ndarray, sums: np.ndarray | None) -> np.ndarray:
        """D_k = z' A^-1 z / 2 for the slope z = g - beta u and A = kappa G + beta I."""
        if sums is None:
            sums = self.sweep(v, backward=False, sums=True).sums
        problem, c = self.problem, self.stretch(v)
        u, beta = self.control(v), c * problem.penalty.l2
        step = self._gram_step(v, g, sums, 0.0, c)

        def apply(w: np.ndarray) -> np.ndarray:
            return c * float(problem.penalty.kinetic) * problem.model.gram.apply(sums, w) + beta * w

        z = self.control(g) - beta * u
        missed = np.linalg.norm(z - apply(step), axis=1)
        size = np.linalg.norm(z, axis=1) + np.linalg.norm(apply(u), axis=1)
        # a slope in a direction without curvature: there the maximum is infinite
        infinite = missed > np.sqrt(np.finfo(problem.dtype).eps) * size
        return np.where(infinite, np.nan, 0.5 * (z * step).sum(axis=1))

    def gap(self, v: np.ndarray, g: np.ndarray, sums: np.ndarray | None = None) -> float:
        """Hamiltonian gap sum_k h_k D_k of the control; NaN where the maximum is infinite."""
        _, penalty = self.problem.flat_penalties
        if penalty is not None and penalty.coercive and not self.curved:
            z = g[: self.controls]
            gains = penalty.gains(z, penalty.argmax(z, 0.0), v[: self.controls])
            return float(np.add.reduce(self.metric[: self.controls] * gains))
        return float((self.problem.metric * self.layer_gaps(v, g, sums)).sum())


class _Batch(Reduced):
    """A reduced problem on some samples of another one."""

    def __init__(self, whole: Reduced, index: np.ndarray) -> None:
        self.__dict__.update(whole.__dict__)
        self.whole, self.samples = whole, whole.samples.take(index)
        if whole.multipliers is not None:
            self.multipliers = whole.multipliers.take(index)

    def cost(self, v: np.ndarray) -> float:
        cost = super().cost(v)
        self.whole.nfev += self._share
        return cost

    def evaluate(self, v: np.ndarray) -> Point:
        point = super().evaluate(v)
        self.whole.nfev += self._share
        self.whole.njev += self._share
        return point
