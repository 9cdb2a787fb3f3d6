"""Mutation testing: does a test fail when the mathematics is changed?

python -m tests.mutants [MODULE ...] [--sample 60] [--seed 0] [--seconds 180] [--only N ...]

One change at a time (a comparison, a sign, a constant, an and for an or, a minimum for a maximum) is
made in a module's syntax tree, and the module's fast tests run until the first one fails. Every mutant
is a fork of a process that has the libraries loaded, so that it costs little more than its tests.
Mutants that survive are printed with their lines: each of them is a test that is missing, or a change
that changes nothing. With NUMBA_DISABLE_JIT=1 kernels can be mutated as well.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
# the tests that are to notice, the quickest first
TESTS = {
    "pmpnet.losses": [
        "test_losses.py",
        "test_symbolic_fields.py",
        "test_problem.py",
        "test_verify.py",
    ],
    "pmpnet.penalties": ["test_penalties.py", "test_sqh.py", "test_kinetic.py", "test_problem.py"],
    "pmpnet.schemes": ["test_schemes.py", "test_problem.py"],
    "pmpnet.solve.successive": [
        "test_successive.py",
        "test_sqh.py",
        "test_checkpoint.py",
        "test_kinetic.py",
    ],
    "pmpnet.kernels.losses": ["test_losses.py"],
}
# what takes long, or says nothing of one module
LEFT_OUT = "not killed_at_random and not torch"
IGNORED = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is loaded already
LIBRARIES = ["casadi", "numba", "pytest", "scipy.optimize", "scipy.special", "tqdm.auto"]
SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "argmin": "argmax",
    "argmax": "argmin", "any": "all", "all": "any", "fmin": "fmax", "fmax": "fmin", "sin": "cos",
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Return what a node may be changed to."""

    def like(**fields) -> ast.AST:
        new = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            yield like(ops=[SWAPPED[type(op)]()])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in SWAPPED:
            yield like(op=SWAPPED[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield like(value=not value)
        case ast.Constant(value=int(value)):
            yield like(value=value + 1)
        case ast.Constant(value=float(value)):
            yield like(value=2 * value if value else 1.0)
        case ast.Attribute(attr=name) if name in NAMES:
            yield like(attr=NAMES[name])
        case ast.Name(id=name) if name in NAMES:
            yield like(id=NAMES[name])


def places(tree: ast.AST) -> list[tuple]:
    """Return (parent, field, index, new node) of every change of a module that is one of its doings."""
    found = []

    def visit(parent: ast.AST) -> None:
        for name, value in ast.iter_fields(parent):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            nodes = value if isinstance(value, list) else [value]
            for i, node in enumerate(nodes):
                if not isinstance(node, ast.AST) or isinstance(node, (ast.JoinedStr, ast.Raise)):
                    continue
                if getattr(node, "name", "") in ("__repr__", "__hash__", "_arguments", "_shown"):
                    continue  # what is shown to people
                index = i if isinstance(value, list) else None
                found.extend((parent, name, index, new) for new in changes(node))
                visit(node)

    visit(tree)
    return found


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, tree: ast.Module, path: Path) -> None:
        self.name, self.tree, self.path = name, tree, path

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module) -> None:
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def tested(module: str, tree: ast.Module | None, path: Path, seconds: float) -> str:
    """Run the tests in a fork, on a changed module; return what became of them."""
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = 99
        try:
            if tree is not None:
                sys.meta_path.insert(0, Mutated(module, tree, path))
            import pytest

            tests = [str(ROOT / "tests" / name) for name in TESTS[module]]
            code = pytest.main(["-xq", "-p", "no:cacheprovider", "-k", LEFT_OUT, *IGNORED, *tests])
        finally:
            os._exit(int(code))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too slow"


def main() -> None:
    """Tell the score of every module, and what survived."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", default=[m for m in TESTS if "kernels" not in m])
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument(
        "--only", type=int, nargs="*", help="numbers of mutants, instead of a sample"
    )
    told = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    total = noticed = 0
    for module in told.modules:
        path = ROOT / (module.replace(".", "/") + ".py")
        source = path.read_text()
        count = len(places(ast.parse(source)))
        rng = np.random.default_rng(told.seed)
        chosen = told.only or sorted(rng.permutation(count)[: told.sample].tolist())
        assert tested(module, None, path, 3 * told.seconds) == "survived", "tests fail as they are"
        fates = []
        for number in chosen:
            tree = ast.parse(source)
            parent, field, index, new = places(tree)[number]
            old = getattr(parent, field) if index is None else getattr(parent, field)[index]
            ast.copy_location(new, old)
            before = ast.unparse(old)
            if index is None:
                setattr(parent, field, new)
            else:
                getattr(parent, field)[index] = new
            fate = tested(module, ast.fix_missing_locations(tree), path, told.seconds)
            fates.append(fate)
            if fate != "killed":
                print(
                    f"{fate}: {module} {number}, line {old.lineno}: {before}  ->  {ast.unparse(new)}",
                    flush=True,
                )
        killed = len(fates) - fates.count("survived")
        print(f"{module}: {killed} of {len(fates)} noticed ({count} possible)", flush=True)
        total, noticed = total + len(fates), noticed + killed
    print(f"all: {noticed} of {total} noticed, {noticed / total:.0%}")


if __name__ == "__main__":
    main()
