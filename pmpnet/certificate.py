"""Certificates: what Pontryagin's principle says of a control, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .hamiltonian import Hamiltonian
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
        D_k of every layer. With groups over time only their sum is known to be at least 0.
    residual : float
        Fixed-point residual with proximal weight 1.
    taylor_slope : float
        Order of the remainder |J(u + e v) - J(u) - e <dJ, v>| of the smooth cost: 2 if the
        costates are exact. NaN if the remainder is lost in rounding.
    violation : float
        Largest amount by which a bound of U is passed.
    hamiltonian : ndarray, shape (N,)
        H along time; constant up to O(h) at an optimum of an autonomous problem.
    times : ndarray, shape (N+1,)
    violations : dict
        Largest violation of every constraint, by its name.
    global_gaps : ndarray, shape (N,), or None
        How much a global search found the Hamiltonian of each layer to gain, at least 0; where
        the search was asked for. For systems not affine in the control the gap above is that of
        the Hamiltonian linearised at the control.
    """

    cost: float
    gap: float
    layer_gaps: np.ndarray
    residual: float
    taylor_slope: float
    violation: float
    hamiltonian: np.ndarray
    times: np.ndarray
    violations: dict[str, float]
    global_gaps: np.ndarray | None = None

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
        if self.global_gaps is not None:
            gap = float((np.diff(self.times) * self.global_gaps).sum())
            rows.append(("global gap", f"{gap:.3e}   (found by search)"))
        rows += [(name, f"violated by {worst:.1e}") for name, worst in self.violations.items()]
        return "\n".join(["Certificate", *(f"  {name:<16} {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>"


@np.errstate(all="ignore")  # of a control that explodes the numbers say so
def verify(
    problem: Problem,
    controls: ArrayLike | Solution,
    *,
    readout: Any = None,
    horizon: float | None = None,
    search: int = 0,
    seed: int = 0,
) -> Certificate:
    """Certify a control against Pontryagin's principle.

    Parameters
    ----------
    problem : Problem
    controls : array-like, shape (N, c), or Solution
        Any control: ours, a network's trained elsewhere, a guess. With constraints the principle
        needs their multipliers, which only a Solution brings.
    readout : (P, c) pair or dict by role, optional
        Value of a trained readout; a Solution brings its own.
    horizon : float, optional
        Where it is free; a Solution brings its own.
    search : int, default 0
        Candidates per layer of a global search for a larger Hamiltonian; for few controls and
        samples, where the Hamiltonian is not concave in the control.
    seed : int, default 0
        Of the direction of the Taylor test, and of the search.

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
    search, seed = checks.size("search", search, 0), checks.integer("seed", seed, 0)
    if isinstance(controls, Solution):
        solution = controls
        u = checks.controls(solution.controls, problem.control_shape, "controls")
        readouts = solution.readouts if readout is None else problem.as_readouts(readout)
        stretch = solution.horizon / problem.length if horizon is None else None
        multipliers = solution.lagrangian
    else:
        u = checks.controls(controls, problem.control_shape, "controls")
        readouts, stretch, multipliers = problem.as_readouts(readout), None, None
    stretch = problem.as_stretch(horizon) if stretch is None else stretch
    reduced = Reduced(problem, multipliers=multipliers)
    v = reduced.join(u, readouts, stretch)
    point = reduced.evaluate(v)
    along = Hamiltonian(reduced, v)
    global_gaps = None
    if search:
        checks.searchable((), problem.penalty)
        global_gaps = along.maximisers(search, seed)[1]
    return Certificate(
        cost=point.price,
        gap=reduced.gap(v, point.g, point.sums),
        layer_gaps=reduced.layer_gaps(v, point.g, point.sums),
        residual=reduced.residual(v, point.g),
        taylor_slope=taylor_slope(reduced, v, seed),
        violation=reduced.violation(v),
        violations=violations(problem, u, readouts, stretch),
        hamiltonian=along.along(),
        times=along.times,
        global_gaps=global_gaps,
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
        return reduced.sampled(v + e * d, v)

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


@np.errstate(all="ignore")
def violations(
    problem: Problem, u: np.ndarray, readouts: Any, stretch: float = 1.0
) -> dict[str, float]:
    """Return the largest violation of every constraint, by its name."""
    if not problem.constraints:
        return {}
    values = problem.by_constraint(*problem.constraint_values(u, readouts, stretch))
    return {
        name: float(np.maximum(c.lower - values[name], values[name] - c.upper).max(initial=0.0))
        for name, c in zip(problem.constraint_names, problem.constraints, strict=True)
    }
