"""The residual layer x' = W s(x) + b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .base import Dynamics, even

if TYPE_CHECKING:
    from .symbolic import SymbolicSystem

ACTIVATIONS = ("identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus", "gelu", "sin")
KEEPS_DERIVATIVE = ("softplus", "gelu", "sin")  # s' is kept beside s, not found from it


def activated_rows(activation: str, rows: int) -> int:
    """Return how many rows of the tape s takes, and s' where it is kept."""
    return even(rows) * (2 if activation in KEEPS_DERIVATIVE else 1)


class Layer(Dynamics):
    """The layer f(x, u) = scale (W s(x) + b), with control u = (W, b).

    Affine in the control: the Hamiltonian is maximised in closed form.

    Parameters
    ----------
    dim : int
        Dimension d of the state, at least 1.
    activation : str, default "tanh"
        One of identity, tanh, relu, leaky_relu (slope 0.01), sigmoid, softplus, gelu (exact), sin.
    bias : bool, default True
        Whether there is a b.
    scale : float, default 1.0
        Multiplies f. Euler on [0, 1] already divides by N; a residual branch that carries N^-s
        is ``scale = N**(1 - s)`` (Marion et al. 2022).

    Raises
    ------
    ValueError, TypeError
        For a dimension below 1, an unknown activation, a scale that is not finite.

    Examples
    --------
    >>> layer = Layer(2)
    >>> layer.controls
    6
    >>> u = layer.pack(W=[[0, 1], [-1, 0]], b=[1, 2])
    >>> layer.f(0.0, np.zeros((1, 2)), u).tolist()
    [[1.0, 2.0]]
    """

    def __init__(
        self, dim: int, activation: str = "tanh", bias: bool = True, *, scale: float = 1.0
    ) -> None:
        self.dim = checks.size("dim", dim, 1)
        self.activation = checks.choice("activation", activation, ACTIVATIONS)
        self.bias = checks.flag("bias", bias)
        self.scale = checks.real("scale", scale)
        self.controls = self.dim * self.dim + (self.dim if self.bias else 0)
        entries = np.arange(self.dim**2).reshape(self.dim, self.dim)
        if self.bias:
            entries = np.c_[entries, self.dim**2 + np.arange(self.dim)]
        self.rows = entries

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        from ..kernels import activations

        parts = self.unpack(u)
        s = activations.reference(ACTIVATIONS.index(self.activation), x)
        return self.scale * (s @ parts["W"].T + (parts["b"] if self.bias else 0.0))

    def pack(self, **parts: Any) -> np.ndarray:
        """Return the control row of ``W`` (d, d) and ``b`` (d,); what is left out is zero."""
        checks.parts(parts, ("W", "b") if self.bias else ("W",))
        d = self.dim
        W = checks.real_array("W", parts.get("W", np.zeros((d, d))), shape=(d, d))
        if not self.bias:
            return W.ravel().copy()
        return np.concatenate(
            [W.ravel(), checks.real_array("b", parts.get("b", np.zeros(d)), shape=(d,))]
        )

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"W": (d, d), "b": (d,)}``."""
        row = checks.real_array("row", row, shape=(self.controls,), finite=False)
        d = self.dim
        parts = {"W": row[: d * d].reshape(d, d)}
        if self.bias:
            parts["b"] = row[d * d :]
        return parts

    def symbolic(self) -> SymbolicSystem:
        from .twins import activation, twin

        return twin(self, lambda x, W, b=0: W @ activation(self.activation, x) + b)

    def kernels(self):
        from ..kernels import features

        return "layer", features.layer_field, features.layer_pullback

    def record(self, dtype):
        from ..kernels import features

        d = self.dim
        layout = features.Layout(d, d, 0, d, 1, d * d if self.bias else -1, 1)
        code = ACTIVATIONS.index(self.activation)
        return features.Layer(layout, np.full(1, self.scale, dtype), code)

    def scratch(self, block, dtype):
        from ..kernels import features

        return features.scratch(self.dim, self.dim, block, dtype)

    @property
    def tape_rows(self) -> int:
        return activated_rows(self.activation, self.dim)

    @property
    def work(self) -> float:
        return 6.0 * self.dim**2 + 40.0 * self.dim

    def describe(self) -> dict[str, Any]:
        return dict(dim=self.dim, activation=self.activation, bias=self.bias, scale=self.scale)

    def __repr__(self) -> str:
        more = "" if self.bias else ", bias=False"
        more += f", scale={self.scale:g}" if self.scale != 1.0 else ""
        return f"Layer({self.dim}, {self.activation!r}{more})"
