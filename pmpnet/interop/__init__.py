"""To PyTorch and back: networks trained here are deployed there, and those trained there judged here.

Nothing of PyTorch is imported before it is used.
"""

from .adopt import from_torch
from .deploy import to_torch

__all__ = ["from_torch", "to_torch"]
