"""Steps and trajectories in NumPy and scipy: the slow, obvious twin of the compiled sweep."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .dynamics.base import Dynamics
from .problem import Problem, Readouts
from .schemes import Scheme


def step(
    dynamics: Dynamics,
    scheme: Scheme,
    t: float,
    h: float,
    x: np.ndarray,
    u: np.ndarray,
    theta: np.ndarray | None = None,
) -> np.ndarray:
    """Return Psi(x, u), one step of the scheme from time t for all samples (M, d)."""
    slopes: list[np.ndarray] = []
    for row, c in zip(scheme.A, scheme.c, strict=True):
        stage = x + h * sum((a * k for a, k in zip(row, slopes, strict=False)), np.zeros_like(x))
        slopes.append(dynamics.f(t + c * h, stage, u, theta))
    return x + h * sum(b * k for b, k in zip(scheme.b, slopes, strict=True))


def resimulate(
    problem: Problem, times: np.ndarray, controls: np.ndarray, readouts: Readouts, rtol: float
) -> tuple[dict[str, float], np.ndarray]:
    """Integrate states, running cost and kinetic energy by DOP853, interval by interval.

    Returns
    -------
    terms : dict
        The cost's parts.
    states : ndarray, shape (N+1, M, d)
    """
    from scipy.integrate import solve_ivp

    x0 = np.asarray(problem.initial_states, np.float64)
    theta = np.asarray(problem.parameters, np.float64)

    def rates(t: float, packed: np.ndarray, u: np.ndarray) -> np.ndarray:
        x = packed[:-2].reshape(x0.shape)
        running = problem.mean_loss(1, t, x, u, readouts)
        rate = problem.dynamics.f(t, x, u, theta)
        return np.r_[rate.ravel(), running, problem.kinetic_energy(rate)]

    packed = np.append(x0.ravel(), [0.0, 0.0])
    states = [x0]
    for k, u in enumerate(controls):
        span = times[k], times[k + 1]
        done = solve_ivp(rates, span, packed, "DOP853", args=(u,), rtol=rtol, atol=rtol * 1e-3)
        packed = done.y[:, -1]
        states.append(packed[:-2].reshape(x0.shape))
    share = problem.dynamics.share
    terms = {
        "terminal": problem.mean_loss(0, times[-1], states[-1], controls[-1], readouts),
        "running": problem.running_weight * float(packed[-2]),
        "control": share * float((np.diff(times) * problem.control_values(controls)).sum())
        + float(packed[-1]),
    }
    for roles in problem.trained_readouts:
        penalty, readout = problem.readout_penalty(roles), readouts[roles[0]]
        value = float(penalty.layer_values(np.c_[readout.P, readout.c]).sum())
        terms["readout"] = terms.get("readout", 0.0) + value
    return terms, np.stack(states)


def integrated(
    dynamics: Dynamics,
    control: np.ndarray | Callable[[float], np.ndarray],
    times: np.ndarray,
    x: np.ndarray,
    theta: np.ndarray,
    rtol: float,
) -> np.ndarray:
    """Return the states (K+1, M, d) at times of x' = f(t, x, u(t)), by DOP853.

    Parameters
    ----------
    control : ndarray, shape (K, c), or callable
        Constant on every interval, or a function of time that is smooth in each.
    """
    from scipy.integrate import solve_ivp

    def rates(t: float, packed: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return dynamics.f(t, packed.reshape(x.shape), control(t) if u is None else u, theta).ravel()

    states = [x]
    for k, span in enumerate(pairwise(times)):
        u = None if callable(control) else control[k]
        start = states[-1].ravel()
        done = solve_ivp(rates, span, start, "DOP853", args=(u,), rtol=rtol, atol=rtol * 1e-3)
        states.append(done.y[:, -1].reshape(x.shape))
    return np.stack(states)
