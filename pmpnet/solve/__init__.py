"""The front door: a Problem goes in, a Solution comes out."""

from .checkpoint import Checkpoint
from .descent import adam, gradient_flow, sgd
from .direct import direct
from .indirect import indirect
from .newton import newton
from .quasi_newton import lbfgs
from .refine import refine
from .stochastic import stochastic
from .successive import msa
from .torch_train import torch_train

__all__ = [
    "Checkpoint",
    "adam",
    "direct",
    "gradient_flow",
    "indirect",
    "lbfgs",
    "msa",
    "newton",
    "refine",
    "sgd",
    "stochastic",
    "torch_train",
]
