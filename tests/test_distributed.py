"""Samples on many machines: the same numbers as in one place, whoever has which rows."""

import os
import pickle
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import reduce
from operator import add

import numpy as np
import pytest

import pmpnet
from pmpnet import datasets, distributed, dynamics, hamiltonian, losses, penalties, solve

from .problems import moons, random_start, translation
from .symbolic_problems import KINDS, LABELS

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

L1 = penalties.ElasticNet(1e-2, 1e-3)


@pytest.fixture(autouse=True)
def _within_this_process():
    """Where a client is open, dask's graphs go there all the same only if this is not said."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def cluster():
    yield from clients(2)


def clients(workers, **how):
    from distributed import Client, LocalCluster

    how = dict(n_workers=workers, threads_per_worker=1, dashboard_address=":0") | how
    with LocalCluster(**how) as machines, Client(machines, set_as_default=False) as client:
        yield client


@contextmanager
def on(client):
    with client.as_current(), dask.config.set(scheduler="dask.distributed"):
        yield


def spread(problem, rows):
    """The same problem with its rows in a dask.array, cut after so many, or at these lengths."""
    given = problem.arguments
    cut = {
        name: None if given[name] is None else da.from_array(given[name], chunks=whole(rows, given[name]))
        for name in distributed.Rows._fields
    }  # fmt: skip
    return problem.replace(**cut)


def whole(rows, array):
    return (rows, *np.shape(array)[1:])


def cut_as_a_sweep_cuts():
    """Two moons in two blocks, and those blocks, each of which is one again, as partitions."""
    x, y = datasets.two_moons(2 * 496, seed=0)
    problem = moons(control_cost=L1, steps=5).replace(initial_states=x, targets=y)
    return problem, spread(problem, 496)


# ------------------------------------------------------------------------------- the round


@pytest.mark.parametrize("name", ["bolza", "of_the_state", "free_layer", "kinetic", "float32"])
def test_a_round_is_that_of_one_place(name):
    if name == "kinetic":
        near = translation(control_cost=penalties.Kinetic(0.5) + penalties.L2(0.3))
    elif name == "float32":
        near = moons(steps=5)
        near = near.replace(initial_states=near.initial_states.astype(np.float32), dtype=None)
    else:
        near = KINDS[name]()
    M = near.samples.count
    far = spread(near, (M - M // 2 - 1, 1, M // 2))
    points = []
    for problem in (near, far):
        reduced = pmpnet.reduced.Reduced(problem)
        u = random_start(problem, 1)
        v = reduced.join(u, problem.initial_readouts(5), 1.2)
        points.append(reduced.evaluate(v))
        assert reduced.cost(v) == pytest.approx(points[-1].cost, rel=1e-12)
    a, b = points
    tol = 1e-5 if name == "float32" else 1e-12
    assert b.cost == pytest.approx(a.cost, rel=tol)
    np.testing.assert_allclose(b.g, a.g, rtol=tol, atol=tol * np.abs(a.g).max())
    if name == "kinetic":
        np.testing.assert_allclose(b.sums, a.sums, rtol=tol)
    assert far.cost(u) == pytest.approx(near.cost(u), rel=tol)


def test_partitions_that_are_blocks_give_the_same_bits():
    near, far = cut_as_a_sweep_cuts()
    u = random_start(near, 2)
    assert far.cost(u) == near.cost(u)
    np.testing.assert_array_equal(far.gradient(u), near.gradient(u))
    a, b = (solve.msa(problem, max_iter=15) for problem in (near, far))
    np.testing.assert_array_equal(a.controls, b.controls)
    assert (a.terms, a.nit, a.nfev) == (b.terms, b.nit, b.nfev)


def test_many_sums_are_added_in_groups():
    """One after the other as long as there are few; then in groups, whoever adds them."""
    near = moons(steps=5)
    far = spread(near, 10)
    assert len(far.samples.parts) == 100 > far.samples.fan == 64
    u = random_start(near)
    np.testing.assert_allclose(far.gradient(u), near.gradient(u), rtol=1e-12, atol=1e-15)
    each = [part.problem for part in dask.compute(*far.samples.parts)]
    costs = [problem.sweep(u, (None, None)).terminal for problem in each]
    groups = [reduce(add, costs[:64]), reduce(add, costs[64:])]  # sum() rounds once, from 3.12 on
    assert far.sweep(u, (None, None)).terminal == groups[0] + groups[1]
    assert far.sweep(u, (None, None)).terminal != reduce(add, costs)


def test_labels_of_all_partitions_are_known_to_each():
    near = moons(steps=5)
    order = np.argsort(near.targets, kind="stable")
    words = np.array(["left", "right"])[(near.targets[order] > 0).astype(int)]
    near = near.replace(initial_states=near.initial_states[order], targets=words)
    far = spread(near, 500)
    assert far.classes.tolist() == ["left", "right"]
    u = random_start(near)
    np.testing.assert_allclose(far.gradient(u), near.gradient(u), rtol=1e-12, atol=1e-15)


def test_what_belongs_to_samples_is_cut_as_they_are():
    near = KINDS["bolza"]()
    told = near.arguments
    far = near.replace(
        initial_states=da.from_array(told["initial_states"], chunks=(2, 1)),
        targets=da.from_array(told["targets"], chunks=3),
    )
    assert [a.chunks[0] for a in far.rows] == [(2, 2, 1)] * 4
    u = random_start(near)
    assert far.cost(u) == pytest.approx(near.cost(u), rel=1e-13)


# ------------------------------------------------------------------------------ the methods

METHODS = {
    "msa": (solve.msa, dict(max_iter=8)),
    "sqh": (solve.msa, dict(variant="sqh", max_iter=8)),
    "lbfgs": (solve.lbfgs, dict(max_iter=8)),
    "adam": (solve.adam, dict(max_iter=8)),
    "gradient_flow": (solve.gradient_flow, dict(max_iter=8)),
    "refine": (solve.refine, dict(max_iter=8)),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_the_same_steps(name):
    method, how = METHODS[name]
    a, b = (method(problem, **how) for problem in cut_as_a_sweep_cuts())
    np.testing.assert_array_equal(a.controls, b.controls)


def test_processes_give_the_bits_of_one(cluster):
    """Also where groups are added by workers, and where the control travels between them."""
    near = moons(control_cost=L1, steps=5)
    u = random_start(near)
    for rows, large in ((300, distributed.LARGE), (14, 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(distributed, "LARGE", large)
            here = spread(near, rows)
            with on(cluster):
                there = spread(near, rows)
                np.testing.assert_array_equal(there.gradient(u), here.gradient(u))
                if rows == 14:
                    continue
                found = solve.lbfgs(there, max_iter=10)
                certificate = pmpnet.verify(there, found)
                predicted = found.predict(da.from_array(near.initial_states, chunks=400)).compute()
            alone = solve.lbfgs(here, max_iter=10)
            np.testing.assert_array_equal(found.controls, alone.controls)
            assert repr(certificate) == repr(pmpnet.verify(here, alone))
            np.testing.assert_array_equal(predicted, alone.predict(near.initial_states))


def test_tasks_have_names_and_workers_threads_of_their_own(cluster):
    with on(cluster):
        far = spread(moons(steps=5), 500)
        far.gradient(random_start(far))
    with_names = cluster.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.task_prefixes))
    assert {"pmpnet-place", "pmpnet-sweep"} <= with_names
    told = cluster.run(lambda: os.environ.get("PMPNET_NUM_THREADS"))
    assert set(told.values()) == {os.environ.get("PMPNET_NUM_THREADS", "1")}


def test_a_part_travels_and_tells_its_size():
    far = spread(moons(steps=5), 500)
    (part, _) = dask.compute(*far.samples.parts)
    again = pickle.loads(pickle.dumps(part))
    u = random_start(far)
    np.testing.assert_array_equal(again.problem.gradient(u), part.problem.gradient(u))
    assert again.problem.sweeper is part.problem.sweeper  # compiled once per process
    x, y, w = (np.zeros((500, n)) for n in (2, 1, 1))
    assert sys.getsizeof(part) >= x.nbytes + 2 * y.nbytes + w.nbytes


# ------------------------------------------------------------------------------ certificates


@pytest.mark.parametrize("name", ["moons", "bolza", "free_layer"])
def test_a_certificate_is_that_of_one_place(name, monkeypatch):
    monkeypatch.setattr(hamiltonian, "PIECE", 20)  # many pieces
    near = moons(steps=5) if name == "moons" else KINDS[name]()
    far = spread(near, near.samples.count // 2)
    found = solve.msa(near, max_iter=3)
    a, b = (pmpnet.verify(problem, found) for problem in (near, far))
    assert b.cost == pytest.approx(a.cost, rel=1e-12)
    assert b.gap == pytest.approx(a.gap, rel=1e-8)
    assert b.residual == pytest.approx(a.residual, rel=1e-8)
    assert b.taylor_slope == pytest.approx(2.0, abs=0.05)
    np.testing.assert_allclose(b.hamiltonian, a.hamiltonian, rtol=1e-10, atol=1e-12)


def test_predictions_are_lazy_and_the_same():
    near = moons(steps=5)
    far = spread(near, 300)
    solution = solve.msa(far, max_iter=5)
    x, y = near.initial_states, near.targets
    rows = da.from_array(x, chunks=(400, 1))
    for problem in (near, far):
        found = solve.msa(problem, solution, max_iter=0)
        for name in ("flow", "outputs", "predict", "predict_proba"):
            answer, here = getattr(found, name)(rows), getattr(found, name)(x)
            assert distributed.is_dask(answer)
            assert (answer.shape, answer.dtype) == (here.shape, here.dtype)
            np.testing.assert_array_equal(answer.compute(), here)
        assert found.score(rows, y) == found.score(rows, da.from_array(y)) == found.score(x, y)


def test_held_out_rows_are_priced_where_they_are():
    near = moons(steps=5)
    x, y = datasets.two_moons(400, seed=9)
    far = spread(near, 300)
    u = random_start(near)
    held_out = far.replace(initial_states=da.from_array(x, chunks=150), targets=y)
    assert held_out.cost(u) == pytest.approx(near.replace(initial_states=x, targets=y).cost(u))
    fetched = far.replace(initial_states=x, targets=y)
    assert not isinstance(fetched.samples, distributed.Partitions)


def test_a_long_solve_goes_on_with_the_same_rows_only(tmp_path):
    path = tmp_path / "long.npz"
    near = moons(steps=5)
    far = spread(near, 300)
    solve.adam(far, max_iter=20, checkpoint=path, callback=lambda row: row["sweeps"] > 20)
    found = solve.adam(spread(near, 300), max_iter=20, resume=path)
    np.testing.assert_array_equal(found.controls, solve.adam(far, max_iter=20).controls)
    for other in (spread(near, 250), spread(moons(seed=1, steps=5), 300), near):
        with pytest.raises(ValueError, match="another problem"):
            solve.adam(other, max_iter=20, resume=path)


# ------------------------------------------------------------------------------- refused

NOT_THERE = {
    "direct": lambda far, found: solve.direct(far),
    "indirect": lambda far, found: solve.indirect(far),
    "newton": lambda far, found: solve.newton(far),
    "stochastic": lambda far, found: solve.stochastic(far, batch_size=10),
    "adam": lambda far, found: solve.adam(far, batch_size=10),
    "synchronous": lambda far, found: solve.msa(far, variant="synchronous"),
    "augmented": lambda far, found: solve.msa(far, variant="augmented"),
    "needles": lambda far, found: solve.msa(far, needles=2),
    "search": lambda far, found: pmpnet.verify(far, found, search=2),
    "on": lambda far, found: far.on([0]),
    "states": lambda far, found: found.states(),
    "costates": lambda far, found: far.costates(found.controls),
    "resimulate": lambda far, found: found.resimulate(),
    "initial_states": lambda far, found: far.initial_states,
    "weights": lambda far, found: far.weights,
    "save": lambda far, found: found.save("never.npz"),
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_needs_all_samples_says_so(name):
    far = spread(translation(), 20)
    found = solve.msa(far, max_iter=0)
    with pytest.raises(ValueError, match="in one place"):
        NOT_THERE[name](far, found)


def given(**changes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 2))
    told = dict(initial_states=da.from_array(x, chunks=(4, 2)), targets=np.arange(10) % 2)
    loss = losses.Logistic(readout=[[1.0, 0.0]])
    return pmpnet.Problem(dynamics.Layer(2), **told | changes, terminal_cost=loss, steps=2)


X = np.arange(20.0).reshape(10, 2)
HOLE = np.where(X == 13, np.nan, X)  # in row 6, the third of the second partition


class Frame:
    def to_dask_array(self):
        raise AssertionError


BAD = {
    "nan": (lambda: dict(initial_states=da.from_array(HOLE, chunks=(4, 2))), "rows 4 to 7.*2, 1"),
    "rows": (lambda: dict(targets=np.arange(9) % 2), "targets has shape .9,. for 10 samples"),
    "dimension": (lambda: dict(initial_states=da.from_array(X[:, :1])), "1 columns"),
    "one axis": (lambda: dict(initial_states=da.from_array(X[:, 0])), "one row per sample"),
    "none": (lambda: dict(initial_states=da.from_array(X[:0])), "has no rows"),
    "labels": (lambda: dict(targets=np.arange(10) % 3), "needs exactly two"),
    "no labels": (lambda: dict(targets=None), "targets is missing"),
    "missing": (lambda: dict(targets=da.from_array(HOLE[:, 1])), "not finite"),
    "text": (lambda: dict(initial_states=da.from_array(X.astype(str))), "not numbers"),
    "unknown": (lambda: dict(initial_states=(lambda a: a[a[:, 0] > 4])(da.from_array(X))), "compute_chunk"),
    "here": (lambda: dict(initial_states=X, targets=da.from_array(LABELS)), "in one place"),
    "negative": (lambda: dict(weights=-np.ones(10)), "negative"),
    "all zero": (lambda: dict(weights=da.zeros(10)), "all zero"),
    "frame": (lambda: dict(initial_states=Frame()), "lengths=True"),
    "wrong": (lambda: dict(initial_states=da.from_array(X, chunks=(5, 2)).map_blocks(
        lambda block: block[:3], dtype=float, meta=X[:0])), "3 rows where the dask.array says 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_refused_when_the_problem_is_made(name):
    rows, sentence = BAD[name]
    with pytest.raises((ValueError, TypeError), match=sentence):
        given(**rows())


def test_constraints_are_refused():
    with pytest.raises(ValueError, match="multipliers of its own"):
        spread(KINDS["constrained"](), 2)


def test_dask_is_not_imported_for_arrays():
    code = (
        "import sys, numpy as np, pmpnet, pmpnet.solve; from pmpnet import dynamics, penalties;"
        "pmpnet.Problem(dynamics.LinearControl(1), [[1.0]], control_cost=penalties.L2(1.0));"
        "print('dask' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ------------------------------------------------------------------------ machines that fail


def drawn(parts, rows, seed=0):
    """Two moons drawn on the workers: a lazy array, the label in the last column."""

    def block(block_info):
        part = block_info[None]["chunk-location"][0]
        return np.column_stack(datasets.two_moons(rows, seed=seed + part))

    table = da.map_blocks(block, chunks=((rows,) * parts, (3,)), dtype=float, meta=np.empty((0, 3)))
    near = moons(control_cost=L1, steps=10)
    return near.replace(initial_states=table[:, :2], targets=table[:, 2].astype(int))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_and_a_kill_give_the_same_bits(workers):
    alone = solve.msa(drawn(6, 20_000), max_iter=40)
    killed = []

    for client in clients(workers):
        with on(client):
            far = drawn(6, 20_000)

            def kill(row, client=client):
                if row["sweeps"] > 20 and not killed:
                    killed.append(next(iter(client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)

            whole = solve.msa(far, max_iter=40)
            after = solve.msa(far, max_iter=40, callback=kill)
            assert killed
            pids = client.run(os.getpid).values()
            assert killed[0] not in pids
    for found in (whole, after):
        np.testing.assert_array_equal(found.controls, alone.controls)
        assert found.history["cost"].tolist() == alone.history["cost"].tolist()


@pytest.mark.slow
def test_scattered_rows_that_are_lost_are_missed_with_a_sentence():
    for client in clients(2):
        with on(client):
            x = moons().initial_states
            kept = dask.delayed(client.scatter(x))
            far = given(
                initial_states=da.from_delayed(kept, x.shape, dtype=float),
                targets=np.arange(len(x)) % 2,
            )
            u = random_start(far)
            far.cost(u)
            for pid in client.run(os.getpid).values():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(RuntimeError, match="the samples are lost"):
                far.cost(u)
    with pytest.raises(RuntimeError, match="the samples are lost"):
        far.cost(u)


@pytest.mark.slow
def test_more_samples_than_one_worker_could_hold():
    limit, parts, rows = 700, 40, 500_000  # MB
    for client in clients(4, memory_limit=f"{limit}MB"):
        with on(client):
            far = drawn(parts, rows)
            held = client.run(
                lambda dask_worker: sum(map(sys.getsizeof, dask_worker.data.values()))
            )
            assert sum(held.values()) > 1e6 * limit > max(held.values())
            u = random_start(far)
            cost = far.cost(u)
            found = client.run(os.getpid)
    one = [drawn(1, rows, seed=part) for part in range(parts)]
    assert cost == pytest.approx(
        np.mean([problem.terms(u)["terminal"] for problem in one]) + one[0].terms(u)["control"],
        rel=1e-12,
    )
    assert len(found) == 4
