"""The pool of threads, with workers that are slow, fail and die."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_workers import CHAIN, DigestHost, DigestWorker, Recorder, Task, plan_of_shots

from vidnst.config import Role
from vidnst.errors import CancelledError, WeightsError
from vidnst.farm.interfaces import Component, NodeEventKind
from vidnst.farm.jobs import Outcome, WorkerGroup
from vidnst.farm.plan import Lane, Node, NodeId, StateId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot, independent
from vidnst.farm.thread_pool import InlinePool
from vidnst.frames import Shot


def pool_of(factory: Callable[[], Any], count: int = 2, *, concurrency: int = 1) -> InlinePool:
    return InlinePool(
        {Lane.STYLE: WorkerGroup(factory, count, concurrency=concurrency), Lane.FLOW: WorkerGroup(factory, 1)}
    )


def task(mood_of: int = 0) -> Task:
    return Task(Node(StateId(mood_of), Role.COLD, 0, (mood_of,)), {}, 1)


def next_outcome(pool: InlinePool) -> Outcome:
    outcomes: list[Outcome] = []
    while not outcomes:
        outcomes = pool.wait(5)
    (outcome,) = outcomes
    return outcome


def test_slow_failing_and_dying_workers_give_right_values() -> None:
    shots = [Shot(0, 12), Shot(12, 20), Shot(20, 21), Shot(21, 40)]
    moods: dict[tuple[NodeId, int], str] = {}
    for frame in (0, 5, 13, 20, 39):
        moods[StateId(frame), 1] = "die" if frame % 2 else "fail"
    moods[StateId(5), 2] = "fail"
    host = DigestHost(plan_of_shots(CHAIN, shots))
    recorder = Recorder()
    pool = pool_of(lambda: DigestWorker(moods, seconds=0.002), 3)
    try:
        run_plan((Component(nodes, host) for nodes in by_shot(CHAIN, shots)), pool, listener=recorder)
    finally:
        pool.close()
    assert set(host.kept) == set(host.truth)
    assert len(recorder.of(NodeEventKind.FAILED)) == 3
    assert len(recorder.of(NodeEventKind.DIED)) == 3
    assert all(event.seconds > 0 for event in recorder.of(NodeEventKind.DONE))


def test_worker_is_made_in_its_thread_and_after_a_death() -> None:
    made: list[str] = []

    def factory() -> DigestWorker:
        made.append(threading.current_thread().name)
        return DigestWorker({(StateId(1), 1): "die"})

    pool = pool_of(factory)
    assert made == []
    for number, died in enumerate((False, True, False)):
        pool.submit("style-1", task(number))
        assert next_outcome(pool).died == died
    pool.close()
    assert made == ["style-1", "style-1"]


def test_factory_error_is_the_outcome_of_the_job() -> None:
    def factory() -> DigestWorker:
        raise WeightsError("truncated")

    pool = pool_of(factory)
    pool.submit("style-0", task())
    outcome = next_outcome(pool)
    pool.close()
    assert isinstance(outcome.error, WeightsError)
    assert not outcome.died


def test_closing_does_not_wait_for_a_job() -> None:
    release = threading.Event()

    class Stuck:
        def run(self, job: object) -> None:
            release.wait()

    pool = pool_of(Stuck)
    pool.submit("style-0", task())
    pool.close()  # would hang here, and the test run into its time limit
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit("style-1", task())
    release.set()


def test_cancelling_does_not_wait_for_busy_workers() -> None:
    release = threading.Event()
    stop = threading.Event()

    class Stuck:
        def run(self, job: object) -> None:
            stop.set()
            release.wait()

    nodes = list(independent(Shot(0, 4)))
    pool = pool_of(Stuck)
    with pytest.raises(CancelledError):
        run_plan([Component(nodes, DigestHost(nodes))], pool, cancelled=stop.is_set)
    pool.close()
    release.set()


def test_wait_without_jobs_returns_nothing() -> None:
    pool = pool_of(DigestWorker)
    assert pool.wait(0.01) == []
    assert pool.workers(Lane.STYLE) == ("style-0", "style-1")
    assert pool.workers(Lane.FLOW) == ("flow-0",)
    pool.close()


def test_concurrent_jobs_end_in_the_order_of_jobs() -> None:
    both = threading.Barrier(2, timeout=20)
    second_done = threading.Event()

    class Pair:
        def run(self, job: int) -> int:
            both.wait()  # one hand alone would never come through
            if job == 0:
                second_done.wait(20)
                return job
            second_done.set()
            return job

    pool = pool_of(Pair, 1, concurrency=2)
    pool.submit("style-0", 0)
    pool.submit("style-0", 1)
    values: list[int] = []
    while len(values) < 2:
        values += [outcome.value for outcome in pool.wait(5)]
    pool.close()
    assert values == [0, 1]


def test_closed_pool_starts_no_queued_job() -> None:
    begun: list[int] = []
    at_work, go_on = threading.Event(), threading.Event()

    class Slow:
        def run(self, job: int) -> None:
            begun.append(job)
            at_work.set()
            go_on.wait(20)

    pool = pool_of(Slow, 1)
    pool.submit("style-0", 0)
    pool.submit("style-0", 1)
    assert at_work.wait(20)
    pool.close()
    go_on.set()
    threads = [thread for thread in threading.enumerate() if thread.name == "style-0"]
    for thread in threads:
        thread.join(20)
    assert begun == [0]


def test_closed_pool_interrupts_a_job_in_python_code() -> None:
    begun = threading.Event()

    class Endless:
        def run(self, job: object) -> None:
            while True:
                begun.set()

    pool = pool_of(Endless, 1)
    pool.submit("style-0", task())
    assert begun.wait(20)
    pool.close()
    assert "style-0" not in [thread.name for thread in threading.enumerate()]


def test_stopped_plan_takes_in_what_is_running() -> None:
    at_work, stop = threading.Event(), threading.Event()

    class Slow(DigestWorker):
        def run(self, job: Any) -> Any:
            at_work.set()
            stop.wait(20)
            return super().run(job)

    def cancelled() -> bool:
        if at_work.is_set():
            stop.set()
        return stop.is_set()

    nodes = list(independent(Shot(0, 4)))
    host, recorder = DigestHost(nodes), Recorder()
    pool = pool_of(Slow, 1)
    with pytest.raises(CancelledError):
        run_plan([Component(nodes, host)], pool, listener=recorder, cancelled=cancelled, patience_seconds=20)
    pool.close()
    assert len(host.kept) == 1


def test_threads_take_turns_often_while_a_pool_is_open() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    try:
        first = pool_of(DigestWorker)
        second = pool_of(DigestWorker)
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        first.close()
        first.close()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        second.close()
        assert sys.getswitchinterval() == pytest.approx(0.005)
        sys.setswitchinterval(0.0001)  # a shorter one stays
        pool_of(DigestWorker).close()
        assert sys.getswitchinterval() == pytest.approx(0.0001, abs=2e-6)
    finally:
        sys.setswitchinterval(before)
