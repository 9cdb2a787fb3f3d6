"""What every fuzzer here shares: bytes become choices, and atheris makes the bytes.

A fuzzer is a module with ``one(data)``, which tries one input and raises where a promise is broken,
and ``seeds()``, inputs to begin from. The default tests run ``one`` on some inputs without atheris.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


class Choices:
    """Choices made by bytes; when they are used up, always the first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def below(self, count: int) -> int:
        """Return a number from 0 to count - 1."""
        byte = self.bytes(1 if count <= 256 else 4)
        return int.from_bytes(byte, "little") % count

    def one_of(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def bytes(self, count: int) -> bytes:
        """Return the next bytes; fewer where there are no more."""
        self.place += count
        return self.data[self.place - count : self.place]

    def rest(self) -> bytes:
        return self.data[self.place :]


def sentence(error: Exception, named: str = "") -> None:
    """Check that bad input was refused as users are told: in one sentence, which names the file."""
    said = str(error)
    assert named in said, said
    assert said.endswith("."), said
    assert "\n" not in said, said


def main(one: Callable[[bytes], None], seeds: Callable[[], Iterable[bytes]]) -> None:
    """Run atheris (libFuzzer): a folder for the corpus, then options such as -max_total_time=600."""
    import atheris

    given = [word for word in sys.argv[1:] if not word.startswith("-")]
    folder = given[0] if given and not Path(given[0]).is_file() else None
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(seeds()):
            Path(folder, f"seed{i}").write_bytes(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
