"""From a table to a model: read a CSV file, hold rows out, standardise, solve, score.

What a model needs of its table is kept in ``solution.annotations["table"]`` and saved with it.
"""

from __future__ import annotations

import csv
import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .linear import linear_start
from .solution import Solution
from .solve import msa
from .supervised import ACTIVATION, STEPS, Scales, learning_problem

MOST_CLASSES = 20  # whole numbers with more values than this are numbers, not labels
FEWEST_ROWS = 10
# A cell takes some 8 bytes on disk and as many in memory; a layer has as many entries as the
# columns squared, and a method keeps some twenty of each
MOST_BYTES, MOST_COLUMNS = 2**28, 1000
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
        UTF-8 text of at most 256 MiB and 1000 columns, which are separated by commas, semicolons
        or tabs.
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
    path, header, records = _opened(path)
    checks.table_header(path, header, target, MOST_COLUMNS)
    where = header.index(target)
    columns = tuple(name for name in header if name != target)
    x, labels, lines = array("d"), [], []
    for i, (line, row) in enumerate(records):
        checks.table_row(path, i, line, len(row), len(header))
        label = row.pop(where).strip()
        if label.lower() in checks.MISSING:
            raise checks.bad_cell(path, i, line, target, label)
        x.extend(_numbers(path, i, line, columns, row))
        labels.append(label)
        lines.append(line)
    checks.table_rows(path, len(labels), FEWEST_ROWS)
    y = np.array([_number(text) for text in labels])
    numbers = bool(np.isfinite(y).all())
    whole = numbers and bool(np.all(y == np.round(y)))
    if task is None:
        few = whole and len(np.unique(y)) <= MOST_CLASSES
        task = "classification" if few or not numbers else "regression"
    if task == "regression":
        for i in np.flatnonzero(~np.isfinite(y)):
            raise checks.bad_cell(path, i, lines[i], target, labels[i])
    else:
        y = y.astype(np.int64) if whole and np.abs(y).max() < 2**53 else np.array(labels)
    return Table(np.frombuffer(x).reshape(len(y), -1), y, columns, target, task)


def read_rows(path: str | Path, columns: Sequence[str]) -> np.ndarray:
    r"""Read some columns of numbers, by their names, from a CSV file with a header.

    Parameters
    ----------
    path : str or Path
        As in `read`.
    columns : sequence of str
        In the order of the result. Other columns of the file may hold anything.

    Returns
    -------
    ndarray, shape (M, n)

    Raises
    ------
    FileNotFoundError, ValueError
        A sentence says which file, line and column, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     _ = path.write_text("name,a,b\nAda,1,2\nBob,3,4\n")
    ...     read_rows(path, ["b", "a"]).tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    path, header, records = _opened(path)
    checks.table_columns_named(path, header, columns)
    where = [header.index(name) for name in columns]
    x = array("d")
    for i, (line, row) in enumerate(records):
        checks.table_row(path, i, line, len(row), len(header))
        x.extend(_numbers(path, i, line, columns, [row[j] for j in where]))
    checks.table_rows(path, len(x) // len(columns), 1)
    return np.frombuffer(x).reshape(-1, len(columns))


Record = tuple[int, list[str]]  # a row, and the number of its last line


def _opened(path: str | Path) -> tuple[Path, list[str], Iterator[Record]]:
    """Return the path, the header, and what reads the rows below it."""
    path = Path(checks.path(path))
    checks.file_exists(path)
    records = _records(path)
    header = next(records, None)
    checks.table_not_empty(path, header is not None)
    return path, [name.strip() for name in header[1]], records


def _records(path: Path) -> Iterator[Record]:
    """Read row by row; empty lines are left out."""
    top, lines = [""], _lines(path)
    try:
        while not top[-1].strip() and (line := next(lines, "")):
            top.append(line)
        separator = max(",;\t", key=top[-1].count)
        reader = csv.reader(chain(top[1:], lines), delimiter=separator)
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error):
        raise checks.not_text(path) from None


def _lines(path: Path) -> Iterator[str]:
    """Read line by line, and no more than is read at most."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        checks.table_size(path, os.fstat(file.fileno()).st_size, MOST_BYTES)  # of a pipe 0
        left = MOST_BYTES
        while line := file.readline(left + 1):
            left -= len(line)
            checks.table_size(path, MOST_BYTES - left, MOST_BYTES)
            if "\0" in line:  # UTF-16 without its mark, say; NumPy's text ends there
                raise checks.not_text(path)
            yield line


def _numbers(
    path: Path, row: int, line: int, columns: Sequence[str], cells: list[str]
) -> list[float]:
    """Return the numbers of a row."""
    numbers = [_number(text) for text in cells]
    for name, text, number in zip(columns, cells, numbers, strict=True):
        if not math.isfinite(number):
            raise checks.bad_cell(path, row, line, name, text)
    return numbers


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
        Of the method. Without ``start`` it begins at the best linear model of the rows, and a
        little beside it.

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
    options = {"start": linear_start(problem, seed), "tol": 1e-4, **options}
    solution = method(problem, max_iter=max_iter, seed=seed, **options)
    solution.annotations["table"] = info
    info["train_score"], info["test_score"] = (
        score(solution, table.x[rows], table.y[rows]) for rows in parts
    )
    info["baseline"] = _baseline(table, parts)
    return solution


def predict(solution: Solution, x: ArrayLike) -> np.ndarray:
    """Return labels or numbers for rows x (M, n), in the units of the table, of a trained model."""
    states, scales = _states(solution, x)
    found = solution.predict(states)
    task = solution.annotations["table"]["task"]
    return scales.numbers(found)[:, 0] if task == "regression" else found


def predict_proba(solution: Solution, x: ArrayLike) -> np.ndarray:
    """Return class probabilities (M, classes) of rows x (M, n), as `Solution.predict_proba`."""
    states, _ = _states(solution, x)
    checks.of_classes(solution.annotations["table"]["task"])
    return solution.predict_proba(states)


def _states(solution: Solution, x: ArrayLike) -> tuple[np.ndarray, Scales]:
    """Return rows as the states that a trained model begins from, and its scales."""
    info = checks.trained_table(solution)
    x = checks.table_columns(x, info["columns"])
    scales = Scales(*(info[name] for name in Scales._fields))
    return scales.states(x, solution.problem.dynamics.dim), scales


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
