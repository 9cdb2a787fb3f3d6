"""Many samples: growing random subsamples, and proximal steps on minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .. import checks
from ..distributed import Partitions
from ..problem import Problem
from ..reduced import Reduced
from ..solution import Solution
from .batches import Batches
from .checkpoint import Checkpoint
from .continuation import Level, follow
from .loop import METHODS, Step, Steps, front

SCHEDULES = ("constant", "cosine")


def stochastic(
    problem: Problem,
    start=None,
    max_iter: int = 500,
    tol: float = 1e-6,
    progress: bool = False,
    callback: Callable | None = None,
    seed: int = 0,
    *,
    method: str = "progressive",
    checkpoint: str | Path | Checkpoint | None = None,
    resume: str | Path | None = None,
    **options,
) -> Solution:
    """Solve a problem of many samples on some of them at a time.

    Parameters
    ----------
    problem : Problem
    start : array-like (N, c), Solution or None
        Where to begin; None is zero controls.
    max_iter : int, default 500
        Most iterations: of every level (progressive), or steps (Adam). 0 prices the start.
    tol : float, default 1e-6
        Bound on residual / max(1, residual of the start), over all samples.
    progress : bool, default False
        Whether to show a progress bar (tqdm).
    callback : callable, optional
        Called with rows as those of the history; stops the solve by returning True. The costs of
        a level are those of its samples.
    seed : int, default 0
        Of everything random: the same seed, the same bits.
    method : str, default "progressive"
        - ``"progressive"``: any other method on growing random subsamples, each solved from the
          solution of the one before, until all samples are there. The optimum of n samples is
          some n^(-1/2) from that of all, so that most of the way is gone for a part of the price.
          Options ``batch_size`` (250), samples of the first level; ``growth`` (2.0);
          ``solver`` ("accelerated"), a method or its name; ``level_iter`` (100) and ``level_tol``
          (1e-3), of the levels before the last.
        - ``"adam"``: steps on minibatches, scaled entry by entry as Adam's, but proximal: the
          control cost is minimised exactly in the step's own metric, so that its zeros are zeros
          and bounds hold. For sums of L1, L2 and Box. Options ``batch_size`` (250),
          ``learning_rate`` (0.03), ``schedule`` ("constant", or "cosine" down to 0 at
          ``max_iter``), ``average`` (0, or the decay of a mean of the iterates, which is priced
          in their place), ``beta1`` (0.9), ``beta2`` (0.99), ``epsilon`` (1e-8).
    checkpoint : path or Checkpoint, optional
        A file in which the solve is written down every 30 seconds, and at its end.
    resume : path, optional
        A file that ``checkpoint`` wrote, in a solve with the same arguments: this one goes on from
        there, to the same bits.
    **options
        Options of the method.

    Returns
    -------
    Solution
        Priced on all samples. A sweep over some of the samples counts as that part of one. The
        history has the start and then the rows over all samples: of the last level (progressive),
        or one per epoch (Adam). ``annotations["path"]`` tells of every level.

    Raises
    ------
    ValueError, TypeError
        For bad input, before any sweep.

    References
    ----------
    W. E, J. Han, Q. Li, A mean-field optimal control formulation of deep learning, Research in
    the Mathematical Sciences, 2019; R. Byrd, G. Chin, J. Nocedal, Y. Wu, Sample size selection in
    optimization methods for machine learning, Mathematical Programming, 2012; D. Kingma, J. Ba,
    Adam: a method for stochastic optimization, ICLR 2015.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.stochastic(problem, batch_size=100)
    >>> [level["samples"] for level in solution.annotations["path"]]
    [100, 200, 400, 1000]
    >>> round(solution.cost, 9)
    0.083333333
    """
    solve = STOCHASTIC[checks.choice("method", method, STOCHASTIC)]
    options |= dict(checkpoint=checkpoint, resume=resume)
    return solve(problem, start, max_iter, tol, progress, callback, seed, **options)


# ------------------------------------------------------------------------- growing subsamples


def progressive(
    problem: Problem,
    start=None,
    max_iter: int = 500,
    tol: float = 1e-6,
    progress: bool = False,
    callback: Callable | None = None,
    seed: int = 0,
    batch_size: int = 250,
    growth: float = 2.0,
    solver: str | Callable = "accelerated",
    level_iter: int = 100,
    level_tol: float = 1e-3,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: str | Path | None = None,
) -> Solution:
    """Solve on growing random subsamples; see `stochastic`."""
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    size = checks.integer("batch_size", batch_size, 1)
    growth = checks.real("growth", growth, above=1.0)
    M = problem.samples.count
    checks.sums_only(growth * size > M or not isinstance(problem.samples, Partitions))
    drawn = subsamples(M, size, growth, checks.integer("seed", seed, 0))
    sizes = ((int(np.count_nonzero(chosen)), chosen) for chosen in drawn)
    return follow(
        (Level(problem.on(chosen), n / M, {"samples": n}) for n, chosen in sizes),
        Level(problem, 1.0, {"samples": M}),
        checks.method("solver", solver, METHODS),
        start, max_iter, checks.real("tol", tol, least=0.0), progress, callback, seed,
        name='stochastic (method="progressive")',
        level_iter=checks.integer("level_iter", level_iter, 1),
        level_tol=checks.real("level_tol", level_tol, above=0.0),
        carry=True,
        told=dict(batch_size=size, growth=growth),
        checkpoint=checkpoint,
        resume=resume,
    )  # fmt: skip


def subsamples(count: int, size: int, growth: float, seed: int) -> Iterator[np.ndarray]:
    """Yield masks (count,) of random samples, each with those before and ``growth`` times as many.

    What was drawn already is drawn once more, elsewhere. No sample is treated unlike another, so
    that all subsets of a size are equally likely.
    """
    rng, chosen = np.random.default_rng(seed), np.zeros(count, bool)
    # a level that the next one would hardly outgrow is not worth its price
    while growth * size <= count:
        while missing := size - int(np.count_nonzero(chosen)):
            chosen[rng.integers(count, size=missing)] = True
        yield chosen.copy()
        size = int(np.ceil(growth * size))


# ------------------------------------------------------------------------------- minibatches


@front('stochastic (method="adam")')
def proximal_adam(
    reduced: Reduced,
    v: np.ndarray,
    max_iter: int,
    rng: np.random.Generator,
    batch_size: int = 250,
    learning_rate: float = 0.03,
    schedule: str = "constant",
    average: float = 0.0,
    beta1: float = 0.9,
    beta2: float = 0.99,
    epsilon: float = 1e-8,
    last: Step | None = None,
) -> Steps:
    """Proximal steps on minibatches, in the metric of Adam; see `stochastic`.

    With m and s the means of the slope of the sampled costs and of its square, D = s^(1/2) and
    a rate a, a step is v+ = argmin R(v) + <m, v> + |v - v_k|_D^2 / (2 a), entry by entry.
    """
    M = reduced.samples.count
    size = min(checks.integer("batch_size", batch_size, 1), M)
    rate = checks.real("learning_rate", learning_rate, above=0.0)
    checks.choice("schedule", schedule, SCHEDULES)
    average = checks.real("average", average, least=0.0)
    decay = checks.fraction("average", average) if average else 0.0
    beta1, beta2 = checks.fraction("beta1", beta1), checks.fraction("beta2", beta2)
    epsilon = checks.real("epsilon", epsilon, above=0.0)
    checks.entry_by_entry(
        'stochastic (method="adam")', reduced.entrywise, repr(reduced.problem.penalty)
    )
    if last is None:
        zero = np.zeros(reduced.size)
        last = Step(
            reduced.evaluate(v), state=dict(v=v, m=zero, s=zero, mean=zero, t=0, batches=None)
        )
        yield last
    v, m, s, mean, t, drawn = last.state.values()
    batches = Batches(M, size, rng, drawn)
    for index, ends in batches:
        slope = -reduced.metric * reduced.on(index).evaluate(v).g
        a = rate
        if schedule == "cosine":
            a = rate * (1 + np.cos(np.pi * t / max_iter)) / 2
        t += 1
        m = beta1 * m + (1 - beta1) * slope
        s = beta2 * s + (1 - beta2) * slope * slope
        D = np.sqrt(s / (1 - beta2**t)) + epsilon
        v = reduced.prox_each(v - a * m / (1 - beta1**t) / D, a * reduced.metric / D)
        mean = v + (1 - (1 - decay) / (1 - decay**t)) * (mean - v)
        point = None
        if ends or t == max_iter:
            # a mean is 0 where its last member is
            point = reduced.evaluate(reduced.project(np.where(v == 0.0, 0.0, mean)))
        yield Step(point, state=dict(v=v, m=m, s=s, mean=mean, t=t, batches=batches.state))


STOCHASTIC = {"progressive": progressive, "adam": proximal_adam}
