"""Workers of several looks."""

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from vidnst.errors import FarmError, ScarceMemoryError, StyleError
from vidnst.farm.jobs import Refused, Shared, SkipJob
from vidnst.farm.multi_style_worker import MultiStyleWorkerFactory, SkippingWorkerFactory
from vidnst.farm.plan import StateId


@dataclass(frozen=True)
class Asked:
    look: Shared


class Maker:
    """Makes workers that say their name; counts them."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.made, self.error = name, 0, error

    def __call__(self) -> "Maker":
        self.made += 1
        if self.error:
            raise self.error
        return self

    def run(self, job: Any) -> str:
        return self.name


def test_each_look_has_a_worker_of_its_own_and_those_used_last_stay() -> None:
    makers = [Maker(name) for name in "abc"]
    jobs = [Asked(Shared(maker.name, maker)) for maker in makers]
    worker = MultiStyleWorkerFactory(warm=2)()
    assert [worker.run(jobs[number]) for number in (0, 1, 0, 2, 0, 1)] == list("abacab")
    assert [maker.made for maker in makers] == [1, 2, 1]


def test_a_look_that_cannot_be_made_is_refused_and_others_are_not() -> None:
    worker = MultiStyleWorkerFactory()()
    wrong = worker.run(Asked(Shared("wrong", Maker("wrong", StyleError("no texture")))))
    assert isinstance(wrong, Refused)
    assert "no texture" in str(pickle.loads(pickle.dumps(wrong)).error)
    assert worker.run(Asked(Shared("right", Maker("right")))) == "right"
    with pytest.raises(FarmError):  # the machine's fault, and every look's
        worker.run(Asked(Shared("lost", Maker("lost", FarmError("no GPU")))))
    assert worker.run(SkipJob(StateId(0))) is None


class Large(Maker):
    """Does its work only where nobody else is there."""

    others: int = 1

    def run(self, job: Any) -> str:
        if self.others:
            self.others -= 1
            raise ScarceMemoryError("no room")
        return self.name


def test_where_a_look_finds_no_memory_the_others_make_room() -> None:
    small, large = Maker("small"), Large("large")
    worker = MultiStyleWorkerFactory()()
    assert worker.run(Asked(Shared("small", small))) == "small"
    assert worker.run(Asked(Shared("large", large))) == "large"
    assert worker.run(Asked(Shared("small", small))) == "small"
    assert (small.made, large.made) == (2, 1)
    with pytest.raises(ScarceMemoryError):
        MultiStyleWorkerFactory()().run(Asked(Shared("alone", Large("alone"))))


def test_a_job_that_is_to_be_skipped_reaches_no_worker() -> None:
    worker = pickle.loads(pickle.dumps(SkippingWorkerFactory(Maker("done"))))()
    assert worker.run(SkipJob(StateId(0))) is None
    assert worker.run("job") == "done"
