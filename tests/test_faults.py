"""What goes wrong around a solve: disks, files, interrupts, callbacks, threads, processes."""

import concurrent.futures
import gc
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

import pmpnet
from pmpnet import Problem, datasets, dynamics, losses, penalties, solve, sweeps
from pmpnet.reduced import Reduced
from pmpnet.solution import INTERRUPTED
from pmpnet.solve.indirect import Principle
from pmpnet.solve.successive import VARIANTS

from .problems import translation
from .test_constraints import least_energy

METHODS = {
    **{f"msa, {variant}": (solve.msa, dict(variant=variant)) for variant in VARIANTS},
    "lbfgs": (solve.lbfgs, {}),
    "newton": (solve.newton, {}),
    "gradient_flow": (solve.gradient_flow, {}),
    "adam": (solve.adam, {}),
    "adam on minibatches": (solve.adam, dict(batch_size=20)),
    "sgd": (solve.sgd, {}),
    "stochastic": (solve.stochastic, dict(batch_size=20)),
    "stochastic, adam": (solve.stochastic, dict(method="adam", batch_size=20)),
    "refine": (solve.refine, {}),
    "direct": (solve.direct, {}),
    "indirect": (solve.indirect, {}),
}
LOOPED = [name for name in METHODS if name not in ("direct", "indirect")]


def small():
    """Return a problem that every method takes and none solves at once."""
    return large(count=50)


def tiny():
    """Return one that is small enough for the boundary value problem."""
    return Problem(
        dynamics.LinearControl(2), [[0.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 2.0]],
        terminal_cost=losses.Squared(), control_cost=penalties.L2(3.0),
    )  # fmt: skip


def same(a, b):
    """Tell whether two solutions agree in every bit."""
    rows = ("cost", "gap", "residual", "rho", "sweeps")
    return (
        a.controls.tobytes() == b.controls.tobytes()
        and a.cost == b.cost
        and a.message == b.message
        and all(a.history[row].tobytes() == b.history[row].tobytes() for row in rows)
    )


# ----------------------------------------------------------------------------------- disks


@cache
def saved() -> bytes:
    """Return the bytes of a solution's file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.npz")
        solve.msa(translation(), max_iter=3).save(path)
        return path.read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full disk here")
@pytest.mark.filterwarnings(  # NumPy 2.0 leaves the archive that it could not write open
    "ignore:Exception ignored in. <function ZipFile:pytest.PytestUnraisableExceptionWarning"
)
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    solution, path = solve.msa(translation(), max_iter=3), tmp_path / "s.npz"
    solution.save(path)
    before = path.read_bytes()
    opened = io.open

    def full(file, mode="r", *more, **how):
        return opened(file if "r" in mode else "/dev/full", mode.replace("x", "w"), *more, **how)

    monkeypatch.setattr(io, "open", full)
    with pytest.raises(OSError, match="No space left"):
        solution.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["s.npz"]


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    solution = solve.msa(translation(), max_iter=3)
    if os.geteuid() == 0:  # whom no permission holds back: the one folder that is read-only to all
        folder = "/proc/self"
    else:
        folder = tmp_path
        folder.chmod(0o500)
    with pytest.raises(OSError, match=r"Permission|No such file|read-only|not permitted"):
        solution.save(f"{folder}/s.npz")
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------- files


def read(data: bytes, folder) -> pmpnet.Solution | None:
    """Read a file of these bytes; None where it is refused, in one sentence."""
    path = folder / "s.npz"
    path.write_bytes(data)
    try:
        return pmpnet.load(path)
    except ValueError as error:
        said = str(error)
    assert "s.npz" in said
    assert said.endswith(".")
    assert "\n" not in said
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@settings(max_examples=150)
@given(st.floats(0, 1, exclude_max=True), st.binary(max_size=40))
def test_a_file_that_is_cut_off_is_refused(folder, part, tail):
    whole = saved()
    data = whole[: int(part * len(whole))] + tail
    found = read(data, folder)
    assert found is None or data.startswith(whole[:-2])  # what is left out there are zeros


@settings(max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1,
                max_size=8))  # fmt: skip
def test_flipped_bits_are_noticed_or_do_not_matter(folder, flips):
    data = bytearray(saved())
    for place, bits in flips:
        data[int(place * len(data))] ^= bits
    found = read(bytes(data), folder)
    if found is not None:
        assert same(found, read(saved(), folder))


@settings(max_examples=150)
@given(st.floats(0, 1), st.floats(0, 1), st.binary(max_size=100))
def test_a_part_that_is_replaced_is_noticed_or_does_not_matter(folder, first, last, part):
    data = saved()
    i, j = sorted((int(first * len(data)), int(last * len(data))))
    found = read(data[:i] + part + data[j:], folder)
    if found is not None:
        assert same(found, read(data, folder))


def rewritten(change) -> bytes:
    """Return a whole file with another description: `change` alters what it says."""
    with np.load(io.BytesIO(saved())) as file:
        arrays = {name: file[name] for name in file.files}
    told = change(json.loads(arrays["pmpnet"].tobytes()))
    arrays["pmpnet"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["$made", "$array", "$float", "dim", "weight"]) | st.text(), inner,
        max_size=3,
    ),
)  # fmt: skip


@settings(max_examples=300)
@given(st.data())
def test_a_description_of_anything_else_is_refused(folder, data):
    """A file whose checksums are right, and which says nonsense somewhere."""

    def change(told):
        place = told
        for _ in range(data.draw(st.integers(0, 3))):
            inner = [key for key, entry in place.items() if isinstance(entry, dict) and entry]
            if not inner:
                break
            place = place[data.draw(st.sampled_from(sorted(inner)))]
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
        return told

    found = read(rewritten(change), folder)
    if found is not None:  # what was replaced is no part of the control or its problem
        assert isinstance(found, pmpnet.Solution)
        np.testing.assert_array_equal(found.controls, read(saved(), folder).controls)


def entry(array: bytes) -> bytes:
    """Return a file of ours that holds these bytes in place of the controls."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved())) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, array if name == "controls.npy" else old.read(name))
    return buffer.getvalue()


def header(text: str) -> bytes:
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


@pytest.mark.parametrize(
    "array",
    [
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + b"\x80\x04N.",
        header("__import__('os').abort()"),
        header("{'descr': __import__('os').abort(), 'fortran_order': False, 'shape': (1,), }"),
        header("(" * 100),
        b"",
    ],
)
def test_arrays_that_lie_are_refused(array, folder):
    assert read(entry(array), folder) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda told: json.loads("[" * 400 + "]" * 400),
        lambda told: {**told, "annotations": {"a": {"$made": "os.system", "command": "false"}}},
        lambda told: {**told, "annotations": {"a": {"$made": "__class__"}}},
        lambda told: {**told, "annotations": {"a": {"$array": "../../etc/passwd"}}},
        lambda told: {**told, "format": "1e999"},
        lambda told: {**told, "format": -10**40} | {"problem": None},
    ],
)  # fmt: skip
def test_descriptions_that_lie_are_refused(change, folder):
    assert read(rewritten(change), folder) is None


# -------------------------------------------------------------------------------- interrupts


@pytest.mark.parametrize("name", [name for name in METHODS if name != "indirect"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.99])
def test_an_interrupt_within_a_sweep_gives_back_the_best_so_far(name, part, monkeypatch):
    method, told = METHODS[name]
    p, more = small(), dict(tol=1e-13, max_iter=15, **told)
    start = np.full(p.control_shape, -1.0)
    swept, rounds, after = Reduced._round, [], np.inf

    def interrupted(self, v, **wanted):
        rounds.append(v)
        if len(rounds) == after:
            raise KeyboardInterrupt
        return swept(self, v, **wanted)

    monkeypatch.setattr(Reduced, "_round", interrupted)
    method(p, start, **more)
    after = max(2, int(part * len(rounds)))
    rounds.clear()
    threads = threading.active_count()
    found = method(p, start, **more)
    monkeypatch.undo()
    assert len(rounds) >= after
    assert not found.success
    assert found.status == INTERRUPTED
    assert "interrupted" in found.message
    assert found.cost <= p.cost(start)
    assert found.cost == p.cost(found.controls)
    assert threading.active_count() <= threads
    assert method(p, start, **more).nit > 0  # nothing is left behind


def test_an_interrupt_of_the_boundary_value_problem(monkeypatch):
    p = tiny()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Principle, "right_side", interrupted)
    found = solve.indirect(p)
    monkeypatch.undo()
    assert found.status == INTERRUPTED
    assert "interrupted" in found.message
    assert found.cost == p.cost(found.controls)
    assert solve.indirect(p).cost < found.cost


@pytest.mark.parametrize("after", [2, 5, 8, 12, 20])
def test_an_interrupt_while_constraints_are_met(after, monkeypatch):
    p = least_energy()
    swept, rounds = Reduced._round, []

    def interrupted(self, v, **wanted):
        rounds.append(v)
        if len(rounds) == after:
            raise KeyboardInterrupt
        return swept(self, v, **wanted)

    monkeypatch.setattr(Reduced, "_round", interrupted)
    found = solve.msa(p, tol=1e-12)
    assert found.status == INTERRUPTED or len(rounds) < after
    assert np.isfinite(found.controls).all()
    assert len(found.violations) == 1 + len(p.constraints)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer here")
# (an interrupt within CasADi, of which the augmented variant is made, may be lost there)
@pytest.mark.parametrize("name", [name for name in LOOPED if name != "msa, augmented"])
def test_control_c_gives_back_the_best_so_far(name):
    """A real signal, wherever it hits."""
    method, told = METHODS[name]
    p = small()
    method(p, max_iter=2, **told)  # compiled
    start = np.full(p.control_shape, -1.0)
    ended = []
    for seconds in (0.01, 0.017, 0.031):
        running = threading.Event()
        old = signal.signal(signal.SIGALRM, signal.default_int_handler)
        gc.disable()  # hypothesis has a callback there, in which an interrupt is lost
        try:

            def begun(row, seconds=seconds, running=running):
                if not running.is_set():  # the start is priced: from here on there is a best
                    running.set()
                    signal.setitimer(signal.ITIMER_REAL, seconds)
                return False

            found = method(p, start, max_iter=10**6, tol=0.0, callback=begun, **told)
        except KeyboardInterrupt:  # it hit before or after the loop
            continue
        finally:
            gc.enable()
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, old)
        ended.append(found)
    assert ended
    for found in ended:
        assert not found.success or found.residual == 0
        assert np.isfinite(found.controls).all()
        assert found.cost <= found.history["cost"][0]
        assert found.cost == p.cost(found.controls)


def test_an_interrupt_ends_all_starts():
    rows = []

    def once(row):
        rows.append(row)
        if len(rows) == 3:
            raise KeyboardInterrupt

    found = solve.msa(small(), starts=5, callback=once)
    assert len(rows) == 3
    assert found.status == INTERRUPTED
    assert len(found.multistart) == 1


# -------------------------------------------------------------------------------- callbacks


class MineError(Exception):
    pass


@pytest.mark.parametrize("name", [name for name in METHODS if name != "indirect"])
@pytest.mark.parametrize("error", [MineError("mine"), StopIteration("mine"), SystemExit(3)])
def test_what_a_callback_raises_is_raised(name, error):
    method, told = METHODS[name]
    p, rows = small(), []
    plain = method(p, max_iter=5, **told)

    def broken(row):
        rows.append(row)
        if len(rows) == 2:
            raise error

    threads = threading.active_count()
    with pytest.raises(type(error)) as caught:
        method(p, max_iter=5, tol=1e-13, callback=broken, **told)
    assert caught.value is error
    assert threading.active_count() <= threads
    assert same(method(p, max_iter=5, **told), plain)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "indirect"])
def test_a_callback_that_spoils_its_row_changes_nothing(name):
    method, told = METHODS[name]

    def spoil(row):
        row["cost"] = row["residual"] = np.nan

    plain = method(small(), max_iter=5, **told)
    assert same(method(small(), max_iter=5, callback=spoil, **told), plain)


# --------------------------------------------------------------------- threads and processes


def large(dim=2, count=3000, steps=6):
    """Return a problem whose rounds have several chunks."""
    x, y = datasets.two_moons(count, seed=0)
    return Problem(
        dynamics.Layer(dim), datasets.lift(x, dim), y, steps=steps,
        terminal_cost=losses.Logistic(readout=np.eye(dim)[:1]), control_cost=penalties.L2(1e-2),
    )  # fmt: skip


@pytest.fixture
def threads(monkeypatch):
    """Sweeps that use as many threads as they may, whatever the work."""
    monkeypatch.setattr(sweeps, "PARALLEL_FLOPS", 0.0)
    yield pmpnet.set_num_threads
    pmpnet.set_num_threads(None)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("indirect", "direct")])
def test_every_method_finds_the_same_bits_with_any_number_of_threads(name, threads):
    method, told = METHODS[name]
    if "batch_size" in told:
        told = {**told, "batch_size": 700}
    found = []
    for count in (1, 2, 4, 8, 1):
        threads(count)
        found.append(method(large(), max_iter=4, seed=3, **told))
    assert all(same(found[0], other) for other in found[1:])


@pytest.mark.parametrize("shared", [True, False])
def test_solves_in_threads_of_one_s_own_are_those_alone(shared, threads):
    threads(2)
    work = [
        (solve.msa, dict(variant=v)) for v in ("accelerated", "proximal", "synchronous", "sqh")
    ] + [(solve.lbfgs, {}), (solve.adam, dict(batch_size=700))]
    problems = [large()] * len(work) if shared else [large(count=2000 + 300 * i) for i in range(6)]
    jobs = [(f, p, told) for (f, told), p in zip(work, problems, strict=True)]
    alone = [f(p, max_iter=6, **told) for f, p, told in jobs]
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda job: job[0](job[1], max_iter=6, **job[2]), jobs))
        assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_problems_made_in_threads_of_one_s_own():
    plain = solve.msa(small(), max_iter=4)
    barrier = threading.Barrier(6)

    def made(_):
        barrier.wait()
        return solve.msa(small(), max_iter=4)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(same(plain, found) for found in pool.map(made, range(6)))


def test_blas_is_given_back_when_all_solves_have_ended():
    p = [large(count=100 + 20 * i) for i in range(3)]
    inside = []

    def blas():
        found = threadpoolctl.threadpool_info()
        return {lib["filepath"]: lib["num_threads"] for lib in found if lib["user_api"] == "blas"}

    def held(sweeps):
        if sweeps > 2:  # before, the start is priced
            inside.append(blas())

    def found(q):
        return solve.lbfgs(q, max_iter=5, callback=lambda row: held(row["sweeps"]))

    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        alone = [found(q) for q in p]
        assert inside
        assert all(set(each.values()) == {1} for each in inside)
        before = blas()
        for _ in range(4):
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                together = list(pool.map(found, p))
            assert all(same(a, b) for a, b in zip(alone, together, strict=True))
        assert blas() == before
        assert max(before.values()) > 1 or os.cpu_count() == 1


def solve_again(seed):
    found = solve.msa(PARENT["problem"], max_iter=5, seed=seed)
    return found.controls.tobytes(), found.cost


PARENT = {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads
def test_forked_workers_find_the_same_bits(threads):
    threads(3)
    PARENT["problem"] = large()
    here = solve_again(0)  # the parent has run threads
    with concurrent.futures.ProcessPoolExecutor(
        3, mp_context=multiprocessing.get_context("fork")
    ) as pool:
        assert list(pool.map(solve_again, range(6), timeout=120)) == [here] * 6


# solves by several methods; prints a digest of all bits they found
REPEATED = """
import hashlib, sys
import numpy as np
from pmpnet import Problem, datasets, dynamics, losses, penalties, set_num_threads, solve, sweeps

sweeps.PARALLEL_FLOPS = 0.0
set_num_threads(int(sys.argv[1]))
x, y = datasets.two_moons(2000, seed=0)
problem = Problem(dynamics.Layer(2), x, y, terminal_cost=losses.Logistic(readout="train"),
                  control_cost=penalties.ElasticNet(0.01, 0.01), steps=6)
digest = hashlib.sha256()
for found in (
    solve.msa(problem, max_iter=6), solve.msa(problem, variant="proximal", max_iter=6),
    solve.lbfgs(problem, max_iter=6), solve.adam(problem, max_iter=6, batch_size=300),
    solve.stochastic(problem, max_iter=4, batch_size=500),
):
    digest.update(found.controls.tobytes() + found.readout.P.tobytes())
    digest.update(np.ascontiguousarray(found.history["cost"]).tobytes())
print(digest.hexdigest())
"""


def bits(threads, cache):
    """Return what a new process finds."""
    env = {**os.environ, "PMPNET_CACHE_DIR": str(cache), "PYTHONHASHSEED": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", REPEATED, str(threads)],
        env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_processes_find_the_same_bits_with_a_cold_and_with_a_warm_cache(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # both compile into one empty folder
        cold = set(pool.map(lambda threads: bits(threads, tmp_path), (1, 2)))
    assert len(cold) == 1
    assert len(list(tmp_path.rglob("*.nbc"))) == len(list(tmp_path.rglob("*.nbi"))) > 0
    assert not list(tmp_path.rglob("*.tmp.*"))
    assert {bits(threads, tmp_path) for threads in (1, 8)} == cold


TWICE = """
from pmpnet.kernels.jit import compiled
print(compiled("twice")(lambda x: 2 * x)(21))
"""


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_cache_that_is_cut_off_is_mended(kind, part, tmp_path):
    def run():
        env = {**os.environ, "PMPNET_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", TWICE],
            env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.stdout.strip() == "42", done.stderr
        return {f.name: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}

    whole = run()
    (file,) = tmp_path.rglob(f"*.{kind}")
    file.write_bytes(rest := whole[file.name][: int(part * len(whole[file.name]))])
    mended = run()
    assert mended.keys() == whole.keys()
    assert mended[file.name] != rest
    assert run() == mended  # found, not compiled


@pytest.mark.parametrize("name", LOOPED)
def test_a_solve_goes_on_from_a_file_as_from_memory(name, tmp_path):
    method, told = METHODS[name]
    first = method(small(), max_iter=3, tol=0.0, **told)
    first.save(tmp_path / "s.npz")
    loaded = pmpnet.load(tmp_path / "s.npz")
    here = method(first.problem, first, max_iter=5, tol=0.0, **told)
    there = method(loaded.problem, loaded, max_iter=5, tol=0.0, **told)
    assert same(here, there)


# ------------------------------------------------------------------------- bounds of arrays

BEYOND = """
import numpy as np
from pmpnet.kernels.jit import compiled
print(compiled("beyond")(lambda a: a[a.size])(np.zeros(3)))
"""


@pytest.mark.slow
def test_no_kernel_reads_beyond_its_arrays(tmp_path):
    """The tests of the sweep with bounds checked, compiled into a folder of their own."""
    env = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PMPNET_CACHE_DIR": str(tmp_path)}
    told = dict(env=env, capture_output=True, text=True, check=False)
    bad = subprocess.run([sys.executable, "-c", BEYOND], timeout=120, **told)
    assert "IndexError" in bad.stderr  # bounds are checked indeed
    chosen = "round_is or blocks_and_chunks or products_go or explosion"
    tests = [str(Path(__file__).with_name("test_sweeps.py")), "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=Path(__file__).parent.parent, timeout=3000, **told,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
