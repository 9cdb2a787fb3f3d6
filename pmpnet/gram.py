"""Gram matrices of the fields of a system affine in its control.

=========  ==========================================================================  =========
symbol     meaning                                                                     shape
=========  ==========================================================================  =========
``F``      df/du, the fields at a state; f(t, x, u) = F_0(t, x) + F(t, x) u            (d, c)
``G``      sum_m w_m F(t_k, x_k,m)' F(t_k, x_k,m), one matrix per interval             (N, c, c)
``r``      controls that G ties together; other controls are in another block          -
=========  ==========================================================================  =========

The sweep adds up the different entries of G only. A system U phi(x) has d blocks, the same
matrix of the features r = |phi| each: what is solved is r-by-r, once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import casadi
import numpy as np
from casadi import SX

from .expressions import Sums


@dataclass(frozen=True)
class Block:
    """Controls whose blocks of G are the same matrix."""

    entries: np.ndarray  # (copies, r): the controls of each copy
    places: np.ndarray  # (r, r): which sum is which entry of the block


class Gram:
    """The Gram matrices of a system, from sums over its samples.

    Parameters
    ----------
    inputs : sequence of casadi.SX
        Columns t, x, u, theta of symbols.
    rate : casadi.SX
        f, affine in u.

    Attributes
    ----------
    sums : Sums
        The different entries of G.
    blocks : list of Block
        All controls stand in them, each once.
    """

    def __init__(self, inputs: Sequence[SX], rate: SX) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        F = casadi.sparsify(casadi.jacobian(rate, inputs[2]))
        upper = casadi.sparsify(casadi.triu(F.T @ F))
        c = inputs[2].numel()
        rows, columns = upper.sparsity().get_triplet()
        self.sums = Sums(inputs, casadi.vertcat(SX(0, 1), *upper.nonzeros()))
        places = np.full((c, c), self.sums.count)
        places[rows, columns] = places[columns, rows] = self.sums.places
        _, parts = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), (c, c)))
        alike: dict[bytes, list[np.ndarray]] = {}
        for part in range(parts.max() + 1):
            entries = np.flatnonzero(parts == part)
            alike.setdefault(places[np.ix_(entries, entries)].tobytes(), []).append(entries)
        self.blocks = [
            Block(np.array(copies), places[np.ix_(copies[0], copies[0])])
            for copies in alike.values()
        ]

    def apply(self, sums: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return G_k v_k of every layer, (N, c), given the sums (N, q)."""
        out = np.empty_like(v)
        for block in self.blocks:
            G = self._matrices(sums, block)
            out[:, block.entries] = np.einsum("kij,knj->kni", G, v[:, block.entries])
        return out

    def mean_diagonal(self, sums: np.ndarray) -> float:
        """Return the mean of all diagonal entries of G."""
        traces = [
            len(block.entries) * np.trace(self._matrices(sums, block), axis1=1, axis2=2).mean()
            for block in self.blocks
        ]
        return float(sum(traces)) / sum(block.entries.size for block in self.blocks)

    def solve(
        self, sums: np.ndarray, z: np.ndarray, weight: float, diagonal: np.ndarray, eps: float
    ) -> np.ndarray:
        """Return (weight G_k + diagonal)^-1 z_k of every layer, (N, c).

        Parameters
        ----------
        sums : ndarray, shape (N, q)
        z : ndarray, shape (N, c)
        weight : float
            Above 0.
        diagonal : number or ndarray, shape (c,) or (N, c)
            At least 0. Where it is 0 and G is singular, the shortest solution in the range of the
            matrix, with eigenvalues below their rounding taken as 0.
        eps : float
            Relative precision of the sums.
        """
        diagonal, out = np.broadcast_to(diagonal, z.shape), np.empty_like(z)
        for block in self.blocks:
            A = weight * self._matrices(sums, block)
            shift, rhs = diagonal[:, block.entries], z[:, block.entries]  # (N, copies, r)
            r = len(A[0])
            if (shift == shift[:, :1]).all():  # one matrix for all copies: they are columns
                shift, rhs = shift[:, :1], rhs.transpose(0, 2, 1)[:, None]
            else:
                rhs = rhs[..., None]
            A = A[:, None] + shift[..., None] * np.eye(r)
            if (shift > eps * np.trace(A, axis1=2, axis2=3).max()).all():
                x = np.linalg.solve(A, rhs)
            else:
                x = np.linalg.pinv(A, rcond=10 * r * eps, hermitian=True) @ rhs
            shape = len(z), *block.entries.shape
            out[:, block.entries] = x.transpose(0, 1, 3, 2).reshape(shape)
        return out

    def _matrices(self, sums: np.ndarray, block: Block) -> np.ndarray:
        """Return a block's matrices, (N, r, r)."""
        return np.c_[sums, np.zeros(len(sums))][:, block.places]
