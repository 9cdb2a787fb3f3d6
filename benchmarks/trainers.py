"""Training loops as users of PyTorch and JAX write them.

With all samples a loop is ``run(observe)``, which tells the cost of every control it comes to; with
minibatches it is an iterator of controls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .peers import Network, jax_cost, jax_round, torch_cost

BUDGET = 1500  # most steps with all samples
CHECK = 10  # steps on minibatches from one control to the next


def jax_adam(net: Network, start: np.ndarray, rate: float) -> Callable:
    import jax
    import jax.numpy as jnp
    import optax

    cost, adam = jax_cost(net), optax.adam(rate)
    x, y = jnp.asarray(net.x), jnp.asarray(net.y)

    @jax.jit
    def step(u, state, x, y):
        value, slope = jax.value_and_grad(cost)(u, x, y)
        move, state = adam.update(slope, state)
        return optax.apply_updates(u, move), state, value

    def run(observe):
        u = jnp.asarray(start)
        state = adam.init(u)
        for _ in range(BUDGET):
            u, state, value = step(u, state, x, y)
            observe(float(value))

    return run


def jax_lbfgs(net: Network, start: np.ndarray) -> Callable:
    from scipy.optimize import minimize

    evaluate = jax_round(net, jax_cost(net))

    def run(observe):
        def value(v):
            cost, slope = evaluate(v.reshape(net.shape))
            observe(cost)
            return cost, slope.ravel().astype(float)

        options = dict(maxiter=BUDGET, maxfun=BUDGET, maxcor=20, ftol=0.0, gtol=1e-10)
        minimize(value, start.ravel(), jac=True, method="L-BFGS-B", options=options)

    return run


def torch_adam(net: Network, start: np.ndarray, rate: float, compiled: bool = False) -> Callable:
    import torch

    cost, (x, y) = torch_of(net, compiled), map(torch.from_numpy, (net.x, net.y))

    def run(observe):
        u = torch.from_numpy(start.copy()).requires_grad_()
        adam = torch.optim.Adam([u], lr=rate)
        for _ in range(BUDGET):
            adam.zero_grad()
            value = cost(u, x, y)
            value.backward()
            observe(value.item())
            adam.step()

    return run


def torch_lbfgs(net: Network, start: np.ndarray, compiled: bool = False) -> Callable:
    import torch

    cost, (x, y) = torch_of(net, compiled), map(torch.from_numpy, (net.x, net.y))

    def run(observe):
        u = torch.from_numpy(start.copy()).requires_grad_()
        lbfgs = torch.optim.LBFGS(
            [u], max_iter=BUDGET, history_size=20, line_search_fn="strong_wolfe",
            tolerance_grad=1e-10, tolerance_change=0.0,
        )  # fmt: skip

        def closure():
            lbfgs.zero_grad()
            value = cost(u, x, y)
            value.backward()
            observe(value.item())
            return value

        lbfgs.step(closure)

    return run


COMPILED: dict[tuple, Callable] = {}


def torch_of(net: Network, compiled: bool) -> Callable:
    """Return the cost; compiled once for problems of one size and head."""
    import torch

    if not compiled:
        return torch_cost(net)
    key = net.x.shape, net.steps, net.beta, net.head.tobytes()
    if key not in COMPILED:
        COMPILED[key] = torch.compile(torch_cost(net), fullgraph=True, dynamic=False)
    return COMPILED[key]


# --------------------------------------------------------------------------- minibatches


def batches(count: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield indices (CHECK, size) of shuffled epochs."""
    rng, left = np.random.default_rng(seed), np.empty(0, int)
    while True:
        while len(left) < CHECK * size:
            left = np.concatenate([left, rng.permutation(count)])
        yield left[: CHECK * size].reshape(CHECK, size)
        left = left[CHECK * size :]


def jax_batches(net, start, rate: float, size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield controls after every ten steps; first the start, when all is compiled."""
    import jax
    import jax.numpy as jnp
    import optax

    cost, adam = jax_cost(net), optax.adam(rate)
    x, y = jnp.asarray(net.x), jnp.asarray(net.y)

    @jax.jit
    def ten(u, state, index, x, y):
        def step(carry, rows):
            u, state = carry
            move, state = adam.update(jax.grad(cost)(u, x[rows], y[rows]), state)
            return (optax.apply_updates(u, move), state), None

        return jax.lax.scan(step, (u, state), index)[0]

    index = batches(len(net.x), size, seed)
    u = jnp.asarray(start)
    state = adam.init(u)
    jax.block_until_ready(ten(u, state, next(index), x, y))
    yield start
    for rows in index:
        u, state = ten(u, state, rows, x, y)
        yield np.asarray(u)


def torch_batches(net, start, rate: float, size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield controls after every ten steps, first the start."""
    import torch

    cost, (x, y) = torch_cost(net), map(torch.from_numpy, (net.x, net.y))
    u = torch.from_numpy(start.copy()).requires_grad_()
    adam = torch.optim.Adam([u], lr=rate)
    yield start
    for index in batches(len(net.x), size, seed):
        for rows in torch.from_numpy(index):
            adam.zero_grad()
            cost(u, x[rows], y[rows]).backward()
            adam.step()
        yield u.detach().numpy()
