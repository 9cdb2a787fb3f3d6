"""Two commits of pmpnet beside each other: rounds and the first solve.

    python -m benchmarks.commits OLD [NEW] [--turns 15] [--quick] [--out FOLDER]

Each commit is checked out into a folder of its own and runs in a process of its own, with its own
cache of kernels; the two take turns. Ratios, OLD over NEW, are medians over the turns: above 1 NEW
is faster. NEW is HEAD if it is not given. The repository's own files are not touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from . import clock
from .startup import SOLVE

# What a commit runs: it speaks the public face only, which older commits have too.
CHILD = """
import sys, time, numpy as np
from pmpnet import Problem, dynamics, losses, penalties, solve
runs = {}
def made(d, M, dtype, scheme, N=20):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((M, d)).astype(dtype) for _ in range(2))
    problem = Problem(dynamics.Layer(d), x, y, terminal_cost=losses.Squared(), steps=N, scheme=scheme,
                      control_cost=penalties.L2(0.1))
    u = 0.3 * rng.standard_normal(problem.control_shape) / np.sqrt(d)
    return problem, u
for line in sys.stdin:
    what, d, M, dtype, scheme = line.split()
    if line not in runs:
        problem, u = made(int(d), int(M), dtype, scheme)
        runs[line] = (
            (lambda p=problem, u=u: p.gradient(u)) if what == "round"
            else (lambda p=problem, u=u: solve.msa(p, u, max_iter=30, tol=0.0))
        )
        runs[line]()
    run, found, begun = runs[line], [], time.perf_counter()
    while time.perf_counter() - begun < 0.05 or not found:
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    print(min(found), flush=True)
"""
CASES = [
    *(f"round {d} {M} float64 euler" for d in (2, 8, 16, 64) for M in (1000, 10_000)),
    "round 2 100000 float64 euler", "round 2 10000 float32 euler", "round 64 10000 float32 euler",
    "round 2 10000 float64 rk4", "round 8 10000 float64 rk4",
    "solve 2 1000 float64 euler", "solve 8 10000 float64 euler",
]  # fmt: skip


class Commit:
    """A commit checked out, and a process that runs what it is told."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.tree = name, folder / "tree"
        git("worktree", "add", "--detach", str(self.tree), name)
        self.environment = {
            **os.environ, "PYTHONPATH": str(self.tree), "PMPNET_CACHE_DIR": str(folder / "cache"),
        }  # fmt: skip
        self.process: subprocess.Popen | None = None

    def first_solve(self) -> float:
        """Return the seconds of a process that solves its first problem."""
        from time import perf_counter

        start = perf_counter()
        subprocess.run(
            [sys.executable, "-c", SOLVE], check=True, cwd=self.tree, env=self.environment
        )
        return perf_counter() - start

    def seconds(self, case: str) -> float:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                cwd=self.tree, env=self.environment, text=True,
            )  # fmt: skip
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline() or "nan")

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
        git("worktree", "remove", "--force", str(self.tree))


def git(*command: str) -> str:
    done = subprocess.run(["git", *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", default="HEAD")
    parser.add_argument("--turns", type=int, default=15)
    told = parser.parse_args()
    os.environ["PMPNET_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(told.threads)
    names = [git("rev-parse", "--short", name) for name in (told.old, told.new)]
    print(f"{names[0]} over {names[1]}; {clock.machine()}, {told.threads} thread(s)")
    rows, opened = [], []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for place, name in zip(("old", "new"), names, strict=True):
                (Path(folder) / place).mkdir()
                opened.append(Commit(name, Path(folder) / place))
            cold = [commit.first_solve() for commit in opened]
            warm = [[commit.first_solve() for commit in opened] for _ in range(3)]
            tell(rows, "first solve, compiled", np.array([cold]))
            tell(rows, "first solve, from the cache", np.array(warm))
            for case in CASES[:2] if told.quick else CASES:
                for commit in opened:
                    commit.seconds(case)
                pairs = [[commit.seconds(case) for commit in opened] for _ in range(told.turns)]
                tell(rows, case, np.array(pairs))
        finally:
            for commit in opened:
                commit.close()
    clock.write(told, f"commits_{names[0]}_{names[1]}", rows)


def tell(rows: list[dict], case: str, pairs: np.ndarray) -> None:
    ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
    old, new = np.median(pairs, axis=0)
    rows.append(dict(case=case, old=old, new=new, ratio=ratio))
    print(f"{case:>32}: {1e3 * old:>10.3f} ms, {1e3 * new:>10.3f} ms, {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
