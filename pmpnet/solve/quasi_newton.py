"""Quasi-Newton methods on the reduced cost: L-BFGS-B, and its orthant-wise form for L1."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

import numpy as np

from .. import checks
from ..reduced import Point, Reduced
from .blas import one_thread
from .loop import Step, Steps, front, rounding
from .memory import Memory

DECREASE = 1e-4  # Armijo's constant of the orthant-wise form
SMALLEST_STEP = 2.0**-40  # of its line search, after which the memory is dropped
STALLED = "no step lowers the cost any further: the limit of rounding is reached."


@front("lbfgs")
def lbfgs(
    reduced: Reduced,
    v: np.ndarray,
    memory: int = 20,
    last: Step | None = None,
    keep: bool = False,
) -> Steps:
    """Limited-memory BFGS on the reduced cost, in the inner product of L2(0, T).

    Smooth costs and boxes go to scipy's L-BFGS-B, in the variables ``sqrt(metric) v``; costs
    with `L1` to the orthant-wise form of the method, whose zeros are exact.

    {common}
    memory : int, default 20
        Pairs of changes that are kept.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If the control cost is not a sum of L1, L2 and Box.

    Notes
    -----
    Orthant-wise: where v_i is not 0 the cost with l1 |v_i| is smooth as long as v_i keeps its
    sign, and at 0 the slope that matters is the pseudo-gradient, the element of the
    subdifferential nearest to 0. The quasi-Newton direction of the pseudo-gradient loses the
    entries at 0, or at a bound, that it does not descend along; the step is projected on the
    orthant it starts into (and on the box), so that entries stop at 0. The memory holds changes
    of the smooth part's gradient only.

    References
    ----------
    R. Byrd, P. Lu, J. Nocedal, C. Zhu, A limited memory algorithm for bound constrained
    optimization, SIAM J. Scientific Computing, 1995; G. Andrew, J. Gao, Scalable training of
    L1-regularized log-linear models, ICML 2007.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> round(pmpnet.solve.lbfgs(problem).cost, 10)
    0.0833333333
    """
    memory = checks.size("memory", memory, 1)
    checks.entry_by_entry("lbfgs", reduced.entrywise, repr(reduced.problem.penalty))
    v = reduced.project(v)
    if reduced.thresholds(v).any():
        return _orthantwise(reduced, v, Memory(reduced, memory), last)
    return _bounded(reduced, v, memory, last, keep)


# ---------------------------------------------------------------------------- scipy's L-BFGS-B


def _bounded(reduced: Reduced, v: np.ndarray, memory: int, last: Step | None, keep: bool) -> Steps:
    """Run scipy's L-BFGS-B in the variables in which the inner product is the plain one.

    What scipy knows cannot be taken out of it. To go on, it begins anew and is given the answers
    it was given before, which are kept for that, and its first iterates are passed over.
    """
    from scipy.optimize import minimize

    root = np.sqrt(reduced.metric)
    if last is None:
        first = reduced.evaluate(v)
        last = Step(first, state=dict(points=[first], told=0))
        yield last
    points, passed = list(last.state["points"]), last.state["told"]
    known = iter(points[1:])
    first = point = points[0]

    def priced(y: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal point
        v = y / root
        if not np.array_equal(v, point.v):
            point = next(known, None)
            if point is not None:
                checks.same_answers(np.array_equal(v, point.v, equal_nan=True))
            else:
                point = reduced.evaluate(v)
                if keep:
                    points.append(point)
        return point.cost, root * (reduced.penalty_gradient(v) - point.g)

    def run(tell: Callable[[Point], None]) -> str:
        bounds = np.transpose(np.stack(reduced.bounds) * root)
        options = dict(maxcor=memory, ftol=0.0, gtol=0.0, maxiter=2**31 - 1, maxfun=2**31 - 1)
        minimize(
            priced, root * first.v, jac=True, method="L-BFGS-B", bounds=bounds, options=options,
            callback=lambda intermediate_result: tell(point),
        )  # fmt: skip
        return STALLED

    with one_thread:
        for count, iterate in enumerate(told := _Told(run), start=1):
            if count > passed:
                yield Step(iterate, state=dict(points=points, told=count))
    return told.result


class _Told:
    """What a function that calls back tells, one by one: it runs in a thread and waits its turn.

    ``run(tell)`` calls tell(value) for every value; where nobody wants more, tell raises
    StopIteration. Afterwards ``result`` is what run returned.
    """

    def __init__(self, run: Callable[[Callable[[Any], None]], Any]) -> None:
        self.run, self.result = run, None

    def __iter__(self) -> Generator[Any, None, None]:
        told, wanted, end = SimpleQueue(), SimpleQueue(), object()

        def tell(value: Any) -> None:
            told.put(value)
            if not wanted.get():
                raise StopIteration

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(copy_context().run, self.run, tell)
            done.add_done_callback(lambda _: told.put(end))
            try:
                while (value := told.get()) is not end:
                    yield value
                    wanted.put(True)
                self.result = done.result()
            finally:
                wanted.put(False)  # where run still waits, it ends


# -------------------------------------------------------------------------------- orthant-wise


def _orthantwise(reduced: Reduced, v: np.ndarray, memory: Memory, last: Step | None) -> Steps:
    """Descend along quasi-Newton directions of the pseudo-gradient, orthant by orthant."""
    lower, upper = reduced.bounds
    if last is None:
        last = Step(reduced.evaluate(v), state=memory.state)
        yield last
    x = last.point
    memory.restore(last.state)
    slope = reduced.penalty_gradient(x.v) - x.g
    while True:
        l1 = reduced.thresholds(x.v)
        steepest = -_pseudo_gradient(x.v, slope, l1, lower, upper)
        size = reduced.norm(steepest)
        if size == 0.0:
            return STALLED
        # an entry keeps its sign; one that is 0 may leave to the side of its descent
        sign = np.where(x.v == 0, np.sign(steepest), np.sign(x.v))
        least = np.where((l1 > 0) & (sign >= 0), np.maximum(lower, 0), lower)
        most = np.where((l1 > 0) & (sign <= 0), np.minimum(upper, 0), upper)
        edge = (x.v <= least) | (x.v >= most)
        slack = rounding(reduced, x.cost)
        while True:
            d = memory.apply(steepest) if len(memory) else steepest / size
            d = np.where(edge & (d * steepest <= 0), 0.0, d)
            new = _line_search(reduced, x, d, steepest, (least, most), slack)
            if new is not None:
                break
            if not len(memory):
                return STALLED
            memory.reset()
        before, slope = slope, reduced.penalty_gradient(new.v) - new.g
        memory.push(new.v - x.v, slope - before)
        x = new
        yield Step(x, state=memory.state)


def _pseudo_gradient(
    v: np.ndarray, slope: np.ndarray, l1: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Return the element of the subdifferential nearest to 0, bounds that hold back included."""
    right, left = slope + np.where(v >= 0, l1, -l1), slope + np.where(v > 0, l1, -l1)
    right = np.where(v >= upper, np.inf, right)
    left = np.where(v <= lower, -np.inf, left)
    return np.where(right < 0, right, np.where(left > 0, left, 0.0))


def _line_search(
    reduced: Reduced,
    x: Point,
    d: np.ndarray,
    steepest: np.ndarray,
    orthant: tuple[np.ndarray, np.ndarray],
    slack: float,
) -> Point | None:
    """Halve the step until the cost falls by Armijo's rule along the projected path."""
    step = 1.0
    while step >= SMALLEST_STEP:
        new = reduced.evaluate(np.clip(x.v + step * d, *orthant))
        predicted = reduced.inner(steepest, new.v - x.v)
        if new.finite and predicted > 0 and new.cost <= x.cost - DECREASE * predicted + slack:
            return new
        step *= 0.5
    return None
