"""Steps and trajectories in NumPy and scipy: the slow, obvious twin of the compiled sweep."""

from __future__ import annotations

import numpy as np

from .dynamics.base import Dynamics
from .problem import Problem, Readouts
from .schemes import Scheme


def step(
    dynamics: Dynamics, scheme: Scheme, t: float, h: float, x: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Return Psi(x, u), one step of the scheme from time t for all samples (M, d)."""
    slopes: list[np.ndarray] = []
    for row, c in zip(scheme.A, scheme.c, strict=True):
        stage = x + h * sum((a * k for a, k in zip(row, slopes, strict=False)), np.zeros_like(x))
        slopes.append(dynamics.f(t + c * h, stage, u))
    return x + h * sum(b * k for b, k in zip(scheme.b, slopes, strict=True))


def resimulate(
    problem: Problem, controls: np.ndarray, readouts: Readouts, rtol: float
) -> tuple[dict[str, float], np.ndarray]:
    """Integrate states and running cost by DOP853, interval by interval.

    Returns
    -------
    terms : dict
        The cost's parts.
    states : ndarray, shape (N+1, M, d)
    """
    from scipy.integrate import solve_ivp

    M, d = problem.samples.x.shape
    weights = np.asarray(problem.weights, np.float64)
    losses = problem.terminal_cost, problem.running_cost
    targets = problem.samples.y_terminal, problem.samples.y_running

    def loss(role: int, x: np.ndarray) -> float:
        read = losses[role]
        z = x
        if read.trained:
            z = x @ readouts[role].P.T + readouts[role].c
        elif read.readout is not None:
            z = x @ read.readout.T
        return float(weights @ read.value(z, np.asarray(targets[role], np.float64)))

    def rates(t: float, packed: np.ndarray, u: np.ndarray) -> np.ndarray:
        x = packed[:-1].reshape(M, d)
        running = loss(1, x) if losses[1] is not None else 0.0
        return np.append(problem.dynamics.f(t, x, u).ravel(), running)

    packed = np.append(np.asarray(problem.samples.x, np.float64).ravel(), 0.0)
    states = [packed[:-1].reshape(M, d)]
    for k, u in enumerate(controls):
        span = problem.times[k], problem.times[k + 1]
        done = solve_ivp(rates, span, packed, "DOP853", args=(u,), rtol=rtol, atol=rtol * 1e-3)
        packed = done.y[:, -1]
        states.append(packed[:-1].reshape(M, d))
    terms = {
        "terminal": loss(0, states[-1]) if losses[0] is not None else 0.0,
        "running": problem.running_weight * float(packed[-1]),
        "control": float((problem.steps * problem.penalty.layer_values(controls)).sum()),
    }
    for roles in problem.trained_readouts:
        penalty, readout = problem.readout_penalty(roles), readouts[roles[0]]
        value = float(penalty.layer_values(np.c_[readout.P, readout.c]).sum())
        terms["readout"] = terms.get("readout", 0.0) + value
    return terms, np.stack(states)
