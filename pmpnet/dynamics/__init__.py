"""Systems x' = f(t, x, u): layers and linear-control systems."""

from .base import Dynamics
from .layer import Layer
from .linear_control import LinearControl

__all__ = ["Dynamics", "Layer", "LinearControl"]
