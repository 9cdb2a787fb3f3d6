"""Problems said as expressions, each of another kind, for tests that run over all of them."""

import casadi
import numpy as np
from casadi import SX

from pmpnet import Problem
from pmpnet.constraints import Integral, Path, Terminal
from pmpnet.dynamics import Layer, Symbolic
from pmpnet.losses import Logistic, Squared
from pmpnet.losses import Symbolic as Cost
from pmpnet.penalties import L1, L2

t, x, u = SX.sym("t"), SX.sym("x", 2), SX.sym("u", 2)
y, theta = SX.sym("y"), SX.sym("theta", 2)

# not autonomous, not affine, with parameters
SYSTEM = Symbolic(
    x,
    u,
    [x[1] + theta[0] * casadi.tanh(u[0] * t), u[1] - casadi.sin(x[0]) * theta[1] + 0.1 * t],
    t=t,
    parameters=theta,
)
RNG = np.random.default_rng(12)
X = RNG.standard_normal((5, 2))
THETA = RNG.uniform(0.5, 1.5, (5, 2))
WEIGHTS = RNG.uniform(0.2, 1.0, 5)
LABELS = np.array([1, 0, 1, 1, 0])

MIXED = Cost(
    t * x[0] ** 2 * casadi.cos(u[0]) + 0.5 * u[1] ** 2 + theta[0] * y * x[1], x, u, t, y, theta
)
AT_END = Cost((x[0] - y) ** 2 + casadi.exp(theta[1] * x[1]), x, y=y, parameters=theta)
CONSTRAINTS = [
    Path(x[0] * u[1] + t, x, u, t, upper=0.3, name="mixed"),
    Terminal([x[0] * theta[0], x[1]], x, [0.0, -0.2], [0.0, np.inf], parameters=theta),
    Integral(x[0] ** 2 + u[0] ** 2, x, u, lower=0.1, upper=0.5),
]
COMMON = dict(parameters=THETA, weights=WEIGHTS, times=[0.3, 0.5, 0.8, 1.2, 1.5])


def bolza(**how):
    """Terminal and running cost, the latter of x, u, t, y and theta."""
    told = dict(terminal_cost=AT_END, running_cost=MIXED, running_weight=0.7) | COMMON | how
    return Problem(SYSTEM, X, RNG.standard_normal(5), control_cost=L2(0.2) + L1(0.05), **told)


def constrained(**how):
    """Every kind of constraint."""
    return bolza(constraints=CONSTRAINTS, **how)


def free(**how):
    """Every kind of constraint, and the horizon decided too."""
    return constrained(free_horizon=(0.5, 3.0), **how)


def of_the_state(**how):
    """A running cost of the state alone, beside one of our losses."""
    cost = Cost(t * x[0] ** 2 + y, x, t=t, y=y)
    told = dict(terminal_cost=Squared(0.5, readout=[[1.0, 0.5]]), running_cost=cost) | COMMON | how
    return Problem(SYSTEM, X, RNG.standard_normal(5), **told)


def layer(**how):
    """A layer of ours with constraints at the end and on the path, and a trained readout."""
    kept = [CONSTRAINTS[0].__class__(x[0] ** 2, x, upper=0.4), Terminal(x[1], x, -0.1, 0.1)]
    told = dict(constraints=kept, times=COMMON["times"], weights=WEIGHTS) | how
    loss = Logistic(readout="train")
    return Problem(Layer(2), X, LABELS, terminal_cost=loss, control_cost=L2(0.1), **told)


def free_layer(**how):
    """A layer of ours whose horizon is free, with one of our losses as running cost."""
    told = dict(free_horizon=(0.5, 3.0), times=COMMON["times"], weights=WEIGHTS) | how
    loss = Logistic(readout=[[1.0, -0.5]])
    return Problem(
        Layer(2), X, LABELS, terminal_cost=Logistic(readout="train"), running_cost=loss,
        control_cost=L2(0.1) + L1(0.02), **told,
    )  # fmt: skip


KINDS = {f.__name__: f for f in (bolza, constrained, free, of_the_state, layer, free_layer)}
