"""Solutions as PyTorch modules, and PyTorch's networks as controls."""

import copy
import pickle

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, interop, losses, penalties
from pmpnet.schemes import Scheme

from . import symbolic_problems
from .problems import moons

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

RNG = np.random.default_rng(5)
X, LABELS = RNG.standard_normal((23, 3)), RNG.integers(0, 3, 23)
NUMBERS = RNG.standard_normal((23, 3))
RALSTON = Scheme("ralston", [[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], order=2)
SYSTEMS = [
    dynamics.Layer(3),
    dynamics.Layer(3, "softplus", bias=False, scale=0.5),
    dynamics.TwoLayer(3, 2, "gelu", scale=2.0),
    dynamics.TwoLayer(3, 3),
    dynamics.TwoLayer(3, 4, bias=False),
    dynamics.Outside(3, "sigmoid"),
    dynamics.Outside(3, "leaky_relu", bias=False, scale=0.3),
    dynamics.Neurons(3, 5, "sin", scale=1.5),
    dynamics.Neurons(3, 3),
    dynamics.LinearControl(3),
    dynamics.LinearControl(3, "polynomial", degree=2, scale=0.3),
    dynamics.LinearControl(3, "gaussian", degree=2, width=1.7),
]


def priced(problem, scale=0.3, seed=0):
    """A solution with random controls, found by no method."""
    u = scale * np.random.default_rng(seed).standard_normal(problem.control_shape)
    return pmpnet.solve.msa(problem, u, max_iter=0)


def of(system, **how):
    told = dict(terminal_cost=losses.Squared(), times=[0.2, 0.3, 0.6, 1.0]) | how
    return Problem(system, X, NUMBERS, **told)


def run(module, *inputs):
    return module(*(torch.tensor(a) for a in inputs)).detach().numpy()


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------ the same map


@pytest.mark.parametrize("scheme", ["euler", "heun", "midpoint", "rk4", RALSTON], ids=str)
@pytest.mark.parametrize("system", SYSTEMS, ids=repr)
def test_every_system_and_scheme(system, scheme):
    solution = priced(of(system, scheme=scheme))
    module = interop.to_torch(solution)
    close(run(module, X), solution.flow(X))
    np.testing.assert_allclose(interop.from_torch(module, solution.problem), solution.controls)


@pytest.mark.parametrize("activation", dynamics.layer.ACTIVATIONS)
def test_every_activation(activation):
    far = np.array([[40.0, -40.0, 0.0]])  # where exponentials would overflow or vanish
    solution = priced(of(dynamics.Layer(3, activation)), scale=0.1)
    close(run(interop.to_torch(solution), far), solution.flow(far))


@pytest.mark.parametrize("kind", symbolic_problems.KINDS)
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_expressions_parameters_and_free_horizons(kind, scheme):
    solution = priced(symbolic_problems.KINDS[kind](scheme=scheme))
    problem = solution.problem
    theta = (problem.parameters,) if problem.parameters.size else ()
    module = interop.to_torch(solution)
    close(
        run(module, problem.initial_states, *theta), solution.flow(problem.initial_states, *theta)
    )
    np.testing.assert_allclose(interop.from_torch(module, problem), solution.controls)


def test_a_horizon_that_was_found():
    problem = symbolic_problems.free_layer()
    solution = pmpnet.solve.msa(problem, max_iter=3)
    assert solution.horizon != problem.length
    x = problem.initial_states
    close(run(interop.to_torch(solution), x), solution.flow(x))


@pytest.mark.parametrize("readout", ["none", "given", "train"])
@pytest.mark.parametrize("kind", ["squared", "huber", "cross entropy", "logistic"])
@pytest.mark.parametrize("role", ["terminal_cost", "running_cost"])
def test_every_loss_and_readout(kind, readout, role):
    q, x = (1 if kind == "logistic" else 3), X
    if kind == "logistic" and readout == "none":
        x = X[:, :1]
    P = RNG.standard_normal((q, 3))
    how = {"none": {}, "given": {"readout": P}, "train": {"readout": "train"}}[readout]
    loss = {
        "squared": losses.Squared,
        "huber": losses.Huber,
        "cross entropy": lambda **how: losses.CrossEntropy(3, **how),
        "logistic": losses.Logistic,
    }[kind](**how)
    y = {"cross entropy": LABELS, "logistic": LABELS > 0}.get(kind, NUMBERS)
    solution = priced(Problem(dynamics.Layer(x.shape[1]), x, y, **{role: loss}, steps=3))
    close(run(interop.to_torch(solution, "outputs"), x), solution.outputs(x))
    if kind in ("cross entropy", "logistic"):
        close(run(interop.to_torch(solution, "probabilities"), x), solution.predict_proba(x))
    else:
        with pytest.raises(TypeError, match="predicts numbers, not classes"):
            interop.to_torch(solution, "probabilities")


def test_single_precision():
    problem = Problem(
        dynamics.Layer(3), X.astype(np.float32), NUMBERS, terminal_cost=losses.Squared(), steps=3
    )
    solution = priced(problem)
    module = interop.to_torch(solution)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    x = problem.initial_states
    np.testing.assert_allclose(run(module, x), solution.flow(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(interop.from_torch(module, problem), solution.controls, rtol=1e-6)


def test_slopes_are_those_of_the_costates():
    """Of the cost in the module's parameters: the problem's gradient."""
    solution = priced(of(dynamics.Layer(3), scheme="heun"))
    module = interop.to_torch(solution)
    x = torch.tensor(X, requires_grad=True)
    (module(x) - torch.tensor(NUMBERS)).square().sum(1).mean().backward()
    rows = [torch.cat([b.weight.grad.ravel(), b.bias.grad]).numpy() for b in module.layers]
    np.testing.assert_allclose(rows, solution.problem.gradient(solution.controls), rtol=1e-10)
    np.testing.assert_allclose(-x.grad.numpy(), solution.costates()[0], rtol=1e-10, atol=1e-14)
    assert torch.autograd.gradcheck(module, (x[:3].detach().requires_grad_(),))


# ------------------------------------------------------------------------- as its users expect


@pytest.mark.parametrize(
    ("system", "names"),
    [
        (dynamics.Layer(3), ["weight", "bias"]),
        (dynamics.Outside(3, bias=False), ["weight"]),
        (dynamics.LinearControl(3), ["weight"]),
        (dynamics.TwoLayer(3, 2), ["inner.weight", "inner.bias", "outer.weight", "outer.bias"]),
        (dynamics.Neurons(3, 2), ["inner.weight", "inner.bias", "outer.weight"]),
    ],
    ids=repr,
)
def test_names_of_parameters(system, names):
    module = interop.to_torch(priced(of(system)))
    assert [name for name, _ in module.named_parameters()] == [
        f"layers.{k}.{name}" for k in range(3) for name in names
    ]


def test_no_random_number_is_drawn():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    interop.to_torch(priced(of(dynamics.TwoLayer(3, 2))))
    assert torch.equal(torch.get_rng_state(), before)


def plane(**how):
    """A problem in the plane, with fields of its own."""
    system = dynamics.LinearControl(2, [lambda x: [x[1], -x[0]], lambda x: [1.0, x[0] * x[1]]])
    return Problem(system, X[:, :2], NUMBERS[:, :2], terminal_cost=losses.Squared(), steps=3, **how)


@pytest.mark.parametrize(
    ("problem", "output"), [(moons(steps=4), "probabilities"), (plane(), "state")]
)
def test_copies_pickles_and_state_dicts(problem, output):
    module, x = interop.to_torch(priced(problem), output), X[:, :2]
    found = run(module, x)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert np.array_equal(run(other, x), found)
        with torch.no_grad():
            for p in other.parameters():
                p.zero_()
        assert not np.array_equal(run(other, x), found)
        other.load_state_dict(module.state_dict())
        assert np.array_equal(run(other, x), found)


EXPORTED = [
    (moons(steps=4), "probabilities"),
    (of(dynamics.TwoLayer(3, 2), scheme="rk4"), "state"),
    (of(dynamics.LinearControl(3, "gaussian", degree=1), scheme="heun"), "outputs"),
    (plane(scheme="rk4"), "state"),
    (symbolic_problems.of_the_state(), "outputs"),
]


def inputs(problem):
    theta = problem.parameters
    return tuple(
        torch.tensor(a)
        for a in ((problem.initial_states, theta) if theta.size else (problem.initial_states,))
    )


@pytest.mark.parametrize(("problem", "output"), EXPORTED)
def test_exported_for_any_number_of_samples(problem, output):
    module, given = interop.to_torch(priced(problem), output), inputs(problem)
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in given) + (None,) * (2 - len(given))
    exported = torch.export.export(module, given, dynamic_shapes=shapes[: len(given)]).module()
    for rows in (len(given[0]), 2, 1):
        some = [a[:rows] for a in given]
        np.testing.assert_allclose(exported(*some).detach(), module(*some).detach(), rtol=1e-13)


@pytest.mark.filterwarnings("ignore")  # what PyTorch says of itself
@pytest.mark.parametrize(("problem", "output"), EXPORTED)
def test_onnx(problem, output, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module, given = interop.to_torch(priced(problem), output), inputs(problem)
    path = str(tmp_path / "network.onnx")
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        module, given, path, dynamo=True, dynamic_shapes=tuple({0: batch} for _ in given)
    )
    session = runtime.InferenceSession(path)
    for rows in (len(given[0]), 2):
        some = [a[:rows] for a in given]
        names = [i.name for i in session.get_inputs()]
        (found,) = session.run(None, {n: a.numpy() for n, a in zip(names, some, strict=True)})
        np.testing.assert_allclose(found, module(*some).detach(), rtol=1e-6, atol=1e-9)


# -------------------------------------------------------------------- networks of PyTorch's users


class Residual(nn.Module):
    """x + step * inside(x)."""

    def __init__(self, inside, step):
        super().__init__()
        self.inside, self.step = inside, step

    def forward(self, x):
        return x + self.step * self.inside(x)


def stack(inside, step=1 / 3, blocks=3, dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(*(Residual(inside(), step) for _ in range(blocks))).to(dtype)


def flows_agree(network, problem, rtol=1e-12):
    u = interop.from_torch(network, problem)
    theirs = run(network, X.astype(str(next(network.parameters()).dtype)[6:]))
    np.testing.assert_allclose(problem.states(u)[-1], theirs, rtol=rtol, atol=rtol)
    return u


INSIDE = [
    (dynamics.Layer(3), lambda: nn.Sequential(nn.Tanh(), nn.Linear(3, 3))),
    (
        dynamics.Layer(3, "relu", bias=False),
        lambda: nn.Sequential(nn.ReLU(), nn.Linear(3, 3, False)),
    ),
    (dynamics.Layer(3, scale=0.5), lambda: nn.Sequential(nn.Tanh(), nn.Linear(3, 3, False))),
    (
        dynamics.TwoLayer(3, 5, "gelu"),
        lambda: nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 3)),
    ),
    (dynamics.TwoLayer(3, 3), lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))),
    (
        dynamics.Neurons(3, 4, "sigmoid"),
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 3, bias=False)),
    ),
]


@pytest.mark.parametrize("step", [1 / 3, 1.0, -0.2])
@pytest.mark.parametrize(("system", "inside"), INSIDE, ids=repr)
def test_residual_blocks_of_any_step_length(system, inside, step):
    network = stack(inside, step)
    for given in (network, nn.ModuleList(network)):
        u = interop.from_torch(given, of(system, times=None, steps=3))
        np.testing.assert_allclose(u, flows_agree(network, of(system, times=None, steps=3)))


def test_outside_the_activation_the_step_length_is_the_problem_s():
    def inside():
        return nn.Sequential(nn.Linear(3, 3), nn.Tanh())

    problem = of(dynamics.Outside(3), times=None, steps=3)
    u = flows_agree(stack(inside), problem)
    assert np.array_equal(u[0][:9].reshape(3, 3), stack(inside)[0].inside[0].weight.detach())
    with pytest.raises(ValueError, match=r"block 0 is another map than Outside.*scale"):
        interop.from_torch(stack(inside, 1.0), problem)
    wider = of(dynamics.Outside(3, scale=3.0), times=None, steps=3)
    flows_agree(stack(inside, 1.0), wider)


def test_single_precision_blocks():
    network = stack(lambda: nn.Sequential(nn.Tanh(), nn.Linear(3, 3)), dtype=torch.float32)
    flows_agree(network, of(dynamics.Layer(3), times=None, steps=3), rtol=1e-5)


def test_a_block_used_many_times():
    block = stack(lambda: nn.Sequential(nn.Tanh(), nn.Linear(3, 3)))[0]
    u = flows_agree(nn.Sequential(*[block] * 3), of(dynamics.Layer(3), times=None, steps=3))
    assert (u == u[0]).all()


class Network(nn.Module):
    """Linear modules in a list, run by a forward of its own, with or without a head."""

    def __init__(self, step, outputs=None):
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Identity() if outputs is None else nn.Linear(3, outputs)
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(4)])
        self.step = step
        self.double()

    def forward(self, x):
        for layer in self.layers:
            x = x + self.step * layer(torch.tanh(x))
        return self.head(x)


@pytest.mark.parametrize("step", [0.25, 1.0])
@pytest.mark.parametrize("outputs", [None, 2])
def test_a_forward_of_one_s_own(step, outputs):
    network = Network(step, outputs)
    problem = of(dynamics.Layer(3), times=None, steps=4)
    u = interop.from_torch(network, problem)
    close(run(network.head, problem.states(u)[-1]), run(network, X))


def test_a_network_with_a_head_is_certified_and_improved():
    """Its cost is ours, with its own head as the trained readout; a solve goes on from it."""
    network = Network(0.25, 1)
    y = X[:, 0] > 0
    problem = Problem(
        dynamics.Layer(3), X, y, terminal_cost=losses.Logistic(readout="train"), steps=4,
        control_cost=penalties.L1(0.05),
    )  # fmt: skip
    u = interop.from_torch(network, problem)
    head = [p.detach().numpy() for p in network.head.parameters()]
    theirs = nn.functional.softplus(-(2.0 * torch.tensor(y) - 1) * network(torch.tensor(X))[:, 0])
    certificate = pmpnet.verify(problem, u, readout=head)
    control = problem.terms(u, head)["control"]
    assert certificate.cost == pytest.approx(theirs.mean().item() + control, rel=1e-12)
    assert certificate.taylor_slope == pytest.approx(2.0, abs=0.1)
    better = pmpnet.solve.msa(problem, u, max_iter=100)
    assert better.cost < certificate.cost
    assert (better.controls == 0).any()
    close(run(interop.to_torch(better), X), better.flow(X))


class InTime(nn.Module):
    """Weights with a row for every interval: a velocity f(t, x), or its flow f(x)."""

    def __init__(self, velocity):
        super().__init__()
        torch.manual_seed(2)
        self.weight = nn.Parameter(torch.randn(4, 3, 3, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
        self.forward = self.velocity if velocity else self.flow

    def velocity(self, t, x):
        k = int(t / 0.25)
        return torch.tanh(x) @ self.weight[k].T + self.bias[k]

    def flow(self, x):
        for k in range(4):
            x = x + 0.25 * self.velocity(0.25 * k, x)
        return x


@pytest.mark.parametrize("velocity", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_weights_in_time(velocity, scale):
    network = InTime(velocity)
    problem = of(dynamics.Layer(3, scale=scale), times=None, steps=4)
    u = interop.from_torch(network, problem)
    close(problem.states(u)[-1], run(network.flow, X))


def test_a_velocity_is_read_for_every_scheme():
    for scheme in ("euler", "rk4"):
        problem = of(dynamics.Layer(3), times=None, steps=4, scheme=scheme)
        u = interop.from_torch(InTime(True), problem)
        assert np.array_equal(u[:, 9:], InTime(True).bias.detach())


def test_what_is_random_in_training_is_off_and_modes_are_given_back():
    def inside():
        return nn.Sequential(nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 3))

    network = stack(inside).train()
    network[1].eval()
    u = interop.from_torch(network, of(dynamics.Layer(3), times=None, steps=3))
    assert [part.training for part in network] == [True, False, True]
    flows_agree(network.eval(), of(dynamics.Layer(3), times=None, steps=3))
    assert u.shape == (3, 12)


# -------------------------------------------------------------------------------- what is refused


def layers(activation=nn.Tanh, blocks=3, size=3):
    return stack(lambda: nn.Sequential(activation(), nn.Linear(size, size)), blocks=blocks)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (layers(blocks=2), "2 blocks of one kind in a row, the problem 3 intervals"),
        (layers(size=2), r"block 0 has the parameters inside.1.weight \(2, 2\).*W \(3, 3\)"),
        (layers(nn.ReLU), r"block 0 is another map than Layer\(3, 'tanh'\) by the euler scheme"),
        (nn.Linear(3, 3), "neither a list of residual blocks"),
        (nn.Sequential(nn.Linear(3, 3), *layers()), "before its residual blocks.*Linear"),
        (
            nn.ModuleList(nn.Bilinear(3, 3, 3) for _ in range(3)),
            "block 0 has the parameters weight",
        ),
        (Network(0.2), "4 blocks of one kind"),
    ],
)
def test_what_does_not_fit_is_named(network, sentence):
    with pytest.raises(ValueError, match=sentence):
        interop.from_torch(network, of(dynamics.Layer(3), times=None, steps=3))


def test_a_network_that_fails_or_is_another_map():
    problem = of(dynamics.Layer(3), times=None, steps=4)
    network = Network(0.3)  # a step that is neither the problem's nor 1
    with pytest.raises(ValueError, match="the module is another map"):
        interop.from_torch(network, problem)
    network.forward = lambda x: network.nothing
    with pytest.raises(ValueError, match=r"the module fails on points of shape \(73, 3\).*nothing"):
        interop.from_torch(network, problem)


def test_bad_arguments():
    solution = priced(of(dynamics.Layer(3)))
    with pytest.raises(ValueError, match="output='logits' is not known"):
        interop.to_torch(solution, "logits")
    with pytest.raises(TypeError, match="solution is an object of type"):
        interop.to_torch(solution.problem)
    with pytest.raises(TypeError, match="module is an object of type"):
        interop.from_torch(solution, solution.problem)
    with pytest.raises(TypeError, match="problem is an object of type"):
        interop.from_torch(interop.to_torch(solution), solution)
    free = priced(Problem(dynamics.Layer(3), X, control_cost=penalties.L2(1.0)))
    with pytest.raises(TypeError, match="no terminal or running cost"):
        interop.to_torch(free, "outputs")
    with pytest.raises(ValueError, match="reads 2 constants of every point"):
        interop.to_torch(priced(symbolic_problems.bolza()))(torch.zeros(5, 2))
