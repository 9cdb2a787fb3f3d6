"""Every method on the same problems from the same starts, priced in sweeps.

    python -m benchmarks.methods [--cases ABCDEF] [--seeds 3] [--slow] [--depths]

The system is x' = W tanh(x) + b, Euler, T = 1, 1000 samples, a fixed linear head, the logistic
loss, start 0.1 N(0, 1). In more than two dimensions the data are embedded by a random isometry
and the head reads across the data plane. One sweep is one state or one costate sweep over all
samples; the figures are the median over seeds of the sweeps until the cost has lost all but a
part of what the best of all methods gained from that start. Adam, SGD and damping have the best
rate of a grid, chosen for each problem by what is reached first; nothing else is tuned. The
synchronous and the augmented variant, whose sweeps are few but slow, run with ``--slow``.

With ``--depths``: sweeps of the default method on one continuous problem with more and more
layers, and of refinement from coarse to fine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

import pmpnet
from pmpnet import datasets, dynamics, losses, penalties, solve

PARTS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)
CASES = {
    "A": ("two_moons", 2, 20, penalties.L2(1e-2), 1500),
    "B": ("spirals", 4, 50, penalties.L2(1e-3), 1500),
    "C": ("spirals", 8, 100, penalties.L2(1e-4), 800),
    "D": ("two_moons", 4, 40, penalties.ElasticNet(1e-2, 1e-3), 1500),
    "E": ("spirals", 8, 50, penalties.ElasticNet(3e-3, 1e-4), 1500),
    "F": ("two_moons", 2, 20, penalties.L1(1e-2), 1500),
}
RATES = {"adam": (0.03, 0.1, 0.3, 1.0), "sgd": (0.3, 1.0, 3.0, 10.0)}
DAMPING = (0.03, 0.01, 0.003, 0.001)


def problem(
    data: str, dim: int, steps: int, control_cost: penalties.Penalty, seed: int, samples: int = 1000
) -> pmpnet.Problem:
    turns = {"turns": 0.5} if data == "spirals" else {}
    x, y = getattr(datasets, data)(samples, seed=seed, **turns)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    axes = np.eye(dim)
    if dim > 2:
        axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    head = axes[:, 2 if dim > 2 else 0]
    return pmpnet.Problem(
        dynamics.Layer(dim), x @ axes[:, :2].T, y, control_cost=control_cost, steps=steps,
        terminal_cost=losses.Logistic(readout=head[None]),
    )  # fmt: skip


def methods(control_cost: penalties.Penalty, budget: int, slow: bool) -> dict[str, list[Callable]]:
    """Return the methods by name, each with the members of its grid."""
    told = dict(max_iter=budget, tol=1e-9, callback=lambda row: row["sweeps"] >= budget)
    smooth = not np.any(control_cost.l1)
    first_order = dict(told, max_iter=budget // 2)
    found = {
        name: [partial(solve.msa, variant=name, **told)]
        for name in ("accelerated", "proximal", "sqh", *["synchronous"] * slow)
    }
    if smooth:
        found["damped"] = [
            partial(solve.msa, variant="damped", damping=part, **told) for part in DAMPING
        ]
        if slow:
            found["augmented"] = [partial(solve.msa, variant="augmented", **told)]
    found["gradient flow"] = [partial(solve.gradient_flow, **told)]
    found["lbfgs"] = [partial(solve.lbfgs, **told)]
    found["newton"] = [partial(solve.newton, **told)]
    for name, rates in RATES.items():
        found[name] = [
            partial(getattr(solve, name), learning_rate=rate, **first_order) for rate in rates
        ]
    return found


def sweeps_to(solution: pmpnet.Solution, first: float, best: float) -> list[float]:
    cost, sweeps = solution.history["cost"], solution.history["sweeps"]
    above = (cost - best) / (first - best)
    return [sweeps[above <= p][0] if (above <= p).any() else np.inf for p in PARTS]


def table(case: str, seeds: range, slow: bool) -> None:
    data, dim, steps, control_cost, budget = CASES[case]
    rows: dict[str, list] = {}
    for seed in seeds:
        p = problem(data, dim, steps, control_cost, seed)
        start = 0.1 * np.random.default_rng(seed).standard_normal(p.control_shape)
        runs = {}
        for name, grid in methods(control_cost, budget, slow).items():
            try:
                runs[name] = [method(p, start) for method in grid]
            except ValueError as refused:
                print(f"  {name}: {refused}")
        best = min(
            run.cost for members in runs.values() for run in members if np.isfinite(run.cost)
        )
        first = p.cost(start)
        for name, members in runs.items():
            reached = min(sweeps_to(run, first, best) for run in members)
            kept = min(members, key=lambda run: run.cost)
            zeros = float((kept.controls == 0.0).mean())
            rows.setdefault(name, []).append([*reached, (kept.cost - best) / (first - best), zeros])
    print(f"\n{case}: {data}, d = {dim}, N = {steps}, {control_cost}, {len(seeds)} seeds")
    print(f"{'':>16}" + "".join(f"{part:>9.0e}" for part in PARTS) + "     left   zeros")
    for name, found in rows.items():
        *reached, left, zeros = np.median(found, axis=0)
        shown = "".join(f"{r:>9.0f}" if np.isfinite(r) else f"{'-':>9}" for r in reached)
        print(f"{name:>16}{shown}{left:>9.1e}{zeros:>8.0%}", flush=True)


def depths(seeds: range) -> None:
    print("\nspirals, d = 4, L2(1e-3): sweeps to 1e-2, 1e-4, 1e-6 of the gain, by layers")
    for steps in (10, 20, 40, 80, 160):
        found = []
        for seed in seeds:
            p = problem("spirals", 4, steps, penalties.L2(1e-3), seed)
            # one start for all depths: a smooth control
            t = (np.arange(steps) + 0.5) / steps
            waves = np.random.default_rng(seed).standard_normal((4, p.control_shape[1]))
            start = 0.1 * np.cos(np.pi * np.outer(t, np.arange(4))) @ waves
            run = solve.msa(p, start, max_iter=1500, tol=1e-10)
            found.append(np.array(sweeps_to(run, p.cost(start), run.cost))[[1, 3, 4]])
        print(f"{steps:>8}" + "".join(f"{r:>9.0f}" for r in np.median(found, axis=0)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default="ABCDEF")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--depths", action="store_true")
    told = parser.parse_args()
    seeds = range(told.seeds)
    for case in told.cases:
        table(case, seeds, told.slow)
    if told.depths:
        depths(seeds)


if __name__ == "__main__":
    main()
