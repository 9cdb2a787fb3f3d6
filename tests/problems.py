"""Problems that carry their answers, shared by the tests of methods."""

import numpy as np

from pmpnet import Problem, datasets, dynamics, losses, penalties

VARIANTS = ("accelerated", "proximal", "synchronous")


def translation(c=(0.3, 0.4), beta=1.0, **more):
    """Psi(x) = x + c with constant fields: u = c / (1 + beta/2) and J* below, exactly."""
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    more = {"control_cost": penalties.L2(beta), **more}
    return Problem(
        dynamics.LinearControl(2), x, x + np.asarray(c), terminal_cost=losses.Squared(), **more
    )


def translation_cost(c=(0.3, 0.4), beta=1.0):
    return beta / 2 / (1 + beta / 2) * float(np.dot(c, c))


# J* of the problem below, by field count and beta, from an independent NumPy prototype
DIFFEOMORPHISM = {(8, 1.0): 0.419844, (8, 0.1): 0.137561}


def diffeomorphism(fields=8, beta=1.0):
    """A diffeomorphism of the square by Gaussian fields (Scagliotti 2023)."""
    x, y = datasets.diffeomorphism_grid(30)
    system = dynamics.LinearControl(2, "gaussian", degree={4: 0, 8: 1}[fields], width=2.0)
    return Problem(
        system, x, y, terminal_cost=losses.Squared(), control_cost=penalties.L2(beta), steps=16
    )


def moons(seed=0, dim=2, steps=20, control_cost=None):
    """Two moons, standardised, lifted by zeros; the class is read off the first coordinate."""
    x, y = datasets.two_moons(1000, seed=seed)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return Problem(
        dynamics.Layer(dim),
        datasets.lift(x, dim),
        y,
        terminal_cost=losses.Logistic(readout=np.eye(dim)[:1]),
        control_cost=penalties.L2(1e-2) if control_cost is None else control_cost,
        steps=steps,
    )


def random_start(problem, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(problem.control_shape)


def sweeps_to(solution, best, part):
    """First cumulative sweeps with (J - best) / (J_0 - best) <= part; inf if never."""
    cost = solution.history["cost"]
    reached = (cost - best) / (cost[0] - best) <= part
    return solution.history["sweeps"][reached][0] if reached.any() else np.inf
