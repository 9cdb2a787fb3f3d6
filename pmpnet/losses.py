"""Losses Phi and l: what a cost reads of the state at a time.

Each can be the terminal cost of a problem or its running cost. With a readout, the loss reads
z = P x + c in place of the state; ``readout="train"`` decides P and c together with the control.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .penalties import Penalty, Zero

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
    weight: float = 1.0
    readout: Any
    readout_cost: Penalty

    def __init__(self, readout: Readout, readout_cost: Penalty | None, outputs: int | None) -> None:
        self.readout = checks.readout(readout, outputs, type(self).__name__)
        self.readout_cost = Zero() if readout_cost is None else readout_cost
        checks.instance("readout_cost", self.readout_cost, Penalty, "a penalty, such as L2(1e-3)")
        checks.readout_cost_used(self.trained, readout_cost)

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

    def predict(self, z: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Return what outputs z predict: the numbers themselves."""
        return z

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Return class probabilities (M, classes) of outputs z."""
        raise TypeError(f"{type(self).__name__} predicts numbers, not classes: use predict().")

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


class Squared(Loss):
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

    def outputs(self, dim: int, targets: Any) -> int:
        if self.readout is None:
            return dim
        if not self.trained:
            return self.readout.shape[0]
        shape = np.shape(targets) if targets is not None else (0,)
        return shape[1] if len(shape) > 1 else 1

    def encode(self, targets, count, outputs, dtype):
        return checks.numeric_targets(targets, count, outputs, dtype), None

    def value(self, z, y):
        return self.weight * ((z - y) ** 2).sum(axis=1)

    def describe(self):
        return dict(weight=self.weight, **super().describe())

    def _arguments(self) -> str:
        return f"{self.weight:g}" if self.weight != 1.0 else ""


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

    def __init__(
        self, classes: int, *, readout: Readout = None, readout_cost: Penalty | None = None
    ) -> None:
        self.classes = checks.integer("classes", classes, 2)
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

    def predict(self, z, classes):
        return classes[z[:, : len(classes)].argmax(axis=1)]

    def probabilities(self, z):
        from scipy.special import softmax

        return softmax(z, axis=1)

    def describe(self):
        return dict(classes=self.classes, **super().describe())

    def _arguments(self) -> str:
        return str(self.classes)
