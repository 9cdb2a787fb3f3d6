"""What every system offers: f in NumPy, and what the sweeps need to run it compiled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .symbolic import SymbolicSystem


class Dynamics(ABC):
    """A controlled system x' = f(t, x, u).

    Attributes
    ----------
    dim : int
        Dimension d of the state.
    controls : int
        Length c of a control row.
    parameters : int
        How many constants differ from sample to sample.
    affine : bool
        Whether f is affine in u, so that the Hamiltonian is maximised in closed form.
    rows : ndarray or None, shape (rows, members)
        Indices of the control entries that make up each row of [W b], where there are rows.
    share : float
        What a control entry weighs in inner products and in the control cost: 1/K for K
        particles of a measure.
    """

    dim: int
    controls: int
    parameters: int = 0
    affine: bool = True
    rows: np.ndarray | None = None
    share: float = 1.0

    @abstractmethod
    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        """Return the velocities of all samples, in NumPy.

        Parameters
        ----------
        t : float
        x : ndarray, shape (M, d)
        u : ndarray, shape (c,)
        theta : ndarray, shape (M, p), optional

        Returns
        -------
        ndarray, shape (M, d)
        """

    @abstractmethod
    def pack(self, **parts: Any) -> np.ndarray:
        """Return the control row (c,) made of named parts."""

    @abstractmethod
    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return the named parts of a control row."""

    @abstractmethod
    def symbolic(self) -> SymbolicSystem:
        """Return the same system as CasADi expressions.

        For what needs expressions: direct transcription, constraints, more states. The control
        keeps its order.
        """

    # ------------------------------------------------------------------- for the sweeps only

    @abstractmethod
    def kernels(self) -> tuple[str, Callable, Callable]:
        """Return the name of the family, and its compiled field and pullback."""

    @abstractmethod
    def record(self, dtype: np.dtype) -> tuple:
        """Return what the kernels read."""

    @abstractmethod
    def scratch(self, block: int, dtype: np.dtype) -> tuple:
        """Return one thread's buffers."""

    @property
    @abstractmethod
    def tape_rows(self) -> int:
        """Rows a stage keeps for its transpose."""

    @property
    @abstractmethod
    def work(self) -> float:
        """Rough arithmetic of one stage of one sample, in flops: decides about threads."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the constructor's arguments, as plain numbers, text and arrays."""


def even(n: int) -> int:
    """Round up to an even number: blocks are padded so."""
    return n + n % 2
