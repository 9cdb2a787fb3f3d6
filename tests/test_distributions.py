"""What is given to others: a wheel of the package alone, and a source archive that can be tested."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEFTOVERS = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "_build", "results", "pmpnet-demo", "*.npz"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source, and the names in the wheel and in the source archive that are made of it.

    The wheel is made of the archive, which therefore lacks nothing.
    """
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=LEFTOVERS)
    given = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    for command in (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(folder / "venv/bin/pip"), "install", "--quiet", "build"],
        [str(folder / "venv/bin/python"), "-m", "build", "--outdir", str(folder), str(source)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        in_wheel = set(opened.namelist())
    with tarfile.open(archive) as opened:
        in_archive = {m.name.partition("/")[2] for m in opened.getmembers() if m.isfile()}
    return given, in_wheel, in_archive


@pytest.mark.slow
def test_the_wheel_is_the_package(built):
    given, wheel, _ = built
    package = {name for name in given if name.startswith("pmpnet/")}
    assert {"pmpnet/py.typed", "pmpnet/data/breast_cancer.csv"} <= package
    assert {name for name in wheel if ".dist-info/" not in name} == package
    assert {name.partition("/")[2] for name in wheel - package} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt",
    }  # fmt: skip


@pytest.mark.slow
def test_the_source_archive_can_be_tested(built):
    given, _, archive = built
    assert {"README.md", "conftest.py", "tests/problems.py", "tests/data/two_moons.csv"} <= given
    assert archive - given == {
        "PKG-INFO",
        *(n for n in archive if n.startswith("pmpnet.egg-info/")),
    }
    assert given <= archive
