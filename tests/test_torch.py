"""Exact costates beside PyTorch's automatic differentiation of the same network."""

import numpy as np
import pytest

from pmpnet import Problem, dynamics, losses

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", torch.tanh),
        ("gelu", torch.nn.functional.gelu),
        ("softplus", torch.nn.functional.softplus),
        ("sin", torch.sin),
    ],
)
@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_gradient_is_that_of_automatic_differentiation(activation, function, scheme):
    rng = np.random.default_rng(0)
    M, d, N, classes = 23, 3, 5, 4
    x, y = rng.standard_normal((M, d)), rng.integers(0, classes, M)
    P = rng.standard_normal((classes, d))
    problem = Problem(
        dynamics.Layer(d, activation),
        x,
        y,
        terminal_cost=losses.CrossEntropy(classes, readout=P),
        steps=N,
        scheme=scheme,
    )
    u = rng.standard_normal(problem.control_shape)
    v = torch.tensor(u, requires_grad=True)
    state, h = torch.tensor(x), 1.0 / N
    for k in range(N):
        W, b = v[k, : d * d].reshape(d, d), v[k, d * d :]

        def f(z, W=W, b=b):
            return function(z) @ W.T + b

        slope = f(state)
        state = state + (h * slope if scheme == "euler" else h / 2 * (slope + f(state + h * slope)))
    cost = torch.nn.functional.cross_entropy(state @ torch.tensor(P).T, torch.tensor(y))
    cost.backward()
    assert problem.cost(u) == pytest.approx(cost.item(), rel=1e-13)
    np.testing.assert_allclose(problem.gradient(u), v.grad.numpy(), rtol=1e-11, atol=1e-14)
