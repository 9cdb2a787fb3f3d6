"""The command line: ``python -m pmpnet demo``, ``train``, ``predict``, ``compare``, ``info``."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import Problem, __version__, checks, datasets, solve, supervised, tables, verify
from .certificate import Certificate
from .comparison import Comparison, compare
from .dynamics import Layer
from .losses import Logistic
from .penalties import L2
from .solution import INTERRUPTED, NOT_FINITE, Solution
from .solve import adam, msa
from .storage import load, with_suffix

DESCRIPTION = """\
Optimal control of neural ODEs, solved and certified by Pontryagin's principle. Installed, the
command pmpnet does the same as python -m pmpnet.

  python -m pmpnet demo                               see it at work, with figures
  python -m pmpnet train FILE.csv --target COLUMN     train a model on a table of yours
  python -m pmpnet predict FILE.csv --model M.npz     what a model says of other rows
  python -m pmpnet compare                            several methods on one problem, one price
  python -m pmpnet info MODEL.npz                     what a saved model is, and its certificate
"""
END = """\
python -m pmpnet COMMAND --help tells more, with an example.

exit status:
  0    done. A solve that ran out of iterations is done, as in scikit-learn: what it found is there,
       the standard error and "success" in --json say that it has not converged
  1    a solve failed: its cost is no number any more, or a method of a comparison broke
  2    something given was wrong: one sentence on the standard error says what
  130  Ctrl-C; no model is written
"""
TABLE = f"""
tables:
  CSV in UTF-8, a header and one row per sample, separated by commas, semicolons or tabs; at most
  {tables.MOST_BYTES >> 20} MiB and {tables.MOST_COLUMNS} columns; what is learnt from is numbers, without gaps.
"""
TRAIN = """\
Train a classifier or a regressor on a CSV file with a header, score it on rows held out, certify
it, and save it. Text, and whole numbers of at most 20 values, are classes; other targets are
numbers.
"""
TRAIN_END = f"""\
{TABLE.lstrip()}
what is printed:
  Problem      what is solved
  Solution     the cost found and its parts, whether the method converged, what it took
  Certificate  gap and residual are 0 where the control meets Pontryagin's principle; a Taylor slope
               of 2 says that the gradients are exact
  accuracy     part of the rows that are told right (of numbers R2: 1 is exact, 0 is the mean)

examples:
  python -m pmpnet train patients.csv --target diagnosis
  python -m pmpnet train houses.csv --target price --task regression --steps 10 --out houses.npz
  python -m pmpnet train patients.csv --target diagnosis --l1 0.01      (exact zeros)

afterwards, python -m pmpnet predict, or in Python:
  from pmpnet import load, tables
  tables.predict(load("patients.npz"), rows)        rows as in the file, without the target
"""
PREDICT = """\
Predict the target of every row of a CSV file with a model that train has saved. The file needs the
columns that the model was trained on, by their names; others, such as the target, are left out.
"""
PREDICT_END = f"""\
output: a table with one row per row of the file, in its order, and the columns
  COLUMN       named as the target was: a class, or a number
  P(CLASS)     with --probabilities, one for each class: they add to 1
{TABLE}
examples:
  python -m pmpnet predict new.csv --model patients.npz
  python -m pmpnet predict new.csv --model patients.npz --probabilities --out said.csv
  python -m pmpnet predict new.csv --model patients.npz --json | jq .predictions
"""
INFO = "Describe a saved model, and certify it anew."
INFO_END = """\
Any saved Solution will do. python -m pmpnet train --help says what is printed.

examples:
  python -m pmpnet info patients.npz
  python -m pmpnet info patients.npz --json | jq .table.test_score
"""
DEMO = """\
Solve two moons and a real data set, beside Adam from the same start; print what is found, certify
it, and draw it.
"""
DEMO_END = """\
what is printed, of successive approximations and of Adam:
  cost         J of the control found: lower is better
  gap          Hamiltonian gap, 0 where the control meets Pontryagin's principle
  residual     how far the control is from its own proximal step, 0 where it is stationary
  sweeps       passes over all samples, forward or backward: the price
  seconds      wall time, without compilation
  test         accuracy on points held out

example:
  python -m pmpnet demo --quick --out figures
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
  python -m pmpnet compare patients.csv --target diagnosis --seconds 10 --json > patients.json
"""
JSON = "one JSON document on the standard output ({}), all words on the standard error"
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
        0 done; 1 a solve failed; 2 something given was wrong, said in one sentence on the standard
        error; 130 interrupted.
    """
    told = _parser().parse_args(argv)
    in_json = getattr(told, "json", False)
    try:
        with redirect_stdout(sys.stderr) if in_json else nullcontext():
            status, document = told.command(told)
        if in_json:
            print(json.dumps(_plain(document), indent=1))
        sys.stdout.flush()  # whether anybody reads it is learnt here, and not behind us
        return status
    except BrokenPipeError:  # whoever read our output, head say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("python -m pmpnet: interrupted.", file=sys.stderr)
        return 130
    except MemoryError as error:
        print(f"python -m pmpnet: {checks.too_large(error)}", file=sys.stderr)
    except OSError as error:
        print(f"python -m pmpnet: {checks.system_said(error)}", file=sys.stderr)
    except (ValueError, TypeError, ImportError) as error:
        print(f"python -m pmpnet: {error}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m pmpnet", description=DESCRIPTION, epilog=END, formatter_class=shape
    )
    parser.add_argument("--version", action="version", version=f"pmpnet {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="solve two problems beside Adam, certify them, draw them",
        description=DEMO,
        epilog=DEMO_END,
        formatter_class=shape,
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
    train.add_argument("--json", action="store_true", help=JSON.format("as info --json"))
    train.set_defaults(command=_train)

    predict = commands.add_parser(
        "predict",
        help="what a model says of other rows",
        description=PREDICT,
        epilog=PREDICT_END,
        formatter_class=shape,
    )
    predict.add_argument("file", metavar="FILE.csv")
    predict.add_argument("--model", required=True, metavar="MODEL.npz", help="what train saved")
    predict.add_argument(
        "--out", metavar="FILE.csv", help="write here instead of the standard output"
    )
    predict.add_argument(
        "--probabilities", action="store_true", help="of every class, beside the predictions"
    )
    predict.add_argument(
        "--json", action="store_true",
        help=JSON.format("model, target, predictions, probabilities by class"),
    )  # fmt: skip
    predict.set_defaults(command=_predict)

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
    beside.add_argument(
        "--json", action="store_true", help=JSON.format("the best, the table, all histories")
    )
    beside.set_defaults(command=_compare)

    info = commands.add_parser(
        "info",
        help="describe a saved model",
        description=INFO,
        epilog=INFO_END,
        formatter_class=shape,
    )
    info.add_argument("file", metavar="MODEL.npz")
    info.add_argument(
        "--json", action="store_true", help=JSON.format("problem, solve, certificate, scores")
    )
    info.set_defaults(command=_info)
    return parser


Done = tuple[int, dict[str, Any]]  # the exit status, and what --json says

# ----------------------------------------------------------------- train, predict and info


def _train(told: argparse.Namespace) -> Done:
    file = Path(checks.path(told.file, "FILE.csv"))
    out = with_suffix(told.out or file.with_suffix(".npz").name)
    checks.output_file(out, "--out")
    table = tables.read(told.file, told.target, told.task)
    print(f"{told.file}: {len(table.x)} rows, {len(table.columns)} columns; {_aim(table)}")
    options = ("test_fraction", "seed", "steps", "horizon", "dim", "activation", "l1", "l2")
    solution = _whole(
        tables.train(
            table,
            **{name: getattr(told, name) for name in (*options, "spread", "max_iter")},
            progress=sys.stderr.isatty(),
        )
    )
    solution.save(out)  # before anything is printed: nobody may be there to read it
    certificate = _show(solution)
    print(_scores(solution.annotations["table"]))
    print(f"saved as {out}")
    if not solution.success:
        print(f"python -m pmpnet: {solution.message}", file=sys.stderr)
    return int(solution.status == NOT_FINITE), _described(out, solution, certificate)


def _whole(solution: Solution) -> Solution:
    """Return a solution that was not interrupted."""
    if solution.status == INTERRUPTED:
        raise KeyboardInterrupt
    return solution


def _show(solution: Solution) -> Certificate:
    certificate = verify(solution.problem, solution)
    print(solution.problem, solution, certificate, sep="\n")
    return certificate


def _predict(told: argparse.Namespace) -> Done:
    if told.out is not None:
        out = Path(checks.path(told.out, "--out"))
        checks.output_file(out, "--out", told.file, told.model, with_suffix(told.model))
    model = load(told.model)
    info = checks.trained_table(model)
    x = tables.read_rows(told.file, info["columns"])
    found, chances = tables.predict(model, x), {}
    if told.probabilities:
        chances = dict(zip(model.problem.classes, tables.predict_proba(model, x).T, strict=True))
    header = [info["target"], *(f"P({name})" for name in chances)]
    rows = zip(found.tolist(), *(part.tolist() for part in chances.values()), strict=True)
    if told.out is not None:
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
        print(f"{len(x)} predictions written to {out}")
    elif not told.json:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *rows])
    document = {"model": told.model, "target": info["target"], "predictions": found}
    if told.probabilities:
        document["probabilities"] = {str(name): part for name, part in chances.items()}
    return 0, document


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


def _info(told: argparse.Namespace) -> Done:
    solution = load(told.file)
    certificate = _show(solution)
    info = solution.annotations.get("table")
    if info is not None:
        print(f"Table, {info['task']} of {info['target']!r}")
        if solution.problem.classes is not None:
            print(f"  classes          {', '.join(map(str, solution.problem.classes))}")
        print(f"  columns          {', '.join(info['columns'])}")
        print(_scores(info))
    return 0, _described(told.file, solution, certificate)


def _described(path: str | Path, solution: Solution, certificate: Certificate) -> dict[str, Any]:
    """Return what there is to say of a model."""
    problem, info = solution.problem, solution.annotations.get("table")
    said = ("task", "target", "columns", "rows", "train_score", "test_score", "baseline")
    return {
        "model": str(path),
        "samples": problem.samples.count,
        "dynamics": repr(problem.dynamics),
        "control_cost": repr(problem.control_cost),
        "layers": len(solution.controls),
        "horizon": solution.horizon,
        "method": solution.method,
        "success": solution.success,
        "message": solution.message,
        "iterations": solution.nit,
        "sweeps": solution.nfev + solution.njev,
        "seconds": solution.seconds.solve,
        "cost": solution.cost,
        "terms": solution.terms,
        "zeros": np.mean(solution.controls == 0),
        "certificate": {
            "gap": certificate.gap,
            "residual": certificate.residual,
            "taylor_slope": certificate.taylor_slope,
            "violations": certificate.violations,
        },
        "classes": problem.classes,
        "table": None if info is None else {name: info[name] for name in said},
    }


# ---------------------------------------------------------------------------------- compare


def _compare(told: argparse.Namespace) -> Done:
    figure = None if told.figure is None else Path(told.figure)
    if figure is not None:
        checks.figure_file(figure, "--figure")
        checks.output_file(figure, "--figure")
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
    return int(bool(found.failures)), _told(found)


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
    """Return what there is to say of a comparison."""
    names = found.table.dtype.names
    rows = [dict(zip(names, row.tolist(), strict=True)) for row in found.table]
    for row in rows:
        solution = found.solutions.get(row["name"])
        if solution is None:
            row["message"] = f"failed: {found.failures[row['name']]}"
            continue
        history = solution.history
        row["message"] = solution.message
        row["history"] = {key: history[key] for key in history.dtype.names}
    return {"best": found.best, "methods": rows}


def _plain(value: Any) -> Any:
    """Return values as what JSON can say: null where there is no finite number."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


# ------------------------------------------------------------------------------------- demo


def _demo(told: argparse.Namespace) -> Done:
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
    return 0, {}


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
        found[name] = _whole(solve(method, progress=sys.stderr.isatty(), **how))
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
