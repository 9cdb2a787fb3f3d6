"""Every public function, given every kind of nonsense: it works rightly, or says what it needs.

A case is a function with arguments that work and one of them replaced. What is wrong must be
refused by a sentence of `pmpnet.checks`; the same numbers in another form must give the same bits.
Warnings are errors here, as everywhere.
"""

import datetime
import decimal
import fractions
import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import casadi
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

import pmpnet
from pmpnet import (
    Problem,
    analysis,
    constraints,
    datasets,
    dynamics,
    losses,
    penalties,
    plot,
    schemes,
    solve,
    starts,
    tables,
)

try:
    import pandas
except ImportError:
    pandas = None

CHECKS = str(Path(pmpnet.__file__).with_name("checks.py"))
NAN, INF = float("nan"), float("inf")


# ------------------------------------------------------------------- what is nonsense for whom


class Arrayish:
    """What NumPy takes for an array, and is none."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)


class Broken:
    """What fails to become an array."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")


class Unshowable:
    """What cannot even be shown."""

    def __repr__(self):
        raise RuntimeError("no text")


@dataclass
class Kind:
    """What an argument may not be, by name, and other forms of a good value."""

    bad: dict[str, Any]
    forms: Callable[[Any], dict[str, Any]] = lambda good: {}
    optional: bool = False


NOTHING = {
    "an object": object(),
    "unshowable": Unshowable(),
    "a function": len,
    "a class": int,
    "a set": {1, 2},
    "a dict": {"a": 1},
    "a generator": (i for i in range(3)),
    "not a number": NAN,
    "bytes": b"12",
    "a date": datetime.date(2024, 1, 1),
    "complex": 1 + 1j,
}


def _kind(bad, forms=lambda good: {}, optional=False, also=()):
    bad = {**NOTHING, **bad}
    if not optional:
        bad["None"] = None
    return Kind({name: value for name, value in bad.items() if name not in also}, forms, optional)


def size(least, optional=False):
    """Return the kind of a whole number that something is made of."""
    return count(least, optional, huge=10**18, astronomic=10**400)


def count(least, optional=False, **more):
    """Return the kind of a whole number."""
    bad = {
        "one too few": least - 1, "far too few": -(10**30), "half": 1.5, "a float": 2.0, "inf": INF,
        "text": "3", "True": True, "list": [3], "array": np.array([3, 4]),
        "array of one": np.array([3]), "fraction": fractions.Fraction(5, 2), "minus inf": -INF,
    }  # fmt: skip

    def forms(good):
        return {"int64": np.int64(good), "uint8": np.uint8(good)}

    return _kind({**bad, **more}, forms, optional)


def real(least=None, above=None, below=None, optional=False, also=()):
    """Return the kind of a real number."""
    bad = {
        "inf": INF, "minus inf": -INF, "text": "0.1", "list": [0.5], "True": True,
        "array": np.array([0.1, 0.2]), "larger than any float": 10**400,
        "decimal": decimal.Decimal("0.5"), "array of one": np.array([0.5]), "np.nan": np.float32(NAN),
    }  # fmt: skip
    if least is not None:
        bad |= {"too small": least - 1e-9, "far too small": -1e300}
    if above is not None:
        bad |= {"the bound": above, "too small": above - 1e-9, "far too small": -1e300}
    if below is not None:
        bad |= {"too large": below, "far too large": 1e300}

    def forms(good):
        found = {"float64": np.float64(good), "float32": np.float32(good)}
        if good == int(good):
            found |= {"int": int(good), "int8": np.int8(good)}
        return found | {"fraction": fractions.Fraction(good)}

    return _kind(bad, forms, optional, also)


def word(optional=False):
    """Return the kind of a text out of a few."""
    bad = {
        "another word": "nonsense",
        "empty": "",
        "number": 3,
        "list": ["euler"],
        "upper": "EULER",
    }
    return _kind(bad, optional=optional)


def flag():
    """Return the kind of a yes or no."""
    bad = {"number": 1, "text": "yes", "list": [True], "array": np.array([True, False])}
    return _kind(bad, lambda good: {"np.bool": np.bool_(good)})


def ingredient(optional=False):
    """Return the kind of an object of ours."""
    bad = {"number": 3, "text": "L2", "list": [1, 2], "array": np.zeros(3), "inf": INF}
    return _kind(bad, optional=optional)


def forms_of(good):
    """Return the same numbers in other forms."""
    good = np.asarray(good, float)
    wide = np.full(tuple(2 * n for n in good.shape), NAN)
    every = (slice(None, None, 2),) * good.ndim
    wide[every] = good
    frozen = good.copy()
    frozen.flags.writeable = False
    unaligned = np.zeros(good.nbytes + 1, np.uint8)[1:].view(float).reshape(good.shape)
    unaligned[...] = good
    found = {
        "list": good.tolist(),
        "object": good.astype(object),
        "columns": np.asfortranarray(good),
        "strided": wide[every],
        "reversed": good[::-1].copy()[::-1],
        "read-only": frozen,
        "float32": good.astype(np.float32),
        "float16": good.astype(np.float16),
        "long double": good.astype(np.longdouble),
        "other byte order": good.astype(">f8"),
        "unaligned": unaligned,
        "masked, nothing of it": np.ma.masked_array(good, mask=False),
        "arrayish": Arrayish(good),
        "memory": memoryview(np.ascontiguousarray(good)),
        "list of arrays": list(good),
        "fractions": np.vectorize(fractions.Fraction, otypes=[object])(good),
    }
    if good.ndim == 2:
        found["tuples"] = tuple(map(tuple, good.tolist()))
    if pandas is not None and good.ndim in (1, 2):
        plain = pandas.Series(good) if good.ndim == 1 else pandas.DataFrame(good)
        found |= {"pandas": plain, "pandas nullable": plain.astype("Float64")}
    return found


def array(good, finite=True, scalar=False, optional=False, sized=True, more=None, also=()):
    """Return the kind of an array like a good one."""
    good = np.asarray(good, float)

    def with_entry(value, dtype=float):
        changed = good.astype(dtype)
        changed[(-1,) * good.ndim] = value
        return changed

    bad = {
        "text": "abc", "digits as text": "3", "four dimensions": np.zeros((2, 2, 2, 2)),
        "three dimensions": np.zeros((2, 2, 2)), "ragged": [[1.0, 2.0], [3.0]],
        "complex": good + 0j, "texts": np.full(good.shape, "a"),
        "digits as texts": good.astype(str), "digits as objects": good.astype(str).astype(object),
        "bytes inside": np.full(good.shape, b"1"), "None inside": with_entry(None, object),
        "nothing but None": np.full(good.shape, None), "NaN inside": with_entry(NAN),
        "dates": np.full(good.shape, np.datetime64("2020-01-01")),
        "durations": np.full(good.shape, np.timedelta64(3, "D")),
        "objects": np.full(good.shape, object()), "NA inside": with_entry(getattr(pandas, "NA", None), object),
        "larger than any float inside": with_entry(10**400, object),
        "complex objects": with_entry(1j, object), "broken": Broken(),
        "structured": np.zeros(good.shape, [("a", float), ("b", float)]),
        "masked": np.ma.masked_array(good, mask=np.arange(good.size).reshape(good.shape) == 0),
    }  # fmt: skip
    if not scalar:
        bad |= {"a number": 1.0, "no dimension": np.array(1.0), "inf": INF}
    if finite:
        bad |= {"inf inside": with_entry(INF), "minus inf inside": with_entry(-INF)}
        bad |= {"long double too large": with_entry(np.finfo(np.longdouble).max, np.longdouble)}
    if sized:
        bad |= {
            "empty": [], "no rows": good[:0], "one more": np.concatenate([good, good[:1]]),
            "one dimension more": good[None], "one dimension less": good[0],
        }  # fmt: skip
        if good.ndim == 2:
            bad |= {"no columns": good[:, :0], "a column more": np.c_[good, good[:, :1]]}
            bad |= {"flat": good.ravel()}
    return _kind({**bad, **(more or {})}, forms_of, optional, also)


# --------------------------------------------------------------------------- what is called

RNG = np.random.default_rng(0)


def eighths(*shape, low=-15, high=16):
    """Return numbers that every floating type holds exactly."""
    return RNG.integers(low, high, shape) / 8


X, Y, U, WEIGHTS = eighths(6, 2), eighths(6, 2), eighths(3, 6), eighths(6, low=1)
LABELS = np.array([0, 1, 0, 1, 1, 0])
TIMES = np.array([0.0, 0.25, 0.5, 1.0])
PX = casadi.SX.sym("x", 2)
PU = casadi.SX.sym("u", 2)


def problem(**changed):
    """Return a problem of squares."""
    told = dict(
        dynamics=dynamics.Layer(2), initial_states=X, targets=Y, terminal_cost=losses.Squared(),
        control_cost=penalties.L2(0.5), weights=WEIGHTS, steps=3, dtype="float64",
    )  # fmt: skip
    return Problem(**(told | changed))


def classifier(**changed):
    """Return a problem of two classes."""
    return problem(
        **dict(targets=LABELS, terminal_cost=losses.Logistic(readout=[[1.0, 0.5]])) | changed
    )


@cache
def solved():
    return solve.msa(problem(), max_iter=2)


@cache
def classified():
    return solve.msa(classifier(), max_iter=2)


@cache
def table():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    return tables.Table(x, (x[:, 0] > 0).astype(int), ("a", "b", "c"), "kind", "classification")


@cache
def trained():
    return tables.train(table(), max_iter=2, steps=2, spread=0.0)


# By name: the function, arguments that work, and of what kind they are
CALLS: dict[str, tuple[Callable, dict, dict]] = {}


def calls(name, function, good, /, **kinds):
    """Put a function on the list."""
    CALLS[name] = function, good, kinds


calls(
    "two_moons", datasets.two_moons, dict(samples=8, noise=0.5, seed=1),
    samples=size(2), noise=real(least=0), seed=count(0),
)  # fmt: skip
calls(
    "circles", datasets.circles, dict(samples=8, noise=0.5, seed=1, ratio=0.25),
    samples=size(2), noise=real(least=0), seed=count(0), ratio=real(above=0, below=1),
)  # fmt: skip
calls(
    "spirals", datasets.spirals, dict(samples=8, noise=0.5, seed=1, classes=3, turns=2.0),
    samples=size(3), noise=real(least=0), seed=count(0), classes=size(2), turns=real(above=0),
)  # fmt: skip
calls("diffeomorphism_grid", datasets.diffeomorphism_grid, dict(points=3), points=size(2))
calls(
    "diffeomorphism", datasets.diffeomorphism, dict(x=X),
    x=array(X, also=("no rows", "one more")),
)  # fmt: skip
calls(
    "lift", lambda x, dim: datasets.lift(x, dim).astype(float), dict(x=X, dim=5), dim=size(2),
    x=array(X, also=("no rows", "one more", "a column more", "no columns")),
)  # fmt: skip

for kind, sizes in (("Layer", {}), ("Outside", {}), ("TwoLayer", dict(hidden=3)),
                    ("Neurons", dict(particles=3))):  # fmt: skip
    bias = {} if kind == "Neurons" else dict(bias=True)
    calls(
        kind, getattr(dynamics, kind), dict(dim=2, activation="tanh", scale=0.5) | sizes | bias,
        dim=size(1), activation=word(), scale=real(), **{name: size(1) for name in sizes},
        **{name: flag() for name in bias},
    )  # fmt: skip
calls(
    "LinearControl", dynamics.LinearControl,
    dict(dim=2, fields="gaussian", degree=1, width=2.0, scale=0.5),
    dim=size(1), degree=size(0), width=real(above=0), scale=real(),
    fields=_kind({"another word": "nonsense", "number": 3, "no field": [], "texts": ["a"],
                  "too short": [lambda x: [1.0]], "fails": [lambda x: x[7]], "None": [None],
                  "fields of None": [lambda x: None], "compares": [lambda x: max(x[0], 0) * x]}),
)  # fmt: skip
calls(
    "LinearControl with drift", dynamics.LinearControl,
    dict(dim=2, fields=[lambda x: [1.0, 0.0]], drift=lambda x: x),
    drift=_kind({"number": 3, "text": "x", "too short": lambda x: [x[0]]}, optional=True,
                also=("a function", "a class")),
)  # fmt: skip
SYMBOLS = {
    "number": 3, "text": "x", "an expression": PX * 2, "numbers": [1.0, 2.0], "twice": [PX, PX],
    "matrix": casadi.MX.sym("x", 2), "array": np.zeros(2), "others": casadi.SX.sym("z", 2),
}  # fmt: skip
EXPRESSIONS = {
    "text": "x", "texts": ["a", "b"], "too few": [PX[0]], "too many": [PX, PU], "empty": [],
    "others": casadi.SX.sym("z", 2), "matrix": casadi.MX.sym("x", 2),
    "complex inside": [1j, 1.0], "NaN inside": [NAN, 1.0], "objects": [object(), object()],
}  # fmt: skip
calls(
    "dynamics.Symbolic", dynamics.Symbolic, dict(x=PX, u=PU, rhs=[PX[0] * PU[0], PU[1]], scale=0.5),
    x=_kind(SYMBOLS), u=_kind(SYMBOLS), rhs=_kind(EXPRESSIONS), scale=real(),
    t=_kind(SYMBOLS, optional=True), parameters=_kind(SYMBOLS, optional=True, also=("others",)),
)  # fmt: skip
calls(
    "from_function", dynamics.from_function,
    dict(f=lambda t, x, u: u * x, states=2, controls=2, parameters=0, scale=0.5),
    states=size(1), controls=size(1), parameters=size(0), scale=real(),
    f=_kind({"number": 3, "too few arguments": lambda t: t, "nothing": lambda t, x, u: None}),
)  # fmt: skip
calls(
    "pack", lambda **parts: dynamics.Layer(2).pack(**parts), dict(W=X[:2], b=X[0]),
    W=array(X[:2]), b=array(X[0]),
)  # fmt: skip
calls("unpack", lambda row: dynamics.Layer(2).unpack(row), dict(row=U[0]), row=array(U[0], finite=False, also=("NaN inside", "None inside", "NA inside", "nothing but None")))  # fmt: skip

READOUT = array(eighths(1, 2), optional=True, also=("one more", "a column more"))
READOUT.bad |= {"another word": "nonsense"}
for kind, own in (
    ("Squared", dict(weight=(0.5, real(least=0)))), ("Huber", dict(delta=(0.5, real(above=0)))),
    ("Logistic", {}), ("CrossEntropy", dict(classes=(3, size(2)))),
):  # fmt: skip
    told = {name: good for name, (good, _) in own.items()}
    calls(
        kind, getattr(losses, kind), told | dict(readout="train", readout_cost=penalties.L2(0.5)),
        **{name: of for name, (_, of) in own.items()},
        readout_cost=_kind({"number": 0.5, "groups over time": penalties.Group(1.0, by="time"),
                            "count": penalties.L0(1.0), "kinetic": penalties.Kinetic(1.0)},
                           optional=True),
    )  # fmt: skip
    rows = 3 if kind == "CrossEntropy" else 1
    calls(
        f"{kind} with a readout", getattr(losses, kind), told | dict(readout=eighths(rows, 2)),
        readout=array(eighths(rows, 2), optional=True,
                      also=() if rows == 3 else ("one more", "a column more")),
    )  # fmt: skip
    if rows == 3:
        CALLS[f"{kind} with a readout"][2]["readout"].bad.pop("a column more")
    elif kind == "Logistic":
        CALLS[f"{kind} with a readout"][2]["readout"].bad["two rows"] = np.ones((2, 2))
calls(
    "losses.Symbolic", losses.Symbolic, dict(expression=PX[0] * PX[1], x=PX),
    x=_kind(SYMBOLS), expression=_kind({**EXPRESSIONS, "two": PX}, also=("too few",)),
    u=_kind({"number": 3, "text": "u", "x again": PX}, optional=True),
    t=_kind({"number": 3, "two": PU, "x again": PX[0]}, optional=True),
    y=_kind({"number": 3, "x again": PX}, optional=True),
)  # fmt: skip

LIMITS = array(np.ones(2), scalar=True, also=("one more", "one dimension less"))
LIMITS.bad.pop("inf", None)
for kind in ("L2", "L1", "L0"):
    weight = array(eighths(3, 6, low=0), scalar=True, more={"negative": -0.5, "one": [1.0, -1e-9]},
                   also=("one more", "a column more", "one dimension less", "flat"))  # fmt: skip
    calls(kind, getattr(penalties, kind), dict(weight=eighths(3, 6, low=0)), weight=weight)
calls(
    "ElasticNet", penalties.ElasticNet, dict(l1=0.5, l2=0.25),
    l1=real(least=0, also=("list", "array", "True", "array of one", "decimal")),
    l2=real(least=0, also=("list", "array", "True", "array of one", "decimal")),
)  # fmt: skip
calls("Kinetic", penalties.Kinetic, dict(weight=0.5), weight=real(least=0))
BOUND = dict(finite=False, scalar=True,
             also=("one more", "one dimension less", "one dimension more", "no rows", "empty"))  # fmt: skip
calls(
    "Box", penalties.Box, dict(lower=-np.ones(6), upper=np.ones(6)),
    lower=array(-np.ones(6), **BOUND, more={"crossed": 2.0, "inf": INF, "one crossed": [1] * 5 + [2]}),
    upper=array(np.ones(6), **BOUND, more={"crossed": -2.0, "minus inf": -INF}),
)  # fmt: skip
for kind in ("Ball", "L1Ball"):
    radius = array(np.ones(3), scalar=True, more={"zero": 0.0, "negative": -1.0, "one": [1, 0.0]},
                   also=("one more", "one dimension less"))  # fmt: skip
    calls(kind, getattr(penalties, kind), dict(radius=np.ones(3)), radius=radius)
calls(
    "Finite", penalties.Finite, dict(values=[-1.0, 0.0, 1.0]),
    values=array([-1.0, 0.0, 1.0], also=("one more",)),
)  # fmt: skip
calls(
    "Group", penalties.Group, dict(weight=0.5, by="row"), by=word(),
    weight=real(least=0, also=("list", "array", "True", "array of one", "decimal")),
)  # fmt: skip
calls("a sum", lambda other: penalties.L1(0.5) + other, dict(other=penalties.L2(1.0)),
      other=ingredient())  # fmt: skip
calls("a multiple", lambda factor: factor * penalties.L2(1.0), dict(factor=2.0),
      factor=real(above=0))  # fmt: skip

A = [[0.0, 0.0], [0.5, 0.0]]
calls(
    "Scheme", schemes.Scheme, dict(name="mine", A=A, b=[0.0, 1.0], order=2),
    name=_kind({"number": 3, "empty": ""}), order=count(1),
    A=array(A, more={"implicit": np.eye(2), "wide": np.zeros((2, 3))}),
    b=array([0.0, 1.0], more={"sum": [0.5, 0.75]}),
)  # fmt: skip
calls("scheme", schemes.scheme, dict(given="heun"), given=word())

for kind in ("Terminal", "Path", "Integral"):
    bound = array(np.ones(2), finite=False, scalar=True, also=("one dimension less", "None"))
    calls(
        kind, getattr(constraints, kind),
        dict(expression=PX, x=PX, lower=-np.ones(2), upper=np.ones(2), name="mine"),
        expression=_kind({k: v for k, v in EXPRESSIONS.items() if k not in ("too few", "too many")}),
        x=_kind(SYMBOLS), lower=Kind({**bound.bad, "crossed": 2.0, "inf": INF}, forms_of),
        upper=Kind({**bound.bad, "crossed": -2.0, "minus inf": -INF}, forms_of),
        name=_kind({"number": 3, "empty": "", "controls": "controls"}, optional=True),
    )  # fmt: skip

GOOD = dict(
    dynamics=dynamics.Layer(2), initial_states=X, targets=Y, terminal_cost=losses.Squared(),
    control_cost=penalties.L2(0.5), weights=WEIGHTS, dtype="float64",
)  # fmt: skip
calls(
    "Problem", Problem, GOOD | dict(running_weight=0.5, horizon=2.0, steps=3, scheme="heun"),
    dynamics=ingredient(), initial_states=array(X), terminal_cost=ingredient(optional=True),
    targets=array(Y, optional=True), control_cost=ingredient(optional=True),
    running_cost=ingredient(optional=True), running_weight=real(least=0),
    weights=array(WEIGHTS, optional=True, more={"negative": -WEIGHTS, "zero": 0 * WEIGHTS}),
    horizon=real(above=0), steps=size(1), scheme=word(),
    constraints=_kind({"number": 3, "text": "a", "numbers": [1], "class": [constraints.Terminal]}),
    dtype=_kind({"half": "float16", "whole": int, "complex": complex, "text": "fancy", "number": 3,
                 "comma": ",", "dict": {"a": 1}}, optional=True),
)  # fmt: skip
calls(
    "Problem on times", Problem, GOOD | dict(times=TIMES),
    times=array(TIMES, optional=True, also=("one more",),
                more={"twice": [0, 1, 1], "falling": TIMES[::-1], "one": [0.0]}),
)  # fmt: skip
calls(
    "Problem of free horizon", Problem, GOOD | dict(steps=3, free_horizon=(0.5, 2.0)),
    free_horizon=array([0.5, 2.0], optional=True,
                       more={"crossed": (2, 1), "zero": (0, 1), "one": (1, 1), "three": (1, 2, 3)}),
)  # fmt: skip
calls(
    "Problem of classes", Problem,
    GOOD | dict(targets=LABELS, terminal_cost=losses.Logistic(readout=[[1.0, 0.5]]), steps=3),
    targets=_kind({
        "one class": np.zeros(6), "three classes": [0, 1, 2, 0, 1, 2], "a number": 1.0, "empty": [],
        "too few": LABELS[:5], "two columns": np.c_[LABELS, LABELS], "ragged": [[0], [1, 2]] * 3,
        "NaN inside": [NAN, 0, 1, 0, 1, 1], "mixed": np.array([1, "a"] * 3, object),
        "NaN among objects": np.array([NAN, 0.0, 1.0, 0.0, 1.0, 1.0], object),
        "None among texts": np.array([None, "a", "b", "a", "b", "a"], object), "text": "ababab",
        "None among numbers": np.array([None, 0, 1, 0, 1, 1], object), "complex": LABELS + 0j,
        "no date": np.array(["NaT", *["2020-01-01"] * 5], "M8[D]"), "broken": Broken(),
        "nothing but NaN": np.full(6, NAN), "objects": np.array([object()] * 6),
        "masked": np.ma.masked_array(LABELS, mask=LABELS == 1),
    }),
)  # fmt: skip
P = casadi.SX.sym("p")
calls(
    "Problem with parameters", Problem,
    GOOD | dict(dynamics=dynamics.Symbolic(PX, PU, PX * PU + P, parameters=P), steps=3,
                parameters=eighths(6, 1)),
    parameters=array(eighths(6, 1), also=("flat",)),
)  # fmt: skip
for asked in ("cost", "terms", "gradient", "states", "costates"):
    calls(asked, lambda u, asked=asked: getattr(problem(), asked)(u), dict(u=U), u=array(U))
    if asked != "states":
        calls(
            f"{asked} with a readout",
            lambda u, readout, asked=asked: getattr(
                classifier(terminal_cost=losses.Logistic(readout="train")), asked
            )(u, readout),
            dict(u=U, readout=(X[:1], [0.5])),
            readout=_kind({"number": 3, "text": "train", "one": (X[:1],), "wide": (X, [0.5]),
                           "long": (X[:1], [0.5, 1]), "NaN inside": (X[:1], [NAN]),
                           "texts": ("a", "b"), "another role": {"running": (X[:1], [0.5])}},
                          optional=True),
        )  # fmt: skip
    calls(
        f"{asked} with a horizon",
        lambda u, horizon, asked=asked: getattr(problem(free_horizon=(0.5, 2.0)), asked)(
            u, horizon=horizon
        ),
        dict(u=U, horizon=1.5), horizon=real(above=0, optional=True),
    )  # fmt: skip
calls(
    "replace", lambda **changed: problem().replace(**changed), dict(steps=4, horizon=2.0),
    steps=size(1), horizon=real(above=0),
)  # fmt: skip
calls(
    "on", lambda index: problem().on(index), dict(index=np.array([0, 2, 5])),
    index=_kind({"beyond": [0, 6], "before": [-7], "halves": [0.5], "text": "0", "empty": [],
                 "two dimensions": [[0, 1]], "number": 3, "texts": ["a"], "no mask": [True] * 5,
                 "nothing of the mask": [False] * 6, "weightless": []},
                lambda good: {"list": good.tolist(), "int8": good.astype(np.int8),
                              "mask": np.isin(np.arange(6), good),
                              "list of a mask": np.isin(np.arange(6), good).tolist(),
                              "from the end": good - 6}),
)  # fmt: skip
calls(
    "verify", lambda **told: pmpnet.verify(problem(), **told), dict(controls=U, search=2, seed=1),
    controls=array(U), search=count(0), seed=count(0),
)  # fmt: skip
calls("verify of what", lambda problem: pmpnet.verify(problem, U), dict(problem=problem()),
      problem=ingredient())  # fmt: skip
calls("set_num_threads", lambda count: pmpnet.set_num_threads(count), {},
      count=Kind({k: v for k, v in count(1).bad.items() if k != "None"}))  # fmt: skip
calls("load", pmpnet.load, {}, path=_kind({"number": 3, "empty": "", "list": ["a"], "zero": "a\0b"}, also=("bytes",)))  # fmt: skip
calls("save", lambda path: solved().save(path), {}, path=_kind({"number": 3, "empty": "", "list": ["a"], "zero": "a\0b"}, also=("bytes",)))  # fmt: skip

# solutions
calls(
    "control_at", lambda t: solved().control_at(t), dict(t=TIMES[:3]),
    t=array(TIMES[:3], scalar=True, also=("empty", "no rows", "one more", "one dimension less"),
            more={"before": -1e-9, "after": 1 + 1e-9, "one after": [0.5, 2.0]}),
)  # fmt: skip
calls(
    "state_at", lambda **told: solved().state_at(**told), dict(t=0.5, x=X),
    t=real(least=0), x=array(X, optional=True, also=("one more", "no rows")),
)  # fmt: skip
for asked in ("flow", "outputs", "predict", "inverse", "states"):
    calls(
        f"Solution.{asked}", lambda asked=asked, **told: getattr(solved(), asked)(**told),
        {"z" if asked == "inverse" else "x": X},
        **{"z" if asked == "inverse" else "x":
           array(X, optional=asked == "states", also=("one more", "no rows"))},
    )  # fmt: skip
calls("predict_proba", lambda x: classified().predict_proba(x), dict(x=X),
      x=array(X, also=("one more", "no rows")))  # fmt: skip
calls(
    "inverse", lambda **told: solved().inverse(X, **told), dict(tol=0.125, max_iter=200),
    tol=real(above=0), max_iter=count(1),
)  # fmt: skip
calls("resimulate", lambda rtol: solved().resimulate(rtol), dict(rtol=2.0**-10),
      rtol=real(above=0))  # fmt: skip
calls("score of numbers", lambda x, y: solved().score(x, y), dict(x=X, y=Y),
      x=array(X), y=array(Y))  # fmt: skip
calls(
    "score of labels", lambda x, y: classified().score(x, y), dict(x=X, y=LABELS), x=array(X),
    y=_kind({"number": 1, "too few": LABELS[:5], "two columns": np.c_[LABELS, LABELS],
             "texts": np.array(["a", "b"] * 3), "text": "ababab", "ragged": [[0], [1, 2]] * 3},
            lambda good: {"list": good.tolist(), "column": good[:, None], "floats": good / 1}),
)  # fmt: skip

# methods
COMMON = dict(start=U, max_iter=3, tol=0.125, seed=1, progress=False)
KINDS = dict(
    start=array(U, optional=True), max_iter=count(0), tol=real(least=0), seed=count(0),
    progress=flag(), callback=_kind({"number": 3, "text": "a"}, optional=True, also=("a function", "a class")),
)  # fmt: skip
STARTS = dict(starts=count(1), needles=count(0))
OWN: dict[str, tuple[dict, dict]] = {
    'msa variant="accelerated"': (dict(memory=3, trials=2), dict(memory=size(1), trials=count(0))),
    'msa variant="proximal"': ({}, {}),
    'msa variant="damped"': (dict(damping=0.5), dict(damping=real(above=0))),
    'msa variant="basic"': ({}, {}),
    'msa variant="sqh"': (
        dict(epsilon=0.5, sigma=2.0, zeta=0.5, eta=0.125),
        dict(epsilon=real(above=0), sigma=real(above=1), zeta=real(above=0, below=1),
             eta=real(above=0)),
    ),
    'msa variant="augmented"': (
        dict(rho=0.5, adaptive=True), dict(rho=real(above=0), adaptive=flag())
    ),
    'msa variant="synchronous"': (
        dict(step=0.5, shrink=0.25, smallest_step=0.125),
        dict(step=real(above=0), shrink=real(above=0, below=1), smallest_step=real(above=0)),
    ),
    "gradient_flow": (
        dict(step=0.5, shrink=0.25, decrease=0.25, smallest_step=0.125),
        dict(step=real(above=0), shrink=real(above=0, below=1), decrease=real(above=0, below=1),
             smallest_step=real(above=0)),
    ),
    "adam": (
        dict(learning_rate=0.5, batch_size=4, beta1=0.5, beta2=0.5, epsilon=0.125),
        dict(learning_rate=real(above=0), batch_size=count(1, optional=True),
             beta1=real(above=0, below=1), beta2=real(above=0, below=1), epsilon=real(above=0)),
    ),
    "sgd": (
        dict(learning_rate=0.5, batch_size=4, momentum=0.5),
        dict(learning_rate=real(above=0), batch_size=count(1, optional=True),
             momentum=real(least=0)),
    ),
    "lbfgs": (dict(memory=3), dict(memory=size(1))),
    "newton": (dict(radius=0.5, cg_steps=3), dict(radius=real(above=0), cg_steps=count(1))),
}  # fmt: skip
for name, (told, own) in OWN.items():
    method, _, variant = name.partition(" variant=")
    kept = dict(variant=variant.strip('"')) if variant else {}
    calls(
        name,
        lambda method=method, kept=kept, **told: getattr(solve, method)(problem(), **kept, **told),
        COMMON | dict(starts=1, needles=0) | told, **KINDS, **STARTS, **own,
    )  # fmt: skip
calls("msa", lambda **told: solve.msa(problem(), **told), dict(variant="proximal", max_iter=1),
      variant=word())  # fmt: skip
for name in ("msa", "lbfgs", "newton", "adam", "sgd", "gradient_flow", "stochastic", "refine",
             "direct", "indirect"):  # fmt: skip
    calls(f"{name} of what", lambda problem, name=name: getattr(solve, name)(problem, max_iter=0)
          if name != "indirect" else solve.indirect(problem), {},
          problem=ingredient())  # fmt: skip
calls(
    "stochastic", lambda **told: solve.stochastic(problem(), **told),
    COMMON | dict(method="progressive", batch_size=3, growth=1.5, level_iter=2, level_tol=0.5),
    **KINDS, method=word(), batch_size=count(1), growth=real(above=1), level_iter=count(1),
    level_tol=real(above=0), solver=_kind({"number": 3, "text": "fast"}, also=("a function", "a class", "a set", "a dict")),
)  # fmt: skip
calls(
    "stochastic adam", lambda **told: solve.stochastic(problem(), method="adam", **told),
    COMMON | dict(batch_size=3, learning_rate=0.5, schedule="constant", average=0.5, beta1=0.5,
                  beta2=0.5, epsilon=0.125),
    **KINDS, batch_size=count(1), learning_rate=real(above=0), schedule=word(),
    average=real(least=0, below=1), beta1=real(above=0, below=1), beta2=real(above=0, below=1),
    epsilon=real(above=0),
)  # fmt: skip
calls(
    "refine", lambda **told: solve.refine(problem(steps=8), **told),
    dict(max_iter=3, tol=0.125, seed=1, along="depth", levels=2, starts=1, carry=True, level_iter=2,
         level_tol=0.5),
    **{k: v for k, v in KINDS.items() if k != "start"}, along=word(), starts=count(1), carry=flag(),
    level_iter=count(0, optional=True), level_tol=real(least=0, optional=True),
    levels=Kind({k: v for k, v in count(1).bad.items() if k not in ("None", "list", "array", "array of one")} | {
        "texts": ["a"], "falling": [8, 4], "halves": [2.5, 8], "twice": [4, 4], "zero": [0, 4],
        "beyond": [4, 16], "empty": []}),
    method=_kind({"number": 3, "text": "fast"}, also=("a function", "a class", "a set", "a dict")),
    held_out=_kind({"number": 3, "one": (X,), "four": (X, Y, X, Y), "text": "ab"}, optional=True),
)  # fmt: skip
calls(
    "refine along the penalty",
    lambda **told: solve.refine(problem(), along="penalty", max_iter=2, **told),
    dict(levels=[4.0, 2.0]),
    levels=Kind({k: v for k, v in count(1).bad.items() if k not in ("None", "list", "array of one")} | {
        "texts": ["a"], "rising": [1.0, 2.0], "negative": [2.0, -1.0], "NaN inside": [NAN, 1.0],
        "empty": []}),
)  # fmt: skip
calls(
    "direct", lambda **told: solve.direct(problem(), **told),
    dict(max_iter=2, tol=0.125, seed=1, degree=2, starts=1),
    start=array(U, optional=True), max_iter=count(0), tol=real(above=0), seed=count(0),
    progress=flag(), callback=KINDS["callback"], starts=count(1), transcription=word(),
    degree=size(1), points=word(), solver=word(),
    options=_kind({"number": 3, "text": "a", "numbers": {1: 2}, "unknown": {"ipopt.nonsense": 1},
                   "list": [1]}, optional=True, also=("a dict",)),
)  # fmt: skip
calls(
    "indirect", lambda **told: solve.indirect(problem(), **told),
    dict(tol=0.125, method="bvp", smoothing=0.0, max_nodes=50, segments=2),
    start=array(U, optional=True), tol=real(above=0), method=word(), max_nodes=count(2),
    segments=size(1), smoothing=_kind({"above": 1.5, "below": -0.5, "text": "a", "empty": [],
    "rising": [0.1, 0.5], "NaN inside": [NAN]}, optional=True),
)  # fmt: skip
calls(
    "compare", lambda **told: pmpnet.compare(problem(), **told),
    dict(methods=[solve.msa], start=U, max_iter=2, tol=0.125, seed=1, budget=20.0, names=["a"]),
    methods=_kind({"number": 3, "text": "msa", "texts": ["msa"], "empty": [], "triple": [(1, 2, 3)],
                   "options": [(solve.msa, 3)], "a method": solve.msa}),
    start=array(U, optional=True), max_iter=count(0), tol=real(least=0), seed=count(0),
    budget=real(above=0, optional=True),
    names=_kind({"number": 3, "two": ["a", "b"], "text": "ab", "none": []}, optional=True),
    test=_kind({"number": 3, "one": (X,), "four": (X, Y, X, Y), "wide": (Y[:, :1], Y)}, optional=True),
    progress=flag(),
)  # fmt: skip

# tables
calls(
    "tables.split", tables.split, dict(table=table(), fraction=0.25, seed=1),
    table=ingredient(), fraction=real(above=0, below=1), seed=count(0),
)  # fmt: skip
calls(
    "tables.train", lambda **told: tables.train(**told),
    dict(table=table(), test_fraction=0.25, seed=1, steps=2, horizon=1.0, activation="tanh", l1=0.5,
         l2=0.5, spread=0.0, max_iter=1),
    table=ingredient(), test_fraction=real(above=0, below=1), seed=count(0), steps=size(1),
    horizon=real(above=0), activation=word(), max_iter=count(0), spread=real(least=0, optional=True),
    dim=size(4, optional=True), l1=real(least=0, optional=True, also=("list", "array", "True", "decimal", "array of one")),
    l2=real(least=0, optional=True, also=("list", "array", "True", "decimal", "array of one")),
    method=_kind({"number": 3, "text": "msa"}, also=("a function", "a class")),
)  # fmt: skip
ROWS = eighths(4, 3)
calls("tables.predict", lambda x: tables.predict(trained(), x), dict(x=ROWS),
      x=array(ROWS, also=("one more", "no rows")))  # fmt: skip
calls("tables.predict of what", lambda solution: tables.predict(solution, ROWS), {},
      solution=ingredient())  # fmt: skip
calls("tables.score", lambda x, y: tables.score(trained(), x, y), dict(x=ROWS, y=[0, 1, 1, 0]),
      x=array(ROWS), y=_kind({"number": 1, "too few": [0, 1], "texts": ["a", "b", "a", "b"],
                              "two columns": np.zeros((4, 2))}))  # fmt: skip
calls("tables.read", lambda path: tables.read(path, "kind"), {},
      path=_kind({"number": 3, "empty": ""}, also=("bytes",)))  # fmt: skip

# figures
for name in plot.__all__:
    calls(f"plot.{name}", lambda solution, name=name: getattr(plot, name)(solution), {},
          solution=ingredient() if name != "controls" else array(U, also=("one more", "a column more", "one dimension less")))  # fmt: skip
calls(
    "plot.trajectories of", lambda **told: plot.trajectories(solved(), **told),
    dict(x=X, components=(0, 1), limit=5),
    x=array(X, optional=True, also=("one more",)), limit=count(1),
    components=_kind({"beyond": (0, 2), "before": -1, "three": (0, 1, 0), "halves": (0.5, 1),
                      "text": "01", "empty": ()}), ax=ingredient(optional=True),
)  # fmt: skip
calls("plot.controls on", lambda times: plot.controls(U, times=times), dict(times=TIMES),
      times=array(TIMES, optional=True, more={"falling": TIMES[::-1]}))  # fmt: skip
calls(
    "plot.convergence of", lambda **told: plot.convergence(solved(), **told),
    dict(quantity="cost", against="sweeps", best=-1.0), quantity=word(), against=word(),
    best=real(optional=True, below=1e6), ax=ingredient(optional=True),
)  # fmt: skip


# analysis and starts
for name in ("stopping_time", "sparsity", "prune", "retime", "depth_gap", "depth_smoothness",
             "reversibility", "memory_free_gradient", "lipschitz", "log_det", "flow_jacobian",
             "sharpness", "laziness", "truncated_costates", "balance", "directions"):  # fmt: skip
    kind = ingredient()
    if name == "depth_smoothness":
        kind = array(U, also=("one more", "a column more"))
    calls(f"analysis.{name}", lambda solution, name=name: getattr(analysis, name)(solution), {},
          solution=kind)  # fmt: skip
calls("stopping_time", lambda tol: solved().stopping_time(tol), dict(tol=0.125), tol=real(least=0))
calls(
    "retime", lambda times: analysis.retime(solved(), times), dict(times=TIMES),
    times=array(TIMES, optional=True, more={"twice": [0, 1, 1, 2], "falling": TIMES[::-1]}),
)  # fmt: skip
calls("retime by a norm", lambda norm: analysis.retime(solved(), norm=norm), dict(norm=2),
      norm=_kind({"another": 3, "text": "l1", "zero": 0, "list": [1], "array": np.array([1, 2])}))  # fmt: skip
PLACES = array(X, optional=True, also=("one more", "no rows", "empty"))
calls(
    "depth_gap", lambda **told: analysis.depth_gap(solved(), **told),
    dict(x=X, interpolation="linear", refine=[1, 2], rtol=2.0**-20),
    x=PLACES, interpolation=word(), rtol=real(above=0),
    refine=_kind({"number": 2, "halves": [0.5, 1], "zero": [0, 1], "texts": ["a"], "empty": []},
                 also=("a set", "a generator", "bytes")),
)  # fmt: skip
calls(
    "depth_smoothness", lambda times: analysis.depth_smoothness(U, times), dict(times=TIMES),
    times=array(TIMES, optional=True, more={"falling": TIMES[::-1]}),
)  # fmt: skip
calls("scaling_exponents", lambda solutions: analysis.scaling_exponents(solutions),
      dict(solutions=[U, np.concatenate([U, U])]),
      solutions=_kind({"number": 3, "text": "ab", "one": [U], "numbers": [1, 2], "empty": [],
                       "one depth": [U, U], "NaN inside": [U, U * NAN]}))  # fmt: skip
for name in ("lipschitz", "flow_jacobian"):
    calls(f"{name} at", lambda x, name=name: getattr(analysis, name)(solved(), x), dict(x=X),
          x=PLACES)  # fmt: skip
calls(
    "inversion", lambda **told: analysis.inversion(solved(), **told),
    dict(z=X, tol=0.125, max_iter=20),
    z=array(X, also=("one more", "no rows")), tol=real(least=0), max_iter=count(1),
)  # fmt: skip
calls(
    "log_det", lambda **told: analysis.log_det(solved(), **told),
    dict(x=X, method="series", terms=3, probes=2, seed=1),
    x=PLACES, method=word(), terms=count(1), probes=size(1, optional=True), seed=count(0),
)  # fmt: skip
calls("series_bound", lambda terms: analysis.series_bound(solved(), terms), dict(terms=3),
      terms=count(1))  # fmt: skip
calls(
    "flow_distance", lambda **told: analysis.flow_distance(solved(), **told),
    dict(other=solved(), x=X, norm="sup"), other=ingredient(), norm=word(),
    x=array(X, optional=True, also=("one more",)),
)  # fmt: skip
calls("sharpness", lambda **told: analysis.sharpness(solved(), **told), dict(tol=0.125, seed=1),
      tol=real(least=0), seed=count(0))  # fmt: skip
calls("Hessian", analysis.Hessian, {}, problem=ingredient())
calls("laziness", lambda **told: analysis.laziness(solved(), **told), dict(start=U, x=X),
      start=array(U, optional=True), x=array(X, optional=True, also=("one more",)))  # fmt: skip
calls("memory_free_gradient", lambda tol: analysis.memory_free_gradient(solved(), tol),
      dict(tol=8.0), tol=real(above=0))  # fmt: skip
calls(
    "sample_convergence", lambda **told: analysis.sample_convergence(problem(), **told),
    dict(solve=solve.msa, sizes=[3, 5], resamples=2, seed=1),
    solve=_kind({"number": 3, "text": "msa"}, also=("a function", "a class")),
    sizes=_kind({"number": 3, "beyond": [3, 7], "zero": [0], "halves": [1.5], "empty": []},
                also=("a set", "a generator", "bytes")),
    resamples=count(2), seed=count(0),
)  # fmt: skip
STD = eighths(6, low=1)
SPREAD = array(STD, scalar=True, more={"negative": -0.5},
               also=("one dimension less",))  # fmt: skip
for name, own in (("independent", dict(law="uniform")), ("fractional", dict(hurst=0.75)),
                  ("smooth", dict(length=0.5))):  # fmt: skip
    calls(
        f"starts.{name}", getattr(starts, name), dict(shape=(3, 6), std=STD, seed=1) | own,
        shape=_kind({"number": 3, "text": "36", "three": (3, 6, 1), "zero": (0, 6),
                     "halves": (1.5, 6)}),
        std=SPREAD, seed=count(0),
    )  # fmt: skip
calls("starts.independent law", lambda law: starts.independent((3, 6), law=law), dict(law="normal"),
      law=word())  # fmt: skip
calls("hurst", lambda **told: starts.fractional((3, 6), **told), dict(hurst=0.75, increments=False),
      hurst=real(above=0, below=1), increments=flag())  # fmt: skip
calls("smooth length", lambda length: starts.smooth((3, 6), length=length), dict(length=0.5),
      length=real(above=0))  # fmt: skip

# ------------------------------------------------------------------------------- the tests

ARGUMENTS = [(name, argument) for name, (_, _, kinds) in CALLS.items() for argument in kinds]


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")
    pmpnet.set_num_threads(None)
    assert not list(tmp_path.iterdir())


def unlike_ours(error: BaseException) -> str:
    """Return what is wrong with an error as a sentence of ours; nothing, where nothing is."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = str(error)
    if last.filename != CHECKS and "checks." not in linecache.getline(last.filename, last.lineno):
        return f"raised by {last.filename}:{last.lineno}: {type(error).__name__}: {said}"
    sentence = said.endswith(".") and "\n" not in said and 5 <= len(said.split()) <= 90
    return "" if sentence else f"no sentence: {said}"


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_nonsense_is_refused_by_a_sentence(name, argument):
    function, good, kinds = CALLS[name]
    wrong = {}
    for told, value in kinds[argument].bad.items():
        try:
            function(**{**good, argument: value})
        except (ValueError, TypeError) as error:
            wrong[told] = unlike_ours(error)
        except Exception as error:
            wrong[told] = repr(error)
        else:
            wrong[told] = "accepted"
    assert not any(wrong.values()), {told: why for told, why in wrong.items() if why}


def bits(value: Any) -> Any:
    """Return what is the same for the same answers, and only for these."""
    if isinstance(value, Problem):
        u = np.ones(value.control_shape)
        return bits([value.cost(u), value.gradient(u), value.times])
    if isinstance(value, pmpnet.Solution):
        return bits([value.controls, value.cost, value.message, value.nit])
    if isinstance(value, pmpnet.Comparison):
        return bits(list(value.values()))
    if isinstance(value, dynamics.Dynamics):
        x, u = np.full((3, value.dim), 0.3), np.arange(value.controls) / 7
        return bits([value.f(0.0, x, u), repr(value)])
    if isinstance(value, losses.Loss):
        return bits([value.readout, value.readout_cost, repr(value)])
    if isinstance(value, constraints.Constraint):
        return bits([value.name, value.lower, value.upper, repr(value)])
    if isinstance(value, Axes):
        return bits([line.get_xydata() for line in value.lines] + [value.get_xlim()])
    if is_dataclass(value):
        return [bits(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(entry) for entry in value]
    if isinstance(value, float):
        return np.float64(value).tobytes()
    assert value is None or isinstance(value, (str, int)), type(value)
    return value


FORMS = [
    (name, argument)
    for name, argument in ARGUMENTS
    if argument in CALLS[name][1] and CALLS[name][2][argument].forms(CALLS[name][1][argument])
]


@pytest.mark.parametrize(("name", "argument"), FORMS)
def test_the_form_of_what_is_given_does_not_matter(name, argument):
    function, good, kinds = CALLS[name]
    plain = bits(function(**good))
    for told, value in kinds[argument].forms(good[argument]).items():
        assert bits(function(**{**good, argument: value})) == plain, told
