"""The command line: ``python -m pmpnet demo``, ``train``, ``compare``, ``info``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import Problem, __version__, checks, datasets, load, solve, supervised, tables, verify
from .comparison import Comparison, compare
from .dynamics import Layer
from .losses import Logistic
from .penalties import L2
from .solution import Solution
from .solve import adam, msa

DESCRIPTION = """\
Optimal control of neural ODEs, solved and certified by Pontryagin's principle.

  python -m pmpnet demo                               see it at work, with figures
  python -m pmpnet train FILE.csv --target COLUMN     train a model on a table of yours
  python -m pmpnet compare                            several methods on one problem, one price
  python -m pmpnet info MODEL.npz                     what a saved model is, and its certificate
"""
TRAIN = """\
Train a classifier or a regressor on a CSV file with a header, score it on rows held out, and
save it. All columns beside the target must hold numbers. Text, and whole numbers of at most 20
values, are classes; other targets are numbers.
"""
TRAIN_END = """\
examples:
  python -m pmpnet train patients.csv --target diagnosis
  python -m pmpnet train houses.csv --target price --task regression --steps 10 --out houses.npz
  python -m pmpnet train patients.csv --target diagnosis --l1 0.01      (exact zeros)

afterwards, in Python:
  from pmpnet import load, tables
  tables.predict(load("patients.npz"), rows)        rows as in the file, without the target
"""
KNOWN = [name for name in solve.__all__ if name != "Checkpoint"]
COMPARE = """\
Solve one problem by several methods, from the same start and at the price of the same sweep, and
print a table: who got where, and for how much.
"""
COMPARE_END = f"""\
methods:
  {", ".join(KNOWN[:6])},
  {", ".join(KNOWN[6:])}
  A method's options follow a colon: msa:variant=proximal, adam:learning_rate=0.1,batch_size=100.

columns of the table:
  cost         J of the control found; "above best" is how far that is from the lowest of all
  gap          Hamiltonian gap, 0 where the control meets Pontryagin's principle
  residual     how far the control is from its own proximal step, 0 where it is stationary
  sweeps       passes over all samples, forward or backward: the price
  seconds      wall time, without compilation
  zeros        part of the control that is exactly 0
  test score   accuracy, or R2, on points held out

examples:
  python -m pmpnet compare
  python -m pmpnet compare --data circles --methods msa lbfgs sgd --sweeps 400 --figure circles.png
  python -m pmpnet compare patients.csv --target diagnosis --seconds 10 --json patients.json

exit status: 0; 1 where a method failed on the way; 2 where something given was wrong.
"""
METHODS = ("msa", "lbfgs", "gradient_flow", "adam:learning_rate=0.1")
PLANES = {"two_moons": (datasets.two_moons, 2), "circles": (datasets.circles, 3),
          "spirals": (datasets.spirals, 3)}  # fmt: skip
DATA = (*PLANES, "breast_cancer")
ADAM_RATE = (
    0.1  # the best of 0.003, 0.01, 0.03, 0.1, 0.3 for the steps that the demonstration takes
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process without it.

    Returns
    -------
    int
        0; 1 where a method of a comparison failed; 2 where something given was wrong, said in one
        sentence on the standard error.
    """
    told = _parser().parse_args(argv)
    try:
        return told.command(told) or 0
    except BrokenPipeError:  # whoever read our output, head say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"python -m pmpnet: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m pmpnet", description=DESCRIPTION, formatter_class=shape
    )
    parser.add_argument("--version", action="version", version=f"pmpnet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="solve two problems beside Adam, certify them, draw them",
        description="Solve two moons and a real data set, beside Adam from the same start; print "
        "what is found, certify it, and draw it.",
    )
    demo.add_argument(
        "--out", default="pmpnet-demo", metavar="DIR", help="folder of the figures (%(default)s)"
    )
    demo.add_argument("--quick", action="store_true", help="fewer steps of Adam, fewer figures")
    demo.set_defaults(command=_demo)

    train = commands.add_parser(
        "train",
        help="train a model on a CSV file",
        description=TRAIN,
        epilog=TRAIN_END,
        formatter_class=shape,
    )
    train.add_argument("file", metavar="FILE.csv")
    train.add_argument("--target", required=True, metavar="COLUMN", help="what to predict")
    train.add_argument("--task", choices=tables.TASKS, help="instead of what the target looks like")
    train.add_argument(
        "--out", metavar="MODEL.npz", help="the file's name, with .npz, in this folder"
    )
    train.add_argument(
        "--test-fraction", metavar="PART", type=float, default=0.2, help="held out (%(default)s)"
    )
    train.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of the rows held out (%(default)s)"
    )
    train.add_argument(
        "--steps", metavar="N", type=int, default=supervised.STEPS, help="layers (%(default)s)"
    )
    train.add_argument(
        "--horizon", metavar="T", type=float, default=1.0, help="time they cover (%(default)s)"
    )
    train.add_argument(
        "--dim", metavar="D", type=int, help="dimension of the flow (columns and outputs)"
    )
    train.add_argument(
        "--activation",
        metavar="NAME",
        default=supervised.ACTIVATION,
        help="of the layers (%(default)s)",
    )
    train.add_argument(
        "--l1", metavar="WEIGHT", type=float, default=0.0, help="weight of L1 (%(default)s)"
    )
    train.add_argument(
        "--l2",
        metavar="WEIGHT",
        type=float,
        help=f"weight of L2 ({supervised.PENALTY:g} over the number of rows)",
    )
    train.add_argument(
        "--spread", metavar="X", type=float,
        help="of the cloud each row stands for, in distances to neighbours "
        f"({supervised.SPREAD:g} for classes, 0 for numbers)",
    )  # fmt: skip
    train.add_argument(
        "--max-iter", metavar="N", type=int, default=120, help="most iterations (%(default)s)"
    )
    train.set_defaults(command=_train)

    beside = commands.add_parser(
        "compare",
        help="several methods on one problem",
        description=COMPARE,
        epilog=COMPARE_END,
        formatter_class=shape,
    )
    beside.add_argument("file", nargs="?", metavar="FILE.csv", help="a table with a header")
    beside.add_argument("--target", metavar="COLUMN", help="what to predict of FILE.csv")
    beside.add_argument(
        "--data", choices=DATA, help=f"a built-in data set instead of a file ({DATA[0]})"
    )
    beside.add_argument(
        "--methods", nargs="+", metavar="METHOD", default=METHODS,
        help=f"which, with their options ({' '.join(METHODS)})",
    )  # fmt: skip
    beside.add_argument(
        "--max-iter", metavar="N", type=int, default=500, help="most iterations (%(default)s)"
    )
    beside.add_argument(
        "--tol", metavar="X", type=float, default=1e-6,
        help="residual that counts as converged, over that of the start (%(default)s)",
    )  # fmt: skip
    beside.add_argument("--sweeps", metavar="N", type=float, help="budget of each, in sweeps")
    beside.add_argument("--seconds", metavar="S", type=float, help="budget of each, in seconds")
    beside.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of everything random (%(default)s)"
    )
    beside.add_argument("--figure", metavar="FILE", help="draw it: a .png, .pdf or .svg")
    beside.add_argument("--json", metavar="FILE", help="write the table and all histories")
    beside.set_defaults(command=_compare)

    info = commands.add_parser(
        "info", help="describe a saved model", description="Describe and certify a saved model."
    )
    info.add_argument("file", metavar="MODEL.npz")
    info.set_defaults(command=_info)
    return parser


# --------------------------------------------------------------------------- train and info


def _train(told: argparse.Namespace) -> None:
    out = Path(told.out or Path(told.file).with_suffix(".npz").name)
    checks.fresh_file(out, "--out")
    checks.not_a_folder(out)
    table = tables.read(told.file, told.target, told.task)
    print(f"{told.file}: {len(table.x)} rows, {len(table.columns)} columns; {_aim(table)}")
    options = ("test_fraction", "seed", "steps", "horizon", "dim", "activation", "l1", "l2")
    solution = tables.train(
        table,
        **{name: getattr(told, name) for name in (*options, "spread", "max_iter")},
        progress=sys.stderr.isatty(),
    )
    print(solution.problem)
    print(solution)
    print(verify(solution.problem, solution))
    print(_scores(solution.annotations["table"]))
    solution.save(out)
    print(f"saved as {out if out.suffix == '.npz' else f'{out}.npz'}")


def _aim(table: tables.Table) -> str:
    if table.task == "regression":
        low, high = table.y.min(), table.y.max()
        return f"{table.target!r} is a number, from {low:g} to {high:g}"
    classes, counts = np.unique(table.y, return_counts=True)
    listed = ", ".join(f"{c} ({n})" for c, n in zip(classes, counts, strict=True))
    return f"{table.target!r} has {len(classes)} classes: {listed}"


def _scores(info: dict[str, Any]) -> str:
    word, plain = (
        ("R2", "the mean") if info["task"] == "regression" else ("accuracy", "the commonest class")
    )
    train, test, baseline = (info[key] for key in ("train_score", "test_score", "baseline"))
    rows = info["rows"]
    return (
        f"{word}: {train:.4f} on the {rows[0]} rows trained on, {test:.4f} on the {rows[1]} held out "
        f"(always saying {plain}: {baseline:.4f})"
    )


def _info(told: argparse.Namespace) -> None:
    solution = load(told.file)
    print(solution.problem)
    print(solution)
    print(verify(solution.problem, solution))
    info = solution.annotations.get("table")
    if info is not None:
        print(f"Table, {info['task']} of {info['target']!r}")
        if solution.problem.classes is not None:
            print(f"  classes          {', '.join(map(str, solution.problem.classes))}")
        print(f"  columns          {', '.join(info['columns'])}")
        print(_scores(info))


# ---------------------------------------------------------------------------------- compare


def _compare(told: argparse.Namespace) -> int:
    figure, written = (None if name is None else Path(name) for name in (told.figure, told.json))
    if figure is not None:
        checks.figure_file(figure, "--figure")
    if written is not None:
        checks.fresh_file(written, "--json")
        checks.not_a_folder(written)
    methods = {spec: _method(spec) for spec in told.methods}
    budget = {"sweeps": told.sweeps, "seconds": told.seconds}
    problem, start, score = _posed(told)
    print(problem, flush=True)
    found = compare(
        problem, methods, start=start, max_iter=told.max_iter, tol=told.tol, seed=told.seed, test=score,
        budget={clock: most for clock, most in budget.items() if most is not None},
        progress=sys.stderr.isatty(),
    )  # fmt: skip
    print(found)
    for name, solution in found.items():
        print(f"{name}: {solution.message}")
    if figure is not None:
        found.plot().figure.savefig(figure, dpi=150)
        print(f"drawn in {figure}")
    if written is not None:
        written.write_text(json.dumps(_told(found), indent=1) + "\n", encoding="utf-8")
        print(f"written to {written}")
    return 1 if found.failures else 0


def _method(spec: str) -> tuple[Callable[..., Solution], dict[str, Any]]:
    """Return a method and its options, of NAME:OPTION=VALUE,OPTION=VALUE."""
    name, _, rest = spec.partition(":")
    checks.choice("--methods", name, KNOWN)
    options = {}
    for option in filter(None, rest.split(",")):
        key, equals, value = option.partition("=")
        checks.method_option(spec, bool(key and equals and value))
        options[key.strip()] = _value(value.strip())
    return getattr(solve, name), options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _posed(
    told: argparse.Namespace,
) -> tuple[Problem, Solution | None, Callable[[Solution], float]]:
    """Return the problem, where to begin, and what scores its solutions on points held out."""
    checks.one_table(told.file, told.target, told.data)
    if told.file is not None or told.data == "breast_cancer":
        path, target = told.file or datasets.breast_cancer_file(), told.target or "diagnosis"
        table = tables.read(path, target)
        held = tables.split(table, seed=told.seed).test
        start = tables.train(table, seed=told.seed, max_iter=0)

        def score(solution: Solution) -> float:
            solution.annotations["table"] = start.annotations["table"]
            return tables.score(solution, table.x[held], table.y[held])

        return start.problem, start, score
    draw, dim = PLANES[told.data or DATA[0]]
    seed = checks.integer("--seed", told.seed, 0)
    (x, y), (others, theirs) = draw(1000, seed=seed), draw(1000, seed=seed + 1)
    score = partial(Solution.score, x=datasets.lift(others, dim), y=theirs)
    return _plane(x, y, dim), None, score


def _plane(x: np.ndarray, y: np.ndarray, dim: int = 2) -> Problem:
    """Return the problem of telling points of the plane apart."""
    return Problem(
        Layer(dim),
        datasets.lift(x, dim),
        y,
        terminal_cost=Logistic(readout="train", readout_cost=L2(1e-3)),
        control_cost=L2(1e-2),
    )


def _told(found: Comparison) -> dict[str, Any]:
    """Return a comparison as what JSON can say: null where there is no number."""
    names = found.table.dtype.names
    rows = [dict(zip(names, row.tolist(), strict=True)) for row in found.table]
    for row in rows:
        solution = found.solutions.get(row["name"])
        if solution is None:
            row["message"] = f"failed: {found.failures[row['name']]}"
            continue
        history = solution.history
        row["message"] = solution.message
        row["history"] = {key: history[key].tolist() for key in history.dtype.names}
    return {"best": found.best, "methods": _finite(rows)}


def _finite(value: Any) -> Any:
    """Return a nest of lists and dicts with None for what is no finite number."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


# ------------------------------------------------------------------------------------- demo


def _demo(told: argparse.Namespace) -> None:
    out = Path(told.out)
    checks.folder(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    print("The first time, the sweeps are compiled (some 15 s); they are kept for the next time.")
    adam_steps = 100 if told.quick else 1000

    moons = _plane(*datasets.two_moons(1000))
    test = datasets.two_moons(1000, seed=1)
    print("\n== Two moons: 1000 points of the plane, tested on 1000 others ==")
    print(moons)
    found = _beside_adam(
        lambda method, **how: method(moons, **how), lambda s: s.score(*test), adam_steps
    )
    drawn = _draw(found, out, "two_moons", told.quick)

    data = datasets.breast_cancer()
    table = tables.Table(data.x, data.y, data.columns, "diagnosis", "classification")
    print("\n== Wisconsin breast cancer: 569 biopsies, 30 measurements, a fifth held out ==")
    found = _beside_adam(
        lambda method, **how: tables.train(table, method=method, **how),
        lambda s: s.annotations["table"]["test_score"],
        adam_steps // 2,
    )
    drawn += _draw(found, out, "breast_cancer", True)
    print(_scores(found["successive approximations"].annotations["table"]))

    print(f"\n{len(drawn)} figures in {out.resolve()}:")
    print("  " + "\n  ".join(drawn))
    print(f"{time.perf_counter() - start:.0f} s")


def _beside_adam(
    solve: Callable[..., Solution], accuracy: Callable[[Solution], float], adam_steps: int
) -> dict[str, Solution]:
    """Solve by successive approximations and by Adam from the same start, and compare."""
    found = {}
    for name, method, how in (
        ("successive approximations", msa, dict(max_iter=500, tol=1e-6)),
        ("Adam", adam, dict(max_iter=adam_steps, tol=0.0, learning_rate=ADAM_RATE)),
    ):
        print(f"solving by {name} ...", flush=True)
        found[name] = solve(method, progress=sys.stderr.isatty(), **how)
    print(
        f"\n{'':<27}{'cost':>10}{'gap':>10}{'residual':>10}{'sweeps':>8}{'seconds':>9}{'test':>8}"
    )
    for name, s in found.items():
        print(
            f"  {name:<25}{s.cost:>10.6f}{s.gap:>10.1e}{s.residual:>10.1e}{s.nfev + s.njev:>8}"
            f"{s.seconds.solve:>9.2f}{accuracy(s):>8.1%}"
        )
    best = found["successive approximations"]
    print(f"  (Adam: {adam_steps} steps of learning rate {ADAM_RATE:g})\n")
    print(f"Successive approximations {best.message}")
    print(verify(best.problem, best), flush=True)
    return found


def _draw(found: dict[str, Solution], out: Path, name: str, few: bool) -> list[str]:
    """Write figures and return their names."""
    from . import plot

    solution = found["successive approximations"]
    figures: dict[str, Callable[[], Any]] = {
        "convergence": lambda: plot.convergence(found),
        "controls": lambda: plot.controls(solution),
    }
    if solution.problem.dynamics.dim == 2:
        figures["decision"] = lambda: plot.decision_boundary(solution)
        figures["flow"] = lambda: plot.flow(solution)
    if not few:
        figures["trajectories"] = lambda: plot.trajectories(solution)
        figures["hamiltonian"] = lambda: plot.hamiltonian(solution)
    for kind, draw in figures.items():
        draw().figure.savefig(out / f"{name}_{kind}.png", dpi=120)
    return [f"{name}_{kind}.png" for kind in figures]


if __name__ == "__main__":
    sys.exit(main())
