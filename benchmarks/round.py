"""One round (cost and gradient): beside PyTorch, JAX and diffrax, and beside itself.

    python -m benchmarks.round [--parts peers,threads,schemes,growth] [--threads 2] [--turns 9]
                               [--dtypes float64,float32] [--quick] [--out FOLDER]

The system is x_{k+1} = x_k + h (W_k tanh(x_k) + b_k), N = 20, the cost the mean squared distance to
a target. Every peer returns the same cost and gradient (checked to 1e-10 in double precision). Ours
runs before each of the others, a turn of 20 ms at least each, so that a change of the machine's
speed meets both; ratios are medians over the turns. Compilation is not on the clock, and peers that
are not installed are left out. PyTorch compiles for every size, 10 to 40 seconds: this is done for
10,000 samples only.

peers    milliseconds, and how many times longer the fastest peer takes
threads  what a second thread gains
schemes  Heun's and Runge and Kutta's step beside Euler's
growth   nanoseconds per sample and layer, for ever more layers and samples
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from . import clock, peers
from .peers import Network, installed

SAMPLES, DIMS, N = (1000, 10_000, 100_000), (2, 8, 16, 64), 20
LAYERS = (10, 100, 1000, 10_000)
MANY = (100_000, 1_000_000, 10_000_000)


def network(M: int, d: int, N: int = N, dtype: str = "float64", scheme: str = "euler") -> Network:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((M, d)).astype(dtype) for _ in range(2))
    return Network(x, y, N, scheme=scheme)


def control(net: Network) -> np.ndarray:
    return 0.3 * np.random.default_rng(1).standard_normal(net.shape) / np.sqrt(net.dim)


def everybody(net: Network) -> dict[str, peers.Evaluate]:
    found = {"pmpnet": peers.ours(net)}
    if installed("torch"):
        found["PyTorch"] = peers.torch_round(net)
        if len(net.x) == 10_000:
            found["PyTorch compiled"] = peers.torch_round(net, compiled=True)
    if installed("jax"):
        found["JAX scan"] = peers.jax_round(net, peers.jax_cost(net, checkpointed=False))
        found["JAX checkpointed"] = peers.jax_round(net, peers.jax_cost(net))
        if installed("diffrax"):
            found["diffrax"] = peers.jax_round(net, peers.diffrax_cost(net))
    return found


def same(net: Network, runs: dict[str, Callable], u: np.ndarray) -> None:
    """See to it that all costs and gradients are ours; this compiles them too."""
    tolerance = 1e-10 if net.x.dtype == np.float64 else 1e-3
    cost, gradient = runs["pmpnet"](u)
    for name, run in runs.items():
        value, slope = run(u)
        assert abs(value - cost) <= tolerance * abs(cost), (name, value, cost)
        difference = np.abs(slope - gradient).max()
        assert difference <= tolerance * np.abs(gradient).max(), (name, difference)


def calls(runs: dict[str, Callable], u: np.ndarray) -> dict[str, Callable]:
    return {name: partial(run, u) for name, run in runs.items()}


def beside_peers(told) -> list[dict]:
    rows = []
    print(f"\nmilliseconds of a round and the fastest peer's over ours, N = {N}")
    for dtype in told.dtypes.split(","):
        for d in DIMS[:2] if told.quick else DIMS:
            for M in SAMPLES[:2] if told.quick else SAMPLES:
                net = network(60_000 if (d, M) == (64, 100_000) else M, d, dtype=dtype)
                u, runs = control(net), everybody(net)
                same(net, runs, u)
                pairs = clock.in_turns(calls(runs, u), told.turns if M < 100_000 else 5)
                if not pairs:
                    continue
                ms = {name: 1e3 * float(np.median(p[:, 1])) for name, p in pairs.items()}
                ratios = {name: clock.ratio(p) for name, p in pairs.items()}
                mine = 1e3 * float(np.median(np.concatenate([p[:, 0] for p in pairs.values()])))
                fastest = min(ratios, key=ratios.get)
                rows.append(dict(part="peers", dtype=dtype, M=len(net.x), d=d, N=N, ours=mine,
                                 milliseconds=ms, ratios=ratios, ratio=ratios[fastest]))  # fmt: skip
                shown = ", ".join(f"{name} {t:.3g}" for name, t in ms.items())
                print(f"{dtype} d = {d:>2}, M = {len(net.x):>7,}: ours {mine:.3g}, {shown};"
                      f"  {ratios[fastest]:.1f} ({fastest})", flush=True)  # fmt: skip
    return rows


def second_thread(told) -> list[dict]:
    import pmpnet

    def on(count: int, run: Callable) -> Callable:
        def call():
            pmpnet.set_num_threads(count)
            run()

        return call

    rows = []
    print("\none thread's time over two threads'")
    for dtype in told.dtypes.split(","):
        for d in DIMS[:2] if told.quick else DIMS:
            for M in SAMPLES[:2] if told.quick else SAMPLES:
                net = network(M, d, dtype=dtype)
                run = partial(peers.ours(net), control(net))
                both = {str(n): on(n, run) for n in (2, 1)}
                gain = clock.ratio(clock.in_turns(both, told.turns)["1"])
                rows.append(dict(part="threads", dtype=dtype, M=M, d=d, N=N, ratio=gain))
                print(f"{dtype} d = {d:>2}, M = {M:>7,}: {gain:.2f}", flush=True)
    pmpnet.set_num_threads(None)
    return rows


def schemes(told) -> list[dict]:
    rows = []
    print("\ntime over Euler's, 10,000 samples")
    for d in DIMS[:2] if told.quick else DIMS:
        nets = {name: network(10_000, d, scheme=name) for name in ("euler", "heun", "rk4")}
        u = control(nets["euler"])
        runs = calls({name: peers.ours(net) for name, net in nets.items()}, u)
        for name, pairs in clock.in_turns(runs, told.turns).items():
            rows.append(dict(part="schemes", scheme=name, d=d, ratio=clock.ratio(pairs)))
            print(f"d = {d:>2} {name}: {rows[-1]['ratio']:.2f}", flush=True)
    return rows


def growth(told) -> list[dict]:
    """Compare time per sample and layer with that of the first of a series."""
    layers, many = (LAYERS[:3], MANY[:2]) if told.quick else (LAYERS, MANY)
    series = {
        "N": {n: network(10_000, 2, n) for n in layers},
        "M": {m: network(m, 2, 10) for m in many},
    }
    rows = []
    for name, nets in series.items():
        runs = {str(key): partial(peers.ours(net), control(net)) for key, net in nets.items()}
        pairs = clock.in_turns(runs, 5)
        first, *others = runs
        work = {str(key): len(net.x) * net.steps for key, net in nets.items()}
        for key in others:
            growth = clock.ratio(pairs[key]) * work[first] / work[key]
            each = 1e9 * float(np.median(pairs[key][:, 1])) / work[key]
            rows.append(dict(part="growth", of=name, size=int(key), ns=each, ratio=growth))
            print(f"{name} = {int(key):>10,}: {each:.3f} ns per sample and layer,"
                  f" {growth:.2f} of that at {int(first):,}", flush=True)  # fmt: skip
    return rows


def figure(rows: list[dict], plt):
    """Draw the fastest peer's time over ours, by dimension."""
    shown = [r for r in rows if r["part"] == "peers"]
    drawn, axes = plt.subplots(figsize=(6.5, 4))
    for dtype, style in (("float64", "o-"), ("float32", "s--")):
        for M in sorted({r["M"] for r in shown if r["M"] != 60_000}):
            line = [(r["d"], r["ratio"]) for r in shown if r["dtype"] == dtype
                    and (r["M"] == M or (M == 100_000 and r["M"] == 60_000))]  # fmt: skip
            if line:
                axes.plot(*zip(*line, strict=True), style, label=f"{dtype}, M = {M:,}")
    axes.axhline(1.0, color="gray", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(DIMS, map(str, DIMS))
    axes.set_yticks((1, 2, 5, 10, 20), ("1", "2", "5", "10", "20"))
    axes.minorticks_off()
    axes.set_xlabel("dimension d")
    axes.set_ylabel("fastest peer's time over ours")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    return drawn


PARTS = {"peers": beside_peers, "threads": second_thread, "schemes": schemes, "growth": growth}


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--dtypes", default="float64,float32")
    parser.add_argument("--turns", type=int, default=9)
    told = parser.parse_args()
    clock.hold(told)
    print(f"{clock.machine()}, {told.threads} thread(s)")
    rows: list[dict] = []
    name = f"round_{told.threads}"
    for part in told.parts.split(","):
        if part == "threads" and told.threads < 2:
            continue
        rows += PARTS[part](told)
        has_peers = any(r["part"] == "peers" for r in rows)
        clock.write(told, name, rows, figure if has_peers else None)


if __name__ == "__main__":
    main()
