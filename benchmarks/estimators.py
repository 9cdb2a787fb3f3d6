"""Our estimators beside scikit-learn's: what they predict of rows held out, and seconds to fit.

    python -m benchmarks.estimators [--seeds 10] [--data iris,wine] [--quick] [--out FOLDER]

Everybody with defaults, but networks with 1000 iterations, and networks and linear models on
columns standardised by the training part; ours standardise by themselves. Every seed draws another
fifth of the rows, of every class its share, that all are tested on; data that are made are made
anew. Accuracy of classes, R2 of numbers, in medians over the seeds; seconds are medians too, and
all take turns on every split.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from . import clock

ROWS = 1000  # of data that are made
REAL = {
    "iris": "load_iris", "wine": "load_wine", "breast_cancer": "load_breast_cancer",
    "digits": "load_digits", "diabetes": "load_diabetes",
}  # fmt: skip
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "moons": ("make_moons", dict(noise=0.3)),
    "circles": ("make_circles", dict(noise=0.2, factor=0.5)),
    "classification": (
        "make_classification",
        dict(n_features=20, n_informative=8, n_classes=3),
    ),
    "friedman1": ("make_friedman1", dict(noise=1.0)),
    "friedman2": ("make_friedman2", dict(noise=100.0)),
    "friedman3": ("make_friedman3", dict(noise=0.1)),
}
NUMBERS = ("diabetes", "friedman1", "friedman2", "friedman3")


def rows_of(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and targets of a data set."""
    from sklearn import datasets

    if name in REAL:
        return getattr(datasets, REAL[name])(return_X_y=True)
    make, how = MADE[name]
    return getattr(datasets, make)(ROWS, random_state=seed, **how)


def models(numbers: bool, seed: int) -> dict[str, Callable[[], Any]]:
    """Return what is compared, by the name of its column."""
    from sklearn import ensemble, linear_model, neural_network
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import pmpnet

    network = dict(max_iter=1000, random_state=seed)
    if numbers:
        return {
            "pmpnet": lambda: pmpnet.PMPRegressor(random_state=seed),
            "MLP": lambda: make_pipeline(StandardScaler(), neural_network.MLPRegressor(**network)),
            "linear": lambda: make_pipeline(StandardScaler(), linear_model.Ridge()),
            "boosting": lambda: ensemble.HistGradientBoostingRegressor(random_state=seed),
        }
    return {
        "pmpnet": lambda: pmpnet.PMPClassifier(random_state=seed),
        "MLP": lambda: make_pipeline(StandardScaler(), neural_network.MLPClassifier(**network)),
        "linear": lambda: make_pipeline(
            StandardScaler(), linear_model.LogisticRegression(max_iter=1000)
        ),
        "boosting": lambda: ensemble.HistGradientBoostingClassifier(random_state=seed),
    }


def measure(name: str, seeds: int) -> dict[str, dict[str, list[float]]]:
    """Return scores and seconds of every seed by model, all taking turns on every split."""
    from sklearn.model_selection import train_test_split

    numbers = name in NUMBERS
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        X, y = rows_of(name, seed)
        kept, held, learnt, asked = train_test_split(
            X, y, test_size=0.2, random_state=seed, stratify=None if numbers else y
        )
        for who, make in models(numbers, seed).items():
            if seed == 0:  # compiled or read from disk before the clock starts
                make().fit(kept[:50], learnt[:50])
            begun = clock.now()
            model = make().fit(kept, learnt)
            seconds = clock.now() - begun
            row = found.setdefault(who, {"score": [], "seconds": []})
            row["score"].append(float(model.score(held, asked)))
            row["seconds"].append(seconds)
    return found


def main() -> None:
    parser = clock.options(__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", help="names of data sets, by commas")
    told = parser.parse_args()
    clock.hold(told)
    warnings.simplefilter("ignore")  # who has not converged says so; its score is what counts
    seeds = 2 if told.quick else told.seeds
    names = told.data.split(",") if told.data else [*REAL, *MADE]
    if told.quick and not told.data:
        names.remove("digits")
    rows: list[dict[str, Any]] = []
    print(f"accuracy, or R2, of rows held out and seconds to fit: medians over {seeds} splits")
    for name in sorted(names, key=NUMBERS.__contains__):
        found = measure(name, seeds)
        if not rows:
            print(f"{'':<15}", *(f"{who:^16}" for who in found))
        rows += [dict(data=name, model=who, **row) for who, row in found.items()]
        cells = [
            f"{np.median(row['score']):7.4f} {np.median(row['seconds']):6.2f} s"
            for row in found.values()
        ]
        print(f"{name:<15}", *cells, flush=True)
    clock.write(told, "estimators", rows)


if __name__ == "__main__":
    main()
