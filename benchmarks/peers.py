"""The same problem as users of PyTorch, JAX, diffrax and CasADi would say it.

The system is x_{k+1} = x_k + h (W_k tanh(x_k) + b_k) on [0, 1], or Heun's or Runge and Kutta's step
of the same; the cost is the mean logistic loss of a fixed head, or the mean squared distance to a
target, and beta/2 of the control's energy. Controls are rows (W_k, b_k) of c = d^2 + d numbers, as
ours. What a peer takes it takes as its own users do: layers unbound in PyTorch, a scan of layers in
JAX, samples mapped in CasADi, start states rolled out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

import pmpnet
from pmpnet import dynamics, losses, penalties, schemes

from . import clock

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


class Reached(Exception):
    """The cost asked for is reached."""


class Network(NamedTuple):
    """What all peers are told.

    ``x`` (M, d); ``y`` (M, d), or labels (M, 1) of -1 and 1 where there is a ``head`` (1, d).
    """

    x: np.ndarray
    y: np.ndarray
    steps: int
    head: np.ndarray | None = None
    beta: float = 0.0
    scheme: str = "euler"

    @property
    def dim(self) -> int:
        return self.x.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Of controls."""
        return self.steps, self.dim**2 + self.dim

    def problem(self) -> pmpnet.Problem:
        """Return the problem as pmpnet is told it."""
        loss = losses.Squared() if self.head is None else losses.Logistic(readout=self.head)
        return pmpnet.Problem(
            dynamics.Layer(self.dim), self.x, self.y if self.head is None else self.y[:, 0],
            terminal_cost=loss, control_cost=penalties.L2(self.beta), steps=self.steps,
            scheme=self.scheme,
        )  # fmt: skip


def installed(*packages: str) -> bool:
    return all(find_spec(package) for package in packages)


def tableau(scheme: str) -> tuple[list[list[float]], list[float]]:
    """Return A and b."""
    found = schemes.scheme(scheme)
    return np.asarray(found.A).tolist(), np.asarray(found.b).tolist()


def ours(net: Network) -> Evaluate:
    problem = net.problem()
    readouts, h = problem.initial_readouts(), 1.0 / net.steps

    def evaluate(u):
        done = problem.sweep(u, readouts)
        return done.terminal + 0.5 * h * net.beta * float((u * u).sum()), h * (
            net.beta * u - done.g
        )

    return evaluate


# --------------------------------------------------------------------------------- PyTorch


def torch_cost(net: Network) -> Callable:
    """Return the cost of a tensor u (N, c) on x and y."""
    import torch
    from torch.nn.functional import linear, softplus

    N, d, h, beta = net.steps, net.dim, 1.0 / net.steps, net.beta
    A, b = tableau(net.scheme)
    head = None if net.head is None else torch.from_numpy(net.head)

    def step(x, W, c):
        slopes = []
        for i in range(len(b)):
            stage = x
            for j in range(i):
                if A[i][j]:
                    stage = stage + h * A[i][j] * slopes[j]
            slopes.append(linear(torch.tanh(stage), W, c))
        for i in range(len(b)):
            x = x + h * b[i] * slopes[i]
        return x

    def cost(u, x, y):
        weights, biases = u[:, : d * d].view(N, d, d).unbind(), u[:, d * d :].unbind()
        for k in range(N):
            x = step(x, weights[k], biases[k])
        if head is None:
            value = (x - y).square().sum(1).mean()
        else:
            value = softplus(-y * linear(x, head), threshold=40).mean()
        return value + 0.5 * h * beta * u.square().sum() if beta else value

    return cost


def torch_round(net: Network, compiled: bool = False) -> Evaluate:
    import torch

    cost = torch_cost(net)
    run = torch.compile(cost, fullgraph=True, dynamic=False) if compiled else cost
    x, y = torch.from_numpy(net.x), torch.from_numpy(net.y)

    def evaluate(u):
        u = torch.from_numpy(u.astype(net.x.dtype)).requires_grad_()
        value = run(u, x, y)
        value.backward()
        return value.item(), u.grad.numpy()

    return evaluate


# ------------------------------------------------------------------------------------- JAX


def jax_cost(net: Network, checkpointed: bool = True) -> Callable:
    """Return the cost of an array u (N, c) on x and y: a scan of layers.

    On the CPU checkpoints at every layer make the scan's gradient faster.
    """
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    N, d, beta = net.steps, net.dim, net.beta
    h = 1.0 / N
    A, b = tableau(net.scheme)

    def step(x, layer):
        W, c = layer
        slopes = []
        for i in range(len(b)):
            stage = x + sum(h * A[i][j] * slopes[j] for j in range(i) if A[i][j])
            slopes.append(jnp.tanh(stage) @ W.T + c)
        return x + h * sum(weight * slope for weight, slope in zip(b, slopes, strict=True)), None

    step = jax.checkpoint(step) if checkpointed else step

    def cost(u, x, y):
        x, _ = jax.lax.scan(step, x, (u[:, : d * d].reshape(N, d, d), u[:, d * d :]))
        return jax_loss(net, x, y) + (0.5 * h * beta * (u * u).sum() if beta else 0)

    return cost


def jax_loss(net: Network, x, y):
    import jax.numpy as jnp

    if net.head is None:
        return ((x - y) ** 2).sum(1).mean()
    return jnp.logaddexp(0.0, -y * (x @ net.head.T)).mean()


def diffrax_cost(net: Network) -> Callable:
    """Return the same by diffrax: Euler's method with its default adjoint, which is exact."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    N, d = net.steps, net.dim

    def field(t, x, layers):
        k = jnp.round(t * N).astype(int)
        return jnp.tanh(x) @ layers[0][k].T + layers[1][k]

    def cost(u, x, y):
        flow = diffrax.diffeqsolve(
            diffrax.ODETerm(field), diffrax.Euler(), 0.0, 1.0, 1.0 / N, x,
            (u[:, : d * d].reshape(N, d, d), u[:, d * d :]),
        )  # fmt: skip
        return jax_loss(net, flow.ys[0], y)

    return cost


def jax_round(net: Network, cost: Callable) -> Evaluate:
    import jax
    import jax.numpy as jnp

    run = jax.jit(jax.value_and_grad(cost))
    x, y = jnp.asarray(net.x), jnp.asarray(net.y)

    def evaluate(u):
        value, gradient = run(jnp.asarray(u, net.x.dtype), x, y)
        return float(value), np.asarray(gradient)

    return evaluate


# ---------------------------------------------------------------------------------- CasADi

RADAU = 3  # degree of the collocation polynomials


class Programme:
    """A transcription for IPOPT, with exact Hessians, in the unknowns controls and states.

    Parameters
    ----------
    net : Network
    start : ndarray, shape (N, c)
        Controls; the states begin as what they lead to.
    collocation : bool
        Radau collocation of degree 3 with the same controls, constant on every interval, in the
        place of multiple shooting with Euler's step.
    limit : float
        Seconds after which IPOPT is stopped.
    """

    def __init__(self, net: Network, start: np.ndarray, collocation: bool, limit: float) -> None:
        import casadi as ca

        M, d = net.x.shape
        N, c = net.shape
        h = 1.0 / N
        x, u = ca.SX.sym("x", d), ca.SX.sym("u", c)
        rhs = ca.reshape(u[: d * d], d, d).T @ ca.tanh(x) + u[d * d :]
        f = ca.Function("f", [x, u], [rhs])
        U = ca.MX.sym("U", c, N)
        each = np.repeat(np.arange(N), M)  # whose control a column of states has
        if collocation:
            tau = [0.0, *ca.collocation_points(RADAU, "radau")]
            C, _, _ = ca.collocation_coeff(tau[1:])
            Z = [ca.MX.sym(f"Z{j}", d, M * N) for j in range(RADAU)]
            before = ca.horzcat(net.x.T, Z[-1][:, :-M])
            slopes, field = ca.horzcat(before, *Z), f.map(M * N)
            columns = [slopes[:, j * M * N : (j + 1) * M * N] for j in range(RADAU + 1)]
            equations = []
            for j in range(RADAU):
                moved = sum(float(C[r, j]) * columns[r] for r in range(RADAU + 1))
                equations.append(ca.vec(moved - h * field(Z[j], U[:, each])))
            states = Z
        else:
            step = ca.Function("step", [x, u], [x + h * f(x, u)]).map(M * N)
            X = ca.MX.sym("X", d, M * N)  # at the ends of the intervals
            before = ca.horzcat(net.x.T, X[:, :-M])
            equations, states = [ca.vec(X - step(before, U[:, each]))], [X]
        margin = net.y.T * (net.head @ states[-1][:, -M:])
        cost = ca.sum2(ca.log1p(ca.exp(-margin))) / M + 0.5 * h * net.beta * ca.sumsqr(U)
        unknowns = ca.vertcat(ca.vec(U), *map(ca.vec, states))
        self.shape, self.found = (N, c), []
        self.equations = sum(e.numel() for e in equations)
        self._callback = self._look(unknowns.numel())
        self.solver = ca.nlpsol(
            "programme", "ipopt", dict(x=unknowns, f=cost, g=ca.vertcat(*equations)),
            {
                "iteration_callback": self._callback, "print_time": False, "ipopt.sb": "yes",
                "ipopt.print_level": 0, "ipopt.tol": 1e-6, "ipopt.max_wall_time": limit,
            },
        )  # fmt: skip
        ends = net.problem().states(start)[1:].reshape(N * M, d)
        self.guess = np.concatenate([start.ravel(), *[ends.ravel()] * len(states)])

    def _look(self, unknowns: int):
        """Return what IPOPT calls in every iteration: it keeps the time and the controls."""
        import casadi as ca

        programme, sizes = self, dict(f=1, x=unknowns, lam_x=unknowns)
        sizes["g"] = sizes["lam_g"] = self.equations

        class Look(ca.Callback):
            def __init__(self):
                ca.Callback.__init__(self)
                self.construct("look")

            def get_n_in(self):
                return ca.nlpsol_n_out()

            def get_name_in(self, i):
                return ca.nlpsol_out(i)

            def get_sparsity_in(self, i):
                return ca.Sparsity.dense(sizes.get(ca.nlpsol_out(i), 0), 1)

            def eval(self, told):
                values = told[ca.nlpsol_out().index("x")].full()
                programme.found.append((clock.now(), programme.controls(values)))
                return [0]

        return Look()

    def controls(self, unknowns: np.ndarray) -> np.ndarray:
        N, c = self.shape
        return unknowns[: N * c].reshape(N, c)

    def solve(self) -> dict[str, Any]:
        """Run IPOPT; ``found`` has the time and the controls of every iterate."""
        done = self.solver(x0=self.guess, lbg=0, ubg=0)
        return {"controls": self.controls(done["x"].full()), **self.solver.stats()}
