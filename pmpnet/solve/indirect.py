"""The boundary value problem of the principle, solved by scipy.

=========  ====================================================================
symbol     meaning
=========  ====================================================================
``z``      states and costates of all samples in one column, of length n
``q``      numbers that are found with them: multipliers, the stretch of a free horizon
``s``      smoothing, from 0 to 1
=========  ====================================================================

What is solved is in `principle`.
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
from .principle import Principle, averages

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

    For few samples and states (M d up to 40). The maximiser of the Hamiltonian is in closed form
    where that is affine in the control beside R, and found by Newton's method at every time where
    it is not; no control is discretised. It is averaged over the problem's intervals only when it
    is given back, priced by the sweep. A free horizon is found from the Hamiltonian being 0 at
    its end.

    Parameters
    ----------
    problem : Problem
        Constraints may be equations at the end and of integrals.
    start : array-like (N, c), Solution or None
        Whose states, costates, multipliers and horizon are the guess. None is zero controls.
    tol : float, default 1e-6
        Of the boundary value problem: relative residuals of scipy's ``solve_bvp``, relative steps
        of the equations of shooting.
    method : {"bvp", "shooting"}, default "bvp"
        Collocation on a mesh of its own, or multiple shooting.
    smoothing : float or sequence of floats, optional
        From 0 to 1, one solve after the other: a part of L1 is left out and an energy is added,
        so that jumps become ramps. Without it 1, 0.1, 0.01 and then 0, or 0.001 where nothing
        curves the Hamiltonian along the control; 0 alone where nothing else is in it. Where one
        fails, the mean of it and the one before is tried first.
    max_nodes : int, default 2000
        Most nodes of the mesh.
    segments : int, default 8
        Of shooting.

    Returns
    -------
    Solution
        ``success`` is that of the boundary value problem, whose residual is in ``message``, with
        the Hamiltonian strictly concave at its maximiser and the horizon in its range; gap
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
    found, u, stretch = _guess(principle, start)
    principle.near = _between(problem.times, u)
    reduced = Reduced(problem)
    rows, last, used = [_row(reduced, u, stretch, np.nan, begun)], found, None
    interrupted = False
    while smoothings:
        s = smoothings[-1]
        try:
            with np.errstate(all="ignore"):
                last = _judged(principle, s, solve(principle, s, found, tol, **options))
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
        u, stretch = principle.averages(found.at, found.q, s), principle.split(found.q)[1]
        principle.near = _between(problem.times, u)
        rows.append(_row(reduced, u, stretch, s, begun))
    solved = _solution(
        principle, found, last, u, stretch, used, rows, begun, f"indirect ({method})"
    )
    if not interrupted:
        return solved
    return replace(
        solved, success=False, status=INTERRUPTED, message=f"interrupted; {solved.message}"
    )


# --------------------------------------------------------------------------------- the methods


class _Found(NamedTuple):
    """States and costates along time."""

    times: np.ndarray
    z: np.ndarray
    q: np.ndarray
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
        partial(principle.right_side, s), partial(principle.boundary, s), guess.times, guess.z,
        p=guess.q if guess.q.size else None, tol=tol, max_nodes=max(max_nodes, len(guess.times)),
    )  # fmt: skip
    told = f"scipy's solve_bvp says: {done.message.rstrip('.')}"
    error = float(done.rms_residuals.max())
    q = guess.q if done.p is None else done.p
    return _Found(done.x, done.y, q, done.sol, done.niter, error, bool(done.success), told)


def _shooting(
    principle: Principle, s: float, guess: _Found, tol: float, max_nodes: int, segments: int
) -> _Found:
    """Solve by multiple shooting: the unknowns are z at the start of every segment, and q."""
    from scipy.integrate import solve_ivp
    from scipy.optimize import root

    times = np.linspace(guess.times[0], guess.times[-1], segments + 1)
    n, Q = len(guess.z), len(guess.q)
    accuracy = dict(method="DOP853", rtol=1e-2 * tol, atol=1e-2 * tol)

    def flow(k: int, Z: np.ndarray, q: np.ndarray, **how: Any) -> Any:
        """Carry columns Z (n, K) from the start of segment k to its end."""
        K = Z.shape[1]

        def rate(t: float, flat: np.ndarray) -> np.ndarray:
            return principle.right_side(s, np.full(K, t), flat.reshape(n, K), q).ravel()

        return solve_ivp(rate, times[k : k + 2], Z.ravel(), **accuracy, **how)

    def ends(columns: list[np.ndarray], q: np.ndarray) -> list[np.ndarray]:
        """Return the columns at the ends of their segments; NaN where there is no end."""
        found = []
        for k, Z in enumerate(columns):
            done = flow(k, Z, q)
            found.append(done.y[:, -1].reshape(Z.shape) if done.success else np.nan * Z)
        return found

    def split(unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return unknown[: segments * n].reshape(segments, n), unknown[segments * n :]

    def equations(unknown: np.ndarray) -> np.ndarray:
        Z, q = split(unknown)
        last = [z[:, 0] for z in ends([z[:, None] for z in Z], q)]
        gaps = [a - b for a, b in zip(last[:-1], Z[1:], strict=True)]
        return np.concatenate([*gaps, principle.boundary(s, Z[0], last[-1], q)])

    def jacobian(unknown: np.ndarray) -> np.ndarray:
        Z, q = split(unknown)
        J = np.zeros((len(unknown), len(unknown)))
        steps = DIFFERENCE * np.maximum(1.0, np.abs(Z))
        moved = ends([np.c_[z, z[:, None] + np.diag(e)] for z, e in zip(Z, steps, strict=True)], q)
        for k in range(segments - 1):
            rows = slice(k * n, (k + 1) * n)
            J[rows, rows] = (moved[k][:, 1:] - moved[k][:, :1]) / steps[k]
            J[rows, (k + 1) * n : (k + 2) * n] = -np.eye(n)
        last, e, rows = moved[-1], steps[-1], slice((segments - 1) * n, None)
        here = principle.boundary(s, Z[0], last[:, 0], q)
        for j in range(n):
            there = principle.boundary(s, Z[0], last[:, 1 + j], q)
            J[rows, (segments - 1) * n + j] = (there - here) / e[j]
        J[rows, : n // 2][: n // 2] += np.eye(n // 2)  # the conditions on x(0)
        at_unknown = equations(unknown) if Q else here
        for j in range(segments * n, segments * n + Q):
            there = unknown.copy()
            there[j] += DIFFERENCE * max(1.0, abs(unknown[j]))
            J[:, j] = (equations(there) - at_unknown) / (there[j] - unknown[j])
        return J

    first = np.concatenate([guess.at(times[:-1]).T.ravel(), guess.q])
    done = root(equations, first, jac=jacobian, method="hybr", options=dict(xtol=tol))
    Z, q = split(done.x)
    pieces = [flow(k, z[:, None], q, dense_output=True).sol for k, z in enumerate(Z)]

    def at(t: np.ndarray) -> np.ndarray:
        k = np.clip(np.searchsorted(times, t, side="right") - 1, 0, segments - 1)
        z = np.empty((n, len(t)))
        for i in np.unique(k):
            z[:, k == i] = pieces[i](t[k == i])
        return z

    error = float(np.abs(done.fun).max())
    told = f"scipy's root says: {' '.join(done.message.split()).rstrip('.')}"
    success = bool(done.success) and error <= np.sqrt(tol)
    return _Found(times, np.c_[Z.T, at(times[-1:])], q, at, int(done.nfev), error, success, told)


METHODS = {"bvp": _bvp, "shooting": _shooting}


# --------------------------------------------------------------------- from where and to what


def _smoothings(problem: Problem, given: Any) -> list[float]:
    """Return the weights of the homotopy."""
    curved = bool(np.all(problem.penalty.l2 > 0)) or not problem.model.affine
    if given is None:
        if replace(problem.penalty, kinetic=0.0).quadratic and curved:
            return [0.0]
        return [1.0, 0.1, 0.01, 0.0 if curved else 0.001]
    return checks.smoothings(given, curved)


def _guess(principle: Principle, start: Any) -> tuple[_Found, np.ndarray, float]:
    """Return the guess, and the control on the problem's grid with its stretch."""
    problem, stretch = principle.problem, 1.0
    nu, _ = principle.split(np.zeros(principle.M * len(principle.ends) + principle.free))
    if isinstance(start, Solution):
        checks.same_controls(start.controls.shape[1], problem.dynamics.controls)
        x, p, times = start.states(), start.costates(), start.times
        if principle.free:
            stretch = float(np.clip(start.horizon, *problem.free_horizon)) / problem.length
            times = problem.times[0] + (times - times[0]) * (problem.length / start.horizon)
        given, needed = (*x.shape[1:], times[[0, -1]]), problem.initial_states.shape
        checks.same_boundary(given, (*needed, problem.times[[0, -1]]))
        u = start.controls
        if not np.array_equal(times, problem.times):
            clock = start.times[0] + (problem.times - times[0]) * (
                (start.times[-1] - start.times[0]) / problem.length
            )
            u = averages(clock, start.control_at)
        if start.lagrangian is not None and start.lagrangian.terminal.shape == nu.shape:
            nu = start.lagrangian.terminal / principle.M
    else:
        u = problem.penalty.project(np.zeros(problem.control_shape))
        if start is not None:
            u = checks.controls(start, problem.control_shape, "start")
        x, p, times = problem.states(u), problem.costates(u), problem.times
    # integrals rise evenly to what they shall be, and their costates are constant
    count = principle.D - principle.d
    ramp = np.linspace(0.0, 1.0, len(times))[:, None, None]
    z, rest = ramp * principle.ends[len(principle.ends) - count :], nu[:, nu.shape[1] - count :]
    x = np.concatenate([x, np.broadcast_to(z, (*x.shape[:2], count))], axis=2)
    p = np.concatenate([p, np.broadcast_to(-rest, (*p.shape[:2], count))], axis=2)
    both = np.stack([x, p], axis=1).astype(float).reshape(len(times), -1).T
    q = np.concatenate([nu.ravel(), [stretch] * principle.free])
    at = partial(_interpolated, times, both)
    return _Found(times, both, q, at, 0, np.nan, False, ""), u, stretch


def _judged(principle: Principle, s: float, found: _Found) -> _Found:
    """Refuse what solves the equations and is no candidate."""
    if not found.success:
        return found
    _, S = principle.split(found.q)
    problem = principle.problem
    told = ""
    if principle.free:
        low, high = problem.free_horizon
        T = S * problem.length
        if not low <= T <= high:
            told = f"its horizon {T:.6g} is not between {low:g} and {high:g}"
    if not told and not principle.curvature(s, found.times, found.z, found.q) > 0:
        told = "the Hamiltonian is not strictly concave in the control at its maximiser"
    return found._replace(success=False, message=told) if told else found


def _between(times: np.ndarray, u: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the control (N, c) as a continuous function of time."""
    middle = 0.5 * (times[1:] + times[:-1])
    return lambda t: _interpolated(middle, u.T, t).T


def _interpolated(times: np.ndarray, z: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(t, times, row) for row in z])


def _row(reduced: Reduced, u: np.ndarray, stretch: float, rho: float, begun: float) -> np.void:
    point = reduced.evaluate(reduced.join(u, (None, None), stretch))
    gap, residual = reduced.gap(point.v, point.g), reduced.residual(point.v, point.g)
    row = point.price, gap, residual, rho, reduced.sweeps, perf_counter() - begun
    return np.array(row, dtype=HISTORY)[()]


def _solution(
    principle: Principle,
    found: _Found,
    last: _Found,
    u: np.ndarray,
    stretch: float,
    smoothing: float | None,
    rows: list[np.void],
    begun: float,
    name: str,
) -> Solution:
    """Price the control and say how it ended."""
    problem = principle.problem
    multipliers = principle.multipliers(found.q) if found.success else None
    reduced = Reduced(problem, multipliers=multipliers)
    point = reduced.evaluate(reduced.join(u, (None, None), stretch))
    worst = violations(problem, u, (None, None), stretch)
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
        stretch=stretch,
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
