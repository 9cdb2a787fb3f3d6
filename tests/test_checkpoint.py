"""Long solves: written down, killed, and gone on with to the same bits."""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import casadi
import numpy as np
import pytest
from casadi import SX

import pmpnet
import pmpnet.solve
from pmpnet import Problem, constraints, dynamics, losses, penalties, solve
from pmpnet.solution import STOPPED, Seconds

from .problems import diffeomorphism, moons, random_start, translation

L1 = penalties.ElasticNet(1e-2, 1e-3)


def same(a, b):
    """Everything but the clocks is the same: files of both have the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, solution in enumerate((a, b)):
            history = solution.history.copy()
            history["seconds"] = 0.0
            replace(solution, history=history, seconds=Seconds(0.0, 0.0)).save(f"{folder}/{i}")
            files.append(Path(f"{folder}/{i}.npz").read_bytes())
    assert files[0] == files[1]


def held_back():
    """No sample may come further right than 1.05."""
    x = SX.sym("x", 2)
    return translation(constraints=[constraints.Terminal(x[0], x, -np.inf, 1.05)])


def wells():
    """A running cost with two wells in the control."""
    x, u = SX.sym("x"), SX.sym("u")
    return Problem(
        dynamics.Symbolic(x, u, u - casadi.sin(3 * u)), [[1.0]], terminal_cost=losses.Squared(),
        control_cost=penalties.L2(0.1) + penalties.Box(-3, 3), steps=5,
    )  # fmt: skip


def with_readout():
    """Two moons read by a trained readout, from zero controls, which are left by a kick."""
    problem = moons(steps=5)
    return problem.replace(terminal_cost=losses.Logistic(readout="train"))


CASES = {
    "accelerated": (solve.msa, lambda: moons(control_cost=L1), dict(max_iter=40)),
    "proximal": (solve.msa, moons, dict(variant="proximal", max_iter=25)),
    "basic": (solve.msa, translation, dict(variant="basic", max_iter=8)),
    "basic, diverging": (solve.msa, moons, dict(variant="basic", start="random")),
    "damped": (solve.msa, translation, dict(variant="damped", max_iter=20)),
    "sqh": (solve.msa, lambda: moons(control_cost=penalties.L2(0.1)), dict(variant="sqh", max_iter=20)),
    "augmented": (solve.msa, diffeomorphism, dict(variant="augmented", max_iter=10)),
    "augmented, fixed": (solve.msa, diffeomorphism, dict(variant="augmented", adaptive=False, max_iter=6)),
    "synchronous": (solve.msa, diffeomorphism, dict(variant="synchronous", max_iter=8)),
    "gradient flow": (solve.gradient_flow, moons, dict(max_iter=30, start="random")),
    "adam": (solve.adam, moons, dict(max_iter=30, start="random")),
    "adam, minibatches": (solve.adam, moons, dict(max_iter=37, batch_size=100, start="random")),
    "sgd": (solve.sgd, moons, dict(max_iter=30, start="random")),
    "sgd, minibatches": (solve.sgd, moons, dict(max_iter=37, batch_size=300, start="random")),
    "lbfgs": (solve.lbfgs, moons, dict(max_iter=30, start="random")),
    "lbfgs, orthant-wise": (solve.lbfgs, lambda: moons(control_cost=L1), dict(max_iter=30, start="random")),
    "newton": (solve.newton, lambda: moons(control_cost=L1), dict(max_iter=15, start="random")),
    "stochastic adam": (
        solve.stochastic, lambda: moons(control_cost=L1),
        dict(method="adam", max_iter=33, batch_size=100, schedule="cosine", average=0.9),
    ),
    "constraints": (solve.msa, held_back, dict(max_iter=200)),
    "starts": (solve.msa, lambda: moons(steps=5), dict(max_iter=12, starts=3)),
    "a kick and a readout": (solve.msa, with_readout, dict(max_iter=20)),
    "needles": (solve.gradient_flow, wells, dict(max_iter=30, needles=20)),
    "progressive": (solve.stochastic, lambda: moons(control_cost=L1), dict(batch_size=100, max_iter=15, level_iter=8)),
    "refine": (solve.refine, lambda: moons(control_cost=L1), dict(max_iter=15, level_iter=6)),
    "refine, starts": (solve.refine, moons, dict(along="penalty", levels=2, max_iter=9, starts=2)),
    "stalled levels": (solve.refine, translation, dict(max_iter=100, tol=0.0, level_tol=0.0)),
}  # fmt: skip


class Killed(Exception):
    """What takes the place of a kill where the process is to live on."""


def case(name):
    method, make, how = CASES[name]
    problem = make()
    if how.get("start") == "random":
        how = how | {"start": random_start(problem)}
    return method, problem, how


TRAINED = {
    "torch, adam": dict(),
    "torch, adam, minibatches": dict(batch_size=300),
    "torch, sgd": dict(optimizer="sgd", momentum=0.0),
    "torch, sgd, minibatches": dict(optimizer="sgd", batch_size=300),
    "torch, lbfgs": dict(optimizer="lbfgs"),
}
CASES |= {
    name: (solve.torch_train, moons, dict(max_iter=21, start="random", tol=0.0) | how)
    for name, how in TRAINED.items()
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.torch) if n in TRAINED else n for n in CASES]
)
def test_the_same_bits_from_any_step(name, tmp_path):
    """Killed at every one of many steps, each time gone on with by a solve that is killed later."""
    if name in TRAINED:
        pytest.importorskip("torch")
    method, problem, how = case(name)
    whole = method(problem, **how)
    path = tmp_path / "long.npz"
    often = solve.Checkpoint(path, seconds=0.0)
    kills, done = 0, None
    while done is None:
        left = [1 + kills % 4]  # rows until it is killed

        def kill(row, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        try:
            done = method(problem, **how, checkpoint=often, resume=path, callback=kill)
        except Killed:
            kills += 1
        assert kills < 400
    assert kills > 1
    same(done, whole)
    same(method(problem, **how, resume=path), whole)  # at its end: everything is known


@pytest.mark.parametrize("name", ["accelerated", "adam, minibatches", "constraints"])
def test_a_solve_that_a_callback_stopped_goes_on(name, tmp_path):
    method, problem, how = case(name)
    path = tmp_path / "stopped.npz"
    rows = []

    def stop(row):
        rows.append(row)
        return len(rows) == 3

    stopped = method(problem, **how, checkpoint=path, callback=stop)
    assert stopped.status == STOPPED
    again = method(problem, **how, resume=path, callback=rows.append)
    same(again, method(problem, **how))
    assert [row["cost"] for row in rows] == again.history["cost"].tolist() or name == "constraints"


def test_what_is_known_is_not_computed_again(tmp_path, monkeypatch):
    """A resumed solve makes only the rounds that are left; one at its end none."""
    problem, path, rounds = moons(), tmp_path / "long.npz", []
    run = type(problem.sweeper).run

    def counted(sweeper, *given, **wanted):
        rounds.append(sweeper)
        return run(sweeper, *given, **wanted)

    monkeypatch.setattr(type(problem.sweeper), "run", counted)
    how = dict(start=random_start(problem), max_iter=12, tol=0.0)
    solve.adam(problem, max_iter=0)
    rounds.clear()
    solve.adam(problem, **how)
    whole = len(rounds)
    rounds.clear()
    solve.adam(problem, **how, checkpoint=path, callback=lambda row: row["sweeps"] >= 18)
    first = len(rounds)
    rounds.clear()
    solve.adam(problem, **how, resume=path, checkpoint=path)
    assert 0 < len(rounds) == whole - first < whole
    rounds.clear()
    solve.adam(problem, **how, resume=path)
    assert not rounds


def test_how_often_it_is_written(tmp_path, monkeypatch):
    from pmpnet.solve import checkpoint

    written = []
    monkeypatch.setattr(checkpoint, "write", lambda path, kind, told, name: written.append(told))
    problem, path = moons(), tmp_path / "run"
    how = dict(start=random_start(problem), max_iter=20, tol=0.0)
    for often, least, most in [
        (solve.Checkpoint(path, seconds=0.0), 21, 21),
        (solve.Checkpoint(path, seconds=1e9, iterations=5), 4, 4),
        (solve.Checkpoint(path, seconds=1e9), 1, 1),
        (path, 1, 3),
    ]:
        written.clear()
        solve.adam(problem, **how, checkpoint=often)
        assert least <= len(written) <= most
    assert [run["status"] for run in written[-1]["runs"]] == [1]


def test_a_file_is_arrays_and_json(tmp_path):
    problem, path = moons(), tmp_path / "run.npz"
    solve.msa(problem, max_iter=5, checkpoint=path)
    with np.load(path, allow_pickle=False) as archive:
        told = json.loads(archive["pmpnet checkpoint"].tobytes())
        assert all(archive[name].dtype.kind in "biufV" for name in archive.files)
    assert told["told"]["method"] == 'msa (variant="accelerated")'
    with pytest.raises(ValueError, match=r"run\.npz.*not"):
        pmpnet.load(path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]


# ------------------------------------------------------------------------------------- kill -9

KILLED = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
import pmpnet
from pmpnet import solve
from pmpnet.storage import read
from tests.test_checkpoint import case, same

kills, folder = int(sys.argv[1]), sys.argv[2]
pmpnet.set_num_threads(1)  # the children are forks, to which no other threads go
rng = np.random.default_rng(0)
names = ["accelerated", "adam, minibatches", "lbfgs", "constraints", "refine"]
wholes, files, killed, finished = {}, 0, 0, 0
for name in names:
    method, problem, how = case(name)
    whole = method(problem, **how)
    begun = time.perf_counter()
    method(problem, **how, checkpoint=solve.Checkpoint(f"{folder}/{name}.0.npz", seconds=0.0))
    wholes[name] = method, problem, how, whole, time.perf_counter() - begun
round = 0
while killed < kills:
    round += 1
    name = names[round % len(names)]
    method, problem, how, whole, seconds = wholes[name]
    path = f"{folder}/{name}.{round}.npz"
    alive = True
    while alive:
        child = os.fork()
        if child == 0:
            often = solve.Checkpoint(path, seconds=0.0)
            method(problem, **how, checkpoint=often, resume=path).save(f"{path}.done.npz")
            os._exit(0)
        time.sleep(rng.uniform(0, 0.7 * seconds))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        alive = os.WIFSIGNALED(status)
        killed += alive
        if os.path.exists(path):
            read(Path(path), "pmpnet checkpoint")
            files += 1
        assert alive or os.WEXITSTATUS(status) == 0, status
        if killed > kills + 200:
            raise SystemExit("no child came to its end")
    same(pmpnet.load(f"{path}.done.npz"), whole)
    same(method(problem, **how, resume=path), whole)
    finished += 1
print(f"killed {killed}, files {files}, finished {finished}")
"""


@pytest.mark.parametrize("kills", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments(kills, tmp_path):
    """No file is ever half written, and every solve ends with the bits it would have had."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED, str(kills), str(tmp_path)],
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    killed, files, finished = (int(s.split()[-1]) for s in done.stdout.splitlines()[-1].split(","))
    assert killed >= kills
    assert files > kills / 2
    assert finished >= 1


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(max_iter=7), "another solve, with max_iter=5 and not 7"),
        (dict(tol=1e-3), "another solve, with tol=1e-06 and not 0.001"),
        (dict(seed=1), "seed=0 and not 1"),
        (dict(memory=3), "memory=None and not 3"),
        (dict(variant="proximal"), "method="),
        (dict(start=0.1), "began elsewhere"),
        (dict(problem=moons(seed=1)), "the solve of another problem"),
        (dict(problem=moons(control_cost=penalties.L2(2e-2))), "the solve of another problem"),
    ],
)
def test_another_solve_is_not_gone_on_with(change, sentence, tmp_path):
    path = tmp_path / "run.npz"
    solve.msa(moons(), max_iter=5, checkpoint=path)
    problem = change.pop("problem", None) or moons()
    if "start" in change:
        change["start"] = np.full(problem.control_shape, change["start"])
    with pytest.raises(ValueError, match=sentence):
        solve.msa(problem, **{"max_iter": 5, **change}, resume=path)


def test_files_that_are_none(tmp_path):
    problem = moons()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        solve.msa(problem, resume=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="does not exist; create it first"):
        solve.msa(problem, checkpoint=tmp_path / "no" / "folder")
    with pytest.raises(TypeError, match="checkpoint=3 is not a path"):
        solve.msa(problem, checkpoint=3)
    with pytest.raises(TypeError, match="resume=3 is not a path"):
        solve.msa(problem, resume=3)
    with pytest.raises(ValueError, match="iterations=0 is too small"):
        solve.Checkpoint("run", iterations=0)
    with pytest.raises(ValueError, match="seconds=-1"):
        solve.Checkpoint("run", seconds=-1)
    solution = tmp_path / "solution.npz"
    solve.msa(problem, max_iter=0).save(solution)
    with pytest.raises(ValueError, match=r"solution\.npz"):
        solve.msa(problem, resume=solution)
    path = tmp_path / "run.npz"
    solve.msa(problem, max_iter=2, checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"run\.npz"):
        solve.msa(problem, max_iter=2, resume=path)
    with pytest.raises(TypeError, match="takes no checkpoint="):
        solve.refine(problem, method=lambda problem, start, **how: None, checkpoint=path)


# --------------------------------------------------------------------------------- progress bars


def test_a_progress_bar_tells_cost_gap_pace_and_time_left(capsys):
    solve.adam(translation(), max_iter=3)
    assert capsys.readouterr().err == ""
    solve.adam(translation(), max_iter=3, progress=True)
    shown = capsys.readouterr().err
    for told in ("adam", "cost=", "gap=", "sweeps/s=", "3/3", "<"):
        assert told in shown
