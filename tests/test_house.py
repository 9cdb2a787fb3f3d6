"""The house keeps its own rules: layers, style, a light import, a stand-alone README."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_imports_run_downward_only():
    code = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports(no_cache=True))"
    done = run("-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_style(command):
    done = run("-m", "ruff", *command, ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_is_light():
    code = (
        "import sys, pmpnet, pmpnet.solve; "
        "print([m for m in ('numba', 'scipy', 'casadi', 'matplotlib', 'tqdm') if m in sys.modules])"
    )
    done = run("-W", "error", "-c", code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_public_names_exist():
    import pmpnet

    for name in pmpnet.__all__:
        assert getattr(pmpnet, name) is not None
    assert set(pmpnet.__all__) <= set(dir(pmpnet))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pmpnet.nonsense


def test_defaults_are_those_that_the_pages_tell():
    said = {}
    for part in ("", ".solve", ".analysis", ".plot", ".losses", ".penalties", ".datasets",
                 ".dynamics", ".constraints"):  # fmt: skip
        for name, made in vars(importlib.import_module(f"pmpnet{part}")).items():
            if name.startswith("_") or not str(getattr(made, "__module__", "")).startswith(
                "pmpnet"
            ):
                continue
            page = inspect.getdoc(made) or ""
            for names, text in re.findall(r"^([\w, ]+) : .*, default (\S+)$", page, re.MULTILINE):
                taken = inspect.signature(made).parameters
                for argument in names.split(", "):
                    said[name, argument] = taken[argument].default, ast.literal_eval(text)
    assert len(said) > 50
    assert {key: pair for key, pair in said.items() if pair[0] != pair[1]} == {}


def test_the_readme_s_code_runs(capsys):
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["solution"].success
    assert names["solution"].horizon == pytest.approx(2.0, abs=1e-5)
    assert names["model"].score(names["x"], names["y"]) > 0.95
    assert "Hamiltonian gap" in capsys.readouterr().out
