"""Solutions on disk: one .npz of plain arrays, and among them a description in JSON.

Everything that is not an array stands in the description; an array stands there as
``{"$array": name}``, an ingredient as ``{"$made": kind, ...}`` with the arguments it was made of.
Reading makes ingredients by the names listed here and executes nothing: there is no pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, checks, dynamics, losses, penalties, schemes
from .distributed import Partitions
from .problem import Problem, matrix
from .reduced import Point
from .solution import Seconds, Solution
from .sweeps import Multipliers, Readout

FORMAT = 1
DESCRIPTION = "pmpnet"  # the entry that makes an .npz one of ours


def _from_instructions(module: str, name: str) -> Callable[..., Any]:
    """Return what makes an ingredient written in CasADi, which is imported only then."""

    def make(**told: Any) -> Any:
        return getattr(import_module(module, __package__), name).from_instructions(**told)

    return make


# How an ingredient is called in a file, and what makes it from what its describe() says
MAKERS = {
    "constraints.Integral": _from_instructions(".constraints", "Integral"),
    "constraints.Path": _from_instructions(".constraints", "Path"),
    "constraints.Terminal": _from_instructions(".constraints", "Terminal"),
    "dynamics.FeatureFields": dynamics.LinearControl,
    "dynamics.Layer": dynamics.Layer,
    "dynamics.ListedFields": _from_instructions(".dynamics.symbolic", "ListedFields"),
    "dynamics.Neurons": dynamics.Neurons,
    "dynamics.Outside": dynamics.Outside,
    "dynamics.Symbolic": _from_instructions(".dynamics.symbolic", "Symbolic"),
    "dynamics.TwoLayer": dynamics.TwoLayer,
    "losses.CrossEntropy": losses.CrossEntropy,
    "losses.Huber": losses.Huber,
    "losses.Logistic": losses.Logistic,
    "losses.Squared": losses.Squared,
    "losses.Symbolic": _from_instructions(".losses", "Symbolic"),
    "penalties.Groups": penalties.Groups,
    "penalties.Penalty": penalties.Penalty,
    "reduced.Point": Point,
    "schemes.Scheme": schemes.Scheme,
    "sweeps.Multipliers": Multipliers,
}


def save(solution: Solution, path: str | Path) -> Path:
    """Write a solution to a file.

    Parameters
    ----------
    solution : Solution
    path : str or Path
        ``.npz`` is appended where it is missing, as `numpy.savez` does. The file is written
        under another name in the same folder and then put in its place: whoever reads sees the
        old file or the new one, never half of it.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError, TypeError
        If the folder does not exist, or something cannot be kept: dynamics or losses of your own
        classes, annotations that are not numbers, text, lists, dicts and arrays. Nothing is
        written then.
    """
    checks.instance("solution", solution, Solution, "what a method of pmpnet.solve returns")
    told = {field.name: getattr(solution, field.name) for field in fields(Solution)}
    rows = dict(weights=solution.problem.samples.weights)
    told |= dict(problem=_problem_parts(solution.problem, rows), readouts=_readout_parts(solution))
    path = file_for(path)
    write(path, DESCRIPTION, told, f".{path.name}.{secrets.token_hex(4)}.tmp")
    return path


def load(path: str | Path) -> Solution:
    """Read a solution that `Solution.save` wrote.

    Parameters
    ----------
    path : str or Path
        As it was given to save: ``.npz`` may be left out.

    Returns
    -------
    Solution
        With the same controls, bit by bit, and a problem made of the same ingredients. Tuples
        among the annotations come back as lists.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, not one of pmpnet's, or written by a newer pmpnet.

    Examples
    --------
    >>> import tempfile, numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.msa(problem)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     solution.save(f"{folder}/translation")
    ...     again = pmpnet.load(f"{folder}/translation")
    >>> np.array_equal(again.controls, solution.controls), again.cost == solution.cost
    (True, True)
    """
    given, path = Path(checks.path(path)), with_suffix(path)
    if not path.exists() and given.exists():
        path = given
    told = read(path, DESCRIPTION)
    try:
        return _solution(told)
    except Exception as error:
        raise checks.damaged(path, error) from error


def with_suffix(path: str | Path) -> Path:
    """Return a path that ends in ``.npz``."""
    path = Path(checks.path(path))
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def file_for(path: str | Path) -> Path:
    """Return a path that ends in ``.npz`` and can be written to."""
    path = with_suffix(path)
    checks.fresh_file(path)
    checks.not_a_folder(path)
    return path


def write(path: Path, kind: str, told: dict[str, Any], unfinished: str) -> None:
    """Write values by name to a file that is never half written.

    Parameters
    ----------
    path : Path
    kind : str
        The entry that makes it a file of this kind.
    told : dict
        Of numbers, text, lists, dicts, arrays and ingredients.
    unfinished : str
        How the file is called in its folder until it is put in its place.
    """
    writer = _Writer()
    trees = {name: writer.tree(value, name) for name, value in told.items()}
    text = json.dumps({"format": FORMAT, "version": __version__, **trees}, allow_nan=False)
    arrays = {kind: np.frombuffer(text.encode(), np.uint8), **writer.arrays}
    other = path.with_name(unfinished)
    try:
        with other.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(other, path)
    finally:
        other.unlink(missing_ok=True)


def read(path: Path, kind: str) -> dict[str, Any]:
    """Return what `write` wrote."""
    checks.file_exists(path)
    arrays = _read(path)
    checks.our_file(path, kind in arrays)
    try:
        told = json.loads(arrays[kind].tobytes().decode())
        form, version = int(told.pop("format")), str(told.pop("version"))
    except Exception as error:
        raise checks.damaged(path, error) from error
    checks.format_known(path, form, FORMAT, version)
    try:
        return _value(told, arrays)
    except Exception as error:
        raise checks.damaged(path, error) from error


def fingerprint(problem: Problem) -> str:
    """Return a digest of all that a problem is made of."""
    writer, samples = _Writer(), problem.samples
    if isinstance(samples, Partitions):  # their digests, in order, stand for all rows
        rows = dict.fromkeys(samples.rows._fields) | dict(initial_states=samples.sum(fingerprint))
    else:
        rows = dict(weights=samples.weights)
    tree = writer.tree(_problem_parts(problem, rows), "problem")
    digest = hashlib.sha256(json.dumps(tree).encode())
    for name, array in writer.arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return every array of a file, whose checksums are tested before anything is read."""
    checks.our_file(path, zipfile.is_zipfile(path))
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of {broken} is wrong")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zip and NumPy raise a dozen kinds for as many kinds of damage
        raise checks.damaged(path, error) from error


# ------------------------------------------------------------------------------ its parts


def _problem_parts(problem: Problem, rows: dict[str, Any]) -> dict[str, Any]:
    parts = problem.arguments | rows | dict(dtype=problem.dtype.name)
    if problem.running_cost is problem.terminal_cost:  # one loss, with one readout, in two roles
        parts["running_cost"] = "terminal_cost"
    return parts


def _problem(parts: dict[str, Any]) -> Problem:
    weights = parts.pop("weights")
    if isinstance(parts["running_cost"], str):
        parts["running_cost"] = parts[parts["running_cost"]]
    problem = Problem(**parts, weights=weights if len(weights) else None)
    # weights were scaled to sum 1 when they were given; once more would change their last digit
    problem.samples = replace(problem.samples, weights=weights)
    return problem


def _readout_parts(solution: Solution) -> list[np.ndarray]:
    trained = solution.problem.trained_readouts
    return [matrix(solution.readouts[roles[0]]) for roles in trained]


def _solution(told: dict[str, Any]) -> Solution:
    problem = _problem(told.pop("problem"))
    readouts: list[Readout | None] = [None, None]
    for roles, Pc in zip(problem.trained_readouts, told.pop("readouts"), strict=True):
        for i in roles:
            readouts[i] = Readout(Pc[:, :-1], Pc[:, -1])
    seconds = Seconds(*told.pop("seconds"))
    u = checks.controls(told.pop("controls"), problem.control_shape, "controls")
    return Solution(problem=problem, controls=u, readouts=tuple(readouts), seconds=seconds, **told)


# ------------------------------------------------------------------------- values and trees


class _Writer:
    """Turns values into trees that JSON can write, and puts the arrays aside.

    Attributes
    ----------
    arrays : dict
        By name: the place in the tree, where that is a plain word.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def tree(self, value: Any, place: str) -> Any:
        """Return the tree of a value; ``place`` says where it stands, for names and complaints."""
        if isinstance(value, np.generic) and value.dtype.kind in "biufU":
            value = value.item()
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if np.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, np.ndarray):
            return {"$array": self._keep(value, place)}
        if isinstance(value, (list, tuple)):
            return [self.tree(entry, f"{place}.{i}") for i, entry in enumerate(value)]
        if isinstance(value, dict):
            for key in value:
                checks.text_key(place, key)
            return {key: self.tree(entry, f"{place}.{key}") for key, entry in value.items()}
        kind = _kind(value)
        checks.storable(place, value, kind in MAKERS)
        if hasattr(value, "describe"):
            parts = value.describe()
        else:
            parts = {field.name: getattr(value, field.name) for field in fields(value)}
            # sums of weights that are single numbers are NumPy's numbers, no longer its arrays
            parts = {n: np.asarray(v) if isinstance(v, np.generic) else v for n, v in parts.items()}
        return {"$made": kind, **self.tree(parts, place)}

    def _keep(self, array: np.ndarray, place: str) -> str:
        if array.dtype.hasobject:  # text as pandas keeps it, say
            array = np.array(array.tolist())
        checks.storable(
            place, array, array.dtype.kind in "biufcSUVmM" and not array.dtype.hasobject
        )
        plain = place.replace(".", "").replace("_", "").isalnum() and place.isascii()
        name = place if plain and place not in self.arrays else f"array{len(self.arrays)}"
        self.arrays[name] = array
        return name


def _kind(value: Any) -> str:
    """Return how an ingredient of this package is called in a file."""
    package, _, module = type(value).__module__.partition(".")
    return f"{module.partition('.')[0]}.{type(value).__name__}" if package == __package__ else ""


def _value(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value of a tree."""
    if isinstance(tree, list):
        return [_value(entry, arrays) for entry in tree]
    if not isinstance(tree, dict):
        return tree
    if "$array" in tree:
        return arrays[tree["$array"]]
    if "$float" in tree:
        return float(tree["$float"])
    parts = {key: _value(entry, arrays) for key, entry in tree.items() if key != "$made"}
    return MAKERS[tree["$made"]](**parts) if "$made" in tree else parts
