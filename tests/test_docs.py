"""Pages keep their word: their code runs, and prints what they say."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import pmpnet

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n+^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
NEEDS = {"pytorch": pytest.mark.torch, "many_machines": pytest.mark.slow}
NUMBER = re.compile(r"\d+\.\d*(?:e[-+]\d+)?|\d+e[-+]\d+")
ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def pages():
    for path in sorted([*DOCS.glob("*.md"), *DOCS.glob("theory/*.md")]):
        blocks = BLOCK.findall(path.read_text())
        if blocks:
            yield pytest.param(
                blocks, id=str(path.relative_to(DOCS)), marks=NEEDS.get(path.stem, ())
            )


def rounded(text):
    """Leave two digits of every number, and nothing of those that are rounding."""
    return NUMBER.sub(lambda n: f"{float(n[0]):.2g}" if float(n[0]) > 1e-6 else "0", text)


@pytest.mark.parametrize("blocks", list(pages()))
def test_the_code_of_a_page_runs_and_prints_what_it_says(blocks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code, said in blocks:
        exec(code, names)
        printed = capsys.readouterr().out
        assert doctest.OutputChecker().check_output(rounded(said), rounded(printed), ALIKE), printed


def documented(module):
    """Return the functions and classes of a module that show an example."""
    for name, value in vars(module).items():
        ours = (inspect.isfunction(value) or inspect.isclass(value)) and (
            value.__module__ == module.__name__
        )
        if ours and "\nExamples\n" in (inspect.getdoc(value) or ""):
            yield name


def public():
    """Return the full names of what users are told of."""
    for name in pmpnet.__all__:
        value = getattr(pmpnet, name)
        if inspect.ismodule(value):
            names = getattr(value, "__all__", None) or documented(value)
            yield from (f"{value.__name__}.{n}" for n in names)
        else:
            yield f"pmpnet.{name}"


def test_the_reference_has_every_public_name():
    told = set()
    for path in DOCS.glob("reference/*.rst"):
        module = ""
        for kind, name in re.findall(
            r"^\.\. (currentmodule|autofunction|autoclass):: (\S+)", path.read_text(), re.MULTILINE
        ):
            if kind == "currentmodule":
                module = name
            told.add(name if name.startswith("pmpnet.") else f"{module}.{name}")
    assert sorted(set(public()) - told) == []
