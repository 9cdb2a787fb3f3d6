"""Constraints met by an augmented Lagrangian around any sweep method.

=============  ============================================================================
symbol         meaning
=============  ============================================================================
``c``          values of the constraints: (M, q) at the end, (N, 2, M, q) on the path
``L``          multipliers, of the same shapes; on the path a density in time
``sigma``      penalty weights, one per row of the constraints
``e``          c + L / sigma, less its nearest point of [lower, upper]
=============  ============================================================================

A method lowers J and the mean over samples (and the integral along the path) of
sigma/2 e^2 - L^2 / (2 sigma); then sigma e is the next L. What stays unchanged by this is a point
of Pontryagin's principle with constraints, whatever sigma is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..certificate import violations
from ..problem import Problem
from ..reduced import Reduced
from ..solution import CONVERGED, INFEASIBLE, INTERRUPTED, OUT_OF_ITERATIONS, STALLED, Solution
from ..sweeps import Multipliers

FIRST_TOLERANCE, TIGHTEN = 1e-2, 0.1  # of the first subproblem; its factor from one to the next
PROGRESS, GROWTH = 0.25, 5.0  # a row whose violation falls by less gets a larger sigma
LARGEST = 1e8  # times the first sigma: larger ones only spoil the subproblems
PATIENCE = 4  # updates at that sigma without progress
FAR = 1e-4  # a violation above it then means that the constraints cannot be met


def augmented_lagrangian(
    problem: Problem, v: np.ndarray, solve: Callable[..., Solution], tol: float, max_iter: int
) -> Solution:
    """Solve a problem with constraints.

    Parameters
    ----------
    problem : Problem
    v : ndarray, shape (n,)
        Where to begin.
    solve : callable
        ``solve(v, multipliers, first, tol=, max_iter=, scale=)`` lowers the augmented Lagrangian
        and returns a Solution; ``scale`` stands for the residual of its start.
    tol : float
        Of the residual, as everywhere; also the largest violation allowed.
    max_iter : int
        Iterations of the method, over all subproblems.
    """
    rows = _Rows(problem, v)
    found, scale, inner = None, None, max(FIRST_TOLERANCE, tol)
    histories, nit, nfev, njev, seconds, updates = [], 0, 0, 0, 0.0, 0
    while True:
        try:
            found = solve(
                v, rows.multipliers, updates == 0, tol=inner, max_iter=max_iter - nit, scale=scale
            )
        except KeyboardInterrupt:  # before its start was priced
            if found is None:
                raise
            message = f"interrupted after {nit} iterations."
            found = replace(found, success=False, status=INTERRUPTED, message=message)
            break
        histories.append(found.history)
        seconds += found.seconds.solve
        nit, nfev, njev = nit + found.nit, nfev + found.nfev, njev + found.njev
        scale = found.history["residual"][0] if scale is None else scale
        met = rows.worst(found) <= tol
        through = found.status not in (CONVERGED, STALLED) or nit >= max_iter
        if through or (met and inner <= tol) or rows.hopeless:
            break
        rows.update()
        updates += 1
        v = rows.reduced.join(found.controls, found.readouts, found.stretch)
        inner = max(TIGHTEN * inner, tol)
    found = replace(
        found,
        nit=nit,
        nfev=nfev,
        njev=njev,
        seconds=found.seconds._replace(solve=seconds),
        history=_joined(histories),
        violations={**violations_of(problem, found), **found.violations},
    )
    return _judged(found, met, rows, updates, tol)


def violations_of(problem: Problem, found: Solution) -> dict[str, float]:
    """Return the largest violation of every constraint."""
    return violations(problem, found.controls, found.readouts, found.stretch)


def _judged(found: Solution, met: bool, rows: _Rows, updates: int, tol: float) -> Solution:
    """Say how it ended."""
    name, worst = max(
        ((n, v) for n, v in found.violations.items() if n != "controls"), key=lambda item: item[1]
    )
    where = f"largest violation {worst:.2g} ({name}) after {updates} updates of the multipliers"
    status, message = found.status, found.message.rstrip(".")
    if status in (CONVERGED, STALLED) and not met:
        if rows.hopeless and worst > FAR:
            return replace(
                found,
                success=False,
                status=INFEASIBLE,
                message=f"the constraints cannot be met from here: {where}; they may contradict "
                "each other, or another start may meet them.",
            )
        status = STALLED if rows.hopeless else OUT_OF_ITERATIONS
    if status == CONVERGED:
        message = f"converged after {found.nit} iterations: residual {found.residual:.3g}"
    elif status == OUT_OF_ITERATIONS or found.status == CONVERGED:
        message = f"not converged after {found.nit} iterations: residual {found.residual:.3g}"
    message = f"{message}; {where}" + (f", asked for {tol:.3g}." if not met else ".")
    return replace(found, success=status == CONVERGED, status=status, message=message)


def _joined(histories: list[np.ndarray]) -> np.ndarray:
    """Return one history; sweeps and seconds go on from one subproblem to the next."""
    parts, sweeps, seconds = [], 0.0, 0.0
    for history in histories:
        history = history.copy()
        history["sweeps"] += sweeps
        history["seconds"] += seconds
        sweeps, seconds = history["sweeps"][-1], history["seconds"][-1]
        parts.append(history[1:] if parts else history)  # the start is the end of the one before
    return np.concatenate(parts)


def _per_row(e: np.ndarray) -> np.ndarray:
    """Return the largest entry of every row of the constraints."""
    return e.max(axis=tuple(range(e.ndim - 1)), initial=0.0)


class _Rows:
    """The rows of all constraints: their values, multipliers and penalty weights."""

    @np.errstate(all="ignore")  # of states that explode; here and below
    def __init__(self, problem: Problem, v: np.ndarray) -> None:
        self.problem, self.reduced = problem, Reduced(problem)
        self.bounds = [
            (b.lower, b.upper) if b is not None else (np.zeros(0),) * 2
            for b in (problem.model.extras.terminal, problem.model.extras.path)
        ]
        self.values = self._values(*self._parts(v))
        sigma = self._first_sigma(abs(problem.cost_of(*self._parts(v))))
        self.sigmas = [np.full(len(lower), sigma) for lower, _ in self.bounds]
        self.first, self.stuck = sigma, 0
        self.L = [np.zeros_like(values) for values in self.values]
        self.before = [np.full(len(sigma), np.inf) for sigma in self.sigmas]

    def _parts(self, v: np.ndarray) -> tuple:
        reduced = self.reduced
        return reduced.control(v), reduced.readouts(v), reduced.stretch(v)

    def _values(self, *parts) -> list[np.ndarray]:
        return list(self.problem.constraint_values(*parts))

    def _first_sigma(self, cost: float) -> float:
        """Return a weight with which the start's violations are worth some ten times the cost.

        References
        ----------
        E. Birgin, J. Martinez, Practical Augmented Lagrangian Methods, 2014.
        """
        worst = max(
            np.abs(values - np.clip(values, *bounds)).max(initial=0.0)
            for values, bounds in zip(self.values, self.bounds, strict=True)
        )
        return float(np.clip(10.0 * max(1.0, cost) / max(worst, 1e-3) ** 2, 1.0, 100.0))

    @property
    def multipliers(self) -> Multipliers:
        """What the sweeps read."""
        return Multipliers(*self.L, *self.sigmas)

    @np.errstate(all="ignore")
    def worst(self, found: Solution) -> float:
        """Take the values at a solution; return their largest violation.

        A multiplier of a bound that does not hold back counts as well, over sigma.
        """
        self.values = self._values(found.controls, found.readouts, found.stretch)
        self.now = []
        for values, L, sigma, (lower, upper) in zip(
            self.values, self.L, self.sigmas, self.bounds, strict=True
        ):
            e = np.abs(values - np.clip(values + L / sigma, lower, upper))
            self.now.append(_per_row(e))
        return max(now.max(initial=0.0) for now in self.now)

    @np.errstate(all="ignore")
    def update(self) -> None:
        """Move the multipliers, and raise sigma where that is not enough."""
        stuck = True
        for i, (lower, upper) in enumerate(self.bounds):
            shifted = self.values[i] + self.L[i] / self.sigmas[i]
            self.L[i] = self.sigmas[i] * (shifted - np.clip(shifted, lower, upper))
            slow = self.now[i] > PROGRESS * self.before[i]
            grown = np.where(slow, GROWTH * self.sigmas[i], self.sigmas[i])
            self.sigmas[i] = np.minimum(grown, LARGEST * self.first)
            at_most = (self.sigmas[i] >= LARGEST * self.first) & (
                self.now[i] > 0.9 * self.before[i]
            )
            stuck &= bool(at_most.any()) or len(lower) == 0
            self.before[i] = self.now[i]
        self.stuck = self.stuck + 1 if stuck else 0

    @property
    def hopeless(self) -> bool:
        """Whether the multipliers have long stopped to help."""
        return self.stuck >= PATIENCE
