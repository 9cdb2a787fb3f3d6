"""Corners that no other test came to, found by the coverage of lines and branches."""

import pickle

import casadi
import numpy as np
import pytest
from casadi import SX

from pmpnet import Problem, analysis, dynamics, losses, solve, storage
from pmpnet.expressions import Map
from pmpnet.penalties import L2
from pmpnet.reduced import Reduced

from .problems import moons, translation
from .test_checkpoint import wells, with_readout
from .test_constraints import least_energy

SOLVES = {
    "starts": lambda: solve.msa(translation(), start=np.ones((20, 2)), starts=3, max_iter=3),
    "a kick": lambda: solve.msa(with_readout(), max_iter=4),
    "a kick and starts": lambda: solve.msa(with_readout(), max_iter=4, starts=2),
    "needles": lambda: solve.gradient_flow(wells(), max_iter=30, needles=20),
    "constraints": lambda: solve.msa(least_energy(), max_iter=30),
    "levels": lambda: solve.refine(moons(), max_iter=4, level_iter=3),
}


@pytest.mark.parametrize("name", SOLVES)
def test_an_interrupt_at_any_round_ends_the_solve(name, monkeypatch):
    """Nothing goes on after it, and once a control was priced one comes back."""
    swept, rounds, after = Reduced._round, [], np.inf

    def interrupted(self, v, **wanted):
        rounds.append(v)
        if len(rounds) == after:
            raise KeyboardInterrupt
        return swept(self, v, **wanted)

    monkeypatch.setattr(Reduced, "_round", interrupted)
    SOLVES[name]()
    total = len(rounds)
    for after in {1, 2, *range(3, total + 1, max(1, total // 40)), total}:
        rounds.clear()
        try:
            found = SOLVES[name]()
        except KeyboardInterrupt:
            assert after == 1, after
            continue
        assert np.isfinite(found.controls).all()
        assert len(rounds) <= after + 2, (after, total, found.message)


def test_trained_readouts_in_continuous_time():
    cost = losses.Logistic(readout="train", readout_cost=L2(0.2))
    found = solve.msa(moons(steps=40).replace(terminal_cost=cost, scheme="rk4"), max_iter=5)
    again = found.resimulate()
    assert found.terms.keys() == again.terms.keys() == {"terminal", "running", "control", "readout"}
    P, c = found.readout
    assert again.terms["readout"] == pytest.approx(0.1 * ((P**2).sum() + (c**2).sum()), rel=1e-12)
    assert again.cost == pytest.approx(found.cost, rel=1e-5)


def test_no_points_and_no_constraints():
    found = solve.msa(translation(), max_iter=1)
    assert found.multipliers == {}
    assert found.flow(np.empty((0, 2))).shape == (0, 2)


def test_a_map_goes_to_other_processes():
    t, x, u = SX.sym("t"), SX.sym("x", 2), SX.sym("u")
    one = Map(t, x, u, SX(0, 1), x * u + t, scale=0.5)
    other = pickle.loads(pickle.dumps(one))
    points = np.random.default_rng(0).standard_normal((4, 2))
    np.testing.assert_array_equal(other(0.3, points, [2.0]), one(0.3, points, [2.0]))
    assert other.text == one.text


def test_a_lifted_symbol_is_what_it_stands_for():
    x = SX.sym("x", 2)
    lifted = SX.binary(casadi.OP_LIFT, x[0] * x[1], SX(1.0))
    plain, other = (
        Map(SX.sym("t"), x, SX(0, 1), SX(0, 1), value + x[0]) for value in (x[0] * x[1], lifted)
    )
    points = np.random.default_rng(0).standard_normal((4, 2))
    none = np.empty(0)
    np.testing.assert_array_equal(plain(0.0, points, none), other(0.0, points, none))
    assert "LIFT" not in other.field.operations


def test_a_checkpoint_of_our_kind_that_says_nothing_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    storage.write(path, "pmpnet checkpoint", {"other": 1}, "unfinished")
    with pytest.raises(ValueError, match=r"run\.npz.*damaged"):
        solve.msa(translation(), max_iter=1, resume=path)


def test_weights_that_nothing_prices_keep_their_balance():
    """A block of zeros has no scale; neither has one of which a side is free."""
    block = dynamics.TwoLayer(1, 1, "relu", bias=False)
    problem = Problem(block, [[1.0]], control_cost=L2([1.0, 0.0]), steps=1)
    found = solve.msa(problem, [[8.0, 2.0]], max_iter=0)
    np.testing.assert_array_equal(analysis.balance(found).controls, found.controls)
