"""Every sentence a user is shown for bad input, and the checks that say it.

A sentence names what was given, what is needed, and what to write instead. Nothing here computes;
each check returns its argument in the form the package works with.
"""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np


def _of(value: Any) -> str:
    """Describe what was given, briefly."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    try:
        text = repr(value)
    except Exception:  # of an int with thousands of digits, of another's class
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= 60 else f"an object of type {type(value).__name__}"


def _plural(ndim: int) -> str:
    return {0: "a number", 1: "a list of numbers", 2: "a table (rows, columns)"}.get(
        ndim, f"an array of {ndim} dimensions"
    )


# ------------------------------------------------------------------------------------ numbers


def choice(name: str, value: Any, allowed: Iterable[str], more: str = "") -> str:
    """Return value if it is one of the allowed words."""
    words = list(allowed)
    if not isinstance(value, str) or value not in words:
        listed = ", ".join(f"{w!r}" for w in words)
        raise ValueError(
            f"{name}={_of(value)} is not known: write one of {listed}{' ' + more if more else ''}."
        )
    return value


LARGEST = 2**31 - 1  # of what needs room in memory


def integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return value as an int from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name}={_of(value)} is not a whole number: write an int of at least {least}."
        )
    if value < least:
        raise ValueError(f"{name}={_of(value)} is too small: write an int of at least {least}.")
    if most is not None and value > most:
        raise ValueError(f"{name}={_of(value)} is too large: write an int of at most {most}.")
    return int(value)


def size(name: str, value: Any, least: int) -> int:
    """Return a number of things that are kept in memory."""
    return integer(name, value, least, LARGEST)


def real(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    finite: bool = True,
) -> float:
    """Return value as a float within bounds."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={_of(value)} is not a real number: write a float.")
    try:
        value = float(value)
    except OverflowError:
        raise ValueError(
            f"{name} is larger than any float: write a number of ordinary size."
        ) from None
    if math.isnan(value) or (finite and math.isinf(value)):
        raise ValueError(f"{name}={value} is not finite: write an ordinary number.")
    if value < least:
        raise ValueError(f"{name}={value} is too small: it must be at least {least:g}.")
    if value <= above:
        raise ValueError(f"{name}={value} is too small: it must be above {above:g}.")
    return value


def flag(name: str, value: Any) -> bool:
    """Return value if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={_of(value)} is neither True nor False.")
    return bool(value)


# ------------------------------------------------------------------------------------- arrays


def rectangular(name: str, value: Any) -> np.ndarray:
    """Return value as an array of whatever it is made of."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries: remove or fill them first.")
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name} has rows of different lengths: write a rectangular array."
        ) from None
    except Exception as error:  # whatever another package says, of a tensor on a device, say
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TypeError(
            f"{name} cannot become an array ({why.rstrip('.')}): write an array of floats."
        ) from None


def real_array(
    name: str,
    value: Any,
    *,
    ndim: int | tuple[int, ...] | None = None,
    shape: tuple[int, ...] | None = None,
    finite: bool = True,
    dtype: Any = np.float64,
) -> np.ndarray:
    """Return value as a float array, refusing what is not made of real numbers."""
    array = rectangular(name, value)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} is complex: write real numbers (its .real, say).")
    if array.dtype.kind == "O":
        try:
            if any(isinstance(entry, (str, bytes)) for entry in array.flat):
                raise TypeError("digits are not numbers")
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} is {_of(value)}, not numbers: write an array of floats."
            ) from None
        except OverflowError:
            raise ValueError(
                f"{name} has a value larger than any float: write numbers of ordinary size."
            ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} is made of {array.dtype}, not numbers: write an array of floats.")
    wanted = (ndim,) if isinstance(ndim, int) else ndim
    if wanted is not None and array.ndim not in wanted:
        raise ValueError(
            f"{name} has shape {array.shape}: write {' or '.join(_plural(n) for n in wanted)}."
        )
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, but {shape} is needed.")
    given = array
    with np.errstate(over="ignore"):
        array = np.require(np.asarray(array, dtype=dtype, order="C"), requirements="A")
    if finite and not all_finite(array):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        if np.isfinite(given[where]):
            raise ValueError(
                f"{name} has a value too large for {array.dtype} ({given[where]:g} at {where}): "
                "scale such values, or write dtype='float64'."
            )
        raise ValueError(
            f"{name} has a value that is not finite ({array[where]} at {where}): "
            "remove or fill such entries first."
        )
    return array


def all_finite(array: np.ndarray) -> bool:
    """Tell whether every entry is finite, without an array of flags for the usual case."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum(dtype=np.float64))) or bool(np.isfinite(array).all())


def samples(value: Any, dim: int, dtype: Any) -> np.ndarray:
    """Return initial states as an (M, d) array of the problem's precision."""
    array = real_array("initial_states", value, ndim=(1, 2), dtype=dtype)
    if array.ndim == 1:
        hint = "x[:, None]" if dim == 1 else "x[None, :] for one sample"
        raise ValueError(
            f"initial_states has shape {array.shape}: write one row per sample, (M, {dim}), such as {hint}."
        )
    if array.shape[0] == 0:
        raise ValueError("initial_states has no rows: give at least one sample.")
    if array.shape[1] != dim:
        raise ValueError(
            f"initial_states has {array.shape[1]} columns but the dynamics have dimension {dim}: "
            f"write rows of {dim} numbers, or dynamics of dimension {array.shape[1]}."
        )
    return array


def precision(dtype: Any, value: Any) -> np.dtype:
    """Return float64 unless float32 is asked for, or the samples are float32."""
    if dtype is None:
        given = getattr(value, "dtype", None)
        return np.dtype(np.float32 if given == np.float32 else np.float64)
    try:
        found = np.dtype(dtype)
    except Exception:  # NumPy parses text and looks into objects
        raise TypeError(
            f"dtype={_of(dtype)} is not a number type: write 'float64' or 'float32'."
        ) from None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype={found} is not supported: write 'float64' or 'float32'.")
    return found


def weights(value: Any, count: int, dtype: Any) -> np.ndarray:
    """Return sample weights, non-negative, scaled to sum 1; an empty array for equal weights."""
    if value is None:
        return np.empty(0, dtype)
    array = nonnegative("weights", value)
    if array.shape != (count,):
        raise ValueError(
            f"weights has {array.size} entries for {count} samples: give one weight per sample."
        )
    # so that the sum of very large or very small weights is finite
    array = array / some_weight(array.max())
    return (array / array.sum()).astype(dtype)


def nonnegative(name: str, value: Any) -> np.ndarray:
    """Return weights that are at least 0."""
    array = real_array(name, value, ndim=1)
    if array.min(initial=0.0) < 0:
        raise ValueError(f"{name} has a negative entry ({array.min():g}): weights are at least 0.")
    return array


def some_weight(largest: float) -> float:
    """Return the largest weight if it is positive."""
    if largest == 0:
        raise ValueError("weights are all zero: at least one sample must count.")
    return largest


def grid(horizon: Any, steps: Any, times: Any) -> np.ndarray:
    """Return the N + 1 increasing times of the grid."""
    if times is None:
        horizon, steps = real("horizon", horizon, above=0.0), size("steps", steps, 1)
        array = np.linspace(0.0, horizon, steps + 1)
        if not (np.diff(array) > 0).all():
            raise ValueError(f"horizon={horizon:g} is too short for {steps} steps: they are zero.")
        return array
    array = real_array("times", times, ndim=1).copy()
    if array.size < 2:
        raise ValueError(
            f"times has {array.size} entries: give at least two, the start and the end."
        )
    if not (np.diff(array) > 0).all():
        k = int(np.argmin(np.diff(array) > 0))
        raise ValueError(
            f"times must increase, but times[{k}]={array[k]:g} is followed by {array[k + 1]:g}: "
            "sort them and remove repeated ones."
        )
    return array


def text(name: str, value: Any) -> str:
    """Return value if it is text, and not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}={_of(value)} is not a name: write some text.")
    return value


def tableau(name: str, A: np.ndarray, b: np.ndarray) -> None:
    """Check a Butcher tableau."""
    if A.shape != (b.size, b.size) or b.size == 0:
        raise ValueError(
            f"scheme {name!r} has A of shape {A.shape} and {b.size} weights b: A must be (s, s), b (s,)."
        )
    if np.triu(A).any():
        raise ValueError(f"scheme {name!r} is implicit: A must be strictly lower triangular.")
    if abs(b.sum() - 1.0) > 1e-12:
        raise ValueError(
            f"scheme {name!r} has weights b that sum to {b.sum():g}: they must sum to 1."
        )


def controls(value: Any, shape: tuple[int, int], name: str = "u") -> np.ndarray:
    """Return a control as an (N, c) array of floats."""
    array = real_array(name, value, finite=False)
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}, but the control of this problem has shape {shape}: "
            "one row per interval of the grid (problem.control_shape)."
        )
    if not all_finite(array):
        raise ValueError(
            f"{name} has entries that are not finite: a control is made of ordinary numbers."
        )
    return array


def instance(name: str, value: Any, kind: type, example: str) -> Any:
    """Return value if it is of the kind needed."""
    if not isinstance(value, kind):
        given = f"the class {value.__name__} itself" if isinstance(value, type) else _of(value)
        raise TypeError(f"{name} is {given}: write {example}.")
    return value


# ------------------------------------------------------------------------------------ targets


def numeric_targets(value: Any, count: int, outputs: int, dtype: Any) -> np.ndarray:
    """Return targets as an (M, q) array of numbers; None stands for zeros."""
    if value is None:
        return np.zeros((count, outputs), dtype)
    array = real_array("targets", value, ndim=(1, 2), dtype=dtype)
    if array.ndim == 1:
        array = array[:, None]
    if array.shape[1] == 0:
        raise ValueError(f"targets has shape {array.shape}: give at least one number per sample.")
    if array.shape != (count, outputs):
        raise ValueError(
            f"targets has shape {np.shape(value)} but the cost compares {outputs} numbers for each of "
            f"{count} samples: give targets of shape ({count}, {outputs}), or a readout= with "
            f"{array.shape[1]} rows."
        )
    return array


def _missing(label: Any) -> bool:
    """Tell whether a label is None, NaN, NaT or pandas' NA."""
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):
        return True


def class_targets(value: Any, count: int, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes and every sample's class number."""
    if value is None:
        raise ValueError(f"targets is missing: {loss} needs one class label per sample.")
    array = rectangular("targets", value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.size != count:
        raise ValueError(
            f"targets has shape {np.shape(value)} for {count} samples: {loss} needs one class label per sample."
        )
    if array.dtype.kind == "c":
        raise TypeError("targets is complex: class labels are whole numbers or text.")
    if array.dtype.kind == "f" and not all_finite(array):
        raise ValueError(
            "targets has a label that is not finite: remove or fill such entries first."
        )
    if array.dtype.kind in "MO" and any(_missing(label) for label in array.tolist()):
        raise ValueError("targets has a label that is missing: remove or fill such entries first.")
    try:
        classes, numbers_ = np.unique(array, return_inverse=True)
    except TypeError:
        raise TypeError(
            "targets mixes labels that cannot be ordered: use labels of one type."
        ) from None
    return classes, numbers_


def two_classes(classes: np.ndarray) -> None:
    """Check that a binary loss has two classes."""
    if classes.size != 2:
        shown = ", ".join(str(c) for c in classes[:5])
        raise ValueError(
            f"targets has {classes.size} class(es) ({shown}): Logistic needs exactly two; "
            "write CrossEntropy(classes) for more."
        )


def several_classes(classes: np.ndarray) -> np.ndarray:
    """Return classes if there are two at least."""
    if classes.size < 2:
        shown = ", ".join(str(c) for c in classes)
        raise ValueError(
            f"y has one class only ({shown}), of samples that weigh anything: a classifier needs "
            "two classes at least."
        )
    return classes


def class_count(found: np.ndarray, wanted: int) -> None:
    """Check that a loss has as many classes as it was told."""
    if found.size > wanted:
        raise ValueError(
            f"targets has {found.size} classes but the loss was made for {wanted}: write CrossEntropy({found.size})."
        )


def outputs_match(loss: str, outputs: int, dim: int) -> None:
    """Check that a loss without readout reads as many numbers as the state has."""
    if outputs != dim:
        raise ValueError(
            f"{loss} reads {outputs} number(s) but the state has {dim}: give readout='train', "
            f"or readout= an array of shape ({outputs}, {dim})."
        )


def readout(value: Any, outputs: int | None, loss: str) -> Any:
    """Return a readout: None, 'train', or a (q, d) array."""
    if value is None:
        return None
    if isinstance(value, str):
        return choice("readout", value, ("train",), "or an array of shape (q, d), or None")
    array = real_array("readout", value, ndim=2)
    if array.size == 0:
        raise ValueError(f"readout has shape {array.shape}: give at least one row and one column.")
    if outputs is not None and array.shape[0] != outputs:
        raise ValueError(
            f"readout has {array.shape[0]} rows but {loss} reads {outputs} number(s): give {outputs} row(s)."
        )
    return array


def readout_columns(array: np.ndarray, dim: int) -> None:
    """Check a given readout against the state."""
    if array.shape[1] != dim:
        raise ValueError(
            f"readout has {array.shape[1]} columns but the state has {dim}: give a (q, {dim}) array."
        )


# ------------------------------------------------------------------------- problem and methods


def some_cost(*terms: Any) -> None:
    """Check that there is something to minimise."""
    if all(term is None for term in terms):
        raise ValueError(
            "nothing to minimise: give at least one of terminal_cost=, running_cost=, control_cost= or constraints=."
        )


def penalty_shape(name: str, value: np.ndarray, shape: tuple[int, int]) -> None:
    """Check that a penalty's weight fits the control."""
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} has shape {value.shape}, but the control has shape {shape}: "
            f"write a number, ({shape[1]},) or {shape}."
        )


def bounds(lower: np.ndarray, upper: np.ndarray) -> None:
    """Check that a box has points in it."""
    try:
        low, high = np.broadcast_arrays(lower, upper)
    except ValueError:
        raise ValueError(
            f"lower has shape {lower.shape} and upper {upper.shape}: give bounds of one shape."
        ) from None
    if np.isnan(low).any() or np.isnan(high).any():
        raise ValueError("a bound is NaN: write -inf or inf where there is none.")
    if (low > high).any():
        where = np.argwhere(low > high)[0]
        i = tuple(int(j) for j in where)
        raise ValueError(
            f"lower {low[i]:g} is above upper {high[i]:g}: a box needs lower <= upper."
        )
    if (np.isposinf(low) | np.isneginf(high)).any():
        raise ValueError("lower is +inf or upper is -inf: such a box has no point in it.")


NO_CLOSED_FORM = (
    "{first} + {second} has no closed-form maximiser of the Hamiltonian. These have one: "
    "L1, L2, ElasticNet and Box together; Group with L1 and L2; Ball with L1, L2 and Group; "
    "L1Ball with L1 and L2 (next to Ball, L1Ball or Group, one weight of L2 for all entries of a row); "
    "Group(by='time') with L1 and L2 only, the weights of L2 the same in all layers; "
    "L0 with L1, L2 and Box; one Finite with L0, L1 and L2; Kinetic with L2 only."
)


def closed_form(fine: bool, first: str, second: str) -> None:
    """Check that a sum of penalties has a closed-form maximiser."""
    if not fine:
        raise ValueError(NO_CLOSED_FORM.format(first=first, second=second))


def kinetic_affine(fine: bool, dynamics: str) -> None:
    """Check that the kinetic energy of a system is quadratic in its control."""
    if not fine:
        raise ValueError(
            f"Kinetic needs a system that is affine in its control, and {dynamics} is not: write the "
            "energy as running_cost=losses.Symbolic(...) of x and u, or use L2."
        )


def no_kinetic(fine: bool) -> None:
    """Check that a readout is not priced by a velocity."""
    if not fine:
        raise ValueError(
            "Kinetic prices the velocity of the samples, and a readout has none: write L2 as readout_cost=."
        )


def maximum_exists(fine: bool) -> None:
    """Check that the Hamiltonian has a maximum without a proximal term."""
    if not fine:
        raise ValueError(
            'the Hamiltonian has no maximum: variant="basic" and "damped" need a control cost that grows '
            "faster than linearly (L2, ElasticNet) or a bounded control (Box, Ball, L1Ball); add one, "
            "or use the default variant."
        )


def indirect_problem(trained: bool, steady: bool, closed: bool, penalty: str) -> None:
    """Check that the principle is a boundary value problem with its controls eliminated."""
    if trained:
        raise ValueError(
            "indirect decides the control and the horizon only: give the readout as a matrix, or use "
            "pmpnet.solve.msa."
        )
    if not steady:
        raise ValueError(
            f"indirect needs a convex control cost that is the same at all times, not {penalty}: give "
            "one weight, or one per entry of the control, or use pmpnet.solve.msa."
        )
    if not closed:
        raise ValueError(
            "indirect maximises a Hamiltonian that is not affine in u entry by entry, but "
            f"{penalty} ties the entries together: use L1, L2, ElasticNet and Box, or pmpnet.solve.msa, "
            "which takes every control cost."
        )


def small_enough(samples: int, dim: int, largest: int) -> None:
    """Check that a problem is small enough for dense equations."""
    if samples * dim > largest:
        raise ValueError(
            f"indirect solves for all samples at once, {samples} samples of dimension {dim} here, and "
            f"samples times dimension may be {largest} at most: use pmpnet.solve.msa."
        )


def equations_only(fine: bool) -> None:
    """Check that constraints are equations at the end or of integrals."""
    if not fine:
        raise ValueError(
            "indirect takes constraints that are equations at the end or of integrals, such as "
            "constraints.Terminal(x, x, [1, 0], [1, 0]), but neither inequalities nor Path: use "
            "pmpnet.solve.direct or pmpnet.solve.msa."
        )


def smoothings(value: Any, curved: bool) -> list[float]:
    """Return the values of a smoothing, falling."""
    weights = real_array("smoothing", value, ndim=(0, 1)).ravel().tolist()
    if (
        not weights
        or not 0 <= min(weights) <= max(weights) <= 1
        or weights != sorted(weights)[::-1]
    ):
        raise ValueError(
            f"smoothing={_of(value)}: write one number from 0 to 1, or several that fall."
        )
    if weights[-1] == 0 and not curved:
        raise ValueError(
            "smoothing ends with 0, where a control without L2 jumps: end with a small one, such as "
            "0.001."
        )
    return weights


def same_boundary(given: tuple, needed: tuple) -> None:
    """Check that states and costates can be the guess of a problem."""
    if given[:2] != needed[:2] or not np.allclose(given[2], needed[2]):
        raise ValueError(
            f"start has {given[0]} samples of dimension {given[1]} on {given[2].tolist()}, but this "
            f"problem has {needed[0]} of dimension {needed[1]} on {needed[2].tolist()}: start from a "
            "solution of the same samples and horizon."
        )


def finite_set(value: Any) -> np.ndarray:
    """Return the values of a finite control set."""
    array = real_array("values", value, ndim=1)
    if array.size == 0:
        raise ValueError("values is empty: give at least one value that the control may take.")
    return array


def convex_readout_cost(fine: bool) -> None:
    """Check that the cost of a readout is convex."""
    if not fine:
        raise ValueError(
            "readout_cost= is not convex: L0 and Finite are for control_cost=; use L1 for zeros."
        )


def convex_cost(method: str, fine: bool, penalty: str) -> None:
    """Check that a method which needs a convex control cost has one."""
    if not fine:
        raise ValueError(
            f"{method} follows slopes, which {penalty} does not have (L0 and Finite are not convex): "
            'use pmpnet.solve.msa with variant="sqh" or "basic".'
        )


def affine_hamiltonian(fine: bool, penalty: str) -> None:
    """Check that the maximiser of the Hamiltonian over a set that is not convex is exact."""
    if not fine:
        raise ValueError(
            f"{penalty} is not convex (L0, Finite), and its maximiser is exact only where dynamics, "
            "running cost and path constraints are affine in u, which they are not here: use a convex "
            "control cost such as L1 or Box."
        )


def augmentable(affine: bool, quadratic: bool, control_only: bool, penalty: str) -> None:
    """Check that the augmented Hamiltonian has its maximiser in closed form."""
    if not quadratic:
        raise ValueError(
            f'variant="augmented" solves linear equations, which needs a control cost of L2 alone or '
            f"none, not {penalty}: use the default variant."
        )
    if not affine:
        raise ValueError(
            'variant="augmented" solves linear equations, which needs dynamics and running cost affine '
            "in u: use the default variant."
        )
    if not control_only:
        raise ValueError(
            'variant="augmented" decides the control only: give the readout as a matrix and leave '
            "free_horizon= out, or use the default variant."
        )


def entry_by_entry(method: str, fine: bool, penalty: str) -> None:
    """Check that a control cost is a sum over the entries of the control."""
    if not fine:
        raise ValueError(
            f"{method} treats the entries of the control one by one, but {penalty} (or the cost of a "
            "trained readout) ties them together: use L1, L2, ElasticNet and Box, or "
            "pmpnet.solve.msa, which takes every control cost."
        )


def fresh_file(path: Any, name: str = "path") -> None:
    """Check that a file may be written at a path."""
    from pathlib import Path

    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise ValueError(
            f"{name}={str(path)!r}: the folder {str(folder)!r} does not exist; create it first."
        )


def penalty_weight(name: str, value: Any) -> np.ndarray:
    """Return a penalty's weight: non-negative numbers."""
    array = real_array(name, value, ndim=(0, 1, 2))
    if array.size == 0:
        raise ValueError(f"{name} is empty: write a number, or one per entry of the control.")
    if array.min() < 0:
        raise ValueError(f"{name} has a negative entry ({array.min():g}): weights are at least 0.")
    return array.reshape(np.shape(value))


def radius(value: Any) -> np.ndarray:
    """Return a ball's radius: positive, one for all layers or one per layer."""
    array = real_array("radius", value, ndim=(0, 1)).reshape(np.shape(value))
    if array.size == 0 or array.min() <= 0:
        raise ValueError(
            f"radius={_of(value)} is not positive: write a number above 0, or one per layer."
        )
    return array


def radius_shape(name: str, value: np.ndarray, layers: int) -> None:
    """Check one radius for all layers, or one per layer."""
    if value.ndim == 1 and value.shape != (layers,):
        raise ValueError(
            f"{name} has {value.size} radii for {layers} layers: write one number, or one per layer."
        )


def has_rows(rows: Any) -> None:
    """Check that the dynamics know what a row of [W b] is."""
    if rows is None:
        raise ValueError(
            "Group(by='row') needs dynamics with rows [W b]; write by='layer' for these dynamics."
        )


def group_shape(weight: np.ndarray, layers: int, groups: int) -> None:
    """Check a group weight."""
    allowed: list[tuple[int, ...]] = [(), (layers, groups)]
    allowed.append((layers,) if groups == 1 else (groups,))
    if weight.shape not in allowed:
        raise ValueError(
            f"the weight of Group has shape {weight.shape} for {layers} layers of {groups} group(s): "
            "write one number, or one per layer and group."
        )


def fixed_horizon(fine: bool) -> None:
    """Check that there is a fixed horizon to take norms over time on."""
    if not fine:
        raise ValueError(
            "Group(by='time') is a norm over a fixed horizon, which a readout and a problem with "
            "free_horizon= do not have; write by='layer' there, or leave free_horizon= out."
        )


def time_group_shape(weight: np.ndarray, entries: int) -> None:
    """Check a weight of groups over time."""
    if weight.shape not in [(), (entries,)]:
        raise ValueError(
            f"the weight of Group(by='time') has shape {weight.shape} for controls of {entries} "
            f"entries: write one number, or one per entry, ({entries},)."
        )


def separable(fine: bool) -> None:
    """Check that the maximiser of the Hamiltonian can be taken one layer at a time."""
    if not fine:
        raise ValueError(
            'variant="synchronous" maximises one layer after the other, but Group(by="time") ties '
            'all layers together; use the default variant, or by="layer" or "row".'
        )


def parts(given: dict[str, Any], known: tuple[str, ...]) -> None:
    """Check the names given to pack()."""
    for name in given:
        if name not in known:
            raise TypeError(
                f"pack() got {name}=, but the parts of this control are {', '.join(known)}."
            )


def readout_cost_used(trained: bool, cost: Any) -> None:
    """Check that a readout cost has a trained readout to act on."""
    if cost is not None and not trained:
        raise ValueError(
            "readout_cost= acts on a trained readout: write readout='train', or leave it out."
        )


def thread_count(told: str) -> int:
    """Return the number of threads an environment variable asks for."""
    if not told.isdigit() or int(told) < 1:
        raise ValueError(f"PMPNET_NUM_THREADS={told!r} is not a whole number of at least 1.")
    return int(told)


def targets_used(read: bool, targets: Any) -> None:
    """Check that targets have a loss that reads them."""
    if targets is not None and not read:
        raise ValueError(
            "targets is given but no cost reads it: give terminal_cost= or running_cost=."
        )


def no_readout() -> ValueError:
    """Say that there is no trained readout."""
    return ValueError("readout= is given, but no cost of this problem has readout='train'.")


def readout_pair(given: dict, role: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays P and c of a readout."""
    if role not in given:
        raise ValueError(f"readout= has no {role!r}: give {{{role!r}: (P, c)}}.")
    try:
        P, c = given[role]
    except (TypeError, ValueError):
        raise TypeError(
            "readout= must be a pair (P, c), P of shape (q, d) and c of shape (q,)."
        ) from None
    return (
        real_array("P of readout", P, shape=shape).copy(),
        real_array("c of readout", c, shape=shape[:1]).copy(),
    )


# ------------------------------------------------------------------------------- solutions


def times_within(t: Any, times: np.ndarray) -> np.ndarray:
    """Return times that lie on the grid's interval."""
    t = real_array("t", t, ndim=(0, 1))
    if t.size and (t.min() < times[0] or t.max() > times[-1]):
        raise ValueError(f"t={_of(t)} is outside the time interval [{times[0]:g}, {times[-1]:g}].")
    return t


def points(value: Any, dim: int, dtype: Any) -> np.ndarray:
    """Return points as an (M, d) array; M may be 0."""
    array = real_array("x", value, ndim=2, dtype=dtype)
    if array.shape[1] != dim:
        raise ValueError(
            f"x has {array.shape[1]} columns but the state has {dim}: give points of shape (M, {dim})."
        )
    return array


def inverted(layer: int, fine: bool) -> None:
    """Check that a layer was inverted."""
    if not fine:
        raise ValueError(
            f"the step of layer {layer} could not be inverted: its displacement is not a contraction. "
            "Solve with more steps, a shorter horizon or smaller controls (an L2 penalty, a Ball)."
        )


def has_loss(loss: Any) -> None:
    """Check that there is a loss to predict by."""
    if loss is None:
        raise TypeError(
            "this problem has no terminal or running cost, hence nothing to predict: use flow(x)."
        )


def as_many(y: Any, count: int) -> np.ndarray:
    """Return targets, one per point."""
    array = rectangular("y", y)
    if array.ndim == 0 or array.shape[0] != count:
        raise ValueError(
            f"y has shape {array.shape} for {count} points: give one target per point."
        )
    if count == 0:
        raise ValueError("x has no rows: give at least one point to score.")
    return array


def scored(y: Any, predicted: np.ndarray, labels: bool) -> np.ndarray:
    """Return the targets that predictions are compared with, of their shape."""
    array = as_many(y, len(predicted))
    if array.size != predicted.size:
        raise ValueError(
            f"y has shape {array.shape}, but what is predicted has shape {predicted.shape}: give "
            "targets of that shape."
        )
    array = array.reshape(predicted.shape)
    if not labels:
        return real_array("y", array)
    given, known = (_sort_of_label(a) for a in (array, predicted))
    if given != known and "any" not in (given, known):
        raise TypeError(
            f"y has labels that are {given}, but the model's classes are {known}: give labels of "
            "the same type."
        )
    return array


def _sort_of_label(array: np.ndarray) -> str:
    sorts = dict.fromkeys("biuf", "numbers") | {"U": "text", "T": "text", "S": "bytes"}
    return sorts.get(array.dtype.kind, "any")


def sample_index(value: Any, count: int) -> np.ndarray:
    """Return the numbers of some of the samples, from their numbers or from a mask."""
    array = rectangular("index", value)
    mask = array.dtype.kind == "b"
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iub":
        raise TypeError(
            f"index={_of(value)} does not number samples: write a list of whole numbers, or a mask "
            f"of {count} times True or False."
        )
    if mask and (len(array) != count or not array.any()):
        raise ValueError(
            f"index is a mask of {len(array)} entries, {array.sum()} of them True, for {count} "
            "samples: write one per sample, at least one of them True."
        )
    if not mask and not -count <= array.min() <= array.max() < count:
        raise ValueError(
            f"index goes from {array.min()} to {array.max()}, but there are {count} samples: count "
            f"from 0 to {count - 1}."
        )
    return np.flatnonzero(array) if mask else array.astype(np.intp)


def method_options(name: str, options: dict[str, Any], own: list[str]) -> None:
    """Check the options of a method by name."""
    for option in options:
        if option not in own:
            listed = ", ".join(own) if own else "none of its own"
            raise TypeError(f"{name} has no option {option!r}; its options are: {listed}.")


def method(name: str, value: Any, known: Iterable[str]) -> Any:
    """Return a method, or the name of one."""
    if not callable(value):
        choice(name, value, known, "or give a function such as pmpnet.solve.lbfgs")
    return value


def function(name: str, value: Any) -> None:
    """Check that something that solves can be called."""
    if not callable(value):
        raise TypeError(
            f"{name}={_of(value)} cannot be called: give a function such as pmpnet.solve.msa."
        )


def callback(value: Any) -> Any:
    """Return a callback, or None."""
    if value is not None and not callable(value):
        raise TypeError(
            f"callback={_of(value)} cannot be called: give a function of one history row."
        )
    return value


def same_controls(given: int, needed: int) -> None:
    """Check that a solution can start another problem."""
    if given != needed:
        raise ValueError(
            f"start has controls of length {given}, but this problem's have length {needed}: "
            "start from a solution of the same dynamics."
        )


def fraction(name: str, value: Any) -> float:
    """Return a number strictly between 0 and 1."""
    value = real(name, value, above=0.0)
    if value >= 1.0:
        raise ValueError(f"{name}={value} is too large: it must be below 1.")
    return value


# ----------------------------------------------------------------------- direct transcription


def nlp_solver(value: Any, installed: bool) -> None:
    """Check that CasADi has a solver of nonlinear programmes."""
    if not installed:
        raise ValueError(
            f"solver={_of(value)} is no solver of nonlinear programmes that this CasADi has: write "
            '"ipopt", or another one of its plugins, such as "sqpmethod".'
        )


def solver_options(value: Any, solver: str) -> dict[str, Any]:
    """Return the options of such a solver, all on one level."""
    if value is None:
        return {}
    known = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    nested = value.get(solver, {}) if known else None
    if not isinstance(nested, dict):
        raise TypeError(
            f"options={_of(value)} is not a dict of options by name: write, for instance, "
            'options={"ipopt.mu_strategy": "adaptive"}.'
        )
    rest = {name: option for name, option in value.items() if name != solver}
    return rest | {f"{solver}.{name}": option for name, option in nested.items()}


def nlp_refused(solver: str, told: str) -> ValueError:
    """Return the error of a solver that takes neither programme nor options."""
    last = told.strip().splitlines()[-1] if told.strip() else "it does not say why"
    return ValueError(
        f"{solver} refuses the programme or its options: {last} See the options of this solver in "
        "CasADi's manual."
    )


# ------------------------------------------------------------------------------- comparisons


def methods(given: Any, names: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return methods and their options by name, from functions or pairs, in a list or a dict."""
    if isinstance(given, dict):
        if names is not None:
            raise ValueError("names= comes twice: methods is a dict, whose keys are the names.")
        names, given = list(given), list(given.values())
    if not isinstance(given, (list, tuple)) or len(given) == 0:
        raise TypeError(
            f"methods={_of(given)} is not a list of methods: write [pmpnet.solve.msa, "
            '(pmpnet.solve.adam, {"learning_rate": 0.1})], or a dict of them by name.'
        )
    pairs = [one if isinstance(one, (tuple, list)) else (one, {}) for one in given]
    for i, one in enumerate(pairs):
        if len(one) != 2 or not callable(one[0]) or not isinstance(one[1], dict):
            raise TypeError(
                f"methods[{i}]={_of(given[i])} is not a method: write a function such as "
                'pmpnet.solve.msa, or a pair such as (pmpnet.solve.msa, {"variant": "basic"}).'
            )
    if names is None:
        names = _method_names(pairs)
    if not isinstance(names, (list, tuple)):
        raise TypeError(f"names={_of(names)} is not a list of names: write as many as methods.")
    names = [str(name) for name in names]
    if len(names) != len(pairs) or len({*names}) != len(names):
        raise ValueError(
            f"names={_of(names)} does not name {len(pairs)} methods: give as many different names."
        )
    return {name: (method, dict(how)) for name, (method, how) in zip(names, pairs, strict=True)}


def _method_names(pairs: list) -> list[str]:
    """Return the names of functions; those of one function have their options, or a number."""
    plain = [
        getattr(f, "__name__", getattr(getattr(f, "func", f), "__name__", "method"))
        for f, _ in pairs
    ]
    told = [
        f"{name} ({', '.join(f'{k}={v}' for k, v in how.items())})"
        if plain.count(name) > 1 and how
        else name
        for name, (_, how) in zip(plain, pairs, strict=True)
    ]
    return [
        name if told.count(name) == 1 else f"{name}, run {told[: i + 1].count(name)}"
        for i, name in enumerate(told)
    ]


def budget(value: Any) -> dict[str, float]:
    """Return what a method may spend, by the name of the clock."""
    if value is None:
        return {}
    limits = value if isinstance(value, dict) else {"sweeps": value}
    for clock in limits:
        choice("a key of budget", clock, ("sweeps", "seconds"))
    return {clock: real(f"budget in {clock}", most, above=0.0) for clock, most in limits.items()}


def same_problem(name: str, fine: bool) -> None:
    """Check that what a method returns solves the problem that it was given."""
    if not fine:
        raise ValueError(
            f"{name} returns a solution of another problem, whose cost says nothing here: "
            "solve the one that it is given, from that solution as the start."
        )


def score_by(score: Any, solution: Any) -> float:
    """Return what a user's function scores a solution."""
    try:
        return real("its score", score(solution))
    except Exception as error:
        raise ValueError(
            f"test={_of(score)} cannot score a solution ({error}): write (x, y), or a function "
            "that takes a Solution and returns a number."
        ) from error


def method_option(spec: str, fine: bool) -> None:
    """Check that a method's option has a name and a value."""
    if not fine:
        raise ValueError(
            f"--methods={spec!r} has an option without a value: write them as in "
            "adam:learning_rate=0.1,batch_size=100."
        )


def one_table(file: Any, target: Any, data: Any) -> None:
    """Check that there is one thing to learn from, and a target in a file."""
    if file is not None and data is not None:
        raise ValueError(f"{file!r} and --data {data}: give a file or a built-in data set.")
    if file is not None and target is None:
        raise ValueError(f"{file!r} has no target: write --target COLUMN, the one to predict.")
    if file is None and target is not None:
        raise ValueError(f"--target {target} is of no file: write FILE.csv before it.")


def figure_file(path: Any, name: str) -> None:
    """Check that a figure may be written at a path."""
    fresh_file(path, name)
    not_a_folder(path)
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(
            f"{name}={str(path)!r} is no figure: write a name that ends in .png, .pdf or .svg."
        )


# --------------------------------------------------------------------------------- PyTorch


def package(name: str, shown: str) -> Any:
    """Return an optional package, imported; the extra that brings it has its name."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"{shown} is not installed: pip install 'pmpnet[{name}]'") from None


def torch_lbfgs(whole: bool, free: bool) -> None:
    """Check that L-BFGS has a smooth problem without bounds, and all samples."""
    if not whole:
        raise ValueError(
            "optimizer='lbfgs' compares gradients from step to step, which minibatches change: "
            "leave batch_size out, or write optimizer='adam'."
        )
    if not free:
        raise ValueError(
            "optimizer='lbfgs' of PyTorch knows no bounds, and the control or the horizon has some: "
            "write optimizer='adam', or pmpnet.solve.lbfgs(problem)."
        )


def parameters_given(needed: int, given: bool) -> None:
    """Check that a module is called with the constants of its points."""
    if needed and not given:
        raise ValueError(
            f"the system reads {needed} constants of every point: call module(x, parameters) with "
            f"an array (M, {needed})."
        )


def has_probabilities(fine: bool, loss: str) -> None:
    """Check that a loss is one of classes."""
    if not fine:
        raise TypeError(f"{loss} predicts numbers, not classes: write output='outputs'.")


def torch_chain(blocks: int, intervals: int) -> ValueError:
    """Say that a module has not as many layers as the problem has intervals."""
    if blocks:
        return ValueError(
            f"the module has {blocks} block{'s' * (blocks != 1)} of one kind in a row, the problem "
            f"{intervals} intervals: write Problem(..., steps={blocks}), or give a module with "
            f"{intervals} residual blocks."
        )
    return ValueError(
        "the module has neither a list of residual blocks (nn.Sequential, nn.ModuleList) nor "
        f"parameters whose first dimension is the {intervals} intervals of the problem: one or the "
        "other says what the control of each interval is."
    )


def torch_first(kind: str, fine: bool) -> None:
    """Check that nothing stands before the residual blocks."""
    if not fine:
        raise ValueError(
            f"before its residual blocks the module has another one, {kind}: the samples of the "
            "problem are what the first block reads. Apply it to them first."
        )


def torch_fails(where: str, shape: tuple[int, ...], error: Exception) -> ValueError:
    """Say that a module of the user's cannot be called."""
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ValueError(f"{where} fails on points of shape {shape}: {why}")


def torch_parts(where: str, given: dict, needed: dict, dynamics: str) -> ValueError:
    """Say that parameters are not those of the system."""

    def shown(parts: dict) -> str:
        return ", ".join(f"{name} {tuple(shape)}" for name, shape in parts.items()) or "none"

    return ValueError(
        f"{where} has the parameters {shown(given)}; {dynamics} has {shown(needed)}: choose the "
        "dynamics of pmpnet.dynamics that is this network's."
    )


def torch_map(
    where: str, theirs: np.ndarray, ours: np.ndarray, dynamics: str, scheme: str
) -> ValueError:
    """Say that a module is another map than the problem's with the same weights."""

    def shown(a: np.ndarray) -> str:
        return np.array2string(a, precision=4, threshold=6, separator=", ")

    return ValueError(
        f"{where} is another map than {dynamics} by the {scheme} scheme with the same weights: at "
        f"one point it gives {shown(theirs)}, the problem {shown(ours)}. Compare activation, "
        "bias, step length (horizon / steps) and scale."
    )


# ----------------------------------------------------------------------------- continuation


def increasing(name: str, value: Any, last: float, what: str) -> list[float]:
    """Return positive numbers that increase up to the last, which ends them whether given or not."""
    array = real_array(name, value, ndim=1)
    if array.size and array[-1] != last:
        array = np.append(array, last)
    if not array.size or array[0] <= 0 or not (np.diff(array) > 0).all():
        raise ValueError(
            f"{name}={_of(value)} must be positive and increase up to the problem's own {what}, {last:g}."
        )
    return array.tolist()


def factors(value: Any) -> list[float]:
    """Return factors of a control cost that fall to 1, which ends them whether given or not."""
    array = real_array("levels", value, ndim=1)
    if array.size and array[-1] != 1.0:
        array = np.append(array, 1.0)
    if not array.size or not (np.diff(array) < 0).all() or array[-1] <= 0:
        raise ValueError(
            f"levels={_of(value)} must fall to 1: they are factors of the problem's control cost, "
            "from strong to weak."
        )
    return array.tolist()


def whole_numbers(name: str, values: list[float]) -> list[int]:
    """Return numbers as ints."""
    for value in values:
        if value != int(value):
            raise ValueError(f"{name} has {value:g}: write whole numbers of intervals.")
    return [int(value) for value in values]


def weighable(fine: bool) -> None:
    """Check that a control cost has a weight."""
    if not fine:
        raise ValueError(
            'along="penalty" needs a control cost with a weight (L2, L1, ElasticNet, Group): bounds '
            "have none."
        )


def horizon_given(free: Any) -> None:
    """Check that the horizon is not decided."""
    if free is not None:
        raise ValueError(
            'along="horizon" needs a fixed horizon, but free_horizon= lets it be decided: leave one of '
            "them out."
        )


def held_out(name: str, value: Any) -> tuple | None:
    """Return what `Solution.score` takes."""
    if value is not None and (not isinstance(value, (tuple, list)) or len(value) not in (2, 3)):
        raise ValueError(
            f"{name}={_of(value)} must be (x, y), points and their targets, or (x, y, parameters)."
        )
    return None if value is None else tuple(value)


# ------------------------------------------------------------------------------ expressions


def field_list(value: Any) -> list[Any]:
    """Return a non-empty list of fields."""
    if callable(value):
        raise TypeError("fields is one function: write a list of functions, such as [field].")
    if not isinstance(value, (list, tuple)):
        raise TypeError(
            f"fields={_of(value)} is not a list of functions: write [field, ...], or the name of a "
            "family such as 'polynomial'."
        )
    if not value:
        raise ValueError(
            "fields is an empty list: give at least one function of the state, or the name of a "
            "family such as 'polynomial'."
        )
    return list(value)


def field_function(name: str, value: Any) -> None:
    """Check that a field is a function."""
    if not callable(value):
        raise TypeError(
            f"{name}={_of(value)} is not a function: write a function of the state that returns "
            "expressions, such as lambda x: [-x[1], x[0]]."
        )


def fails_on_symbols(name: str, error: Exception, how: str) -> ValueError:
    """Say that a function cannot be evaluated on symbols, and why."""
    why = (str(error).strip() or "no message").splitlines()[-1]
    return ValueError(
        f"{name} fails on CasADi's symbols ({type(error).__name__}: {why}): write it {how} made of "
        "CasADi's functions such as casadi.sin, and casadi.if_else in place of if."
    )


def needs_sx(name: str) -> TypeError:
    """Say that MX expressions cannot be compiled."""
    return TypeError(
        f"{name} is made of casadi.MX, whose operations are whole matrices and functions: make the "
        "symbols with casadi.SX.sym (a casadi.Function f becomes SX by calling it on SX symbols)."
    )


def expression_entry(name: str, i: int, value: Any, fine: bool) -> None:
    """Check that one entry of a column is an expression."""
    if not fine:
        raise TypeError(
            f"{name} has {_of(value)} as entry {i}, which is not one number or casadi.SX expression: "
            "give expressions made of casadi.SX.sym(...) and numbers."
        )


def expression_count(name: str, count: int, needed: int, why: str) -> None:
    """Check that there are as many expressions as needed."""
    if count != needed:
        raise ValueError(
            f"{name} has {count} expression(s) but {why} {needed}: give a list of {needed}."
        )


def is_symbol(name: str, shown: str, fine: bool) -> None:
    """Check that an entry is a plain symbol."""
    if not fine:
        raise ValueError(
            f"{name} contains {shown}, which is not a symbol: give what casadi.SX.sym(...) returns."
        )


def symbol_once(first: str | None, name: str, shown: str) -> None:
    """Check that a symbol stands in one place only."""
    if first is not None:
        where = f"twice in {name}" if first == name else f"both in {first} and in {name}"
        raise ValueError(f"the symbol {shown} stands {where}: give each symbol one role.")


def some_symbols(name: str, count: int) -> None:
    """Check that there is a symbol."""
    if count == 0:
        raise ValueError(
            f"{name} has no symbol: give at least one casadi.SX.sym(...), or leave it out."
        )


def one_time(count: int) -> None:
    """Check that time is one symbol."""
    if count != 1:
        raise ValueError(f"t has {count} symbols: time is one number, casadi.SX.sym('t').")


def finite_expression(name: str, shown: str, fine: bool) -> None:
    """Check that an expression without symbols is a number."""
    if not fine:
        raise ValueError(f"{name} contains {shown}, which is not finite: write ordinary numbers.")


def no_free_symbols(name: str, free: list[str], known: str) -> None:
    """Check that an expression is made of known symbols only."""
    if free:
        raise ValueError(
            f"{name} contains {', '.join(free)}, which is not among the symbols given: make it of "
            f"{known} and of numbers."
        )


def constraint_name(value: Any) -> str | None:
    """Return the name of a constraint."""
    if value is not None and (not isinstance(value, str) or not value or value == "controls"):
        raise ValueError(
            f"name={_of(value)} cannot name a constraint: give a text, other than 'controls', or leave it out."
        )
    return value


def constraint_bounds(lower: Any, upper: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of a constraint, one for each of its rows."""
    found = []
    for name, value in (("lower", lower), ("upper", upper)):
        array = real_array(name, value, ndim=(0, 1), finite=False)
        if array.ndim and len(array) != rows:
            raise ValueError(
                f"{name} has {len(array)} numbers but the constraint has {rows} expression(s): give one "
                f"number, or {rows}."
            )
        found.append(np.broadcast_to(array, rows).astype(float))
    low, high = found
    bounds(low, high)
    if np.any(np.isinf(low) & np.isinf(high)):
        raise ValueError(
            "a constraint without a finite bound bounds nothing: give lower= or upper=."
        )
    return low, high


def constraint_names(names: list[str]) -> None:
    """Check that every constraint has a name of its own."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{names.count(name)} constraints are called {name!r}: give each its own."
            )


def symbol_counts(what: str, given: tuple[int, ...], needed: tuple[int, ...]) -> None:
    """Check that an expression's symbols fit the problem; no symbols at all fit too."""
    roles = ("x", "u", "parameters")
    said = ("the state has", "the control has", "the problem's parameters have")
    for role, count, need, why in zip(roles, given, needed, said, strict=True):
        if count not in (0, need):
            raise ValueError(
                f"{what} has {count} symbol(s) in {role} but {why} {need}: give all of them, in their order."
            )


def parameter_array(value: Any, count: int, dynamics: int, dtype: Any) -> np.ndarray:
    """Return the samples' parameters (M, p); (M, 0) where there are none."""
    if value is None:
        if dynamics:
            raise ValueError(
                f"the dynamics have {dynamics} parameter(s) but none were given: pass parameters=, an "
                f"array of shape ({count}, {dynamics})."
            )
        return np.empty((count, 0), dtype)
    array = real_array("parameters", value, ndim=(1, 2))
    if array.ndim == 1 and len(array) == count:
        array = array[:, None]
    if array.ndim == 1 or len(array) != count or (dynamics and array.shape[1] != dynamics):
        columns = dynamics or "p"
        raise ValueError(
            f"parameters has shape {array.shape} but there are {count} samples: give an array of shape "
            f"({count}, {columns})."
        )
    return np.ascontiguousarray(array, dtype)


def horizon_range(value: Any) -> tuple[float, float]:
    """Return the range of a free horizon."""
    array = real_array("free_horizon", value, ndim=(1,))
    if len(array) != 2:
        raise ValueError(
            f"free_horizon has {len(array)} numbers: write (T_min, T_max), the range of the horizon."
        )
    low, high = map(float, array)
    if not 0 < low < high:
        raise ValueError(
            f"free_horizon=({low:g}, {high:g}) is no range: T_min must be above 0 and below T_max."
        )
    return low, high


def stretched(times: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the grid, stretched where its length is out of the range of a free horizon."""
    length = times[-1] - times[0]
    wanted = length if low <= length <= high else np.sqrt(low * high)
    if wanted == length:
        return times
    grid = times[0] + (times - times[0]) * (wanted / length)
    grid.setflags(write=False)
    return grid


def horizon_free(free: Any) -> None:
    """Check that the horizon may be chosen."""
    if free is None:
        raise ValueError(
            "horizon= was given but the problem's horizon is fixed: leave it out, or make the problem "
            "with free_horizon=(T_min, T_max)."
        )


def as_constraints(value: Any, kind: type) -> tuple:
    """Return constraints as a tuple."""
    if isinstance(value, kind):
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise TypeError(
            f"constraints={_of(value)} is not a list: write [pmpnet.constraints.Terminal(...), ...]."
        )
    for i, entry in enumerate(value):
        instance(
            f"constraints[{i}]", entry, kind, "made by pmpnet.constraints, such as Terminal(...)"
        )
    return tuple(value)


def searchable(constraints: Any, penalty: Any) -> None:
    """Check that the Hamiltonian can be searched layer by layer."""
    if constraints:
        raise ValueError(
            "needles= searches for a lower cost, which constraints would have to pay for: leave it out, "
            "or try starts= instead."
        )
    if penalty.groups is not None and penalty.groups.by == "time":
        raise ValueError(
            "needles= searches layer by layer, but Group(by='time') ties all layers together: leave it "
            "out, or use Group(by='layer')."
        )


def few_controls(count: int, most: int) -> None:
    """Check that there are points to search the controls of a layer with."""
    if count > most:
        raise ValueError(
            f"the Hamiltonian of {count} controls per layer cannot be searched, {most} are the most: "
            "leave needles= or search= out."
        )


def twice_differentiable(constraints: Any, readouts: Any, free: Any, kinetic: bool) -> None:
    """Check that a problem's second derivatives can be had."""
    reasons = (
        (constraints, "constraints"),
        (readouts, "a trained readout"),
        (free is not None, "a free horizon"),
        (kinetic, "a Kinetic control cost"),
    )
    for found, name in reasons:
        if found:
            raise ValueError(
                f"the problem has {name}, of which there are no second derivatives here: use "
                "pmpnet.solve.msa, whose quasi-Newton method needs none."
            )


def some_targets(targets: Any, reads: int) -> None:
    """Check that there are targets where a cost reads them."""
    if targets is None:
        raise ValueError(
            f"the cost reads {reads} number(s) of each sample's target, but there are no targets: give "
            "them as the third argument of Problem."
        )


def same_numbers(counts: list[int]) -> None:
    """Check that costs written as expressions read the same targets."""
    if len(set(counts)) > 1:
        raise ValueError(
            f"the terminal cost reads {counts[0]} target number(s) and the running cost {counts[1]}: "
            "targets has one row per sample, and y is all of it in both."
        )


def expressible(what: str, fine: bool) -> None:
    """Check that a cost can be integrated as one more state."""
    if not fine:
        raise ValueError(
            f"{what} has a trained readout and cannot be the running cost of a problem with a free "
            "horizon: give the readout as a matrix, or use it as the terminal cost."
        )


def cost_of_state(mixed: bool) -> None:
    """Check that a terminal cost does not read the control."""
    if mixed:
        raise ValueError(
            "the terminal cost depends on u, but at the end there is no control: make it an expression "
            "of x, or use it as running_cost=."
        )


def operation(name: str, fine: bool) -> None:
    """Check that an operation of CasADi can be compiled."""
    if not fine:
        raise ValueError(
            f"the expression uses CasADi's {name.lower()}, which cannot be compiled: write it with "
            "arithmetic, powers, exp, log, erf, trigonometric or hyperbolic functions, fmin, fmax, "
            "if_else (a casadi.Function that is called: call it with always_inline)."
        )


# --------------------------------------------------------------------------------- figures


def some_solutions(value: Any) -> None:
    """Check that there is a solution to draw."""
    if len(value) == 0:
        raise ValueError("solutions is empty: give at least one solution to draw.")


def drawable(quantity: str, fine: bool) -> None:
    """Check that a history has numbers to draw."""
    if not fine:
        hint = {
            "gap": "the Hamiltonian has no maximum with this control cost; write quantity='residual'",
            "residual": "every iterate diverged; start from smaller controls",
            "cost": "every iterate diverged; start from smaller controls",
        }[quantity]
        raise ValueError(f"no history has a finite {quantity}: {hint}.")


def best_cost(value: Any, lowest: float) -> float:
    """Return the cost that others are measured from: not above the lowest one seen."""
    if value is None:
        return lowest
    value = real("best", value)
    if value > lowest:
        raise ValueError(
            f"best={value!r} is above {lowest!r}, the lowest cost of these solutions: "
            "leave it out, or give a lower one."
        )
    return value


def same_scale(drawn: str, label: str, ours: tuple[str, ...]) -> None:
    """Check that axes do not measure something else already."""
    if drawn.startswith(ours) and drawn != label:
        raise ValueError(
            f"these axes already show {drawn!r}, not {label!r}: give all solutions in one call, or "
            "the same best= to every call."
        )


def control_times(times: Any, intervals: int) -> np.ndarray:
    """Return the times between which the rows of a control hold."""
    times = grid(1.0, 1, times)
    if times.size != intervals + 1:
        raise ValueError(
            f"times has {times.size} entries for {intervals} rows of controls: "
            f"give the {intervals + 1} times between which they hold."
        )
    return times


def some_controls(size: int) -> None:
    """Check that a control has entries."""
    if size == 0:
        raise ValueError("controls is empty: give at least one row with one entry.")


def no_times(times: Any) -> None:
    """Check that a solution is not given other times than its own."""
    if times is not None:
        raise ValueError(
            "times= belongs to an array of controls: a solution brings its own, leave it out."
        )


def components(value: Any, dim: int) -> tuple[int, ...]:
    """Return one or two components of the state."""
    pair = (value,) if isinstance(value, numbers.Integral) else value
    if not isinstance(pair, (tuple, list)) or len(pair) not in (1, 2):
        raise TypeError(
            f"components={_of(value)} is neither a component nor a pair: write 0, or (0, 1)."
        )
    pair = tuple(integer("components", i, 0) for i in pair)
    if max(pair) >= dim:
        raise ValueError(
            f"components={_of(value)} but the state has {dim}: count from 0 to {dim - 1}."
        )
    return pair


def some_points(count: int) -> None:
    """Check that there are points to draw."""
    if count == 0:
        raise ValueError("x has no rows: give at least one point, or leave it out.")


def plane(dim: int) -> None:
    """Check that a flow is one of the plane."""
    if dim != 2:
        raise ValueError(
            f"a deformed grid needs states of dimension 2 and these have {dim}: "
            "draw trajectories(solution, components=...) instead."
        )


def extent(value: Any) -> tuple[float, float, float, float]:
    """Return the borders of a part of the plane."""
    left, right, bottom, top = real_array("extent", value, shape=(4,)).tolist()
    if not (left < right and bottom < top):
        raise ValueError(
            f"extent={_of(value)} has no area: write (left, right, bottom, top) with left < right "
            "and bottom < top."
        )
    return left, right, bottom, top


def has_classes(classes: Any) -> None:
    """Check that a problem is one of classification."""
    if classes is None:
        raise ValueError(
            "this problem has no classes, hence no boundary between them: its cost must be Logistic "
            "or CrossEntropy; draw trajectories(solution) instead."
        )


def flat(fine: bool, dim: int) -> None:
    """Check that the inputs of a problem lie in its first two coordinates."""
    if fine:
        return
    if dim < 2:
        raise ValueError(
            "the states have dimension 1, where a boundary is a point: draw trajectories(solution)."
        )
    raise ValueError(
        f"the states have dimension {dim} and the samples do not lie in the plane of the first two: "
        f"give lift=, a function from points (K, 2) of a plane to states (K, {dim})."
    )


def lift(value: Any) -> Any:
    """Return a function from points of a plane to states."""
    if not callable(value):
        raise TypeError(
            f"lift={_of(value)} cannot be called: give a function from points (K, 2) to states (K, d)."
        )
    return value


def lifted(value: Any, count: int, dim: int) -> np.ndarray:
    """Return the states a lift made of points."""
    array = real_array("the result of lift", value)
    if array.shape != (count, dim):
        raise ValueError(
            f"lift returned shape {array.shape} for {count} points: it must return states, ({count}, {dim})."
        )
    return array


def located(fine: bool) -> None:
    """Check that it is known which part of a plane to draw."""
    if not fine:
        raise ValueError(
            "the samples do not lie on the image of lift=: give extent=(left, right, bottom, top), "
            "the part of the plane to draw."
        )


# ------------------------------------------------------------------------------------ files


def path(value: Any, name: str = "path") -> Any:
    """Return value if it is a path."""
    import os

    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise TypeError(f"{name}={_of(value)} is not a path: write text such as 'model.npz'.")
    if "\0" in str(value):
        raise ValueError(f"{name}={_of(value)} is not a path: leave the character \\0 out.")
    if os.path.basename(os.fspath(value)) in ("", ".", ".."):
        raise ValueError(f"{name}={str(value)!r} is a folder: add the name of a file.")
    return value


def not_a_folder(path: Any) -> None:
    """Check that a file to be written is no folder."""
    if path.is_dir():
        raise ValueError(f"path={str(path)!r} is a folder: add the name of a file.")


def file_exists(path: Any) -> None:
    """Check that there is a file to read."""
    if path.is_dir():
        raise ValueError(f"path={str(path)!r} is a folder: give the file in it.")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}: check the name and the folder.")


def our_file(path: Any, fine: bool) -> None:
    """Check that a file is one that pmpnet wrote."""
    if not fine:
        raise ValueError(
            f"{str(path)!r} is not a whole file of pmpnet: it is another kind of file, or was cut off. "
            "Give one that solution.save(path) wrote."
        )


def damaged(path: Any, error: Exception) -> ValueError:
    """Say that a file cannot be read, and why."""
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ValueError(
        f"{str(path)!r} cannot be read as a solution, it is damaged or not of pmpnet ({why}): "
        "save the solution again, or fetch the file anew."
    )


def format_known(path: Any, given: int, known: int, version: str) -> None:
    """Check that a file is not of a newer format than is known here."""
    if given > known:
        raise ValueError(
            f"{str(path)!r} was written by pmpnet {version} in format {given}, and this pmpnet reads "
            f"formats up to {known}: update pmpnet."
        )


def same_solve(path: Any, values: dict[str, tuple]) -> None:
    """Check that a checkpoint is one of the same solve."""
    other = [name for name, (there, here) in values.items() if there != here]
    if other == ["problem"]:
        raise ValueError(
            f"resume={str(path)!r} was written by the solve of another problem: give the same "
            "samples, costs, grid and dynamics, or leave resume= out."
        )
    if other:
        shown = ", ".join(f"{n}={values[n][0]!r} and not {values[n][1]!r}" for n in other)
        raise ValueError(
            f"resume={str(path)!r} was written by another solve, with {shown}: write the same, or "
            "begin from a solution by start=."
        )


def same_start(fine: bool) -> None:
    """Check that a run begins where the one that was written down did."""
    if not fine:
        raise ValueError(
            "the solve that resume= goes on with began elsewhere: give the same start=, or leave "
            "resume= out."
        )


def resumable(fine: bool) -> None:
    """Check that the method of a chain can be written down."""
    if not fine:
        raise TypeError(
            "the method of this chain takes no checkpoint=: leave checkpoint= and resume= out, or "
            "give a function of pmpnet.solve."
        )


def same_answers(fine: bool) -> None:
    """Check that scipy asks again what it asked before."""
    if not fine:
        raise ValueError(
            "scipy's L-BFGS-B asks for other controls than in the solve that resume= goes on with, "
            "as another version of scipy may: begin from its best controls by start=."
        )


def text_key(place: str, key: Any) -> None:
    """Check a key of a dict that is to be saved."""
    if not isinstance(key, str) or key.startswith("$"):
        raise TypeError(
            f"{place} has the key {_of(key)}: to be saved, keys must be text that does not begin with $."
        )


def storable(place: str, value: Any, fine: bool) -> None:
    """Check that something can be saved."""
    if not fine:
        raise TypeError(
            f"{place} is {_of(value)}, which cannot be saved: only pmpnet's own ingredients, numbers, "
            "text, lists, dicts and arrays of numbers or text can. To keep the controls alone, use "
            "numpy.save(path, solution.controls)."
        )


# ----------------------------------------------------------------------------------- tables

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


def not_text(path: Any) -> ValueError:
    """Say that a file is no table of text."""
    return ValueError(
        f"{str(path)!r} is not a CSV file in UTF-8: save the table as CSV (UTF-8) first."
    )


def table_size(path: Any, given: int, most: int) -> None:
    """Check that a table is not too large to be read."""
    if given > most:
        raise ValueError(
            f"{str(path)!r} is larger than the {most >> 20} MiB that are read: leave out rows or "
            "columns, or give arrays of any size to pmpnet.Problem in Python."
        )


def table_not_empty(path: Any, fine: bool) -> None:
    """Check that a table has a first row."""
    if not fine:
        raise ValueError(f"{str(path)!r} is empty: write a header and one row per sample.")


def table_header(path: Any, header: list[str], target: str, most: int) -> None:
    """Check the names of the columns of a table."""
    file = repr(str(path))
    if "" in header:
        raise ValueError(
            f"column {header.index('') + 1} of {file} has no name: name it in the first line, or "
            "leave it out (a column that only numbers the rows, say)."
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(
            f"{file} has several columns named {', '.join(map(repr, twice))}: rename all but one."
        )
    if target not in header:
        raise ValueError(f"{file} has no column {target!r}; it has {', '.join(map(repr, header))}.")
    if len(header) == 1:
        raise ValueError(f"{file} has the target {target!r} only: add columns to predict it from.")
    if len(header) > most:
        raise ValueError(f"{file} has {len(header)} columns, more than {most}: leave out some.")


def table_columns_named(path: Any, header: list[str], columns: Iterable[str]) -> None:
    """Check that a table has every column that a model was trained on, once."""
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(
            f"{str(path)!r} has no column {', '.join(map(repr, missing))}, which the model was trained "
            f"on; it has {', '.join(map(repr, header))}."
        )
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise ValueError(
            f"{str(path)!r} has several columns named {', '.join(map(repr, twice))}: rename all but one."
        )


def table_rows(path: Any, rows: int, fewest: int) -> None:
    """Check that a table has enough rows."""
    if rows < fewest:
        raise ValueError(
            f"{str(path)!r} has {rows} row(s) below its header: at least {fewest} are needed."
        )


def table_row(path: Any, row: int, line: int, cells: int, columns: int) -> None:
    """Check the length of a row."""
    if cells != columns:
        raise ValueError(
            f"row {row + 1} (line {line}) of {str(path)!r} has {cells} cell(s) for {columns} columns: "
            "give every row as many cells as the header."
        )


def bad_cell(path: Any, row: int, line: int, column: str, text: str) -> ValueError:
    """Say that a cell does not hold what is needed."""
    where = f"row {row + 1} (line {line}), column {column!r} of {str(path)!r}"
    if text.strip().lower() in MISSING:
        return ValueError(f"{where} has no value: fill it in, or leave out the row or the column.")
    return ValueError(
        f"{where} holds {text.strip()!r}, which is not a finite number: write numbers, or leave out "
        "the column (text needs an encoding, such as a column of 0 and 1 per word)."
    )


def table_target(target: str, values: int, rows: int, classes: bool) -> None:
    """Check that a target can be learnt."""
    if values == 1:
        raise ValueError(
            f"column {target!r} has the same value in all {rows} rows: there is nothing to learn; "
            "choose another target."
        )
    if classes and 2 * values > rows:
        raise ValueError(
            f"column {target!r} has {values} classes in {rows} rows, too many to learn: choose "
            "another target, or write task='regression' if it holds numbers."
        )


def some_held_out(rows: int, fraction: float) -> None:
    """Check that rows are held out."""
    if rows == 0:
        raise ValueError(
            f"a test fraction of {fraction:g} holds out no row of this table: give a larger one."
        )


def flow_dimension(value: Any, columns: int, outputs: int) -> int:
    """Return the dimension of a flow that carries columns and outputs."""
    value = size("dim", value, 1)
    if value < columns + outputs:
        raise ValueError(
            f"dim={value} is too small for {columns} columns and {outputs} output(s): "
            f"write at least {columns + outputs}, or leave it out."
        )
    return value


def table(value: Any, kind: type) -> Any:
    """Return a table if it is one, of numbers."""
    instance("table", value, kind, "what pmpnet.tables.read returns")
    x = real_array("x of the table", value.x, ndim=2)
    if x.shape != (np.size(value.y), len(value.columns)):
        raise ValueError(
            f"the table has x of shape {x.shape}, {np.size(value.y)} targets and "
            f"{len(value.columns)} columns: give one target per row, one name per column."
        )
    choice("task", value.task, ("classification", "regression"))
    return value


def trained_table(solution: Any) -> dict[str, Any]:
    """Return what a model keeps of its table."""
    info = getattr(solution, "annotations", {}).get("table")
    if info is None:
        raise ValueError(
            "this solution was not trained on a table: use solution.predict(x) on states instead."
        )
    return info


def of_classes(task: str) -> None:
    """Check that a model tells classes apart."""
    if task != "classification":
        raise ValueError("this model predicts numbers: they have no probabilities, leave them out.")


def output_file(path: Any, name: str, *inputs: Any) -> None:
    """Check that a file can be written, before work is done for it, and is none that is read."""
    import os
    import tempfile

    fresh_file(path, name)
    not_a_folder(path)
    if any(path.exists() and os.path.exists(one) and path.samefile(one) for one in inputs):
        raise ValueError(f"{name}={str(path)!r} is the file that is read: choose another name.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{name}={str(path)!r} cannot be written ({error.strerror}): choose another folder."
        ) from error


def too_large(error: MemoryError) -> str:
    """Say that there is not enough memory."""
    why = f" ({error})" if str(error) else ""
    return f"not enough memory{why}: leave out rows or columns, or take fewer steps."


def system_said(error: OSError) -> str:
    """Say what the system did not let us do to a file."""
    if error.filename is None or not error.strerror:
        return str(error)
    return f"{str(error.filename)!r} cannot be read or written: {error.strerror}."


def folder(path: Any, name: str) -> None:
    """Check that a folder exists or can be made."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{name}={str(path)!r} is a file: give a folder.")


def table_columns(value: Any, columns: list[str]) -> np.ndarray:
    """Return rows with the columns that a model was trained on."""
    array = real_array("x", value, ndim=2)
    if array.shape[1] != len(columns):
        raise ValueError(
            f"x has {array.shape[1]} columns, but the model was trained on {len(columns)}: "
            f"{', '.join(columns)}."
        )
    return array


# --------------------------------------------------------------------------- many machines


def no_frames(values: Iterable[Any]) -> None:
    """Check that nothing is a data frame of dask's, which NumPy would fetch as a whole."""
    if any(hasattr(value, "to_dask_array") for value in values):
        raise TypeError(
            "a dask data frame has no rows of known number: write frame.to_dask_array(lengths=True)."
        )


def dask_states(value: Any, fine: bool) -> Any:
    """Return initial states if they are a dask.array of known sizes."""
    if not fine:
        raise TypeError(
            "initial_states are in one place, and what belongs to them is a dask.array: write "
            "dask.array.from_array(initial_states, chunks=(rows, -1)), or compute() the others."
        )
    sizes_known("initial_states", value.shape)
    if value.ndim != 2:
        raise ValueError(
            f"initial_states has shape {value.shape}: write one row per sample, (M, d)."
        )
    if value.shape[0] == 0:
        raise ValueError("initial_states has no rows: give at least one sample.")
    return value


def sizes_known(name: str, shape: tuple) -> None:
    """Check that a dask.array knows how many rows it has."""
    if any(math.isnan(size) for size in shape):
        raise ValueError(
            f"{name} is a dask.array of unknown size: call its compute_chunk_sizes() first."
        )


def dask_rows(name: str, shape: tuple, count: int) -> None:
    """Check that a dask.array has a row for every sample."""
    sizes_known(name, shape)
    if not shape or shape[0] != count:
        raise ValueError(f"{name} has shape {shape} for {count} samples: give a row for each.")


def same_rows(given: int, told: int) -> None:
    """Check that a partition has as many rows as its dask.array says."""
    if given != told:
        raise ValueError(
            f"there are {given} rows where the dask.array says {told}: correct its chunks."
        )


def in_rows(error: Exception, first: int, stop: int) -> Exception:
    """Return what is wrong with a partition, and where it is."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(
        f"in the partition of rows {first} to {stop - 1}, counted from its own first: {error}"
    )


def no_multipliers(constraints: Any) -> None:
    """Check that there are no multipliers, which every sample has of its own."""
    if constraints:
        raise ValueError(
            "constraints hold for every sample, with multipliers of its own, and are not solved on many "
            "machines: give the samples in one place, or write a penalty as running_cost or terminal_cost."
        )


def sums_only(fine: bool) -> None:
    """Check that only sums over samples on many machines are asked for."""
    if not fine:
        raise in_one_place()


def in_one_place() -> ValueError:
    """Say that samples are on many machines."""
    return ValueError(
        "the samples are a dask.array, on many machines, and this needs them, or their states, in one "
        "place: take some, problem.replace(initial_states=x[:1000].compute()), and targets, weights and "
        "parameters alike."
    )


def lost(error: Exception) -> Exception | None:
    """Say that samples cannot be made again, if that is what an error of dask's means."""
    closed = "Missing dependency pmpnet" in str(error)  # what dask's own schedulers say
    if not (closed or "Cancelled" in type(error).__name__):
        return None
    return RuntimeError(
        "the samples are lost: the client or cluster that kept them is closed, or the only worker that "
        "had scattered data is gone. Make the problem again, of a dask.array that can be computed again."
    )


# -------------------------------------------------------------------------------- analysis

A_SOLUTION = "what a method of pmpnet.solve returns (max_iter=0 makes one of given controls)"


def stands_still(fine: bool) -> None:
    """Check that zero controls do not move the samples."""
    if not fine:
        raise ValueError(
            "the samples move under zero controls (a drift, a bias outside the control): layers that are "
            "zero cannot be dropped without changing the flow."
        )


def norm_order(value: Any) -> float:
    """Return the order of a vector norm."""
    if not isinstance(value, numbers.Real) or value not in (1, 2, math.inf):
        raise ValueError(f"norm={_of(value)} is not known: write 1, 2 or numpy.inf.")
    return value


def some_layer_moves(fine: bool) -> None:
    """Check that there is a speed to keep constant."""
    if not fine:
        raise ValueError("all layers are zero: they have no speed; give times=.")


def layer_per_layer(given: int, layers: int) -> None:
    """Check that a grid has an interval for every layer."""
    if given != layers:
        raise ValueError(
            f"times has {given} intervals for {layers} layers: give {layers + 1} times."
        )


def no_path_multipliers(fine: bool) -> None:
    """Check that there is nothing in time that would have to be told other times."""
    if not fine:
        raise ValueError(
            "the problem has constraints along the path, whose multipliers belong to its own times: "
            "leave them out with problem.replace(constraints=...) and solve.msa(..., max_iter=0) first."
        )


def homogeneous(fine: bool) -> None:
    """Check that a control is a speed."""
    if not fine:
        raise ValueError(
            "other times would be another flow: they are free only where f(x, a u) = a f(x, u) and f "
            "does not know the time (Layer, Outside with relu, LinearControl without drift)."
        )


def refinements(value: Any) -> list[int]:
    """Return into how many parts every interval is cut, several times."""
    return [integer("refine", n, 1) for n in several("refine", value)]


def several(name: str, value: Any) -> list[Any]:
    """Return a list of at least one thing."""
    try:
        values = list(value)
    except TypeError:
        raise TypeError(f"{name}={_of(value)} is not a list: write several in brackets.") from None
    if not values:
        raise ValueError(f"{name} is empty: give at least one.")
    return values


def two_layers(layers: int, entries: int) -> None:
    """Check that there are layers to compare."""
    if entries < 1:
        raise ValueError("weights of no entries have no smoothness: give at least one column.")
    if layers < 2:
        raise ValueError("weights of one layer have no smoothness in depth: give at least two.")


def several_depths(depths: list[int]) -> None:
    """Check that there are depths to compare."""
    if len(set(depths)) < 2:
        raise ValueError(
            f"an exponent needs at least two depths, but there is only {depths[0]}: solve the problem "
            "with several numbers of steps (problem.replace(steps=...))."
        )


def reversible(error: float, tol: float) -> None:
    """Check that states rebuilt backwards are right."""
    if not error <= tol:
        raise ValueError(
            f"the samples rebuilt backwards are off by {error:.2g} of their size, more than tol={tol:g}: "
            "their gradient would be wrong. Use problem.gradient, more steps, smoother weights, or "
            "scheme='heun', which rebuilds better."
        )


def homogeneous_units(fine: bool, dynamics: str, allowed: Iterable[str]) -> None:
    """Check that hidden units may be scaled."""
    if not fine:
        raise ValueError(
            f"{dynamics} has no hidden units whose weights may be scaled: that needs TwoLayer or Neurons "
            f"with activation {', '.join(allowed)}."
        )


def priced_by_size(fine: bool, penalty: str) -> None:
    """Check that a control cost has a cheapest scale of every hidden unit."""
    if not fine:
        raise ValueError(
            f"weights are balanced under a control cost of L1, L2 and Kinetic, not {penalty}: price the "
            "solution on such a problem first (problem.replace(control_cost=...), max_iter=0)."
        )


def same_dimension(given: int, needed: int) -> None:
    """Check that two flows live in one space."""
    if given != needed:
        raise ValueError(
            f"other has dimension {given} and solution {needed}: flows are compared in one space."
        )


def shared_control(fine: bool) -> None:
    """Check that all layers have the same control."""
    if not fine:
        raise ValueError(
            "truncated costates are for a control that all layers share: give every row the same "
            "values, such as numpy.tile(row, (N, 1))."
        )


def solver(value: Any) -> None:
    """Check that something solves problems."""
    if not callable(value):
        raise TypeError(
            f"solve={_of(value)} cannot be called: give a method such as pmpnet.solve.msa."
        )


def sample_sizes(value: Any, most: int) -> list[int]:
    """Return how many samples to draw, several times."""
    sizes = [integer("sizes", n, 1) for n in several("sizes", value)]
    if max(sizes) > most:
        raise ValueError(f"sizes has {max(sizes)}, but the problem has {most} samples.")
    return sizes


def start_shape(value: Any) -> tuple[int, int]:
    """Return the shape of a control."""
    try:
        layers, entries = value
    except (TypeError, ValueError):
        raise TypeError(
            f"shape={_of(value)} is not a pair: write problem.control_shape, or (N, c)."
        ) from None
    return size("shape[0]", layers, 1), size("shape[1]", entries, 1)


def spread(value: Any, entries: int) -> np.ndarray:
    """Return a standard deviation, one for all entries or one each."""
    array = real_array("std", value, ndim=(0, 1)).reshape(np.shape(value))
    if array.size == 0 or array.min() < 0 or (array.ndim == 1 and array.shape != (entries,)):
        raise ValueError(
            f"std={_of(value)}: write a number that is at least 0, or {entries} of them, one per entry."
        )
    return array
