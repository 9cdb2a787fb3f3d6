"""Descent methods on the same exact gradient: gradient flow, and the usual gradient training."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..reduced import Point, Reduced
from .batches import Batches
from .loop import Step, Steps, front, rounding


@front("gradient_flow")
def gradient_flow(
    reduced: Reduced,
    v: np.ndarray,
    step: float = 1.0,
    shrink: float = 0.5,
    decrease: float = 0.5,
    smallest_step: float = 1e-12,
    last: Step | None = None,
) -> Steps:
    """Projected gradient flow in L2(0, T) with Armijo steps.

    The differentiable part of the cost moves by its gradient, the rest (L1, Group, the set U) by
    its proximal map: ``v+ = prox(v + gamma (g - R'(v)))``. A step is accepted if the cost falls
    by ``decrease / gamma |v+ - v|^2``; otherwise gamma shrinks, for good.

    {common}
    step : float, default 1.0
        First gamma.
    shrink : float, default 0.5
        Factor of gamma on rejection, in (0, 1).
    decrease : float, default 0.5
        Armijo's constant, in (0, 1).
    smallest_step : float, default 1e-12
        Below it the flow stops.

    Returns
    -------
    Solution

    References
    ----------
    A. Scagliotti, Deep learning approximation of diffeomorphisms via linear-control systems,
    Mathematical Control and Related Fields, 2023.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> round(pmpnet.solve.gradient_flow(problem).cost, 9)
    0.083333333
    """
    gamma = checks.real("step", step, above=0.0)
    shrink = checks.fraction("shrink", shrink)
    decrease = checks.fraction("decrease", decrease)
    smallest = checks.real("smallest_step", smallest_step, above=0.0)
    if last is None:
        last = Step(reduced.evaluate(v), state=dict(gamma=gamma))
        yield last
    x, gamma = last.point, last.state["gamma"]
    while True:
        direction = x.g - reduced.penalty_gradient(x.v)
        slack = rounding(reduced, x.cost)
        while True:
            # the gradient part of R is in the direction already: its share of prox is undone
            new = reduced.evaluate(reduced.prox_rest(x.v + gamma * direction, gamma))
            moved = new.v - x.v
            if (
                new.finite
                and new.cost <= x.cost - decrease / gamma * reduced.inner(moved, moved) + slack
            ):
                break
            gamma *= shrink
            if gamma < smallest:
                return "no step lowers the cost enough: the smallest step is reached."
        x = new
        yield Step(x, 1.0 / gamma, dict(gamma=gamma))


@front("adam")
def adam(
    reduced: Reduced,
    v: np.ndarray,
    max_iter: int,
    rng: np.random.Generator,
    learning_rate: float = 0.01,
    batch_size: int | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    last: Step | None = None,
) -> Steps:
    """Adam on the exact gradient dJ/du: the usual training, for comparison.

    Runs ``max_iter`` steps and returns the best controls seen. L1 and Group enter by their usual
    subgradient, so that zeros are not exact; the set U by projection after each step.

    {common}
    learning_rate : float, default 0.01
        On dJ/du, which is not divided by h.
    batch_size : int, optional
        Samples per step, drawn by shuffled epochs; all without it.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay of the means.
    epsilon : float, default 1e-8
        Added to the root of the second mean.

    Returns
    -------
    Solution
        With minibatches the history has one row per epoch.

    References
    ----------
    D. Kingma, J. Ba, Adam: a method for stochastic optimization, ICLR 2015.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> round(pmpnet.solve.adam(problem, learning_rate=0.05, max_iter=300).cost, 4)
    0.0833
    """
    rate = checks.real("learning_rate", learning_rate, above=0.0)
    beta1, beta2 = checks.fraction("beta1", beta1), checks.fraction("beta2", beta2)
    epsilon = checks.real("epsilon", epsilon, above=0.0)

    def update(v: np.ndarray, slope: np.ndarray, moments: dict) -> tuple[np.ndarray, dict]:
        t = moments["t"] + 1
        mean = beta1 * moments["mean"] + (1 - beta1) * slope
        square = beta2 * moments["square"] + (1 - beta2) * slope * slope
        scale = np.sqrt(square / (1 - beta2**t)) + epsilon
        v = v - rate * (mean / (1 - beta1**t)) / scale
        return v, dict(mean=mean, square=square, t=t)

    moments = dict(mean=np.zeros(reduced.size), square=np.zeros(reduced.size), t=0)
    return _train(reduced, v, max_iter, rng, batch_size, update, moments, last)


@front("sgd")
def sgd(
    reduced: Reduced,
    v: np.ndarray,
    max_iter: int,
    rng: np.random.Generator,
    learning_rate: float = 0.1,
    batch_size: int | None = None,
    momentum: float = 0.9,
    last: Step | None = None,
) -> Steps:
    """Gradient descent with momentum on the exact gradient dJ/du, for comparison.

    Runs ``max_iter`` steps and returns the best controls seen.

    {common}
    learning_rate : float, default 0.1
        On dJ/du, which is not divided by h.
    batch_size : int, optional
        Samples per step, drawn by shuffled epochs; all without it.
    momentum : float, default 0.9
        Part of the last step that is kept; 0 for plain gradient descent.

    Returns
    -------
    Solution
        With minibatches the history has one row per epoch.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> round(pmpnet.solve.sgd(problem, learning_rate=0.5).cost, 6)
    0.083333
    """
    rate = checks.real("learning_rate", learning_rate, above=0.0)
    momentum = checks.real("momentum", momentum, least=0.0)

    def update(v: np.ndarray, slope: np.ndarray, moments: dict) -> tuple[np.ndarray, dict]:
        speed = momentum * moments["speed"] + slope
        return v - rate * speed, dict(speed=speed)

    moments = dict(speed=np.zeros(reduced.size))
    return _train(reduced, v, max_iter, rng, batch_size, update, moments, last)


def _train(reduced, v, max_iter, rng, batch_size, update, moments, last) -> Steps:
    """Step along minibatch gradients; price the whole problem once per epoch."""
    M = reduced.samples.count
    size = M if batch_size is None else min(checks.integer("batch_size", batch_size, 1), M)
    if last is None:
        last = Step(reduced.evaluate(v), state=dict(v=v, moments=moments, done=0, batches=None))
        yield last
    v, moments, before, drawn = last.state.values()
    if size == M:
        point = last.point
        while True:
            v, moments = update(point.v, _slope(reduced, point), moments)
            point = reduced.evaluate(reduced.project(v))
            yield Step(point, state=dict(v=point.v, moments=moments, done=0, batches=None))
    batches = Batches(M, size, rng, drawn)
    for done, (index, ends) in enumerate(batches, start=before + 1):
        slope = _slope(reduced, reduced.on(index).evaluate(v))
        v, moments = update(v, slope, moments)
        v = reduced.project(v)
        point = reduced.evaluate(v) if ends or done == max_iter else None
        yield Step(point, state=dict(v=v, moments=moments, done=done, batches=batches.state))


def _slope(reduced: Reduced, point: Point) -> np.ndarray:
    """Plain gradient dJ/dv: the Riesz gradient times the metric."""
    return reduced.metric * (reduced.penalty_subgradient(point.v) - point.g)
