"""Solutions on disk: what comes back is what was saved, whatever happens to the file."""

import inspect
import json
import os
import warnings
from dataclasses import fields, replace

import casadi
import numpy as np
import pytest

import pmpnet
from pmpnet import Problem, constraints, dynamics, losses, penalties, schemes, solve, storage
from pmpnet.dynamics.symbolic import SymbolicSystem
from pmpnet.solution import Solution

RNG = np.random.default_rng(7)
X = RNG.standard_normal((24, 2))
LABELS = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
WEIGHTS = RNG.uniform(0.0, 3.0, 24)

SYSTEMS = {
    "layer": lambda: dynamics.Layer(2),
    "layer, every option": lambda: dynamics.Layer(2, "gelu", False, scale=0.7),
    "two layers": lambda: dynamics.TwoLayer(2, 3, "sin", scale=0.7),
    "outside": lambda: dynamics.Outside(2, "gelu", False),
    "neurons": lambda: dynamics.Neurons(2, 4, scale=1.5),
    "constant": lambda: dynamics.LinearControl(2),
    "polynomial": lambda: dynamics.LinearControl(2, "polynomial", degree=2, scale=0.5),
    "gaussian": lambda: dynamics.LinearControl(2, "gaussian", degree=1, width=2.0),
    "fields": lambda: dynamics.LinearControl(
        2,
        [lambda x: [-x[1], x[0]], lambda x: [casadi.sin(x[0]), 1.0]],
        drift=lambda x: [x[1], -casadi.tanh(x[0])],
        scale=0.8,
    ),
}
TRAINED = dict(readout="train", readout_cost=penalties.L2(0.01) + penalties.L1(1e-3))
LOSSES = {
    "squared": (lambda: losses.Squared(0.5), X[::-1]),
    "squared, no targets": (lambda: losses.Squared(), None),
    "squared, readout": (lambda: losses.Squared(readout=[[1.0, -2.0]]), X[:, 0]),
    "squared, trained": (lambda: losses.Squared(**TRAINED), X[:, :1]),
    "huber": (lambda: losses.Huber(0.5), X[::-1]),
    "huber, trained": (lambda: losses.Huber(**TRAINED), X[:, :1]),
    "logistic": (lambda: losses.Logistic(readout=[[1.0, 0.5]]), LABELS),
    "logistic, trained": (lambda: losses.Logistic(**TRAINED), LABELS),
    "cross entropy": (lambda: losses.CrossEntropy(2), LABELS),
    "cross entropy, trained": (lambda: losses.CrossEntropy(3, **TRAINED), np.arange(24) % 3),
}
PENALTIES = {
    "none": None,
    "L2": penalties.L2(0.1),
    "L2 per entry": penalties.L2(np.linspace(0.1, 1, 6)),
    "L1": penalties.L1(0.05),
    "elastic net per layer": penalties.ElasticNet(np.full((5, 6), 0.01), 0.1),
    "box": penalties.Box(-0.2, np.linspace(0.1, 0.6, 6)) + penalties.L1(0.01),
    "half a box": penalties.Box(-np.inf, 0.1),
    "ball": penalties.Ball(np.linspace(0.1, 1, 5)) + penalties.L2(0.1),
    "l1 ball": penalties.L1Ball(0.4),
    "groups": penalties.Group(0.02) + penalties.L2(0.1),
    "rows": penalties.Group([0.01, 0.1], by="row"),
    "entries over time": penalties.Group(0.01, by="time") + penalties.L1(0.01),
    "sum of three": penalties.L2(0.1) + penalties.L1(0.01) + penalties.Box(-1, 1),
}
SCHEMES = [*schemes.NAMED, schemes.Scheme("ralston", [[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], 2)]


def problem(system="layer", loss="logistic, trained", penalty="L2", **more):
    make, targets = LOSSES[loss]
    more = {"targets": targets, "terminal_cost": make(), "steps": 5, **more}
    return Problem(SYSTEMS[system](), X, control_cost=PENALTIES[penalty], **more)


def solved(*told, **more):
    return solve.msa(problem(*told, **more), max_iter=3, seed=1)


def equal(a, b):
    """Bit by bit, NaN included."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def there_and_back(solution, folder):
    path = folder / "solution.npz"
    solution.save(path)
    return pmpnet.load(path)


def assert_same(old, new):
    assert equal(old.controls, new.controls)
    assert equal(old.times, new.times)
    assert equal(old.history, new.history)
    assert repr(old) == repr(new)
    assert repr(old.problem) == repr(new.problem)
    told = "success status message nit nfev njev terms violations seconds method multistart"
    for name in told.split():
        assert getattr(old, name) == getattr(new, name), name
    assert equal([old.cost, old.gap, old.residual], [new.cost, new.gap, new.residual])
    p, q = old.problem, new.problem
    assert p.dtype == q.dtype
    assert p.scheme == q.scheme
    assert p.scheme.order == q.scheme.order
    assert (p.targets is None) == (q.targets is None)
    assert p.targets is None or np.array_equal(p.targets, q.targets)
    assert (p.classes is None) == (q.classes is None)
    assert p.classes is None or np.array_equal(p.classes, q.classes)
    for name in ("x", "y_terminal", "y_running", "theta", "weights"):
        assert equal(getattr(p.samples, name), getattr(q.samples, name)), name
    for a, b in zip(old.readouts, new.readouts, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (equal(a.P, b.P) and equal(a.c, b.c))
    # and it does the same
    assert equal(p.cost(old.controls, old.readout), q.cost(new.controls, new.readout))
    points = RNG.standard_normal((7, 2))
    assert equal(old.flow(points), new.flow(points))
    if p.terminal_cost is not None or p.running_cost is not None:
        assert np.array_equal(old.predict(points), new.predict(points))
    a, b = pmpnet.verify(p, old), pmpnet.verify(q, new)
    assert repr(a) == repr(b)
    assert equal(a.layer_gaps, b.layer_gaps)
    assert equal(a.hamiltonian, b.hamiltonian)


# ------------------------------------------------------------------------------ round trips


@pytest.mark.parametrize(
    ("system", "dtype"),
    # fields of one's own are compiled anew in every process: once is enough
    [(name, dtype) for name in SYSTEMS for dtype in ("float64", "float32")][:-1],
)
def test_systems(system, dtype, tmp_path):
    solution = solved(system, dtype=dtype)
    new = there_and_back(solution, tmp_path)
    assert_same(solution, new)
    assert new.problem.dtype == dtype


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("role", ["terminal", "running", "both"])
def test_losses(loss, role, tmp_path):
    make = LOSSES[loss][0]
    told = dict(terminal_cost=make(), running_cost=make(), running_weight=0.3)
    if role != "both":
        told[{"terminal": "running_cost", "running": "terminal_cost"}[role]] = None
    solution = solved("layer", loss, **told)
    new = there_and_back(solution, tmp_path)
    assert_same(solution, new)
    assert len(new.problem.trained_readouts) == len(solution.problem.trained_readouts)


def test_shared_readout_stays_shared(tmp_path):
    loss = losses.Logistic(**TRAINED)
    solution = solved(terminal_cost=loss, running_cost=loss)
    new = there_and_back(solution, tmp_path)
    assert_same(solution, new)
    assert new.problem.terminal_cost is new.problem.running_cost
    assert new.problem.trained_readouts == ((0, 1),)


def test_two_readouts_stay_two(tmp_path):
    told = dict(terminal_cost=losses.Logistic(**TRAINED), running_cost=losses.Logistic(**TRAINED))
    new = there_and_back(solved(**told), tmp_path)
    assert new.problem.terminal_cost is not new.problem.running_cost
    assert new.problem.trained_readouts == ((0,), (1,))
    assert set(new.readout) == {"terminal", "running"}


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties(penalty, tmp_path):
    solution = solved(penalty=penalty)
    new = there_and_back(solution, tmp_path)
    assert_same(solution, new)
    z = RNG.standard_normal((5, 6))
    assert equal(solution.problem.penalty.argmax(z, 0.7), new.problem.penalty.argmax(z, 0.7))


def test_no_loss_at_all(tmp_path):
    told = dict(targets=None, terminal_cost=None)
    assert_same(solution := solved(**told), there_and_back(solution, tmp_path))


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_schemes_and_grids(scheme, tmp_path):
    times = -1.0 + np.cumsum([0.0, 0.1, 0.3, 0.1, 0.2, 0.4])
    solution = solved(scheme=scheme, times=times, steps=None)
    assert_same(solution, there_and_back(solution, tmp_path))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights(dtype, tmp_path):
    solution = solved(weights=WEIGHTS, dtype=dtype)
    assert_same(solution, there_and_back(solution, tmp_path))


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.astype(object),
        LABELS.astype(np.dtypes.StringDType()),
        np.char.encode(LABELS),
        LABELS == "same",
        np.where(LABELS == "same", -1, 1).astype(np.int8),
        np.where(LABELS == "same", 0.5, 2.5),
        np.where(LABELS == "same", "größer", "ärger"),
        np.where(LABELS == "same", np.datetime64("2020-01-01"), np.datetime64("2021-01-01")),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels(labels, tmp_path):
    solution = solved(targets=labels)
    new = there_and_back(solution, tmp_path)
    assert_same(solution, new)
    assert new.score(X, labels) == solution.score(X, labels)


def test_every_way_to_end(tmp_path):
    p = problem()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ended = [
            solve.msa(p, tol=1e-4),
            solve.msa(p, max_iter=0),
            solve.msa(p, callback=lambda row: True),
            solve.adam(p, max_iter=3, batch_size=5),
            solve.gradient_flow(p, max_iter=3),
            solve.msa(p, max_iter=2, starts=3),
        ]
    for solution in ended:
        assert_same(solution, there_and_back(solution, tmp_path))
    assert len(there_and_back(ended[-1], tmp_path).multistart) == 3


def test_a_loaded_solution_goes_on(tmp_path):
    solution = solved()
    new = there_and_back(solution, tmp_path)
    further = solve.msa(new.problem, new, tol=1e-6)
    assert further.cost <= solution.cost
    assert_same(new, there_and_back(new, tmp_path))


def test_annotations(tmp_path):
    solution = solved()
    kept = {
        "text": "ä, \u2028, \0 and \N{SNOWMAN}",
        "nothing": None,
        "truth": True,
        "large": 10**30,
        "digits": 0.1 + 0.2,
        "nested": {"a.b": [1, [2.5, {"c": "d"}]], "": {}, "a": {"b": np.arange(3)}},
        "a.b": np.zeros((0, 3), np.float32),
        "../name": np.array(["x", "yy"]),
        "history": np.array(1 + 2j),
    }
    solution.annotations.update(kept)
    new = there_and_back(solution, tmp_path).annotations
    arrays = ("a.b", "../name", "history")
    assert {k: v for k, v in new.items() if k not in (*arrays, "nested")} == {
        k: v for k, v in kept.items() if k not in (*arrays, "nested")
    }
    for name in arrays:
        assert equal(new[name], kept[name])
    assert equal(new["nested"]["a"].pop("b"), np.arange(3))
    assert new["nested"] == {"a.b": [1, [2.5, {"c": "d"}]], "": {}, "a": {}}


def test_annotations_of_numpys_numbers(tmp_path):
    solution = solved()
    solution.annotations.update(
        i=np.int32(3), f=np.float32(0.1), b=np.bool_(True), s=np.str_("s"), t=(1, 2),
        inf=-np.inf, nan=float("nan"),
    )  # fmt: skip
    new = there_and_back(solution, tmp_path).annotations
    assert new.pop("nan") != 0
    assert new == dict(i=3, f=float(np.float32(0.1)), b=True, s="s", t=[1, 2], inf=-np.inf)


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        ({"f": len}, "annotations.f is <built-in function len>, which cannot be saved"),
        ({"deep": [0, {"s": {1, 2}}]}, "annotations.deep.1.s is {1, 2}"),
        ({"o": np.array([None, object()])}, "annotations.o is an array"),
        ({1: 2}, "annotations has the key 1: to be saved, keys must be text"),
        ({"$array": "controls"}, "annotations has the key '\\$array'"),
    ],
)
def test_what_cannot_be_kept(annotations, sentence, tmp_path):
    solution = solved()
    solution.annotations.update(annotations)
    with pytest.raises(TypeError, match=sentence):
        solution.save(tmp_path / "s.npz")
    assert list(tmp_path.iterdir()) == []


def test_classes_of_your_own_are_refused(tmp_path):
    class Mine(dynamics.Layer):
        pass

    told = dict(terminal_cost=losses.Logistic(**TRAINED), targets=LABELS)
    solution = solve.msa(Problem(Mine(2), X, **told), max_iter=1)
    with pytest.raises(TypeError, match=r"problem\.dynamics .* cannot be saved"):
        solution.save(tmp_path / "s.npz")
    assert list(tmp_path.iterdir()) == []


def test_nothing_a_problem_is_made_of_is_forgotten():
    said = set(inspect.signature(Problem.__init__).parameters) - {"self", "horizon", "steps"}
    problem = Problem(dynamics.Layer(2), X, control_cost=penalties.L2(1.0))
    assert said == set(problem.arguments)


def test_every_ingredient_is_known():
    def below(kind):
        return {kind} | {deeper for sub in kind.__subclasses__() for deeper in below(sub)}

    for kind in (dynamics.Dynamics, losses.Loss, penalties.Penalty, constraints.Constraint):
        ours = {k for k in below(kind) if k.__module__.startswith("pmpnet.")}
        ours = {k for k in ours if not inspect.isabstract(k)} - {SymbolicSystem}
        known = {f"{k.__module__.split('.')[1]}.{k.__name__}" for k in ours}
        assert known - {"constraints.Constraint"} <= set(storage.MAKERS)


# -------------------------------------------------------------------------------- the file


def test_plain_arrays_and_json(tmp_path):
    solution = solved(weights=WEIGHTS, targets=LABELS.astype(object))
    solution.annotations["inf"] = np.inf
    solution.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    assert equal(arrays["controls"], solution.controls)
    assert equal(arrays["history"], solution.history)
    assert not any(array.dtype.hasobject for array in arrays.values())

    def refuse(constant):
        raise AssertionError(constant)

    told = json.loads(arrays["pmpnet"].tobytes(), parse_constant=refuse)
    assert told["version"] == pmpnet.__version__
    assert told["format"] == storage.FORMAT
    told_fields = {field.name for field in fields(Solution)}
    assert told_fields <= set(told)


@pytest.mark.parametrize("name", ["model", "model.npz", "model.v2", "model.npz.npz"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_names(name, kind, tmp_path):
    solution = solved()
    solution.save(kind(tmp_path / name))
    expected = name if name.endswith(".npz") else name + ".npz"
    assert [file.name for file in tmp_path.iterdir()] == [expected]
    assert equal(pmpnet.load(kind(tmp_path / name)).controls, solution.controls)
    assert equal(pmpnet.load(kind(tmp_path / expected)).controls, solution.controls)


def test_another_file_of_the_short_name_is_left_alone(tmp_path):
    (tmp_path / "model").write_text("something else")
    solution = solved()
    solution.save(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "something else"
    assert equal(pmpnet.load(tmp_path / "model").controls, solution.controls)


def test_renamed_files_are_read(tmp_path):
    solution = solved()
    solution.save(tmp_path / "model")
    (tmp_path / "model.npz").rename(tmp_path / "renamed")
    assert equal(pmpnet.load(tmp_path / "renamed").controls, solution.controls)


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.save(solved(), "model").name == "model.npz"
    assert pmpnet.load("model").problem.intervals == 5


def test_saving_again_replaces(tmp_path):
    first, second = solved(), solved("gaussian")
    first.save(tmp_path / "s.npz")
    second.save(tmp_path / "s.npz")
    assert_same(second, pmpnet.load(tmp_path / "s.npz"))


@pytest.mark.parametrize("where", ["savez", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file(where, error, tmp_path, monkeypatch):
    old = solved()
    old.save(tmp_path / "s.npz")

    def fail(file, *_, **__):
        if where == "savez":
            file.write(b"half a file")
        raise error

    monkeypatch.setattr(np if where == "savez" else os, where, fail)
    with pytest.raises(type(error)):
        solved("gaussian").save(tmp_path / "s.npz")
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["s.npz"]
    assert_same(old, pmpnet.load(tmp_path / "s.npz"))


def test_ordinary_permissions(tmp_path):
    (tmp_path / "plain").touch()
    solved().save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("path", "kind", "sentence"),
    [
        ("none/s.npz", ValueError, "the folder .* does not exist; create it first"),
        (".", ValueError, r"path='\.' is a folder: add the name of a file"),
        ("..", ValueError, r"path='\.\.' is a folder"),
        ("none/", ValueError, "path='none/' is a folder"),
        (3, TypeError, "path=3 is not a path: write text such as 'model.npz'"),
        (None, TypeError, "path=None is not a path"),
        ("", TypeError, "path='' is not a path"),
    ],
)
def test_where_nothing_can_be_written(path, kind, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=sentence):
        solved().save(path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "s.npz").mkdir()
    with pytest.raises(ValueError, match="is a folder: add the name of a file"):
        solved().save(tmp_path / "s.npz")


# ---------------------------------------------------------------------------- damaged files


def saved(folder):
    path = folder / "s.npz"
    solution = solved(weights=WEIGHTS)
    solution.save(path)
    return path, solution


def rewritten(path, change):
    """Change the description of a file, leaving everything else as it is."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    told = json.loads(arrays["pmpnet"].tobytes())
    change(told, arrays)
    arrays["pmpnet"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(path, **arrays)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*nothing\.npz': check"):
        pmpnet.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is a folder: give the file in it"):
        pmpnet.load(tmp_path)
    with pytest.raises(TypeError, match="path=None is not a path"):
        pmpnet.load(None)


@pytest.mark.parametrize("seed", range(20))
def test_cut_off(seed, tmp_path):
    path, _ = saved(tmp_path)
    whole = path.read_bytes()
    length = int(np.random.default_rng(seed).integers(0, len(whole))) if seed else len(whole) - 1
    path.write_bytes(whole[:length])
    with pytest.raises(ValueError, match=r"s\.npz' is not a whole file of pmpnet"):
        pmpnet.load(path)


@pytest.mark.parametrize("seed", range(30))
def test_changed_bytes(seed, tmp_path):
    """A changed byte is noticed, or it was one that nothing depends on (a date in the zip)."""
    path, solution = saved(tmp_path)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for i in rng.integers(0, len(data), 1 + seed % 3):
        data[i] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
    try:
        new = pmpnet.load(path)
    except ValueError as error:
        said = str(error)
    else:
        said = None
        assert_same(solution, new)
    assert said is None or ("s.npz'" in said and "\n" not in said)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\0" * 999]
)
def test_other_files(content, tmp_path):
    (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is not a whole file of pmpnet"):
        pmpnet.load(tmp_path / "s.npz")


def test_other_npz(tmp_path):
    np.savez(tmp_path / "s.npz", controls=np.zeros((5, 6)))
    with pytest.raises(ValueError, match="is not a whole file of pmpnet"):
        pmpnet.load(tmp_path / "s.npz")


@pytest.mark.parametrize("description", [b"", b"\xff\xfe", b"[]", b"{}", b'{"format": "x"}', b"3"])
def test_other_descriptions(description, tmp_path):
    np.savez(tmp_path / "s.npz", pmpnet=np.frombuffer(description, np.uint8))
    with pytest.raises(ValueError, match="cannot be read as a solution"):
        pmpnet.load(tmp_path / "s.npz")


def test_newer_format(tmp_path):
    path, _ = saved(tmp_path)
    rewritten(path, lambda told, _: told.update(format=storage.FORMAT + 1, version="9.9"))
    with pytest.raises(ValueError, match=r"written by pmpnet 9\.9 in format 2.*update pmpnet"):
        pmpnet.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda told, arrays: told.pop("problem"),
        lambda told, arrays: told.pop("controls"),
        lambda told, arrays: told.update(unheard=1),
        lambda told, arrays: told.update(readouts=[]),
        lambda told, arrays: told["problem"]["dynamics"].update(dim=3),
        lambda told, arrays: told["problem"]["dynamics"].update({"$made": "system"}),
        lambda told, arrays: told["problem"]["dynamics"].update({"$made": "os.system"}),
        lambda told, arrays: told["problem"]["dynamics"].update(activation="exec"),
        lambda told, arrays: told["problem"].update(running_cost="__class__"),
        lambda told, arrays: told["problem"].update(dtype="object"),
        lambda told, arrays: arrays.pop("controls"),
        lambda told, arrays: arrays.update(controls=np.full((5, 6), np.nan)),
        lambda told, arrays: arrays.update(controls=np.zeros((4, 6))),
        lambda told, arrays: arrays.update({"problem.times": np.zeros(6)}),
        lambda told, arrays: arrays.update({"problem.targets": np.arange(24)}),
    ],
)
def test_contradictory_files(change, tmp_path):
    path, _ = saved(tmp_path)
    rewritten(path, change)
    with pytest.raises(ValueError, match="cannot be read as a solution, it is damaged"):
        pmpnet.load(path)


class Trap:
    """Runs when it is unpickled."""

    sprung = False

    @staticmethod
    def spring():
        Trap.sprung = True

    def __reduce__(self):
        return Trap.spring, ()


def test_nothing_is_executed(tmp_path):
    path, _ = saved(tmp_path)
    rewritten(path, lambda told, arrays: arrays.update(controls=np.array([Trap()], object)))
    with pytest.raises(ValueError, match="cannot be read as a solution"):
        pmpnet.load(path)
    np.save(tmp_path / "t.npy", np.array([Trap()], object))
    with pytest.raises(ValueError, match="is not a whole file of pmpnet"):
        pmpnet.load((tmp_path / "t.npy").rename(tmp_path / "t.npz"))
    assert not Trap.sprung


def test_solutions_only():
    with pytest.raises(TypeError, match="solution is 3: write what a method"):
        storage.save(3, "s.npz")


def test_large_readouts_and_copies(tmp_path):
    """Arrays that share memory, or are slices of others, are kept by value."""
    solution = solved()
    block = np.arange(24.0).reshape(4, 6)
    solution = replace(
        solution, annotations={"rows": block[::2], "column": block[:, 1], "T": block.T}
    )
    new = there_and_back(solution, tmp_path).annotations
    assert np.array_equal(new["rows"], block[::2])
    assert np.array_equal(new["column"], block[:, 1])
    assert np.array_equal(new["T"], block.T)
