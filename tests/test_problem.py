"""Problems: what they answer by definition, what they take, what they refuse before a sweep."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from pmpnet import Problem
from pmpnet.dynamics import Layer, LinearControl
from pmpnet.losses import CrossEntropy, Logistic, Squared
from pmpnet.penalties import L1, L2, Ball, Box, ElasticNet, Group, Zero
from pmpnet.schemes import HEUN, Scheme
from pmpnet.sweeps import Sweeper

from .strategies import cases

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 2)), RNG.standard_normal((6, 2))
LABELS = np.arange(6) % 2


def make(dynamics=None, initial_states=X, targets=None, **told):
    """A problem that is fine but for what is told."""
    told = {"terminal_cost": Squared(), "steps": 3, **told}
    return Problem(Layer(2) if dynamics is None else dynamics, initial_states, targets, **told)


# ---------------------------------------------------------------------------- answers


@given(cases())
def test_terms_and_cost_are_the_reference_s(case):
    p = case.problem
    exact = case.reference.forward(case.u, case.readouts)
    terms = p.terms(case.u, case.given)
    assert terms["terminal"] == pytest.approx(exact.terminal, rel=1e-12)
    assert terms["running"] == pytest.approx(exact.running, rel=1e-12)
    l2 = 0.1 if p.control_cost.name == "L2(0.1)" else 0.0
    energy = l2 / 2 * (np.diff(p.times)[:, None] * case.u**2).sum()
    assert terms["control"] == pytest.approx(energy, rel=1e-13)
    prices = 0.0
    for roles in p.trained_readouts:  # a shared readout is priced once
        loss = (p.terminal_cost, p.running_cost)[roles[0]]
        weight = 0.3 if loss.readout_cost.name == "L2(0.3)" else 0.0
        P, c = case.readouts[roles[0]]
        prices += weight / 2 * ((P**2).sum() + (c**2).sum())
    assert terms.get("readout", 0.0) == pytest.approx(prices, rel=1e-13)
    assert ("readout" in terms) == bool(p.trained_readouts)
    assert p.cost(case.u, case.given) == sum(terms.values())


@given(cases())
def test_states_and_costates_are_the_reference_s(case):
    p = case.problem
    exact = case.reference.round(case.u, case.readouts)
    np.testing.assert_allclose(p.states(case.u), exact.states, rtol=0, atol=1e-10)
    size = abs(exact.costates).max()
    np.testing.assert_allclose(
        p.costates(case.u, case.given), exact.costates, rtol=0, atol=1e-11 * size
    )
    assert (
        p.states(case.u).shape == p.costates(case.u).shape == (len(case.u) + 1, *p.samples.x.shape)
    )


def test_the_gradient_leaves_out_what_has_none():
    u = RNG.standard_normal((3, 6))
    smooth, rough = make(control_cost=L2(0.3)), make(control_cost=ElasticNet(0.7, 0.3) + Box(-1, 1))
    np.testing.assert_array_equal(rough.gradient(u), smooth.gradient(u))
    plain = make(control_cost=Box(-1, 1) + L1(2.0))
    np.testing.assert_allclose(
        smooth.gradient(u), plain.gradient(u) + 0.3 * u / 3, rtol=1e-13, atol=1e-15
    )


def test_the_cost_of_controls_alone():
    p = make(terminal_cost=None, control_cost=L2(2.0), times=[0, 1, 3])
    u = RNG.standard_normal(p.control_shape)
    assert p.cost(u) == pytest.approx((u[0] ** 2).sum() + 2 * (u[1] ** 2).sum(), rel=1e-14)
    assert p.terms(u)["terminal"] == p.terms(u)["running"] == 0.0
    np.testing.assert_allclose(p.gradient(u), [[2], [4]] * u, rtol=1e-15)
    assert not p.costates(u).any()


def test_a_running_cost_of_weight_zero_counts_nothing():
    u = RNG.standard_normal((3, 6))
    with_it, without = make(running_cost=Squared(), running_weight=0), make()
    assert with_it.cost(u) == without.cost(u)
    np.testing.assert_array_equal(with_it.gradient(u), without.gradient(u))


# --------------------------------------------------------------------- what it is told


def test_defaults():
    p = Problem(Layer(2), X, terminal_cost=Squared())
    assert p.intervals == 20
    np.testing.assert_allclose(p.times, np.arange(21) / 20, rtol=1e-15)
    assert p.scheme.name == "euler"
    assert p.dtype == np.float64
    assert p.running_weight == 1.0
    assert p.control_cost == Zero()
    assert p.running_cost is p.targets is None
    np.testing.assert_array_equal(p.weights, np.full(6, 1 / 6))
    np.testing.assert_array_equal(p.initial_states, X)
    assert p.control_shape == (20, 6)


def test_numbers_of_any_kind_are_numbers():
    p = make(
        steps=np.int64(4), horizon=Fraction(3, 2), running_cost=Squared(np.float32(0.5)),
        running_weight=np.int32(2),
    )  # fmt: skip
    assert p.control_shape == (4, 6)
    assert p.times[-1] == 1.5
    assert p.running_weight == 2.0


def test_the_grid():
    assert make(horizon=3.0, steps=6).steps == pytest.approx(np.full(6, 0.5))
    p = make(times=[-1, 0, 5])
    assert p.steps.tolist() == [1.0, 5.0]
    assert p.intervals == 2
    given_times = np.array([0.0, 1.0, 2.0])
    p = make(times=given_times)
    given_times[1] = 7.0  # a copy was taken, and cannot be changed
    assert p.times.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        p.times[0] = 1.0


def test_schemes():
    assert make(scheme="heun").scheme is HEUN
    mine = Scheme("mine", [[0, 0], [2 / 3, 0]], [0.25, 0.75], order=2)
    assert make(scheme=mine).scheme is mine


def test_precision():
    assert make().dtype == np.float64
    assert make(initial_states=X.astype(np.float32)).dtype == np.float32
    assert make(initial_states=X.astype(np.float32), dtype="float64").dtype == np.float64
    single = make(dtype=np.float32)
    assert single.dtype == single.initial_states.dtype == single.weights.dtype == np.float32
    u = np.zeros(single.control_shape)
    assert single.states(u).dtype == single.costates(u).dtype == np.float32
    assert isinstance(single.cost(u), float)


def test_weights_are_scaled_to_sum_one():
    for unit in (1, 1e-310, 5e307):  # neither very small nor very large ones lose their sum
        weights = unit * np.array([1, 2, 3, 0, 0, 0])
        assert make(weights=weights).weights == pytest.approx([1 / 6, 1 / 3, 1 / 2, 0, 0, 0])
    assert make(weights=[True] * 6).weights == pytest.approx(np.full(6, 1 / 6))
    equal, u = make(weights=np.full(6, 0.2)), np.ones((3, 6))
    assert equal.cost(u) == pytest.approx(make().cost(u), rel=1e-15)


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_one_sample_may_carry_all_the_weight(first):
    weights = np.r_[first, np.zeros(4), 1.0 - first]
    u = np.ones((3, 6))
    alone = make(initial_states=X[[0 if first else -1]])
    p = make(weights=weights)
    assert p.cost(u) == pytest.approx(alone.cost(u), rel=1e-15)
    np.testing.assert_allclose(p.gradient(u), alone.gradient(u), rtol=1e-14)


def test_taking_samples():
    p = make(targets=Y, weights=np.arange(6.0), running_cost=Squared())
    some = p.samples.take(np.array([4, 1]))
    np.testing.assert_array_equal(some.x, X[[4, 1]])
    np.testing.assert_array_equal(some.y_terminal, Y[[4, 1]])
    np.testing.assert_array_equal(some.y_running, Y[[4, 1]])
    assert some.weights == pytest.approx([0.8, 0.2])
    assert make().samples.take(np.array([2, 3])).weights.size == 0  # equal ones stay equal
    assert p.samples.take(np.array([0])).weights.tolist() == [0.0]  # none of them counts


def test_how_problems_are_shown():
    assert repr(make(control_cost=L2(0.1))) == (
        "Problem: 6 samples in dimension 2, 3 intervals on [0, 1], euler, float64\n"
        "  dynamics       Layer(2, 'tanh')\n"
        "  terminal cost  Squared()\n"
        "  control cost   L2(0.1)"
    )
    one = make(
        LinearControl(2), X[:1], terminal_cost=None, running_cost=Squared(0.5), running_weight=3,
        times=[-1, 2.5], scheme="rk4", dtype="float32",
    )  # fmt: skip
    assert repr(one) == (
        "Problem: 1 sample in dimension 2, 1 intervals on [-1, 2.5], rk4, float32\n"
        "  dynamics       LinearControl(2, 'constant')\n"
        "  running cost   3 * Squared(0.5)\n"
        "  control cost   Zero()"
    )


# --------------------------------------------------------------------------- readouts


def test_trained_readouts_by_role():
    shared = Squared(readout="train")
    roles = {
        (): dict(),
        ((0,),): dict(terminal_cost=shared),
        ((1,),): dict(terminal_cost=None, running_cost=shared),
        ((0, 1),): dict(terminal_cost=shared, running_cost=shared),
        ((0,), (1,)): dict(terminal_cost=shared, running_cost=Squared(readout="train")),
    }
    for wanted, told in roles.items():
        assert make(targets=LABELS if wanted else None, **told).trained_readouts == wanted


def test_readouts_start_seeded_and_not_at_zero():
    p = make(targets=LABELS, terminal_cost=CrossEntropy(3, readout="train"))
    (P, c), none = p.initial_readouts()
    assert none is None
    assert P.shape == (3, 2)
    assert c.shape == (3,)
    assert P.any()
    np.testing.assert_array_equal(p.initial_readouts(0)[0].P, P)
    assert (p.initial_readouts(1)[0].P != P).all()
    u = np.ones(p.control_shape)
    assert p.cost(u) == p.cost(u, (P, c))
    assert p.gradient(u).any()  # with P = 0 it would vanish


def test_a_readout_is_given_as_a_pair_or_by_role():
    loss, other = Logistic(readout="train"), Logistic(readout="train")
    a, b = (np.array([[1.0, 2.0]]), np.array([3.0])), ([[0.5, -1.0]], [0.25])
    u = np.ones((3, 6))
    one = make(targets=LABELS, terminal_cost=loss)
    assert one.cost(u, a) == one.cost(u, {"terminal": a}) != one.cost(u, b)
    shared = make(targets=LABELS, terminal_cost=loss, running_cost=loss)
    assert shared.cost(u, a) == shared.cost(u, {"terminal": a, "running": a})
    two = make(targets=LABELS, terminal_cost=loss, running_cost=other)
    assert two.cost(u, {"terminal": a, "running": b}) != two.cost(u, {"terminal": b, "running": a})
    a[0][:] = 0.0  # values were copied where they are kept
    assert two.as_readouts({"terminal": b, "running": b})[0].P is not b[0]


# ---------------------------------------------------------------------------- refused

P1 = np.ones((1, 2))
LOGISTIC = dict(terminal_cost=Logistic(readout=P1))
CROSS = dict(terminal_cost=CrossEntropy(2))
PROBLEMS = [
    # dynamics
    (dict(dynamics="layer"), TypeError, r"dynamics is 'layer': write .*Layer\(2\)"),
    (dict(dynamics=Layer), TypeError, "dynamics is the class Layer itself"),
    (dict(dynamics=lambda x, u: x), TypeError, "dynamics is "),
    (dict(dynamics=Layer(3)), ValueError, "2 columns but the dynamics have dimension 3"),
    # samples
    (dict(initial_states=None), ValueError, r"initial_states has shape \(\)"),
    (dict(initial_states="abc"), TypeError, "initial_states is made of .*not numbers"),
    (dict(initial_states=X[0]), ValueError, r"one row per sample, \(M, 2\), such as x\[None, :\]"),
    (dict(dynamics=Layer(1), initial_states=X[:, 0]), ValueError, r"such as x\[:, None\]"),
    (dict(initial_states=X[None]), ValueError, r"initial_states has shape \(1, 6, 2\)"),
    (dict(initial_states=np.zeros((0, 2))), ValueError, "initial_states has no rows"),
    (dict(initial_states=[[1, 2], [3]]), ValueError, "initial_states has rows of different"),
    (dict(initial_states=X + 0j), TypeError, "initial_states is complex"),
    (dict(initial_states=[[1, {}]]), TypeError, "initial_states is .*not numbers"),
    (dict(initial_states=[[0, np.nan]]), ValueError, r"not finite \(nan at \(0, 1\)\)"),
    (dict(initial_states=[[0, 1], [-np.inf, 1]]), ValueError, r"not finite \(-inf at \(1, 0\)\)"),
    (dict(initial_states=[[None, 1]]), ValueError, "initial_states has a value that is not finite"),
    (dict(initial_states=[[1e300, 1]], dtype="float32"), ValueError, "too large for float32"),
    # targets
    (dict(targets=Y[:5]), ValueError, r"targets has shape \(5, 2\).*shape \(6, 2\)"),
    (dict(targets=Y[:, :1]), ValueError, "compares 2 numbers .*readout= with 1 rows"),
    (dict(targets=Y[:, 0]), ValueError, r"targets has shape \(6,\)"),
    (dict(targets=1.0), ValueError, r"targets has shape \(\)"),
    (dict(targets=[[1, 2], [3]] * 3), ValueError, "targets has rows of different lengths"),
    (dict(targets=[["a", "b"]] * 6), TypeError, "targets is made of .*not numbers"),
    (dict(targets=Y * np.nan), ValueError, "targets has a value that is not finite"),
    (
        dict(targets=np.zeros((6, 0)), terminal_cost=Squared(readout="train")),
        ValueError,
        "at least one number per sample",
    ),
    (dict(targets=Y, terminal_cost=None, control_cost=L2(1)), ValueError, "no cost reads it"),
    (LOGISTIC, ValueError, "targets is missing: Logistic needs one class label"),
    (dict(targets=LABELS[:4], **LOGISTIC), ValueError, r"targets has shape \(4,\) for 6 samples"),
    (dict(targets=Y, **LOGISTIC), ValueError, r"targets has shape \(6, 2\) for 6 samples"),
    (dict(targets=LABELS * 0, **LOGISTIC), ValueError, r"1 class\(es\) \(0\).*exactly two"),
    (dict(targets=range(6), **LOGISTIC), ValueError, r"6 class\(es\).*CrossEntropy\(classes\)"),
    (dict(targets=LABELS + 0j, **LOGISTIC), TypeError, "targets is complex"),
    (dict(targets=[np.nan, 1, 0, 0, 1, 1], **LOGISTIC), ValueError, "label that is not finite"),
    (dict(targets=np.array([1, "a"] * 3, object), **LOGISTIC), TypeError, "cannot be ordered"),
    (dict(targets=[[0], [1, 2]] * 3, **LOGISTIC), ValueError, "targets has rows of different"),
    (CROSS, ValueError, "targets is missing: CrossEntropy"),
    (dict(targets=range(6), **CROSS), ValueError, r"6 classes.*write CrossEntropy\(6\)"),
    # costs
    (dict(terminal_cost=None), ValueError, "nothing to minimise"),
    (dict(terminal_cost=Squared), TypeError, "terminal_cost is the class Squared itself"),
    (dict(terminal_cost="squared"), TypeError, r"terminal_cost is 'squared'.*Squared\(\)"),
    (dict(running_cost=L2(1.0)), TypeError, r"running_cost is L2\(1\)"),
    (dict(terminal_cost=Logistic(), targets=LABELS), ValueError, r"reads 1 number\(s\) but"),
    (dict(terminal_cost=CrossEntropy(3), targets=LABELS), ValueError, r"CrossEntropy\(3\) reads 3"),
    (dict(terminal_cost=Squared(readout=np.eye(3))), ValueError, "readout has 3 columns"),
    (dict(running_cost=Squared(readout=np.eye(3))), ValueError, "readout has 3 columns"),
    (dict(running_cost=Squared(), running_weight=-1), ValueError, "running_weight=-1.0 is too"),
    (dict(running_weight="much"), TypeError, "running_weight='much' is not a real number"),
    (dict(running_weight=np.inf), ValueError, "running_weight=inf is not finite"),
    # control cost
    (dict(control_cost=0.1), TypeError, "control_cost is 0.1"),
    (dict(control_cost=L2), TypeError, "control_cost is "),
    (dict(control_cost=L2([1, 2])), ValueError, r"shape \(2,\), but the control has shape"),
    (dict(control_cost=Box(np.zeros((2, 6)), 1)), ValueError, "but the control has shape"),
    (dict(control_cost=Ball([1, 2])), ValueError, "2 radii for 3 layers"),
    (dict(control_cost=Group(np.ones(5), by="row")), ValueError, "weight of Group has shape"),
    # weights
    (dict(weights=[1, 2]), ValueError, "weights has 2 entries for 6 samples"),
    (dict(weights=np.ones((6, 1))), ValueError, r"weights has shape \(6, 1\)"),
    (dict(weights=1.0), ValueError, r"weights has shape \(\)"),
    (dict(weights=[1, 1, 1, 1, 1, -1]), ValueError, r"negative entry \(-1\)"),
    (dict(weights=np.zeros(6)), ValueError, "weights are all zero"),
    (dict(weights=[1, 1, 1, 1, 1, np.nan]), ValueError, "weights has a value that is not finite"),
    (dict(weights="equal"), TypeError, "weights is made of .*not numbers"),
    # grid
    (dict(steps=0), ValueError, "steps=0 is too small"),
    (dict(steps=2.5), TypeError, "steps=2.5 is not a whole number"),
    (dict(steps=True), TypeError, "steps=True is not a whole number"),
    (dict(horizon=0), ValueError, "horizon=0.0 is too small: it must be above 0"),
    (dict(horizon=-1), ValueError, "horizon=-1.0 is too small"),
    (dict(horizon=np.inf), ValueError, "horizon=inf is not finite"),
    (dict(horizon="1"), TypeError, "horizon='1' is not a real number"),
    (dict(horizon=1e-323, steps=9), ValueError, "horizon=.* is too short for 9 steps"),
    (dict(times=[0.0]), ValueError, "times has 1 entries: give at least two"),
    (dict(times=3), ValueError, r"times has shape \(\)"),
    (dict(times=[[0, 1]]), ValueError, r"times has shape \(1, 2\)"),
    (dict(times=[0, 1, 1]), ValueError, r"times\[1\]=1 is followed by 1"),
    (dict(times=[0, 2, 1]), ValueError, r"times\[1\]=2 is followed by 1"),
    (dict(times=[0, np.nan]), ValueError, "times has a value that is not finite"),
    # scheme and precision
    (dict(scheme="leapfrog"), ValueError, "scheme='leapfrog' is not known: .*'rk4'"),
    (dict(scheme=None), ValueError, "scheme=None is not known"),
    (dict(dtype="float16"), ValueError, "dtype=float16 is not supported"),
    (dict(dtype=int), ValueError, "dtype=int64 is not supported"),
    (dict(dtype="double precision"), TypeError, "dtype='double precision' is not a number type"),
]  # fmt: skip


@pytest.fixture
def no_sweep(monkeypatch):
    def swept(*_, **__):
        raise AssertionError("a sweep was run")

    monkeypatch.setattr(Sweeper, "run", swept)


@pytest.mark.parametrize(("told", "error", "words"), PROBLEMS)
def test_a_bad_problem_is_refused(told, error, words, no_sweep):
    with pytest.raises(error, match=words):
        make(**told)


TRAINED = dict(terminal_cost=Logistic(readout="train"), targets=LABELS)
PAIR = np.ones((1, 2)), np.zeros(1)
U = np.zeros((3, 6))
QUESTIONS = [
    ({}, (np.zeros((3, 5)),), ValueError, r"u has shape \(3, 5\).*shape \(3, 6\)"),
    ({}, (np.zeros(18),), ValueError, r"u has shape \(18,\)"),
    ({}, (np.zeros((6, 3)),), ValueError, r"u has shape \(6, 3\)"),
    ({}, (0.0,), ValueError, r"u has shape \(\)"),
    ({}, (U + np.nan,), ValueError, "u has entries that are not finite"),
    ({}, (U + 0j,), TypeError, "u is complex"),
    ({}, ("zero",), TypeError, "u is made of .*not numbers"),
    ({}, ([[0] * 6, [0] * 5, [0] * 6],), ValueError, "u has rows of different lengths"),
    ({}, (None,), ValueError, r"u has shape \(\)"),
    ({}, (U, PAIR), ValueError, "no cost of this problem has readout='train'"),
    (TRAINED, (U, PAIR[0]), TypeError, r"readout= must be a pair \(P, c\)"),
    (TRAINED, (U, (PAIR[0],)), TypeError, r"readout= must be a pair \(P, c\)"),
    (TRAINED, (U, 1.0), TypeError, r"readout= must be a pair \(P, c\)"),
    (TRAINED, (U, (np.eye(2), [0])), ValueError, r"P of readout has shape \(2, 2\), but \(1, 2\)"),
    (TRAINED, (U, (PAIR[0], [0, 0])), ValueError, r"c of readout has shape \(2,\), but \(1,\)"),
    (TRAINED, (U, (PAIR[0] * np.inf, [0])), ValueError, "P of readout has a value .*not finite"),
    (TRAINED, (U, {"running": PAIR}), ValueError, "readout= has no 'terminal'"),
]


@pytest.mark.parametrize("asked", ["cost", "terms", "gradient", "costates", "states"])
@pytest.mark.parametrize(("told", "question", "error", "words"), QUESTIONS)
def test_a_bad_question_is_refused(asked, told, question, error, words, no_sweep):
    if asked == "states" and len(question) > 1:
        return  # states have no readout
    with pytest.raises(error, match=words):
        getattr(make(**told), asked)(*question)
