"""Losses: values and gradients by definition, how targets are read, what is predicted."""

import casadi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmpnet import Problem, penalties
from pmpnet.dynamics import LinearControl
from pmpnet.losses import CrossEntropy, Huber, Logistic, Squared, Symbolic
from pmpnet.penalties import L2

from .reference import Cost
from .strategies import SEEDS

AT_REST = np.zeros((1, 1))


def rest(x, y, loss, **more):
    """A problem whose states do not move: its cost is the loss at x."""
    p = Problem(LinearControl(x.shape[1]), x, y, terminal_cost=loss, steps=1, **more)
    return p, np.zeros(p.control_shape)


LOSSES = {
    "squared": (Squared(0.7), 3, lambda rng: rng.standard_normal((5, 3))),
    "huber": (Huber(0.8), 3, lambda rng: rng.standard_normal((5, 3))),
    "logistic": (Logistic(), 1, lambda rng: np.array([0, 1, 1, 0, 1])),
    "cross entropy": (CrossEntropy(4), 4, lambda rng: np.array([3, 0, 1, 1, 2])),
}


@pytest.mark.parametrize("name", LOSSES)
@given(seed=SEEDS, size=st.sampled_from([1e-3, 1.0, 30.0]))
def test_value_and_gradient_are_the_formula_s(name, seed, size):
    loss, q, draw = LOSSES[name]
    rng = np.random.default_rng(seed)
    z, y = size * rng.standard_normal((5, q)), draw(rng)
    exact = Cost(loss, y, 5, q)
    p, u = rest(z, y, loss)
    np.testing.assert_allclose(loss.value(z, p.samples.y_terminal), exact.value(z), rtol=1e-13)
    assert p.cost(u) == pytest.approx(exact.value(z).mean(), rel=1e-12)
    gradient = -5 * p.costates(u)[-1]
    np.testing.assert_allclose(gradient, exact.gradient(z), rtol=0, atol=1e-12 * (1 + size))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_said_as_an_expression_has_the_same_values(name):
    loss, q, draw = LOSSES[name]
    rng = np.random.default_rng(0)
    z = 3 * rng.standard_normal((5, q))
    y, _ = loss.encode(draw(rng), 5, q, np.dtype(float))
    columns = casadi.SX.sym("z", q), casadi.SX.sym("y", y.shape[1])
    said = casadi.Function("phi", columns, [loss.expression(*columns)])
    found = [float(said(*pair)) for pair in zip(z, y, strict=True)]
    np.testing.assert_allclose(found, loss.value(z, y), rtol=1e-13)


@pytest.mark.parametrize("through", [None, "given"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_said_of_states_reads_them_through_its_readout(name, through):
    loss, q, draw = LOSSES[name]
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((5, q + 1 if through else q)), draw(rng)
    if through:
        loss = type(loss)(
            **loss.describe() | dict(readout=rng.standard_normal((q, q + 1)), readout_cost=None)
        )
    y, _ = loss.encode(y, 5, q, np.dtype(float))
    columns = casadi.SX.sym("x", x.shape[1]), casadi.SX.sym("y", y.shape[1])
    said = casadi.Function("phi", columns, [loss.said(0.0, columns[0], None, None, columns[1])])
    found = [float(said(*pair)) for pair in zip(x, y, strict=True)]
    z = x @ loss.readout.T if through else x
    np.testing.assert_allclose(found, loss.value(z, y), rtol=1e-12)
    np.testing.assert_array_equal(loss.along(0.0, x, None, None, y, None), loss.value(z, y))


def test_a_cost_of_one_s_own_counts_its_symbols():
    x, u, y, theta = (
        casadi.SX.sym(name, size) for name, size in (("x", 3), ("u", 1), ("y", 2), ("w", 4))
    )
    cost = Symbolic(x[0] * y[1] + theta[3] * u, x, u, y=y, parameters=theta)
    assert (cost.parameters, cost.reads, cost.mixed) == (4, 2, True)
    assert not Symbolic(x[0] * y[1], x, u, y=y).mixed
    # a map's constants are all parameters unless some are said to be targets
    assert Symbolic.of_map(cost.written).parameters == 4 + 2
    assert [loss.parameters for loss, *_ in LOSSES.values()] == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="expression"):
        Symbolic([x[0], x[1]], x)
    with pytest.raises(ValueError, match="expression"):
        Symbolic([], x)


def test_the_energy_of_a_cost_is_what_has_a_constant_weight():
    x, u, y = casadi.SX.sym("x", 2), casadi.SX.sym("u", 6), casadi.SX.sym("y")
    crossed, not_constant, negative = u[1] * u[2] + u[1] ** 2, x[1] * u[3] ** 2, -(u[4] ** 2)
    value = 1.5 * u[0] ** 2 + x[0] * u[0] * y + crossed + not_constant + negative + 0.25 * u[5] ** 2
    cost = Symbolic(value + x[0], x, u, y=y)
    rest, weights = cost.without_energy()
    np.testing.assert_array_equal(weights, [3, 0, 0, 0, 0, 0.5])
    rng = np.random.default_rng(0)
    points, targets = rng.standard_normal((5, 2)), rng.standard_normal((5, 1))
    v = rng.standard_normal(6)
    whole, part = (c.along(0.0, points, v, np.empty((5, 0)), targets, None) for c in (cost, rest))
    np.testing.assert_allclose(part + 0.5 * weights @ v**2, whole, rtol=1e-13)


def test_a_cost_of_one_s_own_reads_parameters_and_targets_by_their_places():
    x, w, y = (casadi.SX.sym(name, 2) for name in "xwy")
    rng = np.random.default_rng(0)
    X, W, Y = (rng.standard_normal((5, 2)) for _ in range(3))
    value = x[0] + 2 * x[1] ** 2
    for expression, used, theta, targets, exact in (
        (value, {}, None, None, 0.0),
        (value * y[1], dict(y=y), None, Y, Y[:, 1]),
        (value * w[1], dict(parameters=w), W, None, W[:, 1]),
        (value * w[0] / y[1], dict(y=y, parameters=w), W, Y, W[:, 0] / Y[:, 1]),
    ):
        cost = Symbolic(expression, x, **used)
        encoded, classes = cost.encode(targets, 5, 2, np.dtype(float))
        assert classes is None
        assert encoded.size == (0 if targets is None else 10)
        exact = (X[:, 0] + 2 * X[:, 1] ** 2) * (exact if used else 1.0)
        np.testing.assert_allclose(cost.along(0.0, X, [], theta, encoded), exact, rtol=1e-14)
        if theta is None:
            np.testing.assert_allclose(cost.value(X, encoded), exact, rtol=1e-14)
        # bound to a problem whose other costs read three constants more, it reads the state alone
        bound = cost.bound_to(cost.parameters + 3).map
        assert (bound.rows, bound.controls) == (1, 0)
        constants = [rng.standard_normal((5, 3))]
        constants += [a for a in (theta, targets) if a is not None]
        found = bound(0.0, X, np.empty(0), np.concatenate(constants, axis=1))
        np.testing.assert_allclose(found[:, 0], exact, rtol=1e-14)


def test_the_value_of_a_cost_that_reads_the_time_is_that_at_time_zero():
    t, x = casadi.SX.sym("t"), casadi.SX.sym("x")
    z = np.array([[2.0], [3.0]])
    assert Symbolic((1 + t) * x, x, t=t).value(z, None).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("reads", [1, 3])
def test_a_cost_of_one_s_own_needs_the_targets_that_it_reads(reads):
    x, y = casadi.SX.sym("x"), casadi.SX.sym("y", reads)
    cost = Symbolic(x * casadi.sum1(y), x, y=y)
    targets = np.arange(2.0 * reads).reshape(2, reads)
    np.testing.assert_array_equal(cost.encode(targets, 2, 1, np.dtype(float))[0], targets)
    with pytest.raises(ValueError, match="target"):
        cost.encode(None, 2, 1, np.dtype(float))


def test_which_losses_read_labels():
    assert [loss.labels for loss, *_ in LOSSES.values()] == [False, False, True, True]


@given(seed=SEEDS, delta=st.floats(0.01, 100.0))
def test_the_slope_of_huber_is_that_of_its_value(seed, delta):
    rng = np.random.default_rng(seed)
    z, y = delta * rng.uniform(-3, 3, (5, 3)), delta * rng.uniform(-1, 1, (5, 3))
    p, u = rest(z, y, Huber(delta))
    gradient, step = -5 * p.costates(u)[-1], 1e-5 * delta * rng.standard_normal((5, 3))
    change = (Huber(delta).value(z + step, y) - Huber(delta).value(z - step, y)) / 2
    slope = (gradient * step).sum(axis=1)
    # a slope that is Lipschitz with constant 1: off by half the squared step at worst
    assert (abs(change - slope) <= (step**2).sum(axis=1) / 2 + 1e-13 * delta**2).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_huber_is_half_the_square_within_delta_and_a_line_beyond(dtype):
    e = np.array([0.0, 0.5, -1.5, 2.0, -2.0, 2.5, -8.0, 1e6])[:, None]
    p, u = rest(e, None, Huber(2.0), dtype=dtype)
    values = [0.0, 0.125, 1.125, 2.0, 2.0, 3.0, 14.0, 2e6 - 2]
    assert Huber(2.0).value(e, np.zeros((8, 1))).tolist() == values
    assert p.cost(u) == pytest.approx(np.mean(values), rel=1e-6)
    slopes = -8 * p.costates(u)[-1][:, 0]
    assert slopes.tolist() == [0.0, 0.5, -1.5, 2.0, -2.0, 2.0, -2.0, 2.0]
    # one delta for all residuals: half of the square
    wide, v = rest(e, None, Huber(1e7), dtype=dtype)
    assert wide.cost(v) == pytest.approx(rest(e, None, Squared(0.5))[0].cost(v), rel=1e-6)


def test_a_state_that_is_not_a_number_has_no_slope_of_huber():
    system = LinearControl(1, "polynomial", degree=1)
    p = Problem(system, [[1e200]], terminal_cost=Huber(), steps=2, horizon=2.0)
    u = [[0.0, 1e200], [0.0, -1.0]]  # to infinity, and from there inf - inf
    assert np.isnan([p.states(u)[-1].item(), p.cost(u), p.costates(u)[-1].item()]).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logistic_far_out(dtype):
    z = np.array([-1e4, -800.0, -90.0, 0.0, 90.0, 800.0, 1e4])[:, None]
    for y in (np.arange(7) % 2, (np.arange(7) + 1) % 2):
        p, u = rest(z, y, Logistic(), dtype=dtype)
        exact = Cost(Logistic(), y, 7, 1)
        assert p.cost(u) == pytest.approx(exact.value(z).mean(), rel=1e-6)
        np.testing.assert_allclose(-7 * p.costates(u)[-1], exact.gradient(z), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cross_entropy_far_out(dtype):
    z = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [900, 901, 899], [-5e3, 5e3, 5e3]], float)
    y = np.array([1, 0, 2, 0])
    p, u = rest(z, y, CrossEntropy(3), dtype=dtype)
    exact = Cost(CrossEntropy(3), y, 4, 3)
    assert p.cost(u) == pytest.approx(exact.value(z).mean(), rel=1e-5)
    np.testing.assert_allclose(-4 * p.costates(u)[-1], exact.gradient(z), atol=1e-5)


def test_cross_entropy_of_two_is_logistic_in_the_difference():
    rng = np.random.default_rng(0)
    z, y = rng.standard_normal((20, 2)), np.arange(20) % 2
    two, u = rest(z, y, CrossEntropy(2))
    one, v = rest(z[:, 1:] - z[:, :1], y, Logistic())
    assert two.cost(u) == pytest.approx(one.cost(v), rel=1e-14)


def test_a_readout_stands_between_state_and_loss():
    rng = np.random.default_rng(0)
    x, y, P, c = (rng.standard_normal(s) for s in [(6, 3), (6, 2), (2, 3), (2,)])
    p, u = rest(x, y, Squared(0.5, readout=P))
    assert p.cost(u) == pytest.approx(0.5 * ((x @ P.T - y) ** 2).sum(axis=1).mean(), rel=1e-14)
    p, u = rest(x, y, Squared(0.5, readout="train", readout_cost=L2(0.2)))
    terms = p.terms(u, readout=(P, c))
    z = x @ P.T + c
    assert terms["terminal"] == pytest.approx(0.5 * ((z - y) ** 2).sum(axis=1).mean(), rel=1e-14)
    assert terms["readout"] == pytest.approx(0.1 * ((P**2).sum() + (c**2).sum()), rel=1e-14)


# ---------------------------------------------------------------------------- targets


@pytest.mark.parametrize("loss", [Squared, Huber])
def test_targets_that_are_numbers(loss):
    assert [rest(np.zeros((3, 2)), y, loss(readout="train"))[0].outputs[0] for y in (
        None, [1, 2, 3], np.zeros((3, 1)), np.zeros((3, 4)),
    )] == [1, 1, 1, 4]  # fmt: skip


def test_squared_targets():
    x = np.arange(6.0).reshape(3, 2)
    assert rest(x, None, Squared())[0].cost(np.zeros((1, 2))) == pytest.approx(55 / 3)
    P = np.array([[1.0, 1.0]])
    flat, u = rest(x, [1.0, 2.0, 3.0], Squared(readout=P))
    column, _ = rest(x, [[1.0], [2.0], [3.0]], Squared(readout=P))
    booleans, _ = rest(x, [True, False, True], Squared(readout=P))
    assert flat.cost(u) == column.cost(u) == pytest.approx((0 + 9 + 36) / 3)
    assert booleans.cost(u) == pytest.approx((0 + 25 + 64) / 3)


@pytest.mark.parametrize(
    "labels",
    [[-1, 1, 1, -1], [0, 1, 1, 0], [3.5, 7.0, 7.0, 3.5], [False, True, True, False],
     ["cat", "dog", "dog", "cat"], np.array([[0], [1], [1], [0]]), np.array(["a", "b", "b", "a"]),
     np.array([0, 1, 1, 0], np.uint8), np.array([-1, 1, 1, -1], np.float32)],
    ids=repr,
)  # fmt: skip
def test_any_two_labels_are_minus_one_and_one(labels):
    z = np.array([[0.5], [-0.3], [2.0], [1.0]])
    p, u = rest(z, labels, Logistic())
    np.testing.assert_array_equal(p.samples.y_terminal[:, 0], [-1, 1, 1, -1])
    assert p.classes.tolist() == sorted({np.ravel(labels)[0].item(), np.ravel(labels)[1].item()})
    assert p.cost(u) == pytest.approx(np.log1p(np.exp([0.5, 0.3, -2.0, 1.0])).mean(), rel=1e-14)


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        (
            [0, 2, 2, 3],
            [0, 2, 2, 3],
            [0, 1, 2, 3],
        ),  # they number the classes; class 1 has no sample
        (np.array([0, 2, 2, 3], np.uint8), [0, 2, 2, 3], [0, 1, 2, 3]),
        ([[0], [2], [2], [3]], [0, 2, 2, 3], [0, 1, 2, 3]),
        ([3, 3, 3, 3], [3, 3, 3, 3], [0, 1, 2, 3]),
        ([1, 2, 3, 4], [0, 1, 2, 3], [1, 2, 3, 4]),  # they do not: 4 is too large
        ([-1, 5, 5, 0], [0, 2, 2, 1], [-1, 0, 5]),
        ([0.0, 2.0, 2.0, 3.0], [0, 1, 1, 2], [0.0, 2.0, 3.0]),
        (["b", "a", "c", "a"], [1, 0, 2, 0], ["a", "b", "c"]),
        ([True, False, True, True], [1, 0, 1, 1], [False, True]),
    ],
)
def test_labels_of_cross_entropy(labels, numbers, classes):
    p, _ = rest(np.zeros((4, 4)), labels, CrossEntropy(4))
    assert p.samples.y_terminal[:, 0].tolist() == numbers
    assert p.classes.tolist() == classes


# -------------------------------------------------------------------------- predicting


def test_predictions():
    z = np.array([[0.3, -0.2, 0.1], [-1.0, 2.0, 0.0]])
    assert Squared().predict(z, None) is z
    two = np.array(["no", "yes"])
    assert Logistic().predict(z[:, :1], two).tolist() == ["yes", "no"]
    # of two that are equally good, the first, as the softmax of two does
    assert Logistic().predict(np.zeros((1, 1)), two).tolist() == ["no"]
    assert CrossEntropy(2).predict(np.zeros((1, 2)), two).tolist() == ["no"]
    three = np.array(["a", "b", "c"])
    assert CrossEntropy(3).predict(z, three).tolist() == ["a", "b"]
    # a class that no sample had cannot be named, hence is not predicted
    assert CrossEntropy(3).predict(np.array([[0.0, 1.0, 9.0]]), three[:2]).tolist() == ["b"]


def test_probabilities():
    z = np.array([[0.3, -0.2, 0.1], [-1.0, 900.0, 0.0]])
    for loss, q in ((Logistic(), 1), (CrossEntropy(3), 3)):
        probabilities = loss.probabilities(z[:, :q])
        assert probabilities.shape == (2, max(q, 2))
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-15)
    # the loss is minus the logarithm of the probability of what was observed
    y = np.array([[2], [1]])
    observed = np.take_along_axis(CrossEntropy(3).probabilities(z), y, axis=1)[:, 0]
    np.testing.assert_allclose(CrossEntropy(3).value(z, y), -np.log(observed), atol=1e-15)
    p = Logistic().probabilities(z[:, :1])
    np.testing.assert_allclose(
        Logistic().value(z[:, :1], np.array([[1.0], [-1.0]])), -np.log([p[0, 1], p[1, 0]])
    )
    with pytest.raises(TypeError, match="Squared predicts numbers, not classes"):
        Squared().probabilities(z)


# --------------------------------------------------------------------------- described


def test_descriptions_make_the_same_loss_again():
    P, cost = np.ones((1, 2)), L2(0.1)
    for loss in (
        Squared(), Squared(0.3, readout=P), Squared(readout="train", readout_cost=cost),
        Huber(), Huber(0.3, readout=P), Huber(readout="train", readout_cost=cost),
        Logistic(), Logistic(readout=P), Logistic(readout="train", readout_cost=cost),
        CrossEntropy(3), CrossEntropy(2, readout=np.ones((2, 5))),
        CrossEntropy(4, readout="train", readout_cost=cost),
    ):  # fmt: skip
        told = loss.describe()
        if not loss.trained:
            told.pop("readout_cost")
        again = type(loss)(**told)
        assert repr(again) == repr(loss)
        assert again.trained == loss.trained
        assert again.readout_cost == loss.readout_cost
        assert repr(again.describe()) == repr(loss.describe())


def test_how_losses_are_shown():
    assert repr(Squared()) == "Squared()"
    assert repr(Squared(0.5, readout=np.ones((1, 2)))) == "Squared(0.5, readout=<1x2>)"
    assert repr(Huber(0.5, readout="train")) == "Huber(0.5, readout='train')"
    assert repr(Logistic(readout="train")) == "Logistic(readout='train')"
    assert repr(CrossEntropy(3)) == "CrossEntropy(3)"
    assert repr(CrossEntropy(3, readout="train")) == "CrossEntropy(3, readout='train')"


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Squared(-1), ValueError, "weight=-1.0 is too small"),
        (lambda: Squared(np.nan), ValueError, "weight=nan is not finite"),
        (lambda: Squared(np.inf), ValueError, "weight=inf is not finite"),
        (lambda: Squared("a"), TypeError, "weight='a' is not a real number"),
        (lambda: Huber(0), ValueError, "delta=0.0 is too small: it must be above 0"),
        (lambda: Huber(np.inf), ValueError, "delta=inf is not finite"),
        (lambda: Huber("a"), TypeError, "delta='a' is not a real number"),
        (lambda: Squared(readout="fit"), ValueError, "readout='fit' is not known.*'train'"),
        (lambda: Squared(readout=[1, 2]), ValueError, r"readout has shape \(2,\).*table"),
        (lambda: Squared(readout=[[1, 2], [3]]), ValueError, "readout has rows of different"),
        (lambda: Squared(readout=[[1j]]), TypeError, "readout is complex"),
        (lambda: Squared(readout=[[np.nan]]), ValueError, "readout has a value that is not finite"),
        (lambda: Squared(readout=np.ones((0, 2))), ValueError, r"readout has shape \(0, 2\)"),
        (lambda: Squared(readout_cost=L2(1)), ValueError, "readout_cost= acts on a trained"),
        (
            lambda: Squared(readout=np.eye(2), readout_cost=L2(1)),
            ValueError,
            "readout_cost= acts on a trained",
        ),
        (lambda: Squared(readout="train", readout_cost=0.1), TypeError, "readout_cost is 0.1"),
        (
            lambda: Squared(readout="train", readout_cost=penalties.L2),
            TypeError,
            "readout_cost is",
        ),
        (
            lambda: Logistic(readout=np.eye(2)),
            ValueError,
            "readout has 2 rows but Logistic reads 1",
        ),
        (lambda: CrossEntropy(1), ValueError, "classes=1 is too small"),
        (lambda: CrossEntropy(2.0), TypeError, "classes=2.0 is not a whole number"),
        (lambda: CrossEntropy(True), TypeError, "classes=True is not a whole number"),
        (lambda: CrossEntropy(3, readout=np.eye(2)), ValueError, "readout has 2 rows.*reads 3"),
    ],
)
def test_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
