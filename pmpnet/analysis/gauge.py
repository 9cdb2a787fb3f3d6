"""Freedom of weights: which other weights are the same network.

In f = sum_j a_j s(<w_j, x> + c_j) with s(r z) = r s(z) for r > 0, unit j may be written
(a_j / r, r w_j, r c_j) for every r > 0, and units may change places. Of all these, a control cost
of L1 and L2 has a cheapest one: its part of unit j is alpha_1 / r + alpha_2 / r^2 + beta_1 r +
beta_2 r^2, strictly convex in log r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import checks
from ..dynamics import Dynamics, Neurons, TwoLayer
from ..solution import Solution
from .again import priced_again

HOMOGENEOUS = ("identity", "relu", "leaky_relu")
WIDEST = 60.0  # of log r


def _units(dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """Return where in a control row every unit's outer (K, d) and inner (K, d + 1) entries are."""
    checks.homogeneous_units(
        isinstance(dynamics, (TwoLayer, Neurons)) and dynamics.activation in HOMOGENEOUS,
        repr(dynamics),
        HOMOGENEOUS,
    )
    places = {n: p.astype(int) for n, p in dynamics.unpack(np.arange(dynamics.controls)).items()}
    outer = places["A"].T if "A" in places else places["a"]
    inner = places["W"] if "W" in places else places["w"]
    return outer, np.c_[inner, places["c"]] if "c" in places else inner


def balance(solution: Solution) -> Solution:
    """Return the cheapest weights of the same network.

    For two-layer systems with homogeneous activations: every hidden unit is scaled so that its
    control cost is least. Units that do nothing become zero. Without a control cost the one with
    the least Euclidean norm is taken.

    Parameters
    ----------
    solution : Solution
        Of `TwoLayer` or `Neurons` with activation identity, relu or leaky_relu.

    Returns
    -------
    Solution
        With the same flow to rounding and a control cost that is not larger.

    Raises
    ------
    ValueError, TypeError
        For other systems; for control costs other than L1, L2 and Kinetic.

    References
    ----------
    J. Berner, D. Elbraechter, P. Grohs, How degenerate is the parametrization of neural networks
    with the ReLU activation function?, NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, penalties
    >>> block = dynamics.TwoLayer(1, 1, "relu", bias=False)
    >>> problem = pmpnet.Problem(block, [[1.0]], control_cost=penalties.L2(1.0), steps=1)
    >>> found = balance(pmpnet.solve.msa(problem, [[8.0, 2.0]], max_iter=0))
    >>> found.controls.round(12).tolist(), round(found.cost, 12), found.flow([[1.0]]).round(9).tolist()
    ([[4.0, 4.0]], 16.0, [[17.0]])
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    problem, u = solution.problem, solution.controls.copy()
    outer, inner = _units(problem.dynamics)
    penalty = problem.penalty
    checks.priced_by_size(
        penalty.entrywise and penalty.convex and not penalty.boxed, repr(problem.control_cost)
    )
    l1, l2 = (np.broadcast_to(a, u.shape) for a in (penalty.l1, penalty.l2))
    if not (l1.any() or l2.any()):
        l2 = np.ones_like(u)
    dead = ~(u[:, outer].any(axis=2) & u[:, inner].any(axis=2))

    def parts(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v = u[:, places]
        return (l1[:, places] * np.abs(v)).sum(axis=2), (l2[:, places] * v * v / 2).sum(axis=2)

    a, b = parts(outer), parts(inner)
    r = np.ones(dead.shape)
    # where only one side is priced there is no cheapest scale
    usable = ~dead & (sum(a) > 0) & (sum(b) > 0)
    r[usable] = _cheapest(*(side[usable] for side in (*a, *b)))
    outside, inside = u[:, outer] / r[..., None], u[:, inner] * r[..., None]
    outside[dead] = inside[dead] = 0.0
    u[:, outer], u[:, inner] = outside, inside
    return priced_again(
        solution,
        problem,
        u,
        message=f"{solution.message} Balanced: the same flow, cheaper weights.",
    )


def _cheapest(a1: np.ndarray, a2: np.ndarray, b1: np.ndarray, b2: np.ndarray) -> np.ndarray:
    """Return argmin a1 / r + a2 / r^2 + b1 r + b2 r^2 over r > 0; 1 where that is no cheaper."""
    from scipy.optimize.elementwise import find_root

    def slope(log_r, a1, a2, b1, b2):
        up, down = np.exp(log_r), np.exp(-log_r)
        return b1 * up + 2 * b2 * up**2 - a1 * down - 2 * a2 * down**2

    def cost(r):
        return a1 / r + a2 / r**2 + b1 * r + b2 * r**2

    if not a1.size:
        return np.ones(0)
    found = find_root(slope, (-WIDEST, WIDEST), args=(a1, a2, b1, b2))
    r = np.exp(found.x)
    return np.where(found.success & (cost(r) < cost(1.0)), r, 1.0)


@dataclass(frozen=True)
class Directions:
    """Hidden units whose weights are not determined by the flow near them.

    Attributes
    ----------
    redundant : list of (int, int, int)
        Layer and two units with inner weights in the same direction: they could be one unit.
    opposite : list of (int, int, int)
        Layer and two units with inner weights in opposite directions.
    dead : list of (int, int)
        Layer and a unit that does nothing.
    """

    redundant: list[tuple[int, int, int]]
    opposite: list[tuple[int, int, int]]
    dead: list[tuple[int, int]]

    def __repr__(self) -> str:
        lines = [
            f"Directions: {len(self.redundant)} redundant and {len(self.opposite)} opposite pairs, "
            f"{len(self.dead)} dead units"
        ]
        for name in ("redundant", "opposite"):
            lines += [f"  layer {k}: units {i} and {j} {name}" for k, i, j in getattr(self, name)]
        return "\n".join(lines + [f"  layer {k}: unit {j} dead" for k, j in self.dead])


def directions(solution: Solution, tol: float = 1e-6) -> Directions:
    """Name redundant, opposite and dead hidden units: where weights are far from determined.

    Parameters
    ----------
    solution : Solution
        Of `TwoLayer` or `Neurons` with activation identity, relu or leaky_relu.
    tol : float, default 1e-6
        Largest distance of two unit vectors that count as one direction.

    Returns
    -------
    Directions

    Raises
    ------
    ValueError, TypeError
        For other systems.

    References
    ----------
    J. Berner, D. Elbraechter, P. Grohs, How degenerate is the parametrization of neural networks
    with the ReLU activation function?, NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> block = dynamics.TwoLayer(1, 3, "relu")
    >>> problem = pmpnet.Problem(block, [[1.0]], terminal_cost=losses.Squared(), steps=1)
    >>> u = block.pack(A=[[1, 1, 1]], W=[[1], [2], [-1]], c=[1, 2, -1])
    >>> directions(pmpnet.solve.msa(problem, u[None], max_iter=0))
    Directions: 1 redundant and 2 opposite pairs, 0 dead units
      layer 0: units 0 and 1 redundant
      layer 0: units 0 and 2 opposite
      layer 0: units 1 and 2 opposite
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    tol = checks.real("tol", tol, least=0.0)
    outer, inner = _units(solution.problem.dynamics)
    redundant, opposite, gone = [], [], []
    for k, row in enumerate(solution.controls):
        a, w = row[outer], row[inner]
        dead = ~(a.any(axis=1) & w.any(axis=1))
        gone += [(k, int(j)) for j in np.flatnonzero(dead)]
        n = w / np.where(dead, 1.0, np.linalg.norm(w, axis=1))[:, None]
        live = ~dead[:, None] & ~dead
        for sign, pairs in ((1, redundant), (-1, opposite)):
            apart = np.linalg.norm(n[:, None] - sign * n, axis=2)
            i, j = np.nonzero(np.triu(live & (apart <= tol), 1))
            pairs += [(k, int(a), int(b)) for a, b in zip(i, j, strict=True)]
    return Directions(redundant, opposite, gone)
