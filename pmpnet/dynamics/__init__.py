"""Systems x' = f(t, x, u): layers, networks, particles of a measure, linear-control systems."""

from .base import Dynamics
from .layer import Layer
from .linear_control import LinearControl
from .networks import Neurons, Outside, TwoLayer

__all__ = ["Dynamics", "Layer", "LinearControl", "Neurons", "Outside", "TwoLayer"]
