"""Optimal control problems with known answers, and an independent judge of a control.

The facts are in `data/optimal_control.json`, with their sources; `conventions` there says how they
are written. Problems are built from the public names of pmpnet. The judge uses neither pmpnet nor
CasADi: it evaluates the same expressions in NumPy and integrates them by scipy's DOP853.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path as File

import casadi
import numpy as np
from casadi import SX
from scipy.integrate import solve_ivp

from pmpnet import Problem, losses, penalties
from pmpnet.constraints import Integral, Path, Terminal
from pmpnet.dynamics import Symbolic

FACTS = File(__file__).parent / "data" / "optimal_control.json"
DENSE = 8  # points per interval at which bounds on states are judged


@dataclass(frozen=True)
class Classical:
    """A problem with its answer.

    Attributes
    ----------
    id : str
    entry : dict
        What the file says.
    problem : Problem
        Always a minimisation: the cost of an entry that maximises is negated.
    start : ndarray or None
        The file's guess of the control.
    reference : float
        The optimal cost, of the entry as it stands.
    acceptance : dict
    """

    id: str
    entry: dict
    problem: Problem
    start: np.ndarray | None
    reference: float
    acceptance: dict


@dataclass(frozen=True)
class Verdict:
    """What a control earns, by the judge.

    Attributes
    ----------
    cost : float
        Of the entry as it stands.
    error : float
        How far it is on the wrong side of the optimum, over the entry's scale.
    terminal, integral : float
        Largest residual of conditions on the final state, and of integral constraints.
    path : float
        Largest violation of bounds on the state, between grid points too.
    """

    cost: float
    error: float
    terminal: float
    integral: float
    path: float

    def meets(self, acceptance: dict, method: str = "msa") -> bool:
        """Tell whether the entry's own conditions hold, for a sweep method or a "direct" one."""
        error = self.error if acceptance["one_sided"] else abs(self.error)
        within = {
            name: np.inf if acceptance[name] is None else acceptance[name]
            for name in ("terminal_residual", "path_violation")
        }
        return bool(
            error <= acceptance[f"rel_tol_{method}"]
            and max(self.terminal, self.integral) <= within["terminal_residual"]
            and self.path <= within["path_violation"]
        )


# ------------------------------------------------------------------------------- the facts


@cache
def library() -> dict[str, dict]:
    """Return the entries of the file by their id."""
    return {entry["id"]: entry for entry in json.loads(FACTS.read_text())["problems"]}


def members(entry: dict) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return initial states (M, d), each parameter's values (M,), and weights of sum 1."""
    one = {"params": {}, "x0": entry.get("x0")}
    ensemble = entry.get("ensemble", {"members": [one]})
    found = ensemble["members"]
    x0 = np.array([m["x0"] for m in found], float)
    values = {name: np.array([m["params"][name] for m in found]) for name in found[0]["params"]}
    weights = np.array(ensemble.get("weights", np.ones(len(found))))
    return x0, values, weights / weights.sum()


def costs(entry: dict) -> tuple[str | None, str | None]:
    """Return terminal and running cost of a member; the weights average both."""
    ensemble = entry.get("ensemble", {})
    terminal = ensemble.get("member_terminal_cost") or entry.get("terminal_cost")
    running = [entry.get("running_cost"), ensemble.get("member_running_cost")]
    if entry["kind"] == "discrete":  # a stage costs as much as a step of Euler's scheme
        running = [f"({entry['stage_cost']})/h"]
    return terminal, " + ".join(text for text in running if text is not None) or None


def sign(entry: dict) -> float:
    """Return -1 where the entry maximises."""
    return -1.0 if entry["sense"] == "max" else 1.0


def bounds(pairs: list) -> np.ndarray:
    """Return lower and upper bounds, infinite where there is none."""
    low, high = zip(*pairs, strict=True)
    return np.array([[-np.inf if b is None else b for b in low],
                     [np.inf if b is None else b for b in high]])  # fmt: skip


FUNCTIONS = ("sin", "cos", "tan", "exp", "log", "sqrt", "tanh")
IN_NUMPY = {name: getattr(np, name) for name in FUNCTIONS} | {"abs": np.abs}
IN_CASADI = {name: getattr(casadi, name) for name in FUNCTIONS} | {"abs": casadi.fabs}


@cache
def code(text: str):
    return compile(text, text, "eval")


def value(text: str, names: dict):
    """Evaluate an expression that may use these names and nothing else."""
    unknown = set(code(text).co_names) - set(names)
    if unknown:
        raise NameError(f"{text!r} uses {', '.join(sorted(unknown))}")
    return eval(code(text), {"__builtins__": {}}, names)


# ----------------------------------------------------------------------------- the problem


def build(id: str, steps: int = 200, scheme: str = "rk4", grading: float = 1.0) -> Classical:
    """Return an entry as a problem; a discrete one has its own steps and scheme.

    A grading above 1 draws the intervals together where the motion begins.
    """
    entry = library()[id]
    t, x, u, theta = _symbols(entry)
    names = IN_CASADI | entry["params"] | {s.name(): s for s in (t, *x, *u, *theta)}
    x0, parameters, weights = members(entry)
    guess = entry.get("guess", {})
    of_members = {"parameters": theta} if theta else {}
    told: dict = dict(_control_cost(entry))

    if entry["kind"] == "discrete":
        steps, scheme = entry["steps"], "euler"
        horizon = steps * entry["params"]["h"]
        rates = [
            f"(({step}) - {state})/h"
            for step, state in zip(entry["step_map"], entry["states"], strict=True)
        ]
    else:
        horizon, rates = entry["tf"], entry["dynamics"]
        if horizon is None:
            horizon, told["free_horizon"] = guess["tf"], entry["tf_bounds"]

    terminal, running = costs(entry)
    if terminal == "tf":
        told["running_cost"] = losses.Symbolic(1, x)
    elif terminal is not None:
        cost = sign(entry) * value(terminal, names)
        told["terminal_cost"] = losses.Symbolic(cost, x, **of_members)
    if running not in (None, "abs(u)"):
        cost = sign(entry) * value(running, names)
        told["running_cost"] = losses.Symbolic(cost, x, u, t, **of_members)
    if theta:
        told |= dict(parameters=np.stack(list(parameters.values()), axis=1), weights=weights)
    told["times"] = horizon * np.linspace(0.0, 1.0, steps + 1) ** grading
    system = Symbolic(x, u, [value(rate, names) for rate in rates], t, **of_members)
    problem = Problem(
        system, x0, constraints=list(_constraints(entry, t, x, u, names)),
        scheme=scheme, **told,
    )  # fmt: skip
    start = np.tile(np.array(guess["u"], float), (steps, 1)) if "u" in guess else None
    return Classical(id, entry, problem, start, entry["reference"]["J"], entry["acceptance"])


def _symbols(entry: dict) -> tuple[SX, list[SX], list[SX], list[SX]]:
    groups = entry["states"], entry["controls"], members(entry)[1]
    x, u, theta = ([SX.sym(name) for name in group] for group in groups)
    return SX.sym("t"), x, u, theta


def _control_cost(entry: dict):
    """Yield the penalties on the control: bounds, and the l1 norm."""
    box, low_high = [], bounds(entry["control_bounds"])
    if np.isfinite(low_high).any():
        box = [penalties.Box(*low_high)]
    if costs(entry)[1] == "abs(u)":
        box.append(penalties.L1(1.0))
    if box:
        yield "control_cost", sum(box[1:], box[0])


def _constraints(entry: dict, t: SX, x: list, u: list, names: dict):
    ends = {name: end for name, end in _ends(entry)}
    if ends:
        yield Terminal([names[n] for n in ends], x, [*ends.values()], [*ends.values()], name="end")
    for name, pair in entry.get("state_bounds", {}).items():
        yield Path(names[name], x, u, t, *bounds([pair]), name=name)
    for i, c in enumerate(entry.get("integral_constraints", [])):
        yield Integral(value(c["expr"], names), x, u, t, c["lb"], c["ub"], name=f"integral {i}")


def _ends(entry: dict) -> list[tuple[str, float]]:
    """Return the states with a given end."""
    pairs = zip(entry["states"], entry.get("xf", [None] * len(entry["states"])), strict=True)
    return [(name, end) for name, end in pairs if end is not None]


# ------------------------------------------------------------------------------- the judge


def judge(entry: dict, times: np.ndarray, controls: np.ndarray) -> Verdict:
    """Price a control, constant on each interval, by the expressions of the file alone."""
    run = _stepped if entry["kind"] == "discrete" else _integrated
    x, running, integrals, path = run(entry, times, controls)
    cost = running + _mean(entry, costs(entry)[0], _names(entry, times[-1], x, controls[-1]))
    error = sign(entry) * (cost - entry["reference"]["J"]) / entry["acceptance"]["scale"]
    ends = [abs(x[:, entry["states"].index(name)] - end).max() for name, end in _ends(entry)]
    outside = [
        max(c["lb"] - found, found - c["ub"])
        for c, found in zip(entry.get("integral_constraints", []), integrals, strict=True)
    ]
    return Verdict(cost, error, max(ends, default=0.0), max(outside, default=0.0), path)


def _names(entry: dict, t: float, x: np.ndarray, u: np.ndarray) -> dict:
    """Return what expressions may name: states x (M, d) and parameters, a value per member."""
    states = dict(zip(entry["states"], x.T, strict=True))
    controls = dict(zip(entry["controls"], u, strict=True))
    return {
        **IN_NUMPY,
        **entry["params"],
        **members(entry)[1],
        **states,
        **controls,
        "t": t,
        "tf": t,
    }


def _mean(entry: dict, text: str | None, names: dict) -> float:
    """Return the weighted mean of an expression over the members."""
    return 0.0 if text is None else float(np.sum(members(entry)[2] * value(text, names)))


def _stepped(entry: dict, times: np.ndarray, controls: np.ndarray):
    x, cost = members(entry)[0], 0.0
    for u in controls:
        names = _names(entry, 0.0, x, u)
        cost += _mean(entry, entry["stage_cost"], names)
        x = np.stack([value(text, names) for text in entry["step_map"]], axis=1)
    return x, cost, [], 0.0


def _integrated(entry: dict, times: np.ndarray, controls: np.ndarray):
    x = members(entry)[0]
    integrands = [costs(entry)[1], *(c["expr"] for c in entry.get("integral_constraints", []))]

    def rates(t, y, u):
        names = _names(entry, t, y[: x.size].reshape(x.shape), u)
        moved = np.empty(x.shape)
        for i, text in enumerate(entry["dynamics"]):
            moved[:, i] = value(text, names)
        return np.concatenate([moved.ravel(), [_mean(entry, text, names) for text in integrands]])

    y, path = np.concatenate([x.ravel(), np.zeros(len(integrands))]), 0.0
    for start, end, u in zip(times[:-1], times[1:], controls, strict=True):
        at = np.linspace(start, end, DENSE)
        run = solve_ivp(rates, (start, end), y, "DOP853", at, args=(u,), rtol=1e-11, atol=1e-12)
        for name, pair in entry.get("state_bounds", {}).items():
            (low,), (high,) = bounds([pair])
            along = run.y[entry["states"].index(name)]
            path = max(path, low - along.min(), along.max() - high)
        y = run.y[:, -1]
    return y[: x.size].reshape(x.shape), y[x.size], y[x.size + 1 :], path
