"""Numbers at the edge: a solve ends with a reason, and with a control that is fit for use."""

import numpy as np
import pytest

import pmpnet
from pmpnet import Problem, constraints, dynamics, losses, penalties, solve
from pmpnet.solution import CONVERGED, NOT_FINITE
from pmpnet.solve.successive import VARIANTS

SAFE = {  # methods that never take a step up, with what they are told
    **{v: (solve.msa, dict(variant=v)) for v in VARIANTS if v not in ("basic", "damped")},
    "gradient_flow": (solve.gradient_flow, {}),
    "lbfgs": (solve.lbfgs, {}),
}
METHODS = {
    **SAFE,
    "basic": (solve.msa, dict(variant="basic")),
    "damped": (solve.msa, dict(variant="damped")),
    "adam": (solve.adam, {}),
    "adam, too fast": (solve.adam, dict(learning_rate=1e3)),
    "sgd": (solve.sgd, {}),
    "sgd, too fast": (solve.sgd, dict(learning_rate=1e3)),
    "sgd on minibatches": (solve.sgd, dict(batch_size=2)),
    "progressive": (solve.stochastic, dict(batch_size=2)),
    "minibatches": (solve.stochastic, dict(method="adam", batch_size=2)),
    "refine": (solve.refine, {}),
}
RNG = np.random.default_rng(0)
X, Y = RNG.uniform(-1, 1, (2, 6, 2))
LABELS = np.arange(6) % 2
ONES = np.full((4, 1), 1.0)


def problem(system, x, y=None, **more):
    told = dict(terminal_cost=losses.Squared(), control_cost=penalties.L2(0.1), steps=4)
    return Problem(system, x, y, **{**told, **more})


def layer(x=X, y=Y, activation="tanh", scale=1.0, **more):
    return problem(dynamics.Layer(x.shape[1], activation, scale=scale), x, y, **more)


def cubic(x, **more):
    return problem(dynamics.LinearControl(1, "polynomial", degree=3), x, 0 * x, **more)


HARD = {
    "explodes at once": lambda: cubic(1e150 * ONES),
    "explodes on the way": lambda: cubic(1e3 * ONES),
    "explodes over a long time": lambda: cubic(2 * ONES, horizon=1e3),
    "explodes in one sample": lambda: cubic(np.array([[1.0], [1e60], [0.5]])),
    "explodes in ReLU": lambda: layer(activation="relu", scale=1e6),
    "explodes in its running cost": lambda: layer(
        1e100 * X, 1e100 * Y, "relu", running_cost=losses.Squared(1e100)
    ),
    "stiff": lambda: layer(activation="identity", scale=1e4, scheme="rk4"),
    "saturated tanh": lambda: layer(1e8 * X),
    "saturated sigmoid": lambda: layer(-1e4 * abs(X), activation="sigmoid"),
    "saturated softplus": lambda: layer(1e5 * X, activation="softplus"),
    "saturated GELU": lambda: layer(1e5 * X, activation="gelu"),
    "saturated outside": lambda: problem(dynamics.Outside(2, scale=1e3), 1e8 * X, Y),
    "saturated logistic loss": lambda: layer(
        np.array([[1e6], [-1e6]]), [0, 1], terminal_cost=losses.Logistic()
    ),
    "saturated cross entropy": lambda: layer(
        1e6 * X, LABELS, terminal_cost=losses.CrossEntropy(2)
    ),
    "cost 1e300": lambda: layer(terminal_cost=losses.Squared(1e300)),
    "cost 1e308": lambda: layer(terminal_cost=losses.Squared(1e308)),
    "cost 1e-300": lambda: layer(
        terminal_cost=losses.Squared(1e-300), control_cost=penalties.L2(1e-300)
    ),
    "states 1e150": lambda: problem(dynamics.LinearControl(2), 1e150 * X, 1e150 * Y),
    "states 1e-150": lambda: problem(dynamics.LinearControl(2), 1e-150 * X, 1e-150 * Y),
    "states 1e-310": lambda: problem(dynamics.LinearControl(2), 1e-310 * X, 1e-310 * Y),
    "penalty 1e300": lambda: layer(control_cost=penalties.L2(1e300)),
    "penalty 1e-300": lambda: layer(control_cost=penalties.L2(1e-300)),
    "threshold 1e300": lambda: layer(1e150 * X, control_cost=penalties.L1(1e300)),
    "bounds 1e308": lambda: layer(
        control_cost=penalties.Box(-1e308, 1e308) + penalties.L2(0.1)
    ),
    "bounds of one point": lambda: layer(control_cost=penalties.Box(0, 0)),
    "ball 1e-300": lambda: layer(control_cost=penalties.Ball(1e-300)),
    "l1 ball 1e300": lambda: layer(control_cost=penalties.L1Ball(1e300)),
    "groups 1e150": lambda: layer(1e150 * X, control_cost=penalties.Group(1e150, by="row")),
    "no control cost": lambda: layer(control_cost=None),
    "trained readout": lambda: layer(
        1e150 * X, LABELS, terminal_cost=losses.Logistic(readout="train")
    ),
    "constant features": lambda: problem(
        dynamics.LinearControl(2, "polynomial", degree=2), 0 * X, 0 * X + 1
    ),
    "features 1e-300": lambda: problem(
        dynamics.LinearControl(2, "gaussian", degree=1, width=1e-3), X, Y
    ),
    "one sample many times": lambda: layer(np.ones((6, 2)), np.zeros((6, 2))),
    "solved already": lambda: layer(X, X),
    "horizon 1e-6": lambda: layer(horizon=1e-6),
    "horizon 1e-300": lambda: layer(horizon=1e-300),
    "horizon 1e3": lambda: layer(horizon=1e3),
    "horizon 1e3 of ReLU": lambda: layer(activation="relu", horizon=1e3),
    "horizon 1e300": lambda: layer(horizon=1e300),
    "uneven": lambda: layer(times=[0, 1e-12, 0.5, 0.5 + 1e-12, 1]),
    "N = 1": lambda: layer(steps=1),
    "d = 1": lambda: layer(X[:, :1], Y[:, :1]),
    "M = 1": lambda: layer(X[:1], Y[:1]),
    "N = d = M = 1": lambda: problem(dynamics.LinearControl(1), [[1.0]], [[0.0]], steps=1),
    "weights 1e-300": lambda: layer(weights=[1, 1e-300, 1e-320, 0, 0, 1e-10]),
    "single precision at its end": lambda: layer(1e18 * X, dtype="float32"),
}  # fmt: skip


def refused(p, name):
    """Tell whether a method says that a problem is none for it: it is tested elsewhere."""
    penalty = p.penalty
    entries = name in ("lbfgs", "minibatches") and not penalty.entrywise
    maximum = name in ("basic", "damped") and not penalty.coercive
    quadratic = name == "augmented" and (not penalty.quadratic or p.trained_readouts)
    linear = name == "augmented" and not p.dynamics.affine
    return entries or maximum or quadratic or linear


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("name", METHODS)
def test_a_solve_ends_with_a_reason_and_its_best_control(hard, name):
    p = HARD[hard]()
    method, told = METHODS[name]
    if refused(p, name) or (name in ("basic", "damped") and p.trained_readouts):
        with pytest.raises(ValueError, match=r"needs|no maximum|solves|decides|treats"):
            method(p, **told)
        return
    found = method(p, max_iter=12, **told)
    assert_sensible(p, found)
    if hard == "explodes at once":
        assert found.status == NOT_FINITE
        assert "non-finite at the start" in found.message
    if hard in ("solved already", "bounds of one point"):
        assert found.success
        assert not found.controls.any()


def assert_sensible(p, found):
    """Check what holds of every solution."""
    assert found.success == (found.status == CONVERGED)
    assert found.message.endswith((".", ".)"))
    assert np.isfinite(found.controls).all()
    first = found.history["cost"][0]
    if np.isfinite(first):
        assert np.isfinite(found.cost)
        assert found.cost <= first
        assert np.isfinite(found.history["cost"][:-1]).all()  # the first that is not ends it
    else:
        assert found.status == NOT_FINITE
        assert not found.controls.any()
    if found.status == NOT_FINITE:
        assert "non-finite" in found.message
    if found.success:
        assert np.isfinite(found.residual)
        assert found.history["residual"][-1] <= 1e-6 * max(1.0, found.history["residual"][0])
    # it is priced as it is given back, and can be looked at
    horizon = None if p.free_horizon is None else found.horizon
    again = pmpnet.verify(p, found)
    for cost in (p.cost(found.controls, found.readout, horizon), again.cost):
        np.testing.assert_array_equal(cost, found.cost)
    assert again.violation == found.violations["controls"]
    assert again.violation <= 1e-12 * max(1.0, abs(found.controls).max())
    assert "Certificate" in repr(again)
    assert found.message in repr(found)


# ------------------------------------------------------------------------- with known answers


@pytest.mark.parametrize("horizon", [1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("name", [*SAFE, "newton"])
def test_one_sample_in_one_dimension_over_any_horizon(name, steps, horizon):
    # (T u - c)^2 + b/2 T u^2 is least at u = 2 c / (2 T + b)
    method, told = {**SAFE, "newton": (solve.newton, {})}[name]
    p = Problem(
        dynamics.LinearControl(1), [[1.0]], [[1.5]], terminal_cost=losses.Squared(),
        control_cost=penalties.L2(3.0), steps=steps, horizon=horizon,
    )  # fmt: skip
    found = method(p, tol=1e-12, max_iter=2000, **told)
    np.testing.assert_allclose(found.controls, 1.0 / (2 * horizon + 3.0), rtol=1e-4)


@pytest.mark.parametrize("size", [1e-100, 1.0, 1e100])
@pytest.mark.parametrize("name", ["accelerated", "proximal", "sqh", "gradient_flow"])
def test_states_of_any_size_are_moved(name, size):
    # a translation by c: u = c / (1 + b/2), whatever unit c is measured in
    method, told = SAFE[name]
    c = size * np.array([0.3, 0.4])
    p = problem(dynamics.LinearControl(2), size * X, size * X + c)
    found = method(p, np.full((4, 2), c / 2), tol=1e-13 * min(size, 1.0), max_iter=200, **told)
    np.testing.assert_allclose(found.controls, np.tile(c / 1.05, (4, 1)), rtol=1e-6)


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("variant", ["accelerated", "proximal"])
def test_rank_deficient_gram_matrices(variant, count):
    # samples at one place: of the six entries of a layer two move them, in a straight line
    p = layer(
        np.ones((count, 2)), np.zeros((count, 2)), control_cost=penalties.Kinetic(0.5), steps=4
    )
    found = solve.msa(p, variant=variant, tol=1e-9)
    assert found.success
    assert_sensible(p, found)
    assert found.cost == pytest.approx(0.25 / 1.25 * 2.0, rel=1e-9)


NEWTON = {
    "cost 1e300": dict(terminal_cost=losses.Squared(1e300)),
    "cost 1e308": dict(terminal_cost=losses.Squared(1e308)),
    "cost 1e-300": dict(terminal_cost=losses.Squared(1e-300), control_cost=penalties.L2(1e-300)),
    "penalty 1e300": dict(control_cost=penalties.L2(1e300)),
    "threshold 1e300": dict(control_cost=penalties.L1(1e300)),
    "bounds of one point": dict(control_cost=penalties.Box(0, 0)),
    "no control cost": dict(control_cost=None),
    "horizon 1e-300": dict(horizon=1e-300),
    "horizon 1e300": dict(horizon=1e300),
    "N = 1": dict(steps=1),
}


@pytest.mark.parametrize("size", [1e-310, 1.0, 1e150, 1e200])
@pytest.mark.parametrize("hard", NEWTON)
def test_newton_ends_with_a_reason_and_its_best_control(hard, size):
    p = problem(dynamics.LinearControl(2), size * X, size * Y, **NEWTON[hard])
    found = solve.newton(p, max_iter=12)
    assert_sensible(p, found)


@pytest.mark.parametrize("size", [1.0, 1e100])
@pytest.mark.parametrize("name", METHODS)
def test_constraints_that_cannot_be_met(name, size):
    import casadi

    method, told = METHODS[name]
    x = casadi.SX.sym("x")
    below = constraints.Terminal(x**2, x, -2, -1, name="below 0")
    p = problem(dynamics.LinearControl(1), size * ONES, size * ONES, constraints=[below])
    found = method(p, max_iter=12, **told)
    assert not found.success
    assert np.isfinite(found.controls).all()
    assert found.violations["below 0"] >= 1.0
    assert "below 0" in found.message
    assert pmpnet.verify(p, found).violations["below 0"] == found.violations["below 0"]
