"""The command line, and the training on tables behind it."""

import errno
import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.metrics import r2_score

import pmpnet
from pmpnet import __main__ as cli
from pmpnet import datasets, solve, supervised, tables
from pmpnet.__main__ import main
from pmpnet.solution import INTERRUPTED

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def written(x, y, columns, name="table.csv", target="target", separator=","):
    """Write a table and return its path."""
    lines = [separator.join([*columns, target])]
    lines += [separator.join([*map(str, row), str(label)]) for row, label in zip(x, y, strict=True)]
    path = Path(name)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def small(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).round(3)
    return x, np.where(x[:, 0] + 0.2 * x[:, 1] > 0, "yes", "no"), ("a", "b", "c")


def wine():
    data = load_wine()
    return data.data, data.target_names[data.target], tuple(data.feature_names)


def refused(capsys, *argv):
    """Run a command that must fail, and return its one sentence."""
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m pmpnet: ")
    assert said.count("\n") == 1
    return said.removeprefix("python -m pmpnet: ").strip()


# ---------------------------------------------------------------------------- in a process


def run(*argv):
    return subprocess.run(
        [sys.executable, "-m", "pmpnet", *argv],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_processes():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"pmpnet {pmpnet.__version__}\n")
    done = run("train", "nothing.csv", "--target", "y")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "there is no file 'nothing.csv'" in done.stderr


def test_output_that_nobody_reads():
    path = written(*small())
    command = f"{sys.executable} -m pmpnet train {path} --target target --max-iter 1 | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=120, cwd=".",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.startswith("table.csv: 40 rows")
    said = done.stderr.splitlines()
    assert all(line.startswith("python -m pmpnet: not converged after 1 iter") for line in said)
    assert pmpnet.load("table").nit == 1


class Closed(io.StringIO):
    """A pipe that nobody reads."""

    def flush(self):
        raise BrokenPipeError


def test_a_pipe_that_is_closed_before_the_end(monkeypatch):
    """The model is saved all the same."""
    path = written(*small())
    taken = []
    monkeypatch.setattr(os, "dup2", lambda *files: taken.append(files))
    monkeypatch.setattr(sys, "stdout", closed := Closed())
    monkeypatch.setattr(closed, "fileno", lambda: 1, raising=False)
    assert main(["train", path, "--target", "target", "--max-iter", "1"]) == 0
    assert [file for _, file in taken] == [1]
    os.close(taken[0][0])
    assert pmpnet.load("table").nit == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("demo", "gap residual"),
        ("train", "Certificate accuracy"),
        ("predict", "COLUMN P(CLASS)"),
        ("compare", "gap residual sweeps"),
        ("info", "train"),
    ],
)
def test_help(command, words, capsys):
    for argv in ([command, "--help"], ["--help"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 0
        said = capsys.readouterr().out
        assert f"  python -m pmpnet {command}" in said
        assert max(map(len, said.splitlines())) <= 100
        assert all(word in said for word in words.split()) or argv == ["--help"]
    for status in (0, 1, 2, 130):
        assert f"\n  {status} " in said


def test_examples_of_help_are_understood():
    """What the help tells to write can be written."""
    parser = cli._parser()
    texts = (cli.TRAIN_END, cli.PREDICT_END, cli.COMPARE_END, cli.INFO_END, cli.DEMO_END)
    for text in texts:
        lines = [line.strip() for line in text.splitlines()]
        found = [
            line for line in lines if line.startswith("python -m pmpnet") and "--help" not in line
        ]
        assert found
        for line in found:
            words = line.partition(" (")[0].partition("|")[0].partition(">")[0].split()
            parser.parse_args(words[3:])


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["train", "x.csv"], "the following arguments are required: --target"),
        (["train", "x.csv", "--target", "y", "--steps", "few"], "invalid int value: 'few'"),
        (["train", "x.csv", "--target", "y", "--task", "guess"], "invalid choice: 'guess'"),
    ],
)
def test_usage(argv, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


# ------------------------------------------------------------------------------------ demo


def test_demo(capsys):
    assert main(["demo", "--quick", "--out", "figures/here"]) == 0
    said = capsys.readouterr().out
    for word in ("Two moons", "Wisconsin", "Adam", "Hamiltonian gap", "Taylor slope", "residual"):
        assert word in said
    assert said.count("Certificate") == 2
    drawn = sorted(path.name for path in Path("figures/here").iterdir())
    assert {"two_moons_decision.png", "breast_cancer_convergence.png"} <= set(drawn)
    assert len(drawn) >= 5
    for name in drawn:
        assert name in said
        assert Path("figures/here", name).read_bytes().startswith(b"\x89PNG")
    assert str(Path("figures/here").resolve()) in said


def test_demo_tells_the_truth(capsys):
    """The rows of the table: ours converges, and is not above Adam."""
    main(["demo", "--quick", "--out", "."])
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line.startswith(("  succ", "  Adam "))]
    assert len(rows) == 4
    for ours, adam in (rows[:2], rows[2:]):
        cost, _, residual, *_, accuracy = ours[2:]
        assert float(cost) <= float(adam[1]) + 1e-6
        assert float(residual) < 1e-5
        assert float(accuracy.rstrip("%")) > 95


def test_demo_into_a_file(capsys):
    Path("taken").write_text("")
    assert refused(capsys, "demo", "--out", "taken") == "--out='taken' is a file: give a folder."


# --------------------------------------------------------------------------------- compare


def test_compare_of_two_moons(capsys):
    argv = "--methods msa adam:learning_rate=0.1 --max-iter 60 --figure f.svg --json"
    assert main(["compare", *argv.split()]) == 0
    document, said = capsys.readouterr()
    assert "Problem: 1000 samples" in said
    assert "Comparison of 2 methods, the lowest cost by msa" in said
    assert "test score" in said
    assert "adam:learning_rate=0.1: not converged after 60 iterations" in said
    assert "<svg" in Path("f.svg").read_text()[:1000]
    told = json.loads(document)
    assert told["best"] == "msa"
    ours, adam = told["methods"]
    assert (ours["name"], adam["name"]) == ("msa", "adam:learning_rate=0.1")
    for row in told["methods"]:
        assert len(row["history"]["cost"]) >= 2
        assert min(row["history"]["cost"]) == row["cost"]
        assert row["history"]["sweeps"][-1] == row["sweeps"]
        assert row["history"]["rho"] == [None] * 61 or row is ours
        assert f"{row['cost']:.8g}" in said
    assert ours["above"] == 0.0 < adam["above"] == adam["cost"] - ours["cost"]
    assert ours["history"]["cost"][0] == adam["history"]["cost"][0]


def test_compare_on_a_table(capsys):
    path = written(*small())
    argv = ["--target", "target", "--methods", "msa", "msa:variant=proximal", "--sweeps", "30"]
    assert main(["compare", path, *argv, "--seed", "3", "--json"]) == 0
    document, said = capsys.readouterr()
    assert "its budget of 30 sweeps spent" in said
    rows = json.loads(document)["methods"]
    held = tables.train(tables.read(path, "target"), seed=3, max_iter=500, tol=1e-6)
    assert rows[0]["history"]["cost"][0] == pytest.approx(held.history["cost"][0])
    assert [row["name"] for row in rows] == ["msa", "msa:variant=proximal"]
    main(["compare", path, *argv[:4], "--seed", "3", "--json"])
    (row,) = json.loads(capsys.readouterr().out)["methods"]
    assert row["cost"] == pytest.approx(held.cost, rel=1e-6)
    assert row["score"] == held.annotations["table"]["test_score"]


@pytest.mark.parametrize("data", ["circles", "spirals", "breast_cancer"])
def test_compare_of_shipped_data(data, capsys):
    assert main(["compare", "--data", data, "--methods", "lbfgs", "--max-iter", "3"]) == 0
    assert "Comparison of 1 method, the lowest cost by lbfgs" in capsys.readouterr().out


def test_compare_tells_what_failed(capsys, monkeypatch):
    def breaks(problem, start):
        raise RuntimeError("the machine is tired")

    monkeypatch.setattr(solve, "sgd", breaks)
    argv = ["compare", "--methods", "sgd", "msa", "--max-iter", "2", "--json"]
    assert main(argv) == 1
    document, said = capsys.readouterr()
    assert "sgd failed: RuntimeError: the machine is tired" in said
    row = json.loads(document)["methods"][0]
    assert (row["cost"], row["message"]) == (None, "failed: the machine is tired")


def test_a_comparison_that_is_interrupted_is_none(capsys, monkeypatch):
    def breaks(problem, start):
        return replace(solve.msa(problem, max_iter=0), status=INTERRUPTED)

    monkeypatch.setattr(solve, "sgd", breaks)
    assert main(["compare", "--methods", "sgd", "msa", "--max-iter", "2"]) == 130
    assert capsys.readouterr().err == "python -m pmpnet: interrupted.\n"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("--methods magic", "--methods='magic' is not known: write one of 'adam', "),
        ("--methods msa:variant", "has an option without a value: write them as in adam:"),
        ("--methods msa:step=1", "msa:step=1: "),
        ("--methods newton", "newton: the problem has a trained readout"),
        ("--methods msa msa:variant=nonsense", "variant='nonsense' is not known"),
        ("x.csv", "'x.csv' has no target: write --target COLUMN"),
        ("x.csv --target y", "there is no file 'x.csv'"),
        ("x.csv --target y --data circles", "give a file or a built-in data set"),
        ("--target y", "--target y is of no file"),
        ("--figure f.txt", "--figure='f.txt' is no figure: write a name that ends in .png"),
        ("--figure none/f.svg", "--figure='none/f.svg': the folder"),
        ("--sweeps 0", "budget in sweeps"),
        ("--max-iter -1", "max_iter=-1 is too small"),
        ("--seed -1", "--seed=-1 is too small"),
    ],
)
def test_compare_refuses(argv, sentence, capsys):
    assert sentence in refused(capsys, "compare", *argv.split())
    assert not list(Path().iterdir())


# ----------------------------------------------------------------------------------- train


def test_train_and_info(capsys):
    path = written(*wine(), name="wine.csv", target="cultivar")
    assert main(["train", path, "--target", "cultivar"]) == 0
    said = capsys.readouterr().out
    assert "wine.csv: 178 rows, 13 columns; 'cultivar' has 3 classes: class_0 (59)" in said
    assert "saved as wine.npz" in said
    assert "Certificate" in said
    solution = pmpnet.load("wine.npz")
    info = solution.annotations["table"]
    assert info["columns"] == list(wine()[2])
    assert info["test_score"] > 0.9
    assert f"{info['test_score']:.4f} on the 36 held out" in said
    assert f"{info['baseline']:.4f}" in said

    assert main(["info", "wine.npz"]) == 0
    told = capsys.readouterr().out
    for word in ("Layer(16, 'sin')", "Taylor slope", "exactly zero", "malic_acid", "class_2"):
        assert word in told
    assert f"{solution.cost:.10g}" in told
    assert main(["info", "wine"]) == 0


def test_what_scripts_read(capsys):
    """One document on the standard output, words beside it, the same of train and of info."""
    path = written(*wine(), name="wine.csv", target="cultivar")
    argv = ["train", path, "--target", "cultivar", "--max-iter", "3", "--out", "m", "--json"]
    assert main(argv) == 0
    document, said = capsys.readouterr()
    assert "saved as m.npz" in said
    told, solution = json.loads(document), pmpnet.load("m")
    reached = f"residual {solution.history['residual'][-1]:.3g}"
    assert said.endswith(f"not converged after 3 iterations: {reached}, asked for 0.0001.\n")
    certificate, info = pmpnet.verify(solution.problem, solution), solution.annotations["table"]
    assert told["success"] is False
    assert (told["cost"], told["sweeps"]) == (solution.cost, solution.nfev + solution.njev)
    assert told["certificate"]["gap"] == certificate.gap
    assert told["classes"] == ["class_0", "class_1", "class_2"]
    for name in ("columns", "rows", "test_score", "baseline"):
        assert told["table"][name] == info[name]
    assert main(["info", "m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**told, "model": "m"}


def test_a_solve_that_fails(capsys):
    argv = ["train", written(*small()), "--target", "target", "--horizon", "1e200", "--json"]
    assert main(argv) == 1
    document, said = capsys.readouterr()
    assert "non-finite" in said.splitlines()[-1]
    assert json.loads(document)["certificate"]["gap"] is None


def test_interrupted_training_writes_nothing(capsys, monkeypatch):
    found = tables.train(table(60), max_iter=0)
    stopped = replace(found, status=INTERRUPTED)
    monkeypatch.setattr(tables, "train", lambda *_, **__: stopped)
    path = written(*small())
    assert main(["train", path, "--target", "target"]) == 130
    assert capsys.readouterr().err == "python -m pmpnet: interrupted.\n"
    assert [file.name for file in Path().iterdir()] == [path]


def test_not_enough_memory(capsys, monkeypatch):
    def large(*_, **__):
        raise MemoryError("8 GiB")

    monkeypatch.setattr(tables, "train", large)
    said = refused(capsys, "train", written(*small()), "--target", "target")
    assert said == "not enough memory (8 GiB): leave out rows or columns, or take fewer steps."


# --------------------------------------------------------------------------------- predict


@pytest.fixture
def trained(capsys):
    """A table, and a model of it in m.npz."""
    x, y, columns = small()
    path = written(x, y, columns)
    main(["train", path, "--target", "target", "--max-iter", "3", "--out", "m"])
    capsys.readouterr()
    return x, path, pmpnet.load("m")


def test_predict(trained, capsys):
    x, path, model = trained
    labels, chances = tables.predict(model, x), tables.predict_proba(model, x)
    assert main(["predict", path, "--model", "m.npz"]) == 0
    assert capsys.readouterr() == ("\n".join(["target", *labels]) + "\n", "")

    argv = ["predict", path, "--model", "m", "--probabilities"]
    assert main([*argv, "--out", "said.csv"]) == 0
    assert capsys.readouterr().out == "40 predictions written to said.csv\n"
    head, *rows = [line.split(",") for line in Path("said.csv").read_text().splitlines()]
    assert head == ["target", "P(no)", "P(yes)"]
    assert [row[0] for row in rows] == labels.tolist()
    assert np.array_equal(np.array(rows)[:, 1:].astype(float), chances)  # to the last bit
    assert np.allclose(chances.sum(axis=1), 1)
    assert np.array_equal(chances[:, 1] > 0.5, labels == "yes")

    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["target"]) == ("m", "target")
    assert told["predictions"] == labels.tolist()
    assert told["probabilities"] == {"no": chances[:, 0].tolist(), "yes": chances[:, 1].tolist()}


def test_predict_finds_its_columns(trained, capsys):
    """By name, whatever stands beside them."""
    x, _, model = trained
    lines = ["c;name;a;b", *(f"{c};Ada, {i};{a};{b}" for i, (a, b, c) in enumerate(x.tolist()))]
    Path("new.csv").write_text("\n".join(lines))
    assert main(["predict", "new.csv", "--model", "m"]) == 0
    assert capsys.readouterr().out.split()[1:] == tables.predict(model, x).tolist()


def test_predict_numbers(capsys):
    x = np.random.default_rng(1).uniform(-1, 1, (80, 2))
    path = written(x, x[:, 0] + 0.5 * x[:, 1], "ab")
    main(["train", path, "--target", "target", "--max-iter", "3", "--out", "m"])
    capsys.readouterr()
    assert main(["predict", path, "--model", "m"]) == 0
    found = capsys.readouterr().out.splitlines()[1:]
    assert np.array_equal(np.array(found, float), tables.predict(pmpnet.load("m"), x))
    said = refused(capsys, "predict", path, "--model", "m", "--probabilities")
    assert said == "this model predicts numbers: they have no probabilities, leave them out."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "a,b\n1,2\n",
            "'t.csv' has no column 'c', which the model was trained on; it has 'a', 'b'.",
        ),
        ("a,b,c,b\n1,2,3,4\n", "'t.csv' has several columns named 'b': rename all but one."),
        ("a,b,c\n1,2\n", "row 1 (line 2) of 't.csv' has 2 cell(s) for 3 columns"),
        ("x,c,b,a\n,1,,2\n", "row 1 (line 2), column 'b' of 't.csv' has no value"),
        ("a,b,c\n", "'t.csv' has 0 row(s) below its header: at least 1"),
        ("", "'t.csv' is empty"),
    ],
)
def test_predict_refuses_tables(content, sentence, trained, capsys):
    Path("t.csv").write_text(content)
    assert sentence in refused(capsys, "predict", "t.csv", "--model", "m", "--out", "said.csv")
    assert not Path("said.csv").exists()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("none.csv --model m", "there is no file 'none.csv': check the name and the folder."),
        ("table.csv --model none", "there is no file 'none.npz'"),
        ("table.csv --model .", "path='.' is a folder"),
        ("table.csv --model table.csv", "'table.csv' is not a whole file of pmpnet"),
        ("m.npz --model m", "'m.npz' is not a CSV file in UTF-8"),
        ("table.csv --model m --out table.csv", "--out='table.csv' is the file that is read"),
        ("table.csv --model m --out m.npz", "--out='m.npz' is the file that is read"),
        ("table.csv --model m --out none/x.csv", "--out='none/x.csv': the folder"),
        ("table.csv --model m --out .", "--out='.' is a folder"),
    ],
)
def test_predict_refuses_files(argv, sentence, trained, capsys):
    before = {file.name: file.read_bytes() for file in Path().iterdir()}
    assert sentence in refused(capsys, "predict", *argv.split())
    assert before == {file.name: file.read_bytes() for file in Path().iterdir()}


def test_predict_with_other_solutions(capsys):
    x, y = datasets.diffeomorphism_grid(5)
    problem = pmpnet.Problem(
        pmpnet.dynamics.LinearControl(2), x, y, terminal_cost=pmpnet.losses.Squared()
    )
    solve.msa(problem, max_iter=0).save("flow.npz")
    said = refused(capsys, "predict", written(*small()), "--model", "flow")
    assert said.startswith("this solution was not trained on a table")


def test_info_of_other_solutions(capsys):
    x, y = datasets.diffeomorphism_grid(5)
    problem = pmpnet.Problem(
        pmpnet.dynamics.LinearControl(2), x, y, terminal_cost=pmpnet.losses.Squared()
    )
    solve.msa(problem, max_iter=2).save("flow.npz")
    assert main(["info", "flow.npz"]) == 0
    told = capsys.readouterr().out
    assert "LinearControl(2, 'constant')" in told
    assert "Table" not in told
    Path("other.npz").write_text("text")
    assert "is not a whole file of pmpnet" in refused(capsys, "info", "other.npz")
    assert "there is no file 'none.npz'" in refused(capsys, "info", "none")


def test_options_reach_the_model(capsys):
    path = written(*small())
    argv = "--steps 7 --horizon 2 --dim 6 --activation relu --l1 0.01 --l2 0.02 --seed 3"
    argv += " --test-fraction 0.5 --max-iter 4 --spread 0 --out deep/model"
    Path("deep").mkdir()
    assert main(["train", path, "--target", "target", *argv.split()]) == 0
    assert "saved as deep/model.npz" in capsys.readouterr().out.replace("\\", "/")
    problem = pmpnet.load("deep/model").problem
    assert problem.control_shape == (7, 42)
    assert repr(problem.dynamics) == "Layer(6, 'relu')"
    assert repr(problem.control_cost) == "L2(0.02) + L1(0.01)"
    assert problem.times[-1] == 2.0
    assert problem.samples.count == 20


def test_l1_makes_zeros(capsys):
    path = written(*small())
    main(["train", path, "--target", "target", "--l1", "0.02", "--out", "m.npz"])
    assert np.mean(pmpnet.load("m.npz").controls == 0) > 0.5


def test_regression(capsys):
    data = load_diabetes()
    path = written(data.data, data.target, data.feature_names, target="progression")
    assert main(["train", path, "--target", "progression", "--out", "m"]) == 0
    said = capsys.readouterr().out
    assert "'progression' is a number, from 25 to 346" in said
    assert "R2: " in said
    solution = pmpnet.load("m")
    info = solution.annotations["table"]
    assert 0.3 < info["test_score"] < 0.8
    parts = tables.split(tables.read(path, "progression"))
    held = parts.test
    found = tables.predict(solution, data.data[held])
    assert info["test_score"] == pytest.approx(r2_score(data.target[held], found))
    assert found.mean() == pytest.approx(data.target.mean(), rel=0.2)
    assert main(["info", "m.npz"]) == 0
    assert "regression of 'progression'" in capsys.readouterr().out


def test_a_regressor_learns_numbers(capsys):
    x = np.random.default_rng(1).uniform(-1, 1, (80, 2))
    path = written(x, x[:, 0] + 0.5 * x[:, 1], "ab")
    assert main(["train", path, "--target", "target"]) == 0
    said = capsys.readouterr().out
    assert "'target' is a number" in said
    assert float(said.split(" trained on, ")[1].split()[0]) > 0.9


def test_task_is_seen_or_told():
    x, *_ = small()
    few, many = np.arange(40) % 4, np.arange(40)
    for y, task, kind in (
        (few, "classification", "i"),
        (many, "regression", "f"),
        (x[:, 0], "regression", "f"),
        (np.where(few > 1, "high", "low"), "classification", "U"),
        (few + 0.5, "regression", "f"),
        (few.astype(float), "classification", "i"),
    ):
        table = tables.read(written(x, y, "abc"), "target")
        assert (table.task, table.y.dtype.kind) == (task, kind)
    table = tables.read(written(x, few, "abc"), "target", "regression")
    assert (table.task, table.y.dtype.kind) == ("regression", "f")
    table = tables.read(written(x, few + 0.5, "abc"), "target", "classification")
    assert np.unique(table.y).tolist() == ["0.5", "1.5", "2.5", "3.5"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(separator):
    x, y, columns = small()
    table = tables.read(written(x, y, columns, separator=separator), "target")
    assert np.array_equal(table.x, x)
    assert table.columns == columns


def test_the_target_may_stand_anywhere():
    Path("t.csv").write_text("a,kind,b\n" + "1,x,2\n3,y,4\n" * 5)
    table = tables.read("t.csv", "kind")
    assert table.columns == ("a", "b")
    assert table.x[:2].tolist() == [[1, 2], [3, 4]]
    assert table.y[:2].tolist() == ["x", "y"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_as_spreadsheets_write_them(end):
    lines = ["\ufeff a ,b,größe", "", *['"1.5",-2e3,"x"', " 3 ,4,y", ",,"] * 5, ""]
    Path("t.csv").write_bytes(end.join(lines).encode())
    table = tables.read("t.csv", "größe")
    assert table.columns == ("a", "b")
    assert table.x[:2].tolist() == [[1.5, -2000], [3, 4]]
    assert len(table.x) == 10


BAD = {
    "empty": ("", "'t.csv' is empty: write a header and one row per sample."),
    "blank": ("\n\n  \n", "'t.csv' is empty: write a header and one row per sample."),
    "header only": (
        "a,b,y\n",
        "'t.csv' has 0 row(s) below its header: at least 10 are needed.",
    ),
    "few rows": ("a,b,y\n1,2,x\n", "'t.csv' has 1 row(s) below its header: at least 10"),
    "no such column": ("a,b\n1,2\n", "'t.csv' has no column 'y'; it has 'a', 'b'."),
    "twice": ("a,a,y\n1,2,x\n", "'t.csv' has several columns named 'a': rename all but one."),
    "target twice": ("y,a,y\n1,2,x\n", "'t.csv' has several columns named 'y'"),
    "no name": (",a,y\n1,2,x\n", "column 1 of 't.csv' has no name: name it in the first line"),
    "target only": ("y\n1\n", "'t.csv' has the target 'y' only: add columns"),
    "short row": (
        "a,b,y\n" + "1,2,x\n" * 12 + "1,2\n",
        "row 13 (line 14) of 't.csv' has 2 cell(s) for 3 columns",
    ),
    "long row": (
        "a,b,y\n1,2,x,4\n" + "1,2,x\n" * 12,
        "row 1 (line 2) of 't.csv' has 4 cell(s) for 3 columns",
    ),
    "text": (
        "a,b,y\n" + "1,2,x\n" * 12 + "1,blue,x\n",
        "row 13 (line 14), column 'b' of 't.csv' holds 'blue', which is not a finite number",
    ),
    "missing": (
        "a,b,y\n\n" + "1,2,x\n" * 12 + "1,,x\n",
        "row 13 (line 15), column 'b' of 't.csv' has no value: fill it in",
    ),
    "NA": ("a,b,y\n" + "1,NA,x\n" * 12, "row 1 (line 2), column 'b' of 't.csv' has no value"),
    "nan": ("a,b,y\n" + "nan,1,x\n" * 12, "row 1 (line 2), column 'a' of 't.csv' has no value"),
    "inf": ("a,b,y\n" + "1,inf,x\n" * 12, "column 'b' of 't.csv' holds 'inf', which is not"),
    "underscores": ("a,b,y\n" + "1,1_0,x\n" * 12, "column 'b' of 't.csv' holds '1_0'"),
    "missing target": (
        "a,b,y\n" + "1,2,x\n" * 12 + "1,2,\n",
        "row 13 (line 14), column 'y' of 't.csv' has no value",
    ),
    "one class": (
        "a,b,y\n" + "1,2,x\n" * 12,
        "column 'y' has the same value in all 12 rows: there is nothing to learn",
    ),
    "names": (
        "a,b,y\n" + "".join(f"1,2,n{i}\n" for i in range(12)),
        "column 'y' has 12 classes in 12 rows, too many to learn",
    ),
    "constant number": ("a,b,y\n" + "1,2,0.5\n" * 12, "column 'y' has the same value"),
    "quotes": ('a,b,y\n"1,2,x\n', "row 1 (line 2) of 't.csv' has 1 cell(s) for 3 columns"),
    "wide": (
        ",".join([*map(str, range(1000)), "y"]) + "\n",
        "'t.csv' has 1001 columns, more than 1000: leave out some.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables(name, capsys):
    content, sentence = BAD[name]
    Path("t.csv").write_text(content)
    said = refused(capsys, "train", "t.csv", "--target", "y")
    assert sentence in said
    assert [path.name for path in Path().iterdir()] == ["t.csv"]


def test_bad_files(capsys):
    Path("folder.csv").mkdir()
    said = refused(capsys, "train", "folder.csv", "--target", "y")
    assert said == "path='folder.csv' is a folder: give the file in it."
    said = refused(capsys, "train", "none.csv", "--target", "y")
    assert said == "there is no file 'none.csv': check the name and the folder."
    Path("t.csv").write_bytes(b"a,b,y\n\xff\xfe\x00,1,2\n")
    said = refused(capsys, "train", "t.csv", "--target", "y")
    assert said.startswith("'t.csv' is not a CSV file in UTF-8")
    for text in ("a,b,y\n1,2,3\n".encode("utf-16-le"), b"a,b,y\n1,2,x\n1,2,x\0\n"):
        Path("t.csv").write_bytes(text)  # labels that differ in what NumPy's text leaves out
        assert "'t.csv' is not a CSV file" in refused(capsys, "train", "t.csv", "--target", "y")
    Path("t.csv").write_text("a,b,y\n" + "1" * 200_000 + ",2,3\n")
    assert "'t.csv' is not a CSV file" in refused(capsys, "train", "t.csv", "--target", "y")


def test_files_that_the_system_keeps(capsys, monkeypatch):
    def kept(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    path = written(*small())
    monkeypatch.setattr(Path, "open", kept)
    said = refused(capsys, "train", path, "--target", "target")
    assert said == "'table.csv' cannot be read or written: Permission denied."

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: kept(dir))
    said = refused(capsys, "train", path, "--target", "target", "--out", "m")
    assert said == "--out='m.npz' cannot be written (Permission denied): choose another folder."


def test_large_files(capsys, monkeypatch):
    """Of files the size is asked for; of what has none, no more is read."""
    path = written(*small())
    size = Path(path).stat().st_size
    monkeypatch.setattr(tables, "MOST_BYTES", size)
    whole = tables.read(path, "target")
    monkeypatch.setattr(tables, "MOST_BYTES", size - 1)
    said = refused(capsys, "train", path, "--target", "target")
    assert said.startswith("'table.csv' is larger than the 0 MiB that are read: leave out rows")
    for most, refuses in ((size, False), (size - 1, True)):
        monkeypatch.setattr(tables, "MOST_BYTES", most)
        read, write = os.pipe()
        with os.fdopen(write, "wb") as pipe:
            pipe.write(Path(path).read_bytes())
        with pytest.raises(ValueError, match="is larger than") if refuses else nullcontext():
            assert np.array_equal(tables.read(f"/dev/fd/{read}", "target").x, whole.x)
        os.close(read)


def test_text_where_a_regression_needs_numbers(capsys):
    path = written(*small())
    said = refused(capsys, "train", path, "--target", "target", "--task", "regression")
    assert "column 'target' of 'table.csv' holds" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--test-fraction 0", "test fraction=0.0 is too small"),
        ("--test-fraction 1.5", "test fraction=1.5 is too large"),
        ("--test-fraction 0.001", "a test fraction of 0.001 holds out no row"),
        ("--dim 3", "dim=3 is too small for 3 columns and 1 output(s): write at least 4"),
        ("--dim 0", "dim=0 is too small"),
        ("--steps 0", "steps=0 is too small"),
        ("--horizon -1", "horizon=-1.0 is too small"),
        ("--seed -1", "seed=-1 is too small"),
        ("--l1 -1", "weight has a negative entry (-1)"),
        ("--l2 nan", "weight has a value that is not finite"),
        ("--spread -1", "spread=-1.0 is too small"),
        ("--max-iter -1", "max_iter=-1 is too small"),
        ("--activation step", "activation='step' is not known: write one of"),
        ("--out none/m.npz", "--out='none/m.npz': the folder"),
        ("--out table.csv/m", "--out='table.csv/m.npz': the folder"),
        ("--out .", "is a folder"),
    ],
)
def test_bad_options(options, sentence, capsys):
    path = written(*small())
    assert sentence in refused(capsys, "train", path, "--target", "target", *options.split())
    assert [file.name for file in Path().iterdir()] == [path]


# ---------------------------------------------------------------------------------- tables


def table(rows=200, task="classification", seed=0):
    x, y, columns = small(rows, seed)
    return tables.Table(x, y if task == "classification" else x[:, 0] ** 2, columns, "y", task)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_split(fraction, seed):
    t = table()._replace(y=np.repeat(["a", "b", "c", "d"], [100, 60, 39, 1]))
    train, test = tables.split(t, fraction, seed)
    assert sorted([*train, *test]) == list(range(200))
    assert np.array_equal(train, np.sort(train))
    for name, count in (("a", 100), ("b", 60), ("c", 39), ("d", 1)):
        assert (t.y[test] == name).sum() == pytest.approx(fraction * count, abs=0.9)
        assert (t.y[train] == name).any()
    again, other = tables.split(t, fraction, seed), tables.split(t, fraction, seed + 1)
    assert np.array_equal(test, again.test)
    assert not np.array_equal(test, other.test)


def test_split_of_numbers():
    train, test = tables.split(table(task="regression"), 0.25)
    assert (len(train), len(test)) == (150, 50)


def test_test_rows_are_not_looked_at():
    """Whatever stands in the rows held out, the model is the same."""
    t = table()
    held = tables.split(t).test
    x, y = t.x.copy(), t.y.copy()
    x[held] = 1e6
    first, second = tables.train(t, max_iter=5), tables.train(t._replace(x=x, y=y), max_iter=5)
    assert np.array_equal(first.controls, second.controls)


@pytest.mark.parametrize("task", tables.TASKS)
def test_constant_columns(task):
    t = table(task=task)
    t = t._replace(x=np.c_[t.x, np.full(len(t.x), 0.1)], columns=(*t.columns, "same"))
    solution = tables.train(t)
    info = solution.annotations["table"]
    assert info["std"][-1] == 1.0
    assert np.isfinite(info["mean"]).all()
    assert info["test_score"] > 0.8


def test_scores_and_baseline():
    t = table()
    solution = tables.train(t)
    info, parts = solution.annotations["table"], tables.split(t)
    x, y = t.x[parts.test], t.y[parts.test]
    assert info["test_score"] == np.mean(tables.predict(solution, x) == y)
    assert info["test_score"] > info["baseline"]
    values, counts = np.unique(t.y[parts.train], return_counts=True)
    assert info["baseline"] == np.mean(y == values[counts.argmax()])
    assert info["rows"] == [160, 40]
    t = table(task="regression")
    info = tables.train(t).annotations["table"]
    assert abs(info["baseline"]) < 0.1


def test_a_saved_model_predicts_the_same(tmp_path):
    t = table()
    solution = tables.train(t, max_iter=10)
    solution.save(tmp_path / "m")
    again = pmpnet.load(tmp_path / "m")
    assert np.array_equal(tables.predict(again, t.x), tables.predict(solution, t.x))
    assert tables.score(again, t.x, t.y) == tables.score(solution, t.x, t.y)


def test_units_do_not_matter():
    t = table()
    scaled = t._replace(x=t.x * [1e-6, 1.0, 1e6] + [0.0, 5.0, -3e6])
    first, second = tables.train(t, max_iter=10), tables.train(scaled, max_iter=10)
    assert np.allclose(first.controls, second.controls, atol=1e-6)


@pytest.mark.parametrize("task", tables.TASKS)
def test_clouds(task):
    t = table(20, task)
    classes = t.y if task == "classification" else None
    rows, other, part = supervised._clouds(t.x, classes, 0.5, seed=0)
    assert len(rows) == 20 * supervised.MOST_COPIES
    assert np.array_equal(rows[:20], np.arange(20))
    assert not part[:20].any()
    assert part[20:].std() == pytest.approx(0.5, rel=0.2)
    distance = np.linalg.norm(t.x[:, None] - t.x[None], axis=2)
    if classes is not None:
        assert np.array_equal(classes[rows], classes[other])
        distance[classes[:, None] != classes[None]] = np.inf
    assert (rows != other).all()
    nearest = np.sort(distance, axis=1)[:, supervised.NEIGHBOURS]
    assert (distance[rows, other] <= nearest[rows] + 1e-12).all()


def test_clouds_of_small_classes_and_of_many_rows():
    x = np.arange(5.0)[:, None]
    _, other, _ = supervised._clouds(x, np.array(["a", "a", "a", "b", "a"]), 0.5, seed=0)
    assert (other[np.arange(len(other)) % 5 == 3] == 3).all()
    rows, _, part = supervised._clouds(np.zeros((supervised.CLOUD, 1)), None, 0.5, seed=0)
    assert len(rows) == supervised.CLOUD
    assert not part.any()
    assert len(supervised._clouds(x, None, 0.0, seed=0)[0]) == 5


def test_methods_and_their_options():
    t = table(60)
    how = dict(max_iter=20, tol=0.0)
    ours, adam = tables.train(t, **how), tables.train(t, method=solve.adam, **how)
    assert adam.method == "adam"
    assert adam.nit == 20
    assert ours.history["cost"][0] == adam.history["cost"][0]
    with pytest.raises(TypeError, match="has no option 'nonsense'"):
        tables.train(t, nonsense=1)


def test_predicting_with_other_solutions():
    x, y = datasets.two_moons(50)
    problem = pmpnet.Problem(
        pmpnet.dynamics.Layer(2), x, y, terminal_cost=pmpnet.losses.Logistic(readout="train")
    )
    with pytest.raises(ValueError, match="this solution was not trained on a table"):
        tables.predict(solve.msa(problem, max_iter=0), x)
    solution = tables.train(table(60), max_iter=1)
    with pytest.raises(
        ValueError, match="x has 2 columns, but the model was trained on 3: a, b, c"
    ):
        tables.predict(solution, x)


def test_wine_is_learnt():
    x, y, columns = wine()
    t = tables.Table(x, y, columns, "cultivar", "classification")
    found = [tables.train(t, seed=seed).annotations["table"]["test_score"] for seed in range(5)]
    assert np.median(found) >= 0.97


def test_the_shipped_table_is_learnt(capsys):
    path = str(datasets.breast_cancer_file())
    assert main(["train", path, "--target", "diagnosis", "--out", "m"]) == 0
    assert pmpnet.load("m").annotations["table"]["test_score"] > 0.94
