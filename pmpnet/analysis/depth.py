"""Depth: how far a network is from an ordinary differential equation, and its weights from a curve.

A control u_0 .. u_{N-1} is read as a function of time in one of two ways: constant on every
interval, or linear between the middles of the intervals and constant beyond the outer ones. The
second is a limit in depth only if the weights are smooth in depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..integrate import integrated
from ..solution import Solution
from .rates import rate
from .steps import points


@dataclass(frozen=True, eq=False)
class DepthGap:
    """The distance between networks of several depths and their limit equation.

    Attributes
    ----------
    steps : ndarray of int, shape (K,)
        Depths.
    gaps : ndarray, shape (K,)
        Largest distance of a state from the limit's, over all samples and times of the coarsest
        grid.
    rate : float
        Slope of log(gap) against log(depth): minus the order of convergence.
    """

    steps: np.ndarray
    gaps: np.ndarray
    rate: float

    def __repr__(self) -> str:
        rows = [f"  {n:6d} layers  {gap:.6g}" for n, gap in zip(self.steps, self.gaps, strict=True)]
        return "\n".join([f"DepthGap: of the order of depth^{self.rate:.3f}", *rows])


def depth_gap(
    solution: Solution,
    x: ArrayLike | None = None,
    *,
    interpolation: str = "constant",
    refine: Sequence[int] = (1, 2, 4, 8),
    rtol: float = 1e-10,
    parameters: ArrayLike | None = None,
) -> DepthGap:
    """Return the distance between a network and its limit equation, and the rate in depth.

    The limit x' = f(t, x, u(t)) is integrated to high accuracy (scipy's DOP853); networks are the
    solution's own scheme on grids with every interval cut into equal parts, their layers those of
    u(t) in the middle of each part.

    Parameters
    ----------
    solution : Solution
    x : array-like, shape (M, d), optional
        Points; the samples without them.
    interpolation : {"constant", "linear"}, default "constant"
        What u(t) is; see `pmpnet.analysis.depth`.
    refine : sequence of int, default (1, 2, 4, 8)
        Parts of an interval; 1 is the solution's own network.
    rtol : float, default 1e-10
        Relative tolerance of the integrator.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the system has parameters.

    Returns
    -------
    DepthGap

    Raises
    ------
    ValueError, TypeError
        For bad input.

    References
    ----------
    M. Sander, P. Ablin, G. Peyre, Do residual neural networks discretize neural ordinary
    differential equations?, NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2)
    >>> problem = pmpnet.Problem(layer, [[1.0, 0.0]], terminal_cost=losses.Squared())
    >>> u = np.tile(layer.pack(W=[[0, -1], [1, 0]]), (20, 1))
    >>> round(depth_gap(pmpnet.solve.msa(problem, u, max_iter=0)).rate, 1)
    -1.0
    """
    x, theta = points(solution, x, parameters)
    linear = checks.choice("interpolation", interpolation, ("constant", "linear")) == "linear"
    refine = checks.refinements(refine)
    rtol = checks.real("rtol", rtol, above=0.0)
    problem, u, times = solution.problem, solution.controls, solution.times
    middles = (times[1:] + times[:-1]) / 2

    def control(t: float) -> np.ndarray:
        if linear:
            return np.array([np.interp(t, middles, entry) for entry in u.T])
        return u[np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(u) - 1)]

    # between these times u(t) is smooth
    pieces = np.sort(np.append(times, middles)) if linear else times
    limit = integrated(problem.dynamics, control if linear else u, pieces, x, theta, rtol)
    limit = limit[:: 2 if linear else 1]
    gaps = []
    for parts in refine:
        inside = np.arange(parts) / parts
        grid = np.append((times[:-1, None] + np.diff(times)[:, None] * inside).ravel(), times[-1])
        rows = np.array([control(t) for t in (grid[1:] + grid[:-1]) / 2])
        network = network_states(solution, grid, rows, x, theta)[::parts]
        gaps.append(np.linalg.norm(network - limit, axis=2).max(initial=0.0))
    steps = len(u) * np.array(refine)
    return DepthGap(steps, np.array(gaps), rate(steps, gaps))


def network_states(
    solution: Solution, times: np.ndarray, u: np.ndarray, x: np.ndarray, theta: np.ndarray
) -> np.ndarray:
    """Return the states (N+1, M, d) of points under another control on another grid."""
    samples = solution._points(x, theta)
    return solution.problem.flow_on(times).run(samples, u, backward=False, states=True).states


@dataclass(frozen=True)
class Smoothness:
    """How much weights change from layer to layer; |.| is Euclid's norm of a layer's control.

    Attributes
    ----------
    jump : float
        N max_k |u_{k+1} - u_k|, of the largest entry: bounded in depth where weights converge to
        a Lipschitz curve.
    h1 : float
        (sum_k |u_{k+1} - u_k|^2 / dt)^(1/2), the H1 seminorm, dt the distance of the intervals'
        middles: bounded where they converge to a curve of finite energy.
    quadratic_variation : float
        sum_k |u_{k+1} - u_k|^2: stays away from 0 where they converge to a diffusion.
    total_variation : float
        sum_k |u_{k+1} - u_k|.
    max_norm : float
        max_k |u_k|.
    """

    jump: float
    h1: float
    quadratic_variation: float
    total_variation: float
    max_norm: float


def depth_smoothness(solution: Solution | ArrayLike, times: ArrayLike | None = None) -> Smoothness:
    """Return how smooth the weights are in depth.

    Parameters
    ----------
    solution : Solution or array-like, shape (N, c)
        A solution, or any weights by layer.
    times : array-like, shape (N+1,), optional
        The grid of such weights; N equal intervals of [0, 1] without it.

    Returns
    -------
    Smoothness

    Raises
    ------
    ValueError, TypeError
        For what is neither, or for a single layer.

    References
    ----------
    M. Sander, P. Ablin, G. Peyre, Do residual neural networks discretize neural ordinary
    differential equations?, NeurIPS 2022; A.-S. Cohen, R. Cont, A. Rossier, R. Xu, Scaling
    properties of deep residual networks, ICML 2021.

    Examples
    --------
    >>> depth_smoothness([[0.0], [0.5], [1.0], [1.5]])
    Smoothness(jump=2.0, h1=1.73..., quadratic_variation=0.75, total_variation=1.5, max_norm=1.5)
    """
    if isinstance(solution, Solution):
        u, times = solution.controls, solution.times
    else:
        u = checks.real_array("solution", solution, ndim=2)
        times = checks.grid(1.0, max(len(u), 1), times)
        checks.layer_per_layer(len(times) - 1, len(u))
    checks.two_layers(*u.shape)
    du, middles = np.diff(u, axis=0), (times[1:] + times[:-1]) / 2
    sizes = np.linalg.norm(du, axis=1)
    return Smoothness(
        jump=float(len(u) * np.abs(du).max(initial=0.0)),
        h1=float(np.sqrt((sizes**2 / np.diff(middles)).sum())),
        quadratic_variation=float((sizes**2).sum()),
        total_variation=float(sizes.sum()),
        max_norm=float(np.linalg.norm(u, axis=1).max()),
    )


def scaling_exponents(solutions: Sequence[Solution | ArrayLike]) -> dict[str, float]:
    """Return the exponents by which the smoothness of weights scales with depth.

    Parameters
    ----------
    solutions : sequence of Solution, or of array-like, shape (N, c)
        Of at least two depths N.

    Returns
    -------
    dict of str to float
        For every number of `Smoothness`, the slope of its logarithm against log(N), by least
        squares. Smooth weights: jump and h1 0, quadratic variation -1. Independent weights: jump
        and quadratic variation 1.

    Raises
    ------
    ValueError, TypeError
        For fewer than two depths.

    References
    ----------
    A.-S. Cohen, R. Cont, A. Rossier, R. Xu, Scaling properties of deep residual networks, ICML
    2021.

    Examples
    --------
    >>> import numpy as np
    >>> curves = [np.sin(np.linspace(0, 6, n))[:, None] for n in (50, 100, 200)]
    >>> found = scaling_exponents(curves)
    >>> abs(found["jump"]) < 0.05, round(found["quadratic_variation"], 1)
    (True, -1.0)
    """
    solutions = checks.several("solutions", solutions)
    found = [depth_smoothness(solution) for solution in solutions]
    depths = [len(getattr(s, "controls", s)) for s in solutions]
    checks.several_depths(depths)
    return {
        f.name: rate(depths, [getattr(smooth, f.name) for smooth in found])
        for f in fields(Smoothness)
    }
