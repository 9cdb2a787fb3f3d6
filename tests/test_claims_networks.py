"""What papers claim of networks, and what is measured: depth, scaling, gauge, inverses, curvature.

Every claim is a function that measures it; ``python -m tests.test_claims_networks`` prints them
all, and `docs/CLAIMS.md` tells them.
"""

from functools import cache

import casadi
import numpy as np
import pytest
from scipy.special import logsumexp

import pmpnet.solve
from pmpnet import Problem, analysis, datasets, dynamics, losses, penalties, starts
from pmpnet.analysis.rates import rate

slow = pytest.mark.slow


def priced(problem, u):
    return pmpnet.solve.msa(problem, u, max_iter=0)


# ------------------------------------------- residual networks and neural ODEs, Sander et al. 2022

DEPTHS = (25, 50, 100, 200, 400)


def trained_linear(steps, start):
    """Plain gradient descent with rate N/2 on dJ/du until the loss is below 1e-10."""
    problem = Problem(
        dynamics.Layer(2, "identity", bias=False), np.eye(2), [[0.9, 0.5], [-0.6, 1.3]],
        terminal_cost=losses.Squared(0.5), steps=steps,
    )  # fmt: skip
    return pmpnet.solve.sgd(
        problem, start(problem.control_shape), momentum=0.0, learning_rate=steps / 2,
        max_iter=10_000, tol=0.0, callback=lambda row: row["cost"] < 1e-10,
    )  # fmt: skip


@cache
def smoothness_of_trained_weights():
    """N max |theta_{n+1} - theta_n| by depth: from zero, and from an independent start."""
    begun = {"zero": np.zeros, "independent": lambda shape: starts.independent(shape, seed=0)}
    return {
        name: [round(analysis.depth_smoothness(trained_linear(n, start)).jump, 6) for n in DEPTHS]
        for name, start in begun.items()
    }


def test_linear_residuals_have_an_implicit_limit_in_depth():
    found = smoothness_of_trained_weights()
    # of an independent program in NumPy
    expected = [0.13772, 0.13714, 0.13683, 0.13668, 0.13660]
    np.testing.assert_allclose(found["zero"], expected, atol=5e-6)
    # the limit is approached at rate 1/N
    left = np.array(found["zero"]) - (2 * found["zero"][-1] - found["zero"][-2])
    assert rate(DEPTHS[:-1], left[:-1]) == pytest.approx(-1.0, abs=0.1)
    # an independent start does not smooth: the differences stay those of the start
    assert rate(DEPTHS, found["independent"]) == pytest.approx(1.0, abs=0.2)


def curve(steps):
    """Weights of a tanh network, smooth in depth."""
    t = (np.arange(steps) + 0.5) / steps
    columns = np.cos(2 * t), -1 - t, 1 + np.sin(3 * t), 0.5 * t, np.full(steps, 0.2), -0.3 * t
    return np.stack(columns, axis=1)


def smooth_network(steps, scheme):
    x = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    told = dict(terminal_cost=losses.Squared(), scheme=scheme, steps=steps)
    return priced(Problem(dynamics.Layer(2), x, x[::-1], **told), curve(steps))


@cache
def rebuilding():
    """Slopes of the error of rebuilt states, and the gradient's error and cosine, by scheme."""
    depths, found = (16, 32, 64, 128, 256), {}
    for scheme in ("euler", "heun"):
        reports = [analysis.reversibility(smooth_network(n, scheme)) for n in depths]
        slope = rate(depths, [r.error for r in reports])
        found[scheme] = slope, reports[-1].gradient_error, reports[-1].cosine
    return found


def test_states_rebuilt_backwards_converge_and_even_orders_gain_one():
    found = rebuilding()
    assert found["euler"][0] == pytest.approx(-1.0, abs=0.05)
    assert found["heun"][0] == pytest.approx(-3.0, abs=0.05)
    assert found["euler"][1] < 3e-3
    assert found["heun"][1] < 1e-7
    assert min(cosine for *_, cosine in found.values()) > 0.99999


@cache
def depth_rates():
    """Rates of the distance between network and limit equation, by reading of the weights."""
    network = smooth_network(16, "euler")
    return {
        reading: analysis.depth_gap(network, interpolation=reading).rate
        for reading in ("constant", "linear")
    }


def test_networks_approach_their_limit_at_rate_one():
    for found in depth_rates().values():
        assert found == pytest.approx(-1.0, abs=0.05)


# ------------------------------------- scaling in depth, Marion et al. 2022, Cohen et al. 2021


def growth(steps, exponent, start, seeds, width=16):
    """Mean of |x_N - x_0|^2 / |x_0|^2 over starts, residuals scaled by N^-exponent."""
    system = dynamics.TwoLayer(width, width, "relu", bias=False, scale=steps ** (1 - exponent))
    x = np.random.default_rng(0).standard_normal((8, width))
    problem = Problem(system, x, terminal_cost=losses.Squared(), steps=steps)
    found = []
    for seed in range(seeds):
        last = problem.states(start(problem.control_shape, width**-0.5, seed=seed))[-1]
        found.append(((last - x) ** 2).sum() / (x**2).sum())
    return float(np.mean(found)), float(np.std(found) / np.sqrt(seeds))


def independent(shape, std, seed):
    return starts.independent(shape, std, law="uniform", seed=seed)


@cache
def growth_of_independent_starts():
    """E|x_N - x_0|^2 / |x_0|^2 and its standard error for exponents 1/2 and 1, N = 100."""
    return {s: growth(100, s, independent, 4000) for s in (0.5, 1.0)}


@slow
def test_independent_starts_need_residuals_of_order_depth_to_the_minus_one_half():
    """(1 + N^(-2s) / 2)^N - 1: at s = 1/2 the root of e less one, 1/(2N) at s = 1."""
    found = growth_of_independent_starts()
    assert found[0.5][0] == pytest.approx(np.exp(0.5) - 1, abs=0.01)
    assert found[1.0][0] == pytest.approx(1 / 200, rel=0.01)


@cache
def growth_by_depth():
    """The same at N = 50, 200, 800: independent at s = 1/4, 1/2, 1; smooth at 1; H = 0.7 at 0.7."""

    def fractional(shape, std, seed):
        return starts.fractional(shape, 0.7, std, seed=seed)

    cases = {
        "independent 1/4": (0.25, independent),
        "independent 1/2": (0.5, independent),
        "independent 1": (1.0, independent),
        "smooth 1": (1.0, starts.smooth),
        "Hurst 0.7 at 0.7": (0.7, fractional),
        "Hurst 0.7 at 1/2": (0.5, fractional),
    }
    return {
        name: [growth(n, s, start, 20, width=8)[0] for n in (50, 200, 800)]
        for name, (s, start) in cases.items()
    }


@slow
def test_correlated_starts_move_the_stable_exponent():
    found = {name: rate((50, 200, 800), values) for name, values in growth_by_depth().items()}
    assert growth_by_depth()["independent 1/4"][1] > 100  # explodes
    assert found["independent 1/2"] == pytest.approx(0.0, abs=0.15)
    assert found["independent 1"] == pytest.approx(-1.0, abs=0.15)
    assert found["smooth 1"] == pytest.approx(0.0, abs=0.15)  # where independent ones vanish
    # noise of Hurst exponent 0.7 is steady near 0.7, and grows where independent noise is steady
    assert abs(found["Hurst 0.7 at 0.7"]) < 0.3
    assert found["Hurst 0.7 at 1/2"] > 0.3


# ---------------------------------------------- degenerate parametrisations, Berner et al. 2019


@cache
def gauge():
    """How far balance and permutation move the flow (sup of values and Jacobians), and the cost."""
    system = dynamics.TwoLayer(2, 5, "relu")
    x = np.random.default_rng(0).standard_normal((40, 2))
    problem = Problem(
        system, x, terminal_cost=losses.Squared(), control_cost=penalties.L2(0.1), steps=8
    )
    found = priced(problem, starts.independent(problem.control_shape, seed=1))
    balanced, order = analysis.balance(found), [3, 1, 4, 0, 2]
    rows = []
    for row in found.controls:
        A, W, c, b = system.unpack(row).values()
        rows.append(system.pack(A=A[:, order], W=W[order], c=c[order], b=b))
    permuted = priced(problem, np.stack(rows))
    return {
        "balanced": analysis.flow_distance(found, balanced, norm="w1inf"),
        "permuted": analysis.flow_distance(found, permuted, norm="w1inf"),
        "cost before and after": (found.cost, balanced.cost),
    }


def test_other_weights_are_the_same_flow():
    found = gauge()
    assert found["balanced"] < 1e-12
    assert found["permuted"] < 1e-12
    before, after = found["cost before and after"]
    assert after < before


@cache
def inverse_stability():
    """Slopes of log(weight distance) against log(flow distance): degenerate target, and another.

    The flow x + a s(w x) is changed by eps in W^{1,inf}; the distance of weights is that to the
    nearest pair (a', w') whose flow is the target's: a' w' = 0, or 1.
    """
    system = dynamics.TwoLayer(1, 1, "relu", bias=False)
    problem = Problem(
        system, [[1.0], [-1.0], [0.5]], terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1.0), steps=1,
    )  # fmt: skip
    sizes, slopes = np.logspace(-4, -2, 5), {}
    for product in (0.0, 1.0):
        target = priced(problem, [[product, 1.0]])
        flows, weights = [], []
        for eps in sizes:
            found = analysis.balance(priced(problem, [[product + eps, 1.0]]))
            flows.append(analysis.flow_distance(found, target, norm="w1inf"))
            a, w = found.controls[0]
            nearby = np.linspace(0.0, 2.0, 400_001)[1:]  # of the pairs (a', product / a')
            away = np.hypot(nearby - a, product / nearby - w).min()
            weights.append(min(away, a))  # a' = 0 is such a pair where the product is 0
            assert product == 0 or away < a
        slopes[product] = rate(flows, weights)
    return slopes


def test_weights_are_stable_with_exponent_one_half_only():
    found = inverse_stability()
    assert found[0.0] == pytest.approx(0.5, abs=0.01)
    assert found[1.0] == pytest.approx(1.0, abs=0.05)


# ------------------------------------------------------ mean-field networks, Ding et al. 2021


@cache
def particle_error():
    """Root mean square distance from the mean-field flow by the number of particles, and its rate.

    With a = w standard normal, E[w relu(<w, x>)] = x / 2: the limit is x_N = (1 + h/2)^N x_0.
    """
    particles, steps = (16, 64, 256, 1024), 10
    x = np.random.default_rng(0).standard_normal((30, 2))
    limit, errors = (1 + 0.5 / steps) ** steps * x, []
    for K in particles:
        law = dynamics.Neurons(2, K, "relu")
        problem = Problem(law, x, terminal_cost=losses.Squared(), steps=steps)
        squares = []
        for seed in range(100):
            w = np.random.default_rng([K, seed]).standard_normal((steps, K, 2))
            u = np.stack([law.pack(a=layer, w=layer) for layer in w])
            squares.append(((problem.states(u)[-1] - limit) ** 2).sum(axis=1).mean())
        errors.append(float(np.sqrt(np.mean(squares))))
    return dict(zip(particles, errors, strict=True)), rate(particles, errors)


def test_particles_converge_with_exponent_one_half():
    assert particle_error()[1] == pytest.approx(-0.5, abs=0.05)


# --------------------------------------------- invertible residual networks, Behrmann et al. 2019


@cache
def inverse_and_volume():
    """Errors and bounds of the inverse and of the series, by iterations and terms n."""
    network = smooth_network(12, "euler")
    x = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    z, exact = network.flow(x), analysis.log_det(network, x)
    rows = {}
    for n in (1, 2, 4, 8, 16):
        inverted = analysis.inversion(network, z, tol=0.0, max_iter=n)
        series = analysis.log_det(network, x, "series", terms=n)
        rows[n] = (
            float(np.linalg.norm(inverted.points - x, axis=1).max()),
            inverted.bound,
            float(np.abs(series - exact).max()),
            analysis.series_bound(network, n),
        )
    return float(analysis.lipschitz(network).layers.max()), rows


def test_inverse_and_volume_keep_their_bounds():
    c, rows = inverse_and_volume()
    assert c < 0.5
    for error, bound, off, rest in rows.values():
        assert error <= bound
        assert off <= rest
    # both fall at least as fast as c^n
    n = np.array(list(rows))
    for column in (0, 2):
        errors = np.array([row[column] for row in rows.values()])
        assert (errors[-1] / errors[0]) ** (1 / (n[-1] - n[0])) < c


def test_one_layer_s_inverse_keeps_the_bound_of_before_it_began():
    """|z_n - z| <= c^n / (1 - c) |z_1 - z_0|, for one layer."""
    layer = dynamics.Layer(2)
    problem = Problem(layer, np.eye(2), terminal_cost=losses.Squared(), steps=1)
    network = priced(problem, layer.pack(W=[[0.5, -0.3], [0.4, 0.2]], b=[0.1, 0.3])[None])
    c = analysis.lipschitz(network).layers[0]
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    z = network.flow(x)
    first = np.linalg.norm(analysis.inversion(network, z, tol=0.0, max_iter=1).points - z, axis=1)
    for n in (1, 3, 10, 30):
        found = analysis.inversion(network, z, tol=0.0, max_iter=n).points
        error = np.linalg.norm(found - x, axis=1)
        assert np.all(error <= c**n / (1 - c) * first + 1e-15)


# --------------------------------- importance sampling along a flow (NEIS, Cao & Vanden-Eijnden)

MEANS, WIDTH, HIDDEN = np.array([[3.0, 1.0], [3.0, -1.0]]), 0.5, 8


def mixture(x):
    """Return the logarithm of the target's density at points."""
    squares = -((x[:, None] - MEANS) ** 2).sum(axis=2) / (2 * WIDTH**2)
    return logsumexp(squares, axis=1) - np.log(len(MEANS) * 2 * np.pi * WIDTH**2)


def transport():
    """Steer a standard normal to the mixture: the state is x and log|det|, the cost the entropy."""

    def f(t, state, u):
        A = casadi.reshape(u[: 2 * HIDDEN], 2, HIDDEN)
        W = casadi.reshape(u[2 * HIDDEN : 4 * HIDDEN], HIDDEN, 2)
        z = casadi.tanh(W @ state[:2] + u[4 * HIDDEN :])
        divergence = casadi.dot(1 - z**2, casadi.sum2(A.T * W))
        return [*casadi.vertsplit(A @ z), divergence]

    state = casadi.SX.sym("state", 3)
    squares = casadi.vertcat(
        *(-casadi.sumsqr(state[:2] - casadi.DM(m)) / (2 * WIDTH**2) for m in MEANS)
    )
    top = casadi.mmax(squares)
    density = top + casadi.log(casadi.sum1(casadi.exp(squares - top)))
    return Problem(
        dynamics.from_function(f, states=3, controls=5 * HIDDEN), normal(2000, 0),
        terminal_cost=losses.Symbolic(-density - state[2], state), scheme="rk4", steps=4,
        control_cost=penalties.L2(1e-2),
    )  # fmt: skip


def normal(count, seed):
    return np.c_[np.random.default_rng(seed).standard_normal((count, 2)), np.zeros(count)]


@cache
def importance_sampling():
    """Variance of the estimator of int exp(mixture) = 1: vanilla exactly, and along the flow."""
    problem = transport()
    begun = starts.smooth(problem.control_shape, 0.7, length=1.0, seed=0)
    found = pmpnet.solve.lbfgs(problem, begun, max_iter=60)
    y = normal(100_000, 1)
    base = -(y[:, :2] ** 2).sum(axis=1) / 2 - np.log(2 * np.pi)
    # the exact determinant of the discrete flow: the estimator is without bias at any step size
    weights = np.exp(mixture(found.flow(y)[:, :2]) + analysis.log_det(found, y) - base)
    return vanilla_variance(), float(weights.mean()), float(weights.var())


def vanilla_variance():
    """int mixture^2 / normal - 1, of products of Gaussians.

    With q = 2/s^2 - 1 and m the sum of two means over s^2, int exp(-q |x|^2 / 2 + <m, x>) dx =
    2 pi / q exp(|m|^2 / (2 q)).
    """
    q, total = 2 / WIDTH**2 - 1, 0.0
    for a in MEANS:
        for b in MEANS:
            m = (a + b) / WIDTH**2
            rest = (m @ m / q - (a @ a + b @ b) / WIDTH**2) / 2
            total += 2 * np.pi / q * np.exp(rest)
    return total * 2 * np.pi / (len(MEANS) * 2 * np.pi * WIDTH**2) ** 2 - 1


@slow
def test_a_flow_lowers_the_variance_of_importance_sampling_by_orders_of_magnitude():
    vanilla, mean, along = importance_sampling()
    drawn = normal(1_000_000, 2)[:, :2]
    weights = np.exp(mixture(drawn) + (drawn**2).sum(axis=1) / 2 + np.log(2 * np.pi))
    assert weights.var() == pytest.approx(vanilla, rel=0.5)  # heavy tails
    assert mean == pytest.approx(1.0, abs=4 * np.sqrt(along / 100_000))
    assert along < vanilla / 100


# ------------------------------------------- implicit networks (JFB, Wu Fung et al. 2022)


@cache
def truncated_gradients():
    """Least cosine of truncated and true gradient over 100 draws, by the contraction's constant."""
    x, u, b = (casadi.SX.sym(name, n) for name, n in (("x", 2), ("u", 6), ("b", 2)))
    W = casadi.reshape(u[:4], 2, 2).T
    system = dynamics.Symbolic(x, u, casadi.tanh(W @ x + u[4:] + b) - x, parameters=b)
    rng = np.random.default_rng(0)
    problem = Problem(
        system, np.zeros((20, 2)), rng.uniform(-1, 1, (20, 2)), horizon=200.0, steps=200,
        parameters=rng.standard_normal((20, 2)), terminal_cost=losses.Squared(),
    )  # fmt: skip
    found = {}
    for constant in (0.3, 0.6, 0.9):
        cosines = []
        for _ in range(100):
            W = rng.standard_normal((2, 2))
            W *= constant / np.linalg.norm(W, 2)
            row = np.append(W.ravel(), 0.5 * rng.standard_normal(2))
            shared = priced(problem, np.tile(row, (200, 1)))
            cosines.append(analysis.truncated_costates(shared).cosine)
        found[constant] = min(cosines)
    return found


@slow
def test_truncated_costates_of_contractions_point_the_right_way():
    found = list(truncated_gradients().values())
    assert min(found) > 0
    assert found == sorted(found)[::-1]  # the weaker the contraction, the less so


# ----------------------------------------- edge of stability, Cohen et al. 2021, Arora et al. 2022


def moons(steps=10):
    x, y = datasets.two_moons(100, noise=0.1, seed=0)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    loss = losses.Squared(0.5, readout=[[1.0, 0.0]])
    y = np.where(y > 0, 1.0, -1.0)
    return Problem(dynamics.Layer(2), x, y, terminal_cost=loss, steps=steps, horizon=4.0)


@cache
def edge_of_stability():
    """Cost and sharpness times step along gradient descent, by step: after 0, 500, .. 4000."""
    problem = moons()
    hessian, found = analysis.Hessian(problem), {}
    for step in (0.4, 1.4, 1.6):
        u, rows = starts.independent(problem.control_shape, 0.1, seed=0), []
        for i in range(4001):
            if i % 500 == 0:
                rows.append((problem.cost(u), step * hessian.largest(u)[0]))
            u = u - step * problem.gradient(u)
        found[step] = np.array(rows)
    return found


def test_sharpness_hovers_at_two_over_the_step():
    found = edge_of_stability()
    for step in (1.4, 1.6):
        cost, sharpness = found[step].T
        assert np.all(np.abs(sharpness[1:] - 2) < 0.05)
        assert np.all(np.diff(cost[1:]) < 0)  # and the cost keeps falling
    # a step too small for that follows the gradient flow, and is stable
    assert np.all(found[0.4][:, 1] < 1.9)


@cache
def distance_from_gradient_flow():
    """Largest distance of gradient descent from the gradient flow up to time 20, by step."""
    problem = moons()
    begun = starts.independent(problem.control_shape, 0.1, seed=0)

    def path(step, every):
        u, seen = begun, [begun]
        for i in range(1, round(20 / step) + 1):
            u = u - step * problem.gradient(u)
            if i % every == 0:
                seen.append(u)
        return np.array(seen)

    fine = path(0.001, 200)
    steps = (0.2, 0.1, 0.05, 0.025)
    off = [float(np.abs(path(s, round(0.2 / s)) - fine).max()) for s in steps]
    return dict(zip(steps, off, strict=True)), rate(steps, off)


@slow
def test_gradient_descent_follows_the_gradient_flow():
    assert distance_from_gradient_flow()[1] == pytest.approx(1.0, abs=0.15)


# --------------------------------------------------------- lazy training, Chizat et al. 2019


@cache
def laziness_by_scale():
    """Laziness after 30 steps of gradient flow on outputs times a scale, by scale, and its rate."""
    x = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    goal = np.c_[np.sin(2 * x[:, 0]), x[:, 1] ** 2]
    network = Problem(dynamics.Layer(2), x, terminal_cost=losses.Squared(), steps=10)
    start, scales = curve(10), (8, 16, 32, 64, 128)
    first, found = network.states(start)[-1], []
    for scale in scales:
        # |scale (Phi_u - Phi_{u_0}) - goal|^2 / scale^2
        loss = losses.Squared(1 / scale**2, readout=scale * np.eye(2))
        problem = network.replace(targets=scale * first + goal, terminal_cost=loss)
        trained = pmpnet.solve.gradient_flow(problem, start, max_iter=30, tol=0.0)
        assert trained.cost < 0.8 * problem.cost(start)
        found.append(analysis.laziness(trained, start))
    return dict(zip(scales, found, strict=True)), rate(scales, found)


def test_laziness_is_of_order_one_over_the_scale():
    assert laziness_by_scale()[1] == pytest.approx(-1.0, abs=0.05)


CLAIMS = (
    smoothness_of_trained_weights, rebuilding, depth_rates, growth_of_independent_starts,
    growth_by_depth, gauge, inverse_stability, particle_error, inverse_and_volume,
    importance_sampling, truncated_gradients, edge_of_stability, distance_from_gradient_flow,
    laziness_by_scale,
)  # fmt: skip

if __name__ == "__main__":
    np.set_printoptions(precision=4, suppress=True)
    for claim in CLAIMS:
        print(f"{claim.__name__}: {claim.__doc__.splitlines()[0]}\n{claim()}\n", flush=True)
