"""Minibatches, drawn by shuffled epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class Batches:
    """Indices of the samples of every minibatch, and whether it ends an epoch; without end.

    Parameters
    ----------
    count, size : int
        Samples in all, and in a minibatch.
    rng : numpy.random.Generator
    state : dict, optional
        That of other batches, behind which these go on.
    """

    def __init__(
        self, count: int, size: int, rng: np.random.Generator, state: dict[str, Any] | None = None
    ) -> None:
        self.count, self.size, self.rng, self.first = count, size, rng, 0
        if state is not None:
            rng.bit_generator.state, self.first = state["rng"], state["first"]

    def __iter__(self) -> Iterator[tuple[np.ndarray, bool]]:
        while True:
            self.before = self.rng.bit_generator.state
            order = self.rng.permutation(self.count)
            while self.first < self.count:
                index = order[self.first : self.first + self.size]
                self.first += self.size
                yield index, self.first >= self.count
            self.first = 0

    @property
    def state(self) -> dict[str, Any]:
        """Where in which epoch they are: the generator before it was shuffled, and the next sample."""
        return dict(rng=self.before, first=self.first)
