"""The method of successive approximations and its variants.

Every variant alternates a state sweep, a costate sweep and a closed-form maximisation of the
Hamiltonian; they differ in what keeps the maximisation honest. All of them work on the reduced
problem: ``g`` is minus the gradient of the sampled costs in L2(0, T), so that the Hamiltonian is
<g_k, v> - R(v) up to terms without v, and ``gamma = 1 / rho`` is the proximal step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import checks
from ..problem import Problem
from ..reduced import Point, Reduced
from ..solution import Solution
from .augmentation import Augmentation
from .checkpoint import Checkpoint
from .layerwise import Layerwise
from .loop import Step, Steps, front, rounding
from .memory import Memory
from .steps import (
    DECREASE,
    SMALLEST_STEP,
    STALLED,
    barzilai_borwein,
    first_step,
    proximal_step,
)

DIVERGED = (
    "diverged: the cost rose from {:.3g} at the start to {:.3g}. "
    "This variant has no safeguard; the default one has."
)
OVERFLOW = "the augmented Hamiltonian is too large for floating-point numbers: scale the problem."
NO_CHANGE = "no control that maximises an augmented Hamiltonian lowers the cost any further."
SMALLEST_EPSILON = 1e-100
ROUNDING = 4 * float(np.finfo(float).eps)  # relative: a control that moves by less does not
NEIGHBOUR = 1 + 1e-6  # ratio of two weights with nothing to be found between them


def msa(
    problem: Problem,
    start=None,
    max_iter: int = 500,
    tol: float = 1e-6,
    progress: bool = False,
    callback: Callable | None = None,
    seed: int = 0,
    *,
    variant: str = "accelerated",
    starts: int = 1,
    needles: int = 0,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: str | Path | None = None,
    **options,
) -> Solution:
    """Solve by successive approximations: Pontryagin's principle, iterated.

    Parameters
    ----------
    problem : Problem
    start : array-like (N, c), Solution or None
        Where to begin; a Solution on another grid is interpolated. None is zero controls.
    max_iter : int, default 500
        Most iterations; 0 prices the start.
    tol : float, default 1e-6
        Bound on residual / max(1, residual of the start).
    progress : bool, default False
        Whether to show a progress bar (tqdm): cost, gap, sweeps per second, time left.
    callback : callable, optional
        Called with every row of the history; stops the solve by returning True.
    seed : int, default 0
        Of everything random.
    variant : str, default "accelerated"
        How the maximisation of the Hamiltonian is kept honest:

        - ``"accelerated"``: quasi-Newton in the Hamiltonian-gradient variable, safeguarded by
          sufficient decrease; nothing to tune. Options ``memory`` (20), ``trials`` (3).
        - ``"proximal"``: a proximal weight chosen by Barzilai and Borwein's rule.
        - ``"damped"``: a part ``damping`` (0.1) of the way to the maximiser; no safeguard.
        - ``"basic"``: the maximiser itself (Krylov & Chernousko). Diverges on ordinary problems,
          and says so.
        - ``"sqh"``: the maximiser of H - epsilon |v - u|^2, with epsilon adapted until the cost
          falls (Breitenbach & Borzi); with `Finite` and `L0` too. Options ``epsilon`` (1),
          ``sigma`` (2), ``zeta`` (0.8), ``eta`` (1e-4).
        - ``"augmented"``: the Hamiltonian is augmented by what the equations of states and
          costates lose (Li, Chen, Tai & E); for systems affine in the control, with L2 or no
          control cost. Options ``rho`` (1), ``adaptive`` (True).
        - ``"synchronous"``: control and new states together, forward in time, with stored
          costates (Sakawa & Shindo; Scagliotti). Options ``step`` (1), ``shrink`` (0.5),
          ``smallest_step``.
    starts : int, default 1
        How many starts to run: the given one, and 0.1 N(0, 1) seeded ones. The best is kept.
    needles : int, default 0
        Candidates per layer of a global maximisation of the Hamiltonian once the method has
        converged. Layers where one beats the control are changed and the solve goes on. For few
        controls and samples, where the Hamiltonian is not concave in the control.
    checkpoint : path or Checkpoint, optional
        A file in which the solve is written down every 30 seconds, and at its end.
    resume : path, optional
        A file that ``checkpoint`` wrote, in a solve with the same arguments that was stopped or
        killed: this one goes on from there, to the same bits as if nothing had happened. Where
        both are one path and there is no file yet, the solve begins.
    **options
        Options of the variant.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError, TypeError
        For bad input, before any sweep. A solve that fails returns, with the reason in
        ``message`` and the last good control.

    References
    ----------
    I. Krylov, F. Chernousko, 1962; Y. Sakawa, Y. Shindo, 1980; Q. Li, L. Chen, C. Tai, W. E,
    Maximum principle based algorithms for deep learning, JMLR 2018; T. Breitenbach, A. Borzi,
    2019; A. Scagliotti, MCRF 2023.

    Examples
    --------
    A translation: the optimum is known, (beta/2) / (1 + beta/2) |c|^2.

    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.msa(problem, tol=1e-10)
    >>> solution.success, round(solution.cost, 10)
    (True, 0.0833333333)
    """
    solve = VARIANTS[checks.choice("variant", variant, VARIANTS)]
    common = dict(starts=starts, needles=needles, checkpoint=checkpoint, resume=resume)
    return solve(problem, start, max_iter, tol, progress, callback, seed, **common, **options)


# ------------------------------------------------------------------------------ accelerated


@front('msa (variant="accelerated")')
def accelerated(
    reduced: Reduced,
    v: np.ndarray,
    memory: int = 20,
    trials: int = 3,
    curvature: Memory | None = None,
    last: Step | None = None,
) -> Steps:
    """Quasi-Newton in the Hamiltonian-gradient variable, safeguarded by sufficient decrease.

    =========  ==========================================================================
    symbol     meaning
    =========  ==========================================================================
    ``x``      the iterate, a feasible decision with cost and g
    ``f``      x + gamma g, the forward point; prox(f) maximises the augmented Hamiltonian
    ``r``      x - prox(f), the proximal residual, zero exactly at a fixed point
    ``d``      H r, with H the limited memory of the pairs (change of x, change of r)
    ``C, Q``   reference cost of Zhang & Hager's nonmonotone test
    =========  ==========================================================================

    The candidate prox(f + (1 + gamma l2) (r - d)) moves the forward point, not the control, so
    that every trial is feasible and exactly sparse; l2 is the weight of the energy, by which prox
    divides. Where the active entries do not change the candidate is x - d: a quasi-Newton step on the active entries alone, whose Jacobian is symmetric and whose inactive part is zero.
    Where no candidate is accepted a proximal step is taken; it succeeds for gamma small enough,
    so that the method converges whatever H is.

    ``curvature`` is a memory that another solve has left, of a problem like this one: it is gone
    on with, and left to the next.
    """
    memory = Memory(reduced, checks.size("memory", memory, 1)) if curvature is None else curvature
    trials = checks.integer("trials", trials, 0)
    if last is None:
        last = Step(reduced.evaluate(v))
        yield last
    x = last.point
    if last.state:
        gamma, smallest, before, C, Q, pairs = last.state.values()
        memory.restore(pairs)
    else:
        gamma = memory.gamma = memory.gamma or first_step(reduced, x)
        smallest = gamma * SMALLEST_STEP
        before, C, Q = None, x.cost, 1.0
    while True:
        f = x.v + gamma * x.g
        r = x.v - reduced.prox(f, gamma)
        if before is not None:
            memory.push(x.v - before[0], r - before[1])
        before = x.v, r
        slack = rounding(reduced, x.cost)
        new = None
        if len(memory):
            bound = C - DECREASE / (2 * gamma) * reduced.inner(r, r) + slack
            move = reduced.undo_energy(r - memory.apply(r, x), gamma, x.v)
            new = _candidate(reduced, f, move, gamma, bound, trials)
        if new is None:
            new, gamma_used = proximal_step(reduced, x, gamma, x.cost + slack, smallest)
            if new is None:
                return STALLED
            longer = barzilai_borwein(reduced, x, new)
            if not 3 * gamma_used < longer < 1e6:
                longer = gamma_used
            if longer != gamma:  # pairs of another gamma belong to another residual
                gamma = memory.gamma = longer
                memory.reset()
                before = None
        x = new
        C, Q = (0.85 * Q * C + x.cost) / (0.85 * Q + 1), 0.85 * Q + 1
        state = dict(gamma=gamma, smallest=smallest, before=before, C=C, Q=Q, memory=memory.state)
        yield Step(x, 1.0 / gamma, state)


def _candidate(
    reduced: Reduced, f: np.ndarray, move: np.ndarray, gamma: float, bound: float, trials: int
) -> Point | None:
    """Try prox(f + move), then points ever nearer to the proximal step prox(f)."""
    for i in range(trials):
        trial = reduced.evaluate(reduced.prox(f + 0.3**i * move, gamma))
        if trial.finite and trial.cost <= bound:
            return trial
    return None


# --------------------------------------------------------------------------------- proximal


@front('msa (variant="proximal")')
def proximal(reduced: Reduced, v: np.ndarray, last: Step | None = None) -> Steps:
    """Maximise the augmented Hamiltonian; its weight follows Barzilai and Borwein's rule.

    References
    ----------
    Y. Sakawa, Y. Shindo, 1980; J. Barzilai, J. Borwein, 1988; H. Zhang, W. Hager, 2004.
    """
    if last is None:
        last = Step(reduced.evaluate(v))
        yield last
    x = last.point
    if last.state:
        gamma, smallest, C, Q = last.state.values()
    else:
        gamma = first_step(reduced, x)
        smallest = gamma * SMALLEST_STEP
        C, Q = x.cost, 1.0
    while True:
        new, used = proximal_step(reduced, x, gamma, C + rounding(reduced, x.cost), smallest)
        if new is None:
            return STALLED
        known = reduced.kinetic_curvature(x, new.v - x.v)  # the maximiser counts it by itself
        gamma = float(np.clip(barzilai_borwein(reduced, x, new, known) or 2 * gamma, 1e-10, 1e10))
        x = new
        C, Q = (0.85 * Q * C + x.cost) / (0.85 * Q + 1), 0.85 * Q + 1
        yield Step(x, 1.0 / used, dict(gamma=gamma, smallest=smallest, C=C, Q=Q))


# -------------------------------------------------------------------------- basic and damped


@front('msa (variant="basic")', convex=False)
def basic(reduced: Reduced, v: np.ndarray, last: Step | None = None) -> Steps:
    """Replace every control by the maximiser of the Hamiltonian; nothing keeps it honest.

    References
    ----------
    I. Krylov, F. Chernousko, On a method of successive approximations for the solution of
    problems of optimal control, 1962.
    """
    return _toward_maximiser(reduced, v, 1.0, last)


@front('msa (variant="damped")')
def damped(
    reduced: Reduced, v: np.ndarray, damping: float = 0.1, last: Step | None = None
) -> Steps:
    """Go a fixed part of the way to the maximiser of the Hamiltonian."""
    return _toward_maximiser(reduced, v, checks.real("damping", damping, above=0.0), last)


def _toward_maximiser(reduced: Reduced, v: np.ndarray, part: float, last: Step | None) -> Steps:
    checks.maximum_exists(reduced.coercive)
    if last is None:
        x = reduced.evaluate(v)
        last = Step(x, state=dict(first=x.cost))
        yield last
    x, first = last.point, last.state["first"]
    while not _diverged(first, x):
        best = reduced.maximise(x)
        # written so that part = 1 gives the maximiser's exact zeros
        x = reduced.evaluate(best if part == 1.0 else x.v + part * (best - x.v))
        yield Step(x, 0.0, dict(first=first))
    return DIVERGED.format(first, x.cost)


def _diverged(first: float, x: Point) -> bool:
    return bool(np.isfinite(x.cost) and x.cost > 1e3 * max(abs(first), 1e-300))


# ------------------------------------------------------------------------------------- sqh


@front('msa (variant="sqh")', convex=False)
def sqh(
    reduced: Reduced,
    v: np.ndarray,
    epsilon: float = 1.0,
    sigma: float = 2.0,
    zeta: float = 0.8,
    eta: float = 1e-4,
    last: Step | None = None,
) -> Steps:
    """Sequential quadratic Hamiltonian method: maximise H - epsilon |v - u|^2, pointwise.

    A maximiser at distance tau (squared) is accepted if the cost falls by eta tau, and epsilon
    becomes zeta epsilon; otherwise sigma epsilon. The Hamiltonian need be neither convex nor
    smooth in the control.

    References
    ----------
    T. Breitenbach, A. Borzi, A sequential quadratic Hamiltonian method for solving parabolic
    optimal control problems with discontinuous cost functionals, Journal of Dynamical and
    Control Systems, 2019; A. Borzi, The Sequential Quadratic Hamiltonian Method, CRC Press, 2023.
    """
    epsilon = checks.real("epsilon", epsilon, above=0.0)
    sigma = checks.real("sigma", sigma, above=1.0)
    zeta = checks.fraction("zeta", zeta)
    eta = checks.real("eta", eta, above=0.0)
    if last is None:
        last = Step(reduced.evaluate(reduced.project(v)), state=dict(epsilon=epsilon))
        yield last
    x, epsilon = last.point, last.state["epsilon"]
    while True:
        # of the weights tried here: the largest one that was rejected, the smallest without change
        rejected, still, slack = 0.0, np.inf, rounding(reduced, x.cost)
        while True:
            best = reduced.maximise(x, 0.5 / epsilon)
            moved = best - x.v
            tau = reduced.inner(moved, moved)
            if tau <= ROUNDING**2 * reduced.inner(x.v, x.v):
                still = epsilon
            else:
                new = reduced.evaluate(best)
                if new.finite and new.cost <= x.cost - eta * tau + slack:
                    break
                rejected = epsilon
            if still <= NEIGHBOUR * rejected or not SMALLEST_EPSILON < epsilon < 1e100:
                return NO_CHANGE
            if still == np.inf:
                epsilon *= sigma
            elif rejected == 0.0:
                epsilon *= zeta
            else:  # values change all at once: some of the changes may lower the cost
                epsilon = float(np.sqrt(rejected * still))
        x, used = new, epsilon
        epsilon *= zeta
        yield Step(x, 2 * used, dict(epsilon=epsilon))


# ------------------------------------------------------------------------------- augmented


@front('msa (variant="augmented")')
def augmented(
    reduced: Reduced,
    v: np.ndarray,
    rho: float = 1.0,
    adaptive: bool = True,
    last: Step | None = None,
) -> Steps:
    """Maximise the Hamiltonian less rho/2 times how much states and costates lose their equations.

    With ``adaptive`` rho doubles until the cost falls, and then becomes 0.8 rho; without, it is
    fixed, and nothing keeps the maximisation honest if it is too small.

    References
    ----------
    Q. Li, L. Chen, C. Tai, W. E, Maximum principle based algorithms for deep learning, JMLR 2018.
    """
    rho = checks.real("rho", rho, above=0.0)
    adaptive = checks.flag("adaptive", adaptive)
    largest = rho / SMALLEST_STEP
    augmentation = Augmentation(reduced)
    if last is None:
        x, states, costates = reduced.trajectories(v)
        first = x.cost
        yield Step(x, state=dict(first=first, rho=rho))
    else:
        first, rho = last.state.values()
        # once more, where they are counted already
        again = Reduced(reduced.problem, multipliers=reduced.multipliers)
        x, states, costates = again.trajectories(last.point.v)
    while adaptive or not _diverged(first, x):
        A = augmentation.along(states, costates)
        slack = rounding(reduced, x.cost)
        while True:
            if not np.isfinite(rho * A).all():
                return OVERFLOW
            moved, loss = augmentation.step(x, rho * A)
            new, states, costates = reduced.trajectories(x.v + moved)
            if not adaptive or (new.finite and new.cost <= x.cost - DECREASE * loss + slack):
                break
            rho *= 2.0
            if rho > largest:
                return STALLED
        x, used = new, rho
        if adaptive:
            rho *= 0.8
        yield Step(x, used, dict(first=first, rho=rho))
    return DIVERGED.format(first, x.cost)


# ------------------------------------------------------------------------------- synchronous


@front('msa (variant="synchronous")')
def synchronous(
    reduced: Reduced,
    v: np.ndarray,
    step: float = 1.0,
    shrink: float = 0.5,
    smallest_step: float = 1e-12,
    last: Step | None = None,
) -> Steps:
    """Update control and states together, forward in time, against stored costates.

    Layer by layer the maximiser of the augmented Hamiltonian is taken at the *new* state, and the
    state moves on with it. Accepted if the cost falls, otherwise the step shrinks.

    References
    ----------
    Y. Sakawa, Y. Shindo, 1980; A. Scagliotti, Deep learning approximation of diffeomorphisms via
    linear-control systems, 2023 (iterative maximum principle).
    """
    gamma = checks.real("step", step, above=0.0)
    shrink = checks.fraction("shrink", shrink)
    smallest = checks.real("smallest_step", smallest_step, above=0.0)
    layers = Layerwise(reduced)
    if last is None:
        last = Step(reduced.evaluate(v), state=dict(gamma=gamma))
        yield last
    x, gamma = last.point, last.state["gamma"]
    while True:
        costates = layers.costates(x.v)
        while True:
            new = reduced.evaluate(layers.maximise(x, costates, gamma))
            if new.finite and new.cost < x.cost:
                break
            gamma *= shrink
            if gamma < smallest:
                return STALLED
        x = new
        yield Step(x, 1.0 / gamma, dict(gamma=gamma))


VARIANTS = {
    "accelerated": accelerated,
    "proximal": proximal,
    "damped": damped,
    "basic": basic,
    "synchronous": synchronous,
    "augmented": augmented,
    "sqh": sqh,
}
