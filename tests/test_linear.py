"""Where training begins: the flow that leaves the rows where they are is a linear model of them."""

import numpy as np
import pytest

from pmpnet import solve
from pmpnet.linear import linear_start
from pmpnet.supervised import learning_problem, random_start

KINDS = {
    "numbers": dict(numbers=True),
    "two classes": dict(numbers=False),
    "classes": dict(numbers=False),
}


def problem(kind, rows=80, seed=0, **how):
    """Return a problem of rows of three columns that have weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    z = np.c_[np.sin(x[:, 0]) + 0.5 * x[:, 1] ** 2, x[:, 2] - x[:, 0]] + rng.normal(size=(rows, 2))
    y = {"numbers": z, "two classes": z[:, 0] > 0, "classes": np.digitize(z[:, 0], [-0.5, 0.8])}
    weights = rng.integers(1, 4, rows).astype(float)
    how = dict(spread=0.0, steps=4) | how
    return learning_problem(x, y[kind], weights, **KINDS[kind], **how)[0]


def linear_part(p, seed=0):
    return linear_start(p, seed) - random_start(p, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", [{}, dict(horizon=2.5, dim=9, l2=0.2), dict(activation="tanh")])
def test_no_linear_model_is_much_better(kind, how):
    """One layer is the linear model: its problem is convex, and is solved by sweeps."""
    p = problem(kind, **how)
    u, one = linear_part(p), p.replace(steps=1)
    best = solve.msa(one, np.zeros(one.control_shape), tol=1e-8)
    assert best.success
    first = p.cost(np.zeros(p.control_shape))
    assert -1e-9 <= p.cost(u) - best.cost <= (1e-9 if kind == "numbers" else 1e-2) * first


@pytest.mark.parametrize("kind", KINDS)
def test_rows_stay_where_they_are(kind):
    p = problem(kind)
    u, n = linear_part(p), p.dynamics.dim - p.outputs[0]
    np.testing.assert_allclose(u, np.tile(u[0], (4, 1)), atol=1e-12)
    W = u[0][p.dynamics.rows]
    np.testing.assert_allclose(W[:n], 0.0, atol=1e-15)
    np.testing.assert_allclose(W[:, n:-1], 0.0, atol=1e-15)
    assert np.abs(W[n:, :n]).max() > 0.1
    assert not np.array_equal(linear_start(p, 0), linear_start(p, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_penalty(kind):
    """More columns than rows, without L2: there are many solutions, or only at infinity."""
    p = problem(kind, rows=4, l2=0.0)
    u = linear_start(p)
    assert np.isfinite(u).all()
    assert p.cost(u) < 0.1 * p.cost(np.zeros(p.control_shape))
