"""Optimal control of neural ODEs, solved and certified by Pontryagin's principle."""

from importlib import import_module

__version__ = "0.1.0"

# Where each public name lives. Nothing is imported before it is used: `import pmpnet` is light.
_HOMES = {
    "Problem": "problem",
    "Solution": "solution",
    "Certificate": "certificate",
    "verify": "certificate",
    "compare": "comparison",
    "Comparison": "comparison",
    "load": "storage",
    "set_num_threads": "sweeps",
    "get_num_threads": "sweeps",
}
_ESTIMATORS = ("PMPClassifier", "PMPRegressor")  # need scikit-learn: `import *` leaves them out
_MODULES = (
    "analysis",
    "constraints",
    "datasets",
    "dynamics",
    "interop",
    "losses",
    "penalties",
    "plot",
    "schemes",
    "solve",
    "starts",
    "tables",
)

__all__ = [*_HOMES, *_MODULES]
_HOMES |= dict.fromkeys(_ESTIMATORS, "estimators")


def __getattr__(name: str):
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'pmpnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ESTIMATORS})
