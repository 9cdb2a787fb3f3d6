"""The same problem trained by PyTorch: the comparison from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..reduced import Reduced
from ..sweeps import get_num_threads
from .batches import Batches
from .loop import Step, Steps, front
from .torch_model import TorchModel

if TYPE_CHECKING:
    from torch import Tensor

RATES = {"adam": 0.01, "sgd": 0.1, "lbfgs": 1.0}  # learning rates where none is given
ROWS = 100  # most rows of the history beside the start: each is priced by a round of ours
LINE_SEARCH = (
    26  # most gradients of an iteration of L-BFGS, as many as PyTorch's own default allows
)


@front("torch_train")
def torch_train(
    reduced: Reduced,
    v: np.ndarray,
    max_iter: int,
    rng: np.random.Generator,
    optimizer: str = "adam",
    learning_rate: float | None = None,
    momentum: float = 0.9,
    batch_size: int | None = None,
    last: Step | None = None,
) -> Steps:
    """Train by PyTorch: its automatic differentiation of the same steps, and its optimisers.

    Needs the extra ``pmpnet[torch]``. Cost and gradient are those of `Problem`, computed by
    PyTorch in the problem's precision with as many threads as pmpnet may use; controls are priced
    by our own sweep, at most a hundred times on the way. L1 and Group enter by their usual
    subgradient, so that zeros are not exact; the set U by projection after each step.

    {common}
    optimizer : {"adam", "sgd", "lbfgs"}
        torch.optim.Adam, SGD, or LBFGS with its strong Wolfe line search, one iteration a step;
        the latter takes no minibatches, no set U and no free horizon.
    learning_rate : float, optional
        On dJ/du, which is not divided by h; 0.01 for Adam, 0.1 for SGD and 1 for L-BFGS.
    momentum : float, default 0.9
        Of SGD.
    batch_size : int, optional
        Samples per step, drawn by shuffled epochs; all without it.

    Returns
    -------
    Solution
        The best controls priced. A gradient over all samples counts as two sweeps, those of line
        searches included; what prices a row does not count.

    Raises
    ------
    ImportError
        Without PyTorch.
    ValueError, TypeError
        For bad input.

    References
    ----------
    A. Paszke et al., PyTorch: an imperative style, high-performance deep learning library,
    NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.torch_train(problem, optimizer="lbfgs", max_iter=20)
    >>> round(solution.cost, 9)
    0.083333333
    """
    checks.choice("optimizer", optimizer, RATES)
    rate = RATES[optimizer]
    if learning_rate is not None:
        rate = checks.real("learning_rate", learning_rate, above=0.0)
    momentum = checks.real("momentum", momentum, least=0.0)
    M = reduced.samples.count
    size = M if batch_size is None else min(checks.integer("batch_size", batch_size, 1), M)
    bounded = _bounded(reduced)
    if optimizer == "lbfgs":
        checks.torch_lbfgs(size == M, not bounded)
    begun = perf_counter()
    torch = checks.package("torch", "PyTorch")
    model = TorchModel(reduced)
    state = dict(u=v, trainer={}, seen=None, done=0, priced=0, batches=None)
    if last is not None:
        state = last.state
    u = model.real(state["u"]).requires_grad_()
    trainer = _trainer(torch, optimizer, u, rate, momentum)
    if state["trainer"]:
        trainer.state[u] = _tensors(torch, state["trainer"])
    batches = Batches(M, size, rng, state["batches"])
    reduced.compiling += perf_counter() - begun

    judge = Reduced(reduced.problem, multipliers=reduced.multipliers)
    if last is None:
        yield Step(judge.evaluate(v), state=state)
    with _threads(torch):
        closure, every, priced = _Closure(model, reduced, u), ceil(max_iter / ROWS), state["priced"]
        closure.recall(torch, state["seen"])
        whole = repeat((None, True))
        for done, (index, ends) in enumerate(
            whole if size == M else batches, start=state["done"] + 1
        ):
            if index is not None:
                closure = _Closure(model.on(reduced.on(index)), reduced, u)
            before = u.detach().clone()
            trainer.step(closure)
            if optimizer == "lbfgs" and torch.equal(u, before):
                if done > priced + 1:
                    yield Step(judge.evaluate(v))
                return "L-BFGS of PyTorch found no lower point along its direction."
            v = u.detach().numpy().astype(np.float64)
            if bounded:
                v = reduced.project(v)
                u.data.copy_(model.real(v))
            due = (ends and done - priced >= every) or done == max_iter
            priced = done if due else priced
            state = dict(
                u=u.detach().numpy(), trainer=_arrays(torch, trainer.state[u]), done=done,
                seen=closure.seen if index is None else None, priced=priced,
                batches=None if index is None else batches.state,
            )  # fmt: skip
            yield Step(judge.evaluate(v) if due else None, state=state)


class _Closure:
    """Cost and gradient at the tensor that is trained, counted in sweeps.

    What was found last is remembered: L-BFGS asks again where its line search ended.
    """

    def __init__(self, model: TorchModel, reduced: Reduced, u: Tensor) -> None:
        self.model, self.reduced, self.u = model, reduced, u
        self.share = model.reduced.samples.count / reduced.samples.count
        self.at = self.cost = None

    @property
    def seen(self) -> dict[str, np.ndarray]:
        """What is remembered."""
        return dict(at=self.at.numpy(), cost=self.cost.numpy(), slope=self.u.grad.numpy())

    def recall(self, torch: Any, seen: dict[str, np.ndarray] | None) -> None:
        """Remember what was seen before."""
        if seen is not None:
            self.at, self.cost, self.u.grad = (
                torch.from_numpy(seen[n]) for n in ("at", "cost", "slope")
            )

    def __call__(self) -> Tensor:
        if self.at is None or not self.u.equal(self.at):
            self.at, self.u.grad = self.u.detach().clone(), None
            cost = self.model.cost(self.u)
            cost.backward()
            self.cost = cost.detach()
            self.reduced.nfev += self.share
            self.reduced.njev += self.share
        return self.cost


def _trainer(torch: Any, name: str, u: Tensor, rate: float, momentum: float) -> Any:
    if name == "adam":
        return torch.optim.Adam([u], lr=rate)
    if name == "sgd":
        return torch.optim.SGD([u], lr=rate, momentum=momentum)
    return torch.optim.LBFGS(
        [u], lr=rate, max_iter=1, max_eval=LINE_SEARCH, tolerance_grad=0.0, tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip


def _arrays(torch: Any, state: Any) -> Any:
    """Return what a trainer knows with arrays in place of tensors."""
    if isinstance(state, torch.Tensor):
        return state.detach().numpy()
    if isinstance(state, dict):
        return {name: _arrays(torch, value) for name, value in state.items()}
    if isinstance(state, list):
        return [_arrays(torch, value) for value in state]
    return state


def _tensors(torch: Any, state: Any) -> Any:
    """Return what `_arrays` was given."""
    if isinstance(state, np.ndarray):
        return torch.from_numpy(state)
    if isinstance(state, dict):
        return {name: _tensors(torch, value) for name, value in state.items()}
    if isinstance(state, list):
        return [_tensors(torch, value) for value in state]
    return state


def _bounded(reduced: Reduced) -> bool:
    """Tell whether there is a set U, or a range of the horizon."""
    penalties = reduced.problem.penalty, *(penalty for _, _, penalty, _ in reduced.parts)
    bounds = (p.boxed or p.ball is not None or p.l1_ball is not None for p in penalties)
    return reduced.range is not None or any(bounds)


@contextmanager
def _threads(torch: Any) -> Iterator[None]:
    """Hold PyTorch to the threads that our sweeps may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(get_num_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
