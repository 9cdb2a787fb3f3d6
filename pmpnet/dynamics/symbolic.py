"""Systems given by CasADi expressions: differentiated by CasADi, compiled by numba.

========  ========================================================  ======
symbol    meaning                                                   length
========  ========================================================  ======
``t``     time                                                      1
``x``     state                                                     d
``u``     control                                                   c
``theta`` constants that differ from sample to sample               p
``rhs``   right-hand side: an expression of t, x, u, theta          d
``P``     what is pulled back (a costate)                           d
========  ========================================================  ======

CasADi evaluates an expression by a list of instructions on numbers. The list of rhs, and that of
its pullback ((drhs/dx)' P, (drhs/du)' P), become the bodies of two loops over samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import casadi
import numpy as np
from casadi import SX

from .. import checks
from .base import Dynamics, even

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
    ("read(costate, {0}, m)", False),
)
CALLS, CALL_FLOPS = ("math.", "exp(", "tanh("), 30.0  # of an elementary function, roughly

# X may be out, and P may be out: the loops read from the tape and from a copy of P
FIELD = """\
def field(system, t, theta, u, a, X, tape, out, w):
    real = X.dtype.type
    a = a * system.scale[0]
    copy(X, tape)
{before}
    for m in range(X.shape[1]):
{inside}
"""
PULLBACK = """\
def pullback(system, t, theta, u, a, P, tape, out, g, w):
    real = P.dtype.type
    a = a * system.scale[0]
    costate = w.P
    copy(P, costate)
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


def expression(lines: Instructions, inputs: Sequence[SX], rows: int) -> SX:
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


def kernel_text(field: Instructions, pullback: Instructions, dim: int) -> str:
    """Return the source of the field and of the pullback, for `pmpnet.kernels.generated`.

    Result i of ``pullback`` is entry i of (drhs/dx)' P for i < dim, and entry i - dim of
    (drhs/du)' P from there on.
    """

    def block(lines: list[str], depth: int) -> str:
        return "\n".join(4 * depth * " " + line for line in lines)

    def store(row: int, line: int) -> str:
        return f"add(out, {row}, m, a * w{line})"

    before, inside = _assignments(field)
    inside += [store(row, line) for row, line in field.results]
    text = FIELD.format(before=block(before, 1), inside=block(inside or ["pass"], 2))

    before, inside = _assignments(pullback)
    inside += [store(row, line) for row, line in pullback.results if row < dim]
    # one sum per control, even where they outnumber the registers: measured at 14, 72 and 272
    # controls, spilling sums beats computing what they share several times
    sums = [(row - dim, line) for row, line in pullback.results if row >= dim]
    before += [f"g{i} = real(0)" for i, _ in sums]
    inside += [f"g{i} += w{line}" for i, line in sums]
    after = [f"g[{i}] += system.scale[0] * g{i}" for i, _ in sums]
    return text + PULLBACK.format(
        before=block(before, 1), inside=block(inside or ["pass"], 2), after=block(after, 1)
    )


class SymbolicSystem(Dynamics):
    """The system x' = scale rhs(t, x, u, theta) of a CasADi expression.

    Parameters
    ----------
    t, x, u, theta : casadi.SX
        Columns of symbols, of length 1, d, c, p.
    rhs : casadi.SX
        A column of d expressions of these symbols.
    scale : float, default 1.0
        Multiplies rhs.
    """

    def __init__(self, t: SX, x: SX, u: SX, theta: SX, rhs: SX, scale: float = 1.0) -> None:
        self.dim, self.controls, self.parameters = x.numel(), u.numel(), theta.numel()
        self.scale = scale
        rhs = casadi.cse(rhs)
        self.affine = not any(casadi.which_depends(rhs, u, 2, True))
        P = SX.sym("P", self.dim)
        pullback = casadi.jtimes(rhs, casadi.vertcat(x, u), P, True)
        self._rhs = casadi.Function("rhs", [t, x, u, theta], [rhs])
        self._field = instructions(
            casadi.Function("field", [t, x, u, theta], [casadi.sparsify(rhs)])
        )
        self._pullback = instructions(
            casadi.Function("pullback", [t, x, u, theta, P], [casadi.sparsify(pullback)])
        )
        self._text = kernel_text(self._field, self._pullback, self.dim)

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        constants = np.zeros((0, 1)) if theta is None else np.transpose(theta)
        # given as many columns as there are samples, the function is mapped over them
        return self.scale * self._rhs(t, np.transpose(x), u, constants).full().T

    def pack(self, **parts: Any) -> np.ndarray:
        """Return the control row of ``u``, shape (c,)."""
        checks.parts(parts, ("u",))
        row = parts.get("u", np.zeros(self.controls))
        return checks.real_array("u", row, shape=(self.controls,)).copy()

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"u": (c,)}``."""
        return {"u": checks.real_array("row", row, shape=(self.controls,), finite=False)}

    def kernels(self):
        from ..kernels import generated

        digest = hashlib.sha256(self._text.encode()).hexdigest()
        return f"symbolic-{digest}", *generated.define(self._text)

    def record(self, dtype):
        from ..kernels import generated

        return generated.Generated(np.full(1, self.scale, dtype))

    def scratch(self, block, dtype):
        from ..kernels import generated

        return generated.scratch(self.dim, block, dtype)

    @property
    def tape_rows(self) -> int:
        return even(self.dim)

    @property
    def work(self) -> float:
        names = self._field.operations + self._pullback.operations
        calls = sum(FORMULAS.get(name, "").startswith(CALLS) for name in names)
        return len(names) + CALL_FLOPS * calls

    def describe(self) -> dict[str, Any]:
        """Return what `from_instructions` takes: numbers, and arrays of numbers and of names."""
        return dict(
            dim=self.dim,
            controls=self.controls,
            parameters=self.parameters,
            scale=self.scale,
            operations=np.array(self._field.operations, dtype=np.str_),
            arguments=np.array(self._field.arguments, dtype=np.int64).reshape(-1, 2),
            constants=np.array(self._field.constants),
            results=np.array(self._field.results, dtype=np.int64).reshape(-1, 2),
        )

    @classmethod
    def from_instructions(
        cls,
        dim: int,
        controls: int,
        parameters: int,
        scale: float,
        operations: Any,
        arguments: Any,
        constants: Any,
        results: Any,
    ) -> SymbolicSystem:
        """Return the system that `describe` described, without the code it was written in.

        Parameters
        ----------
        dim, controls, parameters : int
        scale : float
        operations : array of str, shape (n,)
            What each line does: a name of CasADi's operations without ``OP_``.
        arguments : array of int, shape (n, 2)
            Earlier lines it does that to; of ``INPUT``, which of t, x, u, theta and which entry.
        constants : array of float, shape (n,)
            Values of ``CONST``.
        results : array of int, shape (r, 2)
            Entries of the right-hand side that are not zero, and their lines.
        """
        lines = Instructions(
            [str(name) for name in operations],
            [(int(i), int(j)) for i, j in arguments],
            [float(constant) for constant in constants],
            [(int(row), int(line)) for row, line in results],
        )
        sizes = dict(t=1, x=int(dim), u=int(controls), theta=int(parameters))
        inputs = [SX.sym(name, size) for name, size in sizes.items()]
        system = cls.__new__(cls)
        SymbolicSystem.__init__(system, *inputs, expression(lines, inputs, int(dim)), float(scale))
        return system

    def __reduce__(self):
        return partial(type(self).from_instructions, **self.describe()), ()


class ListedFields(SymbolicSystem):
    """Your own fields: f(x, u) = scale (F_0(x) + sum_i u_i F_i(x)). Made by `LinearControl`.

    Parameters
    ----------
    dim : int
        Dimension d of the state.
    fields : list of callables
        Each takes the state, a column of d CasADi symbols, and returns d expressions.
    drift : callable, optional
        F_0, said like a field.
    scale : float, default 1.0
        Multiplies f.

    Raises
    ------
    ValueError, TypeError
        For an empty list, a field that is not a function, that fails on symbols, or that does
        not return d expressions of the state.
    """

    def __init__(
        self,
        dim: int,
        fields: Sequence[Callable],
        drift: Callable | None = None,
        scale: float = 1.0,
    ) -> None:
        fields = checks.field_list(fields)
        x, u = SX.sym("x", dim), SX.sym("u", len(fields))
        columns = [_column(f"fields[{i}]", field, x) for i, field in enumerate(fields)]
        rhs = casadi.mtimes(casadi.horzcat(*columns), u)
        if drift is not None:
            rhs += _column("drift", drift, x)
        super().__init__(SX.sym("t"), x, u, SX.sym("theta", 0), rhs, scale)

    def __repr__(self) -> str:
        more = f", scale={self.scale:g}" if self.scale != 1.0 else ""
        return f"LinearControl({self.dim}, [{self.controls} fields]{more})"


def _column(name: str, field: Callable, x: SX) -> SX:
    """Return what a field gives back on symbols, as a column of expressions of them."""
    checks.field_function(name, field)
    try:
        value = field(x)
    except Exception as error:
        checks.field_failed(name, x.numel(), error)
    if isinstance(value, (SX, casadi.DM)):
        entries = casadi.vertsplit(casadi.vec(casadi.densify(value)))
    elif isinstance(value, np.ndarray):
        entries = value.ravel().tolist()
    else:
        entries = list(value) if isinstance(value, (list, tuple)) else [value]
    checks.field_length(name, len(entries), x.numel())
    column = SX.zeros(x.numel(), 1)
    for i, entry in enumerate(entries):
        try:
            scalar = SX(entry)
        except (NotImplementedError, TypeError, ValueError):
            scalar = None
        checks.field_entry(name, i, entry, scalar is not None and scalar.numel() == 1)
        column[i] = scalar
    free = casadi.Function("field", [x], [column], {"allow_free": True}).free_sx()
    checks.field_symbols(name, [symbol.name() for symbol in free])
    return column
