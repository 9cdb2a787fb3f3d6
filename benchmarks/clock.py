"""What benchmarks share: cores held, turns taken, results written."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

now = perf_counter  # what seconds are told by

TURN = 0.02  # seconds that a turn lasts at least


def options(description: str) -> ArgumentParser:
    """Return a parser with what every benchmark understands."""
    parser = ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small part of it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="benchmarks/results", help="folder of JSON and figures")
    parser.add_argument(
        "--cpu", action="store_true",
        help="seconds of this process alone: for one thread on a machine that others use too",
    )  # fmt: skip
    return parser


def hold(told: Namespace) -> None:
    """Hold this process to so many cores and threads, before any peer is imported; set the clock."""
    global now
    threads = told.threads
    os.environ["OMP_NUM_THREADS"] = os.environ["PMPNET_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if told.cpu and threads == 1:  # of several threads the seconds would be added up
        now = process_time
    # what the peers ask of BLAS is small: a second thread of it waits, and keeps a core busy with it
    import scipy.linalg  # noqa: F401 - only libraries already loaded are found
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    if find_spec("torch"):
        import torch

        torch.set_num_threads(threads)


def turn(run: Callable[[], object]) -> float:
    """Return the seconds of the fastest call of one turn: what else the machine does only slows.

    The first call of a turn is not counted: it brings back the caches that another one took.
    """
    run()
    begun, fastest = now(), np.inf
    while True:
        start = now()
        run()
        end = now()
        fastest = min(fastest, end - start)
        if end - begun > TURN:
            return fastest


def in_turns(runs: dict[str, Callable[[], object]], turns: int) -> dict[str, np.ndarray]:
    """Return seconds (turns, 2) by name: those of the first and of the other, one after the other.

    The first one runs before each of the others, so that a change of the machine's speed meets
    both of a pair.
    """
    first, *others = runs
    found: dict[str, list] = {name: [] for name in others}
    for _ in range(turns):
        for name, pairs in found.items():
            pairs.append((turn(runs[first]), turn(runs[name])))
    return {name: np.array(pairs) for name, pairs in found.items()}


def ratio(pairs: np.ndarray) -> float:
    """Return the median over the turns of the other's seconds over the first one's."""
    return float(np.median(pairs[:, 1] / pairs[:, 0]))


def machine() -> str:
    """Return which core, and how busy it was."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        import platform

        model = platform.processor()
    return f"{model}, load {os.getloadavg()[0]:.2f}"


def write(told: Namespace, name: str, rows: list[dict], figure: Callable | None = None) -> None:
    """Write rows as JSON and, where matplotlib is there, what ``figure(rows, plt)`` draws."""
    folder = Path(told.out)
    folder.mkdir(parents=True, exist_ok=True)
    clock = "seconds of the process" if now is process_time else "seconds"
    found = {"machine": machine(), "threads": told.threads, "clock": clock, "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1, default=float))
    if figure is None:
        return
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drawn = figure(rows, plt)
    drawn.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
    plt.close(drawn)
