"""What the theory asks of a solution: whether it is sparse, smooth in depth, invertible, flat, lazy."""

from .curvature import Hessian, sharpness
from .depth import DepthGap, Smoothness, depth_gap, depth_smoothness, scaling_exponents
from .distance import flow_distance
from .gauge import Directions, balance, directions
from .invertibility import Inversion, Lipschitz, inversion, lipschitz
from .laziness import laziness
from .resampling import SampleConvergence, sample_convergence
from .reversibility import Reversibility, memory_free_gradient, reversibility
from .sparsity import Sparsity, prune, sparsity, stopping_time
from .steps import flow_jacobian
from .timing import retime
from .truncation import Truncation, truncated_costates
from .volume import log_det, series_bound

__all__ = [
    "DepthGap",
    "Directions",
    "Hessian",
    "Inversion",
    "Lipschitz",
    "Reversibility",
    "SampleConvergence",
    "Smoothness",
    "Sparsity",
    "Truncation",
    "balance",
    "depth_gap",
    "depth_smoothness",
    "directions",
    "flow_distance",
    "flow_jacobian",
    "inversion",
    "laziness",
    "lipschitz",
    "log_det",
    "memory_free_gradient",
    "prune",
    "retime",
    "reversibility",
    "sample_convergence",
    "scaling_exponents",
    "series_bound",
    "sharpness",
    "sparsity",
    "stopping_time",
    "truncated_costates",
]
