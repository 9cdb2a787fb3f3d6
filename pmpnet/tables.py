"""From a table to a model: read a CSV file, hold rows out, standardise, solve, score.

The model is a flow of the standardised columns and a few zeros beside them::

    x(0) = ((row - mean) / (6 std), 0 .. 0)        x' = W s(x) + b        z = last entries of x(T)

The loss reads the added entries only: classes (or numbers) are what the flow has carried there.
What a model needs of its table is kept in ``solution.annotations["table"]`` and saved with it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .dynamics import Layer
from .losses import CrossEntropy, Logistic, Loss, Squared
from .penalties import L1, L2
from .problem import Problem
from .solution import Solution
from .solve import msa

MOST_CLASSES = 20  # whole numbers with more values than this are numbers, not labels
FEWEST_ROWS = 10
TASKS = ("classification", "regression")

# Chosen once, on splits of wine, breast_cancer and digits that `benchmarks.real_data` does not use,
# so that none of the three is behind a network of scikit-learn.
STEPS = 5
ACTIVATION = "sin"  # some 0.5 % better than tanh on digits, elsewhere the same
PENALTY = 1.5  # the weight of L2 is this over the number of rows
WIDTH = 6.0  # how many standard deviations are 1 to the flow: sin is nearly linear on most rows
SPREAD = 0.7  # of a row's cloud, in distances to its neighbours
NEIGHBOURS = 5
CLOUD, MOST_COPIES = 12_000, 8  # points of all clouds together; points of one


class Table(NamedTuple):
    """Numbers with names, and what is to be predicted from them.

    Attributes
    ----------
    x : ndarray, shape (M, n)
    y : ndarray, shape (M,)
        Labels (text or whole numbers) or numbers.
    columns : tuple of str
        Names of the columns of x.
    target : str
        Name of y.
    task : {"classification", "regression"}
    """

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...]
    target: str
    task: str


class Split(NamedTuple):
    """Row numbers of the two parts of a table, in increasing order."""

    train: np.ndarray
    test: np.ndarray


# ------------------------------------------------------------------------------- reading


def read(path: str | Path, target: str, task: str | None = None) -> Table:
    r"""Read a CSV file with a header; every column beside the target must hold numbers.

    Parameters
    ----------
    path : str or Path
        UTF-8 text; columns are separated by commas, semicolons or tabs.
    target : str
        Name of the column to predict.
    task : {"classification", "regression"}, optional
        Without it, text and whole numbers of at most 20 values are classes, other numbers are
        numbers.

    Returns
    -------
    Table

    Raises
    ------
    FileNotFoundError, ValueError
        A sentence says which file, line and column, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     _ = path.write_text("a,b,kind\n" + "1,2,x\n3,4,y\n" * 5)
    ...     table = read(path, "kind")
    >>> table.x.shape, table.columns, table.task
    ((10, 2), ('a', 'b'), 'classification')
    """
    if task is not None:
        checks.choice("task", task, TASKS)
    path = Path(checks.path(path))
    checks.file_exists(path)
    header, rows = _rows(path)
    checks.table_header(path, header, target)
    checks.table_rows(path, len(rows), FEWEST_ROWS)
    where = header.index(target)
    columns = tuple(name for name in header if name != target)
    x = np.empty((len(rows), len(columns)))
    labels = []
    for i, (line, row) in enumerate(rows):
        checks.table_row(path, i, line, len(row), len(header))
        labels.append(row.pop(where).strip())
        if labels[-1].lower() in checks.MISSING:
            raise checks.bad_cell(path, i, line, target, labels[-1])
        for j, text in enumerate(row):
            x[i, j] = number = _number(text)
            if not math.isfinite(number):
                raise checks.bad_cell(path, i, line, columns[j], text)
    y = np.array([_number(text) for text in labels])
    numbers = bool(np.isfinite(y).all())
    whole = numbers and bool(np.all(y == np.round(y)))
    if task is None:
        few = whole and len(np.unique(y)) <= MOST_CLASSES
        task = "classification" if few or not numbers else "regression"
    if task == "regression":
        for i, (line, _) in enumerate(rows):
            if not math.isfinite(y[i]):
                raise checks.bad_cell(path, i, line, target, labels[i])
    else:
        y = y.astype(np.int64) if whole and np.abs(y).max() < 2**53 else np.array(labels)
    return Table(x, y, columns, target, task)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and every row with the number of its last line; empty lines are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise checks.not_text(path) from None
    first = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        raise checks.not_text(path) from None
    checks.table_not_empty(path, len(rows))
    return [name.strip() for name in rows[0][1]], rows[1:]


def _number(text: str) -> float:
    """Return the number a cell holds; NaN where it holds none."""
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan


# ------------------------------------------------------------------------ rows held out


def split(table: Table, fraction: float = 0.2, seed: int = 0) -> Split:
    """Draw the rows that are held out, of every class its share.

    Parameters
    ----------
    table : Table
    fraction : float, default 0.2
        Of the rows, between 0 and 1.
    seed : int, default 0

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If there is only one value, hardly two rows of a class, or no row would be held out.
    """
    checks.table(table, Table)
    fraction = checks.fraction("test fraction", fraction)
    rng = np.random.default_rng(checks.integer("seed", seed, 0))
    values, group = np.unique(table.y, return_inverse=True)
    checks.table_target(table.target, len(values), len(group), table.task == "classification")
    if table.task == "regression":
        group = np.zeros(len(group), int)
    test = []
    for g in range(group.max() + 1):
        members = rng.permutation(np.flatnonzero(group == g))
        # one of a kind at least is learnt from
        test.append(members[: min(round(fraction * len(members)), len(members) - 1)])
    held = np.zeros(len(group), bool)
    held[np.concatenate(test)] = True
    checks.some_held_out(int(held.sum()), fraction)
    return Split(np.flatnonzero(~held), np.flatnonzero(held))


# ----------------------------------------------------------------------------- the model


def train(
    table: Table,
    *,
    method: Callable[..., Solution] = msa,
    test_fraction: float = 0.2,
    seed: int = 0,
    dim: int | None = None,
    steps: int = STEPS,
    horizon: float = 1.0,
    activation: str = ACTIVATION,
    l1: float = 0.0,
    l2: float | None = None,
    spread: float = SPREAD,
    max_iter: int = 120,
    **options: Any,
) -> Solution:
    """Train a classifier or a regressor on a part of a table and score it on the rest.

    Parameters
    ----------
    table : Table
    method : callable, default `pmpnet.solve.msa`
        What solves the problem.
    test_fraction : float, default 0.2
        Part of the rows that is held out.
    seed : int, default 0
        Of the rows held out and of the clouds.
    dim : int, optional
        Dimension of the flow; the columns and one entry per output at least, and by default.
    steps, horizon : int and float, default 5 and 1.0
        Layers, and the time they cover.
    activation : str, default "sin"
    l1 : float, default 0.0
        Weight of the L1 norm of the control: makes entries exactly zero.
    l2 : float, optional
        Weight of L2; 1.5 over the number of rows without it.
    spread : float, default 0.7
        Each row stands for a small cloud of points on the way to its neighbours of the same
        class: the larger, the smoother the model. 0 is the rows themselves, and so is any spread
        for 12000 rows and more.
    max_iter : int, default 120
    **options
        Of the method.

    Returns
    -------
    Solution
        With ``annotations["table"]``: names, scales and the scores on both parts.

    Raises
    ------
    ValueError, TypeError
        For options out of range, and for tables that cannot be learnt from.

    References
    ----------
    C. Bishop, Training with noise is equivalent to Tikhonov regularization, Neural Computation,
    1995.
    """
    checks.function("method", method)
    parts = split(table, test_fraction, seed)
    x, y = table.x[parts.train], table.y[parts.train]
    numbers = table.task == "regression"
    info: dict[str, Any] = {
        "columns": list(table.columns),
        "target": table.target,
        "task": table.task,
        "mean": x.mean(axis=0),
        "std": _scale(x),
        "seed": seed,
        "test_fraction": test_fraction,
        "rows": [len(parts.train), len(parts.test)],
    }
    if numbers:
        info["target_mean"], info["target_std"] = float(y.mean()), float(_scale(y))
        y = (y - info["target_mean"]) / info["target_std"]
    outputs = _outputs(table)
    least = x.shape[1] + outputs
    dim = least if dim is None else checks.flow_dimension(dim, x.shape[1], outputs)
    weight = PENALTY / len(x) if l2 is None else l2
    rows, other, part = _clouds(
        _standard(info, x), None if numbers else y, checks.real("spread", spread, least=0.0), seed
    )
    points = _between(_standard(info, x), rows, other, part)
    problem = Problem(
        Layer(dim, activation),
        _lifted(points, dim),
        _between(y, rows, other, part) if numbers else y[rows],
        terminal_cost=_loss(table, outputs, dim),
        control_cost=L2(weight) + L1(l1) if l1 else L2(weight),
        horizon=horizon,
        steps=steps,
    )
    solution = method(problem, max_iter=max_iter, seed=seed, **{"tol": 1e-4, **options})
    solution.annotations["table"] = info
    info["train_score"], info["test_score"] = (
        score(solution, table.x[rows], table.y[rows]) for rows in parts
    )
    info["baseline"] = _baseline(table, parts)
    return solution


def predict(solution: Solution, x: ArrayLike) -> np.ndarray:
    """Return labels or numbers for rows x (M, n), in the units of the table, of a trained model."""
    info = checks.trained_table(solution)
    x = checks.table_columns(x, info["columns"])
    found = solution.predict(_lifted(_standard(info, x), solution.problem.dynamics.dim))
    if info["task"] == "regression":
        return info["target_mean"] + info["target_std"] * found[:, 0]
    return found


def score(solution: Solution, x: ArrayLike, y: ArrayLike) -> float:
    """Return the accuracy, or R2, of a trained model on rows x (M, n) and their targets y (M,)."""
    found = predict(solution, x)
    y = checks.scored(y, found, solution.annotations["table"]["task"] == "classification")
    if solution.annotations["table"]["task"] == "classification":
        return float(np.mean(found == y))
    return _r2(y, found)


def _r2(y: np.ndarray, found: np.ndarray | float) -> float:
    spread = float(((y - y.mean()) ** 2).sum())
    error = float(((y - found) ** 2).sum())
    return 1.0 - error / spread if spread > 0 else float(error == 0)


def _baseline(table: Table, parts: Split) -> float:
    """Score on the rows held out of the commonest class, or of the mean."""
    y, held = table.y[parts.train], table.y[parts.test]
    if table.task == "regression":
        return _r2(held, float(y.mean()))
    classes, counts = np.unique(y, return_counts=True)
    return float(np.mean(held == classes[counts.argmax()]))


def _scale(x: np.ndarray) -> np.ndarray:
    """Standard deviations of columns; 1 for those that are constant."""
    return np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)


def _standard(info: dict[str, Any], x: np.ndarray) -> np.ndarray:
    return (x - info["mean"]) / (WIDTH * info["std"])


def _lifted(x: np.ndarray, dim: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, dim - x.shape[1])))


def _outputs(table: Table) -> int:
    """How many numbers the loss reads."""
    classes = len(np.unique(table.y)) if table.task == "classification" else 1
    return 1 if classes == 2 else classes


def _loss(table: Table, outputs: int, dim: int) -> Loss:
    readout = np.eye(dim)[dim - outputs :]
    if table.task == "regression":
        return Squared(readout=readout)
    return Logistic(readout=readout) if outputs == 1 else CrossEntropy(outputs, readout=readout)


def _between(a: np.ndarray, rows: np.ndarray, other: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return points on the lines from rows to other rows."""
    return a[rows] + part.reshape(-1, *[1] * (a.ndim - 1)) * (a[other] - a[rows])


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
