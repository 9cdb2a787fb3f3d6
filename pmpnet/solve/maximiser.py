"""The maximiser of a Hamiltonian that is not affine in the control, at many times at once.

=========  ==================================================================  ============
symbol     meaning                                                             shape
=========  ==================================================================  ============
``h``      the Hamiltonian without R, over what R weighs                       (K,)
``g, C``   its first and second derivatives by the control                     (K, c), (K, c, c)
``R``      l1 |u|_1 + l2/2 |u|^2 and bounds, entry by entry                    -
``A``      l2 - C, the curvature of R - h                                      (K, c, c)
``held``   entries that a proximal step leaves at a bound, or at 0 by L1       (K, c)
=========  ==================================================================  ============

Entries that are held go where they are held; the others take Newton's step for the slope that is
then left, with the absolute values of A's eigenvalues, so that it leads up. Once the held entries
are right that is Newton's method. Where h - R does not grow, steps are halved; where that does
not help either, as it may not before the held entries are right, the step is a proximal one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..penalties import Penalty, soft

MOST = 50  # iterations
HALVINGS, PROXIMAL = 10, 20  # of Newton's step, and of the proximal one that is tried then
SMALL = 1e-11  # relative length of a step after which there is none
FLAT = 1e-10  # relative to the largest: eigenvalues below it count as this


class Derivatives(NamedTuple):
    """The Hamiltonian without R, its slope and its second derivatives by the control."""

    h: np.ndarray
    g: np.ndarray
    C: np.ndarray


def maximise(
    hamiltonian: Callable[[np.ndarray, np.ndarray], Derivatives], R: Penalty, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the local maximiser of h - R that Newton's method finds from a control.

    Parameters
    ----------
    hamiltonian : callable
        From controls (k, c) and the indices (k,) of their times to `Derivatives`.
    R : Penalty
        Convex, the same at all times, a sum over the entries of the control.
    u : ndarray, shape (K, c)
        Where to begin.

    Returns
    -------
    u : ndarray, shape (K, c)
    curvature : ndarray, shape (K,)
        The smallest eigenvalue of A among the entries that are not held, infinite where all are:
        a maximiser is regular where it is positive.

    References
    ----------
    D. Bertsekas, Projected Newton methods for optimization problems with simple constraints,
    SIAM Journal on Control and Optimization, 1982.
    """
    u = R.project(u)
    left = np.arange(len(u))  # the times at which there is a step to take
    for _ in range(MOST):
        at = hamiltonian(u[left], left)
        step = _Step(at, R, u[left])
        far = (np.abs(step.newton) > SMALL * (1 + np.abs(u[left]))).any(axis=1)
        if not far.any():
            break
        moved = _climb(hamiltonian, R, u[left], left, at, step)
        far &= (moved != u[left]).any(axis=1)
        u[left] = moved
        left = left[far]
        if not len(left):
            break
    everywhere = np.arange(len(u))
    return u, _Step(hamiltonian(u, everywhere), R, u).curvature


def _climb(
    hamiltonian: Callable,
    R: Penalty,
    u: np.ndarray,
    which: np.ndarray,
    at: Derivatives,
    step: _Step,
) -> np.ndarray:
    """Return controls with a larger h - R, as far as rounding can tell; u where there is none."""
    here = at.h - R.layer_values(u)
    # h may be a difference of large numbers: its rounding is that of what they curve
    scale = step.size * (1 + (u * u).sum(axis=1)) + np.abs(at.h) + np.abs(here)
    enough = here - 10 * np.finfo(float).eps * scale
    new, worse = u.copy(), np.arange(len(u))
    for move, part in STEPS:
        trial = move(step, part)[worse]
        value = hamiltonian(trial, which[worse]).h - R.layer_values(trial)
        better = value >= enough[worse]  # not where it is no number
        new[worse[better]] = trial[better]
        worse = worse[~better]
        if not len(worse):
            break
    return new


class _Step:
    """Where to go from controls u (k, c), and the curvature there."""

    def __init__(self, at: Derivatives, R: Penalty, u: np.ndarray) -> None:
        self.R, self.u, self.g = R, u, at.g - R.l2 * u
        one = np.eye(u.shape[1])
        A = R.l2 * one - at.C
        size = np.abs(A).sum(axis=2).max(axis=1, initial=0.0)
        self.size = size = np.where(size > 0, size, 1.0)
        ahead = self.proximal(1.0)
        held = (ahead <= R.lower) | (ahead >= R.upper) | ((ahead == 0) & (R.l1 > 0))
        step = np.where(held, ahead - u, 0.0)
        slope = self.g - R.l1 * np.sign(ahead) - (A @ step[..., None])[..., 0]
        both = ~held[:, :, None] & ~held[:, None, :]
        # held entries get an eigenvalue of their own, beyond all others
        own = 2.0 * size[:, None, None] * held[..., None] * one
        w, V = np.linalg.eigh(np.where(both, A, 0.0) + own)
        part = (np.where(held, 0.0, slope)[:, None] @ V)[:, 0]
        free = V @ (part / np.maximum(np.abs(w), FLAT * size[:, None]))[..., None]
        self.newton = np.where(held, step, free[..., 0])
        self.curvature = np.where(held.all(axis=1), np.inf, w[:, 0])

    def along(self, part: float) -> np.ndarray:
        """Return controls a part of Newton's step away, within bounds, stopped at 0 by L1."""
        new = self.u + part * self.newton
        return self.R.project(np.where((self.R.l1 > 0) & (new * self.u < 0), 0.0, new))

    def proximal(self, part: float) -> np.ndarray:
        """Return controls a proximal step away, of a length that is a part of 1 over A."""
        gamma = part / self.size[:, None]
        return self.R.project(soft(self.u + gamma * self.g, gamma * self.R.l1))


STEPS = [(_Step.along, 0.5**i) for i in range(HALVINGS)]
STEPS += [(_Step.proximal, 0.5**i) for i in range(PROXIMAL)]
