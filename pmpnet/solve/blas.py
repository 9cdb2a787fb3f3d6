"""BLAS on one thread, for libraries that call it for many small things.

Threads of BLAS that wait for work keep the cores from the threads of a round: with them scipy's
L-BFGS-B took eight times as long, 60 iterations of 1,000 samples and 50 layers.
"""

from __future__ import annotations

import threading
from functools import cache


@cache
def _libraries():
    import scipy.linalg  # noqa: F401 - only libraries already loaded are found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _OneThread:
    """BLAS on one thread as long as anybody is inside; the last one gives the others back."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limits = _libraries().limit(limits=1, user_api="blas")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limits.restore_original_limits()


one_thread = _OneThread()
