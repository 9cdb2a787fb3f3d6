"""Certificates: what Pontryagin's principle says of a control, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .problem import Problem
from .reduced import Reduced
from .solution import Solution


@dataclass(frozen=True, eq=False)
class Certificate:
    """How far a control is from the maximum principle, in numbers that do not trust a solver.

    Attributes
    ----------
    cost : float
        J of the control.
    gap : float
        Hamiltonian gap sum_k h_k D_k >= 0; zero exactly at a point of the principle. NaN where
        the Hamiltonian has no maximum (neither superlinear growth nor bounded U).
    layer_gaps : ndarray, shape (N,)
        D_k of every layer.
    residual : float
        Fixed-point residual with proximal weight 1.
    taylor_slope : float
        Order of the remainder |J(u + e v) - J(u) - e <dJ, v>| of the smooth cost: 2 if the
        costates are exact. NaN if the remainder is lost in rounding.
    violation : float
        Largest amount by which a bound of U is passed.
    hamiltonian : ndarray, shape (N,)
        H along time; constant up to O(h) at an optimum of an autonomous problem.
    times : ndarray, shape (N,)
        The start of each interval.
    """

    cost: float
    gap: float
    layer_gaps: np.ndarray
    residual: float
    taylor_slope: float
    violation: float
    hamiltonian: np.ndarray
    times: np.ndarray

    def __repr__(self) -> str:
        h = self.hamiltonian
        rows = [
            ("cost", f"{self.cost:.10g}"),
            ("Hamiltonian gap", f"{self.gap:.3e}"),
            ("residual", f"{self.residual:.3e}"),
            ("Taylor slope", f"{self.taylor_slope:.3f}   (2 for exact costates)"),
            ("violation of U", f"{self.violation:.1e}"),
            ("Hamiltonian", f"{h.mean():.6g} on average, from {h.min():.6g} to {h.max():.6g}"),
        ]
        return "\n".join(["Certificate", *(f"  {name:<16} {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>"


def verify(
    problem: Problem, controls: ArrayLike | Solution, *, readout: Any = None, seed: int = 0
) -> Certificate:
    """Certify a control against Pontryagin's principle.

    Parameters
    ----------
    problem : Problem
    controls : array-like, shape (N, c), or Solution
        Any control: ours, a network's trained elsewhere, a guess.
    readout : (P, c) pair or dict by role, optional
        Value of a trained readout; a Solution brings its own.
    seed : int, default 0
        Of the direction of the Taylor test.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError, TypeError
        If the controls do not fit the problem.

    Examples
    --------
    >>> import numpy as np, pmpnet
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> best = np.tile([0.2, 0.8 / 3], (20, 1))
    >>> certificate = pmpnet.verify(problem, best)
    >>> certificate.gap < 1e-15, round(certificate.taylor_slope, 2)
    (True, 2.0)
    """
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    reduced = Reduced(problem)
    if isinstance(controls, Solution):
        u = checks.controls(controls.controls, problem.control_shape, "controls")
        readouts = controls.readouts if readout is None else problem.as_readouts(readout)
    else:
        u = checks.controls(controls, problem.control_shape, "controls")
        readouts = problem.as_readouts(readout)
    v = reduced.join(u, readouts)
    point = reduced.evaluate(v)
    return Certificate(
        cost=point.cost,
        gap=reduced.gap(v, point.g),
        layer_gaps=reduced.layer_gaps(v, point.g),
        residual=reduced.residual(v, point.g),
        taylor_slope=taylor_slope(reduced, v, seed),
        violation=reduced.violation(v),
        hamiltonian=hamiltonian(problem, u, readouts),
        times=problem.times[:-1],
    )


def taylor_slope(reduced: Reduced, v: np.ndarray, seed: int = 0) -> float:
    """Return the order in e of |J(v + e d) - J(v) + e <g - R', d>| for the smooth part of J.

    The median of the slopes between neighbouring e, over those whose remainder stands clear of
    rounding.
    """
    d = np.random.default_rng(seed).standard_normal(reduced.size)
    d *= max(1.0, reduced.norm(v)) / reduced.norm(d)
    slope = reduced.inner(reduced.evaluate(v).g, d)

    def smooth(e: float) -> float:
        u, readouts = reduced.control(v + e * d), reduced.readouts(v + e * d)
        done = reduced.problem.sweeper.run(reduced.samples, u, readouts, backward=False)
        return done.terminal + done.running

    sizes = 2.0 ** -np.arange(2.0, 18.0)
    with np.errstate(all="ignore"):
        here = smooth(0.0)
        remainders = np.array([abs(smooth(e) - here + e * slope) for e in sizes])
        noise = 1e3 * np.finfo(reduced.problem.dtype).eps * max(abs(here), abs(slope))
        clear = np.isfinite(remainders) & (remainders > noise)
        slopes = np.diff(np.log(remainders)) / np.diff(np.log(sizes))
    usable = slopes[clear[1:] & clear[:-1]]
    # the smallest steps that are clear of rounding show the limit
    return float(np.median(usable[-4:])) if len(usable) else float("nan")


def hamiltonian(problem: Problem, u: np.ndarray, readouts: Any) -> np.ndarray:
    """Return H_k = sum_m [<p_{k+1}, f(x_k, u_k)> - alpha w l(x_k)] - R(u_k), shape (N,)."""
    done = problem.sweep(u, readouts, states=True, costates=True)
    x = np.asarray(done.states[:-1], np.float64)
    p = np.asarray(done.costates[1:], np.float64)
    H = -problem.penalty.layer_values(u)
    for k in range(problem.intervals):
        H[k] += np.add.reduce((p[k] * problem.dynamics.f(problem.times[k], x[k], u[k])).ravel())
    loss = problem.running_cost
    if loss is not None:
        y, w = np.asarray(problem.samples.y_running, np.float64), problem.weights
        for k in range(problem.intervals):
            z = x[k]
            if loss.trained:
                z = z @ readouts[1].P.T + readouts[1].c
            elif loss.readout is not None:
                z = z @ loss.readout.T
            H[k] -= problem.running_weight * float(w @ loss.value(z, y))
    return H
