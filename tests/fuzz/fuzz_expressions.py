"""The translator of expressions: its text computes what CasADi computes, to the last bit.

Bytes become expressions of t, x, u and theta. The text of their map and of its pullback is run as
plain Python, its functions those of the C library, which CasADi calls too; CasADi evaluates the
expressions as they were given, and `jtimes` of them.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import warnings
from functools import cache
from types import SimpleNamespace

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["pmpnet.expressions", "pmpnet.checks"]):
        from pmpnet import expressions
else:
    from pmpnet import expressions

import casadi
import numpy as np
from casadi import SX

from tests.fuzz.driver import Choices, main, sentence

DIM, CONTROLS, PARAMETERS, SAMPLES = 3, 2, 2, 2
UNARY = [
    "fabs",
    "sign",
    "floor",
    "ceil",
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "erf",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "sq_",
    "neg_",
    "inv_",
    "twice_",
    "not_",
]
BINARY = [
    "add_",
    "sub_",
    "mul_",
    "div_",
    "pow",
    "fmin",
    "fmax",
    "fmod",
    "remainder",
    "copysign",
    "atan2",
    "hypot",
    "lt_",
    "le_",
    "eq_",
    "ne_",
    "and_",
    "or_",
    "if_else_zero",
    "if_else",
]
OPERATORS = {
    "sq_": lambda a: a * a,
    "neg_": lambda a: -a,
    "inv_": lambda a: 1 / a,
    "twice_": lambda a: a + a,
    "not_": casadi.logic_not,
    "add_": lambda a, b: a + b,
    "sub_": lambda a, b: a - b,
    "mul_": lambda a, b: a * b,
    "div_": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "lt_": lambda a, b: a < b,
    "le_": lambda a, b: a <= b,
    "eq_": lambda a, b: a == b,
    "ne_": lambda a, b: a != b,
    "and_": casadi.logic_and,
    "or_": casadi.logic_or,
    # what the sign of NaN is, nobody says
    "copysign": lambda a, b: casadi.copysign(a, casadi.fmax(b, -2.0)),
    "if_else_zero": lambda a, b: SX.binary(casadi.OP_IF_ELSE_ZERO, SX(a), SX(b)),
    "if_else": lambda a, b: casadi.if_else(a > 0, b, -a * b),
}
CONSTANTS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -3.0, 1e-300, 1e300, 1 / 3, math.pi, 4.0, 1e-9)
NUMBERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.3,
    2.0,
    3.7,
    -11.0,
    1e-8,
    1e5,
    1e200,
    5e-324,
    math.inf,
    math.nan,
)
EXACT = frozenset(expressions.FORMULAS) | {"INPUT", "CONST"}


@cache
def names() -> dict:
    """Return what a text may name, in plain Python: the functions are the C library's."""
    library = ctypes.CDLL(ctypes.util.find_library("m"))

    def of_c(name: str, many: int):
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double] * many
        return lambda *given: np.float64(function(*given))

    one = """
    sqrt expm1 log log1p erf sin cos tan asin acos atan sinh cosh asinh acosh atanh
    """
    two = "pow atan2 hypot copysign"
    told = {name: of_c(name, 1) for name in one.split()} | {
        name: of_c(name, 2) for name in two.split()
    }

    def write(block, i, m, value):
        block[i, m] = value

    return {
        "math": SimpleNamespace(**told),
        "np": SimpleNamespace(floor=np.floor, ceil=np.ceil, fmod=of_c("fmod", 2)),
        "inf": math.inf,
        "nan": math.nan,
        "exp": of_c("exp", 1),
        "tanh": of_c("tanh", 1),
        "remainder": of_c("remainder", 2),
        "copy": lambda a, b: np.copyto(b, a),
        "read": lambda block, i, m: block[i, m],
        "write": write,
        "same": lambda a, b: a is b,
    }


def expression(choices: Choices, inputs: list[SX]) -> SX:
    """Draw a column of expressions: a program on a stack of values."""
    values = [a[i] for a in inputs for i in range(a.numel())]
    for _ in range(1 + choices.below(24)):
        kind = choices.below(8)
        if kind == 0:
            values.append(SX(choices.one_of(CONSTANTS)))
        elif kind < 4:
            name = choices.one_of(UNARY)
            f = OPERATORS.get(name) or getattr(casadi, name)
            values.append(SX(f(values[choices.below(len(values))])))
        else:
            name = choices.one_of(BINARY)
            f = OPERATORS.get(name) or getattr(casadi, name)
            a, b = (values[choices.below(len(values))] for _ in range(2))
            values.append(SX(f(a, b)))
    rows = 1 + choices.below(3)
    return casadi.vertcat(values[-1], *(values[choices.below(len(values))] for _ in range(rows)))


def run(text: str, t, x, u, theta, P) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the value and both pullbacks that a text computes, one column per sample."""
    made = dict(names())
    exec(text, made)
    system = SimpleNamespace(scale=np.ones(1))
    one, value, back = np.float64(1), np.empty((len(P), SAMPLES)), np.empty((DIM, SAMPLES))
    none, g = np.zeros((max(len(P), DIM), SAMPLES)), np.zeros(CONTROLS)
    made["field"](system, t, theta, u, one, x, np.empty_like(x), one, none, value, None)
    made["pullback"](system, t, theta, u, one, one, P, x, one, none, back, g, None)
    return value, back, g


def same(found: np.ndarray, expected: np.ndarray, text: str) -> None:
    """Check that numbers are the same in every bit, but for the sign of zero and kinds of NaN."""
    assert np.array_equal(found, expected, equal_nan=True), f"{found}\n{expected}\n{text}"


def one(data: bytes) -> None:
    """Translate an expression, and run it."""
    choices = Choices(data)
    symbols = [SX.sym(n, k) for n, k in zip("txuw", (1, DIM, CONTROLS, PARAMETERS), strict=True)]
    value = expression(choices, symbols)
    value = casadi.densify(value)
    try:
        entries = expressions.made_of("f", value, symbols, "all of them")
        made = expressions.Map(*symbols, entries)
        text = made.text
    except (TypeError, ValueError) as error:
        sentence(error)
        return
    rows = value.numel()
    draw = np.vectorize(lambda _: choices.one_of(NUMBERS), otypes=[float])
    x, theta, P = (draw(np.empty((k, SAMPLES))) for k in (DIM, PARAMETERS, rows))
    u, t = draw(np.empty(CONTROLS)), float(draw(np.empty(())))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = run(text, np.float64(t), x, u, theta, P)
    # as they were given, and by CasADi alone
    p = SX.sym("p", rows)
    back = casadi.jtimes(made.value, casadi.vertcat(*symbols[1:3]), p, True)
    told = casadi.Function("told", [*symbols, p], [value, casadi.densify(back)])
    results = [told(t, x[:, m], u, theta[:, m], P[:, m]) for m in range(SAMPLES)]
    values = np.hstack([value.full() for value, _ in results])
    pulled = np.hstack([back.full() for _, back in results])
    with np.errstate(all="ignore"):
        same(found[0], 0.0 + values, text)
        same(found[1], 0.0 + pulled[:DIM], text)
        # sums over the samples, in their order
        total = np.zeros(CONTROLS)
        for m in range(SAMPLES):
            total = total + pulled[DIM:, m]
        same(found[2], total, text)
    # and from what stands in files
    again = expressions.Map.from_instructions(**made.describe())
    assert again.rows == made.rows
    numbers = np.hstack([again.function(t, x[:, m], u, theta[:, m]).full() for m in range(SAMPLES)])
    same(numbers, values, text)


def seeds():
    """Return programs of all lengths."""
    rng = np.random.default_rng(0)
    yield from (rng.bytes(size) for size in range(10, 90, 2))


if __name__ == "__main__":
    main(one, seeds)
