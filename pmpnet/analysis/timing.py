"""Other times, the same flow: where the control is a speed, the grid is a matter of taste."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..solution import Solution
from .again import moved, priced_again

SAME = 1e4  # flows within so many roundings, relative to 1 + their size, are the same


def retime(solution: Solution, times: ArrayLike | None = None, norm: float = 1) -> Solution:
    """Return the solution on another grid of times, with the same flow.

    Where f(x, a u) = a f(x, u) for all a >= 0 and time does not enter, a layer of length h with
    control u and one of length h' with control u h / h' are the same map, for every scheme.

    Parameters
    ----------
    solution : Solution
    times : array-like, shape (N+1,), optional
        The new grid, a layer per layer. Without it the speed becomes constant: |u(t)| is the same
        for all t, on the same time interval; layers that are zero are dropped.
    norm : float, default 1
        Which norm of the control is its speed, as `numpy.linalg.norm` counts them: 1, 2, inf.

    Returns
    -------
    Solution
        Of a problem with other times. The control cost is another one: among all times, those of
        constant speed have the least energy, and all have the same L1 norm.

    Raises
    ------
    ValueError
        If the flow would change, because f is not homogeneous in the control or knows the time;
        if all layers are zero; if the times do not fit.

    References
    ----------
    C. Esteve-Yague, B. Geshkovski, Sparsity in long-time control of neural ODEs, Systems and
    Control Letters, 2023.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((1, 2)), steps=4,
    ...                          terminal_cost=losses.Squared())
    >>> u = np.array([[1.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
    >>> even = retime(pmpnet.solve.msa(problem, u, max_iter=0))
    >>> even.times.tolist(), even.controls.tolist(), even.flow([[0.0, 0.0]]).tolist()
    ([0.0, 0.25, 1.0], [[1.0, 0.0], [0.0, 1.0]], [[0.25, 0.75]])
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    u, old = solution.controls, solution.times
    lengths = np.diff(old) * np.linalg.norm(u, checks.norm_order(norm), axis=1)
    kept = np.arange(len(u))
    if times is None:
        checks.some_layer_moves(lengths.any())
        kept = np.flatnonzero(lengths)
        parts = np.append(0.0, np.cumsum(lengths[kept]) / lengths.sum())
        new = old[0] + parts * solution.horizon
        new[-1] = old[-1]
    else:
        new = checks.grid(None, None, times)
        checks.layer_per_layer(len(new) - 1, len(u))
    v = u[kept] * (np.diff(old)[kept] / np.diff(new))[:, None]
    problem = solution.problem.replace(
        times=new, control_cost=solution.problem.control_cost.layer(kept), free_horizon=None
    )
    checks.no_path_multipliers(solution.lagrangian is None or not solution.lagrangian.path.size)
    found = priced_again(
        solution, problem, v, stretch=1.0, message=f"{solution.message} Other times, the same flow."
    )
    here = solution.states()
    off = moved(here[np.append(kept, len(u))], found.states())
    checks.homogeneous(off <= SAME * np.finfo(problem.dtype).eps)
    return found
