"""The disk cache of compiled kernels: found again by the next process, never stale."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pmpnet
from pmpnet.kernels import jit

SOURCES = Path(pmpnet.__file__).parent

# one Euler step of x' = tanh(x) + 1/2 from x = 0.3: prints the digest of the sources and |x(1)|^2
SWEEP = """
import numpy as np
from pmpnet import losses, schemes, sweeps
from pmpnet.dynamics import Layer
from pmpnet.kernels.jit import sources_digest

none = np.empty((0, 0))
samples = sweeps.Samples(np.full((5, 1), 0.3), np.zeros((5, 1)), none, none, np.empty(0))
sweeper = sweeps.Sweeper(
    Layer(1), schemes.scheme("euler"), np.array([0.0, 1.0]), losses.Squared(), None, 1.0,
    np.float64, (1, 0),
)
print(sources_digest(), sweeper.run(samples, np.array([[1.0, 0.5]])).terminal)
"""


class Copy:
    """A copy of the package whose sources may be edited, with a cache of its own."""

    def __init__(self, folder):
        self.folder, self.cache = folder / "source", folder / "cache"
        shutil.copytree(
            SOURCES, self.folder / "pmpnet", ignore=shutil.ignore_patterns("__pycache__")
        )

    def run(self):
        """Run the sweep in a new process; return the digest, the cost and the compiled files."""
        env = dict(
            os.environ,
            PYTHONPATH=str(self.folder),
            PYTHONDONTWRITEBYTECODE="1",
            PMPNET_CACHE_DIR=str(self.cache),
        )
        done = subprocess.run(
            [sys.executable, "-c", SWEEP],
            cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        digest, cost = done.stdout.split()
        compiled = {p: p.stat().st_mtime_ns for p in self.cache.rglob("*.nbc")}
        return digest, float(cost), compiled

    def edit(self, file, old, new):
        path = self.folder / "pmpnet" / "kernels" / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
def test_an_edited_formula_is_compiled_anew_and_an_unchanged_one_is_found_again(tmp_path):
    package = Copy(tmp_path)
    digest, cost, compiled = package.run()
    assert cost == pytest.approx((0.3 + np.tanh(0.3) + 0.5) ** 2, rel=1e-14)
    assert len(compiled) == 1
    assert package.run() == (digest, pytest.approx(cost, rel=1e-14), compiled)
    # a file that the sweep's own file imports, two steps away
    package.edit("activations.py", "s[m] = tanh(x[m])", "s[m] = tanh(x[m]) + real(3)")
    edited, cost, both = package.run()
    assert edited != digest
    assert cost == pytest.approx((0.3 + np.tanh(0.3) + 3.5) ** 2, rel=1e-14)
    assert len(both) == 2
    assert compiled.items() <= both.items()


def test_the_digest_covers_every_kernel_file(tmp_path, monkeypatch):
    shutil.copytree(SOURCES / "kernels", tmp_path / "kernels")
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "kernels" / "jit.py"))
    digest = jit.sources_digest.__wrapped__
    seen = [digest()]
    assert digest() == seen[0]
    assert jit.sources_digest() == jit.sources_digest()
    for path in sorted((tmp_path / "kernels").glob("*.py")):
        path.write_text(path.read_text() + "\n")
        seen.append(digest())
    assert len(seen) > 8
    assert len(set(seen)) == len(seen)


def test_the_cache_folder_is_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PMPNET_CACHE_DIR", str(tmp_path / "here"))
    assert jit.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("PMPNET_CACHE_DIR")
    if sys.platform == "win32":
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path in jit.cache_folder().parents
    assert "pmpnet" in jit.cache_folder().parts


def test_a_cache_that_cannot_be_written_warns_and_goes_on(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    code = (
        "import numpy as np\n"
        "from pmpnet.kernels.jit import compiled\n"
        "twice = compiled('twice')(lambda x: 2 * x)\n"
        "print(twice(21))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PMPNET_CACHE_DIR": str(tmp_path / "file" / "below")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "42", done.stderr
    assert "every process will compile anew" in done.stderr


TWICE = "from pmpnet.kernels.jit import compiled; print(compiled('twice')(lambda x: 2 * x)(21))"


def twice(folder):
    """Run a kernel in a new process; return the digests of the files in its cache, and its warnings."""
    done = subprocess.run(
        [sys.executable, "-c", TWICE], env={**os.environ, "PMPNET_CACHE_DIR": str(folder)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "42", done.stderr
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*.nb?")}, done.stderr


compiles = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
of_users = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users here")


@compiles
@of_users
def test_compiled_code_is_private(tmp_path):
    files, _ = twice(tmp_path)
    (folder,) = {path.parent for path in files}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert twice(tmp_path)[0] == files
    folder.chmod(0o777)  # now anybody may have written what is there
    again, said = twice(tmp_path)
    assert again == files
    assert "others may write to" in said
    assert "every process will compile anew" in said


@compiles
@of_users
@pytest.mark.skipif("os.geteuid() != 0", reason="only root gives files away")
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_files_of_other_users_are_not_run(kind, tmp_path):
    files, _ = twice(tmp_path)
    (file,) = (path for path in files if path.suffix == f".{kind}")
    os.chown(file, 12345, 12345)
    again, said = twice(tmp_path)
    if kind == "nbc":  # written anew, by this user
        assert file.stat().st_uid == os.getuid()
        assert twice(tmp_path)[0] == again
    else:
        assert "belongs to another user" in said
        assert again == files


@compiles
def test_a_flipped_bit_is_not_run(tmp_path):
    files, _ = twice(tmp_path)
    (file,) = (path for path in files if path.suffix == ".nbc")
    _, whole = files[file]
    for place in (0, 40, len(whole) // 2, len(whole) - 1):
        flipped = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        file.write_bytes(flipped)
        mended, _ = twice(tmp_path)
        assert mended[file][1] != flipped
        assert twice(tmp_path)[0] == mended
