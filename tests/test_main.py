"""The command line, as its users meet it: results, sentences, exit codes."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import pmpnet
from pmpnet.__main__ import main


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a model goes that is given no name

    def write(rows, name="table.csv"):
        path = tmp_path / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return str(path)

    return write


def labelled(count=60):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 2))
    kinds = np.where(x[:, 0] > 0, "up", "down")
    return [
        ["a", "b", "kind"],
        *([*map(str, row), kind] for row, kind in zip(x, kinds, strict=True)),
    ]


def run(capsys, *arguments):
    code = main(list(arguments))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_train_and_info(write, tmp_path, capsys):
    model = tmp_path / "model.npz"
    code, out, err = run(capsys, "train", write(labelled()), "--target", "kind",
                         "--out", str(model),)  # fmt: skip
    assert (code, err) == (0, "")
    assert "60 rows, 2 columns; 'kind' has 2 classes" in out
    assert "held out" in out
    solution = pmpnet.load(model)
    assert solution.annotations["table"]["test_score"] >= 0.8
    code, out, _ = run(capsys, "info", str(model))
    assert code == 0
    assert "held out" in out
    assert "kind" in out


def test_a_regressor_learns_numbers(write, capsys):
    x = np.random.default_rng(1).uniform(-1, 1, (80, 2))
    rows = [["a", "b", "y"], *([a, b, a + 0.5 * b] for a, b in x)]
    code, out, _ = run(
        capsys,
        "train",
        write(rows),
        "--target",
        "y",
    )
    assert code == 0
    assert "'y' is a number" in out
    assert float(out.split(" trained on, ")[1].split()[0]) > 0.9


@pytest.mark.parametrize(
    ("change", "target", "sentence"),
    [
        (lambda r: r, "color", "a.*b.*kind"),
        (lambda r: [*r[:5], ["1", "many", "up"], *r[5:]], "kind", "many"),
        (lambda r: [*r[:5], ["1", "up"], *r[5:]], "kind", "table.csv"),
        (lambda r: [*r[:5], ["1", "", "up"], *r[5:]], "kind", "table.csv"),
        (lambda r: [*r[:5], ["1", "nan", "up"], *r[5:]], "kind", "row 5 .*has no value"),
        (lambda r: r[:1], "kind", "table.csv"),
        (lambda r: [], "kind", "empty"),
        (lambda r: [["a", "a", "kind"], *r[1:]], "kind", "a"),
        (lambda r: [r[0], *([a, b, "up"] for a, b, _ in r[1:])], "kind", "nothing to learn"),
        (lambda r: r[:4], "kind", "at least 10 are needed"),
    ],
)
def test_what_cannot_be_learnt_is_one_sentence(change, target, sentence, write, capsys):
    import re

    code, _, err = run(
        capsys,
        "train",
        write(change(labelled())),
        "--target",
        target,
    )
    assert code == 2
    assert "python -m pmpnet: " in err
    assert re.search(sentence, err), err
    assert "Traceback" not in err
    assert err.rstrip().count("\n") == 0


def test_missing_files_and_folders_are_named(tmp_path, capsys):
    for path in (tmp_path / "nowhere.csv", tmp_path):
        code, _, err = run(capsys, "train", str(path), "--target", "y")
        assert code == 2
        assert path.name in err
    code, _, err = run(capsys, "info", str(tmp_path / "nowhere.npz"))
    assert code == 2
    assert "nowhere.npz" in err


def test_bad_options_are_refused(write, capsys):
    path = write(labelled())
    for option, value in (
        ("--steps", "0"),
        ("--test-fraction", "2"),
        ("--l2", "-1"),
        ("--dim", "1"),
    ):
        code, _, err = run(capsys, "train", path, "--target", "kind", option, value)
        assert code == 2, option
        assert "Traceback" not in err


def test_constant_columns_do_no_harm(write, capsys):
    rows = [[*row[:2], "c" if i == 0 else "7", row[2]] for i, row in enumerate(labelled())]
    code, out, _ = run(
        capsys,
        "train",
        write(rows),
        "--target",
        "kind",
    )
    assert code == 0
    assert "3 columns" in out


def test_demo_shows_its_work(tmp_path, capsys):
    code, out, _ = run(capsys, "demo", "--quick", "--out", str(tmp_path / "demo"))
    assert code == 0
    assert "Two moons" in out
    assert "breast cancer" in out
    assert out.count("Certificate") == 2
    assert out.count("successive approximations  ") == 2
    found = {p.name for p in (tmp_path / "demo").iterdir()}
    assert {"two_moons_decision.png", "breast_cancer_convergence.png"} <= found


def test_help_and_version():
    for arguments, expected in (("--help", "demo"), ("--version", pmpnet.__version__)):
        done = subprocess.run(
            [sys.executable, "-m", "pmpnet", arguments], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert expected in done.stdout
