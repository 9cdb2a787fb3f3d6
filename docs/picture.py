"""Draw the README's picture: python docs/picture.py."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import pmpnet
import pmpnet.solve
from pmpnet import datasets, dynamics, losses, penalties, plot

x, y = datasets.two_moons(1000, seed=0)
problem = pmpnet.Problem(
    dynamics.Layer(2),
    x,
    y,
    terminal_cost=losses.Logistic(readout=[[4.0, 0.0]]),
    control_cost=penalties.ElasticNet(1e-2, 1e-3),
    steps=30,
)
start = 0.1 * np.random.default_rng(0).standard_normal(problem.control_shape)
solution = pmpnet.solve.msa(problem, start, max_iter=2000)
adam = pmpnet.solve.adam(problem, start, learning_rate=0.1, max_iter=250)

figure, axes = plt.subplots(2, 2, figsize=(11, 8.2), layout="constrained")
plot.decision_boundary(solution, ax=axes[0, 0])
plot.flow(solution, ax=axes[0, 1])
plot.controls(solution, ax=axes[1, 0])
plot.convergence({"pmpnet": solution, "Adam, rate 0.1": adam}, ax=axes[1, 1])
axes[1, 1].set(xlim=(0, 500), ylim=(1e-6, 2))
for ax, title in zip(
    axes.flat,
    ("two moons", "", "the control", "how fast"),
    strict=True,
):
    ax.set_title(title, loc="left", fontsize=11, pad=10)
figure.savefig(Path(__file__).parent / "two_moons.png", dpi=110)
print(solution)
