"""Descent methods on the same exact gradient: gradient flow, and the usual gradient training."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..reduced import Point, Reduced
from .loop import Step, Steps, front, rounding


@front("gradient_flow")
def gradient_flow(
    reduced: Reduced,
    v: np.ndarray,
    step: float = 1.0,
    shrink: float = 0.5,
    decrease: float = 0.5,
    smallest_step: float = 1e-12,
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
    x = reduced.evaluate(v)
    yield Step(x)
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
        yield Step(x, 1.0 / gamma)


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
    mean, square, t = np.zeros(reduced.size), np.zeros(reduced.size), 0

    def update(v: np.ndarray, slope: np.ndarray) -> np.ndarray:
        nonlocal mean, square, t
        t += 1
        mean = beta1 * mean + (1 - beta1) * slope
        square = beta2 * square + (1 - beta2) * slope * slope
        scale = np.sqrt(square / (1 - beta2**t)) + epsilon
        return v - rate * (mean / (1 - beta1**t)) / scale

    return _train(reduced, v, max_iter, rng, batch_size, update)


@front("sgd")
def sgd(
    reduced: Reduced,
    v: np.ndarray,
    max_iter: int,
    rng: np.random.Generator,
    learning_rate: float = 0.1,
    batch_size: int | None = None,
    momentum: float = 0.9,
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
    speed = np.zeros(reduced.size)

    def update(v: np.ndarray, slope: np.ndarray) -> np.ndarray:
        nonlocal speed
        speed = momentum * speed + slope
        return v - rate * speed

    return _train(reduced, v, max_iter, rng, batch_size, update)


def _train(reduced, v, max_iter, rng, batch_size, update) -> Steps:
    """Step along minibatch gradients; price the whole problem once per epoch."""
    M = reduced.samples.count
    size = M if batch_size is None else min(checks.integer("batch_size", batch_size, 1), M)
    point = reduced.evaluate(v)
    yield Step(point)
    if size == M:
        while True:
            v = reduced.project(update(point.v, _slope(reduced, point)))
            point = reduced.evaluate(v)
            yield Step(point)
    done = 0
    while True:
        order = rng.permutation(M)
        for first in range(0, M, size):
            batch = reduced.on(order[first : first + size])
            v = reduced.project(update(v, _slope(reduced, batch.evaluate(v))))
            done += 1
            last = first + size >= M or done == max_iter
            yield Step(reduced.evaluate(v) if last else None)


def _slope(reduced: Reduced, point: Point) -> np.ndarray:
    """Plain gradient dJ/dv: the Riesz gradient times the metric."""
    return reduced.metric * (reduced.penalty_subgradient(point.v) - point.g)
