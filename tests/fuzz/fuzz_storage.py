"""The reader of models: any file is a solution or is refused in a sentence, and runs no code.

Checksums would turn almost all mutations away, so that the file is written anew around what is
mutated: the description, an array's header, an array's values, or the bytes of the whole file.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import tempfile
import warnings
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["pmpnet", "json", "zipfile", "numpy.lib"]):
        import pmpnet
        import pmpnet.constraints
        import pmpnet.dynamics.symbolic
        import pmpnet.losses
        import pmpnet.storage
else:
    import pmpnet

import numpy as np

from pmpnet import solve
from tests.fuzz.driver import Choices, main, sentence
from tests.problems import translation
from tests.symbolic_problems import constrained, free_layer

MOST_MEMORY = 6 << 30  # of addresses
FOLDER = tempfile.TemporaryDirectory()
PATH = Path(FOLDER.name, "model.npz")
DESCRIPTION = pmpnet.storage.DESCRIPTION
# what nothing that reads a file has to do (a pickle's classes among them)
FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen",
    "socket.connect", "socket.bind", "pickle.find_class", "ctypes.dlopen", "os.remove", "shutil.rmtree",
)  # fmt: skip


class Guard:
    """Raises at what reading a file must not do, while it is up."""

    def __init__(self) -> None:
        self.up = False
        sys.addaudithook(self.heard)

    def heard(self, event: str, given: tuple) -> None:
        if self.up:
            writes = event == "open" and isinstance(given[1], str) and set(given[1]) & set("wax+")
            if event in FORBIDDEN or writes:
                raise AssertionError(f"reading a model did {event}{given}")

    def __enter__(self) -> None:
        self.up = True

    def __exit__(self, *_: Any) -> None:
        self.up = False


@cache
def guard() -> Guard:
    return Guard()


@cache
def models() -> tuple[dict[str, bytes], ...]:
    """Return the entries of files of several kinds."""
    problems = translation(), free_layer(), constrained()
    found = []
    for problem in problems:
        solution = solve.msa(problem, max_iter=0)
        solution.annotations["table"] = {"columns": ["a", "b"], "mean": np.zeros(2), "none": None}
        solution.save(PATH)
        with zipfile.ZipFile(PATH) as archive:
            found.append({name: archive.read(name) for name in archive.namelist()})
    return tuple(found)


def packed(entries: dict[str, bytes]) -> bytes:
    """Return a file of these entries, with checksums that are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """Return the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def places(tree: Any, inner: tuple = ()) -> list[tuple]:
    """Return the path to every entry of a tree."""
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [path for key, value in pairs for path in ((*inner, key), *places(value, (*inner, key)))]


PLAIN = (
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e-308, 1e308, "",
    "train", "tanh", "euler", "float32", "row", "a", [], {}, [[]], {"$float": "nan"}, {"$float": "inf"},
    {"$float": "-inf"}, {"$float": "x"}, {"$float": []}, {"$array": "controls"}, {"$array": "times"},
    {"$array": 3}, {"$array": None}, {"$made": "os.system"}, {"$made": []}, {"$made": None},
)  # fmt: skip


def value(choices: Choices, told: Any) -> Any:
    """Draw a value: a plain one, an ingredient, text of the bytes, or another part of the file."""
    kind = choices.below(8)
    if kind < 3:
        return choices.one_of(PLAIN)
    if kind == 3:
        made = {"$made": choices.one_of(sorted(pmpnet.storage.MAKERS))}
        return made | {choices.one_of(("dim", "weight", "u", "rows")): choices.one_of(PLAIN)}
    if kind == 4:
        return choices.bytes(choices.below(9)).decode("latin-1")
    if kind == 5:
        return int.from_bytes(choices.bytes(choices.below(9)), "little", signed=True)
    if kind == 6:
        return [value(choices, told) for _ in range(choices.below(4))]
    found: Any = told
    for key in choices.one_of(places(told)):
        found = found[key]
    return json.loads(json.dumps(found))


OTHERS = (
    lambda a: a[:0], lambda a: a[:1], lambda a: a[None], lambda a: a.ravel(), lambda a: a.T,
    lambda a: np.r_[a.ravel(), a.ravel()], lambda a: np.asarray(3.0), lambda a: a != a,
    lambda a: a.astype(str), lambda a: a.astype(complex), lambda a: np.zeros(a.shape, "M8[s]"),
)  # fmt: skip


def mutated(choices: Choices) -> bytes:
    """Return a file in which something is not as it was."""
    entries = dict(choices.one_of(models()))
    with contextlib.suppress(Exception):  # what was changed before can be changed no more
        for _ in range(1 + choices.below(3)):
            change(choices, entries)
    return packed(entries)


def change(choices: Choices, entries: dict[str, bytes]) -> None:
    """Change one entry: the description half of the time, or else an array."""
    kind = choices.below(6)
    name = f"{DESCRIPTION}.npy" if kind < 3 else choices.one_of(sorted(entries))
    array = np.load(io.BytesIO(entries[name]))
    if kind < 3:
        told = json.loads(array.tobytes())
        *path, last = choices.one_of(places(told))
        parent = told
        for key in path:
            parent = parent[key]
        if choices.below(4) == 0:
            del parent[last]
        else:
            parent[last] = value(choices, told)
        entries[name] = npy(np.frombuffer(json.dumps(told).encode(), np.uint8))
    elif kind == 3:  # other values
        data = bytearray(array.tobytes())
        at = choices.below(len(data))
        part = choices.bytes(8)[: len(data) - at]
        data[at : at + len(part)] = part
        entries[name] = npy(np.frombuffer(bytes(data), array.dtype).reshape(array.shape))
    elif kind == 4:  # another shape or type
        entries[name] = npy(choices.one_of(OTHERS)(array))
    else:  # other bytes
        data = bytearray(entries[name])
        at = choices.below(min(len(data), 256))
        data[at : at + 1] = choices.bytes(1 + choices.below(12))
        entries[name] = bytes(data)


def took_little(error: BaseException | None) -> None:
    """Check that a file was not refused because memory ran out."""
    while error is not None:
        assert not isinstance(error, MemoryError), "a small file took all the memory"
        assert "bad_alloc" not in str(error), "a small file took all the memory"
        error = error.__cause__ or error.__context__


def one(data: bytes) -> None:
    """Read a file that these bytes have changed."""
    choices = Choices(data)
    if choices.below(4) == 0:
        whole, rest = bytearray(packed(choices.one_of(models()))), choices.rest()
        at = choices.below(len(whole))
        whole[at : at + len(rest)] = rest
        PATH.write_bytes(whole)
    else:
        PATH.write_bytes(mutated(choices))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that overflow
        with guard():
            try:
                solution = pmpnet.load(PATH)
            except ValueError as error:
                sentence(error, PATH.name)
                took_little(error)
                return
    assert isinstance(solution, pmpnet.Solution)
    assert solution.controls.shape == solution.problem.control_shape
    assert np.isfinite(solution.controls).all()


def seeds():
    """Return bytes that change each kind of thing in each kind of file."""
    rng = np.random.default_rng(0)
    yield from (rng.bytes(24) for _ in range(40))


if __name__ == "__main__":
    guard()
    models()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    main(one, seeds)
