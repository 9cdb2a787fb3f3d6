"""How far the round is from what this machine can do.

    python -m benchmarks.limit [--threads 2] [--turns 9] [--quick] [--out FOLDER]

Of the round of x_{k+1} = x_k + h (W_k tanh(x_k) + b_k), M samples of d numbers, N layers:

    products     6 d^2 M N operations: W s, W' p and p s', a multiply and an add each
    the others   8 d M N: the step, the bias and its sum, (1 - s^2) q, the change of p
    tanh         d M N of them
    memory       what is read once, x and y: 2 d M numbers. What a block keeps on its way stays in
                 the core's cache

Rates are measured in the same run, on as many threads: for operations the faster of a large matrix
product of numpy's BLAS and of 4 by 4 products on a block in the first cache; our own tanh on such a
block; numpy's copy of a large array. The limit is the slowest of the three; "sum" is arithmetic and
tanh one after the other, which share the core's units. "of the rate" is the operations of the
products alone per second, over that rate; "of BLAS" over the BLAS's.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from . import clock, peers
from .round import DIMS, SAMPLES, N, control, network


def blas_rate(dtype: str, threads: int) -> float:
    """Return operations per second of a large matrix product."""
    from threadpoolctl import threadpool_limits

    n = 1000
    A, B = (np.random.default_rng(i).standard_normal((n, n)).astype(dtype) for i in (0, 1))
    with threadpool_limits(threads):
        A @ B
        return 2.0 * n**3 / min(clock.turn(lambda: A @ B) for _ in range(20))


def product_rate(dtype: str, threads: int) -> float:
    """Return operations per second of 4 by 4 products on blocks in the first cache."""
    from numba import njit

    from pmpnet.kernels.blocks import add_affine
    from pmpnet.kernels.jit import BLOCK_OPTIONS
    from pmpnet.kernels.memory import zeros

    @njit(**BLOCK_OPTIONS)
    def one(A, b, S, out):
        add_affine(A, b, S, out)

    @njit(nogil=True)
    def many(A, b, S, out, repeats):
        for _ in range(repeats):
            one(A, b, S, out)

    size, repeats = 512, 20_000
    A, b = np.full((4, 4), 0.01, dtype), np.zeros(4, dtype)
    blocks = [(zeros((4, size), dtype), zeros((4, size), dtype)) for _ in range(threads)]
    many(A, b, *blocks[0], 1)
    with ThreadPoolExecutor(threads) as pool:

        def run():
            list(pool.map(lambda block: many(A, b, *block, repeats), blocks))

        return threads * 32.0 * size * repeats / min(clock.turn(run) for _ in range(5))


def tanh_rate(dtype: str, threads: int) -> float:
    """Return how many of our own tanh a second, on blocks that stay in the cache."""
    from numba import njit

    from pmpnet.kernels.jit import BLOCK_OPTIONS
    from pmpnet.kernels.vector_math import tanh

    @njit(**BLOCK_OPTIONS)
    def one(x, y):
        for i in range(x.size):
            y[i] = tanh(x[i])

    @njit(nogil=True)
    def many(x, y, repeats):
        for k in range(repeats):
            one(x[k % 2], y[k % 2])

    size, repeats = 1024, 20_000
    x = np.random.default_rng(0).standard_normal((threads, 2, size)).astype(dtype)
    y = np.empty_like(x)
    many(x[0], y[0], 1)
    with ThreadPoolExecutor(threads) as pool:

        def run():
            list(pool.map(lambda i: many(x[i], y[i], repeats), range(threads)))

        return threads * size * repeats / min(clock.turn(run) for _ in range(5))


def memory_rate() -> float:
    """Return bytes per second, read and written, of a copy by one thread."""
    a = np.ones(16_000_000)
    b = np.empty_like(a)
    return 2 * a.nbytes / min(clock.turn(lambda: np.copyto(b, a)) for _ in range(10))


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("--turns", type=int, default=9)
    told = parser.parse_args()
    clock.hold(told)
    print(f"{clock.machine()}, {told.threads} thread(s)")
    rows, memory = [], memory_rate()
    for dtype in ("float64", "float32"):
        blas, tanhs = blas_rate(dtype, told.threads), tanh_rate(dtype, told.threads)
        products = max(blas, product_rate(dtype, told.threads))
        rows.append(dict(part="rates", dtype=dtype, products=products, blas=blas, tanh=tanhs,
                         memory=memory))  # fmt: skip
        print(f"\n{dtype}: products {products / 1e9:.1f} Gflop/s (BLAS {blas / 1e9:.1f}), tanh"
              f" {tanhs / 1e9:.2f} G/s,"
              f" memory {memory / 1e9:.1f} GB/s\n{'d':>3}{'M':>9}{'round':>10}{'arithmetic':>12}{'tanh':>9}"
              f"{'memory':>9}{'of limit':>10}{'of sum':>8}{'of the rate':>13}{'of BLAS':>9}   ms")  # fmt: skip
        for d in DIMS[:2] if told.quick else DIMS:
            for M in SAMPLES[:2] if told.quick else SAMPLES:
                net = network(M, d, dtype=dtype)
                run = partial(peers.ours(net), control(net))
                run()
                spent = float(np.median([clock.turn(run) for _ in range(told.turns)]))
                steps = M * N
                arithmetic = (6 * d * d + 8 * d) * steps / products
                of_tanh, of_memory = d * steps / tanhs, 2 * net.x.nbytes / memory
                limit = max(arithmetic, of_tanh, of_memory)
                share = 6 * d * d * steps / spent / products
                rows.append(dict(part="sizes", dtype=dtype, M=M, d=d, N=N, seconds=spent,
                                 arithmetic=arithmetic, tanh=of_tanh, memory=of_memory,
                                 operations=(6 * d * d + 8 * d) * steps, bytes=2 * net.x.nbytes,
                                 of_limit=limit / spent, of_sum=(arithmetic + of_tanh) / spent,
                                 of_rate=share, of_blas=share * products / blas))  # fmt: skip
                shown = "".join(f"{1e3 * t:>{w}.3f}" for t, w in (
                    (spent, 10), (arithmetic, 12), (of_tanh, 9), (of_memory, 9)))  # fmt: skip
                print(f"{d:>3}{M:>9,}{shown}{limit / spent:>10.0%}"
                      f"{(arithmetic + of_tanh) / spent:>8.0%}{share:>13.0%}"
                      f"{share * products / blas:>9.0%}", flush=True)  # fmt: skip
    clock.write(told, f"limit_{told.threads}", rows, figure)


def figure(rows: list[dict], plt):
    """Draw, for every size, what the round takes over its limits."""
    shown = [r for r in rows if r["part"] == "sizes"]
    drawn, axes = plt.subplots(figsize=(8, 4))
    at = np.arange(len(shown))
    for key, bottom, colour in (
        ("arithmetic", None, "tab:blue"),
        ("tanh", "arithmetic", "tab:orange"),
    ):
        low = [r[bottom] / r["seconds"] if bottom else 0.0 for r in shown]
        axes.bar(at, [r[key] / r["seconds"] for r in shown], 0.7, low, color=colour, label=key)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(
        at, [f"{r['dtype'][5:]}, {r['d']}, {r['M']:,}" for r in shown], rotation=90, fontsize=7
    )
    axes.set_ylabel("part of the round's time")
    axes.set_xlabel("bits, d, M")
    axes.legend(frameon=False)
    return drawn


if __name__ == "__main__":
    main()
