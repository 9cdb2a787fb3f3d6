"""Peak memory of a solve with M = 2,000,000 samples, above that of the imported package.

python -m benchmarks.memory [--samples 2000000]
"""

from __future__ import annotations

import argparse
import resource

import numpy as np


def peak() -> float:
    """Peak resident memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=2_000_000)
    told = parser.parse_args()
    import pmpnet.kernels.sweep
    import pmpnet.solve
    from pmpnet import Problem, dynamics, losses, penalties

    def solve(samples: int):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((samples, 2))
        y = (x[:, 0] * x[:, 1] > 0).astype(np.int8)
        problem = Problem(
            dynamics.Layer(2), x, y, terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]),
            control_cost=penalties.L2(1e-2), steps=50,
        )  # fmt: skip
        pmpnet.solve.msa(problem, max_iter=5)
        s = problem.samples
        return (s.x.nbytes + s.y_terminal.nbytes) / 2**20

    imported = peak()
    solve(1000)
    compiled = peak()
    data = solve(told.samples)
    print(f"imported {imported:.0f} MB; first solve, of 1,000 samples: {compiled:.0f} MB")
    print(f"solve of {told.samples:,} samples: {peak():.0f} MB, above the imported package "
          f"{peak() - imported:.0f} MB; data {data:.0f} MB; bound 2 data + 100 = {2 * data + 100:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
