"""What a solve gives back: the control along time, the flow, predictions, starts and stops."""

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties

from .problems import moons, random_start, translation


@pytest.fixture(scope="module")
def solution():
    return pmpnet.solve.msa(moons())


def regression(scheme="euler", steps=10, readout=None, **more):
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    y = np.c_[x[:, 0] + 0.2 * x[:, 1] ** 2, 0.8 * x[:, 1]]
    return Problem(
        dynamics.Layer(2),
        x,
        y,
        terminal_cost=losses.Squared(readout=readout),
        control_cost=penalties.L2(1e-2),
        scheme=scheme,
        steps=steps,
        **more,
    )


def test_the_control_is_constant_on_every_interval(solution):
    middle = (solution.times[1:] + solution.times[:-1]) / 2
    assert np.array_equal(solution.control_at(middle), solution.controls)
    assert np.array_equal(solution.control_at(0.0), solution.controls[0])
    assert np.array_equal(solution.control_at(1.0), solution.controls[-1])
    with pytest.raises(ValueError, match="outside the time interval"):
        solution.control_at(1.1)


def test_the_control_at_many_times_on_an_uneven_grid():
    times = np.array([-1.0, -0.5, 0.1, 0.2])
    u = np.random.default_rng(0).standard_normal((3, 2))
    found = pmpnet.solve.msa(translation(times=times), u, max_iter=0)
    t = np.array([-1.0, -0.51, -0.5, 0.0999, 0.1, 0.2])
    assert np.array_equal(found.control_at(t), u[[0, 0, 1, 1, 2, 2]])
    assert found.control_at(0.15).shape == (2,)
    assert found.control_at([]).shape == (0, 2)
    assert found.horizon == pytest.approx(1.2)
    for t in (-1.001, 0.21, [0.0, 3.0]):
        with pytest.raises(ValueError, match=r"is outside the time interval \[-1, 0.2\]"):
            found.control_at(t)
    with pytest.raises(ValueError, match="t has a value that is not finite"):
        found.control_at(np.nan)


def test_states_and_flow_agree(solution):
    x = solution.problem.initial_states
    states = solution.states()
    assert np.array_equal(states[-1], solution.flow(x))
    assert np.array_equal(states, solution.problem.states(solution.controls))
    assert np.array_equal(solution.state_at(solution.times[3]), states[3])
    # halfway through an Euler step the state is halfway
    t = (solution.times[3] + solution.times[4]) / 2
    np.testing.assert_allclose(solution.state_at(t), (states[3] + states[4]) / 2, atol=1e-14)
    assert solution.flow(np.empty((0, 2))).shape == (0, 2)
    with pytest.raises(ValueError, match="the state has 2"):
        solution.flow(np.zeros((3, 4)))


@pytest.mark.parametrize("scheme", ["euler", "heun", "midpoint", "rk4"])
def test_states_of_new_points_between_grid_points(scheme):
    """Steps up to t alone, by a problem whose grid ends there."""
    found = pmpnet.solve.msa(regression(scheme), max_iter=20)
    x = np.random.default_rng(3).uniform(-1, 1, (9, 2))
    assert np.array_equal(found.state_at(0.0, x), x)
    for t in (0.03, 0.55, 0.6, 1.0):
        before = found.times[found.times < t]
        upto = regression(scheme, times=np.append(before, t))
        short = pmpnet.solve.msa(upto, found.controls[: len(before)], max_iter=0)
        np.testing.assert_allclose(found.state_at(t, x), short.flow(x), atol=1e-13)
    assert found.state_at(0.3).shape == (60, 2)
    with pytest.raises(ValueError, match="outside the time interval"):
        found.state_at(-0.1)


@pytest.mark.parametrize("scheme", ["euler", "heun", "midpoint", "rk4"])
def test_inverse_undoes_the_flow(scheme):
    found = pmpnet.solve.msa(regression(scheme))
    x = np.random.default_rng(1).uniform(-1, 1, (40, 2))
    np.testing.assert_allclose(found.inverse(found.flow(x)), x, atol=1e-10)
    np.testing.assert_allclose(found.flow(found.inverse(x)), x, atol=1e-10)
    assert found.inverse(np.empty((0, 2))).shape == (0, 2)


def test_a_step_that_is_no_contraction_is_not_inverted():
    problem = regression(steps=1)
    steep = problem.dynamics.pack(W=[[5.0, 0.0], [0.0, 5.0]])[None]
    found = pmpnet.solve.msa(problem, steep, max_iter=0)
    with pytest.raises(ValueError, match="layer 0 could not be inverted"):
        found.inverse(np.ones((1, 2)))


def test_predictions_are_the_loss_s_own(solution):
    p = solution.problem
    x = p.initial_states
    z = solution.flow(x)[:, 0]
    assert np.array_equal(solution.predict(x), np.where(z > 0, 1, -1))
    chance = solution.predict_proba(x)
    np.testing.assert_allclose(chance[:, 1], 1 / (1 + np.exp(-z)))
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    assert solution.score(x, p.targets) == np.mean(np.sign(z) == p.targets)
    with pytest.raises(ValueError, match="one target per point"):
        solution.score(x, p.targets[:3])


def test_labels_come_back_as_they_were_given():
    x, y = pmpnet.datasets.spirals(150, classes=3, seed=0)
    names = np.array(["red", "green", "blue"])[y]
    problem = Problem(
        dynamics.Layer(3),
        pmpnet.datasets.lift(x, 3),
        names,
        terminal_cost=losses.CrossEntropy(3, readout=4 * np.eye(3)),
        control_cost=penalties.L2(1e-3),
    )
    found = pmpnet.solve.msa(problem, random_start(problem), max_iter=30)
    assert set(found.predict(problem.initial_states)) <= {"red", "green", "blue"}
    assert found.predict_proba(problem.initial_states).shape == (150, 3)


def test_r2_is_scikit_learn_s():
    metrics = pytest.importorskip("sklearn.metrics")
    problem = regression()
    found = pmpnet.solve.msa(problem, max_iter=20)
    x, y = problem.initial_states, problem.targets
    assert found.score(x, y) == pytest.approx(metrics.r2_score(y, found.predict(x)), rel=1e-12)
    with pytest.raises(TypeError, match="predicts numbers, not classes"):
        found.predict_proba(x)


def test_scores_of_one_number_and_of_constants_are_scikit_learn_s():
    metrics = pytest.importorskip("sklearn.metrics")
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    loss = losses.Squared(readout="train")
    found = pmpnet.solve.msa(
        Problem(dynamics.Layer(2), x, x[:, 0] ** 3, terminal_cost=loss), max_iter=5
    )
    predicted = found.predict(x)
    assert predicted.shape == (60, 1)
    for y in (x[:, 0] ** 3, x[:, 1], np.full(60, 2.0)):
        assert found.score(x, y) == pytest.approx(metrics.r2_score(y, predicted), rel=1e-12)
    assert found.score(x, predicted) == 1.0


def test_accuracy_is_scikit_learn_s():
    metrics = pytest.importorskip("sklearn.metrics")
    x, y = pmpnet.datasets.spirals(150, classes=3, seed=0)
    loss = losses.CrossEntropy(3, readout="train")
    found = pmpnet.solve.msa(Problem(dynamics.Layer(2), x, y, terminal_cost=loss), max_iter=20)
    assert found.score(x, y) == pytest.approx(metrics.accuracy_score(y, found.predict(x)))
    chance = found.predict_proba(x)
    assert np.array_equal(chance.argmax(axis=1), found.predict(x))
    assert -np.log(chance[np.arange(150), y]).mean() == pytest.approx(found.terms["terminal"])


def test_without_a_loss_there_is_nothing_to_predict():
    problem = Problem(dynamics.Layer(2), np.ones((1, 2)), control_cost=penalties.L2(1.0))
    found = pmpnet.solve.msa(problem, max_iter=0)
    with pytest.raises(TypeError, match="nothing to predict: use flow"):
        found.predict(np.ones((1, 2)))


@pytest.mark.parametrize(
    ("scheme", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2), ("rk4", 4)]
)
def test_resimulation_is_what_finer_grids_come_to(scheme, order):
    u = np.tile(0.5 * np.random.default_rng(3).standard_normal(6), (8, 1))
    x, y = pmpnet.datasets.two_moons(50, seed=0)
    errors = []
    for steps in (8, 16):
        problem = Problem(
            dynamics.Layer(2), x, y, running_cost=losses.Logistic(readout=[[1.0, 0.5]]),
            terminal_cost=losses.Logistic(readout=[[1.0, -1.0]]), scheme=scheme, steps=steps,
            control_cost=penalties.L2(0.1),
        )  # fmt: skip
        found = pmpnet.solve.msa(problem, np.repeat(u, steps // 8, axis=0), max_iter=0)
        again = found.resimulate(rtol=1e-12)
        assert again.terms["control"] == pytest.approx(found.terms["control"], rel=1e-14)
        errors.append(abs(again.cost - found.cost))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.25)


def test_what_is_shown_says_what_matters(solution):
    for text in (repr(solution), solution._repr_html_()):
        assert "converged" in text
        assert "exactly zero" in text
    assert "<table>" in solution._repr_html_()


def test_zero_iterations_price_the_start():
    problem = moons()
    u = random_start(problem)
    found = pmpnet.solve.msa(problem, u, max_iter=0)
    assert not found.success
    assert found.nit == 0
    assert found.cost == pytest.approx(problem.cost(u), rel=1e-15)
    assert np.array_equal(found.controls, u)
    assert len(found.history) == 1


def test_several_starts_keep_the_best():
    problem = moons(control_cost=penalties.ElasticNet(1e-2, 1e-3))
    found = pmpnet.solve.msa(problem, starts=3, max_iter=40, seed=5)
    costs = [s["cost"] for s in found.multistart]
    assert len(costs) == 3
    assert found.cost == min(costs)
    again = pmpnet.solve.msa(problem, starts=3, max_iter=40, seed=5)
    assert np.array_equal(found.controls, again.controls)


def test_a_solution_starts_another_solve(solution):
    same = pmpnet.solve.msa(solution.problem, solution)
    assert same.nit == 0
    finer = moons(steps=40)
    started = pmpnet.solve.msa(finer, solution, max_iter=0)
    # every interval halved: the same piecewise constant control
    np.testing.assert_allclose(started.controls, np.repeat(solution.controls, 2, axis=0))
    coarser = pmpnet.solve.msa(moons(steps=10), solution, max_iter=0)
    mean = solution.controls.reshape(10, 2, -1).mean(axis=1)
    np.testing.assert_allclose(coarser.controls, mean)
    with pytest.raises(ValueError, match="controls of length 6, but this problem's have length 2"):
        pmpnet.solve.msa(translation(), solution)


def test_a_callback_sees_every_row_and_stops():
    problem, rows = moons(), []

    def callback(row):
        rows.append(row)
        return len(rows) == 5

    found = pmpnet.solve.msa(problem, callback=callback)
    assert found.status == 2
    assert "callback" in found.message
    assert [r["cost"] for r in rows] == found.history["cost"].tolist()


def test_an_interrupt_gives_back_the_best_so_far():
    def callback(row):
        if row["sweeps"] > 20:
            raise KeyboardInterrupt

    found = pmpnet.solve.msa(moons(), callback=callback)
    assert found.status == 4
    assert "interrupted" in found.message
    assert found.cost == found.history["cost"].min()


def test_progress_is_a_bar_on_standard_error(capsys):
    pmpnet.solve.msa(moons(), max_iter=5, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "residual" in shown.err


@pytest.mark.parametrize("method", ["msa", "adam", "sgd", "gradient_flow"])
@pytest.mark.parametrize("progress", [False, True])
def test_a_bar_changes_nothing(method, progress, capsys):
    solve = getattr(pmpnet.solve, method)
    batch = dict(batch_size=300) if method in ("adam", "sgd") else {}
    shown = solve(moons(), max_iter=7, progress=progress, callback=lambda row: None, **batch)
    plain = solve(moons(), max_iter=7, **batch)
    assert np.array_equal(shown.controls, plain.controls)
    assert bool(capsys.readouterr().err) == progress


def test_more_starts_are_never_worse():
    problem = moons(control_cost=penalties.L1(1e-3))
    one = pmpnet.solve.msa(problem, max_iter=30)
    several = pmpnet.solve.msa(problem, max_iter=30, starts=4)
    assert several.cost <= one.cost
    assert several.multistart[0]["cost"] == one.cost
    assert [row["start"] for row in several.multistart] == [0, 1, 2, 3]
    assert len({row["cost"] for row in several.multistart}) == 4
    assert "starts" in repr(several)
    assert one.multistart == []


def test_given_starts_are_joined_by_seeded_ones():
    problem = moons()
    found = pmpnet.solve.msa(problem, random_start(problem, 9), max_iter=0, starts=3)
    assert found.multistart[0]["cost"] == problem.cost(random_start(problem, 9))
    assert min(row["cost"] for row in found.multistart) == found.cost


def test_an_interrupt_at_once_gives_back_the_start():
    def interrupt(row):
        raise KeyboardInterrupt

    found = pmpnet.solve.msa(moons(), callback=interrupt)
    assert (found.status, found.nit) == (4, 0)
    assert found.cost == moons().cost(np.zeros((20, 6)))


def test_errors_of_a_callback_are_its_own():
    def broken(row):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        pmpnet.solve.msa(moons(), callback=broken)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        (dict(variant="fast"), ValueError, "variant='fast' is not known: write one of 'accel"),
        (dict(learning_rate=1), TypeError, "has no option 'learning_rate'; its options are: mem"),
        (dict(variant="basic", memory=3), TypeError, "options are: none of its own"),
        (dict(max_iter=-1), ValueError, "max_iter=-1 is too small"),
        (dict(max_iter=1.5), TypeError, "max_iter=1.5 is not a whole number"),
        (dict(tol=-1), ValueError, "tol=-1.0 is too small"),
        (dict(tol="small"), TypeError, "tol='small' is not a real number"),
        (dict(progress=1), TypeError, "progress=1 is neither True nor False"),
        (dict(callback=3), TypeError, "callback=3 cannot be called"),
        (dict(seed=-1), ValueError, "seed=-1 is too small"),
        (dict(starts=0), ValueError, "starts=0 is too small"),
        (dict(start=np.zeros((3, 6))), ValueError, r"start has shape \(3, 6\), but .*\(20, 6\)"),
        (dict(start=np.full((20, 6), np.nan)), ValueError, "start has entries that are not fin"),
        (dict(start="zero"), TypeError, "start is made of"),
        (dict(memory=0), ValueError, "memory=0 is too small"),
    ],
)
def test_bad_options_are_one_sentence(options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        pmpnet.solve.msa(moons(), **options)


def test_problems_only():
    with pytest.raises(TypeError, match="problem is 3: write a"):
        pmpnet.solve.msa(3)


def test_seconds_keep_compilation_apart(solution):
    assert solution.seconds.solve > 0
    assert solution.seconds.compile >= 0
    assert solution.history["seconds"][-1] <= solution.seconds.solve
    assert solution.horizon == 1.0
