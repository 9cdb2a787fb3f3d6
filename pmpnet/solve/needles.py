"""Needle variations: leave a local maximum of the Hamiltonian for a better one.

Where the Hamiltonian is not concave in the control, a solve may end at a control that maximises
it in each layer's neighbourhood only. Layers where a global search finds a better value are
changed, all of them or those that gain most, and the solve goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..hamiltonian import Hamiltonian
from ..problem import Problem
from ..reduced import Reduced
from ..solution import INTERRUPTED, Solution

PARTS = (0.0, 0.3, 0.7, 0.99)  # layers to change: those that gain more than this part of the most
NEGLIGIBLE = 1e-9  # relative to the cost: a smaller gain is the rounding of the search


def needle_variations(
    problem: Problem,
    found: Solution,
    solve: Callable[[np.ndarray], Solution],
    candidates: int,
    seed: int,
) -> Solution:
    """Return a solution whose Hamiltonian no candidate exceeds, or the best on the way there.

    Parameters
    ----------
    problem : Problem
    found : Solution
    solve : callable
        Solves from a decision vector.
    candidates : int
        Per layer and search.
    seed : int
    """
    reduced, rounds = Reduced(problem), 0
    nfev, njev = found.nfev, found.njev
    while True:
        v = reduced.join(found.controls, found.readouts, found.stretch)
        better = None
        try:
            best, gaps = Hamiltonian(reduced, v).maximisers(candidates, seed + rounds)
            gap = float((problem.metric * gaps).sum())
            for part in PARTS if gap > NEGLIGIBLE * max(1.0, abs(found.cost)) else ():
                changed = np.where((gaps > part * gaps.max())[:, None], best, found.controls)
                trial = solve(reduced.join(changed, found.readouts, found.stretch))
                nfev, njev = nfev + trial.nfev, njev + trial.njev
                if trial.cost < found.cost:
                    better = trial
                    break
                if trial.status == INTERRUPTED:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            message = f"{found.message} The search was interrupted."
            return replace(found, message=message, nfev=nfev, njev=njev)
        if better is None:
            break
        found, rounds = better, rounds + 1
        if found.status == INTERRUPTED:
            return replace(found, nfev=nfev, njev=njev)
    note = f" Global gap of the Hamiltonian among {candidates} candidates per layer: {gap:.2g}"
    note += f", after {rounds} needle variation{'s' * (rounds != 1)}." if rounds else "."
    return replace(found, message=found.message + note, nfev=nfev + 1, njev=njev + 1)
