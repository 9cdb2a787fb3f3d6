"""Newton's method in control space: second derivatives on the entries that are free to move."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..reduced import Point, Reduced
from ..tangent import SWEEPS, Tangent
from .loop import Step, Steps, front, rounding
from .steps import SMALLEST_STEP, STALLED, barzilai_borwein, first_step, proximal_step

SETTLED = 0.02  # largest part of the entries whose freedom may have changed
SHRINK_BELOW, GROW_ABOVE, ACCEPT_ABOVE = 0.2, 0.7, 1e-4  # of the decrease that was predicted
SMALLEST_RADIUS = 1e-14  # relative to the control: a step of this length is rounding
BENT_DOWN = (
    "no step along the negative curvature of the Hessian lowers the cost, however short: "
    'hessian="gauss-newton" has no such curvature where the losses are convex.'
)


@front("newton")
def newton(
    reduced: Reduced,
    v: np.ndarray,
    radius: float = 1.0,
    cg_steps: int = 40,
    hessian: str = "exact",
    last: Step | None = None,
) -> Steps:
    """Newton's method with L1 and boxes: proximal identification, then conjugate gradients.

    A proximal step finds which entries are free: not held at 0 by L1 and not at a bound. Once
    they settle, the quadratic model of the cost on the free entries, with the Hessian of the
    sampled costs (a tangent sweep and a costate sweep of both per product), is minimised in a
    trust region by truncated conjugate gradients. Entries that would change sign stop at 0.

    {common}
    radius : float, default 1.0
        First trust region, in the norm of L2(0, T).
    cg_steps : int, default 40
        Most Hessian products per iteration. Each counts four sweeps.
    hessian : {"exact", "gauss-newton"}, default "exact"
        Gauss-Newton leaves out the second derivatives of the dynamics, which the costate weighs.
        What is left has no negative curvature where the losses are convex, and is close where
        the costates are small at the optimum.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        For constraints, a trained readout, a free horizon, a Kinetic cost, groups and balls:
        of these there are no second derivatives here.

    References
    ----------
    T. Steihaug, The conjugate gradient method and trust regions in large scale optimization,
    SIAM Journal on Numerical Analysis, 1983; G. Stadler, Elliptic optimal control problems with
    L1-control cost, Computational Optimization and Applications, 2009; N. Schraudolph, Fast
    curvature matrix-vector products for second-order gradient descent, Neural Computation, 2002.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.newton(problem, tol=1e-12)
    >>> solution.nit < 5, round(solution.cost, 12)
    (True, 0.083333333333)
    """
    radius = checks.real("radius", radius, above=0.0)
    cg_steps = checks.integer("cg_steps", cg_steps, 1)
    model = _Quadratic(reduced, hessian)
    if last is None:
        last = Step(reduced.evaluate(v))
        yield last
    x = last.point
    if last.state:
        gamma, smallest, free_before, radius = last.state.values()
    else:
        gamma = first_step(reduced, x)
        smallest, free_before = gamma * SMALLEST_STEP, None
    while True:
        slack = rounding(reduced, x.cost)
        new, used = proximal_step(reduced, x, gamma, x.cost + slack, smallest)
        if new is None:
            return STALLED
        gamma = float(np.clip(barzilai_borwein(reduced, x, new) or 2 * used, 1e-10, 1e10))
        x = new
        free = model.free(x.v)
        settled = free_before is not None and np.mean(free != free_before) <= SETTLED
        free_before = free
        if settled:
            step, predicted, at_boundary = model.minimise(x, free, radius, cg_steps)
            trial = reduced.evaluate(model.within(x.v, step))
            actual = x.cost - trial.cost if trial.finite else -np.inf
            quality = (actual + slack) / (predicted + slack)
            if quality < SHRINK_BELOW:
                radius = 0.25 * reduced.norm(step)
            elif quality > GROW_ABOVE and at_boundary:
                radius *= 2.5
            if quality > ACCEPT_ABOVE:
                x = trial
            elif model.bent_down and radius <= SMALLEST_RADIUS * reduced.norm(x.v):
                return BENT_DOWN
        state = dict(gamma=gamma, smallest=smallest, free_before=free_before, radius=radius)
        yield Step(x, 1.0 / used, state)


class _Quadratic:
    """The quadratic model of the cost on the entries that are free.

    ``bent_down`` tells whether the last minimisation met negative curvature.
    """

    def __init__(self, reduced: Reduced, hessian: str) -> None:
        problem = reduced.problem
        checks.entry_by_entry("newton", reduced.entrywise, repr(problem.penalty))
        self.reduced = reduced
        self.tangent = Tangent(problem, hessian)
        self.bent_down = False
        reduced.compiling += self.tangent.prepare()
        self.lower, self.upper = reduced.bounds
        self.l1 = reduced.thresholds(np.zeros(reduced.size))
        self.l2 = np.broadcast_to(problem.penalty.l2, problem.control_shape).ravel()

    def free(self, v: np.ndarray) -> np.ndarray:
        """Return which entries the cost is differentiable in, within their bounds."""
        inside = (v > self.lower) & (v < self.upper)
        return inside & ((v != 0) | (self.l1 == 0))

    def within(self, v: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return v + step, stopped at 0 by L1 and at the bounds."""
        moved = v + step
        moved[(self.l1 > 0) & (moved * v < 0)] = 0.0
        return np.clip(moved, self.lower, self.upper)

    def _product(self, v: np.ndarray, w: np.ndarray, free: np.ndarray) -> np.ndarray:
        reduced = self.reduced
        H = self.tangent.product(reduced.control(v), reduced.control(w)).ravel()
        reduced.nfev += SWEEPS
        reduced.njev += SWEEPS
        return free * (H + self.l2 * w)

    def minimise(
        self, x: Point, free: np.ndarray, radius: float, most: int
    ) -> tuple[np.ndarray, float, bool]:
        """Minimise the model in a ball, by Steihaug's conjugate gradients.

        Returns
        -------
        step : ndarray, shape (n,)
        predicted : float
            The decrease of the model.
        at_boundary : bool
        """
        inner = self.reduced.inner
        gradient = free * (self.l2 * x.v + self.l1 * np.sign(x.v) - x.g)
        size = np.sqrt(inner(gradient, gradient))
        enough = min(0.3, np.sqrt(size)) * size
        s, Hs = np.zeros_like(x.v), np.zeros_like(x.v)
        r, p = -gradient, -gradient
        at_boundary = self.bent_down = False
        for _ in range(most):
            if not size > 0:
                break
            Hp = self._product(x.v, p, free)
            curvature, rr = inner(p, Hp), inner(r, r)
            self.bent_down |= curvature < 0
            a = rr / curvature if curvature > 0 else np.inf
            at_boundary = not a < np.inf or inner(s + a * p, s + a * p) >= radius**2
            if at_boundary:
                a = _to_boundary(inner, s, p, radius)
            s, Hs, r = s + a * p, Hs + a * Hp, r - a * Hp
            if at_boundary or np.sqrt(inner(r, r)) <= enough:
                break
            p = r + inner(r, r) / rr * p
        return s, -(inner(gradient, s) + 0.5 * inner(s, Hs)), at_boundary


def _to_boundary(inner, s: np.ndarray, p: np.ndarray, radius: float) -> float:
    """Return the a >= 0 with |s + a p| = radius."""
    pp, sp, ss = inner(p, p), inner(s, p), inner(s, s)
    return float((np.sqrt(sp**2 + pp * max(radius**2 - ss, 0.0)) - sp) / pp)
