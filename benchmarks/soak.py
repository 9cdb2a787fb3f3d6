"""A thousand solves in one process: memory, open files and threads do not grow.

python -m benchmarks.soak [--solves 1000] [--out soak.png]
"""

from __future__ import annotations

import argparse
import gc
import os
import threading
from collections.abc import Callable

import numpy as np

from pmpnet import Problem, datasets, dynamics, load, losses, penalties, solve, verify
from pmpnet.solution import Solution

WARM = 0.2  # of the solves: until then pools, caches and the allocator fill up


def problems(i: int) -> Problem:
    """Return a problem that is new every time: other samples, other sizes."""
    dim, steps = 2 + i % 3, 5 + i % 7
    x, y = datasets.two_moons(500 + 37 * (i % 50), seed=i)
    return Problem(
        dynamics.Layer(dim), datasets.lift(x, dim), y, steps=steps,
        terminal_cost=losses.Logistic(readout="train" if i % 2 else np.eye(dim)[:1]),
        control_cost=penalties.ElasticNet(1e-3, 1e-2),
    )  # fmt: skip


METHODS: tuple[Callable[[Problem], Solution], ...] = (
    lambda p: solve.msa(p, max_iter=10),
    lambda p: solve.lbfgs(p, max_iter=10),
    lambda p: solve.adam(p, max_iter=10, batch_size=200),
    lambda p: solve.msa(p, max_iter=5, variant="synchronous"),
    lambda p: solve.stochastic(p, max_iter=5),
)


def one(i: int, folder: str) -> None:
    """Solve, certify, save, load: what a user does."""
    problem = problems(i)
    found = METHODS[i % len(METHODS)](problem)
    verify(problem, found)
    found.save(f"{folder}/soak.npz")
    load(f"{folder}/soak.npz").flow(problem.initial_states)


def measured() -> tuple[float, int, int]:
    """Return resident memory in MB, open files and threads of this process."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return memory, len(os.listdir("/proc/self/fd")), threading.active_count()


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--solves", type=int, default=1000)
    parser.add_argument("--out", default="soak.png")
    told = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(told.solves):
            one(i, folder)
            if i % 10 == 9:
                gc.collect()
                rows.append((i + 1, *measured()))
    solves, memory, files, threads = np.array(rows).T
    warm = solves > WARM * told.solves
    slope = 1000 * np.polyfit(solves[warm], memory[warm], 1)[0]
    print(f"{told.solves} solves; from solve {solves[warm][0]:.0f} to the last:")
    for name, values in (("MB", memory), ("open files", files), ("threads", threads)):
        print(f"  {name:<12}{values[warm][0]:.0f} to {values[-1]:.0f}, most {values.max():.0f}")
    print(f"  slope of memory: {slope:+.1f} MB per 1000 solves")
    draw(solves, memory, files, threads, told.out)


def draw(solves, memory, files, threads, out: str) -> None:
    """Draw the three beside each other."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    named = (("resident memory, MB", memory), ("open files", files), ("threads", threads))
    for ax, (name, values) in zip(axes, named, strict=True):
        ax.plot(solves, values, color="#0072B2")
        ax.set(xlabel="solves", ylabel=name, ylim=(0, 1.2 * values.max()))
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
