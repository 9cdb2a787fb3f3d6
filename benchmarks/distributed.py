"""Rounds over samples on many machines, here worker processes of dask, beside the round in one.

python -m benchmarks.distributed [--quick] [--workers 1 2 4] [--partitions 1 2 4 8 16 64]
                                 [--parts overhead pace control memory]

overhead   few samples: what a round costs beside its sweep, against workers and partitions
pace       many samples: rounds per second, as many partitions in all cases of a row
control    few samples, large controls: what the bytes cost
memory     more samples than one worker's memory may hold, drawn on the workers
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np

from . import clock
from .peers import installed

ROWS = 4096  # per partition, where samples are few
LAYERS = 20


def drawn(parts: int, rows: int):
    """Return two moons as a lazy table, the label in its last column, drawn where it is needed."""
    import dask.array as da

    from pmpnet import datasets

    def block(block_info):
        part = block_info[None]["chunk-location"][0]
        return np.column_stack(datasets.two_moons(rows, seed=part))

    return da.map_blocks(block, chunks=((rows,) * parts, (3,)), dtype=float, meta=np.empty((0, 3)))


def moons(parts: int, rows: int, here: bool = False, steps: int = LAYERS):
    """Return the problem of two moons, its samples on the workers or here."""
    import pmpnet
    from pmpnet import dynamics, losses, penalties

    table = drawn(parts, rows)
    if here:
        table = table.compute(scheduler="synchronous")
    return pmpnet.Problem(
        dynamics.Layer(2),
        table[:, :2],
        table[:, 2].astype(int),
        terminal_cost=losses.Logistic(readout=[[4.0, 0.0]]),
        control_cost=penalties.ElasticNet(0.01, 0.001),
        steps=steps,
    )


def clients(workers: int, **how):
    """Open a cluster of so many processes of one thread, and close it."""
    from distributed import Client, LocalCluster

    how = dict(n_workers=workers, threads_per_worker=1, dashboard_address=":0") | how
    how |= dict(env={"PMPNET_NUM_THREADS": "1"})  # of this process it is told otherwise
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        yield client


def control(problem, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(problem.control_shape)


def beside(told, far, near, **more) -> dict:
    """Time a round there and here, in turns; the answers are held against each other."""
    u = control(near)
    np.testing.assert_allclose(far.gradient(u), near.gradient(u), rtol=1e-10, atol=1e-14)
    runs = {
        "here": lambda: near.gradient(u),
        "there": lambda: far.gradient(u),
        "nothing": lambda: nothings(far),
    }
    pairs = clock.in_turns(runs, told.turns)
    best = {name: pair[:, 1].min() for name, pair in pairs.items()}  # what else runs only slows
    best["here"] = min(pair[:, 0].min() for pair in pairs.values())
    row = dict(samples=near.samples.count, **best, ratio=clock.ratio(pairs["there"]), **more)
    show(row)
    return row


def nothing(part) -> None:
    pass


def nothings(far) -> None:
    """Do what dask must for a round, without the round."""
    import dask

    dask.compute(*(dask.delayed(nothing, pure=False)(part) for part in far.samples.parts))


def show(row: dict) -> None:
    """Print a row of the table."""
    here, there = 1e3 * row["here"], 1e3 * row["there"]
    size = f"{row['bytes'] / 1e3:12.1f} kB" if "bytes" in row else ""
    print(
        f"{row['part']:<9} {row['workers']:>7} {row['partitions']:>10} {row['samples']:>10,}"
        f" {here:9.2f} {there:9.2f} {there - here:9.2f} {1e3 * row['nothing']:9.2f} {row['ratio']:9.2f}{size}",
        flush=True,
    )


def rounds(told, part: str, partitions: list[int], rows) -> list[dict]:
    """Time rounds for so many partitions of ``rows(partitions)`` samples each."""
    found = []
    for workers in told.workers:
        for _ in clients(workers):
            for parts in partitions:
                near, far = (moons(parts, rows(parts), here) for here in (True, False))
                how = dict(part=part, workers=workers, partitions=parts)
                found.append(beside(told, far, near, **how))
    return found


def overhead(told) -> list[dict]:
    return rounds(told, "overhead", told.partitions, lambda parts: ROWS)


def pace(told) -> list[dict]:
    samples = 400_000 if told.quick else 4_000_000
    return rounds(told, "pace", told.partitions, lambda parts: samples // parts)


def bytes_of_controls(told) -> list[dict]:
    """Deep networks: N times 48 bytes go out to every partition and come back from it."""
    parts, found = 4, []
    for _ in clients(2):
        for layers in (20, 2_000) if told.quick else (20, 2_000, 20_000):
            near, far = (moons(parts, 256, here, layers) for here in (True, False))
            how = dict(part="control", workers=2, partitions=parts)
            found.append(beside(told, far, near, **how, bytes=control(near).nbytes))
    return found


def memory(told) -> list[dict]:
    """Samples that one worker's limit would not let it hold; the head never sees a row."""
    import resource

    limit, parts, rows = (600, 8, 100_000) if told.quick else (700, 40, 500_000)
    for client in clients(4, memory_limit=f"{limit}MB"):
        far = moons(parts, rows)
        u = control(far)
        far.gradient(u)
        held = client.run(lambda dask_worker: sum(map(sys.getsizeof, dask_worker.data.values())))
        peak = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        seconds = min(clock.turn(partial(far.gradient, u)) for _ in range(told.turns))
        row = dict(part="memory", workers=4, partitions=parts, samples=parts * rows, there=seconds,
                   limit=limit, held=sum(held.values()) / 1e6, peak=max(peak.values()),
                   head=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)  # fmt: skip
        print(f"{row['samples']:,} samples, {row['held']:.0f} MB of them on 4 workers of {limit} MB each: "
              f"{seconds:.2f} s a round; peak memory {row['peak']:.0f} MB of a worker, {row['head']:.0f} MB of the head")  # fmt: skip
        return [row]


PARTS = {"overhead": overhead, "pace": pace, "control": bytes_of_controls, "memory": memory}


def figure(rows, plt):
    drawn, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, part in zip(axes, ("overhead", "pace"), strict=True):
        chosen = [row for row in rows if row["part"] == part]
        for workers in sorted({row["workers"] for row in chosen}):
            line = [row for row in chosen if row["workers"] == workers]
            x = [row["partitions"] for row in line]
            y = [1e3 * (row["there"] - row["here"]) if part == "overhead" else 1 / row["there"] for row in line]  # fmt: skip
            ax.plot(x, y, "o-", label=f"{workers} worker{'s' * (workers != 1)}")
        if part == "pace" and chosen:
            ax.plot(x, [1 / row["here"] for row in line], "k--", label="in this process")
            ax.set_title(f"{chosen[0]['samples']:,} samples")
        ax.set(xscale="log", xlabel="partitions", ylim=(0, None),
               ylabel="milliseconds a round beside its sweep" if part == "overhead" else "rounds per second")  # fmt: skip
        ax.set_xticks(x, map(str, x))
        ax.minorticks_off()
        ax.legend(frameon=False)
    return drawn


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=None)
    parser.add_argument("--partitions", type=int, nargs="+", default=None)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--turns", type=int, default=None)
    told = parser.parse_args()
    told.workers = told.workers or ([1, 2] if told.quick else [1, 2, 4])
    told.partitions = told.partitions or ([1, 4] if told.quick else [1, 2, 4, 8, 16, 64])
    told.turns = told.turns or (3 if told.quick else 7)
    if not installed("distributed"):
        print("dask.distributed is not installed: left out")
        return
    clock.hold(told)

    print(
        "part      workers partitions    samples   ms here  ms there      more   nothing     ratio  control"
    )
    rows = [row for part in told.parts for row in PARTS[part](told)]
    drawable = {row["part"] for row in rows} >= {"overhead", "pace"}
    clock.write(told, "distributed", rows, figure if drawable else None)


if __name__ == "__main__":
    main()
