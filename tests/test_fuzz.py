"""The fuzzers' promises on a few inputs; `tests/fuzz` tries them for minutes."""

import numpy as np
import pytest

from tests.fuzz import fuzz_expressions, fuzz_storage, fuzz_tables

FUZZERS = {"tables": fuzz_tables, "storage": fuzz_storage, "expressions": fuzz_expressions}


@pytest.mark.parametrize("name", FUZZERS)
def test_promises_hold_for_some_inputs(name):
    fuzzer, rng = FUZZERS[name], np.random.default_rng(0)
    for data in fuzzer.seeds():
        fuzzer.one(data)
    for _ in range(100):
        fuzzer.one(rng.bytes(rng.integers(1, 80)))


def test_code_in_a_file_would_be_noticed(tmp_path):
    guard = fuzz_storage.guard()
    with guard, pytest.raises(AssertionError, match=r"did open"):
        (tmp_path / "file").write_text("written")
    with guard, pytest.raises(AssertionError, match=r"subprocess"):
        __import__("subprocess").run(["true"])
    (tmp_path / "file").write_text("written")  # nothing is watched any more


def test_a_text_that_computes_something_else_is_noticed(monkeypatch):
    rng, formulas = np.random.default_rng(0), fuzz_expressions.expressions.FORMULAS
    monkeypatch.setitem(formulas, "MUL", "{0} * {1} * real(1.0000001)")
    with pytest.raises(AssertionError):
        list(map(fuzz_expressions.one, (rng.bytes(90) for _ in range(60))))
