"""Estimators for scikit-learn: a classifier and a regressor, trained by Pontryagin's principle."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import isfunction
from typing import Any

import numpy as np

from . import checks, solve
from .linear import linear_start
from .problem import Problem
from .solution import STALLED, Solution
from .supervised import ACTIVATION, STEPS, learning_problem

checks.package("sklearn", "scikit-learn")

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import (  # noqa: E402
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

FEWEST_STEPS, MOST_STEPS = 4, 64  # of a depth that is found
SAME = 0.02  # relative: costs of two depths that differ by less are those of one flow


class _Flow(BaseEstimator):
    """What classifier and regressor share: the flow, how it is trained, and what it carries."""

    def __init__(
        self,
        steps: int | str = STEPS,
        *,
        activation: str = ACTIVATION,
        l1: float = 0.0,
        l2: float | None = None,
        spread: float | None = None,
        dim: int | None = None,
        horizon: float = 1.0,
        solver: str | Callable[..., Solution] = "msa",
        max_iter: int = 500,
        tol: float = 1e-3,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.steps = steps
        self.activation = activation
        self.l1 = l1
        self.l2 = l2
        self.spread = spread
        self.dim = dim
        self.horizon = horizon
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    def initial_states(self, X: Any) -> np.ndarray:
        """Return the initial states (M, dim) of rows: what ``solution_`` acts on."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.scales_.states(X, self.solution_.problem.dynamics.dim)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return what the flow carries into its last entries, (M, q)."""
        states = self.initial_states(X)
        return self.solution_.outputs(states)

    def _train(self, X: np.ndarray, y: np.ndarray, sample_weight: Any, numbers: bool) -> _Flow:
        methods = {name: f for name in solve.__all__ if isfunction(f := getattr(solve, name))}
        solver = checks.method("solver", self.solver, methods)
        solver = methods.get(solver, solver)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        deepen = isinstance(self.steps, str)
        if deepen:
            checks.choice("steps", self.steps, ("auto",), "or a number of layers")
        problem, self.scales_ = learning_problem(
            X, y, sample_weight, numbers=numbers, dim=self.dim,
            steps=FEWEST_STEPS if deepen else self.steps, horizon=self.horizon,
            activation=self.activation, l1=self.l1, l2=self.l2, spread=self.spread, seed=seed,
        )  # fmt: skip
        if self.warm_start and hasattr(self, "solution_"):
            start = self.solution_
            checks.same_controls(start.controls.shape[1], problem.dynamics.controls)
        else:
            start = linear_start(problem, seed)
        how = dict(max_iter=self.max_iter, tol=self.tol, seed=seed, progress=bool(self.verbose))

        def solved(problem: Problem, start: np.ndarray | Solution) -> Solution:
            return solver(problem, start, **how)

        found = solved(problem, start)
        if deepen:
            found = _deepened(found, solved)
        if not found.success and found.status != STALLED:
            warnings.warn(
                f"{type(self).__name__}: {found.message}", ConvergenceWarning, stacklevel=3
            )
        self.solution_ = found
        self.n_iter_ = found.nit
        self.loss_curve_ = found.history["cost"]
        return self


def _deepened(found: Solution, solved: Callable[[Problem, Solution], Solution]) -> Solution:
    """Double the layers, each time from the control found, until the cost is that of the flow."""
    while (steps := 2 * found.problem.intervals) <= MOST_STEPS:
        before, found = found, solved(found.problem.replace(steps=steps), found)
        if abs(found.cost - before.cost) <= SAME * abs(before.cost):
            break
    return found


class PMPClassifier(ClassifierMixin, _Flow):
    """A classifier for scikit-learn: rows are carried to their classes by the flow of a neural ODE.

    Columns are standardised and lifted by one zero per class (one for two classes); the logits
    are what a residual network with tied dimensions, ``x' = W s(x) + b``, has carried into these
    entries. It is trained by Pontryagin's principle, and ``pmpnet.verify`` and ``pmpnet.plot``
    take ``solution_``.

    Parameters
    ----------
    steps : int or "auto", default 5
        Layers. "auto" doubles them, from 4 and to 64 at most, until the cost changes by less than
        two per cent: the network is then as deep as the flow needs.
    activation : str, default "sin"
        One of those of `pmpnet.dynamics.Layer`.
    l1 : float, default 0.0
        Weight of the L1 norm of the control: makes weights exactly zero.
    l2 : float, optional
        Weight of half the squared norm; 1.5 over the number of rows without it.
    spread : float, optional
        Each row stands for a small cloud of points on the way to its neighbours of the same
        class: the larger, the smoother the model. 0 is the rows themselves, and so is any spread
        for 12000 rows and more. 0.7 without it.
    dim : int, optional
        Dimension of the flow; columns and outputs together at least, and by default.
    horizon : float, default 1.0
        The time that the layers cover.
    solver : str or callable, default "msa"
        Any method of `pmpnet.solve`, or its name.
    max_iter : int, default 500
        Most iterations.
    tol : float, default 1e-3
        Bound on the residual of Pontryagin's principle, relative to that of the start if that is
        above 1.
    random_state : int, RandomState or None, default None
        Of the clouds, and of the start: the same number, the same bits.
    warm_start : bool, default False
        Whether ``fit`` goes on from the last solution. It may have had another number of layers.
    verbose : bool, default False
        Whether to show a progress bar.

    Attributes
    ----------
    solution_ : Solution
        The control that was found, with its problem.
    scales_ : Scales
        Means and standard deviations that rows are standardised by.
    classes_ : ndarray, shape (k,)
        Labels that occur, in order.
    n_iter_ : int
        Iterations of the last fit, at the depth it ended with.
    loss_curve_ : ndarray, shape (iterations + 1,)
        The cost J at its start and after every iteration.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (columns,)
        Where X has names of columns.

    Raises
    ------
    ValueError, TypeError
        When fitted with parameters out of range, or to what cannot be learnt from.

    Notes
    -----
    Sample weights are repetitions: a row of weight 2 counts exactly as the row given twice, to the
    last bit, and a row of weight 0 as none. Neither does the order of rows matter.

    References
    ----------
    W. E, J. Han, Q. Li, A mean-field optimal control formulation of deep learning, Research in
    the Mathematical Sciences, 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from pmpnet import PMPClassifier, verify
    >>> X, y = load_iris(return_X_y=True)
    >>> model = PMPClassifier(random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    >>> verify(model.solution_.problem, model.solution_).residual < 1e-3
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> PMPClassifier:
        """Train.

        Parameters
        ----------
        X : array-like, shape (M, n)
        y : array-like, shape (M,)
            Labels.
        sample_weight : array-like, shape (M,), optional
            How often each row counts; once without it.

        Returns
        -------
        PMPClassifier
            Itself.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        weights = _weights(X, sample_weight)
        self.classes_ = checks.several_classes(np.unique(y[weights > 0]))
        return self._train(X, y, weights, numbers=False)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits (M, k) of rows X (M, n); of two classes that of the second, (M,)."""
        z = self._outputs(X)
        return z[:, 0] if z.shape[1] == 1 else z

    def predict(self, X: Any) -> np.ndarray:
        """Return the labels (M,) of rows X (M, n)."""
        z = self._outputs(X)
        return self.solution_.problem.terminal_cost.predict(z, self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities (M, k) of the classes of rows X (M, n)."""
        z = self._outputs(X)
        return self.solution_.problem.terminal_cost.probabilities(z)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms (M, k) of the probabilities, exact where those vanish."""
        from scipy.special import log_expit, log_softmax

        z = self._outputs(X)
        return np.c_[log_expit(-z), log_expit(z)] if z.shape[1] == 1 else log_softmax(z, axis=1)


class PMPRegressor(RegressorMixin, _Flow):
    """A regressor for scikit-learn: numbers are what the flow of a neural ODE carries to its end.

    Columns and targets are standardised; the flow has one entry per target beside the columns,
    and is trained by Pontryagin's principle on the squared error. ``pmpnet.verify`` and
    ``pmpnet.plot`` take ``solution_``.

    Parameters
    ----------
    steps : int or "auto", default 5
        Layers. "auto" doubles them, from 4 and to 64 at most, until the cost changes by less than
        two per cent: the network is then as deep as the flow needs.
    activation : str, default "sin"
        One of those of `pmpnet.dynamics.Layer`.
    l1 : float, default 0.0
        Weight of the L1 norm of the control: makes weights exactly zero.
    l2 : float, optional
        Weight of half the squared norm; 1.5 over the number of rows without it.
    spread : float, optional
        Each row stands for a small cloud of points on the way to its neighbours: the larger, the
        smoother the model. 0 is the rows themselves, and the default.
    dim : int, optional
        Dimension of the flow; columns and targets together at least, and by default.
    horizon : float, default 1.0
        The time that the layers cover.
    solver : str or callable, default "msa"
        Any method of `pmpnet.solve`, or its name.
    max_iter : int, default 500
        Most iterations.
    tol : float, default 1e-3
        Bound on the residual of Pontryagin's principle, relative to that of the start if that is
        above 1.
    random_state : int, RandomState or None, default None
        Of the clouds, and of the start: the same number, the same bits.
    warm_start : bool, default False
        Whether ``fit`` goes on from the last solution. It may have had another number of layers.
    verbose : bool, default False
        Whether to show a progress bar.

    Attributes
    ----------
    solution_ : Solution
        The control that was found, with its problem.
    scales_ : Scales
        Means and standard deviations that rows and targets are standardised by.
    n_iter_ : int
        Iterations of the last fit, at the depth it ended with.
    loss_curve_ : ndarray, shape (iterations + 1,)
        The cost J at its start and after every iteration.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (columns,)
        Where X has names of columns.

    Raises
    ------
    ValueError, TypeError
        When fitted with parameters out of range, or to what cannot be learnt from.

    Notes
    -----
    Sample weights are repetitions, as for `PMPClassifier`.

    References
    ----------
    W. E, J. Han, Q. Li, A mean-field optimal control formulation of deep learning, Research in
    the Mathematical Sciences, 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from pmpnet import PMPRegressor
    >>> X, y = make_friedman1(200, random_state=0)
    >>> PMPRegressor(random_state=0).fit(X, y).score(X, y) > 0.8
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> PMPRegressor:
        """Train.

        Parameters
        ----------
        X : array-like, shape (M, n)
        y : array-like, shape (M,) or (M, q)
            Numbers.
        sample_weight : array-like, shape (M,), optional
            How often each row counts; once without it.

        Returns
        -------
        PMPRegressor
            Itself.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._flat = y.ndim == 1
        return self._train(X, y.astype(np.float64), _weights(X, sample_weight), numbers=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the numbers (M,) or (M, q) of rows X (M, n), in the units of the targets."""
        z = self._outputs(X)
        found = self.scales_.numbers(z)
        return found[:, 0] if self._flat else found


def _weights(X: np.ndarray, sample_weight: Any) -> np.ndarray:
    """Return sample weights (M,), none negative and not all zero."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    checks.weights(weights, len(X), np.float64)
    return weights
