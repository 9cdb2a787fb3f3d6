"""Sweeps to a given part of the cost to be gained, on two moons, beside tuned Adam.

    python -m benchmarks.moons [--seeds 5]

M = 1000, start 0.1 N(0, 1). "L2": d = 2, N = 20, L2(1e-2). "elastic net": d = 4 (lifted by zeros),
N = 40, ElasticNet(1e-2, 1e-3). "rotated": the same, embedded in four dimensions by a random
isometry, the class read off across the data plane. One sweep is one state or one costate sweep over
all samples; the best cost is the solution's own, or Adam's where that is lower. Adam's rate is the
best of its grid, for each problem; pmpnet has nothing to tune.
"""

from __future__ import annotations

import argparse

import numpy as np

import pmpnet
import pmpnet.solve
from pmpnet import datasets, dynamics, losses, penalties

PARTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)
RATES = (0.03, 0.1, 0.3, 1.0)


def problem(kind: str, seed: int) -> pmpnet.Problem:
    x, y = datasets.two_moons(1000, seed=seed)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    dim, steps, penalty = 2, 20, penalties.L2(1e-2)
    if kind != "L2":
        dim, steps, penalty = 4, 40, penalties.ElasticNet(1e-2, 1e-3)
    axes = np.eye(dim)
    if kind == "rotated":
        axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    head = axes[:, 2 if kind == "rotated" else 0]
    return pmpnet.Problem(
        dynamics.Layer(dim), x @ axes[:, :2].T, y, control_cost=penalty, steps=steps,
        terminal_cost=losses.Logistic(readout=head[None]),
    )  # fmt: skip


def sweeps_to(solution: pmpnet.Solution, best: float) -> list[float]:
    cost, sweeps = solution.history["cost"], solution.history["sweeps"]
    above = (cost - best) / (cost[0] - best)
    return [sweeps[above <= p][0] if (above <= p).any() else np.inf for p in PARTS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    head = "".join(f"{p:>9.0e}" for p in PARTS)
    print(f"median sweeps over {len(seeds)} seeds to\n{'':>34}{head}   zeros  median cost")
    for kind in ("L2", "elastic net", "rotated"):
        tables: dict[str, list] = {}
        for seed in seeds:
            p = problem(kind, seed)
            start = 0.1 * np.random.default_rng(seed).standard_normal(p.control_shape)
            runs = {"pmpnet": pmpnet.solve.msa(p, start, max_iter=1500, tol=1e-9)}
            for rate in RATES:
                runs[f"Adam {rate:g}"] = pmpnet.solve.adam(
                    p, start, learning_rate=rate, max_iter=500
                )
            for name, run in runs.items():
                best = min(run.cost, runs["pmpnet"].cost)
                zeros = float((run.controls == 0.0).mean())
                tables.setdefault(name, []).append([*sweeps_to(run, best), zeros, run.cost])
        for name, rows in tables.items():
            row = np.median(rows, axis=0)
            reached = "".join(f"{r:>9.0f}" if np.isfinite(r) else f"{'-':>9}" for r in row[:-2])
            print(f"{kind:>20}{name:>14}{reached}{row[-2]:>8.0%}{row[-1]:>13.6f}")


if __name__ == "__main__":
    main()
