"""Figures: how a solve got there, what it found, and what Pontryagin's principle says of it.

Every function draws into the axes it is given, or into a new figure, and returns the axes. None
shows a figure, and none touches matplotlib's settings. Nothing else imports matplotlib.
"""

from .heat_map import controls
from .paths import trajectories
from .principle import hamiltonian
from .progress import compare, convergence
from .regions import decision_boundary
from .squares import flow

__all__ = [
    "compare",
    "controls",
    "convergence",
    "decision_boundary",
    "flow",
    "hamiltonian",
    "trajectories",
]
