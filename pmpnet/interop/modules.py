"""The flow of a control as PyTorch modules: residual blocks, and what stands behind them.

=========  ==================================================  =========
symbol     meaning                                             shape
=========  ==================================================  =========
``x``      states                                              (M, d)
``theta``  constants that differ from sample to sample         (M, p)
``f``      the system without its scale                        (M, d)
=========  ==================================================  =========

The only module that imports PyTorch as a whole, so that its classes can be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import skip_init

from .. import checks
from ..dynamics import Dynamics, Layer, Neurons, Outside, TwoLayer
from ..dynamics.linear_control import FeatureFields
from ..dynamics.torch_twins import activation, features, map_function
from ..schemes import Scheme


class Block(nn.Module):
    """One step of a scheme: for Euler's x + h f(t, x), a residual block.

    Parameters
    ----------
    system : Dynamics
        As `pmpnet.dynamics.torch_twins.sayable` returns it.
    scheme : Scheme
    t, h : float
        Start and length of the step.
    row : ndarray, shape (c,)
        The control.
    dtype : torch.dtype
    """

    def __init__(
        self,
        system: Dynamics,
        scheme: Scheme,
        t: float,
        h: float,
        row: np.ndarray,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.system, self.t, self.h = system, t, h
        self.A, self.b, self.c = (part.tolist() for part in (scheme.A, scheme.b, scheme.c))
        parts = system.unpack(row).items()
        self.take(**{name: parameter(part, dtype) for name, part in parts})

    def take(self, **parts: nn.Parameter) -> None:
        """Take the named parts of the control as parameters."""
        raise NotImplementedError

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        """Return the velocities without their scale."""
        raise NotImplementedError

    def forward(self, x: Tensor, parameters: Tensor | None = None) -> Tensor:
        """Return the states at the end of the step."""
        step, slopes = self.h * self.system.scale, []
        for weights, c in zip(self.A, self.c, strict=True):
            stage = _moved(x, step, weights, slopes)
            slopes.append(self.f(self.t + c * self.h, stage, parameters))
        return _moved(x, step, self.b, slopes)

    def extra_repr(self) -> str:
        return f"{self.system!r}, t={self.t:g}, h={self.h:g}"


def _moved(x: Tensor, step: float, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """Return x + step * (weights of the slopes known so far)."""
    for a, slope in zip(weights, slopes, strict=False):
        if a:
            x = x.add(slope, alpha=step * a)
    return x


class LayerBlock(Block):
    """f = W s(x) + b, with parameters ``weight`` and ``bias``."""

    def take(self, W: nn.Parameter, b: nn.Parameter | None = None) -> None:
        self.weight, self.bias = W, b

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        return linear(activation(self.system.activation)(x), self.weight, self.bias)


class OutsideBlock(LayerBlock):
    """f = s(W x + b), with parameters ``weight`` and ``bias``."""

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        return activation(self.system.activation)(linear(x, self.weight, self.bias))


class TwoLayerBlock(Block):
    """f = A s(W x + c) + b: two linear modules, ``inner`` (W, c) and ``outer`` (A, b)."""

    def take(
        self,
        A: nn.Parameter,
        W: nn.Parameter,
        c: nn.Parameter | None = None,
        b: nn.Parameter | None = None,
    ) -> None:
        self.inner, self.outer = linear_module(W, c), linear_module(A, b)

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        return self.outer(activation(self.system.activation)(self.inner(x)))


class NeuronsBlock(TwoLayerBlock):
    """f = mean of a_i s(w_i x + c_i): ``inner`` (w, c) and ``outer`` (a')."""

    def take(self, a: nn.Parameter, w: nn.Parameter, c: nn.Parameter) -> None:
        super().take(nn.Parameter(a.detach().T.contiguous()), w, c)

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        return self.system.share * super().f(t, x, theta)


class FeaturesBlock(Block):
    """f = U phi(x), with the parameter ``weight`` (d, r)."""

    def take(self, U: nn.Parameter) -> None:
        self.weight = nn.Parameter(U.detach().contiguous())

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        return linear(features(self.system, x), self.weight)


class ExpressionBlock(Block):
    """f written in CasADi, with the parameter ``control`` (c,)."""

    def take(self, u: nn.Parameter) -> None:
        self.control = u

    def f(self, t: float, x: Tensor, theta: Tensor | None) -> Tensor:
        theta = x[:, :0] if theta is None else theta
        return map_function(self.system.map)(x.new_full((), t), x, self.control, theta)


BLOCKS = {
    Layer: LayerBlock,
    Outside: OutsideBlock,
    TwoLayer: TwoLayerBlock,
    Neurons: NeuronsBlock,
    FeatureFields: FeaturesBlock,
}


def block(system: Dynamics, *how: object) -> Block:
    """Return the block of a system; see `Block`."""
    return BLOCKS.get(type(system), ExpressionBlock)(system, *how)


class TwoClasses(nn.Module):
    """Probabilities of the two classes of a logistic output, (M, 2)."""

    def forward(self, z: Tensor) -> Tensor:
        """Return them for z (M, 1)."""
        return torch.sigmoid(torch.cat([-z, z], dim=1))


class Flow(nn.Module):
    """x(T) of x, or what a readout makes of it.

    Parameters
    ----------
    layers : sequence of Block
        One per interval.
    readout, link : nn.Module, optional
        What the loss reads, and the probabilities made of it.
    reads : int
        How many constants differ from sample to sample.

    Attributes
    ----------
    layers : nn.ModuleList
    """

    def __init__(
        self,
        layers: Sequence[Block],
        readout: nn.Module | None = None,
        link: nn.Module | None = None,
        reads: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.readout = nn.Identity() if readout is None else readout
        self.link = nn.Identity() if link is None else link
        self.reads = reads

    def forward(self, x: Tensor, parameters: Tensor | None = None) -> Tensor:
        """Return the output of points x (M, d), with their parameters (M, p) where there are any."""
        checks.parameters_given(self.reads, parameters is not None)
        for layer in self.layers:
            x = layer(x, parameters)
        return self.link(self.readout(x))


def parameter(numbers: np.ndarray, dtype: torch.dtype) -> nn.Parameter:
    """Return a copy of an array as a parameter."""
    return nn.Parameter(torch.tensor(np.asarray(numbers), dtype=dtype))


def linear_module(W: nn.Parameter, b: nn.Parameter | None = None) -> nn.Linear:
    """Return the linear module of these parameters; no random number is drawn."""
    rows, columns = W.shape
    module = skip_init(nn.Linear, columns, rows, bias=b is not None, dtype=W.dtype)
    module.weight, module.bias = W, b
    return module
