"""Direct transcription: the discrete problem as a nonlinear programme for CasADi and IPOPT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from .. import checks
from ..certificate import violations
from ..problem import Problem, Readouts
from ..reduced import Reduced
from ..solution import (
    CONVERGED,
    HISTORY,
    INFEASIBLE,
    INTERRUPTED,
    NOT_FINITE,
    OUT_OF_ITERATIONS,
    STALLED,
    STOPPED,
    Seconds,
    Solution,
)
from .loop import best_start, leave_stationary
from .transcription import Transcription

KINDS = ("multiple_shooting", "shooting", "collocation")
RELAXED = 1e-9  # by which IPOPT may pass a bound: it needs an inside
FEASIBLE = 1e-6  # a violation below it is none, where controls are ranked

# What the solver's answers mean, as the end of a sentence
ANSWERS = {
    "Solve_Succeeded": (CONVERGED, "found an optimum"),
    "Solved_To_Acceptable_Level": (STALLED, "could go no further short of the tolerance"),
    "Feasible_Point_Found": (STALLED, "found a point that meets the constraints, no more"),
    "Infeasible_Problem_Detected": (INFEASIBLE, "found no point that meets the constraints"),
    "Not_Enough_Degrees_Of_Freedom": (INFEASIBLE, "has more equations than unknowns"),
    "Maximum_Iterations_Exceeded": (OUT_OF_ITERATIONS, "ran out of iterations"),
    "Maximum_CpuTime_Exceeded": (OUT_OF_ITERATIONS, "ran out of time"),
    "Maximum_WallTime_Exceeded": (OUT_OF_ITERATIONS, "ran out of time"),
    "User_Requested_Stop": (STOPPED, "was stopped by the callback"),
    "Invalid_Number_Detected": (NOT_FINITE, "met a cost or slope that is not finite"),
    "Diverging_Iterates": (STALLED, "ran away: the cost may have no minimum"),
    "Search_Direction_Becomes_Too_Small": (STALLED, "could go no further"),
    "Restoration_Failed": (STALLED, "could go no further"),
    "Error_In_Step_Computation": (STALLED, "could go no further"),
}
# What CasADi says of any solver
OTHERS = {
    "SOLVER_RET_SUCCESS": CONVERGED,
    "SOLVER_RET_LIMITED": OUT_OF_ITERATIONS,
    "SOLVER_RET_NAN": NOT_FINITE,
    "SOLVER_RET_INFEASIBLE": INFEASIBLE,
}


def direct(
    problem: Problem,
    start: Any = None,
    max_iter: int = 500,
    tol: float = 1e-8,
    progress: bool = False,
    callback: Callable[[np.void], Any] | None = None,
    seed: int = 0,
    starts: int = 1,
    *,
    transcription: str = "multiple_shooting",
    degree: int = 3,
    points: str = "radau",
    solver: str = "ipopt",
    options: dict[str, Any] | None = None,
) -> Solution:
    """Solve the discrete problem as a nonlinear programme, by CasADi's solvers.

    Exact first and second derivatives, superlinear convergence, constraints as they stand: for
    few controls and up to some thousands of states. The controls are constant on the problem's
    own intervals; shooting takes the steps of its own scheme and has the same optima as all
    other methods.

    Parameters
    ----------
    problem : Problem
    start : array-like (N, c), Solution or None
        Where to begin, with the states of a sweep; None is zero controls.
    max_iter : int, default 500
        Most iterations; 0 prices the start.
    tol : float, default 1e-8
        Of IPOPT: the largest error in its scaled optimality conditions.
    progress : bool, default False
        Whether IPOPT prints its iterations.
    callback : callable, optional
        Called with every row of the history; stops the solve by returning True.
    seed : int, default 0
        Of everything random.
    starts : int, default 1
        How many starts to run: the given one, and 0.1 N(0, 1) seeded ones. The best is kept.
    transcription : str, default "multiple_shooting"
        - ``"multiple_shooting"``: the states at the nodes are unknowns, the steps are equations.
        - ``"shooting"``: the controls are the only unknowns.
        - ``"collocation"``: states are polynomials, a far better scheme than Euler's for a
          system in continuous time; the problem's own scheme then prices the control, and
          `Solution.resimulate` says what it earns.
    degree : int, default 3
        Of the polynomials of collocation.
    points : {"radau", "legendre"}, default "radau"
        Collocation points.
    solver : str, default "ipopt"
        Any of CasADi's that are installed, such as "sqpmethod"; ``tol``, ``max_iter`` and
        ``progress`` are IPOPT's, others take ``options``.
    options : dict, optional
        Of CasADi's ``nlpsol``, such as ``{"ipopt.mu_strategy": "adaptive"}``.

    Returns
    -------
    Solution
        The last iterate, also where it fails. Every row of the history is the control of an
        iteration, priced by a sweep; these sweeps are the only ones counted. What a solve takes
        before its first iteration is in ``seconds.compile``. ``annotations["costates"]`` has the
        programme's own multipliers of the dynamics as costates at t_1 to t_N, (N, M, d), where
        states are unknowns, and ``annotations["programme_cost"]`` its cost.

    Raises
    ------
    ValueError, TypeError
        For bad input, before any sweep.

    Notes
    -----
    Absolute values are sums of two parts that are at least 0, and norms of groups are minima of
    smooth functions, so that zeros come out near 0 only, as near as ``tol`` says: for exact ones
    start another method from here.

    References
    ----------
    J. Betts, Practical Methods for Optimal Control and Estimation Using Nonlinear Programming,
    2010; J. Andersson, J. Gillis, G. Horn, J. Rawlings, M. Diehl, CasADi: a software framework
    for nonlinear optimization and optimal control, Mathematical Programming Computation, 2019;
    A. Waechter, L. Biegler, On the implementation of an interior-point filter line-search
    algorithm for large-scale nonlinear programming, Mathematical Programming, 2006.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> solution = pmpnet.solve.direct(problem)
    >>> round(solution.cost, 10), solution.controls[0].round(6).tolist()
    (0.0833333333, [0.2, 0.266667])
    """
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    checks.convex_cost("direct", problem.penalty.convex, repr(problem.penalty))
    max_iter = checks.integer("max_iter", max_iter, 0)
    tol = checks.real("tol", tol, above=0.0)
    seed = checks.integer("seed", seed, 0)
    callback = checks.callback(callback)
    checks.choice("transcription", transcription, KINDS)
    degree = checks.size("degree", degree, 1)
    checks.choice("points", points, ("radau", "legendre"))
    told = _options(solver, options, max_iter, tol, checks.flag("progress", progress))
    begun = perf_counter()
    stated = Transcription(problem, transcription, degree, points)
    programme = _Programme(stated, solver, told)
    setup = perf_counter() - begun
    name = f"direct ({transcription.replace('_', ' ')})"

    def iterate(problem: Problem, v: np.ndarray, **how: Any) -> Solution:
        return _Run(programme, name, callback, setup).solution(v, **how)

    run = partial(leave_stationary, iterate=iterate, max_iter=max_iter, tol=tol, seed=seed)
    return best_start(problem, start, checks.integer("starts", starts, 1), seed, FEASIBLE, run)


def _options(
    solver: str, given: dict[str, Any] | None, max_iter: int, tol: float, progress: bool
) -> dict[str, Any]:
    """Return what CasADi's ``nlpsol`` is told."""
    import casadi

    checks.nlp_solver(solver, isinstance(solver, str) and casadi.has_nlpsol(solver))
    ours = {"print_time": False, "error_on_fail": False, "show_eval_warnings": False}
    if solver == "ipopt":
        ours |= {
            "ipopt.max_iter": max_iter,
            "ipopt.tol": tol,
            "ipopt.constr_viol_tol": tol,
            "ipopt.bound_relax_factor": RELAXED,
            "ipopt.print_level": 5 if progress else 0,
            "ipopt.sb": "yes",  # no banner
        }
    return ours | checks.solver_options(given, solver)


class _Programme:
    """The nonlinear programme with its solver.

    Attributes
    ----------
    look : callable
        Is shown the unknowns and the multipliers of every iteration; stops the solve by True.
    """

    def __init__(self, stated: Transcription, solver: str, options: dict[str, Any]) -> None:
        import casadi

        self.stated, self.name = stated, "IPOPT" if solver == "ipopt" else solver
        self.look: Callable[[np.ndarray, np.ndarray], bool]
        self.error: BaseException | None = None
        nlp = {"x": stated.unknowns.column, "f": stated.cost, "g": stated.rows.column}
        self.callback = self._callback(stated.unknowns.size, stated.rows.size)
        try:
            options = {**options, "iteration_callback": self.callback}
            self.solver = casadi.nlpsol("direct", solver, nlp, options)
        except RuntimeError as error:
            raise checks.nlp_refused(solver, str(error)) from None

    def _callback(self, unknowns: int, rows: int) -> Any:
        """Return what CasADi calls at every iteration."""
        import casadi

        programme, sizes = self, {"f": 1, "x": unknowns, "g": rows}
        sizes |= {"lam_x": unknowns, "lam_g": rows}

        class Look(casadi.Callback):
            def __init__(self) -> None:
                casadi.Callback.__init__(self)
                self.construct("look")

            def get_n_in(self) -> int:
                return casadi.nlpsol_n_out()

            def get_name_in(self, i: int) -> str:
                return casadi.nlpsol_out(i)

            def get_sparsity_in(self, i: int) -> Any:
                return casadi.Sparsity.dense(sizes.get(casadi.nlpsol_out(i), 0), 1)

            def eval(self, arguments: list) -> list[int]:
                told = dict(zip(casadi.nlpsol_out(), arguments, strict=True))
                try:
                    return [programme.look(*_told(told))]
                except BaseException as error:  # CasADi would lose it
                    programme.error = error
                    return [True]

        return Look()

    def solve(self, guess: np.ndarray, look: Callable) -> tuple[np.ndarray, np.ndarray, float]:
        """Return unknowns, multipliers and cost."""
        self.look, self.error = look, None
        (lbx, ubx), (lbg, ubg) = self.stated.unknowns.limits, self.stated.rows.limits
        found = self.solver(x0=guess, lbx=lbx, ubx=ubx, lbg=lbg, ubg=ubg)
        if self.error is not None:
            raise self.error
        return _told(found)

    def answer(self) -> tuple[int, str, int]:
        """Return status, the end of a sentence, and how many iterations there were."""
        told = self.solver.stats()
        status = told["return_status"]
        known = OTHERS.get(told["unified_return_status"], STALLED), f"says {status}"
        return *ANSWERS.get(status, known), int(told.get("iter_count", 0))


def _told(found: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return unknowns, multipliers and cost, of what CasADi's solvers tell."""
    return found["x"].full()[:, 0], found["lam_g"].full()[:, 0], float(found["f"])


class _Run:
    """A solve from one start: its history, its last control and its best one."""

    def __init__(
        self, programme: _Programme, method: str, callback: Callable | None, setup: float
    ) -> None:
        self.programme, self.stated = programme, programme.stated
        self.problem = programme.stated.problem
        self.method, self.callback, self.setup = method, callback, setup
        self.rows: list[np.void] = []
        self.sweeps, self.seen = 0, -1

    def solution(self, v: np.ndarray, *, max_iter: int, tol: float, seed: int) -> Solution:
        """Solve and price what was found."""
        problem, reduced = self.problem, Reduced(self.problem)
        decision = reduced.control(v), reduced.readouts(v), reduced.stretch(v)
        problem.sweeper.prepare(problem.samples, *decision[:2])
        self.begun = perf_counter()
        guess, none = self.stated.guess(*decision), np.zeros(self.stated.rows.size)
        self.best = self.last = _Iterate(self.stated, decision, none)
        if self._add() or not self.last.point.finite:
            status = STOPPED if self.last.point.finite else NOT_FINITE
            return self._solution(status, "stopped at its start.", 0)
        first = self.rows[0]["residual"]
        if max_iter == 0:
            return self._solution(OUT_OF_ITERATIONS, "the start is priced (max_iter=0).", 0)
        if not problem.constraints and self.stated.exact and first <= tol:
            told = f"converged after 0 iterations: residual {first:.3g} <= {tol:.3g}."
            return self._solution(CONVERGED, told, 0)
        try:
            self._take(*self.programme.solve(guess, self._look))
            status, answer, nit = self.programme.answer()
        except KeyboardInterrupt:
            status, answer, nit = INTERRUPTED, "was interrupted", max(self.seen, 0)
        if status == CONVERGED and not self.last.point.finite:
            status, answer = NOT_FINITE, "found states that no sweep reaches"
        told = f"{self.programme.name} {answer} after {nit} iterations: residual "
        if status == CONVERGED:
            self.best = self.last
        found = self._solution(status, told, nit)
        worst = max(self.best.worst.items(), key=lambda item: item[1], default=None)
        more = "" if worst is None else f"; largest violation {worst[1]:.2g} ({worst[0]})"
        if status not in (CONVERGED, STOPPED, INTERRUPTED) and self.best is not self.last:
            more += "; the best control on the way is returned"
        return replace(found, message=f"{told}{found.residual:.3g}{more}.")

    def _look(self, vector: np.ndarray, lam: np.ndarray, cost: float) -> bool:
        """Take an iterate of the solver; tell whether to stop."""
        self.seen += 1
        # the first is the start, moved into the inside of its bounds
        return self.seen > 0 and self._take(vector, lam, cost)

    def _take(self, vector: np.ndarray, lam: np.ndarray, cost: float) -> bool:
        """Price an iterate, keep it where it is good; tell whether to stop."""
        decision = self.stated.decision(vector)
        if self.seen > 0 and self.last.same(decision, lam):
            return False
        self.last = _Iterate(self.stated, decision, lam, cost)
        if self.last.rank < self.best.rank:
            self.best = self.last
        return self._add()

    def _add(self) -> bool:
        """Take the last iterate into the history; tell whether to stop."""
        self.sweeps += 1
        last, seconds = self.last, perf_counter() - self.begun
        row = last.point.price, last.gap, last.residual, np.nan, 2 * self.sweeps, seconds
        self.rows.append(np.array(row, dtype=HISTORY)[()])
        return self.callback is not None and bool(self.callback(self.rows[-1].copy()))

    def _solution(self, status: int, message: str, nit: int) -> Solution:
        """Give back the best iterate."""
        best, problem = self.best, self.problem
        u, readouts, stretch = best.decision
        annotations = {"programme_cost": best.cost, "costates": best.costates}
        return Solution(
            problem=problem,
            controls=u,
            readouts=readouts,
            stretch=stretch,
            lagrangian=best.multipliers,
            terms=best.point.terms,
            success=status == CONVERGED,
            status=status,
            message=message,
            nit=nit,
            nfev=self.sweeps,
            njev=self.sweeps,
            history=np.array(self.rows, dtype=HISTORY),
            gap=best.gap,
            residual=best.residual,
            violations={**best.worst, "controls": best.outside},
            seconds=Seconds(
                (problem.sweeper.compile_seconds or 0.0) + self.setup, perf_counter() - self.begun
            ),
            method=self.method,
            annotations={name: told for name, told in annotations.items() if told is not None},
        )


class _Iterate:
    """A control with the multipliers of its constraints, priced by a sweep."""

    def __init__(
        self,
        stated: Transcription,
        decision: tuple[np.ndarray, Readouts, float],
        lam: np.ndarray,
        cost: float | None = None,
    ) -> None:
        problem = stated.problem
        self.decision, self.lam, self.cost = decision, lam, cost
        self.multipliers = stated.multipliers(lam)
        self.costates = stated.costates(lam) if lam.any() else None
        reduced = Reduced(problem, multipliers=self.multipliers)
        self.v = reduced.join(*decision)
        self.point = point = reduced.evaluate(self.v)
        finite = point.finite
        self.gap = reduced.gap(self.v, point.g, point.sums) if finite else np.nan
        self.residual = reduced.residual(self.v, point.g) if finite else np.nan
        self.worst = violations(problem, *decision)
        self.outside = reduced.violation(self.v)

    @property
    def rank(self) -> tuple[float, float]:
        """Small for a good control: first what it violates, then its cost."""
        worst = max(self.worst.values(), default=0.0)
        ranks = worst if worst > FEASIBLE else 0.0, self.point.price
        return tuple(rank if np.isfinite(rank) else np.inf for rank in ranks)

    def same(self, decision: tuple[np.ndarray, Readouts, float], lam: np.ndarray) -> bool:
        """Tell whether this is it."""
        mine = self.decision[0], self.decision[2], self.lam
        return all(map(np.array_equal, mine, (decision[0], decision[2], lam)))
