"""Values that stay where workers made them, and jobs that name them."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.farm.deferred import Deferred, Part, join_result, opened, pack_job, split_result, unpack_job
from vidnst.farm.jobs import FlowJob, Refused, SkipJob, Stylized, StylizeJob, Trained, TrainingPair, TrainJob
from vidnst.farm.plan import FlowId, NetworkId, StateId
from vidnst.motion.blend import WarmSource
from vidnst.motion.flow import Flow, FlowPair
from vidnst.style.guidance import Guidance, RegionGuidance


def array(seed: int, *shape: int, dtype: type = np.uint16) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)


def flow(seed: int) -> Flow:
    return Flow(array(seed, 6, 8, 2, dtype=np.float32), array(seed, 6, 8, dtype=np.uint8))


class Stored(Deferred):
    """A value of a group, as a pool would have it."""

    def __init__(self, groups: list[tuple[Any, ...]], part: Part) -> None:
        self.groups, self.part, self.nbytes = groups, part, part.nbytes

    def get(self) -> Any:
        return self.groups[self.part.group][self.part.place]


def stored(groups: list[tuple[Any, ...]], values: tuple[Any, ...]) -> Callable[[Part], Deferred]:
    """Keep a result's values as another group."""
    groups.append(values)
    number = len(groups) - 1
    return lambda part: Stored(groups, replace(part, group=number))


STYLIZED = Stylized(
    array(1, 60, 80, 3), {"total": 1.5}, 7, 0.1, shown=array(2, 60, 80, 3), thumbnail_luma=array(3, 9, 12)
)


def test_facts_of_a_frame_are_small_and_its_values_come_back() -> None:
    facts, values = split_result(STYLIZED)
    assert len(pickle.dumps(facts)) < 2000 < STYLIZED.state.nbytes
    found = join_result(facts, stored([], values))
    assert found.losses == STYLIZED.losses
    for name in ("state", "shown", "thumbnail_luma"):
        deferred = getattr(found, name)
        assert isinstance(deferred, Deferred)
        assert deferred.nbytes == getattr(STYLIZED, name).nbytes
        assert opened(deferred) is getattr(STYLIZED, name)
    assert opened(STYLIZED.state) is STYLIZED.state


def test_flows_and_networks_are_left_behind() -> None:
    pair = FlowPair(flow(1), flow(2))
    facts, values = split_result(pair)
    assert len(pickle.dumps(facts)) < 500
    forward, backward = join_result(facts, stored([], values))
    assert (opened(forward), opened(backward)) == (pair.forward, pair.backward)
    assert forward.nbytes == pair.forward.vectors_px.nbytes + pair.forward.valid.nbytes
    trained = Trained(array(4, 100, dtype=np.float32), {}, 3, 0.5)
    facts, values = split_result(trained)
    assert opened(join_result(facts, stored([], values)).state) is trained.state


@pytest.mark.parametrize("result", [None, 3, "text", Refused(ValueError("no"))], ids=str)  # type: ignore[arg-type]
def test_other_results_are_facts_as_they_are(result: Any) -> None:
    facts, values = split_result(result)
    assert facts is result
    assert values == ()
    assert join_result(facts, stored([], values)) is result


def held(groups: list[tuple[Any, ...]], *values: Any) -> list[Any]:
    keep = stored(groups, values)
    return [keep(Part(0, place)) for place in range(len(values))]


def packed(job: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """A job as it travels, and the groups of values that travel with it."""
    numbers: dict[int, int] = {}
    groups: list[tuple[Any, ...]] = []

    def place_of(value: Stored) -> Part:
        number = value.part.group
        if number not in numbers:
            numbers[number] = len(groups)
            groups.append(value.groups[number])
        return Part(numbers[number], value.part.place)

    return pickle.loads(pickle.dumps(pack_job(job, place_of))), groups


def test_job_with_references_is_put_together_on_the_worker() -> None:
    groups: list[tuple[Any, ...]] = []
    content, thumbnail = held(groups, array(5, 60, 80, 3, dtype=np.uint8), array(6, 9, 12, dtype=np.float32))
    state, own_thumbnail = held(groups, array(7, 60, 80, 3), array(8, 9, 12, dtype=np.float32))
    forward, backward = held(groups, flow(9), flow(10))
    (guidance,) = held(groups, Guidance((RegionGuidance((), array(11, 60, 80, dtype=np.uint8)),)))
    job = StylizeJob(
        StateId(3, 1),
        content,
        (WarmSource(state, forward, 0.5, content), WarmSource(state, backward), WarmSource(array(1, 2, 2, 3))),
        4,
        5,
        guidance=guidance,
        source_thumbnails=(thumbnail, None),
        state_thumbnails=(own_thumbnail, None),
    )
    travelling, values = packed(job)
    assert len(values) == 4  # each group once
    found = unpack_job(travelling, values)
    assert found.node == job.node
    assert found.content is content.get()
    assert [start.weight for start in found.starts] == [0.5, 1.0, 1.0]
    assert found.starts[0].source is content.get()
    assert found.starts[0].flow is forward.get()
    assert found.starts[1].state is state.get()
    np.testing.assert_array_equal(found.starts[2].state, job.starts[2].state)
    assert found.guidance is guidance.get()
    assert found.source_thumbnails[0] is thumbnail.get()
    assert found.state_thumbnails[0] is own_thumbnail.get()


def test_pairs_of_flows_keep_their_type() -> None:
    groups: list[tuple[Any, ...]] = []
    one, two = held(groups, flow(1), flow(2))
    frame = array(3, 6, 8, 3, dtype=np.uint8)
    pair = FlowPair(one, two)
    found = unpack_job(*packed(FlowJob(FlowId(4, 0), frame, frame, (pair, pair))))
    assert found.through[1].backward is two.get()
    training = TrainJob(NetworkId(0, 1), None, (frame,), (None,), (TrainingPair(1, 0, pair),), 0)
    assert unpack_job(*packed(training)).pairs[0].flows.forward is one.get()


def test_job_without_references_travels_as_it_is() -> None:
    frame = array(3, 6, 8, 3, dtype=np.uint8)
    for job in (StylizeJob(StateId(0), frame, (), 4, 5), SkipJob(StateId(0)), "another kind"):
        assert pack_job(job, None) is job  # type: ignore[arg-type]
        assert unpack_job(job, ()) is job
