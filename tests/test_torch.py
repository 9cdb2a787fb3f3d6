"""Exact costates beside PyTorch's automatic differentiation, and training by PyTorch."""

import casadi
import numpy as np
import pytest
from casadi import SX

import pmpnet.solve
from pmpnet import Problem, constraints, dynamics, losses, penalties
from pmpnet.expressions import FORMULAS, Map
from pmpnet.reduced import Reduced
from pmpnet.schemes import Scheme

from . import symbolic_problems
from .problems import diffeomorphism, moons, random_start, translation, translation_cost

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from pmpnet.dynamics.torch_twins import map_function, operations  # noqa: E402
from pmpnet.solve.torch_model import TorchModel  # noqa: E402

RNG = np.random.default_rng(5)
X, LABELS = RNG.standard_normal((23, 3)), RNG.integers(0, 3, 23)
NUMBERS, WEIGHTS = RNG.standard_normal((23, 3)), RNG.uniform(0.1, 1.0, 23)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", torch.tanh),
        ("gelu", torch.nn.functional.gelu),
        ("softplus", torch.nn.functional.softplus),
        ("sin", torch.sin),
    ],
)
@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_gradient_is_that_of_automatic_differentiation(activation, function, scheme):
    rng = np.random.default_rng(0)
    M, d, N, classes = 23, 3, 5, 4
    x, y = rng.standard_normal((M, d)), rng.integers(0, classes, M)
    P = rng.standard_normal((classes, d))
    problem = Problem(
        dynamics.Layer(d, activation),
        x,
        y,
        terminal_cost=losses.CrossEntropy(classes, readout=P),
        steps=N,
        scheme=scheme,
    )
    u = rng.standard_normal(problem.control_shape)
    v = torch.tensor(u, requires_grad=True)
    state, h = torch.tensor(x), 1.0 / N
    for k in range(N):
        W, b = v[k, : d * d].reshape(d, d), v[k, d * d :]

        def f(z, W=W, b=b):
            return function(z) @ W.T + b

        slope = f(state)
        state = state + (h * slope if scheme == "euler" else h / 2 * (slope + f(state + h * slope)))
    cost = torch.nn.functional.cross_entropy(state @ torch.tensor(P).T, torch.tensor(y))
    cost.backward()
    assert problem.cost(u) == pytest.approx(cost.item(), rel=1e-13)
    np.testing.assert_allclose(problem.gradient(u), v.grad.numpy(), rtol=1e-11, atol=1e-14)


# ------------------------------------------------------------------- the same cost and gradient


def agree(problem, seed=0, scale=1.0, rtol=1e-10, **how):
    """The problem's cost and gradient, everything decided included, are PyTorch's."""
    reduced = Reduced(problem, **how)
    u = scale * np.random.default_rng(seed).standard_normal(problem.control_shape)
    stretch = 1.0 if problem.free_horizon is None else 1.2
    v = reduced.join(u, problem.initial_readouts(seed), stretch)
    model = TorchModel(reduced)
    w = model.real(v).requires_grad_()
    cost = model.cost(w)
    cost.backward()
    point = reduced.evaluate(v)
    assert cost.item() == pytest.approx(point.cost, rel=rtol)
    gradient = reduced.metric * (reduced.penalty_subgradient(v) - point.g)
    np.testing.assert_allclose(w.grad.numpy(), gradient, rtol=0, atol=rtol * np.abs(gradient).max())
    return u, w.grad.numpy()[: u.size].reshape(u.shape)


def test_gradient_of_the_problem():
    problem = diffeomorphism()
    u, gradient = agree(problem)
    np.testing.assert_allclose(gradient, problem.gradient(u), rtol=1e-10, atol=1e-14)


RALSTON = Scheme("ralston", [[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], order=2)


@pytest.mark.parametrize("scheme", ["euler", "heun", "midpoint", "rk4", RALSTON], ids=str)
@pytest.mark.parametrize(
    "system",
    [
        dynamics.Layer(3),
        dynamics.Layer(3, "softplus", bias=False, scale=0.5),
        dynamics.TwoLayer(3, 2, "gelu", scale=2.0),
        dynamics.TwoLayer(3, 4, bias=False),
        dynamics.Outside(3, "sigmoid"),
        dynamics.Outside(3, "leaky_relu", bias=False, scale=0.3),
        dynamics.Neurons(3, 5, "sin", scale=1.5),
        dynamics.LinearControl(3),
        dynamics.LinearControl(3, "polynomial", degree=2, scale=0.3),
        dynamics.LinearControl(3, "gaussian", degree=2, width=1.7),
    ],
    ids=repr,
)
def test_every_system_and_scheme(system, scheme):
    agree(
        Problem(
            system, X, NUMBERS, weights=WEIGHTS, scheme=scheme, times=[0.2, 0.3, 0.6, 1.0],
            terminal_cost=losses.Squared(0.7), running_cost=losses.Huber(0.5), running_weight=0.3,
            control_cost=penalties.ElasticNet(0.2, 0.1),
        ),
        scale=0.4,
    )  # fmt: skip


@pytest.mark.parametrize(
    "activation", ["identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus", "gelu", "sin"]
)
def test_every_activation(activation):
    far = np.array([[40.0, -40.0, 0.0]])  # where exponentials would overflow or vanish
    problem = Problem(
        dynamics.Layer(3, activation), np.r_[X, far], terminal_cost=losses.Squared(), steps=2
    )
    agree(problem, scale=0.1)


@pytest.mark.parametrize("readout", ["none", "given", "train"])
@pytest.mark.parametrize(
    "loss",
    [
        lambda q, **how: losses.Squared(0.7, **how),
        lambda q, **how: losses.Huber(0.3, **how),
        lambda q, **how: losses.CrossEntropy(3, **how),
        lambda q, **how: losses.Logistic(**how),
    ],
    ids=["squared", "huber", "cross entropy", "logistic"],
)
@pytest.mark.parametrize("role", ["terminal", "running", "both"])
def test_every_loss_and_readout(loss, readout, role):
    kind = loss(3).__class__
    q, x = (1 if kind is losses.Logistic else 3), X
    if kind is losses.Logistic and readout == "none":
        x = X[:, :1]
    how = {} if readout == "none" else {"readout": RNG.standard_normal((q, 3))}
    if readout == "train":
        how = dict(readout="train", readout_cost=penalties.ElasticNet(0.1, 0.2))
    y = {losses.CrossEntropy: LABELS, losses.Logistic: LABELS > 0}.get(kind, NUMBERS)
    told = loss(q, **how)
    roles = {"terminal": ["terminal_cost"], "running": ["running_cost"]}.get(
        role, ["terminal_cost", "running_cost"]
    )
    costs = {name: told for name in roles}  # together they share a trained readout
    agree(Problem(dynamics.Layer(x.shape[1]), x, y, **costs, scheme="heun", steps=3))


@pytest.mark.parametrize(
    "penalty",
    [
        penalties.L2(RNG.uniform(0.1, 1.0, 12)),
        penalties.L1(RNG.uniform(0.1, 1.0, (4, 12))),
        penalties.Group(0.3) + penalties.L2(0.1),
        penalties.Group(RNG.uniform(0.1, 1.0, (4, 3)), by="row"),
        penalties.Group(RNG.uniform(0.1, 1.0, 12), by="time") + penalties.L1(0.2),
        penalties.Kinetic(0.4) + penalties.L2(0.1),
    ],
    ids=repr,
)
def test_every_penalty(penalty):
    problem = Problem(
        dynamics.Layer(3), X, NUMBERS, weights=WEIGHTS, times=[0.0, 0.1, 0.4, 0.5, 1.0],
        terminal_cost=losses.Squared(), control_cost=penalty, scheme="midpoint",
    )  # fmt: skip
    agree(problem)


def test_particles_share_their_cost():
    for by in ("row", "time"):
        penalty = penalties.Group(0.3, by=by) + penalties.L1(0.1)
        system = dynamics.Neurons(3, 5)
        costs = dict(terminal_cost=losses.Squared(), control_cost=penalty)
        agree(Problem(system, X, NUMBERS, **costs, steps=3))


def test_at_zero_the_subgradient_is_zero():
    penalty = penalties.L1(0.5) + penalties.Group(0.3, by="row")
    problem = Problem(
        dynamics.Layer(3), X, NUMBERS, terminal_cost=losses.Squared(), control_cost=penalty, steps=2
    )
    agree(problem, scale=0.0)


@pytest.mark.parametrize("kind", symbolic_problems.KINDS)
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_expressions_and_free_horizons(kind, scheme):
    agree(symbolic_problems.KINDS[kind](scheme=scheme))


@pytest.mark.parametrize("kind", ["constrained", "free", "layer"])
def test_terms_of_constraints(kind):
    from pmpnet.sweeps import Multipliers

    problem, rng = symbolic_problems.KINDS[kind](), np.random.default_rng(3)
    reduced = Reduced(problem)
    v = reduced.join(np.zeros(problem.control_shape), problem.initial_readouts())
    end, path = problem.constraint_values(np.zeros(problem.control_shape), reduced.readouts(v))
    multipliers = Multipliers(
        rng.standard_normal(end.shape), rng.standard_normal(path.shape),
        rng.uniform(1, 3, end.shape[1:]), rng.uniform(1, 3, path.shape[3:]),
    )  # fmt: skip
    agree(problem, multipliers=multipliers)


def test_own_fields_with_drift():
    fields = [lambda x: [-x[1], x[0]], lambda x: [casadi.sin(x[0]), 1.0]]
    system = dynamics.LinearControl(2, fields, drift=lambda x: [0.1, x[0] * x[1]], scale=0.5)
    problem = Problem(system, X[:, :2], NUMBERS[:, :2], terminal_cost=losses.Squared(), steps=3)
    agree(problem)


def test_single_precision():
    problem = Problem(
        dynamics.Layer(3), X.astype(np.float32), NUMBERS, terminal_cost=losses.Squared(), steps=3
    )
    agree(problem, rtol=1e-5)
    assert TorchModel(Reduced(problem)).x.dtype == torch.float32


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_every_operation_of_expressions():
    """Value and slopes of each are CasADi's."""
    assert set(operations()) == set(FORMULAS)
    x, y = SX.sym("x"), SX.sym("y")
    at = RNG.uniform(0.1, 0.9, (7, 2))
    for name, formula in FORMULAS.items():
        operand = 1.0 + x if name == "ACOSH" else x
        code = getattr(casadi, f"OP_{name}")
        two = "{1}" in formula
        value = SX.binary(code, operand, y) if two else SX.unary(code, operand)
        if name == "CONSTPOW":
            value = SX.binary(code, operand, 1.7)
        states, none = casadi.vertcat(x, y), SX(0, 1)
        f = map_function(Map(SX.sym("t"), states, none, none, value))
        seen = torch.tensor(at, requires_grad=True)
        found = f(torch.tensor(0.0), seen, torch.empty(0), torch.empty(7, 0))
        exact = casadi.Function("exact", [states], [value, casadi.jacobian(value, states)])
        for row, number in zip(at, found.detach().numpy(), strict=True):
            np.testing.assert_allclose(number, float(exact(row)[0]), rtol=1e-14, err_msg=name)
        slopes = np.stack([np.asarray(exact(row)[1]).ravel() for row in at])
        if found.requires_grad and name not in ("LT", "LE", "EQ", "NE", "NOT", "AND", "OR"):
            found.sum().backward()
            np.testing.assert_allclose(
                seen.grad.numpy(), slopes, rtol=1e-13, atol=1e-15, err_msg=name
            )
        else:
            assert not slopes.any(), name


def test_at_a_kink_the_mean_of_both_slopes():
    x = SX.sym("x")
    for kinked in (casadi.fmax(x, 0), casadi.fmin(x, 0), casadi.fabs(x)):
        none = SX(0, 1)
        f = map_function(Map(SX.sym("t"), x, none, none, kinked))
        at = double([[0.0]]).requires_grad_()
        f(torch.tensor(0.0), at, torch.empty(0), torch.empty(1, 0)).sum().backward()
        slope = casadi.Function("slope", [x], [casadi.gradient(kinked, x)])
        assert at.grad.item() == float(slope(0.0))


# -------------------------------------------------------------------------------- the training


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "learning_rate": 0.02, "max_iter": 1500},
        {"optimizer": "sgd", "learning_rate": 1.0, "max_iter": 1500},
        {"optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.0, "max_iter": 3000},
        {"optimizer": "lbfgs", "max_iter": 50},
    ],
)
def test_training_reaches_the_optimum(options):
    solution = pmpnet.solve.torch_train(translation(), tol=0.0, **options)
    assert solution.cost == pytest.approx(translation_cost(), rel=1e-6)
    assert solution.cost == solution.history["cost"].min()
    assert len(solution.history) <= 101


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [None, 100])
def test_steps_are_those_of_our_own_training(name, batch_size):
    """The same start, rates and batches: the same steps, by another differentiation."""
    problem = moons(control_cost=penalties.ElasticNet(1e-2, 1e-3) + penalties.Box(-0.2, 0.2))
    told = dict(start=random_start(problem), learning_rate=0.05, max_iter=40, seed=3, tol=0.0)
    told["batch_size"] = batch_size
    theirs = pmpnet.solve.torch_train(problem, optimizer=name, **told)
    ours = getattr(pmpnet.solve, name)(problem, **told)
    np.testing.assert_allclose(theirs.controls, ours.controls, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(theirs.history["cost"], ours.history["cost"], rtol=1e-9)
    assert theirs.violations["controls"] == 0.0
    assert np.abs(theirs.controls).max() == 0.2


def test_what_is_counted():
    problem = moons()
    start = random_start(problem)
    adam = pmpnet.solve.torch_train(problem, start, max_iter=250, tol=0.0)
    # every third step is priced, and the last one; prices are not counted
    assert len(adam.history) == 1 + 83 + 1
    assert adam.history["sweeps"][:3].tolist() == [0.0, 6.0, 12.0]
    assert adam.nfev == adam.njev == adam.nit == 250
    batches = pmpnet.solve.torch_train(problem, start, max_iter=25, batch_size=100, tol=0.0)
    np.testing.assert_allclose(batches.history["sweeps"], [0.0, 2.0, 4.0, 5.0])
    lbfgs = pmpnet.solve.torch_train(problem, start, optimizer="lbfgs", max_iter=30)
    assert lbfgs.nfev == lbfgs.njev >= lbfgs.nit
    asked_once = lbfgs.history["sweeps"][1:] - lbfgs.history["sweeps"][:-1]
    assert asked_once.min() == 2.0


def test_lbfgs_reaches_our_optimum():
    problem = moons()
    best = pmpnet.solve.msa(problem, random_start(problem), tol=1e-9)
    found = pmpnet.solve.torch_train(problem, random_start(problem), optimizer="lbfgs")
    assert found.success
    assert found.cost == pytest.approx(best.cost, rel=1e-9)


def test_constraints_are_met():
    """No sample may come further right than 1.05: the shift of all of them is held back."""
    x = SX.sym("x", 2)
    problem = translation(constraints=[constraints.Terminal(x[0], x, -np.inf, 1.05)])
    shift = 1.05 - problem.initial_states[:, 0].max()
    assert shift < 0.2
    solution = pmpnet.solve.torch_train(problem, optimizer="lbfgs", max_iter=300)
    assert solution.success
    assert solution.violations["terminal 1"] <= 1e-6
    np.testing.assert_allclose(solution.controls, [[shift, 0.8 / 3]] * 20, atol=1e-5)


def test_threads_are_ours_and_given_back():
    before, seen = torch.get_num_threads(), []
    pmpnet.set_num_threads(1)
    try:
        pmpnet.solve.torch_train(
            translation(), max_iter=2, callback=lambda row: seen.append(torch.get_num_threads())
        )
    finally:
        pmpnet.set_num_threads(None)
    assert seen[1:] == [1, 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optimizer": "rmsprop"}, "optimizer='rmsprop' is not known"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 is too small"),
        ({"momentum": -1.0}, "momentum=-1.0 is too small"),
        ({"batch_size": 0}, "batch_size=0 is too small"),
        ({"optimizer": "lbfgs", "batch_size": 10}, "leave batch_size out"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        pmpnet.solve.torch_train(translation(), **options)


def test_lbfgs_of_pytorch_knows_no_bounds():
    for problem in (
        translation(control_cost=penalties.L2(1.0) + penalties.Box(-1, 1)),
        translation(control_cost=penalties.Ball(1.0)),
        symbolic_problems.free_layer(),
    ):
        with pytest.raises(ValueError, match="knows no bounds"):
            pmpnet.solve.torch_train(problem, optimizer="lbfgs")
