"""Systems said again as CasADi expressions."""

from __future__ import annotations

import math
from collections.abc import Callable

import casadi
import numpy as np
from casadi import SX

from ..kernels.activations import LEAK
from .base import Dynamics
from .symbolic import Symbolic


def activation(name: str, x: SX) -> SX:
    """Return s(x), entry by entry.

    Nothing overflows, and derivatives are right at x = 0 too, where a control of zeros puts a
    network (no absolute values). At a kink CasADi takes the mean of both slopes.
    """
    return {
        "identity": lambda: x,
        "tanh": lambda: casadi.tanh(x),
        "relu": lambda: casadi.fmax(x, 0),
        "leaky_relu": lambda: casadi.fmax(x, LEAK * x),
        "sigmoid": lambda: 0.5 + 0.5 * casadi.tanh(0.5 * x),
        # from 36 on softplus is x to the last digit
        "softplus": lambda: casadi.log1p(casadi.exp(casadi.fmin(x, 36))) + casadi.fmax(x - 36, 0),
        "gelu": lambda: 0.5 * x * (1 + casadi.erf(math.sqrt(0.5) * x)),
        "sin": lambda: casadi.sin(x),
    }[name]()


def twin(system: Dynamics, rhs: Callable[..., SX]) -> Symbolic:
    """Return a system as expressions.

    Parameters
    ----------
    system : Dynamics
    rhs : callable
        f without its scale, as expressions of the state (d, 1) and of the control's parts, which
        it takes by their names.
    """
    x, u = SX.sym("x", system.dim), SX.sym("u", system.controls)
    # where the entries of every part lie in a control row, found by unpacking their places
    parts = system.unpack(np.arange(system.controls))
    parts = {name: _gather(u, place.astype(int)) for name, place in parts.items()}
    same = Symbolic(x, u, rhs(x, **parts), scale=system.scale)
    same.rows, same.share = system.rows, system.share
    return same


def _gather(u: SX, places: np.ndarray) -> SX:
    """Return the entries of u at these places, as a matrix of the same shape."""
    places = places.reshape(len(places), -1)
    return casadi.reshape(u[places.ravel(order="F").tolist()], places.shape)
