"""RAFT's flow where a GPU has too little memory for it: never a frame without flow, and always a word about it."""

import pickle
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import MotionConfig, Role
from vidnst.errors import FarmError
from vidnst.events import Event, Warned
from vidnst.farm import flow_fallback
from vidnst.farm.deferred import join_result, split_result
from vidnst.farm.flow_workers import FlowWorker
from vidnst.farm.interfaces import NodeEvent, NodeEventKind
from vidnst.farm.jobs import FlowJob
from vidnst.farm.plan import FlowId, Node
from vidnst.motion.flow import Flow, NotedFlowPair, estimate_pair
from vidnst.motion.raft import Raft
from vidnst.rendering.node_reporter import Reporter

CONFIG = MotionConfig(method="raft", size=320)
HEIGHT, WIDTH = 180, 320


class SmallCard:
    """A network that shifts by 8 pixels of the usual size, on a card for inputs of so many pixels, all together."""

    def __init__(self, most_pixels: int) -> None:
        self.most_pixels = most_pixels
        self.inputs: list[tuple[int, ...]] = []

    def __call__(self, one: Tensor, two: Tensor) -> Sequence[Tensor]:
        self.inputs.append(tuple(one.shape))
        count, _, height, width = one.shape
        if count * height * width > self.most_pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        flow = torch.zeros(count, 2, height, width)
        flow[:, 0] = 8 * width / WIDTH
        return [flow]


def frames() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    first = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return first, np.roll(first, 8, axis=1)


def flow_on(card: SmallCard) -> tuple[Flow, str, int]:
    """The flow, its note, and the number of attempts."""
    first, second = frames()
    pair = FlowWorker(CONFIG, Raft(card, CONFIG)).run(FlowJob(FlowId(1, 0), first, second))
    return pair.forward, pair.note if isinstance(pair, NotedFlowPair) else "", len(card.inputs)


def test_flow_that_fits_is_as_it_always_was() -> None:
    flow, note, attempts = flow_on(SmallCard(2 * 184 * 320))
    assert (note, attempts) == ("", 1)
    assert flow.vectors_px.shape == (HEIGHT, WIDTH, 2)
    assert (flow.vectors_px == (8, 0)).all()


def test_directions_in_turn_take_half_the_memory() -> None:
    card = SmallCard(184 * 320)
    flow, note, attempts = flow_on(card)
    assert note == ""
    assert [shape[0] for shape in card.inputs] == [2, 2, 1, 1]
    assert attempts == 4
    assert (flow.vectors_px == (8, 0)).all()


@pytest.mark.parametrize(("most", "share"), [(130 * 230, "70%"), (128 * 160, "50%")])
def test_smaller_flow_has_the_usual_size_and_a_note(most: int, share: str) -> None:
    flow, note, _ = flow_on(SmallCard(most))
    assert f"estimated at {share} of its size" in note
    assert flow.vectors_px.shape == (HEIGHT, WIDTH, 2)
    np.testing.assert_allclose(flow.vectors_px, np.broadcast_to((8, 0), flow.vectors_px.shape), atol=0.1)


def test_dis_on_the_cpu_is_the_last_way() -> None:
    flow, note, _ = flow_on(SmallCard(0))
    assert "estimated by DIS on the CPU" in note
    np.testing.assert_array_equal(flow.vectors_px, estimate_pair(*frames(), CONFIG).forward.vectors_px)


def test_memory_is_freed_before_each_further_way(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[torch.device] = []
    monkeypatch.setattr(flow_fallback, "free_caches", freed.append)
    _, _, attempts = flow_on(SmallCard(0))
    assert freed == [torch.device("cpu")] * attempts


def test_other_errors_of_the_network_pass_through() -> None:
    def broken(one: Tensor, two: Tensor) -> Sequence[Tensor]:
        raise FarmError("something else")

    with pytest.raises(FarmError, match="something else"):
        FlowWorker(CONFIG, Raft(broken, CONFIG)).run(FlowJob(FlowId(1, 0), *frames()))


def test_note_travels_with_the_flow_and_is_said_once() -> None:
    first, second = frames()
    pair = FlowWorker(CONFIG, Raft(SmallCard(0), CONFIG)).run(FlowJob(FlowId(1, 0), first, second))
    sent = pickle.loads(pickle.dumps(pair))
    assert isinstance(sent, NotedFlowPair)
    forward, _ = sent
    np.testing.assert_array_equal(forward.vectors_px, pair.forward.vectors_px)
    heard: list[Event] = []
    pace: Any = SimpleNamespace(node_done=lambda *_: None, share=0.5, seconds_left=None)
    reporter = Reporter(None, heard.append, frames_done=0, stages=0, pace=pace)  # type: ignore[arg-type]
    for frame in (1, 2):
        node = Node(FlowId(frame, 0), Role.FLOW, 0, (frame, 0))
        reporter(NodeEvent(NodeEventKind.DONE, node, None, result=sent))  # type: ignore[arg-type]
    assert sum(isinstance(event, Warned) for event in heard) == 1


def test_note_stays_with_flows_that_stay_on_their_worker() -> None:
    pair = FlowWorker(CONFIG, Raft(SmallCard(0), CONFIG)).run(FlowJob(FlowId(1, 0), *frames()))
    facts, values = split_result(pair)
    assert len(values) == 2
    joined = join_result(facts, lambda part: values[part.place])
    assert [getattr(found, "note", "") for found in (facts, joined)] == [pair.note] * 2
    assert joined == tuple(values)
