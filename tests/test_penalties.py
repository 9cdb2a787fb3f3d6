"""Penalties against their definitions: every maximiser must beat every other point."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from pmpnet import Problem
from pmpnet.dynamics import LinearControl
from pmpnet.losses import Squared
from pmpnet.penalties import (
    L0,
    L1,
    L2,
    Ball,
    Box,
    ElasticNet,
    Finite,
    Group,
    L1Ball,
    Penalty,
    Zero,
)

SOME = settings(deadline=None, max_examples=15)  # for each sum of terms

# ------------------------------------------------------- the same ingredients, slow and obvious


def rows_of(v, rows, by):
    return v[:, None, :] if by == "layer" else v[:, rows]


def group_cost(case, v, w, by):
    if by == "time":
        whole = (w * np.sqrt(case.steps @ v**2)).sum()
        return np.full(len(v), whole / case.steps.sum())  # spread evenly: its integral is whole
    return sum(
        (w if np.ndim(w) == 0 else w[..., j]) * np.sqrt((part**2).sum(axis=1))
        for j, part in enumerate(rows_of(v, case.rows, by).transpose(1, 0, 2))
    )


COST = {
    "L2": lambda case, v, w: (0.5 * w * v**2).sum(axis=1),
    "L1": lambda case, v, w: (w * abs(v)).sum(axis=1),
    "ElasticNet": lambda case, v, a, b: (a * abs(v) + 0.5 * b * v**2).sum(axis=1),
    "Group": group_cost,
}
EXCESS = {
    "Box": lambda v, lower, upper: np.maximum(lower - v, v - upper).max(axis=1),
    "Ball": lambda v, r: np.sqrt((v**2).sum(axis=1)) - r,
    "L1Ball": lambda v, r: abs(v).sum(axis=1) - r,
}
INSIDE = {  # some point of the set, not the nearest one
    "Box": lambda v, lower, upper: np.minimum(np.maximum(v, lower), upper),
    "Ball": lambda v, r: v / np.maximum(1, np.sqrt((v**2).sum(axis=1)) / r)[:, None],
    "L1Ball": lambda v, r: v / np.maximum(1, abs(v).sum(axis=1) / r)[:, None],
}
MAKE = {
    "L1": L1, "L2": L2, "ElasticNet": ElasticNet, "Group": Group,
    "Box": Box, "Ball": Ball, "L1Ball": L1Ball,
}  # fmt: skip


@dataclass
class Case:
    """A sum of terms ``(name, arguments)`` for controls of some shape."""

    terms: list
    shape: tuple
    rows: np.ndarray
    rng: np.random.Generator
    rho: float = 1.0

    def __post_init__(self):
        self.steps = self.rng.uniform(0.05, 2.0, self.shape[0])

    @property
    def penalty(self) -> Penalty:
        total = sum((MAKE[name](*told) for name, told in self.terms), Zero())
        return total.bound_to(self.shape, self.rows, self.steps)

    def judged(self, values):
        """Values of layers: each by itself, or where a term ties layers their integral."""
        tied = any(name == "Group" and told[1] == "time" for name, told in self.terms)
        return np.array([self.steps @ values]) if tied else values

    def inner(self, v, w):
        return self.judged((v * w).sum(axis=1))

    def cost(self, v):
        costs = (COST[name](self, v, *told) for name, told in self.terms if name in COST)
        return self.judged(sum(costs, np.zeros(len(v))))

    def excess(self, v):
        passed = (EXCESS[name](v, *told) for name, told in self.terms if name in EXCESS)
        return np.max([np.zeros(len(v)), *passed], axis=0)

    def inside(self, v):
        for name, told in self.terms:
            if name in INSIDE:
                v = INSIDE[name](v, *told)
        return v

    def score(self, z, rho, v):
        return self.inner(z, v) - self.cost(v) - 0.5 * rho * self.inner(v, v)

    def points(self, near):
        """Random points of the set, far from and close to a given one."""
        for scale in (0.3, 3.0, 30.0):
            yield self.inside(scale * self.rng.normal(size=self.shape))
            yield self.inside(scale * self.rng.normal(size=self.shape) * self.coin())
        for step in (1e-1, 1e-3, 1e-5):
            for _ in range(4):
                yield self.inside(near + step * self.rng.normal(size=self.shape) * self.coin())
        yield self.inside(np.zeros(self.shape))
        yield self.inside(near * 0.99)
        yield self.inside(near * 1.01)

    def coin(self):
        return self.rng.integers(0, 2, self.shape)


TIMES = ["Times", "Times L2", "L1 Times", "ElasticNet Times"]
SUMS = [
    "Zero", "L2", "L1", "ElasticNet", "Box", "Ball", "L1Ball", "Layers", "Rows",
    "L1 L2", "L2 L2", "L1 L1", "Box Box", "Ball Ball", "L1Ball L1Ball",
    "L2 Box", "Box L1", "ElasticNet Box", "L1 Box L2",
    "Layers L2", "Rows L2", "Layers L1", "Rows ElasticNet",
    "Ball L2", "L1 Ball", "Ball ElasticNet", "Ball Layers", "Rows Ball ElasticNet",
    "L1Ball L2", "L1 L1Ball", "L1Ball ElasticNet",
    *TIMES,
]  # fmt: skip


def make_terms(rng, words, shape, groups):
    """Random weights, as numbers, per entry, or per layer and entry."""
    layers, entries = shape
    radial = any(word in ("Ball", "L1Ball", "Layers", "Rows") for word in words)
    centre = rng.choice([0.0, 0.0, 3.0, -3.0]) + 0.5 * rng.normal()  # all boxes hold this point

    def weight(*shapes):
        value = np.asarray(rng.uniform(0.0, 2.0, shapes[rng.integers(len(shapes))]))
        return np.where(rng.random(value.shape) < 0.2, 0.0, value)[()]

    def l2():  # next to a ball or group: one for all entries of a layer, or all layers
        if "Times" in words:
            return weight((), (entries,), (1, entries))
        return weight((), (layers, 1)) if radial else weight((), (entries,), shape)

    def reach():  # from the centre of a box to its sides
        far = rng.uniform(0.0, 1.5, [(entries,), shape][rng.integers(2)])
        return rng.choice([1.0, 1.0, 1.0, 0.0, np.inf], far.shape) * (far + 0.01)

    def term(word):
        if word == "L2":
            return "L2", (l2(),)
        if word == "L1":
            return "L1", (weight((), (entries,), shape),)
        if word == "ElasticNet":
            return "ElasticNet", (weight((), (entries,), shape), l2())
        if word == "Box":
            return "Box", (centre - reach(), centre + reach())
        if word in ("Ball", "L1Ball"):
            return word, (rng.uniform(0.1, 3.0, [(), (layers,)][rng.integers(2)])[()],)
        if word == "Layers":
            return "Group", (weight((), (layers, 1)), "layer")
        if word == "Times":
            return "Group", (weight((), (entries,)), "time")
        per_group = (groups,) if groups > 1 else ()
        return "Group", (weight((), per_group, (layers, groups)), "row")

    return [term(word) for word in words if word != "Zero"]


@st.composite
def cases(draw, words):
    words = words.split()
    layers = draw(st.integers(1, 9))
    groups, members = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = layers, groups * members
    # rows of [W b] lie scattered over a control row
    rows = rng.permutation(shape[1]).reshape(groups, members)
    case = Case(make_terms(rng, words, shape, groups), shape, rows, rng)
    case.rho = draw(st.sampled_from([0.0, 0.05, 1.0, 20.0]))
    if case.rho == 0.0 and not case.penalty.coercive:
        case.rho = 1.0
    return case


def of(sums):
    """Test every one of some sums of terms."""

    def decorate(test):
        return pytest.mark.parametrize("words", sums)(SOME(given(data=st.data())(test)))

    return decorate


def given_z(case):
    """Random z, with zeros and entries exactly at the l1 threshold."""
    z = case.rng.choice([0.3, 3.0, 30.0]) * case.rng.normal(size=case.shape) * case.coin()
    at = np.broadcast_to(case.penalty.l1, case.shape)
    return np.where(case.rng.random(case.shape) < 0.1, case.rng.choice([-1, 1]) * at, z)


# -------------------------------------------------------------------------- the maximiser


@of(SUMS)
def test_argmax_is_feasible_and_beats_everything(data, words):
    case = data.draw(cases(words))
    z = given_z(case)
    kept = z.copy()
    best = case.penalty.argmax(z, case.rho)
    assert best.shape == z.shape
    assert np.isfinite(best).all()
    assert case.excess(best).max() <= 1e-12
    score = case.score(z, case.rho, best)
    for other in case.points(best):
        gain = case.score(z, case.rho, other) - score
        assert gain.max() <= 1e-11 * (1 + np.abs(z).sum())
    np.testing.assert_array_equal(z, kept)


@of(SUMS)
def test_prox_is_the_minimiser_and_firmly_nonexpansive(data, words):
    case = data.draw(cases(words))
    p, gamma = case.penalty, case.rng.choice([0.1, 1.0, 7.0])
    a, b = (3 * case.rng.normal(size=case.shape) for _ in range(2))
    pa, pb = p.prox(a, gamma), p.prox(b, gamma)
    np.testing.assert_array_equal(pa, p.argmax(a / gamma, 1 / gamma))
    for other in case.points(pa):
        value, least = (case.cost(v) + case.inner(v - a, v - a) / (2 * gamma) for v in (other, pa))
        assert (least - value).max() <= 1e-11 * (1 + np.abs(least).max())
    gap = case.inner(pa - pb, a - b) - case.inner(pa - pb, pa - pb)
    assert gap.min() >= -1e-12


@of(SUMS)
def test_maximisers_are_fixed_points_of_the_prox(data, words):
    case = data.draw(cases(words))
    # v maximises <z, .> - R - rho/2 |.|^2 just when v = prox(v + gamma (z - rho v))
    p, z = case.penalty, given_z(case)
    v = p.argmax(z, case.rho)
    for gamma in (0.3, 1.0):
        np.testing.assert_allclose(p.prox(v + gamma * (z - case.rho * v), gamma), v, atol=1e-11)


@of(SUMS)
def test_projection_is_the_nearest_point(data, words):
    case = data.draw(cases(words))
    p = case.penalty
    v = 3 * case.rng.normal(size=case.shape)
    w = p.project(v)
    assert p.violation(v) == pytest.approx(case.excess(v).max(), abs=1e-13)
    assert p.violation(w) <= 1e-13
    assert case.excess(w).max() <= 1e-13
    np.testing.assert_allclose(p.project(w), w, rtol=1e-13, atol=1e-15)
    for other in case.points(w):
        assert (((v - w) ** 2).sum(axis=1) - ((v - other) ** 2).sum(axis=1)).max() <= 1e-12
    inner = case.inside(0.0 * v)
    assert p.violation(inner) <= 1e-15
    np.testing.assert_allclose(p.project(inner), inner, atol=1e-15)


@of(SUMS)
def test_values_and_subgradients(data, words):
    case = data.draw(cases(words))
    p, v = case.penalty, case.rng.normal(size=case.shape) * case.coin()
    np.testing.assert_allclose(case.judged(p.layer_values(v)), case.cost(v), atol=1e-13)
    slope = p.subgradient(v)
    for w in (2 * case.rng.normal(size=case.shape) for _ in range(10)):
        assert (case.cost(w) - case.cost(v) - case.inner(slope, w - v)).min() >= -1e-12
    # away from the kinks there is one gradient
    v = np.where(v == 0.0, 1.0, v) + 0.1 * np.sign(v)
    step = 1e-6 * case.rng.normal(size=case.shape)
    change = (case.cost(v + step) - case.cost(v - step)) / 2
    np.testing.assert_allclose(case.inner(p.subgradient(v), step), change, rtol=1e-6, atol=1e-13)


@of(["L2", "L2 L2", "L2 Box", "Zero", "Ball L2"])
def test_gradient_of_the_smooth_part(data, words):
    case = data.draw(cases(words))
    v, step = (s * case.rng.normal(size=case.shape) for s in (1.0, 1e-3))
    change = (case.cost(v + step) - case.cost(v - step)) / 2  # exact: R is quadratic
    slope = np.broadcast_to(case.penalty.gradient(v), case.shape)
    np.testing.assert_allclose((slope * step).sum(axis=1), change, atol=1e-12)


@of(["L1", "ElasticNet", "L1 L1", "L1 L2"])
def test_first_order_condition_of_l1_and_exact_zeros(data, words):
    case = data.draw(cases(words))
    p, z = case.penalty, given_z(case)
    v = p.argmax(z, case.rho)
    l1 = np.broadcast_to(p.l1, case.shape)
    left = z - (p.l2 + case.rho) * v  # must be in l1 times the subdifferential of |v|
    assert ((v == 0.0) == (np.abs(z) <= l1)).all()
    assert (np.abs(left) <= l1 + 1e-13 * (1 + np.abs(z))).all()
    np.testing.assert_allclose(left[v != 0], (l1 * np.sign(v))[v != 0], atol=1e-12)


@of(["Layers", "Rows", "Rows L2", "Layers L1", "Rows Ball ElasticNet"])
def test_groups_vanish_as_a_whole(data, words):
    case = data.draw(cases(words))
    p, z = case.penalty, given_z(case)
    by = p.groups.by
    shrunk = rows_of(np.sign(z) * np.maximum(np.abs(z) - p.l1, 0), case.rows, by)
    norms = np.linalg.norm(shrunk, axis=2)
    parts = rows_of(p.argmax(z, case.rho), case.rows, by)
    gone = norms <= p.groups.weight
    assert (parts[gone] == 0.0).all()
    assert (np.abs(parts[~gone]).max(axis=1) > 0.0).all()


@of(TIMES)
def test_entries_vanish_for_all_time(data, words):
    case = data.draw(cases(words))
    p, z = case.penalty, given_z(case)
    shrunk = np.sign(z) * np.maximum(np.abs(z) - p.l1, 0)
    norms = np.sqrt(case.steps @ shrunk**2)
    v = p.argmax(z, case.rho)
    gone = norms <= p.groups.weight
    assert (v[:, gone] == 0.0).all()
    assert (np.abs(v[:, ~gone]).max(axis=0) > 0.0).all()
    # what is left vanishes where l1 says so, and nowhere else
    np.testing.assert_array_equal(v[:, ~gone] == 0.0, shrunk[:, ~gone] == 0.0)


# --------------------------------------------------------------- against other maximisers


@of([words for words in SUMS if words not in ("Box Box", *TIMES)])  # each point a layer
def test_one_dimension_against_a_grid(data, words):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    terms = make_terms(rng, words.split(), (1, 1), 1)
    case = Case(terms, (1, 1), np.array([[0]]), rng)
    z, rho = rng.uniform(-8, 8, (1, 1)), rng.uniform(1.0, 5.0)
    v = np.linspace(-9, 9, 18_001)[:, None]
    v = v[case.excess(v) <= 1e-12]
    assume(len(v) > 0)
    best = v[case.score(z, rho, v).argmax(), 0]
    assert case.penalty.argmax(z, rho)[0, 0] == pytest.approx(best, abs=1.5e-3)


def slsqp(z, rho, l1=0.0, l2=0.0, box=None, ball=None, l1_ball=None, group=0.0):
    """Maximise with v = p - q, p, q >= 0, and s >= |v| for a group."""
    c = z.size

    def v(x):
        return x[:c] - x[c : 2 * c]

    def loss(x):
        quadratic = 0.5 * (l2 + rho) * (v(x) ** 2).sum()
        return -(z * v(x)).sum() + (l1 * (x[:c] + x[c : 2 * c])).sum() + quadratic + group * x[-1]

    held = [lambda x: x[-1] ** 2 - (v(x) ** 2).sum()] if group else []
    if box:
        held += [lambda x: v(x) - box[0], lambda x: box[1] - v(x)]
    if ball:
        held += [lambda x: ball**2 - (v(x) ** 2).sum()]
    if l1_ball:
        held += [lambda x: l1_ball - x[: 2 * c].sum()]
    start = np.full(2 * c + 1, 0.1)
    start[-1] = 1.0
    found = minimize(
        loss,
        start,
        method="SLSQP",
        bounds=[(0, None)] * (2 * c + 1),
        constraints=[{"type": "ineq", "fun": f} for f in held],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return v(found.x)


@pytest.mark.parametrize(
    ("penalty", "told"),
    [
        (L2(0.7), {"l2": 0.7}),
        (ElasticNet(0.5, 0.7), {"l1": 0.5, "l2": 0.7}),
        (L1(0.5) + Box(-0.4, 0.8), {"l1": 0.5, "box": (-0.4, 0.8)}),
        (L2(0.7) + Ball(0.9), {"l2": 0.7, "ball": 0.9}),
        (ElasticNet(0.5, 0.7) + Ball(0.9), {"l1": 0.5, "l2": 0.7, "ball": 0.9}),
        (L1Ball(1.1), {"l1_ball": 1.1}),
        (ElasticNet(0.3, 0.2) + L1Ball(1.1), {"l1": 0.3, "l2": 0.2, "l1_ball": 1.1}),
        (Group(0.6), {"group": 0.6}),
        (Group(0.6) + ElasticNet(0.3, 0.2) + Ball(0.5),
         {"group": 0.6, "l1": 0.3, "l2": 0.2, "ball": 0.5}),
    ],
    ids=str,
)  # fmt: skip
def test_against_a_general_solver(penalty, told):
    z = np.array([[1.9, -1.3, 0.2, 0.9]])
    for rho in (0.4, 2.0):
        expected = slsqp(z[0], rho, **told)
        np.testing.assert_allclose(penalty.argmax(z, rho)[0], expected, atol=2e-5)


@pytest.mark.parametrize("weight", [0.9, [0.2, 0.9, 9.0]], ids=str)
@pytest.mark.parametrize("l1", [0.0, 0.4, "any"])
@pytest.mark.parametrize("l2", [0.0, [0.3, 0.0, 1.0]], ids=str)
def test_groups_over_time_against_a_general_solver(weight, l1, l2):
    rng = np.random.default_rng(5)
    h, z, rho = rng.uniform(0.1, 1.5, 6), 2 * rng.normal(size=(6, 3)), 0.7
    l1 = rng.uniform(0, 1.5, (6, 3)) if l1 == "any" else np.full((6, 3), l1)
    found = (Group(weight, by="time") + ElasticNet(l1, l2)).bound_to((6, 3), None, h).argmax(z, rho)
    for j, (w, c) in enumerate(np.broadcast(weight, np.broadcast_to(l2, 3))):

        def best(log_norm, a=l1[:, j], c=c, w=w, y=z[:, j]):
            # w n = min over s of w (n^2 / s + s) / 2: for given s every layer is by itself
            s = np.exp(log_norm)
            return np.sign(y) * np.maximum(abs(y) - a, 0) / (rho + c + w / s)

        def loss(log_norm, a=l1[:, j], c=c, w=w, y=z[:, j]):
            v = best(log_norm)
            return h @ ((rho + c) / 2 * v**2 - y * v + a * abs(v)) + w * np.sqrt(h @ v**2)

        least = minimize_scalar(loss, bounds=(-20, 5), method="bounded", options={"xatol": 1e-9})
        np.testing.assert_allclose(found[:, j], best(least.x), atol=1e-6)


def test_l1_ball_against_bisection():
    rng = np.random.default_rng(3)
    v = rng.normal(size=(3000, 7)) * rng.choice([0.2, 1.0, 5.0], (3000, 1))
    v[:500] = v[:500].round(1)  # with ties
    radius = rng.uniform(0.1, 4.0, 3000)
    low, high = np.zeros((3000, 1)), np.abs(v).max(axis=1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        over = np.maximum(np.abs(v) - middle, 0).sum(axis=1) > radius
        low, high = np.where(over[:, None], middle, low), np.where(over[:, None], high, middle)
    expected = np.sign(v) * np.maximum(np.abs(v) - high, 0)
    np.testing.assert_allclose(L1Ball(radius).project(v), expected, atol=1e-14)


def test_moreau():
    # a norm's prox and the projection on the dual norm's ball share every point among them
    y = 2 * np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(L1(0.8).prox(y, 1.0) + Box(-0.8, 0.8).project(y), y, atol=1e-15)
    np.testing.assert_allclose(Group(0.8).prox(y, 1.0) + Ball(0.8).project(y), y, atol=1e-15)
    h = np.random.default_rng(1).uniform(0.1, 2.0, 50)
    norms = np.sqrt(h @ y**2)
    on_dual = y * np.minimum(1.0, 14.0 / norms)  # the ball of L2(0, T), entry by entry
    assert 0 < (norms < 14.0).sum() < 4
    p = Group(14.0, by="time").bound_to((50, 4), None, h)
    np.testing.assert_allclose(p.prox(y, 1.0) + on_dual, y, atol=1e-14)


def test_groups_over_time_do_not_depend_on_the_grid():
    # a layer cut into pieces with the same control is the same layer
    rng = np.random.default_rng(2)
    h, z, pieces = rng.uniform(0.1, 2.0, 4), rng.normal(size=(4, 3)), [1, 3, 2, 4]
    p = Group([0.3, 1.0, 0.0], by="time") + ElasticNet(0.1, 0.2)
    coarse = p.bound_to((4, 3), None, h)
    fine = p.bound_to((10, 3), None, np.repeat(h / pieces, pieces))
    cut = np.repeat(z, pieces, axis=0)
    for ours, theirs in (
        (coarse.argmax(z, 0.5), fine.argmax(cut, 0.5)),
        (coarse.layer_values(z), fine.layer_values(cut)),
        (coarse.subgradient(z), fine.subgradient(cut)),
    ):
        np.testing.assert_allclose(np.repeat(ours, pieces, axis=0), theirs, rtol=1e-13)


# ------------------------------------------------------------------------ multiples and sums


@pytest.mark.parametrize(
    "penalty",
    [
        L0(0.3) + ElasticNet(0.2, 0.5) + Box(-1.5, 1.0), Finite([-1, 0, 2]) + L0(0.2) + L2(0.3),
        Group(0.4) + ElasticNet(0.2, 0.5) + Ball(0.8), Group([0.2, 0.6], by="row") + L2(0.1),
        Group(0.4, by="time") + ElasticNet(0.2, 0.5), L1Ball(0.7) + L1(0.1),
    ],
    ids=str,
)  # fmt: skip
def test_a_multiple_prices_as_many_times_as_much(penalty):
    rng = np.random.default_rng(3)
    z, h, rows = 2 * rng.normal(size=(5, 4)), rng.uniform(0.1, 1, 5), np.array([[0, 1], [2, 3]])
    once, thrice = (p.bound_to((5, 4), rows, h) for p in (penalty, 3.0 * penalty))
    v = once.project(z)
    np.testing.assert_allclose(thrice.layer_values(v), 3 * once.layer_values(v), rtol=1e-14)
    np.testing.assert_array_equal(thrice.project(z), v)
    np.testing.assert_allclose(thrice.argmax(3 * z, 1.2), once.argmax(z, 0.4), atol=1e-15)


@pytest.mark.parametrize(
    ("terms", "total"),
    [
        ((L0(0.2), L0(0.4)), L0(0.6000000000000001)), ((L1(0.25), L1(0.5)), L1(0.75)),
        ((L0(0.2), L2(0.5), L0(0.4), L1(0.1)), L0(0.6000000000000001) + ElasticNet(0.1, 0.5)),
        ((L1(0.1), Finite([0, 1]), L2(0.5)), Finite([0, 1]) + ElasticNet(0.1, 0.5)),
        ((Group(0.5, by="time"), L2(np.full((4, 3), 0.5))), Group(0.5, by="time") + L2(0.5)),
    ],
)  # fmt: skip
def test_terms_add_up(terms, total):
    z, h = 2 * np.random.default_rng(4).normal(size=(4, 3)), np.array([0.1, 0.4, 0.2, 0.5])
    for order in (terms, terms[::-1]):
        p, q = (a.bound_to((4, 3), None, h) for a in (sum(order, Zero()), total))
        np.testing.assert_array_equal(p.argmax(z, 0.5), q.argmax(z, 0.5))
        np.testing.assert_array_equal(p.layer_values(z), q.layer_values(z))


# ------------------------------------------------------------------------ without curvature


def test_bang_off_bang():
    p = Box(-1.0, 2.0) + L1(0.5)
    z = np.array([[0.6, 0.5, 0.49, 0.0, -0.5, -0.51]])
    assert p.argmax(z, 0.0).tolist() == [[2.0, 0.0, 0.0, 0.0, 0.0, -1.0]]
    # where the box does not hold 0, its point nearest to 0
    assert (Box(1.0, 2.0) + L1(0.5)).argmax(z, 0.0).tolist() == [[2.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    assert (Box(-2.0, -1.0) + L1(0.5)).argmax(z, 0.0).tolist() == [[-1.0] * 5 + [-2.0]]


def test_linear_costs_on_balls():
    z = np.array([[3.0, -4.0], [0.0, 0.0]])
    np.testing.assert_allclose(Ball(2.0).argmax(z, 0.0), [[1.2, -1.6], [0.0, 0.0]], rtol=1e-15)
    assert L1Ball(2.0).argmax(z, 0.0).tolist() == [[0.0, -2.0], [0.0, 0.0]]
    assert (L1Ball(2.0) + L1(4.5)).argmax(z, 0.0).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    radii = np.array([2.0, 1.0])
    assert L1Ball(radii).argmax(z + 1.0, 0.0).tolist() == [[2.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("ball", [Ball(1.0), L1Ball(1.0)])
def test_layers_with_and_without_curvature_in_one_control(ball):
    z = np.array([[0.2, 0.1], [0.2, 0.1]])
    v = (L2(np.array([[0.0], [1.0]])) + ball).argmax(z, 0.0)
    np.testing.assert_array_equal(v[0], ball.argmax(z, 0.0)[0])
    np.testing.assert_array_equal(v[1], z[1])


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (Zero(), False), (L1(1.0), False), (Group(1.0), False), (Box(0.0, np.inf), False),
        (L2(0.0), False), (L2([1.0, 0.0]), False), (L2(1.0), True), (Box(-1, 1), True),
        (L2([1.0, 0.0]) + Box([-np.inf, -1.0], [np.inf, 1.0]), True),
        (L2([0.0, 1.0]) + Box([-np.inf, -1.0], [np.inf, 1.0]), False),
        (Ball(1.0) + L1(1.0), True), (L1Ball(1.0), True), (Group(1.0) + L2(0.1), True),
    ],
    ids=str,
)  # fmt: skip
def test_coercive(penalty, expected):
    assert penalty.coercive is expected


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (Zero(), True), (ElasticNet([0.1, 0.2], 0.3) + Box(-1, 1), True), (Ball(1.0), True),
        (L1Ball(2.0), True), (Group([1.0, 2.0], by="row"), True), (L1(np.ones((3, 2))), False),
        (L0(np.ones((3, 2))), False), (Box(np.zeros((3, 2)), 1.0), False), (Ball(np.ones(3)), False),
        (L1Ball(np.ones(3)), False), (Group(np.ones((3, 2)), by="row"), False),
        (Group(1.0, by="time"), False),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_the_same_at_all_times_is_steady(penalty, expected):
    assert penalty.steady is expected


def test_far_outside_an_l1_ball():
    v = np.array([[1e17, 1.0], [-3e200, 1e200], [5.0, 4.5]])
    expected = [[1.0, 0.0], [-1.0, 0.0], [0.75, 0.25]]
    np.testing.assert_allclose(L1Ball(1.0).project(v), expected, rtol=1e-14)


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Ball(1.0), Box(-1, 1)),
        (Box(0.0, np.inf), Group(1.0)),
        (L1Ball(1.0), Box(-1, 1)),
        (L1Ball(1.0), Ball(1.0)),
        (L1Ball(1.0), Group(1.0)),
        (Group(1.0), Group(1.0, by="row")),
        (Ball(1.0), L2([1.0, 2.0])),
        (Group(1.0), ElasticNet(0.1, [[1.0, 1.0], [1.0, 2.0]])),
        (L2(1.0) + L1(1.0) + Ball(1.0), Box(0, 1)),
        (Group(1.0, by="time"), Box(-1, 1)),
        (Group(1.0, by="time"), Ball(1.0)),
        (Group(1.0, by="time") + L1(0.1), L1Ball(1.0)),
        (Group(1.0, by="time"), Group(1.0)),
        (Group(1.0, by="time"), Group(1.0, by="time")),
        (Group(1.0, by="time"), L2([[1.0], [2.0]])),
        (Group(1.0, by="time"), ElasticNet(0.1, [[1.0, 1.0], [1.0, 2.0]])),
    ],
    ids=str,
)
def test_sums_without_closed_form_are_refused(first, second):
    for a, b in ((first, second), (second, first)):
        with pytest.raises(ValueError, match="no closed-form maximiser") as told:
            a + b
        sentence = str(told.value)
        assert repr(a) in sentence
        assert repr(b) in sentence
        for combination in ("L1, L2, ElasticNet and Box", "Group with", "Ball with", "L1Ball with"):
            assert combination in sentence


@pytest.mark.parametrize("make", [L1, L2, Group, lambda w: ElasticNet(w, 1), Ball, L1Ball])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (-1.0, ValueError), (np.nan, ValueError), (np.inf, ValueError), ([], ValueError),
        ([1.0, -2.0], ValueError), (np.ones((1, 1, 1)), ValueError), ([[1, 2], [3]], ValueError),
        ("1", TypeError), (1j, TypeError), (None, (TypeError, ValueError)), ({"a": 1}, TypeError),
    ],
    ids=repr,
)  # fmt: skip
def test_bad_weights_are_refused_with_a_sentence(make, bad, error):
    with pytest.raises(error, match=r"^\w+.{15,}[.)]$"):
        make(bad)


def test_a_radius_of_zero_is_refused():
    for make in (Ball, L1Ball):
        with pytest.raises(ValueError, match="is not positive"):
            make(0.0)


@pytest.mark.parametrize(
    ("bounds", "error", "words"),
    [
        ((1.0, 0.0), ValueError, "above upper"),
        (([0.0, 2.0], [1.0, 1.0]), ValueError, "lower 2 is above upper 1"),
        ((np.nan, 1.0), ValueError, "NaN"),
        ((np.inf, np.inf), ValueError, "no point"),
        (([0.0, 0.0], [1.0, 1.0, 1.0]), ValueError, "one shape"),
        (("a", 1.0), TypeError, "not numbers"),
        ((1j, 1.0), TypeError, "complex"),
    ],
)
def test_bad_boxes_are_refused(bounds, error, words):
    with pytest.raises(error, match=words):
        Box(*bounds)


def test_boxes_without_a_common_point_are_refused():
    with pytest.raises(ValueError, match="above upper"):
        Box(0, 1) + Box(2, 3)


def test_weights_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="of different shapes"):
        L2([1.0, 2.0]) + L2([1.0, 2.0, 3.0])


@pytest.mark.parametrize("other", [1.0, L2, None, "L2(1)"])
def test_only_penalties_are_added(other):
    with pytest.raises(TypeError, match="penalty"):
        L2(1.0) + other


@pytest.mark.parametrize("by", ["column", 3, None])
def test_unknown_groups_are_refused(by):
    with pytest.raises(ValueError, match="'layer', 'row', 'time'"):
        Group(1.0, by=by)


@pytest.mark.parametrize(
    "penalty",
    [
        L1([1.0, 2.0]), L2(np.ones((3, 4))), Box([0, 0], [1, 1]), ElasticNet(1, np.ones((2, 5))),
        Ball([1.0, 2.0, 3.0]), L1Ball([1.0]), Group([1.0, 2.0, 3.0], by="row"),
        Group(np.ones((2, 3)), by="row"), Group([1.0, 2.0, 3.0]),
        Group([1.0, 2.0], by="time"), Group(np.ones((2, 4)), by="time"),
    ],
    ids=str,
)  # fmt: skip
def test_weights_that_do_not_fit_the_control_are_refused(penalty):
    with pytest.raises(ValueError, match="write"):
        penalty.bound_to((2, 4), np.array([[0, 1], [2, 3]]), np.ones(2))


def test_rows_are_needed_for_groups_by_row():
    with pytest.raises(ValueError, match="by='layer'"):
        Group(1.0, by="row").bound_to((2, 4), None)


def test_steps_are_needed_for_groups_over_time():
    penalty = Group(1.0, by="time")
    with pytest.raises(ValueError, match=r"fixed horizon.*by='layer'"):
        penalty.bound_to((2, 4), None)
    with pytest.raises(ValueError, match=r"fixed horizon.*a readout"):
        Squared(readout="train", readout_cost=penalty)
    told = dict(terminal_cost=Squared(), control_cost=penalty + L2(0.1))
    Problem(LinearControl(1), [[1.0]], **told)
    with pytest.raises(ValueError, match=r"fixed horizon.*free_horizon"):
        Problem(LinearControl(1), [[1.0]], free_horizon=(0.5, 2.0), **told)


@pytest.mark.parametrize("by", ["layer", "row"])
def test_one_group_weight_per_layer(by):
    # one row of [W b] is the whole layer: both ways of grouping mean the same
    weight, z = np.array([1.0, 2.0, 0.0]), np.array([[3.0, 4.0]] * 3)
    p = Group(weight, by=by).bound_to((3, 2), np.array([[0, 1]]))
    np.testing.assert_allclose(p.argmax(z, 1.0), z * [[0.8], [0.6], [1.0]], rtol=1e-15)
    np.testing.assert_allclose(p.layer_values(z), 5 * weight, rtol=1e-15)


def test_penalties_are_equal_when_their_groups_are():
    assert Group(1.0) + L2(2.0) == Group(1.0) + L2(2.0)
    assert Group([1.0, 2.0], by="row") == Group([1.0, 2.0], by="row")
    assert Group([1.0, 2.0]) != Group([1.0, 3.0])  # though they look the same
    assert Group(1.0) != Group(1.0, by="row")
    assert Group(1.0) != L2(1.0)


# ------------------------------------------------------------------------------------- names


def test_a_penalty_shows_how_it_was_written():
    p = Zero() + L2(0.1) + Box(-1, np.inf) + L1(np.ones(3))
    assert repr(p) == "L2(0.1) + Box(-1, inf) + L1(<3>)"
    assert repr(Zero() + Zero()) == "Zero()"
    assert repr(Group(2.0, by="time") + L1(1.0)) == "Group(2, by='time') + L1(1)"
    assert repr(Group(2.0, by="row") + Ball(1.0)) == "Group(2, by='row') + Ball(1)"


def test_a_penalty_keeps_its_own_weights():
    weight = np.ones(2)
    penalties = L1(weight), L2(weight), Group(weight), Ball(weight), Box(-weight, weight)
    weight[:] = 5.0
    v = np.ones((2, 2))
    assert [p.layer_values(v)[0] for p in penalties[:2]] == [2.0, 1.0]
    assert penalties[2].groups.weight.max() == penalties[3].ball.max() == 1.0
    assert penalties[4].violation(v) == 0.0
