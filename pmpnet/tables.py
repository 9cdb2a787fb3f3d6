"""From a table to a model: read a CSV file, hold rows out, standardise, solve, score.

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
from .solution import Solution
from .solve import msa
from .supervised import ACTIVATION, STEPS, Scales, learning_problem, random_start

MOST_CLASSES = 20  # whole numbers with more values than this are numbers, not labels
FEWEST_ROWS = 10
TASKS = ("classification", "regression")


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
    spread: float | None = None,
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
    spread : float, optional
        Each row stands for a small cloud of points on the way to its neighbours of the same
        class: the larger, the smoother the model. 0 is the rows themselves, and so is any spread
        for 12000 rows and more. Without it 0.7 for classes and 0 for numbers.
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
    problem, scales = learning_problem(
        table.x[parts.train],
        table.y[parts.train],
        numbers=table.task == "regression",
        dim=dim,
        steps=steps,
        horizon=horizon,
        activation=activation,
        l1=l1,
        l2=l2,
        spread=spread,
        seed=seed,
    )
    info: dict[str, Any] = {
        "columns": list(table.columns),
        "target": table.target,
        "task": table.task,
        **scales._asdict(),
        "seed": seed,
        "test_fraction": test_fraction,
        "rows": [len(part) for part in parts],
    }
    options = {"start": random_start(problem, seed), "tol": 1e-4, **options}
    solution = method(problem, max_iter=max_iter, seed=seed, **options)
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
    scales = Scales(*(info[name] for name in Scales._fields))
    found = solution.predict(scales.states(x, solution.problem.dynamics.dim))
    return scales.numbers(found)[:, 0] if info["task"] == "regression" else found


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
