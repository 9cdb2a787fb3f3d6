"""Supervised learning said as a control problem: rows and their targets, steered by one flow.

The model is a flow of the standardised columns and a few zeros beside them::

    x(0) = ((row - mean) / (w std), 0 .. 0)        x' = W s(x) + b        z = last entries of x(T)

The loss reads the added entries only: classes (or numbers) are what the flow has carried there.
Rows are a measure: one that occurs twice is one that weighs twice as much, their order says
nothing, and what weighs nothing is not there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from . import checks
from .dynamics import Layer
from .losses import CrossEntropy, Logistic, Loss, Squared
from .penalties import L1, L2
from .problem import Problem
from .starts import independent

# Chosen once, on splits of wine, breast_cancer and digits that `benchmarks.real_data` does not use,
# so that none of the three is behind a network of scikit-learn; for few columns and for numbers on
# moons, circles, diabetes and Friedman's functions, other draws than those of
# `benchmarks.estimators`.
STEPS = 5
ACTIVATION = "sin"  # some 0.5 % better than tanh on digits, elsewhere the same
PENALTY = 1.5  # the weight of L2 is this over the number of rows
# How many standard deviations w are 1 to the flow, at most: sin is nearly linear on most rows of
# many columns. Of few columns w is half their number: a plane is rarely divided by a line.
WIDTH = 6.0
# Of a row's cloud, in distances to its neighbours. Classes gain by it; numbers do not, and are
# learnt from the rows themselves.
SPREAD = 0.7
NEIGHBOURS = 5
FEW = 16  # columns that tell the rows of most tables apart: the others need not be sorted by
CLOUD, MOST_COPIES = 12_000, 8  # points of all clouds together; points of one


class Scales(NamedTuple):
    """Where the rows that a model has learnt from lie, and how far apart.

    Attributes
    ----------
    mean, std : ndarray, shape (n,)
        Of the columns.
    target_mean, target_std : ndarray, shape (q,), or None
        Of targets that are numbers.
    """

    mean: np.ndarray
    std: np.ndarray
    target_mean: np.ndarray | None = None
    target_std: np.ndarray | None = None

    def states(self, x: np.ndarray, dim: int) -> np.ndarray:
        """Return rows (M, n) as initial states (M, dim): standardised, with zeros beside them."""
        n = x.shape[1]
        states = np.zeros((len(x), dim))
        states[:, :n] = (x - self.mean) / (min(WIDTH, n / 2) * self.std)
        return states

    def numbers(self, z: np.ndarray) -> np.ndarray:
        """Return outputs (M, q) in the units of the targets."""
        return self.target_mean + self.target_std * z


def learning_problem(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    numbers: bool,
    dim: int | None = None,
    steps: int = STEPS,
    horizon: float = 1.0,
    activation: str = ACTIVATION,
    l1: float = 0.0,
    l2: float | None = None,
    spread: float | None = None,
    seed: int = 0,
) -> tuple[Problem, Scales]:
    """Return the control problem that learns targets from rows, and the scales of both.

    Parameters
    ----------
    x : ndarray, shape (M, n)
    y : ndarray, shape (M,) or (M, q)
        One label per row, or numbers.
    weights : ndarray, shape (M,), optional
        How often each row counts; once without them.
    numbers : bool
        Whether targets are numbers.
    dim : int, optional
        Dimension of the flow; the columns and one entry per output at least, and by default.
    steps, horizon, activation
        Of the flow.
    l1, l2 : float
        Weights of the control cost; l2 is 1.5 over the number of rows without it.
    spread : float, optional
        Each row stands for a small cloud of points on the way to its neighbours of the same
        class: the larger, the smoother the model. 0 is the rows themselves, and so is any spread
        for 12000 rows and more. Without it 0.7 for classes and 0 for numbers.
    seed : int
        Of the clouds.

    Returns
    -------
    problem : Problem
    scales : Scales

    Raises
    ------
    ValueError, TypeError
        For options out of range.

    References
    ----------
    C. Bishop, Training with noise is equivalent to Tikhonov regularization, Neural Computation,
    1995.

    Examples
    --------
    >>> x, y = np.array([[1.0], [2.0], [2.0]]), np.array(["a", "b", "b"])
    >>> problem, scales = learning_problem(x, y, numbers=False, spread=0.0)
    >>> problem.initial_states.shape, problem.weights.round(2).tolist(), problem.classes.tolist()
    ((2, 2), [0.33, 0.67], ['a', 'b'])
    """
    x, y, weights = measure(x, y, weights)
    rows = weights.sum()
    scales = Scales(*_moments(x, weights))
    if numbers:
        y = y.reshape(len(y), -1)
        scales = Scales(scales.mean, scales.std, *_moments(y, weights))
        y = (y - scales.target_mean) / scales.target_std
        outputs = y.shape[1]
    else:
        classes = len(np.unique(y))
        outputs = 1 if classes == 2 else classes
    least = x.shape[1] + outputs
    dim = least if dim is None else checks.flow_dimension(dim, x.shape[1], outputs)
    weight = PENALTY / rows if l2 is None else l2
    states = scales.states(x, dim)
    if spread is None:
        spread = 0.0 if numbers else SPREAD
    cloud = _clouds(states, None if numbers else y, checks.real("spread", spread, least=0.0), seed)
    copies = len(cloud[0]) // len(x)
    problem = Problem(
        Layer(dim, activation),
        _between(states, *cloud),
        _between(y, *cloud) if numbers else y[cloud[0]],
        terminal_cost=_loss(numbers, outputs, dim),
        control_cost=L2(weight) + L1(l1) if l1 else L2(weight),
        weights=None if np.ptp(weights) == 0 else np.tile(weights, copies),
        horizon=horizon,
        steps=steps,
    )
    return problem, scales


def random_start(problem: Problem, seed: int = 0) -> np.ndarray:
    """Return controls (N, c) as networks are started, normal with variance 1 / d, but small.

    Zero controls are a saddle wherever no line through the rows tells anything of their targets.
    """
    return independent(problem.control_shape, 0.1 / math.sqrt(problem.dynamics.dim), seed=seed)


def measure(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distinct rows and targets in increasing order, and what each weighs.

    Examples
    --------
    >>> rows, targets, weights = measure(np.array([[2.0], [1.0], [2.0]]), np.array(["b", "a", "b"]))
    >>> rows.ravel().tolist(), targets.tolist(), weights.tolist()
    ([1.0, 2.0], ['a', 'b'], [1.0, 2.0])
    """
    if weights is None:
        weights = np.ones(len(x))
    counts = weights > 0
    x, y, weights = x[counts], y[counts], weights[counts]
    code = y if y.dtype.kind == "f" else np.unique(y, return_inverse=True)[1]
    keys = np.vstack([x.T, code.T])
    for count in (FEW, len(keys)):
        order = np.lexsort(keys[:count][::-1])
        found = keys[:count, order]
        first = np.r_[True, (found[:, 1:] != found[:, :-1]).any(axis=0)]
        if first.all():
            break
    kept = order[first]
    return x[kept], y[kept], np.add.reduceat(weights[order], np.flatnonzero(first))


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of columns; 1 for those that are constant."""
    mean = np.average(x, axis=0, weights=weights)
    std = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    return mean, np.where(np.ptp(x, axis=0) > 0, std, 1.0)


def _loss(numbers: bool, outputs: int, dim: int) -> Loss:
    readout = np.eye(dim)[dim - outputs :]
    if numbers:
        return Squared(readout=readout)
    return Logistic(readout=readout) if outputs == 1 else CrossEntropy(outputs, readout=readout)


def _between(a: np.ndarray, rows: np.ndarray, other: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return points on the lines from rows to other rows."""
    if not part.any():
        return a[rows]
    return a[rows] + part[:, None] * (a[other] - a[rows])


def _clouds(
    x: np.ndarray, classes: np.ndarray | None, spread: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points of all clouds: a row, a neighbour of it, and the part of the way there.

    The first point of a cloud is the row itself.
    """
    M = len(x)
    copies = min(math.ceil(CLOUD / M), MOST_COPIES) if spread > 0 else 1
    rows = np.tile(np.arange(M), copies)
    if copies == 1:
        return rows, rows, np.zeros(M)
    rng = np.random.default_rng(seed)
    part = spread * rng.standard_normal(M * copies)
    part[:M] = 0.0
    return rows, _neighbours(x, classes)[rows, rng.integers(0, NEIGHBOURS, M * copies)], part


def _neighbours(x: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Return the nearest rows of every row, of its class; repeated where a class has fewer."""
    from scipy.spatial import KDTree

    groups = (
        np.zeros(len(x), int) if classes is None else np.unique(classes, return_inverse=True)[1]
    )
    found = np.empty((len(x), NEIGHBOURS), int)
    for g in range(groups.max() + 1):
        members = np.flatnonzero(groups == g)
        count = min(NEIGHBOURS + 1, len(members))
        nearest = KDTree(x[members]).query(x[members], k=range(1, count + 1))[1]
        others = nearest[:, 1:] if count > 1 else nearest
        found[members] = members[others[:, np.arange(NEIGHBOURS) % others.shape[1]]]
    return found
