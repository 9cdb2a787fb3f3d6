"""Gradient flow and gradient training: known answers, and the published behaviour."""

import sys

import numpy as np
import pytest

import pmpnet.solve
from pmpnet import penalties

from .problems import (
    DIFFEOMORPHISM,
    diffeomorphism,
    moons,
    random_start,
    translation,
    translation_cost,
)


@pytest.mark.parametrize(("fields", "beta"), DIFFEOMORPHISM)
def test_gradient_flow_reaches_the_known_cost(fields, beta):
    solution = pmpnet.solve.gradient_flow(diffeomorphism(fields, beta))
    assert solution.success
    assert solution.cost == pytest.approx(DIFFEOMORPHISM[fields, beta], abs=5e-7)


def test_gradient_flow_handles_what_has_no_gradient():
    for penalty in (penalties.L1(0.1), penalties.L1(0.1) + penalties.Box(-0.2, 0.2)):
        problem = translation(control_cost=penalty)
        flow = pmpnet.solve.gradient_flow(problem, tol=1e-9)
        best = pmpnet.solve.msa(problem, tol=1e-9)
        assert flow.success
        assert flow.cost == pytest.approx(best.cost, rel=1e-9)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (pmpnet.solve.adam, {"learning_rate": 0.02, "max_iter": 1500}),
        (pmpnet.solve.sgd, {"learning_rate": 1.0, "max_iter": 1500}),
        (pmpnet.solve.sgd, {"learning_rate": 1.0, "momentum": 0.0, "max_iter": 3000}),
    ],
)
def test_gradient_training_reaches_the_optimum(method, options):
    solution = method(translation(), tol=0.0, **options)
    assert solution.cost == pytest.approx(translation_cost(), rel=1e-6)
    assert solution.nit == options["max_iter"]
    assert solution.cost == solution.history["cost"].min()


def test_a_step_of_gradient_descent_is_the_rate_times_the_gradient():
    problem = moons()
    u = random_start(problem)
    seen = []
    pmpnet.solve.sgd(
        problem,
        u,
        learning_rate=0.3,
        momentum=0.0,
        max_iter=1,
        callback=lambda row: seen.append(row),
    )
    expected = problem.cost(u - 0.3 * problem.gradient(u))
    assert seen[1]["cost"] == pytest.approx(expected, rel=1e-13)


def test_first_step_of_adam_moves_every_entry_by_the_rate():
    problem = moons()
    u = random_start(problem)
    moved = pmpnet.solve.adam(problem, u, learning_rate=1e-3, max_iter=1).controls - u
    gradient = problem.gradient(u)
    felt = np.abs(gradient) > 1e-5  # far above Adam's epsilon of 1e-8
    assert felt.mean() > 0.9
    assert np.allclose(moved[felt], -1e-3 * np.sign(gradient[felt]), rtol=2e-3)


def test_minibatches_cost_what_they_sweep_and_learn():
    problem = moons()
    solution = pmpnet.solve.adam(
        problem, random_start(problem), batch_size=100, learning_rate=0.1, max_iter=95, seed=3
    )
    # ten steps of a tenth of the samples, and one pricing round, are four sweeps
    np.testing.assert_allclose(np.diff(solution.history["sweeps"])[:9], 4.0)
    assert len(solution.history) == 11  # the start, nine epochs, and the unfinished one
    assert solution.nit == 95
    assert solution.cost < 0.5 * solution.history["cost"][0]
    again = pmpnet.solve.adam(
        problem, random_start(problem), batch_size=100, learning_rate=0.1, max_iter=95, seed=3
    )
    assert np.array_equal(again.controls, solution.controls)


def test_gradient_training_respects_the_control_set():
    problem = moons(control_cost=penalties.L2(1e-3) + penalties.Box(-0.5, 0.5))
    solution = pmpnet.solve.adam(problem, learning_rate=0.1, max_iter=50)
    assert solution.violations["controls"] == 0.0
    assert np.abs(solution.controls).max() == 0.5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0 is too small"),
        ({"learning_rate": "fast"}, "is not a real number"),
        ({"batch_size": 0}, "batch_size=0 is too small"),
        ({"beta1": 1.0}, "beta1=1.0 is too large"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        pmpnet.solve.adam(translation(), **options)


def test_without_pytorch_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # what Python finds where it is not installed
    with pytest.raises(
        ImportError, match=r"PyTorch is not installed: pip install 'pmpnet\[torch\]'"
    ):
        pmpnet.solve.torch_train(translation())
    with pytest.raises(ImportError, match="PyTorch is not installed"):
        pmpnet.interop.to_torch(pmpnet.solve.msa(translation(), max_iter=0))
    with pytest.raises(ImportError, match="PyTorch is not installed"):
        pmpnet.interop.from_torch(None, translation())
