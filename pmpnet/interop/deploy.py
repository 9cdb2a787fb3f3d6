"""A solution becomes a PyTorch module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import checks
from ..dynamics.torch_twins import sayable
from ..losses import CrossEntropy, Logistic
from ..solution import Solution

if TYPE_CHECKING:
    from torch import nn

OUTPUTS = ("state", "outputs", "probabilities")


def to_torch(solution: Solution, output: str = "state") -> nn.Module:
    """Return the flow of a solution as a PyTorch module, of the same numbers to rounding.

    Needs the extra ``pmpnet[torch]``. A stack of residual blocks in ``layers``, one per interval,
    whose parameters have the names a network's have: ``layers.0.weight``, ``layers.0.bias``
    (`Layer`, `Outside`; `LinearControl` without bias), ``layers.0.inner.weight`` and
    ``layers.0.outer.weight`` (`TwoLayer`, `Neurons`), ``layers.0.control`` (your own systems), and
    ``readout.weight``, ``readout.bias``. It is differentiable in its input and its parameters, in
    the problem's precision; ``torch.export`` and ONNX take it, with any number of samples.

    Parameters
    ----------
    solution : Solution
        Its layers follow the times it was solved on, a free horizon included.
    output : {"state", "outputs", "probabilities"}, default "state"
        What the module returns of points x (M, d): x(T), as `Solution.flow`; what the loss reads
        of it, as `Solution.outputs`; or class probabilities, as `Solution.predict_proba`.

    Returns
    -------
    torch.nn.Module
        Called with x (M, d), and with the parameters (M, p) of the points where the system has
        any.

    Raises
    ------
    ImportError
        Without PyTorch.
    ValueError, TypeError
        For probabilities of a loss that has no classes, or outputs of a problem without a loss.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, interop, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.Layer(2), x, x[:, 0] > 0, steps=2,
    ...                          terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]),
    ...                          control_cost=penalties.L2(0.1))
    >>> solution = pmpnet.solve.msa(problem)
    >>> network = interop.to_torch(solution, output="probabilities")
    >>> [name for name, _ in network.named_parameters()][:2]
    ['layers.0.weight', 'layers.0.bias']
    >>> import torch
    >>> found = network(torch.tensor(x)).detach().numpy()
    >>> bool(np.allclose(found, solution.predict_proba(x), rtol=0, atol=1e-12))
    True
    """
    checks.instance("solution", solution, Solution, "what a method of pmpnet.solve returns")
    checks.choice("output", output, OUTPUTS)
    torch = checks.package("torch", "PyTorch")
    from .modules import Flow, block

    problem, times = solution.problem, solution.times
    system, dtype = sayable(problem.dynamics), getattr(torch, problem.dtype.name)
    layers = [
        block(system, problem.scheme, float(t), float(end - t), row, dtype)
        for t, end, row in zip(times[:-1], times[1:], solution.controls, strict=True)
    ]
    readout = link = None
    if output != "state":
        readout = _readout(solution, dtype)
    if output == "probabilities":
        link = _link(solution)
    return Flow(layers, readout, link, problem.dynamics.parameters).eval()


def _readout(solution: Solution, dtype) -> nn.Module | None:
    """Return z = P x + c; None where the loss reads the state."""
    from .modules import linear_module, parameter

    loss, role = solution.loss, solution.role
    if loss.readout is None:
        return None
    if not loss.trained:
        P = linear_module(parameter(loss.readout, dtype))
        return P.requires_grad_(False)  # given, not trained
    P, c = solution.readouts[role]
    return linear_module(parameter(P, dtype), parameter(c, dtype))


def _link(solution: Solution) -> nn.Module:
    """Return what makes probabilities of outputs."""
    from torch import nn

    from .modules import TwoClasses

    loss = solution.loss
    checks.has_probabilities(isinstance(loss, (Logistic, CrossEntropy)), repr(loss))
    return TwoClasses() if isinstance(loss, Logistic) else nn.Softmax(dim=1)
