"""One round (cost and gradient) beside PyTorch and JAX: same arithmetic, dtype and threads.

    python -m benchmarks.round [--threads 2] [--repeats 15] [--float32] [--quick] [--json FILE]

The system is x_{k+1} = x_k + h (W_k tanh(x_k) + b_k), the cost the mean squared distance to a
target. Every peer returns the same cost and gradient (checked to 1e-10 in double precision).
Medians of calls, the peers taking turns, so that a change of the machine's speed meets all of
them. Peers that are not installed are left out; compilation happens before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np

SIZES = [(1000, 2, 20), (10_000, 2, 50), (100_000, 2, 50), (10_000, 8, 50), (10_000, 64, 50)]
TURN = 0.02  # seconds
Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


def ours(x: np.ndarray, y: np.ndarray, N: int) -> Evaluate:
    from pmpnet import Problem, dynamics, losses

    problem = Problem(dynamics.Layer(x.shape[1]), x, y, terminal_cost=losses.Squared(), steps=N)
    readouts = problem.initial_readouts()
    h = problem.steps[:, None]

    def evaluate(u):
        done = problem.sweep(u, readouts)
        return done.terminal, -h * done.g

    return evaluate


def torch_peer(x: np.ndarray, y: np.ndarray, N: int, *, compiled: bool) -> Evaluate:
    import torch

    d, h = x.shape[1], 1.0 / N
    state, target = torch.from_numpy(x), torch.from_numpy(y)

    def cost(W, b):
        z = state
        for k in range(N):
            z = z + h * (torch.tanh(z) @ W[k].T + b[k])
        return ((z - target) ** 2).sum(dim=1).mean()

    run = torch.compile(cost) if compiled else cost

    def evaluate(u):
        u = u.astype(x.dtype)
        W = torch.from_numpy(u[:, : d * d].reshape(N, d, d).copy()).requires_grad_()
        b = torch.from_numpy(u[:, d * d :].copy()).requires_grad_()
        value = run(W, b)
        value.backward()
        gradient = np.concatenate([W.grad.numpy().reshape(N, -1), b.grad.numpy()], axis=1)
        return value.item(), gradient

    return evaluate


def jax_peer(x: np.ndarray, y: np.ndarray, N: int, *, checkpointed: bool) -> Evaluate:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    d, h = x.shape[1], x.dtype.type(1.0 / N)
    state, target = jnp.asarray(x), jnp.asarray(y)

    def step(z, layer):
        W, b = layer
        return z + h * (jnp.tanh(z) @ W.T + b), None

    step = jax.checkpoint(step) if checkpointed else step

    def cost(u, state, target):
        layers = u[:, : d * d].reshape(N, d, d), u[:, d * d :]
        z, _ = jax.lax.scan(step, state, layers)
        return ((z - target) ** 2).sum(axis=1).mean()

    run = jax.jit(jax.value_and_grad(cost))

    def evaluate(u):
        value, gradient = run(jnp.asarray(u, x.dtype), state, target)
        return float(value), np.asarray(gradient)

    return evaluate


PEERS: dict[str, Callable[..., Evaluate]] = {
    "pmpnet": ours,
    "PyTorch eager": lambda *a: torch_peer(*a, compiled=False),
    "PyTorch compiled": lambda *a: torch_peer(*a, compiled=True),
    "JAX scan": lambda *a: jax_peer(*a, checkpointed=False),
    "JAX checkpointed": lambda *a: jax_peer(*a, checkpointed=True),
}


def available() -> list[str]:
    from importlib.util import find_spec

    needs = {"PyTorch": "torch", "JAX": "jax"}
    return [p for p in PEERS if all(find_spec(m) for key, m in needs.items() if p.startswith(key))]


def measure(size: tuple[int, int, int], dtype: type, peers: list[str], repeats: int) -> dict:
    """Return median milliseconds of every peer, run in turn."""
    M, d, N = size
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((M, d)).astype(dtype) for _ in range(2))
    u = 0.3 * rng.standard_normal((N, d * d + d)) / np.sqrt(d)
    runs, first = {}, {}
    for name in peers:
        runs[name] = PEERS[name](x, y, N)
        first[name] = runs[name](u)
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    cost, gradient = first["pmpnet"]
    for name in peers:
        assert abs(first[name][0] - cost) <= tolerance * abs(cost), name
        difference = np.abs(first[name][1] - gradient).max()
        assert difference <= tolerance * np.abs(gradient).max(), (name, difference)
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(repeats):
        for name in peers:
            # a turn is at least 20 ms long; its first call brings back the peer's own caches
            runs[name](u)
            begun = time.perf_counter()
            while True:
                start = time.perf_counter()
                runs[name](u)
                now = time.perf_counter()
                times[name].append(now - start)
                if now - begun > TURN:
                    break
    return {name: 1e3 * float(np.median(t)) for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the first two sizes only")
    parser.add_argument("--json", help="write the table to this file as well")
    told = parser.parse_args()

    # threads are fixed before any peer is imported
    os.environ["OMP_NUM_THREADS"] = os.environ["PMPNET_NUM_THREADS"] = str(told.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: told.threads])
    peers = available()
    if "PyTorch eager" in peers:
        import torch

        torch.set_num_threads(told.threads)
    dtype = np.float32 if told.float32 else np.float64
    print(f"milliseconds per round, median of {told.repeats}; {told.threads} thread(s), "
          f"{np.dtype(dtype).name}, load {os.getloadavg()[0]:.2f}")  # fmt: skip
    print(f"{'M, d, N':>16}" + "".join(f"{p:>18}" for p in peers) + f"{'ratio':>9}")
    rows = []
    for size in SIZES[:2] if told.quick else SIZES:
        found = measure(size, dtype, peers, told.repeats)
        others = [t for name, t in found.items() if name != "pmpnet"]
        ratio = min(others) / found["pmpnet"] if others else float("nan")
        rows.append({"size": size, "milliseconds": found, "ratio": ratio})
        print(f"{', '.join(map(str, size)):>16}"
              + "".join(f"{found[p]:>18.3f}" for p in peers) + f"{ratio:>9.1f}")  # fmt: skip
        sys.stdout.flush()
    if told.json:
        with open(told.json, "w") as file:
            json.dump({"threads": told.threads, "dtype": np.dtype(dtype).name, "rows": rows}, file)


if __name__ == "__main__":
    main()
