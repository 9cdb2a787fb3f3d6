"""Systems said again in PyTorch: f without its scale, for automatic differentiation.

As `pmpnet.dynamics.twins` says them in CasADi. Systems made of matrices are said with matrices,
all others by the instructions of their CasADi expressions. Constants take the precision and the
device of the states.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from .base import Dynamics
from .layer import Layer
from .linear_control import FeatureFields
from .networks import Neurons, Outside, TwoLayer

if TYPE_CHECKING:
    from torch import Tensor

    from ..expressions import Map

WITH_MATRICES = FeatureFields, Layer, Neurons, Outside, TwoLayer


def sayable(system: Dynamics) -> Dynamics:
    """Return the system itself if it is made of matrices, and as expressions if not."""
    return system if isinstance(system, WITH_MATRICES) else system.symbolic()


@cache
def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return s."""
    import torch
    from torch.nn import functional

    from ..kernels.activations import LEAK

    return {
        "identity": lambda x: x,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": lambda x: functional.leaky_relu(x, LEAK),
        "sigmoid": torch.sigmoid,
        "softplus": lambda x: functional.softplus(x, threshold=36.0),  # from there on x itself
        "gelu": functional.gelu,
        "sin": torch.sin,
    }[name]


def rate(system: Dynamics) -> Callable[..., Tensor]:
    """Return f without its scale, as a function of t, x, theta and a control row's named parts."""
    import torch
    from torch.nn.functional import linear

    match system:
        case FeatureFields():
            return lambda t, x, theta, U: linear(features(system, x), U)
        case Layer():
            s = activation(system.activation)
            return lambda t, x, theta, W, b=None: linear(s(x), W, b)
        case Outside():
            s = activation(system.activation)
            return lambda t, x, theta, W, b=None: s(linear(x, W, b))
        case TwoLayer():
            s = activation(system.activation)
            return lambda t, x, theta, A, W, c=None, b=None: linear(s(linear(x, W, c)), A, b)
        case Neurons():
            s = activation(system.activation)
            return lambda t, x, theta, a, w, c: system.share * torch.mm(s(linear(x, w, c)), a)
    f = map_function(system.map)
    return lambda t, x, theta, u: f(t, x, u, theta)


def features(system: FeatureFields, x: Tensor) -> Tensor:
    """Return phi(x), (M, r)."""
    import torch

    columns, one = x.unbind(1), torch.ones_like(x[:, 0])
    products = {(): one}
    for monomial in system.monomials[1:]:
        products[monomial] = products[monomial[:-1]] * columns[monomial[-1]]
    gauss = torch.exp((x * x).sum(1) / (-2 * system.width)) if system.family == "gaussian" else one
    return torch.stack([one, *(gauss * products[m] for m in system.features)], dim=1)


def map_function(map: Map) -> Callable[..., Tensor]:
    """Return a map without its scale, (M, q), as a function of tensors t, x, u, theta."""
    import torch

    from ..expressions import FORMULAS

    functions = operations()
    lines = list(zip(map.field.operations, map.field.arguments, strict=True))

    def value(t: Tensor, x: Tensor, u: Tensor, theta: Tensor) -> Tensor:
        inputs, values = ((t,), x.unbind(1), u.unbind(), theta.unbind(1)), []
        for k, (name, (i, j)) in enumerate(lines):
            if name == "INPUT":
                values.append(inputs[i][j])
            elif name == "CONST":
                values.append(x.new_full((), map.field.constants[k]))
            elif "{1}" in FORMULAS[name]:
                values.append(functions[name](values[i], values[j]))
            else:
                values.append(functions[name](values[i]))
        columns = [x.new_zeros(())] * map.rows
        for row, line in map.field.results:
            columns[row] = values[line]
        return torch.stack([column.expand(x.shape[0]) for column in columns], dim=1)

    return value


@cache
def operations() -> dict[str, Callable[..., Tensor]]:
    """Return the function of every operation of `pmpnet.expressions`; tests are numbers, 1 or 0."""
    import torch

    def test(holds: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda a, *b: holds(a, *b).to(a.dtype)

    same = {name: getattr(torch, name.lower()) for name in SAME_NAME}
    return same | {
        "INV": torch.reciprocal,
        "SQ": torch.square,
        "TWICE": lambda a: a + a,
        "FABS": torch.abs,
        # at a kink the mean of both slopes, as CasADi
        "FMIN": torch.minimum,
        "FMAX": torch.maximum,
        "REMAINDER": lambda a, b: a - b * torch.round(a / b),
        "LT": test(torch.lt),
        "LE": test(torch.le),
        "EQ": test(torch.eq),
        "NE": test(torch.ne),
        "NOT": test(torch.logical_not),
        "AND": test(torch.logical_and),
        "OR": test(torch.logical_or),
        "IF_ELSE_ZERO": lambda a, b: torch.where(a != 0, b, torch.zeros_like(b)),
        "CONSTPOW": torch.pow,
    }


SAME_NAME = (
    "ADD", "SUB", "MUL", "DIV", "NEG", "SIGN", "COPYSIGN", "FLOOR", "CEIL", "FMOD", "SQRT",
    "HYPOT", "POW", "EXP", "EXPM1", "LOG", "LOG1P", "ERF", "SIN", "COS", "TAN", "ASIN", "ACOS",
    "ATAN", "ATAN2", "SINH", "COSH", "TANH", "ASINH", "ACOSH", "ATANH",
)  # fmt: skip
