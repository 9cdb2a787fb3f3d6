"""Maps given by CasADi expressions: differentiated by CasADi, compiled by numba.

========  ========================================================  ======
symbol    meaning                                                   length
========  ========================================================  ======
``t``     time                                                      1
``x``     state                                                     d
``u``     control                                                   c
``theta`` constants that differ from sample to sample               p
``F``     the map: a column of expressions of t, x, u, theta        q
``P``     what is pulled back (a costate)                           q
========  ========================================================  ======

CasADi evaluates an expression by a list of instructions on numbers. The list of F, and that of
its pullback ((dF/dx)' P, (dF/du)' P), become the bodies of two loops over samples. Systems,
costs and constraints are such maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import casadi
import numpy as np
from casadi import SX

from . import checks

# What each of CasADi's operations is in the text of a kernel; {0} and {1} are its arguments.
# Tests are numbers, 1 or 0; what the C library has no vector form of is called sample by sample.
FORMULAS = {
    "ADD": "{0} + {1}",
    "SUB": "{0} - {1}",
    "MUL": "{0} * {1}",
    "DIV": "{0} / {1}",
    "NEG": "-{0}",
    "SQ": "{0} * {0}",
    "TWICE": "{0} + {0}",
    "INV": "real(1) / {0}",
    "FABS": "abs({0})",
    "SIGN": "real(-1) if {0} < real(0) else (real(1) if {0} > real(0) else {0})",
    "COPYSIGN": "math.copysign({0}, {1})",
    "FLOOR": "np.floor({0})",
    "CEIL": "np.ceil({0})",
    # of a number and NaN, the number: so does C
    "FMIN": "{0} if ({0} < {1}) | ({1} != {1}) else {1}",
    "FMAX": "{0} if ({0} > {1}) | ({1} != {1}) else {1}",
    "FMOD": "np.fmod({0}, {1})",
    "REMAINDER": "remainder({0}, {1})",
    "LT": "real({0} < {1})",
    "LE": "real({0} <= {1})",
    "EQ": "real({0} == {1})",
    "NE": "real({0} != {1})",
    "NOT": "real({0} == real(0))",
    "AND": "real(({0} != real(0)) & ({1} != real(0)))",
    "OR": "real(({0} != real(0)) | ({1} != real(0)))",
    "IF_ELSE_ZERO": "{1} if {0} != real(0) else real(0)",
    "SQRT": "math.sqrt({0})",
    "HYPOT": "math.hypot({0}, {1})",
    "POW": "math.pow({0}, {1})",
    "CONSTPOW": "math.pow({0}, {1})",
    "EXP": "exp({0})",
    "EXPM1": "math.expm1({0})",
    "LOG": "math.log({0})",
    "LOG1P": "math.log1p({0})",
    "ERF": "math.erf({0})",
    "SIN": "math.sin({0})",
    "COS": "math.cos({0})",
    "TAN": "math.tan({0})",
    "ASIN": "math.asin({0})",
    "ACOS": "math.acos({0})",
    "ATAN": "math.atan({0})",
    "ATAN2": "math.atan2({0}, {1})",
    "SINH": "math.sinh({0})",
    "COSH": "math.cosh({0})",
    "TANH": "tanh({0})",
    "ASINH": "math.asinh({0})",
    "ACOSH": "math.acosh({0})",
    "ATANH": "math.atanh({0})",
}
NAMES = {getattr(casadi, name): name[3:] for name in dir(casadi) if name.startswith("OP_")}
# The inputs t, x, u, theta, P: entry {0} of each in the text, and whether all samples share it
INPUTS = (
    ("real(t)", True),
    ("read(tape, {0}, m)", False),
    ("u[{0}]", True),
    ("read(theta, {0}, m)", False),
    ("read(P, {0}, m)", False),
)
MOST_ROWS = 10**6  # of a map in a file: room is made for them before anything else is known
CALLS, CALL_FLOPS = ("math.", "exp(", "tanh("), 30.0  # of an elementary function, roughly

# The loops write no block that they read: X is read from the tape, and a base that is out is copied
FIELD = """\
def field(system, t, theta, u, a, X, tape, s, base, out, w):
    real = X.dtype.type
    a = a * system.scale[0]
    copy(X, tape)
    if same(base, out):
        copy(base, w.base)
        base = w.base
{before}
    for m in range(X.shape[1]):
{inside}
"""
PULLBACK = """\
def pullback(system, t, theta, u, a, b, P, tape, s, base, out, g, w):
    real = P.dtype.type
    a, b = a * system.scale[0], b * system.scale[0]
{before}
    for m in range(P.shape[1]):
{inside}
{after}
"""


class Instructions(NamedTuple):
    """Line k is an operation on earlier lines, an entry of an input, or a constant."""

    operations: list[str]  # CasADi's names, without OP_
    arguments: list[tuple[int, int]]  # lines; of INPUT, which input and which entry
    constants: list[float]  # of CONST
    results: list[tuple[int, int]]  # an entry of the result, and its line


def instructions(function: casadi.Function) -> Instructions:
    """Return the instructions of an SX function of one result, each computed once."""
    lines: dict[tuple, int] = {}
    line_of: dict[int, int] = {}  # where each of CasADi's registers was last written
    results = []
    rows = function.sparsity_out(0).row()
    for k in range(function.n_instructions()):
        name = NAMES[function.instruction_id(k)]
        given, target = function.instruction_input(k), function.instruction_output(k)
        if name == "OUTPUT":
            results.append((rows[target[1]], line_of[given[0]]))
            continue
        if name in ("ASSIGN", "LIFT"):  # the same number under another name
            line_of[target[0]] = line_of[given[0]]
            continue
        checks.operation(name, name in FORMULAS or name in ("INPUT", "CONST"))
        arguments = given if name == "INPUT" else [line_of[i] for i in given]
        constant = function.instruction_constant(k) if name == "CONST" else 0.0
        line = name, *(*arguments, 0, 0)[:2], repr(constant)  # repr: 0.0 is not -0.0
        line_of[target[0]] = lines.setdefault(line, len(lines))
    return Instructions(
        [name for name, *_ in lines],
        [(i, j) for _, i, j, _ in lines],
        [float(constant) for *_, constant in lines],
        results,
    )


def rebuilt(lines: Instructions, inputs: Sequence[SX], rows: int) -> SX:
    """Return the column of expressions that instructions compute from their inputs."""
    values: list[SX] = []
    for name, (i, j), constant in zip(
        lines.operations, lines.arguments, lines.constants, strict=True
    ):
        if name == "INPUT":
            values.append(inputs[i][j])
        elif name == "CONST":
            values.append(SX(constant))
        else:
            checks.operation(name, name in FORMULAS)
            code = getattr(casadi, f"OP_{name}")
            two = "{1}" in FORMULAS[name]
            value = SX.binary(code, values[i], values[j]) if two else SX.unary(code, values[i])
            values.append(value)
    column = SX.zeros(rows, 1)
    for row, line in lines.results:
        column[row] = values[line]
    return column


def _assignments(lines: Instructions) -> tuple[list[str], list[str]]:
    """Return the assignments that hold for all samples, and those to be made for each."""
    before, inside, shared = [], [], []
    for k, (name, arguments) in enumerate(zip(lines.operations, lines.arguments, strict=True)):
        if name == "INPUT":
            text, same = INPUTS[arguments[0]]
            text = text.format(arguments[1])
        elif name == "CONST":
            text, same = f"real({lines.constants[k]!r})", True
        else:
            used = arguments[: 1 + ("{1}" in FORMULAS[name])]
            text = FORMULAS[name].format(*(f"w{i}" for i in used))
            same = all(shared[i] for i in used)
        shared.append(same)
        (before if same else inside).append(f"w{k} = {text}")
    return before, inside


def kernel_text(field: Instructions, pullback: Instructions, rows: int, dim: int) -> str:
    """Return the source of the field and of the pullback, for `pmpnet.kernels.generated`.

    The field has so many ``rows``. Result i of ``pullback`` is entry i of (drhs/dx)' P for i < dim,
    and entry i - dim of (drhs/du)' P from there on.
    """

    def block(lines: list[str], depth: int) -> str:
        return "\n".join(4 * depth * " " + line for line in lines)

    def stores(results: list[tuple[int, int]], rows: int) -> list[str]:
        line = dict(results)
        return [
            f"write(out, {row}, m, s * read(base, {row}, m)"
            + (f" + a * w{line[row]})" if row in line else ")")
            for row in range(rows)
        ]

    before, inside = _assignments(field)
    inside += stores(field.results, rows)
    text = FIELD.format(before=block(before, 1), inside=block(inside or ["pass"], 2))

    before, inside = _assignments(pullback)
    inside += stores([(row, line) for row, line in pullback.results if row < dim], dim)
    # one sum per control, even where they outnumber the registers: measured at 14, 72 and 272
    # controls, spilling sums beats computing what they share several times
    sums = [(row - dim, line) for row, line in pullback.results if row >= dim]
    before += [f"g{i} = real(0)" for i, _ in sums]
    inside += [f"g{i} += w{line}" for i, line in sums]
    after = [f"g[{i}] += b * g{i}" for i, _ in sums]
    return text + PULLBACK.format(
        before=block(before, 1), inside=block(inside or ["pass"], 2), after=block(after, 1)
    )


class Map:
    """A map F(t, x, u, theta) with its two pullbacks.

    Parameters
    ----------
    t, x, u, theta : casadi.SX
        Columns of symbols, of length 1, d, c, p.
    value : casadi.SX
        A column of q expressions of these symbols.
    scale : float, default 1.0
        Multiplies the map.

    Attributes
    ----------
    inputs : tuple of casadi.SX
        t, x, u, theta.
    value : casadi.SX
        The expressions, scale not applied.
    affine : bool
        Whether F is affine in u.
    """

    def __init__(self, t: SX, x: SX, u: SX, theta: SX, value: SX, scale: float = 1.0) -> None:
        self.inputs = t, x, u, theta
        self.value = casadi.cse(value)
        self.scale = scale
        self.rows, self.dim = self.value.numel(), x.numel()
        self.controls, self.parameters = u.numel(), theta.numel()
        self.affine = not any(casadi.which_depends(self.value, u, 2, True))
        self.function = casadi.Function("value", [*self.inputs], [self.value])
        self.field = instructions(
            casadi.Function("field", [*self.inputs], [casadi.sparsify(self.value)])
        )

    @cached_property
    def pullback(self) -> Instructions:
        """The instructions of (dF/dx)' P and, behind it, (dF/du)' P."""
        _, x, u, _ = self.inputs
        P = SX.sym("P", self.rows)
        back = casadi.jtimes(self.value, casadi.vertcat(x, u), P, True)
        return instructions(casadi.Function("pullback", [*self.inputs, P], [casadi.sparsify(back)]))

    @cached_property
    def text(self) -> str:
        """The source of the two kernels."""
        return kernel_text(self.field, self.pullback, self.rows, self.dim)

    def depends_on(self, symbols: SX) -> bool:
        """Tell whether an entry of the map depends on any of these symbols."""
        return bool(casadi.depends_on(self.value, symbols))

    def said(self, t: SX, x: SX, u: SX, theta: SX) -> SX:
        """Return the map, scaled, as expressions of other symbols; those it lacks may be more."""
        given = zip((t, x, u, theta), self.inputs, strict=True)
        return self.scale * self.function(*(a[: symbols.numel()] for a, symbols in given))

    def __call__(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        """Return the values (M, q) at the states (M, d), by CasADi's own evaluation."""
        constants = np.zeros((0, 1)) if theta is None else np.transpose(theta)
        # given as many columns as there are samples, the function is mapped over them
        return self.scale * self.function(t, np.transpose(x), u, constants).full().T

    # ------------------------------------------------------------------- for the sweeps only

    @property
    def name(self) -> str:
        """One name, one pair of kernels."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    def kernels(self) -> tuple[str, Callable, Callable]:
        """Return the name of the map, and its compiled field and pullback."""
        from .kernels import generated

        return f"symbolic-{self.name}", *generated.define(self.text)

    def record(self, dtype: np.dtype) -> tuple:
        """Return what the kernels read."""
        from .kernels import generated

        return generated.Generated(np.full(1, self.scale, dtype))

    def scratch(self, block: int, dtype: np.dtype) -> tuple:
        """Return one thread's buffers."""
        from .kernels import generated

        return generated.scratch(self.rows, block, dtype)

    @property
    def work(self) -> float:
        """Rough arithmetic of the map and its pullback for one sample, in flops."""
        names = self.field.operations + self.pullback.operations
        calls = sum(FORMULAS.get(name, "").startswith(CALLS) for name in names)
        return len(names) + CALL_FLOPS * calls

    # --------------------------------------------------------------------------- on disk

    def describe(self) -> dict[str, Any]:
        """Return what `from_instructions` takes: numbers, and arrays of numbers and of names."""
        return dict(
            rows=self.rows,
            dim=self.dim,
            controls=self.controls,
            parameters=self.parameters,
            scale=self.scale,
            names=np.array([s.name() for part in self.inputs for s in casadi.vertsplit(part)]),
            operations=np.array(self.field.operations, dtype=np.str_),
            arguments=np.array(self.field.arguments, dtype=np.int64).reshape(-1, 2),
            constants=np.array(self.field.constants),
            results=np.array(self.field.results, dtype=np.int64).reshape(-1, 2),
        )

    @classmethod
    def from_instructions(
        cls,
        rows: int,
        dim: int,
        controls: int,
        parameters: int,
        scale: float,
        names: Any,
        operations: Any,
        arguments: Any,
        constants: Any,
        results: Any,
    ) -> Map:
        """Return the map that `describe` described, without the code it was written in.

        Parameters
        ----------
        rows, dim, controls, parameters : int
        scale : float
        names : array of str, shape (1 + d + c + p,)
            Of the symbols of t, x, u, theta.
        operations : array of str, shape (n,)
            What each line does: a name of CasADi's operations without ``OP_``.
        arguments : array of int, shape (n, 2)
            Earlier lines it does that to; of ``INPUT``, which of t, x, u, theta and which entry.
        constants : array of float, shape (n,)
            Values of ``CONST``.
        results : array of int, shape (r, 2)
            Entries of the value that are not zero, and their lines.
        """
        rows = checks.integer("rows", rows, 0, MOST_ROWS)
        lines = Instructions(
            [str(name) for name in operations],
            [(int(i), int(j)) for i, j in arguments],
            [float(constant) for constant in constants],
            [(int(row), int(line)) for row, line in results],
        )
        symbols = iter([SX.sym(str(name)) for name in names])
        sizes = 1, int(dim), int(controls), int(parameters)
        inputs = [casadi.vertcat(*(next(symbols) for _ in range(size))) for size in sizes]
        inputs = [part if part.numel() else SX(0, 1) for part in inputs]
        return cls(*inputs, rebuilt(lines, inputs, rows), float(scale))

    def __reduce__(self):
        return partial(type(self).from_instructions, **self.describe()), ()


class Sums:
    """Weighted sums over samples of expressions of t, x and theta.

    Parameters
    ----------
    inputs : sequence of casadi.SX
        Columns t, x, u, theta.
    value : casadi.SX
        A column of q expressions without u.

    Attributes
    ----------
    count : int
        How many sums there are: expressions that are the same share one.
    places : ndarray, shape (q,)
        Which of the sums is that of each expression; ``count`` for those that are 0.
    text : str
        The source of a pullback whose derivative by u, pulled back from the weights, are the sums.
    """

    def __init__(self, inputs: Sequence[SX], value: SX) -> None:
        lines = instructions(casadi.Function("value", [*inputs], [casadi.sparsify(value)]))
        first: dict[int, int] = {}  # a row of each line
        for row, line in lines.results:
            first.setdefault(line, row)
        order = {line: i for i, line in enumerate(first)}
        self.count = len(order)
        self.places = np.full(value.numel(), self.count)
        for row, line in lines.results:
            self.places[row] = order[line]
        w = SX.sym("w")
        made = casadi.Function("sums", [*inputs, w], [value[list(first.values())] * w])
        self.text = kernel_text(Instructions([], [], [], []), instructions(made), 0, 0)


# ----------------------------------------------------------------- what users write in CasADi


def column(name: str, value: Any) -> SX:
    """Return a number, an array, an SX or a list of them as one column of expressions."""
    if isinstance(value, casadi.MX):
        raise checks.needs_sx(name)
    if isinstance(value, (SX, casadi.DM)):
        entries = casadi.vertsplit(casadi.vec(casadi.densify(value)))
    elif isinstance(value, np.ndarray):
        entries = value.ravel().tolist()
    else:
        entries = list(value) if isinstance(value, (list, tuple)) else [value]
    result = SX.zeros(len(entries), 1)
    for i, entry in enumerate(entries):
        if isinstance(entry, casadi.MX):
            raise checks.needs_sx(name)
        try:
            scalar = SX(entry)
        except (NotImplementedError, TypeError, ValueError):
            scalar = None
        checks.expression_entry(name, i, entry, scalar is not None and scalar.numel() == 1)
        result[i] = scalar
    return result


def symbols(**given: Any) -> list[SX]:
    """Return each argument as a column of symbols, no symbol standing twice; None has none."""
    found, seen = [], {}
    for name, value in given.items():
        if value is None:
            found.append(SX.sym(name) if name == "t" else SX(0, 1))
            continue
        entries = column(name, value)
        for entry in casadi.vertsplit(entries):
            checks.is_symbol(name, str(entry), entry.is_symbolic())
            checks.symbol_once(seen.get(entry.element_hash()), name, str(entry))
            seen[entry.element_hash()] = name
        checks.some_symbols(name, entries.numel())
        if name == "t":
            checks.one_time(entries.numel())
        found.append(entries)
    return found


def made_of(name: str, value: Any, inputs: Sequence[SX], known: str) -> SX:
    """Return a column of expressions of these symbols only; ``known`` says which they are."""
    result = column(name, value)
    whole = casadi.vertcat(*inputs)
    free = casadi.Function("free", [whole], [result], {"allow_free": True}).free_sx()
    checks.no_free_symbols(name, [symbol.name() for symbol in free], known)
    for entry in casadi.vertsplit(result):
        checks.finite_expression(name, str(entry), not entry.is_constant() or entry.is_regular())
    return result


def evaluated(name: str, function: Callable, inputs: Sequence[SX], how: str) -> SX:
    """Return what a user's function gives back on symbols; ``how`` says how to write it."""
    checks.field_function(name, function)
    try:
        value = function(*inputs)
    except Exception as error:
        raise checks.fails_on_symbols(name, error, how) from error
    return column(name, value)
