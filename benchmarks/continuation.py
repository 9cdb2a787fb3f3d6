"""Sweeps of continuation in samples and in depth, beside the methods that start on all at once.

    python -m benchmarks.continuation [--seeds 5]

The system is x' = W tanh(x) + b, Euler, T = 1, data embedded by a random isometry, the head across
the data plane, logistic loss, start 0.1 N(0, 1). Figures are medians over seeds of the sweeps until
the cost is within a part of J_0 - J* of the best found. A sweep over some samples or some layers
counts as that part of one; pricing the start counts too. Of Adam's runs the prices of epochs do not
count, and each column has the best of its rates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

import pmpnet
from pmpnet import datasets, dynamics, losses, penalties, solve

PARTS = (1e-2, 1e-3, 1e-4, 1e-6)
RATES = (0.03, 0.1, 0.3)
L2 = penalties.L2
NET = penalties.ElasticNet(1e-2, 1e-3)
SAMPLES = {
    "spirals, half a turn, L2(1e-3)": (partial(datasets.spirals, turns=0.5), L2(1e-3)),
    "spirals, a turn, L2(1e-3)": (datasets.spirals, L2(1e-3)),
    "two moons, elastic net": (datasets.two_moons, NET),
}
DEPTHS = {
    "spirals, half a turn, d = 4, N = 160": (partial(datasets.spirals, turns=0.5), 4, 160, L2(1e-3)),
    "spirals, a turn, d = 4, N = 160": (datasets.spirals, 4, 160, L2(1e-3)),
    "spirals, half a turn, d = 8, N = 80": (partial(datasets.spirals, turns=0.5), 8, 80, L2(1e-4)),
    "two moons, elastic net, d = 4, N = 160": (datasets.two_moons, 4, 160, NET),
}  # fmt: skip


def problem(
    data: Callable, samples: int, dim: int, steps: int, control_cost: penalties.Penalty, seed: int
) -> pmpnet.Problem:
    x, y = data(samples, seed=seed)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    return pmpnet.Problem(
        dynamics.Layer(dim), x @ axes[:, :2].T, y, control_cost=control_cost, steps=steps,
        terminal_cost=losses.Logistic(readout=axes[:, 2][None]),
    )  # fmt: skip


def in_samples(p: pmpnet.Problem, start: np.ndarray, seed: int) -> dict[str, list]:
    told = dict(max_iter=1000, tol=1e-8)
    trained = dict(batch_size=200, max_iter=3000, seed=seed)
    found = {
        "all samples": [solve.msa(p, start, **told)],
        "progressive": [solve.stochastic(p, start, seed=seed, **told)],
        "Adam": [solve.adam(p, start, learning_rate=rate, **trained) for rate in RATES],
    }
    for name, how in (("proximal Adam", {}), ("and averaged", {"average": 0.95})):
        found[name] = [
            solve.stochastic(
                p, start, method="adam", schedule="cosine", learning_rate=rate, **how, **trained
            )
            for rate in RATES
        ]
    return found


def in_depth(p: pmpnet.Problem, start: np.ndarray, seed: int) -> dict[str, list]:
    told = dict(max_iter=1000, tol=1e-9, seed=seed)
    return {
        "all layers": [solve.msa(p, start, **told)],
        "refined": [solve.refine(p, start, carry=False, **told)],
        "with memory": [solve.refine(p, start, **told)],
    }


def sweeps_to(run: pmpnet.Solution, first: float, best: float) -> list[float]:
    cost, sweeps = run.history["cost"], run.history["sweeps"]
    if "dam" in run.method:
        sweeps = sweeps[0] + (sweeps - sweeps[0]) / 2
    above = (cost - best) / (first - best)
    return [sweeps[above <= part][0] if (above <= part).any() else np.inf for part in PARTS]


def table(title: str, make: Callable, run: Callable, seeds: range) -> None:
    rows: dict[str, list] = {}
    for seed in seeds:
        p = make(seed=seed)
        start = 0.1 * np.random.default_rng(seed).standard_normal(p.control_shape)
        runs, first = run(p, start, seed), p.cost(start)
        best = min(member.cost for members in runs.values() for member in members)
        for name, members in runs.items():
            reached = np.min([sweeps_to(member, first, best) for member in members], axis=0)
            left = (min(member.cost for member in members) - best) / (first - best)
            zeros = float((min(members, key=lambda m: m.cost).controls == 0.0).mean())
            rows.setdefault(name, []).append([*reached, left, zeros])
    print(f"\n{title}, {len(seeds)} seeds")
    print(f"{'':>16}" + "".join(f"{part:>9.0e}" for part in PARTS) + "     left   zeros")
    for name, found in rows.items():
        *reached, left, zeros = np.median(found, axis=0)
        shown = "".join(f"{r:>9.0f}" if np.isfinite(r) else f"{'-':>9}" for r in reached)
        print(f"{name:>16}{shown}{left:>9.1e}{zeros:>8.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    for title, (data, cost) in SAMPLES.items():
        make = partial(problem, data, 10_000, 4, 40, cost)
        table(f"10 000 samples: {title}", make, in_samples, seeds)
    for title, (data, dim, steps, cost) in DEPTHS.items():
        make = partial(problem, data, 1000, dim, steps, cost)
        table(title, make, in_depth, seeds)


if __name__ == "__main__":
    main()
