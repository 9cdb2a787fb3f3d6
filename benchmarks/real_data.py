"""Classifiers of real tables beside scikit-learn's network: test accuracy on the same splits.

    python -m benchmarks.real_data [--seeds 20] [--data wine,breast_cancer,digits] [--json FILE]

Ours are trained as `python -m pmpnet train` trains by default; the peer is MLPClassifier with its
defaults and 1000 iterations, on columns standardised by the training part. Every seed draws
another fifth of the rows, of every class its share, that both are tested on. One row of wine's 36
is 2.8 %: medians of a few splits differ by luck.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from pmpnet import tables

DATA = ("wine", "breast_cancer", "digits")


def table(name: str) -> tables.Table:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    columns = tuple(map(str, found.feature_names))
    return tables.Table(found.data, found.target, columns, "class", "classification")


def peer(data: tables.Table, seed: int) -> float:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = tables.split(data, seed=seed)
    model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=seed))
    return float(model.fit(data.x[train], data.y[train]).score(data.x[test], data.y[test]))


def ours(data: tables.Table, seed: int) -> float:
    return tables.train(data, seed=seed).annotations["table"]["test_score"]


def measure(name: str, seeds: int) -> dict[str, dict[str, list[float]]]:
    """Return the accuracies and the seconds of every seed, ours and the peer's in turn."""
    data = table(name)
    ours(data, 0)  # compiled or read from disk before the clock starts
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        for who, fit in (("pmpnet", ours), ("MLPClassifier", peer)):
            start = time.perf_counter()
            accuracy = fit(data, seed)
            row = found.setdefault(who, {"accuracy": [], "seconds": []})
            row["accuracy"].append(accuracy)
            row["seconds"].append(time.perf_counter() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--json", help="write every accuracy to this file as well")
    told = parser.parse_args()

    print(
        f"test accuracy over {told.seeds} splits: median, mean (lowest to highest), seconds a fit"
    )
    print(f"{'data set':<14}", *(f"{who:^41}" for who in ("pmpnet", "MLPClassifier")), "+ / = / -")
    results = {}
    for name in told.data.split(","):
        results[name] = measure(name, told.seeds)
        cells = []
        for row in results[name].values():
            a = row["accuracy"]
            cells.append(
                f"{np.median(a):7.2%} {np.mean(a):7.2%}  ({min(a):.2%} to {max(a):.2%})"
                f" {np.median(row['seconds']):5.2f}"
            )
        a, b = (np.array(row["accuracy"]) for row in results[name].values())
        print(f"{name:<14}", *cells, f"  {sum(a > b)} / {sum(a == b)} / {sum(a < b)}", flush=True)
    if told.json:
        Path(told.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
