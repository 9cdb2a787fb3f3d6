"""Schemes: their tableaux, the order they reach, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pmpnet.schemes import EULER, HEUN, MIDPOINT, NAMED, RK4, Scheme, scheme

RALSTON = Scheme("ralston", [[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], order=2)
KUTTA3 = Scheme("kutta3", [[0, 0, 0], [0.5, 0, 0], [-1, 2, 0]], [1 / 6, 2 / 3, 1 / 6], order=3)
ALL = [EULER, HEUN, MIDPOINT, RK4, RALSTON, KUTTA3]


def integrate(s, f, x, t0, t1, steps):
    """Take the steps of an explicit tableau, as textbooks write them."""
    h = (t1 - t0) / steps
    for n in range(steps):
        slopes = []
        for i in range(s.stages):
            stage = x + h * sum(s.A[i, j] * slopes[j] for j in range(i))
            slopes.append(f(t0 + (n + s.c[i]) * h, stage))
        x = x + h * sum(b * k for b, k in zip(s.b, slopes, strict=True))
    return x


# x' depends on time alone, on the state alone, on both; with x(0) = 1 and the solution at t
EQUATIONS = {
    "quadrature": (lambda t, x: np.cos(3 * t), lambda t: 1 + np.sin(3 * t) / 3),
    "autonomous": (lambda t, x: -(x**2), lambda t: 1 / (1 + t)),
    "both": (lambda t, x: -2 * t * x**2, lambda t: 1 / (1 + t**2)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("s", ALL, ids=repr)
def test_order_is_what_it_says(s, equation):
    f, solution = EQUATIONS[equation]
    steps = np.array([40, 80, 160])
    errors = [abs(integrate(s, f, 1.0, 0.0, 1.3, n) - solution(1.3)) for n in steps]
    measured = np.log2(np.divide(errors[:-1], errors[1:]))
    # a quadrature may be better than the scheme, never worse
    assert measured.min() > s.order - 0.15
    if equation == "both":
        assert measured[-1] == pytest.approx(s.order, abs=0.15)


def by_states(s, f, x, h):
    """Take a step as the sweep takes it."""
    A, _, b, stage, at = s.by_states
    X = [x]
    for i in range(1, len(b)):
        slope = f(s.c[stage[i]] * h, X[at[i]]) if at[i] >= 0 else 0.0
        X.append(sum(A[i, j] * X[j] for j in range(i)) + b[i] * h * slope)
    return X[-1]


FEW = st.sampled_from([0.0, 0.0, 0.5, -0.25, 1.0, 1e-9])


@st.composite
def tableaux(draw):
    """Tableaux with many zeros: of stages that nobody reads, or that only a later one does much."""
    s = draw(st.integers(1, 5))
    A = np.tril(draw(arrays(float, (s, s), elements=FEW)), -1)
    b = draw(arrays(float, s, elements=FEW))
    b[draw(st.integers(0, s - 1))] += 1.0 - b.sum()
    return Scheme("drawn", A, b, order=1)


@given(st.sampled_from(ALL) | tableaux(), st.floats(0.01, 1.0))
def test_the_states_take_the_step_of_the_tableau(s, h):
    def f(t, x):
        return np.cos(x + t) - np.array([0.3, -1.0]) * x

    x = np.array([0.4, -1.3])
    stepped = integrate(s, f, x, 0.0, h, 1)
    np.testing.assert_allclose(by_states(s, f, x, h), stepped, rtol=0, atol=1e-13)
    A, whole, *_ = s.by_states
    np.testing.assert_allclose((A @ whole)[1:], whole[1:], rtol=0, atol=1e-13)


def test_states_need_no_more_passes_than_stages():
    for s in ALL:
        _, whole, b, stage, at = s.by_states
        assert (whole == 1).all()
        assert len(b) == s.stages + 1
        assert (np.sort(stage[1:]) == np.arange(s.stages)).all()
        assert (at[1:] == np.arange(s.stages)).all()
    assert (np.count_nonzero(RK4.by_states.A, axis=1) == [0, 1, 1, 1, 4]).all()


@pytest.mark.parametrize("s", ALL, ids=repr)
def test_order_conditions(s):
    A, b, c = s.A, s.b, s.c
    conditions = {  # Butcher's, one per rooted tree
        1: [(b.sum(), 1)],
        2: [(b @ c, 1 / 2)],
        3: [(b @ c**2, 1 / 3), (b @ A @ c, 1 / 6)],
        4: [
            (b @ c**3, 1 / 4),
            ((b * c) @ A @ c, 1 / 8),
            (b @ A @ c**2, 1 / 12),
            (b @ A @ A @ c, 1 / 24),
        ],
        5: [(b @ c**4, 1 / 5)],
    }
    for order in range(1, s.order + 1):
        for value, wanted in conditions[order]:
            assert value == pytest.approx(wanted, abs=1e-15)
    assert any(abs(value - wanted) > 1e-3 for value, wanted in conditions[s.order + 1])


def test_names():
    assert list(NAMED) == ["euler", "heun", "midpoint", "rk4"]
    for name, found in NAMED.items():
        assert scheme(name) is found
        assert found.name == name
    assert [s.stages for s in NAMED.values()] == [1, 2, 2, 4]
    assert [s.order for s in NAMED.values()] == [1, 2, 2, 4]
    assert scheme(RALSTON) is RALSTON
    assert repr(HEUN) == "Scheme('heun', stages=2, order=2)"


@pytest.mark.parametrize("given", ["nope", "Euler", "", None, 4, np.zeros((2, 2)), ["euler"]])
def test_unknown_names_are_refused_with_the_known_ones(given):
    with pytest.raises(ValueError, match=r"scheme=.*'euler', 'heun', 'midpoint', 'rk4'.*Scheme"):
        scheme(given)


@pytest.mark.parametrize(
    ("A", "b", "error", "words"),
    [
        ([[0.5]], [1.0], ValueError, "implicit"),
        ([[0, 0.1], [1, 0]], [0.5, 0.5], ValueError, "implicit"),
        ([[0, 0], [1, 0]], [0.5, 0.4], ValueError, "sum to 0.9"),
        ([[0, 0], [1, 0]], [1.0], ValueError, r"\(s, s\)"),
        ([[0, 0]], [1.0], ValueError, r"\(s, s\)"),
        (np.zeros((0, 0)), [], ValueError, r"\(s, s\)"),
        ([0.0], [1.0], ValueError, "shape"),
        ([[0.0]], [[1.0]], ValueError, "shape"),
        ([[0, 0], [1]], [0.5, 0.5], ValueError, "different lengths"),
        ([[0, 0], [np.nan, 0]], [0.5, 0.5], ValueError, "not finite"),
        ([[0, 0], [1j, 0]], [0.5, 0.5], TypeError, "complex"),
        ("euler", [1.0], TypeError, "not numbers"),
    ],
)
def test_bad_tableaux_are_refused(A, b, error, words):
    with pytest.raises(error, match=words):
        Scheme("mine", A, b, order=1)


def test_schemes_are_equal_when_their_steps_are():
    again = Scheme("another name", [[0, 0], [1, 0]], [0.5, 0.5], order=2)
    assert again == HEUN
    assert hash(again) == hash(HEUN)
    assert len({again, *ALL}) == len(ALL)
    for i, a in enumerate(ALL):
        assert a not in ALL[:i]
    assert HEUN != "heun"
    negative_zero = Scheme("heun", [[-0.0, 0], [1, -0.0]], [0.5, 0.5], order=2)
    assert negative_zero == HEUN
    assert hash(negative_zero) == hash(HEUN)
    negative_zero = Scheme("midpoint", [[0, 0], [0.5, 0]], [-0.0, 1.0], order=2)
    assert negative_zero == MIDPOINT
    assert hash(negative_zero) == hash(MIDPOINT)


def test_a_scheme_is_fixed_and_keeps_no_hold_of_its_arguments():
    A, b = np.array([[0.0, 0.0], [0.5, 0.0]]), np.array([0.0, 1.0])
    s = Scheme("mine", A, b, order=2)
    A[1, 0] = b[0] = 7.0
    assert s == MIDPOINT
    with pytest.raises(ValueError, match="read-only"):
        s.A[1, 0] = 3.0
    with pytest.raises(ValueError, match="read-only"):
        s.b[0] = 3.0
    with pytest.raises(AttributeError):
        s.name = "other"
