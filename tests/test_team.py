"""Threads share a round: whoever is free takes a chunk, and nobody needs to come."""

import threading
import time

import numpy as np
import pytest

import pmpnet.sweeps
from pmpnet import Problem, dynamics, losses, penalties
from pmpnet.kernels.sharing import add_one, wait
from pmpnet.team import Team, team, wait_for


@pytest.fixture
def threads():
    yield pmpnet.set_num_threads
    pmpnet.set_num_threads(None)


def large():
    x = np.random.default_rng(0).standard_normal((20_000, 2))
    return Problem(
        dynamics.Layer(2), x, x[:, ::-1], terminal_cost=losses.Squared(),
        control_cost=penalties.L2(0.1),
    )  # fmt: skip


def test_a_task_reaches_every_helper_awake_or_asleep(monkeypatch):
    monkeypatch.setattr("pmpnet.team.LOOKS", 10)  # they sleep at once
    helpers, came = Team(3), threading.Barrier(4)
    for _ in range(3):
        helpers.post(lambda i: came.wait(10))
        came.wait(10)  # broken, and an error, unless all three come


def test_a_helper_that_fails_goes_on():
    helpers, done = Team(1), threading.Event()
    helpers.post(lambda i: 1 / 0)
    helpers.post(lambda i: done.set())
    assert done.wait(10)


def test_the_last_chunk_is_waited_for():
    counts = np.zeros(2, np.int64)

    def finish():
        time.sleep(0.1)
        counts[1] = 5

    threading.Thread(target=finish).start()
    wait_for(counts, 5)
    assert counts[1] == 5
    assert not wait(counts, 0, 1, 100)


def test_counts_in_python_are_those_of_kernels():
    counts = np.zeros(2, np.int64)
    assert [add_one(counts, 0), add_one(counts, 0), counts.tolist()] == [0, 1, [2, 0]]


def test_a_round_does_without_helpers_that_do_not_come(threads, monkeypatch):
    problem = large()
    u = np.random.default_rng(1).standard_normal(problem.control_shape)
    threads(1)
    alone = problem.gradient(u)
    threads(2)
    assert problem.samples.count * problem.sweeper._flops_per_sample > pmpnet.sweeps.PARALLEL_FLOPS
    for seconds in (0.0, 0.001, 0.05):  # in time, late, and too late

        def later(task, seconds=seconds):
            threading.Timer(seconds, task, [1]).start()

        monkeypatch.setattr(team(1), "post", later)
        np.testing.assert_array_equal(problem.gradient(u), alone)


def test_many_threads_solve_at_once(threads):
    threads(3)
    problems = [large() for _ in range(4)]
    us = [np.random.default_rng(i).standard_normal(problems[i].control_shape) for i in range(4)]
    alone = [p.gradient(u) for p, u in zip(problems, us, strict=True)]
    found = [None] * 4

    def run(i):
        for _ in range(20):
            found[i] = problems[i].gradient(us[i])

    workers = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for ours, theirs in zip(found, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)
