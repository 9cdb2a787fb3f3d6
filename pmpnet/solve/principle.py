"""The equations of Pontryagin's principle in continuous time, for a problem of few samples.

=========  ====================================================================
symbol     meaning
=========  ====================================================================
``x, p``   states and costates of all samples, weights folded into the costates; behind a
           sample's own state stand the integrals that constraints read, D numbers in all
``z``      both in one column, of length n = 2 M D
``t``      time on the problem's grid; where the horizon is free the system's own time is
           t_0 + S (t - t_0), and it runs S times as fast
``nu``     multipliers of what is prescribed at the end, c(x(T)) = e
``q``      nu, and S where it is free: numbers that are found with z
``h``      <p, f> - alpha w l - kappa w |f|^2 / 2, summed over the samples
``s``      smoothing, from 0 to 1
``R_s``    R with 1 - s times its L1 and groups, and s/2 |v|^2 added
``u``      argmax h - R_s: in closed form where h is affine in u, else by Newton's method
=========  ====================================================================

x' = h_p and p' = -h_x with x(0) given and p(T) = -w Phi_x - nu c_x; where the horizon is free,
h - R_s = 0 at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .. import checks
from ..penalties import Penalty
from ..problem import Problem
from ..sweeps import Multipliers
from .maximiser import Derivatives, maximise

LARGEST = 40  # M D: the equations of Newton's method are dense in z
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(48)  # for averages over an interval, with jumps
NONE = np.zeros(0)


class Principle:
    """The equations of the principle, for many columns z (n, K) at times t (K,).

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    near : callable
        From times (K,) to controls (K, c): where the search for the maximiser begins.
    """

    near: Callable[[np.ndarray], np.ndarray]

    def __init__(self, problem: Problem) -> None:
        penalty = problem.penalty
        self.affine = problem.model.affine
        checks.indirect_problem(
            bool(problem.trained_readouts), penalty.steady and penalty.convex,
            self.affine or penalty.entrywise, repr(penalty),
        )  # fmt: skip
        kinds = [
            c for kind in ("terminal", "integral") for c in problem.constraints if c.kind == kind
        ]
        equations = all(np.array_equal(c.lower, c.upper) for c in kinds)
        checks.equations_only(equations and len(kinds) == len(problem.constraints))
        self.problem, self.penalty, self.share = problem, penalty, problem.dynamics.share
        self.free = problem.free_horizon is not None
        self.M, self.d = problem.initial_states.shape
        self.ends = np.concatenate([NONE, *(c.lower for c in kinds)])  # e
        integrals = [c for c in kinds if c.kind == "integral"]
        self.D = self.d + sum(c.map.rows for c in integrals)
        checks.small_enough(self.M, self.D, LARGEST)
        self._said([c for c in kinds if c.kind == "terminal"], integrals)
        zeros = np.zeros((self.M, self.D - self.d))
        self.first = np.concatenate([problem.initial_states, zeros], axis=1).ravel()

    def _said(self, at_end: list, integrals: list) -> None:
        """Write the equations of a sample in CasADi."""
        from casadi import SX, Function, dot, gradient, hessian, substitute, vec, vertcat, vertsplit

        problem = self.problem
        c = problem.dynamics.controls
        none = problem.parameters[:, :0]
        constants = [problem.parameters, *(a if a.size else none for a in problem.encoded)]
        constants.append(problem.weights[:, None])
        self.constants = np.concatenate(constants, axis=1).astype(float)
        t, x, p, u = SX.sym("t"), SX.sym("x", self.D), SX.sym("p", self.D), SX.sym("u", c)
        theta, *y, w = parts = [SX.sym(f"c{i}", a.shape[1]) for i, a in enumerate(constants)]
        constant, own, nu = vertcat(*parts), x[: self.d], SX.sym("nu", len(self.ends))
        f = problem.dynamics.symbolic().map.said(t, own, u, theta)
        rate = vertcat(f, *(i.map.said(t, own, u, theta) for i in integrals))
        h, end = dot(p, rate), SX(0)
        if problem.sampled_running_cost is not None:
            said = problem.sampled_running_cost.said(t, own, u, theta, y[1])
            h -= problem.running_weight * w * said
        if np.any(self.penalty.kinetic):
            h -= 0.5 * float(self.penalty.kinetic) * w * dot(f, f)
        if problem.terminal_cost is not None:
            end = w * problem.terminal_cost.said(t, own, SX(0, 1), theta, y[0])
        values = [i.map.said(t, own, SX(0, 1), theta) for i in at_end]
        kept = vertcat(SX(0, 1), *values, *vertsplit(x)[self.d :])
        z = [t, x, p, u, constant]
        C, g = hessian(h, u)
        self.slope = Function("slope", [t, x, p, constant], [substitute(g, u, SX.zeros(c))])
        self.energy = Function("energy", z, [h])
        self.derivatives = Function("derivatives", z, [h, g, vec(C)])
        self.rates = Function("rates", z, [rate, -gradient(h, x)])
        self.end = Function("end", [x, nu, constant], [-gradient(end + dot(nu, kept), x), kept])

    # ------------------------------------------------------------------------- the unknowns

    def split(self, q: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the multipliers (M, r) and the stretch of time."""
        count = self.M * len(self.ends)
        return q[:count].reshape(self.M, -1), float(q[-1]) if self.free else 1.0

    def _clock(self, t: np.ndarray, S: float) -> np.ndarray:
        start = self.problem.times[0]
        return start + S * (t - start)

    def _by_sample(self, t: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return t, x, p and constants with one column per sample and time."""
        K = len(t)
        x, p = z.reshape(2, self.M, self.D, K).transpose(0, 2, 1, 3).reshape(2, self.D, -1)
        return np.tile(t, self.M)[None], x, p, np.repeat(self.constants.T, K, axis=1)

    # -------------------------------------------------------------------------- the control

    def smoothed(self, s: float) -> Penalty:
        """Return R_s."""
        R = self.penalty
        groups = R.groups and replace(R.groups, weight=(1 - s) * R.groups.weight)
        return replace(R, l1=(1 - s) * R.l1, l2=R.l2 + s, groups=groups)

    def control(self, s: float, t: np.ndarray, z: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Return the maximiser of the Hamiltonian, (K, c)."""
        return self._maximiser(s, t, z, q)[0]

    def curvature(self, s: float, t: np.ndarray, z: np.ndarray, q: np.ndarray) -> float:
        """Return the smallest curvature at the maximisers: they are regular where it is positive."""
        return np.inf if self.affine else float(self._maximiser(s, t, z, q)[1].min())

    def _maximiser(
        self, s: float, t: np.ndarray, z: np.ndarray, q: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        clock, R = self._clock(t, self.split(q)[1]), self.smoothed(s)
        if self.affine:
            g = self.slope(*self._by_sample(clock, z)).full()
            g = g.reshape(len(g), self.M, len(t)).sum(axis=1).T / self.share
            return R.argmax(np.ascontiguousarray(g), 0.0), None

        def hamiltonian(u: np.ndarray, which: np.ndarray) -> Derivatives:
            *zs, constants = self._by_sample(clock[which], z[:, which])
            found = self.derivatives(*zs, np.tile(u.T, (1, self.M)), constants)
            h, g, C = (
                a.full().reshape(-1, self.M, len(u)).sum(axis=1).T / self.share for a in found
            )
            return Derivatives(h[:, 0], g, C.reshape(len(u), *2 * u.shape[1:]))

        return maximise(hamiltonian, R, self.near(t))

    def averages(
        self, z: Callable[[np.ndarray], np.ndarray], q: np.ndarray, s: float
    ) -> np.ndarray:
        """Return the control's mean over every interval of the grid, (N, c)."""
        return averages(self.problem.times, lambda t: self.control(s, t, z(t), q))

    # ------------------------------------------------------------------------ the equations

    def right_side(
        self, s: float, t: np.ndarray, z: np.ndarray, q: np.ndarray = NONE
    ) -> np.ndarray:
        """Return z', (n, K)."""
        t, S = np.atleast_1d(t), self.split(q)[1]
        u = np.tile(self.control(s, t, z, q).T, (1, self.M))
        clock, x, p, constants = self._by_sample(self._clock(t, S), z)
        rates = np.stack([a.full() for a in self.rates(clock, x, p, u, constants)])
        rates = rates.reshape(2, self.D, self.M, len(t))
        return S * rates.transpose(0, 2, 1, 3).reshape(2 * self.M * self.D, len(t))

    def boundary(
        self, s: float, first: np.ndarray, last: np.ndarray, q: np.ndarray = NONE
    ) -> np.ndarray:
        """Return what is zero at both ends, (n + size of q,)."""
        x, p = np.split(last, 2)
        nu, _ = self.split(q)
        free, kept = (
            a.full().T for a in self.end(x.reshape(self.M, self.D).T, nu.T, self.constants.T)
        )
        zeros = [first[: len(x)] - self.first, p - free.ravel(), (kept - self.ends).ravel()]
        if self.free:
            zeros.append(self.gain(s, last, q))
        return np.concatenate(zeros)

    def gain(self, s: float, last: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Return h - R_s at the end, (1,)."""
        t, z = self.problem.times[-1:], last[:, None]
        u = self.control(s, t, z, q)
        clock, x, p, constants = self._by_sample(self._clock(t, self.split(q)[1]), z)
        h = self.energy(clock, x, p, np.tile(u.T, (1, self.M)), constants).full().sum()
        return h - self.share * self.smoothed(s).layer_values(u)

    def multipliers(self, q: np.ndarray) -> Multipliers | None:
        """Return the multipliers as the sweeps take them: every sample's counts 1/M."""
        if not len(self.ends):
            return None
        none = np.zeros((self.problem.intervals, 2, self.M, 0))
        return Multipliers(self.M * self.split(q)[0], none, np.ones(len(self.ends)), NONE)


def averages(times: np.ndarray, control: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the mean of a control over every interval, (N, c)."""
    middle, half = 0.5 * (times[1:] + times[:-1]), 0.5 * np.diff(times)
    t = middle[:, None] + half[:, None] * POINTS
    u = control(t.ravel())
    return 0.5 * np.einsum("j,kjc->kc", WEIGHTS, u.reshape(*t.shape, -1))
