"""Networks with weights inside the activation: two layers, s outside, particles of a measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .base import Dynamics, even
from .layer import ACTIVATIONS, activated_rows

if TYPE_CHECKING:
    from .symbolic import SymbolicSystem


class Network(Dynamics):
    """What these networks share: f = scale (A s(W x + c) + b).

    Attributes
    ----------
    width : int
        How many numbers the activation acts on.
    """

    affine = False

    def __init__(self, dim: int, width: int, activation: str, scale: float) -> None:
        self.dim, self.width = dim, width
        self.activation = checks.choice("activation", activation, ACTIVATIONS)
        self.scale = checks.real("scale", scale)

    @property
    def code(self) -> int:
        """The number of the activation in the kernels."""
        return ACTIVATIONS.index(self.activation)

    def s(self, z: np.ndarray) -> np.ndarray:
        """Return the activation, entry by entry."""
        from ..kernels import activations

        return activations.reference(self.code, z)

    def pack(self, **parts: Any) -> np.ndarray:
        """Return the control row of parts named and shaped as by `unpack`; left out is zero."""
        row = np.zeros(self.controls)
        places = self.unpack(row)  # views
        checks.parts(parts, tuple(places))
        for name, part in parts.items():
            places[name][...] = checks.real_array(name, part, shape=places[name].shape)
        return row

    def _row(self, row: Any) -> np.ndarray:
        return checks.real_array("row", row, shape=(self.controls,), finite=False)

    def kernels(self):
        from ..kernels import networks

        return "two-layer", networks.two_layer_field, networks.two_layer_pullback

    def scratch(self, block, dtype):
        from ..kernels import networks

        return networks.scratch(self.dim, self.width, block, dtype)

    @property
    def tape_rows(self) -> int:
        return even(self.dim) + activated_rows(self.activation, self.width)

    @property
    def work(self) -> float:
        return 12.0 * self.dim * self.width + 40.0 * self.width

    def __repr__(self) -> str:
        told = self.describe()
        sizes = [str(told[name]) for name in told if name in ("dim", "hidden", "particles")]
        more = "" if told.get("bias", True) else ", bias=False"
        more += f", scale={self.scale:g}" if self.scale != 1.0 else ""
        return f"{type(self).__name__}({', '.join(sizes)}, {self.activation!r}{more})"


class TwoLayer(Network):
    """The two-layer block f(x, u) = scale (A s(W x + c) + b), with control u = (A, W, c, b).

    Affine in A and b only. With few hidden units a bottleneck: 2 d hidden numbers move d states.

    Parameters
    ----------
    dim : int
        Dimension d of the state, at least 1.
    hidden : int
        Number of hidden units, at least 1.
    activation : str, default "tanh"
        One of identity, tanh, relu, leaky_relu (slope 0.01), sigmoid, softplus, gelu (exact), sin.
    bias : bool, default True
        Whether there are c and b.
    scale : float, default 1.0
        Multiplies f, as that of `Layer`.

    Raises
    ------
    ValueError, TypeError
        For a size below 1, an unknown activation, a scale that is not finite.

    References
    ----------
    D. Ruiz-Balet, E. Zuazua, Neural ODE control for classification, approximation, and transport,
    SIAM Review, 2023.

    Examples
    --------
    >>> block = TwoLayer(2, 1, "relu")
    >>> block.controls
    7
    >>> u = block.pack(A=[[1], [2]], W=[[3, 0]], c=[-1], b=[0, 5])
    >>> block.f(0.0, np.array([[1.0, 9.0]]), u).tolist()
    [[2.0, 9.0]]
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        activation: str = "tanh",
        bias: bool = True,
        *,
        scale: float = 1.0,
    ) -> None:
        d = checks.size("dim", dim, 1)
        self.hidden = checks.size("hidden", hidden, 1)
        super().__init__(d, self.hidden, activation, scale)
        self.bias = checks.flag("bias", bias)
        self.controls = 2 * d * self.hidden + (self.hidden + d if self.bias else 0)

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        A, W, c, b = (self.unpack(u).get(name, 0.0) for name in "AWcb")
        return self.scale * (self.s(x @ W.T + c) @ A.T + b)

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"A": (d, hidden), "W": (hidden, d), "c": (hidden,), "b": (d,)}``."""
        d, r = self.dim, self.hidden
        A, W, c, b = np.split(self._row(row), np.cumsum([d * r, r * d, r]))
        matrices = {"A": A.reshape(d, r), "W": W.reshape(r, d)}
        return matrices | ({"c": c, "b": b} if self.bias else {})

    def symbolic(self) -> SymbolicSystem:
        from .twins import activation, twin

        return twin(self, lambda x, A, W, c=0, b=0: A @ activation(self.activation, W @ x + c) + b)

    def record(self, dtype):
        from ..kernels import features, networks

        d, r = self.dim, self.hidden
        c, b = (2 * d * r, 2 * d * r + r) if self.bias else (-1, -1)
        return networks.TwoLayer(
            features.Layout(d, r, 0, r, 1, b, 1),
            features.Layout(r, d, d * r, d, 1, c, 1),
            np.full(1, self.scale, dtype),
            self.code,
        )

    def describe(self) -> dict[str, Any]:
        return dict(
            dim=self.dim, hidden=self.hidden, activation=self.activation, bias=self.bias,
            scale=self.scale,
        )  # fmt: skip


class Neurons(Network):
    """The law of neurons f(x, u) = scale (1/K) sum_j a_j s(<w_j, x> + c_j).

    K particles (a_j, w_j, c_j) stand for a measure over parameters (a relaxed control). Costs of
    the control are averaged over them and the inner product carries 1/K, so that neither the
    optimum nor the number of sweeps depends on K. Affine in a only.

    Parameters
    ----------
    dim : int
        Dimension d of the state, at least 1.
    particles : int
        K, at least 1. Particle j is row j of ``rows``: ``Group(by="row")`` removes whole particles.
    activation : str, default "tanh"
        One of identity, tanh, relu, leaky_relu (slope 0.01), sigmoid, softplus, gelu (exact), sin.
    scale : float, default 1.0
        Multiplies f, as that of `Layer`.

    Raises
    ------
    ValueError, TypeError
        For a size below 1, an unknown activation, a scale that is not finite.

    References
    ----------
    J.-F. Jabir, D. Siska, L. Szpruch, Mean-field neural ODEs via relaxed optimal control, 2019.

    Z. Ding, S. Chen, Q. Li, S. Wright, Overparameterization of deep ResNet: zero loss and
    mean-field analysis, Journal of Machine Learning Research, 2022.

    Examples
    --------
    >>> law = Neurons(1, 2, "relu")
    >>> u = law.pack(a=[[6], [2]], w=[[1], [-1]], c=[0, 3])
    >>> u.tolist()
    [6.0, 1.0, 0.0, 2.0, -1.0, 3.0]
    >>> law.f(0.0, np.array([[1.0]]), u).tolist()
    [[5.0]]
    """

    def __init__(
        self, dim: int, particles: int, activation: str = "tanh", *, scale: float = 1.0
    ) -> None:
        d = checks.size("dim", dim, 1)
        self.particles = checks.size("particles", particles, 1)
        super().__init__(d, self.particles, activation, scale)
        self.controls = self.particles * (2 * d + 1)
        self.rows = np.arange(self.controls).reshape(self.particles, -1)
        self.share = 1.0 / self.particles

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        a, w, c = self.unpack(u).values()
        return self.scale * self.share * self.s(x @ w.T + c) @ a

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"a": (K, d), "w": (K, d), "c": (K,)}``."""
        d = self.dim
        particles = self._row(row).reshape(self.particles, -1)
        return {"a": particles[:, :d], "w": particles[:, d : 2 * d], "c": particles[:, 2 * d]}

    def symbolic(self) -> SymbolicSystem:
        from .twins import activation, twin

        def rhs(x, a, w, c):
            return self.share * (a.T @ activation(self.activation, w @ x + c))

        return twin(self, rhs)

    def record(self, dtype):
        from ..kernels import features, networks

        d, K = self.dim, self.particles
        length = 2 * d + 1
        return networks.TwoLayer(
            features.Layout(d, K, 0, 1, length, -1, 0),
            features.Layout(K, d, d, length, 1, 2 * d, length),
            np.full(1, self.scale * self.share, dtype),
            self.code,
        )

    def describe(self) -> dict[str, Any]:
        return dict(
            dim=self.dim, particles=self.particles, activation=self.activation, scale=self.scale
        )


class Outside(Network):
    """The layer with its activation outside: f(x, u) = scale s(W x + b), with u = (W, b).

    Parameters
    ----------
    dim : int
        Dimension d of the state, at least 1.
    activation : str, default "tanh"
        One of identity, tanh, relu, leaky_relu (slope 0.01), sigmoid, softplus, gelu (exact), sin.
    bias : bool, default True
        Whether there is a b.
    scale : float, default 1.0
        Multiplies f, as that of `Layer`.

    Raises
    ------
    ValueError, TypeError
        For a dimension below 1, an unknown activation, a scale that is not finite.

    References
    ----------
    E. Haber, L. Ruthotto, Stable architectures for deep neural networks, Inverse Problems, 2018.

    Examples
    --------
    >>> layer = Outside(2, "relu")
    >>> u = layer.pack(W=[[0, 1], [-1, 0]], b=[1, 2])
    >>> layer.f(0.0, np.array([[3.0, 4.0]]), u).tolist()
    [[5.0, 0.0]]
    """

    def __init__(
        self, dim: int, activation: str = "tanh", bias: bool = True, *, scale: float = 1.0
    ) -> None:
        d = checks.size("dim", dim, 1)
        super().__init__(d, d, activation, scale)
        self.bias = checks.flag("bias", bias)
        self.affine = self.activation == "identity"
        entries = np.arange(d * d).reshape(d, d)
        self.rows = np.c_[entries, d * d + np.arange(d)] if self.bias else entries
        self.controls = self.rows.size

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        W, b = (self.unpack(u).get(name, 0.0) for name in "Wb")
        return self.scale * self.s(x @ W.T + b)

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"W": (d, d), "b": (d,)}``."""
        d = self.dim
        W, b = np.split(self._row(row), [d * d])
        return {"W": W.reshape(d, d)} | ({"b": b} if self.bias else {})

    def symbolic(self) -> SymbolicSystem:
        from .twins import activation, twin

        return twin(self, lambda x, W, b=0: activation(self.activation, W @ x + b))

    def kernels(self):
        from ..kernels import networks

        return "outside", networks.outside_field, networks.outside_pullback

    def record(self, dtype):
        from ..kernels import features, networks

        d = self.dim
        layout = features.Layout(d, d, 0, d, 1, d * d if self.bias else -1, 1)
        return networks.Outside(layout, np.full(1, self.scale, dtype), self.code)

    def scratch(self, block, dtype):
        from ..kernels import features

        return features.scratch(self.dim, self.dim, block, dtype)

    @property
    def work(self) -> float:
        return 6.0 * self.dim**2 + 40.0 * self.dim

    def describe(self) -> dict[str, Any]:
        return dict(dim=self.dim, activation=self.activation, bias=self.bias, scale=self.scale)
