"""Systems x' = f(t, x, u): layers, networks, particles of a measure, linear-control systems, and
your own, said as CasADi expressions.
"""

from typing import Any

from .base import Dynamics
from .layer import Layer
from .linear_control import LinearControl
from .networks import Neurons, Outside, TwoLayer

__all__ = [
    "Dynamics",
    "Layer",
    "LinearControl",
    "Neurons",
    "Outside",
    "Symbolic",
    "TwoLayer",
    "from_function",
]


def __getattr__(name: str) -> Any:
    if name in ("Symbolic", "from_function"):  # they need CasADi, which takes its time to import
        from . import symbolic

        return getattr(symbolic, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
