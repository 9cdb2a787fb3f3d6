"""What the sweeps run for a problem: its system, with more states where the problem needs them.

==============  ==========================================================================
state           why it is there
==============  ==========================================================================
``x``           the user's state, d rows
``z``           integrals: of a running cost that reads the control, of the kinetic energy, of
                integral constraints, and, with a free horizon, of any running cost;
                z' = the integrand, z(t_0) = 0
``s``           the stretch of time, where the horizon is free: s' = 0
==============  ==========================================================================

With a free horizon the grid keeps its times and the system runs s times as fast, at the time
t_0 + s (t - t_0). Minus the costates of s at the start is then the derivative by s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import checks
from .constraints import Constraint
from .dynamics.base import Dynamics
from .losses import Loss
from .sweeps import Bounded, Extras

if TYPE_CHECKING:
    from casadi import SX

    from .gram import Gram


@dataclass(frozen=True)
class Model:
    """The system that the sweeps run.

    Attributes
    ----------
    dynamics : Dynamics
        The user's own, or one with more states behind the user's.
    running : Loss or None
        The running cost, where it is not an integral among the states.
    extras : Extras
        Integrals and constraints.
    terms : tuple of str
        Which part of the cost each integral belongs to.
    free : bool
        Whether the last state is the stretch of time.
    gram : Gram or None
        The Gram matrices of the fields, where the kinetic energy is priced.
    """

    dynamics: Dynamics
    running: Loss | None
    extras: Extras
    terms: tuple[str, ...] = ()
    free: bool = False
    gram: Gram | None = None

    @property
    def affine(self) -> bool:
        """Whether the Hamiltonian without R is affine in the control, constraints included."""
        path = self.extras.path
        return self.dynamics.affine and not (path and path.map.depends_on(path.map.inputs[2]))


def build(
    dynamics: Dynamics,
    running: Loss | None,
    running_weight: float,
    targets: tuple[int, int],
    constraints: Sequence[Constraint],
    parameters: int,
    start: float,
    free: bool,
    kinetic: float = 0.0,
) -> Model:
    """Return the model of a problem.

    Parameters
    ----------
    dynamics : Dynamics
    running : Loss or None
    running_weight : float
    targets : (int, int)
        How many numbers of a target stand behind the parameters: as costs written as expressions
        read them, and, behind those, as the running cost reads them.
    constraints : sequence of Constraint
    parameters : int
        How many parameters a sample has.
    start : float
        The first time.
    free : bool
        Whether the horizon is free.
    kinetic : float
        Weight of the kinetic energy.
    """
    mixed = running is not None and running.mixed
    as_integral = int(running is not None and (mixed or free))
    integrals = [c for c in constraints if c.kind == "integral"]
    at_end = [c for c in constraints if c.kind == "terminal"]
    on_path = [c for c in constraints if c.kind == "path"]
    as_states = ("running",) * as_integral + ("control",) * (kinetic > 0)
    if not (constraints or as_states or free):
        return Model(dynamics, running, Extras())

    from casadi import SX, sumsqr, vertcat, vertsplit

    from .dynamics.symbolic import SymbolicSystem
    from .expressions import Map

    count = len(as_states) + sum(c.map.rows for c in integrals)
    x, z = SX.sym("x", dynamics.dim), SX.sym("z", count)
    s = SX.sym("s", 1 if free else 0)
    t, u = SX.sym("t"), SX.sym("u", dynamics.controls)
    theta = SX.sym("theta", parameters + sum(targets))
    time = start + s * (t - start) if free else t
    state = vertcat(x, z, s)

    def said(what: Map) -> SX:
        """Return a map as an expression of these symbols."""
        return what.said(time, x, u, theta[:parameters])

    gram = None
    if integrals or as_states or free:
        f = said(dynamics.symbolic().map)
        integrands = []
        if as_integral:
            checks.expressible(repr(running), not running.trained)
            first = parameters + (0 if running.written is not None else targets[0])
            integrands.append(running.said(time, x, u, theta[:parameters], theta[first:]))
        if kinetic > 0:
            from .gram import Gram

            integrands.append(0.5 * sumsqr(f))
            gram = Gram((t, state, u, theta), f)
        integrands += [said(c.map) for c in integrals]
        rate = vertcat(f, *integrands)
        rhs = vertcat(rate * s, 0) if free else rate
        system: Dynamics = SymbolicSystem(Map(t, state, u, theta, rhs))
    else:
        system = dynamics

    def bounded(group: list[Constraint], expressions: list[SX], controls: SX) -> Bounded | None:
        if not group:
            return None
        return Bounded(
            Map(t, state, controls, theta[:parameters], vertcat(*expressions)),
            np.concatenate([c.lower for c in group]),
            np.concatenate([c.upper for c in group]),
        )

    values = [said(c.map) for c in at_end]
    bare = count - len(as_states)  # integrals that only constraints read
    weights = [{"running": running_weight, "control": kinetic}[name] for name in as_states]
    bounded_integrals = vertsplit(z)[len(as_states) :]
    extras = Extras(
        first=dynamics.dim,
        coefficients=(*weights, *[0.0] * bare),
        terminal=bounded(at_end + integrals, [*values, *bounded_integrals], SX(0, 1)),
        path=bounded(on_path, [said(c.map) for c in on_path], u),
        sums=gram and gram.sums,
    )
    terms = as_states + ("",) * bare
    return Model(system, None if as_integral else running, extras, terms, free, gram)
