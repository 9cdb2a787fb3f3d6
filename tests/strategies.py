"""Small random problems of every kind, for property tests."""

from dataclasses import dataclass

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from pmpnet import Problem
from pmpnet.dynamics import Layer, LinearControl, Neurons, Outside, TwoLayer
from pmpnet.dynamics.layer import ACTIVATIONS
from pmpnet.losses import CrossEntropy, Huber, Logistic, Squared
from pmpnet.penalties import L2
from pmpnet.reduced import Reduced
from pmpnet.schemes import NAMED

from .reference import KINKS, Reference

LINEAR = {
    "constant": dict(fields="constant"),
    "polynomial 1": dict(fields="polynomial", degree=1),
    "polynomial 2": dict(fields="polynomial", degree=2),
    "gaussian 0": dict(fields="gaussian", degree=0),
    "gaussian 1": dict(fields="gaussian", degree=1),
    "gaussian 2": dict(fields="gaussian", degree=2),
}
LAYERS = [*ACTIVATIONS, *(f"{name} without bias" for name in ACTIVATIONS)]
AFFINE = [*LAYERS, *LINEAR]
TWO_LAYER = [*(f"two-layer {name}" for name in ACTIVATIONS), "two-layer tanh without bias"]
OUTSIDE = [*(f"outside {name}" for name in ACTIVATIONS), "outside tanh without bias"]
NEURONS = [f"neurons {name}" for name in ACTIVATIONS]
SYSTEMS = [*AFFINE, *TWO_LAYER, *OUTSIDE]
SMOOTH = [name for name in SYSTEMS if not set(KINKS) & set(name.split())]
ROLES = ("terminal", "running", "both", "shared")
KINDS = ("squared", "huber", "logistic", "cross entropy")
SMOOTH_LOSSES = tuple(k for k in KINDS if k != "huber")  # its second derivative jumps
NUMBERS = {"squared", "huber"}  # what compares numbers, not classes
READOUTS = ("none", "given", "train")
SEEDS = st.integers(0, 2**32 - 1)


def system(name, dim, *, scale=1.0, width=1.0):
    """Make the dynamics of that name; networks have one hidden unit or particle more than states."""
    if name in LINEAR:
        return LinearControl(dim, scale=scale, width=width, **LINEAR[name])
    told = dict(
        activation=next(a for a in name.split() if a in ACTIVATIONS),
        bias="without" not in name,
        scale=scale,
    )
    if name in NEURONS:
        del told["bias"]
        return Neurons(dim, dim + 1, **told)
    if name in TWO_LAYER:
        return TwoLayer(dim, dim + 1, **told)
    return (Outside if name in OUTSIDE else Layer)(dim, **told)


@dataclass
class Case:
    """A problem and a point at which it is looked at."""

    problem: Problem
    u: np.ndarray
    readouts: tuple
    rng: np.random.Generator

    def __post_init__(self):
        self.reference = Reference(self.problem)
        self.reduced = Reduced(self.problem)
        self.v = self.reduced.join(self.u, self.problem.as_readouts(self.given))

    @property
    def given(self):
        """The readouts as a user gives them."""
        by_role = zip(("terminal", "running"), self.readouts, strict=True)
        return {role: pair for role, pair in by_role if pair is not None} or None

    def direction(self):
        """A direction of everything decided, of length 1 in every entry on average."""
        return self.rng.standard_normal(self.reduced.size)

    def __repr__(self):
        return repr(self.problem)


@st.composite
def cases(draw, systems=SYSTEMS, schemes=tuple(NAMED), roles=ROLES, kinds=KINDS, most=7, **fixed):
    """Draw a case; ``fixed`` are arguments of Problem."""
    rng = np.random.default_rng(draw(SEEDS))
    role = draw(st.sampled_from(roles))
    many = {"terminal": 1, "running": 1, "both": 2, "shared": 1}[role]
    kinds = [draw(st.sampled_from(kinds)) for _ in range(many)]
    readouts = ["train"] if role == "shared" else [draw(st.sampled_from(READOUTS)) for _ in kinds]

    # what a loss reads must fit the targets, which both roles share, and without readout the state
    classes = 2 if "logistic" in kinds else draw(st.integers(2, 4))
    numbers = draw(st.integers(1, 5)) if set(kinds) <= NUMBERS else 1
    outputs = {"squared": numbers, "huber": numbers, "logistic": 1, "cross entropy": classes}
    pairs = list(zip(kinds, readouts, strict=True))
    dims = {outputs[kind] for kind, readout in pairs if readout == "none"}
    assume(len(dims) < 2)
    dim = dims.pop() if dims else draw(st.integers(1, 5))

    count = draw(st.integers(2 if "logistic" in kinds else 1, most))
    if set(kinds) <= NUMBERS:
        targets = rng.standard_normal((count, numbers))
    else:
        targets = rng.integers(0, classes, count)
        targets[:2] = np.arange(min(2, count))

    def loss(kind, readout):
        told = {}
        if readout == "given":
            told = dict(readout=rng.standard_normal((outputs[kind], dim)))
        if readout == "train":
            told = dict(readout="train", readout_cost=draw(st.sampled_from([None, L2(0.3)])))
        if kind in NUMBERS:
            return {"squared": Squared, "huber": Huber}[kind](rng.uniform(0.3, 2.0), **told)
        return Logistic(**told) if kind == "logistic" else CrossEntropy(classes, **told)

    losses = [loss(*pair) for pair in pairs]
    terminal = None if role == "running" else losses[0]
    running = None if role == "terminal" else losses[-1]

    layers = draw(st.integers(1, 5))
    times = rng.uniform(-2, 2) + np.cumsum(np.r_[0.0, rng.uniform(0.05, 0.35, layers)])
    weights = None
    if draw(st.booleans()):
        weights = rng.uniform(0.1, 3.0, count)
        weights[: count // 3] = 0.0
    problem = Problem(
        system(
            draw(st.sampled_from(systems)), dim,
            scale=draw(st.sampled_from([1.0, 0.6, -1.3])), width=rng.uniform(0.5, 3.0),
        ),
        rng.standard_normal((count, dim)),
        targets,
        terminal_cost=terminal,
        running_cost=running,
        running_weight=rng.uniform(0.2, 2.0),
        control_cost=draw(st.sampled_from([None, L2(0.1)])),
        weights=weights,
        times=times,
        scheme=draw(st.sampled_from(schemes)),
        **fixed,
    )  # fmt: skip
    features = problem.dynamics.controls / dim
    u = rng.standard_normal(problem.control_shape) / np.sqrt(features)
    pairs = [None, None]
    for shared in problem.trained_readouts:
        q = problem.outputs[shared[0]]
        pair = rng.standard_normal((q, dim)), rng.standard_normal(q)
        for i in shared:
            pairs[i] = pair
    case = Case(problem, u, tuple(pairs), rng)
    with np.errstate(all="ignore"):
        largest = abs(case.reference.forward(u, case.readouts).states).max()
    assume(largest < 20)  # not an explosion, whose rounding errors explode as well
    return case
