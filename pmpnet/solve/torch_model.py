"""A problem said again in PyTorch, for its automatic differentiation.

The same steps of the same scheme on the same samples, in the same precision; only the derivatives
are PyTorch's. Integrals and a free horizon are states here too; see `pmpnet.model`.

==============  =======================================================  =============
symbol          meaning                                                  shape
==============  =======================================================  =============
``v``           the decision vector of `pmpnet.reduced.Reduced`          (n,)
``x``           states, the user's and those behind them                 (M, d)
``y``           targets                                                  (M, q)
``theta``       constants that differ from sample to sample              (M, p)
``u``           the control; of one layer (c,)                           (N, c)
``P``           a trained readout with its constants, [P c]              (q, d + 1)
``real``        makes a tensor of the problem's precision of numbers     -
==============  =======================================================  =============
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dynamics.torch_twins import map_function, rate, sayable
from ..losses import CrossEntropy, Huber, Logistic, Loss
from ..penalties import Penalty
from ..reduced import Reduced
from ..sweeps import Bounded

if TYPE_CHECKING:
    from torch import Tensor


class TorchModel:
    """What a method lowers, J and the terms of constraints, as PyTorch computes it.

    Parameters
    ----------
    reduced : Reduced
        PyTorch must be installed.
    """

    def __init__(self, reduced: Reduced) -> None:
        problem = self.problem = reduced.problem
        system = sayable(problem.model.dynamics)
        self.scale, self.rate = system.scale, rate(system)
        # where the entries of every part lie in a control row, found by unpacking their places
        parts = system.unpack(np.arange(system.controls))
        self.places = {name: place.astype(int) for name, place in parts.items()}
        terminal, running = problem.sweeper.losses
        dim, extras = problem.dynamics.dim, problem.model.extras
        self.terminal = terminal and loss_function(terminal, dim, self.real)
        self.running = running and loss_function(running, dim, self.real)
        self.at_end = extras.terminal and augmented(extras.terminal, self.real)
        self.on_path = extras.path and augmented(extras.path, self.real)
        self._take(reduced)

    def real(self, numbers: Any) -> Tensor:
        """Return numbers as a tensor of the problem's precision."""
        import torch

        return torch.from_numpy(np.array(numbers, self.problem.dtype))

    def on(self, part: Reduced) -> TorchModel:
        """Return the model on some of the samples."""
        other = copy(self)
        other._take(part)
        return other

    def _take(self, reduced: Reduced) -> None:
        samples, multipliers = reduced.samples, reduced.multipliers
        self.reduced = reduced
        self.x, self.theta = self.real(samples.x), self.real(samples.theta)
        self.y = self.real(samples.y_terminal), self.real(samples.y_running)
        self.weights = self.real(samples.weights) if len(samples.weights) else None
        if multipliers is not None:
            self.multipliers = self.real(multipliers.terminal), self.real(multipliers.path)
            self.sigma = self.real(multipliers.terminal_sigma), self.real(multipliers.path_sigma)

    def cost(self, v: Tensor) -> Tensor:
        """Return what `pmpnet.reduced.Point.cost` is, differentiable by v."""
        import torch

        problem, reduced, x = self.problem, self.reduced, self.x
        u = v[: reduced.controls].view(problem.control_shape)
        P: list[Tensor | None] = [None, None]
        cost, stretch = v.new_zeros(()), 1.0
        for where, shape, penalty, roles in reduced.parts:
            readout = v[where].view(shape)
            cost = cost + penalty_value(penalty, readout, np.ones(len(readout)), 1.0, self.real)
            for i in roles:
                P[i] = readout
        if problem.model.free:
            stretch = v[-1]
            x = torch.cat([x[:, :-1], stretch.expand(len(x), 1)], dim=1)
        share = problem.dynamics.share
        cost = cost + stretch * penalty_value(problem.penalty, u, problem.metric, share, self.real)

        rows = {name: u[:, place].unbind() for name, place in self.places.items()}
        t = problem.times
        for k in range(problem.intervals):
            h = float(t[k + 1] - t[k])
            row = {name: part[k] for name, part in rows.items()}
            cost = cost + h / 2 * self._limits_on_path(k, 0, x, u[k])
            x, running = self._step(t[k], h, x, row, P[1])
            cost = cost + running + h / 2 * self._limits_on_path(k, 1, x, u[k])

        if self.terminal:
            values = self.terminal(self.real(t[-1]), x, self.y[0], self.theta, P[0])
            cost = cost + self._mean(values)
        extras = problem.model.extras
        for j, coefficient in enumerate(extras.coefficients, start=extras.first):
            cost = cost + coefficient * self._mean(x[:, j])
        if self.at_end and reduced.multipliers is not None:
            L, sigma = self.multipliers[0], self.sigma[0]
            cost = cost + self.at_end(self.real(t[-1]), x, u[-1, :0], self.theta, L, sigma)
        return cost

    def _step(self, t: float, h: float, x: Tensor, row: dict, P: Tensor | None):
        """Return Psi(x, u), and the running cost of the step."""
        scheme, slopes, cost = self.problem.scheme, [], 0.0
        for weights, b, c in zip(scheme.A, scheme.b, scheme.c, strict=True):
            stage = x
            for a, slope in zip(weights, slopes, strict=False):
                if a:
                    stage = stage.add(slope, alpha=h * self.scale * a)
            time = self.real(t + c * h)
            slopes.append(self.rate(time, stage, self.theta, **row))
            if self.running and b:
                values = self.running(time, stage, self.y[1], self.theta, P)
                cost = cost + self.problem.running_weight * h * b * self._mean(values)
        for b, slope in zip(scheme.b, slopes, strict=True):
            x = x.add(slope, alpha=h * self.scale * b)
        return x, cost

    def _limits_on_path(self, k: int, side: int, x: Tensor, u: Tensor) -> Tensor | float:
        """Return the terms of path constraints at the start (0) or the end (1) of an interval."""
        if not self.on_path or self.reduced.multipliers is None:
            return 0.0
        L, sigma, t = self.multipliers[1][k, side], self.sigma[1], self.problem.times[k + side]
        return self.on_path(self.real(t), x, u, self.theta, L, sigma)

    def _mean(self, values: Tensor) -> Tensor:
        return values.mean() if self.weights is None else self.weights @ values


# ------------------------------------------------------------------------------- ingredients


def loss_function(loss: Loss, dim: int, real: Callable) -> Callable[..., Tensor]:
    """Return phi for every sample, (M,), as a function of t, x, y, theta and a trained readout."""
    from torch.nn.functional import linear

    if loss.written is not None:
        written, no_control = map_function(loss.map), real([])
        return lambda t, x, y, theta, P: written(t, x, no_control, theta)[:, 0]
    phi = of_outputs(loss)
    if loss.trained:
        return lambda t, x, y, theta, P: phi(linear(x[:, :dim], P[:, :-1], P[:, -1]), y)
    if loss.readout is None:
        return lambda t, x, y, theta, P: phi(x[:, :dim], y)
    given = real(loss.readout)
    return lambda t, x, y, theta, P: phi(linear(x[:, :dim], given), y)


def of_outputs(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Return phi for every sample, (M,), as a function of outputs z (M, q) and y."""
    from torch.nn import functional

    match loss:
        case Huber():
            return lambda z, y: functional.huber_loss(z, y, "none", loss.delta).sum(1)
        case Logistic():
            return lambda z, y: -functional.logsigmoid(y * z)[:, 0]
        case CrossEntropy():
            return lambda z, y: functional.cross_entropy(z, y[:, 0].long(), reduction="none")
    return lambda z, y: loss.weight * (z - y).square().sum(1)  # Squared


def penalty_value(
    penalty: Penalty, v: Tensor, metric: np.ndarray, share: float, real: Callable
) -> Tensor:
    """Return sum_k metric_k R(v_k); autograd then takes the subgradients that are 0 at 0."""
    import torch

    weights = real(metric)[:, None]
    total = (weights * (real(penalty.l1) * v.abs() + 0.5 * real(penalty.l2) * v.square())).sum()
    groups = penalty.groups
    if groups is None:
        return total
    weight = real(groups.weight)
    if groups.by == "time":
        h = weights / share
        return total + share * (weight * torch.linalg.vector_norm(h.sqrt() * v, dim=0)).sum()
    parts = v[:, None] if groups.rows is None else v[:, groups.rows]
    return total + (weights * weight * torch.linalg.vector_norm(parts, dim=2)).sum()


def augmented(
    terms: Bounded, real: Callable
) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the terms of constraints; see `pmpnet.kernels.constraints`.

    As a function of t, x, u, theta, the multipliers L (M, q) and the weights sigma (q,).
    """
    values, lower, upper = map_function(terms.map), real(terms.lower), real(terms.upper)

    def lagrangian(t, x, u, theta, L, sigma):
        c = values(t, x, u, theta) + L / sigma
        e = c - c.clamp(lower, upper)
        return (0.5 * sigma * e.square() - 0.5 * L.square() / sigma).sum(1).mean()

    return lagrangian
