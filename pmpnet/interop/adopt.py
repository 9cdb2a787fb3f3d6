"""A PyTorch module becomes a control.

Its parameters are read by their shapes; whether the module is the problem's flow with them is then
tried out, at samples and at random points.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..dynamics import Layer, Neurons, Outside, TwoLayer
from ..dynamics.linear_control import FeatureFields
from ..integrate import step
from ..problem import Problem
from ..schemes import EULER, Scheme

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLES, PROBES = 50, 50  # points that a module is tried at: of the problem, and standard normal
ROUNDING = 1e4  # times the precision of the module: what two orders of operations may differ by

# The parts of a control that f is linear in, all else fixed: they can hold a step length
LINEAR = {Layer: "Wb", TwoLayer: "Ab", Neurons: "a", Outside: "", FeatureFields: "U"}


def from_torch(module: nn.Module, problem: Problem) -> np.ndarray:
    """Return the control of a problem that a PyTorch module holds.

    Needs the extra ``pmpnet[torch]``. The control is then judged and improved as any other:
    `pmpnet.verify` certifies it, a solve starts from it.

    Parameters
    ----------
    module : torch.nn.Module
        One of these, for N intervals:

        - what `to_torch` returns;
        - N residual blocks in an nn.Sequential or nn.ModuleList, each a step of the problem's
          scheme, such as x + h Linear(tanh(x));
        - a network of your own with N modules that hold the weights in an nn.ModuleList, and a
          forward that runs them;
        - weights in time: parameters whose first dimension is N, and a forward of x (the flow),
          or of t and x (the velocity).

        A step length that differs from the problem's, or none, is taken into those weights that
        the velocity is linear in. What stands behind the blocks, a readout, has no part in the
        control: its weight and bias are the ``readout=`` of `pmpnet.verify`.
    problem : Problem
        Whose samples are the states that the first block reads.

    Returns
    -------
    ndarray, shape (N, c)

    Raises
    ------
    ImportError
        Without PyTorch.
    ValueError, TypeError
        If the module does not fit, with what does not: the number of blocks, the shapes of their
        parameters, or a block that is another map than the problem's with the same weights.

    Examples
    --------
    >>> import numpy as np, pmpnet
    >>> from pmpnet import dynamics, interop, losses, penalties
    >>> import torch
    >>> class Block(torch.nn.Linear):
    ...     def forward(self, x):
    ...         return x + 0.25 * super().forward(torch.tanh(x))
    >>> network = torch.nn.Sequential(*(Block(2, 2) for _ in range(4)))
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.Layer(2), x, x + [0.3, 0.4], steps=4,
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> controls = interop.from_torch(network, problem)
    >>> controls.shape
    (4, 6)
    >>> round(pmpnet.verify(problem, controls).taylor_slope, 2)
    2.0
    """
    torch = checks.package("torch", "PyTorch")
    checks.instance("module", module, torch.nn.Module, "a torch.nn.Module")
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    with _evaluating(module):
        return _Reader(module, problem).controls()


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch what is random in training off, and gradients."""
    import torch

    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


class _Reader:
    """A module beside a problem, at points where both are tried."""

    def __init__(self, module: nn.Module, problem: Problem) -> None:
        import torch

        self.module, self.problem, self.system = module, problem, problem.dynamics
        self.like = next(iter(module.parameters()), torch.zeros(0, dtype=torch.float64))
        self.close = ROUNDING * torch.finfo(self.like.dtype).eps
        x = np.asarray(problem.initial_states[:SAMPLES], np.float64)
        probes = np.random.default_rng(0).standard_normal((PROBES, x.shape[1]))
        self.x = np.concatenate([x, probes])
        self.theta = np.resize(problem.parameters, (len(self.x), self.system.parameters))
        parts = self.system.unpack(np.zeros(self.system.controls))
        self.shapes = {name: part.shape for name, part in parts.items()}
        self.linear = LINEAR.get(type(self.system), tuple(self.shapes))

    def controls(self) -> np.ndarray:
        """Return the control (N, c)."""
        from torch import nn

        N = self.problem.intervals
        container, chain = self._chain()
        if len(chain) == N:
            layers = [_arrays(block) for block in chain]
            by_itself = container is self.module or isinstance(container, nn.Sequential)
            try:
                return np.stack([self._block(k, chain[k], layers[k]) for k in range(N)])
            except ValueError:
                if by_itself:
                    raise
            return self._whole(layers)
        in_time = {n: a for n, a in _arrays(self.module).items() if a.ndim and len(a) == N}
        weights = max(self.shapes, key=lambda name: np.prod(self.shapes[name]))
        if any(self._shaped(weights, a[0]) is not None for a in in_time.values()):
            layers = [{name: a[k] for name, a in in_time.items()} for k in range(N)]
            if _arguments(self.module) == 2 + bool(self.system.parameters):
                return np.stack([self._velocity(k, layers[k]) for k in range(N)])
            return self._whole(layers)
        raise checks.torch_chain(len(chain), N)

    def _chain(self) -> tuple[nn.Module | None, list[nn.Module]]:
        """Return the list of modules with as many of one kind in a row as needed, and these.

        Without one, that with the most.
        """
        from torch import nn

        found: tuple[nn.Module | None, list[nn.Module]] = None, []
        for part in self.module.modules():
            if not isinstance(part, (nn.Sequential, nn.ModuleList)):
                continue
            runs = [list(run) for _, run in groupby(part, type)]
            run = max(runs, key=len, default=[])
            if len(run) == self.problem.intervals:
                first = part[0]
                checks.torch_first(type(first).__name__, first is run[0])
                return part, run
            found = max(found, (part, run), key=lambda pair: len(pair[1]))
        return found

    # ------------------------------------------------------------------- its layers, tried out

    def _block(self, k: int, block: nn.Module, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return the control of a residual block."""
        readings = self._readings(f"block {k}", arrays)
        moved = self._call(f"block {k}", block, self.x) - self.x
        return self._fitting(f"block {k}", k, readings, moved, self.problem.scheme, 0.0)

    def _velocity(self, k: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return the control of an interval of a velocity f(t, x), read in its middle."""
        where, (start, end) = f"the velocity in interval {k}", self.problem.times[k : k + 2]
        moved = (end - start) * self._call(where, self.module, 0.5 * (start + end), self.x)
        return self._fitting(where, k, self._readings(where, arrays), moved, EULER, 0.5)

    def _fitting(
        self, where: str, k: int, readings: list[dict], moved: np.ndarray, scheme: Scheme, at: float
    ) -> np.ndarray:
        """Return the control whose step moves the points so; ``at`` is its part of the interval."""
        start, end = self.problem.times[k : k + 2]

        def ours(u: np.ndarray) -> np.ndarray:
            t = start + at * (end - start)
            return step(self.system, scheme, t, end - start, self.x, u, self.theta) - self.x

        first = None
        with np.errstate(all="ignore"):
            for parts in readings:
                u = self.system.pack(**parts)
                found = ours(u)
                first = found if first is None else first
                if self._same(moved, found):
                    return u
                fine = np.isfinite(moved * found)
                longer = (moved * found)[fine].sum() / (found * found)[fine].sum()
                if np.isfinite(longer):
                    u = self.system.pack(**self._times(parts, longer))
                    if self._same(moved, ours(u)):
                        return u
        raise self._another(where, moved, first)

    def _whole(self, layers: list[dict[str, np.ndarray]]) -> np.ndarray:
        """Return the control of a network that is called as a whole."""
        rows = [self._readings(f"layer {k}", arrays) for k, arrays in enumerate(layers)]
        seen = self._call("the module", self.module, self.x)
        first = None
        # what may stand in the weights here and not there: step length, scale, mean over particles
        steps = 1.0, 1.0 / self.problem.steps
        factors = [
            h / (scale * share)
            for h, scale, share in product(
                steps, {1.0, self.system.scale}, {1.0, self.system.share}
            )
        ]
        with np.errstate(all="ignore"):
            for order, factor in product(range(len(rows[0])), factors):
                factor = np.broadcast_to(factor, len(rows))
                u = np.stack(
                    [
                        self.system.pack(**self._times(readings[order], r))
                        for readings, r in zip(rows, factor, strict=True)
                    ]
                )
                ends = self._read_off(self._flow(u))
                if any(self._same(seen, end) for end in ends):
                    return u
                first = ends[0] if first is None else first
        raise self._another("the module", seen, first)

    def _flow(self, u: np.ndarray) -> np.ndarray:
        x, t = self.x, self.problem.times
        for k, row in enumerate(u):
            h = t[k + 1] - t[k]
            x = step(self.system, self.problem.scheme, t[k], h, x, row, self.theta)
        return x

    def _read_off(self, x: np.ndarray) -> list[np.ndarray]:
        """Return what a network may make of x(T): itself, and what linear modules read of it."""
        from torch import nn

        heads = [part for part in self.module.modules() if isinstance(part, nn.Linear)]
        arrays = [_arrays(head) for head in heads if head.in_features == x.shape[1]]
        read = [x @ a["weight"].T + a.get("bias", 0.0) for a in arrays]
        losses = self.problem.terminal_cost, self.problem.running_cost
        given = [c.readout for c in losses if c is not None and isinstance(c.readout, np.ndarray)]
        return [x, *(x @ P.T for P in given), *read]

    def _same(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Tell whether two results agree, wherever both are finite."""
        if a.shape != b.shape:
            return False
        fine = np.isfinite(a) & np.isfinite(b)
        size = np.abs(self.x).max() + np.abs(a[fine]).max(initial=0.0)
        return bool(fine.any() and np.abs(a - b)[fine].max() <= self.close * (1.0 + size))

    def _another(self, where: str, theirs: np.ndarray, ours: np.ndarray) -> ValueError:
        """Say where both are farthest apart."""
        there, here = theirs[:1], ours[:1]
        if theirs.shape == ours.shape:
            worst = np.nanargmax(np.abs(theirs - ours).max(axis=1))
            there, here = theirs[worst], ours[worst]
        return checks.torch_map(
            where, there.ravel(), here.ravel(), repr(self.system), self.problem.scheme.name
        )

    # ----------------------------------------------------------------------------- its weights

    def _readings(self, where: str, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Return every way in which arrays can be parts of a control row; parts left out are 0."""
        found = []
        for names in permutations(self.shapes, len(arrays)):
            parts = [self._shaped(*pair) for pair in zip(names, arrays.values(), strict=True)]
            if all(part is not None for part in parts):
                found.append(dict(zip(names, parts, strict=True)))
        if not found:
            given = {name: a.shape for name, a in arrays.items()}
            raise checks.torch_parts(where, given, self.shapes, repr(self.system))
        return found

    def _shaped(self, name: str, array: np.ndarray) -> np.ndarray | None:
        """Return an array as a part of the control; None where it cannot be that."""
        shape = self.shapes[name]
        if isinstance(self.system, Neurons) and name == "a":
            array = array.T  # of a linear module, with a row for each state
        if array.ndim < len(shape) and array.size == np.prod(shape):
            return array.reshape(shape)
        return array if array.shape == shape else None

    def _times(self, parts: dict[str, np.ndarray], factor: float) -> dict[str, np.ndarray]:
        """Return the parts for a velocity that is longer."""
        return {n: factor * a if n in self.linear else a for n, a in parts.items()}

    def _call(self, where: str, module: nn.Module, *inputs: Any) -> np.ndarray:
        """Return what a module makes of the points, in double precision."""
        theta = (self.theta,) if self.system.parameters else ()
        inputs = [self.like.new_tensor(a) for a in (*inputs, *theta)]
        try:
            return _array(module(*inputs))
        except Exception as error:  # whatever a module of the user's raises
            raise checks.torch_fails(where, self.x.shape, error) from error


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """Return the parameters of a module by name."""
    return {name: _array(tensor) for name, tensor in module.named_parameters()}


def _arguments(module: nn.Module) -> int:
    """Return how many arguments the forward of a module needs."""
    parameters = inspect.signature(module.forward).parameters.values()
    return sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
