"""A problem as a nonlinear programme: the unknowns, the cost and the equations that CasADi is given.

========  ==============================================================  ==================
symbol    meaning                                                         shape
========  ==============================================================  ==================
``U``     controls, a row per interval                                    (N, c)
``X``     states of the model at the nodes                                (D, (N + 1) M)
``Z``     states at the collocation points of every interval              (D degree, N M)
``L``     running costs of the intervals                                  (1, N M)
========  ==============================================================  ==================

A column is a node, or an interval, of one sample: the samples of the first node, those of the
second one, and so on. One step is one function, mapped over all columns, so that the graph does
not grow with samples or intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..problem import Problem, Readouts, matrix
from ..sweeps import Multipliers, Readout
from .programme import Priced, Stack

if TYPE_CHECKING:
    from casadi import MX, SX, Function


class Transcription:
    """The nonlinear programme of a problem.

    Parameters
    ----------
    problem : Problem
    kind : {"multiple_shooting", "shooting", "collocation"}
    degree : int
        Collocation points per interval.
    points : {"radau", "legendre"}

    Attributes
    ----------
    unknowns, rows : Stack
        What is decided, and what is constrained.
    cost : casadi.MX
    exact : bool
        Whether its optima are those of the discrete problem.
    """

    def __init__(self, problem: Problem, kind: str, degree: int, points: str) -> None:
        from casadi import DM, MX, collocation_coeff, collocation_points, dot, horzcat, vertcat

        self.problem, self.exact = problem, kind != "collocation"
        self.unknowns, self.rows = unknowns, rows = Stack(), Stack()
        samples = problem.samples
        N, (M, D) = problem.intervals, samples.x.shape
        self.collocation = None
        if kind == "collocation":
            self.tau = np.array(collocation_points(degree, points))
            self.collocation = collocation_coeff(self.tau.tolist())

        self.control = Priced(
            "control", problem.penalty, problem.metric, problem.control_shape, unknowns, rows
        )
        U, cost = self.control.value, self.control.cost
        first: MX = DM(samples.x.T.astype(float))
        if problem.model.free:
            bounds = (T / problem.length for T in problem.free_horizon)
            stretch = unknowns.unknown("stretch", (1, 1), *bounds)
            first = vertcat(first[:-1, :], stretch[:, [0] * M])
            cost *= stretch
        self.readouts = []
        P: list[MX] = [MX(0, 1), MX(0, 1)]
        for roles in problem.trained_readouts:
            shape = problem.outputs[roles[0]], problem.dynamics.dim + 1
            name, penalty = f"readout {roles[0]}", problem.readout_penalty(roles)
            decided = Priced(name, penalty, np.ones(shape[0]), shape, unknowns, rows)
            self.readouts.append((roles, decided))
            cost += decided.cost
            for i in roles:
                P[i] = decided.value.reshape((-1, 1))

        def every(values: np.ndarray) -> np.ndarray:
            """Return a column per interval and sample of (M, n) values."""
            return np.tile(values.T.astype(float), (1, N))

        theta = samples.theta
        y = [a if a.size else np.empty((M, 0)) for a in (samples.y_terminal, samples.y_running)]
        times, steps = (np.repeat(a, M)[None] for a in (problem.times[:-1], problem.steps))
        controls = U.T[:, np.repeat(np.arange(N), M).tolist()]
        told = times, steps, controls, every(theta), every(y[1]), P[1][:, [0] * (N * M)]

        step = self._step(y[1].shape[1], P[1].shape[0])
        Z = MX(0, N * M)
        if kind == "collocation":
            Z = unknowns.unknown("points", (D * degree, N * M))
        if kind == "shooting":
            chain = step.map(M).mapaccum("chain", N)
            after, L, _ = chain(first, Z, *told)
            X = horzcat(first, after)
        else:
            X = horzcat(first, unknowns.unknown("states", (D, N * M)))
            after, L, residual = step.map(N * M)(X[:, : N * M], Z, *told)
            rows.add("dynamics", after - X[:, M:])
            rows.add("collocation", residual)

        last, w = X[:, N * M :], np.asarray(problem.weights, float)[None]
        told = DM(theta.T.astype(float)), DM(y[0].T.astype(float)), P[0][:, [0] * M]
        cost += dot(DM(w), self._terminal(y[0].shape[1], P[0].shape[0]).map(M)(last, *told))
        cost += problem.running_weight * dot(DM(np.tile(w, (1, N))), L)
        first_integral = problem.model.extras.first
        for i, coefficient in enumerate(problem.model.extras.coefficients, first_integral):
            cost += coefficient * dot(DM(w), last[i, :])
        self.cost = cost
        self._constrain(X, controls)

    # ------------------------------------------------------------------------------ one step

    def _step(self, targets: int, readout: int) -> Function:
        """Return x, z, t, h, u, theta, y, P -> the state after a step, running cost, residuals."""
        from casadi import SX, Function

        model, problem = self.problem.model, self.problem
        D = model.dynamics.dim
        x, t, h = SX.sym("x", D), SX.sym("t"), SX.sym("h")
        z = SX.sym("z", D, 0 if self.collocation is None else len(self.tau))
        u, theta = (
            SX.sym("u", model.dynamics.controls),
            SX.sym("theta", problem.samples.theta.shape[1]),
        )
        y, P = SX.sym("y", targets), SX.sym("P", readout)
        map = model.dynamics.symbolic().map

        def f(c: float, x: SX) -> SX:
            return map.said(t + c * h, x, u, theta)

        def running(c: float, x: SX) -> SX:
            return self._loss(1, t + c * h, x, theta, y, P)

        formula = _runge_kutta if self.collocation is None else _collocation
        rule = problem.scheme if self.collocation is None else (self.tau, *self.collocation)
        inputs = [x, z.reshape((-1, 1)), t, h, u, theta, y, P]
        return Function("step", inputs, list(formula(rule, f, running, x, z, h)))

    def _terminal(self, targets: int, readout: int) -> Function:
        """Return x, theta, y, P -> the terminal cost."""
        from casadi import SX, Function

        x, theta = (
            SX.sym("x", self.problem.model.dynamics.dim),
            SX.sym("theta", self.problem.samples.theta.shape[1]),
        )
        y, P = SX.sym("y", targets), SX.sym("P", readout)
        value = self._loss(0, SX(self.problem.times[-1]), x, theta, y, P)
        return Function("terminal", [x, theta, y, P], [value])

    def _loss(self, role: int, t: Any, x: SX, theta: SX, y: SX, P: SX) -> SX:
        """Return a loss of one sample, through its readout."""
        from casadi import SX

        loss, d = self.problem.sweeper.losses[role], self.problem.dynamics.dim
        if loss is None:
            return SX(0)
        if loss.map is not None:
            return loss.map.said(t, x, SX(0, 1), theta)
        if not loss.trained:
            return loss.said(t, x[:d], None, theta, y)
        P = P.reshape((-1, d + 1))
        return loss.expression(P[:, :d] @ x[:d] + P[:, d], y)

    # ------------------------------------------------------------------------- constraints

    def _constrain(self, X: MX, controls: MX) -> None:
        """Add the problem's constraints: at the end, and at both ends of every interval."""
        from casadi import DM, horzcat

        problem, extras = self.problem, self.problem.model.extras
        N, M = problem.intervals, problem.samples.count
        theta, times = problem.parameters.T.astype(float), problem.times
        if (bounded := extras.terminal) is not None:
            value = _mapped(bounded.map, M)(times[[-1] * M][None], X[:, N * M :], DM(0, M), theta)
            self.rows.add("terminal", value, bounded.lower[:, None], bounded.upper[:, None])
        if (bounded := extras.path) is not None:
            value = _mapped(bounded.map, 2 * N * M)(
                np.repeat(np.concatenate([times[:-1], times[1:]]), M)[None],
                horzcat(X[:, : N * M], X[:, M:]),
                horzcat(controls, controls),
                np.tile(theta, (1, 2 * N)),
            )
            self.same = _same(bounded.map, N, M)
            kept, where = np.unique(self.same, return_index=True)
            where = where[kept >= 0]
            row = np.unravel_index(where, self.same.shape)[3]
            # our order is (N, 2, M, q); the columns of the value run over (2, N, M)
            places = np.arange(self.same.size).reshape(2, N, M, -1).transpose(1, 0, 2, 3)
            value = value.reshape((-1, 1))[places.ravel()[where].tolist()]
            self.rows.add("path", value, bounded.lower[row][:, None], bounded.upper[row][:, None])

    def multipliers(self, lam: np.ndarray) -> Multipliers | None:
        """Return the multipliers of the constraints, of those of all rows."""
        problem, extras = self.problem, self.problem.model.extras
        if not problem.constraints:
            return None
        N, M = problem.intervals, problem.samples.count
        at_end, on_path = np.zeros((M, 0)), np.zeros((N, 2, M, 0))
        # every sample's constraint counts 1/M, and at each end of an interval half its length
        if extras.terminal is not None:
            at_end = M * self.rows.read(lam, "terminal").T
        if extras.path is not None:
            weight = np.broadcast_to(problem.steps[:, None, None, None] / (2 * M), self.same.shape)
            kept, index = np.unique(self.same, return_inverse=True)
            index = index.reshape(self.same.shape)
            total = np.bincount(index.ravel(), weight.ravel())
            density = np.zeros(len(kept))
            density[kept >= 0] = self.rows.read(lam, "path")[:, 0] / total[kept >= 0]
            on_path = density[index]
        return Multipliers(at_end, on_path, np.ones(at_end.shape[1]), np.ones(on_path.shape[3]))

    def costates(self, lam: np.ndarray) -> np.ndarray | None:
        """Return the costates at the nodes behind the first, (N, M, d); None where X is no unknown.

        The multiplier of x_k+1 = Psi(x_k, u_k) is the sensitivity of the cost to x_k+1.
        """
        if "dynamics" not in self.rows.places:
            return None
        p = -self.rows.read(lam, "dynamics").T
        problem = self.problem
        return problem.own(p.reshape(problem.intervals, problem.samples.count, -1))

    # ------------------------------------------------------------------- to and fro

    def guess(self, u: np.ndarray, readouts: Readouts, stretch: float = 1.0) -> np.ndarray:
        """Return the unknowns of a decision, its states from a sweep."""
        values = self.control.guess(u) | {"stretch": np.full((1, 1), stretch)}
        for roles, decided in self.readouts:
            values |= decided.guess(matrix(readouts[roles[0]]))
        X = self.problem.sweep(u, readouts, stretch, backward=False, states=True).states
        X = np.where(np.isfinite(X), X, X[0]).astype(float)
        N, M, D = len(X) - 1, *X.shape[1:]
        values["states"] = X[1:].reshape(N * M, D).T
        if self.collocation is not None:
            inside = X[:-1, :, None] + self.tau[:, None] * (X[1:] - X[:-1])[:, :, None]
            values["points"] = inside.reshape(N * M, -1).T
        return self.unknowns.pack(values)

    def decision(self, vector: np.ndarray) -> tuple[np.ndarray, Readouts, float]:
        """Return control, readouts and stretch."""
        found: list[Readout | None] = [None, None]
        for roles, decided in self.readouts:
            P = decided.read(vector)
            for i in roles:
                found[i] = Readout(P[:, :-1], P[:, -1])
        stretch = 1.0
        if self.problem.model.free:
            bounds = [T / self.problem.length for T in self.problem.free_horizon]
            stretch = float(np.clip(self.unknowns.read(vector, "stretch").item(), *bounds))
        return self.control.read(vector), (found[0], found[1]), stretch


def _runge_kutta(scheme: Any, f: Callable, running: Callable, x: SX, z: SX, h: SX):
    """Return the state after a step, its running cost, and no residuals."""
    from casadi import SX

    slopes: list[SX] = []
    after, cost = x, SX(0)
    for row, b, c in zip(scheme.A, scheme.b, scheme.c, strict=True):
        stage = x + h * sum((a * k for a, k in zip(row, slopes, strict=False) if a), SX(0))
        slopes.append(f(c, stage))
        after += h * b * slopes[-1]
        cost += h * b * running(c, stage)
    return after, cost, SX(0, 1)


def _collocation(rule: tuple, f: Callable, running: Callable, x: SX, z: SX, h: SX):
    """Return what `_runge_kutta` does, for the polynomial through x and the states z.

    Its derivative at every point is to be f.
    """
    from casadi import horzcat, vertcat

    tau, C, D, B = rule
    through = horzcat(x, z)
    slopes = through @ C
    points = range(len(tau))
    residual = [slopes[:, j] - h * f(tau[j], z[:, j]) for j in points]
    return through @ D, h * sum(B[j] * running(tau[j], z[:, j]) for j in points), vertcat(*residual)


def _mapped(map: Any, count: int) -> Function:
    """Return a function of columns t, x, u, theta."""
    from casadi import SX, Function

    inputs = [SX.sym(name, s.numel()) for name, s in zip("txup", map.inputs, strict=True)]
    return Function("constraint", inputs, [map.said(*inputs)]).map(count)


def _same(map: Any, N: int, M: int) -> np.ndarray:
    """Return a number for every value of a path constraint, (N, 2, M, q): the same, where values are.

    A constraint that does not read the control is the same at the end of one interval and at the
    start of the next; one that reads only that, for all samples. What nothing can change has -1.
    """
    from casadi import which_depends

    k, i, m = np.indices((N, 2, M))
    reads = [
        which_depends(map.value, s, 1, True) if s.numel() else [False] * map.rows
        for s in map.inputs
    ]
    numbers = np.empty((N, 2, M, map.rows), int)
    for row, (t, x, u, theta) in enumerate(zip(*reads, strict=True)):
        when = 2 * k + i * (t or x) if u else k + i
        number = (when * M + m * (x or theta)) * map.rows + row
        fixed = not u and ((k + i == 0) | (not x))
        numbers[..., row] = np.where(fixed, -1, number)
    return numbers
