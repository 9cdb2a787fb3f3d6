"""One layer at a time: all samples pass a layer together, so that its control may still change."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..reduced import Point, Reduced
from ..sweeps import Samples, Sweeper


class _Costate:
    """The loss -<p, x>, whose sweep starts from a given costate p."""

    code = 1  # of pmpnet.kernels.losses
    weight = 1.0
    readout = None
    trained = False
    map = None


class Layerwise:
    """Sweeps over single layers of a problem.

    Parameters
    ----------
    reduced : Reduced

    Raises
    ------
    ValueError
        If the penalty ties layers together.
    """

    def __init__(self, reduced: Reduced) -> None:
        self.reduced = reduced
        p = reduced.problem
        checks.separable(p.penalty.separable)
        model = p.model
        # what is at the end, the costates bring along
        extras = model.extras._replace(coefficients=(), terminal=None)
        self.layers = [
            Sweeper(
                model.dynamics,
                p.scheme,
                p.times[k : k + 2],
                _Costate(),
                model.running,
                p.running_weight,
                p.dtype,
                (model.dynamics.dim, p.outputs[1]),
                extras,
            )
            for k in range(p.intervals)
        ]

    def costates(self, v: np.ndarray) -> np.ndarray:
        """Return the costates (N+1, M, d) of a decision, by a round."""
        reduced = self.reduced
        done = reduced.sweep(v, costates=True)
        reduced.nfev += 1
        reduced.njev += 1
        return done.costates

    def maximise(self, point: Point, costates: np.ndarray, gamma: float) -> np.ndarray:
        """Return the decision of one forward sweep that maximises as it goes.

        In layer k, u_k becomes argmax <g_k, v> - R(v) - |v - u_k|^2 / (2 gamma), with g_k from
        the states that the new controls have led to and the stored costates p_{k+1}.
        """
        reduced = self.reduced
        samples = reduced.samples
        readouts = reduced.readouts(point.v)
        # trained readouts are one more maximisation, at the old point
        v = reduced.prox(point.v + gamma * point.g, gamma)
        u_old, u_new = reduced.control(point.v), reduced.control(v)
        stretch, share = reduced.stretch(v), reduced.problem.dynamics.share
        x = samples.x if reduced.range is None else samples.with_last_state(stretch).x
        for k, layer in enumerate(self.layers):
            here = Samples(
                x, np.ascontiguousarray(costates[k + 1]), samples.y_running, samples.theta,
                samples.weights,
            )  # fmt: skip
            last = None, readouts[1]
            multipliers = reduced.multipliers and reduced.multipliers.layer(k)
            done = layer.run(here, u_old[k : k + 1], last, multipliers=multipliers)
            z = done.g / share + u_old[k] / gamma
            u_new[k] = self._layer_argmax(k, z / stretch, 1.0 / (gamma * stretch))
            x = layer.run(here, u_new[k : k + 1], last, backward=False, final=True).final
        reduced.nfev += 2
        reduced.njev += 1
        return v

    def _layer_argmax(self, k: int, z: np.ndarray, rho: float) -> np.ndarray:
        """Maximise in one layer; the others are maximised too and thrown away."""
        shape = self.reduced.problem.control_shape
        return self.reduced.problem.penalty.argmax(np.broadcast_to(z, shape).copy(), rho)[k]
