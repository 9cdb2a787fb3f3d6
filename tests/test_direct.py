"""Direct transcription: the programme is the problem, and its answers are those of other methods."""

import warnings

import casadi
import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties
from pmpnet.constraints import Path, Terminal
from pmpnet.reduced import Reduced
from pmpnet.solution import (
    INFEASIBLE,
    INTERRUPTED,
    NOT_FINITE,
    OUT_OF_ITERATIONS,
    STOPPED,
)
from pmpnet.solve import direct, msa
from pmpnet.solve.direct import KINDS
from pmpnet.solve.transcription import Transcription

from .classical import build, judge, library
from .problems import moons, translation, translation_cost
from .symbolic_problems import KINDS as SAID
from .test_constraints import INTEGRATOR, Q

EXACT = KINDS[:2]
RNG = np.random.default_rng(3)
X = RNG.standard_normal((7, 2))
P = RNG.standard_normal((3, 2))
LABELS = np.arange(7) % 3


def layers(penalty, **how):
    """A network's layer with as much of everything as there is."""
    told = dict(weights=np.arange(1.0, 8.0), times=[0.0, 0.1, 0.4, 0.8, 1.0]) | how
    readout_cost = penalties.ElasticNet(0.01, 0.1)
    return Problem(
        dynamics.Layer(2), X, LABELS, control_cost=penalty, running_weight=0.3,
        terminal_cost=losses.CrossEntropy(3, readout="train", readout_cost=readout_cost),
        running_cost=losses.CrossEntropy(3, readout=P), **told,
    )  # fmt: skip


PENALTIES = {
    "L2": penalties.L2(0.1),
    "ElasticNet by entry": penalties.ElasticNet(RNG.uniform(0, 0.1, (4, 6)), 0.1),
    "Group": penalties.Group(0.1) + penalties.L2(0.1),
    "Group of rows": penalties.Group(RNG.uniform(0.05, 0.1, (4, 2)), by="row"),
    "Group over time": penalties.Group(0.1, by="time") + penalties.L2(0.1),
    "Box": penalties.Box(-0.2, np.linspace(0.1, 1.0, 6)) + penalties.L1(0.02),
    "Ball": penalties.Ball([0.1, 0.4, 0.3, 1.0]),
    "L1Ball": penalties.L1Ball(0.5) + penalties.L2(0.1),
    "Kinetic": penalties.Kinetic(0.2) + penalties.L2(0.05),
}
NETWORKS = {
    "Layer": dynamics.Layer(2, "softplus"),
    "TwoLayer": dynamics.TwoLayer(2, 3),
    "Outside": dynamics.Outside(2, "sin"),
    "Neurons": dynamics.Neurons(2, 3, "sigmoid"),
    "Gaussian fields": dynamics.LinearControl(2, "gaussian", degree=1, width=2.0),
    "polynomials": dynamics.LinearControl(2, "polynomial", degree=1),
}


# ------------------------------------------------------- the programme is the problem


def priced(problem, kind, seed):
    """The programme's cost and largest equation, and J, at a random decision."""
    rng, reduced = np.random.default_rng(seed), Reduced(problem)
    u = problem.penalty.project(0.5 * rng.standard_normal(problem.control_shape))
    v = reduced.join(u, problem.initial_readouts(seed), rng.uniform(0.8, 1.4))
    stated = Transcription(problem, kind, 3, "radau")
    where = stated.guess(reduced.control(v), reduced.readouts(v), reduced.stretch(v))
    programme = casadi.Function("f", [stated.unknowns.column], [stated.cost, stated.rows.column])
    cost, rows = (a.full()[:, 0] for a in programme(where))
    shot = "dynamics" in stated.rows.places
    assert shot == (kind == "multiple_shooting")
    missed = np.abs(stated.rows.read(rows, "dynamics")).max() if shot else 0.0
    return cost.item(), missed, reduced.evaluate(v).price


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("name", sorted(SAID))
def test_the_programme_is_the_problem(name, kind):
    for scheme in ("euler", "rk4") if name == "free" else ("midpoint",):
        cost, missed, J = priced(SAID[name](scheme=scheme), kind, 1)
        assert cost == pytest.approx(J, rel=1e-12)
        assert missed < 1e-12


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_in_their_smooth_form(name):
    for kind in EXACT:
        cost, missed, J = priced(layers(PENALTIES[name]), kind, 2)
        assert cost == pytest.approx(J, rel=1e-12)
        assert missed < 1e-12


@pytest.mark.parametrize("name", NETWORKS)
def test_every_built_in_system_is_solved(name):
    problem = Problem(
        NETWORKS[name], X, X[:, ::-1] + 0.2, terminal_cost=losses.Squared(),
        control_cost=penalties.L2(0.05), scheme="heun", steps=4,
    )  # fmt: skip
    start = 0.3 * np.random.default_rng(0).standard_normal(problem.control_shape)
    found = direct(problem, start, tol=1e-10)
    assert found.success, found.message
    assert found.residual < 1e-7
    assert found.annotations["programme_cost"] == pytest.approx(found.cost, rel=1e-9)
    other = direct(problem, start, tol=1e-10, transcription="shooting")
    assert other.residual < 1e-7
    certificate = pmpnet.verify(problem, found)
    assert certificate.gap == pytest.approx(0.0, abs=1e-12)


# ---------------------------------------------------------------------------- known answers

# Where the programme's own guess does not do, what a user would write instead.
STARTS = {
    # the gradients of length and end are parallel at constant controls
    "hanging_chain": lambda case: np.linspace(-6.0, 10.0, 200)[:, None],
    # a local minimum from the file's guess: needles find the other one
    "neural_tanh_nonconvex": lambda case: msa(case.problem, case.start, tol=1e-8, needles=32),
}
GRADED = {"vanderpol_boxed": 1.5}  # it begins with a boundary layer
QUICK = {
    "lqr_scalar", "lqr_boxed_scalar", "vanderpol_boxed", "catalyst_mixing", "hanging_chain",
    "double_integrator_energy", "fuel_optimal_double_integrator", "bryson_denham_1_9",
    "min_time_double_integrator", "bloch_inversion_energy", "ensemble_lqr_5", "neural_affine_1d",
    "resnet_affine_10",
}  # fmt: skip


@pytest.mark.parametrize(
    "id", [pytest.param(id, marks=() if id in QUICK else pytest.mark.slow) for id in library()]
)
def test_the_known_answer_is_found(id):
    case = build(id, 200, grading=GRADED.get(id, 1.0))
    start = STARTS[id](case) if id in STARTS else case.start
    found = direct(case.problem, start)
    assert found.success, found.message
    verdict, told = judge(case.entry, found.times, found.controls), case.acceptance
    error = verdict.error if told["one_sided"] else abs(verdict.error)
    assert error <= max(told["rel_tol_direct"], 1e-4)
    assert max(verdict.terminal, verdict.integral) <= (told["terminal_residual"] or 0.0)
    assert verdict.path <= (told["path_violation"] or 0.0)
    known = case.entry["reference"].get("costate0")
    if known is not None:
        known, p = np.abs(known), np.abs(found.costates()[0].ravel())
        np.testing.assert_allclose(p, known, rtol=0, atol=2e-3 * known.max())


def test_costates_of_a_linear_quadratic_problem():
    # x' = u, J = int (x^2 + u^2)/2: x = cosh(1 - t)/cosh 1, p = u = -sinh(1 - t)/cosh 1
    case = build("lqr_scalar", 400)
    for kind in EXACT:
        found = direct(case.problem, transcription=kind)
        exact = -np.sinh(1 - found.times) / np.cosh(1.0)
        np.testing.assert_allclose(found.costates()[:, 0, 0], exact, atol=1e-5)
    own = direct(case.problem).annotations["costates"]
    np.testing.assert_allclose(own[:, 0, 0], exact[1:], atol=1e-5)


@pytest.mark.parametrize("kind", ["bolza", "of_the_state", "free_layer"])
def test_multipliers_of_the_dynamics_are_costates(kind):
    problem = SAID[kind](**({"control_cost": penalties.L2(0.2)} if kind == "of_the_state" else {}))
    if kind != "free_layer":  # whose labels are the same every time
        problem = problem.replace(targets=np.linspace(-1.0, 1.0, 5))
    found = direct(problem, tol=1e-10)
    assert found.success, found.message
    np.testing.assert_allclose(
        found.annotations["costates"], found.costates()[1:], rtol=1e-6, atol=1e-8
    )


# -------------------------------------------------------------------------- other methods


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("name", sorted({*PENALTIES} - {"Kinetic"}))
def test_successive_approximations_find_the_same(name, kind):
    problem = layers(PENALTIES[name])
    by_sweeps = msa(problem, 0.1 * np.ones(problem.control_shape), tol=1e-9, max_iter=5000)
    found = direct(problem, 0.1 * np.ones(problem.control_shape), tol=1e-9, transcription=kind)
    assert found.success, found.message
    assert found.cost == pytest.approx(by_sweeps.cost, rel=1e-6)
    np.testing.assert_allclose(found.controls, by_sweeps.controls, atol=2e-3)


def test_kinetic_energy():
    problem = layers(PENALTIES["Kinetic"])
    found, by_sweeps = direct(problem), msa(problem, tol=1e-8, max_iter=5000)
    assert found.cost == pytest.approx(by_sweeps.cost, rel=1e-8)


def arriving(**how):
    """A double integrator that arrives at rest, with a bound on its speed."""
    told = dict(
        control_cost=penalties.L2(1.0), scheme="rk4",
        constraints=[Terminal(Q, Q, [1, 0], [1, 0], name="arrive"), Path(Q[1], Q, upper=1.35)],
    ) | how  # fmt: skip
    return Problem(INTEGRATOR, [[0.0, 0.0]], **told)


@pytest.mark.parametrize("kind", EXACT)
def test_multipliers_of_constraints(kind):
    problem = arriving()
    found, by_sweeps = direct(problem, transcription=kind), msa(problem, max_iter=20_000, tol=1e-8)
    assert found.success
    assert found.residual < 1e-5
    assert max(found.violations.values()) < 1e-8
    np.testing.assert_allclose(found.controls, by_sweeps.controls, atol=1e-4)
    for name, (ours, theirs) in {
        name: (found.multipliers[name], by_sweeps.multipliers[name]) for name in found.multipliers
    }.items():
        assert ours.shape == theirs.shape, name
    np.testing.assert_allclose(
        found.multipliers["arrive"], by_sweeps.multipliers["arrive"], rtol=1e-4
    )
    np.testing.assert_allclose(found.costates(), by_sweeps.costates(), rtol=0, atol=1e-3)


def test_trained_readouts_and_free_horizons():
    problem = SAID["free_layer"]()
    found = direct(problem, tol=1e-9)
    other = msa(problem, tol=1e-7, max_iter=5000)
    assert found.success, found.message
    assert found.cost == pytest.approx(other.cost, rel=1e-6)
    assert found.horizon == pytest.approx(other.horizon, rel=1e-3)
    np.testing.assert_allclose(found.readout.P, other.readout.P, atol=1e-3)


def test_collocation_is_exact_in_time():
    # x' = u x, of which Euler's scheme with 4 steps knows little
    x, u = casadi.SX.sym("x"), casadi.SX.sym("u")
    problem = Problem(
        dynamics.Symbolic(x, u, x * u), [[1.0]], steps=4,
        terminal_cost=losses.Symbolic((x - 2) ** 2, x),
        running_cost=losses.Symbolic(0.05 * x**2, x), control_cost=penalties.L2(0.1),
    )  # fmt: skip
    errors = {}
    for points in ("radau", "legendre"):
        for degree in (2, 4):
            found = direct(problem, 0.5 * np.ones((4, 1)), transcription="collocation",
                           degree=degree, points=points)  # fmt: skip
            assert found.success
            earned = found.resimulate().cost
            errors[degree] = abs(found.annotations["programme_cost"] - earned)
            assert abs(found.cost - earned) > 1e-3  # Euler's price
        assert errors[4] < 1e-9
        assert errors[4] < 1e-2 * errors[2]


def test_a_warm_start_is_worth_iterations():
    problem = moons(control_cost=penalties.L2(0.01)).on(np.arange(60))
    rough = msa(problem, tol=1e-4)
    cold, warm = direct(problem), direct(problem, rough)
    assert warm.cost == pytest.approx(cold.cost, rel=1e-8)
    assert warm.nit < cold.nit
    finer = direct(moons(control_cost=penalties.L2(0.01), steps=30).on(np.arange(60)), rough)
    assert finer.success


def test_zero_controls_that_are_stationary_are_left():
    case = build("qubit_state_transfer", 40)
    found = direct(case.problem)
    assert "left by a seeded kick" in found.message
    assert found.cost < 0.1 < case.problem.cost(np.zeros((40, 1)))


def test_starts():
    case = build("neural_tanh_nonconvex", 20)
    found = direct(case.problem, case.start, starts=3)
    assert len(found.multistart) == 3
    assert found.cost == min(s["cost"] for s in found.multistart)


# ----------------------------------------------------------------------------- how it ends


def test_the_history_is_of_controls_priced_by_sweeps():
    problem = translation(control_cost=penalties.Box(-0.1, 0.25) + penalties.L2(1.0))
    rows = []
    found = direct(problem, callback=rows.append)
    assert found.history["cost"][0] == problem.cost(np.zeros(problem.control_shape))
    assert found.history["cost"][-1] == found.cost
    assert found.nfev == found.njev == len(found.history)
    np.testing.assert_array_equal(found.history["sweeps"], 2 * np.arange(1, len(rows) + 1))
    for name in ("cost", "residual", "sweeps", "seconds"):
        np.testing.assert_array_equal(found.history[name], [row[name] for row in rows])
    assert (np.diff(found.history["seconds"]) > 0).all()
    assert found.seconds.compile > 0


def test_the_start_is_priced():
    problem = translation()
    found = direct(problem, max_iter=0)
    assert (found.status, found.nit) == (OUT_OF_ITERATIONS, 0)
    assert found.cost == problem.cost(np.zeros(problem.control_shape))
    best = np.tile([0.2, 0.8 / 3], (20, 1))
    assert direct(problem, best).nit == 0
    assert direct(problem, best).cost == pytest.approx(translation_cost(), rel=1e-12)


def test_out_of_iterations():
    problem = moons().on(np.arange(30))
    found = direct(problem, max_iter=2)
    assert (found.success, found.status) == (False, OUT_OF_ITERATIONS)
    assert found.message.startswith("IPOPT ran out of iterations after 2 iterations: residual")
    assert found.cost == found.history["cost"].min()


def test_stopped_by_the_callback():
    problem = moons().on(np.arange(30))
    found = direct(problem, callback=lambda row: row["sweeps"] >= 6)
    assert (found.success, found.status) == (False, STOPPED)
    assert "stopped by the callback" in found.message
    assert len(found.history) == 3
    assert direct(problem, callback=lambda row: True).status == STOPPED


def test_interrupted_and_errors_of_the_callback():
    def raises(error):
        def callback(row):
            if row["sweeps"] > 4:
                raise error

        return callback

    problem = moons().on(np.arange(30))
    found = direct(problem, callback=raises(KeyboardInterrupt()))
    assert found.status == INTERRUPTED
    assert found.cost == found.history["cost"].min()
    with pytest.raises(ZeroDivisionError):
        direct(problem, callback=raises(ZeroDivisionError()))


def test_constraints_that_contradict_each_other():
    problem = arriving(constraints=[Terminal(Q[0], Q, 1, 1), Path(Q[0], Q, upper=0.5)])
    found = direct(problem)
    assert (found.success, found.status) == (False, INFEASIBLE)
    assert "IPOPT found no point that meets the constraints" in found.message
    assert np.isfinite(found.controls).all()


def test_a_start_that_explodes():
    x, u = casadi.SX.sym("x"), casadi.SX.sym("u")
    problem = Problem(
        dynamics.Symbolic(x, u, x**3 + u), [[1.0]], steps=40, control_cost=penalties.L2(0.1),
        terminal_cost=losses.Squared(), targets=[0.0],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = direct(problem, 1e3 * np.ones((40, 1)))
    assert np.isfinite(found.controls).all()
    assert found.success or found.status == NOT_FINITE


def test_silent_unless_asked(capfd):
    problem = translation(control_cost=penalties.L2(1.0) + penalties.L1(0.1))
    direct(problem)
    assert capfd.readouterr() == ("", "")
    direct(problem, progress=True)
    assert "iter    objective" in capfd.readouterr().out


def test_other_solvers_and_options():
    problem = translation()
    quiet = {"print_header": False, "print_iteration": False, "print_status": False}
    quiet |= {"qpsol": "qrqp", "qpsol_options": {"print_iter": False, "print_header": False}}
    found = direct(problem, solver="sqpmethod", options=quiet, transcription="shooting")
    assert found.success, found.message
    assert found.message.startswith("sqpmethod")
    assert found.cost == pytest.approx(translation_cost(), rel=1e-8)
    moved = problem.on(np.arange(9))
    for options in ({"ipopt.max_iter": 1}, {"ipopt": {"max_iter": 1}}):
        bound = direct(moved.replace(control_cost=penalties.L1(0.1)), options=options)
        assert bound.status == OUT_OF_ITERATIONS


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"transcription": "simpson"}, ValueError, "'multiple_shooting', 'shooting'"),
        ({"degree": 0}, ValueError, "degree=0"),
        ({"points": "chebyshev"}, ValueError, "'radau'"),
        ({"solver": "excel"}, ValueError, "'ipopt'|\"ipopt\""),
        ({"solver": 3}, ValueError, "solver=3"),
        ({"options": [1]}, TypeError, "dict of options"),
        ({"options": {"ipopt": 3}}, TypeError, "dict of options"),
        ({"options": {"ipopt.no_such": 1}}, ValueError, "refuses the programme or its options"),
        ({"tol": 0}, ValueError, "tol=0"),
        ({"max_iter": -1}, ValueError, "max_iter=-1"),
        ({"callback": 3}, TypeError, "callback"),
        ({"start": np.zeros((3, 2))}, ValueError, "start"),
    ],
)
def test_bad_input(how, error, words):
    with pytest.raises(error, match=words):
        direct(translation(), **how)


def test_costs_without_slopes_are_refused():
    problem = translation(control_cost=penalties.L0(0.1) + penalties.L2(1.0))
    with pytest.raises(ValueError, match="direct follows slopes"):
        direct(problem)
