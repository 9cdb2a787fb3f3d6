"""Losses Phi and l: what a cost reads of the state at a time.

Each can be the terminal cost of a problem or its running cost. With a readout, the loss reads
z = P x + c in place of the state; ``readout="train"`` decides P and c together with the control.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .penalties import Penalty, Zero

if TYPE_CHECKING:
    from .expressions import Map

Readout = str | ArrayLike | None


class Loss(ABC):
    """A loss phi(z, y) with its readout.

    Attributes
    ----------
    readout : None, "train" or ndarray of shape (q, d)
        What stands between the state and the loss.
    readout_cost : Penalty
        Penalty on (P, c) when they are trained.
    """

    code: int  # of pmpnet.kernels.losses
    labels: bool = False  # whether targets are class labels
    mixed: bool = False  # whether the control has a part in it
    parameters: int = 0
    written: Map | None = None  # of t, x, u, theta, where the loss is an expression
    map: Map | None = None  # the same without u, as the sweep reads it
    weight: float = 1.0  # the one number that the kernel's record holds
    readout: Any
    readout_cost: Penalty

    def __init__(self, readout: Readout, readout_cost: Penalty | None, outputs: int | None) -> None:
        self.readout = checks.readout(readout, outputs, type(self).__name__)
        self.readout_cost = Zero() if readout_cost is None else readout_cost
        checks.instance("readout_cost", self.readout_cost, Penalty, "a penalty, such as L2(1e-3)")
        checks.readout_cost_used(self.trained, readout_cost)
        checks.fixed_horizon(self.readout_cost.separable)  # a readout has none
        checks.convex_readout_cost(self.readout_cost.convex)
        checks.no_kinetic(not self.readout_cost.kinetic)

    @property
    def trained(self) -> bool:
        """Whether the readout is decided together with the control."""
        return isinstance(self.readout, str)

    @abstractmethod
    def outputs(self, dim: int, targets: Any) -> int:
        """Return q, how many numbers the loss reads."""

    @abstractmethod
    def encode(self, targets: Any, count: int, outputs: int, dtype: np.dtype) -> tuple:
        """Return the targets as the kernel reads them (M, .), and the classes or None."""

    @abstractmethod
    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return phi for every sample, in NumPy; y as `encode` returns it."""

    def expression(self, z: Any, y: Any) -> Any:
        """Return phi as a CasADi expression of columns z and y, y as `encode` returns it."""
        raise NotImplementedError

    def said(self, t: Any, x: Any, u: Any, theta: Any, y: Any) -> Any:
        """Return phi as a CasADi expression of columns, through a readout that is given."""
        from casadi import DM, mtimes

        return self.expression(x if self.readout is None else mtimes(DM(self.readout), x), y)

    def along(self, t: float, x: np.ndarray, u: Any, theta: Any, y: Any, readout: Any):
        """Return phi for every sample (M,) at states x (M, d), through the readout.

        Parameters
        ----------
        t, u, theta
            Time, control and parameters, which losses written as expressions may read.
        y : ndarray
            As `encode` returns it.
        readout : (P, c) or None
            The value of a trained readout.
        """
        z = x
        if self.trained:
            z = x @ readout.P.T + readout.c
        elif self.readout is not None:
            z = x @ self.readout.T
        return self.value(z, np.asarray(y, np.float64))

    def predict(self, z: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Return what outputs z predict: the numbers themselves."""
        return z

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Return class probabilities (M, classes) of outputs z."""
        raise TypeError(f"{type(self).__name__} predicts numbers, not classes: use predict().")

    def bound_to(self, parameters: int) -> Loss:
        """Return the loss as a problem whose samples have so many parameters reads it."""
        return self

    def describe(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        cost = self.readout_cost if self.trained else None
        return dict(readout=self.readout, readout_cost=cost)

    def __repr__(self) -> str:
        shown = ""
        if self.trained:
            shown = "readout='train'"
        elif self.readout is not None:
            shown = f"readout=<{'x'.join(map(str, self.readout.shape))}>"
        return f"{type(self).__name__}({', '.join(x for x in (self._arguments(), shown) if x)})"

    def _arguments(self) -> str:
        return ""


class _Distance(Loss):
    """What numbers are compared by: targets are as many numbers as the loss reads."""

    def outputs(self, dim: int, targets: Any) -> int:
        if self.readout is None:
            return dim
        if not self.trained:
            return self.readout.shape[0]
        shape = np.shape(targets) if targets is not None else (0,)
        return shape[1] if len(shape) > 1 else 1

    def encode(self, targets, count, outputs, dtype):
        return checks.numeric_targets(targets, count, outputs, dtype), None


class Squared(_Distance):
    """Squared distance to the target: phi(z, y) = weight |z - y|^2.

    Parameters
    ----------
    weight : float, default 1.0
        Non-negative.
    readout : None, "train" or array-like of shape (q, d)
    readout_cost : Penalty, optional
        Penalty on the readout when it is trained.

    Notes
    -----
    Without targets the target is the origin.

    Examples
    --------
    >>> Squared(0.5).value(np.array([[3.0, 4.0]]), np.zeros((1, 2))).item()
    12.5
    """

    code = 2

    def __init__(
        self, weight: float = 1.0, *, readout: Readout = None, readout_cost: Penalty | None = None
    ) -> None:
        self.weight = checks.real("weight", weight, least=0.0)
        super().__init__(readout, readout_cost, None)

    def value(self, z, y):
        return self.weight * ((z - y) ** 2).sum(axis=1)

    def expression(self, z, y):
        return self.weight * ((z - y).T @ (z - y))

    def describe(self):
        return dict(weight=self.weight, **super().describe())

    def _arguments(self) -> str:
        return f"{self.weight:g}" if self.weight != 1.0 else ""


class Huber(_Distance):
    """Huber's loss, which far targets pull with a bounded force: phi(z, y) = sum_j h(z_j - y_j).

    h(e) = e^2 / 2 where abs(e) <= delta, and delta (abs(e) - delta / 2) beyond.

    Parameters
    ----------
    delta : float, default 1.0
        Positive: where the square becomes a straight line.
    readout : None, "train" or array-like of shape (q, d)
    readout_cost : Penalty, optional
        Penalty on the readout when it is trained.

    Notes
    -----
    Without targets the target is the origin. With s = clip(e, -delta, delta), which is the slope,
    h = s (e - s / 2) on both pieces.

    References
    ----------
    P. Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics, 1964.

    Examples
    --------
    >>> Huber(2.0).value(np.array([[1.0, -5.0]]), np.zeros((1, 2))).item()
    8.5
    """

    code = 5

    def __init__(
        self, delta: float = 1.0, *, readout: Readout = None, readout_cost: Penalty | None = None
    ) -> None:
        self.delta = self.weight = checks.real("delta", delta, above=0.0)
        super().__init__(readout, readout_cost, None)

    def value(self, z, y):
        e = z - y
        slope = np.clip(e, -self.delta, self.delta)
        return (slope * (e - slope / 2)).sum(axis=1)

    def expression(self, z, y):
        from casadi import dot, fmax, fmin

        e = z - y
        slope = fmin(fmax(e, -self.delta), self.delta)
        return dot(slope, e - slope / 2)

    def describe(self):
        return dict(delta=self.delta, **super().describe())

    def _arguments(self) -> str:
        return f"{self.delta:g}"


class Logistic(Loss):
    """Logistic loss of two classes: phi(z, y) = log(1 + exp(-y z)), y = -1 or 1, z one number.

    Parameters
    ----------
    readout : None, "train" or array-like of shape (1, d)
    readout_cost : Penalty, optional
        Penalty on the readout when it is trained.

    Notes
    -----
    Targets are -1 and 1, or any two labels; the larger one in sorted order is the class 1.

    Examples
    --------
    >>> Logistic().value(np.zeros((1, 1)), np.ones((1, 1))).round(4).item()
    0.6931
    """

    code = 3
    labels = True

    def __init__(self, *, readout: Readout = None, readout_cost: Penalty | None = None) -> None:
        super().__init__(readout, readout_cost, 1)

    def outputs(self, dim: int, targets: Any) -> int:
        return 1

    def encode(self, targets, count, outputs, dtype):
        classes, numbers = checks.class_targets(targets, count, "Logistic")
        checks.two_classes(classes)
        return (2.0 * numbers - 1.0).astype(dtype)[:, None], classes

    def value(self, z, y):
        return np.logaddexp(0.0, -y * z)[:, 0]

    def expression(self, z, y):
        from casadi import exp, fabs, fmax, log1p

        return fmax(-y * z, 0) + log1p(exp(-fabs(y * z)))

    def predict(self, z, classes):
        return classes[(z[:, 0] > 0).astype(int)]

    def probabilities(self, z):
        from scipy.special import expit

        return np.c_[expit(-z[:, 0]), expit(z[:, 0])]


class CrossEntropy(Loss):
    """Cross entropy of the softmax: phi(z, y) = log(sum_j exp z_j) - z_y.

    Parameters
    ----------
    classes : int
        Number of classes, at least 2; the loss reads as many numbers.
    readout : None, "train" or array-like of shape (classes, d)
    readout_cost : Penalty, optional
        Penalty on the readout when it is trained.

    Examples
    --------
    >>> CrossEntropy(4).value(np.zeros((1, 4)), np.array([[2]])).round(4).item()
    1.3863
    """

    code = 4
    labels = True

    def __init__(
        self, classes: int, *, readout: Readout = None, readout_cost: Penalty | None = None
    ) -> None:
        self.classes = checks.size("classes", classes, 2)
        super().__init__(readout, readout_cost, self.classes)

    def outputs(self, dim: int, targets: Any) -> int:
        return self.classes

    def encode(self, targets, count, outputs, dtype):
        classes, numbers = checks.class_targets(targets, count, "CrossEntropy")
        checks.class_count(classes, self.classes)
        if classes.dtype.kind in "iu" and classes[0] >= 0 and classes[-1] < self.classes:
            # labels that number the classes keep their numbers, even where a class has no sample
            classes, numbers = np.arange(self.classes), classes[numbers]
        return numbers.astype(dtype)[:, None], classes

    def value(self, z, y):
        from scipy.special import logsumexp

        return logsumexp(z, axis=1) - np.take_along_axis(z, y.astype(int), axis=1)[:, 0]

    def expression(self, z, y):
        from casadi import exp, if_else, log, mmax, sum1

        label = sum((if_else(y == j, z[j], 0) for j in range(self.classes)), 0)
        top = mmax(z)
        return top + log(sum1(exp(z - top))) - label

    def predict(self, z, classes):
        return classes[z[:, : len(classes)].argmax(axis=1)]

    def probabilities(self, z):
        from scipy.special import softmax

        return softmax(z, axis=1)

    def describe(self):
        return dict(classes=self.classes, **super().describe())

    def _arguments(self) -> str:
        return str(self.classes)


class Symbolic(Loss):
    """Your own cost, said in CasADi: phi(t, x, y), and as a running cost also of u.

    Parameters
    ----------
    expression : casadi.SX
        One expression of the symbols below; a number is a cost that does not change, such as 1
        as the running cost of a problem of least time.
    x : casadi.SX or list of them
        The d symbols of the state.
    u : casadi.SX or list of them, optional
        Symbols of the control; only a running cost may depend on them.
    t : casadi.SX, optional
        The symbol of time.
    y : casadi.SX or list of them, optional
        Symbols of a sample's target.
    parameters : casadi.SX or list of them, optional
        Symbols of the problem's ``parameters``, all of them, in their order.

    Raises
    ------
    ValueError, TypeError
        For anything that is not a symbol where one is needed, a symbol used twice, a free symbol
        in the expression, more than one expression, an operation that cannot be compiled.

    Examples
    --------
    >>> import casadi
    >>> x, y = casadi.SX.sym("x", 2), casadi.SX.sym("y")
    >>> cost = Symbolic((x[0] * x[1] - y) ** 2, x, y=y)
    >>> cost.value(np.array([[2.0, 3.0]]), np.array([[5.0]])).item()
    1.0
    """

    code = 1

    def __init__(
        self,
        expression: Any,
        x: Any,
        u: Any = None,
        t: Any = None,
        y: Any = None,
        parameters: Any = None,
    ) -> None:
        from casadi import vertcat

        from .expressions import Map, made_of, symbols

        t, x, u, y, theta = symbols(t=t, x=x, u=u, y=y, parameters=parameters)
        known = "the symbols of t, x, u, y and parameters"
        value = made_of("expression", expression, (t, x, u, y, theta), known)
        checks.expression_count("expression", value.numel(), 1, "a cost has")
        # y stands behind the parameters: both are constants of a sample
        self._take(Map(t, x, u, vertcat(theta, y), value), y.numel())

    def _take(self, written: Map, reads: int) -> None:
        super().__init__(None, None, None)
        self.written, self.reads = written, reads
        self.parameters = written.parameters - reads  # that the expression has symbols for
        self.mixed = written.depends_on(written.inputs[2])

    def bound_to(self, parameters: int) -> Symbolic:
        """Return the cost of a problem with so many parameters; ``map`` is then a cost of x."""
        from casadi import SX, vertcat

        from .expressions import Map

        t, x, _, theta = self.written.inputs
        unread = SX.sym("unread", parameters - self.parameters)
        if self.mixed:  # an integral among the states
            return self
        bound = copy.copy(self)
        bound.map = Map(t, x, SX(0, 1), vertcat(unread, theta), self.written.value)
        return bound

    @classmethod
    def of_map(cls, written: Map, reads: int = 0) -> Symbolic:
        """Return the cost of a map of one row, whose last ``reads`` constants are the target."""
        cost = cls.__new__(cls)
        cost._take(written, reads)
        return cost

    def said(self, t, x, u, theta, y):
        from casadi import vertcat

        return self.written.said(t, x, u, vertcat(theta[: self.parameters], y[: self.reads]))

    def without_energy(self) -> tuple[Symbolic, np.ndarray]:
        """Return the cost without its energy, and the weights (c,) of the energy.

        The energy is the part weights/2 u^2 with constant weights, whose maximiser is in closed
        form.
        """
        import casadi
        from casadi import SX

        from .expressions import Map

        t, x, u, theta = self.written.inputs
        value, weights = self.written.value, np.zeros(u.numel())
        curvature, _ = casadi.hessian(value, u)
        rows, columns = curvature.sparsity().get_triplet()
        crossed = {i for i, j in zip(rows, columns, strict=True) if i != j}
        for i in {*rows} - crossed:
            if not casadi.symvar(curvature[i, i]):
                weights[i] = float(casadi.evalf(curvature[i, i]))
        weights[~(np.isfinite(weights) & (weights > 0))] = 0.0
        if not weights.any():
            return self, weights
        kept = [SX(0) if w else u[i] for i, w in enumerate(weights)]
        at_rest, slope = casadi.substitute(
            [value, casadi.gradient(value, u)], [u], [casadi.vertcat(*kept)]
        )
        linear = sum((slope[i] * u[i] for i, w in enumerate(weights) if w), SX(0))
        return self.of_map(Map(t, x, u, theta, at_rest + linear), self.reads), weights

    def outputs(self, dim: int, targets: Any) -> int:
        return dim

    def encode(self, targets, count, outputs, dtype):
        if self.reads == 0:
            return np.empty((0, 0), dtype), None
        checks.some_targets(targets, self.reads)
        return checks.numeric_targets(targets, count, self.reads, dtype), None

    def along(self, t, x, u, theta, y, readout=None):
        constants = [a for a in (theta, y) if a is not None and np.size(a)]
        own = np.concatenate(constants, axis=1) if constants else np.empty((len(x), 0))
        own = own[:, own.shape[1] - self.written.parameters :]  # parameters it does not read first
        return self.written(t, x, np.asarray(u)[: self.written.controls], own)[:, 0]

    def value(self, z, y):
        return self.along(0.0, z, np.zeros(self.written.controls), None, y)

    def describe(self):
        return dict(reads=self.reads, **self.written.describe())

    @classmethod
    def from_instructions(cls, reads: int, **told: Any) -> Symbolic:
        """Return the cost that `describe` described; see `pmpnet.expressions.Map`."""
        from .expressions import Map

        return cls.of_map(Map.from_instructions(**told), int(reads))

    def __repr__(self) -> str:
        text = str(self.written.value).strip("[]")
        return f"Symbolic({text if len(text) <= 60 else text[:57] + '...'})"
