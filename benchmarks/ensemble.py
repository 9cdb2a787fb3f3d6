"""Cost and gradient of a symbolic ensemble beside CasADi's own map and mapaccum, one thread each.

    python -m benchmarks.ensemble [--samples 10000] [--steps 200] [--repeats 5]

The van der Pol oscillator x'' = mu (1 - x^2) x' - x + u with one mu per sample, by RK4, the cost
the mean of |x(T)|^2. CasADi differentiates in reverse mode; it is tried with the samples mapped
over whole trajectories and with whole ensembles accumulated over time. Both give the same
numbers to 1e-10. Also the seconds to compile systems of 2, 6 and 16 states, and to load them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import casadi
import numpy as np

import pmpnet
from pmpnet import Problem, losses
from pmpnet.dynamics import Symbolic

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
HORIZON = 5.0

FIRST_ROUND = """
import sys, time, casadi, numpy as np
from pmpnet import Problem, losses
from pmpnet.dynamics import Symbolic
d = int(sys.argv[1])
x, u = casadi.SX.sym("x", d), casadi.SX.sym("u", 2)
# a chain of pendulums, each pulled by its neighbours and by two torques
n = d // 2
q, v = casadi.vertsplit(x)[:n], casadi.vertsplit(x)[n:]
pulls = [q[i - 1] + q[(i + 1) % n] - 2 * q[i] + u[i % 2] * casadi.cos(q[i]) for i in range(n)]
rhs = [*v, *(pulls[i] - casadi.sin(q[i]) for i in range(n))]
start = time.perf_counter()
problem = Problem(Symbolic(x, u, rhs), np.ones((100, d)), terminal_cost=losses.Squared(), steps=20)
problem.gradient(np.zeros((20, 2)))
print(time.perf_counter() - start)
"""


def expressions():
    t, x, u, mu = (casadi.SX.sym(*name) for name in (("t",), ("x", 2), ("u",), ("mu",)))
    return t, x, u, mu, casadi.vertcat(x[1], mu * (1 - x[0] ** 2) * x[1] - x[0] + u)


def ours(x0: np.ndarray, mu: np.ndarray, N: int) -> Evaluate:
    _, x, u, parameter, rhs = expressions()
    problem = Problem(
        Symbolic(x, u, rhs, parameters=parameter), x0, parameters=mu, scheme="rk4",
        terminal_cost=losses.Squared(), horizon=HORIZON, steps=N,
    )  # fmt: skip
    h = problem.steps[:, None]

    def evaluate(control):
        done = problem.sweep(control, (None, None))
        return done.terminal, -h * done.g

    return evaluate


def peer(x0: np.ndarray, mu: np.ndarray, N: int, *, samples_first: bool) -> Evaluate:
    M, h = len(x0), HORIZON / N
    _, x, u, parameter, rhs = expressions()
    f = casadi.Function("f", [x, u, parameter], [rhs])
    k1 = f(x, u, parameter)
    k2 = f(x + h / 2 * k1, u, parameter)
    k3 = f(x + h / 2 * k2, u, parameter)
    k4 = f(x + h * k3, u, parameter)
    step = casadi.Function("step", [x, u, parameter], [x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)])
    U = casadi.MX.sym("U", 1, N)
    if samples_first:
        run = step.mapaccum("trajectory", N).map(M)
        ends = run(x0.T, casadi.repmat(U, 1, M), np.repeat(mu.T, N, axis=1))[:, N - 1 :: N]
    else:
        # each step takes the control once for all samples
        control, state = casadi.MX.sym("u"), casadi.MX.sym("X", 2, M)
        moved = step.map(M)(state, casadi.repmat(control, 1, M), mu.T)
        run = casadi.Function("ensemble", [state, control], [moved]).mapaccum("trajectory", N)
        ends = run(x0.T, U)[:, -M:]
    cost = casadi.sumsqr(ends) / M
    both = casadi.Function("both", [U], [cost, casadi.gradient(cost, U)])

    def evaluate(control):
        value, slope = both(control.T)
        return float(value), slope.full().T

    return evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    told = parser.parse_args()
    pmpnet.set_num_threads(1)
    rng = np.random.default_rng(0)
    x0, mu = rng.standard_normal((told.samples, 2)), rng.uniform(0.5, 1.5, (told.samples, 1))
    control = 0.1 * rng.standard_normal((told.steps, 1))
    methods = {
        "pmpnet": ours(x0, mu, told.steps),
        "CasADi, map of mapaccum": peer(x0, mu, told.steps, samples_first=True),
        "CasADi, mapaccum of map": peer(x0, mu, told.steps, samples_first=False),
    }
    values = {name: evaluate(control) for name, evaluate in methods.items()}
    cost, slope = values["pmpnet"]
    for name, (other, g) in values.items():
        assert abs(other - cost) <= 1e-10 * abs(cost), name
        assert np.abs(g - slope).max() <= 1e-10 * np.abs(slope).max(), name
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(told.repeats):
        for name, evaluate in methods.items():
            start = time.perf_counter()
            evaluate(control)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(s)) for name, s in seconds.items()}
    print(
        f"{told.samples} samples, {told.steps} steps of RK4, one thread, median of {told.repeats}"
    )
    for name, s in medians.items():
        print(f"  {name:<26} {1e3 * s:9.1f} ms   {s / medians['pmpnet']:6.1f}")
    for states in (2, 6, 16):
        with tempfile.TemporaryDirectory() as cache:
            cold, cached = (first_round(states, cache) for _ in range(2))
        print(f"first round of {states:>2} states: {cold:.1f} s, from the cache {cached:.2f} s")


def first_round(states: int, cache: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_ROUND, str(states)], check=True, capture_output=True,
        env={**os.environ, "PMPNET_CACHE_DIR": cache},
    )  # fmt: skip
    return float(done.stdout)


if __name__ == "__main__":
    main()
