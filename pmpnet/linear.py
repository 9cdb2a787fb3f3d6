"""Where training begins: the best control among those that leave the rows where they are.

==========  ====================================================================  =========
symbol      meaning                                                               shape
==========  ====================================================================  =========
``F``       s(x(0)) and 1, in which the outputs are linear; a column per row      (r, M)
``V``       z = V F are the outputs                                               (q, r)
``kappa``   the curvature of the loss at z = 0                                    ()
``C``       C (kappa F w F' + beta) C' = 1                                        (r, r)
``Y``       V = Y C: the variables in which the problem is well scaled            (q, r)
==========  ====================================================================  =========

Where the weights that move the rows are zero, the flow of `pmpnet.supervised` is a linear model of
s(x(0)): its outputs are z = T (W s(x(0)) + b), and the best W and b are the same in all layers. To
find them takes a few products of matrices, as long as one round of sweeps or two; from small random
controls a method takes some fifteen rounds to get as far. For numbers Newton's step is the solution.
"""

from __future__ import annotations

import numpy as np

from .dynamics.layer import ACTIVATIONS
from .losses import Loss
from .problem import Problem
from .solve.blas import one_thread
from .supervised import random_start

MOST = 10  # iterations; what is left to do the flow does better
ENOUGH = 1e-3  # relative to the cost: what an iteration must gain
LEAST = 1e-9  # relative to kappa: stands for an L2 that is not there


def linear_start(problem: Problem, seed: int = 0) -> np.ndarray:
    """Return the control (N, c) of the linear model, with what `random_start` draws added to it.

    Parameters
    ----------
    problem : Problem
        Of `pmpnet.supervised.learning_problem`. L1 is not counted here.
    seed : int, default 0

    Returns
    -------
    ndarray, shape (N, c)

    References
    ----------
    D. Liu, J. Nocedal, On the limited memory BFGS method for large scale optimization,
    Mathematical Programming, 1989.

    Examples
    --------
    Numbers that a line tells are learnt at once.

    >>> from pmpnet.supervised import learning_problem
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> problem, _ = learning_problem(x, 3 * x, numbers=True, activation="identity", l2=1e-6)
    >>> bool(problem.cost(linear_start(problem)) < 0.01 < problem.cost(random_start(problem)))
    True
    """
    from .kernels import activations

    system, T, q = problem.dynamics, problem.length, problem.outputs[0]
    n = system.dim - q
    s = activations.reference(ACTIVATIONS.index(system.activation), problem.initial_states[:, :n])
    F = np.vstack([s.T, np.ones(len(s))])
    beta = float(problem.penalty.l2) / T  # T l2/2 |W|^2 = beta/2 |T W|^2
    with one_thread:
        V = _fit(F, problem.terminal_cost, problem.encoded[0].T, problem.weights, q, beta)
    u = random_start(problem, seed)
    u[:, system.rows[n:, [*range(n), -1]]] += V / T
    return u


def _fit(
    F: np.ndarray, loss: Loss, y: np.ndarray, w: np.ndarray, q: int, beta: float
) -> np.ndarray:
    """Return V near the least of sum_m w_m phi(V F_m, y_m) + beta/2 |V|^2; y has a column per row."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    r, kappa = len(F), _curvature(loss, q)
    ridge = max(beta, LEAST * kappa) * np.eye(r)
    L = cholesky(kappa * (F * w) @ F.T + ridge, lower=True)
    C = solve_triangular(L, np.eye(r), lower=True)

    def priced(flat: np.ndarray) -> tuple[float, np.ndarray]:
        V = flat.reshape(q, r) @ C
        value, slope = _priced(loss, V @ F, y)
        cost = w @ value + 0.5 * beta * np.vdot(V, V)
        return cost, (((w * slope) @ F.T + beta * V) @ C.T).ravel()

    newton = -priced(np.zeros(q * r))[1]
    options = dict(maxiter=MOST, ftol=ENOUGH, gtol=0.0)
    found = minimize(priced, newton, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(q, r) @ C


def _curvature(loss: Loss, q: int) -> float:
    """Return kappa; of the cross entropy, on outputs that sum to 0."""
    if not loss.labels:
        return 2.0
    return 0.25 if q == 1 else 1.0 / q


def _priced(loss: Loss, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return phi (M,) of outputs z (q, M) and its slope, with the same exponentials for both."""
    if not loss.labels:
        return ((z - y) ** 2).sum(axis=0), 2.0 * (z - y)
    if len(z) == 1:
        from scipy.special import expit

        return np.logaddexp(0.0, -y * z)[0], -y * expit(-y * z)
    z = z - z.max(axis=0)
    slope, label = np.exp(z), (y[0].astype(int), np.arange(z.shape[1]))
    total = slope.sum(axis=0)
    slope /= total
    slope[label] -= 1.0
    return np.log(total) - z[label], slope
