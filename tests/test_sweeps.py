"""The compiled round against the same round written out in NumPy, and against its definition."""

import os
import subprocess
import sys
import warnings
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

import pmpnet
from pmpnet import Problem, sweeps
from pmpnet.certificate import taylor_slope
from pmpnet.dynamics import Layer, LinearControl
from pmpnet.losses import CrossEntropy, Logistic, Loss, Squared
from pmpnet.penalties import L1, L2, ElasticNet
from pmpnet.schemes import NAMED, Scheme

from .reference import Reference
from .strategies import (
    KINDS,
    LAYERS,
    LINEAR,
    NEURONS,
    OUTSIDE,
    ROLES,
    SMOOTH,
    SMOOTH_LOSSES,
    SYSTEMS,
    TWO_LAYER,
    cases,
    system,
)

RALSTON3 = Scheme(
    "ralston3", [[0, 0, 0], [0.5, 0, 0], [0, 0.75, 0]], [2 / 9, 1 / 3, 4 / 9], order=3
)


def few(count):
    return settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])


def near(got, wanted, rel):
    """Compare arrays, relative to the largest entry wanted."""
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=rel * abs(wanted).max() + 1e-300)


def check_round(case):
    """Everything a round gives back is the reference's."""
    p = case.problem
    exact = case.reference.round(case.u, case.readouts)
    readouts = p.as_readouts(case.given)
    done = p.sweep(case.u, readouts, states=True, costates=True, final=True)
    # a small cross entropy is the difference of numbers of size 1
    assert done.terminal == pytest.approx(exact.terminal, rel=1e-12, abs=1e-15)
    assert done.running == pytest.approx(exact.running, rel=1e-12, abs=1e-15)
    near(done.states, exact.states, 1e-12)
    near(done.final, exact.states[-1], 1e-12)
    near(done.costates, exact.costates, 1e-11)
    near(done.g, exact.g, 1e-11)
    for got, wanted in zip(done.readouts, exact.readouts, strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            near(got.P, wanted[0], 1e-11)
            near(got.c, wanted[1], 1e-11)
    # neither the way back nor trajectories change a bit of the cost
    forward = p.sweep(case.u, readouts, backward=False)
    assert (forward.terminal, forward.running) == (done.terminal, done.running)
    assert forward.g is forward.states is forward.costates is forward.final is None


# ------------------------------------------------------------------- what a round is


@pytest.mark.parametrize("scheme", NAMED)
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_round_is_the_reference_s(name, scheme):
    @seed(zlib.crc32(f"{name} {scheme}".encode()))
    @few(20)
    @given(cases([name], [scheme]))
    def check(case):
        check_round(case)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("scheme", NAMED)
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_round_is_the_reference_s_in_every_combination(name, scheme, role, kind):
    @seed(zlib.crc32(f"{name} {scheme} {role} {kind}".encode()))
    @few(20)
    @given(cases([name], [scheme], [role], [kind]))
    def check(case):
        check_round(case)

    check()


@few(20)
@given(cases(schemes=[RALSTON3]))
def test_the_round_holds_for_a_scheme_of_one_s_own(case):
    check_round(case)


@contextmanager
def small_cuts():
    """Blocks of 16 samples, in at most 4 chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeps, "plan", sweeps.plan.__wrapped__)  # without its memory
        for name in ("LONGEST_BLOCK", "SHORTEST_BLOCK"):
            patch.setattr(sweeps, name, 16)
        for name in ("MOST_CHUNKS", "FEWEST_CHUNKS"):
            patch.setattr(sweeps, name, 4)
        yield


@few(60)
@given(cases(most=150))
def test_the_round_holds_across_blocks_and_chunks(case):
    with small_cuts():
        check_round(case)


@few(100)
@given(
    st.integers(1, 10**6), st.integers(8, 10**5), st.integers(8, 10**7), st.integers(1, 10**7)
)  # fmt: skip
def test_a_plan_covers_every_sample_once(samples, state_bytes, tape_bytes, entries):
    cut = sweeps.plan(samples, state_bytes, tape_bytes, entries)
    chunk = cut.block * cut.blocks_per_chunk
    assert (cut.chunks - 1) * chunk < samples <= cut.chunks * chunk
    assert cut.block % 16 == 0
    assert 16 <= cut.block <= sweeps.LONGEST_BLOCK
    assert cut.chunks <= sweeps.MOST_CHUNKS


@pytest.mark.parametrize("dim", [65, 66, 131])
@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_the_round_holds_in_wide_layers(dim, scheme):
    rng = np.random.default_rng(dim)
    p = Problem(
        Layer(dim), rng.standard_normal((21, dim)), rng.standard_normal((21, 3)),
        terminal_cost=Squared(readout=rng.standard_normal((3, dim))), steps=2, scheme=scheme,
    )  # fmt: skip
    u = rng.standard_normal(p.control_shape) / np.sqrt(dim)
    exact = Reference(p).round(u)
    done = p.sweep(u, (None, None), costates=True)
    near(done.terminal, exact.terminal, 1e-12)
    near(done.costates, exact.costates, 1e-11)
    near(done.g, exact.g, 1e-11)


# -------------------------------------------------------------- gradients by definition


def stage_signs(case, v):
    """Signs of every argument of an activation."""
    u, readouts = case.reduced.control(v), case.reduced.readouts(v)
    return np.sign(case.reference.forward(u, readouts).arguments)


@few(150)
@given(cases(kinds=SMOOTH_LOSSES))
def test_the_gradient_is_the_limit_of_central_differences(case):
    reduced, v, e = case.reduced, case.v, 1e-3
    gradient = -reduced.metric * (reduced.evaluate(v).g - reduced.penalty_gradient(v))
    for d in [case.direction(), case.direction(), np.eye(reduced.size)[-1]]:
        points = [v + a * e * d for a in (-2, -1, 1, 2)]
        if case.problem.dynamics.describe().get("activation") in ("relu", "leaky_relu"):
            # smooth as long as no argument passes zero
            signs = [stage_signs(case, point) for point in (v, *points)]
            assume(all((s == signs[0]).all() for s in signs))
        J = [reduced.cost(point) for point in points]
        difference = (J[0] - 8 * J[1] + 8 * J[2] - J[3]) / (12 * e)
        bound = 1e-7 * np.linalg.norm(gradient) * np.linalg.norm(d)
        rounding = 4 * np.finfo(float).eps * J[1] / e
        assert difference == pytest.approx(gradient @ d, rel=0, abs=bound + rounding)


@few(100)
@given(cases())
def test_problem_gradient_is_that_of_the_control(case):
    p, reduced = case.problem, case.reduced
    gradient = -reduced.metric * (reduced.evaluate(case.v).g - reduced.penalty_gradient(case.v))
    near(p.gradient(case.u, case.given).ravel(), gradient[: case.u.size], 1e-14)
    assert p.cost(case.u, case.given) == reduced.cost(case.v)


@few(100)
@given(cases(systems=SMOOTH, kinds=SMOOTH_LOSSES))
def test_the_remainder_of_taylor_s_formula_is_of_second_order(case):
    reduced, v = case.reduced, case.v
    # a single Euler step does not move what the running cost reads: there is no remainder
    assume(reduced.evaluate(v).g.any())
    assert taylor_slope(reduced, v) == pytest.approx(2.0, abs=0.05)
    # again, with another direction, other steps and the whole cost
    d = case.direction()
    gradient = -reduced.metric * (reduced.evaluate(v).g - reduced.penalty_gradient(v))
    e = 2.0 ** -np.arange(10, 15)
    J = np.array([reduced.cost(v + step * d) for step in e])
    remainder = abs(J - reduced.cost(v) - e * (gradient @ d))
    slopes = np.diff(np.log2(remainder)) / np.diff(np.log2(e))
    assert np.median(slopes) == pytest.approx(2.0, abs=0.05)


# --------------------------------------------------------------------- transposition


class Covector(Loss):
    """Phi(x) = -<y, x>, without weights: the costate at the end is y."""

    code = 1

    def __init__(self):
        super().__init__(None, None, None)

    def outputs(self, dim, targets):
        return dim

    def encode(self, targets, count, outputs, dtype):
        return np.asarray(targets, dtype), None

    def value(self, z, y):
        raise NotImplementedError


@few(150)
@given(cases())
def test_the_sweep_back_is_the_transpose_of_the_tangent_sweep(case):
    # <p, J v> = <J' p, v>, for J the derivative of controls -> states at the end
    p = case.problem
    y = case.rng.standard_normal(p.initial_states.shape)
    du = case.rng.standard_normal(case.u.shape)
    pure = Problem(
        p.dynamics, p.initial_states, y, terminal_cost=Covector(), times=p.times, scheme=p.scheme
    )
    Jv = case.reference.tangent(case.u, du, case.readouts).states[-1]
    terms = pure.steps[:, None] * pure.sweep(case.u, (None, None)).g * du
    size = max(abs(y * Jv).sum(), abs(terms).sum())
    assert terms.sum() == pytest.approx((y * Jv).sum(), rel=0, abs=1e-12 * size)


@few(150)
@given(cases())
def test_the_gradient_is_the_transpose_of_the_tangent_sweep(case):
    reduced, v = case.reduced, case.v
    d = case.direction()
    exact = case.reference.tangent(
        case.u, reduced.control(d), case.readouts, reduced.readouts(d)
    ).cost
    terms = -reduced.metric * reduced.evaluate(v).g * d
    assert terms.sum() == pytest.approx(exact, rel=0, abs=1e-12 * abs(terms).sum())


# ------------------------------------------------------------------------- order


def looked_at(steps, scheme):
    """States at the end, running cost, costates at the start, for controls constant in time."""
    rng = np.random.default_rng(3)
    p = Problem(
        Layer(3, "sin"), rng.standard_normal((4, 3)), rng.standard_normal((4, 3)),
        terminal_cost=Squared(), running_cost=Squared(0.5), running_weight=0.7,
        times=np.linspace(0.3, 1.3, steps + 1), scheme=scheme,
    )  # fmt: skip
    rounds = [
        p.sweep(np.tile(row, (steps, 1)), (None, None), states=True, costates=True)
        for row in rng.standard_normal((6, p.dynamics.controls))
    ]
    return {
        "states": np.array([done.states[-1] for done in rounds]),
        "running cost": np.array([done.running for done in rounds]),
        "costates": np.array([done.costates[0] for done in rounds]),
    }


@pytest.mark.parametrize("scheme", NAMED)
def test_states_running_cost_and_costates_converge_at_the_scheme_s_order(scheme):
    fine = looked_at(4000, "rk4")
    steps = np.array([40, 80, 160]) * (1 if scheme == "rk4" else 4)
    found = [looked_at(n, scheme) for n in steps]
    for what in fine:
        errors = [np.linalg.norm(each[what] - fine[what]) for each in found]
        slopes = np.diff(np.log(errors)) / -np.diff(np.log(steps))
        assert slopes == pytest.approx(NAMED[scheme].order, abs=0.1), what


# ------------------------------------------------------------------------- threads


def large_problem(dtype, **how):
    rng = np.random.default_rng(5)
    told = dict(dynamics=Layer(5, "gelu"), count=5000, outputs=2, steps=7) | how
    loss = Squared(readout="train")
    dim = told["dynamics"].dim
    p = Problem(
        told["dynamics"], rng.standard_normal((told["count"], dim)),
        rng.standard_normal((told["count"], told["outputs"])),
        terminal_cost=loss, running_cost=loss, weights=rng.uniform(0.1, 1.0, told["count"]),
        steps=told["steps"], scheme="heun", dtype=dtype,
    )  # fmt: skip
    return p, rng.standard_normal(p.control_shape) / np.sqrt(dim)


@pytest.fixture
def threads(monkeypatch):
    """Sweeps that use as many threads as they may, whatever the work."""
    monkeypatch.setattr(sweeps, "PARALLEL_FLOPS", 0)
    yield pmpnet.set_num_threads
    pmpnet.set_num_threads(None)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        dict(dynamics=LinearControl(4, "gaussian", degree=1), count=4999),
        dict(dynamics=Layer(66), count=3000, outputs=64, steps=2),
    ],
    ids=["layer", "gaussian", "wide"],
)
def test_no_bit_depends_on_the_number_of_threads(how, dtype, threads):
    p, u = large_problem(dtype, **how)
    readouts = p.initial_readouts()
    found = []
    for count in (1, 2, 3, 4):
        threads(count)
        done = p.sweep(u, readouts, states=True, costates=True, final=True)
        found.append(done)
    assert len({key[0] for key in p.sweeper._workspaces}) == 4  # threads did run
    one = found[0]
    for other in found[1:]:
        assert (other.terminal, other.running) == (one.terminal, one.running)
        for name in ("g", "states", "costates", "final"):
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name))
        for a, b in zip(other.readouts, one.readouts, strict=True):
            np.testing.assert_array_equal(a.P, b.P)
            np.testing.assert_array_equal(a.c, b.c)


def test_short_rounds_run_on_one_thread():
    pmpnet.set_num_threads(4)
    try:
        p, u = large_problem("float64", count=600, steps=1)
        assert p.samples.count * p.scheme.stages * p.dynamics.work < sweeps.PARALLEL_FLOPS
        p.sweep(u, p.initial_readouts())
        assert {key[0] for key in p.sweeper._workspaces} == {0}
    finally:
        pmpnet.set_num_threads(None)


def test_a_failure_in_one_thread_is_raised(threads, monkeypatch):
    p, u = large_problem("float64")
    p.cost(u)
    threads(3)

    def broken(thread, *_):
        raise MemoryError(f"thread {thread}")

    monkeypatch.setattr(p.sweeper, "_workspace", broken)
    with pytest.raises(MemoryError):
        p.cost(u)
    monkeypatch.undo()
    assert np.isfinite(p.cost(u))  # the lock was given back


def test_the_number_of_threads(monkeypatch):
    monkeypatch.delenv("PMPNET_NUM_THREADS", raising=False)
    default = pmpnet.get_num_threads()
    assert default >= 1
    try:
        pmpnet.set_num_threads(3)
        assert pmpnet.get_num_threads() == 3
        monkeypatch.setenv("PMPNET_NUM_THREADS", "7")
        assert pmpnet.get_num_threads() == 3  # told last, and in words
        pmpnet.set_num_threads(None)
        assert pmpnet.get_num_threads() == 7
        for told in ("0", "-1", "two", "1.5"):
            monkeypatch.setenv("PMPNET_NUM_THREADS", told)
            with pytest.raises(ValueError, match=r"PMPNET_NUM_THREADS=.*whole number"):
                pmpnet.get_num_threads()
        monkeypatch.delenv("PMPNET_NUM_THREADS")
        assert pmpnet.get_num_threads() == default
        for bad, error in [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)]:
            with pytest.raises(error, match="count"):
                pmpnet.set_num_threads(bad)
    finally:
        pmpnet.set_num_threads(None)


# ------------------------------------------------------------------ single precision


@few(100)
@given(cases())
def test_single_precision_is_near_double(case):
    p = case.problem
    exact = case.reference.round(case.u, case.readouts)
    # of ordinary size: a cost far below the numbers it is made of keeps few digits
    assume(abs(exact.states).max() < 5)
    assume(exact.terminal + exact.running > 0.1)
    assume(abs(exact.g).max() > 0.01)
    single = Problem(
        p.dynamics, p.initial_states, p.targets, terminal_cost=p.terminal_cost,
        running_cost=p.running_cost, running_weight=p.running_weight, weights=p.weights,
        times=p.times, scheme=p.scheme, dtype="float32",
    )  # fmt: skip
    readouts = p.as_readouts(case.given)
    wide, narrow = p.sweep(case.u, readouts), single.sweep(case.u, readouts, states=True)
    assert narrow.states.dtype == np.float32
    assert narrow.g.dtype == np.float64
    both = np.array([wide.terminal, wide.running])
    near([narrow.terminal, narrow.running], both, 1e-5)  # relative to the larger part
    near(narrow.g, wide.g, 1e-5)
    for got, wanted in zip(narrow.readouts, wide.readouts, strict=True):
        if got is not None:
            near(got.P, wanted.P, 1e-5)
            near(got.c, wanted.c, 1e-5)


# ----------------------------------------------------------------------- invariances


def again(case, **changed):
    """Evaluate the same problem with some arguments changed."""
    p = case.problem
    told = dict(
        dynamics=p.dynamics, initial_states=p.initial_states, targets=p.targets,
        terminal_cost=p.terminal_cost, running_cost=p.running_cost,
        running_weight=p.running_weight, weights=p.weights, times=p.times, scheme=p.scheme,
    )  # fmt: skip
    q = Problem(**(told | changed))
    return q.sweep(case.u, p.as_readouts(case.given))


def same(a, b, rel):
    near(a.terminal, b.terminal, rel)
    near(a.running, b.running, rel)
    near(a.g, b.g, rel)


@few(60)
@given(cases(most=40))
def test_the_order_of_samples_does_not_matter(case):
    p = case.problem
    order = case.rng.permutation(p.samples.count)
    shuffled = again(
        case,
        initial_states=p.initial_states[order],
        targets=p.targets[order],
        weights=p.weights[order],
    )
    same(shuffled, again(case), 1e-13)


@few(60)
@given(cases(most=40))
def test_a_weight_may_be_shared_by_copies_of_a_sample(case):
    p = case.problem
    index = np.r_[np.arange(p.samples.count), 0]
    weights = 7.0 * p.weights[index]  # any multiple: weights are scaled to sum 1
    weights[0] *= 0.25
    weights[-1] *= 0.75
    split = again(
        case, initial_states=p.initial_states[index], targets=p.targets[index], weights=weights
    )
    same(split, again(case), 1e-13)


@few(60)
@given(cases(most=40))
def test_a_sample_of_weight_zero_does_not_matter(case):
    p = case.problem
    x = np.r_[p.initial_states[-1:] + 1, p.initial_states]
    split = again(
        case, initial_states=x, targets=np.r_[p.targets[-1:], p.targets],
        weights=np.r_[0.0, p.weights],
    )  # fmt: skip
    same(split, again(case), 1e-13)


@few(60)
@given(cases())
def test_only_the_lengths_of_the_intervals_matter(case):
    # autonomous systems: starting at another time changes nothing but rounding of the steps
    same(again(case, times=case.problem.times + 4.0), again(case), 1e-13)


@few(40)
@given(st.floats(0.2, 5.0), st.sampled_from(["euler", "rk4"]), st.integers(0, 2**32 - 1))
def test_the_unit_of_a_control_does_not_matter(unit, scheme, number):
    rng = np.random.default_rng(number)
    x, y, u = rng.standard_normal((9, 2)), rng.standard_normal((9, 2)), rng.standard_normal((5, 6))
    told = dict(terminal_cost=Squared(), steps=5, scheme=scheme)
    own = Problem(Layer(2), x, y, control_cost=ElasticNet(0.3, 0.2), **told)
    net = ElasticNet(0.3 * unit, 0.2 * unit**2)  # |v| and v^2 of v = unit w
    other = Problem(Layer(2, scale=unit), x, y, control_cost=net, **told)
    near(other.cost(u / unit), own.cost(u), 1e-13)
    near(other.gradient(u / unit), unit * own.gradient(u), 1e-12)
    # and the maximiser of the Hamiltonian is the same, told in the other unit
    z, rho = rng.standard_normal((5, 6)), 0.7
    moved = other.penalty.argmax(unit * z, rho * unit**2)
    near(unit * moved, own.penalty.argmax(z, rho), 1e-12)


def as_given(form, x):
    if form == "list":
        return x.tolist()
    if form == "tuples":
        return tuple(map(tuple, x.tolist()))
    if form == "columns":
        return np.asfortranarray(x)
    if form == "strided":
        wide = np.full((2 * len(x), 3 * x.shape[1]), np.nan)
        wide[::2, ::3] = x
        return wide[::2, ::3]
    if form == "reversed":
        return x[::-1].copy()[::-1]
    if form == "read-only":
        x = x.copy()
        x.flags.writeable = False
        return x
    if form == "other byte order":
        return x.astype(">f8")
    return x.astype(form)


@pytest.mark.parametrize(
    "form",
    ["list", "tuples", "columns", "strided", "reversed", "read-only", "other byte order",
     "float32", "int64", "uint8", "object", "longdouble"],
)  # fmt: skip
def test_what_arrays_are_made_of_does_not_matter(form):
    rng = np.random.default_rng(0)
    x, y, u, w = (rng.integers(0, 5, shape) / 1.0 for shape in [(9, 3), (9, 3), (4, 12), (9, 1)])
    w[0] = 1.0
    told = dict(terminal_cost=Squared(), steps=4, dtype="float64")
    plain = Problem(Layer(3), x, y, weights=w[:, 0], **told)
    p = Problem(
        Layer(3), as_given(form, x), as_given(form, y),
        weights=[row[0] for row in as_given(form, w)], **told,
    )  # fmt: skip
    assert p.cost(as_given(form, u)) == plain.cost(u)
    np.testing.assert_array_equal(p.gradient(as_given(form, u)), plain.gradient(u))


def test_a_sweep_changes_no_input():
    rng = np.random.default_rng(0)
    x, y, u = rng.standard_normal((9, 2)), rng.standard_normal((9, 2)), rng.standard_normal((3, 6))
    kept = [a.copy() for a in (x, y, u)]
    p = Problem(Layer(2), x, y, terminal_cost=Squared(), steps=3)
    assert p.initial_states is x  # not copied
    p.gradient(u)
    for a, b in zip((x, y, u), kept, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.flags.writeable


# ------------------------------------------------------------------ what is not finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("asked", ["cost", "gradient", "terms", "states", "costates"])
def test_a_control_that_is_not_finite_is_refused(asked, bad):
    p = Problem(Layer(2), np.zeros((3, 2)), terminal_cost=Squared(), steps=2)
    u = np.zeros(p.control_shape)
    u[1, 3] = bad
    with pytest.raises(ValueError, match="u has entries that are not finite"):
        getattr(p, asked)(u)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["relu", "polynomial 2"])
@pytest.mark.parametrize("scheme", NAMED)
def test_an_explosion_gives_a_cost_that_is_not_finite(name, dtype, scheme):
    p = Problem(
        system(name, 2), np.ones((5, 2)), terminal_cost=Squared(), running_cost=Squared(),
        control_cost=L2(1.0), steps=40, scheme=scheme, dtype=dtype,
    )  # fmt: skip
    u = np.full(p.control_shape, 1e12)
    assert not np.isfinite(p.cost(u))
    assert not np.isfinite(p.gradient(u)).all()
    # and leaves nothing behind
    assert p.cost(np.zeros(p.control_shape)) == pytest.approx(4.0, rel=1e-6)
    assert np.isfinite(p.gradient(np.zeros(p.control_shape))).all()


def test_a_control_that_overflows_on_its_own_gives_no_finite_cost():
    for dtype, size in (("float64", 1e200), ("float32", 1e60)):
        p = Problem(
            LinearControl(1), [[0.0]], terminal_cost=Squared(), control_cost=L2(1.0), steps=2,
            dtype=dtype,
        )  # fmt: skip
        assert not np.isfinite(p.cost([[size], [0.0]]))


def test_one_sample_that_explodes_is_seen_in_the_cost():
    x = np.full((300, 1), 0.1)
    x[137] = 40.0
    p = Problem(
        LinearControl(1, "polynomial", degree=2), x, terminal_cost=Squared(), horizon=3, steps=40
    )
    u = np.tile([0.0, 0.0, 3.0], (40, 1))
    assert not np.isfinite(p.cost(u))
    final = p.sweep(u, (None, None), final=True).final[:, 0]
    assert np.isfinite(np.delete(final, 137)).all()
    assert not np.isfinite(final[137])


# ------------------------------------------------------------------------ compilation


def signatures(dynamics):
    return sweeps._family(*dynamics.kernels(), *5 * [None]).signatures


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
@pytest.mark.parametrize(
    "names",
    [LAYERS, list(LINEAR), TWO_LAYER + NEURONS, OUTSIDE],
    ids=["layer", "monomials", "two-layer", "outside"],
)
def test_a_family_is_compiled_once_per_precision(names):
    rng = np.random.default_rng(0)
    seen = set()
    for dtype in ("float64", "float32"):
        for i, name in enumerate(names):
            dim = 2 + i % 4
            dynamics = system(name, dim, scale=0.5)
            labels = np.arange(6) % 2
            x = rng.standard_normal((6, dim)).astype(dtype)
            x.flags.writeable = i % 2 == 0
            p = Problem(
                dynamics, x, labels,
                terminal_cost=[
                    Squared(readout="train"), None, Logistic(readout="train"),
                    CrossEntropy(3, readout=rng.standard_normal((3, dim))),
                ][i % 4],
                running_cost=[None, Squared(readout=np.ones((1, dim)))][i % 4 % 2],
                control_cost=L1(0.1),
                weights=None if i % 2 else rng.uniform(0.1, 1, 6),
                scheme=list(NAMED)[i % 4],
                times=np.cumsum(rng.uniform(0.1, 1, 2 + i)),
            )  # fmt: skip
            u = rng.standard_normal(p.control_shape)
            u.flags.writeable = i % 3 == 0
            p.cost(u)
            p.gradient(u)
            p.states(u)
            p.costates(u)
            p.flow_sweeper.run(p.samples, u, backward=False, final=True)
        seen.add(len(signatures(dynamics)))
    assert max(seen) <= 2


def test_a_solve_knows_what_compiling_took():
    p = Problem(Layer(2), np.zeros((3, 2)), terminal_cost=Squared())
    assert p.sweeper.compile_seconds is None
    p.cost(np.zeros(p.control_shape))
    told = p.sweeper.compile_seconds
    assert told > 0
    p.cost(np.zeros(p.control_shape))
    assert p.sweeper.compile_seconds == told


# ---------------------------------------------------------------------- other processes


def fresh(code, timeout=120):
    """Run code in a new process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own(threads):
    threads(3)
    p, u = large_problem("float64")
    cost = p.cost(u)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        child = os.fork()
    if child == 0:
        os._exit(0 if p.cost(u) == cost else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_importing_is_light():
    heavy = ("numba", "scipy", "casadi", "matplotlib")
    code = f"""
import sys, time
start = time.perf_counter()
import pmpnet, pmpnet.solve
print(time.perf_counter() - start, *(name for name in {heavy} if name in sys.modules))
"""
    runs = [fresh(code) for _ in range(3)]
    assert [run[1:] for run in runs] == [[], [], []]
    assert np.median([float(run[0]) for run in runs]) < 1.0
