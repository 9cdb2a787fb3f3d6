"""Figures: each draws what it says, into the axes it is given, and refuses with a sentence."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties, plot

from .problems import translation

TIMES = np.array([0.0, 0.05, 0.1, 0.3, 0.6, 0.7, 1.0])
ROTATION = np.linalg.qr(np.random.default_rng(9).normal(size=(3, 3)))[0]


@pytest.fixture(autouse=True)
def _closed():
    settings = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == settings
    plt.close("all")


def blobs(dim=2, classes=2, count=60, plane=None, **more):
    """Points in two coordinates; their sector is their class."""
    x = np.random.default_rng(0).normal(size=(count, 2))
    y = ((np.arctan2(x[:, 1], x[:, 0]) / np.pi + 1) / 2 * classes * 0.999).astype(int)
    states = np.c_[x, np.zeros((count, max(dim - 2, 0)))] if plane is None else x @ plane
    loss = (
        losses.Logistic(readout=np.eye(1, dim))
        if classes == 2
        else losses.CrossEntropy(
            classes, readout="train", readout_cost=more.pop("readout_cost", penalties.L2(1e-3))
        )
    )
    more = dict(control_cost=penalties.ElasticNet(5e-2, 1e-2), times=TIMES) | more
    return Problem(dynamics.Layer(dim), states, y, terminal_cost=loss, **more)


def solved(problem, max_iter=12, **options):
    start = 0.3 * np.random.default_rng(1).normal(size=problem.control_shape)
    return pmpnet.solve.msa(problem, start, max_iter=max_iter, **options)


@pytest.fixture(scope="module")
def moons():
    return solved(blobs())


@pytest.fixture(scope="module")
def steered():
    """A regression in the plane: targets are states."""
    x = np.random.default_rng(2).uniform(-1, 1, (40, 2))
    problem = Problem(
        dynamics.LinearControl(2, "gaussian", degree=1, width=2.0),
        x,
        x @ [[0.8, 0.3], [-0.3, 0.8]],
        terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1e-2),
        steps=8,
    )
    return solved(problem)


@pytest.fixture(scope="module")
def scalar():
    x = np.linspace(-1, 1, 15)[:, None]
    problem = Problem(
        dynamics.Layer(1),
        x,
        np.tanh(3 * x),
        terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1e-2),
        times=TIMES,
    )
    return solved(problem)


def of(ax, kind):
    return [c for c in ax.collections if isinstance(c, kind)]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ------------------------------------------------------------------------ what all have in common


@pytest.mark.parametrize(
    "draw",
    [
        plot.convergence,
        plot.compare,
        plot.controls,
        plot.trajectories,
        plot.flow,
        plot.decision_boundary,
        plot.hamiltonian,
    ],
)
@pytest.mark.parametrize("place", ["none", "subplot", "free"])
def test_every_figure_is_drawn_where_it_is_asked_for(draw, place, moons):
    given = None
    if place == "subplot":
        given = plt.subplots(2, 2)[1][1, 0]
    elif place == "free":
        given = plt.figure().add_axes((0.1, 0.1, 0.8, 0.8))
    figures = plt.get_fignums()
    ax = draw(moons, ax=given)
    if given is None:
        assert len(plt.get_fignums()) == len(figures) + 1
    else:
        assert ax is given
        assert plt.get_fignums() == figures
    assert ax.get_ylabel() or ax.get_yticklabels()
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    "draw",
    [plot.convergence, plot.compare, plot.trajectories, plot.flow, plot.decision_boundary],
)
def test_only_solutions_are_drawn(draw, moons):
    with pytest.raises(TypeError, match=r"solution is .*: write what a method of pmpnet\.solve"):
        draw(moons.problem)
    with pytest.raises(TypeError, match="ax is 3: write axes of matplotlib"):
        draw(moons, ax=3)
    assert not plt.get_fignums()


# ------------------------------------------------------------------------------------ convergence


@pytest.mark.parametrize("against", ["sweeps", "seconds", "iterations"])
@pytest.mark.parametrize("quantity", ["cost", "gap", "residual"])
def test_convergence_draws_the_history(quantity, against, moons):
    (line,) = plot.convergence(moons, quantity=quantity, against=against).lines
    x, y = line.get_data()
    history = moons.history
    np.testing.assert_array_equal(
        x, np.arange(len(history)) if against == "iterations" else history[against]
    )
    lowest = history["cost"].min() if quantity == "cost" else 0.0
    np.testing.assert_array_equal(y, history[quantity] - lowest)
    assert line.axes.get_yscale() == "log"
    assert line.axes.get_xlim()[0] == 0
    assert line.axes.get_legend() is None
    assert ("best cost" in line.axes.get_ylabel()) == (quantity == "cost")


def test_convergence_measures_all_solutions_from_one_best_cost(moons):
    adam = pmpnet.solve.adam(moons.problem, max_iter=9, learning_rate=0.05)
    ax = plot.convergence([moons, adam, adam])
    assert labels(ax) == [moons.method, "adam, run 1", "adam, run 2"]
    best = min(moons.cost, adam.cost)
    for line, s in zip(ax.lines, [moons, adam, adam], strict=True):
        np.testing.assert_allclose(line.get_ydata(), s.history["cost"] - best, atol=1e-15)
    assert len({line.get_color() for line in ax.lines}) == 3
    assert labels(plot.convergence({"ours": moons, 2: adam})) == ["ours", "2"]


def test_convergence_into_axes_with_lines(moons):
    ax = plot.convergence({"one": moons}, best=0.0)
    plot.convergence({"two": moons}, best=0.0, ax=ax)
    assert labels(ax) == ["one", "two"]
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    with pytest.raises(ValueError, match="these axes already show"):
        plot.convergence(moons, best=-1.0, ax=ax)
    with pytest.raises(ValueError, match="these axes already show"):
        plot.convergence(moons, quantity="gap", ax=ax)


def test_convergence_of_many_solutions_tells_them_apart(moons):
    ax = plot.convergence([moons] * 16)
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 16


def test_convergence_of_a_priced_start_is_a_dot(moons):
    ax = plot.convergence(pmpnet.solve.msa(moons.problem, max_iter=0))
    assert ax.lines[0].get_marker() == "o"
    assert ax.get_yscale() == "linear"  # J - J* = 0 has no logarithm
    ax.figure.canvas.draw()


def test_convergence_of_a_diverging_solve():
    problem = blobs(control_cost=penalties.L2(1e-4))
    wild = solved(problem, 40, variant="basic")
    assert not wild.success
    plot.convergence([wild, solved(problem)]).figure.canvas.draw()


def test_convergence_names_epochs(moons):
    epochs = pmpnet.solve.adam(moons.problem, max_iter=20, batch_size=20)
    assert "epochs" in plot.convergence(epochs, against="iterations").get_xlabel()
    assert plot.convergence(moons, against="iterations").get_xlabel() == "iterations"


def test_convergence_refuses_what_it_cannot_draw(moons):
    with pytest.raises(ValueError, match="solutions is empty"):
        plot.convergence([])
    with pytest.raises(ValueError, match="solutions is empty"):
        plot.convergence({})
    with pytest.raises(ValueError, match="quantity='loss' is not known: write one of 'cost'"):
        plot.convergence(moons, quantity="loss")
    with pytest.raises(ValueError, match="against='hours' is not known"):
        plot.convergence(moons, against="hours")
    with pytest.raises(ValueError, match=r"best=1e\+30 is above .*, the lowest cost"):
        plot.convergence(moons, best=1e30)
    with pytest.raises(TypeError, match="best='low' is not a real number"):
        plot.convergence(moons, best="low")
    with pytest.raises(ValueError, match="no history has a finite gap: the Hamiltonian has no max"):
        plot.convergence(solved(blobs(control_cost=penalties.L1(1e-3))), quantity="gap")


# ---------------------------------------------------------------------------------------- compare


def test_compare_draws_cost_above_the_best_against_both_clocks(moons):
    adam = pmpnet.solve.adam(moons.problem, max_iter=9, learning_rate=0.05)
    runs = {"ours": moons, "theirs": adam}
    left = plot.compare(runs)
    right = left.figure.axes[1]
    best = min(s.history["cost"].min() for s in runs.values())
    for panel, clock in ((left, "sweeps"), (right, "seconds")):
        assert (panel.get_xlabel(), panel.get_xscale(), panel.get_yscale()) == (clock, "log", "log")
        for line, s in zip(panel.lines, runs.values(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), s.history[clock])
            np.testing.assert_allclose(line.get_ydata(), s.history["cost"] - best, atol=1e-15)
            shown = panel.get_xlim()
            assert shown[0] < s.history[clock][0] < s.history[clock][-1] < shown[1]
    assert left.get_ylim() == right.get_ylim()
    assert left.get_legend() is None
    assert labels(right) == ["ours", "theirs"]


@pytest.mark.parametrize("place", ["none", "subplot", "free"])
def test_the_legend_of_a_comparison_hides_nothing(place, moons):
    figure = plt.figure(figsize=(9, 4))
    given = {
        "none": lambda: None,
        "subplot": lambda: figure.add_subplot(),
        "free": lambda: figure.add_axes((0.1, 0.15, 0.8, 0.8)),
    }[place]()
    left = plot.compare({"ours, the first one": moons, "ours, the second one": moons}, ax=given)
    left.figure.canvas.draw()
    right = left.figure.axes[1]
    legend = right.get_legend().get_window_extent()
    for panel in (left, right):
        assert not legend.overlaps(panel.get_window_extent().shrunk(0.99, 0.99))
    assert legend.x1 <= left.figure.bbox.x1
    assert left.get_window_extent().x1 < right.get_window_extent().x0


def test_compare_of_one_solution_and_of_rounding(moons):
    left = plot.compare(moons)
    assert left.figure.axes[1].get_legend() is None
    problem = translation()
    left = plot.compare([pmpnet.solve.msa(problem), pmpnet.solve.lbfgs(problem)])
    low, high = left.get_ylim()
    assert low >= 1e-14 * high


# --------------------------------------------------------------------------------------- controls


def test_controls_shows_every_entry_at_its_times_and_masks_zeros(moons):
    u = moons.controls
    assert 0 < (u == 0).sum() < u.size  # or the test says nothing
    ax = plot.controls(moons)
    (mesh,) = of(ax, QuadMesh)
    drawn = mesh.get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(drawn), u.T == 0)
    np.testing.assert_array_equal(drawn.filled(0.0), u.T)
    np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], TIMES)
    assert mesh.norm.vmin == -mesh.norm.vmax == -np.abs(u).max()
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["$W_{11}$", "$W_{12}$", "$W_{21}$", "$W_{22}$", "$b_{1}$", "$b_{2}$"]
    assert ax.get_ylim() == (5.5, -0.5)
    assert labels(ax) == [f"exactly zero ({100 * np.mean(u == 0):.0f} %)"]


def test_controls_hatches_zeros_so_that_a_pixel_shows_it():
    ax = plot.controls([[1.0, 0.0], [1e-9, -1.0]])
    ax.figure.canvas.draw()
    image = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].astype(int)

    def region(k, i):
        corners = ax.transData.transform([(k + 0.1, i - 0.4), (k + 0.9, i + 0.4)]).astype(int)
        (left, low), (right, high) = corners.min(axis=0), corners.max(axis=0)
        return image[len(image) - high : len(image) - low, left:right].reshape(-1, 3)

    assert np.ptp(region(0, 1), axis=0).max() > 30  # hatched
    assert np.ptp(region(1, 0), axis=0).max() < 5  # nearly zero is plain
    assert region(1, 0).min() > 240


def test_controls_without_zeros_has_no_legend():
    ax = plot.controls(np.ones((4, 3)))
    assert ax.get_legend() is None
    assert ax.get_xlabel() == "layer"
    assert ax.get_ylabel() == "entry of $u$ (from 0)"


def test_controls_of_nothing_but_zeros():
    ax = plot.controls(np.zeros((4, 3)), times=[0, 1, 3, 4, 9])
    assert labels(ax) == ["exactly zero (100 %)"]
    assert ax.get_xlim() == (0, 9)
    ax.figure.canvas.draw()


def test_controls_names_a_layer_without_bias_and_a_large_one():
    bare = Problem(
        dynamics.Layer(2, bias=False), np.ones((3, 2)), control_cost=penalties.L2(1.0), steps=3
    )
    ax = plot.controls(pmpnet.solve.msa(bare, np.ones((3, 4)), max_iter=0))
    assert len(ax.get_yticklabels()) == 4
    wide = Problem(dynamics.Layer(6), np.ones((3, 6)), control_cost=penalties.L2(1.0), steps=3)
    ax = plot.controls(pmpnet.solve.msa(wide, np.ones((3, 42)), max_iter=0))
    assert ax.get_ylabel() == "entry of $u$ (from 0)"


def test_controls_refuses_what_it_cannot_draw(moons):
    with pytest.raises(ValueError, match="controls has shape"):
        plot.controls(np.ones(3))
    with pytest.raises(TypeError, match="controls is made of"):
        plot.controls([["a"]])
    with pytest.raises(ValueError, match="not finite"):
        plot.controls([[np.nan]])
    with pytest.raises(ValueError, match="controls is empty"):
        plot.controls(np.empty((3, 0)))
    with pytest.raises(ValueError, match="times has 3 entries for 3 rows of controls: give the 4"):
        plot.controls(np.ones((3, 2)), times=[0, 1, 2])
    with pytest.raises(ValueError, match="times must increase"):
        plot.controls(np.ones((2, 2)), times=[0, 2, 1])
    with pytest.raises(ValueError, match="times= belongs to an array"):
        plot.controls(moons, times=TIMES)


# ----------------------------------------------------------------------------------- trajectories


def test_trajectories_are_the_states(moons):
    ax = plot.trajectories(moons)
    (lines,) = of(ax, LineCollection)
    paths = np.array(lines.get_segments())
    np.testing.assert_array_equal(paths, moons.states().transpose(1, 0, 2))
    assert len(np.unique(lines.get_colors(), axis=0)) == 2
    assert labels(ax) == ["class 0", "class 1", "start", "end"]
    assert ax.get_aspect() == 1
    start, end = ax.collections[1:3]
    np.testing.assert_array_equal(start.get_offsets(), paths[:, 0])
    np.testing.assert_array_equal(end.get_offsets(), paths[:, -1])


def test_trajectories_of_some_samples_and_components():
    s = solved(blobs(dim=3, classes=3))
    ax = plot.trajectories(s, components=(2, 0), limit=7)
    paths = np.array(of(ax, LineCollection)[0].get_segments())
    assert len(paths) == 7
    every = s.states().transpose(1, 0, 2)[:, :, [2, 0]]
    assert all((path == every).all(axis=(1, 2)).any() for path in paths)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x_{3}$", "$x_{1}$")
    ax = plot.trajectories(s, components=1, limit=5)
    assert ax.get_xlabel() == "time $t$"
    np.testing.assert_array_equal(of(ax, LineCollection)[0].get_segments()[0][:, 0], TIMES)


def test_trajectories_of_new_points(moons):
    x = np.array([[2.0, 0.5], [-2.0, 0.5], [0.0, 1.0]])
    ax = plot.trajectories(moons, x)
    assert len(of(ax, LineCollection)[0].get_segments()) == 3
    assert all(name.startswith("predicted") for name in labels(ax)[:-2])
    assert labels(ax)[-2:] == ["start", "end"]


def test_trajectories_show_targets_that_are_states(steered):
    ax = plot.trajectories(steered, limit=11)
    paths, missed = of(ax, LineCollection)
    chosen = np.array(paths.get_segments())
    ends = np.array(missed.get_segments())
    np.testing.assert_array_equal(ends[:, 0], chosen[:, -1])
    x, y = steered.problem.initial_states, steered.problem.targets
    target = {tuple(start): there for start, there in zip(x, y, strict=True)}
    np.testing.assert_array_equal(ends[:, 1], [target[tuple(path[0])] for path in chosen])
    assert labels(ax) == ["start", "end", "target"]
    assert labels(plot.trajectories(steered, np.zeros((1, 2)))) == ["start", "end"]


def test_trajectories_in_dimension_one_are_drawn_against_time(scalar):
    ax = plot.trajectories(scalar)
    paths = np.array(of(ax, LineCollection)[0].get_segments())
    np.testing.assert_array_equal(paths[..., 1], scalar.states()[:, :, 0].T)
    np.testing.assert_array_equal(paths[0, :, 0], TIMES)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time $t$", "state $x$")
    assert labels(ax) == ["start", "end", "target"]
    assert len(np.unique(of(ax, LineCollection)[0].get_colors(), axis=0)) > 10


def test_trajectories_of_numbers_have_a_colour_bar():
    x = np.random.default_rng(3).normal(size=(20, 2))
    problem = Problem(
        dynamics.Layer(2),
        x,
        x[:, 0],
        terminal_cost=losses.Squared(readout=[[1.0, 0.0]]),
        control_cost=penalties.L2(0.1),
        steps=4,
    )
    ax = plot.trajectories(solved(problem))
    assert [a.get_ylabel() for a in ax.figure.axes] == ["$x_{2}$", "target"]


def test_trajectories_that_overflow_are_left_out_quietly(steered):
    drift = Problem(
        dynamics.Layer(2, "identity"), np.ones((2, 2)), control_cost=penalties.L2(1.0), steps=4
    )
    s = pmpnet.solve.msa(drift, np.full((4, 6), 1e120), max_iter=0)
    plot.trajectories(s).figure.canvas.draw()


def test_trajectories_of_equal_scale_only_where_it_can_be_read(moons):
    long = np.c_[np.linspace(-500, 500, 9), np.zeros(9)]
    assert plot.trajectories(moons, long).get_aspect() == "auto"


def test_trajectories_refuse_what_they_cannot_draw(moons, scalar):
    with pytest.raises(ValueError, match="components=2 but the state has 2: count from 0 to 1"):
        plot.trajectories(moons, components=2)
    with pytest.raises(ValueError, match="components=-1 is too small"):
        plot.trajectories(moons, components=(0, -1))
    with pytest.raises(TypeError, match=r"components=0\.5 is neither"):
        plot.trajectories(moons, components=0.5)
    with pytest.raises(TypeError, match=r"components=\(0, 1, 2\) is neither"):
        plot.trajectories(moons, components=(0, 1, 2))
    with pytest.raises(ValueError, match=r"components=\(1, 0\) but the state has 1"):
        plot.trajectories(scalar, components=(1, 0))
    with pytest.raises(TypeError, match="components=an array of shape"):
        plot.trajectories(scalar, components=np.array([0, 1]))
    with pytest.raises(ValueError, match="limit=0 is too small"):
        plot.trajectories(moons, limit=0)
    with pytest.raises(ValueError, match="x has 3 columns but the state has 2"):
        plot.trajectories(moons, np.ones((4, 3)))
    with pytest.raises(ValueError, match="x has no rows"):
        plot.trajectories(moons, np.empty((0, 2)))


# ------------------------------------------------------------------------------------------- flow


def test_flow_draws_the_image_of_squares(steered):
    ax = plot.flow(steered, lines=5, extent=(-1, 1, -1, 0.1))
    before, vertical, horizontal = ax.collections
    # the shorter side is made whole: 3 squares of side 0.5, about the same centre
    assert [len(f.get_segments()) for f in (before, vertical, horizontal)] == [9, 5, 4]
    grid = np.concatenate(before.get_segments())
    np.testing.assert_allclose(grid.min(axis=0), [-1, -1.2])
    np.testing.assert_allclose(grid.max(axis=0), [1, 0.3])
    start = before.get_segments()
    for family, lines in ((vertical, start[:5]), (horizontal, start[5:])):
        for line, image in zip(lines, family.get_segments(), strict=True):
            np.testing.assert_allclose(steered.flow(line), image)
    assert np.ptp(start[0][:, 0]) == 0
    assert np.ptp(start[5][:, 1]) == 0
    assert ax.get_aspect() == 1


def test_flow_covers_the_samples(moons):
    x = moons.problem.initial_states
    grid = np.concatenate(plot.flow(moons).collections[0].get_segments())
    assert (grid.min(axis=0) <= x.min(axis=0) + 1e-12).all()
    assert (grid.max(axis=0) >= x.max(axis=0) - 1e-12).all()
    assert max(len(f.get_segments()) for f in plot.flow(moons).collections[1:]) == 21


@pytest.mark.parametrize("x", [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 2.0]]])
def test_flow_around_samples_that_span_no_area(x):
    problem = Problem(dynamics.Layer(2), x, control_cost=penalties.L2(1.0), steps=2)
    plot.flow(pmpnet.solve.msa(problem), lines=3).figure.canvas.draw()


def test_flow_refuses_what_it_cannot_draw(moons, scalar):
    with pytest.raises(ValueError, match=r"dimension 2 and these have 1: draw trajectories"):
        plot.flow(scalar)
    with pytest.raises(ValueError, match="lines=1 is too small"):
        plot.flow(moons, lines=1)
    with pytest.raises(ValueError, match=r"extent=\(1, 0, 0, 1\) has no area"):
        plot.flow(moons, extent=(1, 0, 0, 1))
    with pytest.raises(ValueError, match=r"extent has shape \(3,\)"):
        plot.flow(moons, extent=(1, 0, 0))


# ------------------------------------------------------------------------------ decision_boundary


def scattered(ax):
    return sum(len(c.get_offsets()) for c in ax.collections if c.get_zorder() == 3)


def test_decision_boundary_of_two_classes(moons):
    ax = plot.decision_boundary(moons, resolution=30, extent=(-2, 2, -1, 1))
    (image,) = ax.images
    a, b = np.linspace(-2, 2, 30), np.linspace(-1, 1, 30)
    corner = moons.predict_proba([[a[0], b[-1]]])[0, 1]
    assert image.get_array().shape == (30, 30)
    np.testing.assert_allclose(image.get_array()[-1, 0], corner)
    (contour,) = [c for c in ax.collections if c.get_zorder() == 2]
    line = np.concatenate([p.vertices for p in contour.get_paths()])
    np.testing.assert_allclose(moons.predict_proba(line)[:, 1], 0.5, atol=0.02)
    assert scattered(ax) == 60
    assert labels(ax) == ["class 0", "class 1"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-2, 2), (-1, 1))
    assert [a.get_ylabel() for a in ax.figure.axes] == ["$x_2(0)$", "probability of class 1"]


def test_decision_boundary_where_one_class_wins_everywhere(moons):
    ax = plot.decision_boundary(moons, resolution=5, extent=(90, 91, 0, 1))
    assert not [c for c in ax.collections if c.get_zorder() == 2]
    ax.figure.canvas.draw()


def test_decision_boundary_of_three_classes_with_names():
    problem = blobs(dim=3, classes=3)
    named = Problem(
        problem.dynamics,
        problem.initial_states,
        np.array(["ash", "beech", "cedar"])[problem.targets],
        terminal_cost=problem.terminal_cost,
        control_cost=problem.control_cost,
        times=TIMES,
    )
    s = solved(named, 60)
    ax = plot.decision_boundary(s, resolution=40)
    assert labels(ax) == ["class ash", "class beech", "class cedar"]
    assert scattered(ax) == 60
    assert ax.images[0].get_array().shape == (40, 40, 3)
    left, right, bottom, top = *ax.get_xlim(), *ax.get_ylim()
    x = np.stack(
        np.meshgrid(np.linspace(left, right, 40), np.linspace(bottom, top, 40)), -1
    ).reshape(-1, 2)
    predicted = np.searchsorted(s.problem.classes, s.predict(np.c_[x, np.zeros(len(x))]))
    # the strongest part of a pixel's colour tells the class: blue, orange, green
    hue = ax.images[0].get_array().reshape(-1, 3)
    sure = np.ptp(hue, axis=1) > 0.2
    assert sure.mean() > 0.5
    strongest = np.array([2, 0, 1])[predicted]
    assert (hue.argmax(axis=1) == strongest)[sure].all()


def test_decision_boundary_of_more_classes_than_colours():
    s = solved(blobs(classes=9, count=200), 3)
    ax = plot.decision_boundary(s, resolution=20)
    assert len(labels(ax)) == 9
    ax.figure.canvas.draw()


def test_decision_boundary_finds_the_samples_under_a_lift():
    turn = ROTATION[:2]
    s = solved(blobs(dim=3, plane=turn))
    x = np.random.default_rng(0).normal(size=(60, 2))
    ax = plot.decision_boundary(s, resolution=10, lift=lambda p: p @ turn)
    drawn = np.concatenate([c.get_offsets() for c in ax.collections if c.get_zorder() == 3])
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(x, axis=0), atol=1e-10)
    assert ax.get_xlabel() == "input 1"


def test_decision_boundary_under_a_lift_that_keeps_the_first_two():
    x = np.random.default_rng(0).normal(size=(40, 2))

    def lift(p):
        return np.c_[p, p[:, :1] * p[:, 1:]]

    problem = Problem(
        dynamics.Layer(3),
        lift(x).astype(np.float32),
        x[:, 0] > 0,
        terminal_cost=losses.Logistic(readout=[[1.0, 0, 0]]),
        control_cost=penalties.L2(0.1),
        steps=4,
    )
    s = solved(problem)
    assert scattered(plot.decision_boundary(s, resolution=10, lift=lift)) == 40

    def other(p):
        return lift(p + 0.1 * p**2)

    ax = plot.decision_boundary(s, resolution=10, lift=other, extent=(-1, 1, -1, 1))
    assert scattered(ax) == 0
    assert ax.get_legend() is None
    with pytest.raises(ValueError, match=r"do not lie on the image of lift=: give extent="):
        plot.decision_boundary(s, resolution=10, lift=other)


def test_decision_boundary_refuses_what_it_cannot_draw(moons, steered):
    with pytest.raises(ValueError, match="this problem has no classes"):
        plot.decision_boundary(steered)
    with pytest.raises(ValueError, match="resolution=1 is too small"):
        plot.decision_boundary(moons, resolution=1)
    with pytest.raises(TypeError, match="lift='zeros' cannot be called"):
        plot.decision_boundary(moons, lift="zeros")
    with pytest.raises(ValueError, match=r"lift returned shape \(3, 1\) for 3 points"):
        plot.decision_boundary(moons, lift=lambda p: p[:, :1])
    tilted = solved(blobs(dim=3, plane=ROTATION[:2]), 1)
    with pytest.raises(ValueError, match=r"do not lie in the plane of the first two: give lift="):
        plot.decision_boundary(tilted)
    line = Problem(
        dynamics.Layer(1),
        [[-1.0], [1.0]],
        [0, 1],
        terminal_cost=losses.Logistic(),
        control_cost=penalties.L2(1.0),
        steps=2,
    )
    with pytest.raises(ValueError, match="dimension 1, where a boundary is a point"):
        plot.decision_boundary(solved(line, 1))


# ------------------------------------------------------------------------------------ hamiltonian


def test_hamiltonian_along_time_with_the_gaps(moons):
    certificate = pmpnet.verify(moons.problem, moons)
    ax = plot.hamiltonian(moons)
    mean, steps = ax.lines
    np.testing.assert_array_equal(steps.get_xdata(), TIMES)
    np.testing.assert_array_equal(steps.get_ydata()[:-1], certificate.hamiltonian)
    assert steps.get_drawstyle() == "steps-post"
    np.testing.assert_allclose(mean.get_ydata(), certificate.hamiltonian.mean())
    (strip,) = [a for a in ax.figure.axes if a is not ax]
    np.testing.assert_array_equal(strip.lines[0].get_ydata()[:-1], certificate.layer_gaps)
    assert strip.get_xlabel() == "time $t$"
    assert ax.get_xlim() == strip.get_xlim()
    ax.figure.canvas.draw()
    assert strip.get_window_extent().y1 < ax.get_window_extent().y0  # one below the other


def test_hamiltonian_of_a_certificate_ends_where_the_last_layer_ends(moons):
    certificate = pmpnet.verify(moons.problem, np.ones(moons.problem.control_shape))
    ax = plot.hamiltonian(certificate)
    assert ax.lines[1].get_xdata()[-1] == TIMES[-1]


def test_hamiltonian_without_a_maximum_has_no_gaps():
    s = solved(blobs(control_cost=penalties.L1(1e-3)))
    ax = plot.hamiltonian(s)
    assert ax.figure.axes == [ax]
    assert ax.get_xlabel() == "time $t$"


def test_hamiltonian_that_is_constant_but_for_rounding_looks_constant(moons):
    flat = Problem(
        dynamics.LinearControl(2),
        np.zeros((1, 2)),
        np.ones((1, 2)),
        terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1.0),
        steps=30,
    )
    certificate = pmpnet.verify(flat, pmpnet.solve.msa(flat, tol=1e-10))
    H = certificate.hamiltonian
    ax = plot.hamiltonian(certificate)
    low, high = ax.get_ylim()
    assert high - low > 1e-6 * abs(H.mean()) > 1e3 * np.ptp(H)
    ax.figure.canvas.draw()


def test_hamiltonian_refuses_what_it_cannot_draw(moons):
    with pytest.raises(TypeError, match=r"certificate is .*: write what pmpnet\.verify returns"):
        plot.hamiltonian(moons.controls)
