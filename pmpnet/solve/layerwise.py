"""One layer at a time: all samples pass a layer together, so that its control may still change."""

from __future__ import annotations

import numpy as np

from ..reduced import Point, Reduced
from ..sweeps import Samples, Sweeper


class _Costate:
    """The loss -<p, x>, whose sweep starts from a given costate p."""

    code = 1  # of pmpnet.kernels.losses
    weight = 1.0
    readout = None
    trained = False


class Layerwise:
    """Sweeps over single layers of a problem.

    Parameters
    ----------
    reduced : Reduced
    """

    def __init__(self, reduced: Reduced) -> None:
        self.reduced = reduced
        p = reduced.problem
        self.layers = [
            Sweeper(
                p.dynamics,
                p.scheme,
                p.times[k : k + 2],
                _Costate(),
                p.running_cost,
                p.running_weight,
                p.dtype,
                (p.dynamics.dim, p.outputs[1]),
            )
            for k in range(p.intervals)
        ]

    def costates(self, v: np.ndarray) -> np.ndarray:
        """Return the costates (N+1, M, d) of a decision, by a round."""
        reduced = self.reduced
        done = reduced.problem.sweeper.run(
            reduced.samples, reduced.control(v), reduced.readouts(v), costates=True
        )
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
        slopes = reduced.control(point.g.copy())
        x = samples.x
        for k, layer in enumerate(self.layers):
            here = Samples(
                x, np.ascontiguousarray(costates[k + 1]), samples.y_running, samples.theta,
                samples.weights,
            )  # fmt: skip
            last = None, readouts[1]
            slopes[k] = layer.run(here, u_old[k : k + 1], last).g[0]
            z = (slopes[k] + u_old[k] / gamma)[None]
            u_new[k] = self._layer_argmax(k, z, 1.0 / gamma)
            x = layer.run(here, u_new[k : k + 1], last, backward=False, final=True).final
        reduced.nfev += 2
        reduced.njev += 1
        return v

    def _layer_argmax(self, k: int, z: np.ndarray, rho: float) -> np.ndarray:
        """Maximise in one layer; the others are maximised too and thrown away."""
        shape = self.reduced.problem.control_shape
        return self.reduced.problem.penalty.argmax(np.broadcast_to(z, shape).copy(), rho)[k]
