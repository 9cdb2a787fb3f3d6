"""Comparisons: one start, one price, every method its row."""

import sys
import time

import casadi
import numpy as np
import pytest

import pmpnet
from pmpnet import Problem, constraints, dynamics, losses, penalties, solve
from pmpnet.solution import STOPPED

from .problems import moons, translation, translation_cost

VARIANTS = ("accelerated", "proximal", "damped", "synchronous", "augmented", "sqh")
METHODS = {
    **{f"msa {name}": (solve.msa, {"variant": name}) for name in VARIANTS},
    "gradient_flow": solve.gradient_flow,
    "lbfgs": solve.lbfgs,
    "newton": solve.newton,
    "adam": (solve.adam, {"learning_rate": 0.05}),
    "sgd": solve.sgd,
    "stochastic": solve.stochastic,
    "stochastic adam": (solve.stochastic, {"method": "adam", "batch_size": 50}),
    "refine": solve.refine,
    "direct": solve.direct,
    "direct shooting": (solve.direct, {"transcription": "shooting"}),
}
START = np.full((20, 2), 0.1)


def row(found, name):
    return found.table[list(found.table["name"]).index(name)]


def wall():
    """No sample ends beyond x_1 = 1."""
    x = [casadi.SX.sym(name) for name in "ab"]
    return constraints.Terminal(x[0], x, -9.0, 1.0, name="wall")


@pytest.fixture(scope="module")
def every():
    """Every method, on a problem with a known answer."""
    return pmpnet.compare(translation(), METHODS, start=START, max_iter=1500)


@pytest.fixture(scope="module")
def two():
    return pmpnet.compare(
        moons(), {"ours": solve.msa, "theirs": (solve.adam, {"learning_rate": 0.1})}, max_iter=60
    )


# ------------------------------------------------------------------------ one problem, one price


def test_every_method_finds_the_same_cost(every):
    assert list(every) == list(METHODS)
    assert every.failures == {}
    table = every.table
    np.testing.assert_allclose(table["cost"], translation_cost(), rtol=1e-7)
    assert (table["above"] >= 0).all()
    assert table["above"].min() == 0.0
    assert (np.abs(table["gap"]) < 1e-6).all()
    assert table["success"].sum() >= len(METHODS) - 2  # Adam need not meet the tolerance


def test_all_begin_at_the_start(every):
    first = every.solutions["lbfgs"].problem.cost(START)
    for name, s in every.items():
        assert s.history["cost"][0] == pytest.approx(first, rel=1e-12), name


def test_rows_are_what_the_solutions_say(every, two):
    for found in (every, two):
        for name, s in found.items():
            told = row(found, name)
            assert told["success"] == s.success
            assert told["cost"] == s.cost
            assert told["gap"] == s.gap
            assert told["residual"] == s.residual
            assert told["sweeps"] == s.nfev + s.njev
            assert told["seconds"] == s.seconds.solve
            assert told["zeros"] == np.mean(s.controls == 0)
            assert np.isnan(told["score"])


def test_sweeps_are_those_of_the_method_alone():
    problem = translation()
    found = pmpnet.compare(problem, [solve.msa, solve.lbfgs], start=START)
    for method in (solve.msa, solve.lbfgs):
        alone = method(problem, START)
        told = row(found, method.__name__)
        assert told["sweeps"] == alone.nfev + alone.njev
        np.testing.assert_array_equal(found[method.__name__].controls, alone.controls)


def test_equal_costs_are_told_apart_by_sweeps(every):
    best = row(every, every.best)
    same = every.table["above"] == 0.0
    assert same[list(every.table["name"]).index(every.best)]
    assert best["sweeps"] == every.table["sweeps"][same].min()
    assert len(set(every.table["cost"][same])) > 1  # they differ, by rounding


def test_the_best_is_the_lowest(two):
    costs = {name: s.cost for name, s in two.items()}
    assert two.best == min(costs, key=costs.get) == "ours"
    assert row(two, "theirs")["above"] == costs["theirs"] - costs["ours"]


@pytest.mark.torch
def test_pytorch_beside_ours():
    pytest.importorskip("torch")
    found = pmpnet.compare(
        translation(), [solve.msa, (solve.torch_train, {"optimizer": "lbfgs"})], max_iter=50
    )
    np.testing.assert_allclose(found.table["cost"], translation_cost(), rtol=1e-7)


def test_the_boundary_value_problem_beside_ours():
    problem = Problem(
        dynamics.LinearControl(1), [[1.0]], steps=50, scheme="midpoint",
        running_cost=losses.Squared(0.5), control_cost=penalties.L2(1.0),
    )  # fmt: skip
    found = pmpnet.compare(problem, [solve.msa, solve.indirect, solve.direct])
    np.testing.assert_allclose(found.table["cost"], np.tanh(1) / 2, atol=1e-4)
    assert found.best in ("msa", "direct")


# ------------------------------------------------------------------------------------ the start


def test_without_a_start_zero_controls():
    found = pmpnet.compare(translation(), [solve.msa, solve.lbfgs])
    for s in found.values():
        assert s.history["cost"][0] == s.problem.cost(np.zeros((20, 2)))


def test_stationary_zeros_are_left_together():
    """Both weights of two layers are 0: no method alone would move the inner ones."""
    x = np.random.default_rng(0).normal(size=(30, 2))
    problem = Problem(
        dynamics.TwoLayer(2, 3), x, 0.5 * x, terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1e-3), steps=5,
    )  # fmt: skip
    found = pmpnet.compare(problem, [solve.msa, solve.gradient_flow], max_iter=3, seed=4)
    first = [s.history["cost"][0] for s in found.values()]
    assert first[0] == first[1] != problem.cost(np.zeros(problem.control_shape))
    again = pmpnet.compare(problem, [solve.msa, solve.gradient_flow], max_iter=3, seed=4)
    for name in found:
        np.testing.assert_array_equal(found[name].controls, again[name].controls)


def test_a_solution_is_a_start():
    problem = moons()
    near = solve.msa(problem, max_iter=20)
    found = pmpnet.compare(problem, [solve.msa, solve.lbfgs], start=near, max_iter=1)
    for s in found.values():
        assert s.history["cost"][0] == pytest.approx(near.cost, rel=1e-14)


# -------------------------------------------------------------------------------------- budgets

FOREVER = {
    "msa": (solve.msa, {"variant": "proximal"}),
    "adam": solve.adam,
    "sgd": solve.sgd,
    "gradient_flow": solve.gradient_flow,
    "stochastic": (solve.stochastic, {"level_tol": 1e-12}),
}


def test_a_budget_of_sweeps():
    found = pmpnet.compare(moons(), FOREVER, tol=0.0, max_iter=10**6, budget=50)
    for name, s in found.items():
        assert s.status == STOPPED
        assert "its budget of 50 sweeps spent" in s.message
        spent = s.history["sweeps"]
        assert (spent[:-1] < 50).all(), name
        if name != "stochastic":  # it prices the samples once more where its levels end
            assert spent[-1] >= 50
            assert row(found, name)["sweeps"] <= spent[-1] + 2


def test_a_budget_of_seconds():
    begun = time.perf_counter()
    found = pmpnet.compare(
        moons(), {"adam": FOREVER["adam"], "sgd": FOREVER["sgd"]},
        tol=0.0, max_iter=10**9, budget={"seconds": 0.2},
    )  # fmt: skip
    assert time.perf_counter() - begun < 60
    for s in found.values():
        assert s.status == STOPPED
        assert (s.history["seconds"][:-1] < 0.2).all()
        assert s.history["seconds"][-1] >= 0.2


def test_a_budget_holds_over_the_solves_that_a_method_is_made_of():
    """An augmented Lagrangian begins again, and so do several starts; their clocks go on."""
    problem = translation(c=(0.9, 0.4), constraints=[wall()])
    whole = solve.msa(problem, START, tol=1e-10)
    assert (whole.nfev + whole.njev) > 30
    found = pmpnet.compare(problem, [solve.msa], start=START, tol=1e-10, budget=20)
    assert found["msa"].status == STOPPED
    assert 20 <= row(found, "msa")["sweeps"] <= 30
    starts = pmpnet.compare(
        moons(), [(solve.adam, {"starts": 3})], tol=0.0, max_iter=100, budget=240
    )
    counted = [one["nit"] for one in starts["adam"].multistart]
    assert counted[0] == 100
    assert sum(counted) < 130


def test_a_method_that_ends_before_its_budget(two):
    found = pmpnet.compare(translation(), [solve.msa], budget={"sweeps": 1e6, "seconds": 1e6})
    assert found["msa"].success
    assert "budget" not in found["msa"].message


def test_users_callbacks_are_heard():
    rows = []
    how = {"callback": lambda row: rows.append(float(row["cost"])) or len(rows) == 3}
    found = pmpnet.compare(moons(), [(solve.adam, how), solve.sgd], max_iter=5, tol=0.0)
    assert rows == found["adam"].history["cost"].tolist()
    assert len(rows) == 3
    assert found["adam"].message.startswith("stopped by the callback")
    assert len(found["sgd"].history) == 6


# ---------------------------------------------------------------------------- methods of a user's


def test_methods_of_a_user_s_own():
    asked = []

    def lazy(problem, start):
        return solve.msa(problem, start, max_iter=1)

    def keen(problem, start, tol, **more):
        asked.append({"tol": tol, **more})
        return solve.lbfgs(problem, start, tol=tol, **more)

    found = pmpnet.compare(moons(), [lazy, keen, (keen, {"memory": 3})], max_iter=7, tol=1e-3)
    assert list(found) == ["lazy", "keen", "keen (memory=3)"]
    assert found["lazy"].nit == 1
    assert found["keen"].nit <= 7
    assert asked[-1]["tol"] == 1e-3
    assert asked[-1]["memory"] == 3
    assert asked[-1]["seed"] == 0


def test_a_first_call_is_outside_the_clock():
    """What a method does at its first iteration, it has done once before it is timed."""
    calls = []

    def slow_at_first(problem, start, max_iter, callback, **more):
        if not calls:
            time.sleep(0.5)
        calls.append(max_iter)
        return solve.adam(problem, start, max_iter=max_iter, callback=callback, **more)

    begun = time.perf_counter()
    found = pmpnet.compare(translation(), [slow_at_first], max_iter=5)
    assert time.perf_counter() - begun >= 0.5
    assert calls == [1, 5]
    assert found.table["seconds"][0] < 0.5


def test_a_method_that_fails_midway_has_a_row():
    def breaks(problem, start, max_iter, callback, tol):
        def last(row):
            if row["sweeps"] > 10:
                raise RuntimeError("the machine is tired")
            return callback(row)

        return solve.adam(problem, start, max_iter=max_iter, tol=tol, callback=last)

    found = pmpnet.compare(moons(), [breaks, solve.msa], max_iter=20)
    assert list(found) == ["msa"]
    assert found.best == "msa"
    told = row(found, "breaks")
    assert not told["success"]
    assert told["sweeps"] == 10
    assert told["seconds"] > 0
    assert np.isnan([told[key] for key in ("cost", "above", "gap", "zeros", "score")]).all()
    assert isinstance(found.failures["breaks"], RuntimeError)
    assert found.failures["breaks"].__traceback__ is not None
    assert "breaks failed: RuntimeError: the machine is tired" in repr(found)
    assert "the machine is tired" in found._repr_html_()
    with pytest.raises(RuntimeError, match="tired"):
        pmpnet.compare(moons(), [breaks], max_iter=20)


def test_a_method_that_diverges_has_a_row():
    found = pmpnet.compare(
        moons(), {"wild": (solve.sgd, {"learning_rate": 1e6}), "tame": solve.msa}, max_iter=20
    )
    assert found.best == "tame"
    assert np.isfinite(row(found, "wild")["cost"])
    assert not row(found, "wild")["success"]


def test_a_start_that_overflows_has_no_best():
    with np.errstate(all="ignore"):
        found = pmpnet.compare(translation(), [solve.adam], start=np.full((20, 2), 1e200))
    assert found.best is None
    assert np.isnan(found.table["above"]).all()
    assert repr(found).startswith("Comparison of 1 method\n")


def test_a_control_that_violates_a_constraint_is_not_the_best():
    problem = translation(c=(0.9, 0.4), constraints=[wall()])
    outside = {"outside": lambda problem, start: solve.msa(problem, start, max_iter=1, tol=1e-3)}
    found = pmpnet.compare(problem, {**outside, "inside": solve.msa}, max_iter=200)
    assert row(found, "outside")["violation"] > 1e-3
    assert row(found, "inside")["violation"] <= 1e-6
    assert found["outside"].cost < found["inside"].cost
    assert found.best == "inside"
    assert row(found, "outside")["above"] < 0
    assert "violation" in repr(found)


# ----------------------------------------------------------------------------- names and pictures


def test_names():
    problem = translation()
    basic = (solve.msa, {"variant": "proximal"})
    names = list(pmpnet.compare(problem, [solve.msa, basic, solve.adam, solve.adam], max_iter=1))
    assert names == ["msa", "msa (variant=proximal)", "adam, run 1", "adam, run 2"]
    assert list(pmpnet.compare(problem, [solve.msa, basic], names=["a", "b"], max_iter=1)) == [
        "a",
        "b",
    ]
    assert pmpnet.compare(problem, [solve.msa], max_iter=0)["msa"].nit == 0


def test_shown(two):
    lines = repr(two).splitlines()
    assert lines[0] == "Comparison of 2 methods, the lowest cost by ours"
    assert len({len(line) for line in lines[1:]}) == 1
    assert lines[1].split() == (
        ["converged", "cost", "above", "best", "gap", "residual", "sweeps", "seconds", "zeros"]
    )
    assert f"{two['ours'].cost:.8g}" in lines[2]
    page = pmpnet.compare(translation(), {"<b>&": solve.msa})._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    assert page.count("<tr>") == 2


def test_scores(two):
    x, y = pmpnet.datasets.two_moons(300, seed=5)
    found = pmpnet.compare(moons(), [solve.msa, solve.sgd], max_iter=20, test=(x, y))
    for name, s in found.items():
        assert row(found, name)["score"] == s.score(x, y) == np.mean(s.predict(x) == y)
    assert "test score" in repr(found)
    wrong = pmpnet.compare(
        moons(), [solve.msa], max_iter=20, test=lambda s: np.mean(s.predict(x) != y)
    )
    assert wrong.table["score"][0] == pytest.approx(1 - found.table["score"][0])
    assert "test score" not in repr(two)


def test_it_is_a_mapping_and_draws_itself(two):
    import matplotlib as mpl

    mpl.use("Agg")
    assert dict(two)["ours"] is two["ours"]
    assert len(two) == 2
    with pytest.raises(KeyError):
        two["nobody"]
    ax = two.plot()
    assert [line.get_label() for line in ax.lines] == ["ours", "theirs"]
    sys.modules["matplotlib.pyplot"].close(ax.figure)


# ----------------------------------------------------------------------------------- bad input


def never(problem, start):
    raise AssertionError("bad input is refused before any work")


@pytest.mark.parametrize(
    ("more", "error", "sentence"),
    [
        (dict(methods=[]), TypeError, r"methods=\[\] is not a list of methods: write"),
        (dict(methods=solve.msa), TypeError, "is not a list of methods"),
        (dict(methods=["msa"]), TypeError, r"methods\[0\]='msa' is not a method: write a function"),
        (dict(methods=[(solve.msa, 3)]), TypeError, r"methods\[0\]=.* is not a method"),
        (dict(names=["a", "b"]), ValueError, "does not name 1 methods"),
        (dict(methods=[never, never], names=["a", "a"]), ValueError, "as many different names"),
        (dict(methods={"a": never}, names="a"), ValueError, "names= comes twice"),
        (dict(max_iter=-1), ValueError, "max_iter=-1 is too small"),
        (dict(tol=-1.0), ValueError, "tol=-1.0"),
        (dict(seed="x"), TypeError, "seed='x' is not a whole number"),
        (dict(budget=0), ValueError, "budget in sweeps"),
        (dict(budget={"hours": 1}), ValueError, "a key of budget='hours' is not known"),
        (dict(test=3), ValueError, r"test=3 must be \(x, y\)"),
        (dict(start=[[1.0]]), ValueError, "start has shape"),
        (dict(progress=3), TypeError, "progress=3"),
        (dict(methods=[never, (solve.msa, {"step": 1})]), TypeError, "msa: .* has no option 'step'"),
        (dict(methods=[never, (solve.adam, {"learning_rate": -1})]), ValueError, "learning_rate"),
    ],
)  # fmt: skip
def test_bad_input(more, error, sentence):
    with pytest.raises(error, match=sentence):
        pmpnet.compare(translation(), **{"methods": [never], **more})


def test_a_bad_problem():
    with pytest.raises(TypeError, match=r"problem is 3: write a pmpnet\.Problem"):
        pmpnet.compare(3, [never])


def test_bad_test_points_are_refused_before_the_work():
    done = []

    def counts(problem, start, max_iter, callback):
        done.append(max_iter)
        return solve.msa(problem, start, max_iter=max_iter, callback=callback)

    with pytest.raises(ValueError, match="3 columns"):
        pmpnet.compare(moons(), [counts], test=(np.zeros((4, 3)), np.zeros(4)))
    assert done == [1]


def test_what_a_scoring_function_returns():
    with pytest.raises(ValueError, match=r"test=.* cannot score a solution \(its score='high'"):
        pmpnet.compare(translation(), [solve.msa], test=lambda s: "high")


def test_what_a_method_returns():
    with pytest.raises(TypeError, match="what wrong returns is 3"):
        pmpnet.compare(translation(), {"wrong": lambda problem, start: 3})
    with pytest.raises(ValueError, match="other returns a solution of another problem"):
        pmpnet.compare(translation(), {"other": lambda p, start: solve.msa(translation())})
