"""Threads that stand by for the next round."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import SimpleQueue

import numpy as np

# How often a helper looks whether it is called before it goes to sleep, and a caller whether the
# last chunk is done before it gives its core away: some 400 microseconds, as long as an iteration of a
# small problem takes.
LOOKS = 1_600_000
NAP = 50e-6  # seconds


class Team:
    """Helpers, each a thread with a queue of tasks.

    A task is a function of the helper's number, from 1. It is put into the queue first; a helper
    that still is in the last round's kernel, where it looks out for the next one, is called by its
    count in ``calls``, which this round's kernel raises.

    Attributes
    ----------
    calls : ndarray, shape (helpers,)
    """

    def __init__(self, helpers: int) -> None:
        self.calls = np.zeros(helpers, np.int64)
        self.tasks: list[SimpleQueue[Callable[[int], None]]] = [
            SimpleQueue() for _ in range(helpers)
        ]
        for i in range(helpers):
            name = f"pmpnet helper {i + 1}"
            threading.Thread(target=self._stand_by, args=(i,), name=name, daemon=True).start()

    def post(self, task: Callable[[int], None]) -> None:
        """Put a task into every queue."""
        for queue in self.tasks:
            queue.put(task)

    def _stand_by(self, i: int) -> None:
        queue = self.tasks[i]
        while True:
            task = queue.get()
            # a helper that fails, for want of memory, leaves its chunks to the others
            with suppress(Exception):
                task(i + 1)
            del task  # and with it all that it holds


def wait_for(counts: np.ndarray, chunks: int) -> None:
    """Return when all chunks are done."""
    from .kernels.sharing import wait

    while not wait(counts, 1, chunks, LOOKS):
        time.sleep(NAP)


@cache
def team(helpers: int) -> Team:
    """Return the team of so many helpers; there is one."""
    return Team(helpers)


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child starts its own
    os.register_at_fork(after_in_child=team.cache_clear)
