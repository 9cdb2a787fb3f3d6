"""The boundary value problem of the principle, solved by scipy.

=========  ====================================================================
symbol     meaning
=========  ====================================================================
``x, p``   states and costates of all samples, weights folded into the costates
``z``      both in one column, of length 2 M d
``H``      <p, f> - alpha w l, summed over the samples; affine in u
``g``      dH/du
``s``      smoothing, from 0 to 1
``u``      argmax <g, v> - R_s(v), in closed form; R_s is R with 1 - s times its L1 and
           groups, and s/2 |v|^2 added
=========  ====================================================================

x' = H_p and p' = -H_x with x(0) given and p(T) = -w Phi_x(x(T)); where an entry of x(T) is
prescribed, that takes the place of the condition on its costate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .. import checks
from ..certificate import violations
from ..problem import Problem
from ..reduced import Reduced
from ..solution import CONVERGED, HISTORY, INTERRUPTED, STALLED, Seconds, Solution
from ..sweeps import Multipliers

LARGEST = 40  # M d: the equations of Newton's method are dense in z
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(48)  # for averages over an interval, with jumps
CLOSEST = 0.01  # relative: two smoothings between which no third one is tried
DIFFERENCE = 1e-7  # relative, of the derivatives of flows


def indirect(
    problem: Problem,
    start: Any = None,
    tol: float = 1e-6,
    *,
    method: str = "bvp",
    smoothing: Any = None,
    max_nodes: int = 2000,
    segments: int = 8,
) -> Solution:
    """Solve the two-point boundary value problem of Pontryagin's principle, in continuous time.

    For few samples and states (M d up to 40), and Hamiltonians affine in the control beside R:
    the maximiser of the Hamiltonian is in closed form, and no control is discretised. It is
    averaged over the problem's intervals only when it is given back, priced by the sweep.

    Parameters
    ----------
    problem : Problem
        Constraints may prescribe entries of the final state.
    start : array-like (N, c), Solution or None
        Whose states and costates are the guess. None is zero controls.
    tol : float, default 1e-6
        Of the boundary value problem: relative residuals of scipy's ``solve_bvp``, relative steps
        of the equations of shooting.
    method : {"bvp", "shooting"}, default "bvp"
        Collocation on a mesh of its own, or multiple shooting.
    smoothing : float or sequence of floats, optional
        From 0 to 1, one solve after the other: a part of L1 is left out and an energy is added,
        so that jumps become ramps. Without it 1, 0.1, 0.01 and then 0, or 0.001 where the control
        cost has no L2; 0 alone where it has nothing but L2. Where one fails, the mean of it and
        the one before is tried first.
    max_nodes : int, default 2000
        Most nodes of the mesh.
    segments : int, default 8
        Of shooting.

    Returns
    -------
    Solution
        ``success`` is that of the boundary value problem, whose residual is in ``message``; gap
        and residual are those of the averaged control on the problem's grid, which a finer grid
        makes smaller. The history has a row per smoothing, in the column rho.

    Raises
    ------
    ValueError, TypeError
        If the problem is not of this kind.

    References
    ----------
    J. Kierzenka, L. Shampine, A BVP solver based on residual control and the Matlab PSE, ACM
    Transactions on Mathematical Software, 2001; R. Bertrand, R. Epenoy, New smoothing techniques
    for solving bang-bang optimal control problems, Optimal Control Applications and Methods, 2002.

    Examples
    --------
    The linear-quadratic regulator x' = u with running cost (x^2 + u^2) / 2: J = tanh(1) / 2.

    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> problem = pmpnet.Problem(dynamics.LinearControl(1), [[1.0]], steps=100, scheme="midpoint",
    ...                          running_cost=losses.Squared(0.5), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.indirect(problem)
    >>> round(solution.cost, 4), round(float(np.tanh(1) / 2), 4)
    (0.3808, 0.3808)
    """
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    tol = checks.real("tol", tol, above=0.0)
    solve = METHODS[checks.choice("method", method, METHODS)]
    options = dict(
        max_nodes=checks.integer("max_nodes", max_nodes, 2),
        segments=checks.size("segments", segments, 1),
    )
    principle = Principle(problem)
    smoothings = _smoothings(problem, smoothing)[::-1]  # the next one last
    problem.sweeper.prepare(problem.samples, np.zeros(problem.control_shape), (None, None))
    begun = perf_counter()
    times, z, u = _guess(problem, start)
    found = _Found(times, z, partial(_interpolated, times, z), 0, np.nan, False, "")
    reduced = Reduced(problem)
    rows, last, used, interrupted = [_row(reduced, u, np.nan, begun)], found, None, False
    while smoothings:
        s = smoothings[-1]
        try:
            with np.errstate(all="ignore"):
                last = solve(principle, s, found, tol, **options)
        except KeyboardInterrupt:
            interrupted = True
            break
        if not last.success:
            if used is None or used - s < CLOSEST * used:
                break
            smoothings.append(0.5 * (used + s))
            continue
        smoothings.pop()
        found, used = last, s
        u = principle.averages(found.at, s)
        rows.append(_row(reduced, u, s, begun))
    solved = _solution(principle, found, last, u, used, rows, begun, f"indirect ({method})")
    if not interrupted:
        return solved
    return replace(
        solved, success=False, status=INTERRUPTED, message=f"interrupted; {solved.message}"
    )


# ------------------------------------------------------------------------------- the equations


class Principle:
    """The equations of the principle, for many columns z (2 M d, K) at times t (K,).

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        checks.indirect_problem(
            problem.model.affine,
            bool(problem.trained_readouts) or problem.free_horizon is not None,
            problem.penalty.steady and problem.penalty.convex,
            repr(problem.penalty),
        )
        self.M, self.d = problem.initial_states.shape
        checks.small_enough(self.M, self.d, LARGEST)
        from casadi import SX, Function, dot, gradient, substitute, vertcat

        self.problem, self.penalty = problem, problem.penalty
        self.prescribed, self.final = self._prescribed()
        d, c = self.d, problem.dynamics.controls
        none = problem.parameters[:, :0]
        constants = [problem.parameters, *(a if a.size else none for a in problem.encoded)]
        constants.append(problem.weights[:, None])
        self.constants = np.concatenate(constants, axis=1).astype(float)
        t, x, p, u = SX.sym("t"), SX.sym("x", d), SX.sym("p", d), SX.sym("u", c)
        theta, *y, w = parts = [SX.sym(f"c{i}", a.shape[1]) for i, a in enumerate(constants)]
        f = problem.dynamics.symbolic().map.said(t, x, u, theta)
        H, end = dot(p, f), SX(0)
        if problem.sampled_running_cost is not None:
            said = problem.sampled_running_cost.said(t, x, u, theta, y[1])
            H -= problem.running_weight * w * said
        if problem.terminal_cost is not None:
            end = w * problem.terminal_cost.said(t, x, SX(0, 1), theta, y[0])
        constant = vertcat(*parts)
        slope = substitute(gradient(H, u), u, SX.zeros(c))
        self.slope = Function("slope", [t, x, p, constant], [slope])
        self.rates = Function("rates", [t, x, p, u, constant], [f, -gradient(H, x)])
        self.transversal = Function("end", [x, constant], [-gradient(end, x)])

    def _prescribed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which entries of the final states are prescribed, (M d,), and their values."""
        from casadi import vertsplit

        chosen, value = np.zeros((self.M, self.d), bool), np.zeros((self.M, self.d))
        self.rows: list[int] = []  # the entry of the state that each constraint is of
        bounded = self.problem.model.extras.terminal
        kinds = {constraint.kind for constraint in self.problem.constraints}
        checks.boundary_conditions(kinds <= {"terminal"})
        if bounded is None:
            return chosen.ravel(), value.ravel()
        place = {s.element_hash(): i for i, s in enumerate(vertsplit(bounded.map.inputs[1]))}
        for row, entry in enumerate(vertsplit(bounded.map.value)):
            i = place.get(entry.element_hash()) if entry.is_symbolic() else None
            equal = bounded.lower[row] == bounded.upper[row]
            checks.boundary_conditions(i is not None and equal and not chosen[:, i].any())
            chosen[:, i], value[:, i] = True, bounded.lower[row]
            self.rows.append(i)
        return chosen.ravel(), value.ravel()

    def _by_sample(self, t: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return t, x, p and constants with one column per sample and time."""
        K = len(t)
        x, p = z.reshape(2, self.M, self.d, K).transpose(0, 2, 1, 3).reshape(2, self.d, -1)
        return np.tile(t, self.M)[None], x, p, np.repeat(self.constants.T, K, axis=1)

    def control(self, s: float, t: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the maximiser of the Hamiltonian, (K, c)."""
        g = self.slope(*self._by_sample(t, z)).full()
        g = g.reshape(len(g), self.M, len(t)).sum(axis=1).T
        groups = self.penalty.groups
        if groups is not None:
            groups = replace(groups, weight=(1 - s) * groups.weight)
        R = replace(self.penalty, l1=(1 - s) * self.penalty.l1, groups=groups)
        return R.argmax(np.ascontiguousarray(g), s)

    def averages(self, z: Callable[[np.ndarray], np.ndarray], s: float) -> np.ndarray:
        """Return the control's mean over every interval of the grid, (N, c)."""
        return _averages(self.problem.times, lambda t: self.control(s, t, z(t)))

    def right_side(self, s: float, t: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return z', (2 M d, K)."""
        t = np.atleast_1d(t)
        u = np.tile(self.control(s, t, z).T, (1, self.M))
        t_all, x, p, constants = self._by_sample(t, z)
        rates = np.stack([a.full() for a in self.rates(t_all, x, p, u, constants)])
        rates = rates.reshape(2, self.d, self.M, len(t))
        return rates.transpose(0, 2, 1, 3).reshape(2 * self.M * self.d, len(t))

    def boundary(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return what is zero at both ends."""
        x, p = np.split(last, 2)
        at_end = np.where(self.prescribed, x - self.final, p - self.free_costate(x))
        return np.concatenate([first[: len(x)] - self.problem.initial_states.ravel(), at_end])

    def free_costate(self, x: np.ndarray) -> np.ndarray:
        """Return -w Phi_x at final states, (M d,)."""
        return self.transversal(x.reshape(self.M, self.d).T, self.constants.T).full().T.ravel()

    def multipliers(self, last: np.ndarray) -> Multipliers | None:
        """Return the multipliers of the prescribed final states."""
        if not self.rows:
            return None
        x, p = np.split(last, 2)
        force = (self.free_costate(x) - p).reshape(self.M, self.d)
        N, none = self.problem.intervals, np.zeros(0)
        terminal = self.M * force[:, self.rows]  # every sample's constraint counts 1/M
        return Multipliers(terminal, np.zeros((N, 2, self.M, 0)), np.ones(len(self.rows)), none)


# --------------------------------------------------------------------------------- the methods


class _Found(NamedTuple):
    """States and costates along time."""

    times: np.ndarray
    z: np.ndarray
    at: Callable[[np.ndarray], np.ndarray]
    iterations: int
    error: float
    success: bool
    message: str


def _bvp(
    principle: Principle, s: float, guess: _Found, tol: float, max_nodes: int, segments: int
) -> _Found:
    """Solve by collocation."""
    from scipy.integrate import solve_bvp

    done = solve_bvp(
        partial(principle.right_side, s), principle.boundary, guess.times, guess.z,
        tol=tol, max_nodes=max(max_nodes, len(guess.times)),
    )  # fmt: skip
    told = f"scipy's solve_bvp says: {done.message.rstrip('.')}"
    error = float(done.rms_residuals.max())
    return _Found(done.x, done.y, done.sol, done.niter, error, bool(done.success), told)


def _shooting(
    principle: Principle, s: float, guess: _Found, tol: float, max_nodes: int, segments: int
) -> _Found:
    """Solve by multiple shooting: the unknowns are z at the start of every segment."""
    from scipy.integrate import solve_ivp
    from scipy.optimize import root

    times = np.linspace(guess.times[0], guess.times[-1], segments + 1)
    n = len(guess.z)
    accuracy = dict(method="DOP853", rtol=1e-2 * tol, atol=1e-2 * tol)

    def flow(k: int, Z: np.ndarray, **how: Any) -> Any:
        """Carry columns Z (n, K) from the start of segment k to its end."""
        K = Z.shape[1]

        def rate(t: float, flat: np.ndarray) -> np.ndarray:
            return principle.right_side(s, np.full(K, t), flat.reshape(n, K)).ravel()

        return solve_ivp(rate, times[k : k + 2], Z.ravel(), **accuracy, **how)

    def ends(columns: list[np.ndarray]) -> list[np.ndarray]:
        """Return the columns at the ends of their segments; NaN where there is no end."""
        found = []
        for k, Z in enumerate(columns):
            done = flow(k, Z)
            found.append(done.y[:, -1].reshape(Z.shape) if done.success else np.nan * Z)
        return found

    def equations(unknown: np.ndarray) -> np.ndarray:
        Z = unknown.reshape(segments, n)
        last = [z[:, 0] for z in ends([z[:, None] for z in Z])]
        gaps = [a - b for a, b in zip(last[:-1], Z[1:], strict=True)]
        return np.concatenate([*gaps, principle.boundary(Z[0], last[-1])])

    def jacobian(unknown: np.ndarray) -> np.ndarray:
        Z = unknown.reshape(segments, n)
        J = np.zeros((segments, n, segments, n))
        steps = DIFFERENCE * np.maximum(1.0, np.abs(Z))
        moved = ends([np.c_[z, z[:, None] + np.diag(e)] for z, e in zip(Z, steps, strict=True)])
        for k in range(segments - 1):
            J[k, :, k] = (moved[k][:, 1:] - moved[k][:, :1]) / steps[k]
            J[k, :, k + 1] = -np.eye(n)
        last, e = moved[-1], steps[-1]
        here = principle.boundary(Z[0], last[:, 0])
        for j in range(n):
            J[-1, :, -1, j] = (principle.boundary(Z[0], last[:, 1 + j]) - here) / e[j]
        half = n // 2  # the conditions on x(0)
        J[-1, :half, 0, :half] = np.eye(half)
        return J.reshape(segments * n, segments * n)

    first = guess.at(times[:-1]).T.ravel()
    done = root(equations, first, jac=jacobian, method="hybr", options=dict(xtol=tol))
    Z = done.x.reshape(segments, n)
    pieces = [flow(k, z[:, None], dense_output=True).sol for k, z in enumerate(Z)]

    def at(t: np.ndarray) -> np.ndarray:
        k = np.clip(np.searchsorted(times, t, side="right") - 1, 0, segments - 1)
        z = np.empty((n, len(t)))
        for i in np.unique(k):
            z[:, k == i] = pieces[i](t[k == i])
        return z

    error = float(np.abs(done.fun).max())
    told = f"scipy's root says: {' '.join(done.message.split()).rstrip('.')}"
    success = bool(done.success) and error <= np.sqrt(tol)
    return _Found(times, np.c_[Z.T, at(times[-1:])], at, int(done.nfev), error, success, told)


METHODS = {"bvp": _bvp, "shooting": _shooting}


# --------------------------------------------------------------------- from where and to what


def _smoothings(problem: Problem, given: Any) -> list[float]:
    """Return the weights of the homotopy."""
    curved = bool(np.all(problem.penalty.l2 > 0))
    if given is None:
        if problem.penalty.quadratic and curved:
            return [0.0]
        return [1.0, 0.1, 0.01, 0.0 if curved else 0.001]
    return checks.smoothings(given, curved)


def _guess(problem: Problem, start: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, z at them, and the control on the problem's grid."""
    if isinstance(start, Solution):
        checks.same_controls(start.controls.shape[1], problem.dynamics.controls)
        x, p, times = start.states(), start.costates(), start.times
        given, needed = (*x.shape[1:], times[[0, -1]]), problem.initial_states.shape
        checks.same_boundary(given, (*needed, problem.times[[0, -1]]))
        u = _averages(problem.times, start.control_at)
        if np.array_equal(times, problem.times):
            u = start.controls
    else:
        u = problem.penalty.project(np.zeros(problem.control_shape))
        if start is not None:
            u = checks.controls(start, problem.control_shape, "start")
        x, p, times = problem.states(u), problem.costates(u), problem.times
    z = np.stack([x, p], axis=1).astype(float).reshape(len(times), -1).T
    return times, z, u


def _interpolated(times: np.ndarray, z: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(t, times, row) for row in z])


def _averages(times: np.ndarray, control: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the mean of a control over every interval, (N, c)."""
    middle, half = 0.5 * (times[1:] + times[:-1]), 0.5 * np.diff(times)
    t = middle[:, None] + half[:, None] * POINTS
    u = control(t.ravel())
    return 0.5 * np.einsum("j,kjc->kc", WEIGHTS, u.reshape(*t.shape, -1))


def _row(reduced: Reduced, u: np.ndarray, rho: float, begun: float) -> np.void:
    point = reduced.evaluate(reduced.join(u, (None, None)))
    gap, residual = reduced.gap(point.v, point.g), reduced.residual(point.v, point.g)
    row = point.price, gap, residual, rho, reduced.sweeps, perf_counter() - begun
    return np.array(row, dtype=HISTORY)[()]


def _solution(
    principle: Principle,
    found: _Found,
    last: _Found,
    u: np.ndarray,
    smoothing: float | None,
    rows: list[np.void],
    begun: float,
    name: str,
) -> Solution:
    """Price the control and say how it ended."""
    problem = principle.problem
    multipliers = principle.multipliers(found.z[:, -1]) if found.success else None
    reduced = Reduced(problem, multipliers=multipliers)
    point = reduced.evaluate(reduced.join(u, (None, None)))
    worst = violations(problem, u, (None, None))
    if last.success:
        message = f"the boundary value problem is solved: residual {found.error:.2g} on "
        message += f"{len(found.times)} nodes"
    else:
        message = f"the boundary value problem is not solved ({last.message})"
        message += ": a start nearer to the solution may help, such as one of msa"
    if smoothing:
        message += f"; with a smoothing of {smoothing:g}"
    return Solution(
        problem=problem,
        controls=u,
        readouts=(None, None),
        lagrangian=multipliers,
        terms=point.terms,
        success=last.success,
        status=CONVERGED if last.success else STALLED,
        message=message + ".",
        nit=len(rows) - 1,
        nfev=len(rows) + 1,
        njev=len(rows) + 1,
        history=np.array(rows, dtype=HISTORY),
        gap=reduced.gap(point.v, point.g),
        residual=reduced.residual(point.v, point.g),
        violations={**worst, "controls": reduced.violation(point.v)},
        seconds=Seconds(problem.sweeper.compile_seconds or 0.0, perf_counter() - begun),
        method=name,
    )
