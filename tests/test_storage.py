"""Solutions on disk: what is read is what was written, and nothing else is ever read."""

import json

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties
from pmpnet.schemes import Scheme

from .problems import moons, random_start

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (12, 2))
SHARED = losses.Logistic(readout="train", readout_cost=penalties.L2(0.1))
PROBLEMS = {
    "layer": dict(dynamics=dynamics.Layer(2, "gelu", bias=False, scale=0.5), targets=X,
                  terminal_cost=losses.Squared(0.3), control_cost=penalties.Group(0.1, by="row")),
    "gaussian": dict(dynamics=dynamics.LinearControl(2, "gaussian", degree=1, width=2.0),
                     targets=X, terminal_cost=losses.Squared(), scheme="rk4",
                     control_cost=penalties.ElasticNet(0.1, np.full(8, 0.2))),
    "listed": dict(dynamics=dynamics.LinearControl(2, [lambda x: [-x[1], x[0]]],
                                                   drift=lambda x: [x[1], 0.0]),
                   running_cost=losses.Squared(), running_weight=0.5,
                   control_cost=penalties.Box(-1, np.inf)),
    "labels": dict(dynamics=dynamics.Layer(2), targets=list("abcabcabcabc"), dtype="float32",
                   terminal_cost=losses.CrossEntropy(3, readout=np.ones((3, 2))),
                   control_cost=penalties.L2(0.1) + penalties.Ball([1.0, 2.0, 3.0])),
    "shared": dict(dynamics=dynamics.Layer(2), targets=[0, 1] * 6, terminal_cost=SHARED,
                   running_cost=SHARED, weights=np.arange(12.0),
                   control_cost=penalties.L1(0.01) + penalties.L1Ball(2.0),
                   scheme=Scheme("ralston", [[0, 0], [2 / 3, 0]], [0.25, 0.75], order=2)),
}  # fmt: skip


def solved(name):
    told = {"times": [0.5, 1.0, 1.25, 2.0], **PROBLEMS[name]}
    system, targets = told.pop("dynamics"), told.pop("targets", None)
    return pmpnet.solve.msa(Problem(system, X, targets, **told), max_iter=3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_read_is_what_was_written(name, tmp_path):
    solution = solved(name)
    solution.annotations["note"] = {"text": "kept", "array": np.arange(3)}
    solution.save(tmp_path / "solution.npz")
    again = pmpnet.load(tmp_path / "solution.npz")
    assert np.array_equal(again.controls, solution.controls)
    assert again.terms == solution.terms
    assert again.history.tobytes() == solution.history.tobytes()
    for field in ("cost", "success", "status", "message", "nit", "nfev", "njev", "method"):
        assert getattr(again, field) == getattr(solution, field)
    assert repr(again) == repr(solution)
    assert repr(again.problem) == repr(solution.problem)
    assert again.problem.trained_readouts == solution.problem.trained_readouts
    assert again.annotations["note"]["text"] == "kept"
    assert np.array_equal(again.annotations["note"]["array"], np.arange(3))
    assert np.array_equal(again.states(), solution.states())
    if solution.problem.classes is not None:
        assert np.array_equal(again.predict(X), solution.predict(X))
    before = pmpnet.verify(solution.problem, solution)
    after = pmpnet.verify(again.problem, again)
    assert (before.cost, before.residual) == (after.cost, after.residual)


def test_nothing_is_pickled(tmp_path):
    solved("labels").save(tmp_path / "solution.npz")
    with np.load(tmp_path / "solution.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind != "O" for name in file.files)
        json.loads(file["pmpnet"].tobytes())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "solution.npz"
    problem = moons()
    pmpnet.solve.msa(problem, random_start(problem), max_iter=2).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(part, written, tmp_path):
    path = tmp_path / "short.npz"
    path.write_bytes(written[: int(part * len(written))])
    with pytest.raises(ValueError, match=r"short\.npz"):
        pmpnet.load(path)


def test_damage_is_noticed_wherever_it_is(written, tmp_path):
    path, refused = tmp_path / "damaged.npz", 0
    for at in np.random.default_rng(0).integers(0, len(written), 30):
        data = bytearray(written)
        data[at] ^= 0xFF
        path.write_bytes(bytes(data))
        try:
            again = pmpnet.load(path)
        except ValueError as error:
            refused += "damaged.npz" in str(error)
        else:  # a byte that carries nothing, such as a time stamp of the archive
            refused += np.isfinite(again.cost)
    assert refused == 30


def test_foreign_missing_and_newer_files_are_refused(written, tmp_path):
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("foreign.npz", "text.npz"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            pmpnet.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pmpnet.load(tmp_path / "nowhere.npz")


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    solution = solved("layer")
    solution.save(tmp_path / "solution.npz")
    before = (tmp_path / "solution.npz").read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        solution.save(tmp_path / "solution.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["solution.npz"]
    assert (tmp_path / "solution.npz").read_bytes() == before


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        solved("layer").save(tmp_path / "nowhere" / "solution.npz")
