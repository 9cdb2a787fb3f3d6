"""Seconds to the first solved problem: with an empty cache of kernels, and with a warm one.

python -m benchmarks.startup [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

SOLVE = """
import numpy as np, pmpnet, pmpnet.solve
from pmpnet import dynamics, losses, penalties
x = np.random.default_rng(0).standard_normal((100, 2))
problem = pmpnet.Problem(dynamics.Layer(2), x, x[:, ::-1], terminal_cost=losses.Squared(),
                         control_cost=penalties.L2(0.1))
pmpnet.solve.msa(problem)
"""


def seconds(code: str, cache: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PMPNET_CACHE_DIR": cache}
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    for _ in range(told.repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = seconds(SOLVE, cache), seconds(SOLVE, cache)
            light = seconds("import pmpnet, pmpnet.solve", cache)
        print(f"cold {cold:.2f} s, warm {warm:.2f} s, import only {light:.2f} s")


if __name__ == "__main__":
    main()
