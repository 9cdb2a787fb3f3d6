"""Seconds to the same cost, beside what users would pick instead.

    python -m benchmarks.time_to_cost [--cases abcd] [--seeds 3] [--quick] [--out FOLDER]

Everybody has the same problem, start, discretisation and threads, and costs that agree to 1e-10 at
the start and at a random control; nothing that is compiled or constructed is on the clock, and is
told beside it. Costs are those of all samples. The target is a cost within 1e-3, relative, of the
best that anybody found in the run; "-" is not reached. Medians over seeds, of which each draws other
samples and another start; of a seed's repeated runs the fastest counts.

a  two moons, d = 2, N = 20, L2(1e-2), M = 50, 200, 1000: msa beside CasADi's IPOPT with exact
   Hessians: multiple shooting with Euler's step, and Radau collocation of degree 3. The control of
   each of IPOPT's iterates is priced, off the clock, by the sweep: by Euler's for shooting, and for
   collocation by Runge and Kutta's, which is also what msa then solves.
b  two moons as above and spirals, d = 4, N = 50, L2(1e-3), M = 1,000 and 10,000, full batches: msa
   beside Adam and L-BFGS of PyTorch, eager and compiled, Adam of optax and scipy's L-BFGS-B on
   JAX's compiled gradient. Adam's rate is the fastest of six, for every problem and seed.
c  two moons, M = 100,000, and spirals, M = 10,000, to 1e-3 of the cost to be gained: stochastic
   (progressive) beside Adam on minibatches. Rate and batch are the fastest of 15 pairs, found on
   the first seed. Its controls are priced every ten steps, ours where a level ends, off the clock.
d  digits, 1,797 rows of 64: seconds of training until the test accuracy, beside scikit-learn's
   MLPClassifier and PyTorch's Adam on the same network. Ours, PMPClassifier, has three layers and
   takes the rows as they are; beside it what `python -m pmpnet train` does: five layers, and clouds
   of eight points around the rows, with which it gets further. On everybody's clock is all between
   the rows and the model, scaling the columns too; scoring is on nobody's. Ours are whole fits, with
   the fewest iterations that reach it, from 0 on, and of multiples of four from 12 on; theirs are
   scored after every epoch, and Adam's rate is the fastest of five on each split.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from time import sleep

import numpy as np

from . import clock
from .peers import Network, Programme, Reached, installed, jax_cost, ours, torch_cost
from .trainers import (
    BUDGET,
    CHECK,
    jax_adam,
    jax_batches,
    jax_lbfgs,
    torch_adam,
    torch_batches,
    torch_lbfgs,
)

NEAR = 1e-3
PAUSE = (
    0.05  # seconds in which the threads of whoever ran before, which look out for work, fall asleep
)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MINI_RATES, BATCHES = (0.003, 0.01, 0.03, 0.1, 0.3), (256, 1024, 4096)
EPOCHS = 60
ROWS = "pmpnet, rows"
IPOPT_LIMIT = 600.0
ACCURACIES, DIGITS_RATES = (0.96, 0.97, 0.975, 0.98), (0.0003, 0.001, 0.003, 0.01, 0.03)


def network(case: str, samples: int, seed: int, scheme: str = "euler") -> tuple:
    """Return a problem of `benchmarks.methods` as peers are told it, and the start."""
    from .methods import CASES, problem

    data, dim, steps, control_cost, _ = CASES[case]
    p = problem(data, dim, steps, control_cost, seed, samples)
    s = p.samples
    head = np.asarray(p.terminal_cost.readout)
    beta = float(np.max(control_cost.l2))
    net = Network(s.x, s.y_terminal, steps, head, beta, scheme)
    return net, 0.1 * np.random.default_rng(seed).standard_normal(net.shape)


def agree(net: Network, start: np.ndarray) -> None:
    """See to it that every peer's cost is ours, at the start and at a random control."""
    mine = ours(net)
    for u in (start, np.random.default_rng(99).standard_normal(net.shape)):
        costs = {"pmpnet": mine(u)[0]}
        if installed("torch"):
            import torch

            costs["PyTorch"] = torch_cost(net)(*map(torch.from_numpy, (u, net.x, net.y))).item()
        if installed("jax"):
            costs["JAX"] = float(jax_cost(net)(u, net.x, net.y))
        for name, cost in costs.items():
            assert abs(cost - costs["pmpnet"]) <= 1e-10 * abs(cost), (name, costs)


def seconds_to(run: Callable, target: float) -> tuple[float, float]:
    """Return the seconds of ``run(observe)`` until it observes the target, and its least cost."""
    sleep(PAUSE)
    least, begun = np.inf, clock.now()

    def observe(cost):
        nonlocal least
        least = min(least, float(cost))
        if cost <= target:
            raise Reached

    try:
        run(observe)
    except Reached:
        return clock.now() - begun, least
    return np.inf, least


# -------------------------------------------------------------------------------- a: IPOPT


def beside_ipopt(told, seeds: range) -> Iterator[dict]:
    for samples in (50,) if told.quick else (50, 200, 1000):
        for collocation in (False, True):
            for seed in seeds:
                scheme = "rk4" if collocation else "euler"
                net, start = network("A", samples, seed, scheme)
                yield from against_programme(net, start, collocation, seed)


def against_programme(net: Network, start: np.ndarray, collocation: bool, seed: int) -> list[dict]:
    from pmpnet import solve

    problem = net.problem()
    problem.cost(start)  # compiled, or read from disk
    begun = clock.now()
    programme = Programme(net, start, collocation, IPOPT_LIMIT)
    built, begun = clock.now() - begun, clock.now()
    done = programme.solve()
    total = clock.now() - begun
    costs = [problem.cost(u) for _, u in programme.found]
    long = solve.msa(problem, start, max_iter=3000, tol=1e-9)
    best = min(*costs, long.cost)
    target = best + NEAR * abs(best)

    def run(observe):
        solve.msa(problem, start, max_iter=3000, tol=0, callback=lambda row: observe(row["cost"]))

    mine = [seconds_to(run, target)[0] for _ in range(3)]
    reached = [
        t - begun for (t, _), cost in zip(programme.found, costs, strict=True) if cost <= target
    ]
    own = [
        t - begun
        for (t, _), cost in zip(programme.found, costs, strict=True)
        if abs(cost - costs[-1]) <= NEAR * abs(costs[-1])
    ]
    case = f"moons, {'RK4 / collocation' if collocation else 'Euler / shooting'}"
    what = dict(part="a", case=case, M=len(net.x), seed=seed)
    return [
        dict(what, method="msa", seconds=min(mine), cost=long.cost / best - 1,
             whole=float(long.history["seconds"][-1])),
        dict(what, method="IPOPT", seconds=min(reached, default=np.inf), cost=costs[-1] / best - 1,
             own=min(own), whole=total, built=built, iterations=done["iter_count"],
             status=done["return_status"]),
    ]  # fmt: skip


# -------------------------------------------------------------------------- b: full batches


def full_batches(told, seeds: range) -> Iterator[dict]:
    for case, name in (("A", "moons"), ("B", "spirals")):
        for samples in (1000,) if told.quick else (1000, 10_000):
            turns = 3 if samples == 1000 else 1
            for seed in seeds:
                net, start = network(case, samples, seed)
                agree(net, start)
                for method, found in on_all_samples(net, start, turns).items():
                    yield dict(part="b", case=name, M=samples, seed=seed, method=method, **found)


def on_all_samples(net: Network, start: np.ndarray, turns: int) -> dict[str, dict]:
    """Return seconds and least cost of every method from one start."""
    from pmpnet import solve

    problem = net.problem()
    methods = {}

    def msa(observe):
        solve.msa(problem, start, max_iter=BUDGET, tol=0, callback=lambda r: observe(r["cost"]))

    methods["msa"] = msa
    best = min(
        solve.msa(problem, start, max_iter=BUDGET, tol=1e-9).cost,
        solve.lbfgs(problem, start, max_iter=BUDGET, tol=1e-9).cost,
    )
    found: dict[str, dict] = {}
    if installed("jax", "optax"):
        methods["JAX L-BFGS-B"] = jax_lbfgs(net, start)
        _, least = seconds_to(methods["JAX L-BFGS-B"], -np.inf)
        best = min(best, least)
    target = best + NEAR * abs(best)
    rate = tuned(net, start, target)
    if installed("jax", "optax"):
        methods["JAX Adam"] = jax_adam(net, start, rate or 0.1)
    if installed("torch"):
        for compiled in (False, True):
            mark = ", compiled" if compiled else ""
            methods["PyTorch Adam" + mark] = torch_adam(net, start, rate or 0.1, compiled)
            methods["PyTorch L-BFGS" + mark] = torch_lbfgs(net, start, compiled)
    for name in list(methods):  # compiled before the clock starts
        begun = clock.now()
        try:
            seconds_to(methods[name], np.inf)
        except Exception as refused:  # a compiler that is not there, say
            print(f"{name} left out: {type(refused).__name__}: {refused}"[:200], file=sys.stderr)
            del methods[name]
        found[name] = dict(first=clock.now() - begun, rate=rate if "Adam" in name else None)
    times: dict[str, list] = {name: [] for name in methods}
    for _ in range(turns):
        for name, run in methods.items():
            if "Adam" in name and rate is None:
                times[name].append((np.inf, np.nan))
            else:
                times[name].append(seconds_to(run, target))
    return {
        name: dict(found[name], seconds=min(s for s, _ in t),
                   cost=min(c for _, c in t) / best - 1)
        for name, t in times.items()
    }  # fmt: skip


def tuned(net: Network, start: np.ndarray, target: float) -> float | None:
    """Return the rate with which Adam needs the fewest steps to the target, or None."""
    best, fewest = None, BUDGET
    for rate in sorted(RATES, key=lambda r: abs(np.log(r / 0.1))):
        steps = 0

        def observe(cost, limit=fewest):
            nonlocal steps
            steps += 1
            if cost <= target or steps >= limit:
                raise Reached

        make = jax_adam if installed("jax", "optax") else torch_adam
        try:
            make(net, start, rate)(observe)
        except Reached:
            if steps < fewest:
                best, fewest = rate, steps
    return best


# -------------------------------------------------------------------------- c: minibatches


def minibatches(told, seeds: range) -> Iterator[dict]:
    from pmpnet import solve

    sizes = (("A", "moons", 10_000 if told.quick else 100_000), ("B", "spirals", 10_000))
    for case, name, samples in sizes[: 1 if told.quick else 2]:
        pair = None
        for seed in seeds:
            net, start = network(case, samples, seed)
            agree(net, start)
            problem = net.problem()
            first = problem.cost(start)
            best = solve.msa(problem, start, max_iter=300, tol=1e-8).cost
            target = best + NEAR * (first - best)
            mine = [progressive(problem, start, target, seed) for _ in range(3)]
            what = dict(part="c", case=name, M=samples, seed=seed)
            seconds, epochs = min(mine)
            yield dict(what, method="stochastic", seconds=seconds, epochs=epochs)
            peers = {}
            if installed("jax", "optax"):
                peers["JAX Adam"] = jax_batches
            if installed("torch"):
                peers["PyTorch Adam"] = torch_batches
            for method, steps in peers.items():
                # the first peer's choice is that of all: their steps are the same
                pair = pair or fastest_pair(steps, net, start, problem, target, seed)
                rate, batch = pair
                seconds, epochs, cost = to_target(
                    steps(net, start, rate, batch, seed), problem, target, batch
                )
                found = dict(seconds=seconds, epochs=epochs, cost=cost / best - 1)
                yield dict(what, method=method, rate=rate, batch=batch, **found)


def progressive(problem, start: np.ndarray, target: float, seed: int) -> tuple[float, float]:
    """Return the seconds and the epochs until a cost over all samples is the target.

    Where a level before the last one ends is priced off the clock, as the peers' controls are.
    """
    from pmpnet import solve

    seen, begun = [], clock.now()
    found = solve.stochastic(
        problem, start, max_iter=60, tol=1e-5, seed=seed,
        callback=lambda row: seen.append((clock.now() - begun, row["sweeps"] / 2, row["cost"])),
    )  # fmt: skip
    *levels, last = found.annotations["path"]
    done = 1  # row: the start, priced on all samples
    for level in levels:
        done += level["nit"] + 1
        if problem.cost(level["controls"]) <= target:
            return seen[done - 1][:2]
    assert len(seen) - done == last["nit"] + 1
    return next((row[:2] for row in seen[done:] if row[2] <= target), (np.inf, np.inf))


def to_target(
    steps: Iterator, problem, target: float, batch: int, limit: float = np.inf
) -> tuple[float, float, float]:
    """Return seconds and epochs of steps until their controls have the target, and the last cost."""
    M = problem.samples.count
    next(steps)  # compiled
    seconds, done, cost = 0.0, 0, np.inf
    while done * batch <= EPOCHS * M and seconds <= limit:
        start = clock.now()
        u = next(steps)
        seconds += clock.now() - start
        done += CHECK
        cost = problem.cost(u)
        if cost <= target:
            return seconds, done * batch / M, cost
    return np.inf, np.inf, cost


def fastest_pair(steps, net, start, problem, target, seed) -> tuple[float, int]:
    best, least = (0.03, 1024), np.inf
    for batch in BATCHES:
        for rate in sorted(MINI_RATES, key=lambda r: abs(np.log(r / 0.03))):
            seconds, _, _ = to_target(
                steps(net, start, rate, batch, seed), problem, target, batch, limit=least
            )
            if seconds < least:
                best, least = (rate, batch), seconds
    return best


# ------------------------------------------------------------------------------- d: digits


def digits(told, seeds: range) -> Iterator[dict]:
    from .real_data import table

    data = table("digits")
    for seed in seeds:
        passed = {
            ROWS: ours_on_digits(data, seed, 40 if told.quick else 120, steps=3, spread=0.0),
            "pmpnet train": ours_on_digits(data, seed, 40 if told.quick else 120),
            "MLPClassifier": sklearn_on_digits(data, seed),
        }
        if installed("torch"):
            grid = [torch_on_digits(data, seed, rate) for rate in DIGITS_RATES]
            passed["PyTorch Adam"] = {a: min(member[a] for member in grid) for a in ACCURACIES}
        for method, times in passed.items():
            for accuracy, seconds in times.items():
                case = f"digits, {accuracy:.1%}"
                found = dict(method=method, seconds=seconds)
                yield dict(part="d", case=case, M=len(data.x), seed=seed, **found)


def ours_on_digits(data, seed: int, most: int, **how) -> dict[float, float]:
    from sklearn.exceptions import ConvergenceWarning

    from pmpnet import PMPClassifier

    x, y, x_test, y_test = split(data, seed)

    def fit(iterations: int) -> PMPClassifier:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped before it
            model = PMPClassifier(max_iter=iterations, tol=1e-4, random_state=seed, **how)
            return model.fit(x, y)

    found = dict.fromkeys(ACCURACIES, np.inf)
    fit(1)  # compiled, or read from disk
    for iterations in (*range(12), *range(12, most + 1, 4)):
        begun = clock.now()
        model = fit(iterations)
        seconds = clock.now() - begun
        reached = model.score(x_test, y_test)
        for accuracy in ACCURACIES:
            if reached >= accuracy:
                found[accuracy] = min(found[accuracy], seconds)
        if model.n_iter_ < iterations or np.isfinite(found[ACCURACIES[-1]]):
            break
    return found


def split(data, seed: int) -> tuple[np.ndarray, ...]:
    """Return rows and labels of both parts."""
    from pmpnet import tables

    train, test = tables.split(data, seed=seed)
    return data.x[train], data.y[train], data.x[test], data.y[test]


def epochs_to(prepare: Callable, most: int) -> dict[float, float]:
    """Return seconds to the accuracies; ``prepare()`` returns what trains an epoch and what scores."""
    found, begun = dict.fromkeys(ACCURACIES, np.inf), clock.now()
    epoch, score = prepare()
    seconds = clock.now() - begun
    for _ in range(most):
        begun = clock.now()
        epoch()
        seconds += clock.now() - begun
        reached = score()
        for accuracy in ACCURACIES:
            if reached >= accuracy:
                found[accuracy] = min(found[accuracy], seconds)
    return found


def sklearn_on_digits(data, seed: int) -> dict[float, float]:
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    x, y, x_test, y_test = split(data, seed)

    def prepare() -> tuple[Callable, Callable]:
        scale = StandardScaler().fit(x)
        rows, classes, model = scale.transform(x), np.unique(y), MLPClassifier(random_state=seed)
        return (
            lambda: model.partial_fit(rows, y, classes=classes),
            lambda: model.score(scale.transform(x_test), y_test),
        )

    return epochs_to(prepare, 200)


def torch_on_digits(data, seed: int, rate: float) -> dict[float, float]:
    import torch
    from sklearn.preprocessing import StandardScaler
    from torch import nn

    x, y, x_test, y_test = split(data, seed)

    def prepare() -> tuple[Callable, Callable]:
        scale = StandardScaler().fit(x)
        rows, labels = torch.from_numpy(scale.transform(x)), torch.from_numpy(y)
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10)).double()
        adam = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-4)
        loss = nn.CrossEntropyLoss()

        def epoch() -> None:
            for batch in torch.randperm(len(rows)).split(200):
                adam.zero_grad()
                loss(model(rows[batch]), labels[batch]).backward()
                adam.step()

        def score() -> float:
            with torch.no_grad():
                found = model(torch.from_numpy(scale.transform(x_test))).argmax(1).numpy()
            return float((found == y_test).mean())

        return epoch, score

    return epochs_to(prepare, 100)


# ---------------------------------------------------------------------------------- tables

PARTS = {"a": beside_ipopt, "b": full_batches, "c": minibatches, "d": digits}
OURS = ("msa", "stochastic", ROWS)


def summary(rows: list[dict]) -> list[dict]:
    """Return medians over seeds, with how many times longer than ours."""
    groups: dict[tuple, dict[str, list]] = {}
    for row in rows:
        key = row["part"], row["case"], row["M"]
        groups.setdefault(key, {}).setdefault(row["method"], []).append(row)
    found = []
    for (part, case, samples), methods in groups.items():
        mine = {r["seed"]: r["seconds"] for name in OURS for r in methods.get(name, [])}
        for method, members in methods.items():
            # where neither got there, neither was faster
            with np.errstate(invalid="ignore"):
                times = np.array([(mine[r["seed"]], r["seconds"]) for r in members])
                longer = np.nan_to_num(times[:, 1] / times[:, 0], nan=1.0, posinf=np.inf)
            more = {
                key: float(np.median([r[key] for r in members]))
                for key in (
                    "own",
                    "whole",
                    "built",
                    "first",
                    "epochs",
                    "rate",
                    "batch",
                    "iterations",
                    "cost",
                )
                if members[0].get(key) is not None
            }
            found.append(dict(part=part, case=case, M=samples, method=method, seeds=len(members),
                              reached=int(np.isfinite(times[:, 1]).sum()),
                              seconds=float(np.median(times[:, 1])), longer=float(np.median(longer)),
                              **more))  # fmt: skip
    return found


def table(found: list[dict]) -> None:
    print(f"{'':>34}{'M':>8}  {'method':<26}{'seconds':>10}{'x ours':>9}{'reached':>9}  beside")
    for r in found:
        shown = f"{r['seconds']:.4g}" if np.isfinite(r["seconds"]) else "-"
        longer = f"{r['longer']:.1f}" if np.isfinite(r["longer"]) else "-"
        beside = ", ".join(
            f"{key} {r[key]:.3g}"
            for key in (
                "own",
                "whole",
                "built",
                "first",
                "epochs",
                "rate",
                "batch",
                "iterations",
                "cost",
            )
            if key in r
        )
        print(f"{r['part']} {r['case']:>32}{r['M']:>8}  {r['method']:<26}{shown:>10}{longer:>9}"
              f"{r['reached']:>5} / {r['seeds']}  {beside}")  # fmt: skip


def figure(found: list[dict], plt):
    """Draw seconds to the target: a row per problem, a mark per method."""

    def case(r: dict) -> str:
        return f"{r['part']}: {r['case']}, M = {r['M']:,}"

    cases = list(dict.fromkeys(map(case, found)))[::-1]
    names = list(dict.fromkeys(r["method"] for r in found))
    drawn, axes = plt.subplots(figsize=(8.5, 0.42 * len(cases) + 1.4))
    marks = "osD^v<>PX*hdp"
    for i, name in enumerate(names):
        points = [(r["seconds"], cases.index(case(r))) for r in found
                  if r["method"] == name and np.isfinite(r["seconds"])]  # fmt: skip
        if points:
            style = dict(color="black", zorder=3) if name in OURS else dict(alpha=0.8)
            axes.plot(*zip(*points, strict=True), marks[i % len(marks)], label=name, **style)
    axes.set_yticks(range(len(cases)), cases)
    axes.set_xscale("log")
    axes.set_xlabel("seconds to the same cost, or accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return drawn


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("--cases", default="abcd")
    parser.add_argument("--seeds", type=int, default=3)
    told = parser.parse_args()
    clock.hold(told)
    rows: list[dict] = []
    print(f"{clock.machine()}, {told.threads} threads, {told.seeds} seeds", flush=True)
    for case in told.cases:
        found: list[dict] = []
        for row in PARTS[case](told, range(1 if told.quick else told.seeds)):
            found.append(row)
            clock.write(told, "time_to_cost", summary(rows + found))
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        table(summary(found))
        rows += found
        clock.write(told, "time_to_cost", summary(rows), figure)


if __name__ == "__main__":
    main()
