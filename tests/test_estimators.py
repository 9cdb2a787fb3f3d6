"""The estimators keep scikit-learn's promises, and ours: weights are repetitions, to the last bit."""

import io
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine, make_friedman1, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

import pmpnet
from pmpnet import PMPClassifier, PMPRegressor, plot, solve

ESTIMATORS = PMPClassifier, PMPRegressor


@parametrize_with_checks([PMPClassifier(), PMPRegressor()])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_scikit_learn_asks_of_an_estimator(estimator, check):
    check(estimator)


def data(kind, rows=60, seed=0):
    """Return rows of three columns, and labels or numbers."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3))
    z = np.sin(X[:, 0]) + 0.5 * X[:, 1] ** 2
    return X, z if kind is PMPRegressor else np.digitize(z, [0.0, 0.8])


def same(first, second):
    """Tell whether two models are the same to the last bit."""
    return np.array_equal(first.solution_.controls, second.solution_.controls)


# -------------------------------------------------------------------------- the measure of rows


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_sample_weights_are_repetitions(kind, spread):
    X, y = data(kind)
    counts = np.random.default_rng(1).integers(0, 4, len(X))
    again = np.repeat(np.arange(len(X)), counts)
    shuffled = np.random.default_rng(2).permutation(again)
    model = kind(random_state=0, spread=spread)
    weighted = clone(model).fit(X, y, sample_weight=counts)
    for rows in (again, shuffled):
        repeated = clone(model).fit(X[rows], y[rows])
        assert same(weighted, repeated)
        assert np.array_equal(weighted.predict(X), repeated.predict(X))
    assert not same(weighted, clone(model).fit(X, y))
    assert same(clone(model).fit(X, y), clone(model).fit(X, y, sample_weight=np.ones(len(X))))


def test_classes_that_weigh_nothing_are_not_there():
    X, y = data(PMPClassifier)
    model = PMPClassifier(random_state=0).fit(X, y, sample_weight=(y > 0).astype(float))
    assert model.classes_.tolist() == [1, 2]
    assert model.predict_proba(X).shape == (60, 2)
    with pytest.raises(ValueError, match=r"y has one class only \(2\)"):
        model.fit(X, y, sample_weight=y > 1)


@pytest.mark.parametrize("weights", [-np.ones(60), np.zeros(60), np.ones(3), np.full(60, np.nan)])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match=r"[Ww]eight|NaN"):
        PMPClassifier().fit(*data(PMPClassifier), sample_weight=weights)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_units_do_not_matter(kind):
    X, y = data(kind)
    scaled = X * [1e-6, 1.0, 1e6] + [0.0, 5.0, -3e6]
    first, second = (kind(l2=0.2, random_state=0).fit(rows, y) for rows in (X, scaled))
    assert np.allclose(first.solution_.controls, second.solution_.controls, atol=1e-6)


# ----------------------------------------------------------------------------------- one model


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_same_seed_gives_the_same_bits(kind):
    X, y = data(kind)
    first = kind(random_state=3, spread=0.5).fit(X, y)
    assert same(first, kind(random_state=3, spread=0.5).fit(X, y))
    assert not same(first, kind(random_state=4, spread=0.5).fit(X, y))
    assert same(first, kind(random_state=np.random.RandomState(3), spread=0.5).fit(X, y))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_solution_is_certified(kind):
    model = kind(random_state=0, tol=1e-6, max_iter=1000).fit(*data(kind))
    solution = model.solution_
    proof = pmpnet.verify(solution.problem, solution)
    assert proof.residual == pytest.approx(solution.residual)
    assert proof.residual <= 1e-6
    assert proof.taylor_slope == pytest.approx(2.0, abs=0.1)
    assert (model.n_iter_, len(model.loss_curve_)) == (solution.nit, solution.nit + 1)
    assert model.loss_curve_[-1] == solution.cost < model.loss_curve_[0]


def test_what_a_classifier_says_agrees():
    X, y = data(PMPClassifier)
    for labels in (y, y > 0, np.array(["low", "middle", "high"])[y]):
        model = PMPClassifier(random_state=0).fit(X, labels)
        p, z = model.predict_proba(X), model.decision_function(X)
        assert np.allclose(p.sum(axis=1), 1.0)
        assert np.allclose(np.exp(model.predict_log_proba(X)), p)
        assert np.array_equal(model.classes_, np.unique(labels))
        found = model.predict(X)
        assert np.array_equal(found, model.classes_[p.argmax(axis=1)])
        assert np.array_equal(found, model.solution_.predict(model.initial_states(X)))
        assert z.shape == ((60,) if len(model.classes_) == 2 else (60, 3))
        assert model.score(X, labels) == np.mean(found == labels) > 0.9


def test_the_loss_is_that_of_the_rows():
    X, y = data(PMPClassifier)
    weights = np.random.default_rng(0).uniform(0.1, 3.0, len(X))
    model = PMPClassifier(spread=0.0).fit(X, y, weights)
    loss = log_loss(y, model.predict_proba(X), sample_weight=weights)
    assert model.solution_.terms["terminal"] == pytest.approx(loss)
    X, y = data(PMPRegressor)
    model = PMPRegressor(spread=0.0).fit(X, y, weights)
    unexplained = 1.0 - model.score(X, y, weights)
    assert model.solution_.terms["terminal"] == pytest.approx(unexplained)


def test_log_probabilities_where_probabilities_vanish():
    X = np.array([[-1.0], [1.0]] * 10)
    model = PMPClassifier(l2=1e-9, spread=0.0, activation="identity").fit(X, X[:, 0] > 0)
    told = model.predict_log_proba([[-1e6]])
    assert told[0, 0] == 0.0
    assert -np.inf < told[0, 1] < -1e3


def test_several_targets():
    X, y = make_friedman1(200, random_state=0)
    Y = np.c_[y, -3.0 * y + 5.0, X[:, 3]]
    model = PMPRegressor(random_state=0).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.score(X, Y) > 0.8
    assert np.allclose(model.predict(X)[:, 1], -3.0 * model.predict(X)[:, 0] + 5.0, atol=0.1)
    column = PMPRegressor(random_state=0).fit(X, Y[:, :1])
    flat = PMPRegressor(random_state=0).fit(X, y)
    assert same(column, flat)
    assert (column.predict(X).shape, flat.predict(X).shape) == ((200, 1), (200,))


def test_l1_makes_zeros():
    model = PMPClassifier(l1=0.02, random_state=0).fit(*data(PMPClassifier))
    assert np.mean(model.solution_.controls == 0) > 0.5


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    X, y = data(PMPClassifier)
    model = PMPClassifier().fit(pandas.DataFrame(X, columns=["a", "b", "c"]), y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.n_features_in_ == 3


# ------------------------------------------------------------------------------- how it is found


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_warm_start_goes_on(kind):
    X, y = data(kind)
    whole = kind(random_state=0, tol=1e-5, max_iter=1000).fit(X, y)
    model = kind(random_state=0, tol=1e-5, max_iter=3, warm_start=True)
    with pytest.warns(ConvergenceWarning, match="not converged after 3 iterations"):
        model.fit(X, y)
    ended = model.loss_curve_[-1]
    model.set_params(max_iter=1000).fit(X, y)
    assert model.loss_curve_[0] == ended
    assert model.solution_.cost == pytest.approx(whole.solution_.cost, rel=1e-2)
    assert model.fit(X, y).n_iter_ == 0
    model.set_params(steps=10).fit(X, y)
    assert len(model.solution_.controls) == 10
    with pytest.raises(ValueError, match="start has controls of length"):
        model.fit(X[:, :2], y)
    assert model.set_params(warm_start=False).fit(X[:, :2], y).n_features_in_ == 2


def test_depth_is_found():
    X, y = data(PMPRegressor)
    model = PMPRegressor("auto", random_state=0).fit(X, y)
    found = model.solution_
    N = found.problem.intervals
    assert N in (8, 16, 32)
    deeper = solve.msa(found.problem.replace(steps=2 * N), found, tol=model.tol)
    assert deeper.cost == pytest.approx(found.cost, rel=0.02)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("solver", ["lbfgs", "newton", "refine", solve.gradient_flow])
def test_other_methods(solver):
    X, y = data(PMPClassifier)
    how = dict(l2=0.05, tol=1e-5, max_iter=1000, spread=0.0)
    ours = PMPClassifier(**how).fit(X, y)
    other = PMPClassifier(solver=solver, **how).fit(X, y)
    assert other.solution_.method != ours.solution_.method
    assert other.solution_.cost == pytest.approx(ours.solution_.cost, rel=1e-4)


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (dict(steps=0), ValueError, "steps=0 is too small"),
        (dict(steps="deep"), ValueError, "steps='deep' is not known: write one of 'auto'"),
        (dict(solver="magic"), ValueError, "solver='magic' is not known: write one of 'adam'"),
        (dict(solver=None), ValueError, "solver=None is not known"),
        (dict(activation="step"), ValueError, "activation='step' is not known"),
        (dict(dim=3), ValueError, "dim=3 is too small for 3 columns and 3 output"),
        (dict(l1=-1.0), ValueError, "weight has a negative entry"),
        (dict(spread=-1.0), ValueError, "spread=-1.0 is too small"),
        (dict(max_iter=2.5), TypeError, "max_iter=2.5 is not a whole number"),
        (dict(tol=-1.0), ValueError, "tol=-1.0 is too small"),
        (dict(random_state="x"), ValueError, "cannot be used to seed"),
    ],
)
def test_bad_parameters(wrong, error, sentence):
    with pytest.raises(error, match=sentence):
        PMPClassifier(**wrong).fit(*data(PMPClassifier))


def test_verbose_is_a_bar(capsys):
    PMPClassifier(verbose=True).fit(*data(PMPClassifier))
    assert "msa" in capsys.readouterr().err


# ----------------------------------------------------------------------- with all of scikit-learn


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_pickle_and_joblib(kind):
    X, y = data(kind)
    model = kind(random_state=0).fit(X, y)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(file)):
        assert np.array_equal(again.predict(X), model.predict(X))
        proofs = [pmpnet.verify(m.solution_.problem, m.solution_) for m in (model, again)]
        assert proofs[0].residual == proofs[1].residual
    assert len(pickle.dumps(model)) < 500_000


def test_a_pipeline_in_a_grid_search():
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(PolynomialFeatures(1), PMPRegressor(random_state=0, spread=0.0))
    search = GridSearchCV(model, {"pmpregressor__l2": [0.02, 10.0]}, cv=3, n_jobs=2)
    search.fit(X[:200], y[:200])
    assert search.best_params_ == {"pmpregressor__l2": 0.02}
    assert search.best_score_ > 0.3


def test_cross_validation():
    assert cross_val_score(PMPClassifier(random_state=0), *load_iris(return_X_y=True)).mean() > 0.93
    assert cross_val_score(PMPClassifier(random_state=0), *load_wine(return_X_y=True)).mean() > 0.95


def test_decision_boundaries():
    import matplotlib.pyplot as plt

    X, y = make_moons(100, noise=0.1, random_state=0)
    model = PMPClassifier(random_state=0).fit(X, y)
    shown = DecisionBoundaryDisplay.from_estimator(model, X, grid_resolution=20)
    assert shown.response.shape == (20, 20)
    corner = [[shown.xx0[0, 0], shown.xx1[0, 0]]]
    # scikit-learn takes decision_function or predict_proba: both are ours
    assert shown.response[0, 0] in (
        model.decision_function(corner)[0],
        model.predict_proba(corner)[0, 1],
    )
    ax = plot.decision_boundary(model.solution_, lift=model.initial_states, resolution=20)
    left, right = ax.get_xlim()
    assert left < X[:, 0].min() < X[:, 0].max() < right
    plt.close("all")


def test_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None; import pmpnet; from pmpnet import *\n"
        "assert 'PMPClassifier' in dir(pmpnet)\n"
        "try: pmpnet.PMPClassifier\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "scikit-learn is not installed: pip install 'pmpnet[sklearn]'\n"
