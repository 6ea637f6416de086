"""A clip of a batch: its render, its job, and how much work is left."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import accumulate
from typing import Any

from vidnst.farm.interfaces import Component
from vidnst.farm.plan import FlowId, Node, NodeId, evaluations
from vidnst.rendering.batch.job_states import JobState
from vidnst.rendering.batch.tail_balancing import extent
from vidnst.rendering.clip_render import ClipRender
from vidnst.rendering.node_jobs import RenderHost
from vidnst.rendering.prepared_render import PreparedRender


class BatchHost(RenderHost):
    """A clip's host that counts which states are settled, and how much of the work is over."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.settled: set[NodeId] = set()
        """States, or stages of a training, to which nothing more will happen in this round."""
        self.work_done = 0.0
        """Evaluations that are over."""

    def is_done(self, node: Node) -> bool:
        """Return True if an earlier session finished the node."""
        return super().is_done(node) and self._settle(node.id)

    def store(self, node: Node, result: Any, *, worker: str, attempt: int) -> Any:
        """Have a result stored, and return the value that dependants get."""
        self.work_done += evaluations(self._config, node)
        return super().store(node, result, worker=worker, attempt=attempt)

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        """Return True if a node is in the run folder and its log, or never will be since the clip has ended."""
        return super().is_durable(node, timeout_seconds=timeout_seconds) and self._settle(node.id)

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        """Record that a node failed for good, or reads one that did."""
        self._settle(node.id)
        self.work_done += evaluations(self._config, node)
        super().give_up(node, error, because)

    def _settle(self, node: NodeId) -> bool:
        if not isinstance(node, FlowId):
            self.settled.add(node)
        return True


class BatchClip(ClipRender):
    """A clip from when its job is prepared until the job is over."""

    host_type = BatchHost
    host: BatchHost | None

    def __init__(self, job: JobState, render: PreparedRender) -> None:
        self.job = job
        self._work = 0.0
        self._longest_paths: list[float] = []
        """The longest chain in each shot or a later one, then 0."""
        super().__init__(render)
        self._states = sum(not isinstance(node.id, FlowId) for nodes in self.plans() for node in nodes)
        self._pixels = render.size[0] * render.size[1]

    @property
    def work_left(self) -> float:
        """Work that is not over yet, in evaluations times pixels."""
        return self._pixels * max(0.0, self._work - (0.0 if self.host is None else self.host.work_done))

    @property
    def longest_path(self) -> float:
        """The longest chain in a shot that the scheduler does not have yet, in evaluations times pixels."""
        return self._pixels * self._longest_paths[-1 - len(self._waiting)]

    @property
    def is_settled(self) -> bool:
        """True if nothing more will happen to any state in this round."""
        expected = self.render.schedule.training.stages if self.is_training else self._states
        return self.host is not None and len(self.host.settled) == expected

    def next_component(self, order: int | Callable[[], int] = 0, paused: Callable[[], bool] | None = None) -> Component:
        """Hand out the next shot; its nodes wait while the job is paused."""
        return super().next_component(order, paused or self._is_paused)

    def begin_round(self) -> Collection[int]:
        """Queue shots for another round, and return them."""
        assert self.host is not None
        was_training = self.is_training
        shots = super().begin_round()
        if was_training and not self.is_training:
            self.host.settled.clear()
        else:
            self.host.settled.difference_update(node.id for nodes in self.plans(shots) for node in nodes)
        return shots

    def resume_round(self) -> None:
        """Queue what is left of this round, after results were lost with a machine before they were stored."""
        assert self.host is not None
        self._work = self.host.work_done
        self.host.settled.difference_update(node.id for nodes in self._round() for node in nodes)
        super().resume_round()

    def end(self, message: str = "", *, failed: bool = False) -> None:
        """Free everything and unlock the run folder, whose log says what ended the work early, if anything did."""
        self.close()
        if message:
            self.render.recorder.end("failed" if failed else "stopped", message)
        self.render.close()

    def _queue(self, components: Callable[[], Iterable[Iterator[Node]]]) -> None:
        super()._queue(components)
        extents = [extent(nodes, self.render.config, self._done) for nodes in components()]
        self._work += sum(shot.work for shot in extents)
        self._longest_paths = list(accumulate((shot.path for shot in reversed(extents)), max, initial=0.0))[::-1]

    def _is_paused(self) -> bool:
        return self.job.paused and not self.job.cancelled
