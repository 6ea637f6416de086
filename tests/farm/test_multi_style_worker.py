"""A worker of several style sets."""

import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from vidnst.errors import FarmError, ScarceMemoryError, StyleError
from vidnst.farm.jobs import Refused, Shared, SkipJob
from vidnst.farm.multi_style_worker import MultiStyleWorker
from vidnst.farm.plan import StateId

SECONDS = 10.0


@dataclass(frozen=True)
class FakeJob:
    style_set: Shared


class CountingFactory:
    """Makes workers whose results are the style set's name, and counts them."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.made, self.error = name, 0, error

    def __call__(self) -> "CountingFactory":
        self.made += 1
        if self.error:
            raise self.error
        return self

    def run(self, job: Any) -> str:
        return self.name


class ScarceFactory(CountingFactory):
    """Its worker runs out of memory in the first jobs."""

    def __init__(self, name: str, *, failures: int = 1) -> None:
        super().__init__(name)
        self.failures = failures

    def run(self, job: Any) -> str:
        if self.failures:
            self.failures -= 1
            raise ScarceMemoryError("no room")
        return self.name


class BlockingFactory(CountingFactory):
    """Its worker's jobs run until they are let go; counts those that run."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.running = threading.Semaphore(0)
        self.released = threading.Event()

    def run(self, job: Any) -> str:
        self.running.release()
        assert self.released.wait(SECONDS)
        return self.name


def job_of(factory: Callable[[], Any], key: str) -> FakeJob:
    return FakeJob(Shared(key, factory))


def test_each_style_set_has_a_worker_and_recent_ones_stay() -> None:
    factories = [CountingFactory(name) for name in "abc"]
    jobs = [job_of(factory, factory.name) for factory in factories]
    worker = MultiStyleWorker(warm=2)
    assert [worker.run(jobs[number]) for number in (0, 1, 0, 2, 0, 1)] == list("abacab")
    assert [factory.made for factory in factories] == [1, 2, 1]


def test_faulty_style_set_is_refused_and_others_are_not() -> None:
    worker = MultiStyleWorker()
    refused = worker.run(job_of(CountingFactory("wrong", StyleError("no texture")), "wrong"))
    assert isinstance(refused, Refused)
    assert "no texture" in str(pickle.loads(pickle.dumps(refused)).error)
    assert worker.run(job_of(CountingFactory("right"), "right")) == "right"
    with pytest.raises(FarmError):  # the machine's fault, and every style set's
        worker.run(job_of(CountingFactory("lost", FarmError("no GPU")), "lost"))


def test_skipped_job_reaches_no_worker() -> None:
    assert MultiStyleWorker().run(SkipJob(StateId(0))) is None


def test_out_of_memory_drops_the_other_style_sets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vidnst")
    small, large = CountingFactory("small"), ScarceFactory("large")
    worker = MultiStyleWorker()
    assert worker.run(job_of(small, "small")) == "small"
    assert worker.run(job_of(large, "large")) == "large"
    assert worker.run(job_of(small, "small")) == "small"
    assert (small.made, large.made) == (2, 1)
    assert "keeping only the current one: no room" in caplog.text


def test_out_of_memory_alone_is_raised() -> None:
    with pytest.raises(ScarceMemoryError):
        MultiStyleWorker().run(job_of(ScarceFactory("alone"), "alone"))


def test_both_threads_retry_when_other_style_sets_are_dropped() -> None:
    both_failed = threading.Barrier(2)

    class FailsFirst(CountingFactory):
        """Every job runs out of memory once."""

        tried: ClassVar[list[int]] = []

        def run(self, job: Any) -> str:
            if id(job) not in self.tried:
                self.tried.append(id(job))
                both_failed.wait(SECONDS)
                raise ScarceMemoryError("no room")
            return self.name

    worker, large = MultiStyleWorker(), FailsFirst("large")
    worker.run(job_of(CountingFactory("small"), "small"))
    jobs = [job_of(large, "large") for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(worker.run, job) for job in jobs]
        assert [future.result(SECONDS) for future in futures] == ["large", "large"]
    assert large.made == 1


def test_jobs_of_one_style_set_run_at_the_same_time() -> None:
    worker, factory = MultiStyleWorker(), BlockingFactory("a")
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(worker.run, job_of(factory, "a")) for _ in range(2)]
        assert all(factory.running.acquire(timeout=SECONDS) for _ in futures)
        factory.released.set()
        assert [future.result(SECONDS) for future in futures] == ["a", "a"]
    assert factory.made == 1


def test_jobs_of_different_style_sets_exclude_each_other() -> None:
    worker, first, second = MultiStyleWorker(), BlockingFactory("a"), BlockingFactory("b")
    with ThreadPoolExecutor(2) as threads:
        futures: list[Future[str]] = [threads.submit(worker.run, job_of(first, "a"))]
        assert first.running.acquire(timeout=SECONDS)
        futures.append(threads.submit(worker.run, job_of(second, "b")))
        assert not second.running.acquire(timeout=0.2)
        assert second.made == 0
        first.released.set()
        second.released.set()
        wait(futures, SECONDS)
        assert [future.result() for future in futures] == ["a", "b"]
